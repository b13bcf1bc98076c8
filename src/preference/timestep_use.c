// Usable timesteps and the scale of their errors; the formulas stand in the header.
#include "preference/timestep_use.h"

// The model's own space, as ordinary training has it.
static bool own_space(bdpo_preference_kind kind)
{
    return kind == BDPO_PREFERENCE_SFT;
}

bdpo_status bdpo_timesteps_usable(int *n_usable, bool *usable, bdpo_preference_kind kind,
                                  bdpo_prediction_type prediction,
                                  const bdpo_noise_schedule *schedule)
{
    if (prediction == BDPO_PREDICT_SAMPLE)
        return bdpo_fail(BDPO_UNSUPPORTED, "the model predicts the sample; the losses know models "
                                           "that predict epsilon or v");
    bool noise_too = own_space(kind) && prediction == BDPO_PREDICT_V;
    *n_usable = 0;
    for (int t = 0; t < schedule->n_steps; t++) {
        bool use = schedule->alphas_cumprod[t] > 0 || noise_too;
        if (usable) usable[t] = use;
        *n_usable += use;
    }
    if (*n_usable == 0)
        return bdpo_fail(BDPO_BAD_ARGUMENT,
                         "none of the %d timesteps of the noise schedule leaves anything of the "
                         "picture",
                         schedule->n_steps);
    return BDPO_OK;
}

// a = SNR / (SNR + 1) and 1 - a = 1 / (SNR + 1): min-SNR's weights without a division by 0.
static double scale_of(double a, bool v, bool own, double gamma)
{
    double capped = gamma > 0 ? gamma * (1 - a) : 1; // gamma / (SNR + 1)
    if (v && own) return gamma > 0 && a < capped ? a : capped;
    double weight = gamma > 0 && a > capped ? capped / a : 1;
    return v ? a * weight : weight;
}

void bdpo_timesteps_scale(float *scales, const bdpo_preference_options *options,
                          bdpo_prediction_type prediction, const bdpo_noise_schedule *schedule,
                          const int *timesteps, int64_t n)
{
    bool v = prediction == BDPO_PREDICT_V, own = own_space(options->kind);
    for (int64_t i = 0; i < n; i++) {
        double a = (double)schedule->alphas_cumprod[timesteps[i]];
        scales[i] = (float)scale_of(a, v, own, options->min_snr_gamma);
    }
}

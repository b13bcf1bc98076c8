// Betas, their cumulative products, and the conversions between predictions.
//
// diffusers computes these by PyTorch on the CPU; each rounding below is one of its: linspace fuses
// product and sum, cumprod accumulates in double and rounds each element.
#include "diffusion/noise_schedule.h"

#include <math.h>

#include "base/memory.h"

// ---- betas ---------------------------------------------------------------------------------

void bdpo_torch_linspace(float *out, float start, float end, int n)
{
    float step = n > 1 ? (end - start) / (float)(n - 1) : 0;
    for (int i = 0; i < n / 2; i++) out[i] = fmaf(step, (float)i, start);
    for (int i = n / 2; i < n; i++) out[i] = fmaf(-step, (float)(n - 1 - i), end);
    if (n == 1) out[0] = start;
}

static double cosine_alpha_bar(double t)
{
    const double pi = 3.14159265358979323846;
    return pow(cos((t + 0.008) / 1.008 * pi / 2), 2);
}

static void cosine_betas(float *betas, int n)
{
    const double max_beta = 0.999;
    for (int i = 0; i < n; i++) {
        double beta = 1 - cosine_alpha_bar((double)(i + 1) / n) / cosine_alpha_bar((double)i / n);
        betas[i] = (float)(beta < max_beta ? beta : max_beta);
    }
}

static void fill_betas(float *betas, const bdpo_noise_schedule_options *o)
{
    int n = o->n_steps;
    if (o->trained_betas) {
        for (int i = 0; i < n; i++) betas[i] = o->trained_betas[i];
    } else if (o->betas == BDPO_BETAS_COSINE) {
        cosine_betas(betas, n);
    } else if (o->betas == BDPO_BETAS_LINEAR) {
        bdpo_torch_linspace(betas, (float)o->beta_start, (float)o->beta_end, n);
    } else {
        bdpo_torch_linspace(betas, (float)sqrt(o->beta_start), (float)sqrt(o->beta_end), n);
        for (int i = 0; i < n; i++) betas[i] *= betas[i];
    }
}

static void cumulate(float *alphas_cumprod, const float *betas, int n)
{
    double product = 1;
    for (int i = 0; i < n; i++) {
        product *= (double)(1 - betas[i]);
        alphas_cumprod[i] = (float)product;
    }
}

// Lin et al. 2023, algorithm 1: sqrt(a) is shifted so that its last value is 0 and scaled so that
// its first one stays. `bar` is scratch of n values.
static void rescale_to_zero_snr(float *betas, float *bar, int n)
{
    cumulate(bar, betas, n);
    float first = sqrtf(bar[0]), last = sqrtf(bar[n - 1]);
    float scale = first / (first - last);
    for (int i = 0; i < n; i++) {
        float root = (sqrtf(bar[i]) - last) * scale;
        bar[i] = root * root;
    }
    for (int i = n - 1; i > 0; i--) betas[i] = 1 - bar[i] / bar[i - 1];
    betas[0] = 1 - bar[0];
}

// ---- the schedule --------------------------------------------------------------------------

static bdpo_status check_options(const bdpo_noise_schedule_options *o)
{
    if (o->n_steps < 1 || o->n_steps > BDPO_MAX_TRAIN_STEPS)
        return bdpo_fail(BDPO_BAD_ARGUMENT,
                         "noise schedule: %d training timesteps; expected 1 to %d", o->n_steps,
                         BDPO_MAX_TRAIN_STEPS);
    if (o->zero_terminal_snr && o->n_steps < 2)
        return bdpo_fail(BDPO_BAD_ARGUMENT, "noise schedule: one training timestep cannot be "
                                            "rescaled to zero terminal SNR; expected 2 or more");
    if (o->trained_betas) {
        for (int i = 0; i < o->n_steps; i++)
            if (!(o->trained_betas[i] > 0 && o->trained_betas[i] <= 1))
                return bdpo_fail(
                    BDPO_BAD_ARGUMENT,
                    "noise schedule: trained beta %d is %g; expected above 0, at most 1", i,
                    (double)o->trained_betas[i]);
    } else if (!(o->beta_start > 0 && o->beta_start < 1 && o->beta_end > 0 && o->beta_end < 1)) {
        return bdpo_fail(BDPO_BAD_ARGUMENT,
                         "noise schedule: betas from %g to %g; expected both between 0 and 1",
                         o->beta_start, o->beta_end);
    }
    return BDPO_OK;
}

bdpo_status bdpo_noise_schedule_init(bdpo_noise_schedule *out,
                                     const bdpo_noise_schedule_options *options)
{
    *out = (bdpo_noise_schedule){0};
    TRY(check_options(options));
    int n = options->n_steps;
    bdpo_noise_schedule s = {.n_steps = n,
                             .betas = bdpo_alloc((size_t)n, sizeof(float)),
                             .alphas_cumprod = bdpo_alloc((size_t)n, sizeof(float))};
    if (!s.betas || !s.alphas_cumprod) {
        bdpo_noise_schedule_release(&s);
        return bdpo_fail(BDPO_NO_MEMORY, "noise schedule: no memory for %d timesteps", n);
    }
    fill_betas(s.betas, options);
    if (options->zero_terminal_snr) rescale_to_zero_snr(s.betas, s.alphas_cumprod, n);
    cumulate(s.alphas_cumprod, s.betas, n);
    *out = s;
    return BDPO_OK;
}

void bdpo_noise_schedule_release(bdpo_noise_schedule *schedule)
{
    bdpo_free(schedule->betas);
    bdpo_free(schedule->alphas_cumprod);
    *schedule = (bdpo_noise_schedule){0};
}

// ---- samples, targets, predictions ---------------------------------------------------------

void bdpo_noise_add(float *out, const float *original, const float *noise, float alpha_cumprod,
                    size_t count)
{
    float alpha = sqrtf(alpha_cumprod), sigma = sqrtf(1 - alpha_cumprod);
    for (size_t i = 0; i < count; i++) out[i] = alpha * original[i] + sigma * noise[i];
}

void bdpo_noise_velocity(float *out, const float *original, const float *noise, float alpha_cumprod,
                         size_t count)
{
    float alpha = sqrtf(alpha_cumprod), sigma = sqrtf(1 - alpha_cumprod);
    for (size_t i = 0; i < count; i++) out[i] = alpha * noise[i] - sigma * original[i];
}

void bdpo_predicted_original(float *out, bdpo_prediction_type type, const float *prediction,
                             const float *sample, float alpha_cumprod, size_t count)
{
    float alpha = sqrtf(alpha_cumprod), sigma = sqrtf(1 - alpha_cumprod);
    if (type == BDPO_PREDICT_EPSILON)
        for (size_t i = 0; i < count; i++) out[i] = (sample[i] - sigma * prediction[i]) / alpha;
    else if (type == BDPO_PREDICT_V)
        for (size_t i = 0; i < count; i++) out[i] = alpha * sample[i] - sigma * prediction[i];
    else
        for (size_t i = 0; i < count; i++) out[i] = prediction[i];
}

void bdpo_predicted_noise(float *out, bdpo_prediction_type type, const float *prediction,
                          const float *sample, float alpha_cumprod, size_t count)
{
    float alpha = sqrtf(alpha_cumprod), sigma = sqrtf(1 - alpha_cumprod);
    if (type == BDPO_PREDICT_EPSILON)
        for (size_t i = 0; i < count; i++) out[i] = prediction[i];
    else if (type == BDPO_PREDICT_V)
        for (size_t i = 0; i < count; i++) out[i] = alpha * prediction[i] + sigma * sample[i];
    else
        for (size_t i = 0; i < count; i++) out[i] = (sample[i] - alpha * prediction[i]) / sigma;
}

float bdpo_noise_snr(float alpha_cumprod)
{
    float ratio = sqrtf(alpha_cumprod) / sqrtf(1 - alpha_cumprod);
    return ratio * ratio;
}

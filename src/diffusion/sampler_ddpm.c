// DDPM: ancestral sampling of the learned reverse process (Ho et al. 2020, algorithm 2), over any
// subset of the timesteps.
#include <math.h>

#include "diffusion/sampler_family.h"

enum { ORIGINAL, NOISE, N_ARRAYS };

static bdpo_status plan_ddpm(bdpo_sampler *s)
{
    s->final_alpha_cumprod = 1;
    return bdpo_sampler_space(s, true, false, s->config.n_train_steps);
}

// The deviation of what is added: of the true posterior (small), or of the forward step (large).
static float deviation(const bdpo_sampler *s, float a, float a_next)
{
    float beta = 1 - a / a_next;
    float variance = (1 - a_next) / (1 - a) * beta;
    if (!(variance > 1e-20f)) variance = 1e-20f;
    if (s->config.variance == BDPO_VARIANCE_FIXED_LARGE) return sqrtf(beta);
    if (s->config.variance == BDPO_VARIANCE_FIXED_SMALL_LOG) return expf(0.5f * logf(variance));
    return sqrtf(variance);
}

static bdpo_status step_ddpm(bdpo_sampler *s, float *sample, const float *prediction,
                             bdpo_noise_source *noise)
{
    int i = bdpo_sampler_index(s), t = (int)s->timesteps[i];
    int next = i + 1 < s->n_calls ? (int)s->timesteps[i + 1] : -1;
    float a = bdpo_sampler_alpha_cumprod(s, t), a_next = bdpo_sampler_alpha_cumprod(s, next);
    float alpha = a / a_next, beta = 1 - alpha;
    float of_original = sqrtf(a_next) * beta / (1 - a);
    float of_sample = sqrtf(alpha) * (1 - a_next) / (1 - a);
    float *original = bdpo_sampler_array(s, ORIGINAL);
    bdpo_predicted_original(original, (bdpo_prediction_type)s->config.prediction, prediction,
                            sample, a, s->count);
    if (s->config.clip_sample) bdpo_sampler_clip(s, original);
    for (size_t k = 0; k < s->count; k++)
        sample[k] = of_original * original[k] + of_sample * sample[k];
    if (t == 0) return BDPO_OK;
    return bdpo_sampler_stir(s, sample, deviation(s, a, a_next), noise, NOISE);
}

const bdpo_sampler_family bdpo_sampler_ddpm = {.calls_each = 1,
                                               .n_arrays = N_ARRAYS,
                                               .plan = plan_ddpm,
                                               .step = step_ddpm,
                                               .start = bdpo_sampler_start_at_timestep};

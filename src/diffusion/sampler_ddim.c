// DDIM (Song et al. 2021, equation 12): to the predicted original and back out along the predicted
// noise, a part of which is replaced by fresh noise where eta > 0.
#include <math.h>

#include "diffusion/sampler_family.h"

enum { ORIGINAL, EPSILON, N_ARRAYS };

static bdpo_status plan_ddim(bdpo_sampler *s)
{
    return bdpo_sampler_space(s, true, false, s->config.n_train_steps);
}

static bdpo_status step_ddim(bdpo_sampler *s, float *sample, const float *prediction,
                             bdpo_noise_source *noise)
{
    int t = (int)s->timesteps[bdpo_sampler_index(s)];
    // The next timestep is one ratio down, whatever the spacing says: diffusers' choice.
    int next = t - s->config.n_train_steps / s->n_steps;
    float a = bdpo_sampler_alpha_cumprod(s, t), a_next = bdpo_sampler_alpha_cumprod(s, next);
    float variance = (1 - a_next) / (1 - a) * (1 - a / a_next);
    float deviation = (float)s->eta * sqrtf(variance);
    float signal = sqrtf(a_next), direction = sqrtf(1 - a_next - deviation * deviation);
    bdpo_prediction_type type = (bdpo_prediction_type)s->config.prediction;
    float *original = bdpo_sampler_array(s, ORIGINAL), *epsilon = bdpo_sampler_array(s, EPSILON);
    bdpo_predicted_original(original, type, prediction, sample, a, s->count);
    bdpo_predicted_noise(epsilon, type, prediction, sample, a, s->count);
    if (s->config.clip_sample) bdpo_sampler_clip(s, original);
    for (size_t k = 0; k < s->count; k++) sample[k] = signal * original[k] + direction * epsilon[k];
    if (s->eta == 0) return BDPO_OK;
    return bdpo_sampler_stir(s, sample, deviation, noise, EPSILON);
}

const bdpo_sampler_family bdpo_sampler_ddim = {.calls_each = 1,
                                               .n_arrays = N_ARRAYS,
                                               .plan = plan_ddim,
                                               .step = step_ddim,
                                               .start = bdpo_sampler_start_at_timestep};

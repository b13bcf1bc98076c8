// Heun's second-order method (Karras et al. 2022, algorithm 1): an Euler step, a second call at its
// end, and the step again along the mean of both slopes. The last step to level 0 is Euler's.
#include <string.h>

#include "diffusion/sampler_family.h"

enum { ORIGINAL, SLOPE, START, N_ARRAYS };

// Timesteps t0, t1, t1, t2, t2, ... and levels s0, s1, s1, ..., 0: even calls are first ones.
static bdpo_status plan_heun(bdpo_sampler *s)
{
    TRY(bdpo_sampler_plan_sigmas(s, true));
    int n = s->n_calls;
    s->n_calls = 2 * n - 1;
    s->n_sigmas = 2 * n;
    s->sigmas[2 * n - 1] = s->sigmas[n];
    for (int i = n - 1; i > 0; i--) {
        s->timesteps[2 * i] = s->timesteps[2 * i - 1] = s->timesteps[i];
        s->sigmas[2 * i] = s->sigmas[2 * i - 1] = s->sigmas[i];
    }
    return BDPO_OK;
}

static void predict_original(bdpo_sampler *s, const float *prediction, const float *sample,
                             float sigma)
{
    float *original = bdpo_sampler_array(s, ORIGINAL);
    bdpo_sampler_original_at(s, original, prediction, sample, sigma);
    if (s->config.clip_sample) bdpo_sampler_clip(s, original);
}

static bdpo_status step_heun(bdpo_sampler *s, float *sample, const float *prediction,
                             bdpo_noise_source *noise)
{
    bool first = s->position % 2 == 0;
    const float *sigma = s->sigmas + bdpo_sampler_index(s) - (first ? 0 : 1);
    const float *original = bdpo_sampler_array(s, ORIGINAL);
    float *slope = bdpo_sampler_array(s, SLOPE), *start = bdpo_sampler_array(s, START);
    float step = sigma[1] - sigma[0], at = first ? sigma[0] : sigma[1];
    (void)noise;
    predict_original(s, prediction, sample, at);
    if (first) {
        memcpy(start, sample, s->count * sizeof *sample);
        for (size_t i = 0; i < s->count; i++) slope[i] = (sample[i] - original[i]) / at;
    } else {
        for (size_t i = 0; i < s->count; i++)
            slope[i] = (slope[i] + (sample[i] - original[i]) / at) / 2;
    }
    for (size_t i = 0; i < s->count; i++) sample[i] = start[i] + slope[i] * step;
    return BDPO_OK;
}

const bdpo_sampler_family bdpo_sampler_heun = {.calls_each = 2,
                                               .n_arrays = N_ARRAYS,
                                               .plan = plan_heun,
                                               .step = step_heun,
                                               .start = bdpo_sampler_start_at_sigma};

// Euler (Karras et al. 2022, algorithm 2 without churn): along the slope to the predicted original.
// Its ancestral form goes further down and adds fresh noise up to the next level.
#include <math.h>

#include "diffusion/sampler_family.h"

enum { ORIGINAL, N_ARRAYS }; // the noise may overwrite the original

static bdpo_status plan_euler(bdpo_sampler *s)
{
    return bdpo_sampler_plan_sigmas(s, true);
}

static bdpo_status plan_ancestral(bdpo_sampler *s)
{
    return bdpo_sampler_plan_sigmas(s, false);
}

static void go(const bdpo_sampler *s, float *sample, const float *prediction, float sigma, float to)
{
    float *original = bdpo_sampler_array(s, ORIGINAL), step = to - sigma;
    bdpo_sampler_original_at(s, original, prediction, sample, sigma);
    for (size_t i = 0; i < s->count; i++) {
        float slope = (sample[i] - original[i]) / sigma;
        sample[i] += slope * step;
    }
}

static bdpo_status step_euler(bdpo_sampler *s, float *sample, const float *prediction,
                              bdpo_noise_source *noise)
{
    const float *sigma = s->sigmas + bdpo_sampler_index(s);
    (void)noise;
    go(s, sample, prediction, sigma[0], sigma[1]);
    return BDPO_OK;
}

static bdpo_status step_ancestral(bdpo_sampler *s, float *sample, const float *prediction,
                                  bdpo_noise_source *noise)
{
    const float *sigma = s->sigmas + bdpo_sampler_index(s);
    float from2 = sigma[0] * sigma[0], to2 = sigma[1] * sigma[1];
    float up = sqrtf(to2 * (from2 - to2) / from2);
    float down = sqrtf(to2 - up * up);
    go(s, sample, prediction, sigma[0], down);
    return bdpo_sampler_stir(s, sample, up, noise, ORIGINAL);
}

const bdpo_sampler_family bdpo_sampler_euler = {.calls_each = 1,
                                                .n_arrays = N_ARRAYS,
                                                .plan = plan_euler,
                                                .step = step_euler,
                                                .start = bdpo_sampler_start_at_sigma};

const bdpo_sampler_family bdpo_sampler_euler_ancestral = {.calls_each = 1,
                                                          .n_arrays = N_ARRAYS,
                                                          .plan = plan_ancestral,
                                                          .step = step_ancestral,
                                                          .start = bdpo_sampler_start_at_sigma};

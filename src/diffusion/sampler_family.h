// What a family of samplers provides to sampler.c, and the state that they share.
#ifndef BDPO_SAMPLER_FAMILY_H
#define BDPO_SAMPLER_FAMILY_H

#include "diffusion/sampler.h"
#include "diffusion/sigma_table.h"

typedef struct bdpo_sampler_family {
    int calls_each; // of a step, in the count of image to image: Heun 2
    int n_arrays;   // of `count` values, in sampler->arrays
    // Fills timesteps, n_calls (of the whole run), and sigmas, n_sigmas where the family has them;
    // `first` is set.
    bdpo_status (*plan)(bdpo_sampler *sampler);
    // sampler.h; position is raised by the caller.
    bdpo_status (*step)(bdpo_sampler *sampler, float *sample, const float *prediction,
                        bdpo_noise_source *noise);
    // The coefficients of a start from an image: out = signal * original + level * noise.
    void (*start)(const bdpo_sampler *sampler, float *signal, float *level);
} bdpo_sampler_family;

extern const bdpo_sampler_family bdpo_sampler_ddpm, bdpo_sampler_ddim, bdpo_sampler_pndm,
    bdpo_sampler_euler, bdpo_sampler_euler_ancestral, bdpo_sampler_heun, bdpo_sampler_dpm;

struct bdpo_sampler {
    const bdpo_sampler_family *family;
    bdpo_scheduler_config config; // its trained_betas are not kept
    bdpo_noise_schedule schedule;
    float final_alpha_cumprod; // DDIM, PNDM: past the last timestep
    bdpo_shape latents;
    size_t count; // values of a sample
    int n_steps;
    double eta;
    float *timesteps; // [n_calls], of the whole run
    float *sigmas;    // [n_sigmas]
    int n_calls, n_sigmas;
    int first;     // calls that image to image leaves out
    int position;  // calls stepped since
    float *arrays; // [n_arrays][count]: outputs of earlier steps, and scratch
    int n_kept;    // outputs that are remembered so far
};

// The timestep of the next call, and its index in timesteps.
static inline int bdpo_sampler_index(const bdpo_sampler *s)
{
    return s->first + s->position;
}
static inline float *bdpo_sampler_array(const bdpo_sampler *s, int i)
{
    return s->arrays + (size_t)i * s->count;
}

// alphas_cumprod[t], and past the last timestep (t < 0) the final one.
float bdpo_sampler_alpha_cumprod(const bdpo_sampler *sampler, int timestep);

// Spaces timesteps by the config. Fails where one lies past the schedule.
BDPO_MUST_CHECK bdpo_status bdpo_sampler_space(bdpo_sampler *sampler, bool whole, bool shorten,
                                               int last);

// The timesteps and levels of Euler, its ancestral form (no `respaced` levels), and Heun (before it
// doubles them), with the final level.
BDPO_MUST_CHECK bdpo_status bdpo_sampler_plan_sigmas(bdpo_sampler *sampler, bool respaced);
// Replaces levels and timesteps by those that use_karras_sigmas or use_exponential_sigmas ask for,
// from `high` to `low`, where the config names no others. `levels` are those of the schedule;
// `rounding` makes a timestep whole, or is NULL.
BDPO_MUST_CHECK bdpo_status bdpo_sampler_respace(bdpo_sampler *sampler, double high, double low,
                                                 const float *levels, double (*rounding)(double));
bool bdpo_sampler_respaces(const bdpo_sampler *sampler);
// The original that a prediction implies at a level, in the coordinates original + level * noise.
void bdpo_sampler_original_at(const bdpo_sampler *sampler, float *out, const float *prediction,
                              const float *sample, float sigma);
// to +- clip_sample_range
void bdpo_sampler_clip(const bdpo_sampler *sampler, float *values);
// Adds scale * (the noise of this call) to the sample; array `scratch` is overwritten.
BDPO_MUST_CHECK bdpo_status bdpo_sampler_stir(bdpo_sampler *sampler, float *sample, float scale,
                                              bdpo_noise_source *noise, int scratch);

// start of the families that know a timestep, and of those that know a level
void bdpo_sampler_start_at_timestep(const bdpo_sampler *sampler, float *signal, float *level);
void bdpo_sampler_start_at_sigma(const bdpo_sampler *sampler, float *signal, float *level);

#endif

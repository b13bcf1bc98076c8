// Samplers: from noise to latents in a few calls of the network. The caller owns the network and
// the loop; a sampler says at which timestep to call it, and turns a prediction into the next
// sample. Every step is that of diffusers' class of the same name, in f32.
//
//     bdpo_sampler_new(&s, &config, &options, latents);
//     start: noise times bdpo_sampler_init_noise_sigma(s), or bdpo_sampler_add_noise() to an image
//     for (int i = 0; i < bdpo_sampler_n_calls(s); i++) {
//         bdpo_sampler_scale_model_input(s, input, sample);
//         prediction = network(input, bdpo_sampler_timesteps(s)[i]), guided (guidance.h)
//         bdpo_sampler_step(s, sample, prediction, noise);
//     }
#ifndef BDPO_SAMPLER_H
#define BDPO_SAMPLER_H

#include "diffusion/initial_noise.h"
#include "diffusion/scheduler_config.h"

typedef struct bdpo_sampler bdpo_sampler;

typedef struct bdpo_sampler_options {
    int n_steps;     // 1 to the config's n_train_steps
    double strength; // image to image: the part of the steps that is run, in (0, 1]; 1: all
    double eta;      // DDIM: 0 deterministic, 1 as noisy as DDPM; others do not read it
} bdpo_sampler_options;

// latents is [n, h, w, c]. The config is only read here. *out is the caller's, released by
// bdpo_sampler_free(). BDPO_BAD_ARGUMENT: a number out of range, or settings that diffusers would
// fail on or answer with NaN (a timestep past the schedule; epsilon at zero SNR).
BDPO_MUST_CHECK bdpo_status bdpo_sampler_new(bdpo_sampler **out,
                                             const bdpo_scheduler_config *config,
                                             const bdpo_sampler_options *options,
                                             bdpo_shape latents);
// A sampler in the same state, with its own memory: both can go on.
BDPO_MUST_CHECK bdpo_status bdpo_sampler_clone(bdpo_sampler **out, const bdpo_sampler *sampler);
void bdpo_sampler_free(bdpo_sampler *sampler);

// How often the network is called: not always n_steps (PNDM repeats its second step, Heun calls
// twice; image to image leaves out the first ones).
int bdpo_sampler_n_calls(const bdpo_sampler *sampler);
// The calls that were stepped so far: the index of the next timestep.
int bdpo_sampler_position(const bdpo_sampler *sampler);
// [n_calls]: whole numbers, save for Euler and Heun. Borrowed.
const float *bdpo_sampler_timesteps(const bdpo_sampler *sampler);
// The noise levels as the class counts them, of which this run passes the last; *count of them.
// NULL and 0 for DDPM, DDIM and PNDM. Borrowed.
const float *bdpo_sampler_sigmas(const bdpo_sampler *sampler, int *count);
// Whether steps draw noise.
bool bdpo_sampler_is_stochastic(const bdpo_sampler *sampler);

// What standard normal noise is multiplied by to start from.
float bdpo_sampler_init_noise_sigma(const bdpo_sampler *sampler);
// Image to image: the start from clean latents and noise, at this run's first timestep.
void bdpo_sampler_add_noise(const bdpo_sampler *sampler, float *out, const float *original,
                            const float *noise);

// What the network is shown for the next call; out may be sample.
void bdpo_sampler_scale_model_input(const bdpo_sampler *sampler, float *out, const float *sample);

// Replaces the sample by the next one. prediction is the network's (guided) output for the next
// timestep, of the config's prediction type. noise may be NULL unless the sampler is stochastic.
// Fails only where drawing noise does.
BDPO_MUST_CHECK bdpo_status bdpo_sampler_step(bdpo_sampler *sampler, float *sample,
                                              const float *prediction, bdpo_noise_source *noise);

#endif

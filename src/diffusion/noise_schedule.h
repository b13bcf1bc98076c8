// The forward process: how much noise a training timestep holds, and what follows from that for
// targets and predictions. Arithmetic and rounding are those of diffusers' f32 tensors.
//
// With a = alphas_cumprod[t], a noised sample is x = sqrt(a) original + sqrt(1 - a) noise.
#ifndef BDPO_NOISE_SCHEDULE_H
#define BDPO_NOISE_SCHEDULE_H

#include "base/status.h"

typedef enum bdpo_beta_schedule {
    BDPO_BETAS_LINEAR,        // from start to end
    BDPO_BETAS_SCALED_LINEAR, // squares of a line from sqrt(start) to sqrt(end)
    BDPO_BETAS_COSINE,        // "squaredcos_cap_v2": start and end are not read
} bdpo_beta_schedule;

// What the network was trained to return.
typedef enum bdpo_prediction_type {
    BDPO_PREDICT_EPSILON, // the noise
    BDPO_PREDICT_V,       // sqrt(a) noise - sqrt(1 - a) original
    BDPO_PREDICT_SAMPLE,  // the original
} bdpo_prediction_type;

enum { BDPO_MAX_TRAIN_STEPS = 100000 };

typedef struct bdpo_noise_schedule_options {
    int n_steps; // 1 to BDPO_MAX_TRAIN_STEPS
    bdpo_beta_schedule betas;
    double beta_start, beta_end;
    const float *trained_betas; // [n_steps], instead of a formula, or NULL; borrowed
    bool zero_terminal_snr;     // shifts and scales sqrt(a) so that the last is 0
} bdpo_noise_schedule_options;

typedef struct bdpo_noise_schedule {
    int n_steps;
    float *betas;          // [n_steps], rescaled where that was asked for
    float *alphas_cumprod; // [n_steps]
} bdpo_noise_schedule;

// Bit for bit what diffusers computes on a processor with AVX2 or AVX-512, save where SNR is
// rescaled: there PyTorch's square root errs in last bits, and ours is exact. Released by
// bdpo_noise_schedule_release(). BDPO_BAD_ARGUMENT: a count or a beta out of range.
BDPO_MUST_CHECK bdpo_status bdpo_noise_schedule_init(bdpo_noise_schedule *out,
                                                     const bdpo_noise_schedule_options *options);
void bdpo_noise_schedule_release(bdpo_noise_schedule *schedule);

// torch.linspace(start, end, n) in f32.
void bdpo_torch_linspace(float *out, float start, float end, int n);

// Below, `alpha_cumprod` is a, and arrays have `count` elements; `out` may be an input.

void bdpo_noise_add(float *out, const float *original, const float *noise, float alpha_cumprod,
                    size_t count);
// The v target of training.
void bdpo_noise_velocity(float *out, const float *original, const float *noise, float alpha_cumprod,
                         size_t count);
// The original and the noise that a prediction on `sample` implies. For a = 0 an epsilon says
// nothing of the original (infinite or NaN), for a = 1 a sample nothing of the noise.
void bdpo_predicted_original(float *out, bdpo_prediction_type type, const float *prediction,
                             const float *sample, float alpha_cumprod, size_t count);
void bdpo_predicted_noise(float *out, bdpo_prediction_type type, const float *prediction,
                          const float *sample, float alpha_cumprod, size_t count);
// a / (1 - a), in the order of rounding of diffusers' compute_snr.
float bdpo_noise_snr(float alpha_cumprod);

#endif

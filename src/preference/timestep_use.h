// Which timesteps a loss can learn from, and how much each one's errors weigh.
//
// With a = alphas_cumprod[t], an error in v is an error in epsilon over a: |eps - eps'|^2 =
// a |v - v'|^2. All losses but sft count errors in epsilon space, so that one beta means the same
// for SD 1.5 and SD 2.1; sft counts them in the model's own space, as ordinary training does.
//
//     epsilon model   s = w      w = min(SNR, gamma) / SNR, SNR = a / (1 - a); without min-SNR 1
//     v model         s = a w
//     v model, sft    s = min(SNR, gamma) / (SNR + 1); without min-SNR 1
//
// Min-SNR weighting: Hang et al. 2023 (arXiv 2303.09556), as diffusers' scripts have it.
//
// At a = 0 (zero terminal SNR) a noised picture is noise alone. There epsilon is the input itself
// and s of a v model is 0: both pictures of a pair look alike, and the pair teaches nothing. Such
// timesteps are left out, but for a v model under sft, whose target there is the picture.
#ifndef BDPO_TIMESTEP_USE_H
#define BDPO_TIMESTEP_USE_H

#include "diffusion/noise_schedule.h"
#include "preference/preference_loss.h"

// BDPO_UNSUPPORTED for models that predict the sample; BDPO_BAD_ARGUMENT where no timestep is
// usable. For the plan: out of schedule->n_steps, *n_usable are drawn from. `usable` [n_steps] may
// be NULL.
BDPO_MUST_CHECK bdpo_status bdpo_timesteps_usable(int *n_usable, bool *usable,
                                                  bdpo_preference_kind kind,
                                                  bdpo_prediction_type prediction,
                                                  const bdpo_noise_schedule *schedule);

// s of each pair's timestep.
void bdpo_timesteps_scale(float *scales, const bdpo_preference_options *options,
                          bdpo_prediction_type prediction, const bdpo_noise_schedule *schedule,
                          const int *timesteps, int64_t n);

#endif

// Classifier-free guidance: one prediction from the pair that the network made without and with
// the caption. Roundings are those of diffusers' pipelines in f32.
#ifndef BDPO_GUIDANCE_H
#define BDPO_GUIDANCE_H

#include "base/status.h"

// pair is [uncond, cond], each n_samples * sample_size values; out, of half that size, may be its
// first half:
//
//     out = uncond + scale (cond - uncond)
//
// and, where rescale > 0 (Lin et al. 2023, section 3.4), with std over all of a sample but the
// batch, unbiased:
//
//     out = rescale * out std(cond) / std(out) + (1 - rescale) out
void bdpo_guidance_combine(float *out, const float *pair, int n_samples, size_t sample_size,
                           double scale, double rescale);

#endif

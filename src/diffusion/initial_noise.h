// Noise of generation: the latents that a run starts from, and what stochastic samplers add.
//
// Two kinds of seed. Torch: the numbers that diffusers draws with CPU generators, in its order, so
// that a seed gives the picture that it gives there; its draws depend on all earlier ones.
// Philox: a number is a function of (seed, image, step), the same in any batch and order.
#ifndef BDPO_INITIAL_NOISE_H
#define BDPO_INITIAL_NOISE_H

#include "base/status.h"

typedef enum bdpo_noise_rng { BDPO_NOISE_PHILOX, BDPO_NOISE_TORCH } bdpo_noise_rng;

typedef struct bdpo_noise_source bdpo_noise_source;

// With one seed, Torch draws the whole batch from one generator, and Philox numbers the images
// first_image, first_image + 1, ... With as many seeds as the batch has images, each image has its
// own generator (diffusers' list of generators) or its own seed (all as number first_image).
// *out is the caller's, released by bdpo_noise_source_free(). BDPO_NO_MEMORY.
BDPO_MUST_CHECK bdpo_status bdpo_noise_source_new(bdpo_noise_source **out, bdpo_noise_rng rng,
                                                  const uint64_t *seeds, int n_seeds,
                                                  int64_t first_image);
// A source at the same place of the same sequences.
BDPO_MUST_CHECK bdpo_status bdpo_noise_source_clone(bdpo_noise_source **out,
                                                    const bdpo_noise_source *source);
void bdpo_noise_source_free(bdpo_noise_source *source);

// Standard normals for latents [n, h, w, c]. Torch: as randn_tensor((n, c, h, w)), brought into our
// layout; `step` is not read. Philox: step 0 are the initial latents, step k + 1 is what is added
// after model call k. BDPO_BAD_ARGUMENT: the batch does not fit the number of seeds.
BDPO_MUST_CHECK bdpo_status bdpo_noise_source_draw(bdpo_noise_source *source, float *out,
                                                   const bdpo_shape *latents, uint32_t step);

#endif

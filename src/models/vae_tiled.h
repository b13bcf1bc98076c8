// Decoding of large pictures tile by tile, as diffusers' enable_tiling() does it, number for
// number: tiles of the trained size that overlap by a quarter and are blended linearly. Memory
// stays that of one tile. Since each tile is normalised alone, the picture is not quite that of the
// whole decoder.
#ifndef BDPO_VAE_TILED_H
#define BDPO_VAE_TILED_H

#include "models/vae.h"

// z [n, h, w, latent_channels] -> image [n, factor h, factor w, out_channels], both dense and the
// caller's; the shape is z's. The store holds the parameters of bdpo_vae_params(). Where z is no
// larger than one tile it is decoded whole. Plans, one for each size of tile, stay with the engine
// (bdpo_engine_plan). BAD_ARGUMENT for a sample_size whose tiles do not fit together: a quarter of
// it must be a whole number of latents.
BDPO_MUST_CHECK bdpo_status bdpo_vae_decode_tiled(float *image, const float *z,
                                                  const bdpo_shape *shape, bdpo_engine *engine,
                                                  bdpo_store *store, const bdpo_vae_config *config);

#endif

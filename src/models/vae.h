// The autoencoder of SD 1.5, SD 2.1 and SDXL, and small ones: diffusers' AutoencoderKL over a
// configuration, with its parameters and their names.
//
//     picture x [n, h, w, 3] in [-1, 1] --encode--> mean, logvar --sample--> latents, which the
//     UNet sees --unscale--> z --decode--> picture
//
// A latent's side is the picture's over 2^(levels - 1), rounded down.
#ifndef BDPO_VAE_H
#define BDPO_VAE_H

#include <jansson.h>

#include "models/layers.h"

enum { BDPO_VAE_MAX_LEVELS = 8 };

typedef struct bdpo_vae_config {
    int n_levels;
    int channels[BDPO_VAE_MAX_LEVELS]; // block_out_channels, the largest resolution first
    int residuals;                     // layers_per_block; the decoder has one more
    int in_channels, out_channels;     // of pictures
    int latent_channels;
    int groups;           // norm_num_groups
    int sample_size;      // of the pictures that it was trained on: the size of a tile
    float scaling, shift; // latents = (z - shift) scaling
    bool upcast;          // force_upcast: computes in f32 whatever the compute dtype
    bool quant_conv, post_quant_conv;
    bool mid_attention; // mid_block_add_attention
} bdpo_vae_config;

// Reads the fields of vae/config.json; `root` stays the caller's. What is absent has diffusers'
// default. BAD_FILE for a value that fits no autoencoder, UNSUPPORTED for one that we cannot
// compute; the message names `file`, field, found and expected.
BDPO_MUST_CHECK bdpo_status bdpo_vae_config_parse(bdpo_vae_config *out, const json_t *root,
                                                  const char *file);

// Picture pixels for each latent pixel, along one side: 8 for four levels.
int64_t bdpo_vae_factor(const bdpo_vae_config *config);

// Adds all parameters; the attention's have the names to_q, to_k, to_v, to_out.0.
void bdpo_vae_params(bdpo_param_list *list, const bdpo_vae_config *config);

// Both [n, h', w', latent_channels]; logvar clamped to [-30, 20].
typedef struct bdpo_vae_moments {
    bdpo_node *mean, *logvar;
} bdpo_vae_moments;

bdpo_vae_moments bdpo_vae_encode(const bdpo_builder *b, const bdpo_vae_config *config,
                                 bdpo_node *pixels);

// Latents as the UNet sees them: (mean + exp(logvar / 2) noise - shift) scaling. noise, of mean's
// shape: standard normals; NULL takes the mean.
bdpo_node *bdpo_vae_sample(const bdpo_builder *b, const bdpo_vae_config *config,
                           const bdpo_vae_moments *moments, bdpo_node *noise);

// What the decoder takes: latents / scaling + shift.
bdpo_node *bdpo_vae_unscale(const bdpo_builder *b, const bdpo_vae_config *config,
                            bdpo_node *latents);

// z [n, h, w, latent_channels] -> [n, factor h, factor w, out_channels], not clamped.
bdpo_node *bdpo_vae_decode(const bdpo_builder *b, const bdpo_vae_config *config, bdpo_node *z);

#endif

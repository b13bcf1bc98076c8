// The configuration of a UNet, as diffusers writes it into unet/config.json
// (UNet2DConditionModel): SD 1.5, SD 2.1 and SDXL are three of these.
#ifndef BDPO_UNET_CONFIG_H
#define BDPO_UNET_CONFIG_H

#include <jansson.h>

#include "base/status.h"

enum { BDPO_UNET_MAX_LEVELS = 8 };

// One resolution, the largest first. The way up has one residual block more than the way down.
typedef struct bdpo_unet_level {
    int64_t channels;
    int residuals;          // on the way down
    int transformer_layers; // of each transformer, down, up and (of the last level) in the middle
    int heads;
    bool down_attends, up_attends; // has transformers on the way down, on the way up
} bdpo_unet_level;

typedef struct bdpo_unet_config {
    int n_levels;
    bdpo_unet_level level[BDPO_UNET_MAX_LEVELS];
    int64_t in_channels, out_channels;   // 4, or 9 of in-painting models
    int64_t sample_height, sample_width; // latents that it was trained on; 0: the file does not say
    int64_t context_width;               // cross_attention_dim
    int64_t time_width;                  // of the time embedding: 4 x the first level's channels
    int conv_in_kernel, conv_out_kernel; // odd
    int norm_groups;
    float norm_eps;
    float mid_scale;        // mid_block_scale_factor
    int downsample_padding; // 1 or 0
    bool center_input;      // the sample is taken as 2 x - 1
    bool cos_first;         // flip_sin_to_cos
    float freq_shift;
    bool linear_projection; // use_linear_projection
    bool upcast_attention;
    bool text_time;         // addition_embed_type: pooled text and time_ids are inputs
    int time_id_width;      // addition_time_embed_dim: sines and cosines of each time id
    int64_t addition_width; // projection_class_embeddings_input_dim: pooled + 6 time_id_width
} bdpo_unet_config;

enum { BDPO_UNET_TIME_IDS = 6 }; // original size, crop corner, target size

// Reads the fields of `root`, which the caller keeps. What is absent has diffusers' default.
// BAD_FILE for a value that fits no UNet, UNSUPPORTED for one that we cannot compute; the message
// names `file`, the field, what was found and what was expected. A field that we do not know is
// refused too, unless it is null or false, or begins with "_".
BDPO_MUST_CHECK bdpo_status bdpo_unet_config_parse(bdpo_unet_config *out, const json_t *root,
                                                   const char *file);

// The width of the pooled text: addition_width without the time ids.
int64_t bdpo_unet_pooled_width(const bdpo_unet_config *config);

#endif

// CLIP's vision tower: transformers' CLIPVisionModelWithProjection and the vision half of
// CLIPModel. OpenAI's L/14, OpenCLIP's H/14 (head size 80) and bigG/14 (104) are configurations.
//
// Parameters have transformers' names ("vision_model.pre_layrnorm.weight", the spelling is theirs).
#ifndef BDPO_CLIP_VISION_H
#define BDPO_CLIP_VISION_H

#include <jansson.h>

#include "models/clip_layers.h"

typedef struct bdpo_clip_vision_config {
    bdpo_clip_tower tower;
    int channels, image_size, patch_size;
    int projection_dim; // 0: without visual_projection
} bdpo_clip_vision_config;

// Reads a vision tower's config.json or a whole CLIPModel's (its vision_config), as
// bdpo_clip_text_config_parse() does.
BDPO_MUST_CHECK bdpo_status bdpo_clip_vision_config_parse(bdpo_clip_vision_config *out,
                                                          const json_t *root, const char *file);

void bdpo_clip_vision_params(bdpo_param_list *list, const bdpo_clip_vision_config *config);

// "logit_scale" [1] of a CLIPModel: the logarithm of what multiplies its cosines.
void bdpo_clip_logit_scale_params(bdpo_param_list *list);

typedef struct bdpo_clip_vision_outputs {
    bdpo_node *embedding; // [n, projection_dim], or [n, width] without projection; not normalised
    bdpo_node *last;      // [n, 1 + patches, width]: hidden states of the last layer
} bdpo_clip_vision_outputs;

// pixels [n, image_size, image_size, channels], normalised by CLIP's means and deviations.
bdpo_clip_vision_outputs bdpo_clip_vision(const bdpo_builder *b,
                                          const bdpo_clip_vision_config *config, bdpo_node *pixels);

#endif

// The noise predictor of SD 1.5, SD 2.1 and SDXL: diffusers' UNet2DConditionModel over a
// configuration, with its parameters and their names.
#ifndef BDPO_UNET_H
#define BDPO_UNET_H

#include "models/layers.h"
#include "models/unet_config.h"

// Adds all parameters, in diffusers' order of modules.
void bdpo_unet_params(bdpo_param_list *list, const bdpo_unet_config *config);

typedef struct bdpo_unet_inputs {
    bdpo_node *sample;   // [n, h, w, in_channels]: any height and width
    bdpo_node *timestep; // f32 [n]
    bdpo_node *context;  // [n, t, context_width]: text embeddings
    bdpo_node *pooled;   // [n, pooled width]; NULL unless config->text_time
    bdpo_node *time_ids; // f32 [n, 6]: original h, w, crop top, left, target h, w; NULL likewise
} bdpo_unet_inputs;

// -> [n, h, w, out_channels], the predicted noise or velocity; borrowed from the graph.
bdpo_node *bdpo_unet(const bdpo_builder *b, const bdpo_unet_config *config,
                     const bdpo_unet_inputs *in);

#endif

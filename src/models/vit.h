// timm's vision transformer as BLIP has it: patches by a convolution with bias, a class token, one
// linear layer for queries, keys and values, pre-norm, exact gelu. All rows come out.
#ifndef BDPO_VIT_H
#define BDPO_VIT_H

#include "models/layers.h"

typedef struct bdpo_vit_config {
    int width, mlp_width, layers, heads;
    int channels, image_size, patch_size;
    float norm_eps; // 1e-6
} bdpo_vit_config;

// Rows of a picture: the class token and the patches.
int64_t bdpo_vit_rows(const bdpo_vit_config *config);

// "<path>.cls_token", "<path>.pos_embed", "<path>.patch_embed.proj.weight", "<path>.blocks.0..",
// "<path>.norm.weight".
void bdpo_vit_params(bdpo_param_list *list, const char *path, const bdpo_vit_config *config);

// pixels [n, image_size, image_size, channels] -> [n, 1 + patches, width], normalised by "norm".
bdpo_node *bdpo_vit(const bdpo_builder *b, const char *path, const bdpo_vit_config *config,
                    bdpo_node *pixels);

#endif

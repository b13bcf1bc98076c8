// BLIP's image-grounded text encoder, and ImageReward, which is that with a head: a vision
// transformer (timm's), a BERT whose every layer attends to the picture's rows, and a few linear
// layers on the text's first row.
//
// Parameters have the names of ImageReward.pt: "blip.visual_encoder.blocks.0.attn.qkv.weight",
// "blip.text_encoder.encoder.layer.0.crossattention.self.key.weight", "mlp.layers.0.weight".
#ifndef BDPO_BLIP_H
#define BDPO_BLIP_H

#include "models/bert.h"
#include "models/vit.h"

enum { BDPO_BLIP_MAX_HEAD = 8 };

typedef struct bdpo_blip_config {
    bdpo_vit_config vision;
    bdpo_bert_config text;
    // The widths of the head's layers, from the text's width on, and each layer's number in
    // "mlp.layers.<n>": dropouts take numbers too.
    int n_head, head_width[BDPO_BLIP_MAX_HEAD], head_index[BDPO_BLIP_MAX_HEAD];
    // Of vision_proj and text_proj, which no score uses; 0 where the file has not got it.
    int vision_projection, text_projection;
} bdpo_blip_config;

// ImageReward v1.0: ViT-L/16 at 224, BERT base, head 1024, 128, 64, 16, 1; without the projections.
bdpo_blip_config bdpo_blip_image_reward(void);

void bdpo_blip_params(bdpo_param_list *list, const bdpo_blip_config *config);

// pixels [n, image_size, image_size, 3], normalised -> rows [n, 1 + patches, vision width].
bdpo_node *bdpo_blip_vision(const bdpo_builder *b, const bdpo_blip_config *config,
                            bdpo_node *pixels);

// One number for each text: before ImageReward's shift and scale. rows [n, r, vision width] of n
// pictures, ids i32 [n * k, t], k texts to each picture one after the other, lengths i32 [n * k]:
// how many of a text's ids are no padding -> [n * k, 1].
bdpo_node *bdpo_blip_reward(const bdpo_builder *b, const bdpo_blip_config *config, bdpo_node *rows,
                            bdpo_node *ids, bdpo_node *lengths);

#endif

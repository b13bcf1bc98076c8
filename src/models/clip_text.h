// CLIP's text encoder: transformers' CLIPTextModel, CLIPTextModelWithProjection and the text half
// of CLIPModel. OpenAI's L, OpenCLIP's H (23 layers in SD2.1) and bigG are configurations of it.
//
// Parameters have their classic names ("text_model.encoder.layers.0..", "text_projection.weight").
#ifndef BDPO_CLIP_TEXT_H
#define BDPO_CLIP_TEXT_H

#include <jansson.h>

#include "models/clip_layers.h"

typedef struct bdpo_clip_text_config {
    bdpo_clip_tower tower;
    int vocabulary, positions;
    int projection_dim; // 0: without text_projection
    int eos_token_id;   // 2 in old files, see bdpo_clip_eos_index()
} bdpo_clip_text_config;

// Reads a text encoder's config.json or a whole CLIPModel's (its text_config). `root` stays the
// caller's. What is absent has transformers' default. BAD_FILE for a value that fits no encoder,
// UNSUPPORTED for one that we cannot compute; the message names `file`, field, found and expected.
BDPO_MUST_CHECK bdpo_status bdpo_clip_text_config_parse(bdpo_clip_text_config *out,
                                                        const json_t *root, const char *file);

// Adds all parameters: 4, 16 for each layer, 1 for the projection.
void bdpo_clip_text_params(bdpo_param_list *list, const bdpo_clip_text_config *config);

// Where the end of each text stands, which the pooled output is taken from. ids [n, n_tokens] ->
// index [n]. An eos_token_id of 2, which old configurations have by mistake, means the first
// position of the largest id; any other the first position of that id, and BAD_ARGUMENT tells the
// text that has none.
BDPO_MUST_CHECK bdpo_status bdpo_clip_eos_index(int32_t *index, const int32_t *ids, int n,
                                                int n_tokens, int eos_token_id);

// Which hidden states a user takes:
//
//     SD1.5, SD2.1           {.final_norm = true}
//     .. with clip_skip k    {.skip = k, .final_norm = true}
//     SDXL, both encoders    {.skip = 1}; with clip_skip k {.skip = k + 1}
typedef struct bdpo_clip_text_options {
    int skip;        // so many layers before the last; skip = layers: the embeddings
    bool final_norm; // they pass the final norm
} bdpo_clip_text_options;

typedef struct bdpo_clip_text_outputs {
    bdpo_node *hidden; // [n, t, width]
    bdpo_node *pooled; // [n, projection_dim], or [n, width] without projection
} bdpo_clip_text_outputs;

// ids i32 [n, t], t at most config->positions; eos_index i32 [n]. The pooled output comes from the
// last layer through the final norm, whatever `skip` says; with eos_index NULL it is NULL and the
// layers that only it needs are not built.
bdpo_clip_text_outputs bdpo_clip_text(const bdpo_builder *b, const bdpo_clip_text_config *config,
                                      bdpo_node *ids, bdpo_node *eos_index,
                                      const bdpo_clip_text_options *options);

#endif

// What CLIP's two towers share: a stack of pre-norm transformer layers under transformers' names,
// and how its sizes stand in a config.json.
#ifndef BDPO_CLIP_LAYERS_H
#define BDPO_CLIP_LAYERS_H

#include "formats/json.h"
#include "models/layers.h"

typedef struct bdpo_clip_tower {
    int width, mlp_width; // hidden_size, intermediate_size
    int layers, heads;
    bdpo_activation activation; // hidden_act: BDPO_QUICK_GELU (OpenAI) or BDPO_GELU (OpenCLIP)
    float norm_eps;
} bdpo_clip_tower;

// Where a tower's fields stand in a config.json. That of a whole CLIPModel has them in
// `<part>_config` ("text" or "vision"), or in the older `<part>_config_dict`, and the projection's
// width beside; that of a tower alone has all in one object.
typedef struct bdpo_clip_part {
    bdpo_json fields;   // borrowed from the root
    int projection_dim; // 0: the tower is without projection
} bdpo_clip_part;

// Finds it; a tower alone has a projection where `architectures` says "..WithProjection". BAD_FILE
// for a file of another kind of model.
BDPO_MUST_CHECK bdpo_status bdpo_clip_part_find(bdpo_clip_part *out, const json_t *root,
                                                const char *file, const char *part);

// Reads the sizes; *out holds the values that stand for absent fields. BAD_FILE or UNSUPPORTED
// names the file, the field, what was found and what was expected.
BDPO_MUST_CHECK bdpo_status bdpo_clip_tower_parse(bdpo_clip_tower *out, const bdpo_json *fields);

// The parameters of all layers: "<path>.layers.0.self_attn.q_proj.weight", ..
void bdpo_clip_layers_params(bdpo_param_list *list, const char *path, const bdpo_clip_tower *tower);

// Layers first .. last - 1 of the stack at `path`. With `causal` a token attends to itself and to
// those before it. x [n, t, width] -> [n, t, width].
bdpo_node *bdpo_clip_layers(const bdpo_builder *b, const char *path, const bdpo_clip_tower *tower,
                            bdpo_node *x, int first, int last, bool causal);

// table [t', width] of positions, of which the first are added to x [n, t, width].
bdpo_node *bdpo_clip_add_positions(const bdpo_builder *b, const char *path, bdpo_node *x);

#endif

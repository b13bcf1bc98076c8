// The transformer layers of CLIP and the fields of config.json that both towers have.
//
// A layer is  x += out_proj(attention(q_proj, k_proj, v_proj of norm1(x)))
//             x += fc2(activation(fc1(norm2(x))))
#include "models/clip_layers.h"

#include <stdio.h>
#include <string.h>

#include "tensor/tensor.h"

enum { MAX_WIDTH = 1 << 16, MAX_LAYERS = 1024 };

// ---- config.json -------------------------------------------------------------------------------

// The classes whose files we read, and whether a tower of that class has a projection.
static const char *const classes[] = {"CLIPModel", "CLIPTextModel", "CLIPTextModelWithProjection",
                                      "CLIPVisionModel", "CLIPVisionModelWithProjection"};

static bdpo_status has_projection(bool *out, const bdpo_json *root)
{
    int kind, n_kinds;
    *out = false;
    if (!bdpo_json_has(root, "architectures")) return BDPO_OK;
    TRY(bdpo_json_words(&kind, &n_kinds, 1, root, "architectures", classes,
                        (int)BDPO_COUNTOF(classes)));
    *out = strstr(classes[kind], "WithProjection") != NULL;
    return BDPO_OK;
}

static bdpo_status check_kind(const bdpo_json *root, const char *part)
{
    const char *kind;
    char expected[64];
    snprintf(expected, sizeof expected, "clip_%s_model", part);
    TRY(bdpo_json_string_or(&kind, root, "model_type", expected));
    if (strcmp(kind, expected) == 0) return BDPO_OK;
    return bdpo_fail(BDPO_BAD_FILE,
                     "%s: model_type is \"%s\", expected \"%s\", or \"clip\" with %s_config",
                     root->file, kind, expected, part);
}

bdpo_status bdpo_clip_part_find(bdpo_clip_part *out, const json_t *root, const char *file,
                                const char *part)
{
    enum { DEFAULT_PROJECTION = 512 }; // CLIPConfig's
    // The reader never changes a document.
    bdpo_json object = {.value = (json_t *)(uintptr_t)root, .file = file};
    char name[64], old_name[64];
    snprintf(name, sizeof name, "%s_config", part);
    snprintf(old_name, sizeof old_name, "%s_config_dict", part);
    bool projects = true, old = bdpo_json_has(&object, old_name);
    if (old || bdpo_json_has(&object, name)) {
        // Where there are both, transformers takes the older one whole.
        TRY(bdpo_json_object(&out->fields, &object, old ? old_name : name));
    } else {
        TRY(check_kind(&object, part));
        TRY(has_projection(&projects, &object));
        out->fields = object;
    }
    out->projection_dim = 0;
    if (!projects) return BDPO_OK;
    return bdpo_json_int_or(&out->projection_dim, &object, "projection_dim", DEFAULT_PROJECTION, 1,
                            MAX_WIDTH);
}

static bdpo_status read_activation(bdpo_activation *out, const bdpo_json *fields)
{
    static const char *const words[] = {"quick_gelu", "gelu"};
    static const bdpo_activation values[] = {BDPO_QUICK_GELU, BDPO_GELU};
    int word;
    TRY(bdpo_json_word_or(&word, fields, "hidden_act", 0, words, (int)BDPO_COUNTOF(words)));
    *out = values[word];
    return BDPO_OK;
}

bdpo_status bdpo_clip_tower_parse(bdpo_clip_tower *out, const bdpo_json *fields)
{
    double eps, dropout;
    TRY(bdpo_json_int_or(&out->width, fields, "hidden_size", out->width, 1, MAX_WIDTH));
    TRY(bdpo_json_int_or(&out->mlp_width, fields, "intermediate_size", out->mlp_width, 1,
                         4 * MAX_WIDTH));
    TRY(bdpo_json_int_or(&out->layers, fields, "num_hidden_layers", out->layers, 1, MAX_LAYERS));
    TRY(bdpo_json_int_or(&out->heads, fields, "num_attention_heads", out->heads, 1, out->width));
    TRY(bdpo_json_double_or(&eps, fields, "layer_norm_eps", (double)out->norm_eps, 0, 1));
    out->norm_eps = (float)eps;
    TRY(bdpo_json_double_or(&dropout, fields, "attention_dropout", 0, 0, 0)); // we have none
    TRY(read_activation(&out->activation, fields));
    if (out->width % out->heads == 0) return BDPO_OK;
    return bdpo_fail(BDPO_BAD_FILE,
                     "%s: num_attention_heads is %d, expected a divisor of hidden_size %d",
                     fields->file, out->heads, out->width);
}

// ---- parameters --------------------------------------------------------------------------------

static void layer_params(bdpo_param_list *list, const char *path, const bdpo_clip_tower *tower)
{
    static const char *const products[] = {"q_proj", "k_proj", "v_proj", "out_proj"};
    int64_t width = tower->width, mlp = tower->mlp_width;
    for (size_t i = 0; i < BDPO_COUNTOF(products); i++)
        bdpo_linear_params(list, bdpo_path_join(path, "self_attn.%s", products[i]).text, width,
                           width, true);
    bdpo_norm_params(list, bdpo_path_join(path, "layer_norm1").text, width);
    bdpo_linear_params(list, bdpo_path_join(path, "mlp.fc1").text, width, mlp, true);
    bdpo_linear_params(list, bdpo_path_join(path, "mlp.fc2").text, mlp, width, true);
    bdpo_norm_params(list, bdpo_path_join(path, "layer_norm2").text, width);
}

void bdpo_clip_layers_params(bdpo_param_list *list, const char *path, const bdpo_clip_tower *tower)
{
    for (int i = 0; i < tower->layers; i++)
        layer_params(list, bdpo_path_join(path, "layers.%d", i).text, tower);
}

// ---- graph -------------------------------------------------------------------------------------

static bdpo_node *project(const bdpo_builder *b, const char *path, const char *name, bdpo_node *x)
{
    return bdpo_linear_at(b, bdpo_path_join(path, "%s", name).text, x, true, BDPO_NO_ACTIVATION);
}

static bdpo_node *attend(const bdpo_builder *b, const char *path, const bdpo_clip_tower *tower,
                         bdpo_node *h, bool causal)
{
    bdpo_segments_begin(b, BDPO_SEGMENTS_LEAN);
    bdpo_node *x =
        bdpo_layer_norm_at(b, bdpo_path_join(path, "layer_norm1").text, h, tower->norm_eps);
    bdpo_node *q = project(b, path, "self_attn.q_proj", x);
    bdpo_node *k = project(b, path, "self_attn.k_proj", x);
    bdpo_node *v = project(b, path, "self_attn.v_proj", x);
    bdpo_segments_end(b, BDPO_SEGMENTS_LEAN);
    bdpo_attention_options options = {.heads = tower->heads, .causal = causal};
    bdpo_node *y = bdpo_attention(b->graph, q, k, v, NULL, &options);
    return bdpo_add(b->graph, project(b, path, "self_attn.out_proj", y), h);
}

// The activation is a node of its own, so that a lean segment can make it again without its
// product.
static bdpo_node *feed_forward(const bdpo_builder *b, const char *path,
                               const bdpo_clip_tower *tower, bdpo_node *h)
{
    bdpo_segments_begin(b, BDPO_SEGMENTS_LEAN);
    bdpo_node *x =
        bdpo_layer_norm_at(b, bdpo_path_join(path, "layer_norm2").text, h, tower->norm_eps);
    x = project(b, path, "mlp.fc1", x);
    bdpo_segments_end(b, BDPO_SEGMENTS_LEAN);
    bdpo_segments_begin(b, BDPO_SEGMENTS_LEAN);
    x = tower->activation == BDPO_GELU ? bdpo_gelu(b->graph, x) : bdpo_quick_gelu(b->graph, x);
    x = project(b, path, "mlp.fc2", x);
    bdpo_segments_end(b, BDPO_SEGMENTS_LEAN);
    return bdpo_add(b->graph, x, h);
}

bdpo_node *bdpo_clip_layers(const bdpo_builder *b, const char *path, const bdpo_clip_tower *tower,
                            bdpo_node *x, int first, int last, bool causal)
{
    for (int i = first; i < last; i++) {
        bdpo_path layer = bdpo_path_join(path, "layers.%d", i);
        bdpo_segments_begin(b, BDPO_SEGMENTS_COARSE);
        x = attend(b, layer.text, tower, x, causal);
        x = feed_forward(b, layer.text, tower, x);
        bdpo_segments_end(b, BDPO_SEGMENTS_COARSE);
    }
    return x;
}

bdpo_node *bdpo_clip_add_positions(const bdpo_builder *b, const char *path, bdpo_node *x)
{
    bdpo_node *table = bdpo_param(b->graph, bdpo_path_join(path, "weight").text);
    if (!x || !table) return NULL;
    bdpo_shape shape = bdpo_node_shape(x);
    if (bdpo_node_shape(table).dim[0] != shape.dim[1])
        table = bdpo_slice_batch(b->graph, table, 0, shape.dim[1]);
    table = bdpo_reshape(b->graph, table, BDPO_SHAPE(1, shape.dim[1], shape.dim[2]));
    return bdpo_add(b->graph, x, table);
}

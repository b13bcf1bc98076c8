// Embeddings, causal layers, the final norm, and the row of the end of the text.
#include "models/clip_text.h"

#include <inttypes.h>

#include "graph/graph.h"
#include "tensor/tensor.h"

static const char layers_path[] = "text_model.encoder";
static const char token_path[] = "text_model.embeddings.token_embedding";
static const char position_path[] = "text_model.embeddings.position_embedding";
static const char norm_path[] = "text_model.final_layer_norm";

bdpo_status bdpo_clip_text_config_parse(bdpo_clip_text_config *out, const json_t *root,
                                        const char *file)
{
    enum { MAX_VOCABULARY = 1 << 24, MAX_POSITIONS = 1 << 16 };
    bdpo_clip_part part;
    bool masked;
    TRY(bdpo_clip_part_find(&part, root, file, "text"));
    *out = (bdpo_clip_text_config){
        // CLIPTextConfig's defaults
        .tower = {.width = 512, .mlp_width = 2048, .layers = 12, .heads = 8, .norm_eps = 1e-5F},
        .projection_dim = part.projection_dim};
    const bdpo_json *fields = &part.fields;
    TRY(bdpo_clip_tower_parse(&out->tower, fields));
    TRY(bdpo_json_int_or(&out->vocabulary, fields, "vocab_size", 49408, 1, MAX_VOCABULARY));
    TRY(bdpo_json_int_or(&out->positions, fields, "max_position_embeddings", 77, 1, MAX_POSITIONS));
    TRY(bdpo_json_int_or(&out->eos_token_id, fields, "eos_token_id", 49407, 0, MAX_VOCABULARY));
    TRY(bdpo_json_bool_or(&masked, fields, "use_attention_mask", false));
    if (!masked) return BDPO_OK;
    return bdpo_fail(BDPO_UNSUPPORTED,
                     "%s: use_attention_mask is true, expected false: padding is attended to",
                     file);
}

void bdpo_clip_text_params(bdpo_param_list *list, const bdpo_clip_text_config *config)
{
    int64_t width = config->tower.width;
    bdpo_embedding_params(list, token_path, config->vocabulary, width);
    bdpo_embedding_params(list, position_path, config->positions, width);
    bdpo_clip_layers_params(list, layers_path, &config->tower);
    bdpo_norm_params(list, norm_path, width);
    if (config->projection_dim > 0)
        bdpo_linear_params(list, "text_projection", width, config->projection_dim, false);
}

// ---- the end of the text -----------------------------------------------------------------------

enum { LEGACY_EOS = 2 };

static int first_largest(const int32_t *ids, int n_tokens)
{
    int at = 0;
    for (int i = 1; i < n_tokens; i++)
        if (ids[i] > ids[at]) at = i;
    return at;
}

static int first_of(const int32_t *ids, int n_tokens, int id)
{
    int i = 0;
    while (i < n_tokens && ids[i] != id) i++;
    return i;
}

bdpo_status bdpo_clip_eos_index(int32_t *index, const int32_t *ids, int n, int n_tokens,
                                int eos_token_id)
{
    for (int i = 0; i < n; i++) {
        const int32_t *row = ids + (size_t)i * (size_t)n_tokens;
        index[i] = eos_token_id == LEGACY_EOS ? first_largest(row, n_tokens)
                                              : first_of(row, n_tokens, eos_token_id);
        if (index[i] == n_tokens)
            return bdpo_fail(BDPO_BAD_ARGUMENT,
                             "text %d: none of its %d ids is the end of text, %d", i, n_tokens,
                             eos_token_id);
    }
    return BDPO_OK;
}

// ---- graph -------------------------------------------------------------------------------------

static bdpo_status check_arguments(const bdpo_clip_text_config *config, bdpo_node *ids,
                                   const bdpo_clip_text_options *options)
{
    bdpo_shape shape = bdpo_node_shape(ids);
    if (options->skip < 0 || options->skip > config->tower.layers)
        return bdpo_fail(BDPO_BAD_ARGUMENT, "clip text: cannot skip %d of %d layers", options->skip,
                         config->tower.layers);
    if (shape.n_dims != 2)
        return bdpo_fail(BDPO_BAD_SHAPE, "clip text: ids are %s, expected [texts, tokens]",
                         bdpo_shape_print(&shape).text);
    if (shape.dim[1] <= config->positions) return BDPO_OK;
    return bdpo_fail(BDPO_BAD_SHAPE, "clip text: %" PRId64 " tokens, expected at most %d",
                     shape.dim[1], config->positions);
}

static bdpo_node *final_norm(const bdpo_builder *b, const bdpo_clip_text_config *config,
                             bdpo_node *x)
{
    return bdpo_layer_norm_at(b, norm_path, x, config->tower.norm_eps);
}

static bdpo_node *embed(const bdpo_builder *b, bdpo_node *ids)
{
    return bdpo_clip_add_positions(b, position_path, bdpo_embedding_at(b, token_path, ids));
}

bdpo_clip_text_outputs bdpo_clip_text(const bdpo_builder *b, const bdpo_clip_text_config *config,
                                      bdpo_node *ids, bdpo_node *eos_index,
                                      const bdpo_clip_text_options *options)
{
    bdpo_clip_text_outputs out = {0};
    if (!ids) return out;
    bdpo_status status = check_arguments(config, ids, options);
    if (status != BDPO_OK) {
        bdpo_graph_fail(b->graph, status);
        return out;
    }
    const bdpo_clip_tower *tower = &config->tower;
    int taken = tower->layers - options->skip;
    bdpo_node *x = bdpo_clip_layers(b, layers_path, tower, embed(b, ids), 0, taken, true);
    out.hidden = options->final_norm ? final_norm(b, config, x) : x;
    if (!eos_index) return out;
    x = bdpo_clip_layers(b, layers_path, tower, x, taken, tower->layers, true);
    // The norm goes row by row: one row each is enough.
    out.pooled = final_norm(b, config, bdpo_gather_rows(b->graph, x, eos_index));
    if (config->projection_dim > 0)
        out.pooled = bdpo_linear_at(b, "text_projection", out.pooled, false, BDPO_NO_ACTIVATION);
    return out;
}

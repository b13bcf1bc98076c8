// Embeddings, then post-norm layers:  x = norm(dense(attention(x, x)) + x)
//                                     x = norm(dense(attention(x, rows)) + x)
//                                     x = norm(dense(gelu(dense(x))) + x)
#include "models/bert.h"

#include "graph/graph.h"
#include "models/clip_layers.h"
#include "tensor/tensor.h"

// ---- parameters --------------------------------------------------------------------------------

// `from`: the width of what keys and values are made of.
static void attention_params(bdpo_param_list *list, const char *path, int64_t width, int64_t from)
{
    bdpo_linear_params(list, bdpo_path_join(path, "self.query").text, width, width, true);
    bdpo_linear_params(list, bdpo_path_join(path, "self.key").text, from, width, true);
    bdpo_linear_params(list, bdpo_path_join(path, "self.value").text, from, width, true);
    bdpo_linear_params(list, bdpo_path_join(path, "output.dense").text, width, width, true);
    bdpo_norm_params(list, bdpo_path_join(path, "output.LayerNorm").text, width);
}

static void layer_params(bdpo_param_list *list, const char *path, const bdpo_bert_config *config)
{
    int64_t width = config->width, mlp = config->mlp_width;
    attention_params(list, bdpo_path_join(path, "attention").text, width, width);
    attention_params(list, bdpo_path_join(path, "crossattention").text, width,
                     config->encoder_width);
    bdpo_linear_params(list, bdpo_path_join(path, "intermediate.dense").text, width, mlp, true);
    bdpo_linear_params(list, bdpo_path_join(path, "output.dense").text, mlp, width, true);
    bdpo_norm_params(list, bdpo_path_join(path, "output.LayerNorm").text, width);
}

void bdpo_bert_params(bdpo_param_list *list, const char *path, const bdpo_bert_config *config)
{
    bdpo_path embeddings = bdpo_path_join(path, "embeddings");
    bdpo_embedding_params(list, bdpo_path_join(embeddings.text, "word_embeddings").text,
                          config->vocabulary, config->width);
    bdpo_embedding_params(list, bdpo_path_join(embeddings.text, "position_embeddings").text,
                          config->positions, config->width);
    bdpo_norm_params(list, bdpo_path_join(embeddings.text, "LayerNorm").text, config->width);
    for (int i = 0; i < config->layers; i++)
        layer_params(list, bdpo_path_join(path, "encoder.layer.%d", i).text, config);
}

// ---- graph -------------------------------------------------------------------------------------

static bdpo_node *project(const bdpo_builder *b, const char *path, const char *name, bdpo_node *x)
{
    return bdpo_linear_at(b, bdpo_path_join(path, "%s", name).text, x, true, BDPO_NO_ACTIVATION);
}

// norm(dense(y) + x).
static bdpo_node *add_and_norm(const bdpo_builder *b, const char *path,
                               const bdpo_bert_config *config, bdpo_node *y, bdpo_node *x)
{
    x = bdpo_add(b->graph, project(b, path, "output.dense", y), x);
    return bdpo_layer_norm_at(b, bdpo_path_join(path, "output.LayerNorm").text, x,
                              config->norm_eps);
}

// x [n k, t, width] asks, `rows` [n, r, ..] answer: the k texts of a picture are one sample with
// k t queries, which do not see each other. lengths are of `rows`, or NULL.
static bdpo_node *attend(const bdpo_builder *b, const char *path, const bdpo_bert_config *config,
                         bdpo_node *x, bdpo_node *rows, bdpo_node *lengths)
{
    if (!x || !rows) return NULL;
    bdpo_shape shape = bdpo_node_shape(x);
    int64_t n = bdpo_node_shape(rows).dim[0];
    bdpo_node *q = project(b, path, "self.query", x);
    q = bdpo_reshape(b->graph, q,
                     BDPO_SHAPE(n, shape.dim[0] * shape.dim[1] / n, (int64_t)config->width));
    bdpo_node *k = project(b, path, "self.key", rows);
    bdpo_node *v = project(b, path, "self.value", rows);
    bdpo_attention_options options = {.heads = config->heads};
    bdpo_node *y = bdpo_attention(b->graph, q, k, v, lengths, &options);
    return add_and_norm(b, path, config, bdpo_reshape(b->graph, y, shape), x);
}

// Each text's first token. x [n, t, width] -> [n, 1, width].
static bdpo_node *first_token(const bdpo_builder *b, bdpo_node *x)
{
    if (!x) return NULL;
    bdpo_shape s = bdpo_node_shape(x);
    x = bdpo_reshape(b->graph, x, BDPO_SHAPE(s.dim[0], s.dim[1] * s.dim[2]));
    x = bdpo_dense(b->graph, bdpo_slice_channels(b->graph, x, 0, s.dim[2]));
    return bdpo_reshape(b->graph, x, BDPO_SHAPE(s.dim[0], 1, s.dim[2]));
}

static bdpo_node *layer(const bdpo_builder *b, const char *path, const bdpo_bert_config *config,
                        bdpo_node *x, bdpo_node *lengths, bdpo_node *rows, bool first_only)
{
    bdpo_node *asking = first_only ? first_token(b, x) : x;
    bdpo_segments_begin(b, BDPO_SEGMENTS_COARSE);
    x = attend(b, bdpo_path_join(path, "attention").text, config, asking, x, lengths);
    x = attend(b, bdpo_path_join(path, "crossattention").text, config, x, rows, NULL);
    bdpo_node *y = project(b, path, "intermediate.dense", x);
    bdpo_segments_begin(b, BDPO_SEGMENTS_LEAN);
    y = add_and_norm(b, path, config, bdpo_gelu(b->graph, y), x);
    bdpo_segments_end(b, BDPO_SEGMENTS_LEAN);
    bdpo_segments_end(b, BDPO_SEGMENTS_COARSE);
    return y;
}

static bdpo_status check_inputs(bdpo_node *ids, bdpo_node *rows, const bdpo_bert_config *config)
{
    bdpo_shape i = bdpo_node_shape(ids), r = bdpo_node_shape(rows);
    if (i.n_dims == 2 && i.dim[1] <= config->positions && r.n_dims == 3 &&
        r.dim[2] == config->encoder_width && i.dim[0] % r.dim[0] == 0)
        return BDPO_OK;
    return bdpo_fail(BDPO_BAD_SHAPE,
                     "bert: ids are %s and rows %s, expected [n k, t] with t at most %d and "
                     "[n, r, %d]",
                     bdpo_shape_print(&i).text, bdpo_shape_print(&r).text, config->positions,
                     config->encoder_width);
}

bdpo_node *bdpo_bert(const bdpo_builder *b, const char *path, const bdpo_bert_config *config,
                     bdpo_node *ids, bdpo_node *lengths, bdpo_node *rows, bool first_only)
{
    if (!ids || !rows) return NULL;
    bdpo_status status = check_inputs(ids, rows, config);
    if (status != BDPO_OK) {
        bdpo_graph_fail(b->graph, status);
        return NULL;
    }
    bdpo_path at = bdpo_path_join(path, "embeddings");
    bdpo_node *x = bdpo_embedding_at(b, bdpo_path_join(at.text, "word_embeddings").text, ids);
    x = bdpo_clip_add_positions(b, bdpo_path_join(at.text, "position_embeddings").text, x);
    x = bdpo_layer_norm_at(b, bdpo_path_join(at.text, "LayerNorm").text, x, config->norm_eps);
    for (int i = 0; i < config->layers; i++)
        x = layer(b, bdpo_path_join(path, "encoder.layer.%d", i).text, config, x, lengths, rows,
                  first_only && i + 1 == config->layers);
    return x;
}

// The layers of layers.h. Which values a layer keeps for the backward pass, where gradient
// checkpointing is on, is decided here: see the segments.
#include "models/layers.h"

#include <stdarg.h>
#include <stdio.h>

#include "graph/graph.h"
#include "tensor/tensor.h"

void bdpo_segments_begin(const bdpo_builder *b, bdpo_segments way)
{
    if (b->segments == way) bdpo_segment_begin(b->graph);
}

void bdpo_segments_end(const bdpo_builder *b, bdpo_segments way)
{
    if (b->segments == way) bdpo_segment_end(b->graph);
}

bdpo_path bdpo_path_join(const char *parent, const char *format, ...)
{
    bdpo_path path;
    int begin = snprintf(path.text, sizeof path.text, "%s%s", parent, *parent ? "." : "");
    BDPO_ASSERT(begin >= 0 && begin < (int)sizeof path.text);
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(path.text + begin, sizeof path.text - (size_t)begin, format, arguments);
    va_end(arguments);
    BDPO_ASSERT(length > 0 && length < (int)sizeof path.text - begin);
    return path;
}

// The layer's own parameter: "weight", "bias", "lora_A.weight".
static bdpo_node *param(const bdpo_builder *b, const char *path, const char *name)
{
    return bdpo_param(b->graph, bdpo_path_join(path, "%s", name).text);
}

static bdpo_node *bias_of(const bdpo_builder *b, const char *path, bool bias)
{
    return bias ? param(b, path, "bias") : NULL;
}

// ---- products with adapters --------------------------------------------------------------------

static const bdpo_lora_module *adapter_of(const bdpo_builder *b, const char *path)
{
    return b->lora ? bdpo_lora_find(b->lora, path) : NULL;
}

// factor low, on the narrow side, where it costs least.
static bdpo_node *scaled(const bdpo_builder *b, const bdpo_lora_module *m, bdpo_node *low)
{
    double factor = bdpo_lora_factor(b->lora, m);
    return factor == 1 ? low : bdpo_scale(b->graph, low, (float)factor);
}

static bdpo_node *activate(bdpo_graph *g, bdpo_node *x, bdpo_activation activation)
{
    switch (activation) {
    case BDPO_NO_ACTIVATION:
        return x;
    case BDPO_SILU:
        return bdpo_silu(g, x);
    case BDPO_GELU:
        return bdpo_gelu(g, x);
    case BDPO_QUICK_GELU:
        return bdpo_quick_gelu(g, x);
    }
    BDPO_BUG("no activation %d", (int)activation);
}

bdpo_node *bdpo_linear_at(const bdpo_builder *b, const char *path, bdpo_node *x, bool bias,
                          bdpo_activation activation)
{
    bdpo_graph *g = b->graph;
    const bdpo_lora_module *m = adapter_of(b, path);
    bdpo_node *y = bdpo_linear(g, x, param(b, path, "weight"), bias_of(b, path, bias),
                               m ? BDPO_NO_ACTIVATION : activation);
    if (!m) return y;
    bdpo_node *low = bdpo_linear(g, x, param(b, path, "lora_A.weight"), NULL, BDPO_NO_ACTIVATION);
    bdpo_node *high = bdpo_linear(g, scaled(b, m, low), param(b, path, "lora_B.weight"), NULL,
                                  BDPO_NO_ACTIVATION);
    return activate(g, bdpo_add(g, y, high), activation);
}

void bdpo_linear_params(bdpo_param_list *list, const char *path, int64_t in, int64_t out, bool bias)
{
    bdpo_param_list_add(list, BDPO_SHAPE(out, in), "%s.weight", path);
    if (bias) bdpo_param_list_add(list, BDPO_SHAPE(out), "%s.bias", path);
}

bdpo_node *bdpo_conv2d_at(const bdpo_builder *b, const char *path, bdpo_node *x, bool bias,
                          const bdpo_conv2d_options *options)
{
    bdpo_graph *g = b->graph;
    const bdpo_lora_module *m = adapter_of(b, path);
    bdpo_node *y = bdpo_conv2d(g, x, param(b, path, "weight"), bias_of(b, path, bias), options);
    if (!m) return y;
    bdpo_node *low = bdpo_conv2d(g, x, param(b, path, "lora_A.weight"), NULL, options);
    bdpo_node *high =
        bdpo_conv2d(g, scaled(b, m, low), param(b, path, "lora_B.weight"), NULL, NULL);
    return bdpo_add(g, y, high);
}

void bdpo_conv2d_params(bdpo_param_list *list, const char *path, int64_t in, int64_t out,
                        int64_t kernel, bool bias)
{
    bdpo_param_list_add(list, BDPO_SHAPE(out, in, kernel, kernel), "%s.weight", path);
    if (bias) bdpo_param_list_add(list, BDPO_SHAPE(out), "%s.bias", path);
}

bdpo_conv2d_options bdpo_same_padding(int kernel)
{
    int pad = kernel / 2;
    return (bdpo_conv2d_options){
        .pad_top = pad, .pad_left = pad, .pad_bottom = pad, .pad_right = pad};
}

static bdpo_node *conv3x3(const bdpo_builder *b, const char *path, bdpo_node *x)
{
    bdpo_conv2d_options same = bdpo_same_padding(3);
    return bdpo_conv2d_at(b, path, x, true, &same);
}

// ---- norms, embeddings -------------------------------------------------------------------------

bdpo_node *bdpo_group_norm_at(const bdpo_builder *b, const char *path, bdpo_node *x,
                              const bdpo_group_norm_options *options)
{
    return bdpo_group_norm(b->graph, x, param(b, path, "weight"), param(b, path, "bias"), options);
}

bdpo_node *bdpo_layer_norm_at(const bdpo_builder *b, const char *path, bdpo_node *x, float eps)
{
    return bdpo_layer_norm(b->graph, x, param(b, path, "weight"), param(b, path, "bias"), eps);
}

void bdpo_norm_params(bdpo_param_list *list, const char *path, int64_t channels)
{
    bdpo_param_list_add(list, BDPO_SHAPE(channels), "%s.weight", path);
    bdpo_param_list_add(list, BDPO_SHAPE(channels), "%s.bias", path);
}

bdpo_node *bdpo_embedding_at(const bdpo_builder *b, const char *path, bdpo_node *ids)
{
    return bdpo_embedding(b->graph, param(b, path, "weight"), ids);
}

void bdpo_embedding_params(bdpo_param_list *list, const char *path, int64_t count, int64_t width)
{
    bdpo_param_list_add(list, BDPO_SHAPE(count, width), "%s.weight", path);
}

bdpo_node *bdpo_embedding_mlp_at(const bdpo_builder *b, const char *path, bdpo_node *x)
{
    x = bdpo_linear_at(b, bdpo_path_join(path, "linear_1").text, x, true, BDPO_SILU);
    return bdpo_linear_at(b, bdpo_path_join(path, "linear_2").text, x, true, BDPO_NO_ACTIVATION);
}

void bdpo_embedding_mlp_params(bdpo_param_list *list, const char *path, int64_t in, int64_t out)
{
    bdpo_linear_params(list, bdpo_path_join(path, "linear_1").text, in, out, true);
    bdpo_linear_params(list, bdpo_path_join(path, "linear_2").text, out, out, true);
}

// ---- residual block ----------------------------------------------------------------------------

static bdpo_node *norm_silu_conv(const bdpo_builder *b, const char *path, int index, bdpo_node *x,
                                 const bdpo_residual_options *o)
{
    bdpo_group_norm_options options = {.groups = o->groups, .eps = o->eps, .silu = true};
    bdpo_segments_begin(b, BDPO_SEGMENTS_LEAN);
    x = bdpo_group_norm_at(b, bdpo_path_join(path, "norm%d", index).text, x, &options);
    x = conv3x3(b, bdpo_path_join(path, "conv%d", index).text, x);
    bdpo_segments_end(b, BDPO_SEGMENTS_LEAN);
    return x;
}

static bdpo_node *add_time(const bdpo_builder *b, const char *path, bdpo_node *x, bdpo_node *time,
                           const bdpo_residual_options *o)
{
    if (!time) return norm_silu_conv(b, path, 1, x, o);
    bdpo_node *shift = bdpo_linear_at(b, bdpo_path_join(path, "time_emb_proj").text, time, true,
                                      BDPO_NO_ACTIVATION);
    return bdpo_add(b->graph, norm_silu_conv(b, path, 1, x, o), shift);
}

// x itself where the channels stay.
static bdpo_node *shortcut(const bdpo_builder *b, const char *path, bdpo_node *x, int64_t out)
{
    if (!x || bdpo_node_shape(x).dim[3] == out) return x;
    return bdpo_conv2d_at(b, bdpo_path_join(path, "conv_shortcut").text, x, true, NULL);
}

bdpo_node *bdpo_residual_at(const bdpo_builder *b, const char *path, bdpo_node *x, bdpo_node *time,
                            const bdpo_residual_options *o)
{
    // Where the channels fall, the shortcut is less to keep than x: built first, it lets the norm
    // work in place of x.
    bdpo_node *skip = NULL;
    bool first = x && bdpo_node_shape(x).dim[3] > o->out;
    if (first) skip = shortcut(b, path, x, o->out);
    bdpo_segments_begin(b, BDPO_SEGMENTS_COARSE);
    bdpo_node *h = add_time(b, path, x, time, o);
    bdpo_segments_end(b, BDPO_SEGMENTS_COARSE);
    bdpo_segments_begin(b, BDPO_SEGMENTS_COARSE);
    h = norm_silu_conv(b, path, 2, h, o);
    if (!first) skip = shortcut(b, path, x, o->out);
    h = bdpo_add(b->graph, h, skip);
    if (o->output_scale != 0 && o->output_scale != 1)
        h = bdpo_scale(b->graph, h, 1 / o->output_scale);
    bdpo_segments_end(b, BDPO_SEGMENTS_COARSE);
    return h;
}

void bdpo_residual_params(bdpo_param_list *list, const char *path, int64_t in, int64_t out,
                          int64_t time_width)
{
    bdpo_norm_params(list, bdpo_path_join(path, "norm1").text, in);
    bdpo_conv2d_params(list, bdpo_path_join(path, "conv1").text, in, out, 3, true);
    if (time_width > 0)
        bdpo_linear_params(list, bdpo_path_join(path, "time_emb_proj").text, time_width, out, true);
    bdpo_norm_params(list, bdpo_path_join(path, "norm2").text, out);
    bdpo_conv2d_params(list, bdpo_path_join(path, "conv2").text, out, out, 3, true);
    if (in != out)
        bdpo_conv2d_params(list, bdpo_path_join(path, "conv_shortcut").text, in, out, 1, true);
}

// ---- transformer -------------------------------------------------------------------------------

// Rows of the token matrix and its width, which decide what a transformer layer keeps.
static int64_t rows_of(bdpo_node *h)
{
    bdpo_shape shape = bdpo_node_shape(h);
    return h ? bdpo_shape_rows(&shape) : 0;
}

static int64_t width_of(bdpo_node *h)
{
    bdpo_shape shape = bdpo_node_shape(h);
    return h ? bdpo_shape_cols(&shape) : 0;
}

// At the peak of a transformer's backward pass the feed-forward part holds 12 c values a row. Where
// the rows outweigh the weights it goes by halves of the rows: its wide values exist for one half
// at a time and are kept for one half only. (Weights used twice have their gradients summed aside,
// so with fewer rows that would cost more than it saves.)
static bool by_halves(const bdpo_builder *b, bdpo_node *h)
{
    int64_t rows = rows_of(h);
    return b->segments == BDPO_SEGMENTS_LEAN && rows >= 8 * width_of(h) && rows % 2 == 0;
}

// With fewer rows, but not so few that the weights are all that counts, the attention parts are
// computed again instead.
static bool attention_again(const bdpo_builder *b, bdpo_node *h)
{
    return b->segments == BDPO_SEGMENTS_LEAN && !by_halves(b, h) && 4 * rows_of(h) > width_of(h);
}

static bdpo_node *project(const bdpo_builder *b, const char *path, const char *name, bdpo_node *x,
                          bool bias)
{
    return bdpo_linear_at(b, bdpo_path_join(path, "%s", name).text, x, bias, BDPO_NO_ACTIVATION);
}

static bdpo_node *layer_norm(const bdpo_builder *b, const char *path, int index, bdpo_node *x)
{
    return bdpo_layer_norm_at(b, bdpo_path_join(path, "norm%d", index).text, x, 1e-5F);
}

static bdpo_node *attend(const bdpo_builder *b, bdpo_node *q, bdpo_node *k, bdpo_node *v,
                         const bdpo_transformer_options *o)
{
    if (o->upcast) bdpo_f32_begin(b->graph);
    bdpo_node *y =
        bdpo_attention(b->graph, q, k, v, NULL, &(bdpo_attention_options){.heads = o->heads});
    if (o->upcast) bdpo_f32_end(b->graph);
    return y;
}

static bdpo_node *self_attention(const bdpo_builder *b, const char *path, bdpo_node *h,
                                 const bdpo_transformer_options *o)
{
    bdpo_segments_begin(b, BDPO_SEGMENTS_LEAN);
    bdpo_node *x = layer_norm(b, path, 1, h);
    bdpo_node *q = project(b, path, "attn1.to_q", x, false);
    bdpo_node *k = project(b, path, "attn1.to_k", x, false);
    bdpo_node *v = project(b, path, "attn1.to_v", x, false);
    bdpo_segments_end(b, BDPO_SEGMENTS_LEAN);
    bdpo_node *y = attend(b, q, k, v, o);
    return bdpo_add(b->graph, project(b, path, "attn1.to_out.0", y, true), h);
}

static bdpo_node *cross_attention(const bdpo_builder *b, const char *path, bdpo_node *h,
                                  bdpo_node *context, const bdpo_transformer_options *o)
{
    bdpo_segments_begin(b, BDPO_SEGMENTS_LEAN);
    bdpo_node *x = layer_norm(b, path, 2, h);
    bdpo_node *q = project(b, path, "attn2.to_q", x, false);
    bdpo_segments_end(b, BDPO_SEGMENTS_LEAN);
    bdpo_node *k = project(b, path, "attn2.to_k", context, false);
    bdpo_node *v = project(b, path, "attn2.to_v", context, false);
    bdpo_node *y = attend(b, q, k, v, o);
    return bdpo_add(b->graph, project(b, path, "attn2.to_out.0", y, true), h);
}

static bdpo_node *feed_forward_rows(const bdpo_builder *b, const char *path, bdpo_node *h,
                                    bool again)
{
    // Nested: with `again` the widest product too is computed again in the backward pass.
    if (again) bdpo_segment_begin(b->graph);
    bdpo_segments_begin(b, BDPO_SEGMENTS_LEAN);
    bdpo_node *y = project(b, path, "ff.net.0.proj", layer_norm(b, path, 3, h), true);
    bdpo_segments_end(b, BDPO_SEGMENTS_LEAN);
    bdpo_segments_begin(b, BDPO_SEGMENTS_LEAN);
    y = project(b, path, "ff.net.2", bdpo_geglu(b->graph, y), true);
    bdpo_segments_end(b, BDPO_SEGMENTS_LEAN);
    if (again) bdpo_segment_end(b->graph);
    return bdpo_add(b->graph, y, h);
}

static bdpo_node *feed_forward(const bdpo_builder *b, const char *path, bdpo_node *h)
{
    if (!by_halves(b, h)) return feed_forward_rows(b, path, h, false);
    bdpo_shape shape = bdpo_node_shape(h);
    bdpo_node *part[2];
    h = bdpo_reshape(b->graph, h, BDPO_SHAPE(2, rows_of(h) / 2, width_of(h)));
    bdpo_split_batch(b->graph, h, 2, (const int64_t[]){1, 1}, part);
    part[0] = feed_forward_rows(b, path, part[0], true);
    part[1] = feed_forward_rows(b, path, part[1], false);
    return bdpo_reshape(b->graph, bdpo_concat_batch(b->graph, part, 2), shape);
}

static bdpo_node *attention_layer(const bdpo_builder *b, const char *path, bdpo_node *h,
                                  bdpo_node *context, const bdpo_transformer_options *o)
{
    bool again = attention_again(b, h), whole = again || b->segments == BDPO_SEGMENTS_COARSE;
    if (again) bdpo_segment_begin(b->graph);
    h = self_attention(b, path, h, o);
    if (again) bdpo_segment_end(b->graph);
    bdpo_segments_end(b, BDPO_SEGMENTS_COARSE);
    if (whole) bdpo_segment_begin(b->graph);
    h = cross_attention(b, path, h, context, o);
    if (whole) bdpo_segment_end(b->graph);
    bdpo_segments_begin(b, BDPO_SEGMENTS_COARSE);
    return feed_forward(b, path, h);
}

// proj_in, proj_out: a linear layer or a 1x1 convolution, which are the same product.
static bdpo_node *project_map(const bdpo_builder *b, const char *path, const char *name,
                              bdpo_node *x, const bdpo_transformer_options *o)
{
    if (o->linear_projection) return project(b, path, name, x, true);
    return bdpo_conv2d_at(b, bdpo_path_join(path, "%s", name).text, x, true, NULL);
}

// The first coarse segment begins with norm and proj_in, the last ends with proj_out.
bdpo_node *bdpo_transformer_at(const bdpo_builder *b, const char *path, bdpo_node *x,
                               bdpo_node *context, const bdpo_transformer_options *o)
{
    bdpo_group_norm_options norm = {.groups = o->groups, .eps = 1e-6F};
    bdpo_segments_begin(b, BDPO_SEGMENTS_COARSE);
    bdpo_segments_begin(b, BDPO_SEGMENTS_LEAN);
    bdpo_node *h = bdpo_group_norm_at(b, bdpo_path_join(path, "norm").text, x, &norm);
    h = project_map(b, path, "proj_in", h, o);
    bdpo_segments_end(b, BDPO_SEGMENTS_LEAN);
    for (int k = 0; k < o->layers; k++) {
        if (k > 0) bdpo_segments_end(b, BDPO_SEGMENTS_COARSE);
        if (k > 0) bdpo_segments_begin(b, BDPO_SEGMENTS_COARSE);
        h = attention_layer(b, bdpo_path_join(path, "transformer_blocks.%d", k).text, h, context,
                            o);
    }
    h = bdpo_add(b->graph, project_map(b, path, "proj_out", h, o), x);
    bdpo_segments_end(b, BDPO_SEGMENTS_COARSE);
    return h;
}

static void attention_params(bdpo_param_list *list, const char *path, const char *name,
                             int64_t channels, int64_t from)
{
    bdpo_path at = bdpo_path_join(path, "%s", name);
    bdpo_linear_params(list, bdpo_path_join(at.text, "to_q").text, channels, channels, false);
    bdpo_linear_params(list, bdpo_path_join(at.text, "to_k").text, from, channels, false);
    bdpo_linear_params(list, bdpo_path_join(at.text, "to_v").text, from, channels, false);
    bdpo_linear_params(list, bdpo_path_join(at.text, "to_out.0").text, channels, channels, true);
}

static void transformer_layer_params(bdpo_param_list *list, const char *path, int64_t c,
                                     int64_t context_width)
{
    bdpo_norm_params(list, bdpo_path_join(path, "norm1").text, c);
    attention_params(list, path, "attn1", c, c);
    bdpo_norm_params(list, bdpo_path_join(path, "norm2").text, c);
    attention_params(list, path, "attn2", c, context_width);
    bdpo_norm_params(list, bdpo_path_join(path, "norm3").text, c);
    bdpo_linear_params(list, bdpo_path_join(path, "ff.net.0.proj").text, c, 8 * c, true);
    bdpo_linear_params(list, bdpo_path_join(path, "ff.net.2").text, 4 * c, c, true);
}

static void project_map_params(bdpo_param_list *list, const char *path, const char *name, int64_t c,
                               const bdpo_transformer_options *o)
{
    bdpo_path at = bdpo_path_join(path, "%s", name);
    if (o->linear_projection)
        bdpo_linear_params(list, at.text, c, c, true);
    else
        bdpo_conv2d_params(list, at.text, c, c, 1, true);
}

void bdpo_transformer_params(bdpo_param_list *list, const char *path, int64_t channels,
                             int64_t context_width, const bdpo_transformer_options *o)
{
    bdpo_norm_params(list, bdpo_path_join(path, "norm").text, channels);
    project_map_params(list, path, "proj_in", channels, o);
    for (int k = 0; k < o->layers; k++)
        transformer_layer_params(list, bdpo_path_join(path, "transformer_blocks.%d", k).text,
                                 channels, context_width);
    project_map_params(list, path, "proj_out", channels, o);
}

// ---- down and up -------------------------------------------------------------------------------

bdpo_node *bdpo_downsample_at(const bdpo_builder *b, const char *path, bdpo_node *x, int padding)
{
    bdpo_conv2d_options options = {
        .stride = 2, .pad_top = padding, .pad_left = padding, .pad_bottom = 1, .pad_right = 1};
    return bdpo_conv2d_at(b, bdpo_path_join(path, "conv").text, x, true, &options);
}

// The first `count` of the `axis`-th axis' rows, 1 or 2: a slice of the matrix that has the axes
// before it as rows.
static bdpo_node *cut(bdpo_graph *g, bdpo_node *x, int axis, int64_t count)
{
    if (!x || bdpo_node_shape(x).dim[axis] == count) return x;
    bdpo_shape shape = bdpo_node_shape(x);
    int64_t rows = 1, inner = 1;
    for (int i = 0; i < axis; i++) rows *= shape.dim[i];
    for (int i = axis + 1; i < shape.n_dims; i++) inner *= shape.dim[i];
    x = bdpo_reshape(g, x, BDPO_SHAPE(rows, shape.dim[axis] * inner));
    x = bdpo_slice_channels(g, x, 0, count * inner);
    shape.dim[axis] = count;
    return bdpo_reshape(g, x, shape);
}

static bool fits_double(int64_t size, int64_t wanted)
{
    return wanted == 2 * size || wanted == 2 * size - 1;
}

// PyTorch's nearest interpolation to 2 h - 1 takes the same pixels as to 2 h.
bdpo_node *bdpo_upsample_at(const bdpo_builder *b, const char *path, bdpo_node *x, int64_t height,
                            int64_t width)
{
    if (!x) return NULL;
    bdpo_shape shape = bdpo_node_shape(x);
    if (height == 0) height = 2 * shape.dim[1];
    if (width == 0) width = 2 * shape.dim[2];
    if (!fits_double(shape.dim[1], height) || !fits_double(shape.dim[2], width)) {
        bdpo_graph_fail(b->graph,
                        bdpo_fail(BDPO_BAD_SHAPE,
                                  "%s: cannot upsample %s to %lld x %lld, only to twice its size, "
                                  "or one less",
                                  path, bdpo_shape_print(&shape).text, (long long)height,
                                  (long long)width));
        return NULL;
    }
    x = bdpo_upsample_nearest2x(b->graph, x);
    x = cut(b->graph, cut(b->graph, x, 1, height), 2, width);
    return conv3x3(b, bdpo_path_join(path, "conv").text, x);
}

void bdpo_resample_params(bdpo_param_list *list, const char *path, int64_t channels)
{
    bdpo_conv2d_params(list, bdpo_path_join(path, "conv").text, channels, channels, 3, true);
}

// The blocks of blocks_graph.h.
#include "parity/blocks_graph.h"

#include <string.h>

#include <bdpo/ops.h>

block_shape block_sd15(block_kind kind, int64_t n, int64_t size, int64_t c_in, int64_t c_out)
{
    return (block_shape){.kind = kind,
                         .n = n,
                         .size = size,
                         .c_in = c_in,
                         .c_out = c_out,
                         .heads = 8,
                         .groups = 32,
                         .time_width = 1280,
                         .context_tokens = 77,
                         .context_width = 768};
}

// ---- leaves ------------------------------------------------------------------------------------

typedef struct param_list {
    block_param *at;
    int count;
} param_list;

static void add(param_list *list, const char *name, bdpo_shape shape)
{
    list->at[list->count++] = (block_param){.name = name, .shape = shape, .trainable = true};
}

static void residual_params(param_list *list, const block_shape *s)
{
    add(list, "x", BDPO_SHAPE(s->n, s->size, s->size, s->c_in));
    add(list, "temb", BDPO_SHAPE(s->n, s->time_width));
    add(list, "norm1.weight", BDPO_SHAPE(s->c_in));
    add(list, "norm1.bias", BDPO_SHAPE(s->c_in));
    add(list, "conv1.weight", BDPO_SHAPE(s->c_out, 3, 3, s->c_in));
    add(list, "conv1.bias", BDPO_SHAPE(s->c_out));
    add(list, "time_emb_proj.weight", BDPO_SHAPE(s->c_out, s->time_width));
    add(list, "time_emb_proj.bias", BDPO_SHAPE(s->c_out));
    add(list, "norm2.weight", BDPO_SHAPE(s->c_out));
    add(list, "norm2.bias", BDPO_SHAPE(s->c_out));
    add(list, "conv2.weight", BDPO_SHAPE(s->c_out, 3, 3, s->c_out));
    add(list, "conv2.bias", BDPO_SHAPE(s->c_out));
    if (s->c_in == s->c_out) return;
    add(list, "conv_shortcut.weight", BDPO_SHAPE(s->c_out, 1, 1, s->c_in));
    add(list, "conv_shortcut.bias", BDPO_SHAPE(s->c_out));
}

static void transformer_params(param_list *list, const block_shape *s)
{
    int64_t c = s->c_in, context = s->context_width;
    add(list, "x", BDPO_SHAPE(s->n, s->size, s->size, c));
    add(list, "context", BDPO_SHAPE(s->n, s->context_tokens, context));
    list->at[list->count - 1].trainable = s->trains_context;
    add(list, "norm.weight", BDPO_SHAPE(c));
    add(list, "norm.bias", BDPO_SHAPE(c));
    add(list, "proj_in.weight", BDPO_SHAPE(c, 1, 1, c));
    add(list, "proj_in.bias", BDPO_SHAPE(c));
    add(list, "transformer_blocks.0.norm1.weight", BDPO_SHAPE(c));
    add(list, "transformer_blocks.0.norm1.bias", BDPO_SHAPE(c));
    add(list, "transformer_blocks.0.attn1.to_q.weight", BDPO_SHAPE(c, c));
    add(list, "transformer_blocks.0.attn1.to_k.weight", BDPO_SHAPE(c, c));
    add(list, "transformer_blocks.0.attn1.to_v.weight", BDPO_SHAPE(c, c));
    add(list, "transformer_blocks.0.attn1.to_out.0.weight", BDPO_SHAPE(c, c));
    add(list, "transformer_blocks.0.attn1.to_out.0.bias", BDPO_SHAPE(c));
    add(list, "transformer_blocks.0.norm2.weight", BDPO_SHAPE(c));
    add(list, "transformer_blocks.0.norm2.bias", BDPO_SHAPE(c));
    add(list, "transformer_blocks.0.attn2.to_q.weight", BDPO_SHAPE(c, c));
    add(list, "transformer_blocks.0.attn2.to_k.weight", BDPO_SHAPE(c, context));
    add(list, "transformer_blocks.0.attn2.to_v.weight", BDPO_SHAPE(c, context));
    add(list, "transformer_blocks.0.attn2.to_out.0.weight", BDPO_SHAPE(c, c));
    add(list, "transformer_blocks.0.attn2.to_out.0.bias", BDPO_SHAPE(c));
    add(list, "transformer_blocks.0.norm3.weight", BDPO_SHAPE(c));
    add(list, "transformer_blocks.0.norm3.bias", BDPO_SHAPE(c));
    add(list, "transformer_blocks.0.ff.net.0.proj.weight", BDPO_SHAPE(8 * c, c));
    add(list, "transformer_blocks.0.ff.net.0.proj.bias", BDPO_SHAPE(8 * c));
    add(list, "transformer_blocks.0.ff.net.2.weight", BDPO_SHAPE(c, 4 * c));
    add(list, "transformer_blocks.0.ff.net.2.bias", BDPO_SHAPE(c));
    add(list, "proj_out.weight", BDPO_SHAPE(c, 1, 1, c));
    add(list, "proj_out.bias", BDPO_SHAPE(c));
}

int block_params(const block_shape *s, block_param out[BLOCK_MAX_PARAMS])
{
    param_list list = {.at = out};
    if (s->kind == BLOCK_RESIDUAL)
        residual_params(&list, s);
    else
        transformer_params(&list, s);
    return list.count;
}

bdpo_status block_declare(bdpo_store *store, const block_shape *s)
{
    block_param params[BLOCK_MAX_PARAMS];
    int n = block_params(s, params);
    for (int i = 0; i < n; i++) {
        bdpo_status status = bdpo_store_declare(store, params[i].name, BDPO_F32, params[i].shape,
                                                params[i].trainable);
        if (status != BDPO_OK) return status;
    }
    return bdpo_store_seal(store);
}

// ---- graph -------------------------------------------------------------------------------------

static const bdpo_conv2d_options same_3x3 = {
    .pad_top = 1, .pad_left = 1, .pad_bottom = 1, .pad_right = 1};

static bdpo_node *conv(bdpo_graph *g, bdpo_node *x, const char *weight, const char *bias,
                       const bdpo_conv2d_options *options)
{
    return bdpo_conv2d(g, x, bdpo_param(g, weight), bdpo_param(g, bias), options);
}

// The coarse segments, and the lean ones.
static void coarse_begin(bdpo_graph *g, const block_shape *s)
{
    if (!s->lean) bdpo_segment_begin(g);
}

static void coarse_end(bdpo_graph *g, const block_shape *s)
{
    if (!s->lean) bdpo_segment_end(g);
}

static void lean_begin(bdpo_graph *g, const block_shape *s)
{
    if (s->lean) bdpo_segment_begin(g);
}

static void lean_end(bdpo_graph *g, const block_shape *s)
{
    if (s->lean) bdpo_segment_end(g);
}

// At the peak of a transformer's backward pass the feed-forward part holds 12 c values a row. Where
// the rows outweigh the weights it goes by halves of the rows: its wide values exist for one half
// at a time and are kept for one half only. (Weights used twice have their gradients summed aside,
// so with fewer rows that would cost more than it saves.)
static bool by_halves(const block_shape *s)
{
    int64_t rows = s->n * s->size * s->size;
    return s->lean && rows >= 8 * s->c_in && rows % 2 == 0;
}

// With fewer rows, but not so few that the weights are all that counts, the attention parts are
// computed again instead.
static bool attention_again(const block_shape *s)
{
    return s->lean && !by_halves(s) && 4 * s->n * s->size * s->size > s->c_in;
}

static bdpo_node *norm_silu_conv(bdpo_graph *g, bdpo_node *x, const char *const names[4],
                                 const block_shape *s)
{
    bdpo_group_norm_options options = {.groups = (int)s->groups, .eps = 1e-5F, .silu = true};
    lean_begin(g, s);
    bdpo_node *h =
        bdpo_group_norm(g, x, bdpo_param(g, names[0]), bdpo_param(g, names[1]), &options);
    h = conv(g, h, names[2], names[3], &same_3x3);
    lean_end(g, s);
    return h;
}

static bdpo_node *residual(bdpo_graph *g, const block_shape *s)
{
    static const char *const first[] = {"norm1.weight", "norm1.bias", "conv1.weight", "conv1.bias"};
    static const char *const second[] = {"norm2.weight", "norm2.bias", "conv2.weight",
                                         "conv2.bias"};
    bdpo_node *x = bdpo_param(g, "x");
    coarse_begin(g, s);
    bdpo_node *time =
        bdpo_linear(g, bdpo_silu(g, bdpo_param(g, "temb")), bdpo_param(g, "time_emb_proj.weight"),
                    bdpo_param(g, "time_emb_proj.bias"), BDPO_NO_ACTIVATION);
    bdpo_node *h = bdpo_add(g, norm_silu_conv(g, x, first, s), time);
    coarse_end(g, s);
    coarse_begin(g, s);
    h = norm_silu_conv(g, h, second, s);
    bdpo_node *skip = x;
    if (s->c_in != s->c_out) skip = conv(g, x, "conv_shortcut.weight", "conv_shortcut.bias", NULL);
    h = bdpo_add(g, h, skip);
    coarse_end(g, s);
    return h;
}

// A leaf of the transformer block proper: its diffusers name after "transformer_blocks.0.".
static bdpo_node *inner(bdpo_graph *g, const char *name)
{
    char full[80] = "transformer_blocks.0.";
    strncat(full, name, sizeof full - strlen(full) - 1);
    return bdpo_param(g, full);
}

static bdpo_node *project(bdpo_graph *g, bdpo_node *x, const char *weight, const char *bias)
{
    return bdpo_linear(g, x, inner(g, weight), bias ? inner(g, bias) : NULL, BDPO_NO_ACTIVATION);
}

static bdpo_node *attend(bdpo_graph *g, bdpo_node *q, bdpo_node *k, bdpo_node *v,
                         const block_shape *s)
{
    return bdpo_attention(g, q, k, v, NULL, &(bdpo_attention_options){.heads = (int)s->heads});
}

static bdpo_node *self_attention(bdpo_graph *g, bdpo_node *h, const block_shape *s)
{
    lean_begin(g, s);
    bdpo_node *x = bdpo_layer_norm(g, h, inner(g, "norm1.weight"), inner(g, "norm1.bias"), 1e-5F);
    bdpo_node *q = project(g, x, "attn1.to_q.weight", NULL);
    bdpo_node *k = project(g, x, "attn1.to_k.weight", NULL);
    bdpo_node *v = project(g, x, "attn1.to_v.weight", NULL);
    lean_end(g, s);
    bdpo_node *y = attend(g, q, k, v, s);
    return bdpo_add(g, project(g, y, "attn1.to_out.0.weight", "attn1.to_out.0.bias"), h);
}

static bdpo_node *cross_attention(bdpo_graph *g, bdpo_node *h, const block_shape *s)
{
    bdpo_node *context = bdpo_param(g, "context");
    lean_begin(g, s);
    bdpo_node *x = bdpo_layer_norm(g, h, inner(g, "norm2.weight"), inner(g, "norm2.bias"), 1e-5F);
    bdpo_node *q = project(g, x, "attn2.to_q.weight", NULL);
    lean_end(g, s);
    bdpo_node *k = project(g, context, "attn2.to_k.weight", NULL);
    bdpo_node *v = project(g, context, "attn2.to_v.weight", NULL);
    bdpo_node *y = attend(g, q, k, v, s);
    return bdpo_add(g, project(g, y, "attn2.to_out.0.weight", "attn2.to_out.0.bias"), h);
}

static bdpo_node *feed_forward_rows(bdpo_graph *g, bdpo_node *h, const block_shape *s, bool again)
{
    // Nested: with `again` the widest product too is computed again in the backward pass.
    if (again) bdpo_segment_begin(g);
    lean_begin(g, s);
    bdpo_node *x = bdpo_layer_norm(g, h, inner(g, "norm3.weight"), inner(g, "norm3.bias"), 1e-5F);
    bdpo_node *y = project(g, x, "ff.net.0.proj.weight", "ff.net.0.proj.bias");
    lean_end(g, s);
    lean_begin(g, s);
    y = project(g, bdpo_geglu(g, y), "ff.net.2.weight", "ff.net.2.bias");
    lean_end(g, s);
    if (again) bdpo_segment_end(g);
    return bdpo_add(g, y, h);
}

static bdpo_node *feed_forward(bdpo_graph *g, bdpo_node *h, const block_shape *s)
{
    int64_t rows = s->n * s->size * s->size;
    if (!by_halves(s)) return feed_forward_rows(g, h, s, false);
    bdpo_node *part[2];
    h = bdpo_reshape(g, h, BDPO_SHAPE(2, rows / 2, s->c_in));
    bdpo_split_batch(g, h, 2, (const int64_t[]){1, 1}, part);
    part[0] = feed_forward_rows(g, part[0], s, true);
    part[1] = feed_forward_rows(g, part[1], s, false);
    h = bdpo_concat_batch(g, part, 2);
    return bdpo_reshape(g, h, BDPO_SHAPE(s->n, s->size, s->size, s->c_in));
}

static bdpo_node *norm_in(bdpo_graph *g, bdpo_node *x, const block_shape *s)
{
    bdpo_group_norm_options options = {.groups = (int)s->groups, .eps = 1e-6F};
    lean_begin(g, s);
    bdpo_node *h =
        bdpo_group_norm(g, x, bdpo_param(g, "norm.weight"), bdpo_param(g, "norm.bias"), &options);
    h = conv(g, h, "proj_in.weight", "proj_in.bias", NULL);
    lean_end(g, s);
    return h;
}

static bdpo_node *transformer(bdpo_graph *g, const block_shape *s)
{
    bdpo_node *x = bdpo_param(g, "x");
    coarse_begin(g, s);
    bdpo_node *h = norm_in(g, x, s);
    if (attention_again(s)) bdpo_segment_begin(g);
    h = self_attention(g, h, s);
    if (attention_again(s)) bdpo_segment_end(g);
    coarse_end(g, s);
    if (!s->lean || attention_again(s)) bdpo_segment_begin(g);
    h = cross_attention(g, h, s);
    if (!s->lean || attention_again(s)) bdpo_segment_end(g);
    coarse_begin(g, s);
    h = feed_forward(g, h, s);
    h = bdpo_add(g, conv(g, h, "proj_out.weight", "proj_out.bias", NULL), x);
    coarse_end(g, s);
    return h;
}

bdpo_node *block_build(bdpo_graph *g, const block_shape *s)
{
    return s->kind == BLOCK_RESIDUAL ? residual(g, s) : transformer(g, s);
}

void block_backward(bdpo_graph *g, bdpo_node *y)
{
    bdpo_node *dy = bdpo_input(g, "dy", BDPO_F32, bdpo_node_shape(y));
    bdpo_backward(g, bdpo_reduce_sum(g, bdpo_mul(g, y, dy), BDPO_KEEP_NONE));
}

double block_flops(const block_shape *s)
{
    double tokens = (double)(s->size * s->size), n = (double)s->n;
    double ci = (double)s->c_in, co = (double)s->c_out;
    if (s->kind == BLOCK_RESIDUAL) {
        double shortcut = ci == co ? 0 : ci * co;
        return 2 * n *
               (tokens * (9 * ci * co + 9 * co * co + shortcut) + co * (double)s->time_width);
    }
    double keys = (double)s->context_tokens;
    double products = tokens * ci * ci * (2 + 4 + 2 + 8 + 4);
    double context = 2 * keys * (double)s->context_width * ci;
    double scores = 2 * tokens * (tokens + keys) * ci;
    return 2 * n * (products + context + scores);
}

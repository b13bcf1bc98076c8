// Every operator against PyTorch: value and gradient toward each float input, through the engine.
// The cases are those of tools/parity/ops.py, by name; the fixtures lie in tests/fixtures/ops.
#include "harness.h"

#include <bdpo/ops.h>

#include "parity/fixture.h"
#include "parity/parity_inputs.h"

// Both sides begin with the same f32 inputs; the fixture is rounded once from double, so the
// difference is the kernels' own: some tens of f32 roundings, 6e-8 each, in sums of up to some
// hundred terms.
static const double tolerance = 1e-5;

enum { MAX_INPUTS = 6 };

typedef struct parity_input {
    bdpo_node *node;
    char name[16];
    double scale, shift;   // of floats
    int32_t limit, offset; // of indices; limit 0: a float
    bool constant;         // no gradient toward it
} parity_input;

// A case while its graph is built.
typedef struct parity {
    bdpo_graph *g;
    const char *name;
    parity_input in[MAX_INPUTS];
    int n_in;
} parity;

// ---- inputs ------------------------------------------------------------------------------------

static bdpo_node *add_input(parity *p, parity_input in, const char *name, bdpo_shape shape)
{
    CHECK(p->n_in < MAX_INPUTS);
    snprintf(in.name, sizeof in.name, "%s", name);
    in.node = bdpo_input(p->g, name, in.limit ? BDPO_I32 : BDPO_F32, shape);
    in.constant = in.constant || in.limit != 0;
    if (!in.constant) bdpo_require_grad(in.node);
    p->in[p->n_in++] = in;
    return in.node;
}

static bdpo_node *in_scaled(parity *p, const char *name, double scale, double shift,
                            bdpo_shape shape)
{
    return add_input(p, (parity_input){.scale = scale, .shift = shift}, name, shape);
}

#define IN(name, ...) in_scaled(p, name, 1.0, 0.0, BDPO_SHAPE(__VA_ARGS__))

// Indices in [offset, offset + limit).
static bdpo_node *in_index(parity *p, const char *name, int32_t limit, int32_t offset,
                           bdpo_shape shape)
{
    return add_input(p, (parity_input){.limit = limit, .offset = offset}, name, shape);
}

static size_t count_of(const bdpo_node *node)
{
    bdpo_shape shape = bdpo_node_shape(node);
    size_t count = 1;
    for (int i = 0; i < shape.n_dims; i++) count *= (size_t)shape.dim[i];
    return count;
}

// ---- cases -------------------------------------------------------------------------------------

static bdpo_node *linear(parity *p, bdpo_activation activation)
{
    bdpo_node *w = in_scaled(p, "w", 0.2, 0, BDPO_SHAPE(24, 40));
    return bdpo_linear(p->g, IN("x", 3, 11, 40), w, IN("b", 24), activation);
}

static bdpo_node *linear_none(parity *p)
{
    return linear(p, BDPO_NO_ACTIVATION);
}

static bdpo_node *linear_silu(parity *p)
{
    return linear(p, BDPO_SILU);
}

static bdpo_node *linear_gelu(parity *p)
{
    return linear(p, BDPO_GELU);
}

static bdpo_node *linear_quick_gelu(parity *p)
{
    return linear(p, BDPO_QUICK_GELU);
}

static bdpo_node *linear_no_bias(parity *p)
{
    bdpo_node *w = in_scaled(p, "w", 0.2, 0, BDPO_SHAPE(9, 33));
    return bdpo_linear(p->g, IN("x", 17, 33), w, NULL, BDPO_NO_ACTIVATION);
}

static bdpo_node *matmul(parity *p, bool trans_a, bool trans_b)
{
    bdpo_node *a = trans_a ? IN("a", 2, 9, 7) : IN("a", 2, 7, 9);
    bdpo_node *b = trans_b ? IN("b", 2, 13, 9) : IN("b", 2, 9, 13);
    return bdpo_matmul(p->g, a, b, trans_a, trans_b);
}

static bdpo_node *matmul_nn(parity *p)
{
    return matmul(p, false, false);
}

static bdpo_node *matmul_nt(parity *p)
{
    return matmul(p, false, true);
}

static bdpo_node *matmul_tn(parity *p)
{
    return matmul(p, true, false);
}

static bdpo_node *matmul_tt(parity *p)
{
    return matmul(p, true, true);
}

static bdpo_node *matmul_2d(parity *p)
{
    return bdpo_matmul(p->g, IN("a", 19, 8), IN("b", 8, 5), false, false);
}

typedef struct conv_case {
    int64_t n, h, w, ci, co, kernel;
    bool no_bias;
    bdpo_conv2d_options options;
} conv_case;

static bdpo_node *conv(parity *p, const conv_case *c)
{
    double scale = 1 / sqrt((double)(c->kernel * c->kernel * c->ci));
    bdpo_node *w = in_scaled(p, "w", scale, 0, BDPO_SHAPE(c->co, c->kernel, c->kernel, c->ci));
    bdpo_node *x = IN("x", c->n, c->h, c->w, c->ci);
    return bdpo_conv2d(p->g, x, w, c->no_bias ? NULL : IN("b", c->co), &c->options);
}

#define CONV(name, ...)                                                                            \
    static bdpo_node *conv_##name(parity *p)                                                       \
    {                                                                                              \
        return conv(p, &(conv_case){__VA_ARGS__});                                                 \
    }
#define PAD_1 .pad_top = 1, .pad_left = 1, .pad_bottom = 1, .pad_right = 1

CONV(3x3, 2, 9, 8, 12, 10, 3, .options = {PAD_1})
CONV(3x3_wide, 1, 8, 8, 32, 32, 3, .options = {PAD_1})
CONV(3x3_stride_2, 2, 9, 10, 8, 6, 3, .options = {.stride = 2, PAD_1})
CONV(3x3_stride_2_asymmetric, 2, 8, 8, 8, 6, 3,
     .options = {.stride = 2, .pad_bottom = 1, .pad_right = 1})
CONV(1x1, 2, 5, 7, 16, 9, 1, .options = {.stride = 1})
CONV(1x1_no_bias, 2, 5, 7, 16, 9, 1, .no_bias = true)
CONV(4x4_stride_4, 2, 8, 12, 3, 20, 4, .no_bias = true, .options = {.stride = 4})
CONV(few_in, 2, 8, 8, 4, 24, 3, .options = {PAD_1})
CONV(few_out, 2, 8, 8, 24, 4, 3, .options = {PAD_1})

static bdpo_node *group_norm(parity *p, bdpo_node *x, int64_t c, bdpo_group_norm_options options)
{
    bdpo_node *gamma = in_scaled(p, "gamma", 1, 1, BDPO_SHAPE(c));
    return bdpo_group_norm(p->g, x, gamma, IN("beta", c), &options);
}

static bdpo_node *group_norm_map(parity *p)
{
    return group_norm(p, IN("x", 2, 5, 6, 20), 20, (bdpo_group_norm_options){4, 1e-5F, false});
}

static bdpo_node *group_norm_tokens(parity *p)
{
    return group_norm(p, IN("x", 2, 11, 21), 21, (bdpo_group_norm_options){3, 1e-6F, false});
}

static bdpo_node *group_norm_silu(parity *p)
{
    return group_norm(p, IN("x", 2, 4, 4, 32), 32, (bdpo_group_norm_options){8, 1e-5F, true});
}

static bdpo_node *layer_norm_affine(parity *p)
{
    bdpo_node *gamma = in_scaled(p, "gamma", 1, 1, BDPO_SHAPE(45));
    return bdpo_layer_norm(p->g, IN("x", 2, 7, 45), gamma, IN("beta", 45), 1e-5F);
}

static bdpo_node *layer_norm_plain(parity *p)
{
    return bdpo_layer_norm(p->g, IN("x", 9, 32), NULL, NULL, 1e-6F);
}

static bdpo_node *l2_normalize(parity *p)
{
    return bdpo_l2_normalize(p->g, IN("x", 6, 37), 1e-12F);
}

typedef struct attention_case {
    int64_t n, tq, tk, width;
    bool lengths;
    bdpo_attention_options options;
} attention_case;

static bdpo_node *attention(parity *p, const attention_case *c)
{
    bdpo_node *q = IN("q", c->n, c->tq, c->width), *k = IN("k", c->n, c->tk, c->width);
    bdpo_node *v = IN("v", c->n, c->tk, c->width);
    bdpo_node *lengths =
        c->lengths ? in_index(p, "lengths", (int32_t)c->tk, 1, BDPO_SHAPE(c->n)) : NULL;
    return bdpo_attention(p->g, q, k, v, lengths, &c->options);
}

#define ATTENTION(name, ...)                                                                       \
    static bdpo_node *attention_##name(parity *p)                                                  \
    {                                                                                              \
        return attention(p, &(attention_case){__VA_ARGS__});                                       \
    }

ATTENTION(self, 2, 23, 23, 40, .options = {.heads = 2})
ATTENTION(cross, 2, 18, 13, 24, .options = {.heads = 3})
ATTENTION(causal, 1, 21, 21, 32, .options = {.heads = 2, .causal = true})
ATTENTION(lengths, 3, 9, 14, 24, .lengths = true, .options = {.heads = 2})
ATTENTION(scale, 1, 8, 8, 24, .options = {.heads = 1, .scale = 0.5F})

static bdpo_node *softmax(parity *p)
{
    return bdpo_softmax(p->g, in_scaled(p, "x", 3, 0, BDPO_SHAPE(2, 6, 35)));
}

#define UNARY(name)                                                                                \
    static bdpo_node *unary_##name(parity *p)                                                      \
    {                                                                                              \
        return bdpo_##name(p->g, in_scaled(p, "x", 2, 0, BDPO_SHAPE(5, 61)));                      \
    }

UNARY(silu)
UNARY(square)
UNARY(gelu)
UNARY(quick_gelu)
UNARY(tanh)
UNARY(exp)
UNARY(sigmoid)
UNARY(log_sigmoid)

static bdpo_node *clamp(parity *p)
{
    return bdpo_clamp(p->g, in_scaled(p, "x", 2, 0, BDPO_SHAPE(5, 61)), -1.25F, 0.75F);
}

static bdpo_node *geglu(parity *p)
{
    return bdpo_geglu(p->g, IN("x", 3, 5, 54));
}

static bdpo_node *cross_entropy(parity *p)
{
    bdpo_node *logits = in_scaled(p, "logits", 2, 0, BDPO_SHAPE(7, 19));
    return bdpo_cross_entropy(p->g, logits, in_index(p, "labels", 19, 0, BDPO_SHAPE(7)));
}

#define BINARY(op, name, ...)                                                                      \
    static bdpo_node *op##_##name(parity *p)                                                       \
    {                                                                                              \
        bdpo_node *a = IN("a", 2, 3, 4, 10);                                                       \
        return bdpo_##op(p->g, a, IN("b", __VA_ARGS__));                                           \
    }
#define BINARIES(op)                                                                               \
    BINARY(op, same, 2, 3, 4, 10)                                                                  \
    BINARY(op, scalar, 1)                                                                          \
    BINARY(op, channel, 10)                                                                        \
    BINARY(op, sample_channel, 2, 10)                                                              \
    BINARY(op, sample, 2, 1, 1, 1)                                                                 \
    BINARY(op, position, 1, 3, 4, 10)                                                              \
    BINARY(op, row, 2, 3, 4, 1)

BINARIES(add)
BINARIES(sub)
BINARIES(mul)

static bdpo_node *scale(parity *p)
{
    return bdpo_scale(p->g, IN("x", 5, 13), -1.75F);
}

static bdpo_node *per_sample_scale(parity *p)
{
    bdpo_node *x = IN("x", 3, 4, 2, 9);
    return bdpo_per_sample_scale(p->g, x, IN("s", 3));
}

static bdpo_node *cast_bf16(parity *p)
{
    return bdpo_cast(p->g, bdpo_cast(p->g, IN("x", 6, 23), BDPO_BF16), BDPO_F32);
}

static bdpo_node *concat_channels(parity *p)
{
    bdpo_node *x[3] = {IN("a", 2, 3, 8), IN("b", 2, 3, 5), IN("c", 2, 3, 1)};
    return bdpo_concat_channels(p->g, x, 3);
}

static bdpo_node *concat_batch(parity *p)
{
    bdpo_node *x[2] = {IN("a", 2, 3, 7), IN("b", 1, 3, 7)};
    return bdpo_concat_batch(p->g, x, 2);
}

static bdpo_node *split_channels(parity *p)
{
    bdpo_node *part[3];
    bdpo_split_channels(p->g, IN("x", 2, 3, 24), 3, (const int64_t[]){8, 8, 8}, part);
    return bdpo_add(p->g, bdpo_mul(p->g, part[0], part[1]), part[2]);
}

static bdpo_node *split_batch(parity *p)
{
    bdpo_node *part[2];
    bdpo_split_batch(p->g, IN("x", 4, 3, 7), 2, (const int64_t[]){2, 2}, part);
    return bdpo_mul(p->g, part[0], part[1]);
}

static bdpo_node *slice_channels(parity *p)
{
    return bdpo_dense(p->g, bdpo_slice_channels(p->g, IN("x", 2, 5, 17), 4, 9));
}

static bdpo_node *slice_batch(parity *p)
{
    return bdpo_slice_batch(p->g, IN("x", 5, 3, 4), 2, 3);
}

static bdpo_node *reshape_view(parity *p)
{
    return bdpo_reshape(p->g, IN("x", 2, 12, 10), BDPO_SHAPE(2, 3, 4, 10));
}

static bdpo_node *reshape_slice(parity *p)
{
    bdpo_node *slice = bdpo_slice_channels(p->g, IN("x", 2, 12, 10), 2, 6);
    return bdpo_reshape(p->g, slice, BDPO_SHAPE(2, 72));
}

static bdpo_node *transpose_0213(parity *p)
{
    return bdpo_transpose(p->g, IN("x", 2, 5, 3, 7), (const int[]){0, 2, 1, 3});
}

static bdpo_node *transpose_0312(parity *p)
{
    return bdpo_transpose(p->g, IN("x", 2, 5, 3, 7), (const int[]){0, 3, 1, 2});
}

static bdpo_node *upsample_nearest2x(parity *p)
{
    return bdpo_upsample_nearest2x(p->g, IN("x", 2, 3, 5, 6));
}

static bdpo_node *upsample_bilinear2x(parity *p)
{
    return bdpo_upsample_bilinear2x(p->g, IN("x", 2, 3, 5, 6));
}

static bdpo_node *avg_pool_2(parity *p)
{
    return bdpo_avg_pool(p->g, IN("x", 2, 6, 7, 5), 2);
}

static bdpo_node *avg_pool_3(parity *p)
{
    return bdpo_avg_pool(p->g, IN("x", 1, 9, 6, 5), 3);
}

#define REDUCE(name, keep)                                                                         \
    static bdpo_node *sum_##name(parity *p)                                                        \
    {                                                                                              \
        return bdpo_reduce_sum(p->g, IN("x", 2, 3, 5, 7), keep);                                   \
    }                                                                                              \
    static bdpo_node *mean_##name(parity *p)                                                       \
    {                                                                                              \
        return bdpo_reduce_mean(p->g, IN("x", 2, 3, 5, 7), keep);                                  \
    }

REDUCE(none, BDPO_KEEP_NONE)
REDUCE(sample, BDPO_KEEP_SAMPLE)
REDUCE(sample_channel, BDPO_KEEP_SAMPLE_CHANNEL)
REDUCE(channel, BDPO_KEEP_CHANNEL)
REDUCE(row, BDPO_KEEP_ROW)
REDUCE(position, BDPO_KEEP_POSITION)

static bdpo_node *squared_errors(parity *p, bool mean)
{
    bdpo_node *a = IN("a", 3, 4, 5, 2);
    return bdpo_squared_errors(p->g, a, IN("b", 3, 4, 5, 2), mean);
}

static bdpo_node *squared_errors_sum(parity *p)
{
    return squared_errors(p, false);
}

static bdpo_node *squared_errors_mean(parity *p)
{
    return squared_errors(p, true);
}

static bdpo_node *error_margins(parity *p)
{
    bdpo_node *a = IN("a", 3, 4, 5, 2), *b = IN("b", 3, 4, 5, 2);
    return bdpo_error_margins(p->g, a, b, IN("target", 3, 4, 5, 2));
}

static bdpo_node *binary_cross_entropy(parity *p)
{
    bdpo_node *targets = in_scaled(p, "targets", 0.14, 0.5, BDPO_SHAPE(5, 13));
    bdpo_node *logits = in_scaled(p, "logits", 4, 0, BDPO_SHAPE(5, 13));
    return bdpo_binary_cross_entropy(p->g, logits, targets);
}

static bdpo_node *expm1_ratio(parity *p)
{
    return bdpo_expm1_ratio(p->g, in_scaled(p, "x", 2, 0, BDPO_SHAPE(5, 61)));
}

static bdpo_node *embedding(parity *p)
{
    bdpo_node *ids = in_index(p, "ids", 11, 0, BDPO_SHAPE(2, 9));
    return bdpo_embedding(p->g, IN("table", 11, 14), ids);
}

static bdpo_node *gather_rows(parity *p)
{
    bdpo_node *index = in_index(p, "index", 6, 0, BDPO_SHAPE(3));
    return bdpo_gather_rows(p->g, IN("x", 3, 6, 10), index);
}

static bdpo_node *timesteps(parity *p, double scale_t, double shift, int64_t n,
                            bdpo_timestep_options options)
{
    parity_input t = {.scale = scale_t, .shift = shift, .constant = true};
    return bdpo_timestep_embedding(p->g, add_input(p, t, "t", BDPO_SHAPE(n)), &options);
}

static bdpo_node *timesteps_sd(parity *p)
{
    return timesteps(p, 150, 500, 5, (bdpo_timestep_options){.dim = 320, .cos_first = true});
}

static bdpo_node *timesteps_odd(parity *p)
{
    bdpo_timestep_options options = {.dim = 34, .shift = 1, .scale = 100, .max_period = 5000};
    return timesteps(p, 0.3, 1, 3, options);
}

typedef struct parity_case {
    const char *name;
    bdpo_node *(*build)(parity *p);
} parity_case;

static const parity_case cases[] = {
    {"linear/none", linear_none},
    {"linear/silu", linear_silu},
    {"linear/gelu", linear_gelu},
    {"linear/quick_gelu", linear_quick_gelu},
    {"linear/no_bias", linear_no_bias},
    {"matmul/nn", matmul_nn},
    {"matmul/nt", matmul_nt},
    {"matmul/tn", matmul_tn},
    {"matmul/tt", matmul_tt},
    {"matmul/2d", matmul_2d},
    {"conv2d/3x3", conv_3x3},
    {"conv2d/3x3_wide", conv_3x3_wide},
    {"conv2d/3x3_stride_2", conv_3x3_stride_2},
    {"conv2d/3x3_stride_2_asymmetric", conv_3x3_stride_2_asymmetric},
    {"conv2d/1x1", conv_1x1},
    {"conv2d/1x1_no_bias", conv_1x1_no_bias},
    {"conv2d/4x4_stride_4", conv_4x4_stride_4},
    {"conv2d/few_in", conv_few_in},
    {"conv2d/few_out", conv_few_out},
    {"group_norm/map", group_norm_map},
    {"group_norm/tokens", group_norm_tokens},
    {"group_norm/silu", group_norm_silu},
    {"layer_norm/affine", layer_norm_affine},
    {"layer_norm/plain", layer_norm_plain},
    {"l2_normalize/rows", l2_normalize},
    {"attention/self", attention_self},
    {"attention/cross", attention_cross},
    {"attention/causal", attention_causal},
    {"attention/lengths", attention_lengths},
    {"attention/scale", attention_scale},
    {"softmax/rows", softmax},
    {"silu/rows", unary_silu},
    {"square/rows", unary_square},
    {"gelu/rows", unary_gelu},
    {"quick_gelu/rows", unary_quick_gelu},
    {"tanh/rows", unary_tanh},
    {"exp/rows", unary_exp},
    {"sigmoid/rows", unary_sigmoid},
    {"log_sigmoid/rows", unary_log_sigmoid},
    {"clamp/rows", clamp},
    {"geglu/rows", geglu},
    {"cross_entropy/rows", cross_entropy},
    {"add/same", add_same},
    {"add/scalar", add_scalar},
    {"add/channel", add_channel},
    {"add/sample_channel", add_sample_channel},
    {"add/sample", add_sample},
    {"add/position", add_position},
    {"add/row", add_row},
    {"sub/same", sub_same},
    {"sub/scalar", sub_scalar},
    {"sub/channel", sub_channel},
    {"sub/sample_channel", sub_sample_channel},
    {"sub/sample", sub_sample},
    {"sub/position", sub_position},
    {"sub/row", sub_row},
    {"mul/same", mul_same},
    {"mul/scalar", mul_scalar},
    {"mul/channel", mul_channel},
    {"mul/sample_channel", mul_sample_channel},
    {"mul/sample", mul_sample},
    {"mul/position", mul_position},
    {"mul/row", mul_row},
    {"scale/rows", scale},
    {"per_sample_scale/map", per_sample_scale},
    {"cast/bf16", cast_bf16},
    {"concat_channels/three", concat_channels},
    {"concat_batch/two", concat_batch},
    {"split_channels/product", split_channels},
    {"split_batch/product", split_batch},
    {"slice_channels/middle", slice_channels},
    {"slice_batch/end", slice_batch},
    {"reshape/view", reshape_view},
    {"reshape/slice", reshape_slice},
    {"transpose/0213", transpose_0213},
    {"transpose/0312", transpose_0312},
    {"upsample_nearest2x/map", upsample_nearest2x},
    {"upsample_bilinear2x/map", upsample_bilinear2x},
    {"avg_pool/2", avg_pool_2},
    {"avg_pool/3", avg_pool_3},
    {"reduce_sum/none", sum_none},
    {"reduce_mean/none", mean_none},
    {"reduce_sum/sample", sum_sample},
    {"reduce_mean/sample", mean_sample},
    {"reduce_sum/sample_channel", sum_sample_channel},
    {"reduce_mean/sample_channel", mean_sample_channel},
    {"reduce_sum/channel", sum_channel},
    {"reduce_mean/channel", mean_channel},
    {"reduce_sum/row", sum_row},
    {"reduce_mean/row", mean_row},
    {"reduce_sum/position", sum_position},
    {"reduce_mean/position", mean_position},
    {"squared_errors/sum", squared_errors_sum},
    {"squared_errors/mean", squared_errors_mean},
    {"error_margins/mean", error_margins},
    {"binary_cross_entropy/soft", binary_cross_entropy},
    {"expm1_ratio/rows", expm1_ratio},
    {"embedding/ids", embedding},
    {"gather_rows/rows", gather_rows},
    {"timestep_embedding/sd", timesteps_sd},
    {"timestep_embedding/odd", timesteps_odd},
};

// ---- running -----------------------------------------------------------------------------------

enum { MAX_VALUES = 20000 };

static void write_input(bdpo_plan *plan, const parity *p, const parity_input *in)
{
    static float values[MAX_VALUES];
    static int32_t indices[MAX_VALUES];
    char key[96];
    size_t count = count_of(in->node);
    CHECK(count <= MAX_VALUES);
    snprintf(key, sizeof key, "%s/%s", p->name, in->name);
    if (in->limit) {
        parity_fill_index(indices, count, key, in->limit);
        for (size_t i = 0; i < count; i++) indices[i] += in->offset;
        CHECK_OK(bdpo_plan_write(plan, in->name, indices, count * sizeof *indices));
    } else {
        parity_fill(values, count, key, in->scale, in->shift);
        CHECK_OK(bdpo_plan_write(plan, in->name, values, count * sizeof *values));
    }
}

static void compare(bdpo_plan *plan, const parity *p, const fixture *f, const char *what,
                    size_t count)
{
    static float actual[MAX_VALUES];
    char key[96];
    CHECK(count <= MAX_VALUES);
    snprintf(key, sizeof key, "%s/%s", p->name, what);
    CHECK_OK(bdpo_plan_read(plan, what, actual, count * sizeof *actual));
    double error = test_relative_l2(actual, fixture_get(f, key, count), count);
    if (!(error <= tolerance)) FAIL("%s: relative error %.3g, allowed %.3g", key, error, tolerance);
}

// Emits the gradients and names all results.
static void add_gradients(parity *p, bdpo_node *y)
{
    parity_input dy = {.scale = 1};
    snprintf(dy.name, sizeof dy.name, "dy");
    dy.node = bdpo_input(p->g, "dy", BDPO_F32, bdpo_node_shape(y));
    bdpo_node *x[MAX_INPUTS], *dx[MAX_INPUTS];
    int n = 0;
    for (int i = 0; i < p->n_in; i++)
        if (!p->in[i].constant) x[n++] = p->in[i].node;
    bdpo_gradients(p->g, y, dy.node, x, n, dx);
    n = 0;
    for (int i = 0; i < p->n_in; i++) {
        char name[24];
        snprintf(name, sizeof name, "d%s", p->in[i].name);
        if (!p->in[i].constant) bdpo_output(p->g, name, dx[n++]);
    }
    if (n > 0) p->in[p->n_in++] = dy; // one more input to write
}

static void run_case(const void *argument)
{
    const parity_case *c = argument;
    parity p = {.name = c->name};
    char file[64];
    snprintf(file, sizeof file, "ops/%.*s", (int)strcspn(c->name, "/"), c->name);
    fixture *f = fixture_open(file);
    bdpo_engine *engine;
    bdpo_plan *plan;
    CHECK_OK(bdpo_engine_new(&engine, &(bdpo_engine_options){.n_threads = 2}));
    CHECK_OK(bdpo_graph_new(&p.g, NULL));
    bdpo_node *y = c->build(&p);
    CHECK_OK(bdpo_graph_check(p.g));
    bdpo_output(p.g, "y", y);
    int n_in = p.n_in;
    add_gradients(&p, y);
    CHECK_OK(bdpo_graph_check(p.g));
    CHECK_OK(bdpo_plan_new(&plan, engine, p.g, &(bdpo_plan_options){.poison = true}));
    for (int i = 0; i < p.n_in; i++) write_input(plan, &p, &p.in[i]);
    CHECK_OK(bdpo_plan_run(plan));
    compare(plan, &p, f, "y", count_of(y));
    for (int i = 0; i < n_in; i++) {
        char name[24];
        snprintf(name, sizeof name, "d%s", p.in[i].name);
        if (!p.in[i].constant) compare(plan, &p, f, name, count_of(p.in[i].node));
    }
    bdpo_plan_free(plan);
    bdpo_graph_free(p.g);
    bdpo_engine_free(engine);
    fixture_close(f);
}

__attribute__((constructor)) static void register_cases(void)
{
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        test_register(__FILE__, cases[i].name, TEST_QUICK, run_case, &cases[i]);
}

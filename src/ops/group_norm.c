// y = gamma xhat + beta, or its SiLU, with xhat = (x - mean) rstd over the positions and channels
// of one group of one sample, rstd = 1 / sqrt(variance + eps).
//
//   x [n, .., c], gamma and beta [c] or none -> y [n, .., c]; statistics [n, groups, 2]: mean, rstd
//   with dz = dy, or dy silu'(z) at z = gamma xhat + beta, and p = gamma dz:
//   dx = rstd (p - mean of p - xhat mean of (p xhat)), the means over the group
//   dgamma = sum of dz xhat, dbeta = sum of dz, over samples and positions
#include <math.h>

#include "kernels/norm.h"
#include "ops/ops.h"

#include "graph/op.h"

extern const bdpo_op bdpo_op_group_norm, bdpo_op_group_norm_backward;

typedef struct backward_attrs {
    bdpo_group_norm_options options;
    bool parameters; // dgamma and dbeta are wanted
} backward_attrs;

static bdpo_group_norm_shape geometry(const bdpo_shape *x, const bdpo_group_norm_options *options)
{
    int64_t c = bdpo_shape_cols(x);
    return (bdpo_group_norm_shape){
        .n = x->dim[0],
        .hw = bdpo_shape_rows(x) / x->dim[0],
        .c = c,
        .groups = options->groups,
        .eps = options->eps,
        .silu = options->silu,
    };
}

static bdpo_status shape(bdpo_node *node)
{
    const bdpo_group_norm_options *options = node->attrs;
    TRY(bdpo_expect_float(node, 0, 0));
    const bdpo_shape *x = &bdpo_in(node, 0)->shape;
    int64_t c = bdpo_shape_cols(x);
    if (x->n_dims < 2)
        return bdpo_refuse(node, "%s has no axis of samples", bdpo_shape_print(x).text);
    if (options->groups < 1 || c % options->groups != 0)
        return bdpo_refuse(node, "%d groups do not divide the channels of %s", options->groups,
                           bdpo_shape_print(x).text);
    if (!(options->eps > 0.0f))
        return bdpo_refuse(node, "eps %g is not positive", (double)options->eps);
    bool gamma = node->n_in > 1 && node->in[1] != NULL,
         beta = node->n_in > 2 && node->in[2] != NULL;
    if (gamma != beta) return bdpo_refuse(node, "gamma and beta come both or not at all");
    for (int i = 1; i <= 2 && gamma; i++) {
        TRY(bdpo_expect_float(node, i, 1));
        if (bdpo_in(node, i)->shape.dim[0] != c)
            return bdpo_refuse(
                node, "%s %s does not fit the channels of %s", i == 1 ? "gamma" : "beta",
                bdpo_shape_print(&bdpo_in(node, i)->shape).text, bdpo_shape_print(x).text);
    }
    bdpo_set_output(node, BDPO_F32, *x);
    bdpo_add_output(node, BDPO_F32, BDPO_SHAPE(x->dim[0], options->groups, 2));
    return BDPO_OK;
}

static void grad(bdpo_graph *g, bdpo_node *node, bdpo_node *const *dy, bdpo_node **dx)
{
    const bdpo_group_norm_options *options = node->attrs;
    bool affine = node->n_in > 2 && node->in[1] != NULL;
    backward_attrs attrs = {*options,
                            affine && (bdpo_wants_grad(node, 1) || bdpo_wants_grad(node, 2))};
    bdpo_node *in[] = {dy[0], node->in[0], bdpo_node_output(node, 1), affine ? node->in[1] : NULL,
                       affine ? node->in[2] : NULL};
    bdpo_node *d = bdpo_node_new(g, &bdpo_op_group_norm_backward, &attrs, in, 5);
    if (d == NULL) return;
    if (bdpo_wants_grad(node, 0)) dx[0] = d;
    if (affine && bdpo_wants_grad(node, 1)) dx[1] = bdpo_node_output(d, 1);
    if (affine && bdpo_wants_grad(node, 2)) dx[2] = bdpo_node_output(d, 2);
}

static void cpu(const bdpo_op_call *call)
{
    const bdpo_tensor *x = &call->in[0], *y = &call->out[0];
    bdpo_group_norm_shape s = geometry(&x->shape, call->attrs);
    bdpo_group_norm_forward(y->data, y->row_stride, call->out[1].data, x->data, x->row_stride,
                            call->n_in > 1 ? call->in[1].data : NULL,
                            call->n_in > 2 ? call->in[2].data : NULL, &s, call->workspace,
                            call->n_threads);
}

static size_t workspace(const bdpo_node *node, int n_threads)
{
    (void)n_threads;
    bdpo_group_norm_shape s = geometry(&bdpo_in(node, 0)->shape, node->attrs);
    return bdpo_group_norm_forward_workspace(&s);
}

// Sums, differences and squares of x, its product with gamma, its sum with beta.
static int64_t flops(const bdpo_node *node)
{
    return 8 * bdpo_shape_count(&node->out[0].shape);
}

// Mean and rstd of one group of one sample; x points to the group's first channel.
static void reference_statistics(double *stats, const double *x, const bdpo_group_norm_shape *s)
{
    int64_t width = s->c / s->groups;
    double count = (double)(s->hw * width), mean = 0.0, variance = 0.0;
    for (int64_t p = 0; p < s->hw; p++)
        for (int64_t c = 0; c < width; c++) mean += x[p * s->c + c] / count;
    for (int64_t p = 0; p < s->hw; p++)
        for (int64_t c = 0; c < width; c++) variance += pow(x[p * s->c + c] - mean, 2.0) / count;
    stats[0] = mean;
    stats[1] = 1.0 / sqrt(variance + (double)s->eps);
}

static void reference(const bdpo_reference_call *call)
{
    bdpo_group_norm_shape s = geometry(&call->in_shape[0], call->attrs);
    int64_t width = s.c / s.groups;
    const double *gamma = call->n_in > 1 ? call->in[1] : NULL;
    const double *beta = call->n_in > 2 ? call->in[2] : NULL;
    double *stats = call->out[1];
    for (int64_t i = 0; i < s.n * s.groups; i++)
        reference_statistics(stats + 2 * i,
                             call->in[0] + i / s.groups * s.hw * s.c + i % s.groups * width, &s);
    for (int64_t i = 0; i < s.n * s.hw * s.c; i++) {
        int64_t c = i % s.c, group = i / (s.hw * s.c) * s.groups + c / width;
        double z = (call->in[0][i] - stats[2 * group]) * stats[2 * group + 1];
        if (gamma != NULL && beta != NULL) z = gamma[c] * z + beta[c];
        call->out[0][i] = s.silu ? z / (1.0 + exp(-z)) : z;
    }
}

static const bdpo_op_case cases[] = {
    {.name = "feature map",
     .in = {BDPO_IN(2, 6, 4, 32), BDPO_IN(32), BDPO_IN(32)},
     .attrs = &(bdpo_group_norm_options){.groups = 8, .eps = 1e-5f}},
    {.name = "feature map with silu",
     .in = {BDPO_IN(2, 4, 6, 32), BDPO_IN(32), BDPO_IN(32)},
     .attrs = &(bdpo_group_norm_options){.groups = 4, .eps = 1e-5f, .silu = true}},
    {.name = "tokens, odd sizes",
     .in = {BDPO_IN(3, 37, 21), BDPO_IN(21), BDPO_IN(21)},
     .attrs = &(bdpo_group_norm_options){.groups = 7, .eps = 1e-6f}},
    {.name = "tokens with silu, odd sizes",
     .in = {BDPO_IN(3, 19, 33), BDPO_IN(33), BDPO_IN(33)},
     .attrs = &(bdpo_group_norm_options){.groups = 3, .eps = 1e-6f, .silu = true}},
    {.name = "ten channels a group",
     .in = {BDPO_IN(1, 5, 5, 40), BDPO_IN(40), BDPO_IN(40)},
     .attrs = &(bdpo_group_norm_options){.groups = 4, .eps = 1e-5f, .silu = true}},
    {.name = "one channel a group",
     .in = {BDPO_IN(2, 3, 3, 9), BDPO_IN(9), BDPO_IN(9)},
     .attrs = &(bdpo_group_norm_options){.groups = 9, .eps = 1e-5f}},
    {.name = "one group, no gamma",
     .in = {BDPO_IN(2, 11, 13)},
     .attrs = &(bdpo_group_norm_options){.groups = 1, .eps = 1e-5f}},
    {.name = "silu, no gamma",
     .in = {BDPO_IN(2, 11, 12)},
     .attrs = &(bdpo_group_norm_options){.groups = 2, .eps = 1e-5f, .silu = true}},
    {.name = "rows",
     .in = {BDPO_IN(5, 16), BDPO_IN(16), BDPO_IN(16)},
     .attrs = &(bdpo_group_norm_options){.groups = 2, .eps = 1e-2f}},
    {.name = "one element",
     .in = {BDPO_IN(1, 1), BDPO_IN(1), BDPO_IN(1)},
     .attrs = &(bdpo_group_norm_options){.groups = 1, .eps = 1.0f}},
    {.name = "groups do not divide the channels",
     .in = {BDPO_IN(2, 3, 3, 10), BDPO_IN(10), BDPO_IN(10)},
     .attrs = &(bdpo_group_norm_options){.groups = 4, .eps = 1e-5f},
     .refused = true},
    {.name = "no groups",
     .in = {BDPO_IN(2, 3, 3, 10), BDPO_IN(10), BDPO_IN(10)},
     .attrs = &(bdpo_group_norm_options){.groups = 0, .eps = 1e-5f},
     .refused = true},
    {.name = "no eps",
     .in = {BDPO_IN(2, 3, 3, 8), BDPO_IN(8), BDPO_IN(8)},
     .attrs = &(bdpo_group_norm_options){.groups = 4},
     .refused = true},
    {.name = "gamma too short",
     .in = {BDPO_IN(2, 3, 3, 8), BDPO_IN(4), BDPO_IN(8)},
     .attrs = &(bdpo_group_norm_options){.groups = 4, .eps = 1e-5f},
     .refused = true},
    {.name = "gamma without beta",
     .in = {BDPO_IN(2, 3, 3, 8), BDPO_IN(8)},
     .attrs = &(bdpo_group_norm_options){.groups = 4, .eps = 1e-5f},
     .refused = true},
    {.name = "one axis",
     .in = {BDPO_IN(8)},
     .attrs = &(bdpo_group_norm_options){.groups = 4, .eps = 1e-5f},
     .refused = true},
    {.name = "integers",
     .in = {BDPO_IN_FILL(BDPO_FILL_INDEX, 9, 2, 3, 8)},
     .attrs = &(bdpo_group_norm_options){.groups = 4, .eps = 1e-5f},
     .refused = true},
};

const bdpo_op bdpo_op_group_norm = {
    .name = "group_norm",
    .n_inputs = 3,
    .attrs_size = sizeof(bdpo_group_norm_options),
    .shape = shape,
    .grad = grad,
    .cpu = cpu,
    .reference = reference,
    .cases = cases,
    .n_cases = BDPO_COUNTOF(cases),
    .workspace = workspace,
    .flops = flops,
    .precision = BDPO_COMPUTE,
    .strided_inputs = 1,
    .strided_outputs = 1,
    .inplace_inputs = 1,
};

bdpo_node *bdpo_group_norm(bdpo_graph *g, bdpo_node *x, bdpo_node *gamma, bdpo_node *beta,
                           const bdpo_group_norm_options *options)
{
    return bdpo_node_new(g, &bdpo_op_group_norm, options, (bdpo_node *[]){x, gamma, beta}, 3);
}

// ---- gradient: (dy, x, statistics, gamma, beta) -> dx, dgamma, dbeta -----------------------

static bdpo_status backward_shape(bdpo_node *node)
{
    const backward_attrs *attrs = node->attrs;
    TRY(bdpo_same_shape(node, 2));
    TRY(bdpo_expect(node, 2, BDPO_F32, 3));
    if (!attrs->parameters) return BDPO_OK;
    bdpo_shape c = BDPO_SHAPE(bdpo_shape_cols(&bdpo_in(node, 0)->shape));
    bdpo_add_output(node, BDPO_F32, c);
    bdpo_add_output(node, BDPO_F32, c);
    return BDPO_OK;
}

static void backward_cpu(const bdpo_op_call *call)
{
    const backward_attrs *attrs = call->attrs;
    const bdpo_tensor *dy = &call->in[0], *x = &call->in[1], *dx = &call->out[0];
    bdpo_group_norm_shape s = geometry(&x->shape, &attrs->options);
    bdpo_group_norm_backward(dx->data, dx->row_stride, attrs->parameters ? call->out[1].data : NULL,
                             attrs->parameters ? call->out[2].data : NULL, dy->data, dy->row_stride,
                             x->data, x->row_stride, call->in[2].data, call->in[3].data,
                             call->in[4].data, &s, call->accumulate, false, call->workspace,
                             call->n_threads);
}

static size_t backward_workspace(const bdpo_node *node, int n_threads)
{
    (void)n_threads;
    const backward_attrs *attrs = node->attrs;
    bdpo_group_norm_shape s = geometry(&bdpo_in(node, 1)->shape, &attrs->options);
    return bdpo_group_norm_backward_workspace(&s);
}

// xhat, dz, two pairs of sums, and the three terms of dx.
static int64_t backward_flops(const bdpo_node *node)
{
    return 16 * bdpo_shape_count(&node->out[0].shape);
}

const bdpo_op bdpo_op_group_norm_backward = {
    .name = "group_norm_backward",
    .n_inputs = 5,
    .attrs_size = sizeof(backward_attrs),
    .shape = backward_shape,
    .grad = bdpo_no_grad,
    .cpu = backward_cpu,
    .tested_by = &bdpo_op_group_norm,
    .workspace = backward_workspace,
    .flops = backward_flops,
    .precision = BDPO_COMPUTE,
    .strided_inputs = 3,
    .strided_outputs = 1,
    .inplace_inputs = 1,
    .can_accumulate = true,
};

// y = x / (exp(x) - 1) - 1, which falls from 0 at x = 0 toward -1; dy/dx = (f / x)(1 - x - f) with
// f = y + 1. The generating function of Bernoulli's numbers, less its 1, which would cost most
// digits of a small x. It is the bounded score of MaPO.
//
// One number a picture, so speed does not matter: computed in double and rounded once.
#include <math.h>

#include "ops/ops.h"
#include "ops/unary.h"

extern const bdpo_op bdpo_op_expm1_ratio, bdpo_op_expm1_ratio_backward;

// Below it the series' next term is under 1e-16 of the first, and the closed forms lose digits.
static const double series_below = 1e-3;

static double formula(double x)
{
    if (fabs(x) < series_below) return x * (-1.0 / 2 + x / 12 - x * x * x / 720);
    return x / expm1(x) - 1;
}

static double slope(double x)
{
    if (fabs(x) < series_below) return -1.0 / 2 + x / 6 - x * x * x / 180;
    double f = x / expm1(x);
    return f / x * (1 - x - f);
}

static void grad(bdpo_graph *g, bdpo_node *node, bdpo_node *const *dy, bdpo_node **dx)
{
    bdpo_unary_grad(g, node, dy, dx, &bdpo_op_expm1_ratio_backward);
}

static void cpu(const bdpo_op_call *call)
{
    const float *x = call->in[0].data;
    float *y = call->out[0].data;
    int64_t count = bdpo_shape_count(&call->in[0].shape);
    for (int64_t i = 0; i < count; i++) y[i] = (float)formula((double)x[i]);
}

static void cpu_backward(const bdpo_op_call *call)
{
    const float *dy = call->in[0].data, *x = call->in[1].data;
    float *dx = call->out[0].data;
    int64_t count = bdpo_shape_count(&call->in[0].shape);
    for (int64_t i = 0; i < count; i++) dx[i] = (float)((double)dy[i] * slope((double)x[i]));
}

static double written_out(double x)
{
    return x / (exp(x) - 1) - 1;
}

static void reference(const bdpo_reference_call *call)
{
    bdpo_unary_reference(call, written_out);
}

const bdpo_op bdpo_op_expm1_ratio = {
    .name = "expm1_ratio",
    .n_inputs = 1,
    .shape = bdpo_unary_shape,
    .grad = grad,
    .cpu = cpu,
    .reference = reference,
    .cases = bdpo_unary_cases,
    .n_cases = BDPO_N_UNARY_CASES,
    .precision = BDPO_ISLAND,
    .inplace_inputs = 1,
};

const bdpo_op bdpo_op_expm1_ratio_backward = {
    .name = "expm1_ratio_backward",
    .n_inputs = 2,
    .shape = bdpo_unary_backward_shape,
    .grad = bdpo_no_grad,
    .cpu = cpu_backward,
    .tested_by = &bdpo_op_expm1_ratio,
    .precision = BDPO_ISLAND,
    .inplace_inputs = 3,
};

bdpo_node *bdpo_expm1_ratio(bdpo_graph *g, bdpo_node *x)
{
    return bdpo_unary_node(g, &bdpo_op_expm1_ratio, bdpo_dense(g, x));
}

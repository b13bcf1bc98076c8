// y = x x; dy/dx = 2 x.
#include "ops/ops.h"
#include "ops/unary.h"

extern const bdpo_op bdpo_op_square;

static void grad(bdpo_graph *g, bdpo_node *node, bdpo_node *const *dy, bdpo_node **dx)
{
    dx[0] = bdpo_scale(g, bdpo_mul(g, dy[0], node->in[0]), 2.0f);
}

static void cpu(const bdpo_op_call *call)
{
    bdpo_unary_run(call, BDPO_UNARY_SQUARE, 0.0f, 0.0f);
}

static double formula(double x)
{
    return x * x;
}

static void reference(const bdpo_reference_call *call)
{
    bdpo_unary_reference(call, formula);
}

const bdpo_op bdpo_op_square = {
    .name = "square",
    .n_inputs = 1,
    .shape = bdpo_unary_shape,
    .grad = grad,
    .cpu = cpu,
    .reference = reference,
    .cases = bdpo_unary_cases,
    .n_cases = BDPO_N_UNARY_CASES,
    .precision = BDPO_COMPUTE,
    .strided_inputs = 1,
    .strided_outputs = 1,
    .inplace_inputs = 1,
};

bdpo_node *bdpo_square(bdpo_graph *g, bdpo_node *x)
{
    return bdpo_unary_node(g, &bdpo_op_square, x);
}

// y = tanh(x); dy/dx = 1 - y^2.
#include <math.h>

#include "ops/ops.h"
#include "ops/unary.h"

extern const bdpo_op bdpo_op_tanh, bdpo_op_tanh_backward;

static void grad(bdpo_graph *g, bdpo_node *node, bdpo_node *const *dy, bdpo_node **dx)
{
    bdpo_unary_grad(g, node, dy, dx, &bdpo_op_tanh_backward);
}

static void cpu(const bdpo_op_call *call)
{
    bdpo_unary_run(call, BDPO_UNARY_TANH, 0.0f, 0.0f);
}

static void cpu_backward(const bdpo_op_call *call)
{
    bdpo_unary_run_backward(call, BDPO_UNARY_TANH, 0.0f, 0.0f);
}

static double formula(double x)
{
    return tanh(x);
}

static void reference(const bdpo_reference_call *call)
{
    bdpo_unary_reference(call, formula);
}

const bdpo_op bdpo_op_tanh = {
    .name = "tanh",
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

const bdpo_op bdpo_op_tanh_backward = {
    .name = "tanh_backward",
    .n_inputs = 2,
    .shape = bdpo_unary_backward_shape,
    .grad = bdpo_no_grad,
    .cpu = cpu_backward,
    .tested_by = &bdpo_op_tanh,
    .precision = BDPO_COMPUTE,
    .strided_inputs = 3,
    .strided_outputs = 1,
    .inplace_inputs = 3,
    .can_accumulate = true,
};

bdpo_node *bdpo_tanh(bdpo_graph *g, bdpo_node *x)
{
    return bdpo_unary_node(g, &bdpo_op_tanh, x);
}

// y = min(max(x, lo), hi); dy/dx = 1 between the bounds, 0 on and beyond them.
#include <math.h>

#include "ops/ops.h"
#include "ops/unary.h"

extern const bdpo_op bdpo_op_clamp, bdpo_op_clamp_backward;

typedef struct clamp_attrs {
    float lo, hi;
} clamp_attrs;

static bdpo_status shape(bdpo_node *node)
{
    const clamp_attrs *attrs = node->attrs;
    if (!(attrs->lo <= attrs->hi))
        return bdpo_refuse(node, "lower bound %g lies above upper bound %g", (double)attrs->lo,
                           (double)attrs->hi);
    return bdpo_unary_shape(node);
}

static void grad(bdpo_graph *g, bdpo_node *node, bdpo_node *const *dy, bdpo_node **dx)
{
    bdpo_unary_grad(g, node, dy, dx, &bdpo_op_clamp_backward);
}

static void cpu(const bdpo_op_call *call)
{
    const clamp_attrs *attrs = call->attrs;
    bdpo_unary_run(call, BDPO_UNARY_CLAMP, attrs->lo, attrs->hi);
}

static void cpu_backward(const bdpo_op_call *call)
{
    const clamp_attrs *attrs = call->attrs;
    bdpo_unary_run_backward(call, BDPO_UNARY_CLAMP, attrs->lo, attrs->hi);
}

static void reference(const bdpo_reference_call *call)
{
    const clamp_attrs *attrs = call->attrs;
    int64_t count = bdpo_shape_count(&call->in_shape[0]);
    for (int64_t i = 0; i < count; i++)
        call->out[0][i] = fmin(fmax(call->in[0][i], (double)attrs->lo), (double)attrs->hi);
}

static const bdpo_op_case cases[] = {
    {.name = "feature map", .in = {BDPO_IN(2, 5, 4, 32)}, .attrs = &(clamp_attrs){-1.0f, 0.5f}},
    {.name = "odd sizes", .in = {BDPO_IN(3, 37)}, .attrs = &(clamp_attrs){-0.25f, 3.0f}},
    {.name = "one side", .in = {BDPO_IN(129)}, .attrs = &(clamp_attrs){0.0f, INFINITY}},
    {.name = "one element", .in = {BDPO_IN(1)}, .attrs = &(clamp_attrs){-9.0f, 9.0f}},
    {.name = "bounds crossed",
     .in = {BDPO_IN(4)},
     .attrs = &(clamp_attrs){1.0f, -1.0f},
     .refused = true},
    {.name = "integers",
     .in = {BDPO_IN_FILL(BDPO_FILL_INDEX, 9, 4)},
     .attrs = &(clamp_attrs){0.0f, 1.0f},
     .refused = true},
};

const bdpo_op bdpo_op_clamp = {
    .name = "clamp",
    .n_inputs = 1,
    .attrs_size = sizeof(clamp_attrs),
    .shape = shape,
    .grad = grad,
    .cpu = cpu,
    .reference = reference,
    .cases = cases,
    .n_cases = BDPO_COUNTOF(cases),
    .precision = BDPO_COMPUTE,
    .strided_inputs = 1,
    .strided_outputs = 1,
    .inplace_inputs = 1,
};

const bdpo_op bdpo_op_clamp_backward = {
    .name = "clamp_backward",
    .n_inputs = 2,
    .attrs_size = sizeof(clamp_attrs),
    .shape = bdpo_unary_backward_shape,
    .grad = bdpo_no_grad,
    .cpu = cpu_backward,
    .tested_by = &bdpo_op_clamp,
    .precision = BDPO_COMPUTE,
    .strided_inputs = 3,
    .strided_outputs = 1,
    .inplace_inputs = 3,
    .can_accumulate = true,
};

bdpo_node *bdpo_clamp(bdpo_graph *g, bdpo_node *x, float lo, float hi)
{
    return bdpo_node_new(g, &bdpo_op_clamp, &(clamp_attrs){lo, hi}, &x, 1);
}

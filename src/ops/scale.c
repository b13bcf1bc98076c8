// y = factor * x.
//
//   x [..] -> y [..];  dx = factor * dy
#include "kernels/elementwise.h"
#include "ops/ops.h"

#include "graph/op.h"

extern const bdpo_op bdpo_op_scale;

static bdpo_status shape(bdpo_node *node)
{
    return bdpo_same_shape(node, 1);
}

static void grad(bdpo_graph *g, bdpo_node *node, bdpo_node *const *dy, bdpo_node **dx)
{
    dx[0] = bdpo_scale(g, dy[0], *(const float *)node->attrs);
}

static void cpu(const bdpo_op_call *call)
{
    const bdpo_tensor *x = &call->in[0], *y = &call->out[0];
    bdpo_scale_shift(y->data, y->row_stride, x->data, x->row_stride, *(const float *)call->attrs,
                     0.0f, bdpo_shape_rows(&x->shape), bdpo_shape_cols(&x->shape), call->n_threads);
}

static void reference(const bdpo_reference_call *call)
{
    int64_t count = bdpo_shape_count(&call->in_shape[0]);
    for (int64_t i = 0; i < count; i++)
        call->out[0][i] = (double)*(const float *)call->attrs * call->in[0][i];
}

static const bdpo_op_case cases[] = {
    {.name = "feature map", .in = {BDPO_IN(2, 5, 4, 32)}, .attrs = &(float){0.125f}},
    {.name = "odd sizes", .in = {BDPO_IN(3, 7, 37)}, .attrs = &(float){-3.0f}},
    {.name = "one element", .in = {BDPO_IN(1)}, .attrs = &(float){2.0f}},
    {.name = "by zero", .in = {BDPO_IN(5, 3)}, .attrs = &(float){0.0f}},
    {.name = "integers",
     .in = {BDPO_IN_FILL(BDPO_FILL_INDEX, 9, 4)},
     .attrs = &(float){2.0f},
     .refused = true},
};

const bdpo_op bdpo_op_scale = {
    .name = "scale",
    .n_inputs = 1,
    .attrs_size = sizeof(float),
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

bdpo_node *bdpo_scale(bdpo_graph *g, bdpo_node *x, float factor)
{
    return bdpo_node_new(g, &bdpo_op_scale, &factor, &x, 1);
}

// y = one number everywhere. No input; no gradient.
#include "kernels/elementwise.h"
#include "ops/ops.h"

#include "graph/op.h"

static bdpo_status shape(bdpo_node *node)
{
    const bdpo_fill_attrs *at = node->attrs;
    TRY(bdpo_shape_check(&at->shape, "fill"));
    bdpo_set_output(node, BDPO_F32, at->shape);
    return BDPO_OK;
}

static void cpu(const bdpo_op_call *call)
{
    const bdpo_fill_attrs *at = call->attrs;
    const bdpo_tensor *y = &call->out[0];
    bdpo_fill_rows(y->data, y->row_stride, at->value, bdpo_shape_rows(&y->shape),
                   bdpo_shape_cols(&y->shape), call->n_threads);
}

static void reference(const bdpo_reference_call *call)
{
    const bdpo_fill_attrs *at = call->attrs;
    for (int64_t i = 0; i < bdpo_shape_count(&at->shape); i++) call->out[0][i] = (double)at->value;
}

static const bdpo_op_case cases[] = {
    {.name = "zeros", .attrs = &(bdpo_fill_attrs){{4, {2, 3, 5, 7}}, 0.0f}},
    {.name = "a number", .attrs = &(bdpo_fill_attrs){{2, {3, 33}}, -1.5f}},
    {.name = "one element", .attrs = &(bdpo_fill_attrs){{1, {1}}, 1.0f}},
    {.name = "empty", .attrs = &(bdpo_fill_attrs){{2, {3, 0}}, 1.0f}, .refused = true},
};

const bdpo_op bdpo_op_fill = {
    .name = "fill",
    .n_inputs = 0,
    .attrs_size = sizeof(bdpo_fill_attrs),
    .shape = shape,
    .grad = bdpo_no_grad,
    .cpu = cpu,
    .reference = reference,
    .cases = cases,
    .n_cases = BDPO_COUNTOF(cases),
    .precision = BDPO_COMPUTE,
    .strided_outputs = 1,
};

bdpo_node *bdpo_fill(bdpo_graph *g, bdpo_shape shape_of_y, float value)
{
    bdpo_fill_attrs at = {.shape = shape_of_y, .value = value};
    return bdpo_node_new(g, &bdpo_op_fill, &at, NULL, 0);
}

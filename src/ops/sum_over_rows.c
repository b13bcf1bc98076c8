// y[c] = sum over all rows r of x[r, c]: the gradient of a bias.
//
//   x [.., c] -> y [c];  dx = dy in every row (broadcast_rows)
#include "kernels/reduce.h"
#include "ops/ops.h"

#include "graph/op.h"

static bdpo_status shape(bdpo_node *node)
{
    TRY(bdpo_expect_float(node, 0, 0));
    bdpo_set_output(node, BDPO_F32, BDPO_SHAPE(bdpo_shape_cols(&bdpo_in(node, 0)->shape)));
    return BDPO_OK;
}

static void grad(bdpo_graph *g, bdpo_node *node, bdpo_node *const *dy, bdpo_node **dx)
{
    dx[0] = bdpo_broadcast_rows(g, dy[0], bdpo_in(node, 0)->shape);
}

static void cpu(const bdpo_op_call *call)
{
    const bdpo_tensor *x = &call->in[0];
    bdpo_column_sums(call->out[0].data, x->data, x->row_stride, NULL, 0, 1,
                     bdpo_shape_rows(&x->shape), bdpo_shape_cols(&x->shape), 1.0f, call->accumulate,
                     call->workspace, call->n_threads);
}

static size_t workspace(const bdpo_node *node, int n_threads)
{
    (void)n_threads;
    const bdpo_shape *x = &bdpo_in(node, 0)->shape;
    return bdpo_column_sums_workspace(1, bdpo_shape_rows(x), bdpo_shape_cols(x));
}

static int64_t flops(const bdpo_node *node)
{
    return bdpo_shape_count(&bdpo_in(node, 0)->shape);
}

static void reference(const bdpo_reference_call *call)
{
    int64_t rows = bdpo_shape_rows(&call->in_shape[0]), cols = bdpo_shape_cols(&call->in_shape[0]);
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < cols; c++) call->out[0][c] += call->in[0][r * cols + c];
}

static const bdpo_op_case cases[] = {
    {.name = "feature map", .in = {BDPO_IN(2, 8, 8, 32)}},
    {.name = "odd sizes", .in = {BDPO_IN(3, 43, 37)}},
    {.name = "many rows", .in = {BDPO_IN(2053, 5)}},
    {.name = "one row", .in = {BDPO_IN(19)}},
    {.name = "one element", .in = {BDPO_IN(1)}},
    {.name = "integers", .in = {BDPO_IN_FILL(BDPO_FILL_INDEX, 9, 4, 8)}, .refused = true},
};

const bdpo_op bdpo_op_sum_over_rows = {
    .name = "sum_over_rows",
    .n_inputs = 1,
    .shape = shape,
    .grad = grad,
    .cpu = cpu,
    .reference = reference,
    .cases = cases,
    .n_cases = BDPO_COUNTOF(cases),
    .workspace = workspace,
    .flops = flops,
    .precision = BDPO_WEIGHT,
    .strided_inputs = 1,
    .can_accumulate = true,
};

bdpo_node *bdpo_sum_over_rows(bdpo_graph *g, bdpo_node *x)
{
    return bdpo_node_new(g, &bdpo_op_sum_over_rows, NULL, &x, 1);
}

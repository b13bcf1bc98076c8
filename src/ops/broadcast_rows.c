// y[r, c] = x[c] for every row r.
//
//   x [c] -> y of the shape asked for, whose last axis is c;  dx = the sum of dy's rows
#include <string.h>

#include "ops/ops.h"

#include "graph/op.h"

static bdpo_status shape(bdpo_node *node)
{
    const bdpo_shape *y = node->attrs;
    TRY(bdpo_expect_float(node, 0, 1));
    TRY(bdpo_shape_check(y, "broadcast_rows"));
    if (bdpo_shape_cols(y) != bdpo_in(node, 0)->shape.dim[0])
        return bdpo_refuse(node, "%s cannot be a row of %s",
                           bdpo_shape_print(&bdpo_in(node, 0)->shape).text,
                           bdpo_shape_print(y).text);
    bdpo_set_output(node, BDPO_F32, *y);
    return BDPO_OK;
}

static void grad(bdpo_graph *g, bdpo_node *node, bdpo_node *const *dy, bdpo_node **dx)
{
    (void)node;
    dx[0] = bdpo_sum_over_rows(g, dy[0]);
}

static void cpu(const bdpo_op_call *call)
{
    const float *x = call->in[0].data;
    float *y = call->out[0].data;
    int64_t ld = call->out[0].row_stride;
    int64_t rows = bdpo_shape_rows(&call->out[0].shape), cols = call->in[0].shape.dim[0];
#pragma omp parallel for num_threads(call->n_threads) schedule(static)
    for (int64_t r = 0; r < rows; r++) memcpy(y + r * ld, x, (size_t)cols * sizeof *x);
}

static void reference(const bdpo_reference_call *call)
{
    int64_t cols = call->in_shape[0].dim[0], count = bdpo_shape_count(&call->out_shape[0]);
    for (int64_t i = 0; i < count; i++) call->out[0][i] = call->in[0][i % cols];
}

static const bdpo_op_case cases[] = {
    {.name = "tokens", .in = {BDPO_IN(32)}, .attrs = &(bdpo_shape){.n_dims = 3, .dim = {2, 9, 32}}},
    {.name = "odd sizes",
     .in = {BDPO_IN(13)},
     .attrs = &(bdpo_shape){.n_dims = 4, .dim = {3, 1, 5, 13}}},
    {.name = "one element", .in = {BDPO_IN(1)}, .attrs = &(bdpo_shape){.n_dims = 1, .dim = {1}}},
    {.name = "last axis differs",
     .in = {BDPO_IN(4)},
     .attrs = &(bdpo_shape){.n_dims = 2, .dim = {4, 5}},
     .refused = true},
    {.name = "empty shape",
     .in = {BDPO_IN(4)},
     .attrs = &(bdpo_shape){.n_dims = 2, .dim = {0, 4}},
     .refused = true},
    {.name = "a matrix",
     .in = {BDPO_IN(2, 4)},
     .attrs = &(bdpo_shape){.n_dims = 2, .dim = {2, 4}},
     .refused = true},
};

const bdpo_op bdpo_op_broadcast_rows = {
    .name = "broadcast_rows",
    .n_inputs = 1,
    .attrs_size = sizeof(bdpo_shape),
    .shape = shape,
    .grad = grad,
    .cpu = cpu,
    .reference = reference,
    .cases = cases,
    .n_cases = BDPO_COUNTOF(cases),
    .precision = BDPO_COMPUTE,
    .strided_outputs = 1,
};

bdpo_node *bdpo_broadcast_rows(bdpo_graph *g, bdpo_node *x, bdpo_shape shape_of_y)
{
    return bdpo_node_new(g, &bdpo_op_broadcast_rows, &shape_of_y, &x, 1);
}

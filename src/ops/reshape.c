// y = x with other axes and the same elements in the same order: a view.
//
//   x [..] -> y of the shape asked for;  dx = dy in x's shape
//
// A row stride is kept where the last axis stays as it is; a view whose last axis changes is made
// dense first (bdpo_dense), by the builder.
#include <string.h>

#include "ops/ops.h"

#include "graph/op.h"

extern const bdpo_op bdpo_op_reshape;

static bdpo_status shape(bdpo_node *node)
{
    const bdpo_shape *y = node->attrs;
    if (node->n_in < 1 || !node->in[0]) return bdpo_refuse(node, "input 0 is missing");
    TRY(bdpo_shape_check(y, "reshape"));
    const bdpo_value *x = bdpo_in(node, 0);
    if (bdpo_shape_count(y) != bdpo_shape_count(&x->shape))
        return bdpo_refuse(node, "%s does not have the elements of %s",
                           bdpo_shape_print(&x->shape).text, bdpo_shape_print(y).text);
    bool dense = x->row_stride == bdpo_shape_cols(&x->shape);
    bool same_rows = bdpo_shape_cols(y) == bdpo_shape_cols(&x->shape);
    if (!dense && !same_rows)
        return bdpo_refuse(node, "%s is a view with a row stride and cannot become %s",
                           bdpo_shape_print(&x->shape).text, bdpo_shape_print(y).text);
    bdpo_set_output(node, x->dtype, *y);
    if (same_rows) node->out[0].row_stride = x->row_stride;
    return BDPO_OK;
}

static void grad(bdpo_graph *g, bdpo_node *node, bdpo_node *const *dy, bdpo_node **dx)
{
    dx[0] = bdpo_reshape(g, dy[0], bdpo_in(node, 0)->shape);
}

static void reference(const bdpo_reference_call *call)
{
    memcpy(call->out[0], call->in[0],
           (size_t)bdpo_shape_count(&call->in_shape[0]) * sizeof(double));
}

static const bdpo_op_case cases[] = {
    {.name = "map to tokens",
     .in = {BDPO_IN(2, 4, 5, 32)},
     .attrs = &(bdpo_shape){.n_dims = 3, .dim = {2, 20, 32}}},
    {.name = "tokens to heads",
     .in = {BDPO_IN(2, 7, 12)},
     .attrs = &(bdpo_shape){.n_dims = 4, .dim = {2, 7, 3, 4}}},
    {.name = "to one row", .in = {BDPO_IN(3, 5)}, .attrs = &(bdpo_shape){.n_dims = 1, .dim = {15}}},
    {.name = "one element", .in = {BDPO_IN(1)}, .attrs = &(bdpo_shape){.n_dims = 2, .dim = {1, 1}}},
    {.name = "counts differ",
     .in = {BDPO_IN(3, 5)},
     .attrs = &(bdpo_shape){.n_dims = 1, .dim = {16}},
     .refused = true},
    {.name = "a negative axis",
     .in = {BDPO_IN(3, 5)},
     .attrs = &(bdpo_shape){.n_dims = 2, .dim = {-3, -5}},
     .refused = true},
};

const bdpo_op bdpo_op_reshape = {
    .name = "reshape",
    .n_inputs = 1,
    .attrs_size = sizeof(bdpo_shape),
    .shape = shape,
    .grad = grad,
    .reference = reference,
    .cases = cases,
    .n_cases = BDPO_COUNTOF(cases),
    .precision = BDPO_FOLLOW,
    .strided_inputs = 1,
    .is_view = true,
};

bdpo_node *bdpo_reshape(bdpo_graph *g, bdpo_node *x, bdpo_shape shape_of_y)
{
    bool same_rows = x && bdpo_shape_cols(&shape_of_y) == bdpo_shape_cols(&x->out[0].shape);
    if (!same_rows) x = bdpo_dense(g, x);
    return bdpo_node_new(g, &bdpo_op_reshape, &shape_of_y, &x, 1);
}

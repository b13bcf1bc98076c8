// What the operators y = f(x) share.
#include "ops/unary.h"

bdpo_status bdpo_unary_shape(bdpo_node *node)
{
    return bdpo_same_shape(node, 1);
}

bdpo_status bdpo_unary_backward_shape(bdpo_node *node)
{
    return bdpo_same_shape(node, 2);
}

void bdpo_unary_grad(bdpo_graph *g, bdpo_node *node, bdpo_node *const *dy, bdpo_node **dx,
                     const bdpo_op *backward)
{
    dx[0] = bdpo_node_new(g, backward, node->attrs, (bdpo_node *[]){dy[0], node->in[0]}, 2);
}

void bdpo_unary_run(const bdpo_op_call *call, bdpo_unary f, float lo, float hi)
{
    const bdpo_tensor *x = &call->in[0], *y = &call->out[0];
    bdpo_unary_forward(y->data, y->row_stride, x->data, x->row_stride, bdpo_shape_rows(&x->shape),
                       bdpo_shape_cols(&x->shape), f, lo, hi, call->n_threads);
}

void bdpo_unary_run_backward(const bdpo_op_call *call, bdpo_unary f, float lo, float hi)
{
    const bdpo_tensor *dy = &call->in[0], *x = &call->in[1], *dx = &call->out[0];
    bdpo_unary_backward(dx->data, dx->row_stride, dy->data, dy->row_stride, x->data, x->row_stride,
                        bdpo_shape_rows(&x->shape), bdpo_shape_cols(&x->shape), f, lo, hi,
                        call->accumulate, call->n_threads);
}

void bdpo_unary_reference(const bdpo_reference_call *call, double (*f)(double x))
{
    int64_t count = bdpo_shape_count(&call->in_shape[0]);
    for (int64_t i = 0; i < count; i++) call->out[0][i] = f(call->in[0][i]);
}

bdpo_node *bdpo_unary_node(bdpo_graph *g, const bdpo_op *op, bdpo_node *x)
{
    return bdpo_node_new(g, op, NULL, &x, 1);
}

const bdpo_op_case bdpo_unary_cases[BDPO_N_UNARY_CASES] = {
    {.name = "feature map", .in = {BDPO_IN(2, 5, 4, 32)}},
    {.name = "odd sizes", .in = {BDPO_IN(3, 7, 37)}},
    {.name = "one row", .in = {BDPO_IN(129)}},
    {.name = "one element", .in = {BDPO_IN(1)}},
    {.name = "integers", .in = {BDPO_IN_FILL(BDPO_FILL_INDEX, 9, 4)}, .refused = true},
};

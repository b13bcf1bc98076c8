// y = exp(x) / sum of exp(x), over the last axis. In f32 always.
//
//   x [.., c] -> y [.., c];  dx = y (dy - y . dy)
#include <math.h>

#include "kernels/softmax_rows.h"
#include "ops/ops.h"

#include "graph/op.h"

extern const bdpo_op bdpo_op_softmax, bdpo_op_softmax_backward;

static bdpo_status shape(bdpo_node *node)
{
    return bdpo_same_shape(node, 1);
}

static void grad(bdpo_graph *g, bdpo_node *node, bdpo_node *const *dy, bdpo_node **dx)
{
    dx[0] = bdpo_node_new(g, &bdpo_op_softmax_backward, NULL, (bdpo_node *[]){dy[0], node}, 2);
}

static void cpu(const bdpo_op_call *call)
{
    const bdpo_tensor *x = &call->in[0], *y = &call->out[0];
    bdpo_softmax_forward(y->data, y->row_stride, x->data, x->row_stride, bdpo_shape_rows(&x->shape),
                         bdpo_shape_cols(&x->shape), call->n_threads);
}

// The maximum, the difference, the exponential, the sum, the quotient.
static int64_t flops(const bdpo_node *node)
{
    return 5 * bdpo_shape_count(&node->out[0].shape);
}

static void reference(const bdpo_reference_call *call)
{
    int64_t rows = bdpo_shape_rows(&call->in_shape[0]), cols = bdpo_shape_cols(&call->in_shape[0]);
    for (int64_t r = 0; r < rows; r++) {
        const double *x = call->in[0] + r * cols;
        double top = x[0], sum = 0.0;
        for (int64_t c = 0; c < cols; c++) top = fmax(top, x[c]);
        for (int64_t c = 0; c < cols; c++) sum += exp(x[c] - top);
        for (int64_t c = 0; c < cols; c++) call->out[0][r * cols + c] = exp(x[c] - top) / sum;
    }
}

static const bdpo_op_case cases[] = {
    {.name = "scores", .in = {BDPO_IN(2, 8, 64)}},
    {.name = "odd sizes", .in = {BDPO_IN(3, 7, 37)}},
    {.name = "two classes", .in = {BDPO_IN(5, 2)}},
    {.name = "one row", .in = {BDPO_IN(517)}},
    {.name = "one element", .in = {BDPO_IN(1)}},
    {.name = "integers", .in = {BDPO_IN_FILL(BDPO_FILL_INDEX, 9, 2, 8)}, .refused = true},
};

const bdpo_op bdpo_op_softmax = {
    .name = "softmax",
    .n_inputs = 1,
    .shape = shape,
    .grad = grad,
    .cpu = cpu,
    .reference = reference,
    .cases = cases,
    .n_cases = BDPO_COUNTOF(cases),
    .flops = flops,
    .precision = BDPO_ISLAND,
    .strided_inputs = 1,
    .strided_outputs = 1,
    .inplace_inputs = 1,
};

bdpo_node *bdpo_softmax(bdpo_graph *g, bdpo_node *x)
{
    return bdpo_node_new(g, &bdpo_op_softmax, NULL, &x, 1);
}

// ---- gradient: (dy, y) -> dx ---------------------------------------------------------------

static bdpo_status backward_shape(bdpo_node *node)
{
    return bdpo_same_shape(node, 2);
}

static void backward_cpu(const bdpo_op_call *call)
{
    const bdpo_tensor *dy = &call->in[0], *y = &call->in[1], *dx = &call->out[0];
    bdpo_softmax_backward(dx->data, dx->row_stride, dy->data, dy->row_stride, y->data,
                          y->row_stride, bdpo_shape_rows(&y->shape), bdpo_shape_cols(&y->shape),
                          call->accumulate, call->n_threads);
}

static int64_t backward_flops(const bdpo_node *node)
{
    return 4 * bdpo_shape_count(&node->out[0].shape);
}

const bdpo_op bdpo_op_softmax_backward = {
    .name = "softmax_backward",
    .n_inputs = 2,
    .shape = backward_shape,
    .grad = bdpo_no_grad,
    .cpu = backward_cpu,
    .tested_by = &bdpo_op_softmax,
    .flops = backward_flops,
    .precision = BDPO_ISLAND,
    .strided_inputs = 3,
    .strided_outputs = 1,
    .inplace_inputs = 1,
    .can_accumulate = true,
};

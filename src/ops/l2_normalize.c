// y = x / max(|x|, eps), |x| the length of a row.
//
//   x [.., c] -> y [.., c]; norms [rows]: |x|
//   dx = (dy - y (y . dy)) / |x|, or dy / eps in rows shorter than eps
#include <math.h>

#include "kernels/norm.h"
#include "ops/ops.h"

#include "graph/op.h"

extern const bdpo_op bdpo_op_l2_normalize, bdpo_op_l2_normalize_backward;

typedef struct l2_attrs {
    float eps;
} l2_attrs;

static bdpo_status shape(bdpo_node *node)
{
    const l2_attrs *attrs = node->attrs;
    if (!(attrs->eps > 0.0f))
        return bdpo_refuse(node, "eps %g is not positive", (double)attrs->eps);
    TRY(bdpo_same_shape(node, 1));
    bdpo_add_output(node, BDPO_F32, BDPO_SHAPE(bdpo_shape_rows(&bdpo_in(node, 0)->shape)));
    return BDPO_OK;
}

static void grad(bdpo_graph *g, bdpo_node *node, bdpo_node *const *dy, bdpo_node **dx)
{
    bdpo_node *in[] = {dy[0], node->in[0], bdpo_node_output(node, 1)};
    dx[0] = bdpo_node_new(g, &bdpo_op_l2_normalize_backward, node->attrs, in, 3);
}

static void cpu(const bdpo_op_call *call)
{
    const l2_attrs *attrs = call->attrs;
    const bdpo_tensor *x = &call->in[0], *y = &call->out[0];
    bdpo_l2_normalize_forward(y->data, y->row_stride, call->out[1].data, x->data, x->row_stride,
                              bdpo_shape_rows(&x->shape), bdpo_shape_cols(&x->shape), attrs->eps,
                              call->n_threads);
}

static int64_t flops(const bdpo_node *node)
{
    return 3 * bdpo_shape_count(&node->out[0].shape);
}

static void reference(const bdpo_reference_call *call)
{
    const l2_attrs *attrs = call->attrs;
    int64_t rows = bdpo_shape_rows(&call->in_shape[0]), cols = bdpo_shape_cols(&call->in_shape[0]);
    for (int64_t r = 0; r < rows; r++) {
        const double *x = call->in[0] + r * cols;
        double sum = 0.0;
        for (int64_t c = 0; c < cols; c++) sum += x[c] * x[c];
        call->out[1][r] = sqrt(sum);
        for (int64_t c = 0; c < cols; c++)
            call->out[0][r * cols + c] = x[c] / fmax(sqrt(sum), (double)attrs->eps);
    }
}

static const bdpo_op_case cases[] = {
    {.name = "embeddings", .in = {BDPO_IN(8, 64)}, .attrs = &(l2_attrs){1e-12f}},
    {.name = "odd sizes", .in = {BDPO_IN(3, 7, 37)}, .attrs = &(l2_attrs){1e-12f}},
    {.name = "all rows shorter than eps", .in = {BDPO_IN(5, 9)}, .attrs = &(l2_attrs){100.0f}},
    {.name = "one row", .in = {BDPO_IN(129)}, .attrs = &(l2_attrs){1e-6f}},
    // Of length 1 the result is constant; below eps it is not.
    {.name = "one element", .in = {BDPO_IN(1)}, .attrs = &(l2_attrs){50.0f}},
    {.name = "no eps", .in = {BDPO_IN(2, 8)}, .attrs = &(l2_attrs){0.0f}, .refused = true},
    {.name = "integers",
     .in = {BDPO_IN_FILL(BDPO_FILL_INDEX, 9, 2, 8)},
     .attrs = &(l2_attrs){1e-6f},
     .refused = true},
};

const bdpo_op bdpo_op_l2_normalize = {
    .name = "l2_normalize",
    .n_inputs = 1,
    .attrs_size = sizeof(l2_attrs),
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
};

bdpo_node *bdpo_l2_normalize(bdpo_graph *g, bdpo_node *x, float eps)
{
    return bdpo_node_new(g, &bdpo_op_l2_normalize, &(l2_attrs){eps}, &x, 1);
}

// ---- gradient: (dy, x, norms) -> dx --------------------------------------------------------

static bdpo_status backward_shape(bdpo_node *node)
{
    TRY(bdpo_same_shape(node, 2));
    return bdpo_expect(node, 2, BDPO_F32, 1);
}

static void backward_cpu(const bdpo_op_call *call)
{
    const l2_attrs *attrs = call->attrs;
    const bdpo_tensor *dy = &call->in[0], *x = &call->in[1], *dx = &call->out[0];
    bdpo_l2_normalize_backward(dx->data, dx->row_stride, dy->data, dy->row_stride, x->data,
                               x->row_stride, call->in[2].data, bdpo_shape_rows(&x->shape),
                               bdpo_shape_cols(&x->shape), attrs->eps, call->accumulate,
                               call->n_threads);
}

static int64_t backward_flops(const bdpo_node *node)
{
    return 6 * bdpo_shape_count(&node->out[0].shape);
}

const bdpo_op bdpo_op_l2_normalize_backward = {
    .name = "l2_normalize_backward",
    .n_inputs = 3,
    .attrs_size = sizeof(l2_attrs),
    .shape = backward_shape,
    .grad = bdpo_no_grad,
    .cpu = backward_cpu,
    .tested_by = &bdpo_op_l2_normalize,
    .flops = backward_flops,
    .precision = BDPO_ISLAND,
    .strided_inputs = 3,
    .strided_outputs = 1,
    .can_accumulate = true,
};

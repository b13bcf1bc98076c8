// y = v gelu(u), where each row of x holds v, then u.
//
//   x [.., 2 c] -> y [.., c];  dv = dy gelu(u), du = dy v gelu'(u), side by side
#include <math.h>

#include "kernels/elementwise.h"
#include "ops/ops.h"

#include "graph/op.h"

extern const bdpo_op bdpo_op_geglu, bdpo_op_geglu_backward;

static bdpo_status shape(bdpo_node *node)
{
    TRY(bdpo_expect_float(node, 0, 0));
    bdpo_shape y = bdpo_in(node, 0)->shape;
    int64_t cols = bdpo_shape_cols(&y);
    if (cols % 2 != 0)
        return bdpo_refuse(node, "rows of %s do not divide into value and gate",
                           bdpo_shape_print(&y).text);
    y.dim[y.n_dims - 1] = cols / 2;
    bdpo_set_output(node, BDPO_F32, y);
    return BDPO_OK;
}

static void grad(bdpo_graph *g, bdpo_node *node, bdpo_node *const *dy, bdpo_node **dx)
{
    bdpo_node *in[] = {dy[0], node->in[0]};
    dx[0] = bdpo_node_new(g, &bdpo_op_geglu_backward, NULL, in, 2);
}

static void cpu(const bdpo_op_call *call)
{
    const bdpo_tensor *x = &call->in[0], *y = &call->out[0];
    bdpo_geglu_forward(y->data, y->row_stride, x->data, x->row_stride, bdpo_shape_rows(&y->shape),
                       bdpo_shape_cols(&y->shape), call->n_threads);
}

static int64_t flops(const bdpo_node *node)
{
    return 2 * bdpo_shape_count(&node->out[0].shape);
}

static void reference(const bdpo_reference_call *call)
{
    int64_t cols = bdpo_shape_cols(&call->out_shape[0]);
    int64_t count = bdpo_shape_count(&call->out_shape[0]);
    for (int64_t i = 0; i < count; i++) {
        const double *x = call->in[0] + i / cols * 2 * cols + i % cols;
        call->out[0][i] = x[0] * 0.5 * x[cols] * (1.0 + erf(x[cols] / sqrt(2.0)));
    }
}

static const bdpo_op_case cases[] = {
    {.name = "tokens", .in = {BDPO_IN(2, 16, 64)}},
    {.name = "odd sizes", .in = {BDPO_IN(3, 7, 74)}},
    {.name = "one row", .in = {BDPO_IN(130)}},
    {.name = "one element", .in = {BDPO_IN(2)}},
    {.name = "no halves", .in = {BDPO_IN(2, 9)}, .refused = true},
    {.name = "integers", .in = {BDPO_IN_FILL(BDPO_FILL_INDEX, 9, 2, 8)}, .refused = true},
};

const bdpo_op bdpo_op_geglu = {
    .name = "geglu",
    .n_inputs = 1,
    .shape = shape,
    .grad = grad,
    .cpu = cpu,
    .reference = reference,
    .cases = cases,
    .n_cases = BDPO_COUNTOF(cases),
    .flops = flops,
    .precision = BDPO_COMPUTE,
    .strided_inputs = 1,
    .strided_outputs = 1,
};

bdpo_node *bdpo_geglu(bdpo_graph *g, bdpo_node *x)
{
    return bdpo_node_new(g, &bdpo_op_geglu, NULL, &x, 1);
}

// ---- gradient: (dy, x) -> dx ---------------------------------------------------------------

static bdpo_status backward_shape(bdpo_node *node)
{
    TRY(bdpo_expect_float(node, 0, 0));
    TRY(bdpo_expect_float(node, 1, 0));
    const bdpo_shape *dy = &bdpo_in(node, 0)->shape, *x = &bdpo_in(node, 1)->shape;
    if (2 * bdpo_shape_count(dy) != bdpo_shape_count(x) ||
        2 * bdpo_shape_cols(dy) != bdpo_shape_cols(x))
        return bdpo_refuse(node, "gradient %s does not fit input %s", bdpo_shape_print(dy).text,
                           bdpo_shape_print(x).text);
    bdpo_set_output(node, BDPO_F32, *x);
    return BDPO_OK;
}

static void backward_cpu(const bdpo_op_call *call)
{
    const bdpo_tensor *dy = &call->in[0], *x = &call->in[1], *dx = &call->out[0];
    bdpo_geglu_backward(dx->data, dx->row_stride, dy->data, dy->row_stride, x->data, x->row_stride,
                        bdpo_shape_rows(&dy->shape), bdpo_shape_cols(&dy->shape), call->n_threads);
}

static int64_t backward_flops(const bdpo_node *node)
{
    return 3 * bdpo_shape_count(&node->out[0].shape);
}

const bdpo_op bdpo_op_geglu_backward = {
    .name = "geglu_backward",
    .n_inputs = 2,
    .shape = backward_shape,
    .grad = bdpo_no_grad,
    .cpu = backward_cpu,
    .tested_by = &bdpo_op_geglu,
    .flops = backward_flops,
    .precision = BDPO_COMPUTE,
    .strided_inputs = 3,
    .strided_outputs = 1,
    .inplace_inputs = 2,
};

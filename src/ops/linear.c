// y[r, :] = activation(w x[r, :] + b) for every row r of x.
//
//   x [.., in], w [out, in], b [out] or none -> y [.., out]
//   dx = dy w             linear_input_grad (dy, w) -> [.., in]
//   dw = dy' x            linear_weight_grad (dy, x) -> [out, in]
//   db = sum of dy's rows
//
// The attribute is the bdpo_activation.
#include <math.h>

#include "kernels/gemm.h"
#include "ops/broadcast.h"
#include "ops/ops.h"
#include "ops/unary.h"

extern const bdpo_op bdpo_op_linear, bdpo_op_linear_input_grad, bdpo_op_linear_weight_grad;
extern const bdpo_op bdpo_op_silu_backward, bdpo_op_gelu_backward, bdpo_op_quick_gelu_backward;

static bdpo_shape with_last(const bdpo_shape *shape, int64_t last)
{
    bdpo_shape result = *shape;
    result.dim[result.n_dims - 1] = last;
    return result;
}

static bdpo_status shape(bdpo_node *node)
{
    TRY(bdpo_expect_float(node, 0, 0));
    TRY(bdpo_expect_float(node, 1, 2));
    const bdpo_shape *x = &bdpo_in(node, 0)->shape, *w = &bdpo_in(node, 1)->shape;
    if (bdpo_shape_cols(x) != w->dim[1])
        return bdpo_refuse(node, "weight %s does not fit rows of %s", bdpo_shape_print(w).text,
                           bdpo_shape_print(x).text);
    if (node->n_in > 2 && node->in[2] != NULL) {
        TRY(bdpo_expect_float(node, 2, 1));
        if (bdpo_in(node, 2)->shape.dim[0] != w->dim[0])
            return bdpo_refuse(node, "bias %s does not fit weight %s",
                               bdpo_shape_print(&bdpo_in(node, 2)->shape).text,
                               bdpo_shape_print(w).text);
    }
    bdpo_set_output(node, BDPO_F32, with_last(x, w->dim[0]));
    return BDPO_OK;
}

static bdpo_node *input_grad(bdpo_graph *g, bdpo_node *dy, bdpo_node *w)
{
    return bdpo_node_new(g, &bdpo_op_linear_input_grad, NULL, (bdpo_node *[]){dy, w}, 2);
}

static bdpo_node *weight_grad(bdpo_graph *g, bdpo_node *dy, bdpo_node *x)
{
    return bdpo_node_new(g, &bdpo_op_linear_weight_grad, NULL, (bdpo_node *[]){dy, x}, 2);
}

static const bdpo_op *activation_backward(bdpo_activation activation)
{
    switch (activation) {
    case BDPO_SILU:
        return &bdpo_op_silu_backward;
    case BDPO_GELU:
        return &bdpo_op_gelu_backward;
    case BDPO_QUICK_GELU:
        return &bdpo_op_quick_gelu_backward;
    case BDPO_NO_ACTIVATION:
        break;
    }
    BDPO_BUG("no such activation: %d", (int)activation);
}

static void grad(bdpo_graph *g, bdpo_node *node, bdpo_node *const *dy, bdpo_node **dx)
{
    bdpo_activation activation = *(const bdpo_activation *)node->attrs;
    bdpo_node *dz = dy[0];
    if (activation != BDPO_NO_ACTIVATION) {
        // The slope needs the value before the activation, which the fused product does not keep.
        bdpo_node *z = bdpo_node_new(g, &bdpo_op_linear, &(bdpo_activation){BDPO_NO_ACTIVATION},
                                     node->in, node->n_in);
        dz = bdpo_node_new(g, activation_backward(activation), NULL, (bdpo_node *[]){dz, z}, 2);
    }
    // Toward the input last: x is dead by then, and its memory free for dx.
    if (node->n_in > 2 && bdpo_wants_grad(node, 2))
        dx[2] = bdpo_sum_to(g, dz, NULL, &bdpo_in(node, 2)->shape, 1.0f);
    if (bdpo_wants_grad(node, 1)) dx[1] = weight_grad(g, dz, node->in[0]);
    if (bdpo_wants_grad(node, 0)) dx[0] = input_grad(g, dz, node->in[1]);
}

static bdpo_gemm_activation fused(bdpo_activation activation)
{
    static const bdpo_gemm_activation map[] = {
        [BDPO_NO_ACTIVATION] = BDPO_GEMM_LINEAR,
        [BDPO_SILU] = BDPO_GEMM_SILU,
        [BDPO_GELU] = BDPO_GEMM_GELU,
        [BDPO_QUICK_GELU] = BDPO_GEMM_QUICK_GELU,
    };
    return map[activation];
}

static void cpu(const bdpo_op_call *call)
{
    const bdpo_tensor *x = &call->in[0], *w = &call->in[1], *y = &call->out[0];
    bdpo_activation activation = *(const bdpo_activation *)call->attrs;
    bdpo_gemm(&(bdpo_gemm_args){.m = bdpo_shape_rows(&x->shape),
                                .n = w->shape.dim[0],
                                .k = w->shape.dim[1],
                                .a = x->data,
                                .lda = x->row_stride,
                                .b = w->data,
                                .ldb = w->row_stride,
                                .trans_b = true,
                                .c = y->data,
                                .ldc = y->row_stride,
                                .alpha = 1.0f,
                                .bias = call->n_in > 2 ? call->in[2].data : NULL,
                                .activation = fused(activation)},
              call->workspace, call->n_threads);
}

static size_t workspace(const bdpo_node *node, int n_threads)
{
    const bdpo_shape *w = &bdpo_in(node, 1)->shape;
    return bdpo_gemm_workspace(bdpo_shape_rows(&bdpo_in(node, 0)->shape), w->dim[0], w->dim[1],
                               false, true, n_threads);
}

static int64_t flops(const bdpo_node *node)
{
    const bdpo_shape *w = &bdpo_in(node, 1)->shape;
    return 2 * bdpo_shape_rows(&node->out[0].shape) * w->dim[0] * w->dim[1];
}

static double activate(double z, bdpo_activation activation)
{
    switch (activation) {
    case BDPO_NO_ACTIVATION:
        return z;
    case BDPO_SILU:
        return z / (1.0 + exp(-z));
    case BDPO_GELU:
        return 0.5 * z * (1.0 + erf(z / sqrt(2.0)));
    case BDPO_QUICK_GELU:
        return z / (1.0 + exp(-1.702 * z));
    }
    return NAN;
}

static void reference(const bdpo_reference_call *call)
{
    bdpo_activation activation = *(const bdpo_activation *)call->attrs;
    int64_t rows = bdpo_shape_rows(&call->in_shape[0]);
    int64_t n_out = call->in_shape[1].dim[0], n_in = call->in_shape[1].dim[1];
    const double *x = call->in[0], *w = call->in[1], *b = call->n_in > 2 ? call->in[2] : NULL;
    for (int64_t r = 0; r < rows; r++)
        for (int64_t o = 0; o < n_out; o++) {
            double z = b != NULL ? b[o] : 0.0;
            for (int64_t i = 0; i < n_in; i++) z += w[o * n_in + i] * x[r * n_in + i];
            call->out[0][r * n_out + o] = activate(z, activation);
        }
}

static const bdpo_op_case cases[] = {
    {.name = "tokens",
     .in = {BDPO_IN(2, 16, 32), BDPO_IN(48, 32), BDPO_IN(48)},
     .attrs = &(bdpo_activation){BDPO_NO_ACTIVATION}},
    {.name = "feature map, no bias",
     .in = {BDPO_IN(2, 3, 4, 64), BDPO_IN(16, 64)},
     .attrs = &(bdpo_activation){BDPO_NO_ACTIVATION}},
    {.name = "odd sizes",
     .in = {BDPO_IN(37, 19), BDPO_IN(29, 19), BDPO_IN(29)},
     .attrs = &(bdpo_activation){BDPO_NO_ACTIVATION}},
    {.name = "more than a block of rows",
     .in = {BDPO_IN(261, 9), BDPO_IN(33, 9), BDPO_IN(33)},
     .attrs = &(bdpo_activation){BDPO_NO_ACTIVATION}},
    {.name = "one row",
     .in = {BDPO_IN(65), BDPO_IN(7, 65), BDPO_IN(7)},
     .attrs = &(bdpo_activation){BDPO_NO_ACTIVATION}},
    {.name = "one element",
     .in = {BDPO_IN(1), BDPO_IN(1, 1), BDPO_IN(1)},
     .attrs = &(bdpo_activation){BDPO_NO_ACTIVATION}},
    {.name = "silu",
     .in = {BDPO_IN(13, 24), BDPO_IN(40, 24), BDPO_IN(40)},
     .attrs = &(bdpo_activation){BDPO_SILU}},
    {.name = "gelu",
     .in = {BDPO_IN(13, 24), BDPO_IN(41, 24), BDPO_IN(41)},
     .attrs = &(bdpo_activation){BDPO_GELU}},
    {.name = "quick gelu, no bias",
     .in = {BDPO_IN(5, 24), BDPO_IN(16, 24)},
     .attrs = &(bdpo_activation){BDPO_QUICK_GELU}},
    {.name = "weight as [in, out]",
     .in = {BDPO_IN(4, 8), BDPO_IN(8, 16)},
     .attrs = &(bdpo_activation){BDPO_NO_ACTIVATION},
     .refused = true},
    {.name = "weight of one axis",
     .in = {BDPO_IN(4, 8), BDPO_IN(8)},
     .attrs = &(bdpo_activation){BDPO_NO_ACTIVATION},
     .refused = true},
    {.name = "bias of the input's size",
     .in = {BDPO_IN(4, 8), BDPO_IN(16, 8), BDPO_IN(8)},
     .attrs = &(bdpo_activation){BDPO_NO_ACTIVATION},
     .refused = true},
    {.name = "no weight",
     .in = {BDPO_IN(4, 8)},
     .attrs = &(bdpo_activation){BDPO_NO_ACTIVATION},
     .refused = true},
    {.name = "integers",
     .in = {BDPO_IN_FILL(BDPO_FILL_INDEX, 9, 4, 8), BDPO_IN(16, 8)},
     .attrs = &(bdpo_activation){BDPO_NO_ACTIVATION},
     .refused = true},
};

const bdpo_op bdpo_op_linear = {
    .name = "linear",
    .n_inputs = 3,
    .attrs_size = sizeof(bdpo_activation),
    .shape = shape,
    .grad = grad,
    .cpu = cpu,
    .reference = reference,
    .cases = cases,
    .n_cases = BDPO_COUNTOF(cases),
    .workspace = workspace,
    .flops = flops,
    .precision = BDPO_COMPUTE,
    .strided_inputs = 1,
    .strided_outputs = 1,
};

bdpo_node *bdpo_linear(bdpo_graph *g, bdpo_node *x, bdpo_node *w, bdpo_node *b,
                       bdpo_activation activation)
{
    bool needs_grad = (x != NULL && x->needs_grad) || (w != NULL && w->needs_grad) ||
                      (b != NULL && b->needs_grad);
    bdpo_activation fuse = needs_grad ? BDPO_NO_ACTIVATION : activation;
    bdpo_node *y = bdpo_node_new(g, &bdpo_op_linear, &fuse, (bdpo_node *[]){x, w, b}, 3);
    if (fuse == activation) return y;
    switch (activation) {
    case BDPO_SILU:
        return bdpo_silu(g, y);
    case BDPO_GELU:
        return bdpo_gelu(g, y);
    case BDPO_QUICK_GELU:
        return bdpo_quick_gelu(g, y);
    case BDPO_NO_ACTIVATION:
        break;
    }
    return y;
}

// ---- gradient to the input -----------------------------------------------------------------

static bdpo_status input_grad_shape(bdpo_node *node)
{
    TRY(bdpo_expect_float(node, 0, 0));
    TRY(bdpo_expect_float(node, 1, 2));
    const bdpo_shape *dy = &bdpo_in(node, 0)->shape, *w = &bdpo_in(node, 1)->shape;
    if (bdpo_shape_cols(dy) != w->dim[0])
        return bdpo_refuse(node, "weight %s does not fit gradient %s", bdpo_shape_print(w).text,
                           bdpo_shape_print(dy).text);
    bdpo_set_output(node, BDPO_F32, with_last(dy, w->dim[1]));
    return BDPO_OK;
}

static void input_grad_cpu(const bdpo_op_call *call)
{
    const bdpo_tensor *dy = &call->in[0], *w = &call->in[1], *dx = &call->out[0];
    bdpo_gemm(&(bdpo_gemm_args){.m = bdpo_shape_rows(&dy->shape),
                                .n = w->shape.dim[1],
                                .k = w->shape.dim[0],
                                .a = dy->data,
                                .lda = dy->row_stride,
                                .b = w->data,
                                .ldb = w->row_stride,
                                .c = dx->data,
                                .ldc = dx->row_stride,
                                .alpha = 1.0f},
              call->workspace, call->n_threads);
}

static size_t input_grad_workspace(const bdpo_node *node, int n_threads)
{
    const bdpo_shape *w = &bdpo_in(node, 1)->shape;
    return bdpo_gemm_workspace(bdpo_shape_rows(&bdpo_in(node, 0)->shape), w->dim[1], w->dim[0],
                               false, false, n_threads);
}

const bdpo_op bdpo_op_linear_input_grad = {
    .name = "linear_input_grad",
    .n_inputs = 2,
    .shape = input_grad_shape,
    .grad = bdpo_no_grad,
    .cpu = input_grad_cpu,
    .tested_by = &bdpo_op_linear,
    .workspace = input_grad_workspace,
    .flops = flops,
    .precision = BDPO_COMPUTE,
    .strided_inputs = 1,
    .strided_outputs = 1,
};

// ---- gradient to the weight ----------------------------------------------------------------

static bdpo_status weight_grad_shape(bdpo_node *node)
{
    TRY(bdpo_expect_float(node, 0, 0));
    TRY(bdpo_expect_float(node, 1, 0));
    const bdpo_shape *dy = &bdpo_in(node, 0)->shape, *x = &bdpo_in(node, 1)->shape;
    if (bdpo_shape_rows(dy) != bdpo_shape_rows(x))
        return bdpo_refuse(node, "gradient %s does not fit input %s", bdpo_shape_print(dy).text,
                           bdpo_shape_print(x).text);
    bdpo_set_output(node, BDPO_F32, BDPO_SHAPE(bdpo_shape_cols(dy), bdpo_shape_cols(x)));
    return BDPO_OK;
}

static void weight_grad_cpu(const bdpo_op_call *call)
{
    const bdpo_tensor *dy = &call->in[0], *x = &call->in[1], *dw = &call->out[0];
    bdpo_gemm(&(bdpo_gemm_args){.m = bdpo_shape_cols(&dy->shape),
                                .n = bdpo_shape_cols(&x->shape),
                                .k = bdpo_shape_rows(&dy->shape),
                                .a = dy->data,
                                .lda = dy->row_stride,
                                .trans_a = true,
                                .b = x->data,
                                .ldb = x->row_stride,
                                .c = dw->data,
                                .ldc = dw->row_stride,
                                .accumulate = call->accumulate,
                                .alpha = 1.0f},
              call->workspace, call->n_threads);
}

static size_t weight_grad_workspace(const bdpo_node *node, int n_threads)
{
    const bdpo_shape *dy = &bdpo_in(node, 0)->shape, *x = &bdpo_in(node, 1)->shape;
    return bdpo_gemm_workspace(bdpo_shape_cols(dy), bdpo_shape_cols(x), bdpo_shape_rows(dy), true,
                               false, n_threads);
}

static int64_t weight_grad_flops(const bdpo_node *node)
{
    return 2 * bdpo_shape_count(&node->out[0].shape) * bdpo_shape_rows(&bdpo_in(node, 0)->shape);
}

const bdpo_op bdpo_op_linear_weight_grad = {
    .name = "linear_weight_grad",
    .n_inputs = 2,
    .shape = weight_grad_shape,
    .grad = bdpo_no_grad,
    .cpu = weight_grad_cpu,
    .tested_by = &bdpo_op_linear,
    .workspace = weight_grad_workspace,
    .flops = weight_grad_flops,
    .precision = BDPO_WEIGHT,
    .strided_inputs = 3,
    .can_accumulate = true,
};

// y = gamma xhat + beta with xhat = (x - mean) rstd over each row, rstd = 1 / sqrt(variance + eps).
//
//   x [.., c], gamma and beta [c] or none -> y [.., c]; statistics [rows, 2]: mean, rstd
//   with p = gamma dy: dx = rstd (p - mean of p - xhat mean of (p xhat)), the means over the row
//   dgamma = sum over rows of dy xhat, dbeta = sum over rows of dy
#include <math.h>

#include "kernels/norm.h"
#include "ops/ops.h"

#include "graph/op.h"

extern const bdpo_op bdpo_op_layer_norm, bdpo_op_layer_norm_backward;

typedef struct layer_norm_attrs {
    float eps;
} layer_norm_attrs;

typedef struct backward_attrs {
    float eps;
    bool parameters; // dgamma and dbeta are wanted
} backward_attrs;

static bdpo_status shape(bdpo_node *node)
{
    const layer_norm_attrs *attrs = node->attrs;
    TRY(bdpo_expect_float(node, 0, 0));
    const bdpo_shape *x = &bdpo_in(node, 0)->shape;
    if (!(attrs->eps > 0.0f))
        return bdpo_refuse(node, "eps %g is not positive", (double)attrs->eps);
    bool gamma = node->n_in > 1 && node->in[1] != NULL,
         beta = node->n_in > 2 && node->in[2] != NULL;
    if (gamma != beta) return bdpo_refuse(node, "gamma and beta come both or not at all");
    for (int i = 1; i <= 2 && gamma; i++) {
        TRY(bdpo_expect_float(node, i, 1));
        if (bdpo_in(node, i)->shape.dim[0] != bdpo_shape_cols(x))
            return bdpo_refuse(node, "%s %s does not fit the rows of %s", i == 1 ? "gamma" : "beta",
                               bdpo_shape_print(&bdpo_in(node, i)->shape).text,
                               bdpo_shape_print(x).text);
    }
    bdpo_set_output(node, BDPO_F32, *x);
    bdpo_add_output(node, BDPO_F32, BDPO_SHAPE(bdpo_shape_rows(x), 2));
    return BDPO_OK;
}

static void grad(bdpo_graph *g, bdpo_node *node, bdpo_node *const *dy, bdpo_node **dx)
{
    const layer_norm_attrs *layer = node->attrs;
    bool affine = node->n_in > 2 && node->in[1] != NULL;
    backward_attrs attrs = {layer->eps,
                            affine && (bdpo_wants_grad(node, 1) || bdpo_wants_grad(node, 2))};
    bdpo_node *in[] = {dy[0], node->in[0], bdpo_node_output(node, 1), affine ? node->in[1] : NULL};
    bdpo_node *d = bdpo_node_new(g, &bdpo_op_layer_norm_backward, &attrs, in, 4);
    if (d == NULL) return;
    if (bdpo_wants_grad(node, 0)) dx[0] = d;
    if (affine && bdpo_wants_grad(node, 1)) dx[1] = bdpo_node_output(d, 1);
    if (affine && bdpo_wants_grad(node, 2)) dx[2] = bdpo_node_output(d, 2);
}

static void cpu(const bdpo_op_call *call)
{
    const layer_norm_attrs *attrs = call->attrs;
    const bdpo_tensor *x = &call->in[0], *y = &call->out[0];
    bdpo_layer_norm_forward(y->data, y->row_stride, call->out[1].data, x->data, x->row_stride,
                            call->n_in > 1 ? call->in[1].data : NULL,
                            call->n_in > 2 ? call->in[2].data : NULL, bdpo_shape_rows(&x->shape),
                            bdpo_shape_cols(&x->shape), attrs->eps, call->n_threads);
}

static int64_t flops(const bdpo_node *node)
{
    return 8 * bdpo_shape_count(&node->out[0].shape);
}

static void reference(const bdpo_reference_call *call)
{
    const layer_norm_attrs *attrs = call->attrs;
    int64_t rows = bdpo_shape_rows(&call->in_shape[0]), cols = bdpo_shape_cols(&call->in_shape[0]);
    bool affine = call->n_in > 2 && call->in[1] != NULL;
    for (int64_t r = 0; r < rows; r++) {
        const double *x = call->in[0] + r * cols;
        double mean = 0.0, variance = 0.0;
        for (int64_t c = 0; c < cols; c++) mean += x[c] / (double)cols;
        for (int64_t c = 0; c < cols; c++) variance += pow(x[c] - mean, 2.0) / (double)cols;
        double rstd = 1.0 / sqrt(variance + (double)attrs->eps);
        call->out[1][2 * r] = mean;
        call->out[1][2 * r + 1] = rstd;
        for (int64_t c = 0; c < cols; c++) {
            double z = (x[c] - mean) * rstd;
            call->out[0][r * cols + c] = affine ? call->in[1][c] * z + call->in[2][c] : z;
        }
    }
}

static const bdpo_op_case cases[] = {
    {.name = "tokens",
     .in = {BDPO_IN(2, 16, 64), BDPO_IN(64), BDPO_IN(64)},
     .attrs = &(layer_norm_attrs){1e-5f}},
    {.name = "odd sizes",
     .in = {BDPO_IN(3, 19, 37), BDPO_IN(37), BDPO_IN(37)},
     .attrs = &(layer_norm_attrs){1e-5f}},
    {.name = "many rows",
     .in = {BDPO_IN(1037, 5), BDPO_IN(5), BDPO_IN(5)},
     .attrs = &(layer_norm_attrs){1e-2f}},
    {.name = "no gamma", .in = {BDPO_IN(7, 33)}, .attrs = &(layer_norm_attrs){1e-6f}},
    {.name = "one row",
     .in = {BDPO_IN(129), BDPO_IN(129), BDPO_IN(129)},
     .attrs = &(layer_norm_attrs){1e-5f}},
    {.name = "one element",
     .in = {BDPO_IN(1, 1), BDPO_IN(1), BDPO_IN(1)},
     .attrs = &(layer_norm_attrs){1.0f}},
    {.name = "no eps",
     .in = {BDPO_IN(2, 8), BDPO_IN(8), BDPO_IN(8)},
     .attrs = &(layer_norm_attrs){0.0f},
     .refused = true},
    {.name = "gamma too long",
     .in = {BDPO_IN(2, 8), BDPO_IN(9), BDPO_IN(8)},
     .attrs = &(layer_norm_attrs){1e-5f},
     .refused = true},
    {.name = "beta too long",
     .in = {BDPO_IN(2, 8), BDPO_IN(8), BDPO_IN(9)},
     .attrs = &(layer_norm_attrs){1e-5f},
     .refused = true},
    {.name = "gamma without beta",
     .in = {BDPO_IN(2, 8), BDPO_IN(8)},
     .attrs = &(layer_norm_attrs){1e-5f},
     .refused = true},
    {.name = "integers",
     .in = {BDPO_IN_FILL(BDPO_FILL_INDEX, 9, 2, 8)},
     .attrs = &(layer_norm_attrs){1e-5f},
     .refused = true},
};

const bdpo_op bdpo_op_layer_norm = {
    .name = "layer_norm",
    .n_inputs = 3,
    .attrs_size = sizeof(layer_norm_attrs),
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
    .inplace_inputs = 1,
};

bdpo_node *bdpo_layer_norm(bdpo_graph *g, bdpo_node *x, bdpo_node *gamma, bdpo_node *beta,
                           float eps)
{
    return bdpo_node_new(g, &bdpo_op_layer_norm, &(layer_norm_attrs){eps},
                         (bdpo_node *[]){x, gamma, beta}, 3);
}

// ---- gradient: (dy, x, statistics, gamma) -> dx, dgamma, dbeta -----------------------------

static bdpo_status backward_shape(bdpo_node *node)
{
    const backward_attrs *attrs = node->attrs;
    TRY(bdpo_same_shape(node, 2));
    TRY(bdpo_expect(node, 2, BDPO_F32, 2));
    if (!attrs->parameters) return BDPO_OK;
    bdpo_shape c = BDPO_SHAPE(bdpo_shape_cols(&bdpo_in(node, 0)->shape));
    bdpo_add_output(node, BDPO_F32, c);
    bdpo_add_output(node, BDPO_F32, c);
    return BDPO_OK;
}

static void backward_cpu(const bdpo_op_call *call)
{
    const backward_attrs *attrs = call->attrs;
    const bdpo_tensor *dy = &call->in[0], *x = &call->in[1], *dx = &call->out[0];
    bdpo_layer_norm_backward(dx->data, dx->row_stride, attrs->parameters ? call->out[1].data : NULL,
                             attrs->parameters ? call->out[2].data : NULL, dy->data, dy->row_stride,
                             x->data, x->row_stride, call->in[2].data, call->in[3].data,
                             bdpo_shape_rows(&x->shape), bdpo_shape_cols(&x->shape),
                             call->accumulate, false, call->workspace, call->n_threads);
}

static size_t backward_workspace(const bdpo_node *node, int n_threads)
{
    (void)n_threads;
    const bdpo_shape *x = &bdpo_in(node, 1)->shape;
    return bdpo_layer_norm_backward_workspace(bdpo_shape_rows(x), bdpo_shape_cols(x));
}

static int64_t backward_flops(const bdpo_node *node)
{
    return 14 * bdpo_shape_count(&node->out[0].shape);
}

const bdpo_op bdpo_op_layer_norm_backward = {
    .name = "layer_norm_backward",
    .n_inputs = 4,
    .attrs_size = sizeof(backward_attrs),
    .shape = backward_shape,
    .grad = bdpo_no_grad,
    .cpu = backward_cpu,
    .tested_by = &bdpo_op_layer_norm,
    .workspace = backward_workspace,
    .flops = backward_flops,
    .precision = BDPO_COMPUTE,
    .strided_inputs = 3,
    .strided_outputs = 1,
    .inplace_inputs = 1,
    .can_accumulate = true,
};

// y[n, i, j, :] = b + sum over ky, kx of w[:, ky, kx, :] x[n, i s + ky - top, j s + kx - left, :]
//
//   x [n, h, w, ci], w [co, ky, kx, ci], b [co] or none -> y [n, h', w', co], s the stride and
//   h' = (h + top + bottom - ky) / s + 1; x is zero outside the image
//   dx, dw: conv2d_input_grad (dy, w), conv2d_weight_grad (dy, x), by the forward's algorithm when
//   one is forced;  db = sum of dy's rows
#include "kernels/conv.h"
#include "ops/broadcast.h"
#include "ops/ops.h"

#include "graph/op.h"

extern const bdpo_op bdpo_op_conv2d, bdpo_op_conv2d_input_grad, bdpo_op_conv2d_weight_grad;

// Of both gradients. `shape` is that of the result: dy does not tell it when the stride is not 1.
typedef struct grad_attrs {
    bdpo_conv2d_options options;
    bdpo_shape shape;
} grad_attrs;

static bdpo_conv_shape geometry(const bdpo_shape *x, const bdpo_shape *w, const bdpo_shape *y,
                                const bdpo_conv2d_options *options)
{
    return (bdpo_conv_shape){
        .n = x->dim[0],
        .h = x->dim[1],
        .w = x->dim[2],
        .ci = x->dim[3],
        .oh = y->dim[1],
        .ow = y->dim[2],
        .co = y->dim[3],
        .kh = (int)w->dim[1],
        .kw = (int)w->dim[2],
        .stride = options->stride,
        .pad_top = options->pad_top,
        .pad_left = options->pad_left,
    };
}

static int64_t flops_of(const bdpo_conv_shape *s)
{
    return 2 * s->n * s->oh * s->ow * s->co * s->kh * s->kw * s->ci;
}

static bdpo_status check_options(const bdpo_node *node, const bdpo_conv2d_options *o)
{
    if (o->stride < 1) return bdpo_refuse(node, "stride %d is not positive", o->stride);
    if (o->pad_top < 0 || o->pad_left < 0 || o->pad_bottom < 0 || o->pad_right < 0)
        return bdpo_refuse(node, "padding %d, %d, %d, %d (top, left, bottom, right) is negative",
                           o->pad_top, o->pad_left, o->pad_bottom, o->pad_right);
    return BDPO_OK;
}

static bdpo_status check_weight(const bdpo_node *node)
{
    const bdpo_shape *x = &bdpo_in(node, 0)->shape, *w = &bdpo_in(node, 1)->shape;
    if (x->dim[3] != w->dim[3])
        return bdpo_refuse(node, "weight %s does not fit the channels of %s",
                           bdpo_shape_print(w).text, bdpo_shape_print(x).text);
    if (node->n_in > 2 && node->in[2] != NULL) {
        TRY(bdpo_expect_float(node, 2, 1));
        if (bdpo_in(node, 2)->shape.dim[0] != w->dim[0])
            return bdpo_refuse(node, "bias %s does not fit weight %s",
                               bdpo_shape_print(&bdpo_in(node, 2)->shape).text,
                               bdpo_shape_print(w).text);
    }
    return BDPO_OK;
}

static bdpo_status shape(bdpo_node *node)
{
    const bdpo_conv2d_options *o = node->attrs;
    TRY(bdpo_expect_float(node, 0, 4));
    TRY(bdpo_expect_float(node, 1, 4));
    TRY(check_options(node, o));
    TRY(check_weight(node));
    const bdpo_shape *x = &bdpo_in(node, 0)->shape, *w = &bdpo_in(node, 1)->shape;
    int64_t over_h = x->dim[1] + o->pad_top + o->pad_bottom - w->dim[1];
    int64_t over_w = x->dim[2] + o->pad_left + o->pad_right - w->dim[2];
    if (over_h < 0 || over_w < 0)
        return bdpo_refuse(node, "weight %s is larger than the padded image %s",
                           bdpo_shape_print(w).text, bdpo_shape_print(x).text);
    bdpo_shape y = BDPO_SHAPE(x->dim[0], over_h / o->stride + 1, over_w / o->stride + 1, w->dim[0]);
    bdpo_conv_shape s = geometry(x, w, &y, o);
    if (!bdpo_conv_can_run(&s, (bdpo_conv_algorithm)o->algorithm))
        return bdpo_refuse(node, "algorithm %d cannot run weight %s on %s", o->algorithm,
                           bdpo_shape_print(w).text, bdpo_shape_print(x).text);
    bdpo_set_output(node, BDPO_F32, y);
    return BDPO_OK;
}

static void grad(bdpo_graph *g, bdpo_node *node, bdpo_node *const *dy, bdpo_node **dx)
{
    const bdpo_conv2d_options *options = node->attrs;
    // Toward the input last: x is dead by then, and its memory free for dx.
    if (node->n_in > 2 && bdpo_wants_grad(node, 2))
        dx[2] = bdpo_sum_to(g, dy[0], NULL, &bdpo_in(node, 2)->shape, 1.0f);
    if (bdpo_wants_grad(node, 1))
        dx[1] = bdpo_node_new(g, &bdpo_op_conv2d_weight_grad,
                              &(grad_attrs){*options, bdpo_in(node, 1)->shape},
                              (bdpo_node *[]){dy[0], node->in[0]}, 2);
    if (bdpo_wants_grad(node, 0))
        dx[0] = bdpo_node_new(g, &bdpo_op_conv2d_input_grad,
                              &(grad_attrs){*options, bdpo_in(node, 0)->shape},
                              (bdpo_node *[]){dy[0], node->in[1]}, 2);
}

static void cpu(const bdpo_op_call *call)
{
    const bdpo_tensor *x = &call->in[0], *w = &call->in[1], *y = &call->out[0];
    const bdpo_conv2d_options *options = call->attrs;
    bdpo_conv_shape s = geometry(&x->shape, &w->shape, &y->shape, options);
    bdpo_conv_forward(&s, y->data, y->row_stride, x->data, x->row_stride, w->data,
                      call->n_in > 2 ? call->in[2].data : NULL,
                      (bdpo_conv_algorithm)options->algorithm, call->workspace, call->n_threads);
}

static size_t workspace(const bdpo_node *node, int n_threads)
{
    const bdpo_conv2d_options *options = node->attrs;
    bdpo_conv_shape s =
        geometry(&bdpo_in(node, 0)->shape, &bdpo_in(node, 1)->shape, &node->out[0].shape, options);
    return bdpo_conv_workspace(&s, BDPO_CONV_FORWARD, (bdpo_conv_algorithm)options->algorithm,
                               n_threads);
}

static int64_t flops(const bdpo_node *node)
{
    bdpo_conv_shape s = geometry(&bdpo_in(node, 0)->shape, &bdpo_in(node, 1)->shape,
                                 &node->out[0].shape, node->attrs);
    return flops_of(&s);
}

// The product of one weight row with the patch of x at output position (i, j).
static double patch_product(const double *x, const double *w, const bdpo_conv_shape *s, int64_t i,
                            int64_t j)
{
    double sum = 0.0;
    for (int ky = 0; ky < s->kh; ky++)
        for (int kx = 0; kx < s->kw; kx++) {
            int64_t row = i * s->stride + ky - s->pad_top, col = j * s->stride + kx - s->pad_left;
            if (row < 0 || row >= s->h || col < 0 || col >= s->w) continue;
            for (int64_t c = 0; c < s->ci; c++)
                sum += x[(row * s->w + col) * s->ci + c] * w[(ky * s->kw + kx) * s->ci + c];
        }
    return sum;
}

static void reference(const bdpo_reference_call *call)
{
    bdpo_conv_shape s =
        geometry(&call->in_shape[0], &call->in_shape[1], &call->out_shape[0], call->attrs);
    const double *b = call->n_in > 2 ? call->in[2] : NULL;
    for (int64_t at = 0; at < s.n * s.oh * s.ow; at++) {
        const double *x = call->in[0] + at / (s.oh * s.ow) * s.h * s.w * s.ci;
        for (int64_t o = 0; o < s.co; o++)
            call->out[0][at * s.co + o] =
                (b != NULL ? b[o] : 0.0) + patch_product(x, call->in[1] + o * s.kh * s.kw * s.ci,
                                                         &s, at / s.ow % s.oh, at % s.ow);
    }
}

// Tolerances by algorithm.
#define DIRECT                                                                                     \
    .tolerance = 1e-6, .why = "sums of up to a few hundred products, each rounded to 6e-8"
#define WINOGRAD                                                                                   \
    .tolerance = 6e-6,                                                                             \
    .why = "transforms with factors up to 8 cancel: some five times the direct error"

static const bdpo_op_case cases[] = {
    {.name = "3x3 by the table",
     .in = {BDPO_IN(1, 8, 8, 16), BDPO_IN(8, 3, 3, 16), BDPO_IN(8)},
     .attrs = &(bdpo_conv2d_options){.stride = 1, 1, 1, 1, 1, BDPO_CONV_AUTO},
     WINOGRAD},
    {.name = "direct 3x3",
     .in = {BDPO_IN(2, 8, 6, 16), BDPO_IN(24, 3, 3, 16), BDPO_IN(24)},
     .attrs = &(bdpo_conv2d_options){.stride = 1, 1, 1, 1, 1, BDPO_CONV_DIRECT},
     DIRECT},
    {.name = "direct 3x3, odd sizes, no bias",
     .in = {BDPO_IN(3, 7, 5, 11), BDPO_IN(13, 3, 3, 11)},
     .attrs = &(bdpo_conv2d_options){.stride = 1, 1, 1, 1, 1, BDPO_CONV_DIRECT},
     DIRECT},
    {.name = "direct 3x3, stride 2",
     .in = {BDPO_IN(2, 8, 10, 12), BDPO_IN(9, 3, 3, 12), BDPO_IN(9)},
     .attrs = &(bdpo_conv2d_options){.stride = 2, 1, 1, 1, 1, BDPO_CONV_DIRECT},
     DIRECT},
    {.name = "stride 2, padding below and right, by the table",
     .in = {BDPO_IN(2, 8, 6, 10), BDPO_IN(7, 3, 3, 10), BDPO_IN(7)},
     .attrs = &(bdpo_conv2d_options){.stride = 2, 0, 0, 1, 1, BDPO_CONV_AUTO},
     DIRECT},
    {.name = "stride 2 leaves a row and a column over",
     .in = {BDPO_IN(1, 8, 6, 5), BDPO_IN(3, 3, 3, 5), BDPO_IN(3)},
     .attrs = &(bdpo_conv2d_options){.stride = 2, 0, 0, 0, 0, BDPO_CONV_DIRECT},
     DIRECT},
    {.name = "patches, stride 4",
     .in = {BDPO_IN(2, 12, 8, 3), BDPO_IN(17, 4, 4, 3)},
     .attrs = &(bdpo_conv2d_options){.stride = 4, 0, 0, 0, 0, BDPO_CONV_AUTO},
     DIRECT},
    {.name = "few channels in",
     .in = {BDPO_IN(2, 9, 9, 4), BDPO_IN(32, 3, 3, 4), BDPO_IN(32)},
     .attrs = &(bdpo_conv2d_options){.stride = 1, 1, 1, 1, 1, BDPO_CONV_DIRECT},
     DIRECT},
    {.name = "few channels out",
     .in = {BDPO_IN(2, 9, 9, 32), BDPO_IN(3, 3, 3, 32), BDPO_IN(3)},
     .attrs = &(bdpo_conv2d_options){.stride = 1, 1, 1, 1, 1, BDPO_CONV_DIRECT},
     DIRECT},
    {.name = "5x2 kernel, uneven padding",
     .in = {BDPO_IN(1, 7, 6, 6), BDPO_IN(5, 5, 2, 6), BDPO_IN(5)},
     .attrs = &(bdpo_conv2d_options){.stride = 1, 2, 1, 3, 0, BDPO_CONV_DIRECT},
     DIRECT},
    {.name = "pointwise",
     .in = {BDPO_IN(2, 5, 4, 32), BDPO_IN(20, 1, 1, 32), BDPO_IN(20)},
     .attrs = &(bdpo_conv2d_options){.stride = 1, 0, 0, 0, 0, BDPO_CONV_POINTWISE},
     DIRECT},
    {.name = "pointwise, odd sizes, no bias",
     .in = {BDPO_IN(3, 3, 7, 13), BDPO_IN(19, 1, 1, 13)},
     .attrs = &(bdpo_conv2d_options){.stride = 1, 0, 0, 0, 0, BDPO_CONV_POINTWISE},
     DIRECT},
    {.name = "direct 1x1, stride 2",
     .in = {BDPO_IN(2, 5, 6, 8), BDPO_IN(9, 1, 1, 8), BDPO_IN(9)},
     .attrs = &(bdpo_conv2d_options){.stride = 2, 0, 0, 0, 0, BDPO_CONV_DIRECT},
     DIRECT},
    {.name = "winograd",
     .in = {BDPO_IN(2, 8, 12, 16), BDPO_IN(16, 3, 3, 16), BDPO_IN(16)},
     .attrs = &(bdpo_conv2d_options){.stride = 1, 1, 1, 1, 1, BDPO_CONV_WINOGRAD4},
     WINOGRAD},
    {.name = "winograd, odd sizes, no bias",
     .in = {BDPO_IN(3, 7, 5, 19), BDPO_IN(21, 3, 3, 19)},
     .attrs = &(bdpo_conv2d_options){.stride = 1, 1, 1, 1, 1, BDPO_CONV_WINOGRAD4},
     WINOGRAD},
    {.name = "winograd, uneven padding",
     .in = {BDPO_IN(1, 6, 9, 8), BDPO_IN(5, 3, 3, 8), BDPO_IN(5)},
     .attrs = &(bdpo_conv2d_options){.stride = 1, 0, 2, 1, 0, BDPO_CONV_WINOGRAD4},
     WINOGRAD},
    {.name = "winograd, one pixel",
     .in = {BDPO_IN(1, 1, 1, 1), BDPO_IN(1, 3, 3, 1), BDPO_IN(1)},
     .attrs = &(bdpo_conv2d_options){.stride = 1, 1, 1, 1, 1, BDPO_CONV_WINOGRAD4},
     WINOGRAD},
    {.name = "direct, one pixel",
     .in = {BDPO_IN(1, 1, 1, 1), BDPO_IN(1, 3, 3, 1), BDPO_IN(1)},
     .attrs = &(bdpo_conv2d_options){.stride = 1, 1, 1, 1, 1, BDPO_CONV_DIRECT},
     DIRECT},
    {.name = "channels differ",
     .in = {BDPO_IN(1, 8, 8, 4), BDPO_IN(8, 3, 3, 5)},
     .attrs = &(bdpo_conv2d_options){.stride = 1, 1, 1, 1, 1, BDPO_CONV_AUTO},
     .refused = true},
    {.name = "bias differs",
     .in = {BDPO_IN(1, 8, 8, 4), BDPO_IN(8, 3, 3, 4), BDPO_IN(4)},
     .attrs = &(bdpo_conv2d_options){.stride = 1, 1, 1, 1, 1, BDPO_CONV_AUTO},
     .refused = true},
    {.name = "tokens",
     .in = {BDPO_IN(1, 64, 4), BDPO_IN(8, 3, 3, 4)},
     .attrs = &(bdpo_conv2d_options){.stride = 1, 1, 1, 1, 1, BDPO_CONV_AUTO},
     .refused = true},
    {.name = "weight of two axes",
     .in = {BDPO_IN(1, 8, 8, 4), BDPO_IN(8, 4)},
     .attrs = &(bdpo_conv2d_options){.stride = 1, 0, 0, 0, 0, BDPO_CONV_AUTO},
     .refused = true},
    {.name = "kernel larger than the image",
     .in = {BDPO_IN(1, 2, 8, 4), BDPO_IN(8, 3, 3, 4)},
     .attrs = &(bdpo_conv2d_options){.stride = 1, 0, 0, 0, 0, BDPO_CONV_AUTO},
     .refused = true},
    {.name = "no stride",
     .in = {BDPO_IN(1, 8, 8, 4), BDPO_IN(8, 3, 3, 4)},
     .attrs = &(bdpo_conv2d_options){.stride = 0, 1, 1, 1, 1, BDPO_CONV_AUTO},
     .refused = true},
    {.name = "negative padding",
     .in = {BDPO_IN(1, 8, 8, 4), BDPO_IN(8, 3, 3, 4)},
     .attrs = &(bdpo_conv2d_options){.stride = 1, 1, -1, 1, 1, BDPO_CONV_AUTO},
     .refused = true},
    {.name = "winograd with stride 2",
     .in = {BDPO_IN(1, 8, 8, 4), BDPO_IN(8, 3, 3, 4)},
     .attrs = &(bdpo_conv2d_options){.stride = 2, 1, 1, 1, 1, BDPO_CONV_WINOGRAD4},
     .refused = true},
    {.name = "integers",
     .in = {BDPO_IN_FILL(BDPO_FILL_INDEX, 9, 1, 8, 8, 4), BDPO_IN(8, 3, 3, 4)},
     .attrs = &(bdpo_conv2d_options){.stride = 1, 1, 1, 1, 1, BDPO_CONV_AUTO},
     .refused = true},
};

const bdpo_op bdpo_op_conv2d = {
    .name = "conv2d",
    .n_inputs = 3,
    .attrs_size = sizeof(bdpo_conv2d_options),
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

bdpo_node *bdpo_conv2d(bdpo_graph *g, bdpo_node *x, bdpo_node *w, bdpo_node *b,
                       const bdpo_conv2d_options *options)
{
    bdpo_conv2d_options attrs = {0};
    if (options != NULL) attrs = *options;
    if (attrs.stride == 0) attrs.stride = 1;
    return bdpo_node_new(g, &bdpo_op_conv2d, &attrs, (bdpo_node *[]){x, w, b}, 3);
}

// ---- gradients -----------------------------------------------------------------------------

static bdpo_status grad_shape(bdpo_node *node)
{
    const grad_attrs *attrs = node->attrs;
    TRY(bdpo_expect_float(node, 0, 4));
    TRY(bdpo_expect_float(node, 1, 4));
    bdpo_set_output(node, BDPO_F32, attrs->shape);
    return BDPO_OK;
}

static void input_grad_cpu(const bdpo_op_call *call)
{
    const bdpo_tensor *dy = &call->in[0], *w = &call->in[1], *dx = &call->out[0];
    const grad_attrs *attrs = call->attrs;
    bdpo_conv_shape s = geometry(&dx->shape, &w->shape, &dy->shape, &attrs->options);
    bdpo_conv_input_grad(&s, dx->data, dx->row_stride, dy->data, dy->row_stride, w->data,
                         (bdpo_conv_algorithm)attrs->options.algorithm, call->workspace,
                         call->n_threads);
}

static bdpo_conv_shape input_grad_geometry(const bdpo_node *node)
{
    const grad_attrs *attrs = node->attrs;
    return geometry(&attrs->shape, &bdpo_in(node, 1)->shape, &bdpo_in(node, 0)->shape,
                    &attrs->options);
}

static size_t input_grad_workspace(const bdpo_node *node, int n_threads)
{
    const grad_attrs *attrs = node->attrs;
    bdpo_conv_shape s = input_grad_geometry(node);
    return bdpo_conv_workspace(&s, BDPO_CONV_INPUT_GRAD,
                               (bdpo_conv_algorithm)attrs->options.algorithm, n_threads);
}

static int64_t input_grad_flops(const bdpo_node *node)
{
    bdpo_conv_shape s = input_grad_geometry(node);
    return flops_of(&s);
}

const bdpo_op bdpo_op_conv2d_input_grad = {
    .name = "conv2d_input_grad",
    .n_inputs = 2,
    .attrs_size = sizeof(grad_attrs),
    .shape = grad_shape,
    .grad = bdpo_no_grad,
    .cpu = input_grad_cpu,
    .tested_by = &bdpo_op_conv2d,
    .workspace = input_grad_workspace,
    .flops = input_grad_flops,
    .precision = BDPO_COMPUTE,
    .strided_inputs = 1,
    .strided_outputs = 1,
};

static void weight_grad_cpu(const bdpo_op_call *call)
{
    const bdpo_tensor *dy = &call->in[0], *x = &call->in[1], *dw = &call->out[0];
    const grad_attrs *attrs = call->attrs;
    bdpo_conv_shape s = geometry(&x->shape, &dw->shape, &dy->shape, &attrs->options);
    bdpo_conv_weight_grad(&s, dw->data, x->data, x->row_stride, dy->data, dy->row_stride,
                          call->accumulate, (bdpo_conv_algorithm)attrs->options.algorithm,
                          call->workspace, call->n_threads);
}

static bdpo_conv_shape weight_grad_geometry(const bdpo_node *node)
{
    const grad_attrs *attrs = node->attrs;
    return geometry(&bdpo_in(node, 1)->shape, &attrs->shape, &bdpo_in(node, 0)->shape,
                    &attrs->options);
}

static size_t weight_grad_workspace(const bdpo_node *node, int n_threads)
{
    const grad_attrs *attrs = node->attrs;
    bdpo_conv_shape s = weight_grad_geometry(node);
    return bdpo_conv_workspace(&s, BDPO_CONV_WEIGHT_GRAD,
                               (bdpo_conv_algorithm)attrs->options.algorithm, n_threads);
}

static int64_t weight_grad_flops(const bdpo_node *node)
{
    bdpo_conv_shape s = weight_grad_geometry(node);
    return flops_of(&s);
}

const bdpo_op bdpo_op_conv2d_weight_grad = {
    .name = "conv2d_weight_grad",
    .n_inputs = 2,
    .attrs_size = sizeof(grad_attrs),
    .shape = grad_shape,
    .grad = bdpo_no_grad,
    .cpu = weight_grad_cpu,
    .tested_by = &bdpo_op_conv2d,
    .workspace = weight_grad_workspace,
    .flops = weight_grad_flops,
    .precision = BDPO_WEIGHT,
    .strided_inputs = 3,
    .can_accumulate = true,
};

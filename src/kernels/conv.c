// Which algorithm runs a convolution, and the call of it.
#include "kernels/conv.h"

#include "kernels/conv_method.h"
#include "kernels/gemm.h"

static bool is_pointwise(const bdpo_conv_shape *s)
{
    return s->kh == 1 && s->kw == 1 && s->stride == 1 && s->pad_top == 0 && s->pad_left == 0 &&
           s->oh == s->h && s->ow == s->w;
}

static bool is_winograd(const bdpo_conv_shape *s)
{
    return s->kh == 3 && s->kw == 3 && s->stride == 1;
}

bool bdpo_conv_can_run(const bdpo_conv_shape *shape, bdpo_conv_algorithm algorithm)
{
    switch (algorithm) {
    case BDPO_CONV_AUTO:
    case BDPO_CONV_DIRECT:
        return true;
    case BDPO_CONV_POINTWISE:
        return is_pointwise(shape);
    case BDPO_CONV_WINOGRAD4:
        return is_winograd(shape);
    }
    return false;
}

const char *bdpo_conv_algorithm_name(bdpo_conv_algorithm algorithm)
{
    switch (algorithm) {
    case BDPO_CONV_AUTO:
        return "auto";
    case BDPO_CONV_DIRECT:
        return "direct";
    case BDPO_CONV_POINTWISE:
        return "pointwise";
    case BDPO_CONV_WINOGRAD4:
        return "winograd4";
    }
    BDPO_BUG("no convolution algorithm %d", (int)algorithm);
}

// From how many 4x4 tiles Winograd is worth the transform of its weights. The last row of a pass
// whose channels (the lesser of ci and co) are reached counts. Version 2, of the times that
// `bdpo_bench conv_algorithms conv_few_tiles` prints for AVX2 and AVX-512.
static const struct winograd_row {
    bdpo_conv_pass pass;
    int64_t channels, tiles;
} winograd_rows[] = {
    {BDPO_CONV_FORWARD, 1, 1},     {BDPO_CONV_FORWARD, 128, 2},   {BDPO_CONV_INPUT_GRAD, 1, 1},
    {BDPO_CONV_INPUT_GRAD, 64, 3}, {BDPO_CONV_WEIGHT_GRAD, 1, 1}, {BDPO_CONV_WEIGHT_GRAD, 64, 3},
};

static bool winograd_pays(const bdpo_conv_shape *s, bdpo_conv_pass pass)
{
    int64_t tiles = s->n * conv_div_up(s->oh, 4) * conv_div_up(s->ow, 4);
    if (2 * s->n * s->oh * s->ow < 16 * tiles) return false; // most of a tile is waste
    int64_t channels = conv_min(s->ci, s->co), wanted = 1;
    for (size_t i = 0; i < BDPO_COUNTOF(winograd_rows); i++)
        if (winograd_rows[i].pass == pass && channels >= winograd_rows[i].channels)
            wanted = winograd_rows[i].tiles;
    return tiles >= wanted;
}

bdpo_conv_algorithm bdpo_conv_choose(const bdpo_conv_shape *shape, bdpo_conv_pass pass)
{
    if (is_pointwise(shape)) return BDPO_CONV_POINTWISE;
    return is_winograd(shape) && winograd_pays(shape, pass) ? BDPO_CONV_WINOGRAD4
                                                            : BDPO_CONV_DIRECT;
}

static bdpo_conv_algorithm resolve(const bdpo_conv_shape *shape, bdpo_conv_pass pass,
                                   bdpo_conv_algorithm algorithm)
{
    if (algorithm == BDPO_CONV_AUTO) return bdpo_conv_choose(shape, pass);
    BDPO_ASSERT(bdpo_conv_can_run(shape, algorithm));
    return algorithm;
}

// The product that a pointwise convolution is, over the pixels.
static void run_pointwise(const bdpo_conv_call *call)
{
    const bdpo_conv_shape *s = &call->shape;
    int64_t pixels = s->n * s->h * s->w;
    bdpo_gemm_args args = {.m = pixels,
                           .a = call->in,
                           .lda = call->ld_in,
                           .b = call->other,
                           .ldb = s->ci,
                           .c = call->out,
                           .ldc = call->ld_out,
                           .alpha = 1.0f,
                           .bias = call->bias,
                           .accumulate = call->accumulate};
    switch (call->pass) {
    case BDPO_CONV_FORWARD: // y = x w^T
        args.n = s->co, args.k = s->ci, args.trans_b = true;
        break;
    case BDPO_CONV_INPUT_GRAD: // dx = dy w
        args.n = s->ci, args.k = s->co;
        break;
    case BDPO_CONV_WEIGHT_GRAD: // dw = dy^T x
        args.m = s->co, args.n = s->ci, args.k = pixels, args.trans_a = true;
        args.a = call->other, args.lda = call->ld_other;
        args.b = call->in, args.ldb = call->ld_in;
        args.ldc = s->ci;
        break;
    }
    bdpo_gemm(&args, call->workspace, call->n_threads);
}

static size_t pointwise_workspace(const bdpo_conv_shape *s, bdpo_conv_pass pass, int n_threads)
{
    int64_t pixels = s->n * s->h * s->w;
    switch (pass) {
    case BDPO_CONV_FORWARD:
        return bdpo_gemm_workspace(pixels, s->co, s->ci, false, true, n_threads);
    case BDPO_CONV_INPUT_GRAD:
        return bdpo_gemm_workspace(pixels, s->ci, s->co, false, false, n_threads);
    case BDPO_CONV_WEIGHT_GRAD:
        return bdpo_gemm_workspace(s->co, s->ci, pixels, true, false, n_threads);
    }
    return 0;
}

static const bdpo_conv_method *method(bdpo_conv_algorithm algorithm)
{
    static const bdpo_conv_method pointwise = {pointwise_workspace, run_pointwise};
    switch (algorithm) {
    case BDPO_CONV_POINTWISE:
        return &pointwise;
    case BDPO_CONV_WINOGRAD4:
        return bdpo_winograd();
    default:
        return bdpo_conv_direct();
    }
}

size_t bdpo_conv_workspace(const bdpo_conv_shape *shape, bdpo_conv_pass pass,
                           bdpo_conv_algorithm algorithm, int n_threads)
{
    return method(resolve(shape, pass, algorithm))->workspace(shape, pass, n_threads);
}

static void run(const bdpo_conv_call *call, bdpo_conv_algorithm algorithm)
{
    method(resolve(&call->shape, call->pass, algorithm))->run(call);
}

void bdpo_conv_forward(const bdpo_conv_shape *shape, float *y, int64_t ldy, const float *x,
                       int64_t ldx, const float *w, const float *bias,
                       bdpo_conv_algorithm algorithm, void *workspace, int n_threads)
{
    run(&(bdpo_conv_call){.shape = *shape,
                          .pass = BDPO_CONV_FORWARD,
                          .out = y,
                          .ld_out = ldy,
                          .in = x,
                          .ld_in = ldx,
                          .other = w,
                          .bias = bias,
                          .workspace = workspace,
                          .n_threads = n_threads},
        algorithm);
}

void bdpo_conv_input_grad(const bdpo_conv_shape *shape, float *dx, int64_t ldx, const float *dy,
                          int64_t ldy, const float *w, bdpo_conv_algorithm algorithm,
                          void *workspace, int n_threads)
{
    run(&(bdpo_conv_call){.shape = *shape,
                          .pass = BDPO_CONV_INPUT_GRAD,
                          .out = dx,
                          .ld_out = ldx,
                          .in = dy,
                          .ld_in = ldy,
                          .other = w,
                          .workspace = workspace,
                          .n_threads = n_threads},
        algorithm);
}

void bdpo_conv_weight_grad(const bdpo_conv_shape *shape, float *dw, const float *x, int64_t ldx,
                           const float *dy, int64_t ldy, bool accumulate,
                           bdpo_conv_algorithm algorithm, void *workspace, int n_threads)
{
    run(&(bdpo_conv_call){.shape = *shape,
                          .pass = BDPO_CONV_WEIGHT_GRAD,
                          .out = dw,
                          .in = x,
                          .ld_in = ldx,
                          .other = dy,
                          .ld_other = ldy,
                          .accumulate = accumulate,
                          .workspace = workspace,
                          .n_threads = n_threads},
        algorithm);
}

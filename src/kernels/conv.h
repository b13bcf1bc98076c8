// Two-dimensional convolution of the CPU backend, channels last, f32: forward, gradient to the
// input, gradient to the weight. Groups and dilation are 1. Which algorithm runs is a fixed rule
// of the shape, the pass and the instruction set (conv.c), never a timing; tests may name one.
//
//   y[b, i, j, :] = bias + sum over ky, kx of
//                   w[:, ky, kx, :] x[b, i*stride + ky - pad_top, j*stride + kx - pad_left, :]
//
// where x is zero outside the image. The order of every sum is fixed by the shape, the algorithm,
// the instruction set and, for the weight's gradient, the number of threads: the same bits run to
// run (POINTWISE: as bdpo_gemm).
#ifndef BDPO_CONV_H
#define BDPO_CONV_H

#include "base/status.h"

// x [n, h, w, ci], w [co, kh, kw, ci], y [n, oh, ow, co]. Padding below and to the right is what
// oh and ow imply.
typedef struct bdpo_conv_shape {
    int64_t n, h, w, ci;
    int64_t oh, ow, co;
    int kh, kw, stride;
    int pad_top, pad_left;
} bdpo_conv_shape;

// The output's size along one axis.
static inline int64_t bdpo_conv_output_size(int64_t size, int kernel, int stride, int pad_before,
                                            int pad_after)
{
    return (size + pad_before + pad_after - kernel) / stride + 1;
}

typedef enum bdpo_conv_pass {
    BDPO_CONV_FORWARD,
    BDPO_CONV_INPUT_GRAD,
    BDPO_CONV_WEIGHT_GRAD
} bdpo_conv_pass;

typedef enum bdpo_conv_algorithm {
    BDPO_CONV_AUTO,      // by the rule
    BDPO_CONV_DIRECT,    // products over gathered patches: any shape, the most accurate
    BDPO_CONV_POINTWISE, // one matrix product: 1x1, stride 1, no padding
    BDPO_CONV_WINOGRAD4  // F(4x4, 3x3): 3x3, stride 1, any padding
} bdpo_conv_algorithm;

const char *bdpo_conv_algorithm_name(bdpo_conv_algorithm algorithm);

// What AUTO runs, and whether an algorithm can run a shape at all.
bdpo_conv_algorithm bdpo_conv_choose(const bdpo_conv_shape *shape, bdpo_conv_pass pass);
bool bdpo_conv_can_run(const bdpo_conv_shape *shape, bdpo_conv_algorithm algorithm);

// Bytes of workspace for one pass: bounded by BDPO_CONV_MAX_WORKSPACE + 4 MiB a thread, whatever
// the shape. Depends on the active instruction set.
enum { BDPO_CONV_MAX_WORKSPACE = 32 << 20 };
size_t bdpo_conv_workspace(const bdpo_conv_shape *shape, bdpo_conv_pass pass,
                           bdpo_conv_algorithm algorithm, int n_threads);

// Each pass reads and writes rows of channels at a distance of ldx (x, dx) or ldy (y, dy) floats;
// w, dw and bias [co] are dense. `workspace` is 64-byte aligned, its contents irrelevant. Outputs
// overlap no input. `algorithm` must be able to run the shape.
void bdpo_conv_forward(const bdpo_conv_shape *shape, float *y, int64_t ldy, const float *x,
                       int64_t ldx, const float *w, const float *bias, // bias: or NULL
                       bdpo_conv_algorithm algorithm, void *workspace, int n_threads);

void bdpo_conv_input_grad(const bdpo_conv_shape *shape, float *dx, int64_t ldx, const float *dy,
                          int64_t ldy, const float *w, bdpo_conv_algorithm algorithm,
                          void *workspace, int n_threads);

// dw = the gradient, or dw += it.
void bdpo_conv_weight_grad(const bdpo_conv_shape *shape, float *dw, const float *x, int64_t ldx,
                           const float *dy, int64_t ldy, bool accumulate,
                           bdpo_conv_algorithm algorithm, void *workspace, int n_threads);

#endif

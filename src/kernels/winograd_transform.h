// The five linear maps of F(4x4, 3x3) with the points 0, 1, -1, 2, -2 and infinity, in one
// dimension and, applied to columns and then to rows, in two. With d a 6x6 patch of the input, g
// the 3x3 weight and e a 4x4 tile of the output's gradient, o being the product element by element:
//
//   output          A^T [ (G g G^T) o (B^T d B) ] A
//   weight gradient G^T [ (A e A^T) o (B^T d B) ] G
//
// Included by *_isa.c files only.
#ifndef BDPO_WINOGRAD_TRANSFORM_H
#define BDPO_WINOGRAD_TRANSFORM_H

#include "kernels/simd.h"

// Tile of the output, patch of the input, taps of the kernel along one axis; planes of a patch.
enum { WINO_TILE = 4, WINO_PATCH = 6, WINO_TAPS = 3, WINO_PLANES = 36 };

// y = B^T x, 6 -> 6. `step` is the distance between the elements of x and of y.
BDPO_INLINE void wino_input(vf *y, const vf *x, const int step)
{
    const vf two = vf_set(2), four = vf_set(4), five = vf_set(5);
    vf x0 = x[0], x1 = x[step], x2 = x[2 * step], x3 = x[3 * step], x4 = x[4 * step];
    vf x5 = x[5 * step];
    vf even = vf_fnma(four, x2, x4), odd = vf_fnma(four, x1, x3);
    vf even2 = x4 - x2, odd2 = x3 - x1;
    y[0] = vf_fma(four, x0, vf_fnma(five, x2, x4));
    y[step] = even + odd;
    y[2 * step] = even - odd;
    y[3 * step] = vf_fma(two, odd2, even2);
    y[4 * step] = vf_fnma(two, odd2, even2);
    y[5 * step] = vf_fma(four, x1, vf_fnma(five, x3, x5));
}

// y = G x, 3 -> 6.
BDPO_INLINE void wino_weight(vf *y, int y_step, const vf *x, int x_step)
{
    const vf quarter = vf_set(0.25f), sixth = vf_set(1.0f / 6), twelfth = vf_set(1.0f / 12);
    const vf four = vf_set(4), twentyfourth = vf_set(1.0f / 24);
    vf x0 = x[0], x1 = x[x_step], x2 = x[2 * x_step];
    vf even = -sixth * (x0 + x2), odd = sixth * x1;
    vf even2 = twentyfourth * vf_fma(four, x2, x0), odd2 = twelfth * x1;
    y[0] = quarter * x0;
    y[y_step] = even - odd;
    y[2 * y_step] = even + odd;
    y[3 * y_step] = even2 + odd2;
    y[4 * y_step] = even2 - odd2;
    y[5 * y_step] = x2;
}

// y = A^T x, 6 -> 4.
BDPO_INLINE void wino_output(vf *y, int y_step, const vf *x, int x_step)
{
    const vf two = vf_set(2), four = vf_set(4), eight = vf_set(8);
    vf x1 = x[x_step], x2 = x[2 * x_step], x3 = x[3 * x_step], x4 = x[4 * x_step];
    vf even = x1 + x2, odd = x1 - x2, even2 = x3 + x4, odd2 = x3 - x4;
    y[0] = x[0] + even + even2;
    y[y_step] = vf_fma(two, odd2, odd);
    y[2 * y_step] = vf_fma(four, even2, even);
    y[3 * y_step] = vf_fma(eight, odd2, odd) + x[5 * x_step];
}

// y = A x, 4 -> 6.
BDPO_INLINE void wino_cotangent(vf *y, int y_step, const vf *x, int x_step)
{
    const vf two = vf_set(2), four = vf_set(4), eight = vf_set(8);
    vf x0 = x[0], x1 = x[x_step], x2 = x[2 * x_step], x3 = x[3 * x_step];
    vf even = x0 + x2, odd = x1 + x3;
    vf even2 = vf_fma(four, x2, x0), odd2 = vf_fma(eight, x3, two * x1);
    y[0] = x0;
    y[y_step] = even + odd;
    y[2 * y_step] = even - odd;
    y[3 * y_step] = even2 + odd2;
    y[4 * y_step] = even2 - odd2;
    y[5 * y_step] = x3;
}

// y = G^T x, 6 -> 3.
BDPO_INLINE void wino_weight_grad(vf *y, int y_step, const vf *x, int x_step)
{
    const vf quarter = vf_set(0.25f), sixth = vf_set(1.0f / 6), twelfth = vf_set(1.0f / 12);
    const vf twentyfourth = vf_set(1.0f / 24);
    vf x1 = x[x_step], x2 = x[2 * x_step], x3 = x[3 * x_step], x4 = x[4 * x_step];
    vf even = x1 + x2, even2 = x3 + x4;
    y[0] = vf_fma(quarter, x[0], vf_fnma(sixth, even, twentyfourth * even2));
    y[y_step] = vf_fma(twelfth, x3 - x4, sixth * (x2 - x1));
    y[2 * y_step] = vf_fma(sixth, even2 - even, x[5 * x_step]);
}

// Both axes. x and y are row-major squares; the first pass maps the columns.
BDPO_INLINE void wino_input_2d(vf y[WINO_PLANES], const vf x[WINO_PLANES])
{
    vf t[WINO_PLANES];
    BDPO_UNROLL
    for (int i = 0; i < WINO_PATCH; i++) wino_input(t + i, x + i, WINO_PATCH);
    BDPO_UNROLL
    for (int i = 0; i < WINO_PATCH; i++) wino_input(y + WINO_PATCH * i, t + WINO_PATCH * i, 1);
}

BDPO_INLINE void wino_weight_2d(vf y[WINO_PLANES], const vf x[WINO_TAPS * WINO_TAPS])
{
    vf t[WINO_PATCH * WINO_TAPS];
    BDPO_UNROLL
    for (int i = 0; i < WINO_TAPS; i++) wino_weight(t + i, WINO_TAPS, x + i, WINO_TAPS);
    BDPO_UNROLL
    for (int i = 0; i < WINO_PATCH; i++) wino_weight(y + WINO_PATCH * i, 1, t + WINO_TAPS * i, 1);
}

BDPO_INLINE void wino_output_2d(vf y[WINO_TILE * WINO_TILE], const vf x[WINO_PLANES])
{
    vf t[WINO_TILE * WINO_PATCH];
    BDPO_UNROLL
    for (int i = 0; i < WINO_PATCH; i++) wino_output(t + i, WINO_PATCH, x + i, WINO_PATCH);
    BDPO_UNROLL
    for (int i = 0; i < WINO_TILE; i++) wino_output(y + WINO_TILE * i, 1, t + WINO_PATCH * i, 1);
}

BDPO_INLINE void wino_cotangent_2d(vf y[WINO_PLANES], const vf x[WINO_TILE * WINO_TILE])
{
    vf t[WINO_PATCH * WINO_TILE];
    BDPO_UNROLL
    for (int i = 0; i < WINO_TILE; i++) wino_cotangent(t + i, WINO_TILE, x + i, WINO_TILE);
    BDPO_UNROLL
    for (int i = 0; i < WINO_PATCH; i++) {
        wino_cotangent(y + WINO_PATCH * i, 1, t + WINO_TILE * i, 1);
    }
}

BDPO_INLINE void wino_weight_grad_2d(vf y[WINO_TAPS * WINO_TAPS], const vf x[WINO_PLANES])
{
    vf t[WINO_TAPS * WINO_PATCH];
    BDPO_UNROLL
    for (int i = 0; i < WINO_PATCH; i++) wino_weight_grad(t + i, WINO_PATCH, x + i, WINO_PATCH);
    BDPO_UNROLL
    for (int i = 0; i < WINO_TAPS; i++) {
        wino_weight_grad(y + WINO_TAPS * i, 1, t + WINO_PATCH * i, 1);
    }
}

#endif

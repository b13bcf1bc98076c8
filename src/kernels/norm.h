// Normalisations: group norm (with SiLU fused behind it), layer norm, L2. f32, channels last.
// Statistics are exact to f32 whatever the offset of the data: variances are taken about a mean
// (two passes or Chan's merge of block statistics, in double), never as E[x^2] - E[x]^2.
// Blocks are fixed by the shape, so the bits do not depend on the number of threads.
#ifndef BDPO_NORM_H
#define BDPO_NORM_H

#include <bdpo/types.h>

// x [n, hw, c], rows of stride ldx; c = groups * (channels of a group).
typedef struct bdpo_group_norm_shape {
    int64_t n, hw, c;
    int64_t groups;
    float eps;
    bool silu; // y = silu(gamma * xhat + beta), else without silu
} bdpo_group_norm_shape;

// gamma, beta [c] (NULL: ones, zeros). stats [n, groups, 2] receives mean and 1 / sqrt(var + eps).
// y may be x.
size_t bdpo_group_norm_forward_workspace(const bdpo_group_norm_shape *s);
void bdpo_group_norm_forward(float *y, int64_t ldy, float *stats, const float *x, int64_t ldx,
                             const float *gamma, const float *beta, const bdpo_group_norm_shape *s,
                             void *workspace, int n_threads);

// From dy, x and stats (the pre-activation of the SiLU is recomputed). dx is written, or added to
// with accumulate_dx; dgamma, dbeta [c] likewise with accumulate_params. Any of the three may be
// NULL. dx may be dy (the same memory, accumulate_dx false).
size_t bdpo_group_norm_backward_workspace(const bdpo_group_norm_shape *s);
void bdpo_group_norm_backward(float *dx, int64_t lddx, float *dgamma, float *dbeta, const float *dy,
                              int64_t lddy, const float *x, int64_t ldx, const float *stats,
                              const float *gamma, const float *beta, const bdpo_group_norm_shape *s,
                              bool accumulate_dx, bool accumulate_params, void *workspace,
                              int n_threads);

// Layer norm over the last axis, x [rows, cols]. stats [rows, 2]: mean and 1 / sqrt(var + eps).
// gamma, beta [cols] (NULL: ones, zeros). y may be x.
void bdpo_layer_norm_forward(float *y, int64_t ldy, float *stats, const float *x, int64_t ldx,
                             const float *gamma, const float *beta, int64_t rows, int64_t cols,
                             float eps, int n_threads);
// As for group norm: any of dx, dgamma, dbeta may be NULL; dx may be dy.
size_t bdpo_layer_norm_backward_workspace(int64_t rows, int64_t cols);
void bdpo_layer_norm_backward(float *dx, int64_t lddx, float *dgamma, float *dbeta, const float *dy,
                              int64_t lddy, const float *x, int64_t ldx, const float *stats,
                              const float *gamma, int64_t rows, int64_t cols, bool accumulate_dx,
                              bool accumulate_params, void *workspace, int n_threads);

// y = x / max(|x|, eps), row by row; norms [rows] receives |x| (before the max).
void bdpo_l2_normalize_forward(float *y, int64_t ldy, float *norms, const float *x, int64_t ldx,
                               int64_t rows, int64_t cols, float eps, int n_threads);
// dx = (dy - y (y . dy)) / |x|, and dy / eps in rows whose norm is below eps.
void bdpo_l2_normalize_backward(float *dx, int64_t lddx, const float *dy, int64_t lddy,
                                const float *x, int64_t ldx, const float *norms, int64_t rows,
                                int64_t cols, float eps, bool accumulate, int n_threads);

#endif

// Softmax and cross-entropy over the last axis of f32 rows with row strides.
#ifndef BDPO_SOFTMAX_ROWS_H
#define BDPO_SOFTMAX_ROWS_H

#include <bdpo/types.h>

// y = exp(x - max) / sum. y may be x. A row of -infinity only gives zeros.
void bdpo_softmax_forward(float *y, int64_t ldy, const float *x, int64_t ldx, int64_t rows,
                          int64_t cols, int n_threads);
// dx = y * (dy - y . dy), from the forward result y. dx may be dy.
void bdpo_softmax_backward(float *dx, int64_t lddx, const float *dy, int64_t lddy, const float *y,
                           int64_t ldy, int64_t rows, int64_t cols, bool accumulate, int n_threads);

// loss[row] = lse[row] - x[row][target[row]], lse = log of the sum of exponentials.
// Targets lie in [0, cols) (asserted); a negative target ignores its row: loss 0, gradient 0.
void bdpo_cross_entropy_forward(float *loss, float *lse, const float *x, int64_t ldx,
                                const int32_t *target, int64_t rows, int64_t cols, int n_threads);
// dx = dloss[row] * (softmax(x) - onehot(target)).
void bdpo_cross_entropy_backward(float *dx, int64_t lddx, const float *dloss, const float *lse,
                                 const float *x, int64_t ldx, const int32_t *target, int64_t rows,
                                 int64_t cols, bool accumulate, int n_threads);

#endif

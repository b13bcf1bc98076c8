// Element-wise kernels on f32 rows: activations and their gradients, sums and products with the
// broadcasts that the models need, GEGLU, squared error, copies, dtype conversion.
//
// A matrix is `rows` rows of `cols` floats; `ld` is the distance in floats between rows (>= cols).
// An output may be the very same memory as an input (same pointer and ld); no other overlap.
// Every element is computed alone, so results do not depend on the number of threads.
#ifndef BDPO_ELEMENTWISE_H
#define BDPO_ELEMENTWISE_H

#include <bdpo/types.h>

// Name and formula. `lo` and `hi` matter to CLAMP only.
#define BDPO_UNARY_LIST(X)                                                                         \
    X(SILU, silu)               /* x * sigmoid(x) */                                               \
    X(GELU, gelu)               /* x * (1 + erf(x / sqrt 2)) / 2 */                                \
    X(QUICK_GELU, quick_gelu)   /* x * sigmoid(1.702 x) */                                         \
    X(SIGMOID, sigmoid)         /* 1 / (1 + exp(-x)) */                                            \
    X(LOG_SIGMOID, log_sigmoid) /* -log(1 + exp(-x)), exact far from 0 */                          \
    X(TANH, tanh)                                                                                  \
    X(EXP, exp)                                                                                    \
    X(SQUARE, square)                                                                              \
    X(CLAMP, clamp) /* min(max(x, lo), hi); gradient 1 between, 0 on the bounds */

typedef enum bdpo_unary {
#define X(name, text) BDPO_UNARY_##name,
    BDPO_UNARY_LIST(X)
#undef X
} bdpo_unary;

// y = f(x).
void bdpo_unary_forward(float *y, int64_t ldy, const float *x, int64_t ldx, int64_t rows,
                        int64_t cols, bdpo_unary f, float lo, float hi, int n_threads);

// dx = dy * f'(x), or dx += with `accumulate`.
void bdpo_unary_backward(float *dx, int64_t lddx, const float *dy, int64_t lddy, const float *x,
                         int64_t ldx, int64_t rows, int64_t cols, bdpo_unary f, float lo, float hi,
                         bool accumulate, int n_threads);

typedef enum bdpo_binary { BDPO_BINARY_ADD, BDPO_BINARY_SUB, BDPO_BINARY_MUL } bdpo_binary;

// What the second operand is, over the rows of the first.
typedef enum bdpo_spread {
    BDPO_SPREAD_NONE,       // [rows, cols], row stride ldb
    BDPO_SPREAD_ROW,        // [cols]: the same for every row (ldb unused)
    BDPO_SPREAD_SAMPLE_ROW, // [rows / rows_per_sample, cols], row stride ldb
    BDPO_SPREAD_SAMPLE,     // [rows / rows_per_sample]: one number a sample (ldb unused)
    BDPO_SPREAD_SCALAR      // [1] (ldb unused)
} bdpo_spread;

// y = a (op) spread(b). rows_per_sample matters to the SAMPLE forms only.
void bdpo_binary_forward(float *y, int64_t ldy, const float *a, int64_t lda, const float *b,
                         int64_t ldb, int64_t rows, int64_t cols, int64_t rows_per_sample,
                         bdpo_binary op, bdpo_spread spread, int n_threads);

// y = alpha * a + beta * b.
void bdpo_scaled_add(float *y, int64_t ldy, float alpha, const float *a, int64_t lda, float beta,
                     const float *b, int64_t ldb, int64_t rows, int64_t cols, int n_threads);

// y = scale * a + shift.
void bdpo_scale_shift(float *y, int64_t ldy, const float *a, int64_t lda, float scale, float shift,
                      int64_t rows, int64_t cols, int n_threads);

// x [rows, 2 cols] holds value and gate side by side: y [rows, cols] = value * gelu(gate).
void bdpo_geglu_forward(float *y, int64_t ldy, const float *x, int64_t ldx, int64_t rows,
                        int64_t cols, int n_threads);
// dx [rows, 2 cols] from dy [rows, cols].
void bdpo_geglu_backward(float *dx, int64_t lddx, const float *dy, int64_t lddy, const float *x,
                         int64_t ldx, int64_t rows, int64_t cols, int n_threads);

// Gradient of bdpo_squared_error (reduce.h): with d = 2 * scale * dloss[sample] * (a - b),
// da = d and db = -d; either may be NULL. Dense [n, count].
void bdpo_squared_error_backward(float *da, float *db, const float *a, const float *b,
                                 const float *dloss, float scale, int64_t n, int64_t count,
                                 int n_threads);

// y = x, row by row.
void bdpo_copy_rows(float *y, int64_t ldy, const float *x, int64_t ldx, int64_t rows, int64_t cols,
                    int n_threads);
void bdpo_fill_rows(float *y, int64_t ldy, float value, int64_t rows, int64_t cols, int n_threads);

// y = x in another dtype, `count` elements: any two of F32, BF16, F16 (dense, no overlap).
// Rounds to nearest even; overflow goes to infinity; a NaN stays a NaN.
void bdpo_convert(void *y, bdpo_dtype y_dtype, const void *x, bdpo_dtype x_dtype, int64_t count,
                  int n_threads);
// Rounds f32 values in place to what BF16 or F16 can hold.
void bdpo_round_to(float *x, bdpo_dtype dtype, int64_t count, int n_threads);

#endif

// Sums over f32 matrices. Partial sums are taken over fixed blocks (of the data, never of the
// threads) and added in order, so that the bits do not depend on the number of threads.
//
// A matrix is rows of `cols` floats with row stride ld. `w` is an optional second factor of the
// same shape: with it each sum is of x * w, without it (NULL) of x. workspace: 64-byte aligned,
// of the size that the function's _workspace() tells.
#ifndef BDPO_REDUCE_H
#define BDPO_REDUCE_H

#include <bdpo/types.h>

// x [n, rows, cols] -> y [n, cols]: y = scale * sum over the rows, added to y with `accumulate`.
// With n = 1 these are the column sums of all rows (bias gradients).
size_t bdpo_column_sums_workspace(int64_t n, int64_t rows, int64_t cols);
void bdpo_column_sums(float *y, const float *x, int64_t ldx, const float *w, int64_t ldw, int64_t n,
                      int64_t rows, int64_t cols, float scale, bool accumulate, void *workspace,
                      int n_threads);

// x [n, rows, cols] -> y [n]: y = scale * sum of a sample's elements (n = 1: of all elements).
size_t bdpo_sample_sums_workspace(int64_t n, int64_t rows, int64_t cols);
void bdpo_sample_sums(float *y, const float *x, int64_t ldx, const float *w, int64_t ldw, int64_t n,
                      int64_t rows, int64_t cols, float scale, bool accumulate, void *workspace,
                      int n_threads);

// x [rows, cols] -> y [rows]: y = scale * sum of a row.
void bdpo_row_sums(float *y, const float *x, int64_t ldx, const float *w, int64_t ldw, int64_t rows,
                   int64_t cols, float scale, bool accumulate, int n_threads);

// loss[n] = scale * sum of (a - b)^2 over a sample's `count` elements; dense.
// scale = 1 / count gives the mean. Its gradient is in elementwise.h.
size_t bdpo_squared_error_workspace(int64_t n, int64_t count);
void bdpo_squared_error(float *loss, const float *a, const float *b, float scale, int64_t n,
                        int64_t count, void *workspace, int n_threads);

// margin[n] = scale * sum of (p - r)(p + r - 2 t) over a sample's `count` elements; dense. It is
// the difference of the squared errors of p and r against t, exactly 0 where p and r are the same
// bits.
size_t bdpo_error_margin_workspace(int64_t n, int64_t count);
void bdpo_error_margin(float *margin, const float *p, const float *r, const float *t, float scale,
                       int64_t n, int64_t count, void *workspace, int n_threads);

// The sum, or the sum of squares, of `count` dense elements, accumulated in double.
size_t bdpo_sum_workspace(int64_t count);
double bdpo_sum(const float *x, int64_t count, void *workspace, int n_threads);
double bdpo_sum_squares(const float *x, int64_t count, void *workspace, int n_threads);

// False if any of `count` dense elements is infinite or NaN.
bool bdpo_all_finite(const float *x, int64_t count, int n_threads);

#endif

// Deals rows, or pieces of one long row, to the threads and to the active instruction set.
#include "kernels/elementwise.h"

#include "kernels/elementwise_isa.h"
#include "kernels/isa.h"
#include "kernels/parts.h"

#include <string.h>

BDPO_ISA_TABLE(bdpo_elementwise_table, bdpo_elementwise_table)

void bdpo_unary_forward(float *y, int64_t ldy, const float *x, int64_t ldx, int64_t rows,
                        int64_t cols, bdpo_unary f, float lo, float hi, int n_threads)
{
    bool flat = ldy == cols && ldx == cols;
    int n = bdpo_threads_for(rows * cols, n_threads);
#pragma omp parallel for num_threads(n) schedule(static, 1) if (n > 1)
    for (int i = 0; i < n; i++) {
        bdpo_piece p = bdpo_piece_of(flat, rows, cols, i, n);
        table()->unary(y + p.row * ldy + p.col, ldy, x + p.row * ldx + p.col, ldx, p.rows, p.cols,
                       f, lo, hi);
    }
}

void bdpo_unary_backward(float *dx, int64_t lddx, const float *dy, int64_t lddy, const float *x,
                         int64_t ldx, int64_t rows, int64_t cols, bdpo_unary f, float lo, float hi,
                         bool accumulate, int n_threads)
{
    bool flat = lddx == cols && lddy == cols && ldx == cols;
    int n = bdpo_threads_for(rows * cols, n_threads);
#pragma omp parallel for num_threads(n) schedule(static, 1) if (n > 1)
    for (int i = 0; i < n; i++) {
        bdpo_piece p = bdpo_piece_of(flat, rows, cols, i, n);
        table()->unary_grad(dx + p.row * lddx + p.col, lddx, dy + p.row * lddy + p.col, lddy,
                            x + p.row * ldx + p.col, ldx, p.rows, p.cols, f, lo, hi, accumulate);
    }
}

// Rows [row, row + rows) of a product or sum with one vector, or one number, a sample.
static void binary_by_sample(float *y, int64_t ldy, const float *a, int64_t lda, const float *b,
                             int64_t ldb, int64_t row, int64_t rows, int64_t cols,
                             int64_t rows_per_sample, bdpo_binary op, bdpo_spread spread)
{
    for (int64_t end = row + rows, next; row < end; row = next) {
        int64_t sample = row / rows_per_sample;
        next = (sample + 1) * rows_per_sample;
        if (next > end) next = end;
        if (spread == BDPO_SPREAD_SAMPLE)
            table()->binary_scalar(y + row * ldy, ldy, a + row * lda, lda, b[sample], next - row,
                                   cols, op);
        else
            table()->binary(y + row * ldy, ldy, a + row * lda, lda, b + sample * ldb, 0, next - row,
                            cols, op);
    }
}

void bdpo_binary_forward(float *y, int64_t ldy, const float *a, int64_t lda, const float *b,
                         int64_t ldb, int64_t rows, int64_t cols, int64_t rows_per_sample,
                         bdpo_binary op, bdpo_spread spread, int n_threads)
{
    bool flat = ldy == cols && lda == cols &&
                ((spread == BDPO_SPREAD_NONE && ldb == cols) || spread == BDPO_SPREAD_SCALAR);
    int n = bdpo_threads_for(rows * cols, n_threads);
#pragma omp parallel for num_threads(n) schedule(static, 1) if (n > 1)
    for (int i = 0; i < n; i++) {
        bdpo_piece p = bdpo_piece_of(flat, rows, cols, i, n);
        float *to = y + p.row * ldy + p.col;
        const float *from = a + p.row * lda + p.col;
        switch (spread) {
        case BDPO_SPREAD_NONE:
            table()->binary(to, ldy, from, lda, b + p.row * ldb + p.col, ldb, p.rows, p.cols, op);
            break;
        case BDPO_SPREAD_ROW:
            table()->binary(to, ldy, from, lda, b, 0, p.rows, p.cols, op);
            break;
        case BDPO_SPREAD_SCALAR:
            table()->binary_scalar(to, ldy, from, lda, b[0], p.rows, p.cols, op);
            break;
        case BDPO_SPREAD_SAMPLE_ROW:
        case BDPO_SPREAD_SAMPLE:
            binary_by_sample(y, ldy, a, lda, b, ldb, p.row, p.rows, p.cols, rows_per_sample, op,
                             spread);
            break;
        }
    }
}

void bdpo_scaled_add(float *y, int64_t ldy, float alpha, const float *a, int64_t lda, float beta,
                     const float *b, int64_t ldb, int64_t rows, int64_t cols, int n_threads)
{
    bool flat = ldy == cols && lda == cols && ldb == cols;
    int n = bdpo_threads_for(rows * cols, n_threads);
#pragma omp parallel for num_threads(n) schedule(static, 1) if (n > 1)
    for (int i = 0; i < n; i++) {
        bdpo_piece p = bdpo_piece_of(flat, rows, cols, i, n);
        table()->scaled_add(y + p.row * ldy + p.col, ldy, alpha, a + p.row * lda + p.col, lda, beta,
                            b + p.row * ldb + p.col, ldb, p.rows, p.cols);
    }
}

void bdpo_scale_shift(float *y, int64_t ldy, const float *a, int64_t lda, float scale, float shift,
                      int64_t rows, int64_t cols, int n_threads)
{
    bool flat = ldy == cols && lda == cols;
    int n = bdpo_threads_for(rows * cols, n_threads);
#pragma omp parallel for num_threads(n) schedule(static, 1) if (n > 1)
    for (int i = 0; i < n; i++) {
        bdpo_piece p = bdpo_piece_of(flat, rows, cols, i, n);
        table()->scale_shift(y + p.row * ldy + p.col, ldy, a + p.row * lda + p.col, lda, scale,
                             shift, p.rows, p.cols);
    }
}

void bdpo_geglu_forward(float *y, int64_t ldy, const float *x, int64_t ldx, int64_t rows,
                        int64_t cols, int n_threads)
{
    int n = bdpo_threads_for(rows * cols, n_threads);
#pragma omp parallel for num_threads(n) schedule(static, 1) if (n > 1)
    for (int i = 0; i < n; i++) {
        bdpo_piece p = bdpo_piece_of(false, rows, cols, i, n);
        table()->geglu(y + p.row * ldy, ldy, x + p.row * ldx, ldx, p.rows, cols);
    }
}

void bdpo_geglu_backward(float *dx, int64_t lddx, const float *dy, int64_t lddy, const float *x,
                         int64_t ldx, int64_t rows, int64_t cols, int n_threads)
{
    int n = bdpo_threads_for(rows * cols, n_threads);
#pragma omp parallel for num_threads(n) schedule(static, 1) if (n > 1)
    for (int i = 0; i < n; i++) {
        bdpo_piece p = bdpo_piece_of(false, rows, cols, i, n);
        table()->geglu_grad(dx + p.row * lddx, lddx, dy + p.row * lddy, lddy, x + p.row * ldx, ldx,
                            p.rows, cols);
    }
}

// d * (a - b) over the elements [from, to) of all samples.
static void squared_error_grad(float *y, const float *a, const float *b, const float *dloss,
                               float scale, int64_t count, int64_t from, int64_t to)
{
    for (int64_t at = from, next; at < to; at = next) {
        int64_t sample = at / count;
        next = (sample + 1) * count < to ? (sample + 1) * count : to;
        float d = 2.0f * scale * dloss[sample];
        table()->binary(y + at, 0, a + at, 0, b + at, 0, 1, next - at, BDPO_BINARY_SUB);
        table()->scale_shift(y + at, 0, y + at, 0, d, -0.0f, 1, next - at);
    }
}

void bdpo_squared_error_backward(float *da, float *db, const float *a, const float *b,
                                 const float *dloss, float scale, int64_t n, int64_t count,
                                 int n_threads)
{
    int parts = bdpo_threads_for(n * count, n_threads);
#pragma omp parallel for num_threads(parts) schedule(static, 1) if (parts > 1)
    for (int i = 0; i < parts; i++) {
        bdpo_piece p = bdpo_piece_of(true, n, count, i, parts);
        for (int64_t at = p.col, end = p.col + p.cols; at < end;) { // pieces that stay in cache
            int64_t next = at + 4096 < end ? at + 4096 : end;
            if (da) squared_error_grad(da, a, b, dloss, scale, count, at, next);
            if (db) squared_error_grad(db, a, b, dloss, -scale, count, at, next);
            at = next;
        }
    }
}

void bdpo_copy_rows(float *y, int64_t ldy, const float *x, int64_t ldx, int64_t rows, int64_t cols,
                    int n_threads)
{
    bool flat = ldy == cols && ldx == cols;
    int n = bdpo_threads_for(rows * cols, n_threads);
    if (y == x && ldy == ldx) return;
#pragma omp parallel for num_threads(n) schedule(static, 1) if (n > 1)
    for (int i = 0; i < n; i++) {
        bdpo_piece p = bdpo_piece_of(flat, rows, cols, i, n);
        for (int64_t r = p.row; r < p.row + p.rows; r++)
            memcpy(y + r * ldy + p.col, x + r * ldx + p.col, (size_t)p.cols * sizeof *y);
    }
}

void bdpo_fill_rows(float *y, int64_t ldy, float value, int64_t rows, int64_t cols, int n_threads)
{
    int n = bdpo_threads_for(rows * cols, n_threads);
#pragma omp parallel for num_threads(n) schedule(static, 1) if (n > 1)
    for (int i = 0; i < n; i++) {
        bdpo_piece p = bdpo_piece_of(ldy == cols, rows, cols, i, n);
        for (int64_t r = p.row; r < p.row + p.rows; r++)
            for (int64_t c = p.col; c < p.col + p.cols; c++) y[r * ldy + c] = value;
    }
}

// `count` elements on one thread, 16-bit to 16-bit by way of f32.
static void convert_span(void *y, bdpo_dtype y_dtype, const void *x, bdpo_dtype x_dtype,
                         int64_t count)
{
    float wide[512];
    if (y_dtype == x_dtype) {
        memcpy(y, x, (size_t)count * bdpo_dtype_size(x_dtype));
    } else if (y_dtype == BDPO_F32) {
        table()->widen(y, x, x_dtype, count);
    } else if (x_dtype == BDPO_F32) {
        table()->narrow(y, y_dtype, x, count);
    } else {
        for (int64_t at = 0; at < count; at += 512) {
            int64_t n = count - at < 512 ? count - at : 512;
            table()->widen(wide, (const uint16_t *)x + at, x_dtype, n);
            table()->narrow((uint16_t *)y + at, y_dtype, wide, n);
        }
    }
}

static bool is_float(bdpo_dtype dtype)
{
    return dtype == BDPO_F32 || dtype == BDPO_BF16 || dtype == BDPO_F16;
}

void bdpo_convert(void *y, bdpo_dtype y_dtype, const void *x, bdpo_dtype x_dtype, int64_t count,
                  int n_threads)
{
    BDPO_ASSERT(is_float(y_dtype) && is_float(x_dtype));
    int n = bdpo_threads_for(count, n_threads);
    int64_t y_size = (int64_t)bdpo_dtype_size(y_dtype), x_size = (int64_t)bdpo_dtype_size(x_dtype);
#pragma omp parallel for num_threads(n) schedule(static, 1) if (n > 1)
    for (int i = 0; i < n; i++) {
        bdpo_piece p = bdpo_piece_of(true, 1, count, i, n);
        convert_span((char *)y + p.col * y_size, y_dtype, (const char *)x + p.col * x_size, x_dtype,
                     p.cols);
    }
}

void bdpo_round_to(float *x, bdpo_dtype dtype, int64_t count, int n_threads)
{
    BDPO_ASSERT(is_float(dtype));
    if (dtype == BDPO_F32) return;
    int n = bdpo_threads_for(count, n_threads);
#pragma omp parallel for num_threads(n) schedule(static, 1) if (n > 1)
    for (int i = 0; i < n; i++) {
        bdpo_piece p = bdpo_piece_of(true, 1, count, i, n);
        table()->round(x + p.col, dtype, p.cols);
    }
}

// The element-wise kernels of one instruction set: single-threaded, over a block of rows.
// A row stride of 0 repeats an input's row.
#ifndef BDPO_ELEMENTWISE_ISA_H
#define BDPO_ELEMENTWISE_ISA_H

#include "kernels/elementwise.h"

typedef struct bdpo_elementwise_table {
    void (*unary)(float *y, int64_t ldy, const float *x, int64_t ldx, int64_t rows, int64_t cols,
                  bdpo_unary f, float lo, float hi);
    void (*unary_grad)(float *dx, int64_t lddx, const float *dy, int64_t lddy, const float *x,
                       int64_t ldx, int64_t rows, int64_t cols, bdpo_unary f, float lo, float hi,
                       bool accumulate);
    void (*binary)(float *y, int64_t ldy, const float *a, int64_t lda, const float *b, int64_t ldb,
                   int64_t rows, int64_t cols, bdpo_binary op);
    void (*binary_scalar)(float *y, int64_t ldy, const float *a, int64_t lda, float b, int64_t rows,
                          int64_t cols, bdpo_binary op);
    void (*scaled_add)(float *y, int64_t ldy, float alpha, const float *a, int64_t lda, float beta,
                       const float *b, int64_t ldb, int64_t rows, int64_t cols);
    void (*scale_shift)(float *y, int64_t ldy, const float *a, int64_t lda, float scale,
                        float shift, int64_t rows, int64_t cols);
    void (*geglu)(float *y, int64_t ldy, const float *x, int64_t ldx, int64_t rows, int64_t cols);
    void (*geglu_grad)(float *dx, int64_t lddx, const float *dy, int64_t lddy, const float *x,
                       int64_t ldx, int64_t rows, int64_t cols);
    void (*widen)(float *y, const uint16_t *x, bdpo_dtype x_dtype, int64_t count);
    void (*narrow)(uint16_t *y, bdpo_dtype y_dtype, const float *x, int64_t count);
    void (*round)(float *x, bdpo_dtype dtype, int64_t count);
} bdpo_elementwise_table;

#endif

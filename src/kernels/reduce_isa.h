// The reductions of one instruction set: single-threaded, over one block.
#ifndef BDPO_REDUCE_ISA_H
#define BDPO_REDUCE_ISA_H

#include "kernels/reduce.h"

typedef struct bdpo_reduce_table {
    // part[cols] = sum over rows of x, or of x * w where w is not NULL; in f32, for short blocks.
    void (*column_block)(float *part, const float *x, int64_t ldx, const float *w, int64_t ldw,
                         int64_t rows, int64_t cols);
    // y[cols] (+)= scale * sum over blocks of part[block * stride + col], in order, in double.
    void (*column_merge)(float *y, const float *part, int64_t stride, int64_t blocks, int64_t cols,
                         float scale, bool accumulate);
    // Sum of x, of x * w, of x^2 and of (x - w)^2 over `count` floats, in double.
    double (*sum)(const float *x, int64_t count);
    double (*dot)(const float *x, const float *w, int64_t count);
    double (*squared_distance)(const float *x, const float *w, int64_t count);
    // Sum of (p - r)(p + r - 2 t), every term in double.
    double (*error_margin)(const float *p, const float *r, const float *t, int64_t count);
    bool (*all_finite)(const float *x, int64_t count);
} bdpo_reduce_table;

#endif

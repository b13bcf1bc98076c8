// Softmax and cross-entropy of one instruction set: single-threaded, one row at a time.
#ifndef BDPO_SOFTMAX_ROWS_ISA_H
#define BDPO_SOFTMAX_ROWS_ISA_H

#include "kernels/softmax_rows.h"

typedef struct bdpo_softmax_table {
    void (*softmax)(float *y, const float *x, int64_t cols);
    void (*softmax_grad)(float *dx, const float *dy, const float *y, int64_t cols, bool accumulate);
    float (*log_sum_exp)(const float *x, int64_t cols);
    // dx = d * exp(x - lse), accumulated where asked.
    void (*scaled_probabilities)(float *dx, const float *x, float d, float lse, int64_t cols,
                                 bool accumulate);
} bdpo_softmax_table;

#endif

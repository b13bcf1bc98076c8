// Deals rows to the threads and to the active instruction set.
#include "kernels/softmax_rows.h"

#include <math.h>
#include <string.h>

#include "kernels/isa.h"
#include "kernels/parts.h"
#include "kernels/softmax_rows_isa.h"

BDPO_ISA_TABLE(bdpo_softmax_table, bdpo_softmax_table)

void bdpo_softmax_forward(float *y, int64_t ldy, const float *x, int64_t ldx, int64_t rows,
                          int64_t cols, int n_threads)
{
    int n = bdpo_threads_for(rows * cols, n_threads);
#pragma omp parallel for num_threads(n) schedule(static) if (n > 1)
    for (int64_t r = 0; r < rows; r++) table()->softmax(y + r * ldy, x + r * ldx, cols);
}

void bdpo_softmax_backward(float *dx, int64_t lddx, const float *dy, int64_t lddy, const float *y,
                           int64_t ldy, int64_t rows, int64_t cols, bool accumulate, int n_threads)
{
    int n = bdpo_threads_for(rows * cols, n_threads);
#pragma omp parallel for num_threads(n) schedule(static) if (n > 1)
    for (int64_t r = 0; r < rows; r++)
        table()->softmax_grad(dx + r * lddx, dy + r * lddy, y + r * ldy, cols, accumulate);
}

void bdpo_cross_entropy_forward(float *loss, float *lse, const float *x, int64_t ldx,
                                const int32_t *target, int64_t rows, int64_t cols, int n_threads)
{
    int n = bdpo_threads_for(rows * cols, n_threads);
#pragma omp parallel for num_threads(n) schedule(static) if (n > 1)
    for (int64_t r = 0; r < rows; r++) {
        lse[r] = table()->log_sum_exp(x + r * ldx, cols);
        if (target[r] < cols)
            loss[r] = target[r] < 0 ? 0.0f : lse[r] - x[r * ldx + target[r]];
        else
            loss[r] = NAN;
    }
}

void bdpo_cross_entropy_backward(float *dx, int64_t lddx, const float *dloss, const float *lse,
                                 const float *x, int64_t ldx, const int32_t *target, int64_t rows,
                                 int64_t cols, bool accumulate, int n_threads)
{
    int n = bdpo_threads_for(rows * cols, n_threads);
#pragma omp parallel for num_threads(n) schedule(static) if (n > 1)
    for (int64_t r = 0; r < rows; r++) {
        float *d = dx + r * lddx;
        if (target[r] < 0) {
            if (!accumulate) memset(d, 0, (size_t)cols * sizeof *d);
            continue;
        }
        float weight = target[r] < cols ? dloss[r] : NAN;
        table()->scaled_probabilities(d, x + r * ldx, weight, lse[r], cols, accumulate);
        if (target[r] < cols) d[target[r]] -= weight;
    }
}

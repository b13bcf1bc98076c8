// Softmax of a row, compiled per instruction set.
#include "kernels/softmax_rows_isa.h"

#include <math.h>

#include "kernels/isa.h"
#include "kernels/vec_math.h"

// The greatest element; a NaN anywhere gives NaN.
static float row_max(const float *x, int64_t cols)
{
    vf best = vf_set(-INFINITY), odd = vf_zero();
    float top = -INFINITY;
    int64_t c = 0;
    for (; c + VF_LANES <= cols; c += VF_LANES) {
        vf v = vf_load(x + c);
        best = vf_max(v, best);
        odd = vf_select_lt(v, vf_set(INFINITY), odd, odd + v); // infinity or NaN: remember it
    }
    for (; c < cols; c++)
        if (!(x[c] <= top)) top = x[c];
    float wide = vf_maximum(best), oddity = vf_sum(odd);
    if (isnan(oddity) || isnan(top)) return NAN;
    return wide > top ? wide : top;
}

// y = exp(x - shift) where y is not NULL; the sum of the exponentials in double.
BDPO_INLINE double exponentials(float *y, const float *x, float shift, int64_t cols)
{
    vd low = vd_set(0), high = vd_set(0);
    double rest = 0;
    for (int64_t c = 0; c < cols; c += VF_LANES) {
        int n = cols - c < VF_LANES ? (int)(cols - c) : VF_LANES;
        if (n == VF_LANES) {
            vf e = vf_exp(vf_load(x + c) - shift);
            if (y) vf_store(y + c, e);
            low += vd_low(e), high += vd_high(e);
        } else {
            float lane[VF_LANES];
            vf e = vf_exp(vf_load_n(x + c, n) - shift);
            if (y) vf_store_n(y + c, e, n);
            vf_store(lane, e);
            for (int i = 0; i < n; i++) rest += (double)lane[i];
        }
    }
    return vd_sum(low + high) + rest;
}

static void scale_row(float *y, float factor, int64_t cols)
{
    int64_t c = 0;
    for (; c + VF_LANES <= cols; c += VF_LANES) vf_store(y + c, vf_load(y + c) * factor);
    int n = (int)(cols - c);
    if (n > 0) vf_store_n(y + c, vf_load_n(y + c, n) * factor, n);
}

static void softmax(float *y, const float *x, int64_t cols)
{
    float top = row_max(x, cols);
    if (top == -INFINITY) { // nothing allowed: zeros, as attention has it
        memset(y, 0, (size_t)cols * sizeof *y);
        return;
    }
    double total = exponentials(y, x, top, cols);
    scale_row(y, (float)(1.0 / total), cols);
}

static void softmax_grad(float *dx, const float *dy, const float *y, int64_t cols, bool accumulate)
{
    vd low = vd_set(0), high = vd_set(0);
    for (int64_t c = 0; c < cols; c += VF_LANES) {
        int n = cols - c < VF_LANES ? (int)(cols - c) : VF_LANES;
        vf product = vf_load_n(dy + c, n) * vf_load_n(y + c, n);
        low += vd_low(product), high += vd_high(product);
    }
    vf mean = vf_set((float)vd_sum(low + high));
    for (int64_t c = 0; c < cols; c += VF_LANES) {
        int n = cols - c < VF_LANES ? (int)(cols - c) : VF_LANES;
        vf d = vf_load_n(y + c, n) * (vf_load_n(dy + c, n) - mean);
        vf_store_n(dx + c, accumulate ? vf_load_n(dx + c, n) + d : d, n);
    }
}

static float log_sum_exp(const float *x, int64_t cols)
{
    float top = row_max(x, cols);
    if (top == -INFINITY) return top;
    return (float)((double)top + log(exponentials(NULL, x, top, cols)));
}

static void scaled_probabilities(float *dx, const float *x, float d, float lse, int64_t cols,
                                 bool accumulate)
{
    for (int64_t c = 0; c < cols; c += VF_LANES) {
        int n = cols - c < VF_LANES ? (int)(cols - c) : VF_LANES;
        vf p = vf_exp(vf_load_n(x + c, n) - lse) * d;
        vf_store_n(dx + c, accumulate ? vf_load_n(dx + c, n) + p : p, n);
    }
}

extern const bdpo_softmax_table BDPO_ISA_SYMBOL(bdpo_softmax_table);
const bdpo_softmax_table BDPO_ISA_SYMBOL(bdpo_softmax_table) = {
    .softmax = softmax,
    .softmax_grad = softmax_grad,
    .log_sum_exp = log_sum_exp,
    .scaled_probabilities = scaled_probabilities,
};

// Sums over one block, compiled per instruction set.
#include "kernels/reduce_isa.h"

#include "kernels/isa.h"
#include "kernels/simd.h"

// ---- down the columns -----------------------------------------------------------------------

// Lanes [c, c + n) of four rows, or of `rows` < 4 rows, summed.
BDPO_INLINE vf rows_sum(const float *x, int64_t ldx, const float *w, int64_t ldw, int rows, int n)
{
    vf s = vf_zero();
    for (int r = 0; r < rows; r++) {
        vf v = n == VF_LANES ? vf_load(x + r * ldx) : vf_load_n(x + r * ldx, n);
        if (w)
            s = vf_fma(v, n == VF_LANES ? vf_load(w + r * ldw) : vf_load_n(w + r * ldw, n), s);
        else
            s += v;
    }
    return s;
}

BDPO_INLINE void add_rows(float *part, const float *x, int64_t ldx, const float *w, int64_t ldw,
                          int rows, int64_t cols, bool first)
{
    int64_t c = 0;
    for (; c + VF_LANES <= cols; c += VF_LANES) {
        vf s = rows_sum(x + c, ldx, w ? w + c : w, ldw, rows, VF_LANES);
        vf_store(part + c, first ? s : vf_load(part + c) + s);
    }
    int n = (int)(cols - c);
    if (n == 0) return;
    vf s = rows_sum(x + c, ldx, w ? w + c : w, ldw, rows, n);
    vf_store_n(part + c, first ? s : vf_load_n(part + c, n) + s, n);
}

static void column_block(float *part, const float *x, int64_t ldx, const float *w, int64_t ldw,
                         int64_t rows, int64_t cols)
{
    for (int64_t r = 0; r < rows; r += 4) {
        const float *xr = x + r * ldx, *wr = w ? w + r * ldw : w;
        int n = rows - r < 4 ? (int)(rows - r) : 4;
        if (n == 4 && wr)
            add_rows(part, xr, ldx, wr, ldw, 4, cols, r == 0);
        else if (n == 4)
            add_rows(part, xr, ldx, NULL, 0, 4, cols, r == 0);
        else
            add_rows(part, xr, ldx, wr, ldw, n, cols, r == 0);
    }
}

static void column_merge(float *y, const float *part, int64_t stride, int64_t blocks, int64_t cols,
                         float scale, bool accumulate)
{
    for (int64_t c = 0; c < cols; c += 64) { // columns that fit one cache line walk, in double
        double sum[64] = {0};
        int64_t n = cols - c < 64 ? cols - c : 64;
        for (int64_t b = 0; b < blocks; b++)
            for (int64_t j = 0; j < n; j++) sum[j] += (double)part[b * stride + c + j];
        for (int64_t j = 0; j < n; j++) {
            float s = (float)((double)scale * sum[j]);
            y[c + j] = accumulate ? y[c + j] + s : s;
        }
    }
}

// ---- over a span ----------------------------------------------------------------------------

// Which term is summed, a constant where span() is expanded.
typedef enum term { TERM_X, TERM_XW, TERM_DISTANCE } term;

BDPO_INLINE void add_term(vd acc[2], term kind, vf x, vf w)
{
    if (kind == TERM_X) {
        acc[0] += vd_low(x);
        acc[1] += vd_high(x);
    } else if (kind == TERM_XW) { // the product of two floats is exact in double
        acc[0] = vd_fma(vd_low(x), vd_low(w), acc[0]);
        acc[1] = vd_fma(vd_high(x), vd_high(w), acc[1]);
    } else {
        vf d = x - w;
        acc[0] = vd_fma(vd_low(d), vd_low(d), acc[0]);
        acc[1] = vd_fma(vd_high(d), vd_high(d), acc[1]);
    }
}

BDPO_INLINE double span(term kind, const float *x, const float *w, int64_t count)
{
    vd acc[4] = {vd_set(0), vd_set(0), vd_set(0), vd_set(0)};
    int64_t i = 0;
    for (; i + 2 * VF_LANES <= count; i += 2 * VF_LANES) {
        add_term(acc, kind, vf_load(x + i), vf_load(w + i));
        add_term(acc + 2, kind, vf_load(x + i + VF_LANES), vf_load(w + i + VF_LANES));
    }
    for (; i < count; i += VF_LANES) {
        int n = count - i < VF_LANES ? (int)(count - i) : VF_LANES;
        add_term(acc, kind, vf_load_n(x + i, n), vf_load_n(w + i, n));
    }
    return vd_sum((acc[0] + acc[1]) + (acc[2] + acc[3]));
}

static double sum(const float *x, int64_t count)
{
    return span(TERM_X, x, x, count);
}

static double dot(const float *x, const float *w, int64_t count)
{
    return span(TERM_XW, x, w, count);
}

static double squared_distance(const float *x, const float *w, int64_t count)
{
    return span(TERM_DISTANCE, x, w, count);
}

// Differences of floats are exact in double but for exponents 29 apart.
BDPO_INLINE vd add_margin(vd acc, vd p, vd r, vd t)
{
    return vd_fma(p - r, (p - t) + (r - t), acc);
}

static double error_margin(const float *p, const float *r, const float *t, int64_t count)
{
    vd acc[2] = {vd_set(0), vd_set(0)};
    for (int64_t i = 0; i < count; i += VF_LANES) {
        int n = count - i < VF_LANES ? (int)(count - i) : VF_LANES;
        vf vp = vf_load_n(p + i, n), vr = vf_load_n(r + i, n), vt = vf_load_n(t + i, n);
        acc[0] = add_margin(acc[0], vd_low(vp), vd_low(vr), vd_low(vt));
        acc[1] = add_margin(acc[1], vd_high(vp), vd_high(vr), vd_high(vt));
    }
    return vd_sum(acc[0] + acc[1]);
}

static bool all_finite(const float *x, int64_t count)
{
    vf worst = vf_zero(); // x * 0 is 0 for a finite x and NaN otherwise, and NaN stays in a sum
    int64_t i = 0;
    for (; i + VF_LANES <= count; i += VF_LANES) worst += vf_load(x + i) * 0.0f;
    if (i < count) worst += vf_load_n(x + i, (int)(count - i)) * 0.0f;
    return vf_sum(worst) == 0.0f;
}

extern const bdpo_reduce_table BDPO_ISA_SYMBOL(bdpo_reduce_table);
const bdpo_reduce_table BDPO_ISA_SYMBOL(bdpo_reduce_table) = {
    .column_block = column_block,
    .column_merge = column_merge,
    .sum = sum,
    .dot = dot,
    .squared_distance = squared_distance,
    .error_margin = error_margin,
    .all_finite = all_finite,
};

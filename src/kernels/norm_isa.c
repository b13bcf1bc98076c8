// Normalisation loops, compiled per instruction set.
#include "kernels/norm_isa.h"

#include <math.h>
#include <stddef.h>

#include "kernels/isa.h"
#include "kernels/vec_math.h"

// Group norm: per-channel values are loaded once for so many rows. Layer norm: each row's sums are
// a chain of additions, and only side by side do the chains fill the time.
enum { ROWS_AT_ONCE = 4, LAYER_ROWS = 4 };

BDPO_INLINE vf load(const float *p, int n)
{
    return n == VF_LANES ? vf_load(p) : vf_load_n(p, n);
}
BDPO_INLINE void store(float *p, vf a, int n)
{
    if (n == VF_LANES)
        vf_store(p, a);
    else
        vf_store_n(p, a, n);
}
BDPO_INLINE int lanes_left(int64_t cols, int64_t c)
{
    return cols - c < VF_LANES ? (int)(cols - c) : VF_LANES;
}

// ---- group norm -----------------------------------------------------------------------------

BDPO_INLINE void moments_strip(float *sum, float *square, const float *x0, const float *x,
                               int64_t ldx, int rows, int n, bool first)
{
    vf shift = load(x0, n), s = vf_zero(), q = vf_zero();
    for (int r = 0; r < rows; r++) {
        vf d = load(x + r * ldx, n) - shift;
        s += d;
        q = vf_fma(d, d, q);
    }
    store(sum, first ? s : load(sum, n) + s, n);
    store(square, first ? q : load(square, n) + q, n);
}

static void channel_moments(float *sum, float *square, const float *x, int64_t ldx, int64_t rows,
                            int64_t c)
{
    for (int64_t r = 0; r < rows; r += ROWS_AT_ONCE) {
        const float *xr = x + r * ldx;
        int n = rows - r < ROWS_AT_ONCE ? (int)(rows - r) : ROWS_AT_ONCE;
        int64_t j = 0;
        if (n == ROWS_AT_ONCE)
            for (; j + VF_LANES <= c; j += VF_LANES)
                moments_strip(sum + j, square + j, x + j, xr + j, ldx, ROWS_AT_ONCE, VF_LANES,
                              r == 0);
        for (; j < c; j += VF_LANES)
            moments_strip(sum + j, square + j, x + j, xr + j, ldx, n, lanes_left(c, j), r == 0);
    }
}

// All about x0's first element, in double: that is one of the values itself, so what cancels in
// the difference of squares is at most their number times the result.
static bdpo_moments merge_channels(const float *x0, const float *sum, const float *square,
                                   int64_t channels, double rows)
{
    vf base = vf_set(x0[0]);
    vd base_d = vd_set((double)x0[0]), r = vd_set(1.0 / rows);
    vd d_low = vd_set(0), d_high = vd_set(0), dd_low = vd_set(0), dd_high = vd_set(0);
    vd q_low = vd_set(0), q_high = vd_set(0);
    for (int64_t c = 0; c < channels; c += VF_LANES) {
        int n = lanes_left(channels, c);
        vf x = load(x0 + c, n), s = load(sum + c, n), q = load(square + c, n);
        if (n < VF_LANES) x += base - vf_keep_n(base, n); // lanes past the end add nothing
        vd low = vd_fma(vd_low(s), r, vd_low(x) - base_d);
        vd high = vd_fma(vd_high(s), r, vd_high(x) - base_d);
        d_low += low;
        d_high += high;
        dd_low = vd_fma(low, low, dd_low);
        dd_high = vd_fma(high, high, dd_high);
        q_low += vd_low(q) - vd_low(s) * vd_low(s) * r;
        q_high += vd_high(q) - vd_high(s) * vd_high(s) * r;
    }
    double d = vd_sum(d_low + d_high), dd = vd_sum(dd_low + dd_high), q = vd_sum(q_low + q_high);
    double mean = d / (double)channels, total = q + rows * (dd - d * mean);
    return (bdpo_moments){(double)x0[0] + mean, total > 0 ? total : 0};
}

static void group_moments(bdpo_moments *out, const float *x0, const float *sum, const float *square,
                          int64_t groups, int64_t channels, int64_t rows)
{
    for (int64_t g = 0; g < groups; g++)
        out[g] = merge_channels(x0 + g * channels, sum + g * channels, square + g * channels,
                                channels, (double)rows);
}

// 1 + e^-z, with a reduction to base 2 in one step, which costs a third less than vf_exp_clamped.
// The rounding of log2(e) grows with |z|: relative to 2^-23, the inverse is off by at most 1.5 up
// to |z| = 1, by 2.5 up to 8, 4 at -20 and 10 at -80. Past -87 and 88 it stays as there.
BDPO_INLINE vf one_plus_exp_minus(vf z)
{
    const float magic = VF_ROUND_MAGIC + 127.0f; // the exponent's bias comes along
    vf log2e = vf_set(1.44269504f);
    z = vf_max(vf_set(-87.0f), vf_min(vf_set(88.0f), z)); // a NaN passes
    vf t = vf_fnma(z, log2e, vf_set(magic));
    vf r = vf_fnma(z, log2e, magic - t);
    vf p = vf_fma(r, vf_set(1.326472731e-03f), vf_set(9.671512991e-03f)); // as vf_exp2_flushed
    p = vf_fma(p, r, vf_set(5.550733581e-02f));
    p = vf_fma(p, r, vf_set(2.402224243e-01f));
    p = vf_fma(p, r, vf_set(6.931470037e-01f));
    p = vf_fma(p, r, vf_set(1.0f));
    return vf_fma(p, (vf)((vu)t << 23), vf_set(1.0f));
}

BDPO_INLINE void apply_strip(float *y, int64_t ldy, const float *x, int64_t ldx,
                             const bdpo_group_norm_channels *k, int64_t j, int rows, int n,
                             bool silu)
{
    vf mean = load(k->mean + j, n), gain = load(k->gain + j, n), offset = load(k->offset + j, n);
    for (int r = 0; r < rows; r++) {
        vf z = vf_fma(load(x + r * ldx + j, n) - mean, gain, offset);
        store(y + r * ldy + j, silu ? z / one_plus_exp_minus(z) : z, n);
    }
}

BDPO_INLINE void group_apply_rows(float *y, int64_t ldy, const float *x, int64_t ldx,
                                  const bdpo_group_norm_channels *k, int64_t rows, int64_t c,
                                  bool silu)
{
    for (int64_t r = 0; r < rows; r += ROWS_AT_ONCE) {
        const float *xr = x + r * ldx;
        float *yr = y + r * ldy;
        int n = rows - r < ROWS_AT_ONCE ? (int)(rows - r) : ROWS_AT_ONCE;
        int64_t j = 0;
        if (n == ROWS_AT_ONCE)
            for (; j + VF_LANES <= c; j += VF_LANES)
                apply_strip(yr, ldy, xr, ldx, k, j, ROWS_AT_ONCE, VF_LANES, silu);
        for (; j < c; j += VF_LANES) apply_strip(yr, ldy, xr, ldx, k, j, n, lanes_left(c, j), silu);
    }
}

static void group_apply(float *y, int64_t ldy, const float *x, int64_t ldx,
                        const bdpo_group_norm_channels *k, int64_t rows, int64_t c, bool silu)
{
    if (silu)
        group_apply_rows(y, ldy, x, ldx, k, rows, c, true);
    else
        group_apply_rows(y, ldy, x, ldx, k, rows, c, false);
}

// dz of one vector, from its dy and d = x - mean.
BDPO_INLINE vf before_silu(vf dy, vf d, vf gain, vf offset, bool silu)
{
    if (!silu) return dy;
    vf z = vf_fma(d, gain, offset), s = 1.0f / one_plus_exp_minus(z);
    return dy * s * vf_fma(z, 1.0f - s, vf_set(1.0f));
}

// The gradient's reduction: what it reads, and where dz is kept.
typedef struct grad_rows {
    float *dz; // NULL: not kept
    const float *dy, *x;
    int64_t lddz, lddy, ldx;
} grad_rows;

BDPO_INLINE void grad_sums_strip(float *sum, float *product, const grad_rows *in,
                                 const bdpo_group_norm_channels *k, int64_t j, int rows, int n,
                                 bool silu, bool keep, bool first)
{
    vf mean = load(k->mean + j, n), gain = load(k->gain + j, n), offset = load(k->offset + j, n);
    vf s = vf_zero(), q = vf_zero();
    for (int r = 0; r < rows; r++) {
        vf d = load(in->x + r * in->ldx + j, n) - mean;
        vf dz = before_silu(load(in->dy + r * in->lddy + j, n), d, gain, offset, silu);
        if (keep) store(in->dz + r * in->lddz + j, dz, n);
        s += dz;
        q = vf_fma(dz, d, q);
    }
    store(sum + j, first ? s : load(sum + j, n) + s, n);
    store(product + j, first ? q : load(product + j, n) + q, n);
}

BDPO_INLINE void grad_sums_rows(float *sum, float *product, grad_rows in,
                                const bdpo_group_norm_channels *k, int64_t rows, int64_t c,
                                bool silu, bool keep)
{
    for (int64_t r = 0; r < rows; r += ROWS_AT_ONCE) {
        int n = rows - r < ROWS_AT_ONCE ? (int)(rows - r) : ROWS_AT_ONCE;
        int64_t j = 0;
        if (n == ROWS_AT_ONCE)
            for (; j + VF_LANES <= c; j += VF_LANES)
                grad_sums_strip(sum, product, &in, k, j, ROWS_AT_ONCE, VF_LANES, silu, keep,
                                r == 0);
        for (; j < c; j += VF_LANES)
            grad_sums_strip(sum, product, &in, k, j, n, lanes_left(c, j), silu, keep, r == 0);
        in.x += ROWS_AT_ONCE * in.ldx;
        in.dy += ROWS_AT_ONCE * in.lddy;
        if (keep) in.dz += ROWS_AT_ONCE * in.lddz;
    }
}

static void group_grad_sums(float *sum, float *product, float *dz, int64_t lddz, const float *dy,
                            int64_t lddy, const float *x, int64_t ldx,
                            const bdpo_group_norm_channels *k, int64_t rows, int64_t c, bool silu)
{
    grad_rows in = {dz, dy, x, lddz, lddy, ldx};
    if (!silu)
        grad_sums_rows(sum, product, in, k, rows, c, false, false);
    else if (dz)
        grad_sums_rows(sum, product, in, k, rows, c, true, true);
    else
        grad_sums_rows(sum, product, in, k, rows, c, true, false);
}

BDPO_INLINE void grad_apply_strip(float *dx, int64_t lddx, const float *dy, int64_t lddy,
                                  const float *x, int64_t ldx, const bdpo_group_norm_channels *k,
                                  int64_t j, int rows, int n, bool silu, bool accumulate)
{
    vf mean = load(k->mean + j, n), gain = load(k->gain + j, n), offset = load(k->offset + j, n);
    vf k0 = load(k->k0 + j, n), k1 = load(k->k1 + j, n);
    for (int r = 0; r < rows; r++) {
        vf d = load(x + r * ldx + j, n) - mean;
        vf dz = before_silu(load(dy + r * lddy + j, n), d, gain, offset, silu);
        vf v = vf_fma(dz, gain, vf_fma(d, k1, k0));
        store(dx + r * lddx + j, accumulate ? load(dx + r * lddx + j, n) + v : v, n);
    }
}

BDPO_INLINE void grad_apply_rows(float *dx, int64_t lddx, const float *dy, int64_t lddy,
                                 const float *x, int64_t ldx, const bdpo_group_norm_channels *k,
                                 int64_t rows, int64_t c, bool silu, bool accumulate)
{
    for (int64_t r = 0; r < rows; r += ROWS_AT_ONCE) {
        const float *xr = x + r * ldx, *dyr = dy + r * lddy;
        float *dxr = dx + r * lddx;
        int n = rows - r < ROWS_AT_ONCE ? (int)(rows - r) : ROWS_AT_ONCE;
        int64_t j = 0;
        if (n == ROWS_AT_ONCE)
            for (; j + VF_LANES <= c; j += VF_LANES)
                grad_apply_strip(dxr, lddx, dyr, lddy, xr, ldx, k, j, ROWS_AT_ONCE, VF_LANES, silu,
                                 accumulate);
        for (; j < c; j += VF_LANES)
            grad_apply_strip(dxr, lddx, dyr, lddy, xr, ldx, k, j, n, lanes_left(c, j), silu,
                             accumulate);
    }
}

static void group_grad_apply(float *dx, int64_t lddx, const float *dy, int64_t lddy, const float *x,
                             int64_t ldx, const bdpo_group_norm_channels *k, int64_t rows,
                             int64_t c, bool silu, bool accumulate)
{
    if (silu)
        grad_apply_rows(dx, lddx, dy, lddy, x, ldx, k, rows, c, true, accumulate);
    else
        grad_apply_rows(dx, lddx, dy, lddy, x, ldx, k, rows, c, false, accumulate);
}

// ---- layer norm -----------------------------------------------------------------------------

// Several rows side by side; a row's bits do not depend on its neighbours.

BDPO_INLINE void row_sums(vf *sum, const float *x, int64_t ldx, int64_t cols, int rows)
{
    BDPO_UNROLL
    for (int r = 0; r < rows; r++) sum[r] = vf_zero();
    int64_t c = 0;
    for (; c + VF_LANES <= cols; c += VF_LANES) {
        BDPO_UNROLL
        for (int r = 0; r < rows; r++) sum[r] += vf_load(x + r * ldx + c);
    }
    if (c == cols) return;
    BDPO_UNROLL
    for (int r = 0; r < rows; r++) sum[r] += load(x + r * ldx + c, lanes_left(cols, c));
}

// Mean and variance about a first mean; what rounding left in that mean is then taken out.
BDPO_INLINE void row_moments(double *mean, double *variance, const float *x, int64_t ldx,
                             int64_t cols, int rows)
{
    vf shift[LAYER_ROWS], s[LAYER_ROWS], q[LAYER_ROWS];
    row_sums(s, x, ldx, cols, rows);
    BDPO_UNROLL
    for (int r = 0; r < rows; r++) {
        shift[r] = vf_set(vf_sum(s[r]) / (float)cols);
        s[r] = q[r] = vf_zero();
    }
    int64_t c = 0;
    for (; c + VF_LANES <= cols; c += VF_LANES) {
        BDPO_UNROLL
        for (int r = 0; r < rows; r++) {
            vf d = vf_load(x + r * ldx + c) - shift[r];
            s[r] += d;
            q[r] = vf_fma(d, d, q[r]);
        }
    }
    if (c < cols) {
        BDPO_UNROLL
        for (int r = 0; r < rows; r++) {
            int n = lanes_left(cols, c);
            vf d = vf_keep_n(load(x + r * ldx + c, n) - shift[r], n);
            s[r] += d;
            q[r] = vf_fma(d, d, q[r]);
        }
    }
    BDPO_UNROLL
    for (int r = 0; r < rows; r++) {
        double rest = (double)vf_sum(s[r]) / (double)cols;
        double square = (double)vf_sum(q[r]) / (double)cols - rest * rest;
        mean[r] = (double)shift[r][0] + rest;
        variance[r] = square < 0 ? 0 : square;
    }
}

BDPO_INLINE void layer_norm_strip(float *y, int64_t ldy, const float *x, int64_t ldx,
                                  const vf *mean, const vf *rstd, const float *gamma,
                                  const float *beta, int64_t c, int rows, int n)
{
    vf gain = gamma ? load(gamma + c, n) : vf_set(1.0f);
    vf offset = beta ? load(beta + c, n) : vf_zero();
    BDPO_UNROLL
    for (int r = 0; r < rows; r++) {
        vf hat = (load(x + r * ldx + c, n) - mean[r]) * rstd[r];
        store(y + r * ldy + c, vf_fma(hat, gain, offset), n);
    }
}

BDPO_INLINE void layer_norm_rows(float *y, int64_t ldy, float *stats, const float *x, int64_t ldx,
                                 const float *gamma, const float *beta, int64_t cols, float eps,
                                 int rows)
{
    double mean[LAYER_ROWS], variance[LAYER_ROWS];
    vf m[LAYER_ROWS], rstd[LAYER_ROWS];
    row_moments(mean, variance, x, ldx, cols, rows);
    BDPO_UNROLL
    for (int r = 0; r < rows; r++) {
        stats[2 * r] = (float)mean[r];
        stats[2 * r + 1] = (float)(1.0 / sqrt(variance[r] + (double)eps));
        m[r] = vf_set(stats[2 * r]);
        rstd[r] = vf_set(stats[2 * r + 1]);
    }
    int64_t c = 0;
    for (; c + VF_LANES <= cols; c += VF_LANES)
        layer_norm_strip(y, ldy, x, ldx, m, rstd, gamma, beta, c, rows, VF_LANES);
    if (c < cols)
        layer_norm_strip(y, ldy, x, ldx, m, rstd, gamma, beta, c, rows, lanes_left(cols, c));
}

static void layer_norm(float *y, int64_t ldy, float *stats, const float *x, int64_t ldx,
                       const float *gamma, const float *beta, int64_t rows, int64_t cols, float eps)
{
    int64_t r = 0;
    for (; r + LAYER_ROWS <= rows; r += LAYER_ROWS)
        layer_norm_rows(y + r * ldy, ldy, stats + 2 * r, x + r * ldx, ldx, gamma, beta, cols, eps,
                        LAYER_ROWS);
    for (; r < rows; r++)
        layer_norm_rows(y + r * ldy, ldy, stats + 2 * r, x + r * ldx, ldx, gamma, beta, cols, eps,
                        1);
}

// One strip of the reduction: over the row into s (of g = dy * gamma) and q (of g * (x - mean)),
// and down the rows into sum (of dy) and product (of dy * xhat).
BDPO_INLINE void layer_grad_strip(vf *s, vf *q, const bdpo_layer_norm_grad *a, int64_t c, int rows,
                                  int n, bool params, bool first)
{
    vf gamma = a->gamma ? load(a->gamma + c, n) : vf_set(1.0f);
    vf sum = vf_zero(), product = vf_zero();
    BDPO_UNROLL
    for (int r = 0; r < rows; r++) {
        vf dy = load(a->dy + r * a->lddy + c, n);
        vf d = load(a->x + r * a->ldx + c, n) - vf_set(a->stats[2 * r]);
        if (n < VF_LANES) d = vf_keep_n(d, n);
        vf g = dy * gamma;
        s[r] += g;
        q[r] = vf_fma(g, d, q[r]);
        sum += dy;
        product = vf_fma(dy, d * vf_set(a->stats[2 * r + 1]), product);
    }
    if (!params) return;
    store(a->sum + c, first ? sum : load(a->sum + c, n) + sum, n);
    store(a->product + c, first ? product : load(a->product + c, n) + product, n);
}

// dx = rstd (g - mean(g) - xhat mean(g xhat)), with mean_g and mean_gx = rstd^2 mean(g (x - mean)).
BDPO_INLINE void layer_apply_strip(const bdpo_layer_norm_grad *a, const vf *mean_g,
                                   const vf *mean_gx, int64_t c, int rows, int n)
{
    vf gamma = a->gamma ? load(a->gamma + c, n) : vf_set(1.0f);
    BDPO_UNROLL
    for (int r = 0; r < rows; r++) {
        float *dx = a->dx + r * a->lddx + c;
        vf g = load(a->dy + r * a->lddy + c, n) * gamma;
        vf d = load(a->x + r * a->ldx + c, n) - vf_set(a->stats[2 * r]);
        vf v = vf_fnma(d, mean_gx[r], g - mean_g[r]) * vf_set(a->stats[2 * r + 1]);
        store(dx, a->accumulate ? load(dx, n) + v : v, n);
    }
}

BDPO_INLINE void layer_grad_rows(const bdpo_layer_norm_grad *a, int64_t cols, int rows, bool params,
                                 bool first)
{
    vf s[LAYER_ROWS], q[LAYER_ROWS];
    BDPO_UNROLL
    for (int r = 0; r < rows; r++) s[r] = q[r] = vf_zero();
    int64_t c = 0;
    for (; c + VF_LANES <= cols; c += VF_LANES)
        layer_grad_strip(s, q, a, c, rows, VF_LANES, params, first);
    if (c < cols) layer_grad_strip(s, q, a, c, rows, lanes_left(cols, c), params, first);
    if (!a->dx) return;
    BDPO_UNROLL
    for (int r = 0; r < rows; r++) {
        float rstd = a->stats[2 * r + 1];
        s[r] = vf_set(vf_sum(s[r]) / (float)cols);
        q[r] = vf_set(vf_sum(q[r]) / (float)cols * rstd * rstd);
    }
    for (c = 0; c + VF_LANES <= cols; c += VF_LANES) layer_apply_strip(a, s, q, c, rows, VF_LANES);
    if (c < cols) layer_apply_strip(a, s, q, c, rows, lanes_left(cols, c));
}

static void layer_norm_grad(const bdpo_layer_norm_grad *call, int64_t rows, int64_t cols)
{
    bdpo_layer_norm_grad a = *call;
    for (int64_t r = 0; r < rows;) {
        int n = rows - r < LAYER_ROWS ? 1 : LAYER_ROWS;
        if (n == 1)
            layer_grad_rows(&a, cols, 1, a.sum != NULL, r == 0);
        else if (a.sum)
            layer_grad_rows(&a, cols, LAYER_ROWS, true, r == 0);
        else
            layer_grad_rows(&a, cols, LAYER_ROWS, false, false);
        if (a.dx) a.dx += n * a.lddx;
        a.dy += n * a.lddy;
        a.x += n * a.ldx;
        a.stats += 2 * n;
        r += n;
    }
}

// ---- whole rows -----------------------------------------------------------------------------

static double dot(const float *a, const float *b, int64_t cols)
{
    vd low = vd_set(0), high = vd_set(0);
    for (int64_t c = 0; c < cols; c += VF_LANES) {
        int n = lanes_left(cols, c);
        vf x = load(a + c, n), y = load(b + c, n);
        low = vd_fma(vd_low(x), vd_low(y), low);
        high = vd_fma(vd_high(x), vd_high(y), high);
    }
    return vd_sum(low + high);
}

static void combine(float *y, float alpha, const float *a, float beta, const float *b, int64_t cols,
                    bool accumulate)
{
    vf va = vf_set(alpha), vb = vf_set(beta);
    for (int64_t c = 0; c < cols; c += VF_LANES) {
        int n = lanes_left(cols, c);
        vf v = load(a + c, n) * va;
        if (beta != 0.0f) v = vf_fma(load(b + c, n), vb, v);
        store(y + c, accumulate ? load(y + c, n) + v : v, n);
    }
}

extern const bdpo_norm_table BDPO_ISA_SYMBOL(bdpo_norm_table);
const bdpo_norm_table BDPO_ISA_SYMBOL(bdpo_norm_table) = {
    .channel_moments = channel_moments,
    .group_moments = group_moments,
    .group_apply = group_apply,
    .group_grad_sums = group_grad_sums,
    .group_grad_apply = group_grad_apply,
    .layer_norm = layer_norm,
    .layer_norm_grad = layer_norm_grad,
    .dot = dot,
    .combine = combine,
};

// Normalisation loops, compiled per instruction set.
#include "kernels/norm_isa.h"

#include <math.h>

#include "kernels/isa.h"
#include "kernels/vec_math.h"

enum { ROWS_AT_ONCE = 4 }; // per-channel values are loaded once for so many rows

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

BDPO_INLINE void apply_strip(float *y, int64_t ldy, const float *x, int64_t ldx,
                             const bdpo_group_norm_channels *k, int64_t j, int rows, int n,
                             bool silu)
{
    vf mean = load(k->mean + j, n), gain = load(k->gain + j, n), offset = load(k->offset + j, n);
    for (int r = 0; r < rows; r++) {
        vf z = vf_fma(load(x + r * ldx + j, n) - mean, gain, offset);
        store(y + r * ldy + j, silu ? z * vf_sigmoid(z) : z, n);
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
    vf z = vf_fma(d, gain, offset), s = vf_sigmoid(z);
    return dy * s * vf_fma(z, 1.0f - s, vf_set(1.0f));
}

BDPO_INLINE void grad_sums_strip(float *sum, float *product, const float *dy, int64_t lddy,
                                 const float *x, int64_t ldx, const bdpo_group_norm_channels *k,
                                 int64_t j, int rows, int n, bool silu, bool first)
{
    vf mean = load(k->mean + j, n), gain = load(k->gain + j, n), offset = load(k->offset + j, n);
    vf s = vf_zero(), q = vf_zero();
    for (int r = 0; r < rows; r++) {
        vf d = load(x + r * ldx + j, n) - mean;
        vf dz = before_silu(load(dy + r * lddy + j, n), d, gain, offset, silu);
        s += dz;
        q = vf_fma(dz, d, q);
    }
    store(sum + j, first ? s : load(sum + j, n) + s, n);
    store(product + j, first ? q : load(product + j, n) + q, n);
}

BDPO_INLINE void grad_sums_rows(float *sum, float *product, const float *dy, int64_t lddy,
                                const float *x, int64_t ldx, const bdpo_group_norm_channels *k,
                                int64_t rows, int64_t c, bool silu)
{
    for (int64_t r = 0; r < rows; r += ROWS_AT_ONCE) {
        const float *xr = x + r * ldx, *dyr = dy + r * lddy;
        int n = rows - r < ROWS_AT_ONCE ? (int)(rows - r) : ROWS_AT_ONCE;
        int64_t j = 0;
        if (n == ROWS_AT_ONCE)
            for (; j + VF_LANES <= c; j += VF_LANES)
                grad_sums_strip(sum, product, dyr, lddy, xr, ldx, k, j, ROWS_AT_ONCE, VF_LANES,
                                silu, r == 0);
        for (; j < c; j += VF_LANES)
            grad_sums_strip(sum, product, dyr, lddy, xr, ldx, k, j, n, lanes_left(c, j), silu,
                            r == 0);
    }
}

static void group_grad_sums(float *sum, float *product, const float *dy, int64_t lddy,
                            const float *x, int64_t ldx, const bdpo_group_norm_channels *k,
                            int64_t rows, int64_t c, bool silu)
{
    if (silu)
        grad_sums_rows(sum, product, dy, lddy, x, ldx, k, rows, c, true);
    else
        grad_sums_rows(sum, product, dy, lddy, x, ldx, k, rows, c, false);
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

static float row_sum(const float *x, int64_t cols)
{
    vf s[4] = {vf_zero(), vf_zero(), vf_zero(), vf_zero()};
    int64_t c = 0;
    for (; c + 4 * VF_LANES <= cols; c += 4 * VF_LANES)
        for (int i = 0; i < 4; i++) s[i] += vf_load(x + c + i * VF_LANES);
    for (; c < cols; c += VF_LANES) s[0] += load(x + c, lanes_left(cols, c));
    return vf_sum((s[0] + s[1]) + (s[2] + s[3]));
}

// Mean and variance about a first mean; what rounding left in that mean is then taken out.
static void row_moments(double *mean, double *variance, const float *x, int64_t cols)
{
    float first = row_sum(x, cols) / (float)cols;
    vf shift = vf_set(first), s[2] = {vf_zero(), vf_zero()}, q[2] = {vf_zero(), vf_zero()};
    int64_t c = 0;
    for (; c + 2 * VF_LANES <= cols; c += 2 * VF_LANES)
        for (int i = 0; i < 2; i++) {
            vf d = vf_load(x + c + i * VF_LANES) - shift;
            s[i] += d;
            q[i] = vf_fma(d, d, q[i]);
        }
    for (; c < cols; c += VF_LANES) {
        int n = lanes_left(cols, c);
        vf d = vf_keep_n(load(x + c, n) - shift, n);
        s[0] += d;
        q[0] = vf_fma(d, d, q[0]);
    }
    double rest = (double)vf_sum(s[0] + s[1]) / (double)cols;
    double square = (double)vf_sum(q[0] + q[1]) / (double)cols - rest * rest;
    *mean = (double)first + rest;
    *variance = square < 0 ? 0 : square;
}

static void layer_norm(float *y, float *stats, const float *x, const float *gamma,
                       const float *beta, int64_t cols, float eps)
{
    double mean, variance;
    row_moments(&mean, &variance, x, cols);
    stats[0] = (float)mean;
    stats[1] = (float)(1.0 / sqrt(variance + (double)eps));
    vf m = vf_set(stats[0]), rstd = vf_set(stats[1]), one = vf_set(1.0f), zero = vf_zero();
    for (int64_t c = 0; c < cols; c += VF_LANES) {
        int n = lanes_left(cols, c);
        vf hat = (load(x + c, n) - m) * rstd;
        store(y + c, vf_fma(hat, gamma ? load(gamma + c, n) : one, beta ? load(beta + c, n) : zero),
              n);
    }
}

static void layer_norm_grad(float *dx, const float *dy, const float *x, const float *stats,
                            const float *gamma, int64_t cols, bool accumulate)
{
    vf m = vf_set(stats[0]), rstd = vf_set(stats[1]), one = vf_set(1.0f);
    vf s[2] = {vf_zero(), vf_zero()}, q[2] = {vf_zero(), vf_zero()};
    int64_t c = 0;
    for (; c + 2 * VF_LANES <= cols; c += 2 * VF_LANES)
        for (int i = 0; i < 2; i++) {
            int64_t at = c + i * VF_LANES;
            vf g = vf_load(dy + at) * (gamma ? vf_load(gamma + at) : one);
            s[i] += g;
            q[i] = vf_fma(g, vf_load(x + at) - m, q[i]);
        }
    for (; c < cols; c += VF_LANES) { // a masked dy makes both terms of its lane 0
        int n = lanes_left(cols, c);
        vf g = load(dy + c, n) * (gamma ? load(gamma + c, n) : one);
        s[0] += g;
        q[0] = vf_fma(g, vf_keep_n(load(x + c, n) - m, n), q[0]);
    }
    float mean_g = vf_sum(s[0] + s[1]) / (float)cols;
    float mean_gx = vf_sum(q[0] + q[1]) / (float)cols * stats[1] * stats[1];
    // dx = rstd (g - mean(g) - xhat mean(g xhat))
    vf a = vf_set(mean_g), b = vf_set(mean_gx);
    for (c = 0; c < cols; c += VF_LANES) {
        int n = lanes_left(cols, c);
        vf g = load(dy + c, n) * (gamma ? load(gamma + c, n) : one);
        vf v = vf_fnma(load(x + c, n) - m, b, g - a) * rstd;
        store(dx + c, accumulate ? load(dx + c, n) + v : v, n);
    }
}

BDPO_INLINE void layer_sums_strip(float *sum, float *product, const float *dy, int64_t lddy,
                                  const float *x, int64_t ldx, const float *stats, int rows, int n,
                                  bool first)
{
    vf s = vf_zero(), q = vf_zero();
    for (int r = 0; r < rows; r++) {
        vf g = load(dy + r * lddy, n);
        vf hat = (load(x + r * ldx, n) - vf_set(stats[2 * r])) * vf_set(stats[2 * r + 1]);
        s += g;
        q = vf_fma(g, hat, q);
    }
    store(sum, first ? s : load(sum, n) + s, n);
    store(product, first ? q : load(product, n) + q, n);
}

static void layer_norm_grad_sums(float *sum, float *product, const float *dy, int64_t lddy,
                                 const float *x, int64_t ldx, const float *stats, int64_t rows,
                                 int64_t cols)
{
    for (int64_t r = 0; r < rows; r += ROWS_AT_ONCE) {
        const float *xr = x + r * ldx, *dyr = dy + r * lddy, *st = stats + 2 * r;
        int n = rows - r < ROWS_AT_ONCE ? (int)(rows - r) : ROWS_AT_ONCE;
        int64_t j = 0;
        if (n == ROWS_AT_ONCE)
            for (; j + VF_LANES <= cols; j += VF_LANES)
                layer_sums_strip(sum + j, product + j, dyr + j, lddy, xr + j, ldx, st, ROWS_AT_ONCE,
                                 VF_LANES, r == 0);
        for (; j < cols; j += VF_LANES)
            layer_sums_strip(sum + j, product + j, dyr + j, lddy, xr + j, ldx, st, n,
                             lanes_left(cols, j), r == 0);
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
    .group_apply = group_apply,
    .group_grad_sums = group_grad_sums,
    .group_grad_apply = group_grad_apply,
    .layer_norm = layer_norm,
    .layer_norm_grad = layer_norm_grad,
    .layer_norm_grad_sums = layer_norm_grad_sums,
    .dot = dot,
    .combine = combine,
};

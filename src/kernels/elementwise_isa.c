// The element-wise loops, compiled per instruction set.
#include "kernels/elementwise_isa.h"

#include "kernels/isa.h"
#include "kernels/vec_math.h"

// ---- one operand ----------------------------------------------------------------------------

// `f` is a constant wherever these two are expanded, so the switch is gone.
BDPO_INLINE vf value(bdpo_unary f, vf x, vf lo, vf hi)
{
    switch (f) {
    case BDPO_UNARY_SILU:
        return x * vf_sigmoid(x);
    case BDPO_UNARY_GELU:
        return x * vf_normal_cdf(x);
    case BDPO_UNARY_QUICK_GELU:
        return x * vf_sigmoid(x * 1.702f);
    case BDPO_UNARY_SIGMOID:
        return vf_sigmoid(x);
    case BDPO_UNARY_LOG_SIGMOID: // min(x, 0) - log(1 + exp(-|x|)): no overflow, no cancellation
        return vf_min(vf_zero(), x) - vf_log1p_unit(vf_exp(-vf_abs(x)));
    case BDPO_UNARY_TANH:
        return vf_tanh(x);
    case BDPO_UNARY_EXP:
        return vf_exp(x);
    case BDPO_UNARY_SQUARE:
        return x * x;
    case BDPO_UNARY_CLAMP:
        return vf_min(hi, vf_max(lo, x));
    }
    return x;
}

BDPO_INLINE vf slope(bdpo_unary f, vf x, vf lo, vf hi)
{
    vf one = vf_set(1.0f), zero = vf_zero();
    switch (f) {
    case BDPO_UNARY_SILU: { // s (1 + x (1 - s))
        vf s = vf_sigmoid(x);
        return s * vf_fma(x, one - s, one);
    }
    case BDPO_UNARY_GELU: // cdf + x pdf
        return vf_fma(x, vf_normal_pdf(x), vf_normal_cdf(x));
    case BDPO_UNARY_QUICK_GELU: {
        vf u = x * 1.702f, s = vf_sigmoid(u);
        return s * vf_fma(u, one - s, one);
    }
    case BDPO_UNARY_SIGMOID: {
        vf s = vf_sigmoid(x);
        return s * (one - s);
    }
    case BDPO_UNARY_LOG_SIGMOID:
        return vf_sigmoid(-x);
    case BDPO_UNARY_TANH: {
        vf t = vf_tanh(x);
        return vf_fnma(t, t, one);
    }
    case BDPO_UNARY_EXP:
        return vf_exp(x);
    case BDPO_UNARY_SQUARE:
        return x + x;
    case BDPO_UNARY_CLAMP:
        return vf_select_lt(lo, x, vf_select_lt(x, hi, one, zero), zero);
    }
    return one;
}

BDPO_INLINE void unary_rows(float *y, int64_t ldy, const float *x, int64_t ldx, int64_t rows,
                            int64_t cols, bdpo_unary f, vf lo, vf hi)
{
    for (int64_t r = 0; r < rows; r++, y += ldy, x += ldx) {
        int64_t c = 0;
        for (; c + VF_LANES <= cols; c += VF_LANES)
            vf_store(y + c, value(f, vf_load(x + c), lo, hi));
        int rest = (int)(cols - c);
        if (rest > 0) vf_store_n(y + c, value(f, vf_load_n(x + c, rest), lo, hi), rest);
    }
}

static void unary(float *y, int64_t ldy, const float *x, int64_t ldx, int64_t rows, int64_t cols,
                  bdpo_unary f, float lo, float hi)
{
    switch (f) {
#define X(name, text)                                                                              \
    case BDPO_UNARY_##name:                                                                        \
        unary_rows(y, ldy, x, ldx, rows, cols, BDPO_UNARY_##name, vf_set(lo), vf_set(hi));         \
        break;
        BDPO_UNARY_LIST(X)
#undef X
    }
}

BDPO_INLINE void unary_grad_rows(float *dx, int64_t lddx, const float *dy, int64_t lddy,
                                 const float *x, int64_t ldx, int64_t rows, int64_t cols,
                                 bdpo_unary f, vf lo, vf hi, bool accumulate)
{
    for (int64_t r = 0; r < rows; r++, dx += lddx, dy += lddy, x += ldx)
        for (int64_t c = 0; c < cols; c += VF_LANES) {
            int n = cols - c < VF_LANES ? (int)(cols - c) : VF_LANES;
            vf s, g;
            if (n == VF_LANES) {
                s = slope(f, vf_load(x + c), lo, hi), g = vf_load(dy + c);
                vf_store(dx + c, accumulate ? vf_fma(g, s, vf_load(dx + c)) : g * s);
            } else {
                s = slope(f, vf_load_n(x + c, n), lo, hi), g = vf_load_n(dy + c, n);
                vf_store_n(dx + c, accumulate ? vf_fma(g, s, vf_load_n(dx + c, n)) : g * s, n);
            }
        }
}

static void unary_grad(float *dx, int64_t lddx, const float *dy, int64_t lddy, const float *x,
                       int64_t ldx, int64_t rows, int64_t cols, bdpo_unary f, float lo, float hi,
                       bool accumulate)
{
    switch (f) {
#define X(name, text)                                                                              \
    case BDPO_UNARY_##name:                                                                        \
        unary_grad_rows(dx, lddx, dy, lddy, x, ldx, rows, cols, BDPO_UNARY_##name, vf_set(lo),     \
                        vf_set(hi), accumulate);                                                   \
        break;
        BDPO_UNARY_LIST(X)
#undef X
    }
}

// ---- two operands ---------------------------------------------------------------------------

BDPO_INLINE vf combine(bdpo_binary op, vf a, vf b)
{
    switch (op) {
    case BDPO_BINARY_ADD:
        return a + b;
    case BDPO_BINARY_SUB:
        return a - b;
    case BDPO_BINARY_MUL:
        return a * b;
    }
    return a;
}

BDPO_INLINE void binary_rows(float *y, int64_t ldy, const float *a, int64_t lda, const float *b,
                             int64_t ldb, int64_t rows, int64_t cols, bdpo_binary op)
{
    for (int64_t r = 0; r < rows; r++, y += ldy, a += lda, b += ldb) {
        int64_t c = 0;
        for (; c + VF_LANES <= cols; c += VF_LANES)
            vf_store(y + c, combine(op, vf_load(a + c), vf_load(b + c)));
        int rest = (int)(cols - c);
        if (rest > 0)
            vf_store_n(y + c, combine(op, vf_load_n(a + c, rest), vf_load_n(b + c, rest)), rest);
    }
}

static void binary(float *y, int64_t ldy, const float *a, int64_t lda, const float *b, int64_t ldb,
                   int64_t rows, int64_t cols, bdpo_binary op)
{
    switch (op) {
    case BDPO_BINARY_ADD:
        binary_rows(y, ldy, a, lda, b, ldb, rows, cols, BDPO_BINARY_ADD);
        break;
    case BDPO_BINARY_SUB:
        binary_rows(y, ldy, a, lda, b, ldb, rows, cols, BDPO_BINARY_SUB);
        break;
    case BDPO_BINARY_MUL:
        binary_rows(y, ldy, a, lda, b, ldb, rows, cols, BDPO_BINARY_MUL);
        break;
    }
}

static void scaled_add(float *y, int64_t ldy, float alpha, const float *a, int64_t lda, float beta,
                       const float *b, int64_t ldb, int64_t rows, int64_t cols)
{
    vf va = vf_set(alpha), vb = vf_set(beta);
    for (int64_t r = 0; r < rows; r++, y += ldy, a += lda, b += ldb) {
        int64_t c = 0;
        for (; c + VF_LANES <= cols; c += VF_LANES)
            vf_store(y + c, vf_fma(vb, vf_load(b + c), va * vf_load(a + c)));
        int n = (int)(cols - c);
        if (n > 0) vf_store_n(y + c, vf_fma(vb, vf_load_n(b + c, n), va * vf_load_n(a + c, n)), n);
    }
}

static void scale_shift(float *y, int64_t ldy, const float *a, int64_t lda, float scale,
                        float shift, int64_t rows, int64_t cols)
{
    vf vs = vf_set(scale), vt = vf_set(shift);
    for (int64_t r = 0; r < rows; r++, y += ldy, a += lda) {
        int64_t c = 0;
        for (; c + VF_LANES <= cols; c += VF_LANES) vf_store(y + c, vf_fma(vf_load(a + c), vs, vt));
        int n = (int)(cols - c);
        if (n > 0) vf_store_n(y + c, vf_fma(vf_load_n(a + c, n), vs, vt), n);
    }
}

static void binary_scalar(float *y, int64_t ldy, const float *a, int64_t lda, float b, int64_t rows,
                          int64_t cols, bdpo_binary op)
{
    switch (op) {
    case BDPO_BINARY_ADD:
        scale_shift(y, ldy, a, lda, 1.0f, b, rows, cols);
        break;
    case BDPO_BINARY_SUB:
        scale_shift(y, ldy, a, lda, 1.0f, -b, rows, cols);
        break;
    case BDPO_BINARY_MUL:
        scale_shift(y, ldy, a, lda, b, -0.0f, rows, cols); // x * b + (-0) keeps the sign of 0
        break;
    }
}

// ---- GEGLU ----------------------------------------------------------------------------------

static void geglu(float *y, int64_t ldy, const float *x, int64_t ldx, int64_t rows, int64_t cols)
{
    for (int64_t r = 0; r < rows; r++, y += ldy, x += ldx) {
        const float *gate = x + cols;
        int64_t c = 0;
        for (; c + VF_LANES <= cols; c += VF_LANES) {
            vf g = vf_load(gate + c);
            vf_store(y + c, vf_load(x + c) * (g * vf_normal_cdf(g)));
        }
        int n = (int)(cols - c);
        if (n > 0) {
            vf g = vf_load_n(gate + c, n);
            vf_store_n(y + c, vf_load_n(x + c, n) * (g * vf_normal_cdf(g)), n);
        }
    }
}

// For one vector: the gradients of value and gate.
BDPO_INLINE void geglu_slopes(vf *dvalue, vf *dgate, vf dy, vf v, vf g)
{
    vf cdf = vf_normal_cdf(g);
    *dvalue = dy * (g * cdf);
    *dgate = dy * v * vf_fma(g, vf_normal_pdf(g), cdf);
}

static void geglu_grad(float *dx, int64_t lddx, const float *dy, int64_t lddy, const float *x,
                       int64_t ldx, int64_t rows, int64_t cols)
{
    for (int64_t r = 0; r < rows; r++, dx += lddx, dy += lddy, x += ldx) {
        vf dv, dg;
        int64_t c = 0;
        for (; c + VF_LANES <= cols; c += VF_LANES) {
            geglu_slopes(&dv, &dg, vf_load(dy + c), vf_load(x + c), vf_load(x + cols + c));
            vf_store(dx + c, dv);
            vf_store(dx + cols + c, dg);
        }
        int n = (int)(cols - c);
        if (n > 0) {
            geglu_slopes(&dv, &dg, vf_load_n(dy + c, n), vf_load_n(x + c, n),
                         vf_load_n(x + cols + c, n));
            vf_store_n(dx + c, dv, n);
            vf_store_n(dx + cols + c, dg, n);
        }
    }
}

// ---- 16-bit floats --------------------------------------------------------------------------

typedef uint16_t vh __attribute__((vector_size(VF_LANES * 2)));

// All lanes one where a < b, as unsigned integers below 2^31.
BDPO_INLINE vu below(vu a, uint32_t b)
{
    return (vu)((vi)a < (vi)((vu){0} + b));
}
BDPO_INLINE vu choose(vu lanes, vu x, vu y)
{
    return (lanes & x) | (~lanes & y);
}

// Bits of an f32 rounded to bf16, in the upper half of each lane: nearest, ties to even.
BDPO_INLINE vu bf16_bits(vf x)
{
    vu bits = (vu)x, magnitude = bits & 0x7fffffffu;
    vu rounded = bits + 0x7fffu + ((bits >> 16) & 1u);
    return choose(below(magnitude, 0x7f800001u), rounded, bits | 0x00400000u) & 0xffff0000u;
}

BDPO_INLINE vu f16_bits(vf x)
{
    vu sign = (vu)x & 0x80000000u, a = (vu)x ^ sign;
    // Normal: rebias the exponent and round at bit 13; the carry may rightly reach infinity.
    vu normal = (a - (112u << 23) + 0xfffu + ((a >> 13) & 1u)) >> 13;
    // Subnormal: adding 1/2 leaves the value, rounded to 2^-24, in the low bits.
    vu subnormal = (vu)((vf)a + 0.5f) - 0x3f000000u;
    vu special = choose(below(a, 0x7f800001u), (vu){0} + 0x7c00u, (vu){0} + 0x7e00u);
    vu half = choose(below(a, 0x38800000u), subnormal, normal);
    return choose(below(a, 0x47800000u), half, special) | (sign >> 16);
}

BDPO_INLINE vf f16_value(vu h)
{
    vu sign = (h & 0x8000u) << 16, a = (h & 0x7fffu) << 13;
    vf scaled = (vf)a * 0x1p112f; // rebias by a product, right for subnormals too
    vu special = choose(below(a, 0x0f800000u), (vu){0}, (vu){0} + 0x7f800000u);
    return (vf)((vu)scaled | sign | special);
}

BDPO_INLINE vu load_half(const uint16_t *p, int n)
{
    vh h = {0};
    memcpy(&h, p, (size_t)n * sizeof *p);
    return __builtin_convertvector(h, vu);
}
BDPO_INLINE void store_half(uint16_t *p, vu bits, int n)
{
    vh h = __builtin_convertvector(bits, vh);
    memcpy(p, &h, (size_t)n * sizeof *p);
}

BDPO_INLINE void widen_n(float *y, const uint16_t *x, bdpo_dtype dtype, int n)
{
    vu h = load_half(x, n);
    vf v = dtype == BDPO_BF16 ? (vf)(h << 16) : f16_value(h);
    if (n == VF_LANES)
        vf_store(y, v);
    else
        vf_store_n(y, v, n);
}

static void widen(float *y, const uint16_t *x, bdpo_dtype dtype, int64_t count)
{
    int64_t i = 0;
    if (dtype == BDPO_BF16)
        for (; i + VF_LANES <= count; i += VF_LANES) widen_n(y + i, x + i, BDPO_BF16, VF_LANES);
    else
        for (; i + VF_LANES <= count; i += VF_LANES) widen_n(y + i, x + i, BDPO_F16, VF_LANES);
    if (i < count) widen_n(y + i, x + i, dtype, (int)(count - i));
}

BDPO_INLINE void narrow_n(uint16_t *y, bdpo_dtype dtype, const float *x, int n)
{
    vf v = n == VF_LANES ? vf_load(x) : vf_load_n(x, n);
    store_half(y, dtype == BDPO_BF16 ? bf16_bits(v) >> 16 : f16_bits(v), n);
}

static void narrow(uint16_t *y, bdpo_dtype dtype, const float *x, int64_t count)
{
    int64_t i = 0;
    if (dtype == BDPO_BF16)
        for (; i + VF_LANES <= count; i += VF_LANES) narrow_n(y + i, BDPO_BF16, x + i, VF_LANES);
    else
        for (; i + VF_LANES <= count; i += VF_LANES) narrow_n(y + i, BDPO_F16, x + i, VF_LANES);
    if (i < count) narrow_n(y + i, dtype, x + i, (int)(count - i));
}

static void round_span(float *x, bdpo_dtype dtype, int64_t count)
{
    for (int64_t i = 0; i < count; i += VF_LANES) {
        int n = count - i < VF_LANES ? (int)(count - i) : VF_LANES;
        vf v = vf_load_n(x + i, n);
        vf_store_n(x + i, dtype == BDPO_BF16 ? (vf)bf16_bits(v) : f16_value(f16_bits(v)), n);
    }
}

extern const bdpo_elementwise_table BDPO_ISA_SYMBOL(bdpo_elementwise_table);
const bdpo_elementwise_table BDPO_ISA_SYMBOL(bdpo_elementwise_table) = {
    .unary = unary,
    .unary_grad = unary_grad,
    .binary = binary,
    .binary_scalar = binary_scalar,
    .scaled_add = scaled_add,
    .scale_shift = scale_shift,
    .geglu = geglu,
    .geglu_grad = geglu_grad,
    .widen = widen,
    .narrow = narrow,
    .round = round_span,
};

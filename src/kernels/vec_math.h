// exp, log, tanh, erf and their kin on one vector (simd.h), for *_isa.c files.
//
// Errors stay within 3 units in the last place, unless a line says otherwise; NaN gives NaN,
// infinities and overflow give what libm gives. Polynomials are minimax fits of ours (weighted
// least squares, reweighted to an even error) on the interval named beside them.
#ifndef BDPO_VEC_MATH_H
#define BDPO_VEC_MATH_H

#include "kernels/simd.h"

// Adding 1.5 * 2^23 rounds to the nearest integer and leaves it in the low bits.
#define VF_ROUND_MAGIC 12582912.0f

// e^r * 2^n for |r| <= log(2)/2; t = VF_ROUND_MAGIC + n holds the integer n in its low bits.
BDPO_INLINE vf vf_exp_reduced(vf x, vf *t)
{
    *t = vf_fma(x, vf_set(1.44269504f), vf_set(VF_ROUND_MAGIC));
    vf n = *t - VF_ROUND_MAGIC;
    // log(2) in two parts: n times the first is exact, without FMA too.
    vf r = vf_fnma(n, vf_set(0.693359375f), x);
    r = vf_fnma(n, vf_set(-2.12194440e-4f), r);
    vf p = vf_fma(r, vf_set(1.381459879e-03f), vf_set(8.368716575e-03f));
    p = vf_fma(p, r, vf_set(4.166838899e-02f));
    p = vf_fma(p, r, vf_set(1.666652113e-01f));
    p = vf_fma(p, r, vf_set(4.999999404e-01f));
    return vf_fma(p, r * r, r) + 1.0f;
}

// e^x.
BDPO_INLINE vf vf_exp(vf x)
{
    x = vf_max(vf_set(-104.0f), vf_min(vf_set(89.0f), x));
    vf t, y = vf_exp_reduced(x, &t);
#ifdef __AVX512F__
    return _mm512_scalef_ps(y, t - VF_ROUND_MAGIC);
#else
    // 2^n in two factors, for n reaches from the subnormals to 2^128.
    vi n = (vi)t - (vi)vf_set(VF_ROUND_MAGIC);
    vi half = n >> 1;
    return y * (vf)((vu)(half + 127) << 23) * (vf)((vu)(n - half + 127) << 23);
#endif
}

// e^x with cheaper ends: infinity from 88.38 or 88.73 on, 1.2e-38 below -87.33.
BDPO_INLINE vf vf_exp_clamped(vf x)
{
    x = vf_max(vf_set(-87.336f), vf_min(vf_set(89.0f), x));
    vf t, y = vf_exp_reduced(x, &t);
#ifdef __AVX512F__
    return _mm512_scalef_ps(y, t - VF_ROUND_MAGIC);
#else
    return y * (vf)(((vu)t << 23) + (127u << 23)); // the magic's own bits leave at the top
#endif
}

// 2^x for x below 127; exactly 0 where the result would be below 2^-126, and for -infinity.
// Exact for integers. Fit on [-1/2, 1/2].
BDPO_INLINE vf vf_exp2_flushed(vf x)
{
    const float magic = VF_ROUND_MAGIC + 127.0f; // the exponent's bias comes along
    vf t = x + magic;
    vf r = x - (t - magic);
    vf p = vf_fma(r, vf_set(1.326472731e-03f), vf_set(9.671512991e-03f));
    p = vf_fma(p, r, vf_set(5.550733581e-02f));
    p = vf_fma(p, r, vf_set(2.402224243e-01f));
    p = vf_fma(p, r, vf_set(6.931470037e-01f));
    p = vf_fma(p, r, vf_set(1.0f));
    return vf_zero_below(x, -126.0f, p * (vf)((vu)t << 23));
}

// log(x), natural.
BDPO_INLINE vf vf_log(vf x)
{
    vf small = vf_set(1.17549435e-38f), infinity = vf_set(__builtin_inff());
    vf scaled = vf_select_lt(x, small, x * 8388608.0f, x); // lifts the subnormals
    vf bias = vf_select_lt(x, small, vf_set(-23.0f), vf_zero());
    // x = m 2^e with m in [sqrt(1/2), sqrt 2).
    vi shifted = (vi)scaled - 0x3f3504f3;
    vf e = __builtin_convertvector(shifted >> 23, vf) + bias;
    vf f = (vf)((shifted & 0x7fffff) + 0x3f3504f3) - 1.0f;
    vf p = vf_fma(f, vf_set(6.746638566e-02f), vf_set(-1.167565137e-01f));
    p = vf_fma(p, f, vf_set(1.188816279e-01f));
    p = vf_fma(p, f, vf_set(-1.240558922e-01f));
    p = vf_fma(p, f, vf_set(1.421955228e-01f));
    p = vf_fma(p, f, vf_set(-1.666799635e-01f));
    p = vf_fma(p, f, vf_set(2.000211924e-01f));
    p = vf_fma(p, f, vf_set(-2.500000894e-01f));
    p = vf_fma(p, f, vf_set(3.333331347e-01f));
    vf square = f * f;
    vf tail = vf_fma(p * f, square, e * -2.12194440e-4f);
    vf y = vf_fma(e, vf_set(0.693359375f), vf_fma(square, vf_set(-0.5f), tail) + f);
    y = vf_select_lt(x, infinity, y, x); // +infinity and NaN pass
    vf below = vf_select_lt(x, vf_zero(), vf_set(__builtin_nanf("")), -infinity);
    return vf_select_lt(vf_zero(), x, y, vf_select_lt(x, small, below, x));
}

// log(1 + x) for x in [0, 1].
BDPO_INLINE vf vf_log1p_unit(vf x)
{
    vf u = x + 1.0f;
    return vf_log(u) + (x - (u - 1.0f)) / u; // what rounding u lost, to first order
}

// 1 / (1 + e^-x).
BDPO_INLINE vf vf_sigmoid(vf x)
{
    return 1.0f / (1.0f + vf_exp_clamped(-x));
}

BDPO_INLINE vf vf_tanh(vf x)
{
    vf a = vf_abs(x), u = x * x;
    // [0, 0.625]: an odd polynomial, for the other form cancels there.
    vf p = vf_fma(u, vf_set(-5.717044696e-03f), vf_set(2.065058611e-02f));
    p = vf_fma(p, u, vf_set(-5.374349654e-02f));
    p = vf_fma(p, u, vf_set(1.333149076e-01f));
    p = vf_fma(p, u, vf_set(-3.333328366e-01f));
    vf near = vf_fma(p * u, a, a);
    vf far = 1.0f - 2.0f / (vf_exp_clamped(a + a) + 1.0f);
    return vf_copysign(vf_select_lt(a, vf_set(0.625f), near, far), x);
}

BDPO_INLINE vf vf_erf(vf x)
{
    vf a = vf_abs(x), u = x * x;
    // |x| < 1: x times a polynomial in x^2.
    vf p = vf_fma(u, vf_set(7.853860734e-05f), vf_set(-8.010193706e-04f));
    p = vf_fma(p, u, vf_set(5.188327748e-03f));
    p = vf_fma(p, u, vf_set(-2.685381100e-02f));
    p = vf_fma(p, u, vf_set(1.128358543e-01f));
    p = vf_fma(p, u, vf_set(-3.761262596e-01f));
    p = vf_fma(p, u, vf_set(1.128379107f));
    vf near = p * a;
    // [1, 4]: 1 - exp(-q), q a fit of -log(erfc); 1 to within half a unit from 4 on.
    vf t = vf_min(vf_set(4.0f), a);
    vf q = vf_fma(t, vf_set(-1.855740702e-04f), vf_set(2.939607948e-03f));
    q = vf_fma(q, t, vf_set(-2.180531994e-02f));
    q = vf_fma(q, t, vf_set(1.030373722e-01f));
    q = vf_fma(q, t, vf_set(6.382256746e-01f));
    q = vf_fma(q, t, vf_set(1.127040029f));
    q = vf_fma(q, t, vf_set(3.537187586e-04f));
    vf far = 1.0f - vf_exp_clamped(-q);
    return vf_copysign(vf_select_lt(a, vf_set(1.0f), near, far), x);
}

// The normal distribution, (1 + erf(x / sqrt 2)) / 2, with erf's absolute error: 1e-7.
BDPO_INLINE vf vf_normal_cdf(vf x)
{
    return vf_fma(vf_erf(x * 0.707106781f), vf_set(0.5f), vf_set(0.5f));
}
// Its density, exp(-x^2 / 2) / sqrt(2 pi).
BDPO_INLINE vf vf_normal_pdf(vf x)
{
    return vf_exp_clamped(x * x * -0.5f) * 0.398942280f;
}

#endif

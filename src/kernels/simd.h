// One vector of floats, as wide as the instruction set for which the file is compiled, with the
// integers and doubles that share its bits. Included by *_isa.c files only; everything is static
// inline, so no vector crosses a call. Mathematical functions: vec_math.h.
//
// +, -, *, / and unary minus work on vf and vd, and + - & | ^ << >> on vu, as they stand (vector
// types of GCC and clang). Casts between vf and vu keep the bits.
#ifndef BDPO_SIMD_H
#define BDPO_SIMD_H

#include <stdint.h>
#include <string.h>

#if defined(__AVX512F__) || defined(__AVX2__)
#    include <immintrin.h>
#endif

// Before a loop of constant trip count over an array of vectors: only unrolled whole do these
// arrays live in registers.
#ifdef __clang__
#    define BDPO_UNROLL _Pragma("clang loop unroll(full)")
#else
#    define BDPO_UNROLL _Pragma("GCC unroll 32")
#endif
#define BDPO_INLINE static inline __attribute__((always_inline))

#if defined(__AVX512F__)
enum { VF_LANES = 16 };
#elif defined(__AVX2__)
enum { VF_LANES = 8 };
#else
enum { VF_LANES = 4 };
#endif
typedef float vf __attribute__((vector_size(VF_LANES * 4)));
typedef double vd __attribute__((vector_size(VF_LANES * 4)));
typedef uint32_t vu __attribute__((vector_size(VF_LANES * 4)));
typedef int32_t vi __attribute__((vector_size(VF_LANES * 4)));

#if defined(__AVX512F__)
BDPO_INLINE vf vf_load(const float *p)
{
    return _mm512_loadu_ps(p);
}
BDPO_INLINE void vf_store(float *p, vf a)
{
    _mm512_storeu_ps(p, a);
}
// The first n lanes (0 <= n <= VF_LANES), the others zero; and a store of the first n lanes.
BDPO_INLINE vf vf_load_n(const float *p, int n)
{
    return _mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1u), p);
}
BDPO_INLINE void vf_store_n(float *p, vf a, int n)
{
    _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1u), a);
}
// a with the lanes from n on made zero.
BDPO_INLINE vf vf_keep_n(vf a, int n)
{
    return _mm512_maskz_mov_ps((__mmask16)((1u << n) - 1u), a);
}
BDPO_INLINE vf vf_set(float a)
{
    return _mm512_set1_ps(a);
}
BDPO_INLINE vf vf_fma(vf a, vf b, vf c) // a*b + c
{
    return _mm512_fmadd_ps(a, b, c);
}
BDPO_INLINE vf vf_fnma(vf a, vf b, vf c) // c - a*b
{
    return _mm512_fnmadd_ps(a, b, c);
}
// max and min return b where either is NaN (so a NaN in b passes).
BDPO_INLINE vf vf_max(vf a, vf b)
{
    return _mm512_max_ps(a, b);
}
BDPO_INLINE vf vf_min(vf a, vf b)
{
    return _mm512_min_ps(a, b);
}
// a < b ? x : y, lane by lane; a NaN in a or b takes y.
BDPO_INLINE vf vf_select_lt(vf a, vf b, vf x, vf y)
{
    return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, b, _CMP_LT_OQ), y, x);
}
BDPO_INLINE float vf_sum(vf a)
{
    return _mm512_reduce_add_ps(a);
}
BDPO_INLINE float vf_maximum(vf a)
{
    return _mm512_reduce_max_ps(a);
}
// The low and the high half of the lanes, widened.
BDPO_INLINE vd vd_low(vf a)
{
    return _mm512_cvtps_pd(_mm512_castps512_ps256(a));
}
BDPO_INLINE vd vd_high(vf a)
{
    return _mm512_cvtps_pd(_mm512_extractf32x8_ps(a, 1));
}
BDPO_INLINE vd vd_set(double a)
{
    return _mm512_set1_pd(a);
}
BDPO_INLINE vd vd_fma(vd a, vd b, vd c)
{
    return _mm512_fmadd_pd(a, b, c);
}
BDPO_INLINE double vd_sum(vd a)
{
    return _mm512_reduce_add_pd(a);
}
#elif defined(__AVX2__)
BDPO_INLINE vf vf_load(const float *p)
{
    return _mm256_loadu_ps(p);
}
BDPO_INLINE void vf_store(float *p, vf a)
{
    _mm256_storeu_ps(p, a);
}
BDPO_INLINE __m256i vf_first_lanes(int n)
{
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
BDPO_INLINE vf vf_load_n(const float *p, int n)
{
    return _mm256_maskload_ps(p, vf_first_lanes(n));
}
BDPO_INLINE void vf_store_n(float *p, vf a, int n)
{
    _mm256_maskstore_ps(p, vf_first_lanes(n), a);
}
BDPO_INLINE vf vf_keep_n(vf a, int n)
{
    return _mm256_and_ps(a, _mm256_castsi256_ps(vf_first_lanes(n)));
}
BDPO_INLINE vf vf_set(float a)
{
    return _mm256_set1_ps(a);
}
BDPO_INLINE vf vf_fma(vf a, vf b, vf c)
{
    return _mm256_fmadd_ps(a, b, c);
}
BDPO_INLINE vf vf_fnma(vf a, vf b, vf c)
{
    return _mm256_fnmadd_ps(a, b, c);
}
BDPO_INLINE vf vf_max(vf a, vf b)
{
    return _mm256_max_ps(a, b);
}
BDPO_INLINE vf vf_min(vf a, vf b)
{
    return _mm256_min_ps(a, b);
}
BDPO_INLINE vf vf_select_lt(vf a, vf b, vf x, vf y)
{
    return _mm256_blendv_ps(y, x, _mm256_cmp_ps(a, b, _CMP_LT_OQ));
}
BDPO_INLINE float vf_sum(vf a)
{
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}
BDPO_INLINE float vf_maximum(vf a)
{
    __m128 s = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    s = _mm_max_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_max_ss(s, _mm_movehdup_ps(s)));
}
BDPO_INLINE vd vd_low(vf a)
{
    return _mm256_cvtps_pd(_mm256_castps256_ps128(a));
}
BDPO_INLINE vd vd_high(vf a)
{
    return _mm256_cvtps_pd(_mm256_extractf128_ps(a, 1));
}
BDPO_INLINE vd vd_set(double a)
{
    return _mm256_set1_pd(a);
}
BDPO_INLINE vd vd_fma(vd a, vd b, vd c)
{
    return _mm256_fmadd_pd(a, b, c);
}
BDPO_INLINE double vd_sum(vd a)
{
    __m128d s = _mm_add_pd(_mm256_castpd256_pd128(a), _mm256_extractf128_pd(a, 1));
    return _mm_cvtsd_f64(_mm_add_sd(s, _mm_unpackhi_pd(s, s)));
}
#else
BDPO_INLINE vf vf_load(const float *p)
{
    vf a;
    memcpy(&a, p, sizeof a);
    return a;
}
BDPO_INLINE void vf_store(float *p, vf a)
{
    memcpy(p, &a, sizeof a);
}
BDPO_INLINE vf vf_load_n(const float *p, int n)
{
    float lane[VF_LANES] = {0};
    memcpy(lane, p, (size_t)n * sizeof *p);
    return vf_load(lane);
}
BDPO_INLINE void vf_store_n(float *p, vf a, int n)
{
    float lane[VF_LANES];
    vf_store(lane, a);
    memcpy(p, lane, (size_t)n * sizeof *p);
}
BDPO_INLINE vf vf_keep_n(vf a, int n)
{
    float lane[VF_LANES];
    vf_store(lane, a);
    return vf_load_n(lane, n);
}
BDPO_INLINE vf vf_set(float a)
{
    return (vf){a, a, a, a};
}
BDPO_INLINE vf vf_fma(vf a, vf b, vf c) // two roundings: no fused operation is promised
{
    return a * b + c;
}
BDPO_INLINE vf vf_fnma(vf a, vf b, vf c)
{
    return c - a * b;
}
BDPO_INLINE vf vf_select_lt(vf a, vf b, vf x, vf y)
{
    vu lanes = (vu)(a < b);
    return (vf)((lanes & (vu)x) | (~lanes & (vu)y));
}
BDPO_INLINE vf vf_max(vf a, vf b)
{
    return vf_select_lt(b, a, a, b);
}
BDPO_INLINE vf vf_min(vf a, vf b)
{
    return vf_select_lt(a, b, a, b);
}
BDPO_INLINE float vf_sum(vf a)
{
    return (a[0] + a[2]) + (a[1] + a[3]);
}
BDPO_INLINE float vf_maximum(vf a)
{
    float low = a[0] > a[1] ? a[0] : a[1], high = a[2] > a[3] ? a[2] : a[3];
    return low > high ? low : high;
}
BDPO_INLINE vd vd_low(vf a)
{
    return (vd){(double)a[0], (double)a[1]};
}
BDPO_INLINE vd vd_high(vf a)
{
    return (vd){(double)a[2], (double)a[3]};
}
BDPO_INLINE vd vd_set(double a)
{
    return (vd){a, a};
}
BDPO_INLINE vd vd_fma(vd a, vd b, vd c)
{
    return a * b + c;
}
BDPO_INLINE double vd_sum(vd a)
{
    return a[0] + a[1];
}
#endif

BDPO_INLINE vf vf_zero(void)
{
    return vf_set(0.0f);
}
BDPO_INLINE vf vf_abs(vf a)
{
    return (vf)((vu)a & 0x7fffffffu);
}
BDPO_INLINE vf vf_copysign(vf magnitude, vf sign)
{
    return (vf)(((vu)magnitude & 0x7fffffffu) | ((vu)sign & 0x80000000u));
}

#endif

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
// y where x is at least `limit` or NaN, elsewhere 0 (also where y is NaN).
BDPO_INLINE vf vf_zero_below(vf x, float limit, vf y)
{
    return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(x, vf_set(limit), _CMP_NLT_UQ), y);
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
BDPO_INLINE vf vf_zero_below(vf x, float limit, vf y)
{
    return _mm256_and_ps(_mm256_cmp_ps(x, vf_set(limit), _CMP_NLT_UQ), y);
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
BDPO_INLINE vf vf_zero_below(vf x, float limit, vf y)
{
    return (vf)(~(vu)(x < vf_set(limit)) & (vu)y);
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

// Transposes the square matrix whose rows are r[0] .. r[VF_LANES - 1].
#if defined(__AVX512F__)
// Within each group of four rows: 4 x 4 blocks, side by side in the 128-bit quarters.
BDPO_INLINE void vf_transpose_quarters(vf r[4])
{
    __m512d a = (__m512d)_mm512_unpacklo_ps(r[0], r[1]),
            b = (__m512d)_mm512_unpackhi_ps(r[0], r[1]);
    __m512d c = (__m512d)_mm512_unpacklo_ps(r[2], r[3]),
            d = (__m512d)_mm512_unpackhi_ps(r[2], r[3]);
    r[0] = (vf)_mm512_unpacklo_pd(a, c);
    r[1] = (vf)_mm512_unpackhi_pd(a, c);
    r[2] = (vf)_mm512_unpacklo_pd(b, d);
    r[3] = (vf)_mm512_unpackhi_pd(b, d);
}
BDPO_INLINE void vf_transpose(vf r[VF_LANES])
{
    BDPO_UNROLL
    for (int i = 0; i < 16; i += 4) vf_transpose_quarters(r + i);
    BDPO_UNROLL
    for (int j = 0; j < 4; j++) { // now the quarters themselves
        vf a = _mm512_shuffle_f32x4(r[j], r[4 + j], 0x44),
           b = _mm512_shuffle_f32x4(r[j], r[4 + j], 0xee);
        vf c = _mm512_shuffle_f32x4(r[8 + j], r[12 + j], 0x44),
           d = _mm512_shuffle_f32x4(r[8 + j], r[12 + j], 0xee);
        r[j] = _mm512_shuffle_f32x4(a, c, 0x88);
        r[4 + j] = _mm512_shuffle_f32x4(a, c, 0xdd);
        r[8 + j] = _mm512_shuffle_f32x4(b, d, 0x88);
        r[12 + j] = _mm512_shuffle_f32x4(b, d, 0xdd);
    }
}
#elif defined(__AVX2__)
BDPO_INLINE void vf_transpose_halves(vf r[4])
{
    __m256d a = (__m256d)_mm256_unpacklo_ps(r[0], r[1]),
            b = (__m256d)_mm256_unpackhi_ps(r[0], r[1]);
    __m256d c = (__m256d)_mm256_unpacklo_ps(r[2], r[3]),
            d = (__m256d)_mm256_unpackhi_ps(r[2], r[3]);
    r[0] = (vf)_mm256_unpacklo_pd(a, c);
    r[1] = (vf)_mm256_unpackhi_pd(a, c);
    r[2] = (vf)_mm256_unpacklo_pd(b, d);
    r[3] = (vf)_mm256_unpackhi_pd(b, d);
}
BDPO_INLINE void vf_transpose(vf r[VF_LANES])
{
    vf_transpose_halves(r);
    vf_transpose_halves(r + 4);
    BDPO_UNROLL
    for (int j = 0; j < 4; j++) {
        vf low = r[j], high = r[4 + j];
        r[j] = _mm256_permute2f128_ps(low, high, 0x20);
        r[4 + j] = _mm256_permute2f128_ps(low, high, 0x31);
    }
}
#else
BDPO_INLINE void vf_transpose(vf r[VF_LANES])
{
    vf t[VF_LANES];
    memcpy(t, r, sizeof t);
    for (int i = 0; i < VF_LANES; i++)
        for (int j = 0; j < VF_LANES; j++) r[i][j] = t[j][i];
}
#endif
BDPO_INLINE vf vf_abs(vf a)
{
    return (vf)((vu)a & 0x7fffffffu);
}
BDPO_INLINE vf vf_copysign(vf magnitude, vf sign)
{
    return (vf)(((vu)magnitude & 0x7fffffffu) | ((vu)sign & 0x80000000u));
}

#endif

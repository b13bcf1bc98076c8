// One vector of floats, as wide as the instruction set for which the file is compiled.
// Included by *_isa.c files only; everything is static inline, so no vector crosses a call.
#ifndef BDPO_SIMD_H
#define BDPO_SIMD_H

#include <stdint.h>
#include <string.h>

#if defined(__AVX512F__) || defined(__AVX2__)
#    include <immintrin.h>
#endif

#if defined(__AVX512F__)
enum { VF_LANES = 16 };
typedef __m512 vf;
static inline vf vf_load(const float *p)
{
    return _mm512_loadu_ps(p);
}
static inline void vf_store(float *p, vf a)
{
    _mm512_storeu_ps(p, a);
}
static inline vf vf_set(float a)
{
    return _mm512_set1_ps(a);
}
static inline vf vf_fma(vf a, vf b, vf c)
{
    return _mm512_fmadd_ps(a, b, c);
} // a*b + c
static inline vf vf_fnma(vf a, vf b, vf c)
{
    return _mm512_fnmadd_ps(a, b, c);
} // c - a*b
static inline vf vf_max(vf a, vf b)
{
    return _mm512_max_ps(a, b);
}
static inline vf vf_min(vf a, vf b)
{
    return _mm512_min_ps(a, b);
}
static inline float vf_sum(vf a)
{
    return _mm512_reduce_add_ps(a);
}
static inline float vf_maximum(vf a)
{
    return _mm512_reduce_max_ps(a);
}
static inline vf vf_load_n(const float *p, int n)
{
    return _mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1u), p);
}
static inline void vf_store_n(float *p, vf a, int n)
{
    _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1u), a);
}
#elif defined(__AVX2__)
enum { VF_LANES = 8 };
typedef __m256 vf;
static inline vf vf_load(const float *p)
{
    return _mm256_loadu_ps(p);
}
static inline void vf_store(float *p, vf a)
{
    _mm256_storeu_ps(p, a);
}
static inline vf vf_set(float a)
{
    return _mm256_set1_ps(a);
}
static inline vf vf_fma(vf a, vf b, vf c)
{
    return _mm256_fmadd_ps(a, b, c);
}
static inline vf vf_fnma(vf a, vf b, vf c)
{
    return _mm256_fnmadd_ps(a, b, c);
}
static inline vf vf_max(vf a, vf b)
{
    return _mm256_max_ps(a, b);
}
static inline vf vf_min(vf a, vf b)
{
    return _mm256_min_ps(a, b);
}
#else
enum { VF_LANES = 8 };
typedef float vf __attribute__((vector_size(32)));
static inline vf vf_load(const float *p)
{
    vf a;
    memcpy(&a, p, sizeof a);
    return a;
}
static inline void vf_store(float *p, vf a)
{
    memcpy(p, &a, sizeof a);
}
static inline vf vf_set(float a)
{
    return (vf){a, a, a, a, a, a, a, a};
}
static inline vf vf_fma(vf a, vf b, vf c)
{
    return a * b + c;
} // two roundings: no FMA promised
static inline vf vf_fnma(vf a, vf b, vf c)
{
    return c - a * b;
}
static inline vf vf_max(vf a, vf b)
{
    return a > b ? a : b;
}
static inline vf vf_min(vf a, vf b)
{
    return a < b ? a : b;
}
#endif

#ifndef __AVX512F__
static inline float vf_sum(vf a)
{
    float lane[VF_LANES];
    vf_store(lane, a);
    return ((lane[0] + lane[4]) + (lane[2] + lane[6])) +
           ((lane[1] + lane[5]) + (lane[3] + lane[7]));
}
static inline float vf_maximum(vf a)
{
    float lane[VF_LANES], best;
    vf_store(lane, a);
    best = lane[0];
    for (int i = 1; i < VF_LANES; i++) best = lane[i] > best ? lane[i] : best;
    return best;
}
// The first n lanes, the others zero; and a store of the first n lanes.
static inline vf vf_load_n(const float *p, int n)
{
    float lane[VF_LANES] = {0};
    memcpy(lane, p, (size_t)n * sizeof *p);
    return vf_load(lane);
}
static inline void vf_store_n(float *p, vf a, int n)
{
    float lane[VF_LANES];
    vf_store(lane, a);
    memcpy(p, lane, (size_t)n * sizeof *p);
}
#endif

// +, -, *, / and unary minus work on vf as they stand (GCC and clang vector types).
static inline vf vf_zero(void)
{
    return vf_set(0.0f);
}

#endif

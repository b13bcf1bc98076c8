// The block product of the convolutions and the shape of its register tile. The right operand is a
// panel of CONV_COLUMNS floats a step of the sum; the left one rests as it is, read by broadcasts,
// so that what a transform has just written needs no packing. Included by *_isa.c files only.
#ifndef BDPO_CONV_PRODUCT_H
#define BDPO_CONV_PRODUCT_H

#include "kernels/isa.h"
#include "kernels/simd.h"

// A tile is CONV_ROWS rows of two vectors: 24 of 32 registers hold sums with AVX-512, 12 of 16 with
// AVX2, 8 of 16 in the portable build.
#if defined(__AVX512F__)
enum { CONV_ROWS = 12 };
#elif defined(__AVX2__)
enum { CONV_ROWS = 6 };
#else
enum { CONV_ROWS = 4 };
#endif
enum { CONV_COLUMNS = 2 * VF_LANES };

// c[r][j] = sum over k < n_k of a(r, k) b[k][j], or c += it, for r < n_rows and
// j < vectors * VF_LANES. `vectors` is 1 or 2 and also the width of b: b[k] starts at
// b + k * vectors * VF_LANES. Each sum runs in the order of k.
typedef struct conv_product {
    float *c;
    int64_t ldc;
    const float *a;
    int64_t lda;
    const float *b;
    int64_t n_rows, n_k;
    int vectors;
    bool add;
    // Where the operands of the next product begin, or anything: as much as this one reads is
    // fetched from there into the second-level cache meanwhile.
    const float *next_a, *next_b;
} conv_product;

// a(r, k) = a[r * lda + k] and a[k * lda + r].
#define conv_product_rows    BDPO_ISA_SYMBOL(bdpo_conv_product_rows)
#define conv_product_columns BDPO_ISA_SYMBOL(bdpo_conv_product_columns)
#define conv_product_dots    BDPO_ISA_SYMBOL(bdpo_conv_product_dots)
void conv_product_rows(const conv_product *p);
void conv_product_columns(const conv_product *p);

// For 4 columns, with lanes over k: c[r][j] (+)= sum over k of a[r * lda + k] b[j * ldb + k], j
// < 4. n_k is rounded up to whole vectors, behind n_k either operand holds zeros and the other
// anything finite. Fetches nothing ahead.
void conv_product_dots(const conv_product *p, int64_t ldb);

// rows[i][j] <-> rows[j][i].
BDPO_INLINE void conv_transpose(vf rows[VF_LANES])
{
#if defined(__AVX512F__)
    __m512 t[16];
    BDPO_UNROLL
    for (int i = 0; i < 16; i += 4) {
        __m512d a = _mm512_castps_pd(_mm512_unpacklo_ps(rows[i], rows[i + 1]));
        __m512d b = _mm512_castps_pd(_mm512_unpackhi_ps(rows[i], rows[i + 1]));
        __m512d c = _mm512_castps_pd(_mm512_unpacklo_ps(rows[i + 2], rows[i + 3]));
        __m512d d = _mm512_castps_pd(_mm512_unpackhi_ps(rows[i + 2], rows[i + 3]));
        t[i] = _mm512_castpd_ps(_mm512_unpacklo_pd(a, c));
        t[i + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(a, c));
        t[i + 2] = _mm512_castpd_ps(_mm512_unpacklo_pd(b, d));
        t[i + 3] = _mm512_castpd_ps(_mm512_unpackhi_pd(b, d));
    }
    // t[4 g + j], quarter q, holds column 4 q + j of rows 4 g .. 4 g + 3.
    BDPO_UNROLL
    for (int j = 0; j < 4; j++) {
        __m512 a = _mm512_shuffle_f32x4(t[j], t[4 + j], 0x88);
        __m512 b = _mm512_shuffle_f32x4(t[j], t[4 + j], 0xdd);
        __m512 c = _mm512_shuffle_f32x4(t[8 + j], t[12 + j], 0x88);
        __m512 d = _mm512_shuffle_f32x4(t[8 + j], t[12 + j], 0xdd);
        rows[j] = _mm512_shuffle_f32x4(a, c, 0x88);
        rows[4 + j] = _mm512_shuffle_f32x4(b, d, 0x88);
        rows[8 + j] = _mm512_shuffle_f32x4(a, c, 0xdd);
        rows[12 + j] = _mm512_shuffle_f32x4(b, d, 0xdd);
    }
#elif defined(__AVX2__)
    __m256 t[8];
    BDPO_UNROLL
    for (int i = 0; i < 8; i += 4) {
        __m256d a = _mm256_castps_pd(_mm256_unpacklo_ps(rows[i], rows[i + 1]));
        __m256d b = _mm256_castps_pd(_mm256_unpackhi_ps(rows[i], rows[i + 1]));
        __m256d c = _mm256_castps_pd(_mm256_unpacklo_ps(rows[i + 2], rows[i + 3]));
        __m256d d = _mm256_castps_pd(_mm256_unpackhi_ps(rows[i + 2], rows[i + 3]));
        t[i] = _mm256_castpd_ps(_mm256_unpacklo_pd(a, c));
        t[i + 1] = _mm256_castpd_ps(_mm256_unpackhi_pd(a, c));
        t[i + 2] = _mm256_castpd_ps(_mm256_unpacklo_pd(b, d));
        t[i + 3] = _mm256_castpd_ps(_mm256_unpackhi_pd(b, d));
    }
    BDPO_UNROLL
    for (int j = 0; j < 4; j++) {
        rows[j] = _mm256_permute2f128_ps(t[j], t[4 + j], 0x20);
        rows[4 + j] = _mm256_permute2f128_ps(t[j], t[4 + j], 0x31);
    }
#else
    float lanes[VF_LANES][VF_LANES], turned[VF_LANES][VF_LANES];
    for (int i = 0; i < VF_LANES; i++) vf_store(lanes[i], rows[i]);
    for (int i = 0; i < VF_LANES; i++) {
        for (int j = 0; j < VF_LANES; j++) turned[j][i] = lanes[i][j];
    }
    for (int i = 0; i < VF_LANES; i++) rows[i] = vf_load(turned[i]);
#endif
}

// The first n lanes; a plain load where n is VF_LANES or more.
BDPO_INLINE vf conv_load(const float *p, int64_t n)
{
    return n >= VF_LANES ? vf_load(p) : vf_load_n(p, (int)n);
}
BDPO_INLINE void conv_store(float *p, vf a, int64_t n)
{
    if (n >= VF_LANES) {
        vf_store(p, a);
    } else {
        vf_store_n(p, a, (int)n);
    }
}

#endif

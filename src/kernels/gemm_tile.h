// The inner product kernel shared by the matrix product and the convolutions: a register tile of
// C and the packing of B. Included by *_isa.c files only; works on one thread and never allocates.
//
//     tile_pack_b(packed, b, k, n, b_step, b_column);      // once per B block, reused for many
//     rows tile_block(&(tile_c){.c = c, .ldc = ldc, .alpha = 1}, m, n, k, tile_a_rows(a, lda),
//     packed);
//
// Each element of C is one chain of fused multiply-adds over k in ascending order, started at
// zero, whatever the tile that it falls in: its bits do not depend on m, n or the partition.
//
// Keep a packed B block (k x n floats) in half of the second-level cache at most, about 512 rows
// (k) deep; a deeper product is a sum of blocks, the later ones with `add`.
#ifndef BDPO_GEMM_TILE_H
#define BDPO_GEMM_TILE_H

#include <stdbool.h>

#include "kernels/simd.h"

// Accumulators TILE_ROWS x TILE_VECTORS, the vectors of B and one broadcast of A fill the
// register file: 32 registers with AVX-512, else 16.
#if defined(__AVX512F__)
enum { TILE_ROWS = 8, TILE_VECTORS = 3 };
#elif defined(__AVX2__)
enum { TILE_ROWS = 6, TILE_VECTORS = 2 };
#else
enum { TILE_ROWS = 4, TILE_VECTORS = 2 };
#endif

// Where a product goes: C = alpha A B, plus the old C with `add`, plus `bias` (one number a
// column) unless NULL.
typedef struct tile_c {
    float *c;
    int64_t ldc;
    const float *bias;
    float alpha;
    bool add;
} tile_c;

// A, by groups of TILE_ROWS rows: element (i, p) of a group is at a[i * stride + p], or at
// a[p * stride + i] with by_columns; groups are `group` floats apart.
typedef struct tile_a {
    const float *a;
    int64_t stride, group;
    bool by_columns;
} tile_a;

// A stored [m, k] as it rests.
BDPO_INLINE tile_a tile_a_rows(const float *a, int64_t lda)
{
    return (tile_a){.a = a, .stride = lda, .group = TILE_ROWS * lda};
}

// A stored [k, m] as it rests. Slow for a large lda and k, where each step is another page.
BDPO_INLINE tile_a tile_a_columns(const float *a, int64_t lda)
{
    return (tile_a){.a = a, .stride = lda, .group = TILE_ROWS, .by_columns = true};
}

// A packed by tile_pack_a, or written in that order by its producer: groups of [k][TILE_ROWS].
// The last 4 floats between two groups are not used.
BDPO_INLINE int64_t tile_packed_a_group(int64_t k)
{
    return k * TILE_ROWS + 4;
}
BDPO_INLINE tile_a tile_a_packed(const float *packed, int64_t k)
{
    return (tile_a){packed, TILE_ROWS, tile_packed_a_group(k), true};
}

// B is packed in panels of whole vectors: panel at column j, `vectors` wide, is
// [k][vectors * VF_LANES] at packed + j * k. Columns past n are padding of any value.
// Vectors of the next panel when `left` are still to go: as wide as possible, never 3 + 1.
BDPO_INLINE int64_t tile_panel_vectors(int64_t left)
{
    if (TILE_VECTORS == 3 && left == 4) return 2;
    return left < TILE_VECTORS ? left : TILE_VECTORS;
}
BDPO_INLINE int64_t tile_vectors(int64_t n)
{
    return (n + VF_LANES - 1) / VF_LANES;
}
// Floats of a packed B.
BDPO_INLINE int64_t tile_packed_b_size(int64_t k, int64_t n)
{
    return k * tile_vectors(n) * VF_LANES;
}

// ---- the tile ------------------------------------------------------------------------------

// C[rows, vectors] of one tile. `rows`, `vectors` and `by_columns` are constants after inlining.
// `tail` is the number of valid lanes of the last vector.
BDPO_INLINE void tile_store(int rows, int vectors, vf acc[TILE_ROWS][TILE_VECTORS], float *c,
                            const float *bias, int tail, const tile_c *out)
{
    vf alpha = vf_set(out->alpha);
    BDPO_UNROLL
    for (int i = 0; i < rows; i++) {
        float *row = c + i * out->ldc;
        BDPO_UNROLL
        for (int j = 0; j < vectors; j++) {
            int at = j * VF_LANES;
            vf x = acc[i][j] * alpha;
            if (j == vectors - 1 && tail < VF_LANES) {
                if (out->add) x += vf_load_n(row + at, tail);
                if (bias) x += vf_load_n(bias + at, tail);
                vf_store_n(row + at, x, tail);
            } else {
                if (out->add) x += vf_load(row + at);
                if (bias) x += vf_load(bias + at);
                vf_store(row + at, x);
            }
        }
    }
}

BDPO_INLINE void tile_product(int rows, int vectors, bool by_columns, const float *a,
                              int64_t stride, const float *b, int64_t k, float *c,
                              const float *bias, int tail, const tile_c *out)
{
    vf acc[TILE_ROWS][TILE_VECTORS];
    BDPO_UNROLL
    for (int i = 0; i < rows; i++) {
        __builtin_prefetch(c + i * out->ldc, 1);
        __builtin_prefetch(c + i * out->ldc + vectors * VF_LANES - 1, 1);
        BDPO_UNROLL
        for (int j = 0; j < vectors; j++) acc[i][j] = vf_zero();
    }
    for (int64_t p = 0; p < k; p++) {
        vf bp[TILE_VECTORS];
        BDPO_UNROLL
        for (int j = 0; j < vectors; j++) bp[j] = vf_load(b + j * VF_LANES);
        BDPO_UNROLL
        for (int i = 0; i < rows; i++) {
            vf ai = vf_set(a[by_columns ? i : i * stride]);
            BDPO_UNROLL
            for (int j = 0; j < vectors; j++) acc[i][j] = vf_fma(ai, bp[j], acc[i][j]);
        }
        a += by_columns ? stride : 1;
        b += vectors * VF_LANES;
    }
    tile_store(rows, vectors, acc, c, bias, tail, out);
}

typedef void tile_function(const float *a, int64_t stride, const float *b, int64_t k, float *c,
                           const float *bias, int tail, const tile_c *out);

#define TILE_DEFINE_(rows, vectors)                                                                \
    static void tile_rows_##rows##_##vectors(const float *a, int64_t stride, const float *b,       \
                                             int64_t k, float *c, const float *bias, int tail,     \
                                             const tile_c *out)                                    \
    {                                                                                              \
        tile_product(rows, vectors, false, a, stride, b, k, c, bias, tail, out);                   \
    }                                                                                              \
    static void tile_columns_##rows##_##vectors(const float *a, int64_t stride, const float *b,    \
                                                int64_t k, float *c, const float *bias, int tail,  \
                                                const tile_c *out)                                 \
    {                                                                                              \
        tile_product(rows, vectors, true, a, stride, b, k, c, bias, tail, out);                    \
    }
#define TILE_NAME_(rows, vectors)                                                                  \
    [rows - 1][vectors - 1] = {tile_rows_##rows##_##vectors, tile_columns_##rows##_##vectors},

// Every tile from 1 x 1 up: [rows - 1][vectors - 1][by_columns].
#define TILE_LIST_4_2_(X) X(1, 1) X(1, 2) X(2, 1) X(2, 2) X(3, 1) X(3, 2) X(4, 1) X(4, 2)
#define TILE_LIST_6_2_(X) TILE_LIST_4_2_(X) X(5, 1) X(5, 2) X(6, 1) X(6, 2)
#define TILE_LIST_8_3_(X)                                                                          \
    TILE_LIST_6_2_(X)                                                                              \
    X(7, 1) X(7, 2) X(8, 1) X(8, 2) X(1, 3) X(2, 3) X(3, 3) X(4, 3) X(5, 3) X(6, 3) X(7, 3) X(8, 3)
#if defined(__AVX512F__)
#    define TILE_LIST_ TILE_LIST_8_3_
#elif defined(__AVX2__)
#    define TILE_LIST_ TILE_LIST_6_2_
#else
#    define TILE_LIST_ TILE_LIST_4_2_
#endif
TILE_LIST_(TILE_DEFINE_)
static tile_function *const tile_functions[TILE_ROWS][TILE_VECTORS][2] = {TILE_LIST_(TILE_NAME_)};

// out->c[m, n] = A[m, k] times a packed B. A group of A's rows stays in the first-level cache
// while the panels of B pass by.
static inline void tile_block(const tile_c *out, int64_t m, int64_t n, int64_t k, tile_a a,
                              const float *packed_b)
{
    int64_t n_vectors = tile_vectors(n);
    for (int64_t i = 0; i < m; i += TILE_ROWS, a.a += a.group) {
        int64_t rows = m - i < TILE_ROWS ? m - i : TILE_ROWS;
        for (int64_t v = 0, vectors; v < n_vectors; v += vectors) {
            vectors = tile_panel_vectors(n_vectors - v);
            int64_t column = v * VF_LANES, left = n - (v + vectors - 1) * VF_LANES;
            tile_functions[rows - 1][vectors - 1][a.by_columns](
                a.a, a.stride, packed_b + column * k, k, out->c + i * out->ldc + column,
                out->bias ? out->bias + column : NULL, left < VF_LANES ? (int)left : VF_LANES, out);
        }
    }
}

// ---- packing -------------------------------------------------------------------------------

// Columns p .. p + 3 of the VF_LANES rows `row[]`, each as one vector.
BDPO_INLINE void tile_transpose_4(vf out[4], const float *const row[VF_LANES], int64_t p)
{
#if defined(__AVX512F__) || defined(__AVX2__)
    // Lane group q of in[r] is row 4 q + r, so that a 4 x 4 transposition within the groups is all.
    vf in[4];
    BDPO_UNROLL
    for (int r = 0; r < 4; r++) {
#    if defined(__AVX512F__)
        in[r] = _mm512_castps128_ps512(_mm_loadu_ps(row[r] + p));
        in[r] = _mm512_mask_broadcast_f32x4(in[r], 0x00f0, _mm_loadu_ps(row[r + 4] + p));
        in[r] = _mm512_mask_broadcast_f32x4(in[r], 0x0f00, _mm_loadu_ps(row[r + 8] + p));
        in[r] = _mm512_mask_broadcast_f32x4(in[r], 0xf000, _mm_loadu_ps(row[r + 12] + p));
#    else
        in[r] = _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(row[r] + p)),
                                     _mm_loadu_ps(row[r + 4] + p), 1);
#    endif
    }
#    if defined(__AVX512F__)
#        define UNPACK_(half, a, b) _mm512_unpack##half##_ps(a, b)
#        define UNPACK2_(half, a, b)                                                               \
            _mm512_castpd_ps(_mm512_unpack##half##_pd(_mm512_castps_pd(a), _mm512_castps_pd(b)))
#    else
#        define UNPACK_(half, a, b) _mm256_unpack##half##_ps(a, b)
#        define UNPACK2_(half, a, b)                                                               \
            _mm256_castpd_ps(_mm256_unpack##half##_pd(_mm256_castps_pd(a), _mm256_castps_pd(b)))
#    endif
    vf low01 = UNPACK_(lo, in[0], in[1]), low23 = UNPACK_(lo, in[2], in[3]);
    vf high01 = UNPACK_(hi, in[0], in[1]), high23 = UNPACK_(hi, in[2], in[3]);
    out[0] = UNPACK2_(lo, low01, low23);
    out[1] = UNPACK2_(hi, low01, low23);
    out[2] = UNPACK2_(lo, high01, high23);
    out[3] = UNPACK2_(hi, high01, high23);
#    undef UNPACK_
#    undef UNPACK2_
#else
    for (int j = 0; j < 4; j++) {
        float lane[VF_LANES];
        for (int r = 0; r < VF_LANES; r++) lane[r] = row[r][p + j];
        out[j] = vf_load(lane);
    }
#endif
}

// One vector of columns of a B stored [n, k]: `lanes` rows of b, into out[p * step].
static inline void tile_pack_transposed(float *out, int64_t step, const float *b, int64_t ldb,
                                        int64_t k, int64_t lanes)
{
    const float *row[VF_LANES];
    for (int64_t r = 0; r < VF_LANES; r++) row[r] = b + (r < lanes ? r : lanes - 1) * ldb;
    int64_t p = 0;
    for (; p + 4 <= k; p += 4) {
        vf column[4];
        tile_transpose_4(column, row, p);
        BDPO_UNROLL
        for (int j = 0; j < 4; j++) vf_store(out + (p + j) * step, column[j]);
    }
    for (; p < k; p++)
        for (int r = 0; r < VF_LANES; r++) out[p * step + r] = row[r][p];
}

// Packs a B stored [n, k] (b[j * ldb + p]), a linear layer's weight.
static inline void tile_pack_b_transposed(float *packed, const float *b, int64_t ldb, int64_t k,
                                          int64_t n)
{
    int64_t n_vectors = tile_vectors(n);
    for (int64_t v = 0, vectors; v < n_vectors; v += vectors) {
        vectors = tile_panel_vectors(n_vectors - v);
        float *panel = packed + v * VF_LANES * k;
        for (int64_t u = 0; u < vectors; u++) {
            int64_t j = (v + u) * VF_LANES, lanes = n - j < VF_LANES ? n - j : VF_LANES;
            tile_pack_transposed(panel + u * VF_LANES, vectors * VF_LANES, b + j * ldb, ldb, k,
                                 lanes);
        }
    }
}

// Packs a B stored [k, n] (b[p * ldb + j]).
static inline void tile_pack_b_rows(float *packed, const float *b, int64_t ldb, int64_t k,
                                    int64_t n)
{
    int64_t n_vectors = tile_vectors(n), full = n / VF_LANES;
    for (int64_t p = 0; p < k; p++, b += ldb) {
        for (int64_t v = 0, vectors; v < n_vectors; v += vectors) {
            vectors = tile_panel_vectors(n_vectors - v);
            float *out = packed + v * VF_LANES * k + p * vectors * VF_LANES;
            for (int64_t u = 0; u < vectors; u++) {
                int64_t j = (v + u) * VF_LANES;
                vf x = v + u < full ? vf_load(b + j) : vf_load_n(b + j, (int)(n - j));
                vf_store(out + u * VF_LANES, x);
            }
        }
    }
}

// Packs an A stored [k, m] (a[p * lda + i]) for tile_a_packed. Floats of the result:
// groups of TILE_ROWS rows times tile_packed_a_group(k).
static inline void tile_pack_a_columns(float *packed, const float *a, int64_t lda, int64_t m,
                                       int64_t k)
{
    enum { STEP = TILE_ROWS > 4 ? 8 : 4 }; // floats of one copy; what spills over is overwritten
    int64_t group = tile_packed_a_group(k);
    for (int64_t p = 0; p < k; p++, a += lda) {
        float *out = packed + p * TILE_ROWS;
        int64_t i = 0;
        for (; i + STEP <= m; i += TILE_ROWS, out += group) memcpy(out, a + i, STEP * sizeof *a);
        for (; i < m; i += TILE_ROWS, out += group)
            for (int64_t r = 0; r < TILE_ROWS && i + r < m; r++) out[r] = a[i + r];
    }
}

#endif

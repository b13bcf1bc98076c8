// The inner product kernel: register tiles of C, and the packing of A and B for them. Included by
// *_isa.c files only; works on one thread and never allocates.
//
//     tile_pack_b_transposed(packed, w, ldw, k, n);        // once, then used for many rows
//     tile_c c = {.c = y, .ldc = ldy, .alpha = 1};
//     tile_block(&c, m, n, k, tile_a_rows(x, ldx), tile_b_packed(packed));
//
// Each element of C is one chain of fused multiply-adds over k (at least 1) in ascending order,
// whatever the tile that it falls in and however A and B lie: its bits depend neither on m
// and n nor on the partition.
//
// Keep k x n floats of B within half of the second-level cache; a deeper product is a sum of
// blocks, the later ones with `add`.
#ifndef BDPO_GEMM_TILE_H
#define BDPO_GEMM_TILE_H

#include <stdbool.h>

#include "kernels/simd.h"

// TILE_ROWS x TILE_VECTORS accumulators, the vectors of B and one broadcast of A fill the
// register file: 32 registers with AVX-512, else 16.
#if defined(__AVX512F__)
enum { TILE_ROWS = 8, TILE_VECTORS = 3 };
#elif defined(__AVX2__)
enum { TILE_ROWS = 6, TILE_VECTORS = 2 };
#else
enum { TILE_ROWS = 4, TILE_VECTORS = 2 };
#endif
enum { TILE_COLUMNS = TILE_VECTORS * VF_LANES };

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

// A stored [k, m] as it rests. For a small lda: each step of k is lda floats away.
BDPO_INLINE tile_a tile_a_columns(const float *a, int64_t lda)
{
    return (tile_a){.a = a, .stride = lda, .group = TILE_ROWS, .by_columns = true};
}

// A packed by tile_pack_a_columns: groups of [k][TILE_ROWS], each followed by 4 unused floats.
BDPO_INLINE int64_t tile_packed_a_group(int64_t k)
{
    return k * TILE_ROWS + 4;
}
BDPO_INLINE tile_a tile_a_packed(const float *packed, int64_t k)
{
    return (tile_a){packed, TILE_ROWS, tile_packed_a_group(k), true};
}

// B, by panels of whole vectors. Packed (step 0): the panel at column j is
// [k][vectors * VF_LANES] at b + j * k. Else B is stored [k, n] with row stride `step` and used as
// it lies, but for the panel of the last, incomplete vector, which is packed at `last`.
typedef struct tile_b {
    const float *b;
    int64_t step;
    const float *last;
} tile_b;

BDPO_INLINE tile_b tile_b_packed(const float *packed)
{
    return (tile_b){.b = packed};
}

BDPO_INLINE int64_t tile_vectors(int64_t n)
{
    return (n + VF_LANES - 1) / VF_LANES;
}
// Vectors of the next panel when `left` are still to go: as wide as possible, never 3 + 1.
BDPO_INLINE int64_t tile_panel_vectors(int64_t left)
{
    if (TILE_VECTORS == 3 && left == 4) return 2;
    return left < TILE_VECTORS ? left : TILE_VECTORS;
}
// Floats of a packed B.
BDPO_INLINE int64_t tile_packed_b_size(int64_t k, int64_t n)
{
    return k * tile_vectors(n) * VF_LANES;
}

// ---- the tile ------------------------------------------------------------------------------

// One tile's work. `tail` is the number of valid columns of its last vector.
typedef struct tile_work {
    const float *a, *b;
    int64_t a_stride, b_step, k;
    float *c;
    const float *bias;
    int tail;
} tile_work;

// One vector of C or of the bias.
BDPO_INLINE vf tile_load(const float *p, bool whole, int tail)
{
    return whole ? vf_load(p) : vf_load_n(p, tail);
}

// acc -> C. `rows`, `vectors` and `full` are constants after inlining; plain passes over the
// registers, so that no branch stands between the stores.
BDPO_INLINE void tile_store(int rows, int vectors, bool full, vf acc[TILE_ROWS][TILE_VECTORS],
                            const tile_work *w, const tile_c *out)
{
    const vf alpha = vf_set(out->alpha);
    const int64_t ldc = out->ldc;
    const int tail = w->tail;
    float *const c = w->c;
    if (out->add) {
        BDPO_UNROLL
        for (int i = 0; i < rows; i++) {
            BDPO_UNROLL
            for (int j = 0; j < vectors; j++) {
                const float *at = c + i * ldc + j * VF_LANES;
                acc[i][j] = vf_fma(acc[i][j], alpha, tile_load(at, full || j < vectors - 1, tail));
            }
        }
    } else if (out->alpha != 1.0F) {
        BDPO_UNROLL
        for (int i = 0; i < rows; i++) {
            BDPO_UNROLL
            for (int j = 0; j < vectors; j++) acc[i][j] *= alpha;
        }
    }
    if (w->bias) {
        BDPO_UNROLL
        for (int j = 0; j < vectors; j++) {
            vf column = tile_load(w->bias + j * VF_LANES, full || j < vectors - 1, tail);
            BDPO_UNROLL
            for (int i = 0; i < rows; i++) acc[i][j] += column;
        }
    }
    BDPO_UNROLL
    for (int i = 0; i < rows; i++) {
        BDPO_UNROLL
        for (int j = 0; j < vectors; j++) {
            float *at = c + i * ldc + j * VF_LANES;
            if (full || j < vectors - 1)
                vf_store(at, acc[i][j]);
            else
                vf_store_n(at, acc[i][j], tail);
        }
    }
}

// acc += A[rows, 1] B[1, vectors]; the first step of a chain has nothing to add to.
BDPO_INLINE void tile_step(int rows, int vectors, bool by_columns, bool first,
                           vf acc[TILE_ROWS][TILE_VECTORS], const float *a, int64_t a_stride,
                           const float *b)
{
    vf bp[TILE_VECTORS];
    BDPO_UNROLL
    for (int j = 0; j < vectors; j++) bp[j] = vf_load(b + j * VF_LANES);
    BDPO_UNROLL
    for (int i = 0; i < rows; i++) {
        vf ai = vf_set(a[by_columns ? i : i * a_stride]);
        BDPO_UNROLL
        for (int j = 0; j < vectors; j++)
            acc[i][j] = first ? ai * bp[j] : vf_fma(ai, bp[j], acc[i][j]);
    }
}

BDPO_INLINE void tile_product(int rows, int vectors, bool by_columns, const tile_work *w,
                              const tile_c *out)
{
    enum { STEPS = 4 }; // a turn of the loop
    const float *a = w->a, *b = w->b;
    const int64_t k = w->k, a_stride = w->a_stride, b_step = w->b_step;
    vf acc[TILE_ROWS][TILE_VECTORS];
    BDPO_UNROLL
    for (int i = 0; i < rows; i++) {
        if (out->add) {
            __builtin_prefetch(w->c + i * out->ldc, 1);
            __builtin_prefetch(w->c + i * out->ldc + vectors * VF_LANES - 1, 1);
        }
    }
    tile_step(rows, vectors, by_columns, true, acc, a, a_stride, b);
    a += by_columns ? a_stride : 1;
    b += b_step;
    int64_t p = 1;
    for (; p + STEPS <= k; p += STEPS) {
        BDPO_UNROLL
        for (int u = 0; u < STEPS; u++) {
            tile_step(rows, vectors, by_columns, false, acc, a, a_stride, b);
            a += by_columns ? a_stride : 1;
            b += b_step;
        }
    }
    for (; p < k; p++) {
        tile_step(rows, vectors, by_columns, false, acc, a, a_stride, b);
        a += by_columns ? a_stride : 1;
        b += b_step;
    }
    if (w->tail == VF_LANES)
        tile_store(rows, vectors, true, acc, w, out);
    else
        tile_store(rows, vectors, false, acc, w, out);
}

typedef void tile_function(const tile_work *w, const tile_c *out);

#define TILE_DEFINE_(rows, vectors)                                                                \
    static void tile_rows_##rows##_##vectors(const tile_work *w, const tile_c *out)                \
    {                                                                                              \
        tile_product(rows, vectors, false, w, out);                                                \
    }                                                                                              \
    static void tile_columns_##rows##_##vectors(const tile_work *w, const tile_c *out)             \
    {                                                                                              \
        tile_product(rows, vectors, true, w, out);                                                 \
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

// The first lines of each row of the group of A that comes next. The hardware follows a row once
// it is being read, but cannot know where the next ones begin.
BDPO_INLINE void tile_fetch_rows(const float *next, int64_t stride)
{
    enum { LINE = 16 }; // floats
    for (int r = 0; r < TILE_ROWS; r++) {
        __builtin_prefetch(next + r * stride);
        __builtin_prefetch(next + r * stride + LINE);
    }
}

// One group of rows against all panels of B. `next`: the group after it, or NULL.
static inline void tile_group(const tile_c *out, float *c, int64_t rows, int64_t n, int64_t k,
                              const tile_a *a, const tile_b *b, const float *next)
{
    tile_work w = {.a = a->a, .a_stride = a->stride, .k = k, .tail = VF_LANES};
    int64_t n_vectors = tile_vectors(n);
    for (int64_t v = 0, vectors; v < n_vectors; v += vectors) {
        vectors = tile_panel_vectors(n_vectors - v);
        int64_t column = v * VF_LANES;
        bool incomplete = n - column < vectors * VF_LANES, packed = b->step == 0 || incomplete;
        w.b = b->step == 0 ? b->b + column * k : incomplete ? b->last : b->b + column;
        w.b_step = packed ? vectors * VF_LANES : b->step;
        w.c = c + column;
        w.bias = out->bias ? out->bias + column : NULL;
        if (incomplete) w.tail = (int)(n - column - (vectors - 1) * VF_LANES);
        if (next && v + vectors == n_vectors) tile_fetch_rows(next, a->stride);
        tile_functions[rows - 1][vectors - 1][a->by_columns](&w, out);
    }
}

// out->c[m, n] = A[m, k] B. A group of A's rows stays in the first-level cache while the panels
// of B pass by.
static inline void tile_block(const tile_c *out, int64_t m, int64_t n, int64_t k, tile_a a,
                              tile_b b)
{
    for (int64_t i = 0; i < m; i += TILE_ROWS) {
        bool more = i + 2 * TILE_ROWS <= m && !a.by_columns && k > 32;
        tile_group(out, out->c + i * out->ldc, m - i < TILE_ROWS ? m - i : TILE_ROWS, n, k, &a, &b,
                   more ? a.a + a.group : NULL);
        a.a += a.group;
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
    vd low01 = (vd)_mm512_unpacklo_ps(in[0], in[1]), low23 = (vd)_mm512_unpacklo_ps(in[2], in[3]);
    vd high01 = (vd)_mm512_unpackhi_ps(in[0], in[1]), high23 = (vd)_mm512_unpackhi_ps(in[2], in[3]);
    out[0] = (vf)_mm512_unpacklo_pd(low01, low23);
    out[1] = (vf)_mm512_unpackhi_pd(low01, low23);
    out[2] = (vf)_mm512_unpacklo_pd(high01, high23);
    out[3] = (vf)_mm512_unpackhi_pd(high01, high23);
#    else
    vd low01 = (vd)_mm256_unpacklo_ps(in[0], in[1]), low23 = (vd)_mm256_unpacklo_ps(in[2], in[3]);
    vd high01 = (vd)_mm256_unpackhi_ps(in[0], in[1]), high23 = (vd)_mm256_unpackhi_ps(in[2], in[3]);
    out[0] = (vf)_mm256_unpacklo_pd(low01, low23);
    out[1] = (vf)_mm256_unpackhi_pd(low01, low23);
    out[2] = (vf)_mm256_unpacklo_pd(high01, high23);
    out[3] = (vf)_mm256_unpackhi_pd(high01, high23);
#    endif
#else
    for (int j = 0; j < 4; j++) {
        float lane[VF_LANES];
        for (int r = 0; r < VF_LANES; r++) lane[r] = row[r][p + j];
        out[j] = vf_load(lane);
    }
#endif
}

// One vector of columns of a B stored [n, k]: `lanes` rows of b, into out[p * step]. The lanes
// behind them repeat the last row; nobody reads what becomes of them.
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

// One whole panel of a B stored [k, n]; `vectors` is a constant after inlining.
BDPO_INLINE void tile_pack_panel(float *panel, const float *b, int64_t ldb, int64_t k, int vectors)
{
    for (int64_t p = 0; p < k; p++, b += ldb, panel += vectors * VF_LANES) {
        BDPO_UNROLL
        for (int u = 0; u < vectors; u++) vf_store(panel + u * VF_LANES, vf_load(b + u * VF_LANES));
    }
}

// The panel at column `first` of a B stored [k, n].
static inline void tile_pack_b_panel(float *panel, const float *b, int64_t ldb, int64_t k,
                                     int64_t n, int64_t first)
{
    int64_t vectors = tile_panel_vectors(tile_vectors(n) - first / VF_LANES);
    int64_t width = vectors * VF_LANES, columns = n - first;
    b += first;
    if (width > columns) {
        for (int64_t p = 0; p < k; p++)
            for (int64_t j = 0; j < width; j++)
                panel[p * width + j] = j < columns ? b[p * ldb + j] : 0.0F;
    } else if (vectors == TILE_VECTORS) {
        tile_pack_panel(panel, b, ldb, k, TILE_VECTORS);
    } else if (vectors == 2) {
        tile_pack_panel(panel, b, ldb, k, 2);
    } else {
        tile_pack_panel(panel, b, ldb, k, 1);
    }
}

// Packs a B stored [k, n] (b[p * ldb + j]).
static inline void tile_pack_b_rows(float *packed, const float *b, int64_t ldb, int64_t k,
                                    int64_t n)
{
    for (int64_t j = 0; j < n;) {
        tile_pack_b_panel(packed + j * k, b, ldb, k, n, j);
        j += tile_panel_vectors(tile_vectors(n) - j / VF_LANES) * VF_LANES;
    }
}

// A B stored [k, n], used as it lies; `last` holds k * TILE_COLUMNS floats for its edge.
static inline tile_b tile_b_rows(float *last, const float *b, int64_t ldb, int64_t k, int64_t n)
{
    int64_t j = 0, next = 0; // the last panel begins at j
    while (next < n) {
        j = next;
        next += tile_panel_vectors(tile_vectors(n) - j / VF_LANES) * VF_LANES;
    }
    if (n % VF_LANES) tile_pack_b_panel(last, b, ldb, k, n, j);
    return (tile_b){.b = b, .step = ldb, .last = last};
}

// `steps` (a constant after inlining) steps of k of every group. What a copy writes beyond its
// group's rows belongs to the next step, or to the unused floats.
BDPO_INLINE void tile_pack_a_steps(float *packed, const float *a, int64_t lda, int64_t m,
                                   int64_t group, int steps)
{
    enum { COPY = TILE_ROWS > 4 ? 8 : 4 };
    int64_t i = 0;
    for (; i + COPY <= m; i += TILE_ROWS, packed += group) {
        BDPO_UNROLL
        for (int p = 0; p < steps; p++)
            memcpy(packed + p * TILE_ROWS, a + p * lda + i, COPY * sizeof *a);
    }
    for (; i < m; i += TILE_ROWS, packed += group)
        for (int p = 0; p < steps; p++)
            for (int64_t r = 0; r < TILE_ROWS && i + r < m; r++)
                packed[p * TILE_ROWS + r] = a[p * lda + i + r];
}

// Packs an A stored [k, m] (a[p * lda + i]) for tile_a_packed: as many groups as m has, each
// tile_packed_a_group(k) floats.
static inline void tile_pack_a_columns(float *packed, const float *a, int64_t lda, int64_t m,
                                       int64_t k)
{
    enum { STEPS = 8 };
    int64_t group = tile_packed_a_group(k), p = 0;
    for (; p + STEPS <= k; p += STEPS)
        tile_pack_a_steps(packed + p * TILE_ROWS, a + p * lda, lda, m, group, STEPS);
    for (; p < k; p++) tile_pack_a_steps(packed + p * TILE_ROWS, a + p * lda, lda, m, group, 1);
}

#endif

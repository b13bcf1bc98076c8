// Our own matrix product on one thread, for one instruction set.
#include "kernels/gemm_isa.h"

#include "kernels/gemm_tile.h"
#include "kernels/isa.h"

// Blocks. k is cut into parts of at most DEEP (DEEP_T where A is stored [k, m]). CHUNK floats of B,
// packed or as they lie, pass by every group of A's rows, so they and TALL packed rows of A share
// the second-level cache: about half of 2 MiB on the servers with AVX-512, more of the 512 KiB on
// Zen 3. SLAB floats of B wait packed behind them (third level), so that an A which must be packed
// is packed once for all of them. Measured with bench_gemm.
enum {
    DEEP = 512,
    DEEP_T = 256,
#if defined(__AVX512F__)
    CHUNK = DEEP * 288,
    TALL = 192,
    LIE_ROWS = 512,
#else
    CHUNK = DEEP * 160,
    TALL = 96,
    LIE_ROWS = 128,
#endif
    SLAB = DEEP * 1152,
    // A B stored [k, n] is used as it lies where its rows are this near to each other: always, or
    // for as few rows of A as LIE_ROWS, to which packing would not pay.
    LIE_NEAR = 128,
    LIE_FAR = 512,
    // So is an A stored [k, m], or for as few columns of B.
    LIE_NEAR_A = 256,
    LIE_COLUMNS = 96,
    SWEEP_DEEP = 16 // rows of B at a time where each is read once: as many streams
};

static int64_t smaller(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

// Equal parts of `total`, none above `most`, each but the last a multiple of `unit`.
static int64_t even_part(int64_t total, int64_t most, int64_t unit)
{
    if (total <= most) return total;
    int64_t parts = (total + most - 1) / most, part = (total + parts - 1) / parts;
    return (part + unit - 1) / unit * unit;
}

// The same for columns of which `floats` may be taken at a time, `deep` to a column.
static int64_t even_columns(int64_t total, int64_t floats, int64_t deep)
{
    int64_t most = floats / deep / TILE_COLUMNS * TILE_COLUMNS;
    return even_part(total, most - TILE_COLUMNS, TILE_COLUMNS); // the rounding up stays within
}

// Floats of the three parts of the workspace, each a multiple of a cache line.
typedef struct sizes {
    int64_t packed_a, edge, packed_b;
} sizes;

static sizes sizes_for(int64_t m, int64_t n, int64_t k, bool trans_a)
{
    int64_t deep = smaller(k, trans_a ? DEEP_T : DEEP), lines = ~(int64_t)15;
    int64_t groups = trans_a ? (smaller(m, TALL) + TILE_ROWS - 1) / TILE_ROWS : 0;
    return (sizes){.packed_a = (groups * tile_packed_a_group(deep) + 15) & lines,
                   .edge = (deep * TILE_COLUMNS + 15) & lines,
                   .packed_b = smaller(tile_packed_b_size(deep, n), trans_a ? SLAB : CHUNK)};
}

static bool lies_well(const bdpo_gemm_args *g)
{
    return !g->trans_b && (g->ldb <= LIE_NEAR || (g->ldb <= LIE_FAR && g->m <= LIE_ROWS));
}

// How one product is cut, and the workspace for it.
typedef struct cutting {
    int64_t deep, tall, slab, chunk;
    bool pack_a, pack_b;
    float *packed_a, *packed_b, *edge;
} cutting;

static cutting cut(const bdpo_gemm_args *g, gemm_path path, float *workspace)
{
    sizes s = sizes_for(g->m, g->n, g->k, g->trans_a);
    cutting c = {.packed_a = workspace, .edge = workspace + s.packed_a};
    c.packed_b = c.edge + s.edge;
    c.deep = even_part(g->k, path == GEMM_SWEEP ? SWEEP_DEEP : g->trans_a ? DEEP_T : DEEP, 8);
    c.pack_b = path != GEMM_SWEEP && !lies_well(g);
    c.pack_a = g->trans_a && g->n > LIE_COLUMNS && g->lda > LIE_NEAR_A;
    c.tall = c.pack_a ? even_part(g->m, TALL, TILE_ROWS) : g->m;
    c.slab = even_columns(g->n, c.pack_a ? SLAB : CHUNK, c.deep);
    c.chunk = even_columns(c.slab, CHUNK, c.deep);
    return c;
}

// Part of B: k rows from p, n columns from j.
typedef struct part {
    int64_t p, k, j, n;
} part;

static void pack_slab(const bdpo_gemm_args *g, const cutting *c, part s)
{
    for (int64_t j = 0; j < s.n; j += c->chunk) {
        int64_t n = smaller(c->chunk, s.n - j), at = s.j + j;
        float *packed = c->packed_b + j * s.k;
        if (g->trans_b)
            tile_pack_b_transposed(packed, g->b + at * g->ldb + s.p, g->ldb, s.k, n);
        else
            tile_pack_b_rows(packed, g->b + s.p * g->ldb + at, g->ldb, s.k, n);
    }
}

// Rows i .. i + m of C, the columns of the slab, the part of k.
static void multiply_rows(const bdpo_gemm_args *g, const cutting *c, part s, int64_t i, int64_t m)
{
    tile_a a;
    if (!g->trans_a) {
        a = tile_a_rows(g->a + i * g->lda + s.p, g->lda);
    } else if (!c->pack_a) {
        a = tile_a_columns(g->a + s.p * g->lda + i, g->lda);
    } else {
        tile_pack_a_columns(c->packed_a, g->a + s.p * g->lda + i, g->lda, m, s.k);
        a = tile_a_packed(c->packed_a, s.k);
    }
    bool last = s.p + s.k == g->k;
    for (int64_t j = 0; j < s.n; j += c->chunk) {
        int64_t n = smaller(c->chunk, s.n - j), at = s.j + j;
        tile_c out = {g->c + i * g->ldc + at, g->ldc, last && g->bias ? g->bias + at : NULL,
                      g->alpha, g->accumulate || s.p > 0};
        tile_b b = c->pack_b ? tile_b_packed(c->packed_b + j * s.k)
                             : tile_b_rows(c->edge, g->b + s.p * g->ldb + at, g->ldb, s.k, n);
        tile_block(&out, m, n, s.k, a, b);
    }
}

static void product_by_tiles(const bdpo_gemm_args *g, gemm_path path, float *workspace)
{
    cutting c = cut(g, path, workspace);
    part s = {0};
    for (s.j = 0; s.j < g->n; s.j += c.slab) {
        s.n = smaller(c.slab, g->n - s.j);
        for (s.p = 0; s.p < g->k; s.p += s.k) {
            s.k = smaller(c.deep, g->k - s.p);
            if (c.pack_b) pack_slab(g, &c, s);
            for (int64_t i = 0; i < g->m; i += c.tall)
                multiply_rows(g, &c, s, i, smaller(c.tall, g->m - i));
        }
    }
}

// ---- few rows against a B stored [n, k] ----------------------------------------------------

enum { DOT_COLUMNS = 4 };

// sum[i][j] = row i of A times row j of B. `rows` and `columns` are constants after inlining.
BDPO_INLINE void dot_tile(int rows, int columns, float sum[GEMM_DOT_ROWS][DOT_COLUMNS],
                          const float *a, int64_t lda, const float *b, int64_t ldb, int64_t k)
{
    vf acc[GEMM_DOT_ROWS][DOT_COLUMNS];
    BDPO_UNROLL
    for (int i = 0; i < rows; i++) {
        BDPO_UNROLL
        for (int j = 0; j < columns; j++) acc[i][j] = vf_zero();
    }
    for (int64_t p = 0; p < k; p += VF_LANES) {
        int lanes = k - p < VF_LANES ? (int)(k - p) : VF_LANES;
        vf bp[DOT_COLUMNS];
        BDPO_UNROLL
        for (int j = 0; j < columns; j++) {
            const float *at = b + j * ldb + p;
            bp[j] = lanes == VF_LANES ? vf_load(at) : vf_load_n(at, lanes);
        }
        BDPO_UNROLL
        for (int i = 0; i < rows; i++) {
            const float *at = a + i * lda + p;
            vf ap = lanes == VF_LANES ? vf_load(at) : vf_load_n(at, lanes);
            BDPO_UNROLL
            for (int j = 0; j < columns; j++) acc[i][j] = vf_fma(ap, bp[j], acc[i][j]);
        }
    }
    BDPO_UNROLL
    for (int i = 0; i < rows; i++) {
        BDPO_UNROLL
        for (int j = 0; j < columns; j++) sum[i][j] = vf_sum(acc[i][j]);
    }
}

#define DOT_DEFINE_(rows)                                                                          \
    static void dots_##rows(const bdpo_gemm_args *g)                                               \
    {                                                                                              \
        float sum[GEMM_DOT_ROWS][DOT_COLUMNS];                                                     \
        int64_t j = 0;                                                                             \
        for (; j + DOT_COLUMNS <= g->n; j += DOT_COLUMNS) {                                        \
            dot_tile(rows, DOT_COLUMNS, sum, g->a, g->lda, g->b + j * g->ldb, g->ldb, g->k);       \
            dot_store(g, rows, j, DOT_COLUMNS, sum);                                               \
        }                                                                                          \
        for (; j < g->n; j++) {                                                                    \
            dot_tile(rows, 1, sum, g->a, g->lda, g->b + j * g->ldb, g->ldb, g->k);                 \
            dot_store(g, rows, j, 1, sum);                                                         \
        }                                                                                          \
    }

static void dot_store(const bdpo_gemm_args *g, int rows, int64_t column, int columns,
                      float sum[GEMM_DOT_ROWS][DOT_COLUMNS])
{
    for (int i = 0; i < rows; i++) {
        float *c = g->c + i * g->ldc + column;
        for (int j = 0; j < columns; j++) {
            float x = g->alpha * sum[i][j];
            if (g->accumulate) x += c[j];
            if (g->bias) x += g->bias[column + j];
            c[j] = x;
        }
    }
}

DOT_DEFINE_(1)
DOT_DEFINE_(2)
DOT_DEFINE_(3)
DOT_DEFINE_(4)

static void product(const bdpo_gemm_args *g, gemm_path path, void *workspace)
{
    static void (*const dots[GEMM_DOT_ROWS])(const bdpo_gemm_args *) = {dots_1, dots_2, dots_3,
                                                                        dots_4};
    if (path == GEMM_DOTS)
        dots[g->m - 1](g);
    else
        product_by_tiles(g, path, workspace);
}

static size_t workspace_bytes(int64_t m, int64_t n, int64_t k, bool trans_a, bool trans_b)
{
    (void)trans_b;
    sizes s = sizes_for(m, n, k, trans_a);
    return (size_t)(s.packed_a + s.edge + s.packed_b) * sizeof(float);
}

const gemm_kernels BDPO_ISA_SYMBOL(gemm_kernels) = {
    .rows = TILE_ROWS,
    .columns = VF_LANES,
    .workspace = workspace_bytes,
    .product = product,
};

// The block product of the convolutions: register tiles of up to CONV_ROWS rows and two vectors.
// The rows of a block are shared out evenly (32 rows by tiles of 12 make 11, 11, 10), because a
// last tile of few rows would wait for the latency of its sums.
#include "kernels/conv_product.h"

// Pointers to every third row and multiples 0, 1, 2 of the stride: what x86 addresses without
// arithmetic, with few registers.
enum { ROW_GROUP = 3, ROW_GROUPS = (CONV_ROWS + ROW_GROUP - 1) / ROW_GROUP };

// What is fetched ahead: two streams, each moved on at every step of the sums. One line a step is
// the most that a block may need, its operands being read by several tiles or wider than a line.
typedef struct ahead {
    const char *a, *b;
    int64_t a_step, b_step;
} ahead;

// One tile; row_stride and k_stride are those of a. Called with constant rows and vectors, so that
// the sums live in registers.
BDPO_INLINE void tile(const conv_product *p, int64_t first_row, int64_t row_stride,
                      int64_t k_stride, ahead *next, const int rows, const int vectors)
{
    const float *a[ROW_GROUPS], *b = p->b;
    const char *next_a = next->a, *next_b = next->b;
    vf sum[CONV_ROWS][2];
    BDPO_UNROLL
    for (int g = 0; g < ROW_GROUPS; g++) {
        a[g] = p->a + (first_row + (g * ROW_GROUP < rows ? g * ROW_GROUP : 0)) * row_stride;
    }
    BDPO_UNROLL
    for (int r = 0; r < rows; r++) {
        BDPO_UNROLL
        for (int v = 0; v < vectors; v++) sum[r][v] = vf_zero();
    }
    for (int64_t k = 0; k < p->n_k; k++) {
        vf b0 = vf_load(b), b1 = vectors > 1 ? vf_load(b + VF_LANES) : b0;
        BDPO_UNROLL
        for (int r = 0; r < rows; r++) {
            vf ar = vf_set(a[r / ROW_GROUP][(r % ROW_GROUP) * row_stride]);
            sum[r][0] = vf_fma(ar, b0, sum[r][0]);
            if (vectors > 1) sum[r][1] = vf_fma(ar, b1, sum[r][1]);
        }
        BDPO_UNROLL
        for (int g = 0; g < ROW_GROUPS; g++) a[g] += k_stride;
        b += vectors * VF_LANES;
        __builtin_prefetch(next_a, 0, 2);
        __builtin_prefetch(next_b, 0, 2);
        next_a += next->a_step;
        next_b += next->b_step;
    }
    next->a = next_a;
    next->b = next_b;
    const int64_t ldc = p->ldc;
    const bool add = p->add;
    float *c = p->c + first_row * ldc;
    BDPO_UNROLL
    for (int r = 0; r < rows; r++) {
        BDPO_UNROLL
        for (int v = 0; v < vectors; v++) {
            float *to = c + r * ldc + v * VF_LANES;
            vf_store(to, add ? vf_load(to) + sum[r][v] : sum[r][v]);
        }
    }
}

BDPO_INLINE void tile_of(const conv_product *p, int64_t first_row, int64_t row_stride,
                         int64_t k_stride, ahead *next, int rows, const int vectors)
{
#define TILE(n)                                                                                    \
    case n:                                                                                        \
        tile(p, first_row, row_stride, k_stride, next, n, vectors);                                \
        break
    switch (rows) {
#if defined(__AVX512F__)
        TILE(12);
        TILE(11);
        TILE(10);
        TILE(9);
        TILE(8);
        TILE(7);
#endif
#if defined(__AVX2__)
        TILE(6);
        TILE(5);
#endif
        TILE(4);
        TILE(3);
        TILE(2);
    default:
        tile(p, first_row, row_stride, k_stride, next, 1, vectors);
    }
#undef TILE
}

// Below so many steps nothing is fetched ahead: the division would cost more.
enum { AHEAD_STEPS = 32 };

static ahead ahead_of(const conv_product *p, int64_t row_stride, int64_t steps)
{
    ahead next = {.a = (const char *)p->next_a, .b = (const char *)p->next_b};
    if (steps < AHEAD_STEPS) return next;
    int64_t a_bytes = (row_stride == 1 ? p->n_k : p->n_rows) * p->lda * (int64_t)sizeof(float);
    int64_t b_bytes = p->n_k * p->vectors * VF_LANES * (int64_t)sizeof(float);
    next.a_step = (int32_t)a_bytes / (int32_t)steps + 1;
    next.b_step = (int32_t)b_bytes / (int32_t)steps + 1;
    return next;
}

BDPO_INLINE void block(const conv_product *p, int64_t row_stride, int64_t k_stride)
{
    if (p->n_rows <= 0) return;
    int32_t n_rows = (int32_t)p->n_rows, tiles = (n_rows + CONV_ROWS - 1) / CONV_ROWS;
    int32_t rows = n_rows / tiles, longer = n_rows % tiles;
    ahead next = ahead_of(p, row_stride, tiles * p->n_k);
    for (int32_t i = 0, row = 0; i < tiles; i++) {
        int32_t count = rows + (i < longer);
        if (p->vectors > 1) {
            tile_of(p, row, row_stride, k_stride, &next, count, 2);
        } else {
            tile_of(p, row, row_stride, k_stride, &next, count, 1);
        }
        row += count;
    }
}

void conv_product_rows(const conv_product *p)
{
    block(p, p->lda, 1);
}

void conv_product_columns(const conv_product *p)
{
    block(p, 1, p->lda);
}

enum { DOT_ROWS = CONV_ROWS / 2, DOT_COLUMNS = 4 };

BDPO_INLINE void dots(const conv_product *p, int64_t ldb, int64_t row, const int rows)
{
    const float *a = p->a + row * p->lda;
    vf sum[DOT_ROWS][DOT_COLUMNS];
    BDPO_UNROLL
    for (int r = 0; r < rows; r++) {
        BDPO_UNROLL
        for (int j = 0; j < DOT_COLUMNS; j++) sum[r][j] = vf_zero();
    }
    for (int64_t k = 0; k < p->n_k; k += VF_LANES) {
        vf ar[DOT_ROWS];
        BDPO_UNROLL
        for (int r = 0; r < rows; r++) ar[r] = vf_load(a + r * p->lda + k);
        BDPO_UNROLL
        for (int j = 0; j < DOT_COLUMNS; j++) {
            vf b = vf_load(p->b + j * ldb + k);
            BDPO_UNROLL
            for (int r = 0; r < rows; r++) sum[r][j] = vf_fma(ar[r], b, sum[r][j]);
        }
    }
    BDPO_UNROLL
    for (int r = 0; r < rows; r++) {
        float *c = p->c + (row + r) * p->ldc;
        BDPO_UNROLL
        for (int j = 0; j < DOT_COLUMNS; j++) {
            float dot = vf_sum(sum[r][j]);
            c[j] = p->add ? c[j] + dot : dot;
        }
    }
}

void conv_product_dots(const conv_product *p, int64_t ldb)
{
    int64_t row = 0;
    for (; row + DOT_ROWS <= p->n_rows; row += DOT_ROWS) dots(p, ldb, row, DOT_ROWS);
    for (; row < p->n_rows; row++) dots(p, ldb, row, 1);
}

// Attention of one head, compiled per instruction set.
//
// Queries stand in the lanes: a column of 64 queries is packed as q' [d][64], scores are held as
// s' [keys][64], results as y' [d][64]. So the softmax needs no sum across lanes, keys and values
// are read as they rest, and no head size wastes a lane. Each such matrix is a row of panels, as
// wide as a register tile: what a tile reads is contiguous and meets no other in the cache.
// Scores are kept in base 2: the factor scale * log2(e) is multiplied into q'.
#include "kernels/tiled_attention_isa.h"

#include <math.h>

#include "kernels/isa.h"
#include "kernels/vec_math.h"

enum {
    COLUMN = BDPO_ATTENTION_COLUMN,
    KEYS = 96,      // most keys of a tile of scores: 24 KiB
    KEYS_BACK = 48, // backward holds two such tiles
    ROWS = 6,       // register tile: 6 rows by VECTORS vectors
#if defined(__AVX512F__)
    VECTORS = 4,
#else
    VECTORS = 2,
#endif
    PANEL = VECTORS * VF_LANES, // queries of one register tile
    PAD = BDPO_ATTENTION_PAD,
};
static const float LOG2_E = 1.44269504f, LN_2 = 0.693147181f;

// Calls of a register tile in every size that can occur, for a switch over TILE_KEY.
#define TILE_KEY(rows, vectors) ((rows)*8 + (vectors))
#define TILES_OF_(X, v)         X(1, v) X(2, v) X(3, v) X(4, v) X(5, v) X(6, v)
#if defined(__AVX512F__)
#    define TILES(X) TILES_OF_(X, 1) TILES_OF_(X, 2) TILES_OF_(X, 3) TILES_OF_(X, 4)
#else
#    define TILES(X) TILES_OF_(X, 1) TILES_OF_(X, 2)
#endif

static int64_t min(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t round_up(int64_t a, int64_t multiple)
{
    return (a + multiple - 1) / multiple * multiple;
}

// Where element (row, query) of a matrix [rows][COLUMN] of panels stands.
BDPO_INLINE int64_t panel_at(int64_t rows, int64_t row, int64_t query)
{
    return query / PANEL * PANEL * rows + row * PANEL + query % PANEL;
}

// Rows are cut into the fewest groups of at most ROWS, of nearly equal size.
BDPO_INLINE int rows_of_group(int64_t rows_left)
{
    int64_t groups = (rows_left + ROWS - 1) / ROWS;
    return (int)((rows_left + groups - 1) / groups);
}

// acc[r][v] += sum over steps of a[r * a_row + step * a_step] * b[step * b_step + lane].
BDPO_INLINE void multiply(int rows, int vectors, vf acc[ROWS][VECTORS], const float *a,
                          int64_t a_row, int64_t a_step, const float *b, int64_t b_step,
                          int64_t steps)
{
    for (int64_t i = 0; i < steps; i++, a += a_step, b += b_step) {
        vf bv[VECTORS];
        BDPO_UNROLL
        for (int v = 0; v < vectors; v++) bv[v] = vf_load(b + v * VF_LANES);
        BDPO_UNROLL
        for (int r = 0; r < rows; r++) {
            vf ar = vf_set(a[r * a_row]);
            BDPO_UNROLL
            for (int v = 0; v < vectors; v++) acc[r][v] = vf_fma(ar, bv[v], acc[r][v]);
        }
    }
}

// ---- scores ---------------------------------------------------------------------------------

// What becomes of a tile of products k q' (or v dy') on its way to memory.
typedef enum finish {
    SCORES,     // as they are; `top` takes the maximum over keys
    LOG_RATIOS, // s - lse, the probability's logarithm
    SCORE_GRADS // p * (dp - delta)
} finish;

typedef struct score_tile {
    finish finish;
    float *out;         // [keys][COLUMN], in panels
    const float *other; // SCORE_GRADS: the probabilities, same layout
    float *top;         // SCORES: running maximum [COLUMN]
    const float *row;   // per query: lse (LOG_RATIOS), delta (SCORE_GRADS)
    int64_t diagonal;   // key j of the tile is hidden from query i of the column if j > i + this
    bool masked;
} score_tile;

// -infinity in the lanes whose query may not see the key.
BDPO_INLINE vf hide(vf score, int64_t key, int64_t first_query, int64_t diagonal)
{
    static const float lane[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    vf query = vf_load(lane) + (float)first_query;
    return vf_select_lt(query, vf_set((float)(key - diagonal)), vf_set(-INFINITY), score);
}

BDPO_INLINE void scores_tile(int rows, int vectors, const score_tile *t, int64_t keys, int64_t key,
                             int64_t query, const float *a, int64_t d, const float *b)
{
    int64_t first = panel_at(keys, key, query);
    vf acc[ROWS][VECTORS];
    BDPO_UNROLL
    for (int r = 0; r < rows; r++) {
        BDPO_UNROLL
        for (int v = 0; v < vectors; v++) acc[r][v] = vf_zero();
    }
    multiply(rows, vectors, acc, a + key * d, d, 1, b + panel_at(d, 0, query), PANEL, d);
    BDPO_UNROLL
    for (int v = 0; v < vectors; v++) {
        int64_t at = query + v * VF_LANES;
        vf top = t->finish == SCORES ? vf_load(t->top + at) : vf_zero();
        vf shift = t->finish == SCORES ? vf_zero() : vf_load(t->row + at);
        BDPO_UNROLL
        for (int r = 0; r < rows; r++) {
            vf s = acc[r][v];
            int64_t to = first + r * PANEL + v * VF_LANES;
            if (t->finish == SCORES) {
                if (t->masked) s = hide(s, key + r, at, t->diagonal);
                top = vf_max(s, top);
            } else if (t->finish == LOG_RATIOS) {
                s -= shift;
                if (t->masked) s = hide(s, key + r, at, t->diagonal);
            } else {
                s = vf_load(t->other + to) * (s - shift);
            }
            vf_store(t->out + to, s);
        }
        if (t->finish == SCORES) vf_store(t->top + at, top);
    }
}

// out[keys][queries] from a [keys][d] and b [d][COLUMN].
BDPO_INLINE void score_products(const score_tile *t, const float *a, int64_t keys, int64_t d,
                                const float *b, int64_t queries)
{
    for (int64_t query = 0; query < queries; query += PANEL) {
        int vectors = (int)min(VECTORS, (queries - query + VF_LANES - 1) / VF_LANES);
        for (int64_t key = 0, rows; key < keys; key += rows) {
            rows = rows_of_group(keys - key);
            switch (TILE_KEY((int)rows, vectors)) {
#define X(r, v)                                                                                    \
    case TILE_KEY(r, v):                                                                           \
        scores_tile(r, v, t, keys, key, query, a, d, b);                                           \
        break;
                TILES(X)
#undef X
            }
        }
    }
}

static void scores(score_tile t, const float *k, int64_t keys, int64_t d, const float *q,
                   int64_t queries)
{
    t.finish = SCORES;
    score_products(&t, k, keys, d, q, queries);
}
static void probabilities(score_tile t, const float *k, int64_t keys, int64_t d, const float *q,
                          int64_t queries)
{
    t.finish = LOG_RATIOS;
    score_products(&t, k, keys, d, q, queries);
    // A second pass: the exponential beside all accumulators would not fit the registers.
    for (int64_t i = 0; i < round_up(queries, PANEL) * keys; i += VF_LANES)
        vf_store(t.out + i, vf_exp2_flushed(vf_load(t.out + i)));
}
static void score_grads(score_tile t, const float *v, int64_t keys, int64_t d, const float *dy,
                        int64_t queries)
{
    t.finish = SCORE_GRADS;
    score_products(&t, v, keys, d, dy, queries);
}

// ---- sums over keys: y' += v' p, dq' += k' ds -----------------------------------------------

BDPO_INLINE void weighted_tile(int rows, int vectors, float *out, const float *factor,
                               const float *a, int64_t d, const float *weights, int64_t keys)
{
    vf acc[ROWS][VECTORS];
    BDPO_UNROLL
    for (int v = 0; v < vectors; v++) {
        vf f = factor ? vf_load(factor + v * VF_LANES) : vf_set(1.0f);
        BDPO_UNROLL
        for (int r = 0; r < rows; r++) acc[r][v] = vf_load(out + r * PANEL + v * VF_LANES) * f;
    }
    multiply(rows, vectors, acc, a, 1, d, weights, PANEL, keys);
    BDPO_UNROLL
    for (int v = 0; v < vectors; v++) {
        BDPO_UNROLL
        for (int r = 0; r < rows; r++) vf_store(out + r * PANEL + v * VF_LANES, acc[r][v]);
    }
}

// out[d][COLUMN] = out * factor[COLUMN] + a' weights, a [keys][d], weights [keys][COLUMN].
static void weighted_sum(float *out, const float *factor, const float *a, int64_t d,
                         const float *weights, int64_t keys, int64_t queries)
{
    for (int64_t query = 0; query < queries; query += PANEL) {
        int vectors = (int)min(VECTORS, (queries - query + VF_LANES - 1) / VF_LANES);
        const float *f = factor ? factor + query : NULL;
        for (int64_t row = 0, rows; row < d; row += rows) {
            rows = rows_of_group(d - row);
            switch (TILE_KEY((int)rows, vectors)) {
#define X(r, v)                                                                                    \
    case TILE_KEY(r, v):                                                                           \
        weighted_tile(r, v, out + panel_at(d, row, query), f, a + row, d,                          \
                      weights + panel_at(keys, 0, query), keys);                                   \
        break;
                TILES(X)
#undef X
            }
        }
    }
}

// ---- sums over queries: dv += p' dy, dk += ds' q ----------------------------------------------

BDPO_INLINE void key_sum_tile(int rows, int vectors, float *out, int64_t ld, const float *weights,
                              int64_t keys, const float *b, int64_t queries)
{
    vf acc[ROWS][VECTORS];
    BDPO_UNROLL
    for (int r = 0; r < rows; r++) {
        BDPO_UNROLL
        for (int v = 0; v < vectors; v++) acc[r][v] = vf_load(out + r * ld + v * VF_LANES);
    }
    for (int64_t q = 0; q < queries; q += PANEL, weights += keys * PANEL)
        multiply(rows, vectors, acc, weights, PANEL, 1, b + q * ld, ld, min(queries - q, PANEL));
    BDPO_UNROLL
    for (int r = 0; r < rows; r++) {
        BDPO_UNROLL
        for (int v = 0; v < vectors; v++) vf_store(out + r * ld + v * VF_LANES, acc[r][v]);
    }
}

// out[keys][ld] += weights [keys][COLUMN] times b [queries][ld], over the first d columns and
// what completes their last vector; ld is d, rounded up.
static void key_sum(float *out, int64_t ld, const float *weights, int64_t keys, const float *b,
                    int64_t d, int64_t queries)
{
    for (int64_t c = 0, vectors; c < d; c += vectors * VF_LANES) {
        int64_t left = (d - c + VF_LANES - 1) / VF_LANES; // never VECTORS + 1: that leaves one
        vectors = left == VECTORS + 1 ? (left + 1) / 2 : min(left, VECTORS);
        for (int64_t key = 0, rows; key < keys; key += rows) {
            rows = rows_of_group(keys - key);
            switch (TILE_KEY((int)rows, (int)vectors)) {
#define X(r, v)                                                                                    \
    case TILE_KEY(r, v):                                                                           \
        key_sum_tile(r, v, out + key * ld + c, ld, weights + key * PANEL, keys, b + c, queries);   \
        break;
                TILES(X)
#undef X
            }
        }
    }
}

// ---- packing --------------------------------------------------------------------------------

// Asks for rows that will be needed soon: a head's rows are short and far apart, which is a
// pattern that processors do not foresee.
BDPO_INLINE void prefetch_rows(const float *from, int64_t ld, int64_t rows, int64_t d)
{
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < d + 15; c += 16)
            __builtin_prefetch(from + r * ld + (c < d ? c : d - 1), 0, 2);
}

// to[d][COLUMN] = factor * from[queries][d], transposed; the lanes past `queries`, up to a whole
// vector, become zero.
static void pack_column(float *to, const float *from, int64_t ld, int64_t queries, int64_t d,
                        float factor)
{
    for (int64_t q = 0; q < queries; q += VF_LANES) {
        if (queries - q > VF_LANES)
            prefetch_rows(from + (q + VF_LANES) * ld, ld, min(queries - q - VF_LANES, VF_LANES), d);
        for (int64_t c = 0; c < d; c += VF_LANES) {
            int n = (int)min(d - c, VF_LANES), live = (int)min(queries - q, VF_LANES);
            vf r[VF_LANES];
            for (int i = 0; i < VF_LANES; i++)
                r[i] = i < live ? vf_load_n(from + (q + i) * ld + c, n) * factor : vf_zero();
            vf_transpose(r);
            for (int i = 0; i < n; i++) vf_store(to + panel_at(d, c + i, q), r[i]);
        }
    }
}

// to[queries][d] = from[d][COLUMN] * factor[COLUMN], transposed back.
static void unpack_column(float *to, int64_t ld, const float *from, const float *factor,
                          int64_t queries, int64_t d)
{
    for (int64_t q = 0; q < queries; q += VF_LANES) {
        vf f = vf_load(factor + q);
        for (int64_t c = 0; c < d; c += VF_LANES) {
            int n = (int)min(d - c, VF_LANES), live = (int)min(queries - q, VF_LANES);
            vf r[VF_LANES];
            for (int i = 0; i < VF_LANES; i++)
                r[i] = i < n ? vf_load(from + panel_at(d, c + i, q)) * f : vf_zero();
            vf_transpose(r);
            for (int i = 0; i < live; i++) vf_store_n(to + (q + i) * ld + c, r[i], n);
        }
    }
}

// to[rows][d rounded up] = factor * from[rows][d]; the last vector is completed by zeros.
static void pack_rows(float *to, const float *from, int64_t ld, int64_t rows, int64_t d,
                      float factor)
{
    for (int64_t r = 0; r < rows; r++, to += round_up(d, PAD), from += ld)
        for (int64_t c = 0; c < d; c += VF_LANES)
            vf_store(to + c, vf_load_n(from + c, (int)min(d - c, VF_LANES)) * factor);
}

static void fill(float *to, float value, int64_t count)
{
    for (int64_t i = 0; i < count; i++) to[i] = value;
}

static float *carve(float **workspace, int64_t count)
{
    float *piece = *workspace;
    *workspace += round_up(count, PAD);
    return piece;
}

// Keys of the next tile, of `left`: equal tiles, none above `most`.
static int64_t tile_keys(int64_t left, int64_t most)
{
    int64_t tiles = (left + most - 1) / most;
    return (left + tiles - 1) / tiles;
}

// ---- forward --------------------------------------------------------------------------------

// One column of queries on its way through the keys.
typedef struct column {
    int64_t first, queries;
    float *q, *y;               // [d][COLUMN]
    float *top, *sum, *rescale; // [COLUMN]
} column;

static int64_t column_floats(int64_t d)
{
    return 2 * d * COLUMN + 3 * COLUMN;
}

static int64_t forward_floats(int64_t queries, int64_t d)
{
    return (queries + COLUMN - 1) / COLUMN * column_floats(d) + KEYS * COLUMN;
}

static void column_begin(column *c, const bdpo_attention_head *h, int64_t first, int64_t queries,
                         float **workspace)
{
    c->first = first;
    c->queries = queries;
    c->q = carve(workspace, h->d * COLUMN);
    c->y = carve(workspace, h->d * COLUMN);
    c->top = carve(workspace, COLUMN);
    c->sum = carve(workspace, COLUMN);
    c->rescale = carve(workspace, COLUMN);
    pack_column(c->q, h->q + first * h->ldq, h->ldq, queries, h->d, h->scale * LOG2_E);
    fill(c->y, 0.0f, h->d * COLUMN);
    fill(c->top, -1e30f, COLUMN); // finite, so that a tile of hidden keys leaves no NaN
    fill(c->sum, 0.0f, COLUMN);
}

// Scores to probabilities about the new maximum; `rescale` enters as the old maximum and leaves as
// the factor of everything summed so far.
static void soften(const column *c, float *s, int64_t keys)
{
    for (int64_t q = 0; q < c->queries; q += VF_LANES) {
        vf top = vf_load(c->top + q), factor = vf_exp2_flushed(vf_load(c->rescale + q) - top);
        vf sum = vf_load(c->sum + q) * factor;
        float *at = s + panel_at(keys, 0, q);
        for (int64_t k = 0; k < keys; k++, at += PANEL) {
            vf p = vf_exp2_flushed(vf_load(at) - top);
            sum += p;
            vf_store(at, p);
        }
        vf_store(c->rescale + q, factor);
        vf_store(c->sum + q, sum);
    }
}

// How many of the keys [key, key + keys) some query of a column sees.
static int64_t keys_in_sight(const bdpo_attention_head *h, int64_t first, int64_t queries,
                             int64_t key, int64_t keys)
{
    return h->causal ? min(keys, first + queries - key) : keys;
}

static void column_meets_keys(const column *c, const bdpo_attention_head *h, int64_t key,
                              int64_t keys, const float *k, const float *v, float *s)
{
    keys = keys_in_sight(h, c->first, c->queries, key, keys);
    if (keys <= 0) return;
    score_tile t = {.out = s,
                    .top = c->top,
                    .diagonal = c->first - key,
                    .masked = h->causal && key + keys - 1 > c->first};
    memcpy(c->rescale, c->top, COLUMN * sizeof *c->top);
    scores(t, k, keys, h->d, c->q, c->queries);
    soften(c, s, keys);
    weighted_sum(c->y, c->rescale, v, h->d, s, keys, c->queries);
}

static void column_end(const column *c, const bdpo_attention_head *h)
{
    for (int64_t q = 0; q < c->queries; q += VF_LANES) {
        vf sum = vf_load(c->sum + q), top = vf_load(c->top + q);
        int n = (int)min(c->queries - q, VF_LANES);
        vf_store_n(h->lse + c->first + q, vf_fma(top, vf_set(LN_2), vf_log(sum)), n);
        // No key in sight: zero, not 0 / 0. A NaN stays.
        vf inverse = vf_select_lt(vf_zero(), sum, 1.0f / sum, sum);
        vf_store(c->rescale + q, inverse);
    }
    unpack_column(h->y + c->first * h->ldy, h->ldy, c->y, c->rescale, c->queries, h->d);
}

static void forward(const bdpo_attention_head *h, int64_t q0, int64_t q1, float *workspace)
{
    enum { MAX_COLUMNS = BDPO_ATTENTION_QUERIES / COLUMN };
    column columns[MAX_COLUMNS];
    int n = 0;
    for (int64_t q = q0; q < q1; q += COLUMN)
        column_begin(&columns[n++], h, q, min(q1 - q, COLUMN), &workspace);
    float *s = carve(&workspace, KEYS * COLUMN);
    int64_t end = h->causal ? min(h->tk, q1) : h->tk;
    for (int64_t key = 0, keys; key < end; key += keys) {
        keys = tile_keys(h->tk - key, KEYS); // not of `end`: tiles are the same for all blocks
        const float *k = h->k + key * h->d, *v = h->v + key * h->d;
        for (int i = 0; i < n; i++) column_meets_keys(&columns[i], h, key, keys, k, v, s);
    }
    for (int i = 0; i < n; i++) column_end(&columns[i], h);
}

// ---- backward -------------------------------------------------------------------------------

typedef struct back_column {
    int64_t first, queries;
    float *q, *dy, *dq;      // [d][COLUMN]
    float *q_rows, *dy_rows; // [COLUMN][d rounded up]
    float *lse, *delta;      // [COLUMN]
} back_column;

static int64_t backward_floats(int64_t queries, int64_t d)
{
    int64_t one = 3 * d * COLUMN + 2 * COLUMN * round_up(d, PAD) + 2 * COLUMN;
    return (queries + COLUMN - 1) / COLUMN * one + 2 * KEYS_BACK * COLUMN;
}

// delta = dy . y of each query, and the log-sum-exp in base 2. Lanes without a query get a
// log-sum-exp of infinity, so that their probabilities are 0.
static void column_rows(const back_column *c, const bdpo_attention_head *h)
{
    for (int64_t q = 0; q < COLUMN; q++) {
        c->lse[q] = INFINITY;
        c->delta[q] = 0.0f;
        if (q >= c->queries) continue;
        const float *dy = h->dy + (c->first + q) * h->lddy,
                    *y = h->seen_y + (c->first + q) * h->ldy;
        vf sum = vf_zero();
        for (int64_t j = 0; j < h->d; j += VF_LANES) {
            int n = (int)min(h->d - j, VF_LANES);
            sum = vf_fma(vf_load_n(dy + j, n), vf_load_n(y + j, n), sum);
        }
        c->lse[q] = h->seen_lse[c->first + q] * LOG2_E;
        c->delta[q] = vf_sum(sum);
    }
}

static void back_column_begin(back_column *c, const bdpo_attention_head *h, int64_t first,
                              int64_t queries, float **workspace)
{
    int64_t d = h->d, dpad = round_up(d, PAD);
    const float *q = h->q + first * h->ldq, *dy = h->dy + first * h->lddy;
    *c = (back_column){.first = first, .queries = queries};
    c->q = carve(workspace, d * COLUMN);
    c->dy = carve(workspace, d * COLUMN);
    c->dq = carve(workspace, d * COLUMN);
    c->q_rows = carve(workspace, COLUMN * dpad);
    c->dy_rows = carve(workspace, COLUMN * dpad);
    c->lse = carve(workspace, COLUMN);
    c->delta = carve(workspace, COLUMN);
    pack_column(c->q, q, h->ldq, queries, d, h->scale * LOG2_E);
    pack_column(c->dy, dy, h->lddy, queries, d, 1.0f);
    pack_rows(c->q_rows, q, h->ldq, queries, d, h->scale);
    pack_rows(c->dy_rows, dy, h->lddy, queries, d, 1.0f);
    fill(c->dq, 0.0f, d * COLUMN);
    column_rows(c, h);
}

static void back_column_meets_keys(const back_column *c, const bdpo_attention_head *h, int64_t key,
                                   int64_t keys, const float *k, const float *v, float *p,
                                   float *ds)
{
    keys = keys_in_sight(h, c->first, c->queries, key, keys);
    if (keys <= 0) return;
    score_tile t = {.out = p,
                    .row = c->lse,
                    .diagonal = c->first - key,
                    .masked = h->causal && key + keys - 1 > c->first};
    probabilities(t, k, keys, h->d, c->q, c->queries);
    t.out = ds, t.other = p, t.row = c->delta;
    score_grads(t, v, keys, h->d, c->dy, c->queries);
    if (h->dk) {
        int64_t ld = round_up(h->d, PAD);
        key_sum(h->dv + key * ld, ld, p, keys, c->dy_rows, h->d, c->queries);
        key_sum(h->dk + key * ld, ld, ds, keys, c->q_rows, h->d, c->queries);
    }
    if (h->dq) weighted_sum(c->dq, NULL, k, h->d, ds, keys, c->queries);
}

static void backward(const bdpo_attention_head *h, int64_t q0, int64_t q1, int64_t k0, int64_t k1,
                     float *workspace)
{
    enum { MAX_COLUMNS = BDPO_ATTENTION_QUERIES / COLUMN };
    back_column columns[MAX_COLUMNS];
    int n = 0;
    for (int64_t q = q0; q < q1; q += COLUMN)
        back_column_begin(&columns[n++], h, q, min(q1 - q, COLUMN), &workspace);
    float *p = carve(&workspace, KEYS_BACK * COLUMN), *ds = carve(&workspace, KEYS_BACK * COLUMN);
    int64_t end = h->causal ? min(k1, q1) : k1;
    for (int64_t key = k0, keys; key < end; key += keys) {
        keys = tile_keys(end - key, KEYS_BACK);
        const float *k = h->k + key * h->d, *v = h->v + key * h->d;
        for (int i = 0; i < n; i++) back_column_meets_keys(&columns[i], h, key, keys, k, v, p, ds);
    }
    if (!h->dq) return;
    float scale[COLUMN];
    fill(scale, h->scale, COLUMN);
    for (int i = 0; i < n; i++)
        unpack_column(h->dq + columns[i].first * h->lddq, h->lddq, columns[i].dq, scale,
                      columns[i].queries, h->d);
}

extern const bdpo_attention_table BDPO_ISA_SYMBOL(bdpo_attention_table);
const bdpo_attention_table BDPO_ISA_SYMBOL(bdpo_attention_table) = {
    .forward_floats = forward_floats,
    .backward_floats = backward_floats,
    .forward = forward,
    .backward = backward,
};

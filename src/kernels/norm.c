// Cuts normalisations into blocks of rows fixed by the shape; statistics of blocks are merged in
// order, in double.
#include "kernels/norm.h"

#include <math.h>

#include "base/memory.h"
#include "kernels/isa.h"
#include "kernels/norm_isa.h"
#include "kernels/parts.h"

BDPO_ISA_TABLE(bdpo_norm_table, bdpo_norm_table)

enum {
    // Rows whose sums are taken in f32. Their squares are taken about the block's first row; as
    // that row is itself in the block, this costs at most a factor BLOCK_ROWS in the rounding
    // error, and that only where it is the one outlier.
    BLOCK_ROWS = 128,
    MAX_PARTS = 256 // more threads than this share the work of so many
};

static int64_t min(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t blocks_of(int64_t rows)
{
    return (rows + BLOCK_ROWS - 1) / BLOCK_ROWS;
}

static int parts_of(int64_t count, int64_t blocks, int n_threads)
{
    int parts = bdpo_threads_for(count, n_threads);
    return (int)min(min(parts, MAX_PARTS), blocks);
}

// The next `size` bytes of a workspace; with base NULL only counts.
static void *carve(void *base, size_t *used, size_t size)
{
    void *piece = base ? (char *)base + *used : NULL;
    *used += bdpo_align(size, 64);
    return piece;
}

static float *carve_floats(void *base, size_t *used, int64_t count)
{
    return carve(base, used, (size_t)count * sizeof(float));
}

// Where block `unit` of [n, blocks] lies.
typedef struct block {
    int64_t sample, row, rows; // `row` counts from the first row of all samples
} block;

static block block_of(const bdpo_group_norm_shape *s, int64_t unit)
{
    int64_t blocks = blocks_of(s->hw), in_sample = unit % blocks * BLOCK_ROWS;
    return (block){unit / blocks, unit / blocks * s->hw + in_sample,
                   min(s->hw - in_sample, BLOCK_ROWS)};
}

// ---- group norm, forward --------------------------------------------------------------------

typedef struct group_forward {
    bdpo_moments *merged; // [n, blocks, groups]
    float *sums;          // [parts, 2, c]
    float *mean, *gain;   // [n, c]
    float *offset;        // [c]
} group_forward;

static size_t carve_forward(group_forward *w, const bdpo_group_norm_shape *s, void *base)
{
    size_t used = 0;
    int64_t blocks = s->n * blocks_of(s->hw);
    w->merged = carve(base, &used, (size_t)(blocks * s->groups) * sizeof *w->merged);
    w->sums = carve_floats(base, &used, min(blocks, MAX_PARTS) * 2 * s->c);
    w->mean = carve_floats(base, &used, s->n * s->c);
    w->gain = carve_floats(base, &used, s->n * s->c);
    w->offset = carve_floats(base, &used, s->c);
    return used;
}

size_t bdpo_group_norm_forward_workspace(const bdpo_group_norm_shape *s)
{
    group_forward w;
    return carve_forward(&w, s, NULL);
}

static void block_moments(bdpo_moments *out, float *sums, const float *x, int64_t ldx,
                          const bdpo_group_norm_shape *s, int64_t unit)
{
    block b = block_of(s, unit);
    const float *first = x + b.row * ldx;
    table()->channel_moments(sums, sums + s->c, first, ldx, b.rows, s->c);
    table()->group_moments(out, first, sums, sums + s->c, s->groups, s->c / s->groups, b.rows);
}

// Mean and 1 / sqrt(var + eps) of a group over a sample's blocks (Chan et al.'s merge).
static void merge_blocks(float *stats, const bdpo_moments *part, const bdpo_group_norm_shape *s)
{
    double channels = (double)(s->c / s->groups), mean = 0, square = 0, count = 0;
    for (int64_t b = 0; b < blocks_of(s->hw); b++) {
        const bdpo_moments *m = part + b * s->groups;
        double more = channels * (double)min(s->hw - b * BLOCK_ROWS, BLOCK_ROWS);
        double d = m->mean - mean, whole = count + more;
        mean += d * more / whole;
        square += m->square + d * d * count * more / whole;
        count = whole;
    }
    stats[0] = (float)mean;
    stats[1] = (float)(1.0 / sqrt(square / count + (double)s->eps));
}

// Per channel of one sample: its group's mean, and gamma * rstd.
static void spread_stats(float *mean, float *gain, const float *stats, const float *gamma,
                         const bdpo_group_norm_shape *s)
{
    int64_t channels = s->c / s->groups;
    for (int64_t g = 0; g < s->groups; g++)
        for (int64_t c = g * channels; c < (g + 1) * channels; c++) {
            mean[c] = stats[g * 2];
            gain[c] = gamma ? gamma[c] * stats[g * 2 + 1] : stats[g * 2 + 1];
        }
}

static void spread_offset(float *offset, const float *beta, int64_t c)
{
    for (int64_t j = 0; j < c; j++) offset[j] = beta ? beta[j] : 0.0f;
}

void bdpo_group_norm_forward(float *y, int64_t ldy, float *stats, const float *x, int64_t ldx,
                             const float *gamma, const float *beta, const bdpo_group_norm_shape *s,
                             void *workspace, int n_threads)
{
    BDPO_ASSERT(s->groups > 0 && s->c % s->groups == 0);
    group_forward w;
    carve_forward(&w, s, workspace);
    spread_offset(w.offset, beta, s->c);
    int64_t blocks = blocks_of(s->hw), units = s->n * blocks;
    int parts = parts_of(s->n * s->hw * s->c, units, n_threads);
#pragma omp parallel num_threads(parts) if (parts > 1)
    {
#pragma omp for schedule(static, 1)
        for (int i = 0; i < parts; i++)
            for (int64_t unit = bdpo_part_begin(units, i, parts);
                 unit < bdpo_part_begin(units, i + 1, parts); unit++)
                block_moments(w.merged + unit * s->groups, w.sums + i * 2 * s->c, x, ldx, s, unit);
#pragma omp for schedule(static)
        for (int64_t sample = 0; sample < s->n; sample++) {
            float *st = stats + sample * s->groups * 2;
            for (int64_t g = 0; g < s->groups; g++)
                merge_blocks(st + g * 2, w.merged + sample * blocks * s->groups + g, s);
            spread_stats(w.mean + sample * s->c, w.gain + sample * s->c, st, gamma, s);
        }
        // Backwards, so that the rows read last, still in the cache, come first.
#pragma omp for schedule(static, 1)
        for (int i = 0; i < parts; i++)
            for (int64_t unit = bdpo_part_begin(units, i + 1, parts);
                 unit-- > bdpo_part_begin(units, i, parts);) {
                block b = block_of(s, unit);
                bdpo_group_norm_channels k = {.mean = w.mean + b.sample * s->c,
                                              .gain = w.gain + b.sample * s->c,
                                              .offset = w.offset};
                table()->group_apply(y + b.row * ldy, ldy, x + b.row * ldx, ldx, &k, b.rows, s->c,
                                     s->silu);
            }
    }
}

// ---- group norm, backward -------------------------------------------------------------------

typedef struct group_backward {
    float *sums;                  // [n, blocks, 2, c]: of dz, of dz * (x - mean)
    double *total;                // [n, 2, c]: of dz, of dz * xhat
    float *mean, *gain, *k0, *k1; // [n, c]
    float *offset;                // [c]
} group_backward;

static size_t carve_backward(group_backward *w, const bdpo_group_norm_shape *s, void *base)
{
    size_t used = 0;
    w->sums = carve_floats(base, &used, s->n * blocks_of(s->hw) * 2 * s->c);
    w->total = carve(base, &used, (size_t)(s->n * 2 * s->c) * sizeof *w->total);
    w->mean = carve_floats(base, &used, s->n * s->c);
    w->gain = carve_floats(base, &used, s->n * s->c);
    w->k0 = carve_floats(base, &used, s->n * s->c);
    w->k1 = carve_floats(base, &used, s->n * s->c);
    w->offset = carve_floats(base, &used, s->c);
    return used;
}

size_t bdpo_group_norm_backward_workspace(const bdpo_group_norm_shape *s)
{
    group_backward w;
    return carve_backward(&w, s, NULL);
}

static bdpo_group_norm_channels channels_of(const group_backward *w, int64_t sample, int64_t c)
{
    return (bdpo_group_norm_channels){w->mean + sample * c, w->gain + sample * c, w->offset,
                                      w->k0 + sample * c, w->k1 + sample * c};
}

// total[2, c] of one sample: of dz, of dz * (x - mean).
static void merge_grad_sums(double *total, const float *sums, const bdpo_group_norm_shape *s)
{
    for (int64_t j = 0; j < 2 * s->c; j++) total[j] = 0;
    for (int64_t b = 0; b < blocks_of(s->hw); b++)
        for (int64_t j = 0; j < 2 * s->c; j++) total[j] += (double)sums[b * 2 * s->c + j];
}

// With g = dz * gamma: dx = rstd (g - mean(g) - xhat mean(g xhat)), means over the group, written
// as dz * gain + (x - mean) * k1 + k0. total's second row becomes that of dz * xhat.
static void grad_factors(float *k0, float *k1, double *total, const float *stats,
                         const float *gamma, const bdpo_group_norm_shape *s)
{
    int64_t channels = s->c / s->groups;
    double count = (double)(channels * s->hw);
    for (int64_t g = 0; g < s->groups; g++) {
        double mean_g = 0, mean_gx = 0, rstd = (double)stats[g * 2 + 1];
        for (int64_t c = g * channels; c < (g + 1) * channels; c++) {
            double weight = gamma ? (double)gamma[c] : 1.0;
            total[s->c + c] *= rstd;
            mean_g += weight * total[c];
            mean_gx += weight * total[s->c + c];
        }
        float shift = (float)(-rstd * mean_g / count);
        float slope = (float)(-rstd * rstd * mean_gx / count);
        for (int64_t c = g * channels; c < (g + 1) * channels; c++) k0[c] = shift, k1[c] = slope;
    }
}

// to[c] (+)= the sum over samples of from[sample, row, c], row 0 or 1 of two.
static void sum_samples(float *to, const double *from, int row, int64_t n, int64_t c,
                        bool accumulate)
{
    if (!to) return;
    for (int64_t j = 0; j < c; j++) {
        double sum = 0;
        for (int64_t i = 0; i < n; i++) sum += from[(i * 2 + row) * c + j];
        to[j] = accumulate ? to[j] + (float)sum : (float)sum;
    }
}

void bdpo_group_norm_backward(float *dx, int64_t lddx, float *dgamma, float *dbeta, const float *dy,
                              int64_t lddy, const float *x, int64_t ldx, const float *stats,
                              const float *gamma, const float *beta, const bdpo_group_norm_shape *s,
                              bool accumulate_dx, bool accumulate_params, void *workspace,
                              int n_threads)
{
    group_backward w;
    carve_backward(&w, s, workspace);
    // dz, which costs an exponential, waits in dx for the second pass.
    bool keep = s->silu && dx && !accumulate_dx;
    const float *dz = keep ? dx : dy;
    int64_t lddz = keep ? lddx : lddy;
    int64_t blocks = blocks_of(s->hw), units = s->n * blocks, c = s->c;
    for (int64_t i = 0; i < s->n; i++)
        spread_stats(w.mean + i * c, w.gain + i * c, stats + i * s->groups * 2, gamma, s);
    spread_offset(w.offset, beta, c);
    int parts = parts_of(s->n * s->hw * c, units, n_threads);
#pragma omp parallel num_threads(parts) if (parts > 1)
    {
#pragma omp for schedule(static, 1)
        for (int i = 0; i < parts; i++)
            for (int64_t unit = bdpo_part_begin(units, i, parts);
                 unit < bdpo_part_begin(units, i + 1, parts); unit++) {
                block b = block_of(s, unit);
                bdpo_group_norm_channels k = channels_of(&w, b.sample, c);
                float *sums = w.sums + unit * 2 * c;
                table()->group_grad_sums(sums, sums + c, keep ? dx + b.row * lddx : NULL, lddx,
                                         dy + b.row * lddy, lddy, x + b.row * ldx, ldx, &k, b.rows,
                                         c, s->silu);
            }
#pragma omp for schedule(static)
        for (int64_t i = 0; i < s->n; i++) {
            const float *st = stats + i * s->groups * 2;
            merge_grad_sums(w.total + i * 2 * c, w.sums + i * blocks * 2 * c, s);
            grad_factors(w.k0 + i * c, w.k1 + i * c, w.total + i * 2 * c, st, gamma, s);
        }
#pragma omp for schedule(static, 1)
        for (int i = 0; i < parts; i++)
            for (int64_t unit = bdpo_part_begin(units, i + 1, parts);
                 dx && unit-- > bdpo_part_begin(units, i, parts);) {
                block b = block_of(s, unit);
                bdpo_group_norm_channels k = channels_of(&w, b.sample, c);
                table()->group_grad_apply(dx + b.row * lddx, lddx, dz + b.row * lddz, lddz,
                                          x + b.row * ldx, ldx, &k, b.rows, c, s->silu && !keep,
                                          accumulate_dx);
            }
    }
    sum_samples(dbeta, w.total, 0, s->n, c, accumulate_params);
    sum_samples(dgamma, w.total, 1, s->n, c, accumulate_params);
}

// ---- layer norm -----------------------------------------------------------------------------

void bdpo_layer_norm_forward(float *y, int64_t ldy, float *stats, const float *x, int64_t ldx,
                             const float *gamma, const float *beta, int64_t rows, int64_t cols,
                             float eps, int n_threads)
{
    int n = bdpo_threads_for(rows * cols, n_threads);
#pragma omp parallel for num_threads(n) schedule(static, 1) if (n > 1)
    for (int i = 0; i < n; i++) {
        int64_t r = bdpo_part_begin(rows, i, n), end = bdpo_part_begin(rows, i + 1, n);
        table()->layer_norm(y + r * ldy, ldy, stats + 2 * r, x + r * ldx, ldx, gamma, beta, end - r,
                            cols, eps);
    }
}

size_t bdpo_layer_norm_backward_workspace(int64_t rows, int64_t cols)
{
    return (size_t)(blocks_of(rows) * 2 * cols) * sizeof(float);
}

// dgamma or dbeta from the blocks' sums [blocks, 2, cols], row 0 or 1 of two.
static void merge_params(float *to, const float *sums, int row, int64_t blocks, int64_t cols,
                         bool accumulate)
{
    if (!to) return;
    for (int64_t c = 0; c < cols; c++) {
        double sum = 0;
        for (int64_t b = 0; b < blocks; b++) sum += (double)sums[(b * 2 + row) * cols + c];
        to[c] = accumulate ? to[c] + (float)sum : (float)sum;
    }
}

void bdpo_layer_norm_backward(float *dx, int64_t lddx, float *dgamma, float *dbeta, const float *dy,
                              int64_t lddy, const float *x, int64_t ldx, const float *stats,
                              const float *gamma, int64_t rows, int64_t cols, bool accumulate_dx,
                              bool accumulate_params, void *workspace, int n_threads)
{
    int64_t blocks = blocks_of(rows);
    int n = bdpo_threads_for(rows * cols, n_threads);
    float *sums = workspace;
    bool params = dgamma || dbeta;
#pragma omp parallel for num_threads(n) schedule(static) if (n > 1)
    for (int64_t b = 0; b < blocks; b++) {
        int64_t begin = b * BLOCK_ROWS, end = min(rows, begin + BLOCK_ROWS);
        float *part = sums + b * 2 * cols;
        bdpo_layer_norm_grad call = {.sum = params ? part : NULL,
                                     .product = params ? part + cols : NULL,
                                     .dx = dx ? dx + begin * lddx : NULL,
                                     .dy = dy + begin * lddy,
                                     .x = x + begin * ldx,
                                     .stats = stats + 2 * begin,
                                     .gamma = gamma,
                                     .lddx = lddx,
                                     .lddy = lddy,
                                     .ldx = ldx,
                                     .accumulate = accumulate_dx};
        table()->layer_norm_grad(&call, end - begin, cols);
    }
    merge_params(dbeta, sums, 0, blocks, cols, accumulate_params);
    merge_params(dgamma, sums, 1, blocks, cols, accumulate_params);
}

// ---- L2 -------------------------------------------------------------------------------------

void bdpo_l2_normalize_forward(float *y, int64_t ldy, float *norms, const float *x, int64_t ldx,
                               int64_t rows, int64_t cols, float eps, int n_threads)
{
    int n = bdpo_threads_for(rows * cols, n_threads);
#pragma omp parallel for num_threads(n) schedule(static) if (n > 1)
    for (int64_t r = 0; r < rows; r++) {
        const float *row = x + r * ldx;
        double norm = sqrt(table()->dot(row, row, cols));
        norms[r] = (float)norm;
        if (norm < (double)eps) norm = (double)eps; // a NaN stays
        table()->combine(y + r * ldy, (float)(1.0 / norm), row, 0.0f, row, cols, false);
    }
}

void bdpo_l2_normalize_backward(float *dx, int64_t lddx, const float *dy, int64_t lddy,
                                const float *x, int64_t ldx, const float *norms, int64_t rows,
                                int64_t cols, float eps, bool accumulate, int n_threads)
{
    int n = bdpo_threads_for(rows * cols, n_threads);
#pragma omp parallel for num_threads(n) schedule(static) if (n > 1)
    for (int64_t r = 0; r < rows; r++) {
        const float *row = x + r * ldx, *g = dy + r * lddy;
        if (norms[r] < eps) {
            table()->combine(dx + r * lddx, 1.0f / eps, g, 0.0f, g, cols, accumulate);
            continue;
        }
        double norm = (double)norms[r], inner = table()->dot(row, g, cols);
        table()->combine(dx + r * lddx, (float)(1.0 / norm), g,
                         (float)(-inner / (norm * norm * norm)), row, cols, accumulate);
    }
}

// Cuts sums into blocks fixed by the shape, deals the blocks to the threads, merges in order.
#include "kernels/reduce.h"

#include "kernels/isa.h"
#include "kernels/parts.h"
#include "kernels/reduce_isa.h"

BDPO_ISA_TABLE(bdpo_reduce_table, bdpo_reduce_table)

enum {
    BLOCK_ROWS = 64,   // rows summed in f32 before double takes over
    BLOCK_COLS = 1024, // columns of one unit of work
    BLOCK_SPAN = 4096  // elements of one partial sum
};

static int64_t ceil_div(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

static int64_t min(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

// ---- columns --------------------------------------------------------------------------------

size_t bdpo_column_sums_workspace(int64_t n, int64_t rows, int64_t cols)
{
    return (size_t)(n * ceil_div(rows, BLOCK_ROWS) * cols) * sizeof(float);
}

void bdpo_column_sums(float *y, const float *x, int64_t ldx, const float *w, int64_t ldw, int64_t n,
                      int64_t rows, int64_t cols, float scale, bool accumulate, void *workspace,
                      int n_threads)
{
    int64_t blocks = ceil_div(rows, BLOCK_ROWS), strips = ceil_div(cols, BLOCK_COLS);
    int threads = bdpo_threads_for(n * rows * cols, n_threads);
    float *parts = workspace; // [n, blocks, cols]
#pragma omp parallel num_threads(threads) if (threads > 1)
    {
#pragma omp for schedule(static)
        for (int64_t unit = 0; unit < n * blocks * strips; unit++) {
            int64_t block = unit / strips, c = unit % strips * BLOCK_COLS;
            int64_t in_sample = block % blocks * BLOCK_ROWS;
            int64_t row = block / blocks * rows + in_sample;
            table()->column_block(parts + block * cols + c, x + row * ldx + c, ldx,
                                  w ? w + row * ldw + c : w, ldw, min(rows - in_sample, BLOCK_ROWS),
                                  min(cols - c, BLOCK_COLS));
        }
#pragma omp for schedule(static)
        for (int64_t unit = 0; unit < n * strips; unit++) {
            int64_t sample = unit / strips, c = unit % strips * BLOCK_COLS;
            table()->column_merge(y + sample * cols + c, parts + sample * blocks * cols + c, cols,
                                  blocks, min(cols - c, BLOCK_COLS), scale, accumulate);
        }
    }
}

// ---- samples --------------------------------------------------------------------------------

// How a sample is cut: dense samples into equal spans, strided ones at row ends.
typedef struct cut {
    int64_t blocks, span_rows, span_cols; // rows and columns of a full block
    int64_t rows, cols;
} cut;

static cut cut_sample(bool dense, int64_t rows, int64_t cols)
{
    if (dense) {
        int64_t count = rows * cols;
        return (cut){ceil_div(count, BLOCK_SPAN), 1, BLOCK_SPAN, 1, count};
    }
    int64_t span_rows = cols < BLOCK_SPAN ? BLOCK_SPAN / cols : 1;
    return (cut){ceil_div(rows, span_rows), span_rows, cols, rows, cols};
}

// Block b of one sample: the sum of x, or of x * w.
static double cut_sum(const cut *k, int64_t b, const float *x, int64_t ldx, const float *w,
                      int64_t ldw)
{
    int64_t row = k->rows == 1 ? 0 : b * k->span_rows;
    int64_t col = k->rows == 1 ? b * k->span_cols : 0;
    int64_t rows = min(k->rows - row, k->span_rows), cols = min(k->cols - col, k->span_cols);
    double total = 0;
    for (int64_t r = row; r < row + rows; r++) {
        const float *xr = x + r * ldx + col;
        total += w ? table()->dot(xr, w + r * ldw + col, cols) : table()->sum(xr, cols);
    }
    return total;
}

size_t bdpo_sample_sums_workspace(int64_t n, int64_t rows, int64_t cols)
{
    // Whichever cut makes more blocks: a strided sample has at most one block a row.
    int64_t dense = cut_sample(true, rows, cols).blocks;
    int64_t strided = cut_sample(false, rows, cols).blocks;
    return (size_t)(n * (dense > strided ? dense : strided)) * sizeof(double);
}

void bdpo_sample_sums(float *y, const float *x, int64_t ldx, const float *w, int64_t ldw, int64_t n,
                      int64_t rows, int64_t cols, float scale, bool accumulate, void *workspace,
                      int n_threads)
{
    bool dense = ldx == cols && (!w || ldw == cols);
    cut k = cut_sample(dense, rows, cols);
    int threads = bdpo_threads_for(n * rows * cols, n_threads);
    double *parts = workspace; // [n, blocks]
#pragma omp parallel for num_threads(threads) schedule(static) if (threads > 1)
    for (int64_t unit = 0; unit < n * k.blocks; unit++) {
        int64_t sample = unit / k.blocks;
        parts[unit] = cut_sum(&k, unit % k.blocks, x + sample * rows * ldx, ldx,
                              w ? w + sample * rows * ldw : w, ldw);
    }
    for (int64_t sample = 0; sample < n; sample++) {
        double total = 0;
        for (int64_t b = 0; b < k.blocks; b++) total += parts[sample * k.blocks + b];
        float s = (float)((double)scale * total);
        y[sample] = accumulate ? y[sample] + s : s;
    }
}

void bdpo_row_sums(float *y, const float *x, int64_t ldx, const float *w, int64_t ldw, int64_t rows,
                   int64_t cols, float scale, bool accumulate, int n_threads)
{
    int threads = bdpo_threads_for(rows * cols, n_threads);
#pragma omp parallel for num_threads(threads) schedule(static) if (threads > 1)
    for (int64_t r = 0; r < rows; r++) {
        double total =
            w ? table()->dot(x + r * ldx, w + r * ldw, cols) : table()->sum(x + r * ldx, cols);
        float s = (float)((double)scale * total);
        y[r] = accumulate ? y[r] + s : s;
    }
}

// ---- dense totals ---------------------------------------------------------------------------

// y[n] = scale * the sum of each sample's blocks, in order.
static void sum_parts(float *y, const double *parts, float scale, int64_t n, int64_t blocks)
{
    for (int64_t sample = 0; sample < n; sample++) {
        double total = 0;
        for (int64_t block = 0; block < blocks; block++) total += parts[sample * blocks + block];
        y[sample] = (float)((double)scale * total);
    }
}

size_t bdpo_squared_error_workspace(int64_t n, int64_t count)
{
    return (size_t)(n * ceil_div(count, BLOCK_SPAN)) * sizeof(double);
}

void bdpo_squared_error(float *loss, const float *a, const float *b, float scale, int64_t n,
                        int64_t count, void *workspace, int n_threads)
{
    int64_t blocks = ceil_div(count, BLOCK_SPAN);
    int threads = bdpo_threads_for(n * count, n_threads);
    double *parts = workspace; // [n, blocks]
#pragma omp parallel for num_threads(threads) schedule(static) if (threads > 1)
    for (int64_t unit = 0; unit < n * blocks; unit++) {
        int64_t in_sample = unit % blocks * BLOCK_SPAN;
        int64_t at = unit / blocks * count + in_sample;
        parts[unit] = table()->squared_distance(a + at, b + at, min(count - in_sample, BLOCK_SPAN));
    }
    sum_parts(loss, parts, scale, n, blocks);
}

size_t bdpo_error_margin_workspace(int64_t n, int64_t count)
{
    return (size_t)(n * ceil_div(count, BLOCK_SPAN)) * sizeof(double);
}

void bdpo_error_margin(float *margin, const float *p, const float *r, const float *t, float scale,
                       int64_t n, int64_t count, void *workspace, int n_threads)
{
    int64_t blocks = ceil_div(count, BLOCK_SPAN);
    int threads = bdpo_threads_for(n * count, n_threads);
    double *parts = workspace; // [n, blocks]
#pragma omp parallel for num_threads(threads) schedule(static) if (threads > 1)
    for (int64_t unit = 0; unit < n * blocks; unit++) {
        int64_t in_sample = unit % blocks * BLOCK_SPAN;
        int64_t at = unit / blocks * count + in_sample;
        parts[unit] =
            table()->error_margin(p + at, r + at, t + at, min(count - in_sample, BLOCK_SPAN));
    }
    sum_parts(margin, parts, scale, n, blocks);
}

size_t bdpo_sum_workspace(int64_t count)
{
    return (size_t)ceil_div(count, BLOCK_SPAN) * sizeof(double);
}

static double total(const float *x, int64_t count, bool squares, double *parts, int n_threads)
{
    int64_t blocks = ceil_div(count, BLOCK_SPAN);
    int threads = bdpo_threads_for(count, n_threads);
#pragma omp parallel for num_threads(threads) schedule(static) if (threads > 1)
    for (int64_t b = 0; b < blocks; b++) {
        const float *at = x + b * BLOCK_SPAN;
        int64_t n = min(count - b * BLOCK_SPAN, BLOCK_SPAN);
        parts[b] = squares ? table()->dot(at, at, n) : table()->sum(at, n);
    }
    double s = 0;
    for (int64_t b = 0; b < blocks; b++) s += parts[b];
    return s;
}

double bdpo_sum(const float *x, int64_t count, void *workspace, int n_threads)
{
    return total(x, count, false, workspace, n_threads);
}

double bdpo_sum_squares(const float *x, int64_t count, void *workspace, int n_threads)
{
    return total(x, count, true, workspace, n_threads);
}

bool bdpo_all_finite(const float *x, int64_t count, int n_threads)
{
    int threads = bdpo_threads_for(count, n_threads), bad = 0;
#pragma omp parallel for num_threads(threads) schedule(static, 1) reduction(+ : bad) if (threads > 1)
    for (int i = 0; i < threads; i++) {
        bdpo_piece p = bdpo_piece_of(true, 1, count, i, threads);
        bad += !table()->all_finite(x + p.col, p.cols);
    }
    return bad == 0;
}

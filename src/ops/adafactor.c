// One step of Adafactor in the store, as transformers' Adafactor with beta1 = None:
//
//   g' = clip g;  b = 1 - t^decay_rate;  s = g'^2 + eps1
//   two axes and more: row = b row + (1 - b) mean of s over the last axis, column the same over
//     the axis before it;  u = g' / sqrt(row / mean(row) * column)
//   one axis: row = b row + (1 - b) s;  u = g' / sqrt(row)
//   u = u / max(1, rms(u) / clip_threshold)
//   rate = lr, or min(1e-2 or 1e-6 t, 1 / sqrt(t)) with relative_step
//   rate = rate * max(eps2, rms(p)) with scale_parameter
//   p = p - rate weight_decay p - rate u
//
//   param [..] changed, grad [..], row and column changed (below), lr, step (t = 1, 2, ..) [1],
//   clip [1] or absent, shadow bf16 [..] or absent
//
// The axes are those of the checkpoint: a convolution [co, ky, kx, ci] there is [co, ci, ky, kx],
// so its rows are [co, ci, ky] and its columns [co, ci, kx]. A matrix [o, i] has rows [o] and
// columns [i], three axes [a, b, c] rows [a, b] and columns [a, c], one axis [n] rows [n] and no
// columns. A clip below 0 (or NaN) skips the step: nothing changes.
#include <math.h>

#include "kernels/elementwise.h"
#include "kernels/parts.h"
#include "ops/state.h"

extern const bdpo_op bdpo_op_adafactor;

enum { PARAM, GRAD, ROW, COLUMN, LR, STEP, CLIP, SHADOW, N_INPUTS };

// The parameter as [outer, rows, cols, inner] in memory: for each of outer x inner positions a
// matrix of rows x cols is factored. Factors lie [outer, inner, rows] and [outer, inner, cols].
typedef struct factoring {
    int64_t outer, rows, cols, inner;
    bool factored;
} factoring;

static factoring factoring_of(const bdpo_shape *p)
{
    const int64_t *d = p->dim;
    switch (p->n_dims) {
    case 1:
        return (factoring){1, d[0], 1, 1, false};
    case 2:
        return (factoring){1, d[0], d[1], 1, true};
    case 3:
        return (factoring){d[0], d[1], d[2], 1, true};
    default:
        return (factoring){d[0], d[1], d[2], d[3], true};
    }
}

static bdpo_status expect_factor(const bdpo_node *node, int i, int64_t count)
{
    TRY(bdpo_expect(node, i, BDPO_F32, 0));
    if (bdpo_shape_count(&bdpo_in(node, i)->shape) != count)
        return bdpo_refuse(node, "factor %s has not the %lld elements that %s needs",
                           bdpo_shape_print(&bdpo_in(node, i)->shape).text, (long long)count,
                           bdpo_shape_print(&bdpo_in(node, PARAM)->shape).text);
    return BDPO_OK;
}

static bdpo_status shape(bdpo_node *node)
{
    TRY(bdpo_expect(node, PARAM, BDPO_F32, 0));
    TRY(bdpo_expect_like(node, GRAD, PARAM));
    factoring f = factoring_of(&bdpo_in(node, PARAM)->shape);
    TRY(expect_factor(node, ROW, f.outer * f.inner * f.rows));
    if (f.factored) TRY(expect_factor(node, COLUMN, f.outer * f.inner * f.cols));
    if (!f.factored && bdpo_has_input(node, COLUMN))
        return bdpo_refuse(node, "a parameter of one axis has no column factor");
    TRY(bdpo_expect_number(node, LR));
    TRY(bdpo_expect_number(node, STEP));
    if (bdpo_has_input(node, CLIP)) TRY(bdpo_expect_number(node, CLIP));
    if (!bdpo_has_input(node, SHADOW)) return BDPO_OK;
    TRY(bdpo_expect(node, SHADOW, BDPO_BF16, 0));
    if (!bdpo_shape_equal(&bdpo_in(node, SHADOW)->shape, &bdpo_in(node, PARAM)->shape))
        return bdpo_refuse(node, "the shadow has shape %s, the parameter %s",
                           bdpo_shape_print(&bdpo_in(node, SHADOW)->shape).text,
                           bdpo_shape_print(&bdpo_in(node, PARAM)->shape).text);
    return BDPO_OK;
}

// ---- CPU ---------------------------------------------------------------------------------------
//
// The work is cut into lines: outer x rows runs of cols x inner elements. No line's sums cross to
// another except through the columns of a matrix, which are cut by column instead.

typedef struct adafactor_run {
    factoring f;
    float *param, *row, *column;
    const float *grad;
    float clip, beta, eps1;
    double *partial; // [outer * rows]: a line's sum of squares
    float *mean;     // [outer * inner]: mean of the row factors
    int n_threads;
} adafactor_run;

static int64_t line_length(const factoring *f)
{
    return f->cols * f->inner;
}

static float square(const adafactor_run *a, float g)
{
    g *= a->clip;
    return g * g + a->eps1;
}

// row = b row + (1 - b) mean over the columns, a line at a time.
static void update_rows(const adafactor_run *a)
{
    const factoring *f = &a->f;
#pragma omp parallel for num_threads(a->n_threads) schedule(static)
    for (int64_t line = 0; line < f->outer * f->rows; line++) {
        const float *g = a->grad + line * line_length(f);
        for (int64_t i = 0; i < f->inner; i++) {
            double sum = 0;
            for (int64_t c = 0; c < f->cols; c++) sum += (double)square(a, g[c * f->inner + i]);
            int64_t o = line / f->rows, r = line % f->rows;
            float *row = a->row + (o * f->inner + i) * f->rows + r;
            *row = a->beta * *row + (1.0f - a->beta) * (float)(sum / (double)f->cols);
        }
    }
}

// column = b column + (1 - b) mean over the rows: 64 columns at a time, so that a cut of the work
// leaves whole cache lines to each thread.
static void update_columns(const adafactor_run *a)
{
    enum { WIDTH = 64 };
    const factoring *f = &a->f;
    int64_t length = line_length(f), cuts = (length + WIDTH - 1) / WIDTH;
#pragma omp parallel for num_threads(a->n_threads) schedule(static)
    for (int64_t cut = 0; cut < f->outer * cuts; cut++) {
        int64_t o = cut / cuts, from = cut % cuts * WIDTH;
        int64_t to = from + WIDTH < length ? from + WIDTH : length;
        double sum[WIDTH] = {0};
        for (int64_t r = 0; r < f->rows; r++) {
            const float *g = a->grad + (o * f->rows + r) * length;
            for (int64_t e = from; e < to; e++) sum[e - from] += (double)square(a, g[e]);
        }
        for (int64_t e = from; e < to; e++) {
            int64_t c = e / f->inner, i = e % f->inner;
            float *column = a->column + (o * f->inner + i) * f->cols + c;
            *column =
                a->beta * *column + (1.0f - a->beta) * (float)(sum[e - from] / (double)f->rows);
        }
    }
}

static void average_rows(const adafactor_run *a)
{
    const factoring *f = &a->f;
    for (int64_t at = 0; at < f->outer * f->inner; at++) {
        double sum = 0;
        for (int64_t r = 0; r < f->rows; r++) sum += (double)a->row[at * f->rows + r];
        a->mean[at] = (float)(sum / (double)f->rows);
    }
}

// The update of a line before it is clipped by its length: g' / sqrt(second moment).
static float update_at(const adafactor_run *a, int64_t line, int64_t e)
{
    const factoring *f = &a->f;
    float g = a->clip * a->grad[line * line_length(f) + e];
    if (!f->factored) return g / sqrtf(a->row[line]);
    int64_t at = line / f->rows * f->inner + e % f->inner;
    float row = a->row[at * f->rows + line % f->rows],
          column = a->column[at * f->cols + e / f->inner];
    return g * (1.0f / sqrtf(row / a->mean[at])) * (1.0f / sqrtf(column));
}

static double ordered_sum(const double *partial, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += partial[i];
    return sum;
}

// Root of the mean square of the update, or of the parameter itself.
static double rms(const adafactor_run *a, bool of_param)
{
    const factoring *f = &a->f;
    int64_t lines = f->outer * f->rows, length = line_length(f);
#pragma omp parallel for num_threads(a->n_threads) schedule(static)
    for (int64_t line = 0; line < lines; line++) {
        double sum = 0;
        for (int64_t e = 0; e < length; e++) {
            double value =
                of_param ? (double)a->param[line * length + e] : (double)update_at(a, line, e);
            sum += value * value;
        }
        a->partial[line] = sum;
    }
    return sqrt(ordered_sum(a->partial, lines) / (double)(lines * length));
}

static void apply(const adafactor_run *a, float rate, float keep)
{
    const factoring *f = &a->f;
    int64_t length = line_length(f);
#pragma omp parallel for num_threads(a->n_threads) schedule(static)
    for (int64_t line = 0; line < f->outer * f->rows; line++)
        for (int64_t e = 0; e < length; e++) {
            float *p = a->param + line * length + e;
            *p = *p * keep - rate * update_at(a, line, e);
        }
}

static double rate_of(const bdpo_adafactor_options *at, double lr, double t)
{
    if (!at->relative_step) return lr;
    return fmin(at->warmup_init ? 1e-6 * t : 1e-2, 1 / sqrt(t));
}

static void cpu(const bdpo_op_call *call)
{
    const bdpo_adafactor_options *at = call->attrs;
    double t = bdpo_number(call, STEP), rate = rate_of(at, bdpo_number(call, LR), t);
    adafactor_run a = {.f = factoring_of(&call->in[PARAM].shape),
                       .param = call->in[PARAM].data,
                       .row = call->in[ROW].data,
                       .column = call->in[COLUMN].data,
                       .grad = call->in[GRAD].data,
                       .beta = (float)(1 - pow(t, at->decay_rate)),
                       .eps1 = (float)at->eps1,
                       .partial = call->workspace,
                       .n_threads = call->n_threads};
    a.mean = (void *)((char *)call->workspace + (size_t)(a.f.outer * a.f.rows) * sizeof(double));
    if (!bdpo_read_clip(&call->in[CLIP], &a.clip)) return;
    if (at->scale_parameter) rate *= fmax(at->eps2, rms(&a, true));
    update_rows(&a);
    if (a.f.factored) {
        update_columns(&a);
        average_rows(&a);
    }
    double length = rms(&a, false) / at->clip_threshold;
    apply(&a, (float)(rate / fmax(1, length)), (float)(1 - rate * at->weight_decay));
    if (call->in[SHADOW].data)
        bdpo_convert(call->in[SHADOW].data, BDPO_BF16, a.param, BDPO_F32,
                     bdpo_shape_count(&call->in[PARAM].shape), call->n_threads);
}

static size_t workspace(const bdpo_node *node, int n_threads)
{
    (void)n_threads;
    factoring f = factoring_of(&bdpo_in(node, PARAM)->shape);
    return (size_t)(f.outer * f.rows) * sizeof(double) +
           (size_t)(f.outer * f.inner) * sizeof(float);
}

static int64_t flops(const bdpo_node *node)
{
    return 25 * bdpo_shape_count(&bdpo_in(node, PARAM)->shape);
}

// ---- reference ---------------------------------------------------------------------------------

static void reference_factors(const bdpo_reference_call *call, double clip, double beta)
{
    const bdpo_adafactor_options *at = call->attrs;
    factoring f = factoring_of(&call->in_shape[PARAM]);
    int64_t count = bdpo_shape_count(&call->in_shape[PARAM]);
    for (int64_t k = 0; k < bdpo_shape_count(&call->in_shape[ROW]); k++)
        call->out[1][k] = beta * call->in[ROW][k];
    for (int64_t k = 0; f.factored && k < bdpo_shape_count(&call->in_shape[COLUMN]); k++)
        call->out[2][k] = beta * call->in[COLUMN][k];
    for (int64_t e = 0; e < count; e++) {
        int64_t i = e % f.inner, c = e / f.inner % f.cols, r = e / f.inner / f.cols % f.rows;
        int64_t at_matrix = e / f.inner / f.cols / f.rows * f.inner + i;
        double s = clip * clip * call->in[GRAD][e] * call->in[GRAD][e] + at->eps1;
        call->out[1][at_matrix * f.rows + r] += (1 - beta) * s / (double)f.cols;
        if (f.factored) call->out[2][at_matrix * f.cols + c] += (1 - beta) * s / (double)f.rows;
    }
}

static double reference_second_moment(const bdpo_reference_call *call, int64_t e)
{
    factoring f = factoring_of(&call->in_shape[PARAM]);
    int64_t i = e % f.inner, c = e / f.inner % f.cols, r = e / f.inner / f.cols % f.rows;
    int64_t at_matrix = e / f.inner / f.cols / f.rows * f.inner + i;
    if (!f.factored) return call->out[1][e];
    double mean = 0;
    for (int64_t k = 0; k < f.rows; k++)
        mean += call->out[1][at_matrix * f.rows + k] / (double)f.rows;
    return call->out[1][at_matrix * f.rows + r] / mean * call->out[2][at_matrix * f.cols + c];
}

static void reference(const bdpo_reference_call *call)
{
    const bdpo_adafactor_options *at = call->attrs;
    double clip, t = call->in[STEP][0], rate = rate_of(at, call->in[LR][0], t);
    BDPO_ASSERT(bdpo_reference_clip(call->n_in > CLIP ? call->in[CLIP] : NULL, &clip));
    int64_t count = bdpo_shape_count(&call->in_shape[PARAM]);
    double of_param = 0, of_update = 0;
    reference_factors(call, clip, 1 - pow(t, at->decay_rate));
    for (int64_t e = 0; e < count; e++) {
        double u = clip * call->in[GRAD][e] / sqrt(reference_second_moment(call, e));
        of_update += u * u / (double)count;
        of_param += call->in[PARAM][e] * call->in[PARAM][e] / (double)count;
    }
    if (at->scale_parameter) rate *= fmax(at->eps2, sqrt(of_param));
    double shrink = fmax(1, sqrt(of_update) / at->clip_threshold);
    for (int64_t e = 0; e < count; e++) {
        double u = clip * call->in[GRAD][e] / sqrt(reference_second_moment(call, e)) / shrink;
        call->out[0][e] = call->in[PARAM][e] * (1 - rate * at->weight_decay) - rate * u;
    }
}

// ---- cases -------------------------------------------------------------------------------------

#define NUMBER      BDPO_IN_FILL(BDPO_FILL_POSITIVE, 0, 1)
#define COUNT       BDPO_IN_FILL(BDPO_FILL_COUNT, 50, 1)
#define FACTOR(...) BDPO_IN_FILL(BDPO_FILL_POSITIVE, 0, __VA_ARGS__)
#define PLAIN                                                                                      \
    &(bdpo_adafactor_options)                                                                      \
    {                                                                                              \
        .eps1 = 1e-30, .eps2 = 1e-3, .clip_threshold = 1.0, .decay_rate = -0.8,                    \
        .weight_decay = 0.01                                                                       \
    }
#define RELATIVE(warmup)                                                                           \
    &(bdpo_adafactor_options)                                                                      \
    {                                                                                              \
        .eps1 = 1e-30, .eps2 = 1e-3, .clip_threshold = 0.5, .decay_rate = -0.8,                    \
        .scale_parameter = true, .relative_step = true, .warmup_init = warmup                      \
    }

static const bdpo_op_case cases[] = {
    {.name = "convolution",
     .in = {BDPO_IN(7, 3, 5, 13), BDPO_IN(7, 3, 5, 13), FACTOR(7, 13, 3), FACTOR(7, 13, 5), NUMBER,
            COUNT, NUMBER},
     .attrs = PLAIN},
    {.name = "convolution of one position",
     .in = {BDPO_IN(9, 1, 1, 8), BDPO_IN(9, 1, 1, 8), FACTOR(9, 8, 1), FACTOR(9, 8, 1), NUMBER,
            COUNT},
     .attrs = RELATIVE(false)},
    {.name = "matrix",
     .in = {BDPO_IN(37, 91), BDPO_IN(37, 91), FACTOR(37), FACTOR(91), NUMBER, COUNT, NUMBER},
     .attrs = PLAIN},
    {.name = "matrix, relative steps",
     .in = {BDPO_IN(16, 64), BDPO_IN(16, 64), FACTOR(16), FACTOR(64), NUMBER, COUNT},
     .attrs = RELATIVE(true)},
    {.name = "three axes",
     .in = {BDPO_IN(3, 5, 7), BDPO_IN(3, 5, 7), FACTOR(3, 5), FACTOR(3, 7), NUMBER, COUNT, NUMBER},
     .attrs = PLAIN},
    {.name = "vector",
     .in =
         {BDPO_IN(301), BDPO_IN(301), FACTOR(301), {.shape = {.n_dims = 0}}, NUMBER, COUNT, NUMBER},
     .attrs = PLAIN},
    {.name = "rows of another shape",
     .in = {BDPO_IN(4, 3), BDPO_IN(4, 3), FACTOR(3), FACTOR(3), NUMBER, COUNT},
     .attrs = PLAIN,
     .refused = true},
    {.name = "columns missing",
     .in = {BDPO_IN(4, 3), BDPO_IN(4, 3), FACTOR(4), {.shape = {.n_dims = 0}}, NUMBER, COUNT},
     .attrs = PLAIN,
     .refused = true},
    {.name = "columns of a vector",
     .in = {BDPO_IN(4), BDPO_IN(4), FACTOR(4), FACTOR(1), NUMBER, COUNT},
     .attrs = PLAIN,
     .refused = true},
    {.name = "gradient of another shape",
     .in = {BDPO_IN(4, 3), BDPO_IN(3, 4), FACTOR(4), FACTOR(3), NUMBER, COUNT},
     .attrs = PLAIN,
     .refused = true},
    {.name = "no step number",
     .in = {BDPO_IN(4, 3), BDPO_IN(4, 3), FACTOR(4), FACTOR(3), NUMBER},
     .attrs = PLAIN,
     .refused = true},
};

const bdpo_op bdpo_op_adafactor = {
    .name = "adafactor",
    .n_inputs = N_INPUTS,
    .attrs_size = sizeof(bdpo_adafactor_options),
    .shape = shape,
    .grad = bdpo_no_grad,
    .cpu = cpu,
    .reference = reference,
    .cases = cases,
    .n_cases = BDPO_COUNTOF(cases),
    .workspace = workspace,
    .flops = flops,
    .precision = BDPO_OWN,
    .mutates = 1u << PARAM | 1u << ROW | 1u << COLUMN | 1u << SHADOW,
};

bdpo_node *bdpo_adafactor(bdpo_graph *g, bdpo_node *param, bdpo_node *grad, bdpo_node *row,
                          bdpo_node *column, bdpo_node *shadow, const bdpo_step_inputs *at,
                          const bdpo_adafactor_options *options)
{
    bdpo_node *in[] = {param, grad, row, column, at->lr, at->step, at->clip, shadow};
    return bdpo_node_new(g, &bdpo_op_adafactor, options, in, N_INPUTS);
}

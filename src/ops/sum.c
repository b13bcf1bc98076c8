// y = scale * the sum of x over the axes that `keep` does not name, of x * w where w is given.
//
//   x [..], w like x or absent -> y of attrs.shape
//   dx = scale * dy, repeated (expand)
//
// `sum` takes x alone and computes in f32, being part of losses; `sum_to`, the gradient of a
// broadcast operand, takes its inputs in the compute dtype and gives f32.
#include "kernels/reduce.h"
#include "ops/broadcast.h"

extern const bdpo_op bdpo_op_sum, bdpo_op_sum_to;

static bdpo_status shape(bdpo_node *node)
{
    const bdpo_sum_attrs *at = node->attrs;
    TRY(bdpo_expect_float(node, 0, 0));
    const bdpo_shape *x = &bdpo_in(node, 0)->shape;
    if (at->keep == BDPO_KEEP_ALL)
        return bdpo_refuse(node, "nothing of %s is to be summed", bdpo_shape_print(x).text);
    bool by_sample = at->keep == BDPO_KEEP_SAMPLE || at->keep == BDPO_KEEP_SAMPLE_CHANNEL ||
                     at->keep == BDPO_KEEP_POSITION || at->keep == BDPO_KEEP_ROW;
    if (by_sample && x->n_dims < 2)
        return bdpo_refuse(node, "%s has one axis, and nothing to sum beside it",
                           bdpo_shape_print(x).text);
    TRY(bdpo_shape_check(&at->shape, "sum"));
    if (bdpo_shape_count(&at->shape) != bdpo_keep_count(at->keep, x))
        return bdpo_refuse(node, "the sums of %s do not fill %s", bdpo_shape_print(x).text,
                           bdpo_shape_print(&at->shape).text);
    if (node->n_in > 1 && node->in[1]) {
        TRY(bdpo_expect_float(node, 1, 0));
        if (!bdpo_shape_equal(&bdpo_in(node, 1)->shape, x))
            return bdpo_refuse(node, "the factor %s is not of the shape %s",
                               bdpo_shape_print(&bdpo_in(node, 1)->shape).text,
                               bdpo_shape_print(x).text);
    }
    bdpo_set_output(node, BDPO_F32, at->shape);
    return BDPO_OK;
}

static void grad(bdpo_graph *g, bdpo_node *node, bdpo_node *const *dy, bdpo_node **dx)
{
    const bdpo_sum_attrs *at = node->attrs;
    dx[0] = bdpo_expand(g, dy[0], &bdpo_in(node, 0)->shape, at->keep, at->scale);
}

// ---- CPU ---------------------------------------------------------------------------------------

// y[p] = scale * sum over the samples of x[sample, p]: the axis that reduce.h does not know.
static void sum_over_samples(const bdpo_op_call *call, float scale)
{
    const bdpo_tensor *x = &call->in[0];
    int64_t ldx = x->row_stride, cols = bdpo_shape_cols(&x->shape);
    int64_t n = x->shape.dim[0], rows = bdpo_rows_per_sample(&x->shape);
    const float *w = call->n_in > 1 ? call->in[1].data : NULL;
    int64_t ldw = w ? call->in[1].row_stride : 0;
    float *y = call->out[0].data;
#pragma omp parallel for num_threads(call->n_threads) schedule(static)
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < cols; c++) {
            double sum = 0;
            for (int64_t i = 0; i < n; i++) {
                double value = ((const float *)x->data)[(i * rows + r) * ldx + c];
                sum += w ? value * (double)w[(i * rows + r) * ldw + c] : value;
            }
            float result = (float)((double)scale * sum);
            y[r * cols + c] = call->accumulate ? y[r * cols + c] + result : result;
        }
}

// The groups of rows that are summed into one another: n groups of `rows`.
static void group_rows(bdpo_keep keep, const bdpo_shape *x, int64_t *n, int64_t *rows)
{
    bool whole = keep == BDPO_KEEP_NONE || keep == BDPO_KEEP_CHANNEL;
    *rows = whole ? bdpo_shape_rows(x) : bdpo_rows_per_sample(x);
    *n = bdpo_shape_rows(x) / *rows;
}

static void cpu(const bdpo_op_call *call)
{
    const bdpo_sum_attrs *at = call->attrs;
    const bdpo_tensor *x = &call->in[0];
    const float *w = call->n_in > 1 ? call->in[1].data : NULL;
    int64_t ldw = w ? call->in[1].row_stride : 0, cols = bdpo_shape_cols(&x->shape), n, rows;
    float *y = call->out[0].data;
    group_rows(at->keep, &x->shape, &n, &rows);
    switch (at->keep) {
    case BDPO_KEEP_NONE:
    case BDPO_KEEP_SAMPLE:
        bdpo_sample_sums(y, x->data, x->row_stride, w, ldw, n, rows, cols, at->scale,
                         call->accumulate, call->workspace, call->n_threads);
        break;
    case BDPO_KEEP_CHANNEL:
    case BDPO_KEEP_SAMPLE_CHANNEL:
        bdpo_column_sums(y, x->data, x->row_stride, w, ldw, n, rows, cols, at->scale,
                         call->accumulate, call->workspace, call->n_threads);
        break;
    case BDPO_KEEP_ROW:
        bdpo_row_sums(y, x->data, x->row_stride, w, ldw, n * rows, cols, at->scale,
                      call->accumulate, call->n_threads);
        break;
    case BDPO_KEEP_POSITION:
        sum_over_samples(call, at->scale);
        break;
    case BDPO_KEEP_ALL:
        BDPO_BUG("the shape rule refuses it");
    }
}

static size_t workspace(const bdpo_node *node, int n_threads)
{
    (void)n_threads;
    const bdpo_sum_attrs *at = node->attrs;
    const bdpo_shape *x = &bdpo_in(node, 0)->shape;
    int64_t n, rows;
    group_rows(at->keep, x, &n, &rows);
    if (at->keep == BDPO_KEEP_NONE || at->keep == BDPO_KEEP_SAMPLE)
        return bdpo_sample_sums_workspace(n, rows, bdpo_shape_cols(x));
    if (at->keep == BDPO_KEEP_CHANNEL || at->keep == BDPO_KEEP_SAMPLE_CHANNEL)
        return bdpo_column_sums_workspace(n, rows, bdpo_shape_cols(x));
    return 0;
}

static int64_t flops(const bdpo_node *node)
{
    return bdpo_shape_count(&bdpo_in(node, 0)->shape);
}

static void reference(const bdpo_reference_call *call)
{
    const bdpo_sum_attrs *at = call->attrs;
    const bdpo_shape *x = &call->in_shape[0];
    int64_t rows = bdpo_shape_rows(x), cols = bdpo_shape_cols(x);
    const double *w = call->n_in > 1 ? call->in[1] : NULL;
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < cols; c++)
            call->out[0][bdpo_keep_index(at->keep, x, r, c)] +=
                (double)at->scale * call->in[0][r * cols + c] * (w ? w[r * cols + c] : 1.0);
}

// ---- cases -------------------------------------------------------------------------------------

#define ATTRS(keep_, scale_, ...)                                                                  \
    &(bdpo_sum_attrs)                                                                              \
    {                                                                                              \
        .keep = (keep_), .scale = (scale_), .shape = {                                             \
            .n_dims = (int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)),                   \
            .dim = {__VA_ARGS__}                                                                   \
        }                                                                                          \
    }

static const bdpo_op_case cases[] = {
    {.name = "everything",
     .in = {BDPO_IN_FILL(BDPO_FILL_POSITIVE, 0, 3, 5, 7, 37)},
     .attrs = ATTRS(BDPO_KEEP_NONE, 1.0f, 1)},
    {.name = "everything of one row", .in = {BDPO_IN(19)}, .attrs = ATTRS(BDPO_KEEP_NONE, 0.5f, 1)},
    {.name = "one element", .in = {BDPO_IN(1)}, .attrs = ATTRS(BDPO_KEEP_NONE, 1.0f, 1)},
    {.name = "mean of each sample",
     .in = {BDPO_IN(3, 8, 8, 16)},
     .attrs = ATTRS(BDPO_KEEP_SAMPLE, 1.0f / 1024.0f, 3)},
    {.name = "each sample, of a matrix",
     .in = {BDPO_IN(5, 33)},
     .attrs = ATTRS(BDPO_KEEP_SAMPLE, 1.0f, 5)},
    {.name = "global average pool",
     .in = {BDPO_IN(2, 7, 5, 37)},
     .attrs = ATTRS(BDPO_KEEP_SAMPLE_CHANNEL, 1.0f / 35.0f, 2, 37)},
    {.name = "each channel",
     .in = {BDPO_IN(4, 9, 12)},
     .attrs = ATTRS(BDPO_KEEP_CHANNEL, 1.0f, 12)},
    {.name = "last axis",
     .in = {BDPO_IN(3, 7, 2, 29)},
     .attrs = ATTRS(BDPO_KEEP_ROW, 2.0f, 3, 7, 2)},
    {.name = "over samples",
     .in = {BDPO_IN(5, 3, 11)},
     .attrs = ATTRS(BDPO_KEEP_POSITION, 1.0f, 1, 3, 11)},
    {.name = "one axis has no samples",
     .in = {BDPO_IN(8)},
     .attrs = ATTRS(BDPO_KEEP_SAMPLE, 1.0f, 8),
     .refused = true},
    {.name = "wrong result shape",
     .in = {BDPO_IN(4, 8)},
     .attrs = ATTRS(BDPO_KEEP_SAMPLE, 1.0f, 8),
     .refused = true},
    {.name = "nothing to sum",
     .in = {BDPO_IN(4, 8)},
     .attrs = ATTRS(BDPO_KEEP_ALL, 1.0f, 4, 8),
     .refused = true},
    {.name = "empty result shape",
     .in = {BDPO_IN(4, 8)},
     .attrs = ATTRS(BDPO_KEEP_SAMPLE, 1.0f, 0),
     .refused = true},
    {.name = "integers",
     .in = {BDPO_IN_FILL(BDPO_FILL_INDEX, 9, 4)},
     .attrs = ATTRS(BDPO_KEEP_NONE, 1.0f, 1),
     .refused = true},
};

const bdpo_op bdpo_op_sum = {
    .name = "sum",
    .n_inputs = 1,
    .attrs_size = sizeof(bdpo_sum_attrs),
    .shape = shape,
    .grad = grad,
    .cpu = cpu,
    .reference = reference,
    .cases = cases,
    .n_cases = BDPO_COUNTOF(cases),
    .workspace = workspace,
    .flops = flops,
    .precision = BDPO_ISLAND,
    .strided_inputs = 1,
    .can_accumulate = true,
};

static const bdpo_op_case cases_to[] = {
    {.name = "product, everything",
     .in = {BDPO_IN(3, 5, 37), BDPO_IN(3, 5, 37)},
     .attrs = ATTRS(BDPO_KEEP_NONE, -1.0f, 1)},
    {.name = "product, each sample",
     .in = {BDPO_IN(3, 5, 7, 8), BDPO_IN(3, 5, 7, 8)},
     .attrs = ATTRS(BDPO_KEEP_SAMPLE, 1.0f, 3, 1, 1, 1)},
    {.name = "product, each sample and channel",
     .in = {BDPO_IN(2, 9, 33), BDPO_IN(2, 9, 33)},
     .attrs = ATTRS(BDPO_KEEP_SAMPLE_CHANNEL, 1.0f, 2, 1, 33)},
    {.name = "product, each channel",
     .in = {BDPO_IN(2, 43, 21), BDPO_IN(2, 43, 21)},
     .attrs = ATTRS(BDPO_KEEP_CHANNEL, 1.0f, 21)},
    {.name = "product, last axis",
     .in = {BDPO_IN(2, 4, 4, 37), BDPO_IN(2, 4, 4, 37)},
     .attrs = ATTRS(BDPO_KEEP_ROW, 1.0f, 2, 4, 4, 1)},
    {.name = "product, over samples",
     .in = {BDPO_IN(3, 4, 7), BDPO_IN(3, 4, 7)},
     .attrs = ATTRS(BDPO_KEEP_POSITION, 1.0f, 1, 4, 7)},
    {.name = "without a factor",
     .in = {BDPO_IN(9, 13)},
     .attrs = ATTRS(BDPO_KEEP_CHANNEL, 1.0f, 13)},
    {.name = "factor of another shape",
     .in = {BDPO_IN(4, 8), BDPO_IN(8, 4)},
     .attrs = ATTRS(BDPO_KEEP_NONE, 1.0f, 1),
     .refused = true},
    {.name = "wrong result shape",
     .in = {BDPO_IN(9, 13)},
     .attrs = ATTRS(BDPO_KEEP_CHANNEL, 1.0f, 9),
     .refused = true},
};

const bdpo_op bdpo_op_sum_to = {
    .name = "sum_to",
    .n_inputs = 2,
    .attrs_size = sizeof(bdpo_sum_attrs),
    .shape = shape,
    .grad = bdpo_no_grad,
    .cpu = cpu,
    .reference = reference,
    .cases = cases_to,
    .n_cases = BDPO_COUNTOF(cases_to),
    .workspace = workspace,
    .flops = flops,
    .precision = BDPO_WEIGHT,
    .strided_inputs = 3,
    .can_accumulate = true,
};

// ---- builders ----------------------------------------------------------------------------------

bdpo_node *bdpo_sum_to(bdpo_graph *g, bdpo_node *dy, bdpo_node *weight, const bdpo_shape *small,
                       float scale)
{
    if (!dy) return NULL;
    bdpo_sum_attrs at = {.scale = scale, .shape = *small};
    BDPO_ASSERT(bdpo_keep_find(&at.keep, &dy->out[0].shape, small));
    if (at.keep == BDPO_KEEP_ALL) {
        bdpo_node *product = weight ? bdpo_mul(g, dy, weight) : dy;
        return scale == 1.0f ? product : bdpo_scale(g, product, scale);
    }
    return bdpo_node_new(g, &bdpo_op_sum_to, &at, (bdpo_node *[]){dy, weight}, weight ? 2 : 1);
}

static bdpo_shape kept_shape(bdpo_keep keep, const bdpo_shape *x)
{
    bdpo_shape shape_of_y = *x;
    switch (keep) {
    case BDPO_KEEP_NONE:
        return BDPO_SHAPE(1);
    case BDPO_KEEP_SAMPLE:
        return BDPO_SHAPE(x->dim[0]);
    case BDPO_KEEP_SAMPLE_CHANNEL:
        return BDPO_SHAPE(x->dim[0], bdpo_shape_cols(x));
    case BDPO_KEEP_CHANNEL:
        return BDPO_SHAPE(bdpo_shape_cols(x));
    case BDPO_KEEP_ROW:
        shape_of_y.n_dims -= x->n_dims > 1;
        return shape_of_y;
    case BDPO_KEEP_POSITION:
        shape_of_y.dim[0] = 1;
        return shape_of_y;
    case BDPO_KEEP_ALL:
        break;
    }
    return shape_of_y;
}

static bdpo_node *reduce(bdpo_graph *g, bdpo_node *x, bdpo_keep keep, bool mean)
{
    if (!x) return NULL;
    if (keep == BDPO_KEEP_ALL) return bdpo_scale(g, x, 1.0f);
    const bdpo_shape *from = &x->out[0].shape;
    bdpo_sum_attrs at = {.keep = keep, .scale = 1.0f, .shape = kept_shape(keep, from)};
    if (mean)
        at.scale = (float)((double)bdpo_keep_count(keep, from) / (double)bdpo_shape_count(from));
    return bdpo_node_new(g, &bdpo_op_sum, &at, &x, 1);
}

bdpo_node *bdpo_reduce_sum(bdpo_graph *g, bdpo_node *x, bdpo_keep keep)
{
    return reduce(g, x, keep, false);
}

bdpo_node *bdpo_reduce_mean(bdpo_graph *g, bdpo_node *x, bdpo_keep keep)
{
    return reduce(g, x, keep, true);
}

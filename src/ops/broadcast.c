// What add, sub, mul, sum and expand share: the small tensor's place over the large one.
#include "ops/broadcast.h"

// dim[from..to) of `shape` are all 1.
static bool ones(const bdpo_shape *shape, int from, int to)
{
    for (int i = from; i < to; i++)
        if (shape->dim[i] != 1) return false;
    return true;
}

// dim[from..to) of both are equal.
static bool same(const bdpo_shape *a, const bdpo_shape *b, int from, int to)
{
    for (int i = from; i < to; i++)
        if (a->dim[i] != b->dim[i]) return false;
    return true;
}

bool bdpo_keep_find(bdpo_keep *out, const bdpo_shape *large, const bdpo_shape *small)
{
    int l = large->n_dims, s = small->n_dims;
    int64_t n = large->dim[0], c = large->dim[l - 1];
    bool last = small->dim[s - 1] == c, first = small->dim[0] == n, aligned = l == s;
    if (bdpo_shape_equal(large, small))
        *out = BDPO_KEEP_ALL;
    else if (bdpo_shape_count(small) == 1 && (s == 1 || aligned))
        *out = BDPO_KEEP_NONE;
    else if (last && ones(small, 0, s - 1) && (s == 1 || aligned))
        *out = BDPO_KEEP_CHANNEL;
    else if (last && first && l > 2 && ones(small, 1, s - 1) && (s == 2 || aligned))
        *out = BDPO_KEEP_SAMPLE_CHANNEL;
    else if (first && aligned && ones(small, 1, s))
        *out = BDPO_KEEP_SAMPLE;
    else if (aligned && small->dim[0] == 1 && same(large, small, 1, l))
        *out = BDPO_KEEP_POSITION;
    else if (aligned && small->dim[l - 1] == 1 && same(large, small, 0, l - 1))
        *out = BDPO_KEEP_ROW;
    else
        return false;
    return true;
}

int64_t bdpo_rows_per_sample(const bdpo_shape *shape)
{
    return shape->n_dims > 1 ? bdpo_shape_rows(shape) / shape->dim[0] : 1;
}

int64_t bdpo_keep_count(bdpo_keep keep, const bdpo_shape *large)
{
    int64_t n = large->dim[0], c = bdpo_shape_cols(large);
    switch (keep) {
    case BDPO_KEEP_NONE:
        return 1;
    case BDPO_KEEP_SAMPLE:
        return n;
    case BDPO_KEEP_SAMPLE_CHANNEL:
        return n * c;
    case BDPO_KEEP_CHANNEL:
        return c;
    case BDPO_KEEP_ROW:
        return bdpo_shape_rows(large);
    case BDPO_KEEP_POSITION:
        return bdpo_rows_per_sample(large) * c;
    case BDPO_KEEP_ALL:
        break;
    }
    return bdpo_shape_count(large);
}

int64_t bdpo_keep_index(bdpo_keep keep, const bdpo_shape *large, int64_t row, int64_t col)
{
    int64_t cols = bdpo_shape_cols(large), per_sample = bdpo_rows_per_sample(large);
    switch (keep) {
    case BDPO_KEEP_NONE:
        return 0;
    case BDPO_KEEP_SAMPLE:
        return row / per_sample;
    case BDPO_KEEP_SAMPLE_CHANNEL:
        return row / per_sample * cols + col;
    case BDPO_KEEP_CHANNEL:
        return col;
    case BDPO_KEEP_ROW:
        return row;
    case BDPO_KEEP_POSITION:
        return row % per_sample * cols + col;
    case BDPO_KEEP_ALL:
        break;
    }
    return row * cols + col;
}

bdpo_status bdpo_broadcast_shape(bdpo_node *node)
{
    TRY(bdpo_expect_float(node, 0, 0));
    TRY(bdpo_expect_float(node, 1, 0));
    const bdpo_value *a = bdpo_in(node, 0), *b = bdpo_in(node, 1);
    bdpo_keep keep;
    if (!bdpo_keep_find(&keep, &a->shape, &b->shape))
        return bdpo_refuse(node, "%s does not broadcast over %s", bdpo_shape_print(&b->shape).text,
                           bdpo_shape_print(&a->shape).text);
    bdpo_set_output(node, BDPO_F32, a->shape);
    return BDPO_OK;
}

// One number a row is one number a sample of one row.
static bdpo_spread spread_of(bdpo_keep keep)
{
    switch (keep) {
    case BDPO_KEEP_NONE:
        return BDPO_SPREAD_SCALAR;
    case BDPO_KEEP_SAMPLE:
    case BDPO_KEEP_ROW:
        return BDPO_SPREAD_SAMPLE;
    case BDPO_KEEP_SAMPLE_CHANNEL:
        return BDPO_SPREAD_SAMPLE_ROW;
    case BDPO_KEEP_CHANNEL:
        return BDPO_SPREAD_ROW;
    case BDPO_KEEP_POSITION:
    case BDPO_KEEP_ALL:
        break;
    }
    return BDPO_SPREAD_NONE;
}

void bdpo_broadcast_run(const bdpo_op_call *call, bdpo_binary op)
{
    const bdpo_tensor *a = &call->in[0], *b = &call->in[1], *y = &call->out[0];
    bdpo_keep keep = BDPO_KEEP_ALL;
    BDPO_ASSERT(bdpo_keep_find(&keep, &a->shape, &b->shape));
    int64_t rows = bdpo_shape_rows(&a->shape), cols = bdpo_shape_cols(&a->shape);
    int64_t per_sample = keep == BDPO_KEEP_ROW ? 1 : bdpo_rows_per_sample(&a->shape);
    bdpo_spread spread = spread_of(keep);
    // Most cases are one call. Sample by sample goes what meets the same [1, h, w, c] each time,
    // and numbers that do not lie side by side.
    int64_t turns = 1, b_step = 0;
    if (keep == BDPO_KEEP_POSITION) {
        turns = rows / per_sample;
    } else if (spread == BDPO_SPREAD_SAMPLE && b->row_stride != 1) {
        turns = rows / per_sample;
        b_step = b->row_stride;
        spread = BDPO_SPREAD_SCALAR;
    }
    int64_t step = rows / turns;
    for (int64_t i = 0; i < turns; i++)
        bdpo_binary_forward((float *)y->data + i * step * y->row_stride, y->row_stride,
                            (const float *)a->data + i * step * a->row_stride, a->row_stride,
                            (const float *)b->data + i * b_step, b->row_stride, step, cols,
                            per_sample, op, spread, call->n_threads);
}

static double apply(bdpo_binary op, double a, double b)
{
    return op == BDPO_BINARY_ADD ? a + b : op == BDPO_BINARY_SUB ? a - b : a * b;
}

void bdpo_broadcast_reference(const bdpo_reference_call *call, bdpo_binary op)
{
    const bdpo_shape *a = &call->in_shape[0];
    bdpo_keep keep = BDPO_KEEP_ALL;
    BDPO_ASSERT(bdpo_keep_find(&keep, a, &call->in_shape[1]));
    int64_t rows = bdpo_shape_rows(a), cols = bdpo_shape_cols(a);
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < cols; c++)
            call->out[0][r * cols + c] =
                apply(op, call->in[0][r * cols + c], call->in[1][bdpo_keep_index(keep, a, r, c)]);
}

const bdpo_op_case bdpo_broadcast_cases[BDPO_N_BROADCAST_CASES] = {
    {.name = "same shape", .in = {BDPO_IN(2, 4, 4, 32), BDPO_IN(2, 4, 4, 32)}},
    {.name = "same shape, odd sizes", .in = {BDPO_IN(3, 7, 37), BDPO_IN(3, 7, 37)}},
    {.name = "same shape, one element", .in = {BDPO_IN(1), BDPO_IN(1)}},
    {.name = "a number", .in = {BDPO_IN(3, 5, 19), BDPO_IN(1)}},
    {.name = "a channel vector", .in = {BDPO_IN(2, 3, 5, 33), BDPO_IN(33)}},
    {.name = "a channel vector, same axes", .in = {BDPO_IN(2, 9, 16), BDPO_IN(1, 1, 16)}},
    {.name = "a vector a sample", .in = {BDPO_IN(3, 5, 4, 21), BDPO_IN(3, 21)}},
    {.name = "a vector a sample, same axes", .in = {BDPO_IN(2, 4, 4, 32), BDPO_IN(2, 1, 1, 32)}},
    {.name = "a number a sample", .in = {BDPO_IN(4, 3, 5, 7), BDPO_IN(4, 1, 1, 1)}},
    {.name = "a position table", .in = {BDPO_IN(3, 11, 13), BDPO_IN(1, 11, 13)}},
    {.name = "a number a row", .in = {BDPO_IN(2, 3, 5, 9), BDPO_IN(2, 3, 5, 1)}},
    {.name = "channels differ", .in = {BDPO_IN(2, 4, 8), BDPO_IN(7)}, .refused = true},
    {.name = "samples differ", .in = {BDPO_IN(2, 4, 8), BDPO_IN(3, 8)}, .refused = true},
    {.name = "the small one first", .in = {BDPO_IN(8), BDPO_IN(2, 8)}, .refused = true},
    {.name = "integers", .in = {BDPO_IN_FILL(BDPO_FILL_INDEX, 9, 4), BDPO_IN(4)}, .refused = true},
    {.name = "one operand", .in = {BDPO_IN(4)}, .refused = true},
};

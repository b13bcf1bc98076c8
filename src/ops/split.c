// y_k = neighbouring ranges of x, along channels or batch: views, nothing is copied.
//
//   x [n, .., c] -> y_k [n, .., count_k], which keep x's distance between rows, or
//   y_k [count_k, .., c]
//   dx = the dy_k side by side (concat), zeros where nothing was taken
#include "ops/axis.h"

extern const bdpo_op bdpo_op_split;

typedef struct split_attrs {
    bdpo_axis axis;
    int n;
    int64_t begin, count[BDPO_MAX_OUTPUTS];
} split_attrs;

static int64_t end_of(const split_attrs *at)
{
    int64_t end = at->begin;
    for (int k = 0; k < at->n; k++) end += at->count[k];
    return end;
}

static bdpo_status check(const bdpo_node *node)
{
    const split_attrs *at = node->attrs;
    if (node->n_in < 1 || !node->in[0]) return bdpo_refuse(node, "input 0 is missing");
    const bdpo_shape *x = &bdpo_in(node, 0)->shape;
    int64_t left = x->dim[bdpo_axis_index(at->axis, x)] - at->begin;
    if (at->begin < 0 || left < 0)
        return bdpo_refuse(node, "%s has no element %lld", bdpo_shape_print(x).text,
                           (long long)at->begin);
    for (int k = 0; k < at->n; k++) {
        if (at->count[k] < 1 || at->count[k] > left)
            return bdpo_refuse(node, "part %d of %lld does not lie within %s", k,
                               (long long)at->count[k], bdpo_shape_print(x).text);
        left -= at->count[k];
    }
    return BDPO_OK;
}

static bdpo_status shape(bdpo_node *node)
{
    const split_attrs *at = node->attrs;
    TRY(check(node));
    const bdpo_value *x = bdpo_in(node, 0);
    int axis = bdpo_axis_index(at->axis, &x->shape);
    int64_t step = 1, from = at->begin; // elements from one index of the axis to the next
    if (axis < x->shape.n_dims - 1)
        step = bdpo_shape_rows(&x->shape) / x->shape.dim[0] * x->row_stride;
    node->n_out = 0;
    for (int k = 0; k < at->n; k++) {
        bdpo_shape y = x->shape;
        y.dim[axis] = at->count[k];
        bdpo_add_output(node, x->dtype, y);
        // A lone row has no next one: it is dense whatever it was cut from.
        node->out[k].row_stride = bdpo_shape_rows(&y) > 1 ? x->row_stride : bdpo_shape_cols(&y);
        node->out[k].view_offset = from * step;
        from += at->count[k];
    }
    return BDPO_OK;
}

static bdpo_node *zeros(bdpo_graph *g, const bdpo_shape *like, int axis, int64_t count)
{
    bdpo_shape part = *like;
    part.dim[axis] = count;
    return bdpo_fill(g, part, 0.0f);
}

static void grad(bdpo_graph *g, bdpo_node *node, bdpo_node *const *dy, bdpo_node **dx)
{
    const split_attrs *at = node->attrs;
    const bdpo_shape *x = &bdpo_in(node, 0)->shape;
    int axis = bdpo_axis_index(at->axis, x), n = 0;
    int64_t after = x->dim[axis] - end_of(at);
    bdpo_node *part[BDPO_MAX_OUTPUTS + 2];
    if (at->begin > 0) part[n++] = zeros(g, x, axis, at->begin);
    for (int k = 0; k < at->n; k++) part[n++] = dy[k] ? dy[k] : zeros(g, x, axis, at->count[k]);
    if (after > 0) part[n++] = zeros(g, x, axis, after);
    dx[0] = at->axis == BDPO_CHANNELS ? bdpo_concat_channels(g, part, n)
                                      : bdpo_concat_batch(g, part, n);
}

static void reference(const bdpo_reference_call *call)
{
    const split_attrs *at = call->attrs;
    const bdpo_shape *x = &call->in_shape[0];
    int axis = bdpo_axis_index(at->axis, x);
    int64_t inner = 1, from = at->begin;
    for (int i = axis + 1; i < x->n_dims; i++) inner *= x->dim[i];
    for (int k = 0; k < at->n; k++) {
        int64_t own = at->count[k], count = bdpo_shape_count(&call->out_shape[k]);
        for (int64_t e = 0; e < count; e++) {
            int64_t outer = e / (own * inner), index = e / inner % own + from;
            call->out[k][e] = call->in[0][(outer * x->dim[axis] + index) * inner + e % inner];
        }
        from += own;
    }
}

static const bdpo_op_case cases[] = {
    {.name = "query, key, value",
     .in = {BDPO_IN(2, 9, 48)},
     .attrs = &(split_attrs){BDPO_CHANNELS, 3, 0, {16, 16, 16}}},
    {.name = "uneven parts",
     .in = {BDPO_IN(2, 3, 5, 31)},
     .attrs = &(split_attrs){BDPO_CHANNELS, 2, 0, {7, 24}}},
    {.name = "a slice", .in = {BDPO_IN(7, 13)}, .attrs = &(split_attrs){BDPO_CHANNELS, 1, 4, {5}}},
    {.name = "all", .in = {BDPO_IN(3, 4)}, .attrs = &(split_attrs){BDPO_CHANNELS, 1, 0, {4}}},
    {.name = "of one row",
     .in = {BDPO_IN(9)},
     .attrs = &(split_attrs){BDPO_CHANNELS, 2, 1, {3, 4}}},
    {.name = "batch",
     .in = {BDPO_IN(6, 3, 2, 5)},
     .attrs = &(split_attrs){BDPO_BATCH, 2, 1, {2, 3}}},
    {.name = "one sample",
     .in = {BDPO_IN(3, 4, 7)},
     .attrs = &(split_attrs){BDPO_BATCH, 1, 2, {1}}},
    {.name = "too long",
     .in = {BDPO_IN(3, 4)},
     .attrs = &(split_attrs){BDPO_CHANNELS, 2, 0, {2, 3}},
     .refused = true},
    {.name = "begins outside",
     .in = {BDPO_IN(3, 4)},
     .attrs = &(split_attrs){BDPO_BATCH, 1, 4, {1}},
     .refused = true},
    {.name = "begins before the first",
     .in = {BDPO_IN(3, 4)},
     .attrs = &(split_attrs){BDPO_BATCH, 1, -1, {1}},
     .refused = true},
    {.name = "an empty part",
     .in = {BDPO_IN(3, 4)},
     .attrs = &(split_attrs){BDPO_CHANNELS, 1, 0, {0}},
     .refused = true},
};

const bdpo_op bdpo_op_split = {
    .name = "split",
    .n_inputs = 1,
    .attrs_size = sizeof(split_attrs),
    .shape = shape,
    .grad = grad,
    .reference = reference,
    .cases = cases,
    .n_cases = BDPO_COUNTOF(cases),
    .precision = BDPO_FOLLOW,
    .strided_inputs = 1,
    .is_view = true,
};

static bdpo_node *slice(bdpo_graph *g, bdpo_axis axis, bdpo_node *x, int64_t begin, int64_t count)
{
    split_attrs at = {.axis = axis, .n = 1, .begin = begin, .count = {count}};
    return bdpo_node_new(g, &bdpo_op_split, &at, &x, 1);
}

bdpo_node *bdpo_slice_channels(bdpo_graph *g, bdpo_node *x, int64_t begin, int64_t count)
{
    return slice(g, BDPO_CHANNELS, x, begin, count);
}

bdpo_node *bdpo_slice_batch(bdpo_graph *g, bdpo_node *x, int64_t begin, int64_t count)
{
    return slice(g, BDPO_BATCH, x, begin, count);
}

static void cut(bdpo_graph *g, bdpo_axis axis, bdpo_node *x, int n, const int64_t *counts,
                bdpo_node **parts)
{
    BDPO_ASSERT(n >= 1 && n <= BDPO_MAX_OUTPUTS);
    split_attrs at = {.axis = axis, .n = n};
    for (int k = 0; k < n; k++) at.count[k] = counts[k];
    bdpo_node *node = bdpo_node_new(g, &bdpo_op_split, &at, &x, 1);
    for (int k = 0; k < n; k++) parts[k] = bdpo_node_output(node, k);
}

void bdpo_split_channels(bdpo_graph *g, bdpo_node *x, int n, const int64_t *counts,
                         bdpo_node **parts)
{
    cut(g, BDPO_CHANNELS, x, n, counts, parts);
}

void bdpo_split_batch(bdpo_graph *g, bdpo_node *x, int n, const int64_t *counts, bdpo_node **parts)
{
    cut(g, BDPO_BATCH, x, n, counts, parts);
}

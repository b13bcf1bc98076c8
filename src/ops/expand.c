// y = scale * x, repeated over a larger shape: the gradient of a sum.
//
//   x, one element for each that `keep` tells apart -> y of attrs.shape
//   dx = scale * dy, summed over the repetitions (sum)
#include "ops/broadcast.h"

extern const bdpo_op bdpo_op_expand, bdpo_op_sum;

static bdpo_status shape(bdpo_node *node)
{
    const bdpo_sum_attrs *at = node->attrs;
    TRY(bdpo_expect_float(node, 0, 0));
    TRY(bdpo_shape_check(&at->shape, "expand"));
    const bdpo_shape *x = &bdpo_in(node, 0)->shape;
    if (bdpo_shape_count(x) != bdpo_keep_count(at->keep, &at->shape))
        return bdpo_refuse(node, "%s cannot be repeated to %s", bdpo_shape_print(x).text,
                           bdpo_shape_print(&at->shape).text);
    bdpo_set_output(node, BDPO_F32, at->shape);
    return BDPO_OK;
}

static void grad(bdpo_graph *g, bdpo_node *node, bdpo_node *const *dy, bdpo_node **dx)
{
    bdpo_sum_attrs at = *(const bdpo_sum_attrs *)node->attrs;
    at.shape = bdpo_in(node, 0)->shape;
    dx[0] = bdpo_node_new(g, &bdpo_op_sum, &at, (bdpo_node *[]){dy[0]}, 1);
}

static void cpu(const bdpo_op_call *call)
{
    const bdpo_sum_attrs *at = call->attrs;
    const float *x = call->in[0].data;
    float *y = call->out[0].data;
    int64_t rows = bdpo_shape_rows(&at->shape), cols = bdpo_shape_cols(&at->shape);
    int64_t x_cols = bdpo_shape_cols(&call->in[0].shape), ldx = call->in[0].row_stride;
    bool by_channel =
        at->keep != BDPO_KEEP_NONE && at->keep != BDPO_KEEP_SAMPLE && at->keep != BDPO_KEEP_ROW;
#pragma omp parallel for num_threads(call->n_threads) schedule(static)
    for (int64_t r = 0; r < rows; r++) {
        // A row of y is one element of x repeated, or a whole row of the small tensor.
        int64_t first = bdpo_keep_index(at->keep, &at->shape, r, 0);
        const float *from = x + first / x_cols * ldx + first % x_cols;
        if (by_channel)
            for (int64_t c = 0; c < cols; c++) y[r * cols + c] = at->scale * from[c];
        else
            for (int64_t c = 0; c < cols; c++) y[r * cols + c] = at->scale * from[0];
    }
}

static void reference(const bdpo_reference_call *call)
{
    const bdpo_sum_attrs *at = call->attrs;
    int64_t rows = bdpo_shape_rows(&at->shape), cols = bdpo_shape_cols(&at->shape);
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < cols; c++)
            call->out[0][r * cols + c] =
                (double)at->scale * call->in[0][bdpo_keep_index(at->keep, &at->shape, r, c)];
}

#define ATTRS(keep_, scale_, ...)                                                                  \
    &(bdpo_sum_attrs)                                                                              \
    {                                                                                              \
        .keep = (keep_), .scale = (scale_), .shape = {                                             \
            .n_dims = (int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)),                   \
            .dim = {__VA_ARGS__}                                                                   \
        }                                                                                          \
    }

static const bdpo_op_case cases[] = {
    {.name = "a number", .in = {BDPO_IN(1)}, .attrs = ATTRS(BDPO_KEEP_NONE, 0.25f, 3, 5, 7)},
    {.name = "a number a sample",
     .in = {BDPO_IN(3)},
     .attrs = ATTRS(BDPO_KEEP_SAMPLE, 2.0f, 3, 4, 5, 7)},
    {.name = "a vector a sample",
     .in = {BDPO_IN(2, 33)},
     .attrs = ATTRS(BDPO_KEEP_SAMPLE_CHANNEL, 0.5f, 2, 3, 5, 33)},
    {.name = "a channel vector", .in = {BDPO_IN(8)}, .attrs = ATTRS(BDPO_KEEP_CHANNEL, 1.0f, 9, 8)},
    {.name = "a number a row",
     .in = {BDPO_IN(3, 7)},
     .attrs = ATTRS(BDPO_KEEP_ROW, 1.0f, 3, 7, 19)},
    {.name = "a position table",
     .in = {BDPO_IN(1, 5, 6)},
     .attrs = ATTRS(BDPO_KEEP_POSITION, 1.0f, 3, 5, 6)},
    {.name = "one element", .in = {BDPO_IN(1)}, .attrs = ATTRS(BDPO_KEEP_NONE, 1.0f, 1)},
    {.name = "samples differ",
     .in = {BDPO_IN(3)},
     .attrs = ATTRS(BDPO_KEEP_SAMPLE, 1.0f, 2, 4),
     .refused = true},
    {.name = "empty shape",
     .in = {BDPO_IN(1)},
     .attrs = ATTRS(BDPO_KEEP_NONE, 1.0f, 0, 4),
     .refused = true},
    {.name = "integers",
     .in = {BDPO_IN_FILL(BDPO_FILL_INDEX, 9, 1)},
     .attrs = ATTRS(BDPO_KEEP_NONE, 1.0f, 4),
     .refused = true},
};

const bdpo_op bdpo_op_expand = {
    .name = "expand",
    .n_inputs = 1,
    .attrs_size = sizeof(bdpo_sum_attrs),
    .shape = shape,
    .grad = grad,
    .cpu = cpu,
    .reference = reference,
    .cases = cases,
    .n_cases = BDPO_COUNTOF(cases),
    .precision = BDPO_ISLAND,
    .strided_inputs = 1,
};

bdpo_node *bdpo_expand(bdpo_graph *g, bdpo_node *x, const bdpo_shape *shape_of_y, bdpo_keep keep,
                       float scale)
{
    bdpo_sum_attrs at = {.keep = keep, .scale = scale, .shape = *shape_of_y};
    return bdpo_node_new(g, &bdpo_op_expand, &at, &x, 1);
}

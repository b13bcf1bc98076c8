// y = the inputs side by side, on the last axis (channels) or on the first (batch).
//
//   x_i [n_i, .., c_i], all other axes equal -> y [sum of n_i, .., c] or [n, .., sum of c_i]
//   dx_i = its part of dy, a view (split)
#include <string.h>

#include "ops/axis.h"

extern const bdpo_op bdpo_op_concat;

enum { MOST = BDPO_MAX_OUTPUTS + 2 }; // parts: those of a split, and zeros on both sides

static bool fits(const bdpo_shape *a, const bdpo_shape *b, int axis)
{
    if (a->n_dims != b->n_dims) return false;
    for (int i = 0; i < a->n_dims; i++)
        if (i != axis && a->dim[i] != b->dim[i]) return false;
    return true;
}

static bdpo_status shape(bdpo_node *node)
{
    if (node->n_in < 1 || !node->in[0]) return bdpo_refuse(node, "nothing to join");
    const bdpo_value *first = bdpo_in(node, 0);
    bdpo_shape y = first->shape;
    int axis = bdpo_axis_index(*(const bdpo_axis *)node->attrs, &y);
    for (int i = 1; i < node->n_in; i++) {
        if (!node->in[i]) return bdpo_refuse(node, "input %d is missing", i);
        const bdpo_value *x = bdpo_in(node, i);
        if (!fits(&x->shape, &first->shape, axis) ||
            bdpo_is_float(x->dtype) != bdpo_is_float(first->dtype) ||
            (!bdpo_is_float(x->dtype) && x->dtype != first->dtype))
            return bdpo_refuse(node, "%s %s does not fit beside %s %s", bdpo_dtype_name(x->dtype),
                               bdpo_shape_print(&x->shape).text, bdpo_dtype_name(first->dtype),
                               bdpo_shape_print(&first->shape).text);
        y.dim[axis] += x->shape.dim[axis];
    }
    bdpo_set_output(node, bdpo_is_float(first->dtype) ? BDPO_F32 : first->dtype, y);
    return BDPO_OK;
}

static void grad(bdpo_graph *g, bdpo_node *node, bdpo_node *const *dy, bdpo_node **dx)
{
    bdpo_axis axis = *(const bdpo_axis *)node->attrs;
    int64_t begin = 0;
    for (int i = 0; i < node->n_in; i++) {
        const bdpo_shape *x = &bdpo_in(node, i)->shape;
        int64_t count = x->dim[bdpo_axis_index(axis, x)];
        if (bdpo_wants_grad(node, i))
            dx[i] = axis == BDPO_CHANNELS ? bdpo_slice_channels(g, dy[0], begin, count)
                                          : bdpo_slice_batch(g, dy[0], begin, count);
        begin += count;
    }
}

static int64_t part_offset(const bdpo_node *node, int i)
{
    bdpo_axis axis = *(const bdpo_axis *)node->attrs;
    int64_t offset = 0;
    for (int k = 0; k < i; k++) {
        const bdpo_shape *x = &bdpo_in(node, k)->shape;
        bool channels = axis == BDPO_CHANNELS || x->n_dims == 1;
        offset += channels ? bdpo_shape_cols(x) : bdpo_shape_rows(x) * node->out[0].row_stride;
    }
    return offset;
}

// On channels the inputs interleave row by row; on batch each is one run of rows. An input that
// was computed in its place is there already.
static void cpu(const bdpo_op_call *call)
{
    const bdpo_tensor *y = &call->out[0];
    bool channels = *(const bdpo_axis *)call->attrs == BDPO_CHANNELS;
    size_t size = bdpo_dtype_size(y->dtype);
    int64_t done = 0; // elements of a row, or rows, that stand in y
    for (int i = 0; i < call->n_in; i++) {
        const bdpo_tensor *x = &call->in[i];
        int64_t rows = bdpo_shape_rows(&x->shape), cols = bdpo_shape_cols(&x->shape);
        channels = channels || x->shape.n_dims == 1; // one axis: first and last
        char *to = (char *)y->data + (channels ? done : done * y->row_stride) * (int64_t)size;
        done += channels ? cols : rows;
        if (to == x->data) continue;
#pragma omp parallel for num_threads(call->n_threads) schedule(static)
        for (int64_t r = 0; r < rows; r++)
            memcpy(to + r * y->row_stride * (int64_t)size,
                   (const char *)x->data + r * x->row_stride * (int64_t)size, (size_t)cols * size);
    }
}

static void reference(const bdpo_reference_call *call)
{
    const bdpo_shape *y = &call->out_shape[0];
    int axis = bdpo_axis_index(*(const bdpo_axis *)call->attrs, y);
    int64_t inner = 1, done = 0, total = y->dim[axis];
    for (int i = axis + 1; i < y->n_dims; i++) inner *= y->dim[i];
    for (int i = 0; i < call->n_in; i++) {
        int64_t own = call->in_shape[i].dim[axis], count = bdpo_shape_count(&call->in_shape[i]);
        for (int64_t e = 0; e < count; e++) {
            int64_t outer = e / (own * inner), at = e / inner % own + done;
            call->out[0][(outer * total + at) * inner + e % inner] = call->in[i][e];
        }
        done += own;
    }
}

static const bdpo_op_case cases[] = {
    {.name = "skip connection",
     .in = {BDPO_IN(2, 4, 4, 32), BDPO_IN(2, 4, 4, 16)},
     .attrs = &(bdpo_axis){BDPO_CHANNELS}},
    {.name = "three, odd sizes",
     .in = {BDPO_IN(3, 7, 5), BDPO_IN(3, 7, 1), BDPO_IN(3, 7, 19)},
     .attrs = &(bdpo_axis){BDPO_CHANNELS}},
    {.name = "eight",
     .in = {BDPO_IN(3, 1), BDPO_IN(3, 2), BDPO_IN(3, 3), BDPO_IN(3, 4), BDPO_IN(3, 5),
            BDPO_IN(3, 6), BDPO_IN(3, 7), BDPO_IN(3, 8)},
     .attrs = &(bdpo_axis){BDPO_CHANNELS}},
    {.name = "vectors", .in = {BDPO_IN(5), BDPO_IN(2)}, .attrs = &(bdpo_axis){BDPO_CHANNELS}},
    {.name = "alone", .in = {BDPO_IN(5, 3)}, .attrs = &(bdpo_axis){BDPO_CHANNELS}},
    {.name = "batch",
     .in = {BDPO_IN(2, 3, 5, 7), BDPO_IN(1, 3, 5, 7), BDPO_IN(3, 3, 5, 7)},
     .attrs = &(bdpo_axis){BDPO_BATCH}},
    {.name = "batch of vectors", .in = {BDPO_IN(3), BDPO_IN(4)}, .attrs = &(bdpo_axis){BDPO_BATCH}},
    {.name = "other axes differ",
     .in = {BDPO_IN(2, 4, 8), BDPO_IN(2, 5, 8)},
     .attrs = &(bdpo_axis){BDPO_CHANNELS},
     .refused = true},
    {.name = "channels differ on batch",
     .in = {BDPO_IN(2, 8), BDPO_IN(2, 9)},
     .attrs = &(bdpo_axis){BDPO_BATCH},
     .refused = true},
    {.name = "number of axes differs",
     .in = {BDPO_IN(2, 4, 8), BDPO_IN(2, 8)},
     .attrs = &(bdpo_axis){BDPO_CHANNELS},
     .refused = true},
    {.name = "dtypes differ",
     .in = {BDPO_IN(2, 8), BDPO_IN_FILL(BDPO_FILL_INDEX, 9, 2, 8)},
     .attrs = &(bdpo_axis){BDPO_CHANNELS},
     .refused = true},
};

const bdpo_op bdpo_op_concat = {
    .name = "concat",
    .n_inputs = MOST,
    .attrs_size = sizeof(bdpo_axis),
    .shape = shape,
    .grad = grad,
    .cpu = cpu,
    .reference = reference,
    .cases = cases,
    .n_cases = BDPO_COUNTOF(cases),
    .precision = BDPO_FOLLOW,
    .strided_inputs = (1u << MOST) - 1,
    .strided_outputs = 1,
    .part_offset = part_offset,
};

static bdpo_node *join(bdpo_graph *g, bdpo_axis axis, bdpo_node *const *x, int n)
{
    BDPO_ASSERT(n >= 1 && n <= MOST);
    return bdpo_node_new(g, &bdpo_op_concat, &axis, x, n);
}

bdpo_node *bdpo_concat_channels(bdpo_graph *g, bdpo_node *const *x, int n)
{
    return join(g, BDPO_CHANNELS, x, n);
}

bdpo_node *bdpo_concat_batch(bdpo_graph *g, bdpo_node *const *x, int n)
{
    return join(g, BDPO_BATCH, x, n);
}

bdpo_node *bdpo_dense(bdpo_graph *g, bdpo_node *x)
{
    if (!x || x->out[0].row_stride == bdpo_shape_cols(&x->out[0].shape)) return x;
    return join(g, BDPO_CHANNELS, &x, 1);
}

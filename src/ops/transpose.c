// y = x with its axes in another order, copied: where a file's layout needs it.
//
//   x [d0, d1, ..] -> y with y.dim[i] = x.dim[order[i]]
//   y[j0, j1, ..] = x[i], i[order[k]] = j[k];  dx = dy in the inverse order
#include <string.h>

#include "ops/ops.h"

#include "graph/op.h"

extern const bdpo_op bdpo_op_transpose;

typedef struct transpose_attrs {
    int order[BDPO_MAX_DIMS];
} transpose_attrs;

static bdpo_status shape(bdpo_node *node)
{
    const transpose_attrs *at = node->attrs;
    TRY(bdpo_expect_float(node, 0, 0));
    const bdpo_shape *x = &bdpo_in(node, 0)->shape;
    bdpo_shape y = {.n_dims = x->n_dims};
    unsigned seen = 0;
    for (int i = 0; i < x->n_dims; i++) {
        if (at->order[i] < 0 || at->order[i] >= x->n_dims || (seen & 1u << at->order[i]))
            return bdpo_refuse(node, "axis %d of %s cannot come to place %d", at->order[i],
                               bdpo_shape_print(x).text, i);
        seen |= 1u << at->order[i];
        y.dim[i] = x->dim[at->order[i]];
    }
    bdpo_set_output(node, BDPO_F32, y);
    return BDPO_OK;
}

static void grad(bdpo_graph *g, bdpo_node *node, bdpo_node *const *dy, bdpo_node **dx)
{
    const transpose_attrs *at = node->attrs;
    transpose_attrs inverse = {{0}};
    for (int i = 0; i < bdpo_in(node, 0)->shape.n_dims; i++) inverse.order[at->order[i]] = i;
    dx[0] = bdpo_transpose(g, dy[0], inverse.order);
}

// Both shapes as four axes, leading ones added: y's dimensions, and the distance in elements of
// x for one step along each.
typedef struct walk {
    int64_t dim[BDPO_MAX_DIMS], step[BDPO_MAX_DIMS];
} walk;

static walk walk_of(const bdpo_shape *x, int64_t row_stride, const int *order)
{
    int64_t step[BDPO_MAX_DIMS], next = row_stride;
    int added = BDPO_MAX_DIMS - x->n_dims;
    walk w = {.dim = {1, 1, 1, 1}, .step = {0}};
    step[x->n_dims - 1] = 1;
    for (int i = x->n_dims - 2; i >= 0; i--) {
        step[i] = next;
        next *= x->dim[i];
    }
    for (int i = 0; i < x->n_dims; i++) {
        w.dim[added + i] = x->dim[order[i]];
        w.step[added + i] = step[order[i]];
    }
    return w;
}

static void cpu(const bdpo_op_call *call)
{
    const transpose_attrs *at = call->attrs;
    const bdpo_tensor *x = &call->in[0];
    walk w = walk_of(&x->shape, x->row_stride, at->order);
    size_t size = bdpo_dtype_size(x->dtype);
    int64_t rows = w.dim[0] * w.dim[1] * w.dim[2], cols = w.dim[3];
#pragma omp parallel for num_threads(call->n_threads) schedule(static)
    for (int64_t r = 0; r < rows; r++) {
        int64_t k = r % w.dim[2], j = r / w.dim[2] % w.dim[1], i = r / w.dim[2] / w.dim[1];
        const char *from =
            (const char *)x->data + (i * w.step[0] + j * w.step[1] + k * w.step[2]) * (int64_t)size;
        char *to = (char *)call->out[0].data + r * cols * (int64_t)size;
        if (w.step[3] == 1) {
            memcpy(to, from, (size_t)cols * size);
        } else if (size == sizeof(uint32_t)) {
            for (int64_t c = 0; c < cols; c++)
                ((uint32_t *)(void *)to)[c] = ((const uint32_t *)(const void *)from)[c * w.step[3]];
        } else {
            for (int64_t c = 0; c < cols; c++)
                memcpy(to + c * (int64_t)size, from + c * w.step[3] * (int64_t)size, size);
        }
    }
}

static void reference(const bdpo_reference_call *call)
{
    const transpose_attrs *at = call->attrs;
    const bdpo_shape *x = &call->in_shape[0], *y = &call->out_shape[0];
    for (int64_t e = 0; e < bdpo_shape_count(y); e++) {
        int64_t index[BDPO_MAX_DIMS] = {0}, left = e, from = 0;
        for (int i = y->n_dims - 1; i >= 0; i--) {
            index[at->order[i]] = left % y->dim[i];
            left /= y->dim[i];
        }
        for (int i = 0; i < x->n_dims; i++) from = from * x->dim[i] + index[i];
        call->out[0][e] = call->in[0][from];
    }
}

static const bdpo_op_case cases[] = {
    {.name = "channels first",
     .in = {BDPO_IN(2, 5, 7, 3)},
     .attrs = &(transpose_attrs){{0, 3, 1, 2}}},
    {.name = "channels last",
     .in = {BDPO_IN(2, 3, 5, 7)},
     .attrs = &(transpose_attrs){{0, 2, 3, 1}}},
    {.name = "reversed", .in = {BDPO_IN(2, 3, 4, 5)}, .attrs = &(transpose_attrs){{3, 2, 1, 0}}},
    {.name = "matrix", .in = {BDPO_IN(33, 17)}, .attrs = &(transpose_attrs){{1, 0}}},
    {.name = "last axis stays", .in = {BDPO_IN(3, 4, 9)}, .attrs = &(transpose_attrs){{1, 0, 2}}},
    {.name = "one axis", .in = {BDPO_IN(5)}, .attrs = &(transpose_attrs){{0}}},
    {.name = "an axis twice",
     .in = {BDPO_IN(3, 4)},
     .attrs = &(transpose_attrs){{1, 1}},
     .refused = true},
    {.name = "an axis that is not there",
     .in = {BDPO_IN(3, 4)},
     .attrs = &(transpose_attrs){{0, 2}},
     .refused = true},
    {.name = "integers",
     .in = {BDPO_IN_FILL(BDPO_FILL_INDEX, 9, 3, 4)},
     .attrs = &(transpose_attrs){{1, 0}},
     .refused = true},
};

const bdpo_op bdpo_op_transpose = {
    .name = "transpose",
    .n_inputs = 1,
    .attrs_size = sizeof(transpose_attrs),
    .shape = shape,
    .grad = grad,
    .cpu = cpu,
    .reference = reference,
    .cases = cases,
    .n_cases = BDPO_COUNTOF(cases),
    .precision = BDPO_FOLLOW,
    .strided_inputs = 1,
};

bdpo_node *bdpo_transpose(bdpo_graph *g, bdpo_node *x, const int *order)
{
    transpose_attrs at = {{0}};
    for (int i = 0; i < bdpo_node_shape(x).n_dims; i++) at.order[i] = order[i];
    return bdpo_node_new(g, &bdpo_op_transpose, &at, &x, 1);
}

// y[i, :] = x[i, index[i], :]: one token of each sequence.
//
//   x [n, t, c], index i32 [n], each in [0, t) -> y [n, c]
//   dx = dy at the token that was taken, 0 elsewhere; the index has no gradient
//
// An index outside its sequence gives zeros, and its gradient goes nowhere.
#include <string.h>

#include "ops/ops.h"

#include "graph/op.h"

extern const bdpo_op bdpo_op_gather_rows, bdpo_op_gather_rows_backward;

static bdpo_status expect_index(const bdpo_node *node, int i, int64_t n)
{
    TRY(bdpo_expect(node, i, BDPO_I32, 1));
    if (bdpo_in(node, i)->shape.dim[0] != n)
        return bdpo_refuse(node, "%lld indices for %lld sequences",
                           (long long)bdpo_in(node, i)->shape.dim[0], (long long)n);
    return BDPO_OK;
}

static bdpo_status shape(bdpo_node *node)
{
    TRY(bdpo_expect_float(node, 0, 3));
    const bdpo_shape *x = &bdpo_in(node, 0)->shape;
    TRY(expect_index(node, 1, x->dim[0]));
    bdpo_set_output(node, BDPO_F32, BDPO_SHAPE(x->dim[0], x->dim[2]));
    return BDPO_OK;
}

static bdpo_status shape_backward(bdpo_node *node)
{
    TRY(bdpo_expect_float(node, 0, 2));
    const bdpo_shape *dy = &bdpo_in(node, 0)->shape;
    TRY(expect_index(node, 1, dy->dim[0]));
    int64_t tokens = *(const int64_t *)node->attrs;
    bdpo_set_output(node, BDPO_F32, BDPO_SHAPE(dy->dim[0], tokens, dy->dim[1]));
    return BDPO_OK;
}

static void grad(bdpo_graph *g, bdpo_node *node, bdpo_node *const *dy, bdpo_node **dx)
{
    dx[0] = bdpo_node_new(g, &bdpo_op_gather_rows_backward, &bdpo_in(node, 0)->shape.dim[1],
                          (bdpo_node *[]){dy[0], node->in[1]}, 2);
}

static void cpu(const bdpo_op_call *call)
{
    const bdpo_tensor *x = &call->in[0], *y = &call->out[0];
    const int32_t *index = call->in[1].data;
    int64_t tokens = x->shape.dim[1], cols = x->shape.dim[2];
    for (int64_t i = 0; i < x->shape.dim[0]; i++) {
        float *to = (float *)y->data + i * y->row_stride;
        if (index[i] < 0 || index[i] >= tokens)
            memset(to, 0, (size_t)cols * sizeof *to);
        else
            memcpy(to, (const float *)x->data + (i * tokens + index[i]) * x->row_stride,
                   (size_t)cols * sizeof *to);
    }
}

static void cpu_backward(const bdpo_op_call *call)
{
    const bdpo_tensor *dy = &call->in[0], *dx = &call->out[0];
    const int32_t *index = call->in[1].data;
    int64_t n = dx->shape.dim[0], tokens = dx->shape.dim[1], cols = dx->shape.dim[2];
    float *out = dx->data;
    if (!call->accumulate) memset(out, 0, (size_t)(n * tokens * cols) * sizeof *out);
    for (int64_t i = 0; i < n; i++) {
        if (index[i] < 0 || index[i] >= tokens) continue;
        const float *from = (const float *)dy->data + i * dy->row_stride;
        float *to = out + (i * tokens + index[i]) * cols;
        for (int64_t c = 0; c < cols; c++) to[c] += from[c];
    }
}

static void reference(const bdpo_reference_call *call)
{
    const bdpo_shape *x = &call->in_shape[0];
    int64_t tokens = x->dim[1], cols = x->dim[2];
    for (int64_t i = 0; i < x->dim[0]; i++)
        for (int64_t c = 0; c < cols; c++) {
            double index = call->in[1][i];
            bool inside = index >= 0 && index < (double)tokens;
            if (inside)
                call->out[0][i * cols + c] = call->in[0][(i * tokens + (int64_t)index) * cols + c];
        }
}

static const bdpo_op_case cases[] = {
    {.name = "last tokens", .in = {BDPO_IN(3, 11, 32), BDPO_IN_FILL(BDPO_FILL_INDEX, 11, 3)}},
    {.name = "odd sizes", .in = {BDPO_IN(5, 7, 13), BDPO_IN_FILL(BDPO_FILL_INDEX, 7, 5)}},
    {.name = "one token", .in = {BDPO_IN(1, 1, 1), BDPO_IN_FILL(BDPO_FILL_INDEX, 1, 1)}},
    {.name = "some outside", .in = {BDPO_IN(6, 4, 5), BDPO_IN_FILL(BDPO_FILL_LENGTH, 6, 6)}},
    {.name = "too few indices",
     .in = {BDPO_IN(3, 11, 8), BDPO_IN_FILL(BDPO_FILL_INDEX, 11, 2)},
     .refused = true},
    {.name = "index is a float", .in = {BDPO_IN(3, 11, 8), BDPO_IN(3)}, .refused = true},
    {.name = "no tokens",
     .in = {BDPO_IN(3, 8), BDPO_IN_FILL(BDPO_FILL_INDEX, 8, 3)},
     .refused = true},
};

const bdpo_op bdpo_op_gather_rows = {
    .name = "gather_rows",
    .n_inputs = 2,
    .shape = shape,
    .grad = grad,
    .cpu = cpu,
    .reference = reference,
    .cases = cases,
    .n_cases = BDPO_COUNTOF(cases),
    .precision = BDPO_COMPUTE,
    .strided_inputs = 1,
    .strided_outputs = 1,
};

const bdpo_op bdpo_op_gather_rows_backward = {
    .name = "gather_rows_backward",
    .n_inputs = 2,
    .attrs_size = sizeof(int64_t),
    .shape = shape_backward,
    .grad = bdpo_no_grad,
    .cpu = cpu_backward,
    .tested_by = &bdpo_op_gather_rows,
    .precision = BDPO_COMPUTE,
    .strided_inputs = 1,
    .can_accumulate = true,
};

bdpo_node *bdpo_gather_rows(bdpo_graph *g, bdpo_node *x, bdpo_node *index)
{
    return bdpo_node_new(g, &bdpo_op_gather_rows, NULL, (bdpo_node *[]){x, index}, 2);
}

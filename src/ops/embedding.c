// y[.., :] = table[ids[..], :].
//
//   table [v, c], ids i32 [..], each in [0, v) -> y [.., c]
//   dtable[v, :] = the sum of the dy whose id is v, in the order of the ids
//
// An id outside the table gives zeros, and its gradient goes nowhere.
#include <string.h>

#include "kernels/parts.h"
#include "ops/ops.h"

#include "graph/op.h"

extern const bdpo_op bdpo_op_embedding, bdpo_op_embedding_backward;

static bdpo_status shape(bdpo_node *node)
{
    TRY(bdpo_expect_float(node, 0, 2));
    TRY(bdpo_expect(node, 1, BDPO_I32, 0));
    bdpo_shape y = bdpo_in(node, 1)->shape;
    if (y.n_dims == BDPO_MAX_DIMS)
        return bdpo_refuse(node, "ids %s leave no axis for the embedding",
                           bdpo_shape_print(&y).text);
    y.dim[y.n_dims++] = bdpo_in(node, 0)->shape.dim[1];
    bdpo_set_output(node, BDPO_F32, y);
    return BDPO_OK;
}

static bdpo_status shape_backward(bdpo_node *node)
{
    TRY(bdpo_expect_float(node, 0, 0));
    TRY(bdpo_expect(node, 1, BDPO_I32, 0));
    const bdpo_shape *dy = &bdpo_in(node, 0)->shape;
    if (bdpo_shape_rows(dy) != bdpo_shape_count(&bdpo_in(node, 1)->shape))
        return bdpo_refuse(node, "%s does not have a row for each id of %s",
                           bdpo_shape_print(dy).text,
                           bdpo_shape_print(&bdpo_in(node, 1)->shape).text);
    bdpo_set_output(node, BDPO_F32, BDPO_SHAPE(*(const int64_t *)node->attrs, bdpo_shape_cols(dy)));
    return BDPO_OK;
}

static void grad(bdpo_graph *g, bdpo_node *node, bdpo_node *const *dy, bdpo_node **dx)
{
    dx[0] = bdpo_node_new(g, &bdpo_op_embedding_backward, &bdpo_in(node, 0)->shape.dim[0],
                          (bdpo_node *[]){dy[0], node->in[1]}, 2);
}

static void cpu(const bdpo_op_call *call)
{
    const bdpo_tensor *table = &call->in[0];
    const int32_t *ids = call->in[1].data;
    int64_t count = bdpo_shape_count(&call->in[1].shape), cols = table->shape.dim[1];
#pragma omp parallel for num_threads(call->n_threads) schedule(static)
    for (int64_t i = 0; i < count; i++) {
        float *to = (float *)call->out[0].data + i * call->out[0].row_stride;
        if (ids[i] < 0 || ids[i] >= table->shape.dim[0])
            memset(to, 0, (size_t)cols * sizeof *to);
        else
            memcpy(to, (const float *)table->data + ids[i] * table->row_stride,
                   (size_t)cols * sizeof *to);
    }
}

// Each thread owns a range of the table and walks over all ids: no two write one row, and a row's
// terms come in the order of the ids whatever the number of threads.
static void cpu_backward(const bdpo_op_call *call)
{
    const bdpo_tensor *dy = &call->in[0], *dtable = &call->out[0];
    const int32_t *ids = call->in[1].data;
    int64_t count = bdpo_shape_count(&call->in[1].shape);
    int64_t vocabulary = dtable->shape.dim[0], cols = dtable->shape.dim[1];
    float *out = dtable->data;
#pragma omp parallel for num_threads(call->n_threads) schedule(static, 1)
    for (int part = 0; part < call->n_threads; part++) {
        int64_t first = bdpo_part_begin(vocabulary, part, call->n_threads);
        int64_t end = bdpo_part_begin(vocabulary, part + 1, call->n_threads);
        if (!call->accumulate && end > first)
            memset(out + first * cols, 0, (size_t)((end - first) * cols) * sizeof *out);
        for (int64_t i = 0; i < count; i++) {
            if (ids[i] < first || ids[i] >= end) continue;
            const float *from = (const float *)dy->data + i * dy->row_stride;
            for (int64_t c = 0; c < cols; c++) out[ids[i] * cols + c] += from[c];
        }
    }
}

static void reference(const bdpo_reference_call *call)
{
    int64_t count = bdpo_shape_count(&call->in_shape[1]), cols = call->in_shape[0].dim[1];
    for (int64_t i = 0; i < count; i++) {
        double id = call->in[1][i];
        if (id < 0 || id >= (double)call->in_shape[0].dim[0]) continue;
        for (int64_t c = 0; c < cols; c++)
            call->out[0][i * cols + c] = call->in[0][(int64_t)id * cols + c];
    }
}

static const bdpo_op_case cases[] = {
    {.name = "tokens", .in = {BDPO_IN(50, 32), BDPO_IN_FILL(BDPO_FILL_INDEX, 50, 2, 9)}},
    {.name = "odd sizes", .in = {BDPO_IN(7, 13), BDPO_IN_FILL(BDPO_FILL_INDEX, 7, 3, 5, 11)}},
    {.name = "one id", .in = {BDPO_IN(1, 1), BDPO_IN_FILL(BDPO_FILL_INDEX, 1, 1)}},
    {.name = "some outside", .in = {BDPO_IN(5, 4), BDPO_IN_FILL(BDPO_FILL_LENGTH, 7, 12)}},
    {.name = "no room for the embedding",
     .in = {BDPO_IN(5, 4), BDPO_IN_FILL(BDPO_FILL_INDEX, 5, 1, 1, 1, 2)},
     .refused = true},
    {.name = "ids are floats", .in = {BDPO_IN(5, 4), BDPO_IN(3)}, .refused = true},
    {.name = "table of vectors",
     .in = {BDPO_IN(5), BDPO_IN_FILL(BDPO_FILL_INDEX, 5, 3)},
     .refused = true},
};

const bdpo_op bdpo_op_embedding = {
    .name = "embedding",
    .n_inputs = 2,
    .shape = shape,
    .grad = grad,
    .cpu = cpu,
    .reference = reference,
    .cases = cases,
    .n_cases = BDPO_COUNTOF(cases),
    .precision = BDPO_COMPUTE,
    .strided_outputs = 1,
};

const bdpo_op bdpo_op_embedding_backward = {
    .name = "embedding_backward",
    .n_inputs = 2,
    .attrs_size = sizeof(int64_t),
    .shape = shape_backward,
    .grad = bdpo_no_grad,
    .cpu = cpu_backward,
    .tested_by = &bdpo_op_embedding,
    .precision = BDPO_WEIGHT,
    .strided_inputs = 1,
    .can_accumulate = true,
};

bdpo_node *bdpo_embedding(bdpo_graph *g, bdpo_node *table, bdpo_node *ids)
{
    return bdpo_node_new(g, &bdpo_op_embedding, NULL, (bdpo_node *[]){table, ids}, 2);
}

// dst = 0, in the store, any dtype: gradients before the first micro-batch.
//
//   dst [..] changed
#include <string.h>

#include "kernels/parts.h"
#include "ops/state.h"

extern const bdpo_op bdpo_op_zero;

static bdpo_status shape(bdpo_node *node)
{
    return bdpo_has_input(node, 0) ? BDPO_OK : bdpo_refuse(node, "input 0 is missing");
}

static void cpu(const bdpo_op_call *call)
{
    const bdpo_tensor *dst = &call->in[0];
    int64_t bytes = bdpo_shape_count(&dst->shape) * (int64_t)bdpo_dtype_size(dst->dtype);
    int n = bdpo_threads_for(bytes / 4, call->n_threads);
#pragma omp parallel for num_threads(n) schedule(static, 1) if (n > 1)
    for (int i = 0; i < n; i++) {
        bdpo_piece p = bdpo_piece_of(true, 1, bytes, i, n);
        memset((char *)dst->data + p.col, 0, (size_t)p.cols);
    }
}

static void reference(const bdpo_reference_call *call)
{
    memset(call->out[0], 0, (size_t)bdpo_shape_count(&call->in_shape[0]) * sizeof(double));
}

static const bdpo_op_case cases[] = {
    {.name = "gradient", .in = {BDPO_IN(7, 3, 3, 13)}},
    {.name = "one element", .in = {BDPO_IN(1)}},
    {.name = "codes", .in = {BDPO_IN_FILL(BDPO_FILL_CODE, 0, 333)}},
    {.name = "nothing", .refused = true},
};

const bdpo_op bdpo_op_zero = {
    .name = "zero",
    .n_inputs = 1,
    .shape = shape,
    .grad = bdpo_no_grad,
    .cpu = cpu,
    .reference = reference,
    .cases = cases,
    .n_cases = BDPO_COUNTOF(cases),
    .precision = BDPO_OWN,
    .mutates = 1,
};

bdpo_node *bdpo_zero(bdpo_graph *g, bdpo_node *dst)
{
    return bdpo_node_new(g, &bdpo_op_zero, NULL, &dst, 1);
}

// dst = dst + d, in the store: what bdpo_backward() emits for each parameter. Where d's kernel can
// add by itself, the plan lets it write into dst and leaves this node out.
//
//   dst [..] changed, d [..] of the same shape
#include "kernels/elementwise.h"
#include "ops/state.h"

static bdpo_status shape(bdpo_node *node)
{
    TRY(bdpo_expect(node, 0, BDPO_F32, 0));
    return bdpo_expect_like(node, 1, 0);
}

static void cpu(const bdpo_op_call *call)
{
    const bdpo_tensor *dst = &call->in[0], *d = &call->in[1];
    bdpo_binary_forward(dst->data, dst->row_stride, dst->data, dst->row_stride, d->data,
                        d->row_stride, bdpo_shape_rows(&dst->shape), bdpo_shape_cols(&dst->shape),
                        1, BDPO_BINARY_ADD, BDPO_SPREAD_NONE, call->n_threads);
}

static void reference(const bdpo_reference_call *call)
{
    int64_t count = bdpo_shape_count(&call->in_shape[0]);
    for (int64_t i = 0; i < count; i++) call->out[0][i] = call->in[0][i] + call->in[1][i];
}

static const bdpo_op_case cases[] = {
    {.name = "weights", .in = {BDPO_IN(7, 3, 3, 13), BDPO_IN(7, 3, 3, 13)}},
    {.name = "one element", .in = {BDPO_IN(1), BDPO_IN(1)}},
    {.name = "shapes differ", .in = {BDPO_IN(3, 4), BDPO_IN(4, 3)}, .refused = true},
    {.name = "no gradient", .in = {BDPO_IN(4)}, .refused = true},
};

const bdpo_op bdpo_op_grad_accumulate = {
    .name = "grad_accumulate",
    .n_inputs = 2,
    .shape = shape,
    .grad = bdpo_no_grad,
    .cpu = cpu,
    .reference = reference,
    .cases = cases,
    .n_cases = BDPO_COUNTOF(cases),
    .precision = BDPO_OWN,
    .strided_inputs = 2,
    .mutates = 1,
};

// dst = factor dst, in the store: an average over micro-batches, a clipped gradient.
//
//   dst [..] changed, factor [1]
#include "kernels/elementwise.h"
#include "ops/state.h"

extern const bdpo_op bdpo_op_scale_in_place;

static bdpo_status shape(bdpo_node *node)
{
    TRY(bdpo_expect(node, 0, BDPO_F32, 0));
    return bdpo_expect_number(node, 1);
}

static void cpu(const bdpo_op_call *call)
{
    int64_t count = bdpo_shape_count(&call->in[0].shape);
    bdpo_scale_shift(call->in[0].data, count, call->in[0].data, count,
                     *(const float *)call->in[1].data, 0.0f, 1, count, call->n_threads);
}

static void reference(const bdpo_reference_call *call)
{
    int64_t count = bdpo_shape_count(&call->in_shape[0]);
    for (int64_t i = 0; i < count; i++) call->out[0][i] = call->in[1][0] * call->in[0][i];
}

static const bdpo_op_case cases[] = {
    {.name = "gradient", .in = {BDPO_IN(7, 3, 3, 13), BDPO_IN(1)}},
    {.name = "one element", .in = {BDPO_IN(1), BDPO_IN(1)}},
    {.name = "a factor for each", .in = {BDPO_IN(4), BDPO_IN(4)}, .refused = true},
    {.name = "no factor", .in = {BDPO_IN(4)}, .refused = true},
    {.name = "codes", .in = {BDPO_IN_FILL(BDPO_FILL_CODE, 0, 4), BDPO_IN(1)}, .refused = true},
};

const bdpo_op bdpo_op_scale_in_place = {
    .name = "scale_in_place",
    .n_inputs = 2,
    .shape = shape,
    .grad = bdpo_no_grad,
    .cpu = cpu,
    .reference = reference,
    .cases = cases,
    .n_cases = BDPO_COUNTOF(cases),
    .precision = BDPO_OWN,
    .mutates = 1,
};

bdpo_node *bdpo_scale_in_place(bdpo_graph *g, bdpo_node *dst, bdpo_node *factor)
{
    return bdpo_node_new(g, &bdpo_op_scale_in_place, NULL, (bdpo_node *[]){dst, factor}, 2);
}

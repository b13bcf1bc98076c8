// dst = dst + weight (src - dst), in the store: a moving average with decay 1 - weight.
//
//   dst [..] changed, src [..] of the same shape, weight [1]
#include "ops/state.h"

extern const bdpo_op bdpo_op_lerp;

static bdpo_status shape(bdpo_node *node)
{
    TRY(bdpo_expect(node, 0, BDPO_F32, 0));
    TRY(bdpo_expect_like(node, 1, 0));
    return bdpo_expect_number(node, 2);
}

static void cpu(const bdpo_op_call *call)
{
    float *dst = call->in[0].data;
    const float *src = call->in[1].data, weight = *(const float *)call->in[2].data;
    int64_t count = bdpo_shape_count(&call->in[0].shape);
#pragma omp parallel for simd num_threads(call->n_threads) schedule(static)
    for (int64_t i = 0; i < count; i++) dst[i] += weight * (src[i] - dst[i]);
}

static void reference(const bdpo_reference_call *call)
{
    int64_t count = bdpo_shape_count(&call->in_shape[0]);
    for (int64_t i = 0; i < count; i++)
        call->out[0][i] = (1 - call->in[2][0]) * call->in[0][i] + call->in[2][0] * call->in[1][i];
}

static const bdpo_op_case cases[] = {
    {.name = "weights",
     .in = {BDPO_IN(7, 3, 3, 13), BDPO_IN(7, 3, 3, 13), BDPO_IN_FILL(BDPO_FILL_POSITIVE, 0, 1)}},
    {.name = "one element", .in = {BDPO_IN(1), BDPO_IN(1), BDPO_IN_FILL(BDPO_FILL_POSITIVE, 0, 1)}},
    {.name = "shapes differ", .in = {BDPO_IN(3, 4), BDPO_IN(12), BDPO_IN(1)}, .refused = true},
    {.name = "a weight for each", .in = {BDPO_IN(4), BDPO_IN(4), BDPO_IN(4)}, .refused = true},
    {.name = "no weight", .in = {BDPO_IN(4), BDPO_IN(4)}, .refused = true},
};

const bdpo_op bdpo_op_lerp = {
    .name = "lerp",
    .n_inputs = 3,
    .shape = shape,
    .grad = bdpo_no_grad,
    .cpu = cpu,
    .reference = reference,
    .cases = cases,
    .n_cases = BDPO_COUNTOF(cases),
    .precision = BDPO_OWN,
    .mutates = 1,
};

bdpo_node *bdpo_lerp(bdpo_graph *g, bdpo_node *dst, bdpo_node *src, bdpo_node *weight)
{
    return bdpo_node_new(g, &bdpo_op_lerp, NULL, (bdpo_node *[]){dst, src, weight}, 3);
}

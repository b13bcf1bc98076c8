// p = p - lr clip g, in the store: the plainest step, for tests and small examples.
//
//   param [..] changed, grad [..] of its shape, lr [1], clip [1] or absent; a clip below 0 leaves
//   the parameter as it is
#include "ops/state.h"

extern const bdpo_op bdpo_op_sgd;

enum { PARAM, GRAD, LR, CLIP };

static bdpo_status shape(bdpo_node *node)
{
    TRY(bdpo_expect(node, PARAM, BDPO_F32, 0));
    TRY(bdpo_expect_like(node, GRAD, PARAM));
    TRY(bdpo_expect_number(node, LR));
    return bdpo_has_input(node, CLIP) ? bdpo_expect_number(node, CLIP) : BDPO_OK;
}

static void cpu(const bdpo_op_call *call)
{
    float clip, *param = call->in[PARAM].data;
    const float *grad = call->in[GRAD].data;
    if (!bdpo_read_clip(&call->in[CLIP], &clip)) return;
    float rate = (float)(bdpo_number(call, LR) * (double)clip);
    int64_t count = bdpo_shape_count(&call->in[PARAM].shape);
#pragma omp parallel for simd num_threads(call->n_threads) schedule(static)
    for (int64_t i = 0; i < count; i++) param[i] -= rate * grad[i];
}

static void reference(const bdpo_reference_call *call)
{
    double clip;
    bool go = bdpo_reference_clip(call->n_in > CLIP ? call->in[CLIP] : NULL, &clip);
    int64_t count = bdpo_shape_count(&call->in_shape[PARAM]);
    for (int64_t i = 0; i < count; i++)
        call->out[0][i] =
            call->in[PARAM][i] - (go ? call->in[LR][0] * clip * call->in[GRAD][i] : 0);
}

#define NUMBER BDPO_IN_FILL(BDPO_FILL_POSITIVE, 0, 1)

static const bdpo_op_case cases[] = {
    {.name = "weights", .in = {BDPO_IN(7, 3, 3, 13), BDPO_IN(7, 3, 3, 13), NUMBER}},
    {.name = "clipped", .in = {BDPO_IN(5003), BDPO_IN(5003), NUMBER, NUMBER}},
    {.name = "one element", .in = {BDPO_IN(1), BDPO_IN(1), NUMBER}},
    {.name = "shapes differ", .in = {BDPO_IN(3, 4), BDPO_IN(4, 3), NUMBER}, .refused = true},
    {.name = "no rate", .in = {BDPO_IN(4), BDPO_IN(4)}, .refused = true},
    {.name = "clip of two", .in = {BDPO_IN(4), BDPO_IN(4), NUMBER, BDPO_IN(2)}, .refused = true},
};

const bdpo_op bdpo_op_sgd = {
    .name = "sgd",
    .n_inputs = 4,
    .shape = shape,
    .grad = bdpo_no_grad,
    .cpu = cpu,
    .reference = reference,
    .cases = cases,
    .n_cases = BDPO_COUNTOF(cases),
    .precision = BDPO_OWN,
    .mutates = 1u << PARAM,
};

bdpo_node *bdpo_sgd(bdpo_graph *g, bdpo_node *param, bdpo_node *grad, const bdpo_step_inputs *at)
{
    return bdpo_node_new(g, &bdpo_op_sgd, NULL, (bdpo_node *[]){param, grad, at->lr, at->clip},
                         at->clip ? 4 : 3);
}

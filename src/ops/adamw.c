// One step of AdamW in the store, as torch.optim.AdamW computes it:
//
//   g' = clip g;  m = beta1 m + (1 - beta1) g';  v = beta2 v + (1 - beta2) g'^2
//   p = p (1 - lr decay) - lr / (1 - beta1^t) * m / (sqrt(v / (1 - beta2^t)) + eps)
//
//   param, m, v [..] changed, grad [..], lr, step (t = 1, 2, ..) [1], clip [1] or absent,
//   shadow bf16 [..] or absent, which becomes p rounded to nearest even
//
// A clip below 0 (or NaN) skips the step: nothing changes.
#include <math.h>

#include "kernels/optimizer.h"
#include "ops/state.h"

extern const bdpo_op bdpo_op_adamw;

enum { PARAM, GRAD, M, V, LR, STEP, CLIP, SHADOW, N_INPUTS };

static bdpo_status shape(bdpo_node *node)
{
    TRY(bdpo_expect(node, PARAM, BDPO_F32, 0));
    for (int i = GRAD; i <= V; i++) TRY(bdpo_expect_like(node, i, PARAM));
    TRY(bdpo_expect_number(node, LR));
    TRY(bdpo_expect_number(node, STEP));
    if (bdpo_has_input(node, CLIP)) TRY(bdpo_expect_number(node, CLIP));
    if (!bdpo_has_input(node, SHADOW)) return BDPO_OK;
    TRY(bdpo_expect(node, SHADOW, BDPO_BF16, 0));
    if (!bdpo_shape_equal(&bdpo_in(node, SHADOW)->shape, &bdpo_in(node, PARAM)->shape))
        return bdpo_refuse(node, "the shadow has shape %s, the parameter %s",
                           bdpo_shape_print(&bdpo_in(node, SHADOW)->shape).text,
                           bdpo_shape_print(&bdpo_in(node, PARAM)->shape).text);
    return BDPO_OK;
}

static void cpu(const bdpo_op_call *call)
{
    const bdpo_adamw_options *at = call->attrs;
    float clip;
    if (!bdpo_read_clip(&call->in[CLIP], &clip)) return;
    bdpo_adamw_step step =
        bdpo_adamw_step_of(bdpo_number(call, LR), bdpo_number(call, STEP), (double)clip, at->beta1,
                           at->beta2, at->eps, at->weight_decay);
    bdpo_adamw_update(call->in[PARAM].data, call->in[GRAD].data, call->in[M].data, call->in[V].data,
                      call->in[SHADOW].data, bdpo_shape_count(&call->in[PARAM].shape), &step,
                      call->n_threads);
}

static int64_t flops(const bdpo_node *node)
{
    return 15 * bdpo_shape_count(&bdpo_in(node, PARAM)->shape);
}

static void reference(const bdpo_reference_call *call)
{
    const bdpo_adamw_options *at = call->attrs;
    double clip, lr = call->in[LR][0], t = call->in[STEP][0];
    bool go = bdpo_reference_clip(call->n_in > CLIP ? call->in[CLIP] : NULL, &clip);
    for (int64_t i = 0; i < bdpo_shape_count(&call->in_shape[PARAM]); i++) {
        double p = call->in[PARAM][i], m = call->in[M][i], v = call->in[V][i];
        double g = clip * call->in[GRAD][i];
        if (go) {
            m = at->beta1 * m + (1 - at->beta1) * g;
            v = at->beta2 * v + (1 - at->beta2) * g * g;
            p -= lr * at->weight_decay * p;
            p -= lr / (1 - pow(at->beta1, t)) * m / (sqrt(v / (1 - pow(at->beta2, t))) + at->eps);
        }
        call->out[0][i] = p;
        call->out[1][i] = m;
        call->out[2][i] = v;
    }
}

#define NUMBER    BDPO_IN_FILL(BDPO_FILL_POSITIVE, 0, 1)
#define COUNT     BDPO_IN_FILL(BDPO_FILL_COUNT, 50, 1)
#define V_OF(...) BDPO_IN_FILL(BDPO_FILL_POSITIVE, 0, __VA_ARGS__)
#define USUAL                                                                                      \
    &(bdpo_adamw_options)                                                                          \
    {                                                                                              \
        0.9, 0.999, 1e-8, 0.01                                                                     \
    }

static const bdpo_op_case cases[] = {
    {.name = "convolution",
     .in = {BDPO_IN(7, 3, 3, 13), BDPO_IN(7, 3, 3, 13), BDPO_IN(7, 3, 3, 13), V_OF(7, 3, 3, 13),
            NUMBER, COUNT, NUMBER},
     .attrs = USUAL},
    {.name = "bucket",
     .in = {BDPO_IN(9000), BDPO_IN(9000), BDPO_IN(9000), V_OF(9000), NUMBER, COUNT},
     .attrs = USUAL},
    {.name = "other numbers",
     .in = {BDPO_IN(333), BDPO_IN(333), BDPO_IN(333), V_OF(333), NUMBER, COUNT, NUMBER},
     .attrs = &(bdpo_adamw_options){0.5, 0.9, 1e-3, 0.0}},
    {.name = "one element",
     .in = {BDPO_IN(1), BDPO_IN(1), BDPO_IN(1), V_OF(1), NUMBER, COUNT, NUMBER},
     .attrs = USUAL},
    {.name = "gradient of another shape",
     .in = {BDPO_IN(4, 3), BDPO_IN(3, 4), BDPO_IN(4, 3), V_OF(4, 3), NUMBER, COUNT},
     .attrs = USUAL,
     .refused = true},
    {.name = "moment of another shape",
     .in = {BDPO_IN(4), BDPO_IN(4), BDPO_IN(4), V_OF(5), NUMBER, COUNT},
     .attrs = USUAL,
     .refused = true},
    {.name = "two rates",
     .in = {BDPO_IN(4), BDPO_IN(4), BDPO_IN(4), V_OF(4), V_OF(2), COUNT},
     .attrs = USUAL,
     .refused = true},
    {.name = "no step number",
     .in = {BDPO_IN(4), BDPO_IN(4), BDPO_IN(4), V_OF(4), NUMBER},
     .attrs = USUAL,
     .refused = true},
    {.name = "shadow in f32",
     .in = {BDPO_IN(4), BDPO_IN(4), BDPO_IN(4), V_OF(4), NUMBER, COUNT, NUMBER, BDPO_IN(4)},
     .attrs = USUAL,
     .refused = true},
};

const bdpo_op bdpo_op_adamw = {
    .name = "adamw",
    .n_inputs = N_INPUTS,
    .attrs_size = sizeof(bdpo_adamw_options),
    .shape = shape,
    .grad = bdpo_no_grad,
    .cpu = cpu,
    .reference = reference,
    .cases = cases,
    .n_cases = BDPO_COUNTOF(cases),
    .flops = flops,
    .precision = BDPO_OWN,
    .mutates = 1u << PARAM | 1u << M | 1u << V | 1u << SHADOW,
};

bdpo_node *bdpo_adamw(bdpo_graph *g, bdpo_node *param, bdpo_node *grad, bdpo_node *m, bdpo_node *v,
                      bdpo_node *shadow, const bdpo_step_inputs *at,
                      const bdpo_adamw_options *options)
{
    bdpo_node *in[] = {param, grad, m, v, at->lr, at->step, at->clip, shadow};
    return bdpo_node_new(g, &bdpo_op_adamw, options, in, N_INPUTS);
}

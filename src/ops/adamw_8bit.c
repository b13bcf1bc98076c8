// One step of AdamW in the store with moments of 8 bits, as bitsandbytes' AdamW8bit: the step of
// adamw.c on m and v as they are read from their codes, then both rounded again, block by block of
// 256 elements (kernels/optimizer.h: the map, the rule, and where bitsandbytes' devices differ).
//
//   param [..] changed, grad [..], m and v u8 [..] changed, their absmax [blocks] changed,
//   lr, step (1, 2, ..) [1], clip [1] or absent, shadow bf16 [..] or absent
//
// A block is made of neighbours in the checkpoint's order, in which a convolution [co, ky, kx, ci]
// is [co, ci, ky, kx]; the codes lie where the parameter's elements lie.
// Tensors below 4096 elements keep f32 moments: for them the builder makes an `adamw` node.
#include <math.h>

#include "kernels/optimizer.h"
#include "ops/state.h"

extern const bdpo_op bdpo_op_adamw_8bit;

enum { PARAM, GRAD, M, M_ABSMAX, V, V_ABSMAX, LR, STEP, CLIP, SHADOW, N_INPUTS };

static bdpo_status expect_codes(const bdpo_node *node, int codes, int absmax)
{
    TRY(bdpo_expect(node, codes, BDPO_U8, 0));
    TRY(bdpo_expect(node, absmax, BDPO_F32, 1));
    int64_t count = bdpo_shape_count(&bdpo_in(node, PARAM)->shape);
    if (bdpo_shape_count(&bdpo_in(node, codes)->shape) != count)
        return bdpo_refuse(node, "codes %s for a parameter %s",
                           bdpo_shape_print(&bdpo_in(node, codes)->shape).text,
                           bdpo_shape_print(&bdpo_in(node, PARAM)->shape).text);
    int64_t blocks = (count + BDPO_QUANT_BLOCK - 1) / BDPO_QUANT_BLOCK;
    if (bdpo_in(node, absmax)->shape.dim[0] != blocks)
        return bdpo_refuse(node, "input %d has %lld block maxima, expected %lld", absmax,
                           (long long)bdpo_in(node, absmax)->shape.dim[0], (long long)blocks);
    return BDPO_OK;
}

static bdpo_status shape(bdpo_node *node)
{
    TRY(bdpo_expect(node, PARAM, BDPO_F32, 0));
    TRY(bdpo_expect_like(node, GRAD, PARAM));
    TRY(expect_codes(node, M, M_ABSMAX));
    TRY(expect_codes(node, V, V_ABSMAX));
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

static bdpo_block_order order_of(const bdpo_shape *param)
{
    const int64_t *d = param->dim;
    bdpo_block_order order = {.count = bdpo_shape_count(param), .positions = 1, .channels = 1};
    if (param->n_dims == 4) {
        order.positions = d[1] * d[2];
        order.channels = d[3];
    }
    return order;
}

static void cpu(const bdpo_op_call *call)
{
    const bdpo_adamw_8bit_options *at = call->attrs;
    float clip;
    if (!bdpo_read_clip(&call->in[CLIP], &clip)) return;
    bdpo_adamw_step step =
        bdpo_adamw_step_of(bdpo_number(call, LR), bdpo_number(call, STEP), (double)clip,
                           at->adamw.beta1, at->adamw.beta2, at->adamw.eps, at->adamw.weight_decay);
    bdpo_moments_8bit moments = {.m = call->in[M].data,
                                 .v = call->in[V].data,
                                 .m_absmax = call->in[M_ABSMAX].data,
                                 .v_absmax = call->in[V_ABSMAX].data};
    bdpo_block_order order = order_of(&call->in[PARAM].shape);
    bdpo_adamw_update_8bit(call->in[PARAM].data, call->in[GRAD].data, &moments,
                           call->in[SHADOW].data, &order, &step, at->binned, call->n_threads);
}

static int64_t flops(const bdpo_node *node)
{
    return 40 * bdpo_shape_count(&bdpo_in(node, PARAM)->shape);
}

// ---- reference ---------------------------------------------------------------------------------

static void round_block(double *code, double *absmax, const double *x, const int64_t *at, int64_t n,
                        const bdpo_dynamic_map *map, bool binned)
{
    *absmax = 0;
    for (int64_t i = 0; i < n; i++) *absmax = fmax(*absmax, fabs(x[i]));
    for (int64_t i = 0; i < n; i++) {
        double value = *absmax > 0 ? x[i] / *absmax : 0;
        if (binned) value = floor((value + 1) * 32767.5 + 0.5) / 32767.5 - 1;
        int best = 0;
        for (int k = 1; k < 256; k++)
            if (fabs((double)map->level[k] - value) < fabs((double)map->level[best] - value))
                best = k;
        code[at[i]] = best;
    }
}

// Where element `index` of the checkpoint's order lies: [co, ci, ky, kx] in [co, ky, kx, ci].
static int64_t memory_index(const bdpo_shape *p, int64_t index)
{
    const int64_t *d = p->dim;
    if (p->n_dims < 4) return index;
    int64_t kx = index % d[2], ky = index / d[2] % d[1], ci = index / (d[1] * d[2]) % d[3];
    return ((index / (d[1] * d[2] * d[3]) * d[1] + ky) * d[2] + kx) * d[3] + ci;
}

static void reference_block(const bdpo_reference_call *call, int64_t block, double clip,
                            const bdpo_dynamic_map map[2])
{
    const bdpo_adamw_8bit_options *at = call->attrs;
    double lr = call->in[LR][0], t = call->in[STEP][0];
    double m[BDPO_QUANT_BLOCK] = {0}, v[BDPO_QUANT_BLOCK] = {0};
    int64_t left = bdpo_shape_count(&call->in_shape[PARAM]) - block * BDPO_QUANT_BLOCK;
    int64_t n = left < BDPO_QUANT_BLOCK ? left : BDPO_QUANT_BLOCK, where[BDPO_QUANT_BLOCK] = {0};
    for (int64_t i = 0; i < n; i++) {
        int64_t e = where[i] = memory_index(&call->in_shape[PARAM], block * BDPO_QUANT_BLOCK + i);
        double g = clip * call->in[GRAD][e];
        m[i] = (double)map[0].level[(int)call->in[M][e]] * call->in[M_ABSMAX][block];
        v[i] = (double)map[1].level[(int)call->in[V][e]] * call->in[V_ABSMAX][block];
        m[i] = at->adamw.beta1 * m[i] + (1 - at->adamw.beta1) * g;
        v[i] = at->adamw.beta2 * v[i] + (1 - at->adamw.beta2) * g * g;
        call->out[0][e] = call->in[PARAM][e] * (1 - lr * at->adamw.weight_decay) -
                          lr / (1 - pow(at->adamw.beta1, t)) * m[i] /
                              (sqrt(v[i] / (1 - pow(at->adamw.beta2, t))) + at->adamw.eps);
    }
    round_block(call->out[1], call->out[2] + block, m, where, n, &map[0], at->binned);
    round_block(call->out[3], call->out[4] + block, v, where, n, &map[1], at->binned);
}

static void reference(const bdpo_reference_call *call)
{
    double clip;
    bdpo_dynamic_map map[2];
    bdpo_dynamic_map_fill(&map[0], true);
    bdpo_dynamic_map_fill(&map[1], false);
    BDPO_ASSERT(bdpo_reference_clip(call->n_in > CLIP ? call->in[CLIP] : NULL, &clip));
    int64_t blocks = bdpo_shape_count(&call->in_shape[M_ABSMAX]);
    for (int64_t block = 0; block < blocks; block++) reference_block(call, block, clip, map);
}

// ---- cases -------------------------------------------------------------------------------------

#define NUMBER     BDPO_IN_FILL(BDPO_FILL_POSITIVE, 0, 1)
#define COUNT      BDPO_IN_FILL(BDPO_FILL_COUNT, 50, 1)
#define CODES(...) BDPO_IN_FILL(BDPO_FILL_CODE, 0, __VA_ARGS__)
#define ABSMAX(n)  BDPO_IN_FILL(BDPO_FILL_POSITIVE, 0, n)
#define USUAL(binned)                                                                              \
    &(bdpo_adamw_8bit_options)                                                                     \
    {                                                                                              \
        {0.9, 0.999, 1e-8, 0.01}, binned                                                           \
    }
// One code that falls on the other side of a bound in f32 is a distance of 1 among about 70 per
// element. Its chance is near 1e-5 an element; on the grid, where x + 1 is rounded before it is
// cut to steps of 3e-5, near 1e-3.
#define ROUNDING .tolerance = 1e-3, .why = "a moment at a bound may take the next code"
#define GRID     .tolerance = 5e-3, .why = "a moment between two grid points may take either"

static const bdpo_op_case cases[] = {
    {.name = "convolution, part of a block",
     .in = {BDPO_IN(7, 3, 3, 13), BDPO_IN(7, 3, 3, 13), CODES(7, 3, 3, 13), ABSMAX(4),
            CODES(7, 3, 3, 13), ABSMAX(4), NUMBER, COUNT, NUMBER},
     .attrs = USUAL(false),
     ROUNDING},
    {.name = "vector, on the grid",
     .in = {BDPO_IN(5003), BDPO_IN(5003), CODES(5003), ABSMAX(20), CODES(5003), ABSMAX(20), NUMBER,
            COUNT},
     .attrs = USUAL(true),
     GRID},
    {.name = "one element",
     .in = {BDPO_IN(1), BDPO_IN(1), CODES(1), ABSMAX(1), CODES(1), ABSMAX(1), NUMBER, COUNT},
     .attrs = USUAL(false)},
    {.name = "maxima of too few blocks",
     .in = {BDPO_IN(257), BDPO_IN(257), CODES(257), ABSMAX(1), CODES(257), ABSMAX(2), NUMBER,
            COUNT},
     .attrs = USUAL(false),
     .refused = true},
    {.name = "too few codes",
     .in = {BDPO_IN(9), BDPO_IN(9), CODES(9), ABSMAX(1), CODES(8), ABSMAX(1), NUMBER, COUNT},
     .attrs = USUAL(false),
     .refused = true},
    {.name = "moments in f32",
     .in = {BDPO_IN(9), BDPO_IN(9), BDPO_IN(9), ABSMAX(1), BDPO_IN(9), ABSMAX(1), NUMBER, COUNT},
     .attrs = USUAL(false),
     .refused = true},
    {.name = "gradient of another shape",
     .in = {BDPO_IN(9), BDPO_IN(8), CODES(9), ABSMAX(1), CODES(9), ABSMAX(1), NUMBER, COUNT},
     .attrs = USUAL(false),
     .refused = true},
    {.name = "no step number",
     .in = {BDPO_IN(9), BDPO_IN(9), CODES(9), ABSMAX(1), CODES(9), ABSMAX(1), NUMBER},
     .attrs = USUAL(false),
     .refused = true},
};

const bdpo_op bdpo_op_adamw_8bit = {
    .name = "adamw_8bit",
    .n_inputs = N_INPUTS,
    .attrs_size = sizeof(bdpo_adamw_8bit_options),
    .shape = shape,
    .grad = bdpo_no_grad,
    .cpu = cpu,
    .reference = reference,
    .cases = cases,
    .n_cases = BDPO_COUNTOF(cases),
    .flops = flops,
    .precision = BDPO_OWN,
    .mutates = 1u << PARAM | 1u << M | 1u << M_ABSMAX | 1u << V | 1u << V_ABSMAX | 1u << SHADOW,
};

bdpo_node *bdpo_adamw_8bit(bdpo_graph *g, bdpo_node *param, bdpo_node *grad, bdpo_node *m,
                           bdpo_node *m_absmax, bdpo_node *v, bdpo_node *v_absmax,
                           bdpo_node *shadow, const bdpo_step_inputs *at,
                           const bdpo_adamw_8bit_options *options)
{
    if (m && bdpo_node_dtype(m) == BDPO_F32)
        return bdpo_adamw(g, param, grad, m, v, shadow, at, &options->adamw);
    bdpo_node *in[] = {param, grad, m, m_absmax, v, v_absmax, at->lr, at->step, at->clip, shadow};
    return bdpo_node_new(g, &bdpo_op_adamw_8bit, options, in, N_INPUTS);
}

// The sinusoids of a timestep, as diffusers makes them. With half = dim / 2 and
// f[i] = exp(-ln(max_period) i / (half - shift)):
//
//   t f32 [n] -> y [n, dim], y[n, i] = sin(scale t[n] f[i]), y[n, half + i] = cos(..);
//   `cos_first` swaps the halves; an odd dim ends in 0. No gradient.
//
// Rounded to f32 where diffusers rounds (frequency, then angle): at t near 1000 the rounding of
// the angle shows in the fifth digit of the sine, and checkpoints were trained with it.
#include <math.h>

#include "ops/ops.h"

#include "graph/op.h"

extern const bdpo_op bdpo_op_timestep_embedding;

static bdpo_status shape(bdpo_node *node)
{
    const bdpo_timestep_options *at = node->attrs;
    TRY(bdpo_expect(node, 0, BDPO_F32, 1));
    if (at->dim < 2) return bdpo_refuse(node, "%d is no width for sinusoids", at->dim);
    if (!((float)(at->dim / 2) - at->shift > 0) || !(at->max_period > 0))
        return bdpo_refuse(node, "no frequencies: half of %d less shift %g, period %g", at->dim,
                           (double)at->shift, (double)at->max_period);
    bdpo_set_output(node, BDPO_F32, BDPO_SHAPE(bdpo_in(node, 0)->shape.dim[0], at->dim));
    return BDPO_OK;
}

static float frequency(const bdpo_timestep_options *at, int i)
{
    float slope = (float)-log((double)at->max_period);
    return expf(slope * (float)i / ((float)(at->dim / 2) - at->shift));
}

static void cpu(const bdpo_op_call *call)
{
    const bdpo_timestep_options *at = call->attrs;
    const float *t = call->in[0].data;
    int half = at->dim / 2, sines = at->cos_first ? half : 0;
    for (int64_t n = 0; n < call->in[0].shape.dim[0]; n++) {
        float *y = (float *)call->out[0].data + n * at->dim;
        for (int i = 0; i < half; i++) {
            float angle = at->scale * (t[n] * frequency(at, i));
            y[sines + i] = sinf(angle);
            y[half - sines + i] = cosf(angle);
        }
        if (at->dim % 2) y[2 * half] = 0.0f;
    }
}

static void reference(const bdpo_reference_call *call)
{
    const bdpo_timestep_options *at = call->attrs;
    int half = at->dim / 2;
    for (int64_t n = 0; n < call->in_shape[0].dim[0]; n++)
        for (int i = 0; i < half; i++) {
            double exponent = -log((double)at->max_period) * i / (half - (double)at->shift);
            double angle = (double)at->scale * call->in[0][n] * exp(exponent);
            double *y = call->out[0] + n * at->dim;
            y[i] = at->cos_first ? cos(angle) : sin(angle);
            y[half + i] = at->cos_first ? sin(angle) : cos(angle);
        }
}

// The angle carries three roundings of 2^-24: up to 1000 * 1.8e-7 where the frequency is near 1.
#define ANGLE_TOLERANCE 2e-4
#define ANGLE_WHY       "angles up to 1000 in f32"

static const bdpo_op_case cases[] = {
    {.name = "SD",
     .in = {BDPO_IN_FILL(BDPO_FILL_COUNT, 999, 4)},
     .attrs = &(bdpo_timestep_options){320, true, 0.0f, 1.0f, 10000.0f},
     .tolerance = ANGLE_TOLERANCE,
     .why = ANGLE_WHY},
    {.name = "shifted, sine first",
     .in = {BDPO_IN_FILL(BDPO_FILL_COUNT, 999, 3)},
     .attrs = &(bdpo_timestep_options){64, false, 1.0f, 1.0f, 10000.0f},
     .tolerance = ANGLE_TOLERANCE,
     .why = ANGLE_WHY},
    {.name = "odd width, fractions of a step",
     .in = {BDPO_IN_FILL(BDPO_FILL_POSITIVE, 0, 5)},
     .attrs = &(bdpo_timestep_options){37, true, 0.0f, 3.0f, 100.0f}},
    {.name = "narrowest",
     .in = {BDPO_IN_FILL(BDPO_FILL_COUNT, 9, 1)},
     .attrs = &(bdpo_timestep_options){2, false, 0.0f, 1.0f, 10000.0f}},
    {.name = "no width",
     .in = {BDPO_IN(4)},
     .attrs = &(bdpo_timestep_options){1, true, 0.0f, 1.0f, 10000.0f},
     .refused = true},
    {.name = "shift eats all",
     .in = {BDPO_IN(4)},
     .attrs = &(bdpo_timestep_options){2, true, 1.0f, 1.0f, 10000.0f},
     .refused = true},
    {.name = "whole steps as integers",
     .in = {BDPO_IN_FILL(BDPO_FILL_INDEX, 999, 4)},
     .attrs = &(bdpo_timestep_options){64, true, 0.0f, 1.0f, 10000.0f},
     .refused = true},
};

const bdpo_op bdpo_op_timestep_embedding = {
    .name = "timestep_embedding",
    .n_inputs = 1,
    .attrs_size = sizeof(bdpo_timestep_options),
    .shape = shape,
    .grad = bdpo_no_grad,
    .cpu = cpu,
    .reference = reference,
    .cases = cases,
    .n_cases = BDPO_COUNTOF(cases),
    .precision = BDPO_ISLAND,
};

bdpo_node *bdpo_timestep_embedding(bdpo_graph *g, bdpo_node *t,
                                   const bdpo_timestep_options *options)
{
    bdpo_timestep_options at = *options;
    if (at.scale == 0.0f) at.scale = 1.0f;
    if (at.max_period == 0.0f) at.max_period = 10000.0f;
    return bdpo_node_new(g, &bdpo_op_timestep_embedding, &at, &t, 1);
}

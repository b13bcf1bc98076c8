// What the operators that change the store share. They have no outputs and no gradient: they
// change their first inputs where these lie. Learning rates, step numbers and the like are inputs
// of one f32, so that a captured plan runs with new ones.
#ifndef BDPO_STATE_H
#define BDPO_STATE_H

#include "ops/ops.h"

#include "graph/op.h"

// Input i is one f32 number.
static inline bdpo_status bdpo_expect_number(const bdpo_node *node, int i)
{
    TRY(bdpo_expect(node, i, BDPO_F32, 1));
    if (bdpo_in(node, i)->shape.dim[0] != 1)
        return bdpo_refuse(node, "input %d has shape %s, expected one number", i,
                           bdpo_shape_print(&bdpo_in(node, i)->shape).text);
    return BDPO_OK;
}

// Input i is there, f32, and of the shape of input `like`.
static inline bdpo_status bdpo_expect_like(const bdpo_node *node, int i, int like)
{
    TRY(bdpo_expect(node, i, BDPO_F32, 0));
    if (!bdpo_shape_equal(&bdpo_in(node, i)->shape, &bdpo_in(node, like)->shape))
        return bdpo_refuse(node, "input %d has shape %s, input %d %s; they must be equal", i,
                           bdpo_shape_print(&bdpo_in(node, i)->shape).text, like,
                           bdpo_shape_print(&bdpo_in(node, like)->shape).text);
    return BDPO_OK;
}

static inline bool bdpo_has_input(const bdpo_node *node, int i)
{
    return i < node->n_in && node->in[i] != NULL;
}

// The factor of the gradient, 1 if the input is absent; false: leave everything as it is.
static inline bool bdpo_read_clip(const bdpo_tensor *clip, float *factor)
{
    *factor = clip->data ? *(const float *)clip->data : 1.0f;
    return *factor >= 0.0f; // a NaN says no, too
}

// The factor and the decision of bdpo_read_clip, for references.
static inline bool bdpo_reference_clip(const double *clip, double *factor)
{
    *factor = clip ? *clip : 1.0;
    return *factor >= 0;
}

static inline double bdpo_number(const bdpo_op_call *call, int i)
{
    return (double)*(const float *)call->in[i].data;
}

#endif

// The two axes along which tensors are joined and cut.
#ifndef BDPO_AXIS_H
#define BDPO_AXIS_H

#include "ops/ops.h"

#include "graph/op.h"

typedef enum bdpo_axis { BDPO_BATCH, BDPO_CHANNELS } bdpo_axis;

static inline int bdpo_axis_index(bdpo_axis axis, const bdpo_shape *shape)
{
    return axis == BDPO_BATCH ? 0 : shape->n_dims - 1;
}

static inline bool bdpo_is_float(bdpo_dtype dtype)
{
    return dtype == BDPO_F32 || dtype == BDPO_BF16 || dtype == BDPO_F16;
}

#endif

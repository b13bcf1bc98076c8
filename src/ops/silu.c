// y = x s, s = sigmoid(x); dy/dx = s (1 + x (1 - s)).
#include <math.h>

#include "ops/ops.h"
#include "ops/unary.h"

extern const bdpo_op bdpo_op_silu, bdpo_op_silu_backward;

static double formula(double x)
{
    return x / (1.0 + exp(-x));
}

BDPO_UNARY_OPERATOR(silu, SILU, BDPO_COMPUTE)

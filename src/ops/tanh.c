// y = tanh(x); dy/dx = 1 - y^2.
#include <math.h>

#include "ops/ops.h"
#include "ops/unary.h"

extern const bdpo_op bdpo_op_tanh, bdpo_op_tanh_backward;

static double formula(double x)
{
    return tanh(x);
}

BDPO_UNARY_OPERATOR(tanh, TANH, BDPO_COMPUTE)

// y = x P(x), P the normal distribution's integral, (1 + erf(x / sqrt 2)) / 2; with its density p,
// dy/dx = P + x p.
#include <math.h>

#include "ops/ops.h"
#include "ops/unary.h"

extern const bdpo_op bdpo_op_gelu, bdpo_op_gelu_backward;

static double formula(double x)
{
    return 0.5 * x * (1.0 + erf(x / sqrt(2.0)));
}

BDPO_UNARY_OPERATOR(gelu, GELU, BDPO_COMPUTE)

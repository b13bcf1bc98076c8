// y = x s, s = sigmoid(1.702 x), the GELU of the first CLIP models; dy/dx = s (1 + 1.702 x (1 -
// s)).
#include <math.h>

#include "ops/ops.h"
#include "ops/unary.h"

extern const bdpo_op bdpo_op_quick_gelu, bdpo_op_quick_gelu_backward;

static double formula(double x)
{
    return x / (1.0 + exp(-1.702 * x));
}

BDPO_UNARY_OPERATOR(quick_gelu, QUICK_GELU, BDPO_COMPUTE)

// y = 1 / (1 + exp(-x)); dy/dx = y (1 - y). In f32 always: it ends in probabilities.
#include <math.h>

#include "ops/ops.h"
#include "ops/unary.h"

extern const bdpo_op bdpo_op_sigmoid, bdpo_op_sigmoid_backward;

static double formula(double x)
{
    return 1.0 / (1.0 + exp(-x));
}

BDPO_UNARY_OPERATOR(sigmoid, SIGMOID, BDPO_ISLAND)

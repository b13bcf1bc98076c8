// y = log(sigmoid(x)) = -log(1 + exp(-x)); dy/dx = sigmoid(-x). The formula that is used cannot
// overflow. In f32 always: it is the loss of preference learning.
#include <math.h>

#include "ops/ops.h"
#include "ops/unary.h"

extern const bdpo_op bdpo_op_log_sigmoid, bdpo_op_log_sigmoid_backward;

static double formula(double x)
{
    return fmin(x, 0.0) - log1p(exp(-fabs(x)));
}

BDPO_UNARY_OPERATOR(log_sigmoid, LOG_SIGMOID, BDPO_ISLAND)

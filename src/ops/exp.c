// y = exp(x); dy/dx = y. In f32 always: its uses are temperatures and standard deviations, where
// the relative error of the result is the absolute error of x.
#include <math.h>

#include "ops/ops.h"
#include "ops/unary.h"

extern const bdpo_op bdpo_op_exp, bdpo_op_exp_backward;

static double formula(double x)
{
    return exp(x);
}

BDPO_UNARY_OPERATOR(exp, EXP, BDPO_ISLAND)

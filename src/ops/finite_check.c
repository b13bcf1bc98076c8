// y = 1 if every element of x is finite and `previous` is not 0, else 0.
//
//   x [..], previous [1] or absent -> y [1]. No gradient.
#include <math.h>

#include "kernels/reduce.h"
#include "ops/state.h"

extern const bdpo_op bdpo_op_finite_check;

static bdpo_status shape(bdpo_node *node)
{
    TRY(bdpo_expect_float(node, 0, 0));
    if (bdpo_has_input(node, 1)) TRY(bdpo_expect_number(node, 1));
    bdpo_set_output(node, BDPO_F32, BDPO_SHAPE(1));
    return BDPO_OK;
}

static void cpu(const bdpo_op_call *call)
{
    bool fine = call->n_in < 2 || !call->in[1].data || bdpo_number(call, 1) != 0;
    fine = fine &&
           bdpo_all_finite(call->in[0].data, bdpo_shape_count(&call->in[0].shape), call->n_threads);
    *(float *)call->out[0].data = fine ? 1.0f : 0.0f;
}

static void reference(const bdpo_reference_call *call)
{
    int64_t count = bdpo_shape_count(&call->in_shape[0]);
    bool fine = call->n_in < 2 || !call->in[1] || call->in[1][0] != 0;
    for (int64_t i = 0; i < count; i++) fine = fine && isfinite(call->in[0][i]);
    call->out[0][0] = fine ? 1 : 0;
}

static const bdpo_op_case cases[] = {
    {.name = "first", .in = {BDPO_IN(7, 3, 3, 13)}},
    {.name = "next", .in = {BDPO_IN(5003), BDPO_IN(1)}},
    {.name = "one element", .in = {BDPO_IN(1), BDPO_IN(1)}},
    {.name = "two before", .in = {BDPO_IN(4), BDPO_IN(2)}, .refused = true},
    {.name = "codes", .in = {BDPO_IN_FILL(BDPO_FILL_CODE, 0, 4)}, .refused = true},
};

const bdpo_op bdpo_op_finite_check = {
    .name = "finite_check",
    .n_inputs = 2,
    .shape = shape,
    .grad = bdpo_no_grad,
    .cpu = cpu,
    .reference = reference,
    .cases = cases,
    .n_cases = BDPO_COUNTOF(cases),
    .precision = BDPO_ISLAND,
};

bdpo_node *bdpo_finite_check(bdpo_graph *g, bdpo_node *x, bdpo_node *previous)
{
    return bdpo_node_new(g, &bdpo_op_finite_check, NULL, (bdpo_node *[]){x, previous},
                         previous ? 2 : 1);
}

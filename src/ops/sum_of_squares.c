// y = previous + the sum of x^2: over several tensors, one after the other, the squared length of
// a gradient. Summed in double, in a fixed order.
//
//   x [..], previous [1] or absent -> y [1]. No gradient.
#include "kernels/reduce.h"
#include "ops/state.h"

extern const bdpo_op bdpo_op_sum_of_squares;

static bdpo_status shape(bdpo_node *node)
{
    TRY(bdpo_expect_float(node, 0, 0));
    if (bdpo_has_input(node, 1)) TRY(bdpo_expect_number(node, 1));
    bdpo_set_output(node, BDPO_F32, BDPO_SHAPE(1));
    return BDPO_OK;
}

static void cpu(const bdpo_op_call *call)
{
    double before = call->n_in > 1 && call->in[1].data ? bdpo_number(call, 1) : 0.0;
    double sum = bdpo_sum_squares(call->in[0].data, bdpo_shape_count(&call->in[0].shape),
                                  call->workspace, call->n_threads);
    *(float *)call->out[0].data = (float)(before + sum);
}

static size_t workspace(const bdpo_node *node, int n_threads)
{
    (void)n_threads;
    return bdpo_sum_workspace(bdpo_shape_count(&bdpo_in(node, 0)->shape));
}

static int64_t flops(const bdpo_node *node)
{
    return 2 * bdpo_shape_count(&bdpo_in(node, 0)->shape);
}

static void reference(const bdpo_reference_call *call)
{
    int64_t count = bdpo_shape_count(&call->in_shape[0]);
    call->out[0][0] = call->n_in > 1 && call->in[1] ? call->in[1][0] : 0;
    for (int64_t i = 0; i < count; i++) call->out[0][0] += call->in[0][i] * call->in[0][i];
}

static const bdpo_op_case cases[] = {
    {.name = "first", .in = {BDPO_IN(7, 3, 3, 13)}},
    {.name = "next", .in = {BDPO_IN(5003), BDPO_IN_FILL(BDPO_FILL_POSITIVE, 0, 1)}},
    {.name = "one element", .in = {BDPO_IN(1), BDPO_IN(1)}},
    {.name = "two before", .in = {BDPO_IN(4), BDPO_IN(2)}, .refused = true},
    {.name = "codes", .in = {BDPO_IN_FILL(BDPO_FILL_CODE, 0, 4)}, .refused = true},
};

const bdpo_op bdpo_op_sum_of_squares = {
    .name = "sum_of_squares",
    .n_inputs = 2,
    .shape = shape,
    .grad = bdpo_no_grad,
    .cpu = cpu,
    .reference = reference,
    .cases = cases,
    .n_cases = BDPO_COUNTOF(cases),
    .workspace = workspace,
    .flops = flops,
    .precision = BDPO_ISLAND,
};

bdpo_node *bdpo_sum_of_squares(bdpo_graph *g, bdpo_node *x, bdpo_node *previous)
{
    return bdpo_node_new(g, &bdpo_op_sum_of_squares, NULL, (bdpo_node *[]){x, previous},
                         previous ? 2 : 1);
}

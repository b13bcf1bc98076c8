// y = a - spread(b).
//
//   a [..], b of a shape that broadcasts over a (broadcast.h) -> y of a's shape
//   da = dy;  db = -dy, summed where b was repeated
#include "ops/broadcast.h"

static void grad(bdpo_graph *g, bdpo_node *node, bdpo_node *const *dy, bdpo_node **dx)
{
    if (bdpo_wants_grad(node, 0)) dx[0] = dy[0];
    if (bdpo_wants_grad(node, 1))
        dx[1] = bdpo_sum_to(g, dy[0], NULL, &bdpo_in(node, 1)->shape, -1.0f);
}

static void cpu(const bdpo_op_call *call)
{
    bdpo_broadcast_run(call, BDPO_BINARY_SUB);
}

static void reference(const bdpo_reference_call *call)
{
    bdpo_broadcast_reference(call, BDPO_BINARY_SUB);
}

extern const bdpo_op bdpo_op_sub;

const bdpo_op bdpo_op_sub = {
    .name = "sub",
    .n_inputs = 2,
    .shape = bdpo_broadcast_shape,
    .grad = grad,
    .cpu = cpu,
    .reference = reference,
    .cases = bdpo_broadcast_cases,
    .n_cases = BDPO_N_BROADCAST_CASES,
    .precision = BDPO_COMPUTE,
    .strided_inputs = 3,
    .strided_outputs = 1,
    .inplace_inputs = 3,
};

bdpo_node *bdpo_sub(bdpo_graph *g, bdpo_node *a, bdpo_node *b)
{
    return bdpo_node_new(g, &bdpo_op_sub, NULL, (bdpo_node *[]){a, b}, 2);
}

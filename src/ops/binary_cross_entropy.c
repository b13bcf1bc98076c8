// loss = -y log sigmoid(z) - (1 - y) log sigmoid(-z), element by element; any y in 0 .. 1.
//
//   z, y [..] -> loss [..]
//   dz = dloss (sigmoid(z) - y);  dy = -dloss z
//
// One number a label, so speed does not matter: it is computed in double and rounded once. The form
// that is used has no cancellation, cannot overflow, and is log 2 at z = 0 whatever y is, which a
// sum of two rounded products is not.
#include <math.h>

#include "ops/ops.h"

#include "graph/op.h"

extern const bdpo_op bdpo_op_binary_cross_entropy, bdpo_op_binary_cross_entropy_backward;

static double formula(double z, double y)
{
    return (z > 0 ? (1 - y) * z : -y * z) + log1p(exp(-fabs(z)));
}

// sigmoid(z) - y, from whichever of sigmoid(z) and sigmoid(-z) is the smaller.
static double slope(double z, double y)
{
    double small = exp(-fabs(z)) / (1 + exp(-fabs(z)));
    return z > 0 ? (1 - y) - small : small - y;
}

static bdpo_status shape(bdpo_node *node)
{
    return bdpo_same_shape(node, 2);
}

static void grad(bdpo_graph *g, bdpo_node *node, bdpo_node *const *dy, bdpo_node **dx)
{
    bdpo_node *in[] = {dy[0], node->in[0], node->in[1]};
    if (bdpo_wants_grad(node, 0))
        dx[0] = bdpo_node_new(g, &bdpo_op_binary_cross_entropy_backward, NULL, in, 3);
    if (bdpo_wants_grad(node, 1)) dx[1] = bdpo_scale(g, bdpo_mul(g, dy[0], node->in[0]), -1.0f);
}

static void cpu(const bdpo_op_call *call)
{
    const float *z = call->in[0].data, *y = call->in[1].data;
    float *loss = call->out[0].data;
    int64_t count = bdpo_shape_count(&call->in[0].shape);
    for (int64_t i = 0; i < count; i++) loss[i] = (float)formula((double)z[i], (double)y[i]);
}

static int64_t flops(const bdpo_node *node)
{
    return 8 * bdpo_shape_count(&node->out[0].shape);
}

// As the formula is written above.
static void reference(const bdpo_reference_call *call)
{
    for (int64_t i = 0; i < bdpo_shape_count(&call->in_shape[0]); i++) {
        double z = call->in[0][i], y = call->in[1][i];
        call->out[0][i] = y * log(1 + exp(-z)) + (1 - y) * log(1 + exp(z));
    }
}

static const bdpo_op_case cases[] = {
    {.name = "pairs", .in = {BDPO_IN(64), BDPO_IN_FILL(BDPO_FILL_POSITIVE, 0, 64)}},
    {.name = "attributes", .in = {BDPO_IN(3, 21), BDPO_IN_FILL(BDPO_FILL_POSITIVE, 0, 3, 21)}},
    {.name = "one element", .in = {BDPO_IN(1), BDPO_IN_FILL(BDPO_FILL_POSITIVE, 0, 1)}},
    {.name = "shapes differ", .in = {BDPO_IN(3), BDPO_IN(4)}, .refused = true},
    {.name = "integers", .in = {BDPO_IN(4), BDPO_IN_FILL(BDPO_FILL_INDEX, 2, 4)}, .refused = true},
    {.name = "no targets", .in = {BDPO_IN(4)}, .refused = true},
};

const bdpo_op bdpo_op_binary_cross_entropy = {
    .name = "binary_cross_entropy",
    .n_inputs = 2,
    .shape = shape,
    .grad = grad,
    .cpu = cpu,
    .reference = reference,
    .cases = cases,
    .n_cases = BDPO_COUNTOF(cases),
    .flops = flops,
    .precision = BDPO_ISLAND,
    .inplace_inputs = 1,
};

bdpo_node *bdpo_binary_cross_entropy(bdpo_graph *g, bdpo_node *logits, bdpo_node *targets)
{
    bdpo_node *in[] = {bdpo_dense(g, logits), bdpo_dense(g, targets)};
    return bdpo_node_new(g, &bdpo_op_binary_cross_entropy, NULL, in, 2);
}

// ---- gradient: (dloss, z, y) -> dz -------------------------------------------------------------

static bdpo_status backward_shape(bdpo_node *node)
{
    return bdpo_same_shape(node, 3);
}

static void backward_cpu(const bdpo_op_call *call)
{
    const float *dloss = call->in[0].data, *z = call->in[1].data, *y = call->in[2].data;
    float *dz = call->out[0].data;
    int64_t count = bdpo_shape_count(&call->in[0].shape);
    for (int64_t i = 0; i < count; i++)
        dz[i] = (float)((double)dloss[i] * slope((double)z[i], (double)y[i]));
}

const bdpo_op bdpo_op_binary_cross_entropy_backward = {
    .name = "binary_cross_entropy_backward",
    .n_inputs = 3,
    .shape = backward_shape,
    .grad = bdpo_no_grad,
    .cpu = backward_cpu,
    .tested_by = &bdpo_op_binary_cross_entropy,
    .flops = flops,
    .precision = BDPO_ISLAND,
    .inplace_inputs = 7,
};

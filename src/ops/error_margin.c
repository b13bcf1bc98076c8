// margin[n] = scale * the sum over sample n of (a - b)(a + b - 2 t), which is (a - t)^2 - (b - t)^2
// without the cancellation: what preference losses compare, policy a with reference b.
//
//   a, b, t [n, ..] -> margin [n]
//   da = 2 scale dmargin[n] (a - t);  db = -2 scale dmargin[n] (b - t);
//   dt = -2 scale dmargin[n] (a - b): each the gradient of a squared error
#include "kernels/reduce.h"
#include "ops/ops.h"

#include "graph/op.h"

extern const bdpo_op bdpo_op_error_margin, bdpo_op_squared_error_backward;

static bdpo_status shape(bdpo_node *node)
{
    TRY(bdpo_same_shape(node, 3));
    bdpo_set_output(node, BDPO_F32, BDPO_SHAPE(bdpo_in(node, 0)->shape.dim[0]));
    return BDPO_OK;
}

static void grad(bdpo_graph *g, bdpo_node *node, bdpo_node *const *dy, bdpo_node **dx)
{
    float scale = *(const float *)node->attrs, minus = -scale;
    bdpo_node *a = node->in[0], *b = node->in[1], *t = node->in[2];
    if (bdpo_wants_grad(node, 0))
        dx[0] = bdpo_node_new(g, &bdpo_op_squared_error_backward, &scale,
                              (bdpo_node *[]){a, t, dy[0]}, 3);
    if (bdpo_wants_grad(node, 1))
        dx[1] = bdpo_node_new(g, &bdpo_op_squared_error_backward, &minus,
                              (bdpo_node *[]){b, t, dy[0]}, 3);
    if (bdpo_wants_grad(node, 2))
        dx[2] = bdpo_node_new(g, &bdpo_op_squared_error_backward, &minus,
                              (bdpo_node *[]){a, b, dy[0]}, 3);
}

static void cpu(const bdpo_op_call *call)
{
    const bdpo_tensor *a = &call->in[0];
    int64_t n = a->shape.dim[0], count = bdpo_shape_count(&a->shape) / n;
    bdpo_error_margin(call->out[0].data, a->data, call->in[1].data, call->in[2].data,
                      *(const float *)call->attrs, n, count, call->workspace, call->n_threads);
}

static size_t workspace(const bdpo_node *node, int n_threads)
{
    (void)n_threads;
    const bdpo_shape *a = &bdpo_in(node, 0)->shape;
    return bdpo_error_margin_workspace(a->dim[0], bdpo_shape_count(a) / a->dim[0]);
}

static int64_t flops(const bdpo_node *node)
{
    return 6 * bdpo_shape_count(&bdpo_in(node, 0)->shape);
}

static void reference(const bdpo_reference_call *call)
{
    int64_t n = call->in_shape[0].dim[0], count = bdpo_shape_count(&call->in_shape[0]) / n;
    for (int64_t i = 0; i < n * count; i++) {
        double a = call->in[0][i], b = call->in[1][i], t = call->in[2][i];
        call->out[0][i / count] += (double)*(const float *)call->attrs * (a - b) * (a + b - 2 * t);
    }
}

static const bdpo_op_case cases[] = {
    {.name = "mean of latents",
     .in = {BDPO_IN(4, 8, 8, 4), BDPO_IN(4, 8, 8, 4), BDPO_IN(4, 8, 8, 4)},
     .attrs = &(float){1.0f / 256.0f}},
    {.name = "sum, odd sizes",
     .in = {BDPO_IN(5, 7, 13), BDPO_IN(5, 7, 13), BDPO_IN(5, 7, 13)},
     .attrs = &(float){1.0f}},
    {.name = "numbers", .in = {BDPO_IN(3), BDPO_IN(3), BDPO_IN(3)}, .attrs = &(float){1.0f}},
    {.name = "one element",
     .in = {BDPO_IN(1, 1), BDPO_IN(1, 1), BDPO_IN(1, 1)},
     .attrs = &(float){0.5f}},
    {.name = "shapes differ",
     .in = {BDPO_IN(3, 8), BDPO_IN(3, 8), BDPO_IN(3, 9)},
     .attrs = &(float){1.0f},
     .refused = true},
    {.name = "two operands",
     .in = {BDPO_IN(3, 8), BDPO_IN(3, 8)},
     .attrs = &(float){1.0f},
     .refused = true},
};

const bdpo_op bdpo_op_error_margin = {
    .name = "error_margin",
    .n_inputs = 3,
    .attrs_size = sizeof(float),
    .shape = shape,
    .grad = grad,
    .cpu = cpu,
    .reference = reference,
    .cases = cases,
    .n_cases = BDPO_COUNTOF(cases),
    .workspace = workspace,
    .flops = flops,
    .precision = BDPO_ISLAND,
};

bdpo_node *bdpo_error_margins(bdpo_graph *g, bdpo_node *a, bdpo_node *b, bdpo_node *target)
{
    bdpo_shape x = bdpo_node_shape(a);
    float scale = x.n_dims ? (float)((double)x.dim[0] / (double)bdpo_shape_count(&x)) : 1.0f;
    bdpo_node *in[] = {bdpo_dense(g, a), bdpo_dense(g, b), bdpo_dense(g, target)};
    return bdpo_node_new(g, &bdpo_op_error_margin, &scale, in, 3);
}

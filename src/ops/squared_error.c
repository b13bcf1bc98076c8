// loss[n] = scale * the sum over sample n of (a - b)^2; scale = 1 / count gives the mean.
//
//   a, b [n, ..] -> loss [n]
//   da = 2 scale dloss[n] (a - b);  db = -da
#include "kernels/elementwise.h"
#include "kernels/reduce.h"
#include "ops/ops.h"

#include "graph/op.h"

extern const bdpo_op bdpo_op_squared_error, bdpo_op_squared_error_backward;

static bdpo_status shape(bdpo_node *node)
{
    TRY(bdpo_same_shape(node, 2));
    bdpo_set_output(node, BDPO_F32, BDPO_SHAPE(bdpo_in(node, 0)->shape.dim[0]));
    return BDPO_OK;
}

static bdpo_status shape_backward(bdpo_node *node)
{
    TRY(bdpo_same_shape(node, 2));
    TRY(bdpo_expect_float(node, 2, 1));
    if (bdpo_in(node, 2)->shape.dim[0] != bdpo_in(node, 0)->shape.dim[0])
        return bdpo_refuse(node, "%s losses of %s", bdpo_shape_print(&bdpo_in(node, 2)->shape).text,
                           bdpo_shape_print(&bdpo_in(node, 0)->shape).text);
    return BDPO_OK;
}

static void grad(bdpo_graph *g, bdpo_node *node, bdpo_node *const *dy, bdpo_node **dx)
{
    for (int i = 0; i < 2; i++) // the gradient toward b is that toward a with both exchanged
        if (bdpo_wants_grad(node, i))
            dx[i] = bdpo_node_new(g, &bdpo_op_squared_error_backward, node->attrs,
                                  (bdpo_node *[]){node->in[i], node->in[1 - i], dy[0]}, 3);
}

static void cpu(const bdpo_op_call *call)
{
    const bdpo_tensor *a = &call->in[0];
    int64_t n = a->shape.dim[0], count = bdpo_shape_count(&a->shape) / n;
    bdpo_squared_error(call->out[0].data, a->data, call->in[1].data, *(const float *)call->attrs, n,
                       count, call->workspace, call->n_threads);
}

static void cpu_backward(const bdpo_op_call *call)
{
    const bdpo_tensor *a = &call->in[0];
    int64_t n = a->shape.dim[0], count = bdpo_shape_count(&a->shape) / n;
    bdpo_squared_error_backward(call->out[0].data, NULL, a->data, call->in[1].data,
                                call->in[2].data, *(const float *)call->attrs, n, count,
                                call->n_threads);
}

static size_t workspace(const bdpo_node *node, int n_threads)
{
    (void)n_threads;
    const bdpo_shape *a = &bdpo_in(node, 0)->shape;
    return bdpo_squared_error_workspace(a->dim[0], bdpo_shape_count(a) / a->dim[0]);
}

static int64_t flops(const bdpo_node *node)
{
    return 3 * bdpo_shape_count(&bdpo_in(node, 0)->shape);
}

static void reference(const bdpo_reference_call *call)
{
    int64_t n = call->in_shape[0].dim[0], count = bdpo_shape_count(&call->in_shape[0]) / n;
    for (int64_t i = 0; i < n * count; i++) {
        double d = call->in[0][i] - call->in[1][i];
        call->out[0][i / count] += (double)*(const float *)call->attrs * d * d;
    }
}

static const bdpo_op_case cases[] = {
    {.name = "mean of latents",
     .in = {BDPO_IN(3, 8, 8, 4), BDPO_IN(3, 8, 8, 4)},
     .attrs = &(float){1.0f / 256.0f}},
    {.name = "sum, odd sizes",
     .in = {BDPO_IN(5, 7, 13), BDPO_IN(5, 7, 13)},
     .attrs = &(float){1.0f}},
    {.name = "numbers", .in = {BDPO_IN(3), BDPO_IN(3)}, .attrs = &(float){1.0f}},
    {.name = "one element", .in = {BDPO_IN(1, 1), BDPO_IN(1, 1)}, .attrs = &(float){0.5f}},
    {.name = "shapes differ",
     .in = {BDPO_IN(3, 8), BDPO_IN(3, 9)},
     .attrs = &(float){1.0f},
     .refused = true},
    {.name = "one operand", .in = {BDPO_IN(3, 8)}, .attrs = &(float){1.0f}, .refused = true},
};

const bdpo_op bdpo_op_squared_error = {
    .name = "squared_error",
    .n_inputs = 2,
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

const bdpo_op bdpo_op_squared_error_backward = {
    .name = "squared_error_backward",
    .n_inputs = 3,
    .attrs_size = sizeof(float),
    .shape = shape_backward,
    .grad = bdpo_no_grad,
    .cpu = cpu_backward,
    .tested_by = &bdpo_op_squared_error,
    .flops = flops,
    .precision = BDPO_ISLAND,
    .inplace_inputs = 3,
};

bdpo_node *bdpo_squared_errors(bdpo_graph *g, bdpo_node *a, bdpo_node *b, bool mean)
{
    bdpo_shape x = bdpo_node_shape(a);
    float scale = 1.0f;
    if (mean && x.n_dims) scale = (float)((double)x.dim[0] / (double)bdpo_shape_count(&x));
    bdpo_node *in[] = {bdpo_dense(g, a), bdpo_dense(g, b)};
    return bdpo_node_new(g, &bdpo_op_squared_error, &scale, in, 2);
}

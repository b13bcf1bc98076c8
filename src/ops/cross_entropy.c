// loss = lse - logits[label], lse = log of the sum of exp(logits). In f32 always.
//
//   logits [n, c], labels i32 [n] below c -> loss [n]; lse [n]. A negative label is ignored: loss
//   0; one of c or more gives NaN, loss and gradient.
//   dlogits = dloss (softmax(logits) - onehot(label)), 0 where the label is ignored
#include <math.h>

#include "kernels/softmax_rows.h"
#include "ops/ops.h"

#include "graph/op.h"

extern const bdpo_op bdpo_op_cross_entropy, bdpo_op_cross_entropy_backward;

static bdpo_status shape(bdpo_node *node)
{
    TRY(bdpo_expect_float(node, 0, 2));
    TRY(bdpo_expect(node, 1, BDPO_I32, 1));
    const bdpo_shape *logits = &bdpo_in(node, 0)->shape, *labels = &bdpo_in(node, 1)->shape;
    if (labels->dim[0] != logits->dim[0])
        return bdpo_refuse(node, "labels %s do not fit logits %s", bdpo_shape_print(labels).text,
                           bdpo_shape_print(logits).text);
    bdpo_set_output(node, BDPO_F32, *labels);
    bdpo_add_output(node, BDPO_F32, *labels);
    return BDPO_OK;
}

static void grad(bdpo_graph *g, bdpo_node *node, bdpo_node *const *dy, bdpo_node **dx)
{
    bdpo_node *in[] = {dy[0], node->in[0], node->in[1], bdpo_node_output(node, 1)};
    if (bdpo_wants_grad(node, 0))
        dx[0] = bdpo_node_new(g, &bdpo_op_cross_entropy_backward, NULL, in, 4);
}

static void cpu(const bdpo_op_call *call)
{
    const bdpo_tensor *x = &call->in[0];
    bdpo_cross_entropy_forward(call->out[0].data, call->out[1].data, x->data, x->row_stride,
                               call->in[1].data, x->shape.dim[0], x->shape.dim[1], call->n_threads);
}

static int64_t flops(const bdpo_node *node)
{
    return 4 * bdpo_shape_count(&bdpo_in(node, 0)->shape);
}

static void reference(const bdpo_reference_call *call)
{
    int64_t rows = call->in_shape[0].dim[0], cols = call->in_shape[0].dim[1];
    for (int64_t r = 0; r < rows; r++) {
        const double *x = call->in[0] + r * cols;
        double sum = 0.0, top = x[0], label = call->in[1][r];
        for (int64_t c = 0; c < cols; c++) top = fmax(top, x[c]);
        for (int64_t c = 0; c < cols; c++) sum += exp(x[c] - top);
        call->out[1][r] = log(sum) + top;
        call->out[0][r] = label < 0.0 ? 0.0 : log(sum) + top - x[(int64_t)label];
    }
}

static const bdpo_op_case cases[] = {
    {.name = "classes", .in = {BDPO_IN(8, 64), BDPO_IN_FILL(BDPO_FILL_INDEX, 64, 8)}},
    {.name = "odd sizes", .in = {BDPO_IN(13, 37), BDPO_IN_FILL(BDPO_FILL_INDEX, 37, 13)}},
    {.name = "two classes", .in = {BDPO_IN(5, 2), BDPO_IN_FILL(BDPO_FILL_INDEX, 2, 5)}},
    {.name = "one row", .in = {BDPO_IN(1, 131), BDPO_IN_FILL(BDPO_FILL_INDEX, 131, 1)}},
    {.name = "labels too short",
     .in = {BDPO_IN(5, 4), BDPO_IN_FILL(BDPO_FILL_INDEX, 4, 4)},
     .refused = true},
    {.name = "labels as floats", .in = {BDPO_IN(5, 4), BDPO_IN(5)}, .refused = true},
    {.name = "three axes",
     .in = {BDPO_IN(2, 5, 4), BDPO_IN_FILL(BDPO_FILL_INDEX, 4, 2)},
     .refused = true},
    {.name = "no labels", .in = {BDPO_IN(5, 4)}, .refused = true},
};

const bdpo_op bdpo_op_cross_entropy = {
    .name = "cross_entropy",
    .n_inputs = 2,
    .shape = shape,
    .grad = grad,
    .cpu = cpu,
    .reference = reference,
    .cases = cases,
    .n_cases = BDPO_COUNTOF(cases),
    .flops = flops,
    .precision = BDPO_ISLAND,
    .strided_inputs = 1,
};

bdpo_node *bdpo_cross_entropy(bdpo_graph *g, bdpo_node *logits, bdpo_node *labels)
{
    return bdpo_node_new(g, &bdpo_op_cross_entropy, NULL, (bdpo_node *[]){logits, labels}, 2);
}

// ---- gradient: (dloss, logits, labels, lse) -> dlogits -------------------------------------

static bdpo_status backward_shape(bdpo_node *node)
{
    TRY(bdpo_expect_float(node, 0, 1));
    TRY(bdpo_expect_float(node, 1, 2));
    TRY(bdpo_expect(node, 2, BDPO_I32, 1));
    TRY(bdpo_expect(node, 3, BDPO_F32, 1));
    bdpo_set_output(node, BDPO_F32, bdpo_in(node, 1)->shape);
    return BDPO_OK;
}

static void backward_cpu(const bdpo_op_call *call)
{
    const bdpo_tensor *x = &call->in[1], *dx = &call->out[0];
    bdpo_cross_entropy_backward(dx->data, dx->row_stride, call->in[0].data, call->in[3].data,
                                x->data, x->row_stride, call->in[2].data, x->shape.dim[0],
                                x->shape.dim[1], call->accumulate, call->n_threads);
}

static int64_t backward_flops(const bdpo_node *node)
{
    return 3 * bdpo_shape_count(&node->out[0].shape);
}

const bdpo_op bdpo_op_cross_entropy_backward = {
    .name = "cross_entropy_backward",
    .n_inputs = 4,
    .shape = backward_shape,
    .grad = bdpo_no_grad,
    .cpu = backward_cpu,
    .tested_by = &bdpo_op_cross_entropy,
    .flops = backward_flops,
    .precision = BDPO_ISLAND,
    .strided_inputs = 2,
    .strided_outputs = 1,
    .can_accumulate = true,
};

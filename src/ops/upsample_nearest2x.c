// y[n, i, j, :] = x[n, i / 2, j / 2, :].
//
//   x [n, h, w, c] -> y [n, 2 h, 2 w, c]
//   dx = the sum of the four dy that x was copied to
#include <string.h>

#include "ops/feature_map.h"
#include "ops/ops.h"

extern const bdpo_op bdpo_op_upsample_nearest2x, bdpo_op_upsample_nearest2x_backward;

static bdpo_status shape(bdpo_node *node)
{
    TRY(bdpo_expect_float(node, 0, 4));
    bdpo_shape y = bdpo_in(node, 0)->shape;
    y.dim[1] *= 2;
    y.dim[2] *= 2;
    bdpo_set_output(node, BDPO_F32, y);
    return BDPO_OK;
}

static bdpo_status shape_backward(bdpo_node *node)
{
    TRY(bdpo_expect_float(node, 0, 4));
    bdpo_shape dx = bdpo_in(node, 0)->shape;
    if (dx.dim[1] % 2 || dx.dim[2] % 2)
        return bdpo_refuse(node, "%s is not twice as large as anything",
                           bdpo_shape_print(&dx).text);
    dx.dim[1] /= 2;
    dx.dim[2] /= 2;
    bdpo_set_output(node, BDPO_F32, dx);
    return BDPO_OK;
}

static void grad(bdpo_graph *g, bdpo_node *node, bdpo_node *const *dy, bdpo_node **dx)
{
    (void)node;
    dx[0] = bdpo_node_new(g, &bdpo_op_upsample_nearest2x_backward, NULL, (bdpo_node *[]){dy[0]}, 1);
}

static void cpu(const bdpo_op_call *call)
{
    const bdpo_tensor *x = &call->in[0], *y = &call->out[0];
    int64_t lines = y->shape.dim[0] * y->shape.dim[1], h = y->shape.dim[1];
    size_t bytes = (size_t)y->shape.dim[3] * sizeof(float);
#pragma omp parallel for num_threads(call->n_threads) schedule(static)
    for (int64_t line = 0; line < lines; line++)
        for (int64_t j = 0; j < y->shape.dim[2]; j++)
            memcpy(bdpo_pixel(y, line / h, line % h, j),
                   bdpo_pixel(x, line / h, line % h / 2, j / 2), bytes);
}

static void cpu_backward(const bdpo_op_call *call)
{
    const bdpo_tensor *dy = &call->in[0], *dx = &call->out[0];
    int64_t h = dx->shape.dim[1], lines = dx->shape.dim[0] * h;
#pragma omp parallel for num_threads(call->n_threads) schedule(static)
    for (int64_t line = 0; line < lines; line++)
        for (int64_t j = 0; j < dx->shape.dim[2]; j++) {
            int64_t n = line / h, i = line % h;
            const float *a = bdpo_pixel(dy, n, 2 * i, 2 * j);
            const float *b = bdpo_pixel(dy, n, 2 * i, 2 * j + 1);
            const float *c = bdpo_pixel(dy, n, 2 * i + 1, 2 * j);
            const float *d = bdpo_pixel(dy, n, 2 * i + 1, 2 * j + 1);
            float *to = bdpo_pixel(dx, n, i, j);
            for (int64_t k = 0; k < dx->shape.dim[3]; k++) {
                float sum = (a[k] + b[k]) + (c[k] + d[k]);
                to[k] = call->accumulate ? to[k] + sum : sum;
            }
        }
}

static void reference(const bdpo_reference_call *call)
{
    const bdpo_shape *y = &call->out_shape[0];
    for (int64_t n = 0; n < y->dim[0]; n++)
        for (int64_t i = 0; i < y->dim[1]; i++)
            for (int64_t j = 0; j < y->dim[2]; j++)
                for (int64_t c = 0; c < y->dim[3]; c++)
                    call->out[0][bdpo_pixel_index(y, n, i, j) + c] =
                        call->in[0][bdpo_pixel_index(&call->in_shape[0], n, i / 2, j / 2) + c];
}

static const bdpo_op_case cases[] = {
    {.name = "feature map", .in = {BDPO_IN(2, 4, 4, 32)}},
    {.name = "odd sizes", .in = {BDPO_IN(3, 5, 7, 13)}},
    {.name = "one position", .in = {BDPO_IN(1, 1, 1, 3)}},
    {.name = "tokens", .in = {BDPO_IN(2, 4, 8)}, .refused = true},
    {.name = "integers", .in = {BDPO_IN_FILL(BDPO_FILL_INDEX, 9, 1, 2, 2, 4)}, .refused = true},
};

const bdpo_op bdpo_op_upsample_nearest2x = {
    .name = "upsample_nearest2x",
    .n_inputs = 1,
    .shape = shape,
    .grad = grad,
    .cpu = cpu,
    .reference = reference,
    .cases = cases,
    .n_cases = BDPO_COUNTOF(cases),
    .precision = BDPO_COMPUTE,
    .strided_inputs = 1,
    .strided_outputs = 1,
};

const bdpo_op bdpo_op_upsample_nearest2x_backward = {
    .name = "upsample_nearest2x_backward",
    .n_inputs = 1,
    .shape = shape_backward,
    .grad = bdpo_no_grad,
    .cpu = cpu_backward,
    .tested_by = &bdpo_op_upsample_nearest2x,
    .precision = BDPO_COMPUTE,
    .strided_inputs = 1,
    .strided_outputs = 1,
    .can_accumulate = true,
};

bdpo_node *bdpo_upsample_nearest2x(bdpo_graph *g, bdpo_node *x)
{
    return bdpo_node_new(g, &bdpo_op_upsample_nearest2x, NULL, &x, 1);
}

// y[n, i, j, :] = the mean of x over the k x k block at (i k, j k). What does not fill a block at
// the far edges is left out.
//
//   x [n, h, w, c] -> y [n, h / k, w / k, c], rounded down
//   dx = dy / k^2 in the block, 0 in what was left out
#include "ops/feature_map.h"
#include "ops/ops.h"

extern const bdpo_op bdpo_op_avg_pool, bdpo_op_avg_pool_backward;

static bdpo_status shape(bdpo_node *node)
{
    int64_t k = *(const int *)node->attrs;
    TRY(bdpo_expect_float(node, 0, 4));
    bdpo_shape y = bdpo_in(node, 0)->shape;
    if (k < 1 || k > y.dim[1] || k > y.dim[2])
        return bdpo_refuse(node, "no block of %lld x %lld lies in %s", (long long)k, (long long)k,
                           bdpo_shape_print(&y).text);
    y.dim[1] /= k;
    y.dim[2] /= k;
    bdpo_set_output(node, BDPO_F32, y);
    return BDPO_OK;
}

typedef struct backward_attrs {
    int64_t k, h, w; // of x
} backward_attrs;

static bdpo_status shape_backward(bdpo_node *node)
{
    const backward_attrs *at = node->attrs;
    TRY(bdpo_expect_float(node, 0, 4));
    bdpo_shape dx = bdpo_in(node, 0)->shape;
    if (at->k < 1 || at->h / at->k != dx.dim[1] || at->w / at->k != dx.dim[2])
        return bdpo_refuse(node, "%s is no pool of %lld x %lld", bdpo_shape_print(&dx).text,
                           (long long)at->h, (long long)at->w);
    dx.dim[1] = at->h;
    dx.dim[2] = at->w;
    bdpo_set_output(node, BDPO_F32, dx);
    return BDPO_OK;
}

static void grad(bdpo_graph *g, bdpo_node *node, bdpo_node *const *dy, bdpo_node **dx)
{
    const bdpo_shape *x = &bdpo_in(node, 0)->shape;
    backward_attrs at = {*(const int *)node->attrs, x->dim[1], x->dim[2]};
    dx[0] = bdpo_node_new(g, &bdpo_op_avg_pool_backward, &at, (bdpo_node *[]){dy[0]}, 1);
}

static void cpu(const bdpo_op_call *call)
{
    const bdpo_tensor *x = &call->in[0], *y = &call->out[0];
    int64_t k = *(const int *)call->attrs, h = y->shape.dim[1], channels = y->shape.dim[3];
    float share = 1.0f / (float)(k * k);
#pragma omp parallel for num_threads(call->n_threads) schedule(static)
    for (int64_t line = 0; line < y->shape.dim[0] * h; line++)
        for (int64_t j = 0; j < y->shape.dim[2]; j++) {
            float *to = bdpo_pixel(y, line / h, line % h, j);
            for (int64_t c = 0; c < channels; c++) to[c] = 0.0f;
            for (int64_t p = 0; p < k * k; p++) {
                const float *from = bdpo_pixel(x, line / h, line % h * k + p / k, j * k + p % k);
                for (int64_t c = 0; c < channels; c++) to[c] += from[c];
            }
            for (int64_t c = 0; c < channels; c++) to[c] *= share;
        }
}

static void cpu_backward(const bdpo_op_call *call)
{
    const backward_attrs *at = call->attrs;
    const bdpo_tensor *dy = &call->in[0], *dx = &call->out[0];
    int64_t channels = dx->shape.dim[3];
    float share = 1.0f / (float)(at->k * at->k);
#pragma omp parallel for num_threads(call->n_threads) schedule(static)
    for (int64_t line = 0; line < dx->shape.dim[0] * at->h; line++)
        for (int64_t j = 0; j < at->w; j++) {
            int64_t n = line / at->h, row = line % at->h / at->k, col = j / at->k;
            float *to = bdpo_pixel(dx, n, line % at->h, j);
            bool inside = row < dy->shape.dim[1] && col < dy->shape.dim[2];
            const float *from = inside ? bdpo_pixel(dy, n, row, col) : NULL;
            for (int64_t c = 0; c < channels; c++) {
                float value = inside ? share * from[c] : 0.0f;
                to[c] = call->accumulate ? to[c] + value : value;
            }
        }
}

static void reference(const bdpo_reference_call *call)
{
    const bdpo_shape *x = &call->in_shape[0], *y = &call->out_shape[0];
    int64_t k = *(const int *)call->attrs;
    for (int64_t n = 0; n < y->dim[0]; n++)
        for (int64_t i = 0; i < y->dim[1] * k; i++)
            for (int64_t j = 0; j < y->dim[2] * k; j++)
                for (int64_t c = 0; c < y->dim[3]; c++)
                    call->out[0][bdpo_pixel_index(y, n, i / k, j / k) + c] +=
                        call->in[0][bdpo_pixel_index(x, n, i, j) + c] / (double)(k * k);
}

static int64_t flops(const bdpo_node *node)
{
    return bdpo_shape_count(&bdpo_in(node, 0)->shape);
}

static const bdpo_op_case cases[] = {
    {.name = "by two", .in = {BDPO_IN(2, 8, 8, 32)}, .attrs = &(int){2}},
    {.name = "odd sizes", .in = {BDPO_IN(3, 7, 11, 13)}, .attrs = &(int){3}},
    {.name = "all in one", .in = {BDPO_IN(1, 5, 5, 7)}, .attrs = &(int){5}},
    {.name = "by one", .in = {BDPO_IN(1, 2, 3, 4)}, .attrs = &(int){1}},
    {.name = "block too large", .in = {BDPO_IN(1, 2, 3, 4)}, .attrs = &(int){3}, .refused = true},
    {.name = "no block", .in = {BDPO_IN(1, 2, 3, 4)}, .attrs = &(int){0}, .refused = true},
    {.name = "tokens", .in = {BDPO_IN(2, 4, 8)}, .attrs = &(int){2}, .refused = true},
};

const bdpo_op bdpo_op_avg_pool = {
    .name = "avg_pool",
    .n_inputs = 1,
    .attrs_size = sizeof(int),
    .shape = shape,
    .grad = grad,
    .cpu = cpu,
    .reference = reference,
    .cases = cases,
    .n_cases = BDPO_COUNTOF(cases),
    .flops = flops,
    .precision = BDPO_COMPUTE,
    .strided_inputs = 1,
    .strided_outputs = 1,
};

const bdpo_op bdpo_op_avg_pool_backward = {
    .name = "avg_pool_backward",
    .n_inputs = 1,
    .attrs_size = sizeof(backward_attrs),
    .shape = shape_backward,
    .grad = bdpo_no_grad,
    .cpu = cpu_backward,
    .tested_by = &bdpo_op_avg_pool,
    .precision = BDPO_COMPUTE,
    .strided_inputs = 1,
    .strided_outputs = 1,
    .can_accumulate = true,
};

bdpo_node *bdpo_avg_pool(bdpo_graph *g, bdpo_node *x, int k)
{
    return bdpo_node_new(g, &bdpo_op_avg_pool, &k, &x, 1);
}

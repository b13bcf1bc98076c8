// y = x at twice the size, interpolated between the centres of its pixels, edges repeated.
//
//   x [n, h, w, c] -> y [n, 2 h, 2 w, c];  along each axis
//   y[2 i]     = 3/4 x[i] + 1/4 x[max(i - 1, 0)]
//   y[2 i + 1] = 3/4 x[i] + 1/4 x[min(i + 1, h - 1)]
//   dx = the transposed sum
#include "ops/feature_map.h"
#include "ops/ops.h"

extern const bdpo_op bdpo_op_upsample_bilinear2x, bdpo_op_upsample_bilinear2x_backward;

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
    dx[0] =
        bdpo_node_new(g, &bdpo_op_upsample_bilinear2x_backward, NULL, (bdpo_node *[]){dy[0]}, 1);
}

// The neighbour of weight 1/4 of position `i` of an upsampled axis; that of weight 3/4 is i / 2.
static int64_t neighbour(int64_t i, int64_t size)
{
    int64_t other = i % 2 ? i / 2 + 1 : i / 2 - 1;
    return other < 0 ? 0 : other >= size ? size - 1 : other;
}

static void cpu(const bdpo_op_call *call)
{
    const bdpo_tensor *x = &call->in[0], *y = &call->out[0];
    int64_t h = y->shape.dim[1], w = y->shape.dim[2], lines = y->shape.dim[0] * h;
#pragma omp parallel for num_threads(call->n_threads) schedule(static)
    for (int64_t line = 0; line < lines; line++)
        for (int64_t j = 0; j < w; j++) {
            int64_t n = line / h, i = line % h;
            int64_t i2 = neighbour(i, h / 2), j2 = neighbour(j, w / 2);
            const float *a = bdpo_pixel(x, n, i / 2, j / 2), *b = bdpo_pixel(x, n, i / 2, j2);
            const float *c = bdpo_pixel(x, n, i2, j / 2), *d = bdpo_pixel(x, n, i2, j2);
            float *to = bdpo_pixel(y, n, i, j);
            for (int64_t k = 0; k < y->shape.dim[3]; k++)
                to[k] =
                    0.75f * (0.75f * a[k] + 0.25f * b[k]) + 0.25f * (0.75f * c[k] + 0.25f * d[k]);
        }
}

// Which positions of the upsampled axis position `i` reaches, and with what weight: 2 i - 1 .. 2 i
// + 2, where an edge takes the weight of the neighbour that it stands in for.
typedef struct reach {
    int64_t at[4];
    float weight[4];
    int n;
} reach;

static reach reach_of(int64_t i, int64_t size)
{
    reach r = {.n = 0};
    for (int64_t at = 2 * i - 1; at <= 2 * i + 2; at++) {
        if (at < 0 || at >= 2 * size) continue;
        r.at[r.n] = at;
        r.weight[r.n] = (at / 2 == i ? 0.75f : 0.0f) + (neighbour(at, size) == i ? 0.25f : 0.0f);
        r.n++;
    }
    return r;
}

static void cpu_backward(const bdpo_op_call *call)
{
    const bdpo_tensor *dy = &call->in[0], *dx = &call->out[0];
    int64_t h = dx->shape.dim[1], w = dx->shape.dim[2], channels = dx->shape.dim[3];
#pragma omp parallel for num_threads(call->n_threads) schedule(static)
    for (int64_t line = 0; line < dx->shape.dim[0] * h; line++)
        for (int64_t j = 0; j < w; j++) {
            reach rows = reach_of(line % h, h), cols = reach_of(j, w);
            float *to = bdpo_pixel(dx, line / h, line % h, j);
            for (int64_t k = 0; k < channels && !call->accumulate; k++) to[k] = 0.0f;
            for (int p = 0; p < rows.n; p++)
                for (int q = 0; q < cols.n; q++) {
                    const float *from = bdpo_pixel(dy, line / h, rows.at[p], cols.at[q]);
                    float weight = rows.weight[p] * cols.weight[q];
                    for (int64_t k = 0; k < channels; k++) to[k] += weight * from[k];
                }
        }
}

static void reference(const bdpo_reference_call *call)
{
    const bdpo_shape *x = &call->in_shape[0], *y = &call->out_shape[0];
    for (int64_t n = 0; n < y->dim[0]; n++)
        for (int64_t i = 0; i < y->dim[1]; i++)
            for (int64_t j = 0; j < y->dim[2]; j++)
                for (int64_t c = 0; c < y->dim[3]; c++) {
                    double sum = 0;
                    for (int p = 0; p < 2; p++)
                        for (int q = 0; q < 2; q++) {
                            int64_t row = p ? neighbour(i, x->dim[1]) : i / 2;
                            int64_t col = q ? neighbour(j, x->dim[2]) : j / 2;
                            sum += (p ? 0.25 : 0.75) * (q ? 0.25 : 0.75) *
                                   call->in[0][bdpo_pixel_index(x, n, row, col) + c];
                        }
                    call->out[0][bdpo_pixel_index(y, n, i, j) + c] = sum;
                }
}

static const bdpo_op_case cases[] = {
    {.name = "feature map", .in = {BDPO_IN(2, 4, 4, 32)}},
    {.name = "odd sizes", .in = {BDPO_IN(3, 5, 7, 13)}},
    {.name = "one line", .in = {BDPO_IN(1, 1, 6, 5)}},
    {.name = "one position", .in = {BDPO_IN(1, 1, 1, 3)}},
    {.name = "tokens", .in = {BDPO_IN(2, 4, 8)}, .refused = true},
    {.name = "integers", .in = {BDPO_IN_FILL(BDPO_FILL_INDEX, 9, 1, 2, 2, 4)}, .refused = true},
};

static int64_t flops(const bdpo_node *node)
{
    return 9 * bdpo_shape_count(&node->out[0].shape);
}

const bdpo_op bdpo_op_upsample_bilinear2x = {
    .name = "upsample_bilinear2x",
    .n_inputs = 1,
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

const bdpo_op bdpo_op_upsample_bilinear2x_backward = {
    .name = "upsample_bilinear2x_backward",
    .n_inputs = 1,
    .shape = shape_backward,
    .grad = bdpo_no_grad,
    .cpu = cpu_backward,
    .tested_by = &bdpo_op_upsample_bilinear2x,
    .flops = flops,
    .precision = BDPO_COMPUTE,
    .strided_inputs = 1,
    .strided_outputs = 1,
    .can_accumulate = true,
};

bdpo_node *bdpo_upsample_bilinear2x(bdpo_graph *g, bdpo_node *x)
{
    return bdpo_node_new(g, &bdpo_op_upsample_bilinear2x, NULL, &x, 1);
}

// y = x in another dtype, rounded to nearest even; the graph puts these nodes where two compute
// dtypes meet.
//
//   x [..], f32, bf16, f16, i32 or u8 -> y [..] of a float dtype, or of x's own
//   dx = dy in f32, the dtype in which graphs are built
#include <string.h>

#include "kernels/elementwise.h"
#include "ops/axis.h"

static bdpo_status shape(bdpo_node *node)
{
    bdpo_dtype wanted = *(const bdpo_dtype *)node->attrs;
    if (node->n_in < 1 || !node->in[0]) return bdpo_refuse(node, "input 0 is missing");
    bdpo_dtype given = bdpo_in(node, 0)->dtype;
    bool to_float = bdpo_is_float(wanted) && (bdpo_is_float(given) || wanted == BDPO_F32);
    if (!to_float && given != wanted)
        return bdpo_refuse(node, "%s does not become %s", bdpo_dtype_name(given),
                           bdpo_dtype_name(wanted));
    bdpo_set_output(node, wanted, bdpo_in(node, 0)->shape);
    return BDPO_OK;
}

static void grad(bdpo_graph *g, bdpo_node *node, bdpo_node *const *dy, bdpo_node **dx)
{
    (void)node;
    dx[0] = bdpo_node_dtype(dy[0]) == BDPO_F32 ? dy[0] : bdpo_cast(g, dy[0], BDPO_F32);
}

static void widen_integers(float *y, const bdpo_tensor *x, int64_t row, int64_t cols)
{
    for (int64_t c = 0; c < cols; c++)
        y[c] = x->dtype == BDPO_I32 ? (float)((const int32_t *)x->data)[row * x->row_stride + c]
                                    : (float)((const uint8_t *)x->data)[row * x->row_stride + c];
}

// One piece of memory where both are dense, else row by row; the rows are short there.
static void cpu(const bdpo_op_call *call)
{
    const bdpo_tensor *x = &call->in[0], *y = &call->out[0];
    int64_t rows = bdpo_shape_rows(&x->shape), cols = bdpo_shape_cols(&x->shape);
    int64_t x_size = (int64_t)bdpo_dtype_size(x->dtype),
            y_size = (int64_t)bdpo_dtype_size(y->dtype);
    if (bdpo_tensor_dense(x) && bdpo_is_float(x->dtype)) {
        bdpo_convert(y->data, y->dtype, x->data, x->dtype, rows * cols, call->n_threads);
        return;
    }
#pragma omp parallel for num_threads(call->n_threads) schedule(static)
    for (int64_t r = 0; r < rows; r++) {
        char *to = (char *)y->data + r * cols * y_size;
        const char *from = (const char *)x->data + r * x->row_stride * x_size;
        if (x->dtype == y->dtype)
            memcpy(to, from, (size_t)(cols * x_size));
        else if (bdpo_is_float(x->dtype))
            bdpo_convert(to, y->dtype, from, x->dtype, cols, 1);
        else
            widen_integers((float *)(void *)to, x, r, cols);
    }
}

static void reference(const bdpo_reference_call *call)
{
    bdpo_dtype wanted = *(const bdpo_dtype *)call->attrs;
    int64_t count = bdpo_shape_count(&call->in_shape[0]);
    for (int64_t i = 0; i < count; i++) {
        double value = call->in[0][i];
        if (wanted == BDPO_BF16) value = (double)bdpo_bf16_to_f32(bdpo_bf16_from_f32((float)value));
        if (wanted == BDPO_F16) value = (double)bdpo_f16_to_f32(bdpo_f16_from_f32((float)value));
        call->out[0][i] = value;
    }
}

static const bdpo_op_case cases[] = {
    {.name = "f32 to f32", .in = {BDPO_IN(3, 7, 37)}, .attrs = &(bdpo_dtype){BDPO_F32}},
    {.name = "one element", .in = {BDPO_IN(1)}, .attrs = &(bdpo_dtype){BDPO_F32}},
    {.name = "i32 to f32",
     .in = {BDPO_IN_FILL(BDPO_FILL_INDEX, 1000, 5, 9)},
     .attrs = &(bdpo_dtype){BDPO_F32}},
    {.name = "u8 to f32",
     .in = {BDPO_IN_FILL(BDPO_FILL_CODE, 0, 3, 5, 7)},
     .attrs = &(bdpo_dtype){BDPO_F32}},
    {.name = "f32 to bf16",
     .in = {BDPO_IN_FILL(BDPO_FILL_COUNT, 100000, 3, 7, 11)},
     .attrs = &(bdpo_dtype){BDPO_BF16}},
    {.name = "f32 to f16",
     .in = {BDPO_IN_FILL(BDPO_FILL_COUNT, 60000, 5, 33)},
     .attrs = &(bdpo_dtype){BDPO_F16}},
    {.name = "i32 to i32",
     .in = {BDPO_IN_FILL(BDPO_FILL_INDEX, 1000, 17)},
     .attrs = &(bdpo_dtype){BDPO_I32}},
    {.name = "f32 to i32", .in = {BDPO_IN(4)}, .attrs = &(bdpo_dtype){BDPO_I32}, .refused = true},
    {.name = "i32 to bf16",
     .in = {BDPO_IN_FILL(BDPO_FILL_INDEX, 9, 4)},
     .attrs = &(bdpo_dtype){BDPO_BF16},
     .refused = true},
};

const bdpo_op bdpo_op_cast = {
    .name = "cast",
    .n_inputs = 1,
    .attrs_size = sizeof(bdpo_dtype),
    .shape = shape,
    .grad = grad,
    .cpu = cpu,
    .reference = reference,
    .cases = cases,
    .n_cases = BDPO_COUNTOF(cases),
    .precision = BDPO_OWN,
    .strided_inputs = 1,
};

bdpo_node *bdpo_cast(bdpo_graph *g, bdpo_node *x, bdpo_dtype dtype)
{
    return bdpo_node_new(g, &bdpo_op_cast, &dtype, &x, 1);
}

// y = op(a) op(b), batch by batch.
//
//   op(a) [.., m, k], stored [.., k, m] with trans_a; op(b) [.., k, n], stored [.., n, k] with
//   trans_b; two or three axes -> y [.., m, n]
//   d op(a) = dy op(b)',  d op(b) = op(a)' dy: products again
#include "kernels/gemm.h"
#include "ops/ops.h"

#include "graph/op.h"

extern const bdpo_op bdpo_op_matmul;

typedef struct matmul_attrs {
    bool trans_a, trans_b;
} matmul_attrs;

typedef struct matmul_size {
    int64_t batch, m, n, k;
} matmul_size;

static matmul_size size_of(const bdpo_shape *a, const bdpo_shape *b, const matmul_attrs *attrs)
{
    int last = a->n_dims - 1;
    return (matmul_size){
        .batch = last == 2 ? a->dim[0] : 1,
        .m = attrs->trans_a ? a->dim[last] : a->dim[last - 1],
        .k = attrs->trans_a ? a->dim[last - 1] : a->dim[last],
        .n = attrs->trans_b ? b->dim[last - 1] : b->dim[last],
    };
}

static bdpo_status shape(bdpo_node *node)
{
    const matmul_attrs *attrs = node->attrs;
    TRY(bdpo_expect_float(node, 0, 0));
    TRY(bdpo_expect_float(node, 1, 0));
    const bdpo_shape *a = &bdpo_in(node, 0)->shape, *b = &bdpo_in(node, 1)->shape;
    if (a->n_dims < 2 || a->n_dims > 3 || a->n_dims != b->n_dims)
        return bdpo_refuse(node, "%s and %s are not two matrices or two batches of matrices",
                           bdpo_shape_print(a).text, bdpo_shape_print(b).text);
    int last = a->n_dims - 1;
    matmul_size size = size_of(a, b, attrs);
    if (size.k != b->dim[attrs->trans_b ? last : last - 1] || (last == 2 && a->dim[0] != b->dim[0]))
        return bdpo_refuse(node, "%s%s does not fit %s%s", bdpo_shape_print(a).text,
                           attrs->trans_a ? " transposed" : "", bdpo_shape_print(b).text,
                           attrs->trans_b ? " transposed" : "");
    bdpo_set_output(node, BDPO_F32,
                    last == 2 ? BDPO_SHAPE(size.batch, size.m, size.n)
                              : BDPO_SHAPE(size.m, size.n));
    return BDPO_OK;
}

static void grad(bdpo_graph *g, bdpo_node *node, bdpo_node *const *dy, bdpo_node **dx)
{
    const matmul_attrs *attrs = node->attrs;
    bdpo_node *a = node->in[0], *b = node->in[1];
    if (bdpo_wants_grad(node, 0))
        dx[0] = attrs->trans_a ? bdpo_matmul(g, b, dy[0], attrs->trans_b, true)
                               : bdpo_matmul(g, dy[0], b, false, !attrs->trans_b);
    if (bdpo_wants_grad(node, 1))
        dx[1] = attrs->trans_b ? bdpo_matmul(g, dy[0], a, true, attrs->trans_a)
                               : bdpo_matmul(g, a, dy[0], !attrs->trans_a, false);
}

static void cpu(const bdpo_op_call *call)
{
    const bdpo_tensor *a = &call->in[0], *b = &call->in[1], *y = &call->out[0];
    const matmul_attrs *attrs = call->attrs;
    matmul_size size = size_of(&a->shape, &b->shape, attrs);
    bdpo_gemm_batch(
        &(bdpo_gemm_batch_args){
            .one = {.m = size.m,
                    .n = size.n,
                    .k = size.k,
                    .a = a->data,
                    .lda = a->row_stride,
                    .trans_a = attrs->trans_a,
                    .b = b->data,
                    .ldb = b->row_stride,
                    .trans_b = attrs->trans_b,
                    .c = y->data,
                    .ldc = y->row_stride,
                    .accumulate = call->accumulate,
                    .alpha = 1.0f},
            .count = {size.batch, 1},
            .a_stride = {a->row_stride * bdpo_shape_rows(&a->shape) / size.batch},
            .b_stride = {b->row_stride * bdpo_shape_rows(&b->shape) / size.batch},
            .c_stride = {y->row_stride * size.m}},
        call->workspace, call->n_threads);
}

static size_t workspace(const bdpo_node *node, int n_threads)
{
    const matmul_attrs *attrs = node->attrs;
    matmul_size size = size_of(&bdpo_in(node, 0)->shape, &bdpo_in(node, 1)->shape, attrs);
    return bdpo_gemm_batch_workspace(size.m, size.n, size.k, attrs->trans_a, attrs->trans_b,
                                     size.batch, n_threads);
}

static int64_t flops(const bdpo_node *node)
{
    matmul_size size = size_of(&bdpo_in(node, 0)->shape, &bdpo_in(node, 1)->shape, node->attrs);
    return 2 * size.batch * size.m * size.n * size.k;
}

static void reference(const bdpo_reference_call *call)
{
    const matmul_attrs *attrs = call->attrs;
    matmul_size s = size_of(&call->in_shape[0], &call->in_shape[1], attrs);
    for (int64_t i = 0; i < s.batch * s.m * s.n; i++) {
        int64_t batch = i / (s.m * s.n), row = i / s.n % s.m, col = i % s.n;
        const double *a = call->in[0] + batch * s.m * s.k, *b = call->in[1] + batch * s.k * s.n;
        double sum = 0.0;
        for (int64_t k = 0; k < s.k; k++)
            sum += a[attrs->trans_a ? k * s.m + row : row * s.k + k] *
                   b[attrs->trans_b ? col * s.k + k : k * s.n + col];
        call->out[0][i] = sum;
    }
}

static const bdpo_op_case cases[] = {
    {.name = "matrices",
     .in = {BDPO_IN(16, 32), BDPO_IN(32, 24)},
     .attrs = &(matmul_attrs){false, false}},
    {.name = "batches, b transposed",
     .in = {BDPO_IN(4, 16, 24), BDPO_IN(4, 20, 24)},
     .attrs = &(matmul_attrs){false, true}},
    {.name = "batches, a transposed, odd sizes",
     .in = {BDPO_IN(3, 11, 17), BDPO_IN(3, 11, 13)},
     .attrs = &(matmul_attrs){true, false}},
    {.name = "both transposed, odd sizes",
     .in = {BDPO_IN(2, 19, 33), BDPO_IN(2, 7, 19)},
     .attrs = &(matmul_attrs){true, true}},
    {.name = "one element",
     .in = {BDPO_IN(1, 1), BDPO_IN(1, 1)},
     .attrs = &(matmul_attrs){false, false}},
    {.name = "inner sizes differ",
     .in = {BDPO_IN(4, 8), BDPO_IN(4, 8)},
     .attrs = &(matmul_attrs){false, false},
     .refused = true},
    {.name = "batches differ",
     .in = {BDPO_IN(2, 4, 8), BDPO_IN(3, 8, 4)},
     .attrs = &(matmul_attrs){false, false},
     .refused = true},
    {.name = "axes differ",
     .in = {BDPO_IN(2, 4, 8), BDPO_IN(8, 4)},
     .attrs = &(matmul_attrs){false, false},
     .refused = true},
    {.name = "vectors",
     .in = {BDPO_IN(8), BDPO_IN(8)},
     .attrs = &(matmul_attrs){false, false},
     .refused = true},
    {.name = "integers",
     .in = {BDPO_IN_FILL(BDPO_FILL_INDEX, 9, 4, 8), BDPO_IN(8, 4)},
     .attrs = &(matmul_attrs){false, false},
     .refused = true},
};

const bdpo_op bdpo_op_matmul = {
    .name = "matmul",
    .n_inputs = 2,
    .attrs_size = sizeof(matmul_attrs),
    .shape = shape,
    .grad = grad,
    .cpu = cpu,
    .reference = reference,
    .cases = cases,
    .n_cases = BDPO_COUNTOF(cases),
    .workspace = workspace,
    .flops = flops,
    .precision = BDPO_COMPUTE,
    .strided_inputs = 3,
    .strided_outputs = 1,
    .can_accumulate = true,
};

bdpo_node *bdpo_matmul(bdpo_graph *g, bdpo_node *a, bdpo_node *b, bool trans_a, bool trans_b)
{
    return bdpo_node_new(g, &bdpo_op_matmul, &(matmul_attrs){trans_a, trans_b},
                         (bdpo_node *[]){a, b}, 2);
}

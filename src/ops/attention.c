// y = softmax(scale q k') v for every sample and head; tiled, the scores are never stored.
//
//   q [n, .., heads * d] with tq positions, k and v [n, .., heads * d] with tk positions,
//   key_lengths i32 [n] or none -> y of q's shape; lse [n, heads, tq]: log of the sum of the
//   exponentials of a query's scores, from which the backward pass makes the probabilities p again
//   with s = dy v' - (dy . y) for every query:
//   dq = scale (p s) k,  dk = scale (p s)' q,  dv = p' dy
#include <math.h>

#include "kernels/tiled_attention.h"
#include "ops/ops.h"

#include "graph/op.h"

extern const bdpo_op bdpo_op_attention, bdpo_op_attention_backward;

static int64_t positions(const bdpo_shape *x)
{
    return bdpo_shape_rows(x) / x->dim[0];
}

static bdpo_attention_shape geometry(const bdpo_shape *q, const bdpo_shape *k,
                                     const bdpo_attention_options *options, const void *key_lengths)
{
    int64_t head_size = bdpo_shape_cols(q) / options->heads;
    return (bdpo_attention_shape){
        .n = q->dim[0],
        .tq = positions(q),
        .tk = positions(k),
        .heads = options->heads,
        .head_size = head_size,
        .scale = options->scale > 0.0f ? options->scale : 1.0f / sqrtf((float)head_size),
        .causal = options->causal,
        .key_lengths = key_lengths,
    };
}

static bdpo_status check_lengths(const bdpo_node *node, int i, int64_t n)
{
    if (node->n_in <= i || node->in[i] == NULL) return BDPO_OK;
    TRY(bdpo_expect(node, i, BDPO_I32, 1));
    if (bdpo_in(node, i)->shape.dim[0] != n)
        return bdpo_refuse(node, "key lengths %s are not one for each of %lld samples",
                           bdpo_shape_print(&bdpo_in(node, i)->shape).text, (long long)n);
    return BDPO_OK;
}

static bdpo_status shape(bdpo_node *node)
{
    const bdpo_attention_options *options = node->attrs;
    for (int i = 0; i < 3; i++) TRY(bdpo_expect_float(node, i, 0));
    const bdpo_shape *q = &bdpo_in(node, 0)->shape, *k = &bdpo_in(node, 1)->shape;
    const bdpo_shape *v = &bdpo_in(node, 2)->shape;
    if (q->n_dims < 3 || k->n_dims < 3 || !bdpo_shape_equal(k, v) || q->dim[0] != k->dim[0] ||
        bdpo_shape_cols(q) != bdpo_shape_cols(k))
        return bdpo_refuse(node, "queries %s, keys %s and values %s do not fit",
                           bdpo_shape_print(q).text, bdpo_shape_print(k).text,
                           bdpo_shape_print(v).text);
    if (options->heads < 1 || bdpo_shape_cols(q) % options->heads != 0)
        return bdpo_refuse(node, "%d heads do not divide the channels of %s", options->heads,
                           bdpo_shape_print(q).text);
    if (!(options->scale >= 0.0f))
        return bdpo_refuse(node, "scale %g is negative", (double)options->scale);
    TRY(check_lengths(node, 3, q->dim[0]));
    bdpo_set_output(node, BDPO_F32, *q);
    bdpo_add_output(node, BDPO_F32, BDPO_SHAPE(q->dim[0], options->heads, positions(q)));
    return BDPO_OK;
}

static void grad(bdpo_graph *g, bdpo_node *node, bdpo_node *const *dy, bdpo_node **dx)
{
    bdpo_node *in[] = {node->in[0],
                       node->in[1],
                       node->in[2],
                       node,
                       dy[0],
                       bdpo_node_output(node, 1),
                       node->n_in > 3 ? node->in[3] : NULL};
    bdpo_node *d = bdpo_node_new(g, &bdpo_op_attention_backward, node->attrs, in, 7);
    if (d == NULL) return;
    for (int i = 0; i < 3; i++)
        if (bdpo_wants_grad(node, i)) dx[i] = bdpo_node_output(d, i);
}

static void cpu(const bdpo_op_call *call)
{
    const bdpo_tensor *q = &call->in[0], *k = &call->in[1], *v = &call->in[2], *y = &call->out[0];
    bdpo_attention_shape s =
        geometry(&q->shape, &k->shape, call->attrs, call->n_in > 3 ? call->in[3].data : NULL);
    bdpo_attention_forward(y->data, y->row_stride, call->out[1].data, q->data, q->row_stride,
                           k->data, k->row_stride, v->data, v->row_stride, &s, call->workspace,
                           call->n_threads);
}

static size_t workspace(const bdpo_node *node, int n_threads)
{
    bdpo_attention_shape s =
        geometry(&bdpo_in(node, 0)->shape, &bdpo_in(node, 1)->shape, node->attrs, NULL);
    return bdpo_attention_forward_workspace(&s, n_threads);
}

static int64_t flops_of_a_product(const bdpo_node *node)
{
    const bdpo_shape *q = &bdpo_in(node, 0)->shape;
    return 2 * bdpo_shape_count(q) * positions(&bdpo_in(node, 1)->shape);
}

static int64_t flops(const bdpo_node *node)
{
    return 2 * flops_of_a_product(node);
}

// One query of one head: its scores over the keys it sees, then y and lse.
static void reference_query(double *y, double *lse, const double *q, const double *k,
                            const double *v, int64_t n_keys, const bdpo_attention_shape *s)
{
    int64_t ld = s->heads * s->head_size;
    double top = -INFINITY, sum = 0.0;
    for (int pass = 0; pass < 3; pass++)
        for (int64_t j = 0; j < n_keys; j++) {
            double score = 0.0;
            for (int64_t c = 0; c < s->head_size; c++) score += q[c] * k[j * ld + c];
            score *= (double)s->scale;
            if (pass == 0) top = fmax(top, score);
            if (pass == 1) sum += exp(score - top);
            for (int64_t c = 0; c < s->head_size && pass == 2; c++)
                y[c] += exp(score - top) / sum * v[j * ld + c];
        }
    *lse = n_keys > 0 ? top + log(sum) : -INFINITY;
}

static void reference(const bdpo_reference_call *call)
{
    bdpo_attention_shape s = geometry(&call->in_shape[0], &call->in_shape[1], call->attrs, NULL);
    const double *lengths = call->n_in > 3 ? call->in[3] : NULL;
    int64_t ld = s.heads * s.head_size;
    for (int64_t i = 0; i < s.n * s.heads * s.tq; i++) {
        int64_t sample = i / (s.heads * s.tq), head = i / s.tq % s.heads, t = i % s.tq;
        int64_t n_keys = lengths != NULL ? (int64_t)lengths[sample] : s.tk;
        if (s.causal && n_keys > t + 1) n_keys = t + 1;
        int64_t query = (sample * s.tq + t) * ld + head * s.head_size;
        int64_t key = sample * s.tk * ld + head * s.head_size;
        reference_query(call->out[0] + query, call->out[1] + i, call->in[0] + query,
                        call->in[1] + key, call->in[2] + key, n_keys, &s);
    }
}

static const bdpo_op_case cases[] = {
    {.name = "self",
     .in = {BDPO_IN(2, 24, 32), BDPO_IN(2, 24, 32), BDPO_IN(2, 24, 32)},
     .attrs = &(bdpo_attention_options){.heads = 4}},
    {.name = "cross, odd sizes",
     .in = {BDPO_IN(2, 19, 39), BDPO_IN(2, 11, 39), BDPO_IN(2, 11, 39)},
     .attrs = &(bdpo_attention_options){.heads = 3}},
    {.name = "feature map, head of 40",
     .in = {BDPO_IN(1, 4, 5, 80), BDPO_IN(1, 7, 80), BDPO_IN(1, 7, 80)},
     .attrs = &(bdpo_attention_options){.heads = 2}},
    {.name = "more than one tile",
     .in = {BDPO_IN(1, 197, 8), BDPO_IN(1, 261, 8), BDPO_IN(1, 261, 8)},
     .attrs = &(bdpo_attention_options){.heads = 1}},
    {.name = "causal",
     .in = {BDPO_IN(2, 21, 32), BDPO_IN(2, 21, 32), BDPO_IN(2, 21, 32)},
     .attrs = &(bdpo_attention_options){.heads = 2, .causal = true}},
    {.name = "causal over tiles",
     .in = {BDPO_IN(1, 150, 6), BDPO_IN(1, 150, 6), BDPO_IN(1, 150, 6)},
     .attrs = &(bdpo_attention_options){.heads = 1, .causal = true}},
    {.name = "key lengths",
     .in = {BDPO_IN(4, 9, 24), BDPO_IN(4, 13, 24), BDPO_IN(4, 13, 24),
            BDPO_IN_FILL(BDPO_FILL_LENGTH, 13, 4)},
     .attrs = &(bdpo_attention_options){.heads = 2}},
    {.name = "causal with key lengths",
     .in = {BDPO_IN(4, 12, 16), BDPO_IN(4, 12, 16), BDPO_IN(4, 12, 16),
            BDPO_IN_FILL(BDPO_FILL_LENGTH, 12, 4)},
     .attrs = &(bdpo_attention_options){.heads = 1, .causal = true}},
    {.name = "own scale",
     .in = {BDPO_IN(1, 17, 12), BDPO_IN(1, 17, 12), BDPO_IN(1, 17, 12)},
     .attrs = &(bdpo_attention_options){.heads = 2, .scale = 0.125f}},
    {.name = "wide head",
     .in = {BDPO_IN(1, 6, 161), BDPO_IN(1, 9, 161), BDPO_IN(1, 9, 161)},
     .attrs = &(bdpo_attention_options){.heads = 1}},
    {.name = "heads of one channel",
     .in = {BDPO_IN(1, 5, 3), BDPO_IN(1, 4, 3), BDPO_IN(1, 4, 3)},
     .attrs = &(bdpo_attention_options){.heads = 3}},
    {.name = "one query, one key",
     .in = {BDPO_IN(1, 1, 1), BDPO_IN(1, 1, 1), BDPO_IN(1, 1, 1)},
     .attrs = &(bdpo_attention_options){.heads = 1}},
    {.name = "channels differ",
     .in = {BDPO_IN(1, 4, 8), BDPO_IN(1, 4, 12), BDPO_IN(1, 4, 12)},
     .attrs = &(bdpo_attention_options){.heads = 1},
     .refused = true},
    {.name = "samples differ",
     .in = {BDPO_IN(2, 4, 8), BDPO_IN(1, 4, 8), BDPO_IN(1, 4, 8)},
     .attrs = &(bdpo_attention_options){.heads = 1},
     .refused = true},
    {.name = "keys and values differ",
     .in = {BDPO_IN(1, 4, 8), BDPO_IN(1, 4, 8), BDPO_IN(1, 5, 8)},
     .attrs = &(bdpo_attention_options){.heads = 1},
     .refused = true},
    {.name = "matrices",
     .in = {BDPO_IN(4, 8), BDPO_IN(4, 8), BDPO_IN(4, 8)},
     .attrs = &(bdpo_attention_options){.heads = 1},
     .refused = true},
    {.name = "heads do not divide",
     .in = {BDPO_IN(1, 4, 8), BDPO_IN(1, 4, 8), BDPO_IN(1, 4, 8)},
     .attrs = &(bdpo_attention_options){.heads = 3},
     .refused = true},
    {.name = "no heads",
     .in = {BDPO_IN(1, 4, 8), BDPO_IN(1, 4, 8), BDPO_IN(1, 4, 8)},
     .attrs = &(bdpo_attention_options){.heads = 0},
     .refused = true},
    {.name = "negative scale",
     .in = {BDPO_IN(1, 4, 8), BDPO_IN(1, 4, 8), BDPO_IN(1, 4, 8)},
     .attrs = &(bdpo_attention_options){.heads = 1, .scale = -1.0f},
     .refused = true},
    {.name = "lengths of another batch",
     .in = {BDPO_IN(2, 4, 8), BDPO_IN(2, 4, 8), BDPO_IN(2, 4, 8),
            BDPO_IN_FILL(BDPO_FILL_LENGTH, 4, 3)},
     .attrs = &(bdpo_attention_options){.heads = 1},
     .refused = true},
    {.name = "lengths as floats",
     .in = {BDPO_IN(2, 4, 8), BDPO_IN(2, 4, 8), BDPO_IN(2, 4, 8), BDPO_IN(2)},
     .attrs = &(bdpo_attention_options){.heads = 1},
     .refused = true},
    {.name = "integers",
     .in = {BDPO_IN_FILL(BDPO_FILL_INDEX, 9, 1, 4, 8), BDPO_IN(1, 4, 8), BDPO_IN(1, 4, 8)},
     .attrs = &(bdpo_attention_options){.heads = 1},
     .refused = true},
};

const bdpo_op bdpo_op_attention = {
    .name = "attention",
    .n_inputs = 4,
    .attrs_size = sizeof(bdpo_attention_options),
    .shape = shape,
    .grad = grad,
    .cpu = cpu,
    .reference = reference,
    .cases = cases,
    .n_cases = BDPO_COUNTOF(cases),
    .workspace = workspace,
    .flops = flops,
    .precision = BDPO_COMPUTE,
    .strided_inputs = 7,
    .strided_outputs = 1,
};

bdpo_node *bdpo_attention(bdpo_graph *g, bdpo_node *q, bdpo_node *k, bdpo_node *v,
                          bdpo_node *key_lengths, const bdpo_attention_options *options)
{
    return bdpo_node_new(g, &bdpo_op_attention, options, (bdpo_node *[]){q, k, v, key_lengths}, 4);
}

// ---- gradient: (q, k, v, y, dy, lse, key_lengths) -> dq, dk, dv ----------------------------

static bdpo_status backward_shape(bdpo_node *node)
{
    for (int i = 0; i < 5; i++) TRY(bdpo_expect_float(node, i, 0));
    TRY(bdpo_expect(node, 5, BDPO_F32, 3));
    bdpo_set_output(node, BDPO_F32, bdpo_in(node, 0)->shape);
    bdpo_add_output(node, BDPO_F32, bdpo_in(node, 1)->shape);
    bdpo_add_output(node, BDPO_F32, bdpo_in(node, 2)->shape);
    return BDPO_OK;
}

static void backward_cpu(const bdpo_op_call *call)
{
    const bdpo_tensor *q = &call->in[0], *k = &call->in[1], *v = &call->in[2], *y = &call->in[3];
    const bdpo_tensor *dy = &call->in[4], *dq = &call->out[0], *dk = &call->out[1];
    const bdpo_tensor *dv = &call->out[2];
    bdpo_attention_shape s =
        geometry(&q->shape, &k->shape, call->attrs, call->n_in > 6 ? call->in[6].data : NULL);
    bdpo_attention_backward(dq->data, dq->row_stride, dk->data, dk->row_stride, dv->data,
                            dv->row_stride, dy->data, dy->row_stride, y->data, y->row_stride,
                            call->in[5].data, q->data, q->row_stride, k->data, k->row_stride,
                            v->data, v->row_stride, &s, call->workspace, call->n_threads);
}

static size_t backward_workspace(const bdpo_node *node, int n_threads)
{
    bdpo_attention_shape s =
        geometry(&bdpo_in(node, 0)->shape, &bdpo_in(node, 1)->shape, node->attrs, NULL);
    return bdpo_attention_backward_workspace(&s, n_threads);
}

// The scores again, dy v', and the three gradients.
static int64_t backward_flops(const bdpo_node *node)
{
    return 5 * flops_of_a_product(node);
}

const bdpo_op bdpo_op_attention_backward = {
    .name = "attention_backward",
    .n_inputs = 7,
    .attrs_size = sizeof(bdpo_attention_options),
    .shape = backward_shape,
    .grad = bdpo_no_grad,
    .cpu = backward_cpu,
    .tested_by = &bdpo_op_attention,
    .workspace = backward_workspace,
    .flops = backward_flops,
    .precision = BDPO_COMPUTE,
    .compute_outputs = 6, // dk and dv are values like dq
    .strided_inputs = 31,
    .strided_outputs = 7,
};

// y[n, ..] = standard normals of sample n, a function of its key alone (base/random.h): the same
// numbers in any batch, on any device, and when a checkpointed segment is computed again.
//
//   key i32 [n, 5] = seed low, seed high, sample low, sample high, step, as 32-bit words
//   -> y [n, sample shape ..]. No gradient.
//
// Of the sample's number 56 bits count.
#include "kernels/random_fill.h"
#include "ops/random_key.h"

extern const bdpo_op bdpo_op_random_normal;

static void cpu(const bdpo_op_call *call)
{
    const bdpo_random_options *at = call->attrs;
    int64_t count = bdpo_shape_count(&at->sample);
    for (int64_t i = 0; i < call->in[0].shape.dim[0]; i++)
        bdpo_random_fill_normal((float *)call->out[0].data + i * count, count,
                                bdpo_random_key_of(call, i), 0, call->n_threads);
}

static void reference(const bdpo_reference_call *call)
{
    bdpo_random_reference(call, bdpo_random_normal);
}

const bdpo_op bdpo_op_random_normal = {
    .name = "random_normal",
    .n_inputs = 1,
    .attrs_size = sizeof(bdpo_random_options),
    .shape = bdpo_random_shape,
    .grad = bdpo_no_grad,
    .cpu = cpu,
    .reference = reference,
    .cases = bdpo_random_cases,
    .n_cases = BDPO_N_RANDOM_CASES,
    .precision = BDPO_ISLAND,
};

bdpo_node *bdpo_normal(bdpo_graph *g, bdpo_node *key, const bdpo_random_options *options)
{
    return bdpo_node_new(g, &bdpo_op_random_normal, options, &key, 1);
}

// y[n, ..] = numbers uniform in (0, 1] of sample n, a function of its key alone (base/random.h).
//
//   key i32 [n, 5] as in random_normal.c -> y [n, sample shape ..]. No gradient.
#include "kernels/random_fill.h"
#include "ops/random_key.h"

extern const bdpo_op bdpo_op_random_uniform;

static void cpu(const bdpo_op_call *call)
{
    const bdpo_random_options *at = call->attrs;
    int64_t count = bdpo_shape_count(&at->sample);
    for (int64_t i = 0; i < call->in[0].shape.dim[0]; i++)
        bdpo_random_fill_uniform((float *)call->out[0].data + i * count, count,
                                 bdpo_random_key_of(call, i), 0, call->n_threads);
}

static void reference(const bdpo_reference_call *call)
{
    bdpo_random_reference(call, bdpo_random_uniform);
}

const bdpo_op bdpo_op_random_uniform = {
    .name = "random_uniform",
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

bdpo_node *bdpo_uniform(bdpo_graph *g, bdpo_node *key, const bdpo_random_options *options)
{
    return bdpo_node_new(g, &bdpo_op_random_uniform, options, &key, 1);
}

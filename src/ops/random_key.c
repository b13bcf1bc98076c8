// The shared parts of random_normal and random_uniform.
#include "ops/random_key.h"

bdpo_status bdpo_random_shape(bdpo_node *node)
{
    const bdpo_random_options *at = node->attrs;
    TRY(bdpo_expect(node, 0, BDPO_I32, 2));
    const bdpo_shape *key = &bdpo_in(node, 0)->shape;
    if (key->dim[1] != BDPO_KEY_WORDS)
        return bdpo_refuse(node, "a key has %d words, not %lld", BDPO_KEY_WORDS,
                           (long long)key->dim[1]);
    if (at->purpose > 255) return bdpo_refuse(node, "purpose %u is above 255", at->purpose);
    TRY(bdpo_shape_check(&at->sample, node->op->name));
    if (at->sample.n_dims == BDPO_MAX_DIMS)
        return bdpo_refuse(node, "samples %s leave no axis for the batch",
                           bdpo_shape_print(&at->sample).text);
    if (bdpo_shape_count(&at->sample) > BDPO_RANDOM_MAX_COUNT)
        return bdpo_refuse(node, "a key has no %lld numbers",
                           (long long)bdpo_shape_count(&at->sample));
    bdpo_shape y = {.n_dims = at->sample.n_dims + 1, .dim = {key->dim[0]}};
    for (int i = 0; i < at->sample.n_dims; i++) y.dim[i + 1] = at->sample.dim[i];
    bdpo_set_output(node, BDPO_F32, y);
    return BDPO_OK;
}

bdpo_random_key bdpo_random_key_of(const bdpo_op_call *call, int64_t sample)
{
    const uint32_t *words = (const uint32_t *)call->in[0].data + sample * BDPO_KEY_WORDS;
    return bdpo_random_key_pack(words, ((const bdpo_random_options *)call->attrs)->purpose);
}

void bdpo_random_reference(const bdpo_reference_call *call,
                           void (*draw)(float *out, int64_t count, bdpo_random_key key,
                                        int64_t first))
{
    const bdpo_random_options *at = call->attrs;
    int64_t count = bdpo_shape_count(&at->sample);
    for (int64_t i = 0; i < call->in_shape[0].dim[0]; i++) {
        uint32_t word[BDPO_KEY_WORDS];
        for (int k = 0; k < BDPO_KEY_WORDS; k++)
            word[k] = (uint32_t)(int32_t)call->in[0][i * BDPO_KEY_WORDS + k];
        bdpo_random_key key = bdpo_random_key_pack(word, at->purpose);
        for (int64_t e = 0; e < count; e++) {
            float value;
            draw(&value, 1, key, e);
            call->out[0][i * count + e] = (double)value;
        }
    }
}

// Equal bits are asked for; the tolerance only has to be above zero.
#define EQUAL .tolerance = 1e-12, .why = "the reference is the scalar core: all bits agree"

const bdpo_op_case bdpo_random_cases[BDPO_N_RANDOM_CASES] = {
    {.name = "latents",
     .in = {BDPO_IN_FILL(BDPO_FILL_BITS, 0, 3, 5)},
     .attrs = &(bdpo_random_options){2, {3, {8, 8, 4}}},
     EQUAL},
    {.name = "odd sizes",
     .in = {BDPO_IN_FILL(BDPO_FILL_BITS, 0, 2, 5)},
     .attrs = &(bdpo_random_options){255, {2, {7, 13}}},
     EQUAL},
    {.name = "small numbers in the key",
     .in = {BDPO_IN_FILL(BDPO_FILL_INDEX, 4, 7, 5)},
     .attrs = &(bdpo_random_options){0, {1, {19}}},
     EQUAL},
    {.name = "one number",
     .in = {BDPO_IN_FILL(BDPO_FILL_BITS, 0, 1, 5)},
     .attrs = &(bdpo_random_options){1, {1, {1}}},
     EQUAL},
    {.name = "a key of four words",
     .in = {BDPO_IN_FILL(BDPO_FILL_BITS, 0, 3, 4)},
     .attrs = &(bdpo_random_options){2, {1, {4}}},
     .refused = true},
    {.name = "a key of floats",
     .in = {BDPO_IN(3, 5)},
     .attrs = &(bdpo_random_options){2, {1, {4}}},
     .refused = true},
    {.name = "no such purpose",
     .in = {BDPO_IN_FILL(BDPO_FILL_BITS, 0, 3, 5)},
     .attrs = &(bdpo_random_options){256, {1, {4}}},
     .refused = true},
    {.name = "no axis for the batch",
     .in = {BDPO_IN_FILL(BDPO_FILL_BITS, 0, 3, 5)},
     .attrs = &(bdpo_random_options){2, {4, {1, 2, 3, 4}}},
     .refused = true},
    {.name = "empty samples",
     .in = {BDPO_IN_FILL(BDPO_FILL_BITS, 0, 3, 5)},
     .attrs = &(bdpo_random_options){2, {2, {4, 0}}},
     .refused = true},
};

// What the random operators share: their key input, shape rule, reference and cases.
#ifndef BDPO_RANDOM_KEY_H
#define BDPO_RANDOM_KEY_H

#include "base/random.h"
#include "ops/ops.h"

#include "graph/op.h"

enum { BDPO_KEY_WORDS = 5, BDPO_N_RANDOM_CASES = 9 };
extern const bdpo_op_case bdpo_random_cases[BDPO_N_RANDOM_CASES];

// The key of five words and a purpose, on any device.
static inline BDPO_HD bdpo_random_key bdpo_random_key_pack(const uint32_t *word, uint32_t purpose)
{
    bdpo_random_key key = {(uint64_t)word[1] << 32 | word[0],
                           (uint64_t)(word[3] & 0xffffffu) << 32 | word[2], word[4], purpose};
    return key;
}

bdpo_status bdpo_random_shape(bdpo_node *node);

// Row `sample` of input 0.
bdpo_random_key bdpo_random_key_of(const bdpo_op_call *call, int64_t sample);

void bdpo_random_reference(const bdpo_reference_call *call,
                           void (*draw)(float *out, int64_t count, bdpo_random_key key,
                                        int64_t first));

#endif

// The numbers that PyTorch's CPU generator gives for a seed, bit for bit: with them a seed means
// the same noise here as in a PyTorch program. A serial generator: draws depend on all earlier
// ones.
#ifndef BDPO_TORCH_RANDOM_H
#define BDPO_TORCH_RANDOM_H

#include "base/status.h"

// A plain value: copying it copies the position in the sequence.
typedef struct bdpo_torch_random {
    uint32_t state[624]; // Mersenne Twister 19937
    int next;            // index of the next word; 624: the state must be renewed first
    bool has_spare;      // the second normal of the last pair that was drawn one by one
    double spare;
} bdpo_torch_random;

// As torch.manual_seed(seed) or Generator.manual_seed(seed); only the low 32 bits count there too.
void bdpo_torch_random_init(bdpo_torch_random *random, uint64_t seed);

// As torch.rand(count), f32: in [0, 1).
void bdpo_torch_random_uniform(bdpo_torch_random *random, float *out, int64_t count);

// As torch.randn(count), f32, of a contiguous tensor of `count` elements in all. The shape matters:
// two calls of 8 are not one call of 16. From 16 values on PyTorch's AVX2 code is followed, which
// it also runs on AVX-512 machines; its build for processors without AVX2 differs in last bits.
void bdpo_torch_random_normal(bdpo_torch_random *random, float *out, int64_t count);

// As torch.randint(low, high, (count,)), i64: low <= out[i] < high.
void bdpo_torch_random_integers(bdpo_torch_random *random, int64_t *out, int64_t count, int64_t low,
                                int64_t high);

#endif

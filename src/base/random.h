// Counter-based randomness: a number is a function of what it is for, not of what was drawn before.
// So any device, thread or rank can draw any part, in any order, after any resume, and gets the
// same bits.
//
// The packing into Philox 4x32-10 is exact (no hashing: different keys never collide) and part of
// every run's reproducibility, so it never changes:
//
//     key     word 0 = seed, low half             word 1 = seed, high half
//     counter word 0 = block                      word 1 = step
//             word 2 = sample, low 32 bits        word 3 = sample, high 24 bits << 8 | purpose
//
// Element i of a sequence is lane i % 4 of block i / 4. Uniforms take one word each; normals take
// two words for two: lanes 0 and 1 are radius (word 0) times cosine and sine (word 1), lanes 2 and
// 3 the same from words 2 and 3.
#ifndef BDPO_RANDOM_H
#define BDPO_RANDOM_H

#include "base/random_core.h"
#include "base/status.h"

// What a draw is for; the values are part of the packing above.
typedef enum bdpo_random_purpose {
    BDPO_RANDOM_TEST = 0,
    BDPO_RANDOM_INIT = 1,         // parameters; sample = index of the parameter
    BDPO_RANDOM_NOISE = 2,        // diffusion noise of a training pair
    BDPO_RANDOM_TIMESTEP = 3,     // the pair's timestep
    BDPO_RANDOM_LATENT = 4,       // posterior sample of the autoencoder
    BDPO_RANDOM_DROPOUT = 5,      // random nodes of a graph
    BDPO_RANDOM_CAPTION_DROP = 6, // captions left out for guidance
    BDPO_RANDOM_SHUFFLE = 7,      // order of the data; step = epoch
    BDPO_RANDOM_AUGMENT = 8,      // crops and flips
    BDPO_RANDOM_LABEL = 9,        // ties, coins and random scorers
    BDPO_RANDOM_SAMPLER = 10,     // noise of generation
    BDPO_RANDOM_RESAMPLE = 11,    // bootstrap of statistics
    BDPO_RANDOM_WORLD = 12,       // the built-in world
} bdpo_random_purpose;

// Elements of one key's sequence.
#define BDPO_RANDOM_MAX_COUNT ((int64_t)1 << 34)

// Elements first to first + count of the key's sequence, one by one on the calling thread:
// uniform in (0, 1]; standard normal. kernels/random_fill.h is the same, fast.
void bdpo_random_uniform(float *out, int64_t count, bdpo_random_key key, int64_t first);
void bdpo_random_normal(float *out, int64_t count, bdpo_random_key key, int64_t first);

// An integer below n >= 1 from element `index` of the key's sequence, which takes two words here
// (block index / 2). Bias below n / 2^64.
uint32_t bdpo_random_below(bdpo_random_key key, int64_t index, uint32_t n);

// Aborts when a key or a range leaves the packing.
void bdpo_random_check(bdpo_random_key key, int64_t first, int64_t count);

#endif

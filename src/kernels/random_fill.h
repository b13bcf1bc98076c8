// The sequences of base/random.h, many elements at a time.
#ifndef BDPO_RANDOM_FILL_H
#define BDPO_RANDOM_FILL_H

#include "base/random.h"

// out[i] = element first + i of the key's sequence, uniform in (0, 1] or standard normal: the bits
// of bdpo_random_uniform() and bdpo_random_normal() on every instruction set, whatever the split
// into calls or threads.
void bdpo_random_fill_uniform(float *out, int64_t count, bdpo_random_key key, int64_t first,
                              int n_threads);
void bdpo_random_fill_normal(float *out, int64_t count, bdpo_random_key key, int64_t first,
                             int n_threads);

#endif

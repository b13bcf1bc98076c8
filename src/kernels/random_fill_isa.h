// Random fills of one instruction set: single-threaded, whole blocks of four elements.
#ifndef BDPO_RANDOM_FILL_ISA_H
#define BDPO_RANDOM_FILL_ISA_H

#include "base/random.h"

typedef struct bdpo_random_fill_table {
    // out[4 n_blocks]; `block` is the first one's number.
    void (*uniform)(float *out, int64_t n_blocks, bdpo_random_key key, uint32_t block);
    void (*normal)(float *out, int64_t n_blocks, bdpo_random_key key, uint32_t block);
} bdpo_random_fill_table;

#endif

// Between conv.c and the algorithms that it chooses from: one pass as a value, an algorithm as a
// table, and how threads share out jobs.
#ifndef BDPO_CONV_METHOD_H
#define BDPO_CONV_METHOD_H

#include "kernels/conv.h"

typedef struct bdpo_conv_call {
    bdpo_conv_shape shape;
    bdpo_conv_pass pass;
    float *out; // y, dx or dw
    int64_t ld_out;
    const float *in; // x, dy or x
    int64_t ld_in;
    const float *other; // w, w or dy
    int64_t ld_other;
    const float *bias; // FORWARD: [co] or NULL
    bool accumulate;   // WEIGHT_GRAD
    void *workspace;
    int n_threads;
} bdpo_conv_call;

// One algorithm in one instruction set. `run` starts its own threads.
typedef struct bdpo_conv_method {
    size_t (*workspace)(const bdpo_conv_shape *shape, bdpo_conv_pass pass, int n_threads);
    void (*run)(const bdpo_conv_call *call);
} bdpo_conv_method;

// Those of the active instruction set.
const bdpo_conv_method *bdpo_winograd(void);
const bdpo_conv_method *bdpo_conv_direct(void);

// The threads that work on one block of data. A team of one works alone and meets nobody.
typedef struct conv_team {
    int rank, size;
} conv_team;

static inline int64_t conv_div_up(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}
static inline int64_t conv_round_up(int64_t a, int64_t multiple)
{
    return conv_div_up(a, multiple) * multiple;
}
static inline int64_t conv_min(int64_t a, int64_t b)
{
    return a < b ? a : b;
}
static inline int64_t conv_max(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

// The first of the items that fall to `rank`; those of rank + 1 begin where they end.
static inline int64_t conv_share(int64_t n_items, int rank, int size)
{
    return n_items * rank / size;
}

// The fewest parts, at most `most`, into which each of `n` jobs must be cut so that `n_threads`
// threads are busy for nine tenths of the time.
static inline int64_t conv_parts(int64_t n, int64_t most, int n_threads)
{
    int64_t best = 1;
    double best_busy = 0;
    for (int64_t parts = 1; parts <= most; parts++) {
        double rounds = (double)conv_div_up(n * parts, n_threads);
        double busy = (double)(n * parts) / (rounds * n_threads);
        if (busy > best_busy) {
            best = parts;
            best_busy = busy;
        }
        if (busy >= 0.9) break;
    }
    return best;
}

#endif

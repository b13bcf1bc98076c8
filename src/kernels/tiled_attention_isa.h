// The attention kernels of one instruction set: single-threaded, one head of one sample, a range
// of queries (and, backward, of keys).
#ifndef BDPO_TILED_ATTENTION_ISA_H
#define BDPO_TILED_ATTENTION_ISA_H

#include "kernels/tiled_attention.h"

enum {
    BDPO_ATTENTION_COLUMN = 64,   // queries that share a register tile's lanes
    BDPO_ATTENTION_QUERIES = 256, // most queries of a block
    BDPO_ATTENTION_PAD = 16,      // rows of dk and dv are a multiple of this many floats
};

// One head of one sample: rows of head_size floats.
typedef struct bdpo_attention_head {
    int64_t tq, tk; // tk: keys that may be seen, that is the sample's key length
    int64_t d;
    float scale;
    bool causal;
    const float *q;     // [tq] rows, stride ldq
    const float *k, *v; // [tk][d], packed
    float *y, *lse;     // written by the forward pass; y [tq] rows, stride ldy; lse [tq]
    const float *seen_y, *seen_lse; // read by the backward pass
    const float *dy;                // [tq] rows, stride lddy
    float *dq;                      // [tq] rows, stride lddq; NULL: only dk and dv are wanted
    float *dk, *dv;                 // [tk][d rounded up to the pad]; NULL: only dq is wanted
    int64_t ldq, ldy, lddy, lddq;
} bdpo_attention_head;

typedef struct bdpo_attention_table {
    // Floats of workspace for a block of `queries`.
    int64_t (*forward_floats)(int64_t queries, int64_t d);
    int64_t (*backward_floats)(int64_t queries, int64_t d);
    // y and lse of queries [q0, q1), at most BDPO_ATTENTION_QUERIES; q0 a multiple of the column.
    void (*forward)(const bdpo_attention_head *h, int64_t q0, int64_t q1, float *workspace);
    // Queries [q0, q1) against keys [k0, k1): dq is written, summed over these keys; dk and dv
    // are added to. Every sum is one chain over keys, or over queries, in ascending order: the
    // bits do not depend on how the ranges are cut, as long as they are visited in order.
    void (*backward)(const bdpo_attention_head *h, int64_t q0, int64_t q1, int64_t k0, int64_t k1,
                     float *workspace);
} bdpo_attention_table;

#endif

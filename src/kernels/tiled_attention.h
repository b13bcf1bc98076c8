// Attention, y = softmax(scale * q k') v for every sample and head, without ever storing the
// scores: tiles of keys pass by with a running maximum and sum. The backward pass recomputes the
// probabilities from the saved log-sum-exp. f32.
#ifndef BDPO_TILED_ATTENTION_H
#define BDPO_TILED_ATTENTION_H

#include <bdpo/types.h>

// q, y [n, tq, heads * head_size]; k, v [n, tk, heads * head_size]. Each tensor has its own row
// stride (ld), so that slices of one q/k/v product are read in place; sample i begins at
// row i * tq or i * tk.
typedef struct bdpo_attention_shape {
    int64_t n, tq, tk, heads, head_size;
    float scale;                // most often 1 / sqrt(head_size)
    bool causal;                // query i sees keys 0..i
    const int32_t *key_lengths; // [n], sample i sees the first so many of its keys; NULL: all
} bdpo_attention_shape;

// lse [n, heads, tq] receives the log of the sum of exponentials of the scaled scores.
// A query that sees no key gets y = 0 and lse = -infinity.
size_t bdpo_attention_forward_workspace(const bdpo_attention_shape *s, int n_threads);
void bdpo_attention_forward(float *y, int64_t ldy, float *lse, const float *q, int64_t ldq,
                            const float *k, int64_t ldk, const float *v, int64_t ldv,
                            const bdpo_attention_shape *s, void *workspace, int n_threads);

// Writes all of dq, dk, dv from dy and the forward pass's y and lse. The same bits for any number
// of threads.
size_t bdpo_attention_backward_workspace(const bdpo_attention_shape *s, int n_threads);
void bdpo_attention_backward(float *dq, int64_t lddq, float *dk, int64_t lddk, float *dv,
                             int64_t lddv, const float *dy, int64_t lddy, const float *y,
                             int64_t ldy, const float *lse, const float *q, int64_t ldq,
                             const float *k, int64_t ldk, const float *v, int64_t ldv,
                             const bdpo_attention_shape *s, void *workspace, int n_threads);

#endif

// The operators, each under its formula and shapes. A builder adds one node to a graph and returns
// it, borrowed; when a shape does not fit, it returns NULL and bdpo_graph_check() tells why.
//
// "..": any leading axes. Activations are channels last, [n, h, w, c] or [n, t, c]. Values are f32
// unless said otherwise; weights may also rest in bf16 or f16. Arguments marked "may be NULL" are
// optional. "views": the argument may be a slice of channels, which is read where it lies.
#ifndef BDPO_OPS_H
#define BDPO_OPS_H

#include <bdpo/engine.h>

#ifdef __cplusplus
extern "C" {
#endif

// ---- products and convolution ------------------------------------------------------------------

// An activation fused behind a product. Where a gradient is needed it becomes a node of its own,
// since its slope needs the value before it.
typedef enum bdpo_activation {
    BDPO_NO_ACTIVATION,
    BDPO_SILU,
    BDPO_GELU,
    BDPO_QUICK_GELU
} bdpo_activation;

// y[r, :] = activation(w x[r, :] + b) for every row r. x [.., in] (views), w [out, in],
// b [out] or NULL -> y [.., out].
bdpo_node *bdpo_linear(bdpo_graph *g, bdpo_node *x, bdpo_node *w, bdpo_node *b,
                       bdpo_activation activation);

// y = op(a) op(b), batch by batch; op(a) [.., m, k] lies as [.., k, m] with trans_a, op(b)
// [.., k, n] as [.., n, k] with trans_b (views) -> y [.., m, n]. Two or three axes, equal batches.
bdpo_node *bdpo_matmul(bdpo_graph *g, bdpo_node *a, bdpo_node *b, bool trans_a, bool trans_b);

typedef struct bdpo_conv2d_options {
    int stride; // of both axes; 0 = 1
    int pad_top, pad_left, pad_bottom, pad_right;
    int algorithm; // 0 = by the table of shapes; the others are for tests
} bdpo_conv2d_options;

// y[n, i, j, :] = b + sum over ky, kx of w[:, ky, kx, :] x[n, i stride + ky - pad_top,
// j stride + kx - pad_left, :], x being zero outside the image.
// x [n, h, w, ci] (views), w [co, ky, kx, ci], b [co] or NULL -> y [n, h', w', co] with
// h' = (h + pad_top + pad_bottom - ky) / stride + 1. options NULL: stride 1, no padding.
bdpo_node *bdpo_conv2d(bdpo_graph *g, bdpo_node *x, bdpo_node *w, bdpo_node *b,
                       const bdpo_conv2d_options *options);

// ---- normalisation -----------------------------------------------------------------------------

typedef struct bdpo_group_norm_options {
    int groups;
    float eps;
    bool silu; // y = silu(normalised), in one pass
} bdpo_group_norm_options;

// y = gamma (x - mean) / sqrt(variance + eps) + beta, mean and variance over the positions and
// channels of a group of one sample. x [n, .., c] (views), gamma and beta [c], both or neither
// NULL -> y [n, .., c].
bdpo_node *bdpo_group_norm(bdpo_graph *g, bdpo_node *x, bdpo_node *gamma, bdpo_node *beta,
                           const bdpo_group_norm_options *options);

// The same over the last axis of each row. x [.., c] (views), gamma and beta [c], both or neither
// NULL -> y [.., c].
bdpo_node *bdpo_layer_norm(bdpo_graph *g, bdpo_node *x, bdpo_node *gamma, bdpo_node *beta,
                           float eps);

// y = x / max(|x|, eps), |x| being the length of a row. x [.., c] (views) -> y [.., c].
bdpo_node *bdpo_l2_normalize(bdpo_graph *g, bdpo_node *x, float eps);

// ---- attention and softmax ---------------------------------------------------------------------

typedef struct bdpo_attention_options {
    int heads;
    float scale; // of the scores; 0 = 1 / sqrt(head size)
    bool causal; // query i sees keys 0 .. i
} bdpo_attention_options;

// y = softmax(scale q k') v, head by head; the scores are never stored. q [n, .., heads * d]
// with tq positions, k and v [n, .., heads * d] with tk positions (views), key_lengths i32 [n] or
// NULL: sample i sees its first key_lengths[i] keys -> y of q's shape. A query that sees no key
// gets 0.
bdpo_node *bdpo_attention(bdpo_graph *g, bdpo_node *q, bdpo_node *k, bdpo_node *v,
                          bdpo_node *key_lengths, const bdpo_attention_options *options);

// y = exp(x) / sum of exp(x) over the last axis. x [.., c] (views) -> y [.., c].
bdpo_node *bdpo_softmax(bdpo_graph *g, bdpo_node *x);

// ---- activations -------------------------------------------------------------------------------

// y = f(x), any shape (views).
bdpo_node *bdpo_silu(bdpo_graph *g, bdpo_node *x);       // x sigmoid(x)
bdpo_node *bdpo_gelu(bdpo_graph *g, bdpo_node *x);       // x (1 + erf(x / sqrt 2)) / 2
bdpo_node *bdpo_quick_gelu(bdpo_graph *g, bdpo_node *x); // x sigmoid(1.702 x)
bdpo_node *bdpo_tanh(bdpo_graph *g, bdpo_node *x);
bdpo_node *bdpo_exp(bdpo_graph *g, bdpo_node *x);
bdpo_node *bdpo_sigmoid(bdpo_graph *g, bdpo_node *x);     // 1 / (1 + exp(-x))
bdpo_node *bdpo_log_sigmoid(bdpo_graph *g, bdpo_node *x); // -log(1 + exp(-x))
// min(max(x, lo), hi); the gradient passes where lo <= x <= hi.
bdpo_node *bdpo_clamp(bdpo_graph *g, bdpo_node *x, float lo, float hi);

// y = value gelu(gate). x [.., 2 c] holds value, then gate (views) -> y [.., c].
bdpo_node *bdpo_geglu(bdpo_graph *g, bdpo_node *x);

// ---- losses and sums ---------------------------------------------------------------------------

// loss = log(sum of exp(logits)) - logits[label]. logits [n, c] (views), labels i32 [n], those
// below 0 ignored (loss and gradient 0) -> loss [n].
bdpo_node *bdpo_cross_entropy(bdpo_graph *g, bdpo_node *logits, bdpo_node *labels);

// y = the sum of all rows. x [.., c] (views) -> y [c].
bdpo_node *bdpo_sum_over_rows(bdpo_graph *g, bdpo_node *x);

// Every row of y is x. x [c] -> y of `shape`, whose last axis is c.
bdpo_node *bdpo_broadcast_rows(bdpo_graph *g, bdpo_node *x, bdpo_shape shape);

// ---- arithmetic --------------------------------------------------------------------------------

// ---- layout and sampling -----------------------------------------------------------------------

// ---- reductions, embedding, random -------------------------------------------------------------

// ---- state -------------------------------------------------------------------------------------

#ifdef __cplusplus
}
#endif
#endif

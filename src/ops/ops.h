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
// NULL: sample i sees its first key_lengths[i] keys (below 0: none, above tk: all) -> y of q's
// shape. A query that sees no key gets 0.
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
bdpo_node *bdpo_square(bdpo_graph *g, bdpo_node *x);      // x x
// min(max(x, lo), hi); the gradient passes where lo < x < hi, as in PyTorch 2.15.
bdpo_node *bdpo_clamp(bdpo_graph *g, bdpo_node *x, float lo, float hi);

// y = value gelu(gate). x [.., 2 c] holds value, then gate (views) -> y [.., c].
bdpo_node *bdpo_geglu(bdpo_graph *g, bdpo_node *x);

// ---- losses ------------------------------------------------------------------------------------

// loss = log(sum of exp(logits)) - logits[label]. logits [n, c] (views), labels i32 [n], those
// below 0 ignored (loss and gradient 0), those of c or more a mistake (both NaN) -> loss [n].
bdpo_node *bdpo_cross_entropy(bdpo_graph *g, bdpo_node *logits, bdpo_node *labels);

// loss = -y log sigmoid(z) - (1 - y) log sigmoid(-z), of logits z and targets y in 0 .. 1 of one
// shape, each element for itself, in double and rounded once: log 2 at z = 0 whatever y is.
bdpo_node *bdpo_binary_cross_entropy(bdpo_graph *g, bdpo_node *logits, bdpo_node *targets);

// margin[i] = the mean of (a - b)(a + b - 2 target) over sample i: the mean squared error of a
// less that of b, without the cancellation, and 0 where a and b are the same bits.
// a, b, target [n, ..] -> margin [n].
bdpo_node *bdpo_error_margins(bdpo_graph *g, bdpo_node *a, bdpo_node *b, bdpo_node *target);

// y = x / (exp(x) - 1) - 1, to full precision near 0, where it is about -x / 2; any shape.
bdpo_node *bdpo_expm1_ratio(bdpo_graph *g, bdpo_node *x);

// ---- arithmetic --------------------------------------------------------------------------------

// y = a + b, a - b, a * b. b has a's shape or is repeated over it (views): [1]; [c] or
// [1, .., 1, c] for every position; [n, c] or [n, 1, .., 1, c] for every position of a sample;
// [n, 1, .., 1] for all of a sample; [1, .., c] for every sample; [.., 1] for every channel.
bdpo_node *bdpo_add(bdpo_graph *g, bdpo_node *a, bdpo_node *b);
bdpo_node *bdpo_sub(bdpo_graph *g, bdpo_node *a, bdpo_node *b);
bdpo_node *bdpo_mul(bdpo_graph *g, bdpo_node *a, bdpo_node *b);

// y = factor x, any shape (views).
bdpo_node *bdpo_scale(bdpo_graph *g, bdpo_node *x, float factor);

// y[i, ..] = s[i] x[i, ..]. x [n, ..] (views), s [n] -> y [n, ..].
bdpo_node *bdpo_per_sample_scale(bdpo_graph *g, bdpo_node *x, bdpo_node *s);

// y = x in another dtype, rounded to nearest even. f32, bf16 and f16 into one another, i32 and u8
// into f32 (views). Models do not need it: the plan casts where its compute dtype asks for it.
bdpo_node *bdpo_cast(bdpo_graph *g, bdpo_node *x, bdpo_dtype dtype);

// ---- layout and sampling -----------------------------------------------------------------------

// The x_i side by side on the last axis, or on the first; all other axes are equal. Up to 8
// (views) -> y [.., sum of c_i] or [sum of n_i, ..].
bdpo_node *bdpo_concat_channels(bdpo_graph *g, bdpo_node *const *x, int n);
bdpo_node *bdpo_concat_batch(bdpo_graph *g, bdpo_node *const *x, int n);

// Neighbouring parts of x (views), up to 6, from its beginning. Each part is itself a view:
// nothing is copied.
void bdpo_split_channels(bdpo_graph *g, bdpo_node *x, int n, const int64_t *counts,
                         bdpo_node **parts);
void bdpo_split_batch(bdpo_graph *g, bdpo_node *x, int n, const int64_t *counts, bdpo_node **parts);

// One part, from `begin`. Where several are taken, the gradient of a split costs less.
bdpo_node *bdpo_slice_channels(bdpo_graph *g, bdpo_node *x, int64_t begin, int64_t count);
bdpo_node *bdpo_slice_batch(bdpo_graph *g, bdpo_node *x, int64_t begin, int64_t count);

// x itself, or a copy without a row stride.
bdpo_node *bdpo_dense(bdpo_graph *g, bdpo_node *x);

// The same elements under another shape: a view. A view whose last axis changes is copied first.
bdpo_node *bdpo_reshape(bdpo_graph *g, bdpo_node *x, bdpo_shape shape);

// y.dim[i] = x.dim[order[i]], copied (views).
bdpo_node *bdpo_transpose(bdpo_graph *g, bdpo_node *x, const int *order);

// x [n, h, w, c] (views) -> y [n, 2 h, 2 w, c]: each pixel four times, or interpolated between the
// centres of the pixels (PyTorch's align_corners = False).
bdpo_node *bdpo_upsample_nearest2x(bdpo_graph *g, bdpo_node *x);
bdpo_node *bdpo_upsample_bilinear2x(bdpo_graph *g, bdpo_node *x);

// The means of blocks of k x k. x [n, h, w, c] (views) -> y [n, h / k, w / k, c], rounded down.
bdpo_node *bdpo_avg_pool(bdpo_graph *g, bdpo_node *x, int k);

// ---- reductions, embedding, random -------------------------------------------------------------

// What a reduction of x [n, .., c] keeps apart, and the shape of its result.
typedef enum bdpo_keep {
    BDPO_KEEP_NONE,           // [1]: everything is summed
    BDPO_KEEP_SAMPLE,         // [n]
    BDPO_KEEP_SAMPLE_CHANNEL, // [n, c]: global average pooling
    BDPO_KEEP_CHANNEL,        // [c]
    BDPO_KEEP_ROW,            // [n, ..]: the last axis is summed
    BDPO_KEEP_POSITION,       // [1, .., c]: samples are summed
    BDPO_KEEP_ALL             // nothing is summed
} bdpo_keep;

// The sum, or the mean, of what is not kept apart (views).
bdpo_node *bdpo_reduce_sum(bdpo_graph *g, bdpo_node *x, bdpo_keep keep);
bdpo_node *bdpo_reduce_mean(bdpo_graph *g, bdpo_node *x, bdpo_keep keep);

// loss[i] = the sum, or the mean, of (a - b)^2 over sample i. a, b [n, ..] -> loss [n].
bdpo_node *bdpo_squared_errors(bdpo_graph *g, bdpo_node *a, bdpo_node *b, bool mean);

// y[.., :] = table[ids[..], :]. table [v, c], ids i32 [..] -> y [.., c]. An id outside the table
// gives zeros.
bdpo_node *bdpo_embedding(bdpo_graph *g, bdpo_node *table, bdpo_node *ids);

// y[i, :] = x[i, index[i], :]. x [n, t, c] (views), index i32 [n] -> y [n, c]. An index outside
// the sequence gives zeros.
bdpo_node *bdpo_gather_rows(bdpo_graph *g, bdpo_node *x, bdpo_node *index);

typedef struct bdpo_timestep_options {
    int dim;
    bool cos_first;   // diffusers' flip_sin_to_cos; true in SD and SDXL
    float shift;      // diffusers' downscale_freq_shift; 0 in SD and SDXL
    float scale;      // of the timestep; 0 = 1
    float max_period; // 0 = 10000
} bdpo_timestep_options;

// Sines and cosines of t times falling frequencies. t f32 [n] -> y [n, dim]. No gradient.
bdpo_node *bdpo_timestep_embedding(bdpo_graph *g, bdpo_node *t,
                                   const bdpo_timestep_options *options);

// Everywhere the same number. No gradient.
bdpo_node *bdpo_fill(bdpo_graph *g, bdpo_shape shape, float value);

typedef struct bdpo_random_options {
    uint32_t purpose;  // what the numbers are for, below 256: other purpose, other numbers
    bdpo_shape sample; // of one sample, at most 3 axes
} bdpo_random_options;

// Standard normals, or uniforms in (0, 1], that depend on each sample's key and nothing else.
// key i32 [n, 5] = seed low, seed high, sample low, sample high, step, as 32-bit words; of the
// sample's number 56 bits count -> y [n, sample shape ..]. No gradient.
bdpo_node *bdpo_normal(bdpo_graph *g, bdpo_node *key, const bdpo_random_options *options);
bdpo_node *bdpo_uniform(bdpo_graph *g, bdpo_node *key, const bdpo_random_options *options);

// ---- state -------------------------------------------------------------------------------------

// These change the store in place and have no outputs: dst, param and what else they change come
// from bdpo_state() or bdpo_bucket(). Numbers are f32 [1] inputs, so that a plan runs with new
// ones each time.

// dst = src; of one dtype, or of two float dtypes.
bdpo_node *bdpo_copy(bdpo_graph *g, bdpo_node *dst, bdpo_node *src);
// dst = dst + weight (src - dst): a moving average with decay 1 - weight.
bdpo_node *bdpo_lerp(bdpo_graph *g, bdpo_node *dst, bdpo_node *src, bdpo_node *weight);
// dst = factor dst.
bdpo_node *bdpo_scale_in_place(bdpo_graph *g, bdpo_node *dst, bdpo_node *factor);
// dst = 0.
bdpo_node *bdpo_zero(bdpo_graph *g, bdpo_node *dst);

// previous + the sum of x^2, summed in double; previous [1] may be NULL -> [1].
bdpo_node *bdpo_sum_of_squares(bdpo_graph *g, bdpo_node *x, bdpo_node *previous);
// 1 if x is finite and `previous` is not 0, else 0; previous [1] may be NULL -> [1].
bdpo_node *bdpo_finite_check(bdpo_graph *g, bdpo_node *x, bdpo_node *previous);

// What a step of an optimiser reads. The gradient is multiplied by `clip`; a clip below 0, or NaN,
// skips the step: nothing changes. NULL: 1.
typedef struct bdpo_step_inputs {
    bdpo_node *lr;
    bdpo_node *step; // 1, 2, ..; sgd does not need it
    bdpo_node *clip;
} bdpo_step_inputs;

// In all of these, grad has param's shape, and shadow, which may be NULL, is bf16 of param's shape
// and receives the new values.

// p = p - lr clip g.
bdpo_node *bdpo_sgd(bdpo_graph *g, bdpo_node *param, bdpo_node *grad, const bdpo_step_inputs *at);

typedef struct bdpo_adamw_options {
    double beta1, beta2, eps, weight_decay;
} bdpo_adamw_options;

// AdamW as PyTorch's; m and v of param's shape, or all of them whole buckets.
bdpo_node *bdpo_adamw(bdpo_graph *g, bdpo_node *param, bdpo_node *grad, bdpo_node *m, bdpo_node *v,
                      bdpo_node *shadow, const bdpo_step_inputs *at,
                      const bdpo_adamw_options *options);

typedef struct bdpo_adamw_8bit_options {
    bdpo_adamw_options adamw;
    // How a moment becomes a code. false: the nearest level, as bitsandbytes does on CUDA. true:
    // what its CPU library does, which first rounds to a grid of 65536 points.
    bool binned;
} bdpo_adamw_8bit_options;

// AdamW as bitsandbytes' AdamW8bit: m and v are u8 codes with one absmax per 256 elements, or f32
// for tensors below 4096 elements (absmax NULL), as the store keeps them.
bdpo_node *bdpo_adamw_8bit(bdpo_graph *g, bdpo_node *param, bdpo_node *grad, bdpo_node *m,
                           bdpo_node *m_absmax, bdpo_node *v, bdpo_node *v_absmax,
                           bdpo_node *shadow, const bdpo_step_inputs *at,
                           const bdpo_adamw_8bit_options *options);

typedef struct bdpo_adafactor_options {
    double eps1, eps2;                               // transformers: 1e-30, 1e-3
    double clip_threshold, decay_rate, weight_decay; // 1.0, -0.8, 0
    bool scale_parameter; // the rate is relative to the parameter's root mean square
    bool relative_step;   // the rate is min(1e-2, 1 / sqrt(step)), lr is not used
    bool warmup_init;     // .. min(1e-6 step, 1 / sqrt(step))
} bdpo_adafactor_options;

// Adafactor as transformers' without a first moment; row and column as the store keeps them,
// column NULL for parameters of one axis.
bdpo_node *bdpo_adafactor(bdpo_graph *g, bdpo_node *param, bdpo_node *grad, bdpo_node *row,
                          bdpo_node *column, bdpo_node *shadow, const bdpo_step_inputs *at,
                          const bdpo_adafactor_options *options);

#ifdef __cplusplus
}
#endif
#endif

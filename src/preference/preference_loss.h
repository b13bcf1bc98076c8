// What a pair of pictures teaches: the losses of preference training, all behind one interface.
//
// ---- Notation ----------------------------------------------------------------------------------
// A pair has a picture 0 and a picture 1 of one prompt, noised by the same noise at the same
// timestep. For picture k, with N elements (h w c of the latent), prediction p of the policy, r of
// the reference, and target t:
//     m_k = mean (p - t)^2     r_k = mean (r - t)^2     means over the N elements, not sums
//     d_k = mean (p - r)(p + r - 2 t)                   = m_k - r_k, without the cancellation
//     s   = error scale of the pair's timestep          (timestep_use.h: epsilon space, min-SNR)
//     y   = label: the probability that picture 0 is chosen; 1, 0, or between (soft votes)
//     z   = (beta / 2) s (d_1 - d_0)                    the logit: above 0 where the policy, more
//                                                       than the reference, prefers picture 0
//     ce(z, y) = -y log sigma(z) - (1 - y) log sigma(-z)
// d is summed in double. Where policy and reference give the same bits, d, z are exactly 0, and
// ce is float(ln 2) whatever the label.
//
// ---- Losses ------------------------------------------------------------------------------------
//     dpo        ce(z, y')                              y' = e + (1 - 2 e) y, e: label_smoothing
//     poly-dpo   ce(z, y') + alpha (y' sigma(-z) + (1 - y') sigma(z))
//     ipo        (z - y + 1/2)^2 + y (1 - y)
//     sft        s (y m_0 + (1 - y) m_1)                no reference
//     mapo       s (y m_0 + (1 - y) m_1) + beta ce(z', y)            no reference
//                    z' = T (f(snr s m_0) - f(snr s m_1)),  f(x) = x / (exp(x) - 1)
// Each file gives its source and what differs from the published code; docs/losses.md tells users.
// All are symmetric: swapping the pictures and turning y into 1 - y changes nothing.
//
// ---- Layout ------------------------------------------------------------------------------------
// A batch of n pairs is [2 n, h, w, c] with the pictures of a pair side by side: 0 and 1 of pair 0,
// 0 and 1 of pair 1, .. So the two maps of a pair are one view [n, 2 h w, c], which can attend to
// the pair's text [n, t, c] in one call: its keys and values are then computed and stored once,
// not twice. In halves, all pictures 0 first, they would lie apart. Any range of pairs, for a
// micro-batch or a rank, is one block of memory too.
#ifndef BDPO_PREFERENCE_LOSS_H
#define BDPO_PREFERENCE_LOSS_H

#include <bdpo/engine.h>

#include "base/status.h"

// Name and word of the configuration.
#define BDPO_PREFERENCE_LIST(X)                                                                    \
    X(DPO, "dpo")                                                                                  \
    X(IPO, "ipo")                                                                                  \
    X(POLY_DPO, "poly-dpo")                                                                        \
    X(SFT, "sft")                                                                                  \
    X(MAPO, "mapo")

typedef enum bdpo_preference_kind {
#define X(name, text) BDPO_PREFERENCE_##name,
    BDPO_PREFERENCE_LIST(X)
#undef X
        BDPO_N_PREFERENCES
} bdpo_preference_kind;

typedef struct bdpo_preference_options {
    bdpo_preference_kind kind;
    double beta;            // dpo, ipo, poly-dpo: above 0; mapo: weight of its margin, 0 or more
    bool beta_per_element;  // dpo, ipo, poly-dpo: beta is for sums over elements, so that a pair of
                            // twice the elements has twice the logit; the mean's beta is beta N
    double label_smoothing; // dpo, poly-dpo: probability that a label is wrong; 0 to below 1/2
    double poly_alpha;      // poly-dpo: 0 or more; 0 is dpo to the bit
    double mapo_snr;        // mapo: above 0
    int n_train_steps;      // mapo: T, of the noise schedule
    double min_snr_gamma;   // above 0: each timestep's errors weigh min(SNR, gamma) / SNR; 0: all 1
} bdpo_preference_options;

// dpo, ipo, poly-dpo: beta 5000; poly-dpo: alpha 8; mapo: beta 0.1, SNR 0.5, T 1000. The rest 0.
bdpo_preference_options bdpo_preference_defaults(bdpo_preference_kind kind);

// The kind of a word; BDPO_BAD_ARGUMENT lists the words. And the word of a kind.
BDPO_MUST_CHECK bdpo_status bdpo_preference_find(bdpo_preference_kind *out, const char *word);
const char *bdpo_preference_name(bdpo_preference_kind kind);

// BDPO_BAD_ARGUMENT: a number out of its range. What concerns other kinds is not looked at.
BDPO_MUST_CHECK bdpo_status bdpo_preference_check(const bdpo_preference_options *options);

// True where the loss compares with a reference; the others can do without one.
bool bdpo_preference_needs_reference(bdpo_preference_kind kind);

// ---- beta --------------------------------------------------------------------------------------

// One strength in the conventions that people quote: mean = sum * n_elements.
typedef struct bdpo_preference_betas {
    double mean; // of mean squared errors with the factor 1/2: Diffusion-DPO's beta_dpo, 5000
    double half; // the same without the 1/2: diffusers' 2500; the logit's slope
    double sum;  // of sums of squared errors, with the 1/2: 0.305 for 5000 at 64 x 64 x 4
} bdpo_preference_betas;

// Of a kind with a logit that beta scales: dpo, ipo, poly-dpo. n_elements: h w c of a latent.
bdpo_preference_betas bdpo_preference_beta(const bdpo_preference_options *options,
                                           int64_t n_elements);
// All of them in one line, for a plan or a log, cut to `size` bytes.
void bdpo_preference_beta_print(char *out, size_t size, const bdpo_preference_options *options,
                                int64_t n_elements);

// ---- in a graph --------------------------------------------------------------------------------

typedef struct bdpo_preference_inputs {
    bdpo_node *policy;      // [2 n, ..]; for sft without labels [n, ..], the chosen pictures only
    bdpo_node *reference;   // of policy's shape; NULL where the kind needs none
    bdpo_node *target;      // of policy's shape, in the model's own space: noise, or velocity
    bdpo_node *labels;      // [n] y; NULL only for sft
    bdpo_node *weights;     // [n]; 0 skips a pair. The loss divides by nothing: weights that sum to
                            // 1 over an update give its mean, however it is cut
    bdpo_node *error_scale; // [n] s
} bdpo_preference_inputs;

typedef struct bdpo_preference_outputs {
    bdpo_node *loss;            // [1]: sum of weight * pair_loss
    bdpo_node *pair_loss;       // [n]
    bdpo_node *logit;           // [n]: z, mapo's z'; NULL for sft
    bdpo_node *policy_error;    // [2 n] m, or [n]; in the model's own space, without s
    bdpo_node *reference_error; // [2 n] r; NULL without a reference
} bdpo_preference_outputs;

// Adds the loss, in f32 whatever the plan computes in. Gradients flow to `policy` only; that others
// depend on trainable values is refused. Failures stick to the graph. A pair of weight 0 needs
// finite predictions and label too: its gradient is 0 times what stands there.
void bdpo_preference_build(bdpo_preference_outputs *out, bdpo_graph *g,
                           const bdpo_preference_inputs *in,
                           const bdpo_preference_options *options);

// ---- in plain double ---------------------------------------------------------------------------

// The errors of one pair, for validation and tests.
typedef struct bdpo_preference_pair {
    double policy[2], reference[2]; // m and r
    double margin[2];               // d
    double error_scale, label;      // s and y
    int64_t n_elements;             // N
} bdpo_preference_pair;

// The errors of picture k from its predictions, [n_elements] each; reference may be NULL.
void bdpo_preference_measure(bdpo_preference_pair *pair, int k, const float *policy,
                             const float *reference, const float *target, int64_t n_elements);

// z, or mapo's z'; 0 for sft.
double bdpo_preference_logit(const bdpo_preference_options *options,
                             const bdpo_preference_pair *pair);
double bdpo_preference_pair_loss(const bdpo_preference_options *options,
                                 const bdpo_preference_pair *pair);

// ---- what a trainer logs -----------------------------------------------------------------------

// Sums over pairs, begun as all zero; pairs of weight 0 do not count, others count once whatever
// their weight. "Chosen" is picture 0 with probability y, else picture 1.
typedef struct bdpo_preference_tally {
    int64_t n_pairs;
    int64_t n_decided; // of them, labels other than 1/2
    double right;      // of the decided: 1 where the logit has the label's side, 1/2 where it is 0
    double loss;
    double logit;           // toward the chosen picture: (2 y - 1) z
    double gradient_factor; // |sigma(z) - y|: 1/2 at the start, to 0 as a hard label is learnt
    double error[2][2];     // [chosen, rejected][policy, reference]
} bdpo_preference_tally;

// What the plan read and gave for n pairs; logit and reference_error may be NULL. Labels are NULL
// where only chosen pictures were given: errors are then [n].
typedef struct bdpo_preference_results {
    const float *labels, *weights, *pair_loss, *logit; // [n]
    const float *policy_error, *reference_error;       // [2 n]
} bdpo_preference_results;

void bdpo_preference_tally_add(bdpo_preference_tally *tally, const bdpo_preference_results *results,
                               int64_t n_pairs);
// right / n_decided: the implicit accuracy; NaN where nothing is decided.
double bdpo_preference_accuracy(const bdpo_preference_tally *tally);

#endif

// One kind of loss, as preference_loss.c sees it: a table of what each file offers.
#ifndef BDPO_LOSS_KIND_H
#define BDPO_LOSS_KIND_H

#include "ops/ops.h"
#include "preference/preference_loss.h"

// What a loss is built from; numbers of a pair are [n, 1].
typedef struct bdpo_loss_parts {
    bdpo_graph *g;
    const bdpo_preference_options *options;
    bdpo_node *label;    // y
    bdpo_node *error[2]; // s m_0, s m_1; only [0] where there are no labels: the chosen picture
    bdpo_node *logit;    // z, where there is a reference; mapo puts its own in
} bdpo_loss_parts;

typedef struct bdpo_loss_kind {
    bool has_beta; // the logit is z: the kind needs a reference and beta scales it
    bdpo_status (*check)(const bdpo_preference_options *options); // of its own numbers; or NULL
    bdpo_node *(*build)(bdpo_loss_parts *parts);                  // the pair's loss, [n, 1]
    // The same in double; z is what `logit` gave.
    double (*logit)(const bdpo_preference_options *options, const bdpo_preference_pair *pair);
    double (*loss)(const bdpo_preference_options *options, const bdpo_preference_pair *pair,
                   double z);
} bdpo_loss_kind;

extern const bdpo_loss_kind bdpo_loss_dpo, bdpo_loss_ipo, bdpo_loss_poly_dpo, bdpo_loss_sft,
    bdpo_loss_mapo;

// What several kinds share.

// factor x + shift.
bdpo_node *bdpo_loss_affine(bdpo_graph *g, bdpo_node *x, double factor, double shift);
// y a + (1 - y) b: the mean of what the label chooses.
bdpo_node *bdpo_loss_choose(bdpo_graph *g, bdpo_node *label, bdpo_node *a, bdpo_node *b);

// z = (beta / 2) s (d_1 - d_0).
double bdpo_loss_logit(const bdpo_preference_options *options, const bdpo_preference_pair *pair);
// ce(z, y), and sigma(z).
double bdpo_loss_cross_entropy(double z, double y);
double bdpo_loss_sigmoid(double z);

// dpo and poly-dpo: y' = e + (1 - 2 e) y, and the check of e.
bdpo_node *bdpo_dpo_label(const bdpo_loss_parts *parts);
double bdpo_dpo_label_of(const bdpo_preference_options *options, double label);
BDPO_MUST_CHECK bdpo_status bdpo_dpo_check(const bdpo_preference_options *options);

// sft and mapo: s (y m_0 + (1 - y) m_1).
bdpo_node *bdpo_sft_build(bdpo_loss_parts *parts);
double bdpo_sft_loss(const bdpo_preference_options *options, const bdpo_preference_pair *pair,
                     double z);

#endif

// Diffusion-DPO, with hard, conservative and soft labels.
//
//     loss = ce(z, y'),  z = (beta / 2) s (d_1 - d_0),  y' = e + (1 - 2 e) y
//     dloss/dz = sigma(z) - y'
//
// Wallace et al. 2023 (arXiv 2311.12908): equation 14 with T w folded into beta, and the 1/2 of
// appendix S4, which the published train.py has as well; its errors are means over a latent's
// elements, so its beta 5000 is 5000 / N on their sums. y' < 1: Mitchell's note on conservative DPO
// (2023), e being the probability that a label is wrong. Soft y: the same cross-entropy with the
// share of votes for its target.
#include "preference/loss_kind.h"

bdpo_status bdpo_dpo_check(const bdpo_preference_options *options)
{
    double e = options->label_smoothing;
    if (!(e >= 0 && e < 0.5))
        return bdpo_fail(BDPO_BAD_ARGUMENT,
                         "label smoothing %g; expected 0 or more, below 0.5: the probability that "
                         "a label is wrong",
                         e);
    return BDPO_OK;
}

bdpo_node *bdpo_dpo_label(const bdpo_loss_parts *parts)
{
    double e = parts->options->label_smoothing;
    return e > 0 ? bdpo_loss_affine(parts->g, parts->label, 1 - 2 * e, e) : parts->label;
}

double bdpo_dpo_label_of(const bdpo_preference_options *options, double label)
{
    double e = options->label_smoothing;
    return e + (1 - 2 * e) * label;
}

static bdpo_node *build(bdpo_loss_parts *parts)
{
    return bdpo_binary_cross_entropy(parts->g, parts->logit, bdpo_dpo_label(parts));
}

static double loss(const bdpo_preference_options *options, const bdpo_preference_pair *pair,
                   double z)
{
    return bdpo_loss_cross_entropy(z, bdpo_dpo_label_of(options, pair->label));
}

const bdpo_loss_kind bdpo_loss_dpo = {.has_beta = true,
                                      .check = bdpo_dpo_check,
                                      .build = build,
                                      .logit = bdpo_loss_logit,
                                      .loss = loss};

// Poly-DPO: DPO whose pairs weigh more the surer the model already is of their label.
//
//     loss = ce(z, y') + alpha (y' sigma(-z) + (1 - y') sigma(z))
//     for a hard label, p = sigma(z) of the chosen: -log p + alpha (1 - p), and
//     dloss/dz = -(1 - p)(1 + alpha p)
//
// ViPO (arXiv 2604.24953): -log p + alpha (1 - p). Its alpha is 8 on Pick-a-Pic v2 and 0, which is
// DPO, on clean data. Soft labels: ours, the mean over which picture is chosen.
#include "preference/loss_kind.h"

static bdpo_status check(const bdpo_preference_options *options)
{
    if (!(options->poly_alpha >= 0 && options->poly_alpha <= 1e6))
        return bdpo_fail(BDPO_BAD_ARGUMENT, "poly-dpo: alpha %g; expected 0 to 1e6",
                         options->poly_alpha);
    return bdpo_dpo_check(options);
}

static bdpo_node *build(bdpo_loss_parts *parts)
{
    bdpo_graph *g = parts->g;
    double alpha = parts->options->poly_alpha;
    bdpo_node *y = bdpo_dpo_label(parts), *z = parts->logit;
    bdpo_node *cross_entropy = bdpo_binary_cross_entropy(g, z, y);
    if (alpha == 0) return cross_entropy;
    bdpo_node *for_1 = bdpo_sigmoid(g, bdpo_scale(g, z, -1.0f)), *for_0 = bdpo_sigmoid(g, z);
    bdpo_node *unsure = bdpo_loss_choose(g, y, for_1, for_0); // 1 - p
    return bdpo_add(g, cross_entropy, bdpo_scale(g, unsure, (float)alpha));
}

static double loss(const bdpo_preference_options *options, const bdpo_preference_pair *pair,
                   double z)
{
    double y = bdpo_dpo_label_of(options, pair->label);
    double unsure = y * bdpo_loss_sigmoid(-z) + (1 - y) * bdpo_loss_sigmoid(z);
    return bdpo_loss_cross_entropy(z, y) + options->poly_alpha * unsure;
}

const bdpo_loss_kind bdpo_loss_poly_dpo = {
    .has_beta = true, .check = check, .build = build, .logit = bdpo_loss_logit, .loss = loss};

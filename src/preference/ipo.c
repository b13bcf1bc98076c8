// IPO: the margin is drawn to a fixed value instead of to infinity, so sure labels do not
// over-fit.
//
//     loss = (z - y + 1/2)^2 + y (1 - y)
//     for a hard label, z toward the chosen: (z - 1/2)^2; least, 0, at z = 1/2
//
// Azar et al. 2023 (arXiv 2310.12036), equation 17: (h - 1 / (2 tau))^2, h the difference of log
// ratios. With z = beta h and tau = beta it is ours over beta^2. We keep the beta^2: the minimum is
// the same, and the gradient at the start is DPO's times two for every beta, where the published
// form's is smaller by beta^2 and vanishes beside Adam's eps. diffusers' script has h without the
// 1/2, and reads an argument that it does not declare. Soft labels: ours, the mean over which
// picture is chosen, y (z - 1/2)^2 + (1 - y)(z + 1/2)^2; least at z = y - 1/2.
#include "preference/loss_kind.h"

static bdpo_node *build(bdpo_loss_parts *parts)
{
    bdpo_graph *g = parts->g;
    bdpo_node *y = parts->label;
    bdpo_node *away = bdpo_sub(g, parts->logit, bdpo_loss_affine(g, y, 1, -0.5));
    bdpo_node *doubt = bdpo_mul(g, y, bdpo_loss_affine(g, y, -1, 1));
    return bdpo_add(g, bdpo_square(g, away), doubt);
}

static double loss(const bdpo_preference_options *options, const bdpo_preference_pair *pair,
                   double z)
{
    (void)options;
    double y = pair->label, away = z - (y - 0.5);
    return away * away + y * (1 - y);
}

const bdpo_loss_kind bdpo_loss_ipo = {
    .has_beta = true, .build = build, .logit = bdpo_loss_logit, .loss = loss};

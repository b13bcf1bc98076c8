// MaPO: a margin of bounded scores without a reference, beside SFT on the chosen picture.
//
//     loss = s (y m_0 + (1 - y) m_1) + beta ce(z', y)
//     z' = T (f(snr s m_0) - f(snr s m_1)),  f(x) = x / (exp(x) - 1), which falls from 1 to 0
//
// Hong et al. 2024 (arXiv 2406.06424); the constants and the factor T are those of its published
// utils.py: beta 0.1, SNR 0.5, T the number of training timesteps. There f is computed as written
// and overflows for x above 88; ours does not. There a v model's errors are in v; ours are in
// epsilon (timestep_use.h). Soft labels: ours.
#include "preference/loss_kind.h"

#include <math.h>

static bdpo_status check(const bdpo_preference_options *options)
{
    if (!(options->mapo_snr > 0 && options->mapo_snr <= 1e6))
        return bdpo_fail(BDPO_BAD_ARGUMENT, "mapo: SNR %g; expected above 0, at most 1e6",
                         options->mapo_snr);
    if (options->n_train_steps < 1)
        return bdpo_fail(BDPO_BAD_ARGUMENT, "mapo: %d training timesteps; expected 1 or more",
                         options->n_train_steps);
    return BDPO_OK;
}

// f - 1, whose small values keep their digits; the 1 cancels in the difference.
static bdpo_node *score(const bdpo_loss_parts *parts, int k)
{
    double snr = parts->options->mapo_snr;
    return bdpo_expm1_ratio(parts->g, bdpo_scale(parts->g, parts->error[k], (float)snr));
}

static bdpo_node *build(bdpo_loss_parts *parts)
{
    bdpo_graph *g = parts->g;
    const bdpo_preference_options *o = parts->options;
    bdpo_node *margin = bdpo_sub(g, score(parts, 0), score(parts, 1));
    parts->logit = bdpo_scale(g, margin, (float)o->n_train_steps);
    bdpo_node *ratio = bdpo_binary_cross_entropy(g, parts->logit, parts->label);
    return bdpo_add(g, bdpo_sft_build(parts), bdpo_scale(g, ratio, (float)o->beta));
}

static double score_of(double x)
{
    return x == 0 ? 1 : x / expm1(x);
}

static double logit(const bdpo_preference_options *options, const bdpo_preference_pair *pair)
{
    double scale = options->mapo_snr * pair->error_scale;
    return options->n_train_steps *
           (score_of(scale * pair->policy[0]) - score_of(scale * pair->policy[1]));
}

static double loss(const bdpo_preference_options *options, const bdpo_preference_pair *pair,
                   double z)
{
    return bdpo_sft_loss(options, pair, z) +
           options->beta * bdpo_loss_cross_entropy(z, pair->label);
}

const bdpo_loss_kind bdpo_loss_mapo = {
    .check = check, .build = build, .logit = logit, .loss = loss};

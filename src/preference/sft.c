// SFT: ordinary denoising training on the chosen pictures.
//
//     loss = s (y m_0 + (1 - y) m_1),  or s m where only chosen pictures are given
//
// train.py's --sft: the mean squared error of winners, no reference. There timesteps and noises are
// drawn for each picture; here the pair's are shared, as the pictures are not both chosen. m is in
// the model's own space (timestep_use.h).
#include "preference/loss_kind.h"

bdpo_node *bdpo_sft_build(bdpo_loss_parts *parts)
{
    if (!parts->label) return parts->error[0];
    return bdpo_loss_choose(parts->g, parts->label, parts->error[0], parts->error[1]);
}

double bdpo_sft_loss(const bdpo_preference_options *options, const bdpo_preference_pair *pair,
                     double z)
{
    (void)options;
    (void)z;
    double y = pair->label;
    return pair->error_scale * (y * pair->policy[0] + (1 - y) * pair->policy[1]);
}

static double no_logit(const bdpo_preference_options *options, const bdpo_preference_pair *pair)
{
    (void)options;
    (void)pair;
    return 0;
}

const bdpo_loss_kind bdpo_loss_sft = {
    .build = bdpo_sft_build, .logit = no_logit, .loss = bdpo_sft_loss};

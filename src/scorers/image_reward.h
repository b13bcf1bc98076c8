// ImageReward v1.0: how well a person would like a picture for a prompt, about -2.3 to 2.
//
// Fields of a configuration, beside those of every scorer:
//   checkpoint   ImageReward.pt, a safetensors file of the same names, or a folder with one of
//   them;
//                a med_config.json beside it is read
//   tokenizer    bert-base-uncased's vocab.txt or tokenizer.json, or a folder with one of them;
//   else
//                looked for beside the checkpoint, there also in "bert-base-uncased"
//   vision_heads, text_heads   of sizes that were not published; else one to 64 channels
#ifndef BDPO_IMAGE_REWARD_H
#define BDPO_IMAGE_REWARD_H

#include "scorers/scorer.h"

extern const bdpo_scorer_family bdpo_family_image_reward;

#endif

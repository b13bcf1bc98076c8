// Folders with a small ImageReward, whose weights are those of tools/parity/image_reward.py: made
// by tests, as they would be too large to keep.
#ifndef REWARD_CHECKPOINT_H
#define REWARD_CHECKPOINT_H

#include "models/blip.h"

// The sizes, with vision_proj and text_proj.
bdpo_blip_config reward_sizes(void);

// What a test does to the list of tensors before they are written. NULL: nothing.
typedef struct reward_change {
    const char *drop; // a tensor that is left out; one that ends in '*' stands for all of a prefix
    const char *add;  // a tensor [3] too many
    const char *resize; // a tensor that comes out one row shorter
    const char *spoil;  // a tensor that begins with a NaN
    bool bare;          // without vision_proj and text_proj
} reward_change;

// A directory `name` in the scratch directory (models/scratch.h) with ImageReward.safetensors,
// scorer.json and a vocabulary. Returns its path, valid until the test ends.
const char *reward_checkpoint(const char *name, const reward_change *change);

#endif

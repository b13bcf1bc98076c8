// ImageReward v1.0: how well a person would like a picture for a prompt, about -2.3 to 2. Its
// checkpoint is ImageReward.pt or a safetensors file of the same names; sizes come from the shapes,
// and from a med_config.json beside it where there is one. A new row of the table of scorers
// (scorer.h); everything else of it is private.
#ifndef BDPO_IMAGE_REWARD_H
#define BDPO_IMAGE_REWARD_H

#include "formats/tensor_file.h"
#include "models/blip.h"

// What the published model's raw number is shifted by and divided by.
#define BDPO_IMAGE_REWARD_MEAN 0.16717362830052426
#define BDPO_IMAGE_REWARD_STD  1.0333394966054072

// The sizes of a checkpoint. `med_config` is the path of BLIP's configuration of its text encoder,
// or NULL: then heads are 64 wide. BAD_FILE names the tensor or the field that does not fit.
BDPO_MUST_CHECK bdpo_status bdpo_image_reward_config(bdpo_blip_config *out,
                                                     const bdpo_tensor_file *file,
                                                     const char *med_config);

#endif

// The sizes of an ImageReward checkpoint: of the shapes of its tensors, of the med_config.json that
// BLIP keeps beside it, and of what its package fixes in code.
#ifndef BDPO_BLIP_SIZES_H
#define BDPO_BLIP_SIZES_H

#include "formats/json.h"
#include "models/blip.h"
#include "models/component.h"

// A file of tensors under ImageReward's names is a component of this kind.
const bdpo_component_spec *bdpo_blip_spec(void);

typedef struct bdpo_blip_size_options {
    const bdpo_json *med_config;  // the root of med_config.json; NULL: the file has none
    int vision_heads, text_heads; // 0: what med_config says, else one to 64 channels
} bdpo_blip_size_options;

// A published width has the published number of layers, so that a file that ends early is not taken
// for a smaller model; of other widths the layers are counted. BAD_FILE and UNSUPPORTED name the
// file and the tensor or the field. Whether all tensors fit is bdpo_component_check()'s to say.
BDPO_MUST_CHECK bdpo_status bdpo_blip_sizes(bdpo_blip_config *out, const bdpo_component *component,
                                            const bdpo_blip_size_options *options);

#endif

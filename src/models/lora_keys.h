// How the tensors of an adapter are called in the files that are about:
//
//     diffusers   unet.<path>.lora_A.weight            .lora.down.weight in older ones
//     ..          text_encoder.<path>.lora_linear_layer.down.weight
//     ..          unet.<block>.processor.to_q_lora.down.weight in the oldest
//     PEFT        base_model.model.<path>.lora_A.weight
//     kohya       lora_unet_<path with _ for .>.lora_down.weight, beside it .alpha; for SDXL the
//                 path is the original code base's ("input_blocks_4_1_..")
//
// <path> is a layer's path in diffusers or transformers.
#ifndef BDPO_LORA_KEYS_H
#define BDPO_LORA_KEYS_H

#include "models/naming.h"
#include "models/param_list.h"

// The component whose layers the adapters belong to.
typedef struct bdpo_lora_component {
    const char *name;              // "unet", "text_encoder", "text_encoder_2"
    const bdpo_param_list *params; // its parameters
    const bdpo_naming *naming;     // of the original code base; NULL: its names are not looked for
} bdpo_lora_component;

// The names of one adapter's tensors.
typedef struct bdpo_lora_keys {
    char down[2 * BDPO_NAME_BYTES], up[2 * BDPO_NAME_BYTES], alpha[2 * BDPO_NAME_BYTES];
} bdpo_lora_keys;

// The spellings in the order in which they are looked for; the first is how we write a diffusers
// file. False where the layer has no name of this spelling.
enum { BDPO_LORA_N_SPELLINGS = 17 };
bool bdpo_lora_spell(bdpo_lora_keys *out, int spelling, const bdpo_lora_component *component,
                     const char *path);

// How we write a kohya file: `original` takes the names of the original code base.
bool bdpo_lora_spell_kohya(bdpo_lora_keys *out, const bdpo_lora_component *component,
                           const char *path, bool original, bool two_text_encoders);

#endif

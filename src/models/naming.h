// What a tensor is called: in a diffusers directory ("down_blocks.0.resnets.0.conv1.weight") and in
// a single-file original of the latent-diffusion and open_clip code bases
// ("input_blocks.1.0.in_layers.2.weight"), without the prefix of its component.
//
// Both ways go through one table of a component's modules, made for its number of blocks. Only two
// things differ beyond the name: open_clip stacks the weights of q, k and v in one tensor and keeps
// its projection transposed, and the VAE's attention is made of 1x1 convolutions.
#ifndef BDPO_NAMING_H
#define BDPO_NAMING_H

#include <jansson.h>

#include "base/status.h"

enum { BDPO_NAME_BYTES = 256 };

typedef enum bdpo_naming_kind {
    BDPO_NAMES_UNET,
    BDPO_NAMES_VAE,
    BDPO_NAMES_CLIP_TEXT, // transformers' names, also in single files
    BDPO_NAMES_OPEN_CLIP, // the same model under open_clip's names in single files; a whole CLIP
                          // where the configuration has text_config and vision_config
    BDPO_NAMES_OWN        // of another model: the file's, which are the same everywhere
} bdpo_naming_kind;

// A name, and which part of the tensor of the original it means.
typedef struct bdpo_tensor_name {
    char text[BDPO_NAME_BYTES];
    int third;       // 0, 1, 2: its rows, when divided in three, are these; -1: all
    bool transposed; // the original is [in, out]
    bool conv;       // the original is a 1x1 convolution [out, in, 1, 1]
} bdpo_tensor_name;

typedef struct bdpo_naming bdpo_naming;

// `config` is the root of the component's config.json, which tells the number of blocks; `file`
// names it in messages. *out is the caller's, released by bdpo_naming_free().
BDPO_MUST_CHECK bdpo_status bdpo_naming_new(bdpo_naming **out, bdpo_naming_kind kind,
                                            const json_t *config, const char *file);
void bdpo_naming_free(bdpo_naming *naming);

// The original's name of a diffusers name; false where the original has none.
bool bdpo_naming_to_original(bdpo_tensor_name *out, const bdpo_naming *naming, const char *name);

// The diffusers names of an original's name: 0 where there is none, 3 for stacked q, k and v, else
// 1. Fills out[0 .. n - 1].
int bdpo_naming_to_diffusers(bdpo_tensor_name out[3], const bdpo_naming *naming, const char *name);

// Today's diffusers name of what older and newer writers call otherwise: `module.` in front, the
// VAE's attention as query, key, value and proj_attn, text models without `text_model.`. False
// where the name is too long.
bool bdpo_naming_modern(char out[BDPO_NAME_BYTES], bdpo_naming_kind kind, const char *name);

// True for what files carry beside weights: position_ids, schedule buffers, moving averages.
// `name` is whole, with the prefix of its component and with or without PyTorch's `state_dict.`.
bool bdpo_naming_ignored(const char *name);

#endif

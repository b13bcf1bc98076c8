// open_clip's configurations of a CLIP model, as transformers' config.json would state them, and
// the architectures whose files carry none.
#ifndef BDPO_OPEN_CLIP_CONFIG_H
#define BDPO_OPEN_CLIP_CONFIG_H

#include "formats/json.h"
#include "formats/tensor_file.h"

// How the tensors of a file are called, and what stands before each name.
typedef struct bdpo_clip_names {
    bool open_clip; // "visual.conv1.weight"; else transformers' "vision_model.."
    char prefix[64];
} bdpo_clip_names;

// BAD_FILE where the file holds no image tower under names that we know.
BDPO_MUST_CHECK bdpo_status bdpo_clip_names_find(bdpo_clip_names *out,
                                                 const bdpo_tensor_file *file);

// From open_clip_config.json (or the plain file of an architecture): *out is the caller's, released
// by json_decref(). UNSUPPORTED names a field that asks for another kind of model.
BDPO_MUST_CHECK bdpo_status bdpo_open_clip_config_convert(json_t **out, const bdpo_json *root);

// The same for a name: "ViT-B-32", "ViT-B-16", "ViT-L-14", "ViT-L-14-336", "ViT-H-14", "ViT-g-14",
// "ViT-bigG-14". The activation is left out: the name does not tell it; with "-quickgelu" behind
// the name it does. BAD_ARGUMENT for another name; the sentence lists them.
BDPO_MUST_CHECK bdpo_status bdpo_open_clip_config_named(json_t **out, const char *name);

// The name of the architecture whose sizes the tensors have. UNSUPPORTED where there is none: then
// a configuration is needed, since the number of heads does not show.
BDPO_MUST_CHECK bdpo_status bdpo_open_clip_config_guess(const char **name,
                                                        const bdpo_tensor_file *file,
                                                        const bdpo_clip_names *names);

#endif

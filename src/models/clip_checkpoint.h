// A whole CLIP model on disk, whoever wrote it:
//
//     transformers   a folder with config.json and model.safetensors, pytorch_model.bin or shards;
//                    or such a file with its config.json beside it
//     open_clip      a folder with open_clip_config.json and open_clip_model.safetensors or
//                    open_clip_pytorch_model.bin; or a .safetensors, .pt or .bin under its names,
//                    plain, below "state_dict" or behind "module."
//
// The sizes are from the configuration beside the weights, else from a named architecture, else
// from the tensors' shapes where these are those of a known one. The activation is never guessed:
// the configuration or the caller says it.
#ifndef BDPO_CLIP_CHECKPOINT_H
#define BDPO_CLIP_CHECKPOINT_H

#include "models/clip_text.h"
#include "models/clip_vision.h"
#include "models/component.h"

typedef struct bdpo_clip_checkpoint bdpo_clip_checkpoint;

// All may be NULL: then the files decide.
typedef struct bdpo_clip_checkpoint_options {
    const char *config;           // path of a configuration of either form
    const char *architecture;     // where no configuration lies beside: "ViT-H-14"
    const char *activation;       // where nothing says it: "gelu" or "quick_gelu"
    const char *force_activation; // whatever the files say
} bdpo_clip_checkpoint_options;

// The file of weights in a folder or at a path, and for a folder which world's. NOT_FOUND names
// what was looked for.
BDPO_MUST_CHECK bdpo_status bdpo_clip_weights_find(char out[4096], const char *path);

// *out is the caller's, closed by bdpo_clip_checkpoint_close() after every store that maps its
// weights. Failures name the file, and the tensors that are missing, left over or misshapen.
BDPO_MUST_CHECK bdpo_status bdpo_clip_checkpoint_open(bdpo_clip_checkpoint **out, const char *path,
                                                      const bdpo_clip_checkpoint_options *options);
void bdpo_clip_checkpoint_close(bdpo_clip_checkpoint *checkpoint); // NULL is fine

// Borrowed from the checkpoint.
typedef struct bdpo_clip_checkpoint_info {
    const char *weights;    // the file
    const char *names;      // "transformers" or "open_clip"
    const char *sizes_from; // a configuration's path, "architecture ViT-H-14" or "shapes of .."
    const char *activation; // "gelu" or "quick_gelu"
    bdpo_clip_text_config text;
    bdpo_clip_vision_config vision;
    double logit_scale; // as stored: a logarithm
} bdpo_clip_checkpoint_info;
bdpo_clip_checkpoint_info bdpo_clip_checkpoint_get_info(const bdpo_clip_checkpoint *checkpoint);

// Both towers in a sealed store, as stored: half widths stay, and what can be mapped is. *out is
// the caller's.
BDPO_MUST_CHECK bdpo_status bdpo_clip_checkpoint_load(bdpo_store **out, bdpo_engine *engine,
                                                      const bdpo_clip_checkpoint *checkpoint);

#endif

// A model on disk, whatever its layout:
//
//     directory     of diffusers: model_index.json and a folder for each component
//     single file   of the original code bases: .safetensors, .ckpt, .pt
//     component     one folder of weights with its config.json, or such a file
//     tensors       anything else that holds tensors (a LoRA, a head): open, without components
//
// Opening reads headers and configurations; weights stay in the mapped files. docs/checkpoints.md
// has the naming and the rules by which the type is found.
#ifndef BDPO_CHECKPOINT_H
#define BDPO_CHECKPOINT_H

#include "models/component.h"

typedef enum bdpo_layout {
    BDPO_LAYOUT_DIRECTORY,
    BDPO_LAYOUT_SINGLE_FILE,
    BDPO_LAYOUT_COMPONENT,
    BDPO_LAYOUT_TENSORS
} bdpo_layout;

// "directory", "single file", "component", "tensors".
const char *bdpo_layout_name(bdpo_layout layout);

typedef struct bdpo_checkpoint bdpo_checkpoint;

// All may be NULL or zero: then the files decide.
typedef struct bdpo_checkpoint_options {
    const char *variant; // of a directory: "fp16"; "" for the plain files only
    const char *type;    // "sd1", "sd2", "sdxl": in place of what the tensors tell
    const char *configs; // a diffusers directory whose configurations a single file shall have
    bdpo_prediction prediction; // in place of what the files tell
} bdpo_checkpoint_options;

// *out is the caller's, closed by bdpo_checkpoint_close() after every store that maps its weights.
// NOT_FOUND and BAD_FILE name the file; UNSUPPORTED names a kind of model that we cannot run
// (SDXL's refiner).
BDPO_MUST_CHECK bdpo_status bdpo_checkpoint_open(bdpo_checkpoint **out, const char *path,
                                                 const bdpo_checkpoint_options *options);
void bdpo_checkpoint_close(bdpo_checkpoint *checkpoint);

typedef struct bdpo_checkpoint_info {
    const char *path;
    bdpo_layout layout;
    bool known_type; // `type` is meant
    bdpo_model_type type;
    bdpo_prediction prediction;
    int in_channels; // of the UNet: 4; 9 for inpainting; 0 without a UNet
} bdpo_checkpoint_info;
bdpo_checkpoint_info bdpo_checkpoint_get_info(const bdpo_checkpoint *checkpoint);

// BDPO_OK for a text-to-image model of a known family whose prediction is known; else one sentence
// that says what it is instead, or which option tells what the files do not.
BDPO_MUST_CHECK bdpo_status bdpo_checkpoint_check_usable(const bdpo_checkpoint *checkpoint);

// Components in the order of bdpo_model_type_at(). A lone one of an unknown class is "model".
int bdpo_checkpoint_count(const bdpo_checkpoint *checkpoint);
const bdpo_component *bdpo_checkpoint_at(const bdpo_checkpoint *checkpoint, int index);
// NOT_FOUND where there is none of this name.
BDPO_MUST_CHECK bdpo_status bdpo_checkpoint_find(const bdpo_component **out,
                                                 const bdpo_checkpoint *checkpoint,
                                                 const char *name);

// Root of scheduler/scheduler_config.json, with the prediction in it; of model_index.json.
// Borrowed; NULL for a component and for tensors.
const json_t *bdpo_checkpoint_scheduler(const bdpo_checkpoint *checkpoint);
const json_t *bdpo_checkpoint_index(const bdpo_checkpoint *checkpoint);

// The directory with the tokenizers' folders: of a directory itself, of a single file the one given
// for its configurations; NULL where there is none.
const char *bdpo_checkpoint_tokenizers(const bdpo_checkpoint *checkpoint);

// The files of tensors, each once.
int bdpo_checkpoint_n_files(const bdpo_checkpoint *checkpoint);
const bdpo_tensor_file *bdpo_checkpoint_file(const bdpo_checkpoint *checkpoint, int index);
// Tensors of a single file that belong to no component and are not known to be harmless.
size_t bdpo_checkpoint_n_strangers(const bdpo_checkpoint *checkpoint);

#endif

// Writing adapters as others read them:
//
//     diffusers   pytorch_lora_weights.safetensors, by load_lora_weights:
//     "unet.<path>.lora_A.weight".
//                 The file has no place for alpha that every version reads, so alpha / rank goes
//                 into B: the same product under a rank that is its own alpha
//     kohya       webui, ComfyUI, sd-scripts: "lora_unet_.." with .alpha, SDXL's UNet under the
//                 original's names, and the metadata ss_* and modelspec.* by which they know it
#ifndef BDPO_LORA_WRITER_H
#define BDPO_LORA_WRITER_H

#include "formats/safetensors.h"
#include "models/lora_file.h"
#include "models/model_writer.h"

typedef enum bdpo_lora_style { BDPO_LORA_DIFFUSERS, BDPO_LORA_KOHYA } bdpo_lora_style;

// The adapters of one component, in its store.
typedef struct bdpo_lora_part {
    bdpo_lora_component component; // its naming is needed for SDXL's UNet in a kohya file
    const bdpo_lora *lora;
    bdpo_store *store;
    bdpo_kind kind; // PARAM, or AVERAGE, REFERENCE
} bdpo_lora_part;

typedef struct bdpo_lora_to_write {
    const bdpo_lora_part *parts;
    int n_parts;
    bdpo_lora_style style;
    bdpo_write_dtype dtype; // AS_READ: f32
    bdpo_model_type type;   // of the model that they adapt
    bdpo_prediction prediction;
    // More pairs for the file, e.g. ss_learning_rate; keys that the writer sets itself are not
    // allowed.
    const bdpo_metadata_pair *metadata;
    size_t n_metadata;
} bdpo_lora_to_write;

// One file, atomically. A lora's strength is the user's and is not written.
BDPO_MUST_CHECK bdpo_status bdpo_lora_write(const char *path, const bdpo_lora_to_write *lora);

#endif

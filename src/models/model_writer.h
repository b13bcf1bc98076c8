// Writes a model so that diffusers loads it: as a directory (from_pretrained) or as a single file
// in the original names (from_single_file). Every file comes into being whole; the index of a
// directory comes last, so that a directory with an index is complete.
#ifndef BDPO_MODEL_WRITER_H
#define BDPO_MODEL_WRITER_H

#include "models/checkpoint.h"

// Where a component's numbers come from: a file, or a store with the parameters of a list, in which
// case `component` gives the configuration only.
typedef struct bdpo_part_to_write {
    const bdpo_component *component;
    const bdpo_param_list *params; // NULL: the component's own numbers
    bdpo_store *store;
    bdpo_kind kind; // PARAM, or what stands for it: AVERAGE, REFERENCE
} bdpo_part_to_write;

typedef enum bdpo_write_dtype {
    BDPO_WRITE_AS_READ, // f32, f16 and bf16 stay; from a store: f32
    BDPO_WRITE_F32,
    BDPO_WRITE_F16,
    BDPO_WRITE_BF16
} bdpo_write_dtype;

typedef struct bdpo_model_to_write {
    const bdpo_checkpoint *checkpoint; // the family, scheduler, index
    const bdpo_part_to_write *parts;   // in the order of the checkpoint's components
    int n_parts;
    bdpo_write_dtype dtype;
    // The folder in which tokenizer/ and, for SDXL, tokenizer_2/ lie, to be copied; NULL: none are
    // written, and the directory loads only with tokenizers given by hand. For directories only.
    const char *tokenizers;
    uint64_t shard_bytes;      // 0: diffusers' 10 GB. For directories only.
    bool (*interrupted)(void); // asked before each tensor; true ends by INTERRUPTED. May be NULL
} bdpo_model_to_write;

// The directory is made where it is missing; files of the same name are replaced.
BDPO_MUST_CHECK bdpo_status bdpo_model_write_directory(const char *path,
                                                       const bdpo_model_to_write *model);

// With modelspec metadata (architecture, prediction type, title), by which bdpo finds what SD 2
// predicts. An SDXL model that predicts v gets the marker tensor `v_pred`.
BDPO_MUST_CHECK bdpo_status bdpo_model_write_single(const char *path,
                                                    const bdpo_model_to_write *model);

// All components of a checkpoint with their own numbers. parts[] has room for
// bdpo_checkpoint_count().
void bdpo_parts_of_checkpoint(bdpo_part_to_write *parts, const bdpo_checkpoint *checkpoint);

#endif

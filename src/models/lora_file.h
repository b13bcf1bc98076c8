// Reading files of low-rank adapters (LoRA), whoever wrote them: diffusers, PEFT or kohya's tools,
// old and new (lora_keys.h has their names). All tensors of a file must find their layers: what is
// left over is an error, and so are adapters of other kinds (DoRA, LoHa, LoKr, a middle matrix).
//
//     bdpo_lora_file_open(&file, "style.safetensors");
//     source = (bdpo_lora_source){file, 0.8};
//     for each component: bdpo_lora_files_target(lora, &source, 1, &component);
//     bdpo_lora_file_check_used(file);
//     .. declare bdpo_lora_params(lora) in the component's store, seal it ..
//     for each component: bdpo_lora_files_fill(store, lora, &source, 1, &component);
#ifndef BDPO_LORA_FILE_H
#define BDPO_LORA_FILE_H

#include "models/lora.h"
#include "models/lora_keys.h"

typedef struct bdpo_lora_file bdpo_lora_file;

// A file (.safetensors, .bin, .pt), or a directory: diffusers' with pytorch_lora_weights, PEFT's
// with adapter_model and adapter_config.json. *out is the caller's, closed by
// bdpo_lora_file_close(). BAD_FILE and UNSUPPORTED name file and fault.
BDPO_MUST_CHECK bdpo_status bdpo_lora_file_open(bdpo_lora_file **out, const char *path);
void bdpo_lora_file_close(bdpo_lora_file *file); // NULL is fine
const char *bdpo_lora_file_path(const bdpo_lora_file *file);

typedef struct bdpo_lora_source {
    bdpo_lora_file *file;
    double strength;
} bdpo_lora_source;

// Adds to `lora` an adapter for each layer of the component that one of the files has. With one
// source the adapters keep rank and alpha and the strength becomes the lora's own; several are
// stacked: their ranks add up, each strength alpha / rank goes into B.
BDPO_MUST_CHECK bdpo_status bdpo_lora_files_target(bdpo_lora *lora, const bdpo_lora_source *sources,
                                                   int n_sources,
                                                   const bdpo_lora_component *component);

// Writes the matrices of those adapters into the sealed store, which holds bdpo_lora_params().
BDPO_MUST_CHECK bdpo_status bdpo_lora_files_fill(bdpo_store *store, const bdpo_lora *lora,
                                                 const bdpo_lora_source *sources, int n_sources,
                                                 const bdpo_lora_component *component);

// W += strength alpha / rank B A for each layer that the file has, in the store's f32 weights.
// *n_merged counts them.
BDPO_MUST_CHECK bdpo_status bdpo_lora_file_merge(int *n_merged, bdpo_store *store,
                                                 const bdpo_lora_source *source,
                                                 const bdpo_lora_component *component,
                                                 int n_threads);

// BAD_FILE unless every tensor belongs to an adapter that was asked for above; names the first few.
BDPO_MUST_CHECK bdpo_status bdpo_lora_file_check_used(const bdpo_lora_file *file);

#endif

// One adapter of a LoRA file, between lora_file.c, which finds it, and lora_values.c.
#ifndef BDPO_LORA_ADAPTER_H
#define BDPO_LORA_ADAPTER_H

#include "formats/tensor_file.h"
#include "models/lora_file.h"

typedef struct bdpo_lora_adapter {
    const bdpo_stored_tensor *down, *up; // A [rank, in ..], B [out, rank ..]: shapes are checked
    int64_t rank;
    double alpha;
} bdpo_lora_adapter;

// The adapter of one layer, whose tensors count as used from then on; *found = false where the file
// has none.
BDPO_MUST_CHECK bdpo_status bdpo_lora_adapter_find(bool *found, bdpo_lora_adapter *out,
                                                   bdpo_lora_file *file,
                                                   const bdpo_lora_component *component,
                                                   const char *path, const bdpo_shape *weight);

#endif

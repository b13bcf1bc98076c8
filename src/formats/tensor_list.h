// What the readers of tensor files fill: a growing list of tensors and values, and the arena that
// their names and shapes live in. Internal to this room.
#ifndef BDPO_TENSOR_LIST_H
#define BDPO_TENSOR_LIST_H

#include "base/file.h"
#include "base/memory.h"
#include "formats/tensor_file.h"

typedef struct bdpo_tensor_list {
    const char *path; // of the file, for messages
    bdpo_arena *arena;
    bdpo_stored_tensor *tensors;
    size_t n_tensors, tensor_capacity;
    bdpo_file_value *values;
    size_t n_values, value_capacity;
} bdpo_tensor_list;

// The strings that the items point to must live in the arena or in the mapped file.
BDPO_MUST_CHECK bdpo_status bdpo_tensor_list_add(bdpo_tensor_list *list,
                                                 const bdpo_stored_tensor *tensor);
BDPO_MUST_CHECK bdpo_status bdpo_tensor_list_add_value(bdpo_tensor_list *list,
                                                       const bdpo_file_value *value);
void bdpo_tensor_list_clear(bdpo_tensor_list *list); // the two arrays; the arena is the caller's

// BDPO_NO_MEMORY, naming the file.
BDPO_MUST_CHECK bdpo_status bdpo_tensor_list_no_memory(const bdpo_tensor_list *list);

// *count = product of dim[]; *size_bytes of that many elements, dense. False where either
// overflows, multiplying left to right as the reference reader does, or where bits do not fill the
// last byte.
bool bdpo_stored_size(size_t *count, size_t *size_bytes, const int64_t *dim, int n_dims,
                      bdpo_stored_dtype dtype);

// The readers: each adds what `view` holds to the list, or fails with one line.
BDPO_MUST_CHECK bdpo_status bdpo_safetensors_read(bdpo_tensor_list *list, bdpo_file_view view);
BDPO_MUST_CHECK bdpo_status bdpo_torch_zip_read(bdpo_tensor_list *list, bdpo_file_view view);
BDPO_MUST_CHECK bdpo_status bdpo_torch_legacy_read(bdpo_tensor_list *list, bdpo_file_view view);

#endif

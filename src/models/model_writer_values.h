// The numbers of one tensor on their way into a file: from a checkpoint's file or a store, in the
// file's order of axes, in the dtype to write.
#ifndef BDPO_MODEL_WRITER_VALUES_H
#define BDPO_MODEL_WRITER_VALUES_H

#include "formats/safetensors.h"
#include "models/model_writer.h"

// Name, dtype and shape of one tensor to write, and what fills it.
typedef struct bdpo_entry {
    const bdpo_part_to_write *part;
    const char *sources[3]; // diffusers names whose rows follow each other; NULL after the last
    const char *name;       // in the file
    bdpo_stored_dtype dtype;
    int n_dims;
    int64_t dim[BDPO_MAX_DIMS];
    bool transposed; // the file has [in, out]
    float factor;    // of every value; 0: 1
} bdpo_entry;

// Sets dtype and shape as the part has them for the diffusers name `source`; the caller adapts.
BDPO_MUST_CHECK bdpo_status bdpo_entry_init(bdpo_entry *out, const bdpo_part_to_write *part,
                                            const char *source, bdpo_write_dtype dtype);

// Puts the bytes of the whole tensor. Holds one of its sources in memory at a time. BAD_ARGUMENT
// names a value that is too large for f16.
BDPO_MUST_CHECK bdpo_status bdpo_entry_put(const bdpo_entry *entry, bdpo_tensor_sink *sink);

// The names that a part has, in order.
size_t bdpo_part_count(const bdpo_part_to_write *part);
const char *bdpo_part_name(const bdpo_part_to_write *part, size_t index);

#endif

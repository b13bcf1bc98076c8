// safetensors: reading into a table, and writing files whose bytes are those that the reference
// library writes for the same tensors and metadata.
//
//     8 bytes     N, little-endian, at most 100,000,000
//     N bytes     UTF-8 JSON: {"__metadata__": {text: text}, name: {"dtype": "F32",
//                 "shape": [..], "data_offsets": [begin, end]}, ..}, padded with spaces
//     the rest    the data, little-endian, C order; offsets count from here; no hole, no overlap
#ifndef BDPO_SAFETENSORS_H
#define BDPO_SAFETENSORS_H

#include "base/file.h"
#include "formats/stored_tensor.h"

// ---- writing -------------------------------------------------------------------------------

// One tensor to write. With data NULL its bytes come from `source` of the options.
typedef struct bdpo_tensor_to_write {
    const char *name;
    bdpo_stored_dtype dtype;
    int n_dims;
    const int64_t *dim; // [n_dims]
    const void *data;   // dense, in the order of dim
} bdpo_tensor_to_write;

typedef struct bdpo_metadata_pair {
    const char *key, *text;
} bdpo_metadata_pair;

// Where a source puts the dense bytes of its tensor, in pieces of any size.
typedef struct bdpo_tensor_sink bdpo_tensor_sink;
BDPO_MUST_CHECK bdpo_status bdpo_tensor_sink_put(bdpo_tensor_sink *sink, const void *data,
                                                 size_t size_bytes);

typedef struct bdpo_safetensors_options {
    // `format: pt`, without which transformers refuses a file, is added unless a pair says other.
    const bdpo_metadata_pair *metadata;
    size_t n_metadata;
    // Called once for each tensor without data, in the order of the file; must put exactly the
    // bytes of tensors[index]. A failure of it is the failure of the write.
    bdpo_status (*source)(void *context, size_t index, bdpo_tensor_sink *sink);
    void *context;
    // Of bdpo_safetensors_write_sharded: bytes of a shard; 0 is the 10 GB of diffusers.
    uint64_t shard_bytes;
} bdpo_safetensors_options;

// Writes one file, atomically: the old file stands until all is written. NULL options are defaults.
// The order of `tensors` does not matter; names must differ and be UTF-8 (BDPO_BAD_ARGUMENT).
BDPO_MUST_CHECK bdpo_status bdpo_safetensors_write(const char *path,
                                                   const bdpo_tensor_to_write *tensors,
                                                   size_t n_tensors,
                                                   const bdpo_safetensors_options *options);

// As diffusers' save_pretrained: one file `path` where it fits in shard_bytes, else
// path-less-suffix -00001-of-0000n.safetensors and, last, path.index.json. Tensors are dealt in the
// given order.
BDPO_MUST_CHECK bdpo_status bdpo_safetensors_write_sharded(const char *path,
                                                           const bdpo_tensor_to_write *tensors,
                                                           size_t n_tensors,
                                                           const bdpo_safetensors_options *options);

#endif

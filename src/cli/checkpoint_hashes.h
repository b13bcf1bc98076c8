// The hashes by which other programs know a checkpoint's file.
#ifndef BDPO_CHECKPOINT_HASHES_H
#define BDPO_CHECKPOINT_HASHES_H

#include <jansson.h>

#include "formats/tensor_file.h"

// Adds "hashes" to `report`. Reads the whole file, twice where it is a safetensors file:
//
//     sha256            of the file; webui shows the first 10 digits (`short`)
//     legacy            first 8 digits of the SHA-256 of 64 KiB at 1 MiB: webui's first hash
//     sshs_model_hash   SHA-256 of all behind a safetensors header, which metadata do not change
//                       (kohya's sd-scripts; 12 digits are shown)
//
// Of a sharded model there are none: it is no file.
BDPO_MUST_CHECK bdpo_status bdpo_checkpoint_hashes(json_t *report, const bdpo_tensor_file *file);

#endif

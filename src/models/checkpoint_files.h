// Where a diffusers or transformers folder keeps its weights: of the variants and formats that may
// lie side by side, the one to take.
#ifndef BDPO_CHECKPOINT_FILES_H
#define BDPO_CHECKPOINT_FILES_H

#include "base/file.h"
#include "models/model_type.h"

// The weights in `directory`: safetensors before .bin, a whole file before shards, and without a
// `variant` (NULL) the plain file before fp16 and bf16. With a variant, only that one ("" is the
// plain one). NOT_FOUND names what was looked for.
BDPO_MUST_CHECK bdpo_status bdpo_weights_find(char out[BDPO_PATH_BYTES], const char *directory,
                                              const bdpo_component_spec *spec, const char *variant);

#endif

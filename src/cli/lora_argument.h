// The argument of --lora: "FILE", or "FILE:STRENGTH" as in "style.safetensors:0.8".
#ifndef BDPO_LORA_ARGUMENT_H
#define BDPO_LORA_ARGUMENT_H

#include "base/memory.h"

typedef struct bdpo_lora_argument {
    const char *path;
    double strength; // 1 where none is given
} bdpo_lora_argument;

// The path is the arena's. A colon that no number follows belongs to the path. BAD_ARGUMENT for an
// empty path and for a strength that is not finite.
BDPO_MUST_CHECK bdpo_status bdpo_lora_argument_parse(bdpo_lora_argument *out, bdpo_arena *arena,
                                                     const char *text);

#endif

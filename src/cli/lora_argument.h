// The arguments of --lora: "FILE", or "FILE:STRENGTH" as in "style.safetensors:0.8".
#ifndef BDPO_LORA_ARGUMENT_H
#define BDPO_LORA_ARGUMENT_H

#include "cli/command.h"
#include "models/lora_file.h"

enum { BDPO_MAX_LORAS = 16 };

typedef struct bdpo_lora_argument {
    const char *path;
    double strength; // 1 where none is given
} bdpo_lora_argument;

typedef struct bdpo_lora_arguments {
    bdpo_lora_argument at[BDPO_MAX_LORAS];
    int count;
} bdpo_lora_arguments;

// Takes the option just returned; false after one line where it is no FILE[:STRENGTH], or one too
// many. The paths are the invocation's. A colon that no number follows belongs to the path.
bool bdpo_take_lora(bdpo_lora_arguments *arguments, bdpo_invocation *invocation);

// Opens all files into sources[]; *n counts those that are open, also on failure.
BDPO_MUST_CHECK bdpo_status bdpo_lora_arguments_open(bdpo_lora_source sources[BDPO_MAX_LORAS],
                                                     int *n, const bdpo_lora_arguments *arguments);
void bdpo_lora_sources_close(bdpo_lora_source *sources, int n);

#endif

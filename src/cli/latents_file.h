// The latents of every step of a run, for comparison with other programs.
#ifndef BDPO_LATENTS_FILE_H
#define BDPO_LATENTS_FILE_H

#include "base/status.h"

typedef struct bdpo_latents_file bdpo_latents_file;

// *out is the caller's, released by bdpo_latents_file_free().
BDPO_MUST_CHECK bdpo_status bdpo_latents_file_new(bdpo_latents_file **out);
void bdpo_latents_file_free(bdpo_latents_file *file); // NULL is fine

// Keeps a copy of the latents [n, h, w, c] after `call` calls of n_calls. A failure (memory) sticks
// until the file is written.
void bdpo_latents_file_add(bdpo_latents_file *file, int call, int n_calls, const float *latents,
                           const bdpo_shape *shape);

// Writes safetensors: "start", "call.1", .. "call.<n>", in diffusers' order of axes [n, c, h, w].
BDPO_MUST_CHECK bdpo_status bdpo_latents_file_write(const bdpo_latents_file *file,
                                                    const char *path);

#endif

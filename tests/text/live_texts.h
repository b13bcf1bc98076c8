// Texts and the ids that a library makes of them, as the scripts in tools/parity write them into a
// folder: strings.bin holds u32 size, bytes; expected.bin u32 count, i32 ids; one after the other.
#ifndef LIVE_TEXTS_H
#define LIVE_TEXTS_H

#include "base/status.h"

typedef struct live_file {
    char *data; // released by bdpo_free()
    size_t size, at;
} live_file;

void live_file_read(live_file *file, const char *folder, const char *name);

// *ids is freed by bdpo_free().
typedef bdpo_status (*live_tokens)(const void *tokenizer, int32_t **ids, size_t *n_ids,
                                   const char *text, size_t size);

// Compares all texts, prints the first few that differ and a summary; returns how many differ.
int live_compare(live_tokens tokens, const void *tokenizer, live_file *strings, live_file *expected,
                 const char *folder);

#endif

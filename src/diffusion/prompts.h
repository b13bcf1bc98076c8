// A list of prompts, as commands take them from their arguments and from files.
#ifndef BDPO_PROMPTS_H
#define BDPO_PROMPTS_H

#include "base/status.h"

typedef struct bdpo_prompts bdpo_prompts;

// *out is the caller's, released by bdpo_prompts_free(). Empty.
BDPO_MUST_CHECK bdpo_status bdpo_prompts_new(bdpo_prompts **out);
void bdpo_prompts_free(bdpo_prompts *prompts); // NULL is fine

// Adds a copy. BAD_ARGUMENT, naming `source`, for text that is not UTF-8.
BDPO_MUST_CHECK bdpo_status bdpo_prompts_add(bdpo_prompts *prompts, const char *text,
                                             const char *source);
// Adds each line of a file that is not blank; LF or CR LF, with or without a byte order mark.
// BAD_FILE names the line that is not UTF-8 or holds a zero byte, and a file without prompts.
BDPO_MUST_CHECK bdpo_status bdpo_prompts_read(bdpo_prompts *prompts, const char *path);

int bdpo_prompts_count(const bdpo_prompts *prompts);
// Borrowed until the list is released.
const char *bdpo_prompts_at(const bdpo_prompts *prompts, int index);

#endif

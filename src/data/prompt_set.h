// Lists of prompts: given one by one, or read from files of these kinds:
//
//     text     one prompt a line; blank lines are passed
//     table    CSV or TSV with a column prompt, caption or text: PartiPrompts (whose category and
//              challenge are kept), the captions of Pick-a-Pic
//     json     a list of texts (HPDv2's benchmark, whose style is the file's name) or of objects
//              with a field prompt, caption or text; also JSON lines of such objects
//     parquet  with such a column
//
// or a folder of .json files, read in the order of their names: the four styles of HPDv2.
#ifndef BDPO_PROMPT_SET_H
#define BDPO_PROMPT_SET_H

#include "base/status.h"

typedef struct bdpo_prompt {
    const char *text;                         // UTF-8, as stored
    int64_t row;                              // of the file, from 0; a line's, of text
    const char *category, *challenge, *style; // NULL where nothing is said
} bdpo_prompt;

typedef struct bdpo_prompt_set bdpo_prompt_set;

// *out is the caller's, released by bdpo_prompt_set_free(). Empty.
BDPO_MUST_CHECK bdpo_status bdpo_prompt_set_new(bdpo_prompt_set **out);
void bdpo_prompt_set_free(bdpo_prompt_set *set); // NULL is fine

// Adds a copy. BAD_ARGUMENT, naming `source`, for text that is not UTF-8.
BDPO_MUST_CHECK bdpo_status bdpo_prompt_set_add(bdpo_prompt_set *set, const char *text,
                                                const char *source);

// Adds the prompts of a file or folder. `kind` is one of the four words; NULL: seen in the content.
// Rows without a prompt are counted, and passed. BAD_FILE names the line or row that is not UTF-8,
// holds a zero byte or is broken, and a file without any prompt; BAD_ARGUMENT an unknown kind.
BDPO_MUST_CHECK bdpo_status bdpo_prompt_set_read(bdpo_prompt_set *set, const char *path,
                                                 const char *kind);
// Drops prompts that were there before, and counts them.
BDPO_MUST_CHECK bdpo_status bdpo_prompt_set_make_unique(bdpo_prompt_set *set);

int bdpo_prompt_set_count(const bdpo_prompt_set *set);
const bdpo_prompt *bdpo_prompt_set_at(const bdpo_prompt_set *set, int index); // borrowed
int64_t bdpo_prompt_set_n_empty(const bdpo_prompt_set *set);
int64_t bdpo_prompt_set_n_repeated(const bdpo_prompt_set *set);

#endif

// The rows of a file of scores or of votes: its texts and numbers, before they mean anything to a
// store.
#ifndef BDPO_IMPORT_ROWS_H
#define BDPO_IMPORT_ROWS_H

#include "scorers/score_import.h"

// Borrowed until the next call. A text is NULL where the row does not have it.
typedef struct bdpo_import_row {
    const char *image, *prompt, *scorer, *version, *reason;
    size_t prompt_length;
    bool no_prompt; // it says that there is none
    double score;
    const char *images[2], *annotator; // these four of a vote
    double choice;
    int64_t time;
    int64_t line;
    char fault[256]; // not empty: what is wrong, and nothing else counts
} bdpo_import_row;

typedef struct bdpo_import_rows bdpo_import_rows;

// BAD_FILE where the first line of a table lacks a column that `what` does not make up for.
BDPO_MUST_CHECK bdpo_status bdpo_import_rows_open(bdpo_import_rows **out,
                                                  const bdpo_score_import *what);
// *out is NULL at the end.
BDPO_MUST_CHECK bdpo_status bdpo_import_rows_next(bdpo_import_row **out, bdpo_import_rows *rows);
void bdpo_import_rows_close(bdpo_import_rows *rows); // NULL is fine

#endif

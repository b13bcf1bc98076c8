// Scores made elsewhere and votes that people cast, read from CSV, TSV or JSONL into a store: all
// rows or none.
#ifndef BDPO_SCORE_IMPORT_H
#define BDPO_SCORE_IMPORT_H

#include "scorers/score_store.h"

typedef enum bdpo_import_format {
    BDPO_IMPORT_CSV,
    BDPO_IMPORT_TSV,
    BDPO_IMPORT_JSONL
} bdpo_import_format;

// Columns of the first line, or fields of each object:
//   image       SHA-256 of the picture's file, or its path from the folder in which `path` lies
//   prompt      what the scorer was asked; JSON may say null for a scorer that sees none
//   score       a number; inf, -inf; nan, nothing or null: there is none
//   scorer      its name, or `scorer` for all rows
//   checkpoint  its version, or `version` for all rows; "version" is read as well
//   reason      why there is no score; may be missing
// Of votes instead:
//   image_0, image_1   the two pictures, as "image" above
//   prompt             under which they were shown
//   choice             1: picture 0 is better, 0: picture 1, 0.5: a tie
//   annotator          who, or `annotator` for all rows
//   time               seconds since 1970, UTC; may be missing: `time`
// Others are passed over. "prompt_hex" gives a prompt's bytes where they are no UTF-8.
typedef struct bdpo_score_import {
    const char *path;
    bdpo_import_format format;
    const char *scorer, *version;                     // NULL: the file says it
    bool no_prompt;                                   // the scorers see none: no column is needed
    bool votes;                                       // rows are votes, not scores
    const char *annotator;                            // of votes; NULL: the file says it
    int64_t time;                                     // of votes that have none
    void (*say)(void *context, const char *bad_line); // "judge.csv:17: why"; NULL: not wanted
    void *context;
} bdpo_score_import;

typedef struct bdpo_import_counts {
    int64_t rows, bad;                // bad ones are among them
    int64_t added, replaced, same;    // scores, against what stood in the store; votes: `same` are
                                      // those of an annotator who had voted on the two before
    int64_t none;                     // rows without a number
    int64_t images, prompts, scorers; // that came anew
} bdpo_import_counts;

// From the ending of a name: .csv, .tsv, .jsonl. False for another.
bool bdpo_import_format_of(bdpo_import_format *out, const char *path);

// In a batch of its own. BAD_FILE where a line is bad: then each was said, and nothing is imported.
BDPO_MUST_CHECK bdpo_status bdpo_score_store_import(bdpo_import_counts *out,
                                                    bdpo_score_store *store,
                                                    const bdpo_score_import *what);

#endif

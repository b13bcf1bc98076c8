// A score store's contents as a table that other tools read (formats/table_writer.h).
#ifndef BDPO_SCORE_EXPORT_H
#define BDPO_SCORE_EXPORT_H

#include "formats/table_writer.h"
#include "scorers/score_store.h"

typedef struct bdpo_score_export {
    bdpo_table_format format;
    const char *path; // NULL: to `stream`
    FILE *stream;
    // Rows: pairs, with two columns for each scorer, or single scores.
    bool pairs;
    // All of these scorers, or of the whole store where n_scorers is 0.
    bdpo_score_filter filter;
} bdpo_score_export;

// *n_rows without the header. A file appears whole or not at all.
//
// Scores: image (SHA-256), path, prompt, scorer, checkpoint, score, reason. The prompt is null
// where the scorer sees none.
// Pairs: data_set, row, image_0, path_0, image_1, path_1, prompt, label, model_0, model_1, votes,
// votes_for_0, and for each scorer NAME_0 and NAME_1 (NAME@CHECKPOINT_0 where names are not
// enough).
BDPO_MUST_CHECK bdpo_status bdpo_score_store_export(int64_t *n_rows, bdpo_score_store *store,
                                                    const bdpo_score_export *what);

#endif

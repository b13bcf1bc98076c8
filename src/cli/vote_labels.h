// The labels of a vote, written to a file and into the store.
#ifndef BDPO_VOTE_LABELS_H
#define BDPO_VOTE_LABELS_H

#include <jansson.h>

#include "cli/vote_pairs.h"

// Whether a path's ending tells the format: .jsonl or .csv.
bool bdpo_vote_labels_format_known(const char *path);

// One row for every pair of the data set (NULL: of all): its pictures and prompt, the label, and
// everybody's vote, on the label's scale: 1 for picture 0, 0 for picture 1, 0.5 a tie, none null or
// empty. A pair that was left out has outcome "missing".
BDPO_MUST_CHECK bdpo_status bdpo_vote_labels_save(const char *path, const bdpo_vote_pairs *pairs,
                                                  const bdpo_vote_config *config,
                                                  bdpo_score_store *store, const char *data_set);

// Puts the labels into the store, in batches, under a rule whose text says all that they depend on.
// *written tells rule, id and count, for the report; the caller's.
BDPO_MUST_CHECK bdpo_status bdpo_vote_labels_store(json_t **written, const bdpo_vote_pairs *pairs,
                                                   const bdpo_vote_config *config,
                                                   bdpo_human_source human,
                                                   bdpo_score_store *store);

#endif

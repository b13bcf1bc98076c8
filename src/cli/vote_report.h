// What `bdpo vote` tells: voters, rules and agreement, gathered as JSON and printed as that or as
// text.
#ifndef BDPO_VOTE_REPORT_H
#define BDPO_VOTE_REPORT_H

#include <jansson.h>

#include "cli/vote_pairs.h"

// *out is the caller's, released by json_decref(). docs/voting.md tells its fields. The rule of the
// configuration is the consensus; the other rules are counted with its voters and tie policy.
BDPO_MUST_CHECK bdpo_status bdpo_vote_report_make(json_t **out, const bdpo_vote_pairs *pairs,
                                                  const bdpo_vote_config *config);

void bdpo_vote_report_print(json_t *report);

#endif

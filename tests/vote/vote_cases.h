// Random pairs for the tests of the vote: scores on a coarse grid, so that ties and exact conflicts
// are common, some without a score, human labels of every kind.
#ifndef BDPO_VOTE_CASES_H
#define BDPO_VOTE_CASES_H

#include "vote/vote_config.h"

typedef struct vote_case {
    double scores[2][BDPO_MAX_VOTERS];
    bdpo_vote_pair pair; // points into scores: set by vote_case_make and vote_case_swap
} vote_case;

// The `number`-th pair of n scores for each picture; the same every time.
void vote_case_make(vote_case *out, int number, int n);
// The same pair, with the other picture first.
void vote_case_swap(vote_case *out, const vote_case *of);
// A copy that may be changed.
void vote_case_copy(vote_case *out, const vote_case *of);

// Voters a, b, c, d and, where asked for, human; statistics of theirs that differ.
void vote_config_make(bdpo_vote_config *out, int n_scorers, bool human);

// Every rule over voters, and `human`, `single:a` and `coin`; NULL at the end.
extern const char *const vote_rules[];

#endif

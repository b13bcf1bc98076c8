// The pairs of a store as the vote takes them, all in memory: about 150 bytes a pair for five
// voters. And what the store has of each voter: checkpoint, statistics, scores that are missing.
#ifndef BDPO_VOTE_PAIRS_H
#define BDPO_VOTE_PAIRS_H

#include "base/log.h"
#include "scorers/score_store.h"
#include "vote/agreement.h"
#include "vote/vote_config.h"

// Where the human label of a pair comes from: the data set, people's votes in the store (their
// mean), or the data set where it has one and else people.
typedef enum bdpo_human_source {
    BDPO_HUMAN_ANY,
    BDPO_HUMAN_LABEL,
    BDPO_HUMAN_VOTES
} bdpo_human_source;
extern const char *const bdpo_human_source_words[]; // NULL at the end

typedef struct bdpo_pair_request {
    const char *data_set;   // NULL: all
    const char *statistics; // data set of the scoring pass; NULL: data_set, or the only one
    bdpo_human_source human;
} bdpo_pair_request;

// One pair, with a score of every voter who is a scorer.
typedef struct bdpo_voting_pair {
    int64_t id;
    double human;
    uint64_t image[2], prompt;
} bdpo_voting_pair;

typedef struct bdpo_vote_pairs {
    // By index of the configuration's voters; the human's are not used.
    int64_t scorer[BDPO_MAX_VOTERS];         // id in the store
    const char *checkpoint[BDPO_MAX_VOTERS]; // SHA-256
    int64_t n_missing[BDPO_MAX_VOTERS];      // pairs that lack a score of it
    int64_t n_unfinished[BDPO_MAX_VOTERS];   // of the pass for statistics: the same
    const char *statistics;                  // data set that they are of; NULL: none
    bool finished;                           // a scoring run came to its end
    int n_voters;
    // Pairs with all scores; n_left_out have not.
    bdpo_voting_pair *pairs;
    double *scores; // [n][2][n_voters]
    int64_t n, capacity, n_left_out;
} bdpo_vote_pairs;

// Ids and checkpoints of the voters, from the list of n scorers of the store, whose texts are
// borrowed. BAD_ARGUMENT where a name fits several, or two names are one scorer; NOT_FOUND where it
// fits none.
BDPO_MUST_CHECK bdpo_status bdpo_vote_pairs_resolve(bdpo_vote_pairs *out,
                                                    const bdpo_vote_config *config,
                                                    bdpo_score_store *store,
                                                    const bdpo_scorer_summary *list, int n);

// Reads the pairs, and the statistics into the configuration: where the pass of the request is
// finished for a voter, that is no picture of it was left unscored. A picture in two pairs counts
// twice. BAD_ARGUMENT where no pair is complete. All zero but for resolve() before; released by
// release(), also after a failure.
BDPO_MUST_CHECK bdpo_status bdpo_vote_pairs_read(bdpo_vote_pairs *out, bdpo_vote_config *config,
                                                 bdpo_score_store *store,
                                                 const bdpo_pair_request *request,
                                                 bdpo_arena *arena, bdpo_log *log);
void bdpo_vote_pairs_release(bdpo_vote_pairs *pairs);

// bdpo_vote_config_check(), which here also tells why there are no statistics.
BDPO_MUST_CHECK bdpo_status bdpo_vote_pairs_check(const bdpo_vote_pairs *pairs,
                                                  const bdpo_vote_config *config);

// Pair `index`, borrowed.
bdpo_vote_pair bdpo_vote_pairs_at(const bdpo_vote_pairs *pairs, int64_t index);

#endif

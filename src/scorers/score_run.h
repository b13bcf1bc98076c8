// A scoring run: the pictures of a data set past all scorers of a session, into the score store.
// Only what the store does not have yet is computed. Files are read, hashed and decoded on threads
// of their own, ahead of the scorers.
//
// Each batch is one transaction: a killed run loses the batch in flight, and a run that is started
// again goes on and ends in the same store. A picture that does not decode has scores that say so.
#ifndef BDPO_SCORE_RUN_H
#define BDPO_SCORE_RUN_H

#include "base/log.h"
#include "data/record_source.h"
#include "scorers/score_store.h"
#include "scorers/scoring.h"

typedef struct bdpo_score_run_options {
    bdpo_log *log;             // progress; NULL: silence
    bool (*interrupted)(void); // asked between batches; NULL: never
    int n_readers;             // threads that read and decode; 0: 2
    int batch;                 // records of a batch; 0: as many as take a few seconds, at most 16
    bool retry;                // ask again where the store says that a scorer had no number
} bdpo_score_run_options;

enum { BDPO_SCORE_RUN_MAX_REASONS = 16 };

// Why a scorer gave no score, and how often.
typedef struct bdpo_score_reason {
    char text[192];
    int64_t count;
} bdpo_score_reason;

typedef struct bdpo_scorer_counts {
    int64_t computed;                                      // numbers that are new in the store
    int64_t present;                                       // numbers that it had
    int64_t none;                                          // items without a number, by reason
    bdpo_score_reason reasons[BDPO_SCORE_RUN_MAX_REASONS]; // text "" ends the list; the last is of
                                                           // all that have no place of their own
} bdpo_scorer_counts;

typedef struct bdpo_score_run_counts {
    int64_t records, pairs, pictures; // that reached the store; a picture as often as it stands
    double seconds;
    bool finished;                                        // the data set's end was reached
    bdpo_scorer_counts scorers[BDPO_SESSION_MAX_SCORERS]; // in the session's order
} bdpo_score_run_counts;

// Runs to the end of `source`. INTERRUPTED where options->interrupted() said so: what is finished
// stays. A failure of the store or of the session, or of a record of a strict source, ends the run;
// *out holds the counts of what was committed in any case. `options` may be NULL.
BDPO_MUST_CHECK bdpo_status bdpo_score_run(bdpo_score_run_counts *out, bdpo_record_source *source,
                                           bdpo_session *session, bdpo_score_store *store,
                                           const bdpo_score_run_options *options);

#endif

// A scoring session: several scorers, loaded once, that share what they have in common. For a batch
// of items each distinct picture is preprocessed once for each kind of pixels and goes once through
// each image tower; each distinct prompt goes once through each text tower.
//
// The bits of a score do not depend on what else is in the batch, nor on its place there, nor on
// which other scorers are in the session. They may depend on the machine and its threads.
//
//     bdpo_session_new(&session, engine, requests, n_requests, NULL);
//     bdpo_session_score(session, scores, items, n_items);  // scores [n_items, n_scorers]
//     bdpo_session_free(session);
#ifndef BDPO_SCORING_H
#define BDPO_SCORING_H

#include "scorers/scorer.h"

enum { BDPO_SESSION_MAX_SCORERS = 64 };

typedef struct bdpo_session bdpo_session;

typedef struct bdpo_session_options {
    size_t text_cache_bytes;  // features of prompts kept between calls; 0: 64 MiB
    size_t image_cache_bytes; // features of pictures that have an image_key; 0: 64 MiB
} bdpo_session_options;

// Opens all scorers. *out is the caller's; the engine must outlive it. `options` may be NULL. Two
// scorers of one name are BAD_ARGUMENT.
BDPO_MUST_CHECK bdpo_status bdpo_session_new(bdpo_session **out, bdpo_engine *engine,
                                             const bdpo_scorer_request *requests, int n_requests,
                                             const bdpo_session_options *options);
void bdpo_session_free(bdpo_session *session); // NULL is fine

int bdpo_session_n_scorers(const bdpo_session *session);
bdpo_scorer_info bdpo_session_scorer(const bdpo_session *session, int index);

typedef struct bdpo_score {
    double value;       // an f32 result; NaN: there is no score
    const char *reason; // why there is none, borrowed until the next call; NULL where there is a
                        // score, and where the item skips the scorer
} bdpo_score;

// scores[i * n_scorers + k] of item i by scorer k. What is wrong with one item (no picture, no
// prompt, a side that rounds to nothing) is its score's reason; a failure is one of the session: no
// memory. Not for several threads at once.
BDPO_MUST_CHECK bdpo_status bdpo_session_score(bdpo_session *session, bdpo_score *scores,
                                               const bdpo_score_item *items, int n_items);

// What was computed and what was found in a cache, since the session began.
typedef struct bdpo_session_counts {
    uint64_t pictures_prepared; // pixels made
    uint64_t image_runs, image_hits;
    uint64_t text_runs, text_hits;
} bdpo_session_counts;
bdpo_session_counts bdpo_session_get_counts(const bdpo_session *session);

#endif

// The score store: one SQLite file (WAL) that keeps what scorers and people said about pictures.
// Everything in it is found by content: a picture by the SHA-256 of its file's bytes, a prompt by
// its text, a scorer by name, checkpoint and settings, a pair by data set and row. Ids are numbers
// of this file only; they hold until it is deleted, except those given inside a batch that was
// aborted. docs/store.md describes the tables.
//
//     bdpo_score_store *store;
//     TRY(bdpo_score_store_open(&store, "scores.db", BDPO_STORE_CREATE));
//     status = bdpo_score_store_begin(store);             // one batch = one transaction
//     ... put_image, put_prompt, put_score, put_pair ...  // each needs a batch
//     status = bdpo_score_store_commit(store);            // durable now
//     bdpo_score_store_close(store);
//
// A process that is killed loses the batch that was open, nothing else. Several processes may write
// to one file: a batch waits for its turn. A store handle belongs to one thread at a time and does
// not survive fork(). Every failure is one line that begins with the path.
#ifndef BDPO_SCORE_STORE_H
#define BDPO_SCORE_STORE_H

#include "base/memory.h"
#include "formats/sha256.h"

typedef struct bdpo_score_store bdpo_score_store;

typedef enum bdpo_score_store_mode {
    BDPO_STORE_READ,  // must exist
    BDPO_STORE_WRITE, // must exist; an older version is brought to the current one
    BDPO_STORE_CREATE // as WRITE, made where there is none
} bdpo_score_store_mode;

enum {
    BDPO_STORE_VERSION = 2, // of the schema, as PRAGMA user_version
    BDPO_NO_ID = -1,
    BDPO_ANY_PROMPT = 0 // scores of a scorer that sees no prompt stand under this one
};

// *out is the caller's, released by close. BDPO_BAD_FILE for what is no store, for a damaged one
// and for a version that this program does not know; NOT_FOUND where there is none to read.
BDPO_MUST_CHECK bdpo_status bdpo_score_store_open(bdpo_score_store **out, const char *path,
                                                  bdpo_score_store_mode mode);
// An open batch is aborted. NULL is fine.
void bdpo_score_store_close(bdpo_score_store *store);
const char *bdpo_score_store_path(const bdpo_score_store *store);

// ---- batches -----------------------------------------------------------------------------------

// Begin waits up to 60 s while another process writes. After a failure inside a batch, commit
// fails too and nothing of the batch stays.
BDPO_MUST_CHECK bdpo_status bdpo_score_store_begin(bdpo_score_store *store);
BDPO_MUST_CHECK bdpo_status bdpo_score_store_commit(bdpo_score_store *store);
void bdpo_score_store_abort(bdpo_score_store *store); // without a batch: nothing

// ---- pictures, prompts, scorers ----------------------------------------------------------------

typedef struct bdpo_stored_image {
    const char *sha256; // 64 lower-case hexadecimal digits, of the encoded file's bytes
    int64_t size_bytes; // of the encoded file; -1: not known
    int width, height;  // 0: not known, or the picture does not decode
    const char *path;   // where last seen; NULL leaves what stands
} bdpo_stored_image;

typedef struct bdpo_stored_scorer {
    const char *name;       // "hpsv2.1"
    const char *checkpoint; // SHA-256 of the checkpoint, or the version of a scorer from elsewhere
    const char *settings;   // JSON text, compared as text; NULL stands for "{}"
    bool uses_prompt;       // false: one score for each picture, whatever the prompt
} bdpo_stored_scorer;

// The id of what has this content, inserted where it is new. What is known better (size, path) is
// written over what stands.
BDPO_MUST_CHECK bdpo_status bdpo_score_store_put_image(int64_t *id, bdpo_score_store *store,
                                                       const bdpo_stored_image *image);
BDPO_MUST_CHECK bdpo_status bdpo_score_store_put_prompt(int64_t *id, bdpo_score_store *store,
                                                        const char *text, size_t length);
// BAD_ARGUMENT where it stands with another uses_prompt.
BDPO_MUST_CHECK bdpo_status bdpo_score_store_put_scorer(int64_t *id, bdpo_score_store *store,
                                                        const bdpo_stored_scorer *scorer);

// The same without inserting and without a batch: BDPO_NO_ID where there is none.
BDPO_MUST_CHECK bdpo_status bdpo_score_store_find_image(int64_t *id, bdpo_score_store *store,
                                                        const char *sha256);
BDPO_MUST_CHECK bdpo_status bdpo_score_store_find_prompt(int64_t *id, bdpo_score_store *store,
                                                         const char *text, size_t length);
BDPO_MUST_CHECK bdpo_status bdpo_score_store_find_scorer(int64_t *id, bdpo_score_store *store,
                                                         const bdpo_stored_scorer *scorer);

// The scorer that a user means by "hpsv2.1", by "hpsv2.1@3fa8" (the beginning of its checkpoint) or
// by "#3" (its id). NOT_FOUND, with the names that there are; BAD_ARGUMENT where several fit.
BDPO_MUST_CHECK bdpo_status bdpo_score_store_choose_scorer(int64_t *id, bdpo_score_store *store,
                                                           const char *words);

// ---- scores ------------------------------------------------------------------------------------

typedef struct bdpo_stored_score {
    int64_t image, prompt, scorer; // a scorer without prompts takes any prompt's id
    double score;                  // kept to the bit; NaN: there is none, and `reason` says why
    const char *reason;            // "does not decode"; NULL with a NaN stands for "nan"
} bdpo_stored_score;

// A number replaces what stands; "none" does not replace a number.
BDPO_MUST_CHECK bdpo_status bdpo_score_store_put_score(bdpo_score_store *store,
                                                       const bdpo_stored_score *score);

// What `n` scorers say about a picture under a prompt. scores[i] is NaN where scorer i has no
// number; missing[i] (NULL: not wanted) tells the two cases apart: true where it never said
// anything, false where it said that there is none. Ids may be BDPO_NO_ID: missing. No batch
// needed.
BDPO_MUST_CHECK bdpo_status bdpo_score_store_get_scores(double *scores, bool *missing,
                                                        bdpo_score_store *store, int64_t image,
                                                        int64_t prompt, const int64_t *scorers,
                                                        int n);

// ---- pairs -------------------------------------------------------------------------------------

typedef struct bdpo_stored_pair {
    const char *data_set; // its name
    int64_t row;          // in the data set
    int64_t image_0, image_1, prompt;
    double label; // of the data set: 1 picture 0 preferred, 0 picture 1, 0.5 tie, NaN none
    const char *model_0, *model_1; // that made the pictures; NULL: not known
} bdpo_stored_pair;

// The pair's id; what is known better (label, models) is written over what stands. BAD_ARGUMENT
// where the row stands with other pictures or another prompt.
BDPO_MUST_CHECK bdpo_status bdpo_score_store_put_pair(int64_t *id, bdpo_score_store *store,
                                                      const bdpo_stored_pair *pair);

// A scoring run has come to the end of the data set: what stands there now is all that it asked
// for. Pairs that come later make it unfinished again. A set without pairs is passed over.
BDPO_MUST_CHECK bdpo_status bdpo_score_store_finish(bdpo_score_store *store, const char *data_set);

// A pair as it is read: borrowed from the cursor until the next call on it.
typedef struct bdpo_scored_pair {
    int64_t id;
    bdpo_stored_pair pair;
    const char *prompt_text; // not ended by a zero byte that counts: see prompt_length
    size_t prompt_length;
    const char *sha256_0, *sha256_1;   // of the pictures
    const char *path_0, *path_1;       // where they were last seen; NULL: never in a file
    const double *scores_0, *scores_1; // [n scorers] of the cursor, as get_scores gives them
    const bool *missing_0, *missing_1; // [n scorers]
    int n_votes;                       // by people on these two pictures under this prompt
    double votes_for_0;                // sum of their choices, seen from this pair's picture 0
} bdpo_scored_pair;

// Pairs with their scores, ordered by the data set's name and the row; of all data sets, or of one.
// Streamed: memory does not grow with the store. Batches may be begun, written and committed
// between two calls; pairs that come meanwhile may or may not be seen.
typedef struct bdpo_pair_cursor bdpo_pair_cursor;

// NOT_FOUND where there is no such data set (NULL: all). Close it before the store.
BDPO_MUST_CHECK bdpo_status bdpo_pair_cursor_open(bdpo_pair_cursor **out, bdpo_score_store *store,
                                                  const char *data_set, const int64_t *scorers,
                                                  int n);
// *out is NULL at the end.
BDPO_MUST_CHECK bdpo_status bdpo_pair_cursor_next(const bdpo_scored_pair **out,
                                                  bdpo_pair_cursor *cursor);
void bdpo_pair_cursor_close(bdpo_pair_cursor *cursor); // NULL is fine

// ---- people's votes ----------------------------------------------------------------------------

typedef struct bdpo_stored_vote {
    int64_t image_0, image_1,
        prompt;            // as they were shown; every pair that has them counts the vote
    double choice;         // 1: picture 0 is better, 0: picture 1, 0.5: a tie
    const char *annotator; // who; not empty
    int64_t time;          // seconds since 1970, UTC
} bdpo_stored_vote;

// *added is false, and nothing changes, where this annotator has voted on these two pictures under
// this prompt before, whichever stood first. BAD_ARGUMENT for another choice than the three.
BDPO_MUST_CHECK bdpo_status bdpo_score_store_put_vote(bool *added, bdpo_score_store *store,
                                                      const bdpo_stored_vote *vote);

// ---- labels ------------------------------------------------------------------------------------

typedef struct bdpo_stored_label {
    int64_t pair, rule;
    double probability; // that picture 0 wins, 0 to 1; NaN: the rule gives this pair no label
    double margin;      // how clear it is, as the rule defines it; NaN: it defines none
    bool tie;           // the voters were even, whatever the tie policy made of it
} bdpo_stored_label;

// The id of a rule: its whole text, all that the labels depend on ("majority ties=skip"), and the
// scorers that vote in it, in order.
BDPO_MUST_CHECK bdpo_status bdpo_score_store_put_rule(int64_t *id, bdpo_score_store *store,
                                                      const char *text, const int64_t *scorers,
                                                      int n);
// Replaces the label that this rule gave the pair before.
BDPO_MUST_CHECK bdpo_status bdpo_score_store_put_label(bdpo_score_store *store,
                                                       const bdpo_stored_label *label);
// *there says whether the rule has labelled the pair; *out is filled where it has.
BDPO_MUST_CHECK bdpo_status bdpo_score_store_get_label(bool *there, bdpo_stored_label *out,
                                                       bdpo_score_store *store, int64_t pair,
                                                       int64_t rule);

// ---- what is in it -----------------------------------------------------------------------------

typedef struct bdpo_store_counts {
    int64_t images, prompts, scorers, scores, none, pairs, votes, annotators, labels;
} bdpo_store_counts;

typedef struct bdpo_scorer_summary {
    int64_t id;
    bdpo_stored_scorer scorer;
    int64_t scored, none;  // rows with a number, and without
    double mean, min, max; // of the numbers; NaN where there is none
} bdpo_scorer_summary;

typedef struct bdpo_data_set_summary {
    const char *name;
    int64_t pairs;
    bool finished; // bdpo_score_store_finish() was called, and no pair came since
    int64_t first, second, ties, unlabelled; // by the data set's own label
    int64_t votes;                           // by people on its pairs
} bdpo_data_set_summary;

typedef struct bdpo_rule_summary {
    int64_t id;
    const char *text, *scorers; // the scorers as JSON: [{"name", "checkpoint", "settings"}, ...]
    int64_t labels, first, second, unlabelled, ties; // probability above, below 0.5; none; tie
} bdpo_rule_summary;

// Arrays and texts are in the arena. Scorers are ordered by name, checkpoint and id.
BDPO_MUST_CHECK bdpo_status bdpo_score_store_count(bdpo_store_counts *out, bdpo_score_store *store);
BDPO_MUST_CHECK bdpo_status bdpo_score_store_list_scorers(bdpo_scorer_summary **out, int *n,
                                                          bdpo_score_store *store,
                                                          bdpo_arena *arena);
BDPO_MUST_CHECK bdpo_status bdpo_score_store_list_data_sets(bdpo_data_set_summary **out, int *n,
                                                            bdpo_score_store *store,
                                                            bdpo_arena *arena);
BDPO_MUST_CHECK bdpo_status bdpo_score_store_list_rules(bdpo_rule_summary **out, int *n,
                                                        bdpo_score_store *store, bdpo_arena *arena);

// ---- every score -------------------------------------------------------------------------------

typedef struct bdpo_score_row { // borrowed from the cursor until the next call on it
    const char *sha256, *path;  // path NULL: never seen in a file
    const char *prompt;         // NULL: the scorer sees none
    size_t prompt_length;
    const char *scorer, *checkpoint;
    double score;
    const char *reason; // NULL where there is a number
} bdpo_score_row;

typedef struct bdpo_score_filter { // all zero: everything
    const char *data_set;          // only what its pairs ask for
    const int64_t *scorers;
    int n_scorers;
} bdpo_score_filter;

// Scores one by one, in the order in which pictures and prompts came. One consistent state of the
// store: do not begin a batch on this handle before the cursor is closed.
typedef struct bdpo_score_cursor bdpo_score_cursor;
BDPO_MUST_CHECK bdpo_status bdpo_score_cursor_open(bdpo_score_cursor **out, bdpo_score_store *store,
                                                   const bdpo_score_filter *filter);
BDPO_MUST_CHECK bdpo_status bdpo_score_cursor_next(const bdpo_score_row **out,
                                                   bdpo_score_cursor *cursor);
void bdpo_score_cursor_close(bdpo_score_cursor *cursor); // NULL is fine

// ---- whole stores ------------------------------------------------------------------------------

typedef struct bdpo_merge_counts {
    int64_t images, prompts, scorers, scores, pairs, votes, labels; // that came anew
    int64_t differing; // scores that both have and that are not equal: ours stay
} bdpo_merge_counts;

// Adds all that another store has, matched by content, in a batch of its own. A number fills a
// "none", an own label of a data set fills an empty one; else what stands here stays. BAD_ARGUMENT
// where a row of a data set is another pair there: nothing is merged then.
BDPO_MUST_CHECK bdpo_status bdpo_score_store_merge(bdpo_merge_counts *out, bdpo_score_store *store,
                                                   const char *other);

// Reads the whole file and its cross references; every problem is said in one line. BAD_FILE where
// there was one.
BDPO_MUST_CHECK bdpo_status bdpo_score_store_check(bdpo_score_store *store,
                                                   void (*say)(void *context, const char *problem),
                                                   void *context);

// A digest of all contents but the paths of pictures, the same whatever the order in which they
// came and whatever their ids: two stores that say the same have the same.
BDPO_MUST_CHECK bdpo_status bdpo_score_store_digest(bdpo_sha256_text *out, bdpo_score_store *store);

#endif

// Stores for tests: contents made from numbers, so that two that were filled alike are alike.
#ifndef BDPO_SMALL_STORE_H
#define BDPO_SMALL_STORE_H

#include "scorers/score_store.h"

// Opens; a failure fails the test.
bdpo_score_store *open_store(const char *path, bdpo_score_store_mode mode);
void begin(bdpo_score_store *store);
void commit(bdpo_score_store *store);

// Each puts what its number says, and needs a batch. Valid until the next call: the hash.
const char *image_hash(int number);
int64_t put_image(bdpo_score_store *store, int number);
int64_t put_prompt(bdpo_score_store *store, const char *text);
int64_t put_scorer(bdpo_score_store *store, const char *name, bool uses_prompt);
void put_score(bdpo_score_store *store, int64_t image, int64_t prompt, int64_t scorer,
               double score);
double get_score(bdpo_score_store *store, int64_t image, int64_t prompt, int64_t scorer);

// Runs SQL on a file, through SQLite itself.
void run_sql(const char *path, const char *text);
// The first column of the first row, as text; "" for none. Valid until the next call.
const char *ask_sql(const char *path, const char *text);

// The digest of a store at rest. Valid for the next three calls.
const char *store_digest(const char *path);

// Batches first to last - 1 of a scoring run: each one pair of data set "run", its two pictures and
// their scores by two scorers with prompts and one without.
void write_batches(bdpo_score_store *store, int first, int last);
// How many whole batches of write_batches() a store has; fails the test where one is not whole, or
// where one is missing before the last.
int count_whole_batches(const char *path);

#endif

// Stores merged by content, whatever their ids.
#include <unistd.h>

#include "harness.h"
#include "models/scratch.h"
#include "scorers/small_store.h"

static const char *fill(const char *name, int first, int last)
{
    const char *path = scratch_path(name);
    bdpo_score_store *store = open_store(path, BDPO_STORE_CREATE);
    write_batches(store, first, last);
    bdpo_score_store_close(store);
    return path;
}

static bdpo_merge_counts merge(const char *into, const char *other)
{
    bdpo_merge_counts counts;
    bdpo_score_store *store = open_store(into, BDPO_STORE_CREATE);
    CHECK_OK(bdpo_score_store_merge(&counts, store, other));
    CHECK_OK(bdpo_score_store_check(store, NULL, NULL));
    bdpo_score_store_close(store);
    return counts;
}

BDPO_TEST(parts_of_a_run_merge_into_the_run)
{
    const char *whole = fill("whole.db", 0, 30), *late = fill("late.db", 18, 30),
               *early = fill("early.db", 0, 20), *into = scratch_path("into.db");
    bdpo_merge_counts counts = merge(into, late);
    CHECK_INT(counts.pairs, 12);
    CHECK_INT(counts.images, 24);
    CHECK_INT(counts.scores, 72);
    counts = merge(into, early);
    CHECK_INT(counts.pairs, 18);
    CHECK_INT(counts.scores, 108);
    CHECK_INT(counts.differing, 0);
    CHECK_INT(counts.scorers, 0);
    CHECK_STR(store_digest(into), store_digest(whole));
    CHECK_INT(count_whole_batches(into), 30);
    counts = merge(into, early); // again: nothing new
    CHECK_INT(counts.pairs + counts.images + counts.prompts + counts.scores, 0);
    CHECK_STR(store_digest(into), store_digest(whole));
    scratch_remove();
}

// A store with a vote, a rule and a label, a prompt of odd bytes, and a score of our choice.
static const char *fill_oddly(const char *name, int padding, double score, double label)
{
    int64_t pair_id, prompt, rule;
    bool added;
    const char *path = scratch_path(name);
    bdpo_score_store *store = open_store(path, BDPO_STORE_CREATE);
    begin(store);
    for (int i = 0; i < padding; i++) put_image(store, 1000 * padding + i); // other ids
    int64_t b = put_image(store, 2), a = put_image(store, 1);
    CHECK_OK(bdpo_score_store_put_prompt(&prompt, store, "a\0b", 3));
    int64_t scorer = put_scorer(store, "alpha", true);
    bdpo_stored_pair pair = {"d", 5, a, b, prompt, label, NULL, NULL};
    CHECK_OK(bdpo_score_store_put_pair(&pair_id, store, &pair));
    bdpo_stored_score row = {a, prompt, scorer, score, NULL};
    CHECK_OK(bdpo_score_store_put_score(store, &row));
    bdpo_stored_vote vote = {padding % 2 ? a : b, padding % 2 ? b : a, prompt, 1, "ann", 10};
    CHECK_OK(bdpo_score_store_put_vote(&added, store, &vote));
    CHECK_OK(bdpo_score_store_put_rule(&rule, store, "majority", &scorer, 1));
    bdpo_stored_label made = {pair_id, rule, 1, 0.5, false};
    CHECK_OK(bdpo_score_store_put_label(store, &made));
    commit(store);
    bdpo_score_store_close(store);
    return path;
}

BDPO_TEST(votes_labels_and_odd_prompts_merge)
{
    const char *one = fill_oddly("one.db", 3, NAN, NAN), *two = fill_oddly("two.db", 6, 0.25, 1),
               *copy = scratch_path("copy.db");
    bdpo_merge_counts counts = merge(copy, two);
    CHECK_INT(counts.votes, 1);
    CHECK_INT(counts.labels, 1);
    CHECK_STR(store_digest(copy), store_digest(two));
    counts = merge(one, two);
    CHECK_INT(counts.images, 6);
    CHECK_INT(counts.prompts, 0);
    CHECK_INT(counts.votes, 0); // ann has voted, the other way round
    CHECK_INT(counts.labels, 0);
    CHECK_INT(counts.scores, 1); // a number for a none
    CHECK_STR(ask_sql(one, "SELECT score || ' ' || label FROM scores, pairs"), "0.25 1.0");
    scratch_remove();
}

BDPO_TEST(ours_stays_where_scores_differ)
{
    const char *one = fill_oddly("one.db", 1, 0.5, 0), *two = fill_oddly("two.db", 2, 0.25, 1);
    bdpo_merge_counts counts = merge(one, two);
    CHECK_INT(counts.differing, 1);
    CHECK_INT(counts.scores, 0);
    CHECK_STR(ask_sql(one, "SELECT score || ' ' || label FROM scores, pairs"), "0.5 0.0");
    scratch_remove();
}

static void check_refused(const char *into, const char *other, bdpo_status status, const char *part)
{
    bdpo_merge_counts counts;
    char before[80];
    snprintf(before, sizeof before, "%s", store_digest(into));
    bdpo_score_store *store = open_store(into, BDPO_STORE_WRITE);
    CHECK_STATUS(bdpo_score_store_merge(&counts, store, other), status);
    CHECK_CONTAINS(bdpo_message(), part);
    bdpo_score_store_close(store);
    CHECK_STR(store_digest(into), before);
}

BDPO_TEST(what_does_not_fit_is_not_merged)
{
    const char *one = fill("one.db", 0, 3), *two = fill("two.db", 1, 4);
    check_refused(one, one, BDPO_BAD_ARGUMENT, "cannot be merged into itself");
    check_refused(one, scratch_path("nowhere.db"), BDPO_NOT_FOUND, "nowhere.db: cannot open");
    check_refused(one, scratch_file("text", "not a store"), BDPO_BAD_FILE, "text: no score store");
    run_sql(two, "UPDATE pairs SET image_0 = image_1 WHERE row = 2");
    check_refused(one, two, BDPO_BAD_ARGUMENT,
                  "row 2 of data set \"run\" has other pictures or another prompt here than in ");
    two = fill("three.db", 5, 6);
    run_sql(two, "UPDATE scorers SET uses_prompt = 1; DELETE FROM scores WHERE prompt = 0");
    check_refused(one, two, BDPO_BAD_ARGUMENT, "scorer \"looks\" sees prompts in only one");
    // The handle can merge and write after a refusal.
    bdpo_merge_counts counts;
    bdpo_score_store *store = open_store(one, BDPO_STORE_WRITE);
    CHECK_STATUS(bdpo_score_store_merge(&counts, store, two), BDPO_BAD_ARGUMENT);
    CHECK_OK(bdpo_score_store_merge(&counts, store, fill("four.db", 3, 5)));
    CHECK_INT(counts.pairs, 2);
    write_batches(store, 5, 6);
    bdpo_score_store_close(store);
    CHECK_INT(count_whole_batches(one), 6);
    scratch_remove();
}

// Whichever allocation of ours fails, the store says so, leaks nothing and stays whole.
#include <unistd.h>

#include "harness.h"
#include "models/scratch.h"
#include "scorers/score_export.h"
#include "scorers/score_import.h"
#include "scorers/small_store.h"

static bdpo_status write_some(bdpo_score_store *store)
{
    int64_t image, prompt, scorer, rule;
    static const char hash[] = "abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789";
    bdpo_stored_image picture = {.sha256 = hash, .size_bytes = 5};
    bdpo_stored_scorer judge = {"judge", "1", NULL, true};
    TRY(bdpo_score_store_begin(store));
    TRY(bdpo_score_store_put_image(&image, store, &picture));
    TRY(bdpo_score_store_put_prompt(&prompt, store, "p", 1));
    TRY(bdpo_score_store_put_scorer(&scorer, store, &judge));
    TRY(bdpo_score_store_put_rule(&rule, store, "majority", &scorer, 1));
    return bdpo_score_store_commit(store);
}

static bdpo_status read_some(bdpo_score_store *store, bdpo_arena *arena)
{
    int n;
    int64_t id;
    bdpo_scorer_summary *scorers;
    bdpo_pair_cursor *cursor;
    const bdpo_scored_pair *row = NULL;
    TRY(bdpo_score_store_list_scorers(&scorers, &n, store, arena));
    TRY(bdpo_score_store_choose_scorer(&id, store, "alpha"));
    TRY(bdpo_pair_cursor_open(&cursor, store, "run", &id, 1));
    bdpo_status status;
    do status = bdpo_pair_cursor_next(&row, cursor);
    while (status == BDPO_OK && row);
    bdpo_pair_cursor_close(cursor);
    return status;
}

static bdpo_status use(bdpo_score_store *store, bdpo_arena *arena)
{
    int64_t n;
    bdpo_import_counts counts;
    bdpo_score_export out = {.path = scratch_path("out.jsonl"), .format = BDPO_TABLE_JSONL};
    bdpo_score_import in = {
        .path = scratch_path("in.csv"), .scorer = "other", .version = "1", .no_prompt = true};
    TRY(write_some(store));
    TRY(read_some(store, arena));
    TRY(bdpo_score_store_export(&n, store, &out));
    out = (bdpo_score_export){
        .path = scratch_path("out.parquet"), .format = BDPO_TABLE_PARQUET, .pairs = true};
    TRY(bdpo_score_store_export(&n, store, &out));
    return bdpo_score_store_import(&counts, store, &in);
}

static bdpo_status open_and_use(const char *path, bdpo_arena *arena)
{
    bdpo_score_store *store;
    TRY(bdpo_score_store_open(&store, path, BDPO_STORE_WRITE));
    bdpo_status status = use(store, arena);
    bdpo_score_store_close(store);
    return status;
}

BDPO_TEST_FULL(every_failed_allocation_is_told)
{
    char path[512];
    snprintf(path, sizeof path, "%s", scratch_path("s.db"));
    bdpo_score_store *store = open_store(path, BDPO_STORE_CREATE);
    write_batches(store, 0, 3);
    bdpo_score_store_close(store);
    scratch_file("in.csv", "image,score\n"
                           "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef,1\n");
    bdpo_status status = BDPO_NO_MEMORY;
    int n_failed = 0;
    for (uint64_t n = 1; status != BDPO_OK; n++) {
        bdpo_arena *arena;
        CHECK_OK(bdpo_arena_new(&arena));
        bdpo_alloc_fail_at(bdpo_alloc_count() + n);
        status = open_and_use(path, arena);
        bdpo_alloc_fail_at(0);
        bdpo_arena_free(arena);
        if (status == BDPO_OK) break;
        CHECK_STATUS(status, BDPO_NO_MEMORY);
        n_failed++;
        store = open_store(path, BDPO_STORE_READ);
        CHECK_OK(bdpo_score_store_check(store, NULL, NULL));
        bdpo_score_store_close(store);
    }
    CHECK_LE(20, n_failed);
    scratch_remove();
}

// Forged stores and forged tables of scores: read, or refused in one line.
#include <unistd.h>

#include "fuzz/fuzz_bytes.h"
#include "harness.h"
#include "models/scratch.h"
#include "scorers/score_import.h"
#include "scorers/store_sql.h"

// ---- stores ------------------------------------------------------------------------------------

static bdpo_status read_pairs(bdpo_score_store *store)
{
    static const int64_t scorers[] = {1, 2};
    bdpo_pair_cursor *cursor;
    const bdpo_scored_pair *row;
    bdpo_status status;
    TRY(bdpo_pair_cursor_open(&cursor, store, NULL, scorers, 2));
    // A forged tree may have a row twice, but not without end: each row asked for is a later one.
    do status = bdpo_pair_cursor_next(&row, cursor);
    while (status == BDPO_OK && row);
    bdpo_pair_cursor_close(cursor);
    return status;
}

static bdpo_status read_scores(bdpo_score_store *store)
{
    bdpo_score_cursor *cursor;
    const bdpo_score_row *row;
    bdpo_status status;
    TRY(bdpo_score_cursor_open(&cursor, store, &(bdpo_score_filter){0}));
    do status = bdpo_score_cursor_next(&row, cursor);
    while (status == BDPO_OK && row);
    bdpo_score_cursor_close(cursor);
    return status;
}

static bdpo_status read_lists(bdpo_score_store *store, bdpo_arena *arena)
{
    int n;
    int64_t id;
    bdpo_store_counts counts;
    bdpo_scorer_summary *scorers;
    bdpo_data_set_summary *sets;
    bdpo_rule_summary *rules;
    TRY(bdpo_score_store_count(&counts, store));
    TRY(bdpo_score_store_list_scorers(&scorers, &n, store, arena));
    TRY(bdpo_score_store_list_data_sets(&sets, &n, store, arena));
    TRY(bdpo_score_store_list_rules(&rules, &n, store, arena));
    bdpo_status status = bdpo_score_store_choose_scorer(&id, store, "clip-h");
    return status == BDPO_NOT_FOUND || status == BDPO_BAD_ARGUMENT ? BDPO_OK : status;
}

static bdpo_status read_all(bdpo_score_store *store)
{
    bdpo_sha256_text digest;
    bdpo_arena *arena;
    TRY(read_pairs(store));
    TRY(read_scores(store));
    TRY(bdpo_arena_new(&arena));
    bdpo_status status = read_lists(store, arena);
    bdpo_arena_free(arena);
    TRY(status);
    TRY(bdpo_score_store_digest(&digest, store));
    return bdpo_score_store_check(store, NULL, NULL);
}

static bdpo_status read_store(const char *path)
{
    bdpo_score_store *store;
    TRY(bdpo_score_store_open(&store, path, BDPO_STORE_READ));
    bdpo_status status = read_all(store);
    bdpo_score_store_close(store);
    return status;
}

static const fuzz_target stores = {.folder = "store", .file_name = "x.db", .read = read_store};

BDPO_TEST(stores_corpus)
{
    fuzz_replay(&stores);
}

BDPO_TEST(stores_mutants)
{
    fuzz_mutants(&stores, 300);
}

BDPO_TEST_LONG(stores_mutants_for_long)
{
    fuzz_long(&stores);
}

// ---- tables of scores --------------------------------------------------------------------------

static void check_line(void *context, const char *line)
{
    (void)context;
    for (; *line; line++) CHECK((unsigned char)*line >= 0x20 && *line != 0x7f);
}

// One store for all runs: making one is slow.
static bdpo_status import(const char *path)
{
    static bdpo_score_store *store;
    bdpo_import_counts counts;
    bdpo_score_import what = {.path = path, .scorer = "judge", .version = "1", .say = check_line};
    if (!store) {
        const char *name = scratch_path("s.db");
        CHECK_OK(bdpo_score_store_open(&store, name, BDPO_STORE_CREATE));
        CHECK_OK(bdpo_sql_exec(store, "PRAGMA synchronous = OFF"));
        scratch_remove(); // the open file lives on
    }
    CHECK(bdpo_import_format_of(&what.format, path));
    return bdpo_score_store_import(&counts, store, &what);
}

static const fuzz_target tables = {.folder = "score_table", .file_name = "x.csv", .read = import};
static const fuzz_target lines = {.folder = "score_table", .file_name = "x.jsonl", .read = import};

BDPO_TEST(score_tables_corpus)
{
    fuzz_replay(&tables);
    fuzz_replay(&lines);
}

BDPO_TEST(score_tables_mutants)
{
    fuzz_mutants(&tables, 100);
    fuzz_mutants(&lines, 100);
}

BDPO_TEST_LONG(score_tables_mutants_for_long)
{
    fuzz_long(&tables);
}

BDPO_TEST_LONG(score_lines_mutants_for_long)
{
    fuzz_long(&lines);
}

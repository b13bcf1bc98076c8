// Contents from numbers.
#include "scorers/small_store.h"

#include <sqlite3.h>

#include "harness.h"

bdpo_score_store *open_store(const char *path, bdpo_score_store_mode mode)
{
    bdpo_score_store *store;
    CHECK_OK(bdpo_score_store_open(&store, path, mode));
    return store;
}

void begin(bdpo_score_store *store)
{
    CHECK_OK(bdpo_score_store_begin(store));
}

void commit(bdpo_score_store *store)
{
    CHECK_OK(bdpo_score_store_commit(store));
}

const char *image_hash(int number)
{
    static bdpo_sha256_text hash;
    CHECK_OK(bdpo_sha256(&hash, &number, sizeof number));
    return hash.hex;
}

int64_t put_image(bdpo_score_store *store, int number)
{
    int64_t id;
    char path[32];
    snprintf(path, sizeof path, "pictures/%d.png", number);
    bdpo_stored_image image = {.sha256 = image_hash(number),
                               .size_bytes = 1000 + number,
                               .width = 512,
                               .height = 300 + number % 100,
                               .path = path};
    CHECK_OK(bdpo_score_store_put_image(&id, store, &image));
    return id;
}

int64_t put_prompt(bdpo_score_store *store, const char *text)
{
    int64_t id;
    CHECK_OK(bdpo_score_store_put_prompt(&id, store, text, strlen(text)));
    return id;
}

int64_t put_scorer(bdpo_score_store *store, const char *name, bool uses_prompt)
{
    int64_t id;
    bdpo_stored_scorer scorer = {
        .name = name, .checkpoint = image_hash((int)strlen(name)), .uses_prompt = uses_prompt};
    CHECK_OK(bdpo_score_store_put_scorer(&id, store, &scorer));
    return id;
}

void put_score(bdpo_score_store *store, int64_t image, int64_t prompt, int64_t scorer, double score)
{
    bdpo_stored_score row = {.image = image, .prompt = prompt, .scorer = scorer, .score = score};
    CHECK_OK(bdpo_score_store_put_score(store, &row));
}

double get_score(bdpo_score_store *store, int64_t image, int64_t prompt, int64_t scorer)
{
    double score;
    CHECK_OK(bdpo_score_store_get_scores(&score, NULL, store, image, prompt, &scorer, 1));
    return score;
}

// ---- SQL ---------------------------------------------------------------------------------------

static sqlite3 *open_sqlite(const char *path)
{
    sqlite3 *db;
    CHECK(sqlite3_open(path, &db) == SQLITE_OK);
    return db;
}

void run_sql(const char *path, const char *text)
{
    sqlite3 *db = open_sqlite(path);
    char *message = NULL;
    if (sqlite3_exec(db, text, NULL, NULL, &message) != SQLITE_OK) FAIL("SQL: %s", message);
    CHECK(sqlite3_close(db) == SQLITE_OK);
}

const char *ask_sql(const char *path, const char *text)
{
    static char answer[4096];
    sqlite3 *db = open_sqlite(path);
    sqlite3_stmt *statement;
    if (sqlite3_prepare_v2(db, text, -1, &statement, NULL) != SQLITE_OK)
        FAIL("SQL: %s", sqlite3_errmsg(db));
    const unsigned char *value = NULL;
    if (sqlite3_step(statement) == SQLITE_ROW) value = sqlite3_column_text(statement, 0);
    snprintf(answer, sizeof answer, "%s", value ? (const char *)value : "");
    sqlite3_finalize(statement);
    CHECK(sqlite3_close(db) == SQLITE_OK);
    return answer;
}

const char *store_digest(const char *path)
{
    static bdpo_sha256_text digests[4];
    static int at;
    bdpo_sha256_text *digest = &digests[at++ % 4];
    bdpo_score_store *store = open_store(path, BDPO_STORE_READ);
    CHECK_OK(bdpo_score_store_digest(digest, store));
    bdpo_score_store_close(store);
    return digest->hex;
}

// ---- a scoring run -----------------------------------------------------------------------------

static const char *prompt_of(int number)
{
    static char prompt[64];
    snprintf(prompt, sizeof prompt, "prompt %d of 'many' \"kinds\"", number % 7);
    return prompt;
}

static void write_batch(bdpo_score_store *store, int number)
{
    begin(store);
    int64_t id, images[] = {put_image(store, 2 * number), put_image(store, 2 * number + 1)};
    int64_t prompt = put_prompt(store, prompt_of(number));
    int64_t scorers[] = {put_scorer(store, "alpha", true), put_scorer(store, "beta2", true),
                         put_scorer(store, "looks", false)};
    bdpo_stored_pair pair = {.data_set = "run",
                             .row = number,
                             .image_0 = images[0],
                             .image_1 = images[1],
                             .prompt = prompt,
                             .label = number % 3 / 2.0,
                             .model_0 = "m0",
                             .model_1 = number % 2 ? "m1" : NULL};
    CHECK_OK(bdpo_score_store_put_pair(&id, store, &pair));
    for (int i = 0; i < 2; i++)
        for (int k = 0; k < 3; k++)
            put_score(store, images[i], prompt, scorers[k], sin(number * 6.0 + i * 3.0 + k) / 3);
    commit(store);
}

void write_batches(bdpo_score_store *store, int first, int last)
{
    for (int i = first; i < last; i++) write_batch(store, i);
}

int count_whole_batches(const char *path)
{
    const bdpo_scored_pair *row;
    bdpo_store_counts counts;
    bdpo_pair_cursor *cursor;
    int64_t scorers[3];
    static const char *const names[] = {"alpha", "beta2", "looks"};
    bdpo_score_store *store = open_store(path, BDPO_STORE_READ);
    CHECK_OK(bdpo_score_store_count(&counts, store));
    for (int i = 0; i < 3 && counts.scorers > 0; i++)
        CHECK_OK(bdpo_score_store_choose_scorer(&scorers[i], store, names[i]));
    int n = 0;
    CHECK_OK(bdpo_pair_cursor_open(&cursor, store, NULL, scorers, counts.scorers > 0 ? 3 : 0));
    for (;; n++) {
        CHECK_OK(bdpo_pair_cursor_next(&row, cursor));
        if (!row) break;
        CHECK_INT(row->pair.row, n);
        CHECK_STR(row->prompt_text, prompt_of(n));
        for (int k = 0; k < 3; k++) {
            CHECK(row->scores_0[k] == sin(n * 6.0 + k) / 3);
            CHECK(row->scores_1[k] == sin(n * 6.0 + 3.0 + k) / 3);
        }
    }
    bdpo_pair_cursor_close(cursor);
    CHECK_INT(counts.pairs, n);
    CHECK_INT(counts.images, 2 * n);
    CHECK_INT(counts.scores, 6 * n);
    CHECK_OK(bdpo_score_store_check(store, NULL, NULL));
    bdpo_score_store_close(store);
    return n;
}

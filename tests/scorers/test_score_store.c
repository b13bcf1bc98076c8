// The score store: what goes in comes back, by content and to the bit.
#include "scorers/score_store.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "harness.h"
#include "models/scratch.h"
#include "scorers/small_store.h"

static bdpo_score_store *new_store(void)
{
    return open_store(scratch_path("s.db"), BDPO_STORE_CREATE);
}

static void end(bdpo_score_store *store)
{
    bdpo_score_store_close(store);
    scratch_remove();
}

// ---- opening -----------------------------------------------------------------------------------

BDPO_TEST(a_store_is_made_once_and_opened_again)
{
    const char *path = scratch_path("s.db");
    bdpo_score_store *store;
    CHECK_STATUS(bdpo_score_store_open(&store, path, BDPO_STORE_READ), BDPO_NOT_FOUND);
    CHECK_CONTAINS(bdpo_message(), "s.db: cannot open: No such file");
    CHECK(store == NULL);
    CHECK_STATUS(bdpo_score_store_open(&store, path, BDPO_STORE_WRITE), BDPO_NOT_FOUND);
    CHECK(access(path, F_OK) != 0);
    store = open_store(path, BDPO_STORE_CREATE);
    begin(store);
    int64_t id = put_image(store, 1);
    commit(store);
    bdpo_score_store_close(store);
    store = open_store(path, BDPO_STORE_CREATE);
    begin(store);
    CHECK_INT(put_image(store, 1), id);
    bdpo_score_store_close(store); // aborts
    CHECK_STR(ask_sql(path, "PRAGMA journal_mode"), "wal");
    CHECK_STR(ask_sql(path, "PRAGMA user_version"), "2");
    scratch_remove();
}

// Names that mean something to SQLite or in a URI.
BDPO_TEST(a_path_is_taken_as_it_is)
{
    static const char *const names[] = {":memory:", "a?mode=ro",       "50%41 & #x.db",
                                        "file:x",   "\xe4\xbd\xa0.db", "it's \"so\""};
    char directory[512];
    CHECK(getcwd(directory, sizeof directory) != NULL);
    CHECK(chdir(scratch_path("")) == 0);
    for (size_t i = 0; i < BDPO_COUNTOF(names); i++) {
        bdpo_score_store_close(open_store(names[i], BDPO_STORE_CREATE));
        CHECK(access(names[i], F_OK) == 0);
        bdpo_score_store_close(open_store(names[i], BDPO_STORE_READ));
    }
    CHECK(chdir(directory) == 0);
    scratch_remove();
}

BDPO_TEST(reading_leaves_nothing_beside_the_file)
{
    bdpo_score_store_close(new_store());
    bdpo_score_store_close(open_store(scratch_path("s.db"), BDPO_STORE_READ));
    CHECK(access(scratch_path("s.db-wal"), F_OK) != 0);
    CHECK(access(scratch_path("s.db-shm"), F_OK) != 0);
    scratch_remove();
}

static void check_refused(const char *path, const char *part)
{
    for (bdpo_score_store_mode mode = BDPO_STORE_READ; mode <= BDPO_STORE_CREATE; mode++) {
        bdpo_score_store *store;
        CHECK_STATUS(bdpo_score_store_open(&store, path, mode), BDPO_BAD_FILE);
        CHECK_CONTAINS(bdpo_message(), path);
        CHECK_CONTAINS(bdpo_message(), part);
        CHECK(strchr(bdpo_message(), '\n') == NULL);
    }
}

BDPO_TEST(what_is_no_store_is_refused_and_left_alone)
{
    check_refused(scratch_directory("d"), "a directory, expected a score store");
    check_refused("/dev/null", "no plain file");
    check_refused(scratch_file("t", "image,prompt,score\n"), "not an SQLite file");
    const char *other = scratch_path("other.db");
    run_sql(other, "CREATE TABLE mine (x); PRAGMA user_version = 2");
    check_refused(other, "an SQLite file of another program");
    CHECK_STR(ask_sql(other, "PRAGMA journal_mode"), "delete");
    bdpo_score_store *store;
    const char *empty = scratch_file("empty", "");
    CHECK_STATUS(bdpo_score_store_open(&store, empty, BDPO_STORE_READ), BDPO_BAD_FILE);
    CHECK_CONTAINS(bdpo_message(), "it is empty");
    bdpo_score_store_close(open_store(empty, BDPO_STORE_CREATE)); // as mkstemp() leaves it
    CHECK_STATUS(bdpo_score_store_open(&store, "", BDPO_STORE_CREATE), BDPO_BAD_ARGUMENT);
    scratch_remove();
}

BDPO_TEST(a_newer_version_is_refused_by_its_number)
{
    bdpo_score_store_close(new_store());
    run_sql(scratch_path("s.db"), "PRAGMA user_version = 3");
    check_refused(scratch_path("s.db"),
                  "a score store of version 3; this program knows versions 1 to 2");
    scratch_remove();
}

// ---- migration ---------------------------------------------------------------------------------

// Version 1 as it was written, by hand and not by our code.
static const char version_1[] =
    "CREATE TABLE images (id INTEGER PRIMARY KEY,"
    " sha256 TEXT NOT NULL UNIQUE CHECK (length(sha256) = 64),"
    " bytes INTEGER, width INTEGER, height INTEGER);"
    "CREATE TABLE prompts (id INTEGER PRIMARY KEY, text UNIQUE,"
    " CHECK ((id = 0) = (text IS NULL)));"
    "CREATE TABLE scorers (id INTEGER PRIMARY KEY, name TEXT NOT NULL, checkpoint TEXT NOT NULL,"
    " settings TEXT NOT NULL, uses_prompt INTEGER NOT NULL CHECK (uses_prompt IN (0, 1)),"
    " UNIQUE (name, checkpoint, settings));"
    "CREATE TABLE scores (image INTEGER NOT NULL REFERENCES images,"
    " prompt INTEGER NOT NULL REFERENCES prompts, scorer INTEGER NOT NULL REFERENCES scorers,"
    " score, reason TEXT, PRIMARY KEY (image, prompt, scorer),"
    " CHECK ((typeof(score) = 'real' AND reason IS NULL)"
    " OR (score IS NULL AND reason IS NOT NULL))) WITHOUT ROWID;"
    "INSERT INTO prompts VALUES (0, NULL), (1, 'a cat');"
    "INSERT INTO images VALUES (7, "
    "'0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef', 1234, 64, 32);"
    "INSERT INTO scorers VALUES (3, 'alpha', 'one', '{}', 1), (4, 'looks', 'two', '{}', 0);"
    "INSERT INTO scores VALUES (7, 1, 3, 0.25, NULL), (7, 0, 4, NULL, 'nan');"
    "PRAGMA application_id = 1650749551; PRAGMA user_version = 1";

BDPO_TEST(version_1_is_brought_up)
{
    const char *path = scratch_path("old.db");
    int64_t image, prompt, id, scorers[2];
    double scores[2];
    bool missing[2];
    run_sql(path, version_1);
    bdpo_score_store *store;
    CHECK_STATUS(bdpo_score_store_open(&store, path, BDPO_STORE_READ), BDPO_BAD_FILE);
    CHECK_CONTAINS(bdpo_message(), "of version 1; bring it to version 2 by: bdpo store ");
    store = open_store(path, BDPO_STORE_WRITE);
    CHECK_OK(bdpo_score_store_find_image(
        &image, store, "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"));
    CHECK_INT(image, 7);
    CHECK_OK(bdpo_score_store_find_prompt(&prompt, store, "a cat", 5));
    CHECK_OK(bdpo_score_store_choose_scorer(&scorers[0], store, "alpha"));
    CHECK_OK(bdpo_score_store_choose_scorer(&scorers[1], store, "looks@tw"));
    CHECK_OK(bdpo_score_store_get_scores(scores, missing, store, image, prompt, scorers, 2));
    CHECK(scores[0] == 0.25 && isnan(scores[1]) && !missing[1]);
    begin(store);
    bdpo_stored_pair pair = {.data_set = "d",
                             .image_0 = image,
                             .image_1 = put_image(store, 1),
                             .prompt = prompt,
                             .label = NAN};
    CHECK_OK(bdpo_score_store_put_pair(&id, store, &pair));
    commit(store);
    CHECK_OK(bdpo_score_store_check(store, NULL, NULL));
    bdpo_score_store_close(store);
    CHECK_STR(ask_sql(path, "PRAGMA user_version"), "2");
    bdpo_score_store_close(open_store(path, BDPO_STORE_READ));
    scratch_remove();
}

BDPO_TEST(migrated_and_new_stores_have_the_same_tables)
{
    static const char query[] = "SELECT group_concat(sql) FROM (SELECT replace(replace(sql, ' ', "
                                "''), char(10), '') AS sql FROM sqlite_master ORDER BY name)";
    char wanted[4096];
    run_sql(scratch_path("old.db"), version_1);
    bdpo_score_store_close(open_store(scratch_path("old.db"), BDPO_STORE_WRITE));
    bdpo_score_store_close(new_store());
    snprintf(wanted, sizeof wanted, "%s", ask_sql(scratch_path("s.db"), query));
    CHECK_STR(ask_sql(scratch_path("old.db"), query), wanted);
    scratch_remove();
}

// A version 1 whose table is not as it was: nothing is changed.
BDPO_TEST(migration_that_fails_leaves_the_old_version)
{
    bdpo_score_store *store;
    run_sql(scratch_path("old.db"), version_1);
    run_sql(scratch_path("old.db"), "CREATE TABLE rules (x)");
    CHECK_STATUS(bdpo_score_store_open(&store, scratch_path("old.db"), BDPO_STORE_WRITE),
                 BDPO_BAD_FILE);
    CHECK_CONTAINS(bdpo_message(), "table rules already exists");
    CHECK_STR(ask_sql(scratch_path("old.db"), "PRAGMA user_version"), "1");
    CHECK_STR(ask_sql(scratch_path("old.db"), "SELECT count(*) FROM sqlite_master"
                                              " WHERE name IN ('pairs', 'votes')"),
              "0");
    scratch_remove();
}

// ---- content -----------------------------------------------------------------------------------

BDPO_TEST(prompts_come_back_byte_for_byte)
{
    static char longest[300000];
    memset(longest, 'x', sizeof longest);
    const struct {
        const char *text;
        size_t length;
    } prompts[] = {
        {"", 0},
        {"a cat", 5},
        {"a 'cat' \"says\" ; DROP TABLE prompts; --", 40},
        {"a\0cat", 5},
        {"a", 1},
        {"a\0", 2},
        {"\0", 1},
        {"\xe4\xb8\x80\xe5\x8f\xaa\xe7\x8c\xab", 9},
        {"broken \xff\xfe utf-8", 15},
        {"\xed\xa0\x80", 3},
        {"line\nline\r\n\ttab", 15},
        {longest, sizeof longest},
        {longest, sizeof longest - 1},
    };
    enum { N = BDPO_COUNTOF(prompts) };
    int64_t ids[N], id;
    bdpo_score_store *store = new_store();
    begin(store);
    int64_t a = put_image(store, 0), b = put_image(store, 1);
    for (size_t i = 0; i < N; i++) {
        CHECK_OK(bdpo_score_store_put_prompt(&ids[i], store, prompts[i].text, prompts[i].length));
        CHECK(ids[i] > BDPO_ANY_PROMPT);
        for (size_t k = 0; k < i; k++) CHECK(ids[k] != ids[i]);
        bdpo_stored_pair pair = {.data_set = "p",
                                 .row = (int64_t)i,
                                 .image_0 = a,
                                 .image_1 = b,
                                 .prompt = ids[i],
                                 .label = NAN};
        CHECK_OK(bdpo_score_store_put_pair(&id, store, &pair));
    }
    commit(store);
    bdpo_pair_cursor *cursor;
    const bdpo_scored_pair *row;
    CHECK_OK(bdpo_pair_cursor_open(&cursor, store, "p", NULL, 0));
    for (size_t i = 0; i < N; i++) {
        CHECK_OK(bdpo_score_store_find_prompt(&id, store, prompts[i].text, prompts[i].length));
        CHECK_INT(id, ids[i]);
        CHECK_OK(bdpo_pair_cursor_next(&row, cursor));
        CHECK(row != NULL);
        CHECK_U64(row->prompt_length, prompts[i].length);
        CHECK_BYTES(row->prompt_text, prompts[i].text, prompts[i].length);
    }
    CHECK_OK(bdpo_pair_cursor_next(&row, cursor));
    CHECK(row == NULL);
    bdpo_pair_cursor_close(cursor);
    end(store);
}

BDPO_TEST(scores_come_back_to_the_bit)
{
    const double values[] = {
        0.0,           -0.0,     1.0,       -3.0,    0.1,  1e308,    5e-324,
        -5e-324,       INFINITY, -INFINITY, 1.0 / 3, 1e15, 1e16 + 2, 4503599627370497.5,
        0x1.fffffep127};
    enum { N = BDPO_COUNTOF(values) };
    int64_t images[N];
    bdpo_score_store *store = new_store();
    begin(store);
    int64_t prompt = put_prompt(store, "p"), scorer = put_scorer(store, "alpha", true);
    for (size_t i = 0; i < N; i++) {
        images[i] = put_image(store, (int)i);
        put_score(store, images[i], prompt, scorer, values[i]);
    }
    commit(store);
    bdpo_score_store_close(store);
    store = open_store(scratch_path("s.db"), BDPO_STORE_READ);
    for (size_t i = 0; i < N; i++) {
        double score = get_score(store, images[i], prompt, scorer);
        CHECK_BYTES(&score, &values[i], sizeof score);
    }
    end(store);
}

BDPO_TEST(a_missing_score_is_not_one_that_is_none)
{
    bdpo_score_store *store = new_store();
    begin(store);
    int64_t image = put_image(store, 1), prompt = put_prompt(store, "p");
    int64_t scorers[] = {put_scorer(store, "alpha", true), put_scorer(store, "beta2", true),
                         put_scorer(store, "gamma.3", true), BDPO_NO_ID};
    put_score(store, image, prompt, scorers[0], 0.5);
    bdpo_stored_score none = {image, prompt, scorers[1], NAN, "does not decode"};
    CHECK_OK(bdpo_score_store_put_score(store, &none));
    double scores[4];
    bool missing[4];
    CHECK_OK(bdpo_score_store_get_scores(scores, missing, store, image, prompt, scorers, 4));
    CHECK(scores[0] == 0.5 && isnan(scores[1]) && isnan(scores[2]) && isnan(scores[3]));
    CHECK(!missing[0] && !missing[1] && missing[2] && missing[3]);
    CHECK_OK(bdpo_score_store_get_scores(scores, missing, store, BDPO_NO_ID, prompt, scorers, 2));
    CHECK(missing[0] && missing[1]);
    // A number stays where "none" comes, and replaces it.
    bdpo_stored_score again = {image, prompt, scorers[0], NAN, NULL};
    CHECK_OK(bdpo_score_store_put_score(store, &again));
    put_score(store, image, prompt, scorers[1], 2.0);
    CHECK(get_score(store, image, prompt, scorers[0]) == 0.5);
    CHECK(get_score(store, image, prompt, scorers[1]) == 2.0);
    put_score(store, image, prompt, scorers[1], 3.0);
    CHECK(get_score(store, image, prompt, scorers[1]) == 3.0);
    bdpo_stored_score nan = {image, prompt, scorers[2], NAN, NULL};
    CHECK_OK(bdpo_score_store_put_score(store, &nan));
    commit(store);
    bdpo_score_store_close(store);
    CHECK_STR(ask_sql(scratch_path("s.db"), "SELECT group_concat(reason) FROM scores"), "nan");
    scratch_remove();
}

BDPO_TEST(a_scorer_without_prompts_scores_a_picture_once)
{
    bdpo_score_store *store = new_store();
    begin(store);
    int64_t image = put_image(store, 1), other = put_image(store, 2);
    int64_t cat = put_prompt(store, "cat"), empty = put_prompt(store, "");
    int64_t looks = put_scorer(store, "looks", false), alpha = put_scorer(store, "alpha", true);
    put_score(store, image, cat, looks, 6.5);
    put_score(store, image, empty, alpha, 1.0);
    CHECK(get_score(store, image, empty, looks) == 6.5);
    CHECK(get_score(store, image, BDPO_ANY_PROMPT, looks) == 6.5);
    CHECK(isnan(get_score(store, image, cat, alpha))); // an empty prompt is a prompt
    CHECK(isnan(get_score(store, other, cat, looks)));
    bdpo_stored_scorer wrong = {"looks", image_hash(5), NULL, true};
    int64_t id;
    CHECK_STATUS(bdpo_score_store_put_scorer(&id, store, &wrong), BDPO_BAD_ARGUMENT);
    CHECK_CONTAINS(bdpo_message(), "\"looks\" stands there as one that sees no prompt");
    end(store);
}

BDPO_TEST(pictures_keep_what_is_known_best)
{
    int64_t id, again;
    bdpo_score_store *store = new_store();
    begin(store);
    bdpo_stored_image image = {image_hash(1), -1, 0, 0, "a.png"};
    CHECK_OK(bdpo_score_store_put_image(&id, store, &image));
    image = (bdpo_stored_image){image_hash(1), 10, 4, 3, NULL};
    CHECK_OK(bdpo_score_store_put_image(&again, store, &image));
    CHECK_INT(again, id);
    image = (bdpo_stored_image){image_hash(1), -1, 0, 0, "b.png"};
    CHECK_OK(bdpo_score_store_put_image(&again, store, &image));
    commit(store);
    bdpo_score_store_close(store);
    CHECK_STR(ask_sql(scratch_path("s.db"),
                      "SELECT bytes || ' ' || width || 'x' || height || ' ' || path FROM images"),
              "10 4x3 b.png");
    scratch_remove();
}

BDPO_TEST(bad_hashes_and_ids_are_refused)
{
    static const char *const hashes[] = {
        "", "abc", "0123456789ABCDEF0123456789abcdef0123456789abcdef0123456789abcdef",
        "g123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"};
    int64_t id;
    bdpo_score_store *store = new_store();
    begin(store);
    for (size_t i = 0; i < BDPO_COUNTOF(hashes); i++) {
        bdpo_stored_image image = {.sha256 = hashes[i]};
        CHECK_STATUS(bdpo_score_store_put_image(&id, store, &image), BDPO_BAD_ARGUMENT);
        CHECK_CONTAINS(bdpo_message(), "is no SHA-256 of a picture");
    }
    int64_t image = put_image(store, 1), prompt = put_prompt(store, "p");
    bdpo_stored_score row = {image, prompt, 99, 1.0, NULL};
    CHECK_STATUS(bdpo_score_store_put_score(store, &row), BDPO_BAD_ARGUMENT);
    CHECK_CONTAINS(bdpo_message(), "no scorer has the id 99");
    // The batch is broken: nothing of it stays.
    CHECK_STATUS(bdpo_score_store_commit(store), BDPO_IO);
    CHECK_OK(bdpo_score_store_find_image(&id, store, image_hash(1)));
    CHECK_INT(id, BDPO_NO_ID);
    begin(store);
    row = (bdpo_stored_score){99, 0, put_scorer(store, "alpha", true), 1.0, NULL};
    CHECK_STATUS(bdpo_score_store_put_score(store, &row), BDPO_BAD_ARGUMENT);
    CHECK_CONTAINS(bdpo_message(), "FOREIGN KEY");
    end(store);
}

BDPO_TEST(writing_without_a_batch_is_a_bug)
{
    bdpo_score_store *store = new_store();
    CHECK_ABORTS(put_image(store, 1));
    CHECK_ABORTS({
        if (bdpo_score_store_commit(store) != BDPO_OK) abort();
    });
    end(store);
}

BDPO_TEST(a_scorer_is_chosen_by_what_users_write)
{
    int64_t id, ids[3];
    bdpo_score_store *store = new_store();
    CHECK_STATUS(bdpo_score_store_choose_scorer(&id, store, "x"), BDPO_NOT_FOUND);
    CHECK_CONTAINS(bdpo_message(), "no scorer \"x\"; there are: none");
    begin(store);
    bdpo_stored_scorer scorers[] = {{"hps", "3fa8aa", NULL, true},
                                    {"hps", "3fb0bb", NULL, true},
                                    {"a@b", "77", "{\"x\": 1}", true}};
    for (int i = 0; i < 3; i++) CHECK_OK(bdpo_score_store_put_scorer(&ids[i], store, &scorers[i]));
    commit(store);
    CHECK_OK(bdpo_score_store_choose_scorer(&id, store, "hps@3fa"));
    CHECK_INT(id, ids[0]);
    CHECK_OK(bdpo_score_store_choose_scorer(&id, store, "a@b@7"));
    CHECK_INT(id, ids[2]);
    CHECK_OK(bdpo_score_store_choose_scorer(&id, store, "#2"));
    CHECK_INT(id, ids[1]);
    CHECK_STATUS(bdpo_score_store_choose_scorer(&id, store, "hps"), BDPO_BAD_ARGUMENT);
    CHECK_CONTAINS(bdpo_message(), "several scorers are \"hps\": say which of hps@3fa8aa (#1), "
                                   "hps@3fb0bb (#2)");
    CHECK_STATUS(bdpo_score_store_choose_scorer(&id, store, "clip"), BDPO_NOT_FOUND);
    CHECK_CONTAINS(bdpo_message(), "there are: a@b@77 (#3), hps@3fa8aa (#1), hps@3fb0bb (#2)");
    CHECK_STATUS(bdpo_score_store_choose_scorer(&id, store, "#9"), BDPO_NOT_FOUND);
    CHECK_STATUS(bdpo_score_store_choose_scorer(&id, store, "hps@ff"), BDPO_NOT_FOUND);
    end(store);
}

// ---- pairs, votes, labels ----------------------------------------------------------------------

BDPO_TEST(pairs_come_in_order_with_their_scores)
{
    int64_t id;
    bdpo_score_store *store = new_store();
    begin(store);
    int64_t a = put_image(store, 1), b = put_image(store, 2), p = put_prompt(store, "p");
    int64_t scorers[] = {put_scorer(store, "alpha", true), put_scorer(store, "looks", false)};
    static const struct {
        const char *data_set;
        int row;
    } rows[] = {{"z", 3}, {"a", 900}, {"z", 0}, {"a", 2}, {"m", 5}};
    for (size_t i = 0; i < BDPO_COUNTOF(rows); i++) {
        bdpo_stored_pair pair = {rows[i].data_set, rows[i].row, a, b, p, 0.5, "x", NULL};
        CHECK_OK(bdpo_score_store_put_pair(&id, store, &pair));
    }
    put_score(store, a, p, scorers[0], 1.5);
    put_score(store, b, p, scorers[1], 2.5);
    commit(store);
    static const int order[] = {3, 1, 4, 2, 0};
    bdpo_pair_cursor *cursor;
    const bdpo_scored_pair *row;
    CHECK_OK(bdpo_pair_cursor_open(&cursor, store, NULL, scorers, 2));
    for (int i = 0; i < 5; i++) {
        CHECK_OK(bdpo_pair_cursor_next(&row, cursor));
        CHECK_STR(row->pair.data_set, rows[order[i]].data_set);
        CHECK_INT(row->pair.row, rows[order[i]].row);
        CHECK(row->pair.label == 0.5 && row->pair.model_1 == NULL);
        CHECK_STR(row->pair.model_0, "x");
        CHECK(row->scores_0[0] == 1.5 && row->missing_1[0] && row->missing_0[1]);
        CHECK(row->scores_1[1] == 2.5 && isnan(row->scores_1[0]));
        begin(store); // a batch between two rows
        put_image(store, 100 + i);
        commit(store);
    }
    CHECK_OK(bdpo_pair_cursor_next(&row, cursor));
    CHECK(row == NULL);
    bdpo_pair_cursor_close(cursor);
    CHECK_OK(bdpo_pair_cursor_open(&cursor, store, "m", scorers, 0));
    CHECK_OK(bdpo_pair_cursor_next(&row, cursor));
    CHECK_INT(row->pair.row, 5);
    CHECK_OK(bdpo_pair_cursor_next(&row, cursor));
    CHECK(row == NULL);
    bdpo_pair_cursor_close(cursor);
    CHECK_STATUS(bdpo_pair_cursor_open(&cursor, store, "nowhere", scorers, 0), BDPO_NOT_FOUND);
    CHECK_CONTAINS(bdpo_message(), "no data set \"nowhere\"");
    end(store);
}

BDPO_TEST(a_pair_is_improved_but_never_another)
{
    int64_t id, again;
    bdpo_score_store *store = new_store();
    begin(store);
    int64_t a = put_image(store, 1), b = put_image(store, 2), p = put_prompt(store, "p");
    bdpo_stored_pair pair = {"d", 7, a, b, p, NAN, NULL, "m"};
    CHECK_OK(bdpo_score_store_put_pair(&id, store, &pair));
    pair.label = 1;
    pair.model_1 = NULL;
    CHECK_OK(bdpo_score_store_put_pair(&again, store, &pair));
    CHECK_INT(again, id);
    pair.label = NAN;
    CHECK_OK(bdpo_score_store_put_pair(&again, store, &pair));
    commit(store);
    CHECK_STR(ask_sql(scratch_path("s.db"), "SELECT label || model_1 FROM pairs"), "1.0m");
    begin(store);
    pair.image_0 = b;
    CHECK_STATUS(bdpo_score_store_put_pair(&again, store, &pair), BDPO_BAD_ARGUMENT);
    CHECK_CONTAINS(bdpo_message(), "row 7 of data set \"d\" stands there with other pictures");
    end(store);
}

BDPO_TEST(people_vote_once_on_two_pictures)
{
    int64_t id;
    bool added;
    bdpo_score_store *store = new_store();
    begin(store);
    int64_t a = put_image(store, 1), b = put_image(store, 2), p = put_prompt(store, "p"),
            q = put_prompt(store, "q");
    bdpo_stored_pair pairs[] = {{"d", 0, a, b, p, NAN, NULL, NULL},
                                {"d", 1, b, a, p, NAN, NULL, NULL},
                                {"d", 2, a, b, q, NAN, NULL, NULL}};
    for (int i = 0; i < 3; i++) CHECK_OK(bdpo_score_store_put_pair(&id, store, &pairs[i]));
    bdpo_stored_vote votes[] = {{a, b, p, 1, "ann", 100},  {a, b, p, 0, "ann", 101},
                                {b, a, p, 1, "ann", 102},  {b, a, p, 1, "ben", 103},
                                {b, a, p, 0.5, "cy", 104}, {a, b, q, 0, "ann", 105}};
    static const bool expected[] = {true, false, false, true, true, true};
    for (int i = 0; i < 6; i++) {
        CHECK_OK(bdpo_score_store_put_vote(&added, store, &votes[i]));
        CHECK_INT(added, expected[i]);
    }
    bdpo_stored_vote wrong = {a, b, p, 0.7, "dan", 1};
    CHECK_STATUS(bdpo_score_store_put_vote(&added, store, &wrong), BDPO_BAD_ARGUMENT);
    CHECK_CONTAINS(bdpo_message(), "a vote is 1, 0 or 0.5, not 0.7");
    wrong = (bdpo_stored_vote){a, b, p, 1, "", 1};
    CHECK_STATUS(bdpo_score_store_put_vote(&added, store, &wrong), BDPO_BAD_ARGUMENT);
    commit(store);
    static const double sums[] = {1.5, 1.5, 0};
    static const int n_votes[] = {3, 3, 1};
    bdpo_pair_cursor *cursor;
    const bdpo_scored_pair *row;
    CHECK_OK(bdpo_pair_cursor_open(&cursor, store, NULL, NULL, 0));
    for (int i = 0; i < 3; i++) {
        CHECK_OK(bdpo_pair_cursor_next(&row, cursor));
        CHECK_INT(row->n_votes, n_votes[i]);
        CHECK(row->votes_for_0 == sums[i]);
    }
    bdpo_pair_cursor_close(cursor);
    end(store);
}

BDPO_TEST(labels_belong_to_a_rule_and_its_scorers)
{
    int64_t id, rules[3];
    bool there;
    bdpo_stored_label label;
    bdpo_score_store *store = new_store();
    begin(store);
    int64_t a = put_image(store, 1), b = put_image(store, 2), p = put_prompt(store, "p");
    int64_t scorers[] = {put_scorer(store, "alpha", true), put_scorer(store, "looks", false)};
    bdpo_stored_pair pair = {"d", 0, a, b, p, NAN, NULL, NULL};
    CHECK_OK(bdpo_score_store_put_pair(&id, store, &pair));
    CHECK_OK(bdpo_score_store_put_rule(&rules[0], store, "majority", scorers, 2));
    CHECK_OK(bdpo_score_store_put_rule(&rules[1], store, "majority", scorers, 1));
    CHECK_OK(bdpo_score_store_put_rule(&rules[2], store, "majority", scorers, 2));
    CHECK(rules[0] != rules[1] && rules[0] == rules[2]);
    bdpo_stored_label put[] = {{id, rules[0], 1, 0.25, false},
                               {id, rules[1], NAN, -0.0, true},
                               {id, rules[0], 0.75, 0.1, false}};
    for (int i = 0; i < 3; i++) CHECK_OK(bdpo_score_store_put_label(store, &put[i]));
    CHECK_OK(bdpo_score_store_get_label(&there, &label, store, id, rules[0]));
    CHECK(there && label.probability == 0.75 && label.margin == 0.1 && !label.tie);
    CHECK_OK(bdpo_score_store_get_label(&there, &label, store, id, rules[1]));
    CHECK(there && isnan(label.probability) && signbit(label.margin) && label.tie);
    CHECK_OK(bdpo_score_store_get_label(&there, &label, store, id, 99));
    CHECK(!there);
    bdpo_arena *arena;
    bdpo_rule_summary *list;
    int n;
    CHECK_OK(bdpo_arena_new(&arena));
    CHECK_OK(bdpo_score_store_list_rules(&list, &n, store, arena));
    CHECK_INT(n, 2);
    CHECK_STR(list[0].text, "majority");
    CHECK_CONTAINS(list[0].scorers, "{\"name\": \"looks\", \"checkpoint\": \"");
    CHECK_INT(list[0].labels, 1);
    CHECK_INT(list[0].first, 1);
    CHECK_INT(list[1].unlabelled, 1);
    CHECK_INT(list[1].ties, 1);
    bdpo_arena_free(arena);
    bdpo_stored_label wrong = {id, rules[0], 1.5, 0, false};
    CHECK_STATUS(bdpo_score_store_put_label(store, &wrong), BDPO_BAD_ARGUMENT);
    end(store);
}

// ---- lists and every score ---------------------------------------------------------------------

BDPO_TEST(lists_count_what_is_there)
{
    bdpo_arena *arena;
    bdpo_scorer_summary *scorers;
    bdpo_data_set_summary *sets;
    bdpo_store_counts counts;
    int n;
    bdpo_score_store *store = new_store();
    write_batches(store, 0, 20);
    CHECK_OK(bdpo_arena_new(&arena));
    CHECK_OK(bdpo_score_store_count(&counts, store));
    CHECK_INT(counts.images, 40);
    CHECK_INT(counts.prompts, 7);
    CHECK_INT(counts.scores, 120);
    CHECK_INT(counts.none, 0);
    CHECK_OK(bdpo_score_store_list_scorers(&scorers, &n, store, arena));
    CHECK_INT(n, 3);
    CHECK_STR(scorers[2].scorer.name, "looks");
    CHECK_INT(scorers[2].scored, 40);
    CHECK(!scorers[2].scorer.uses_prompt);
    CHECK_LE(scorers[0].min, scorers[0].mean);
    CHECK_LE(scorers[0].mean, scorers[0].max);
    CHECK_OK(bdpo_score_store_list_data_sets(&sets, &n, store, arena));
    CHECK_INT(n, 1);
    CHECK_INT(sets[0].pairs, 20);
    CHECK_INT(sets[0].first + sets[0].second + sets[0].ties, 20);
    CHECK_INT(sets[0].first, 6); // numbers 2, 5, ... 17
    bdpo_arena_free(arena);
    end(store);
}

BDPO_TEST(scores_are_filtered)
{
    int64_t id;
    bdpo_score_store *store = new_store();
    write_batches(store, 0, 4);
    begin(store);
    int64_t a = put_image(store, 0), b = put_image(store, 77), p = put_prompt(store, "else");
    int64_t looks = put_scorer(store, "looks", false), alpha = put_scorer(store, "alpha", true);
    bdpo_stored_pair pair = {"other", 0, b, a, p, NAN, NULL, NULL};
    CHECK_OK(bdpo_score_store_put_pair(&id, store, &pair));
    put_score(store, b, p, alpha, 9);
    commit(store);
    const bdpo_score_filter filters[] = {
        {0}, {"run", NULL, 0}, {"other", NULL, 0}, {"other", &looks, 1}, {NULL, &alpha, 1}};
    static const int expected[] = {25, 24, 2, 1, 9};
    for (int i = 0; i < 5; i++) {
        bdpo_score_cursor *cursor;
        const bdpo_score_row *row;
        int n = 0;
        CHECK_OK(bdpo_score_cursor_open(&cursor, store, &filters[i]));
        for (;; n++) {
            CHECK_OK(bdpo_score_cursor_next(&row, cursor));
            if (!row) break;
            CHECK((row->prompt == NULL) == (strcmp(row->scorer, "looks") == 0));
            CHECK(row->path && strlen(row->sha256) == 64 && !row->reason);
        }
        CHECK_OK(bdpo_score_cursor_next(&row, cursor)); // still the end
        CHECK(row == NULL);
        bdpo_score_cursor_close(cursor);
        CHECK_INT(n, expected[i]);
    }
    end(store);
}

// ---- finished data sets ------------------------------------------------------------------------

static void put_pair_of(bdpo_score_store *store, const char *data_set, int row)
{
    int64_t id;
    bdpo_stored_pair pair = {.data_set = data_set,
                             .row = row,
                             .image_0 = put_image(store, 2 * row),
                             .image_1 = put_image(store, 2 * row + 1),
                             .prompt = put_prompt(store, "a cat"),
                             .label = NAN};
    CHECK_OK(bdpo_score_store_put_pair(&id, store, &pair));
}

// A store at `name` with rows first .. last - 1 of data set "set".
static bdpo_score_store *part_of_set(const char *name, int first, int last, bool finish)
{
    bdpo_score_store *store = open_store(scratch_path(name), BDPO_STORE_CREATE);
    begin(store);
    for (int i = first; i < last; i++) put_pair_of(store, "set", i);
    if (finish) CHECK_OK(bdpo_score_store_finish(store, "set"));
    commit(store);
    return store;
}

static bool is_finished(bdpo_score_store *store)
{
    bdpo_data_set_summary *sets;
    bdpo_arena *arena;
    int n;
    CHECK_OK(bdpo_arena_new(&arena));
    CHECK_OK(bdpo_score_store_list_data_sets(&sets, &n, store, arena));
    CHECK_INT(n, 1);
    bool finished = sets[0].finished;
    bdpo_arena_free(arena);
    return finished;
}

BDPO_TEST(a_data_set_is_finished_until_a_pair_comes)
{
    bdpo_score_store *store = part_of_set("s.db", 0, 3, false);
    CHECK(!is_finished(store));
    begin(store);
    CHECK_OK(bdpo_score_store_finish(store, "set"));
    CHECK_OK(bdpo_score_store_finish(store, "none such"));
    commit(store);
    CHECK(is_finished(store));
    begin(store);
    put_pair_of(store, "set", 2); // stands there already
    commit(store);
    CHECK(is_finished(store));
    begin(store);
    put_pair_of(store, "set", 3);
    commit(store);
    CHECK(!is_finished(store));
    bdpo_score_store_close(store);
    scratch_remove();
}

static void check_merged(bool ours, bool theirs, bool expected)
{
    bdpo_merge_counts counts;
    bdpo_score_store *store = part_of_set("ours.db", 0, 3, ours);
    bdpo_score_store_close(part_of_set("theirs.db", 2, 5, theirs));
    CHECK_OK(bdpo_score_store_merge(&counts, store, scratch_path("theirs.db")));
    CHECK_INT(counts.pairs, 2);
    CHECK_INT(is_finished(store), expected);
    bdpo_score_store_close(store);
    scratch_remove();
}

BDPO_TEST(finished_parts_are_finished_together)
{
    check_merged(true, true, true);
    check_merged(true, false, false);
    check_merged(false, true, false);
    bdpo_merge_counts counts;
    bdpo_score_store *empty = open_store(scratch_path("empty.db"), BDPO_STORE_CREATE);
    bdpo_score_store_close(part_of_set("theirs.db", 0, 3, true));
    CHECK_OK(bdpo_score_store_merge(&counts, empty, scratch_path("theirs.db")));
    CHECK(is_finished(empty));
    bdpo_score_store_close(empty);
    scratch_remove();
}

// bdpo vote on small stores: what it counts, labels and refuses.
#include "harness.h"

#include <jansson.h>
#include <stdlib.h>

#include "base/file.h"
#include "base/memory.h"
#include "cli/run_program.h"
#include "models/scratch.h"
#include "scorers/small_store.h"

// ---- stores ------------------------------------------------------------------------------------

// One pair: scores of clip-h, hpsv2 and aesthetic for its two pictures, and its label. NaN: the
// scorer has none; MISSING: it was never asked.
typedef struct row {
    double scores[3][2], label;
} row;

static const double MISSING = 1e9;
static const char *const scorers[] = {"clip-h", "hpsv2", "aesthetic"};

static const row rows[] = {
    {{{0.30, 0.25}, {0.27, 0.26}, {5, 6}}, 1},       // 2 to 1; the sum is aesthetic's
    {{{0.30, 0.25}, {0.27, 0.26}, {6, 5}}, 1},       // 3 to 0
    {{{0.25, 0.30}, {0.26, 0.26}, {6, 5}}, 0},       // 1 to 1, one abstains
    {{{0.25, 0.30}, {NAN, 0.26}, {5, 6}}, 0.5},      // 0 to 2, one without a vote
    {{{NAN, 0.30}, {NAN, NAN}, {5, NAN}}, 1},        // nobody
    {{{0.25, 0.25}, {0.26, 0.26}, {5, 5}}, NAN},     // all tie
    {{{0.31, 0.25}, {0.251, 0.259}, {5.5, 6.5}}, 0}, // 1 to 2
};

static void put_row(bdpo_score_store *store, const int64_t *ids, const char *data_set, int number,
                    const row *r, bool swapped)
{
    int64_t image[2], pair;
    for (int side = 0; side < 2; side++) image[side] = put_image(store, 2 * number + side);
    int64_t prompt = put_prompt(store, number % 2 ? "a cat" : "a \"dog\", sitting");
    for (int k = 0; k < 3; k++)
        for (int side = 0; side < 2; side++)
            if (r->scores[k][side] < MISSING || isnan(r->scores[k][side]))
                put_score(store, image[side], prompt, ids[k], r->scores[k][side]);
    bdpo_stored_pair stored = {.data_set = data_set,
                               .row = number,
                               .image_0 = image[swapped],
                               .image_1 = image[!swapped],
                               .prompt = prompt,
                               .label = swapped ? 1 - r->label : r->label};
    CHECK_OK(bdpo_score_store_put_pair(&pair, store, &stored));
}

static void put_rows(const char *path, const char *data_set, const row *list, int n, bool swapped)
{
    int64_t ids[3];
    bdpo_score_store *store = open_store(path, BDPO_STORE_CREATE);
    begin(store);
    for (int k = 0; k < 3; k++) ids[k] = put_scorer(store, scorers[k], k != 2);
    for (int i = 0; i < n; i++) put_row(store, ids, data_set, i, &list[i], swapped);
    CHECK_OK(bdpo_score_store_finish(store, data_set));
    commit(store);
    bdpo_score_store_close(store);
}

static const char *small_store(void)
{
    static char path[256]; // a scratch path is valid for eight calls only
    snprintf(path, sizeof path, "%s", scratch_path("scores.db"));
    put_rows(path, "set", rows, (int)BDPO_COUNTOF(rows), false);
    return path;
}

// ---- results -----------------------------------------------------------------------------------

// Borrowed until the next call.
static const json_t *parse_result(const program_result *r)
{
    static json_t *report;
    json_error_t error;
    CHECK_STR(r->err, "");
    CHECK_INT(r->code, 0);
    json_decref(report);
    report = json_loads(r->out, 0, &error);
    if (!report) FAIL("%s at line %d of the output", error.text, error.line);
    return report;
}

static const json_t *find_by(const json_t *list, const char *key, const char *value)
{
    size_t i;
    json_t *item;
    json_array_foreach(list, i, item)
    {
        if (strcmp(json_string_value(json_object_get(item, key)), value) == 0) return item;
    }
    FAIL("no %s %s", key, value);
}

static int64_t number(const json_t *object, const char *key)
{
    CHECK(json_is_integer(json_object_get(object, key)));
    return json_integer_value(json_object_get(object, key));
}

static void check_rule(const json_t *report, const char *rule, int labelled, int for_0, int ties,
                       int dissent, int no_vote)
{
    const json_t *r = find_by(json_object_get(report, "rules"), "rule", rule);
    CHECK_INT(number(r, "labelled"), labelled);
    CHECK_INT(number(r, "picture_0"), for_0);
    CHECK_INT(number(r, "picture_1"), labelled - for_0);
    CHECK_INT(number(r, "ties"), ties);
    CHECK_INT(number(r, "skipped"), number(report, "pairs") - labelled);
    CHECK_INT(number(r, "skipped_dissent"), dissent);
    CHECK_INT(number(r, "skipped_no_vote"), no_vote);
}

static void check_run(const program_result *r, int code, const char *err)
{
    CHECK_STR(r->err, err);
    CHECK_STR(r->out, "");
    CHECK_INT(r->code, code);
}

// ---- counts ------------------------------------------------------------------------------------

BDPO_TEST(vote_counts_every_rule)
{
    const json_t *r = parse_result(RUN(NULL, "vote", "--store", small_store(), "--json", "-q"));
    CHECK_INT(number(r, "pairs"), 7);
    CHECK_INT(number(r, "left_out"), 0);
    check_rule(r, "human", 5, 3, 1, 0, 1);
    check_rule(r, "single:clip-h", 5, 3, 1, 0, 1);
    check_rule(r, "single:hpsv2", 3, 2, 2, 0, 2);
    check_rule(r, "single:aesthetic", 5, 2, 1, 0, 1);
    check_rule(r, "coin", 7,
               (int)number(find_by(json_object_get(r, "rules"), "rule", "coin"), "picture_0"), 0, 0,
               0);
    check_rule(r, "sum", 5, 2, 1, 0, 1);
    check_rule(r, "majority", 4, 2, 2, 0, 1);
    check_rule(r, "weighted-majority", 4, 2, 2, 0, 1);
    check_rule(r, "soft-majority", 4, 2, 2, 0, 1);
    check_rule(r, "unanimous", 2, 1, 1, 3, 1);
    const json_t *majority = find_by(json_object_get(r, "rules"), "rule", "majority");
    CHECK(json_is_true(json_object_get(majority, "chosen")));
    CHECK_INT(number(majority, "no_votes"), 4);
    CHECK_INT(number(majority, "pairs_with_no_vote"), 2);
    CHECK_INT(number(r, "compared"), 6);
    CHECK_INT(number(r, "conflict"), 3);
    CHECK_INT(number(r, "unanimous"), 2);
    const json_t *aesthetic = find_by(json_object_get(r, "voters"), "name", "aesthetic");
    CHECK_INT(number(aesthetic, "decides_sum_alone"), 5);
    CHECK_INT(number(aesthetic, "turns_sum"), 3);
    CHECK_INT(number(r, "sum_against_majority"), 1); // the first; in the third the majority ties
    scratch_remove();
}

BDPO_TEST(vote_compares_judges)
{
    const json_t *r = parse_result(RUN(NULL, "vote", "--store", small_store(), "--json", "-q"));
    const json_t *list = json_object_get(r, "agreement");
    CHECK_INT(json_array_size(list), 10); // three scorers, the human label, the consensus
    const json_t *a = json_array_get(list, 1);
    CHECK_STR(json_string_value(json_object_get(a, "first")), "clip-h");
    CHECK_STR(json_string_value(json_object_get(a, "second")), "aesthetic");
    CHECK_INT(number(a, "pairs"), 6);
    // Rows 2 and 4 alike, and 6, both ties; 1, 3 and 7 against each other.
    CHECK_NEAR(json_real_value(json_object_get(a, "rate")), 0.5, 0);
    // Shares 3/6, 2/6, 1/6 and 2/6, 3/6, 1/6: e = 13/36.
    CHECK_NEAR(json_real_value(json_object_get(a, "kappa")), (0.5 - 13.0 / 36) / (1 - 13.0 / 36),
               1e-15);
    scratch_remove();
}

BDPO_TEST(vote_prints_a_table)
{
    const program_result *r = RUN(NULL, "vote", "--store", small_store(), "-q");
    CHECK_INT(r->code, 0);
    CHECK_STR(r->err, "");
    CHECK_CONTAINS(r->out, "7 pairs\n");
    CHECK_CONTAINS(r->out, "\n* majority ");
    CHECK_CONTAINS(r->out, "  voters in conflict                 3   50.0 %\n");
    CHECK_CONTAINS(r->out, "Cohen's kappa of the choices\n");
    CHECK_CONTAINS(r->out, "\n* the consensus; ties by policy \"skip\"\n");
    scratch_remove();
}

// ---- labels ------------------------------------------------------------------------------------

// The labels of a rule, one character a row: 0, 1, h for another number, - for none.
static const char *labels_of(const char *path, const char *data_set, const char *rule,
                             const char *tie, const char *seed)
{
    static char labels[64];
    const char *file = scratch_path("labels.jsonl");
    char *text;
    size_t size, n = 0;
    const program_result *r = RUN(NULL, "vote", "--store", path, "--data-set", data_set, "--rule",
                                  rule, "--tie", tie, "--seed", seed, "--out", file, "-q");
    CHECK_STR(r->err, "");
    CHECK_OK(bdpo_file_read(&text, &size, file, 1 << 20));
    for (const char *at = text; (at = strstr(at, "\"label\": ")) != NULL; at++) {
        double value = strtod(at + 9, NULL);
        CHECK(n + 1 < sizeof labels);
        labels[n++] = at[9] == 'n' ? '-' : value == 0 ? '0' : value == 1 ? '1' : 'h';
    }
    labels[n] = '\0';
    bdpo_free(text);
    return labels;
}

BDPO_TEST_FULL(vote_labels_pairs)
{
    const char *path = small_store();
    CHECK_STR(labels_of(path, "set", "majority", "skip", "0"), "11-0--0");
    CHECK_STR(labels_of(path, "set", "majority", "human", "0"), "1100--0");
    CHECK_STR(labels_of(path, "set", "majority", "keep", "0"), "1110-10");
    CHECK_STR(labels_of(path, "set", "majority", "scorer:aesthetic", "0"), "1110--0");
    CHECK_STR(labels_of(path, "set", "sum", "skip", "0"), "0110--0");
    CHECK_STR(labels_of(path, "set", "human", "skip", "0"), "110-1-0");
    CHECK_STR(labels_of(path, "set", "soft-majority", "skip", "0"), "h1-0--h");
    CHECK_STR(labels_of(path, "set", "unanimous", "skip", "0"), "-1-0---");
    scratch_remove();
}

// Chance too: the same pictures in the other order, in another store with other ids and rows.
BDPO_TEST_FULL(vote_swaps_labels_with_the_pictures)
{
    static const char *const cases[][2] = {{"coin", "skip"},           {"random-scorer", "random"},
                                           {"majority", "random"},     {"majority", "human"},
                                           {"normalized-sum", "skip"}, {"sum", "margin"}};
    const char *path = small_store();
    char other[256];
    snprintf(other, sizeof other, "%s", scratch_path("other.db"));
    put_rows(other, "before", rows, 3, false);
    put_rows(other, "swapped", rows, (int)BDPO_COUNTOF(rows), true);
    for (size_t i = 0; i < BDPO_COUNTOF(cases); i++) {
        char first[64];
        snprintf(first, sizeof first, "%s", labels_of(path, "set", cases[i][0], cases[i][1], "3"));
        const char *second = labels_of(other, "swapped", cases[i][0], cases[i][1], "3");
        CHECK_INT(strlen(first), 7);
        for (int k = 0; first[k]; k++)
            CHECK_INT(second[k], first[k] == '0' ? '1' : first[k] == '1' ? '0' : first[k]);
    }
    scratch_remove();
}

BDPO_TEST(vote_depends_on_the_seed)
{
    char first[64];
    const char *path = small_store();
    snprintf(first, sizeof first, "%s", labels_of(path, "set", "coin", "skip", "0"));
    CHECK_STR(labels_of(path, "set", "coin", "skip", "0"), first);
    CHECK(strcmp(labels_of(path, "set", "coin", "skip", "1"), first) != 0);
    scratch_remove();
}

BDPO_TEST(vote_writes_csv)
{
    char *text, expected[512];
    size_t size;
    const char *file = scratch_path("labels.csv"), *path = small_store();
    const program_result *r = RUN(NULL, "vote", "--store", path, "--rule", "soft-majority",
                                  "--voters", "clip-h,hpsv2", "--out", file, "-q");
    CHECK_STR(r->err, "");
    CHECK_OK(bdpo_file_read(&text, &size, file, 1 << 20));
    snprintf(expected, sizeof expected,
             "data_set,row,image_0,image_1,prompt,label,margin,outcome,tie,vote.clip-h,vote.hpsv2,"
             "vote.human\r\nset,0,%s,",
             image_hash(0));
    CHECK(strncmp(text, expected, strlen(expected)) == 0);
    CHECK_CONTAINS(text, ",\"a \"\"dog\"\", sitting\",1,1,rule,0,1,1,1\r\n");
    CHECK_CONTAINS(text, ",\"a \"\"dog\"\", sitting\",0.25,-0.5,rule,0,0,0.5,0\r\n");
    CHECK_CONTAINS(text, ",\"a \"\"dog\"\", sitting\",,,no-vote,0,,,1\r\n");
    CHECK_CONTAINS(text, ",a cat,,0,tie,1,0.5,0.5,\r\n");
    bdpo_free(text);
    scratch_remove();
}

BDPO_TEST(vote_writes_labels_into_the_store)
{
    const char *path = small_store();
    const program_result *r = RUN(NULL, "vote", "--store", path, "--write", "--margin",
                                  "hpsv2=0.25", "--tie", "human", "--json", "-q");
    const json_t *report = parse_result(r), *written = json_object_get(report, "written");
    CHECK_INT(number(written, "labels"), 7);
    const char *rule = "majority tie=human human=any of clip-h hpsv2 margin=0.25 aesthetic human";
    CHECK_STR(json_string_value(json_object_get(written, "rule")), rule);
    CHECK_STR(ask_sql(path, "SELECT text FROM rules"), rule);
    CHECK_STR(ask_sql(path, "SELECT group_concat(ifnull(probability, '-'), ' ') FROM "
                            "(SELECT probability FROM labels ORDER BY pair)"),
              "1.0 1.0 0.0 0.0 - - 0.0");
    CHECK_STR(ask_sql(path, "SELECT sum(tie) FROM labels"), "4"); // rows 1, 3, 6 and 7
    // Again: the same rule, the same labels.
    parse_result(RUN(NULL, "vote", "--store", path, "--write", "--margin", "hpsv2=0.25", "--tie",
                     "human", "--json", "-q"));
    CHECK_STR(ask_sql(path, "SELECT count(*) FROM labels"), "7");
    scratch_remove();
}

BDPO_TEST(vote_without_write_leaves_the_store_alone)
{
    const char *path = small_store();
    const char *before = store_digest(path);
    CHECK_INT(RUN(NULL, "vote", "--store", path, "-q")->code, 0);
    CHECK_STR(store_digest(path), before);
    scratch_remove();
}

// ---- the human label ---------------------------------------------------------------------------

BDPO_TEST(vote_takes_human_labels_from_votes)
{
    const char *path = small_store();
    bdpo_score_store *store = open_store(path, BDPO_STORE_WRITE);
    bool added;
    begin(store);
    bdpo_stored_vote vote = {.image_0 = put_image(store, 1), // shown the other way round
                             .image_1 = put_image(store, 0),
                             .prompt = put_prompt(store, "a \"dog\", sitting"),
                             .choice = 1,
                             .annotator = "ann"};
    CHECK_OK(bdpo_score_store_put_vote(&added, store, &vote));
    commit(store);
    bdpo_score_store_close(store);
    const json_t *r =
        parse_result(RUN(NULL, "vote", "--store", path, "--human", "votes", "--json", "-q"));
    check_rule(r, "human", 1, 0, 0, 0, 6);
    r = parse_result(RUN(NULL, "vote", "--store", path, "--human", "any", "--json", "-q"));
    check_rule(r, "human", 5, 3, 1, 0, 1); // the data set's label goes before
    scratch_remove();
}

// ---- what is missing ---------------------------------------------------------------------------

BDPO_TEST(vote_names_missing_scores)
{
    row some[3] = {rows[0], rows[1], rows[2]};
    const char *path = scratch_path("missing.db");
    some[1].scores[1][0] = MISSING;
    some[2].scores[1][1] = MISSING;
    put_rows(path, "set", some, 3, false);
    const program_result *r = RUN(NULL, "vote", "--store", path, "-q");
    CHECK_INT(r->code, 0);
    CHECK_CONTAINS(r->out, "1 pairs; 2 more left out for want of scores\n");
    CHECK_STR(r->err, "warning: hpsv2 lacks scores on 2 of 3 pairs\n"
                      "warning: 2 pairs left out for want of scores (bdpo score computes them)\n");
    // Who is not asked is not missed.
    const json_t *report = parse_result(
        RUN(NULL, "vote", "--store", path, "--voters", "clip-h,aesthetic", "--json", "-q"));
    CHECK_INT(number(report, "left_out"), 0);
    scratch_remove();
}

BDPO_TEST(vote_without_a_complete_pair_fails)
{
    row one[1] = {rows[0]};
    const char *path = scratch_path("missing.db");
    char expected[512];
    one[0].scores[0][0] = MISSING;
    put_rows(path, "set", one, 1, false);
    snprintf(expected, sizeof expected,
             "bdpo: %s: none of 1 pairs has all scores; clip-h lacks them on 1 (run bdpo score)\n",
             path);
    check_run(RUN(NULL, "vote", "--store", path, "-q"), 1, expected);
    scratch_remove();
}

BDPO_TEST(vote_normalises_by_a_finished_pass_only)
{
    row some[2] = {rows[0], rows[1]};
    const char *path = small_store();
    some[1].scores[0][1] = MISSING;
    char text[512];
    int64_t ids[3];
    bdpo_score_store *store = open_store(path, BDPO_STORE_WRITE);
    begin(store);
    for (int k = 0; k < 3; k++) ids[k] = put_scorer(store, scorers[k], k != 2);
    for (int i = 0; i < 2; i++) put_row(store, ids, "half", 100 + i, &some[i], false);
    commit(store);
    const char *const half[] = {"vote",   "--store",        path, "--data-set", "half",
                                "--rule", "normalized-sum", "-q", NULL};
    const program_result *r = run_program(NULL, half);
    CHECK_INT(r->code, 1);
    CHECK_CONTAINS(r->err, "bdpo: normalising needs a finished scoring pass, and no run of bdpo "
                           "score came to the end of data set half\n");
    begin(store);
    CHECK_OK(bdpo_score_store_finish(store, "half"));
    commit(store);
    bdpo_score_store_close(store);
    r = run_program(NULL, half);
    CHECK_INT(r->code, 1);
    CHECK_STR(r->out, "");
    CHECK_CONTAINS(r->err,
                   "bdpo: normalising needs a finished scoring pass, and clip-h lacks scores "
                   "on 1 pairs of data set half (run bdpo score)\n");
    r = RUN(NULL, "vote", "--store", path, "--rule", "normalized-sum", "-q");
    CHECK_INT(r->code, 1);
    CHECK_CONTAINS(r->err, "there are several data sets: say --statistics NAME\n");
    r = RUN(NULL, "vote", "--store", path, "--data-set", "half", "--statistics", "set", "--rule",
            "normalized-sum", "-q", "--json");
    CHECK_INT(r->code, 0);
    CHECK_CONTAINS(r->out, "\"statistics\": \"set\"");
    snprintf(text, sizeof text, "bdpo: %s: no data set \"sett\", the nearest of 2 is \"set\"\n",
             path);
    check_run(RUN(NULL, "vote", "--store", path, "--statistics", "sett", "-q"), 1, text);
    scratch_remove();
}

BDPO_TEST(vote_refuses_an_ambiguous_scorer)
{
    const char *path = small_store();
    bdpo_score_store *store = open_store(path, BDPO_STORE_WRITE);
    int64_t id;
    begin(store);
    bdpo_stored_scorer second = {
        .name = "hpsv2", .checkpoint = image_hash(77), .uses_prompt = true};
    CHECK_OK(bdpo_score_store_put_scorer(&id, store, &second));
    commit(store);
    bdpo_score_store_close(store);
    const program_result *r = RUN(NULL, "vote", "--store", path, "-q");
    CHECK_INT(r->code, 2);
    CHECK_STR(r->out, "");
    CHECK_CONTAINS(r->err, "several scorers are \"hpsv2\": say which of hpsv2@");
    char name[32];
    snprintf(name, sizeof name, "hpsv2@%.6s", image_hash((int)strlen("hpsv2")));
    r = RUN(NULL, "vote", "--store", path, "--voters", name, "--margin", "hpsv2=0.5", "--json",
            "-q");
    const json_t *voter = json_array_get(json_object_get(parse_result(r), "voters"), 0);
    CHECK_STR(json_string_value(json_object_get(voter, "name")), name);
    CHECK_STR(json_string_value(json_object_get(voter, "checkpoint")),
              image_hash((int)strlen("hpsv2")));
    CHECK_NEAR(json_real_value(json_object_get(voter, "margin")), 0.5, 0);
    scratch_remove();
}

// ---- wrong usage -------------------------------------------------------------------------------

BDPO_TEST(vote_usage)
{
    const char *path = small_store();
    check_run(RUN(NULL, "vote"), 2, "bdpo: vote: give --store FILE (see bdpo vote --help)\n");
    check_run(RUN(NULL, "vote", "--store", path, "--tie", "kep"), 2,
              "bdpo: vote: tie is \"kep\", expected one of: skip, human, keep, margin, scorer, "
              "random; did you mean keep? (see bdpo vote --help)\n");
    check_run(RUN(NULL, "vote", "--store", path, "--voters", "clip"), 2,
              "bdpo: vote: voters is \"clip\", expected human or a scorer of the store: aesthetic, "
              "clip-h, hpsv2; did you mean clip-h? (see bdpo vote --help)\n");
    check_run(RUN(NULL, "vote", "--store", path, "--weight", "hpsv2=-1"), 2,
              "bdpo: vote: weight of hpsv2 is -1, expected a number above 0 (see bdpo vote "
              "--help)\n");
    check_run(RUN(NULL, "vote", "--store", path, "--out", "labels.txt"), 2,
              "bdpo: vote: --out is \"labels.txt\", expected a name in .jsonl or .csv (see bdpo "
              "vote --help)\n");
    check_run(RUN(NULL, "vote", "--store", path, "--voters", "hpsv2,#2"), 2,
              "bdpo: vote: voters: hpsv2 and #2 are the same scorer (see bdpo vote --help)\n");
    check_run(RUN("/", "vote", "--store", "no/such.db"), 1,
              "bdpo: no/such.db: cannot open: No such file or directory\n");
    scratch_remove();
}

// Scores out of a store and into one, as tables.
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "harness.h"
#include "models/scratch.h"
#include "scorers/score_export.h"
#include "scorers/score_import.h"
#include "scorers/small_store.h"

#define HASH_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define HASH_B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

// ---- importing ---------------------------------------------------------------------------------

static char said[8192];

static void say(void *context, const char *line)
{
    (void)context;
    // The names of scratch files differ from run to run.
    const char *name = strrchr(line, '/');
    const char *colon = strchr(line, ':');
    if (name && colon && name < colon) line = name + 1;
    size_t used = strlen(said);
    snprintf(said + used, sizeof said - used, "%s\n", line);
}

static bdpo_status import_as(bdpo_import_counts *counts, const char *store_path, const char *name,
                             const char *text, bdpo_score_import what)
{
    what.path = scratch_file(name, text);
    what.say = say;
    CHECK(bdpo_import_format_of(&what.format, name));
    said[0] = '\0';
    bdpo_score_store *store = open_store(store_path, BDPO_STORE_CREATE);
    bdpo_status status = bdpo_score_store_import(counts, store, &what);
    if (status == BDPO_OK) CHECK_OK(bdpo_score_store_check(store, NULL, NULL));
    bdpo_score_store_close(store);
    return status;
}

static bdpo_status import(bdpo_import_counts *counts, const char *store_path, const char *name,
                          const char *text, const char *scorer, const char *version, bool no_prompt)
{
    return import_as(
        counts, store_path, name, text,
        (bdpo_score_import){.scorer = scorer, .version = version, .no_prompt = no_prompt});
}

BDPO_TEST(a_table_of_scores_comes_in)
{
    static const char text[] =
        "prompt,more,image,score\n"
        "\"a \"\"cat\"\",\nsitting\",x," HASH_A ",0.5\n"
        "\xe7\x8c\xab,,AAAAAAAAAAAAAAAAaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
        "aaaaaaaaa,-1e-3\r\n"
        "\n"
        ",y," HASH_B ",inf\n"
        "p,," HASH_B ",nan\n"
        "q,," HASH_B ",\n";
    bdpo_import_counts c;
    const char *path = scratch_path("s.db");
    CHECK_OK(import(&c, path, "in.csv", text, "judge", "v1", false));
    CHECK_STR(said, "");
    CHECK_INT(c.rows, 5);
    CHECK_INT(c.added, 5);
    CHECK_INT(c.none, 2);
    CHECK_INT(c.images, 2);
    CHECK_INT(c.prompts, 5);
    CHECK_INT(c.scorers, 1);
    CHECK_STR(ask_sql(path, "SELECT group_concat(score) FROM named_scores"
                            " WHERE prompt = 'a \"cat\",' || char(10) || 'sitting'"),
              "0.5");
    CHECK_STR(ask_sql(path, "SELECT score FROM named_scores WHERE prompt = ''"), "Inf");
    CHECK_STR(ask_sql(path, "SELECT group_concat(reason) FROM named_scores WHERE score IS NULL"),
              "nan,nan");
    CHECK_OK(import(&c, path, "in.csv", text, "judge", "v1", false)); // again
    CHECK_INT(c.added + c.replaced + c.images + c.prompts + c.scorers, 0);
    CHECK_INT(c.same, 5);
    scratch_remove();
}

BDPO_TEST(every_bad_row_is_said_and_nothing_comes_in)
{
    static const char text[] = "image,prompt,score,reason\n"
                               "" HASH_A ",p,0.5,\n"
                               "" HASH_A ",p\n"
                               "" HASH_A ",q,abc,\n"
                               "nowhere.png,p,1,\n"
                               ",p,1,\n"
                               "" HASH_A ",p,0.25,\n"
                               "" HASH_A ",q,0x10,\n"
                               "" HASH_A ",q,1,broken\n"
                               "" HASH_A ",q, 1,\n"
                               "" HASH_B ",q,1e999,\n"
                               "" HASH_B ",\"q,1,\n";
    bdpo_import_counts c;
    char before[80];
    const char *path = scratch_path("s.db");
    CHECK_OK(
        import(&c, path, "in.csv", "image,prompt,score\n" HASH_B ",p,1\n", "judge", "1", false));
    snprintf(before, sizeof before, "%s", store_digest(path));
    CHECK_STATUS(import(&c, path, "in.csv", text, "judge", "v1", false), BDPO_BAD_FILE);
    CHECK_CONTAINS(bdpo_message(), "in.csv: 10 of 11 rows are bad: nothing was imported");
    CHECK_CONTAINS(said, "in.csv:3: 2 fields, the first line has 4\n");
    CHECK_CONTAINS(said,
                   "in.csv:4: score is \"abc\", expected a number, inf, -inf, nan or nothing\n");
    CHECK_CONTAINS(said, "in.csv:5: image is no SHA-256, and as a path: ");
    CHECK_CONTAINS(said, "nowhere.png: cannot open: No such file or directory\n");
    CHECK_CONTAINS(said, "in.csv:6: no image\n");
    CHECK_CONTAINS(said,
                   "in.csv:7: line 2 gives another score to the same image, prompt and scorer\n");
    CHECK_CONTAINS(said, "in.csv:8: score is \"0x10\"");
    CHECK_CONTAINS(said, "in.csv:9: it has a score and a reason why it has none\n");
    CHECK_CONTAINS(said, "in.csv:10: score is \" 1\"");
    CHECK_CONTAINS(said, "in.csv:11: score is \"1e999\"");
    CHECK_CONTAINS(said, "in.csv:12: ");
    CHECK_STR(store_digest(path), before);
    scratch_remove();
}

BDPO_TEST(a_table_without_a_column_is_refused)
{
    static const struct {
        const char *header, *part;
        bool named;
    } cases[] = {
        {"prompt,score\n", "in.csv:1: no column \"image\"", true},
        {"image,prompt\n", "in.csv:1: no column \"score\"", true},
        {"image,score\n", "in.csv:1: no column \"prompt\"; a scorer that sees none needs", true},
        {"image,prompt,score\n", "in.csv:1: no column \"scorer\"; --scorer NAME gives it", false},
        {"image,prompt,score,scorer\n", "in.csv:1: no column \"checkpoint\"; --version", false},
        {"image,prompt,score,image\n", "in.csv:1: two columns \"image\"", true},
        {"", "in.csv: it is empty", true},
    };
    bdpo_import_counts c;
    for (size_t i = 0; i < BDPO_COUNTOF(cases); i++) {
        CHECK_STATUS(import(&c, scratch_path("s.db"), "in.csv", cases[i].header,
                            cases[i].named ? "judge" : NULL, cases[i].named ? "1" : NULL, false),
                     BDPO_BAD_FILE);
        CHECK_CONTAINS(bdpo_message(), cases[i].part);
    }
    scratch_remove();
}

BDPO_TEST(json_lines_come_in)
{
    static const char text[] =
        "{\"image\": \"" HASH_A "\", \"prompt\": \"a\\u0000b\", \"score\": 1, \"scorer\": \"x\", "
        "\"version\": \"1\", \"other\": []}\n"
        "\n"
        "{\"image\": \"" HASH_A "\", \"prompt\": null, \"score\": 9007199254740993, \"scorer\": "
        "\"looks\", \"checkpoint\": \"1\"}\n"
        "{\"image\": \"" HASH_B "\", \"prompt_hex\": \"41ff\", \"score\": \"-inf\", \"scorer\": "
        "\"x\", \"version\": \"1\"}\n"
        "{\"image\": \"" HASH_B "\", \"prompt\": \"p\", \"score\": null, \"reason\": \"does not "
        "decode\", \"scorer\": \"x\", \"version\": \"1\"}";
    bdpo_import_counts c;
    const char *path = scratch_path("s.db");
    CHECK_OK(import(&c, path, "in.jsonl", text, NULL, NULL, false));
    CHECK_INT(c.rows, 4);
    CHECK_INT(c.scorers, 2);
    CHECK_STR(ask_sql(path, "SELECT group_concat(hex(text)) FROM (SELECT text FROM prompts"
                            " WHERE id > 0 ORDER BY id)"),
              "610062,41FF,70");
    CHECK_STR(ask_sql(path, "SELECT prompt IS NULL FROM named_scores WHERE scorer = 'looks'"), "1");
    CHECK_STR(ask_sql(path, "SELECT reason FROM scores WHERE score IS NULL"), "does not decode");
    scratch_remove();
}

BDPO_TEST(bad_json_lines_are_said)
{
    static const char text[] =
        "{\"image\": \"" HASH_A "\", \"score\": 1}\n"
        "{\"image\": \"" HASH_A "\", \"prompt\": 5, \"score\": 1}\n"
        "{\"image\": \"" HASH_A "\", \"prompt\": \"p\"}\n"
        "{\"image\": \"" HASH_A "\", \"prompt\": \"p\", \"score\": true}\n"
        "[1]\n"
        "{\"image\": \n"
        "{\"image\": \"" HASH_A "\", \"prompt\": \"p\", \"prompt\": \"p\", \"score\": 1}\n"
        "{\"image\": \"" HASH_A "\", \"prompt_hex\": \"4g\", \"score\": 1}\n"
        "{\"image\": \"a\\u0000b\", \"prompt\": \"p\", \"score\": 1}\n"
        "{\"image\": \"" HASH_A "\", \"prompt\": \"\xff\", \"score\": 1}\n"
        "{\"image\": \"" HASH_A "\", \"prompt\": \"good\", \"score\": 1}\n"
        "{\"image\": \"" HASH_A "\", \"prompt\": null, \"score\": 1}\n";
    bdpo_import_counts c;
    const char *path = scratch_path("s.db");
    CHECK_STATUS(import(&c, path, "in.jsonl", text, "judge", "1", false), BDPO_BAD_FILE);
    CHECK_INT(c.bad, 11);
    static const char *const parts[] = {":1: no prompt\n",
                                        ":2: prompt is no text\n",
                                        ":3: no score\n",
                                        ":4: score is no number\n",
                                        ":5: no JSON object\n",
                                        ":6: no JSON: ",
                                        ":7: no JSON: duplicate object key",
                                        ":8: prompt_hex is no bytes in hexadecimal\n",
                                        ":9: a zero byte in image\n",
                                        ":10: no JSON: ",
                                        ":12: scorer \"judge\" sees the prompt: a score without"};
    for (size_t i = 0; i < BDPO_COUNTOF(parts); i++) CHECK_CONTAINS(said, parts[i]);
    CHECK_STR(ask_sql(path, "SELECT count(*) FROM images"), "0");
    scratch_remove();
}

BDPO_TEST(pictures_are_found_from_the_folder_of_the_table)
{
    bdpo_import_counts c;
    const char *path = scratch_path("s.db");
    scratch_directory("pictures");
    scratch_file("pictures/a.png", "abc");
    CHECK_OK(import(&c, path, "in.csv",
                    "image,prompt,score\npictures/a.png,p,1\npictures/a.png,q,2\n", "judge", "1",
                    false));
    CHECK_INT(c.images, 1);
    CHECK_STR(ask_sql(path, "SELECT sha256 || bytes FROM images"),
              "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad3");
    CHECK_CONTAINS(ask_sql(path, "SELECT path FROM images"), "/pictures/a.png");
    scratch_remove();
}

BDPO_TEST(a_scorer_without_prompts_needs_no_column)
{
    bdpo_import_counts c;
    const char *path = scratch_path("s.db");
    CHECK_OK(import(&c, path, "in.tsv", "image\tscore\n" HASH_A "\t5.5\n", "looks", "1", true));
    CHECK_STR(ask_sql(path, "SELECT uses_prompt FROM scorers"), "0");
    // It stays so, whatever a later table says.
    CHECK_OK(import(&c, path, "in.csv", "image,prompt,score\n" HASH_A ",cat,6.5\n", "looks", "1",
                    false));
    CHECK_INT(c.replaced, 1);
    CHECK_STR(ask_sql(path, "SELECT count(*) || ' ' || score FROM scores"), "1 6.5");
    scratch_remove();
}

// ---- votes -------------------------------------------------------------------------------------

static bdpo_status import_votes(bdpo_import_counts *counts, const char *store_path,
                                const char *name, const char *text, const char *annotator)
{
    return import_as(counts, store_path, name, text,
                     (bdpo_score_import){.votes = true, .annotator = annotator, .time = 77});
}

BDPO_TEST(votes_of_people_come_in)
{
    bdpo_import_counts c;
    const char *path = scratch_path("s.db");
    CHECK_OK(import_votes(&c, path, "v.csv",
                          "image_0,image_1,prompt,choice,annotator,time\n" HASH_A "," HASH_B
                          ",p,1,ann,5\n" HASH_B "," HASH_A ",p,0.5,bob,\n" HASH_B "," HASH_A
                          ",p,1,ann,6\n",
                          NULL));
    CHECK_STR(said, "");
    CHECK_INT(c.rows, 3);
    CHECK_INT(c.added, 2);
    CHECK_INT(c.same, 1); // ann has voted on these two
    CHECK_INT(c.images, 2);
    CHECK_INT(c.prompts, 1);
    CHECK_STR(ask_sql(path, "SELECT group_concat(choice || annotator || time) FROM votes"),
              "1.0ann5,0.5bob77");
    CHECK_OK(import_votes(&c, path, "v.jsonl",
                          "{\"image_0\": \"" HASH_A "\", \"image_1\": \"" HASH_B
                          "\", \"prompt\": \"\", \"choice\": 0, \"time\": 1764000000}\n",
                          "carl"));
    CHECK_STR(said, "");
    CHECK_INT(c.added, 1);
    CHECK_STR(ask_sql(path, "SELECT time FROM votes WHERE annotator = 'carl'"), "1764000000");
    scratch_remove();
}

BDPO_TEST(bad_votes_are_said_and_none_comes_in)
{
    bdpo_import_counts c;
    const char *path = scratch_path("s.db");
    CHECK_STATUS(import_votes(&c, path, "v.csv",
                              "image_0,image_1,prompt,choice,annotator,time\n" HASH_A "," HASH_B
                              ",p,1,ann,5\n" HASH_A "," HASH_B ",p,2,ann,5\n" HASH_A "," HASH_B
                              ",p,,ann,5\n" HASH_A "," HASH_B ",p,1,,5\n" HASH_A "," HASH_B
                              ",p,1,ann,now\n" HASH_A "," HASH_A ",p,1,ann,5\n" HASH_A
                              ",no.png,p,1,ann,5\n",
                              NULL),
                 BDPO_BAD_FILE);
    CHECK_CONTAINS(bdpo_message(), "v.csv: 6 of 7 rows are bad: nothing was imported");
    CHECK_CONTAINS(said, "v.csv:3: choice is \"2\", expected 1 (picture 0 is better), 0 or 0.5");
    CHECK_CONTAINS(said, "v.csv:4: choice is \"\"");
    CHECK_CONTAINS(said, "v.csv:5: no annotator\n");
    CHECK_CONTAINS(said, "v.csv:6: time is \"now\", expected seconds since 1970\n");
    CHECK_CONTAINS(said, "v.csv:7: both pictures are the same file\n");
    CHECK_CONTAINS(said, "v.csv:8: image is no SHA-256, and as a path: ");
    CHECK_STR(ask_sql(path, "SELECT count(*) FROM votes"), "0");
    CHECK_STATUS(import_votes(&c, path, "v.csv", "image_0,image_1,prompt,choice\n", NULL),
                 BDPO_BAD_FILE);
    CHECK_CONTAINS(bdpo_message(), "no column \"annotator\"; --annotator NAME gives it");
    scratch_remove();
}

// ---- exporting ---------------------------------------------------------------------------------

static char *export(const char *store_path, const bdpo_score_export *what, int64_t n_expected)
{
    int64_t n;
    char *text;
    size_t size;
    bdpo_score_store *store = open_store(store_path, BDPO_STORE_READ);
    CHECK_OK(bdpo_score_store_export(&n, store, what));
    CHECK_INT(n, n_expected);
    bdpo_score_store_close(store);
    CHECK_OK(bdpo_file_read(&text, &size, what->path, 1 << 20));
    return text;
}

static const char *odd_store(void)
{
    static const struct {
        const char *text;
        size_t length;
    } prompts[] = {{"plain", 5},        {"q\"uo,te\n", 8}, {"", 0},
                   {"\xe7\x8c\xab", 3}, {"\xff\x01", 2},   {"z\0z", 3}};
    static const double scores[] = {0.1, -0.0, INFINITY, NAN, 5e-324, 1.0 / 3};
    const char *path = scratch_path("s.db");
    int64_t id;
    bdpo_score_store *store = open_store(path, BDPO_STORE_CREATE);
    begin(store);
    int64_t images[] = {put_image(store, 1), put_image(store, 2)};
    int64_t alpha = put_scorer(store, "alpha", true), looks = put_scorer(store, "looks", false);
    put_score(store, images[1], 0, looks, 2.5);
    for (int i = 0; i < 6; i++) {
        CHECK_OK(bdpo_score_store_put_prompt(&id, store, prompts[i].text, prompts[i].length));
        put_score(store, images[i % 2], id, alpha, scores[i]);
        bdpo_stored_pair pair = {"set", i, images[0], images[1], id, i == 2 ? 0.5 : NAN, "m", NULL};
        CHECK_OK(bdpo_score_store_put_pair(&id, store, &pair));
    }
    commit(store);
    bdpo_score_store_close(store);
    return path;
}

BDPO_TEST(json_lines_go_out_and_come_back_the_same)
{
    bdpo_import_counts c;
    const char *path = odd_store(), *copy = scratch_path("copy.db");
    bdpo_score_export what = {.format = BDPO_TABLE_JSONL, .path = scratch_path("out.jsonl")};
    char *text = export(path, &what, 7);
    CHECK_CONTAINS(text, "\"prompt_hex\": \"ff01\"");
    CHECK_CONTAINS(text, "\"prompt\": \"z\\u0000z\"");
    CHECK_CONTAINS(text, "\"score\": -0.0,");
    CHECK_OK(import(&c, copy, "again.jsonl", text, NULL, NULL, false));
    char *again;
    what.path = scratch_path("again.jsonl");
    again = export(copy, &what, 7);
    CHECK_CONTAINS(again, "\"prompt_hex\": \"ff01\"");
    static const char query[] = "SELECT group_concat(x, '|') FROM (SELECT sha256 || hex(prompt) ||"
                                " scorer || checkpoint || printf('%!.20g', score) ||"
                                " ifnull(reason, '') AS x FROM named_scores"
                                " ORDER BY sha256, hex(prompt), scorer)";
    char wanted[4096];
    snprintf(wanted, sizeof wanted, "%s", ask_sql(path, query));
    CHECK_STR(ask_sql(copy, query), wanted);
    bdpo_free(text);
    bdpo_free(again);
    scratch_remove();
}

BDPO_TEST(pairs_go_out_with_two_columns_for_each_scorer)
{
    const char *path = odd_store();
    bdpo_score_export what = {.path = scratch_path("out.csv"), .pairs = true};
    char *text = export(path, &what, 6), wanted[2048], a[80];
    snprintf(a, sizeof a, "%s", image_hash(1));
    snprintf(wanted, sizeof wanted,
             "data_set,row,image_0,path_0,image_1,path_1,prompt,label,model_0,model_1,votes,"
             "votes_for_0,alpha_0,alpha_1,looks_0,looks_1\n"
             "set,0,%s,pictures/1.png,%s,pictures/2.png,plain,,m,,0,0.0,0.1,,,2.5\n"
             "set,1,%s,pictures/1.png,%s,pictures/2.png,\"q\"\"uo,te\n\",,m,,0,0.0,,-0.0,,2.5\n"
             "set,2,%s,pictures/1.png,%s,pictures/2.png,\"\",0.5,m,,0,0.0,inf,,,2.5\n",
             a, image_hash(2), a, image_hash(2), a, image_hash(2));
    text[strlen(wanted)] = '\0';
    CHECK_STR(text, wanted);
    bdpo_free(text);
    scratch_remove();
}

BDPO_TEST(scorers_of_one_name_get_columns_of_their_own)
{
    int64_t ids[3], id;
    const char *path = scratch_path("s.db");
    bdpo_score_store *store = open_store(path, BDPO_STORE_CREATE);
    begin(store);
    bdpo_stored_scorer scorers[] = {{"hps", "3fa8aaaaaaaa", NULL, true},
                                    {"hps", "77", NULL, true},
                                    {"hps", "77", "{\"x\": 1}", true}};
    for (int i = 0; i < 3; i++) CHECK_OK(bdpo_score_store_put_scorer(&ids[i], store, &scorers[i]));
    bdpo_stored_pair pair = {
        "d", 0, put_image(store, 1), put_image(store, 2), put_prompt(store, "p"), NAN, NULL, NULL};
    CHECK_OK(bdpo_score_store_put_pair(&id, store, &pair));
    commit(store);
    bdpo_score_store_close(store);
    bdpo_score_export what = {.path = scratch_path("out.csv"), .pairs = true};
    char *text = export(path, &what, 1);
    CHECK_CONTAINS(text, "hps@3fa8aaaa_0,hps@3fa8aaaa_1,hps@77#2_0,hps@77#2_1,hps@77#3_0,");
    bdpo_free(text);
    what.filter = (bdpo_score_filter){NULL, &ids[0], 1};
    text = export(path, &what, 1);
    CHECK_CONTAINS(text, "votes_for_0,hps_0,hps_1\n");
    bdpo_free(text);
    scratch_remove();
}

BDPO_TEST(an_export_that_fails_leaves_no_file)
{
    int64_t n;
    const char *path = odd_store();
    bdpo_score_store *store = open_store(path, BDPO_STORE_READ);
    bdpo_score_export what = {.path = scratch_path("out.csv"), .filter = {.data_set = "none"}};
    CHECK_STATUS(bdpo_score_store_export(&n, store, &what), BDPO_NOT_FOUND);
    what.pairs = true;
    CHECK_STATUS(bdpo_score_store_export(&n, store, &what), BDPO_NOT_FOUND);
    CHECK(access(what.path, F_OK) != 0);
    bdpo_score_store_close(store);
    scratch_remove();
}

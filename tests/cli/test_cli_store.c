// bdpo store as its users meet it.
#include <unistd.h>

#include "cli/run_program.h"
#include "harness.h"
#include "models/scratch.h"
#include "scorers/small_store.h"

static void check_run(const program_result *r, int code, const char *out, const char *err)
{
    CHECK_STR(r->err, err);
    CHECK_STR(r->out, out);
    CHECK_INT(r->code, code);
}

static const char *folder(void)
{
    return scratch_path("");
}

static void make_store(const char *name, int first, int last)
{
    bdpo_score_store *store = open_store(scratch_path(name), BDPO_STORE_CREATE);
    write_batches(store, first, last);
    bdpo_score_store_close(store);
}

BDPO_TEST(store_lists_what_is_there)
{
    make_store("s.db", 0, 3);
    check_run(RUN(folder(), "store", "s.db"), 0,
              "s.db\n"
              "images               6\n"
              "prompts              3\n"
              "scores              18\n"
              "pairs                3\n"
              "votes                0\n"
              "labels               0\n"
              "\n"
              "scorer  checkpoint       scored     none         mean          min          max\n"
              "alpha   2594b6a92ebf          6        0    0.0215299    -0.178858     0.216763\n"
              "beta2   2594b6a92ebf          6        0    0.0183276    -0.252267      0.28049\n"
              "looks   2594b6a92ebf          6        0  -0.00172494     -0.33333     0.330202\n"
              "\n"
              "data set       pairs      first     second       ties unlabelled      votes\n"
              "run                3          1          1          1          0          0\n",
              "");
    const program_result *r = RUN(folder(), "store", "s.db", "list", "--json");
    CHECK_INT(r->code, 0);
    CHECK_CONTAINS(r->out, "  \"images\": 6,\n");
    CHECK_CONTAINS(r->out, "\"settings\": {},\n");
    CHECK_CONTAINS(r->out, "\"data_sets\": [\n");
    CHECK_CONTAINS(r->out, "\"finished\": false,\n");
    scratch_remove();
}

BDPO_TEST(store_exports_and_imports)
{
    make_store("s.db", 0, 2);
    check_run(RUN(folder(), "store", "s.db", "export", "x.jsonl"), 0, "", "x.jsonl: 12 rows\n");
    check_run(RUN(folder(), "store", "s.db", "export", "x.jsonl", "-q"), 0, "", "");
    check_run(RUN(folder(), "store", "s.db", "export", "--json", "x.csv", "--scorer", "alpha"), 0,
              "{\n  \"path\": \"x.csv\",\n  \"rows\": 4\n}\n", "");
    check_run(RUN(folder(), "store", "t.db", "import", "x.jsonl"), 0,
              "x.jsonl: rows 12: scores added 12, replaced 0, as before 0; without a number 0; "
              "new images 4, prompts 2, scorers 3\n",
              "");
    check_run(RUN(folder(), "store", "t.db", "import", "x.csv", "--quiet"), 0,
              "x.csv: rows 4: scores added 0, replaced 0, as before 4; without a number 0; "
              "new images 0, prompts 0, scorers 0\n",
              "");
    const program_result *r = RUN(folder(), "store", "s.db", "export", "--pairs", "-q");
    CHECK_CONTAINS(r->out, "votes_for_0,alpha_0,alpha_1,beta2_0,beta2_1,looks_0,looks_1\nrun,0,");
    scratch_remove();
}

BDPO_TEST(store_takes_the_votes_of_people)
{
    char votes[512];
    make_store("s.db", 0, 2);
    snprintf(votes, sizeof votes, "image_0,image_1,prompt,choice\n%s,", image_hash(0));
    snprintf(votes + strlen(votes), sizeof votes - strlen(votes), "%s,p,1\n", image_hash(1));
    scratch_file("v.csv", votes);
    check_run(RUN(folder(), "store", "s.db", "import", "--votes", "v.csv", "--annotator", "ann"), 0,
              "v.csv: rows 1: votes added 1, cast before 0; new images 0, prompts 1\n", "");
    const program_result *r = RUN(folder(), "store", "s.db", "import", "--votes", "v.csv",
                                  "--annotator", "ann", "--json");
    CHECK_CONTAINS(r->out, "\"same\": 1,");
    CHECK_CONTAINS(RUN(folder(), "store", "s.db")->out, "votes                1 of 1 annotator\n");
    scratch_remove();
}

BDPO_TEST(store_says_every_bad_row)
{
    scratch_file("in.csv", "image,prompt,score\nx.png,p,1\ny.png,p,z\n");
    check_run(
        RUN(folder(), "store", "s.db", "import", "in.csv", "--scorer", "j", "--version", "1"), 1,
        "",
        "bdpo: in.csv:2: image is no SHA-256, and as a path: x.png: cannot open: No such file "
        "or directory\n"
        "bdpo: in.csv:3: score is \"z\", expected a number, inf, -inf, nan or nothing\n"
        "bdpo: in.csv: 2 of 2 rows are bad: nothing was imported\n");
    scratch_remove();
}

BDPO_TEST(store_merges_and_checks)
{
    make_store("a.db", 0, 2);
    make_store("b.db", 1, 4);
    make_store("whole.db", 0, 4);
    check_run(RUN(folder(), "store", "m.db", "merge", "a.db", "b.db"), 0,
              "a.db: new images 4, prompts 2, scorers 3, scores 12, pairs 2, votes 0, labels 0\n"
              "b.db: new images 4, prompts 2, scorers 0, scores 12, pairs 2, votes 0, labels 0\n",
              "");
    char wanted[128];
    snprintf(wanted, sizeof wanted, "m.db: whole\ncontents  %s\n",
             store_digest(scratch_path("whole.db")));
    check_run(RUN(folder(), "store", "m.db", "check"), 0, wanted, "");
    run_sql(scratch_path("m.db"), "PRAGMA foreign_keys = 0; DELETE FROM prompts WHERE id = 1");
    check_run(RUN(folder(), "store", "m.db", "check"), 1,
              "scores: a row refers to a row of prompts that is not there\n"
              "scores: a row refers to a row of prompts that is not there\n"
              "scores: a row refers to a row of prompts that is not there\n"
              "scores: a row refers to a row of prompts that is not there\n"
              "pairs: row 1 refers to a row of prompts that is not there\n",
              "bdpo: m.db: damaged: 5 problems found\n");
    run_sql(scratch_path("a.db"), "UPDATE scores SET score = 9.5 WHERE scorer = 1");
    check_run(RUN(folder(), "store", "a.db", "merge", "b.db"), 0,
              "b.db: new images 4, prompts 2, scorers 0, scores 12, pairs 2, votes 0, labels 0\n",
              "warning: b.db: 2 scores differ; those of a.db stay\n");
    scratch_remove();
}

BDPO_TEST(store_refuses_wrong_use)
{
    static const char see[] = " (see bdpo store --help)\n";
    static const struct {
        const char *arguments[6], *why;
    } cases[] = {
        {{NULL}, "needs FILE"},
        {{"s.db", "frob"}, "no action \"frob\": list, export, import, merge, check or upgrade"},
        {{"s.db", "merge"}, "merge is used as: FILE merge FILE..."},
        {{"s.db", "import"}, "import is used as: FILE import IN"},
        {{"s.db", "list", "more"}, "list is used as: FILE list"},
        {{"s.db", "--pairs"}, "list takes no --pairs"},
        {{"s.db", "import", "x.csv", "--data-set", "d"}, "import takes no --data-set"},
        {{"s.db", "import", "x.csv", "--annotator", "ann"}, "--annotator goes with --votes"},
        {{"s.db", "import", "x.csv", "--votes", "--no-prompt"},
         "--votes are people's: no --scorer, --version or --no-prompt goes with them"},
        {{"s.db", "export", "x.txt"},
         "x.txt ends in none of .csv, .jsonl, .parquet: give --format"},
        {{"s.db", "export", "--format", "tsv"},
         "--format of export takes csv, jsonl or parquet, not tsv"},
        {{"s.db", "export", "--format", "parquet"}, "Parquet is written to a file only: name it"},
        {{"s.db", "export", "--json"}, "rows on the standard output as JSON: --format jsonl"},
    };
    for (size_t i = 0; i < BDPO_COUNTOF(cases); i++) {
        const char *const *a = cases[i].arguments;
        char wanted[512];
        snprintf(wanted, sizeof wanted, "bdpo: store: %s%s", cases[i].why, see);
        check_run(RUN(folder(), "store", a[0], a[1], a[2], a[3], a[4]), 2, "", wanted);
    }
    CHECK(access(scratch_path("s.db"), F_OK) != 0);
    scratch_remove();
}

BDPO_TEST(store_failures_are_one_line)
{
    scratch_file("text.db", "image,prompt\n");
    check_run(RUN(folder(), "store", "no.db"), 1, "",
              "bdpo: no.db: cannot open: No such file or directory\n");
    check_run(RUN(folder(), "store", "text.db"), 1, "",
              "bdpo: text.db: no score store: not an SQLite file\n");
    check_run(RUN(folder(), "store", "new.db", "merge", "no.db"), 1, "",
              "bdpo: no.db: cannot open: No such file or directory\n");
    CHECK(access(scratch_path("new.db"), F_OK) != 0);
    make_store("s.db", 0, 1);
    run_sql(scratch_path("s.db"), "PRAGMA user_version = 9");
    check_run(RUN(folder(), "store", "s.db", "upgrade"), 1, "",
              "bdpo: s.db: a score store of version 9; this program knows versions 1 to 2\n");
    run_sql(scratch_path("s.db"), "PRAGMA user_version = 2");
    check_run(RUN(folder(), "store", "s.db", "upgrade"), 0, "s.db: version 2\n", "");
    check_run(RUN(folder(), "store", "s.db", "export", "--scorer", "gamma"), 1, "",
              "bdpo: s.db: no scorer \"gamma\"; there are: alpha@2594b6a9 (#1), beta2@2594b6a9 "
              "(#2), looks@2594b6a9 (#3)\n");
    scratch_remove();
}

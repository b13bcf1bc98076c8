// External scorers: well-behaved programs, and all ways to break the rules.
#include <math.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/memory.h"
#include "harness.h"
#include "images/image_fixtures.h"
#include "models/scratch.h"
#include "scorers/scoring.h"

typedef struct fixture {
    bdpo_engine *engine;
    bdpo_session *session;
} fixture;

// A session with one scorer: a shell script over the lines of its input.
static bdpo_status try_open(fixture *f, const char *script, const char *more)
{
    char config[4096];
    const char *path = scratch_file("judge.sh", script);
    snprintf(config, sizeof config,
             "{\"name\": \"judge\", \"family\": \"external\", \"command\": [\"sh\", \"%s\"]%s}",
             path, more);
    bdpo_scorer_request request = {.name = scratch_file("judge.json", config)};
    CHECK_OK(bdpo_engine_new(&f->engine, &(bdpo_engine_options){.n_threads = 1}));
    return bdpo_session_new(&f->session, f->engine, &request, 1, NULL);
}

static void open_judge(fixture *f, const char *script, const char *more)
{
    CHECK_OK(try_open(f, script, more));
}

static void close_judge(fixture *f)
{
    bdpo_session_free(f->session);
    bdpo_engine_free(f->engine);
    scratch_remove();
}

enum { MANY = 1000 };

static bdpo_score_item by_path(const char *path, const char *prompt)
{
    return (bdpo_score_item){.path = path, .prompt = prompt, .prompt_size = strlen(prompt)};
}

// Answers the number at the end of the prompt "p17".
#define ECHO_SCORE "id=${line#*:}; id=${id%%,*}; n=${line##*\\\"p}; n=${n%%\\\"*};"

BDPO_TEST(answers_come_in_any_order_and_number)
{
    fixture f;
    static char prompts[MANY][16];
    static bdpo_score_item items[MANY];
    static bdpo_score scores[MANY];
    open_judge(&f,
               "held=\n"
               "while read -r line; do " ECHO_SCORE
               " if [ -z \"$held\" ] && [ $((n % 3)) = 0 ] && [ $n -lt 990 ]; then"
               " held=\"{\\\"id\\\":$id,\\\"score\\\":$n.5}\"; continue; fi;"
               " echo \"{\\\"score\\\": $n.5, \\\"id\\\":$id}\";"
               " if [ -n \"$held\" ]; then echo \"$held\"; held=; fi; done\n",
               ", \"timeout_s\": 20");
    for (int i = 0; i < MANY; i++) {
        snprintf(prompts[i], sizeof prompts[i], "p%d", i);
        items[i] = by_path("/nowhere/picture.png", prompts[i]);
    }
    for (int round = 0; round < 2; round++) {
        CHECK_OK(bdpo_session_score(f.session, scores, items, MANY));
        for (int i = 0; i < MANY; i++) {
            if (scores[i].reason) FAIL("%d: %s", i, scores[i].reason);
            CHECK(scores[i].value == i + 0.5);
        }
    }
    close_judge(&f);
}

// More than a pipe holds on both sides: a program that reads all before it writes would hang, one
// that writes much more than it reads must not.
BDPO_TEST_FULL(long_lines_do_not_block)
{
    enum { ITEMS = 40, LONG = 40000 };
    fixture f;
    char *prompt = bdpo_alloc(LONG + 1, 1);
    bdpo_score_item items[ITEMS];
    bdpo_score scores[ITEMS];
    memset(prompt, 'x', LONG);
    open_judge(&f,
               "pad=$(printf '%060000d' 0)\n"
               "while read -r line; do id=${line#*:}; id=${id%%,*};"
               " echo \"{\\\"id\\\":$id,\\\"score\\\":$id,\\\"pad\\\":\\\"$pad\\\"}\"; done\n",
               ", \"timeout_s\": 20");
    for (int i = 0; i < ITEMS; i++) items[i] = by_path("/nowhere/picture.png", prompt);
    CHECK_OK(bdpo_session_score(f.session, scores, items, ITEMS));
    for (int i = 0; i < ITEMS; i++) CHECK(scores[i].value == i + 1);
    bdpo_free(prompt);
    close_judge(&f);
}

BDPO_TEST(pictures_without_a_file_get_one_for_as_long_as_it_takes)
{
    fixture f;
    void *png;
    size_t n;
    bdpo_score s[4];
    bdpo_image grey = noise_image("L", 8, 8, 1), inks = noise_image("CMYK", 8, 8, 2);
    CHECK_OK(bdpo_image_encode(&png, &n, &grey, BDPO_IMAGE_PNG, NULL));
    setenv("TMPDIR", scratch_directory("tmp"), 1);
    // The score is 1 where the file is a PNG and has its ending.
    open_judge(&f,
               "while read -r line; do id=${line#*:}; id=${id%%,*};"
               " path=${line#*image\\\":\\\"}; path=${path%%\\\"*};"
               " case $path in *.png) ok=1;; *) ok=0;; esac;"
               " [ \"$(head -c 4 \"$path\" | tail -c 3)\" = PNG ] || ok=0;"
               " echo \"{\\\"id\\\":$id,\\\"score\\\":$ok}\"; done\n",
               "");
    bdpo_score_item items[] = {
        {.bytes = png, .n_bytes = n, .prompt = ""},
        {.image = &grey, .prompt = ""},
        {.image = &inks, .prompt = ""},
        {.prompt = ""},
    };
    CHECK_OK(bdpo_session_score(f.session, s, items, 4));
    for (int i = 0; i < 3; i++) {
        if (s[i].reason) FAIL("%d: %s", i, s[i].reason);
        CHECK(s[i].value == 1);
    }
    CHECK_STR(s[3].reason, "there is no picture");
    bdpo_session_free(f.session);
    f.session = NULL;
    CHECK_INT(rmdir(scratch_path("tmp")), 0); // nothing is left in it
    bdpo_free(png);
    bdpo_image_release(&grey);
    bdpo_image_release(&inks);
    close_judge(&f);
}

// ---- broken rules ------------------------------------------------------------------------------

// Item 1 of 3 has prompt "p1", to which the script does what breaks a rule; the others are
// answered.
static void check_fault(const char *fault, const char *part)
{
    fixture f;
    char script[2048];
    bdpo_score s[3];
    bdpo_score_item items[] = {by_path("/a", "p0"), by_path("/b", "p1"), by_path("/c", "p2")};
    snprintf(script, sizeof script,
             "while read -r line; do %s if [ $n = 1 ]; then %s; else"
             " echo \"{\\\"id\\\":$id,\\\"score\\\":$n}\"; fi; done\n",
             ECHO_SCORE, fault);
    open_judge(&f, script, ", \"timeout_s\": 0.5");
    for (int round = 0; round < 2; round++) { // the program is started again for the second
        CHECK_OK(bdpo_session_score(f.session, s, items, 3));
        CHECK(s[0].value == 0 && !s[0].reason);
        CHECK(isnan(s[1].value));
        CHECK_CONTAINS(s[1].reason, part);
        CHECK(s[2].value == 2 && !s[2].reason);
    }
    close_judge(&f);
}

BDPO_TEST_FULL(a_program_that_dies_costs_one_item)
{
    check_fault("exit 3", "ended with exit status 3");
    check_fault("kill -9 $$", "killed by signal 9");
    check_fault("exec >&-; sleep 5", "closed its output");
}

BDPO_TEST_FULL(a_program_that_is_silent_costs_one_item)
{
    check_fault("sleep 30", "no answer within 0.5 seconds");
}

BDPO_TEST(what_breaks_the_protocol_is_named)
{
    check_fault("echo no json", "what is no JSON object: no json");
    check_fault("echo [1]", "what is no JSON object: [1]");
    check_fault("echo '{\"id\":77,\"score\":1}'", "an id that was not asked for: {\"id\":77");
    check_fault("echo '{\"id\":\"'$id'\",\"score\":1}'", "an id that was not asked for");
    check_fault("echo '{\"id\":'$id',\"score\":\"high\"}'", "neither a score");
    check_fault("echo '{\"id\":'$id'}'", "neither a score");
    check_fault("printf '\\033[31m\\n'", "no JSON object: ?[31m");
}

BDPO_TEST(a_program_may_decline)
{
    check_fault("echo '{\"id\":'$id',\"score\":null}'", "the program gave no score");
    check_fault("echo '{\"id\":'$id',\"error\":\"too dark\"}'", "too dark");
}

BDPO_TEST(a_program_that_never_answers_is_given_up)
{
    enum { ITEMS = 100 };
    fixture f;
    bdpo_score s[ITEMS];
    bdpo_score_item items[ITEMS];
    for (int i = 0; i < ITEMS; i++) items[i] = by_path("/a", "p0");
    open_judge(&f, "read -r line; exit 1\n", "");
    CHECK_OK(bdpo_session_score(f.session, s, items, ITEMS));
    for (int i = 0; i < ITEMS; i++) CHECK(isnan(s[i].value) && s[i].reason != NULL);
    CHECK_CONTAINS(s[ITEMS - 1].reason, "failed 3 times without an answer");
    CHECK_CONTAINS(s[ITEMS - 1].reason, "exit status 1");
    close_judge(&f);
}

BDPO_TEST(external_configurations_are_checked)
{
    static const struct {
        const char *config, *part;
    } rows[] = {
        {"{\"name\": \"j\", \"family\": \"external\"}", "command"},
        {"{\"name\": \"j\", \"family\": \"external\", \"command\": []}", "list of 1 to 64 words"},
        {"{\"name\": \"j\", \"family\": \"external\", \"command\": [1]}", "list of 1 to 64 words"},
        {"{\"name\": \"j\", \"family\": \"external\", \"command\": [\"/no/such/program\"]}",
         "/no/such/program"},
        {"{\"name\": \"j\", \"family\": \"external\", \"command\": [\"sh\"], \"tmeout_s\": 3}",
         "\"tmeout_s\" is no field of the family external"},
    };
    bdpo_engine *engine;
    CHECK_OK(bdpo_engine_new(&engine, &(bdpo_engine_options){.n_threads = 1}));
    for (size_t i = 0; i < BDPO_COUNTOF(rows); i++) {
        bdpo_session *session;
        bdpo_scorer_request request = {.name = scratch_file("j.json", rows[i].config)};
        if (bdpo_session_new(&session, engine, &request, 1, NULL) == BDPO_OK)
            FAIL("accepted %s", rows[i].config);
        CHECK_CONTAINS(bdpo_message(), rows[i].part);
    }
    bdpo_engine_free(engine);
    scratch_remove();
}

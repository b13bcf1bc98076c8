// bdpo score as its users meet it: what is scored, skipped and told; runs that are stopped.
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cli/run_program.h"
#include "harness.h"
#include "images/image_fixtures.h"
#include "models/demo_vocabulary.h"
#include "models/scratch.h"
#include "models/small_clip.h"

#define SCORERS "clip-h=h,tokenizer=h pickscore=pick"

enum { N_PAIRS = 12 };

static const char *folder(void)
{
    return scratch_path("");
}

// ---- a data set and two scorers ----------------------------------------------------------------

static void write_models(void)
{
    static const char *const names[] = {"h", "pick"};
    for (int i = 0; i < 2; i++) {
        small_clip model = {.weights = names[i],
                            .embed = 24,
                            .patch = 56,
                            .vision = {40, 2, 2, 80},
                            .text = {32, 2, 4, 64},
                            .vocabulary = BDPO_DEMO_N_IDS};
        const char *directory = scratch_directory(names[i]);
        small_clip_write(directory, NULL, &model);
        CHECK_OK(bdpo_demo_vocabulary_write(directory, NULL));
    }
}

static void write_picture(const char *name, int width, int height, uint32_t seed)
{
    bdpo_image image = noise_image("RGB", width, height, seed);
    CHECK_OK(bdpo_image_write(scratch_path(name), &image, NULL));
    bdpo_image_release(&image);
}

// pairs.csv with `n` pairs; labels 1, 0, 0.5 and none in turn.
static void write_pairs(int n)
{
    static const char *const labels[] = {"1", "0", "0.5", ""};
    static const char *const prompts[] = {"a red fox", "\"two dogs, one cat\"", "一只猫"};
    FILE *csv = fopen(scratch_path("pairs.csv"), "w");
    CHECK(csv != NULL);
    fprintf(csv, "image_0,image_1,prompt,label\n");
    for (int i = 0; i < n; i++) {
        char names[2][32];
        for (int k = 0; k < 2; k++) {
            snprintf(names[k], sizeof names[k], "p%d_%d.%s", i, k, k ? "jpg" : "png");
            write_picture(names[k], 20 + 7 * i, 60 - 3 * i + k, (uint32_t)(2 * i + k));
        }
        fprintf(csv, "%s,%s,%s,%s\n", names[0], names[1], prompts[i % 3], labels[i % 4]);
    }
    CHECK(fclose(csv) == 0);
}

static void write_world(void)
{
    write_models();
    write_pairs(N_PAIRS);
}

// The line of `bdpo store NAME check` that tells the content.
static void digest_of(char out[128], const char *store)
{
    const program_result *r = RUN(folder(), "store", store, "check");
    CHECK_STR(r->err, "");
    CHECK_INT(r->code, 0);
    const char *line = strstr(r->out, "contents");
    CHECK(line != NULL);
    snprintf(out, 128, "%.100s", line);
}

static void score_all(const char *store)
{
    const program_result *r =
        RUN(folder(), "score", "pairs.csv", "-o", store, "--scorer", SCORERS, "-q");
    CHECK_STR(r->err, "");
    CHECK_INT(r->code, 0);
}

// ---- what is scored ----------------------------------------------------------------------------

BDPO_TEST(score_fills_a_store_and_computes_only_what_is_missing)
{
    write_world();
    const program_result *r =
        RUN(folder(), "score", "pairs.csv", "-o", "s.db", "--scorer", "clip-h=h", "--json", "-q");
    CHECK_INT(r->code, 0);
    CHECK_CONTAINS(r->out, "\"pairs\": 12,");
    CHECK_CONTAINS(r->out, "\"computed\": 24,");
    CHECK_CONTAINS(r->out, "\"finished\": true,");
    r = RUN(folder(), "score", "pairs.csv", "-o", "s.db", "--scorer", SCORERS);
    CHECK_INT(r->code, 0);
    CHECK_CONTAINS(r->out, "clip-h ");
    CHECK_CONTAINS(r->err, "12 records (12 pairs, 24 pictures)");
    const char *clip = strstr(r->out, "clip-h "), *pick = strstr(r->out, "pickscore ");
    CHECK(clip && pick);
    CHECK_CONTAINS(clip, "         0         24          0\n");
    CHECK_CONTAINS(pick, "        24          0          0\n");
    r = RUN(folder(), "store", "s.db");
    CHECK_CONTAINS(r->out, "pairs.csv          12          3          3          3          3");
    scratch_remove();
}

BDPO_TEST(score_does_not_depend_on_batches_readers_or_order)
{
    char one[128], other[128];
    write_world();
    score_all("s.db");
    digest_of(one, "s.db");
    const program_result *r = RUN(folder(), "score", "pairs.csv", "-o", "t.db", "--scorer", SCORERS,
                                  "-q", "--batch", "1", "--readers", "5");
    CHECK_INT(r->code, 0);
    digest_of(other, "t.db");
    CHECK_STR(other, one);
    r = RUN(folder(), "score", "pairs.csv", "-o", "u.db", "--scorer", SCORERS, "-q", "--rows",
            "7:");
    CHECK_INT(r->code, 0);
    score_all("u.db");
    digest_of(other, "u.db");
    CHECK_STR(other, one);
    scratch_remove();
}

// A picture and prompt that stand in three rows are one score.
BDPO_TEST(score_counts_each_score_once)
{
    write_world();
    scratch_file("twice.csv", "image_0,image_1,prompt,label\np0_0.png,p0_1.jpg,fox,1\n"
                              "p0_1.jpg,p0_0.png,fox,0\np0_0.png,p1_0.png,fox,1\n");
    for (int batch = 1; batch <= 4; batch += 3) {
        char size[8], store[8];
        snprintf(size, sizeof size, "%d", batch);
        snprintf(store, sizeof store, "%d.db", batch);
        const program_result *r = RUN(folder(), "score", "twice.csv", "-o", store, "--scorer",
                                      "clip-h=h", "-q", "--json", "--batch", size);
        CHECK_CONTAINS(r->out, "\"computed\": 3,");
        CHECK_CONTAINS(r->out, "\"present\": 3,");
    }
    scratch_remove();
}

BDPO_TEST(score_prints_pictures)
{
    write_world();
    const program_result *r =
        RUN(folder(), "score", "p0_0.png", "p1_1.jpg", "-p", "a red fox", "--scorer", SCORERS);
    CHECK_STR(r->err, "");
    CHECK_INT(r->code, 0);
    CHECK_CONTAINS(r->out, "picture         clip-h     pickscore\np0_0.png  ");
    scratch_file("broken.png", "no picture");
    r = RUN(folder(), "score", "p0_0.png", "broken.png", "-p", "a", "--scorer", "clip-h=h");
    CHECK_INT(r->code, 0);
    CHECK_CONTAINS(r->err, "warning: broken.png: ");
    CHECK_CONTAINS(r->out, "broken.png          none\n");
    r = RUN(folder(), "score", "broken.png", "-p", "a", "--scorer", "clip-h=h", "-q");
    CHECK_INT(r->code, 1);
    CHECK_CONTAINS(r->err, "bdpo: none of the 1 pictures could be read\n");
    scratch_remove();
}

BDPO_TEST(score_pictures_tells_what_it_cannot_do)
{
    write_world();
    scratch_file("broken.png", "no picture");
    CHECK(rename(scratch_path("p1_0.png"), scratch_path("p\xff.png")) == 0);
    const program_result *r =
        RUN(folder(), "score", "p\xff.png", "-p", "a", "--scorer", "clip-h=h", "--json");
    CHECK_INT(r->code, 0);
    CHECK_CONTAINS(r->out, "\\\\xff.png");
    CHECK_CONTAINS(r->out, "\"clip-h\": ");
    write_picture("thin.png", 500, 1, 1);
    r = RUN(folder(), "score", "thin.png", "-p", "a", "--scorer", SCORERS);
    CHECK_CONTAINS(r->err, "warning: thin.png: clip-h: thin.png: a picture of 500 x 1 would be");
    CHECK_INT(r->code, 0);
    r = RUN(folder(), "score", "broken.png", "p0_0.png", "-p", "a", "--scorer", "clip-h=h",
            "--strict");
    CHECK_INT(r->code, 1);
    CHECK_CONTAINS(r->err, "bdpo: broken.png: not a PNG");
    r = RUN(folder(), "score", "p0_0.png", "-p", "a", "--scorer", "clip-h=h", "--rows", "0:1");
    CHECK_INT(r->code, 2);
    CHECK_CONTAINS(r->err, "options of a data set");
    scratch_remove();
}

// ---- a program that failed ---------------------------------------------------------------------

static const program_result *ask_judge(const char *script, const char *retry)
{
    scratch_file("judge.sh", script);
    return RUN(folder(), "score", "pairs.csv", "-o", "s.db", "--scorer", "judge.json", "-q",
               "--json", retry);
}

BDPO_TEST(score_asks_again_where_there_is_none)
{
    static const char good[] = "while read -r line; do id=${line#*:}; id=${id%%,*};"
                               " echo \"{\\\"id\\\":$id,\\\"score\\\":0.5}\"; done\n";
    write_world();
    scratch_file("judge.json", "{\"name\": \"judge\", \"family\": \"external\","
                               " \"command\": [\"sh\", \"judge.sh\"]}");
    CHECK_CONTAINS(ask_judge("exit 3\n", NULL)->out, "\"none\": 24,");
    const program_result *r = ask_judge(good, NULL);
    CHECK_CONTAINS(r->out, "\"computed\": 0,");
    CHECK_CONTAINS(r->out, "\"said before; --retry asks again\": 24\n");
    CHECK_CONTAINS(ask_judge(good, "--retry")->out, "\"computed\": 24,");
    CHECK_CONTAINS(ask_judge("exit 3\n", "--retry")->out, "\"present\": 24,");
    CHECK_CONTAINS(RUN(folder(), "store", "s.db")->out, "        24        0          0.5");
    scratch_remove();
}

// Each thin picture is a reason of its own.
BDPO_TEST(score_counts_more_reasons_than_it_lists)
{
    char name[32];
    write_models();
    FILE *table = fopen(scratch_path("thin.csv"), "w");
    CHECK(table != NULL);
    fprintf(table, "image,prompt\n");
    for (int i = 0; i < 20; i++) {
        snprintf(name, sizeof name, "thin%d.png", i);
        write_picture(name, 500 + i, 1, (uint32_t)i);
        fprintf(table, "%s,p\n", name);
    }
    CHECK(fclose(table) == 0);
    const program_result *r =
        RUN(folder(), "score", "thin.csv", "-o", "s.db", "--scorer", "clip-h=h", "-q", "--json");
    CHECK_INT(r->code, 0);
    CHECK_CONTAINS(r->out, "\"none\": 20,");
    CHECK_CONTAINS(r->out, "\"other reasons\": 5");
    scratch_remove();
}

// ---- what cannot be used -----------------------------------------------------------------------

static const char awkward[] = "image,prompt\n"
                              "p0_0.png,a fox\n"
                              "broken.png,a fox\n"
                              "nowhere.png,a fox\n"
                              "p0_1.jpg,\n"
                              "p1_0.png,一只可爱的猫\n"
                              "pixel.png,a fox\n"
                              "wide.png,a fox\n";

static void write_awkward(void)
{
    write_models();
    write_pairs(2);
    scratch_file("broken.png", "no picture");
    write_picture("pixel.png", 1, 1, 1);
    write_picture("wide.png", 20000, 3, 2);
    scratch_file("awkward.csv", awkward);
}

BDPO_TEST(score_counts_what_it_cannot_use_and_goes_on)
{
    write_awkward();
    const program_result *r =
        RUN(folder(), "score", "awkward.csv", "-o", "s.db", "--scorer", SCORERS, "--json");
    CHECK_INT(r->code, 0);
    CHECK_CONTAINS(r->err, "broken.png: ");
    CHECK_CONTAINS(r->err, "nowhere.png: ");
    CHECK_CONTAINS(r->out, "\"empty prompt\": 1");
    CHECK_CONTAINS(r->out, "\"missing file\": 1");
    CHECK_CONTAINS(r->out, "\"picture does not decode\": 1");
    CHECK_CONTAINS(r->out, "\"does not decode\": 1");
    // hps cannot bring 20000 x 3 to 224 x 0; the other kind crops its middle.
    CHECK_CONTAINS(r->out, "\"computed\": 3,");
    CHECK_CONTAINS(r->out, "\"computed\": 4,");
    scratch_remove();
}

// Five rows of each of four reasons, with names that make more than 2,000 bytes of report.
BDPO_TEST(score_tells_every_reason_whatever_the_length)
{
    write_models();
    write_picture("a.png", 40, 30, 1);
    FILE *csv = fopen(scratch_path("long.csv"), "w");
    CHECK(csv != NULL);
    fprintf(csv, "image_0,image_1,prompt,label\na.png,a.png,fine,1\n");
    for (int i = 0; i < 6; i++)
        fprintf(csv, "%0200d.png,a.png,x,1\na.png,a.png,x,%0200d\na.png,a.png, ,1\na.png,,x,1\n", i,
                2 + i);
    CHECK(fclose(csv) == 0);
    const program_result *r =
        RUN(folder(), "score", "long.csv", "-o", "s.db", "--scorer", "pickscore=pick");
    CHECK_INT(r->code, 0);
    CHECK_CONTAINS(r->err, "long.csv (table): 25 rows read, 1 kept, 24 dropped\n");
    CHECK_CONTAINS(r->err, "           6  malformed row\n");
    CHECK_CONTAINS(r->err, "           6  empty prompt\n");
    CHECK_CONTAINS(r->err, "           6  no picture\n");
    CHECK_CONTAINS(r->err, "           6  missing file\n");
    CHECK_CONTAINS(r->err, "and 1 more\n1 records (1 pairs, 2 pictures)");
    scratch_remove();
}

BDPO_TEST(score_strict_ends_at_the_first_fault)
{
    write_awkward();
    const program_result *r =
        RUN(folder(), "score", "awkward.csv", "-o", "s.db", "--scorer", SCORERS, "-q", "--strict");
    CHECK_INT(r->code, 1);
    CHECK_STR(r->out, "");
    CHECK_CONTAINS(r->err, "bdpo: ");
    CHECK(strchr(r->err, '\n') == r->err + strlen(r->err) - 1); // one line
    scratch_remove();
}

BDPO_TEST(score_takes_paths_with_spaces)
{
    write_world();
    CHECK(rename(scratch_path("h"), scratch_path("my h 2")) == 0);
    scratch_file("my own.json", "{\"name\": \"own\", \"family\": \"clip\","
                                " \"checkpoint\": \"pick\", \"pipeline\": \"fast\"}");
    const program_result *r =
        RUN(folder(), "score", "p0_0.png", "-p", "a", "--scorer",
            " clip-h=my h 2,tokenizer=pick  pickscore=pick ", "--scorer", "my own.json");
    CHECK_STR(r->err, "");
    CHECK_CONTAINS(r->out, "picture         clip-h     pickscore           own\n");
    r = RUN(folder(), "score", "p0_0.png", "-p", "a", "--scorer", "clip-g=pick hpsv3");
    CHECK_CONTAINS(r->err, "pick hpsv3: there is no such file or folder");
    r = RUN(folder(), "score", "p0_0.png", "-p", "a", "--scorer", "hpsv3 pickscore=pick");
    CHECK_CONTAINS(r->err, "there is no scorer \"hpsv3\"");
    scratch_remove();
}

// The head is no head, which is seen after the model under it is found.
BDPO_TEST(score_finds_the_backbone_of_a_given_head)
{
    static const char snapshot[] = "models--openai--clip-vit-large-patch14/snapshots/1";
    write_models();
    scratch_file("head.pth", "no head");
    CHECK(setenv("HF_HUB_CACHE", scratch_path("hub"), 1) == 0);
    CHECK(setenv("BDPO_CACHE", scratch_path("ours"), 1) == 0);
    scratch_file("p.png", "");
    const program_result *r =
        RUN(folder(), "score", "p.png", "-p", "a", "--scorer", "aesthetic=head.pth");
    CHECK_CONTAINS(r->err, "no backbone is given");
    scratch_directory("hub");
    scratch_directory("hub/models--openai--clip-vit-large-patch14");
    scratch_directory("hub/models--openai--clip-vit-large-patch14/snapshots");
    char path[256];
    snprintf(path, sizeof path, "hub/%s", snapshot);
    CHECK(rename(scratch_path("pick"), scratch_path(path)) == 0);
    r = RUN(folder(), "score", "p.png", "-p", "a", "--scorer", "aesthetic=head.pth");
    CHECK_CONTAINS(r->err, "head.pth: neither safetensors nor PyTorch");
    scratch_remove();
}

BDPO_TEST(score_wrong_usage_is_one_line)
{
    const program_result *r = RUN(NULL, "score");
    CHECK_INT(r->code, 2);
    CHECK_CONTAINS(r->err, "bdpo: score: needs DATA or PICTURE ..., got 0 arguments");
    r = RUN(NULL, "score", "x.csv", "-o", "s.db");
    CHECK_INT(r->code, 2);
    CHECK_CONTAINS(r->err, "give --scorer NAME");
    r = RUN(NULL, "score", "x.csv", "--scorer", "clip-h=x,colour=y");
    CHECK_INT(r->code, 2);
    CHECK_CONTAINS(r->err, "not clip-h=x,colour=y");
    r = RUN(NULL, "score", "x.csv", "--scorer", "clip-h=x", "--rows", "5:2");
    CHECK_INT(r->code, 2);
    CHECK_CONTAINS(r->err, "--rows takes FIRST:END");
    r = RUN(NULL, "score", "x.csv", "-o", "s.db", "--scorer", "clip-h=/nowhere");
    CHECK_INT(r->code, 1);
    CHECK_CONTAINS(r->err, "bdpo: x.csv: ");
}

// ---- runs that are stopped ---------------------------------------------------------------------

static pid_t start_scoring(const char *store, FILE *nowhere)
{
    const char *const arguments[] = {"score", "pairs.csv", "-o",      store, "--scorer",
                                     SCORERS, "-q",        "--batch", "1",   NULL};
    return start_program(folder(), arguments, nowhere, nowhere);
}

static void sleep_us(long microseconds)
{
    nanosleep(&(struct timespec){.tv_nsec = 1000 * microseconds}, NULL);
}

static void kill_and_resume(int n_kills)
{
    char undisturbed[128], resumed[128];
    write_world();
    score_all("s.db");
    digest_of(undisturbed, "s.db");
    FILE *nowhere = fopen("/dev/null", "w");
    CHECK(nowhere != NULL);
    for (int i = 0; i < n_kills; i++) {
        int status;
        pid_t child = start_scoring("k.db", nowhere);
        sleep_us(20000 + (i * 7919L) % 300000); // a prime's steps fall on every part of a run
        kill(child, SIGKILL);
        CHECK(waitpid(child, &status, 0) == child);
        CHECK(WIFSIGNALED(status) || WEXITSTATUS(status) == 0);
    }
    fclose(nowhere);
    score_all("k.db");
    digest_of(resumed, "k.db");
    CHECK_STR(resumed, undisturbed);
    scratch_remove();
}

BDPO_TEST(score_killed_and_resumed_gives_the_same_store)
{
    kill_and_resume(5);
}

BDPO_TEST_FULL(score_killed_fifty_times_gives_the_same_store)
{
    kill_and_resume(50);
}

BDPO_TEST(score_interrupted_keeps_what_is_done)
{
    char undisturbed[128], resumed[128];
    int status;
    write_world();
    score_all("s.db");
    digest_of(undisturbed, "s.db");
    FILE *nowhere = fopen("/dev/null", "w");
    CHECK(nowhere != NULL);
    pid_t child = start_scoring("k.db", nowhere);
    const char *store = scratch_path("k.db");
    for (int i = 0; i < 20000 && access(store, F_OK) != 0; i++) sleep_us(1000); // the run begins
    kill(child, SIGINT);
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status));
    CHECK(WEXITSTATUS(status) == 130 || WEXITSTATUS(status) == 0); // it may have been quicker
    fclose(nowhere);
    score_all("k.db");
    digest_of(resumed, "k.db");
    CHECK_STR(resumed, undisturbed);
    scratch_remove();
}

BDPO_TEST(score_by_two_processes_at_once)
{
    char alone[128], together[128];
    pid_t children[2];
    write_world();
    score_all("s.db");
    digest_of(alone, "s.db");
    FILE *nowhere = fopen("/dev/null", "w");
    CHECK(nowhere != NULL);
    for (int i = 0; i < 2; i++) children[i] = start_scoring("t.db", nowhere);
    for (int i = 0; i < 2; i++) {
        int status;
        CHECK(waitpid(children[i], &status, 0) == children[i]);
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
    fclose(nowhere);
    digest_of(together, "t.db");
    CHECK_STR(together, alone);
    scratch_remove();
}

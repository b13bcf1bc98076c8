// Scores against the packages' own: a folder made by tools/parity/scorers.py, and the committed
// fixture, whose models the test writes itself.
#include <jansson.h>
#include <stdlib.h>

#include "base/memory.h"
#include "harness.h"
#include "images/image_fixtures.h"
#include "models/scratch.h"
#include "models/small_clip.h"
#include "scorers/scores_check.h"
#include "scorers/scoring.h"

// ---- a folder of a live run ------------------------------------------------------------------

typedef struct folder {
    const char *path;
    json_t *root, *images, *prompts, *scorers;
    bdpo_image *pictures;
    size_t n_pictures, n_prompts;
} folder;

static const char *below(const folder *f, const char *name)
{
    static char path[4096];
    snprintf(path, sizeof path, "%s/%s", f->path, name);
    return path;
}

static void read_folder(folder *f, const char *path)
{
    json_error_t error;
    *f = (folder){.path = path};
    f->root = json_load_file(below(f, "expected.json"), 0, &error);
    if (!f->root) FAIL("%s: %s", path, error.text);
    f->images = json_object_get(f->root, "images");
    f->prompts = json_object_get(f->root, "prompts");
    f->scorers = json_object_get(f->root, "scorers");
    f->n_pictures = json_array_size(f->images);
    f->n_prompts = json_array_size(f->prompts);
    f->pictures = bdpo_alloc(f->n_pictures, sizeof *f->pictures);
    for (size_t i = 0; i < f->n_pictures; i++)
        CHECK_OK(bdpo_image_read(&f->pictures[i],
                                 below(f, json_string_value(json_array_get(f->images, i)))));
}

static void close_folder(folder *f)
{
    for (size_t i = 0; i < f->n_pictures; i++) bdpo_image_release(&f->pictures[i]);
    bdpo_free(f->pictures);
    json_decref(f->root);
}

static bdpo_score_item item_of(const folder *f, size_t at)
{
    json_t *prompt = json_array_get(f->prompts, at % f->n_prompts);
    return (bdpo_score_item){.image = &f->pictures[at / f->n_prompts],
                             .prompt = json_string_value(prompt),
                             .prompt_size = json_string_length(prompt)};
}

static double expected_of(const folder *f, size_t scorer, size_t at)
{
    json_t *scores = json_object_get(json_array_get(f->scorers, scorer), "scores");
    json_t *row = json_array_get(scores, at / f->n_prompts);
    return json_real_value(json_array_get(row, at % f->n_prompts));
}

static void check_scorer(const folder *f, size_t k, const bdpo_session *session,
                         const bdpo_score *scores)
{
    size_t n = f->n_pictures * f->n_prompts, width = json_array_size(f->scorers);
    double *ours = bdpo_alloc(n, sizeof *ours), *theirs = bdpo_alloc(n, sizeof *theirs);
    const char *name = bdpo_session_scorer(session, (int)k).name;
    for (size_t i = 0; i < n; i++) {
        const bdpo_score *s = &scores[i * width + k];
        if (s->reason) FAIL("%s, item %zu: %s", name, i, s->reason);
        ours[i] = s->value;
        theirs[i] = expected_of(f, k, i);
    }
    scores_difference d = scores_compare(ours, theirs, n, f->n_prompts);
    printf("        %-10s relative %.1e, absolute %.1e, %zu of %zu pairs swapped\n", name,
           d.relative, d.absolute, d.n_swapped, d.n_pairs);
    bdpo_free(ours);
    bdpo_free(theirs);
    CHECK_LE(d.relative, 1e-4);
    CHECK_INT(d.n_swapped, 0);
}

// ---- the committed fixture -------------------------------------------------------------------

static void read_fixture(folder *f)
{
    json_error_t error;
    *f = (folder){.path = "fixture"};
    f->root = json_load_file(test_path("fixtures/scorers/scores.json"), 0, &error);
    if (!f->root) FAIL("%s", error.text);
    f->images = json_object_get(f->root, "images");
    f->prompts = json_object_get(f->root, "prompts");
    f->scorers = json_object_get(f->root, "scorers");
    f->n_pictures = json_array_size(f->images);
    f->n_prompts = json_array_size(f->prompts);
    f->pictures = bdpo_alloc(f->n_pictures, sizeof *f->pictures);
    for (size_t i = 0; i < f->n_pictures; i++) {
        const char *mode;
        int width, height;
        json_int_t seed;
        CHECK_INT(json_unpack(json_array_get(f->images, i), "[s, i, i, I]", &mode, &width, &height,
                              &seed),
                  0);
        f->pictures[i] = noise_image(mode, width, height, (uint32_t)seed);
    }
}

static const char *write_model(const char *name, const small_clip *sizes, const char *weights,
                               bool open_clip, bool half)
{
    small_clip model = *sizes;
    const char *directory = scratch_directory(name);
    model.weights = weights;
    model.open_clip = open_clip;
    model.half = half;
    small_clip_write(directory, NULL, &model);
    return directory;
}

// The presets themselves, in the order of the fixture's scorers.
BDPO_TEST_FULL(presets_agree_with_the_packages)
{
    folder f;
    char vocabulary[1024];
    bdpo_engine *engine;
    bdpo_session *session;
    snprintf(vocabulary, sizeof vocabulary,
             "%s/../../shared/data/tokenizers/bpe_simple_vocab_16e6.txt.gz", BDPO_TESTS_DIR);
    FILE *there = fopen(vocabulary, "rb");
    if (!there) SKIP("%s is not there", vocabulary);
    fclose(there);
    const char *head = scratch_path("head.safetensors");
    small_head_write(head);
    const char *l = write_model("openai", &small_l, "openai", false, false);
    const bdpo_scorer_request requests[] = {
        {"clip-h", write_model("laion-h", &small_h, "laion-h", true, false), vocabulary, NULL},
        {"clip-l", l, vocabulary, NULL},
        {"clip-g", write_model("laion-g", &small_g, "laion-g", true, false), vocabulary, NULL},
        {"pickscore", write_model("pick", &small_h, "pick", false, false), vocabulary, NULL},
        {"hpsv2", write_model("hps-20", &small_h, "hps-20", true, true), vocabulary, NULL},
        {"aesthetic", head, NULL, l},
    };
    enum { N = BDPO_COUNTOF(requests) };
    read_fixture(&f);
    size_t n = f.n_pictures * f.n_prompts;
    bdpo_score_item *items = bdpo_alloc(n, sizeof *items);
    bdpo_score *scores = bdpo_alloc(n * N, sizeof *scores);
    for (size_t i = 0; i < n; i++) items[i] = item_of(&f, i);
    CHECK_INT(json_array_size(f.scorers), N);
    CHECK_OK(bdpo_engine_new(&engine, &(bdpo_engine_options){.n_threads = 2}));
    CHECK_OK(bdpo_session_new(&session, engine, requests, N, NULL));
    CHECK_OK(bdpo_session_score(session, scores, items, (int)n));
    for (size_t k = 0; k < N; k++) check_scorer(&f, k, session, scores);
    bdpo_session_free(session);
    bdpo_engine_free(engine);
    bdpo_free(items);
    bdpo_free(scores);
    close_folder(&f);
    scratch_remove();
}

// ---- a live run ------------------------------------------------------------------------------

// For a live run: `tools/parity/scorers.py live|full SEED N DIR`, then BDPO_SCORERS=DIR.
BDPO_TEST_FULL(fresh_scores)
{
    enum { MAX = 16 };
    folder f;
    char paths[MAX][4096];
    bdpo_scorer_request requests[MAX] = {0};
    bdpo_engine *engine;
    bdpo_session *session;
    const char *path = getenv("BDPO_SCORERS");
    if (!path) SKIP("set BDPO_SCORERS to a folder made by tools/parity/scorers.py");
    read_folder(&f, path);
    size_t n_scorers = json_array_size(f.scorers), n = f.n_pictures * f.n_prompts;
    CHECK(n_scorers > 0 && n_scorers <= MAX);
    for (size_t k = 0; k < n_scorers; k++) {
        json_t *config = json_object_get(json_array_get(f.scorers, k), "config");
        snprintf(paths[k], sizeof paths[k], "%s/%s", path, json_string_value(config));
        requests[k].name = paths[k];
    }
    bdpo_score_item *items = bdpo_alloc(n, sizeof *items);
    bdpo_score *scores = bdpo_alloc(n * n_scorers, sizeof *scores);
    for (size_t i = 0; i < n; i++) items[i] = item_of(&f, i);
    CHECK_OK(bdpo_engine_new(&engine, &(bdpo_engine_options){0}));
    CHECK_OK(bdpo_session_new(&session, engine, requests, (int)n_scorers, NULL));
    CHECK_OK(bdpo_session_score(session, scores, items, (int)n));
    for (size_t k = 0; k < n_scorers; k++) check_scorer(&f, k, session, scores);
    for (size_t k = 0; k < n_scorers; k++)
        printf("        %s\n", bdpo_session_scorer(session, (int)k).settings);
    bdpo_session_counts c = bdpo_session_get_counts(session);
    printf("        %zu pictures: %llu preprocessed, %llu image runs, %llu text runs\n",
           f.n_pictures, (unsigned long long)c.pictures_prepared, (unsigned long long)c.image_runs,
           (unsigned long long)c.text_runs);
    bdpo_session_free(session);
    bdpo_engine_free(engine);
    bdpo_free(items);
    bdpo_free(scores);
    close_folder(&f);
}

// The session: what is shared, that a score is its own, what has no score and why.
#include <math.h>
#include <stdlib.h>

#include "base/memory.h"
#include "harness.h"
#include "images/image_fixtures.h"
#include "models/demo_vocabulary.h"
#include "models/scratch.h"
#include "models/small_clip.h"
#include "scorers/scoring.h"

static const small_clip tiny = {.weights = "tiny",
                                .embed = 24,
                                .patch = 56,
                                .vision = {40, 2, 2, 80},
                                .text = {32, 2, 4, 64},
                                .vocabulary = BDPO_DEMO_N_IDS};

// Two models with tokenizers, and configurations of scorers over them.
static const char *const configs[][2] = {
    {"a.json", "{\"name\": \"a\", \"family\": \"clip\", \"checkpoint\": \"one\","
               " \"pipeline\": \"fast\", \"preprocess\": \"clip-image-processor\"}"},
    // The same model, pixels and ids; another scale.
    {"b.json", "{\"name\": \"b\", \"family\": \"clip\", \"checkpoint\": \"one\","
               " \"pipeline\": \"fast\", \"preprocess\": \"clip-image-processor\","
               " \"scale\": 100, \"minimum\": 0}"},
    // Other pixels.
    {"c.json", "{\"name\": \"c\", \"family\": \"clip\", \"checkpoint\": \"one\","
               " \"pipeline\": \"fast\", \"preprocess\": \"hps\", \"scale\": \"logit-scale\"}"},
    // The same pixels, another model.
    {"d.json", "{\"name\": \"d\", \"family\": \"clip\", \"checkpoint\": \"two\","
               " \"pipeline\": \"fast\", \"preprocess\": \"hps\"}"},
};
enum { N = BDPO_COUNTOF(configs) };

typedef struct fixture {
    bdpo_engine *engine;
    bdpo_session *session;
} fixture;

static void open_some(fixture *f, const int *which, int n, int n_threads)
{
    bdpo_scorer_request requests[N] = {0};
    for (int i = 0; i < n; i++) requests[i].name = scratch_path(configs[which[i]][0]);
    CHECK_OK(bdpo_engine_new(&f->engine, &(bdpo_engine_options){.n_threads = n_threads}));
    CHECK_OK(bdpo_session_new(&f->session, f->engine, requests, n, NULL));
}

static void write_all(void)
{
    static const char *const models[] = {"one", "two"};
    for (int i = 0; i < 2; i++) {
        small_clip model = tiny;
        const char *directory = scratch_directory(models[i]);
        model.weights = models[i];
        model.open_clip = i == 1;
        model.half = i == 1; // widened for many inputs, not for few
        small_clip_write(directory, NULL, &model);
        CHECK_OK(bdpo_demo_vocabulary_write(directory, NULL));
    }
    for (int i = 0; i < N; i++) scratch_file(configs[i][0], configs[i][1]);
}

static void open_all(fixture *f)
{
    static const int all[] = {0, 1, 2, 3};
    write_all();
    open_some(f, all, N, 2);
}

static void close_all(fixture *f)
{
    bdpo_session_free(f->session);
    bdpo_engine_free(f->engine);
}

static bdpo_score_item item(const bdpo_image *image, const char *prompt)
{
    return (bdpo_score_item){
        .image = image, .prompt = prompt, .prompt_size = prompt ? strlen(prompt) : 0};
}

// ---- sharing -----------------------------------------------------------------------------------

BDPO_TEST(what_scorers_have_in_common_runs_once)
{
    fixture f;
    bdpo_score scores[6 * N];
    open_all(&f);
    bdpo_image p = noise_image("RGB", 31, 50, 1), q = noise_image("RGBA", 60, 20, 2);
    bdpo_score_item items[] = {item(&p, "a cat"), item(&q, "a cat"), item(&p, "a dog"),
                               item(&q, "a dog"), item(&p, "a cat"), item(&p, "")};
    CHECK_OK(bdpo_session_score(f.session, scores, items, 6));
    bdpo_session_counts c = bdpo_session_get_counts(f.session);
    CHECK_U64(c.pictures_prepared, 2 * 2); // two kinds of pixels
    CHECK_U64(c.image_runs, 2 * 3);        // of three towers
    CHECK_U64(c.text_runs, 3 * 2);         // three texts by two towers
    for (int k = 0; k < N; k++) CHECK(scores[k].value == scores[4 * N + k].value);
    // b is a, scaled and cut off below.
    CHECK_NEAR(scores[1].value, fmax(100 * scores[0].value, 0), 1e-5);
    // Another call finds the texts, but no pictures: they have no key.
    CHECK_OK(bdpo_session_score(f.session, scores, items, 6));
    c = bdpo_session_get_counts(f.session);
    CHECK_U64(c.image_runs, 2 * 2 * 3);
    CHECK_U64(c.text_runs, 3 * 2);
    for (int i = 0; i < 6; i++) items[i].image_key = items[i].image == &p ? "p" : "q";
    for (int i = 0; i < 2; i++) CHECK_OK(bdpo_session_score(f.session, scores, items, 6));
    CHECK_U64(bdpo_session_get_counts(f.session).image_runs, 3 * 2 * 3);
    bdpo_image_release(&p);
    bdpo_image_release(&q);
    close_all(&f);
    scratch_remove();
}

// A copy of the same weights is the same model.
BDPO_TEST(equal_weights_at_two_places_are_one_model)
{
    fixture f;
    bdpo_score scores[2];
    write_all();
    small_clip model = tiny;
    model.weights = "one";
    small_clip_write(scratch_directory("copy"), NULL, &model);
    bdpo_scorer_request requests[] = {{.name = scratch_path("a.json")},
                                      {.name = scratch_path("b.json"),
                                       .checkpoint = scratch_path("copy"),
                                       .tokenizer = scratch_path("one")}};
    CHECK_OK(bdpo_engine_new(&f.engine, &(bdpo_engine_options){.n_threads = 1}));
    CHECK_OK(bdpo_session_new(&f.session, f.engine, requests, 2, NULL));
    bdpo_image p = noise_image("RGB", 31, 50, 1);
    bdpo_score_item one = item(&p, "a cat");
    CHECK_OK(bdpo_session_score(f.session, scores, &one, 1));
    CHECK_U64(bdpo_session_get_counts(f.session).image_runs, 1);
    CHECK_STR(bdpo_session_scorer(f.session, 0).sha256, bdpo_session_scorer(f.session, 1).sha256);
    bdpo_image_release(&p);
    close_all(&f);
    scratch_remove();
}

// ---- independence ------------------------------------------------------------------------------

static void check_same_bits(const bdpo_score *a, const bdpo_score *b)
{
    CHECK(!a->reason && !b->reason);
    CHECK_BYTES(&a->value, &b->value, sizeof a->value);
}

// One by one, in a batch, in the batch backwards, and by a session of that scorer alone.
BDPO_TEST(a_scores_bits_depend_on_nothing_else)
{
    enum { ITEMS = 37 };
    static const char *const prompts[] = {"a cat", "", "R\u00e9sum\u00e9, 4k", "the sea the sea "};
    fixture f;
    bdpo_image images[ITEMS];
    bdpo_score_item items[ITEMS], backwards[ITEMS];
    bdpo_score batch[ITEMS * N], turned[ITEMS * N], one[N];
    char long_text[2000];
    open_all(&f);
    for (int i = 0; i < 1999; i++) long_text[i] = "the cat "[i % 8];
    long_text[1999] = '\0';
    for (int i = 0; i < ITEMS; i++) {
        images[i] = noise_image("RGB", 10 + 7 * i, 300 - 5 * i, (uint32_t)i);
        items[i] = item(&images[i], i == 5 ? long_text : prompts[i % 4]);
        backwards[ITEMS - 1 - i] = items[i];
    }
    CHECK_OK(bdpo_session_score(f.session, batch, items, ITEMS));
    CHECK_OK(bdpo_session_score(f.session, turned, backwards, ITEMS));
    for (int i = 0; i < ITEMS; i++) {
        CHECK_OK(bdpo_session_score(f.session, one, &items[i], 1));
        for (int k = 0; k < N; k++) {
            check_same_bits(&batch[i * N + k], &one[k]);
            check_same_bits(&batch[i * N + k], &turned[(ITEMS - 1 - i) * N + k]);
        }
    }
    close_all(&f);
    for (int k = 0; k < N; k++) {
        bdpo_score alone[ITEMS];
        open_some(&f, &k, 1, 2);
        CHECK_OK(bdpo_session_score(f.session, alone, items, ITEMS));
        for (int i = 0; i < ITEMS; i++) check_same_bits(&batch[i * N + k], &alone[i]);
        close_all(&f);
    }
    for (int i = 0; i < ITEMS; i++) bdpo_image_release(&images[i]);
    scratch_remove();
}

// ---- no score ----------------------------------------------------------------------------------

BDPO_TEST(what_is_wrong_with_one_item_is_its_reason)
{
    fixture f;
    bdpo_score s[5 * N];
    open_all(&f);
    bdpo_image good = noise_image("L", 9, 9, 1), thin = noise_image("L", 2000, 1, 2);
    bdpo_score_item items[] = {item(&good, "x"), item(NULL, "x"), item(&good, NULL),
                               item(&thin, "x"), item(&good, "x")};
    items[3].name = "thin.png";
    items[4].skip = 1u << 1 | 1u << 3;
    CHECK_OK(bdpo_session_score(f.session, s, items, 5));
    for (int k = 0; k < N; k++) {
        CHECK(isfinite(s[k].value) && !s[k].reason);
        CHECK(isnan(s[N + k].value) && isnan(s[2 * N + k].value));
        CHECK_STR(s[N + k].reason, "there is no picture");
        CHECK_STR(s[2 * N + k].reason, "there is no prompt");
        bool skipped = k == 1 || k == 3;
        CHECK(!s[4 * N + k].reason && isnan(s[4 * N + k].value) == skipped);
        if (!skipped) check_same_bits(&s[4 * N + k], &s[k]);
    }
    CHECK(isfinite(s[3 * N].value)); // cropped, as its library does
    CHECK(isnan(s[3 * N + 2].value) && isnan(s[3 * N + 3].value));
    CHECK_CONTAINS(s[3 * N + 2].reason, "thin.png: a picture of 2000 x 1 would be 224 x 0");
    CHECK_OK(bdpo_session_score(f.session, s, items, 0));
    bdpo_image_release(&good);
    bdpo_image_release(&thin);
    close_all(&f);
    scratch_remove();
}

BDPO_TEST(want_of_memory_ends_a_call_and_harms_nothing)
{
    fixture f;
    bdpo_score first[N], again[N];
    open_all(&f);
    bdpo_image p = noise_image("RGB", 31, 50, 1);
    bdpo_score_item one = item(&p, "a cat");
    CHECK_OK(bdpo_session_score(f.session, first, &one, 1));
    uint64_t begin = bdpo_alloc_count();
    one.prompt = "a dog", one.prompt_size = 5;
    CHECK_OK(bdpo_session_score(f.session, first, &one, 1));
    uint64_t n = bdpo_alloc_count() - begin;
    static char texts[64][8];
    for (uint64_t i = 1; i <= n; i += 1 + n / 60) {
        snprintf(texts[i % 64], 8, "dog %d", (int)i); // a new text, so that all is done
        one.prompt = texts[i % 64], one.prompt_size = strlen(one.prompt);
        bdpo_alloc_fail_at(bdpo_alloc_count() + i);
        bdpo_status status = bdpo_session_score(f.session, again, &one, 1);
        bdpo_alloc_fail_at(0);
        if (status != BDPO_OK) CHECK_STATUS(status, BDPO_NO_MEMORY);
    }
    one.prompt = "a dog", one.prompt_size = 5;
    CHECK_OK(bdpo_session_score(f.session, again, &one, 1));
    for (int k = 0; k < N; k++) check_same_bits(&first[k], &again[k]);
    bdpo_image_release(&p);
    close_all(&f);
    scratch_remove();
}

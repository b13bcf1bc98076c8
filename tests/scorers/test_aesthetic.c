// The aesthetic head: LAION's real one on the shared vectors, and what is refused.
#include <jansson.h>
#include <math.h>
#include <stdlib.h>

#include "base/memory.h"
#include "formats/safetensors.h"
#include "harness.h"
#include "models/scratch.h"
#include "models/small_clip.h"
#include "scorers/scoring.h"

enum { DIM = 768 };

typedef struct fixture {
    bdpo_engine *engine;
    bdpo_shared *shared;
    bdpo_scorer *scorer;
} fixture;

static bdpo_status open_head(fixture *f, const char *head)
{
    small_clip model = small_l;
    model.weights = "openai";
    model.vocabulary = 8;
    const char *directory = scratch_directory("openai");
    small_clip_write(directory, NULL, &model);
    bdpo_scorer_request request = {.name = "aesthetic", .checkpoint = head, .backbone = directory};
    CHECK_OK(bdpo_engine_new(&f->engine, &(bdpo_engine_options){.n_threads = 1}));
    CHECK_OK(bdpo_shared_new(&f->shared));
    return bdpo_scorer_open(&f->scorer, &request, f->engine, f->shared);
}

static void close_head(fixture *f)
{
    bdpo_scorer_close(f->scorer);
    bdpo_shared_free(f->shared);
    bdpo_engine_free(f->engine);
    scratch_remove();
}

static double score_of(fixture *f, const float *embedding)
{
    double score;
    const char *reason = NULL;
    bdpo_score_case one = {.image = embedding, .score = &score, .reason = &reason};
    CHECK_OK(f->scorer->family->score(f->scorer, &one, 1));
    CHECK(!reason);
    return score;
}

static void make_vector(float *out, const char *name)
{
    uint32_t s = 0;
    for (int i = 0; i < DIM; i++) out[i] = 0;
    if (strcmp(name, "e0") == 0) out[0] = 1;
    for (int i = 0; strcmp(name, "uniform") == 0 && i < DIM; i++) out[i] = 1;
    for (int i = 0; strcmp(name, "alternating") == 0 && i < DIM; i++) out[i] = i % 2 ? -1 : 1;
    if (sscanf(name, "lcg_%u", &s) != 1) return;
    for (int i = 0; i < DIM; i++) {
        s = s * 1664525u + 1013904223u;
        out[i] = (float)((s >> 8) / 16777216.0 - 0.5);
    }
}

// The vectors are normalised by the scorer, in f64: 1e-6 is three roundings of a score in f32.
BDPO_TEST(the_real_head_gives_the_published_numbers)
{
    char head[1024], vectors[1024];
    json_error_t error;
    fixture f = {0};
    float embedding[DIM];
    size_t i;
    json_t *one;
    snprintf(head, sizeof head, "%s/../../shared/data/weights/sac+logos+ava1-l14-linearMSE.pth",
             BDPO_TESTS_DIR);
    snprintf(vectors, sizeof vectors, "%s/../../shared/data/weights/aesthetic_head_vectors.json",
             BDPO_TESTS_DIR);
    json_t *root = json_load_file(vectors, 0, &error);
    if (!root) SKIP("%s is not there", vectors);
    CHECK_OK(open_head(&f, head));
    CHECK_STR(f.scorer->info.sha256,
              "21dd590f3ccdc646f0d53120778b296013b096a035a2718c9cb0d511bff0f1e0");
    CHECK(!f.scorer->info.reads_prompt);
    CHECK_INT(json_array_size(json_object_get(root, "cases")), 8);
    json_array_foreach(json_object_get(root, "cases"), i, one)
    {
        make_vector(embedding, json_string_value(json_object_get(one, "name")));
        CHECK_NEAR(score_of(&f, embedding), json_real_value(json_object_get(one, "score")), 1e-6);
        for (int j = 0; j < DIM; j++) embedding[j] *= 7; // the length does not matter
        CHECK_NEAR(score_of(&f, embedding), json_real_value(json_object_get(one, "score")), 1e-6);
    }
    json_decref(root);
    close_head(&f);
}

// Files as that repository has others: a network with activations between, under other numbers; a
// head for another model; a model instead of a head.
static void check_refused(const char *const *names, int64_t (*dims)[2], size_t n, const char *part)
{
    fixture f = {0};
    bdpo_tensor_to_write tensors[16];
    float *zeros = bdpo_alloc(1024 * 1024, sizeof *zeros);
    for (size_t i = 0; i < n; i++)
        tensors[i] = (bdpo_tensor_to_write){.name = names[i],
                                            .dtype = BDPO_STORED_F32,
                                            .n_dims = dims[i][1] ? 2 : 1,
                                            .dim = dims[i],
                                            .data = zeros};
    const char *path = scratch_path("head.safetensors");
    CHECK_OK(bdpo_safetensors_write(path, tensors, n, NULL));
    CHECK_STATUS(open_head(&f, path), BDPO_BAD_FILE);
    CHECK_CONTAINS(bdpo_message(), "scorer aesthetic: ");
    CHECK_CONTAINS(bdpo_message(), part);
    bdpo_free(zeros);
    close_head(&f);
}

BDPO_TEST(other_heads_are_refused_by_name)
{
    static const char *const linear[] = {"layers.0.weight", "layers.0.bias",   "layers.2.weight",
                                         "layers.2.bias",   "layers.4.weight", "layers.4.bias",
                                         "layers.6.weight", "layers.6.bias",   "layers.7.weight",
                                         "layers.7.bias"};
    static const char *const relu[] = {"layers.0.weight", "layers.0.bias",   "layers.3.weight",
                                       "layers.3.bias",   "layers.6.weight", "layers.6.bias",
                                       "layers.9.weight", "layers.9.bias",   "layers.11.weight",
                                       "layers.11.bias"};
    static int64_t dims[][2] = {{1024, 768}, {1024},   {128, 1024}, {128},   {64, 128},
                                {64},        {16, 64}, {16},        {1, 16}, {1}};
    int64_t narrow[10][2];
    check_refused(relu, dims, 10, "layers.7");
    check_refused(linear, dims, 8, "holds 8 tensors");
    memcpy(narrow, dims, sizeof narrow);
    narrow[0][1] = 512; // of a ViT-B
    check_refused(linear, narrow, 10, "layers.0.weight");
    memcpy(narrow, dims, sizeof narrow);
    narrow[4][0] = 65;
    check_refused(linear, narrow, 10, "layers.4.weight");
}

BDPO_TEST(a_head_without_its_model_says_what_is_missing)
{
    bdpo_shared *shared;
    bdpo_engine *engine;
    bdpo_scorer *scorer;
    bdpo_scorer_request request = {.name = "aesthetic"};
    CHECK_OK(bdpo_engine_new(&engine, &(bdpo_engine_options){.n_threads = 1}));
    CHECK_OK(bdpo_shared_new(&shared));
    CHECK_STATUS(bdpo_scorer_open(&scorer, &request, engine, shared), BDPO_NOT_FOUND);
    CHECK_CONTAINS(bdpo_message(), "no checkpoint is given");
    request.checkpoint = "head.pth";
    CHECK_STATUS(bdpo_scorer_open(&scorer, &request, engine, shared), BDPO_NOT_FOUND);
    CHECK_CONTAINS(bdpo_message(), "no backbone is given");
    bdpo_shared_free(shared);
    bdpo_engine_free(engine);
}

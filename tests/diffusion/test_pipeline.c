// What a pipeline promises beside its numbers: batches, seeds, memory, interruption, refusals.
#include "harness.h"

#include <stdlib.h>

#include "base/file.h"
#include "base/memory.h"
#include "diffusion/pipeline_fixture.h"
#include "models/demo_model.h"
#include "models/scratch.h"
#include "tensor/tensor.h"

enum { SIZE = 16 * 16 * 4 };

static bdpo_generation short_job(void)
{
    bdpo_generation job = pipeline_fixture_job();
    job.n_steps = 3;
    return job;
}

static void denoise(const pipeline_fixture *p, float *latents, const bdpo_generation *job)
{
    CHECK_OK(bdpo_pipeline_denoise(p->pipeline, latents, job, NULL));
}

// ---- batches and seeds -------------------------------------------------------------------------

static void check_batch(bdpo_noise_rng rng, const char *sampler)
{
    static const char *const prompts[] = {"a cat", "a dog", "a cat"};
    static const uint64_t seeds[] = {5, 6, 7};
    static float together[3 * SIZE], alone[SIZE];
    pipeline_fixture p;
    pipeline_fixture_open(&p, BDPO_SDXL);
    bdpo_generation job = short_job();
    job.sampler = sampler;
    job.rng = rng;
    job.negative = "ugly";
    job.n_images = job.n_seeds = 3;
    job.prompts = prompts;
    job.seeds = seeds;
    denoise(&p, together, &job);
    job.n_images = job.n_seeds = 1;
    for (int i = 0; i < 3; i++) {
        job.prompts = &prompts[i];
        job.seeds = &seeds[i];
        denoise(&p, alone, &job);
        // Products of other heights are summed in another order (5e-7), which guidance (7.5) and
        // the division by sqrt(a) of the first step (15) multiply; another prompt makes 1e-3.
        CHECK_LE(test_relative_l2(together + (ptrdiff_t)i * SIZE, alone, SIZE), 1e-4);
    }
    pipeline_fixture_close(&p);
}

BDPO_TEST(pictures_of_a_batch_are_those_made_alone)
{
    check_batch(BDPO_NOISE_PHILOX, "euler-ancestral");
}

BDPO_TEST(so_are_those_of_torchs_generators)
{
    check_batch(BDPO_NOISE_TORCH, "ddpm");
}

BDPO_TEST(a_second_run_gives_the_same_bits)
{
    static float first[SIZE], second[SIZE];
    pipeline_fixture p;
    pipeline_fixture_open(&p, BDPO_SD2);
    bdpo_generation job = short_job();
    denoise(&p, first, &job);
    job.width = 64; // another plan in between
    denoise(&p, second, &job);
    job.width = 128;
    denoise(&p, second, &job);
    CHECK_BYTES(second, first, sizeof first);
    pipeline_fixture_close(&p);
}

BDPO_TEST(seed_prompt_and_negative_matter)
{
    static float base[SIZE], other[SIZE];
    static const char *const prompts[] = {"a green tree"};
    static const uint64_t seeds[] = {99};
    pipeline_fixture p;
    pipeline_fixture_open(&p, BDPO_SD1);
    const bdpo_generation job = short_job();
    bdpo_generation by_seed = job, by_prompt = job, by_negative = job;
    by_seed.seeds = seeds;
    by_prompt.prompts = prompts;
    by_negative.negative = "blue";
    denoise(&p, base, &job);
    // Above what rounding does, by far.
    denoise(&p, other, &by_seed);
    CHECK(test_relative_l2(other, base, SIZE) > 0.1);
    denoise(&p, other, &by_prompt);
    CHECK(test_relative_l2(other, base, SIZE) > 1e-3);
    denoise(&p, other, &by_negative);
    CHECK(test_relative_l2(other, base, SIZE) > 1e-3);
    pipeline_fixture_close(&p);
}

// SDXL's sizes are conditions; without a negative prompt it takes zeros, not the empty text.
BDPO_TEST(sdxl_reads_sizes_and_the_absence_of_a_negative_prompt)
{
    static float base[SIZE], other[SIZE];
    pipeline_fixture p;
    pipeline_fixture_open(&p, BDPO_SDXL);
    bdpo_generation job = short_job();
    denoise(&p, base, &job);
    job.negative = "";
    denoise(&p, other, &job);
    CHECK(test_relative_l2(other, base, SIZE) > 1e-3);
    job.negative = NULL;
    job.sizes = (bdpo_size_conditions){.original_width = 2048, .original_height = 1024};
    denoise(&p, other, &job);
    CHECK(test_relative_l2(other, base, SIZE) > 1e-4);
    job.sizes = (bdpo_size_conditions){.target_width = 128, .target_height = 128};
    denoise(&p, other, &job); // the picture's own, said aloud
    CHECK_BYTES(other, base, sizeof base);
    pipeline_fixture_close(&p);
}

// ---- pictures ----------------------------------------------------------------------------------

BDPO_TEST(tiles_give_nearly_the_picture)
{
    bdpo_image whole, tiled;
    pipeline_fixture p;
    pipeline_fixture_open(&p, BDPO_SD1);
    bdpo_generation job = short_job();
    job.width = 192; // the model's tile is 128
    CHECK_OK(bdpo_pipeline_generate(p.pipeline, &whole, &job, NULL));
    job.tiling = BDPO_TILE_ALWAYS;
    CHECK_OK(bdpo_pipeline_generate(p.pipeline, &tiled, &job, NULL));
    double sum = 0, different = 0;
    for (size_t i = 0; i < bdpo_image_bytes(&whole); i++) {
        double d = (double)whole.pixels[i] - (double)tiled.pixels[i];
        sum += d * d;
        different += whole.pixels[i] != tiled.pixels[i];
    }
    // Each tile is normalised alone: the same picture (its deviation is about 80), other levels.
    CHECK_LE(sqrt(sum / (double)bdpo_image_bytes(&whole)), 30);
    CHECK(different > 0);
    bdpo_image_release(&whole);
    bdpo_image_release(&tiled);
    pipeline_fixture_close(&p);
}

BDPO_TEST(image_to_image_stays_nearer_the_less_its_strength)
{
    static float weak[SIZE], strong[SIZE], start[SIZE];
    bdpo_image image;
    pipeline_fixture p;
    pipeline_fixture_open(&p, BDPO_SD1);
    bdpo_generation job = pipeline_fixture_job();
    job.guidance = 1;
    CHECK_OK(bdpo_image_new(&image, job.width, job.height, BDPO_IMAGE_RGB));
    for (size_t i = 0; i < bdpo_image_bytes(&image); i++) image.pixels[i] = (uint8_t)(i / 7);
    job.start = &image;
    job.strength = 0.05; // one step of twenty, with little noise
    denoise(&p, start, &job);
    job.strength = 0.2;
    denoise(&p, weak, &job);
    job.strength = 0.9;
    denoise(&p, strong, &job);
    CHECK(test_relative_l2(weak, start, SIZE) < test_relative_l2(strong, start, SIZE));
    bdpo_image_release(&image);
    pipeline_fixture_close(&p);
}

// ---- what is watched ---------------------------------------------------------------------------

typedef struct watcher {
    uint64_t allocations[8];
    int n_seen;
} watcher;

static void count_allocations(void *user, int call, int n_calls, const float *latents,
                              const bdpo_shape *shape)
{
    watcher *w = user;
    (void)n_calls;
    (void)latents;
    (void)shape;
    w->allocations[call] = bdpo_alloc_count();
    w->n_seen++;
}

BDPO_TEST(steps_allocate_nothing)
{
    static float latents[SIZE];
    pipeline_fixture p;
    watcher w = {0};
    pipeline_fixture_open(&p, BDPO_SD1);
    bdpo_generation job = short_job();
    bdpo_generation_watch watch = {.user = &w, .on_latents = count_allocations};
    CHECK_OK(bdpo_pipeline_denoise(p.pipeline, latents, &job, &watch));
    CHECK_INT(w.n_seen, 5); // PNDM's four calls, and the start
    for (int i = 2; i < w.n_seen; i++) CHECK_U64(w.allocations[i], w.allocations[1]);
    bdpo_pipeline_figures f = bdpo_pipeline_get_figures(p.pipeline);
    CHECK_INT(f.n_calls, 4);
    CHECK(f.arena_bytes > 0 && f.mapped_bytes > 0 && f.mapped_bytes < f.weight_bytes);
    pipeline_fixture_close(&p);
}

static bool at_once(void)
{
    return true;
}

BDPO_TEST(interruption_leaves_no_picture)
{
    pipeline_fixture p;
    bdpo_image image;
    pipeline_fixture_open(&p, BDPO_SD1);
    bdpo_generation job = short_job();
    bdpo_generation_watch watch = {.interrupted = at_once};
    CHECK_STATUS(bdpo_pipeline_generate(p.pipeline, &image, &job, &watch), BDPO_INTERRUPTED);
    CHECK(image.pixels == NULL);
    pipeline_fixture_close(&p);
}

BDPO_TEST(a_long_prompt_is_cut_with_a_warning)
{
    static float latents[SIZE];
    char prompt[800] = "", line[2400] = "";
    const char *const prompts[] = {prompt};
    pipeline_fixture p;
    bdpo_log log;
    int used = 0;
    for (int i = 0; i < 40; i++)
        used += snprintf(prompt + used, sizeof prompt - (size_t)used, "oil painting ");
    snprintf(prompt + used, sizeof prompt - (size_t)used, "of Zebras");
    FILE *file = tmpfile();
    CHECK(file != NULL);
    pipeline_fixture_open(&p, BDPO_SDXL);
    bdpo_log_init(&log, file, BDPO_LOG_WARNING);
    bdpo_generation job = short_job();
    job.prompts = prompts;
    bdpo_generation_watch watch = {.log = &log};
    CHECK_OK(bdpo_pipeline_denoise(p.pipeline, latents, &job, &watch));
    rewind(file);
    CHECK(fgets(line, sizeof line, file) != NULL);
    CHECK_CONTAINS(line, "warning: a prompt has ");
    CHECK_CONTAINS(line, " tokens more than the 75 that fit; left out: \"");
    CHECK_CONTAINS(line, "of zebras");
    CHECK(fgets(line, sizeof line, file) == NULL); // once, though there are two tokenizers
    fclose(file);
    pipeline_fixture_close(&p);
}

// ---- refusals ----------------------------------------------------------------------------------

static void check_refused(const pipeline_fixture *p, const bdpo_generation *job, const char *what)
{
    bdpo_image image;
    CHECK_STATUS(bdpo_pipeline_generate(p->pipeline, &image, job, NULL), BDPO_BAD_ARGUMENT);
    CHECK_CONTAINS(bdpo_message(), what);
    CHECK(image.pixels == NULL);
}

BDPO_TEST(numbers_out_of_range_are_refused)
{
    pipeline_fixture p;
    bdpo_image start;
    pipeline_fixture_open(&p, BDPO_SD1);
    const bdpo_generation good = short_job();
    bdpo_generation job = good;
    job.width = 100;
    check_refused(&p, &job, "width is 100, expected a multiple of 8");
    job = good;
    job.height = 0;
    check_refused(&p, &job, "height is 0");
    job = good;
    job.width = job.height = 65528;
    check_refused(&p, &job, "pixels");
    job = good;
    job.guidance = NAN;
    check_refused(&p, &job, "guidance is nan");
    job = good;
    job.guidance_rescale = 1.5;
    check_refused(&p, &job, "guidance rescale is 1.5, expected 0 to 1");
    job = good;
    job.clip_skip = 3;
    check_refused(&p, &job, "clip skip is 3, expected 0 to 2 for a text encoder of 3 layers");
    job = good;
    job.n_steps = 0;
    check_refused(&p, &job, "0 steps");
    job = good;
    job.sampler = "magic";
    check_refused(&p, &job, "magic");
    CHECK_OK(bdpo_image_new(&start, 64, 128, BDPO_IMAGE_RGB));
    job = good;
    job.start = &start;
    job.strength = 0.5;
    check_refused(&p, &job, "the start image is 64 x 128 RGB, expected 128 x 128 RGB");
    bdpo_image_release(&start);
    pipeline_fixture_close(&p);
}

// Opens the model in the scratch directory, which must fail.
static void check_unopened(bdpo_status status, const char *what)
{
    bdpo_engine *engine;
    bdpo_checkpoint *checkpoint;
    bdpo_pipeline *pipeline;
    CHECK_OK(bdpo_engine_new(&engine, &(bdpo_engine_options){.n_threads = 1}));
    CHECK_OK(bdpo_checkpoint_open(&checkpoint, scratch_path("model"), NULL));
    CHECK_STATUS(
        bdpo_pipeline_open(&pipeline, engine, checkpoint, &(bdpo_pipeline_model_options){0}),
        status);
    CHECK_CONTAINS(bdpo_message(), what);
    CHECK(pipeline == NULL);
    bdpo_checkpoint_close(checkpoint);
    bdpo_engine_free(engine);
}

BDPO_TEST(parts_that_do_not_fit_are_named)
{
    bdpo_demo_model model = {.type = BDPO_SD1};
    CHECK_OK(bdpo_demo_model_write(scratch_directory("model"), &model));
    scratch_file("model/tokenizer/added_tokens.json", "{\"<cat>\": 962}");
    check_unopened(BDPO_BAD_FILE, "has 963 tokens, expected at most vocab_size 962 of ");
    CHECK_INT(remove(scratch_path("model/tokenizer/added_tokens.json")), 0);
    CHECK_INT(remove(scratch_path("model/tokenizer/vocab.json")), 0);
    check_unopened(BDPO_NOT_FOUND, "tokenizer");
    CHECK_OK(bdpo_demo_model_write(scratch_path("model"), &model));
    scratch_file("model/scheduler/scheduler_config.json", "{\"_class_name\": \"LMSScheduler\"}");
    check_unopened(BDPO_BAD_FILE, "LMSScheduler");
    // The text encoder of another family: other widths, the same files.
    CHECK_OK(bdpo_demo_model_write(scratch_path("model"), &model));
    CHECK_OK(
        bdpo_demo_model_write(scratch_directory("other"), &(bdpo_demo_model){.type = BDPO_SD2}));
    static const char *const files[] = {"config.json", "model.safetensors"};
    for (int i = 0; i < 2; i++) {
        char from[64], to[64];
        snprintf(from, sizeof from, "other/text_encoder/%s", files[i]);
        snprintf(to, sizeof to, "model/text_encoder/%s", files[i]);
        CHECK_INT(rename(scratch_path(from), scratch_path(to)), 0);
    }
    check_unopened(BDPO_UNSUPPORTED, "cross_attention_dim is 32, the text encoders give 48");
    scratch_remove();
}

// ---- memory that is not there ------------------------------------------------------------------

static bdpo_status whole_run(const char *path)
{
    pipeline_fixture p = {0};
    bdpo_image image = {0};
    bdpo_generation job = pipeline_fixture_job();
    job.n_steps = 1;
    job.width = job.height = 64;
    job.sampler = "euler";
    bdpo_status status = bdpo_engine_new(&p.engine, &(bdpo_engine_options){.n_threads = 1});
    if (status == BDPO_OK) status = bdpo_checkpoint_open(&p.checkpoint, path, NULL);
    if (status == BDPO_OK)
        status = bdpo_pipeline_open(&p.pipeline, p.engine, p.checkpoint,
                                    &(bdpo_pipeline_model_options){0});
    if (status == BDPO_OK) status = bdpo_pipeline_generate(p.pipeline, &image, &job, NULL);
    bdpo_image_release(&image);
    bdpo_pipeline_free(p.pipeline);
    bdpo_checkpoint_close(p.checkpoint);
    bdpo_engine_free(p.engine);
    return status;
}

static void check_failures(uint64_t stride)
{
    const char *path = scratch_directory("model");
    CHECK_OK(bdpo_demo_model_write(path, &(bdpo_demo_model){.type = BDPO_SDXL}));
    uint64_t begin = bdpo_alloc_count();
    CHECK_OK(whole_run(path));
    uint64_t total = bdpo_alloc_count() - begin;
    CHECK(total > 100);
    for (uint64_t at = 1; at <= total; at += stride) {
        bdpo_alloc_fail_at(bdpo_alloc_count() + at);
        CHECK_STATUS(whole_run(path), BDPO_NO_MEMORY);
        bdpo_alloc_fail_at(0);
    }
    scratch_remove();
}

BDPO_TEST(some_failing_allocations_fail_the_run)
{
    check_failures(83); // the FULL test takes more of them
}

BDPO_TEST_FULL(failing_allocations_fail_the_run)
{
    check_failures(5);
}

// Whole runs against diffusers' pipelines: tests/fixtures/pipelines, made by
// tools/parity/pipelines.py.
#include "harness.h"

#include <stdio.h>

#include "diffusion/pipeline_fixture.h"
#include "parity/fixture.h"

enum { SIZE = 16 * 16 * 4, MAX_CALLS = 64, N_SUMS = 8, N_BYTES = 48 };

typedef struct trace {
    double norms[MAX_CALLS]; // of the start and after each call
    int n_calls;
} trace;

static void keep_norm(void *user, int call, int n_calls, const float *latents,
                      const bdpo_shape *shape)
{
    trace *t = user;
    double sum = 0;
    int64_t count = shape->dim[0] * shape->dim[1] * shape->dim[2] * shape->dim[3];
    for (int64_t i = 0; i < count; i++) sum += (double)latents[i] * (double)latents[i];
    CHECK(n_calls < MAX_CALLS);
    t->norms[call] = sqrt(sum);
    t->n_calls = n_calls;
}

// The sums of projections() in the script.
static double signed_sum(const float *values, int64_t count, int k)
{
    double sum = 0;
    for (int64_t i = 0; i < count; i++) {
        uint64_t mixed = ((uint64_t)i * 2654435761U + (uint64_t)k * 40503U) & 0xffffffffU;
        mixed = (mixed ^ (mixed >> 15)) * 2246822519U & 0xffffffffU;
        sum += mixed >> 31 ? -(double)values[i] : (double)values[i];
    }
    return sum;
}

static const float *wanted(const fixture *f, const char *name, const char *part, size_t count)
{
    char key[64];
    snprintf(key, sizeof key, "%s/%s", name, part);
    return fixture_get(f, key, count);
}

static void check_case(const pipeline_fixture *p, const fixture *f, const char *name,
                       const bdpo_generation *job)
{
    static float latents[4 * SIZE];
    trace t = {0};
    bdpo_image image;
    bdpo_generation_watch watch = {.user = &t, .on_latents = keep_norm};
    bdpo_shape shape = bdpo_pipeline_latents_shape(p->pipeline, job);
    int64_t count = shape.dim[1] * shape.dim[2] * shape.dim[3];
    CHECK_OK(bdpo_pipeline_denoise(p->pipeline, latents, job, &watch));
    const float *norms = wanted(f, name, "norms", (size_t)t.n_calls + 1);
    const float *sums = wanted(f, name, "last", N_SUMS);
    const float *bytes = wanted(f, name, "picture", N_BYTES);
    printf("%s\n", name); // of the case that fails
    // The bound of whole trajectories; measured 5e-6.
    for (int i = 0; i <= t.n_calls; i++)
        CHECK_NEAR(t.norms[i], (double)norms[i], 1e-3 * (double)norms[i]);
    // A sum of random signs is as large as the norm; the bound is the same.
    for (int k = 0; k < N_SUMS; k++)
        CHECK_NEAR(signed_sum(latents, count, k), (double)sums[k], 1e-3 * (double)norms[t.n_calls]);
    CHECK_OK(bdpo_pipeline_decode(p->pipeline, &image, latents, job));
    size_t step = bdpo_image_bytes(&image) / N_BYTES;
    for (size_t i = 0; i < N_BYTES; i++) // one level, where a value lies between two
        CHECK_NEAR((double)image.pixels[i * step], (double)bytes[i], 1);
    bdpo_image_release(&image);
}

static void check_family(bdpo_model_type type, const char *const *samplers, bool others)
{
    char name[64];
    pipeline_fixture p;
    snprintf(name, sizeof name, "pipelines/%s", bdpo_model_type_name(type));
    fixture *f = fixture_open(name);
    pipeline_fixture_open(&p, type);
    const bdpo_generation usual = pipeline_fixture_job();
    for (int i = 0; samplers[i]; i++) {
        bdpo_generation job = usual;
        job.sampler = samplers[i];
        check_case(&p, f, samplers[i], &job);
    }
    bdpo_generation negative = usual, rescale = usual, unguided = usual, skip = usual, odd = usual;
    negative.negative = "blurry, low quality";
    rescale.guidance_rescale = 0.7;
    unguided.guidance = 1;
    skip.clip_skip = 1;
    skip.negative = "ugly";
    odd.width = 104;
    odd.height = 152;
    if (others) {
        check_case(&p, f, "negative", &negative);
        check_case(&p, f, "rescale", &rescale);
        check_case(&p, f, "unguided", &unguided);
        check_case(&p, f, "clip-skip", &skip);
        check_case(&p, f, "odd", &odd);
    }
    pipeline_fixture_close(&p);
    fixture_close(f);
}

BDPO_TEST(sd1_follows_diffusers)
{
    check_family(BDPO_SD1, (const char *const[]){"pndm", NULL}, false);
}

BDPO_TEST(sd2_follows_diffusers)
{
    check_family(BDPO_SD2, (const char *const[]){"ddim", NULL}, false);
}

BDPO_TEST(sdxl_follows_diffusers)
{
    check_family(BDPO_SDXL, (const char *const[]){"euler", NULL}, false);
}

BDPO_TEST_FULL(all_samplers_and_settings_follow_diffusers)
{
    const char *samplers[16] = {0};
    for (int i = 0; bdpo_sampler_name(i); i++) samplers[i] = bdpo_sampler_name(i);
    for (int type = 0; type < BDPO_N_MODEL_TYPES; type++)
        check_family((bdpo_model_type)type, samplers, true);
}

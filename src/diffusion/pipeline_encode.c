// Image to image: the autoencoder's distribution of the start image, once, and a draw from it for
// each image of the batch.
#include <string.h>

#include "base/clock.h"
#include "diffusion/pipeline_room.h"

// Of Philox noise: a step that no sampler reaches.
enum { POSTERIOR_STEP = 0x7fffffff };

static void build_encode(bdpo_graph *graph, const bdpo_plan_key *key, const void *model)
{
    bdpo_builder b = {.graph = graph};
    bdpo_node *pixels = bdpo_input(graph, "pixels", BDPO_F32, key->shape);
    bdpo_vae_moments moments = bdpo_vae_encode(&b, model, pixels);
    bdpo_output(graph, "mean", moments.mean);
    bdpo_output(graph, "logvar", moments.logvar);
}

static void build_sample(bdpo_graph *graph, const bdpo_plan_key *key, const void *model)
{
    bdpo_builder b = {.graph = graph};
    bdpo_vae_moments moments = {.mean = bdpo_input(graph, "mean", BDPO_F32, key->shape),
                                .logvar = bdpo_input(graph, "logvar", BDPO_F32, key->shape)};
    bdpo_node *noise = bdpo_input(graph, "noise", BDPO_F32, key->shape);
    bdpo_output(graph, "latents", bdpo_vae_sample(&b, model, &moments, noise));
}

typedef struct moments {
    float *mean, *logvar; // [1, h, w, c]
    size_t bytes;         // of one
} moments;

static bdpo_status encode(moments *out, const bdpo_pipeline_model *m, const bdpo_image *start,
                          bdpo_arena *arena)
{
    bdpo_plan_key key = {.graph = "vae encode",
                         .shape = BDPO_SHAPE(1, start->height, start->width, 3)};
    float *pixels = bdpo_pipeline_floats(arena, start->height, 3 * (int64_t)start->width);
    bdpo_plan *plan;
    if (!pixels || !out->mean || !out->logvar)
        return bdpo_fail(BDPO_NO_MEMORY, "no memory to encode the start image");
    TRY(bdpo_engine_plan(&plan, m->engine, m->vae_store, &key, build_encode, &m->vae));
    bdpo_image_to_floats(pixels, start);
    TRY(bdpo_plan_write(plan, "pixels", pixels, bdpo_image_bytes(start) * sizeof *pixels));
    TRY(bdpo_plan_run(plan));
    TRY(bdpo_plan_read(plan, "mean", out->mean, out->bytes));
    return bdpo_plan_read(plan, "logvar", out->logvar, out->bytes);
}

// latents holds the noise and receives the draws.
static bdpo_status sample(float *latents, const bdpo_shape *shape, const moments *of,
                          const bdpo_pipeline_model *m)
{
    bdpo_plan *plan;
    bdpo_plan_key key = {.graph = "vae sample", .shape = *shape};
    key.shape.dim[0] = 1;
    TRY(bdpo_engine_plan(&plan, m->engine, m->vae_store, &key, build_sample, &m->vae));
    TRY(bdpo_plan_write(plan, "mean", of->mean, of->bytes));
    TRY(bdpo_plan_write(plan, "logvar", of->logvar, of->bytes));
    for (int64_t i = 0; i < shape->dim[0]; i++) {
        float *one = latents + i * (int64_t)(of->bytes / sizeof *one);
        TRY(bdpo_plan_write(plan, "noise", one, of->bytes));
        TRY(bdpo_plan_run(plan));
        TRY(bdpo_plan_read(plan, "latents", one, of->bytes));
    }
    return BDPO_OK;
}

bdpo_status bdpo_pipeline_encode(bdpo_pipeline *p, float *latents, const bdpo_generation *job,
                                 bdpo_noise_source *noise, bdpo_arena *arena)
{
    double begin_s = bdpo_clock_seconds();
    bdpo_shape shape = bdpo_pipeline_latents_shape(p, job);
    int64_t count = shape.dim[1] * shape.dim[2] * shape.dim[3];
    moments of = {.mean = bdpo_pipeline_floats(arena, count, 1),
                  .logvar = bdpo_pipeline_floats(arena, count, 1),
                  .bytes = (size_t)count * sizeof(float)};
    TRY(encode(&of, p->model, job->start, arena));
    TRY(bdpo_noise_source_draw(noise, latents, &shape, POSTERIOR_STEP));
    TRY(sample(latents, &shape, &of, p->model));
    p->figures.encode_s += bdpo_clock_seconds() - begin_s;
    return BDPO_OK;
}

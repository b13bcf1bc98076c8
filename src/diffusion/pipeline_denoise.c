// The loop: the sampler says at which timestep, the UNet answers for both branches at once,
// guidance makes one prediction of them, the sampler steps. Nothing is allocated or planned in it.
#include <string.h>

#include "base/clock.h"
#include "diffusion/guidance.h"
#include "diffusion/pipeline_room.h"

typedef struct run {
    bdpo_pipeline *pipeline;
    const bdpo_generation *job;
    const bdpo_generation_watch *watch;
    bdpo_arena *arena;
    bdpo_noise_source *noise;
    bdpo_sampler *sampler;
    bdpo_plan *plan;
    bdpo_conditions conditions;
    bdpo_shape shape; // of the latents
    int64_t count;    // values of a latent
    int rows;         // of the UNet's batch: branches times images
    float *input;     // [rows, h, w, c], then the prediction
    float *timesteps; // [rows]
    size_t input_bytes;
} run;

// ---- the UNet's plan ---------------------------------------------------------------------------

static void build_unet(bdpo_graph *graph, const bdpo_plan_key *key, const void *model)
{
    const bdpo_pipeline_model *m = model;
    const bdpo_unet_config *config = &m->unet;
    int64_t rows = key->shape.dim[0];
    bdpo_builder b = {.graph = graph, .lora = m->unet_lora};
    bdpo_shape context = BDPO_SHAPE(rows, m->text[0].n_ids, config->context_width);
    bdpo_unet_inputs in = {
        .sample = bdpo_input(graph, "sample", BDPO_F32, key->shape),
        .timestep = bdpo_input(graph, "timestep", BDPO_F32, BDPO_SHAPE(rows)),
        .context = bdpo_input(graph, "context", BDPO_F32, context),
    };
    if (config->text_time) {
        bdpo_shape pooled = BDPO_SHAPE(rows, bdpo_pipeline_pooled_width(m));
        in.pooled = bdpo_input(graph, "pooled", BDPO_F32, pooled);
        in.time_ids = bdpo_input(graph, "time ids", BDPO_F32, BDPO_SHAPE(rows, BDPO_UNET_TIME_IDS));
    }
    bdpo_output(graph, "prediction", bdpo_unet(&b, config, &in));
}

// What stays the same at all steps is written once.
static bdpo_status write_conditions(const run *r)
{
    const bdpo_pipeline_model *m = r->pipeline->model;
    const bdpo_conditions *c = &r->conditions;
    size_t row = sizeof(float) * (size_t)r->rows;
    size_t context = (size_t)m->text[0].n_ids * (size_t)bdpo_pipeline_context_width(m);
    TRY(bdpo_plan_write(r->plan, "context", c->context, context * row));
    if (!c->pooled) return BDPO_OK;
    TRY(bdpo_plan_write(r->plan, "pooled", c->pooled, (size_t)bdpo_pipeline_pooled_width(m) * row));
    return bdpo_plan_write(r->plan, "time ids", c->time_ids, BDPO_UNET_TIME_IDS * row);
}

static bdpo_status plan_unet(run *r)
{
    const bdpo_pipeline_model *m = r->pipeline->model;
    bdpo_plan_key key = {.graph = "unet", .shape = r->shape};
    r->rows = r->conditions.branches * r->job->n_images;
    key.shape.dim[0] = r->rows;
    TRY(bdpo_engine_plan(&r->plan, m->engine, m->unet_store, &key, build_unet, m));
    r->input = bdpo_pipeline_floats(r->arena, r->rows, r->count);
    r->timesteps = bdpo_pipeline_floats(r->arena, r->rows, 1);
    r->input_bytes = (size_t)r->rows * (size_t)r->count * sizeof *r->input;
    if (!r->input || !r->timesteps) return bdpo_fail(BDPO_NO_MEMORY, "no memory to sample");
    return write_conditions(r);
}

// ---- the start ---------------------------------------------------------------------------------

static bdpo_status make_sampler(run *r)
{
    const bdpo_generation *job = r->job;
    bdpo_scheduler_config config = r->pipeline->scheduler;
    bdpo_sampler_options options = {
        .n_steps = job->n_steps, .strength = job->start ? job->strength : 1, .eta = job->eta};
    if (job->sampler) TRY(bdpo_scheduler_config_select(&config, job->sampler));
    return bdpo_sampler_new(&r->sampler, &config, &options, r->shape);
}

static bdpo_status start_latents(const run *r, float *latents)
{
    size_t count = (size_t)r->job->n_images * (size_t)r->count;
    if (!r->job->start) {
        float sigma = bdpo_sampler_init_noise_sigma(r->sampler);
        TRY(bdpo_noise_source_draw(r->noise, latents, &r->shape, 0));
        for (size_t i = 0; i < count; i++) latents[i] *= sigma;
        return BDPO_OK;
    }
    float *noise = bdpo_pipeline_floats(r->arena, r->job->n_images, r->count);
    if (!noise) return bdpo_fail(BDPO_NO_MEMORY, "no memory for the start");
    TRY(bdpo_pipeline_encode(r->pipeline, latents, r->job, r->noise, r->arena));
    TRY(bdpo_noise_source_draw(r->noise, noise, &r->shape, 0));
    bdpo_sampler_add_noise(r->sampler, latents, latents, noise);
    return BDPO_OK;
}

// ---- the loop ----------------------------------------------------------------------------------

// Leaves the guided prediction in the first half of r->input.
static bdpo_status predict(const run *r, const float *latents, float timestep)
{
    size_t half = (size_t)r->job->n_images * (size_t)r->count;
    bdpo_sampler_scale_model_input(r->sampler, r->input, latents);
    if (r->conditions.branches == 2) memcpy(r->input + half, r->input, half * sizeof *r->input);
    for (int i = 0; i < r->rows; i++) r->timesteps[i] = timestep;
    TRY(bdpo_plan_write(r->plan, "sample", r->input, r->input_bytes));
    TRY(bdpo_plan_write(r->plan, "timestep", r->timesteps, (size_t)r->rows * sizeof *r->timesteps));
    TRY(bdpo_plan_run(r->plan));
    TRY(bdpo_plan_read(r->plan, "prediction", r->input, r->input_bytes));
    if (r->conditions.branches == 2)
        bdpo_guidance_combine(r->input, r->input, r->job->n_images, (size_t)r->count,
                              r->job->guidance, r->job->guidance_rescale);
    return BDPO_OK;
}

static bdpo_status loop(const run *r, float *latents)
{
    const bdpo_generation_watch *w = r->watch;
    const float *timesteps = bdpo_sampler_timesteps(r->sampler);
    int n_calls = bdpo_sampler_n_calls(r->sampler);
    if (w->on_latents) w->on_latents(w->user, 0, n_calls, latents, &r->shape);
    for (int i = 0; i < n_calls; i++) {
        if (w->interrupted && w->interrupted())
            return bdpo_fail(BDPO_INTERRUPTED, "interrupted at step %d of %d", i, n_calls);
        TRY(predict(r, latents, timesteps[i]));
        TRY(bdpo_sampler_step(r->sampler, latents, r->input, r->noise));
        r->pipeline->figures.n_calls++;
        if (w->on_latents) w->on_latents(w->user, i + 1, n_calls, latents, &r->shape);
    }
    return BDPO_OK;
}

static bdpo_status denoise(run *r, float *latents)
{
    const bdpo_generation *job = r->job;
    TRY(make_sampler(r));
    TRY(bdpo_noise_source_new(&r->noise, job->rng, job->seeds, job->n_seeds, 0));
    TRY(bdpo_pipeline_conditions(&r->conditions, r->pipeline, job, r->watch->log, r->arena));
    TRY(start_latents(r, latents));
    double begin_s = bdpo_clock_seconds();
    TRY(plan_unet(r));
    bdpo_status status = loop(r, latents);
    r->pipeline->figures.denoise_s += bdpo_clock_seconds() - begin_s;
    return status;
}

bdpo_status bdpo_pipeline_denoise(bdpo_pipeline *pipeline, float *latents,
                                  const bdpo_generation *job, const bdpo_generation_watch *watch)
{
    static const bdpo_generation_watch nobody = {0};
    run r = {.pipeline = pipeline,
             .job = job,
             .watch = watch ? watch : &nobody,
             .shape = bdpo_pipeline_latents_shape(pipeline, job)};
    TRY(bdpo_pipeline_check(pipeline, job));
    r.count = r.shape.dim[1] * r.shape.dim[2] * r.shape.dim[3];
    TRY(bdpo_arena_new(&r.arena));
    bdpo_status status = denoise(&r, latents);
    bdpo_sampler_free(r.sampler);
    bdpo_noise_source_free(r.noise);
    bdpo_arena_free(r.arena);
    return status;
}

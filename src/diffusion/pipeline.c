// Opening, checking a job, and the whole of it.
#include "diffusion/pipeline.h"

#include <string.h>

#include "base/clock.h"
#include "diffusion/pipeline_room.h"
#include "models/vae_tiled.h"

// ---- opening -----------------------------------------------------------------------------------

bdpo_status bdpo_pipeline_open(bdpo_pipeline **out, bdpo_engine *engine,
                               const bdpo_checkpoint *checkpoint,
                               const bdpo_pipeline_model_options *options)
{
    *out = NULL;
    bdpo_pipeline *p = bdpo_alloc(1, sizeof *p);
    if (!p) return bdpo_fail(BDPO_NO_MEMORY, "no memory for a pipeline");
    bdpo_status status = bdpo_pipeline_model_load(&p->model, engine, checkpoint, options);
    if (status == BDPO_OK)
        status = bdpo_scheduler_config_parse(&p->scheduler, p->model->scheduler,
                                             strlen(p->model->scheduler), "scheduler_config.json");
    if (status == BDPO_OK)
        *out = p;
    else
        bdpo_pipeline_free(p);
    return status;
}

void bdpo_pipeline_free(bdpo_pipeline *p)
{
    if (!p) return;
    bdpo_scheduler_config_release(&p->scheduler);
    bdpo_pipeline_model_free(p->model);
    bdpo_free(p);
}

const bdpo_pipeline_model *bdpo_pipeline_get_model(const bdpo_pipeline *p)
{
    return p->model;
}

const bdpo_scheduler_config *bdpo_pipeline_scheduler(const bdpo_pipeline *p)
{
    return &p->scheduler;
}

void bdpo_pipeline_native_size(const bdpo_pipeline *p, int *width, int *height)
{
    int64_t factor = bdpo_vae_factor(&p->model->vae);
    *width = (int)(p->model->unet.sample_width * factor);
    *height = (int)(p->model->unet.sample_height * factor);
}

bdpo_shape bdpo_pipeline_latents_shape(const bdpo_pipeline *p, const bdpo_generation *job)
{
    int64_t factor = bdpo_vae_factor(&p->model->vae);
    return BDPO_SHAPE(job->n_images, job->height / factor, job->width / factor,
                      p->model->vae.latent_channels);
}

bdpo_pipeline_figures bdpo_pipeline_get_figures(const bdpo_pipeline *p)
{
    bdpo_pipeline_figures figures = p->figures;
    figures.arena_bytes = bdpo_engine_arena_bytes(p->model->engine);
    figures.weight_bytes = p->model->weight_bytes;
    figures.mapped_bytes = p->model->mapped_bytes;
    return figures;
}

float *bdpo_pipeline_floats(bdpo_arena *arena, int64_t a, int64_t b)
{
    size_t count;
    if (a < 0 || b < 0 || !bdpo_size_mul(&count, (size_t)a, (size_t)b)) return NULL;
    return bdpo_arena_alloc(arena, count, sizeof(float));
}

// ---- checking ----------------------------------------------------------------------------------

static bdpo_status check_side(const char *name, int side, int64_t factor)
{
    if (side >= factor && side <= BDPO_IMAGE_MAX_SIDE && side % factor == 0) return BDPO_OK;
    return bdpo_fail(BDPO_BAD_ARGUMENT, "%s is %d, expected a multiple of %d up to %d", name, side,
                     (int)factor, BDPO_IMAGE_MAX_SIDE);
}

static bdpo_status check_number(const char *name, double value, double least, double most)
{
    if (value >= least && value <= most) return BDPO_OK; // refuses a NaN
    return bdpo_fail(BDPO_BAD_ARGUMENT, "%s is %g, expected %g to %g", name, value, least, most);
}

bdpo_status bdpo_pipeline_check(const bdpo_pipeline *p, const bdpo_generation *job)
{
    int64_t factor = bdpo_vae_factor(&p->model->vae);
    BDPO_ASSERT(job->n_images >= 1);
    BDPO_ASSERT(job->n_seeds == 1 || job->n_seeds == job->n_images);
    TRY(check_side("width", job->width, factor));
    TRY(check_side("height", job->height, factor));
    if ((int64_t)job->width * job->height > BDPO_IMAGE_MAX_PIXELS)
        return bdpo_fail(BDPO_BAD_ARGUMENT, "%d x %d are more pixels than %d", job->width,
                         job->height, BDPO_IMAGE_MAX_PIXELS);
    TRY(check_number("guidance", job->guidance, -1000, 1000));
    TRY(check_number("guidance rescale", job->guidance_rescale, 0, 1));
    if (job->start && (job->start->width != job->width || job->start->height != job->height ||
                       job->start->mode != BDPO_IMAGE_RGB))
        return bdpo_fail(BDPO_BAD_ARGUMENT, "the start image is %d x %d %s, expected %d x %d RGB",
                         job->start->width, job->start->height,
                         bdpo_image_mode_name(job->start->mode), job->width, job->height);
    return BDPO_OK;
}

// ---- from latents to pictures ------------------------------------------------------------------

static bool by_tiles(const bdpo_generation *job)
{
    if (job->tiling != BDPO_TILE_LARGE) return job->tiling == BDPO_TILE_ALWAYS;
    return (int64_t)job->width * job->height > BDPO_TILE_PIXELS;
}

static bdpo_status decode_one(bdpo_pipeline *p, bdpo_image *image, float *z, float *values,
                              const float *latents, const bdpo_generation *job)
{
    const bdpo_pipeline_model *m = p->model;
    bdpo_shape shape = bdpo_pipeline_latents_shape(p, job);
    int64_t count = shape.dim[1] * shape.dim[2] * shape.dim[3];
    bdpo_vae_config config = m->vae;
    shape.dim[0] = 1;
    for (int64_t i = 0; i < count; i++) z[i] = latents[i] / config.scaling + config.shift;
    // A tile as large as the picture is the whole of it.
    if (!by_tiles(job)) config.sample_size = job->width > job->height ? job->width : job->height;
    TRY(bdpo_vae_decode_tiled(values, z, &shape, m->engine, m->vae_store, &config));
    return bdpo_image_from_floats(image, values, job->width, job->height);
}

static bdpo_status decode_all(bdpo_pipeline *p, bdpo_image *images, const float *latents,
                              const bdpo_generation *job, bdpo_arena *arena)
{
    bdpo_shape shape = bdpo_pipeline_latents_shape(p, job);
    int64_t count = shape.dim[1] * shape.dim[2] * shape.dim[3];
    float *z = bdpo_pipeline_floats(arena, count, 1);
    float *values = bdpo_pipeline_floats(arena, job->height, 3 * (int64_t)job->width);
    if (!z || !values) return bdpo_fail(BDPO_NO_MEMORY, "no memory to decode a picture");
    for (int i = 0; i < job->n_images; i++)
        TRY(decode_one(p, &images[i], z, values, latents + i * count, job));
    return BDPO_OK;
}

bdpo_status bdpo_pipeline_decode(bdpo_pipeline *p, bdpo_image *images, const float *latents,
                                 const bdpo_generation *job)
{
    double begin_s = bdpo_clock_seconds();
    bdpo_arena *arena;
    for (int i = 0; i < job->n_images; i++) images[i] = (bdpo_image){0};
    TRY(bdpo_pipeline_check(p, job));
    TRY(bdpo_arena_new(&arena));
    bdpo_status status = decode_all(p, images, latents, job, arena);
    bdpo_arena_free(arena);
    for (int i = 0; status != BDPO_OK && i < job->n_images; i++) bdpo_image_release(&images[i]);
    p->figures.decode_s += bdpo_clock_seconds() - begin_s;
    return status;
}

// ---- all of it ---------------------------------------------------------------------------------

bdpo_status bdpo_pipeline_generate(bdpo_pipeline *p, bdpo_image *images, const bdpo_generation *job,
                                   const bdpo_generation_watch *watch)
{
    for (int i = 0; i < job->n_images; i++) images[i] = (bdpo_image){0};
    TRY(bdpo_pipeline_check(p, job));
    bdpo_shape shape = bdpo_pipeline_latents_shape(p, job);
    size_t count = (size_t)job->n_images;
    bool fits = true;
    for (int i = 1; i < 4; i++) fits = fits && bdpo_size_mul(&count, count, (size_t)shape.dim[i]);
    float *latents = fits ? bdpo_alloc(count, sizeof *latents) : NULL;
    if (!latents) return bdpo_fail(BDPO_NO_MEMORY, "no memory for %d latents", job->n_images);
    bdpo_status status = bdpo_pipeline_denoise(p, latents, job, watch);
    if (status == BDPO_OK) status = bdpo_pipeline_decode(p, images, latents, job);
    bdpo_free(latents);
    return status;
}

// Prompts and sizes of a batch, in the order in which the UNet takes both branches of guidance.
#include <string.h>

#include "base/clock.h"
#include "diffusion/pipeline_room.h"
#include "diffusion/text_conditioning.h"

typedef struct rows {
    float *context, *pooled;         // of all rows; pooled NULL without
    int64_t context_row, pooled_row; // values of one
} rows;

static float *row_at(float *all, int64_t size, int row)
{
    return all ? all + row * size : NULL;
}

static void repeat(const rows *r, int from, int to)
{
    memcpy(row_at(r->context, r->context_row, to), row_at(r->context, r->context_row, from),
           (size_t)r->context_row * sizeof(float));
    if (r->pooled)
        memcpy(row_at(r->pooled, r->pooled_row, to), row_at(r->pooled, r->pooled_row, from),
               (size_t)r->pooled_row * sizeof(float));
}

static bdpo_status encode_row(const rows *r, int row, const bdpo_pipeline *p, const char *text,
                              const bdpo_text_options *options)
{
    return bdpo_text_conditioning(row_at(r->context, r->context_row, row),
                                  row_at(r->pooled, r->pooled_row, row), p->model, text, options);
}

// Rows `first` .. of the prompts; a prompt that came before is not encoded again.
static bdpo_status encode_prompts(const rows *r, int first, const bdpo_pipeline *p,
                                  const bdpo_generation *job, const bdpo_text_options *options)
{
    for (int i = 0; i < job->n_images; i++) {
        int known = 0;
        while (strcmp(job->prompts[known], job->prompts[i]) != 0) known++;
        if (known < i)
            repeat(r, first + known, first + i);
        else
            TRY(encode_row(r, first + i, p, job->prompts[i], options));
    }
    return BDPO_OK;
}

// Rows 0 .. of the negative prompt. Memory is zeroed: SDXL without one is done.
static bdpo_status encode_negative(const rows *r, const bdpo_pipeline *p,
                                   const bdpo_generation *job, bdpo_log *log)
{
    if (!job->negative && p->model->zero_negative) return BDPO_OK;
    bdpo_text_options usual = {.log = log}; // diffusers does not skip layers here
    TRY(encode_row(r, 0, p, job->negative ? job->negative : "", &usual));
    for (int i = 1; i < job->n_images; i++) repeat(r, 0, i);
    return BDPO_OK;
}

static float or_else(int value, int otherwise)
{
    return (float)(value > 0 ? value : otherwise);
}

static void fill_time_ids(float *ids, int n, const bdpo_generation *job)
{
    const bdpo_size_conditions *s = &job->sizes;
    for (int i = 0; i < n; i++) {
        float *row = ids + (ptrdiff_t)i * BDPO_UNET_TIME_IDS;
        row[0] = or_else(s->original_height, job->height);
        row[1] = or_else(s->original_width, job->width);
        row[2] = (float)s->crop_top;
        row[3] = (float)s->crop_left;
        row[4] = or_else(s->target_height, job->height);
        row[5] = or_else(s->target_width, job->width);
    }
}

static bdpo_status allocate(bdpo_conditions *out, rows *r, const bdpo_pipeline_model *m, int n,
                            bdpo_arena *arena)
{
    r->context_row = m->text[0].n_ids * bdpo_pipeline_context_width(m);
    r->pooled_row = bdpo_pipeline_pooled_width(m);
    r->context = out->context = bdpo_pipeline_floats(arena, n, r->context_row);
    if (m->unet.text_time) {
        r->pooled = out->pooled = bdpo_pipeline_floats(arena, n, r->pooled_row);
        out->time_ids = bdpo_pipeline_floats(arena, n, BDPO_UNET_TIME_IDS);
    }
    if (out->context && (!m->unet.text_time || (out->pooled && out->time_ids))) return BDPO_OK;
    return bdpo_fail(BDPO_NO_MEMORY, "no memory for the embeddings of %d texts", n);
}

bdpo_status bdpo_pipeline_conditions(bdpo_conditions *out, bdpo_pipeline *p,
                                     const bdpo_generation *job, bdpo_log *log, bdpo_arena *arena)
{
    double begin_s = bdpo_clock_seconds();
    bdpo_text_options options = {.clip_skip = job->clip_skip, .log = log};
    rows r = {0};
    *out = (bdpo_conditions){.branches = job->guidance > 1 ? 2 : 1};
    int n = out->branches * job->n_images;
    TRY(allocate(out, &r, p->model, n, arena));
    TRY(bdpo_text_prepare(p->model, &options));
    if (p->figures.first_run_at == 0) p->figures.first_run_at = bdpo_clock_seconds();
    TRY(encode_prompts(&r, n - job->n_images, p, job, &options));
    if (out->branches == 2) TRY(encode_negative(&r, p, job, log));
    if (out->time_ids) fill_time_ids(out->time_ids, n, job);
    p->figures.text_s += bdpo_clock_seconds() - begin_s;
    return BDPO_OK;
}

// The pipeline as its own sources see it.
#ifndef BDPO_PIPELINE_ROOM_H
#define BDPO_PIPELINE_ROOM_H

#include "base/memory.h"
#include "diffusion/pipeline.h"

struct bdpo_pipeline {
    bdpo_pipeline_model *model;
    bdpo_scheduler_config scheduler;
    bdpo_pipeline_figures figures;
};

// What the UNet is told of a batch, uncond before cond where there are two branches.
typedef struct bdpo_conditions {
    int branches;    // 1 or 2
    float *context;  // [branches n, n_ids, context width]
    float *pooled;   // [branches n, pooled width]; NULL without
    float *time_ids; // [branches n, 6]; NULL without
} bdpo_conditions;

// BAD_ARGUMENT names the number of a job that is out of range.
BDPO_MUST_CHECK bdpo_status bdpo_pipeline_check(const bdpo_pipeline *pipeline,
                                                const bdpo_generation *job);

// Encodes the prompts and the negative prompt; memory is the arena's.
BDPO_MUST_CHECK bdpo_status bdpo_pipeline_conditions(bdpo_conditions *out, bdpo_pipeline *pipeline,
                                                     const bdpo_generation *job, bdpo_log *log,
                                                     bdpo_arena *arena);

// The latents of job->start, sampled for each image of the batch: [n, h, w, c].
BDPO_MUST_CHECK bdpo_status bdpo_pipeline_encode(bdpo_pipeline *pipeline, float *latents,
                                                 const bdpo_generation *job,
                                                 bdpo_noise_source *noise, bdpo_arena *arena);

// Zeroed floats, or NULL: a product that overflows is no memory, too.
float *bdpo_pipeline_floats(bdpo_arena *arena, int64_t a, int64_t b);

#endif

// A demonstration model of a test's own, opened.
#ifndef BDPO_PIPELINE_FIXTURE_H
#define BDPO_PIPELINE_FIXTURE_H

#include "diffusion/pipeline.h"

typedef struct pipeline_fixture {
    bdpo_engine *engine;
    bdpo_checkpoint *checkpoint;
    bdpo_pipeline *pipeline;
} pipeline_fixture;

// Makes the model in the test's scratch directory (models/scratch.h) and opens it.
void pipeline_fixture_open(pipeline_fixture *f, bdpo_model_type type);
void pipeline_fixture_close(pipeline_fixture *f);

// Twenty steps of guidance 7.5 on one picture of 128 x 128, seed 1234 by PyTorch's generator, with
// the model's own scheduler: what tools/parity/pipelines.py does.
bdpo_generation pipeline_fixture_job(void);

#endif

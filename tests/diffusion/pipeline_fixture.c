#include "diffusion/pipeline_fixture.h"

#include "harness.h"
#include "models/demo_model.h"
#include "models/scratch.h"

void pipeline_fixture_open(pipeline_fixture *f, bdpo_model_type type)
{
    const char *path = scratch_directory("model");
    CHECK_OK(bdpo_demo_model_write(path, &(bdpo_demo_model){.type = type}));
    CHECK_OK(bdpo_engine_new(&f->engine, &(bdpo_engine_options){.n_threads = 2}));
    CHECK_OK(bdpo_checkpoint_open(&f->checkpoint, path, NULL));
    CHECK_OK(bdpo_pipeline_open(&f->pipeline, f->engine, f->checkpoint,
                                &(bdpo_pipeline_model_options){0}));
}

void pipeline_fixture_close(pipeline_fixture *f)
{
    bdpo_pipeline_free(f->pipeline);
    bdpo_checkpoint_close(f->checkpoint);
    bdpo_engine_free(f->engine);
    scratch_remove();
}

bdpo_generation pipeline_fixture_job(void)
{
    static const char *const prompts[] = {"a photo of a red fox, oil painting!"};
    static const uint64_t seeds[] = {1234};
    return (bdpo_generation){.n_images = 1,
                             .prompts = prompts,
                             .width = 128,
                             .height = 128,
                             .seeds = seeds,
                             .n_seeds = 1,
                             .rng = BDPO_NOISE_TORCH,
                             .n_steps = 20,
                             .guidance = 7.5};
}

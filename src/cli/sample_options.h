// The options of bdpo sample: the table, and what was asked for.
#ifndef BDPO_SAMPLE_OPTIONS_H
#define BDPO_SAMPLE_OPTIONS_H

#include "cli/lora_argument.h"
#include "data/prompt_set.h"
#include "diffusion/pipeline.h"

typedef struct bdpo_sample_options {
    bdpo_checkpoint_options open;
    bdpo_pipeline_model_options model;
    bdpo_prompt_set *prompts; // of --prompt
    bdpo_lora_arguments loras;
    const char *prompt_file; // of --prompts; NULL: none
    bdpo_generation job;     // without prompts, seeds and start; sizes 0 where not given
    bool has_guidance;
    uint64_t seed;
    int batch, count, n_threads; // n_threads 0: as the engine chooses
    const char *out;             // a directory, or where it ends in .png .. a file
    const char *image;           // to start from; NULL: noise
    const char *preview, *latents;
    bdpo_image_format format;
    int quality; // 0: the format's usual
    bool hash;
} bdpo_sample_options;

extern const struct poptOption bdpo_sample_option_table[];

// False where the command line is wrong, after one line that says so. On true and on false *out is
// the caller's, released by bdpo_sample_options_release().
bool bdpo_sample_options_parse(bdpo_sample_options *out, bdpo_invocation *invocation);
void bdpo_sample_options_release(bdpo_sample_options *options);

#endif

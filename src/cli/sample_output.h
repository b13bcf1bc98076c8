// The files of bdpo sample: their names, and what they tell of how they were made.
#ifndef BDPO_SAMPLE_OUTPUT_H
#define BDPO_SAMPLE_OUTPUT_H

#include <jansson.h>

#include "cli/model_identity.h"
#include "cli/sample_options.h"

typedef struct bdpo_sample_output {
    const bdpo_sample_options *options;
    const bdpo_generation *job; // of any batch: what all have in common
    const bdpo_pipeline *pipeline;
    const bdpo_model_identity *model;
    bdpo_model_type type;
    bool one_file; // options->out is the file
    int64_t first; // number of the first file in the directory
} bdpo_sample_output;

// Decides whether `out` is a file (a single picture, and its name ends in .png, .jpg, .jpeg or
// .webp); else makes the directory and its parents and finds the first number that is free: nothing
// is written over.
BDPO_MUST_CHECK bdpo_status bdpo_sample_output_begin(bdpo_sample_output *output, int n_pictures);

// Writes picture `index` of the run; path[capacity] receives its name.
BDPO_MUST_CHECK bdpo_status bdpo_sample_output_write(char *path, size_t capacity,
                                                     const bdpo_sample_output *output, int index,
                                                     const bdpo_image *image, const char *prompt,
                                                     uint64_t seed);

// The short name of a sampler, "dpmpp-2m-karras"; the model's own where none was asked for.
const char *bdpo_sample_sampler(const bdpo_sample_output *output);

// What all pictures of the run have in common, as JSON. *out is the caller's.
BDPO_MUST_CHECK bdpo_status bdpo_sample_settings(json_t **out, const bdpo_sample_output *output);

#endif

// What a single file says of itself in its metadata, in the words of ModelSpec 1.0.1.
#ifndef BDPO_MODELSPEC_H
#define BDPO_MODELSPEC_H

#include "models/model_type.h"

typedef struct bdpo_modelspec {
    char title[256];       // the file's name without its suffix
    char architecture[64]; // "stable-diffusion-xl-v1-base", with "/lora" behind it for adapters
    const char *implementation, *prediction;
} bdpo_modelspec;

bdpo_modelspec bdpo_modelspec_of(const char *path, bdpo_model_type type, bdpo_prediction prediction,
                                 bool lora);

// Elements of a bdpo_metadata_pair[].
#define BDPO_MODELSPEC_PAIRS(spec)                                                                 \
    {"modelspec.sai_model_spec", "1.0.1"}, {"modelspec.architecture", (spec).architecture},        \
        {"modelspec.implementation", (spec).implementation},                                       \
        {"modelspec.prediction_type", (spec).prediction},                                          \
    {                                                                                              \
        "modelspec.title", (spec).title                                                            \
    }

#endif

// A small text-to-image model with random weights, in the layout of the real ones: everything that
// works on a checkpoint can be tried on it without a download. Its pictures mean nothing.
//
// Configurations are the published ones with smaller sizes: SD 1.5 (PNDM, predicts noise), SD 2.1
// (DDIM, predicts v, pads by "!"), SDXL (Euler, two text encoders, sizes as conditions). The
// tokenizer is demo_vocabulary.h's.
#ifndef BDPO_DEMO_MODEL_H
#define BDPO_DEMO_MODEL_H

#include "models/model_type.h"

typedef enum bdpo_demo_size {
    BDPO_DEMO_TINY, // 128 pixels; a second of work gives a picture
    BDPO_DEMO_SMALL // 256 pixels, a few million parameters: for timing
} bdpo_demo_size;

typedef struct bdpo_demo_model {
    bdpo_model_type type;
    bdpo_demo_size size;
    uint64_t seed;             // the same seed gives the same weights on every machine
    bool (*interrupted)(void); // asked before each tensor; true ends by INTERRUPTED. May be NULL
} bdpo_demo_model;

// Makes `directory`, whose parent exists, and writes a diffusers directory; files of the same names
// are replaced. The index comes last.
BDPO_MUST_CHECK bdpo_status bdpo_demo_model_write(const char *directory,
                                                  const bdpo_demo_model *model);

// The same as one file in the original names. A single file has no configurations, and those that
// are published have other sizes: `directory` gets them, and the tokenizers, but no weights.
BDPO_MUST_CHECK bdpo_status bdpo_demo_model_write_single(const char *path, const char *directory,
                                                         const bdpo_demo_model *model);

#endif

// From a prompt to what the UNet is told of it: token by token the hidden states of the text
// encoders, side by side, and for SDXL the second one's summary of the whole text.
#ifndef BDPO_TEXT_CONDITIONING_H
#define BDPO_TEXT_CONDITIONING_H

#include "base/log.h"
#include "diffusion/pipeline_model.h"

typedef struct bdpo_text_options {
    int clip_skip; // so many layers before the usual one, as diffusers counts: 0 is the usual one
    bdpo_log *log; // is told what of a text did not fit; NULL: silence
} bdpo_text_options;

// The layer that a family takes (SD 1 and 2 the last, through the final norm; SDXL the one before
// it, without) less clip_skip. context [n_ids, context width], pooled [pooled width];
// NULL and not written where the UNet takes none.
// BAD_ARGUMENT for a clip_skip that leaves no layer. Plans stay with the engine.
BDPO_MUST_CHECK bdpo_status bdpo_text_conditioning(float *context, float *pooled,
                                                   const bdpo_pipeline_model *model,
                                                   const char *text,
                                                   const bdpo_text_options *options);

// Makes the plans of bdpo_text_conditioning() ahead of it.
BDPO_MUST_CHECK bdpo_status bdpo_text_prepare(const bdpo_pipeline_model *model,
                                              const bdpo_text_options *options);

#endif

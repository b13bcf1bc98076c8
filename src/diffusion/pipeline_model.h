// The networks of a text-to-image model, loaded and ready to build graphs from.
//
// Each has its own store. Weights that can stay in the checkpoint's mapped files do.
#ifndef BDPO_PIPELINE_MODEL_H
#define BDPO_PIPELINE_MODEL_H

#include "models/checkpoint.h"
#include "models/clip_text.h"
#include "models/lora_file.h"
#include "models/unet.h"
#include "models/vae.h"
#include "text/clip_bpe.h"

enum { BDPO_MAX_TEXT_ENCODERS = 2 };

typedef struct bdpo_text_encoder {
    bdpo_clip_bpe *tokenizer;
    bdpo_clip_text_config config;
    int n_ids; // of a text, begin, end and padding included: 77
    bdpo_store *store;
    bdpo_lora *lora; // its adapters, in the same store; NULL: none
} bdpo_text_encoder;

typedef struct bdpo_pipeline_model {
    bdpo_engine *engine; // borrowed
    bdpo_text_encoder text[BDPO_MAX_TEXT_ENCODERS];
    int n_text; // SDXL has two
    bdpo_unet_config unet;
    bdpo_store *unet_store;
    bdpo_lora *unet_lora; // NULL: none
    bdpo_vae_config vae;
    bdpo_store *vae_store;
    char *scheduler;     // text of scheduler_config.json
    bool zero_negative;  // force_zeros_for_empty_prompt: without a negative prompt, zeros stand
                         // for its embeddings (SDXL)
    size_t weight_bytes; // of all stores
    size_t mapped_bytes; // of these, what stays in the files
} bdpo_pipeline_model;

typedef struct bdpo_pipeline_model_options {
    const char
        *tokenizers; // a directory with tokenizer/ (and tokenizer_2/); NULL: the checkpoint's
    bdpo_clip_bpe_options tokenizer;
    // Adapters to add as x A B beside the weights; read while loading, borrowed no longer.
    const bdpo_lora_source *loras;
    int n_loras;
} bdpo_pipeline_model_options;

// Loads all of a checkpoint that bdpo_checkpoint_check_usable() takes. *out is the caller's,
// released by bdpo_pipeline_model_free() before the engine and the checkpoint, both of which it
// borrows. BAD_FILE and NOT_FOUND name what is wrong or missing; UNSUPPORTED names networks that do
// not fit each other: contexts, latents, or an UNet of inpainting.
BDPO_MUST_CHECK bdpo_status bdpo_pipeline_model_load(bdpo_pipeline_model **out, bdpo_engine *engine,
                                                     const bdpo_checkpoint *checkpoint,
                                                     const bdpo_pipeline_model_options *options);
void bdpo_pipeline_model_free(bdpo_pipeline_model *model); // NULL is fine

// Widths of what the text encoders give together: of a token, and of the whole text (0: none).
int64_t bdpo_pipeline_context_width(const bdpo_pipeline_model *model);
int64_t bdpo_pipeline_pooled_width(const bdpo_pipeline_model *model);

#endif

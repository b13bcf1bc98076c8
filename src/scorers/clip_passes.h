// The two towers of a CLIP model as passes that scorers share: equal weights, equal computation and
// equal pixels (or equal ids) are one pass of the session.
#ifndef BDPO_CLIP_PASSES_H
#define BDPO_CLIP_PASSES_H

#include "models/clip_checkpoint.h"
#include "scorers/scorer.h"
#include "text/clip_bpe.h"

typedef struct bdpo_clip_model bdpo_clip_model;

// Fields of a configuration that opening reads: "architecture", "activation", "force_activation",
// "model_config" (a path).
#define BDPO_CLIP_MODEL_FIELDS "architecture", "activation", "force_activation", "model_config"

// The model at `path`, opened once in a session. *out belongs to scorer->shared. Writes
// "activation" into the settings, and into *sha256 the digest of the weights.
BDPO_MUST_CHECK bdpo_status bdpo_clip_model_share(bdpo_clip_model **out, const char **sha256,
                                                  bdpo_scorer *scorer, const char *path);
const bdpo_clip_checkpoint_info *bdpo_clip_model_info(const bdpo_clip_model *model);

// Features are the embedding as the tower gives it, f32 [projection_dim], not normalised.
BDPO_MUST_CHECK bdpo_status bdpo_clip_image_pass(bdpo_feature_pass **out, bdpo_scorer *scorer,
                                                 bdpo_clip_model *model,
                                                 const bdpo_preprocess *preprocess);

// The vocabulary is scorer->tokenizer's, or the one beside the weights: a folder with vocab.json
// and merges.txt or tokenizer.json (also below "tokenizer"), or the packed file of the CLIP
// package. `prefix` is put before each text. What does not fit into the model's positions is cut
// off, as the libraries do.
BDPO_MUST_CHECK bdpo_status bdpo_clip_text_pass(bdpo_feature_pass **out, bdpo_scorer *scorer,
                                                bdpo_clip_model *model, bdpo_clip_pipeline pipeline,
                                                const char *prefix);

#endif

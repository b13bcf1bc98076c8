// The families of models that we know: which components they have, what those are called in
// directories and single files, and the configuration of the published models, which a single file
// does not carry.
#ifndef BDPO_MODEL_TYPE_H
#define BDPO_MODEL_TYPE_H

#include "formats/json.h"
#include "formats/tensor_file.h"
#include "models/naming.h"

typedef enum bdpo_model_type { BDPO_SD1, BDPO_SD2, BDPO_SDXL, BDPO_N_MODEL_TYPES } bdpo_model_type;

// "sd1", "sd2", "sdxl", as options and results spell them.
const char *bdpo_model_type_name(bdpo_model_type type);
// BAD_ARGUMENT for another word; the sentence lists the three.
BDPO_MUST_CHECK bdpo_status bdpo_model_type_parse(bdpo_model_type *out, const char *name);

// What the UNet predicts. Files of SD 2 do not say.
typedef enum bdpo_prediction {
    BDPO_PREDICTS_UNKNOWN,
    BDPO_PREDICTS_EPSILON,
    BDPO_PREDICTS_V
} bdpo_prediction;

// "unknown", "epsilon", "v_prediction": diffusers' words.
const char *bdpo_prediction_name(bdpo_prediction prediction);
// Also "v". BAD_ARGUMENT for another word.
BDPO_MUST_CHECK bdpo_status bdpo_prediction_parse(bdpo_prediction *out, const char *name);

typedef struct bdpo_component_spec {
    const char *name;        // the folder: "unet"
    const char *library;     // of model_index.json: "diffusers" or "transformers"
    const char *class_name;  // "UNet2DConditionModel"
    const char *weights;     // the file without its suffix: "diffusion_pytorch_model"
    const char *old_weights; // before safetensors, as .bin
    const char *prefix;      // in a single file: "model.diffusion_model."
    bdpo_naming_kind kind;
} bdpo_component_spec;

// The components of a family that have weights, in the order of a single file.
int bdpo_model_type_count(bdpo_model_type type);
const bdpo_component_spec *bdpo_model_type_at(bdpo_model_type type, int index);
// NULL where the family has none of this name.
const bdpo_component_spec *bdpo_model_type_find(bdpo_model_type type, const char *name);

// A CLIP model or text model of transformers that is no component of a family: "model", no prefix.
// With `original` names (models/component.h) open_clip's, text and vision.
const bdpo_component_spec *bdpo_clip_spec(void);

// The published configuration of a component, or of "scheduler" and "model_index". The prediction
// goes into the scheduler's. *out is the caller's, freed by bdpo_json_free().
BDPO_MUST_CHECK bdpo_status bdpo_model_type_config(bdpo_json_document **out, bdpo_model_type type,
                                                   const char *name, bdpo_prediction prediction);

// What a single file's tensors tell. All fields false or unknown where they tell nothing.
typedef struct bdpo_detected {
    bool known; // `type` is meant
    bdpo_model_type type;
    bool refiner;    // SDXL's second model, which is not supported
    int in_channels; // of the first convolution: 4, 9 of inpainting, 8 of pix2pix; 0: none
    bdpo_prediction prediction; // that the file states: by marker, metadata or global step
} bdpo_detected;

bdpo_detected bdpo_model_type_detect(const bdpo_tensor_file *file);

// PyTorch checkpoints keep the weights in a dictionary of the checkpoint: "state_dict." or "".
const char *bdpo_state_dict_prefix(const bdpo_tensor_file *file);

#endif

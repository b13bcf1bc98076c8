// The table of families, and detection by the tensors that only one of them has.
#include "models/model_type.h"

#include <stdio.h>
#include <string.h>

static const char *const type_names[] = {"sd1", "sd2", "sdxl"};

const char *bdpo_model_type_name(bdpo_model_type type)
{
    return type_names[type];
}

bdpo_status bdpo_model_type_parse(bdpo_model_type *out, const char *name)
{
    for (int i = 0; i < BDPO_N_MODEL_TYPES; i++) {
        if (strcmp(name, type_names[i]) != 0) continue;
        *out = (bdpo_model_type)i;
        return BDPO_OK;
    }
    return bdpo_fail(BDPO_BAD_ARGUMENT, "\"%s\" is not a type of model: sd1, sd2 or sdxl", name);
}

static const char *const prediction_names[] = {"unknown", "epsilon", "v_prediction"};

const char *bdpo_prediction_name(bdpo_prediction prediction)
{
    return prediction_names[prediction];
}

bdpo_status bdpo_prediction_parse(bdpo_prediction *out, const char *name)
{
    if (strcmp(name, "epsilon") == 0)
        *out = BDPO_PREDICTS_EPSILON;
    else if (strcmp(name, "v_prediction") == 0 || strcmp(name, "v") == 0)
        *out = BDPO_PREDICTS_V;
    else
        return bdpo_fail(BDPO_BAD_ARGUMENT,
                         "\"%s\" is not a type of prediction that we know: epsilon or v_prediction",
                         name);
    return BDPO_OK;
}

// ---- components --------------------------------------------------------------------------------

#define UNET                                                                                       \
    {                                                                                              \
        "unet", "diffusers", "UNet2DConditionModel", "diffusion_pytorch_model",                    \
            "diffusion_pytorch_model", "model.diffusion_model.", BDPO_NAMES_UNET                   \
    }
#define VAE                                                                                        \
    {                                                                                              \
        "vae", "diffusers", "AutoencoderKL", "diffusion_pytorch_model", "diffusion_pytorch_model", \
            "first_stage_model.", BDPO_NAMES_VAE                                                   \
    }
#define TEXT(name, class_name, prefix, kind)                                                       \
    {                                                                                              \
        name, "transformers", class_name, "model", "pytorch_model", prefix, kind                   \
    }

static const bdpo_component_spec sd1[] = {
    UNET, VAE,
    TEXT("text_encoder", "CLIPTextModel", "cond_stage_model.transformer.", BDPO_NAMES_CLIP_TEXT)};
static const bdpo_component_spec sd2[] = {
    UNET, VAE,
    TEXT("text_encoder", "CLIPTextModel", "cond_stage_model.model.", BDPO_NAMES_OPEN_CLIP)};
static const bdpo_component_spec sdxl[] = {
    UNET, VAE,
    TEXT("text_encoder", "CLIPTextModel", "conditioner.embedders.0.transformer.",
         BDPO_NAMES_CLIP_TEXT),
    TEXT("text_encoder_2", "CLIPTextModelWithProjection", "conditioner.embedders.1.model.",
         BDPO_NAMES_OPEN_CLIP)};

static const struct {
    const bdpo_component_spec *specs;
    int count;
} families[BDPO_N_MODEL_TYPES] = {
    {sd1, (int)BDPO_COUNTOF(sd1)}, {sd2, (int)BDPO_COUNTOF(sd2)}, {sdxl, (int)BDPO_COUNTOF(sdxl)}};

int bdpo_model_type_count(bdpo_model_type type)
{
    return families[type].count;
}

const bdpo_component_spec *bdpo_model_type_at(bdpo_model_type type, int index)
{
    BDPO_ASSERT(index >= 0 && index < families[type].count);
    return &families[type].specs[index];
}

const bdpo_component_spec *bdpo_model_type_find(bdpo_model_type type, const char *name)
{
    for (int i = 0; i < families[type].count; i++)
        if (strcmp(families[type].specs[i].name, name) == 0) return &families[type].specs[i];
    return NULL;
}

const bdpo_component_spec *bdpo_clip_spec(void)
{
    static const bdpo_component_spec spec = TEXT("model", "CLIPModel", "", BDPO_NAMES_OPEN_CLIP);
    return &spec;
}

// ---- detection ---------------------------------------------------------------------------------

static bool has_prefix(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

const char *bdpo_state_dict_prefix(const bdpo_tensor_file *file)
{
    static const char prefix[] = "state_dict.";
    for (size_t i = 0; i < bdpo_tensor_file_count(file); i++)
        if (has_prefix(bdpo_tensor_file_at(file, i)->name, prefix)) return prefix;
    return "";
}

static const bdpo_stored_tensor *find(const bdpo_tensor_file *file, const char *prefix,
                                      const char *name)
{
    char whole[BDPO_NAME_BYTES];
    snprintf(whole, sizeof whole, "%s%s", prefix, name);
    return bdpo_tensor_file_find(file, whole);
}

// Which text models are in the file decides; without one, the width of the text that the UNet
// takes, at the first attention of the second level, which all three have.
static void detect_type(bdpo_detected *out, const bdpo_tensor_file *file, const char *prefix)
{
    static const struct {
        const char *prefix;
        bdpo_model_type type;
        bool refiner;
    } texts[] = {{"conditioner.embedders.1.model.", BDPO_SDXL, false},
                 {"conditioner.embedders.0.model.", BDPO_SDXL, true},
                 {"cond_stage_model.model.", BDPO_SD2, false},
                 {"cond_stage_model.transformer.", BDPO_SD1, false}};
    for (size_t k = 0; k < BDPO_COUNTOF(texts); k++) {
        for (size_t i = 0; i < bdpo_tensor_file_count(file); i++) {
            const char *name = bdpo_tensor_file_at(file, i)->name;
            if (!has_prefix(name, prefix) || !has_prefix(name + strlen(prefix), texts[k].prefix))
                continue;
            out->known = true;
            out->type = texts[k].type;
            out->refiner = texts[k].refiner;
            return;
        }
    }
    const bdpo_stored_tensor *to_k =
        find(file, prefix,
             "model.diffusion_model.input_blocks.4.1.transformer_blocks.0.attn2.to_k.weight");
    if (!to_k || to_k->n_dims != 2) return;
    out->known = true;
    switch (to_k->dim[1]) {
    case 768:
        out->type = BDPO_SD1;
        break;
    case 1024:
        out->type = BDPO_SD2;
        break;
    case 1280:
        out->refiner = true; // falls through
    case 2048:
        out->type = BDPO_SDXL;
        break;
    default:
        out->known = false;
    }
}

static bdpo_prediction detect_prediction(const bdpo_tensor_file *file, const char *prefix)
{
    if (find(file, prefix, "v_pred")) return BDPO_PREDICTS_V;
    bdpo_prediction prediction;
    const char *said = bdpo_tensor_file_text(file, "modelspec.prediction_type");
    if (said && bdpo_prediction_parse(&prediction, said) == BDPO_OK) return prediction;
    // The published SD 2.0 base says so by its number of steps; diffusers goes by it too.
    const bdpo_file_value *step = bdpo_tensor_file_value(file, "global_step");
    return step && step->kind == BDPO_FILE_INT && step->integer == 875000 ? BDPO_PREDICTS_EPSILON
                                                                          : BDPO_PREDICTS_UNKNOWN;
}

bdpo_detected bdpo_model_type_detect(const bdpo_tensor_file *file)
{
    bdpo_detected out = {0};
    const char *prefix = bdpo_state_dict_prefix(file);
    detect_type(&out, file, prefix);
    const bdpo_stored_tensor *first =
        find(file, prefix, "model.diffusion_model.input_blocks.0.0.weight");
    if (first && first->n_dims == 4 && first->dim[1] > 0 && first->dim[1] < 1000)
        out.in_channels = (int)first->dim[1];
    out.prediction = detect_prediction(file, prefix);
    return out;
}

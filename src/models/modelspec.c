// The words of modelspec.h.
#include "models/modelspec.h"

#include <stdio.h>
#include <string.h>

static const char *architecture(bdpo_model_type type, bdpo_prediction prediction)
{
    switch (type) {
    case BDPO_SD1:
        return "stable-diffusion-v1";
    case BDPO_SD2:
        return prediction == BDPO_PREDICTS_V ? "stable-diffusion-v2-768-v"
                                             : "stable-diffusion-v2-512";
    case BDPO_SDXL:
        return "stable-diffusion-xl-v1-base";
    case BDPO_N_MODEL_TYPES:
        break;
    }
    BDPO_BUG("no such type: %d", (int)type);
}

bdpo_modelspec bdpo_modelspec_of(const char *path, bdpo_model_type type, bdpo_prediction prediction,
                                 bool lora)
{
    bdpo_modelspec out = {
        .implementation = lora ? "diffusers" : "https://github.com/Stability-AI/generative-models",
        .prediction = prediction == BDPO_PREDICTS_V ? "v" : "epsilon",
    };
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    const char *dot = strrchr(name, '.');
    size_t length = dot && dot > name ? (size_t)(dot - name) : strlen(name);
    if (length >= sizeof out.title) length = sizeof out.title - 1;
    snprintf(out.title, sizeof out.title, "%.*s", (int)length, name);
    snprintf(out.architecture, sizeof out.architecture, "%s%s", architecture(type, prediction),
             lora ? "/lora" : "");
    return out;
}

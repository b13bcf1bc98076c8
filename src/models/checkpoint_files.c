// diffusers writes "diffusion_pytorch_model.fp16.safetensors", and for shards
// "diffusion_pytorch_model.safetensors.index.fp16.json"; transformers the same with "model".
#include "models/checkpoint_files.h"

#include <stdio.h>

static bdpo_status try_names(bool *found, char out[BDPO_PATH_BYTES], const char *directory,
                             const char *stem, const char *suffix, const char *variant)
{
    char name[256];
    const char *dot = *variant ? "." : "";
    snprintf(name, sizeof name, "%s%s%s.%s", stem, dot, variant, suffix);
    TRY(bdpo_file_join(out, directory, name));
    *found = bdpo_file_exists(out);
    if (*found) return BDPO_OK;
    snprintf(name, sizeof name, "%s.%s.index%s%s.json", stem, suffix, dot, variant);
    TRY(bdpo_file_join(out, directory, name));
    *found = bdpo_file_exists(out);
    return BDPO_OK;
}

bdpo_status bdpo_weights_find(char out[BDPO_PATH_BYTES], const char *directory,
                              const bdpo_component_spec *spec, const char *variant)
{
    static const char *const preferred[] = {"", "fp16", "bf16"};
    const char *const *variants = variant ? &variant : preferred;
    size_t n_variants = variant ? 1 : BDPO_COUNTOF(preferred);
    bool found;
    for (size_t i = 0; i < n_variants; i++) {
        TRY(try_names(&found, out, directory, spec->weights, "safetensors", variants[i]));
        if (found) return BDPO_OK;
    }
    for (size_t i = 0; i < n_variants; i++) {
        TRY(try_names(&found, out, directory, spec->old_weights, "bin", variants[i]));
        if (found) return BDPO_OK;
    }
    const char *dot = variant && *variant ? "." : "";
    return bdpo_fail(BDPO_NOT_FOUND, "%s: has neither %s%s%s.safetensors nor %s%s%s.bin%s",
                     directory, spec->weights, dot, variant ? variant : "", spec->old_weights, dot,
                     variant ? variant : "", variant ? "" : ", nor its fp16 or bf16 variant");
}

// The spellings of lora_keys.h: a prefix, a form of the layer's path, two endings.
#include "models/lora_keys.h"

#include <stdio.h>
#include <string.h>

// ---- forms of a path ---------------------------------------------------------------------------

typedef enum path_form {
    DOTTED,       // mid_block.attentions.0.proj_in
    SHORT,        // without the `text_model.` that newer text encoders leave out
    PROCESSOR,    // ...attn1.to_q: ...attn1.processor.to_q_lora
    FLAT,         // mid_block_attentions_0_proj_in
    FLAT_ORIGINAL // middle_block_1_proj_in
} path_form;

static bool cut_ending(char *text, const char *ending)
{
    size_t n = strlen(text), m = strlen(ending);
    if (n <= m || strcmp(text + n - m, ending) != 0) return false;
    text[n - m] = '\0';
    return true;
}

static void flatten(char *text)
{
    for (; *text; text++)
        if (*text == '.') *text = '_';
}

// "a.attn1.to_out.0" to "a.attn1.processor.to_out_lora": only of attention's four layers.
static bool processor_path(char out[BDPO_NAME_BYTES], const char *path)
{
    static const char *const leaves[] = {".to_q", ".to_k", ".to_v", ".to_out.0"};
    for (size_t i = 0; i < BDPO_COUNTOF(leaves); i++) {
        char parent[BDPO_NAME_BYTES];
        snprintf(parent, sizeof parent, "%s", path);
        if (!cut_ending(parent, leaves[i])) continue;
        int leaf = (int)strcspn(leaves[i] + 1, ".");
        return snprintf(out, BDPO_NAME_BYTES, "%s.processor.%.*s_lora", parent, leaf,
                        leaves[i] + 1) < BDPO_NAME_BYTES;
    }
    return false;
}

// The original calls weights, not layers.
static bool original_path(char out[BDPO_NAME_BYTES], const bdpo_naming *naming, const char *path)
{
    char weight[BDPO_NAME_BYTES];
    bdpo_tensor_name name;
    if (!naming || snprintf(weight, sizeof weight, "%s.weight", path) >= BDPO_NAME_BYTES)
        return false;
    if (!bdpo_naming_to_original(&name, naming, weight) || name.third >= 0) return false;
    snprintf(out, BDPO_NAME_BYTES, "%s", name.text);
    return cut_ending(out, ".weight");
}

static bool form_path(char out[BDPO_NAME_BYTES], path_form form,
                      const bdpo_lora_component *component, const char *path)
{
    static const char text_model[] = "text_model.";
    switch (form) {
    case DOTTED:
        break;
    case SHORT:
        if (strncmp(path, text_model, sizeof text_model - 1) != 0) return false;
        path += sizeof text_model - 1;
        break;
    case PROCESSOR:
        return processor_path(out, path);
    case FLAT:
        break;
    case FLAT_ORIGINAL:
        if (!original_path(out, component->naming, path)) return false;
        flatten(out);
        return true;
    }
    if (snprintf(out, BDPO_NAME_BYTES, "%s", path) >= BDPO_NAME_BYTES) return false;
    if (form == FLAT) flatten(out);
    return true;
}

// ---- prefixes ----------------------------------------------------------------------------------

typedef enum prefix_form {
    COMPONENT, // "unet."
    PEFT,      // "base_model.model.", whatever the component
    BARE,      // none
    KOHYA,     // "lora_unet_", "lora_te_", "lora_te2_"
    KOHYA_TE1  // "lora_te1_": the first text encoder where there are two
} prefix_form;

static bool form_prefix(char out[BDPO_NAME_BYTES], prefix_form form, const char *component)
{
    static const char *const kohya[][2] = {
        {"unet", "lora_unet_"}, {"text_encoder", "lora_te_"}, {"text_encoder_2", "lora_te2_"}};
    const char *prefix = "";
    switch (form) {
    case COMPONENT:
        return snprintf(out, BDPO_NAME_BYTES, "%s.", component) < BDPO_NAME_BYTES;
    case PEFT:
        prefix = "base_model.model.";
        break;
    case BARE:
        break;
    case KOHYA:
        for (size_t i = 0; i < BDPO_COUNTOF(kohya); i++)
            if (strcmp(kohya[i][0], component) == 0) prefix = kohya[i][1];
        if (!*prefix) return false;
        break;
    case KOHYA_TE1:
        if (strcmp(component, "text_encoder") != 0) return false;
        prefix = "lora_te1_";
        break;
    }
    snprintf(out, BDPO_NAME_BYTES, "%s", prefix);
    return true;
}

// ---- spellings ---------------------------------------------------------------------------------

typedef struct spelling {
    prefix_form prefix;
    path_form path;
    const char *down, *up;
} spelling;

#define LORA_A_B  ".lora_A.weight", ".lora_B.weight"
#define DOWN_UP   ".lora.down.weight", ".lora.up.weight"
#define LINEAR    ".lora_linear_layer.down.weight", ".lora_linear_layer.up.weight"
#define PROCESSED ".down.weight", ".up.weight"
#define LORA_DOWN ".lora_down.weight", ".lora_up.weight"

static const spelling spellings[BDPO_LORA_N_SPELLINGS] = {
    {COMPONENT, DOTTED, LORA_A_B},     {COMPONENT, SHORT, LORA_A_B},
    {COMPONENT, DOTTED, DOWN_UP},      {COMPONENT, SHORT, DOWN_UP},
    {COMPONENT, DOTTED, LINEAR},       {COMPONENT, SHORT, LINEAR},
    {COMPONENT, PROCESSOR, PROCESSED}, {KOHYA, FLAT, LORA_DOWN},
    {KOHYA, FLAT_ORIGINAL, LORA_DOWN}, {KOHYA_TE1, FLAT, LORA_DOWN},
    {PEFT, DOTTED, LORA_A_B},          {PEFT, SHORT, LORA_A_B},
    {BARE, DOTTED, LORA_A_B},          {BARE, DOTTED, DOWN_UP},
    {BARE, PROCESSOR, PROCESSED},      {COMPONENT, DOTTED, LORA_DOWN},
    {KOHYA, FLAT, LORA_A_B},
};

static bool spell(bdpo_lora_keys *out, const spelling *s, const bdpo_lora_component *component,
                  const char *path)
{
    char prefix[BDPO_NAME_BYTES], form[BDPO_NAME_BYTES];
    if (!form_prefix(prefix, s->prefix, component->name) ||
        !form_path(form, s->path, component, path))
        return false;
    const char *const endings[] = {s->down, s->up, ".alpha"};
    char *const keys[] = {out->down, out->up, out->alpha};
    for (int i = 0; i < 3; i++)
        if (snprintf(keys[i], sizeof out->down, "%s%s%s", prefix, form, endings[i]) >=
            (int)sizeof out->down)
            return false;
    return true;
}

bool bdpo_lora_spell(bdpo_lora_keys *out, int index, const bdpo_lora_component *component,
                     const char *path)
{
    BDPO_ASSERT(index >= 0 && index < BDPO_LORA_N_SPELLINGS);
    return spell(out, &spellings[index], component, path);
}

bool bdpo_lora_spell_kohya(bdpo_lora_keys *out, const bdpo_lora_component *component,
                           const char *path, bool original, bool two_text_encoders)
{
    bool first = two_text_encoders && strcmp(component->name, "text_encoder") == 0;
    spelling s = {first ? KOHYA_TE1 : KOHYA, original ? FLAT_ORIGINAL : FLAT, LORA_DOWN};
    return spell(out, &s, component, path);
}

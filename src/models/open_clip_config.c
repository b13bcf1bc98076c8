// Sources: open_clip's CLIPVisionCfg and CLIPTextCfg (their defaults) and its model_configs.
#include "models/open_clip_config.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

// ---- sizes -------------------------------------------------------------------------------------

typedef struct tower {
    int width, layers, heads, mlp_width;
} tower;

typedef struct sizes {
    int embed_dim;
    tower vision, text;
    int image_size, patch_size;
    int positions, vocabulary;
    double vision_eps, text_eps;
} sizes;

typedef struct architecture {
    const char *name;
    sizes sizes;
} architecture;

#define CLIP_TEXT .positions = 77, .vocabulary = 49408, .vision_eps = 1e-5, .text_eps = 1e-5
static const architecture architectures[] = {
    {"ViT-B-32",
     {512,
      {768, 12, 12, 3072},
      {512, 12, 8, 2048},
      .image_size = 224,
      .patch_size = 32,
      CLIP_TEXT}},
    {"ViT-B-16",
     {512,
      {768, 12, 12, 3072},
      {512, 12, 8, 2048},
      .image_size = 224,
      .patch_size = 16,
      CLIP_TEXT}},
    {"ViT-L-14",
     {768,
      {1024, 24, 16, 4096},
      {768, 12, 12, 3072},
      .image_size = 224,
      .patch_size = 14,
      CLIP_TEXT}},
    {"ViT-L-14-336",
     {768,
      {1024, 24, 16, 4096},
      {768, 12, 12, 3072},
      .image_size = 336,
      .patch_size = 14,
      CLIP_TEXT}},
    {"ViT-H-14",
     {1024,
      {1280, 32, 16, 5120},
      {1024, 24, 16, 4096},
      .image_size = 224,
      .patch_size = 14,
      CLIP_TEXT}},
    {"ViT-g-14",
     {1024,
      {1408, 40, 16, 6144},
      {1024, 24, 16, 4096},
      .image_size = 224,
      .patch_size = 14,
      CLIP_TEXT}},
    {"ViT-bigG-14",
     {1280,
      {1664, 48, 16, 8192},
      {1280, 32, 20, 5120},
      .image_size = 224,
      .patch_size = 14,
      CLIP_TEXT}},
};
#define KNOWN "ViT-B-32, ViT-B-16, ViT-L-14, ViT-L-14-336, ViT-H-14, ViT-g-14 and ViT-bigG-14"

// eos_token_id 2 means the largest id of a text: open_clip's argmax.
static json_t *tower_config(const tower *t, double eps)
{
    return json_pack("{s:i, s:i, s:i, s:i, s:f}", "hidden_size", t->width, "num_hidden_layers",
                     t->layers, "num_attention_heads", t->heads, "intermediate_size", t->mlp_width,
                     "layer_norm_eps", eps);
}

// `activation` may be NULL.
static bdpo_status write_config(json_t **out, const sizes *s, const char *activation)
{
    json_t *text = tower_config(&s->text, s->text_eps);
    json_t *vision = tower_config(&s->vision, s->vision_eps);
    json_object_set_new(text, "vocab_size", json_integer(s->vocabulary));
    json_object_set_new(text, "max_position_embeddings", json_integer(s->positions));
    json_object_set_new(text, "eos_token_id", json_integer(2));
    json_object_set_new(vision, "image_size", json_integer(s->image_size));
    json_object_set_new(vision, "patch_size", json_integer(s->patch_size));
    if (activation) {
        json_object_set_new(text, "hidden_act", json_string(activation));
        json_object_set_new(vision, "hidden_act", json_string(activation));
    }
    *out =
        json_pack("{s:[s], s:s, s:i, s:o, s:o}", "architectures", "CLIPModel", "model_type", "clip",
                  "projection_dim", s->embed_dim, "text_config", text, "vision_config", vision);
    return *out ? BDPO_OK : bdpo_fail(BDPO_NO_MEMORY, "no memory for a CLIP's configuration");
}

bdpo_status bdpo_open_clip_config_named(json_t **out, const char *name)
{
    static const char suffix[] = "-quickgelu";
    size_t length = strlen(name), cut = sizeof suffix - 1;
    bool quick = length > cut && strcmp(name + length - cut, suffix) == 0;
    if (quick) length -= cut;
    for (size_t i = 0; i < BDPO_COUNTOF(architectures); i++)
        if (strlen(architectures[i].name) == length &&
            memcmp(architectures[i].name, name, length) == 0)
            return write_config(out, &architectures[i].sizes, quick ? "quick_gelu" : NULL);
    return bdpo_fail(BDPO_BAD_ARGUMENT, "\"%s\" is no architecture that we know: " KNOWN, name);
}

// ---- open_clip_config.json ---------------------------------------------------------------------

enum { MAX_WIDTH = 1 << 16, MAX_LAYERS = 1024, MAX_SIZE = 1 << 14 };

// Fields that say nothing about scoring, or whose only value that we can compute is the default.
static bool is_harmless(const char *key, const json_t *value)
{
    static const char *const idle[] = {
        "patch_dropout",    "output_tokens",       "pad_id",
        "eos_id",           "hf_tokenizer_name",   "tokenizer_mode",
        "tokenizer_kwargs", "hf_model_pretrained", "timm_model_pretrained"};
    for (size_t i = 0; i < BDPO_COUNTOF(idle); i++)
        if (strcmp(key, idle[i]) == 0) return true;
    if (json_is_null(value) || json_is_false(value)) return true;
    const char *word = json_string_value(value);
    if (!word) return false;
    return (strcmp(key, "pool_type") == 0 &&
            (strcmp(word, "tok") == 0 || strcmp(word, "argmax") == 0)) ||
           (strcmp(key, "pos_embed_type") == 0 && strcmp(word, "learnable") == 0) ||
           (strcmp(key, "proj_type") == 0 && strcmp(word, "linear") == 0) ||
           (strcmp(key, "block_type") == 0 && strcmp(word, "default") == 0);
}

static bdpo_status check_fields(const bdpo_json *fields)
{
    static const char *const read[] = {"width",      "layers",     "heads",      "head_width",
                                       "mlp_ratio",  "image_size", "patch_size", "context_length",
                                       "vocab_size", "norm_kwargs"};
    for (const char *key = bdpo_json_next_key(fields, NULL); key;
         key = bdpo_json_next_key(fields, key)) {
        bool known = false;
        for (size_t i = 0; i < BDPO_COUNTOF(read); i++) known |= strcmp(key, read[i]) == 0;
        if (!known && !is_harmless(key, json_object_get(fields->value, key)))
            return bdpo_fail(BDPO_UNSUPPORTED, "%s: %s.%s asks for a model that we cannot compute",
                             fields->file, fields->place, key);
    }
    return BDPO_OK;
}

static bdpo_status read_eps(double *out, const bdpo_json *fields)
{
    bdpo_json norm;
    *out = 1e-5; // PyTorch's
    if (!bdpo_json_has(fields, "norm_kwargs")) return BDPO_OK;
    TRY(bdpo_json_object(&norm, fields, "norm_kwargs"));
    return bdpo_json_double_or(out, &norm, "eps", 1e-5, 0, 1);
}

static bdpo_status read_tower(tower *out, const bdpo_json *fields, int width)
{
    double ratio;
    TRY(check_fields(fields));
    TRY(bdpo_json_int_or(&out->width, fields, "width", width, 1, MAX_WIDTH));
    TRY(bdpo_json_int_or(&out->layers, fields, "layers", 12, 1, MAX_LAYERS));
    TRY(bdpo_json_double_or(&ratio, fields, "mlp_ratio", 4, 0.01, 100));
    out->mlp_width = (int)(out->width * ratio);
    return BDPO_OK;
}

static bdpo_status read_sizes(sizes *out, const bdpo_json *model)
{
    bdpo_json vision, text;
    int head_width;
    TRY(bdpo_json_object(&vision, model, "vision_cfg"));
    TRY(bdpo_json_object(&text, model, "text_cfg"));
    TRY(bdpo_json_int(&out->embed_dim, model, "embed_dim", 1, MAX_WIDTH));
    TRY(read_tower(&out->vision, &vision, 768));
    TRY(read_tower(&out->text, &text, 512));
    TRY(bdpo_json_int_or(&head_width, &vision, "head_width", 64, 1, MAX_WIDTH));
    out->vision.heads = out->vision.width / head_width;
    TRY(bdpo_json_int_or(&out->text.heads, &text, "heads", 8, 1, MAX_WIDTH));
    TRY(bdpo_json_int_or(&out->image_size, &vision, "image_size", 224, 1, MAX_SIZE));
    TRY(bdpo_json_int_or(&out->patch_size, &vision, "patch_size", 16, 1, MAX_SIZE));
    TRY(bdpo_json_int_or(&out->positions, &text, "context_length", 77, 1, MAX_WIDTH));
    TRY(bdpo_json_int_or(&out->vocabulary, &text, "vocab_size", 49408, 1, 1 << 24));
    TRY(read_eps(&out->vision_eps, &vision));
    return read_eps(&out->text_eps, &text);
}

bdpo_status bdpo_open_clip_config_convert(json_t **out, const bdpo_json *root)
{
    bdpo_json model = *root;
    sizes s = {0};
    bool quick;
    *out = NULL;
    if (bdpo_json_has(root, "model_cfg")) TRY(bdpo_json_object(&model, root, "model_cfg"));
    TRY(read_sizes(&s, &model));
    TRY(bdpo_json_bool_or(&quick, &model, "quick_gelu", false));
    return write_config(out, &s, quick ? "quick_gelu" : "gelu");
}

// ---- tensors -----------------------------------------------------------------------------------

// One name of each world that every file has.
static const char open_clip_mark[] = "visual.conv1.weight";
static const char transformers_mark[] = "vision_model.embeddings.patch_embedding.weight";

static bool ends_in(const char *name, const char *mark, size_t *before)
{
    size_t length = strlen(name), n = strlen(mark);
    if (length < n || strcmp(name + length - n, mark) != 0) return false;
    *before = length - n;
    return *before == 0 || name[*before - 1] == '.';
}

bdpo_status bdpo_clip_names_find(bdpo_clip_names *out, const bdpo_tensor_file *file)
{
    *out = (bdpo_clip_names){0};
    for (size_t i = 0; i < bdpo_tensor_file_count(file); i++) {
        const char *name = bdpo_tensor_file_at(file, i)->name;
        size_t before;
        out->open_clip = ends_in(name, open_clip_mark, &before);
        if (!out->open_clip && !ends_in(name, transformers_mark, &before)) continue;
        if (before >= sizeof out->prefix) continue;
        memcpy(out->prefix, name, before);
        out->prefix[before] = '\0';
        return BDPO_OK;
    }
    return bdpo_fail(BDPO_BAD_FILE,
                     "%s: is no CLIP model: has neither \"%s\" (open_clip) nor \"%s\" "
                     "(transformers)",
                     bdpo_tensor_file_path(file), open_clip_mark, transformers_mark);
}

static const bdpo_stored_tensor *find(const bdpo_tensor_file *file, const bdpo_clip_names *names,
                                      const char *open_clip, const char *transformers)
{
    char name[256];
    snprintf(name, sizeof name, "%s%s", names->prefix, names->open_clip ? open_clip : transformers);
    const bdpo_stored_tensor *t = bdpo_tensor_file_find(file, name);
    if (t || !names->open_clip) return t;
    snprintf(name, sizeof name, "%stext.%s", names->prefix, open_clip); // CustomTextCLIP
    return bdpo_tensor_file_find(file, name);
}

static int count_layers(const bdpo_tensor_file *file, const bdpo_clip_names *names, bool vision)
{
    int n = 0;
    for (char a[128], b[128];; n++) {
        snprintf(a, sizeof a, "%stransformer.resblocks.%d.ln_1.weight", vision ? "visual." : "", n);
        snprintf(b, sizeof b, "%s.encoder.layers.%d.layer_norm1.weight",
                 vision ? "vision_model" : "text_model", n);
        if (!find(file, names, a, b)) return n;
    }
}

// -1 where there is no such axis.
static int64_t axis_of(const bdpo_stored_tensor *t, int axis)
{
    return t && axis < t->n_dims ? t->dim[axis] : -1;
}

bdpo_status bdpo_open_clip_config_guess(const char **name, const bdpo_tensor_file *file,
                                        const bdpo_clip_names *names)
{
    const bdpo_stored_tensor *conv = find(file, names, open_clip_mark, transformers_mark);
    const bdpo_stored_tensor *positions = find(file, names, "visual.positional_embedding",
                                               "vision_model.embeddings.position_embedding.weight");
    const bdpo_stored_tensor *tokens =
        find(file, names, "token_embedding.weight", "text_model.embeddings.token_embedding.weight");
    int n_vision = count_layers(file, names, true), n_text = count_layers(file, names, false);
    for (size_t i = 0; i < BDPO_COUNTOF(architectures); i++) {
        const sizes *s = &architectures[i].sizes;
        int64_t side = s->image_size / s->patch_size;
        if (axis_of(conv, 0) != s->vision.width || axis_of(conv, 2) != s->patch_size ||
            axis_of(positions, 0) != 1 + side * side || axis_of(tokens, 1) != s->text.width ||
            n_vision != s->vision.layers || n_text != s->text.layers)
            continue;
        *name = architectures[i].name;
        return BDPO_OK;
    }
    return bdpo_fail(BDPO_UNSUPPORTED,
                     "%s: no configuration lies beside it, and towers of %" PRId64 " x %d (patch "
                     "%" PRId64 ") and %" PRId64 " x %d are none of " KNOWN,
                     bdpo_tensor_file_path(file), axis_of(conv, 0), n_vision, axis_of(conv, 2),
                     axis_of(tokens, 1), n_text);
}

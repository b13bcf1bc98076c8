// The reader of unet_config.h: fields that we compute, one by one; then all others, each of which
// must have the value at which it changes nothing.
#include "models/unet_config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// A field of the file being read.
typedef struct reader {
    const json_t *root;
    const char *file;
} reader;

// ---- messages ----------------------------------------------------------------------------------

typedef struct json_text {
    char text[120];
} json_text;

// A value as the file has it, cut where it is long.
static json_text print_value(const json_t *value)
{
    json_text out = {"nothing"};
    char *whole =
        value ? json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(7)) : NULL;
    if (!whole) return out;
    bool cut = strlen(whole) >= sizeof out.text;
    snprintf(out.text, sizeof out.text, "%.*s%s", (int)sizeof out.text - 4, whole,
             cut ? "..." : "");
    free(whole);
    return out;
}

static bdpo_status refuse(const reader *r, bdpo_status status, const char *name,
                          const char *expected)
{
    return bdpo_fail(status, "%s: field \"%s\": found %s, expected %s", r->file, name,
                     print_value(json_object_get(r->root, name)).text, expected);
}

// ---- single values -----------------------------------------------------------------------------

// Absent and null mean the default.
static const json_t *get(const reader *r, const char *name)
{
    const json_t *value = json_object_get(r->root, name);
    return json_is_null(value) ? NULL : value;
}

enum { LARGEST = 1 << 24 }; // far above any width, far below overflow

static bool to_count(int64_t *out, const json_t *value)
{
    if (!json_is_integer(value)) return false;
    *out = json_integer_value(value);
    return *out >= 1 && *out <= LARGEST;
}

static bdpo_status read_count(const reader *r, const char *name, int64_t fallback, int64_t *out)
{
    const json_t *value = get(r, name);
    *out = fallback;
    if (!value || to_count(out, value)) return BDPO_OK;
    return refuse(r, BDPO_BAD_FILE, name, "a positive integer");
}

static bdpo_status read_flag(const reader *r, const char *name, bool fallback, bool *out)
{
    const json_t *value = get(r, name);
    *out = value ? json_is_true(value) : fallback;
    return !value || json_is_boolean(value) ? BDPO_OK
                                            : refuse(r, BDPO_BAD_FILE, name, "true or false");
}

static bdpo_status read_number(const reader *r, const char *name, double fallback, double least,
                               float *out)
{
    const json_t *value = get(r, name);
    double number = value ? json_number_value(value) : fallback;
    *out = (float)number;
    if (value && !json_is_number(value)) return refuse(r, BDPO_BAD_FILE, name, "a number");
    if (!(number >= least && number <= LARGEST))
        return refuse(r, BDPO_BAD_FILE, name, "a number that is not below zero");
    return BDPO_OK;
}

// A count for each level: one for all, or a list.
static bdpo_status read_counts(const reader *r, const char *name, int64_t fallback, int n,
                               int64_t out[BDPO_UNET_MAX_LEVELS])
{
    const json_t *value = get(r, name);
    char expected[64];
    snprintf(expected, sizeof expected, "a positive integer or a list of %d", n);
    bool list = json_is_array(value), good = !list || (int)json_array_size(value) == n;
    for (int i = 0; i < n && good; i++) {
        out[i] = fallback;
        if (value) good = to_count(&out[i], list ? json_array_get(value, (size_t)i) : value);
    }
    return good ? BDPO_OK : refuse(r, BDPO_BAD_FILE, name, expected);
}

// ---- the levels --------------------------------------------------------------------------------

static bdpo_status read_channels(const reader *r, bdpo_unet_config *out)
{
    static const int64_t defaults[] = {320, 640, 1280, 1280};
    static const char name[] = "block_out_channels";
    const json_t *list = get(r, name);
    size_t n = list ? json_array_size(list) : BDPO_COUNTOF(defaults);
    if (n < 1 || n > BDPO_UNET_MAX_LEVELS)
        return refuse(r, BDPO_BAD_FILE, name, "a list of 1 to 8 positive integers");
    out->n_levels = (int)n;
    for (size_t i = 0; i < n; i++)
        if (list && !to_count(&out->level[i].channels, json_array_get(list, i)))
            return refuse(r, BDPO_BAD_FILE, name, "a list of 1 to 8 positive integers");
        else if (!list)
            out->level[i].channels = defaults[i];
    return BDPO_OK;
}

// Which levels attend: the types of the blocks, in the order of the way.
static bdpo_status read_types(const reader *r, const bdpo_unet_config *config, const char *name,
                              const char *const defaults[4], const char *plain, const char *attends,
                              bool out[BDPO_UNET_MAX_LEVELS])
{
    const json_t *list = get(r, name);
    size_t n = list ? json_array_size(list) : 4;
    char expected[120];
    snprintf(expected, sizeof expected, "%d of \"%s\" and \"%s\"", config->n_levels, plain,
             attends);
    if (n != (size_t)config->n_levels) return refuse(r, BDPO_BAD_FILE, name, expected);
    for (size_t i = 0; i < n; i++) {
        const char *type = list ? json_string_value(json_array_get(list, i)) : defaults[i];
        out[i] = type && strcmp(type, attends) == 0;
        if (!type || (!out[i] && strcmp(type, plain) != 0))
            return refuse(r, BDPO_UNSUPPORTED, name, expected);
    }
    return BDPO_OK;
}

static bdpo_status read_attending(const reader *r, bdpo_unet_config *out)
{
    static const char down[] = "CrossAttnDownBlock2D", up[] = "CrossAttnUpBlock2D";
    static const char *const down_defaults[] = {down, down, down, "DownBlock2D"};
    static const char *const up_defaults[] = {"UpBlock2D", up, up, up};
    bool attends[BDPO_UNET_MAX_LEVELS] = {false};
    int n = out->n_levels;
    TRY(read_types(r, out, "down_block_types", down_defaults, "DownBlock2D", down, attends));
    for (int i = 0; i < n; i++) out->level[i].down_attends = attends[i];
    TRY(read_types(r, out, "up_block_types", up_defaults, "UpBlock2D", up, attends));
    for (int i = 0; i < n; i++) out->level[n - 1 - i].up_attends = attends[i];
    return BDPO_OK;
}

// diffusers named the number of heads "attention_head_dim" and kept the name.
static bdpo_status read_heads(const reader *r, bdpo_unet_config *out)
{
    bool named = get(r, "num_attention_heads") != NULL;
    const char *name = named ? "num_attention_heads" : "attention_head_dim";
    int64_t heads[BDPO_UNET_MAX_LEVELS];
    TRY(read_counts(r, name, 8, out->n_levels, heads));
    for (int i = 0; i < out->n_levels; i++) {
        bdpo_unet_level *level = &out->level[i];
        bool used = level->down_attends || level->up_attends || i == out->n_levels - 1;
        level->heads = (int)heads[i];
        if (used && level->channels % heads[i] != 0)
            return refuse(r, BDPO_BAD_FILE, name,
                          "numbers of heads that divide block_out_channels");
    }
    return BDPO_OK;
}

static bdpo_status read_levels(const reader *r, bdpo_unet_config *out)
{
    int64_t residuals[BDPO_UNET_MAX_LEVELS], layers[BDPO_UNET_MAX_LEVELS];
    TRY(read_channels(r, out));
    TRY(read_attending(r, out));
    TRY(read_heads(r, out));
    TRY(read_counts(r, "layers_per_block", 2, out->n_levels, residuals));
    TRY(read_counts(r, "transformer_layers_per_block", 1, out->n_levels, layers));
    for (int i = 0; i < out->n_levels; i++) {
        out->level[i].residuals = (int)residuals[i];
        out->level[i].transformer_layers = (int)layers[i];
    }
    return BDPO_OK;
}

// ---- the other fields --------------------------------------------------------------------------

static bdpo_status read_sample_size(const reader *r, bdpo_unet_config *out)
{
    static const char name[] = "sample_size";
    const json_t *value = get(r, name);
    bool list = json_is_array(value);
    if (!value) return BDPO_OK;
    bool good = to_count(&out->sample_height, list ? json_array_get(value, 0) : value) &&
                to_count(&out->sample_width, list ? json_array_get(value, 1) : value) &&
                (!list || json_array_size(value) == 2);
    return good ? BDPO_OK : refuse(r, BDPO_BAD_FILE, name, "a positive integer or a list of two");
}

// One width for all levels, though the file may write it for each.
static bdpo_status read_context_width(const reader *r, bdpo_unet_config *out)
{
    static const char name[] = "cross_attention_dim";
    int64_t widths[BDPO_UNET_MAX_LEVELS] = {0};
    TRY(read_counts(r, name, 1280, out->n_levels, widths));
    out->context_width = widths[0];
    for (int i = 1; i < out->n_levels; i++)
        if (widths[i] != widths[0])
            return refuse(r, BDPO_UNSUPPORTED, name, "the same width at all levels");
    return BDPO_OK;
}

static bdpo_status read_kernel(const reader *r, const char *name, int *out)
{
    int64_t kernel;
    TRY(read_count(r, name, 3, &kernel));
    *out = (int)kernel;
    if (kernel % 2 == 1 && kernel <= 31) return BDPO_OK;
    return refuse(r, BDPO_UNSUPPORTED, name, "an odd kernel size of at most 31");
}

static bdpo_status read_norms(const reader *r, bdpo_unet_config *out)
{
    static const char name[] = "norm_num_groups";
    int64_t groups;
    if (json_is_null(json_object_get(r->root, name))) // means "no norm", not the default
        return refuse(r, BDPO_UNSUPPORTED, name, "a positive integer");
    TRY(read_count(r, name, 32, &groups));
    TRY(read_number(r, "norm_eps", 1e-5, 0, &out->norm_eps));
    out->norm_groups = (int)groups;
    for (int i = 0; i < out->n_levels; i++)
        if (out->level[i].channels % groups != 0)
            return refuse(r, BDPO_BAD_FILE, name, "a number that divides block_out_channels");
    return BDPO_OK;
}

static bdpo_status read_time(const reader *r, bdpo_unet_config *out)
{
    TRY(read_count(r, "time_embedding_dim", 4 * out->level[0].channels, &out->time_width));
    TRY(read_flag(r, "flip_sin_to_cos", true, &out->cos_first));
    TRY(read_number(r, "freq_shift", 0, 0, &out->freq_shift));
    if (out->level[0].channels % 2 != 0)
        return refuse(r, BDPO_UNSUPPORTED, "block_out_channels", "an even first number");
    return BDPO_OK;
}

static bdpo_status read_addition(const reader *r, bdpo_unet_config *out)
{
    static const char type[] = "addition_embed_type", ids[] = "addition_time_embed_dim";
    static const char all[] = "projection_class_embeddings_input_dim";
    const json_t *value = get(r, type);
    int64_t id_width;
    if (!value) return BDPO_OK;
    if (!json_is_string(value) || strcmp(json_string_value(value), "text_time") != 0)
        return refuse(r, BDPO_UNSUPPORTED, type, "null or \"text_time\"");
    out->text_time = true;
    TRY(read_count(r, ids, 0, &id_width));
    TRY(read_count(r, all, 0, &out->addition_width));
    out->time_id_width = (int)id_width;
    if (id_width < 2 || id_width % 2 != 0)
        return refuse(r, BDPO_BAD_FILE, ids, "an even positive integer beside \"text_time\"");
    if (bdpo_unet_pooled_width(out) < 1)
        return refuse(r, BDPO_BAD_FILE, all, "more than 6 addition_time_embed_dim");
    return BDPO_OK;
}

static bdpo_status read_rest(const reader *r, bdpo_unet_config *out)
{
    int64_t padding = 1;
    const json_t *value = get(r, "downsample_padding");
    if (value) padding = json_is_integer(value) ? json_integer_value(value) : -1;
    if (padding != 0 && padding != 1)
        return refuse(r, BDPO_UNSUPPORTED, "downsample_padding", "0 or 1");
    out->downsample_padding = (int)padding;
    TRY(read_number(r, "mid_block_scale_factor", 1, 1e-6, &out->mid_scale));
    TRY(read_count(r, "in_channels", 4, &out->in_channels));
    TRY(read_count(r, "out_channels", 4, &out->out_channels));
    TRY(read_flag(r, "center_input_sample", false, &out->center_input));
    TRY(read_flag(r, "use_linear_projection", false, &out->linear_projection));
    TRY(read_flag(r, "upcast_attention", false, &out->upcast_attention));
    TRY(read_kernel(r, "conv_in_kernel", &out->conv_in_kernel));
    return read_kernel(r, "conv_out_kernel", &out->conv_out_kernel);
}

// ---- what must not stand in the file -----------------------------------------------------------

// Read above, or without effect on what is computed.
static const char *const known[] = {
    "block_out_channels",
    "down_block_types",
    "up_block_types",
    "layers_per_block",
    "transformer_layers_per_block",
    "attention_head_dim",
    "num_attention_heads",
    "cross_attention_dim",
    "sample_size",
    "in_channels",
    "out_channels",
    "center_input_sample",
    "flip_sin_to_cos",
    "freq_shift",
    "time_embedding_dim",
    "norm_num_groups",
    "norm_eps",
    "downsample_padding",
    "mid_block_scale_factor",
    "conv_in_kernel",
    "conv_out_kernel",
    "use_linear_projection",
    "upcast_attention",
    "addition_embed_type",
    "addition_time_embed_dim",
    "projection_class_embeddings_input_dim",
    "addition_embed_type_num_heads", // of another addition_embed_type
    "resnet_out_scale_factor",       // of other block types
    "resnet_skip_time_act",          // likewise
    // what diffusers' moving average leaves in a configuration
    "decay",
    "inv_gamma",
    "min_decay",
    "optimization_step",
    "power",
    "update_after_step",
    "use_ema_warmup",
};

// Fields with one value that we compute, as JSON; a missing or null field has it, too.
static const struct {
    const char *name, *values[2];
} fixed[] = {
    {"act_fn", {"\"silu\"", "\"swish\""}},
    {"mid_block_type", {"\"UNetMidBlock2DCrossAttn\""}},
    {"resnet_time_scale_shift", {"\"default\""}},
    {"time_embedding_type", {"\"positional\""}},
    {"attention_type", {"\"default\""}},
    {"dropout", {"0.0", "0"}},
};

static bool is_known(const char *name)
{
    for (size_t i = 0; i < BDPO_COUNTOF(known); i++)
        if (strcmp(known[i], name) == 0) return true;
    return name[0] == '_';
}

static bdpo_status check_fixed(const reader *r, size_t i, const json_t *value)
{
    json_text found = print_value(value);
    char expected[80];
    for (int k = 0; k < 2 && fixed[i].values[k]; k++)
        if (strcmp(found.text, fixed[i].values[k]) == 0) return BDPO_OK;
    // Without a middle block null is a value of its own.
    if (json_is_null(value) && strcmp(fixed[i].name, "mid_block_type") != 0) return BDPO_OK;
    snprintf(expected, sizeof expected, "%s", fixed[i].values[0]);
    return refuse(r, BDPO_UNSUPPORTED, fixed[i].name, expected);
}

// Off: null, false, or a list of false (only_cross_attention).
static bool is_off(const json_t *value)
{
    size_t i;
    const json_t *item;
    json_array_foreach(value, i, item) if (!json_is_false(item)) return false;
    return json_is_null(value) || json_is_false(value) || json_is_array(value);
}

static bdpo_status check_field(const reader *r, const char *name, const json_t *value)
{
    if (is_known(name)) return BDPO_OK;
    for (size_t i = 0; i < BDPO_COUNTOF(fixed); i++)
        if (strcmp(fixed[i].name, name) == 0) return check_fixed(r, i, value);
    if (is_off(value)) return BDPO_OK;
    return refuse(r, BDPO_UNSUPPORTED, name,
                  "null or false, or no such field: we do not know what it changes");
}

static bdpo_status check_class(const reader *r)
{
    const json_t *value = get(r, "_class_name");
    const char *name = json_string_value(value);
    if (!value || (name && strcmp(name, "UNet2DConditionModel") == 0)) return BDPO_OK;
    return refuse(r, BDPO_UNSUPPORTED, "_class_name", "\"UNet2DConditionModel\"");
}

static bdpo_status check_others(const reader *r)
{
    // The iterator of jansson takes no const; nothing is changed.
    json_t *root = (json_t *)(uintptr_t)r->root;
    const char *name;
    json_t *value;
    json_object_foreach(root, name, value) TRY(check_field(r, name, value));
    return BDPO_OK;
}

bdpo_status bdpo_unet_config_parse(bdpo_unet_config *out, const json_t *root, const char *file)
{
    reader r = {.root = root, .file = file};
    *out = (bdpo_unet_config){0};
    if (!json_is_object(root))
        return bdpo_fail(BDPO_BAD_FILE, "%s: found %s, expected a JSON object", file,
                         print_value(root).text);
    TRY(check_class(&r));
    TRY(check_others(&r));
    TRY(read_levels(&r, out));
    TRY(read_sample_size(&r, out));
    TRY(read_context_width(&r, out));
    TRY(read_norms(&r, out));
    TRY(read_time(&r, out));
    TRY(read_addition(&r, out));
    return read_rest(&r, out);
}

int64_t bdpo_unet_pooled_width(const bdpo_unet_config *config)
{
    return config->addition_width - BDPO_UNET_TIME_IDS * (int64_t)config->time_id_width;
}

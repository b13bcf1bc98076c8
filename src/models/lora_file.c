// Finding the adapters of a file for a component's layers.
#include "models/lora_adapter.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "formats/json.h"
#include "formats/tensor_file.h"
#include "tensor/tensor.h"

enum { N_NAMED = 3 };

struct bdpo_lora_file {
    bdpo_tensor_file *tensors;
    bool *used; // of each tensor
    // What the writer says of rank and alpha: PEFT's adapter_config.json, or diffusers' metadata
    // lora_adapter_metadata with keys "unet.lora_alpha". NULL where there is none.
    bdpo_json_document *config;
    bool config_by_component;
};

// ---- opening -----------------------------------------------------------------------------------

// The file of adapters in a directory of diffusers or PEFT.
static bdpo_status find_in_directory(char out[BDPO_PATH_BYTES], bool *peft, const char *path)
{
    static const char *const names[] = {"pytorch_lora_weights.safetensors",
                                        "adapter_model.safetensors", "pytorch_lora_weights.bin",
                                        "adapter_model.bin"}; // every second is PEFT's
    for (size_t i = 0; i < BDPO_COUNTOF(names); i++) {
        TRY(bdpo_file_join(out, path, names[i]));
        *peft = i % 2 == 1;
        if (bdpo_file_exists(out)) return BDPO_OK;
    }
    return bdpo_fail(BDPO_NOT_FOUND,
                     "%s: a directory without pytorch_lora_weights.safetensors or "
                     "adapter_model.safetensors",
                     path);
}

static bdpo_status check_kind(const bdpo_lora_file *f, const char *prefix)
{
    bdpo_json root = bdpo_json_root(f->config);
    char field[64];
    bool dora;
    snprintf(field, sizeof field, "%suse_dora", prefix);
    TRY(bdpo_json_bool_or(&dora, &root, field, false));
    if (dora) return bdpo_fail(BDPO_UNSUPPORTED, "%s: DoRA is not supported", root.file);
    return BDPO_OK;
}

// `peft`: the directory where it is one of PEFT, which never leaves out its configuration; else
// NULL.
static bdpo_status open_config(bdpo_lora_file *f, const char *peft)
{
    static const char *const components[] = {"unet.", "text_encoder.", "text_encoder_2."};
    const char *metadata = bdpo_tensor_file_text(f->tensors, "lora_adapter_metadata");
    char path[BDPO_PATH_BYTES + 64];
    if (peft) {
        TRY(bdpo_file_join(path, peft, "adapter_config.json"));
        TRY(bdpo_json_open(&f->config, path));
        return check_kind(f, "");
    }
    if (!metadata) return BDPO_OK;
    snprintf(path, sizeof path, "%s (lora_adapter_metadata)", bdpo_tensor_file_path(f->tensors));
    TRY(bdpo_json_parse(&f->config, metadata, strlen(metadata), path));
    f->config_by_component = true;
    for (size_t i = 0; i < BDPO_COUNTOF(components); i++) TRY(check_kind(f, components[i]));
    return BDPO_OK;
}

static bdpo_status open_file(bdpo_lora_file *f, const char *path)
{
    char inner[BDPO_PATH_BYTES];
    bool directory = bdpo_file_is_directory(path), peft = false;
    if (directory) TRY(find_in_directory(inner, &peft, path));
    TRY(bdpo_tensor_file_open(&f->tensors, directory ? inner : path));
    size_t count = bdpo_tensor_file_count(f->tensors);
    if (count == 0) return bdpo_fail(BDPO_BAD_FILE, "%s: holds no tensors", path);
    f->used = bdpo_alloc(count, sizeof *f->used);
    if (!f->used) return bdpo_fail(BDPO_NO_MEMORY, "no memory to open %s", path);
    return open_config(f, peft ? path : NULL);
}

bdpo_status bdpo_lora_file_open(bdpo_lora_file **out, const char *path)
{
    *out = NULL;
    bdpo_lora_file *f = bdpo_alloc(1, sizeof *f);
    if (!f) return bdpo_fail(BDPO_NO_MEMORY, "no memory to open %s", path);
    bdpo_status status = open_file(f, path);
    if (status != BDPO_OK) {
        bdpo_lora_file_close(f);
        return status;
    }
    *out = f;
    return BDPO_OK;
}

void bdpo_lora_file_close(bdpo_lora_file *f)
{
    if (!f) return;
    bdpo_json_free(f->config);
    bdpo_tensor_file_close(f->tensors);
    bdpo_free(f->used);
    bdpo_free(f);
}

const char *bdpo_lora_file_path(const bdpo_lora_file *f)
{
    return bdpo_tensor_file_path(f->tensors);
}

// ---- alpha -------------------------------------------------------------------------------------

// PEFT takes a pattern for a layer whose path it is or ends, after a dot.
static bool pattern_fits(const char *pattern, const char *path)
{
    size_t n = strlen(path), m = strlen(pattern);
    if (m > n || strcmp(path + n - m, pattern) != 0) return false;
    return n == m || path[n - m - 1] == '.';
}

static bdpo_status alpha_of_pattern(double *alpha, const bdpo_json *root, const char *field,
                                    const char *path)
{
    bdpo_json patterns;
    if (!bdpo_json_has(root, field)) return BDPO_OK;
    TRY(bdpo_json_object(&patterns, root, field));
    for (const char *key = bdpo_json_next_key(&patterns, NULL); key;
         key = bdpo_json_next_key(&patterns, key))
        if (pattern_fits(key, path)) return bdpo_json_double(alpha, &patterns, key, -1e9, 1e9);
    return BDPO_OK;
}

static bdpo_status alpha_of_config(double *alpha, const bdpo_lora_file *f, const char *component,
                                   const char *path, int64_t rank)
{
    bdpo_json root = bdpo_json_root(f->config);
    char prefix[64] = "", field[96];
    bool by_root;
    if (f->config_by_component) snprintf(prefix, sizeof prefix, "%s.", component);
    snprintf(field, sizeof field, "%slora_alpha", prefix);
    TRY(bdpo_json_double_or(alpha, &root, field, (double)rank, -1e9, 1e9));
    snprintf(field, sizeof field, "%salpha_pattern", prefix);
    TRY(alpha_of_pattern(alpha, &root, field, path));
    snprintf(field, sizeof field, "%suse_rslora", prefix);
    TRY(bdpo_json_bool_or(&by_root, &root, field, false));
    if (by_root) *alpha *= sqrt((double)rank); // rank-stabilised: alpha / sqrt(rank)
    return BDPO_OK;
}

// ---- adapters ----------------------------------------------------------------------------------

static const bdpo_stored_tensor *take(bdpo_lora_file *f, const char *key)
{
    const bdpo_stored_tensor *t = bdpo_tensor_file_find(f->tensors, key);
    if (t) f->used[t - bdpo_tensor_file_at(f->tensors, 0)] = true;
    return t;
}

// Equal but for kernels of 1x1 that only one of them states.
static bool has_shape(const bdpo_stored_tensor *t, const bdpo_shape *shape)
{
    for (int i = 0; i < t->n_dims || i < shape->n_dims; i++) {
        int64_t a = i < t->n_dims ? t->dim[i] : 1, b = i < shape->n_dims ? shape->dim[i] : 1;
        if (a != b) return false;
    }
    return true;
}

static bdpo_status refuse_shape(const bdpo_stored_tensor *t, const bdpo_shape *expected)
{
    return bdpo_fail(BDPO_BAD_FILE, "%s: \"%s\" is %s where %s is expected", t->path, t->name,
                     bdpo_stored_shape_print(t->dim, t->n_dims).text,
                     bdpo_shape_print(expected).text);
}

static bdpo_status check_adapter(const bdpo_lora_adapter *a, const bdpo_shape *weight)
{
    if (a->rank < 1)
        return bdpo_fail(BDPO_BAD_FILE, "%s: \"%s\" is %s, which has no rank", a->down->path,
                         a->down->name,
                         bdpo_stored_shape_print(a->down->dim, a->down->n_dims).text);
    bdpo_shape down = *weight, up = BDPO_SHAPE(weight->dim[0], a->rank);
    down.dim[0] = a->rank;
    if (!has_shape(a->down, &down)) return refuse_shape(a->down, &down);
    return has_shape(a->up, &up) ? BDPO_OK : refuse_shape(a->up, &up);
}

static bdpo_status read_alpha(double *alpha, const bdpo_stored_tensor *t)
{
    float value;
    if (t->count != 1)
        return bdpo_fail(BDPO_BAD_FILE, "%s: \"%s\" is %s where one number is expected", t->path,
                         t->name, bdpo_stored_shape_print(t->dim, t->n_dims).text);
    TRY(bdpo_stored_tensor_read_f32(t, &value, 1));
    if (!isfinite(value))
        return bdpo_fail(BDPO_BAD_FILE, "%s: \"%s\" is not a finite number", t->path, t->name);
    *alpha = (double)value;
    return BDPO_OK;
}

bdpo_status bdpo_lora_adapter_find(bool *found, bdpo_lora_adapter *out, bdpo_lora_file *f,
                                   const bdpo_lora_component *component, const char *path,
                                   const bdpo_shape *weight)
{
    bdpo_lora_keys keys;
    const bdpo_stored_tensor *alpha = NULL;
    *found = false;
    for (int i = 0; i < BDPO_LORA_N_SPELLINGS && !*found; i++) {
        if (!bdpo_lora_spell(&keys, i, component, path)) continue;
        *out = (bdpo_lora_adapter){.down = take(f, keys.down), .up = take(f, keys.up)};
        *found = out->down || out->up;
        if (*found) alpha = take(f, keys.alpha);
    }
    if (!*found) return BDPO_OK;
    if (!out->down || !out->up)
        return bdpo_fail(BDPO_BAD_FILE, "%s: \"%s\" is missing beside \"%s\"",
                         bdpo_tensor_file_path(f->tensors), out->down ? keys.up : keys.down,
                         out->down ? keys.down : keys.up);
    out->rank = out->down->n_dims > 0 ? out->down->dim[0] : 0;
    TRY(check_adapter(out, weight));
    if (alpha) return read_alpha(&out->alpha, alpha);
    out->alpha = (double)out->rank;
    return f->config ? alpha_of_config(&out->alpha, f, component->name, path, out->rank) : BDPO_OK;
}

// ---- layers ------------------------------------------------------------------------------------

static bdpo_status target_layer(bdpo_lora *lora, const bdpo_lora_source *sources, int n_sources,
                                const bdpo_lora_component *component, const char *path,
                                const bdpo_shape *weight)
{
    int64_t rank = 0;
    double alpha = 0;
    for (int i = 0; i < n_sources; i++) {
        bool found;
        bdpo_lora_adapter a;
        TRY(bdpo_lora_adapter_find(&found, &a, sources[i].file, component, path, weight));
        if (!found) continue;
        rank += a.rank;
        alpha = n_sources == 1 ? a.alpha : (double)rank;
    }
    return rank > 0 ? bdpo_lora_add(lora, path, *weight, rank, alpha) : BDPO_OK;
}

bdpo_status bdpo_lora_files_target(bdpo_lora *lora, const bdpo_lora_source *sources, int n_sources,
                                   const bdpo_lora_component *component)
{
    if (n_sources == 1) bdpo_lora_set_strength(lora, sources[0].strength);
    for (int i = 0; i < bdpo_param_list_count(component->params); i++) {
        const bdpo_param_spec *spec = bdpo_param_list_at(component->params, i);
        char path[BDPO_NAME_BYTES];
        if (!bdpo_param_layer(path, spec)) continue;
        TRY(target_layer(lora, sources, n_sources, component, path, &spec->shape));
    }
    return BDPO_OK;
}

bdpo_status bdpo_lora_file_check_used(const bdpo_lora_file *f)
{
    size_t count = bdpo_tensor_file_count(f->tensors), n_left = 0, length = 0;
    char names[N_NAMED * (BDPO_NAME_BYTES + 4)] = "";
    for (size_t i = 0; i < count; i++) {
        if (f->used[i] || n_left++ >= N_NAMED) continue;
        int n = snprintf(names + length, sizeof names - length, "%s\"%.*s\"", length ? ", " : "",
                         BDPO_NAME_BYTES, bdpo_tensor_file_at(f->tensors, i)->name);
        length += (size_t)n;
    }
    if (n_left == 0) return BDPO_OK;
    return bdpo_fail(
        BDPO_BAD_FILE, "%s: %zu of %zu tensors are no adapter of a layer of this model: %s%s",
        bdpo_tensor_file_path(f->tensors), n_left, count, names, n_left > N_NAMED ? ", .." : "");
}

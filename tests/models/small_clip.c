#include "models/small_clip.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>

#include "base/memory.h"
#include "formats/safetensors.h"
#include "harness.h"
#include "models/clip_text.h"
#include "models/clip_vision.h"
#include "models/naming.h"
#include "parity/model_parity.h"
#include "tensor/tensor.h"

const small_clip small_h = {.embed = 64,
                            .patch = 32,
                            .vision = {160, 3, 2, 320},
                            .text = {96, 3, 6, 384},
                            .vocabulary = 49408};
const small_clip small_l = {.embed = 768,
                            .patch = 32,
                            .vision = {64, 3, 4, 256},
                            .text = {64, 2, 4, 128},
                            .quick_gelu = true,
                            .vocabulary = 49408};
const small_clip small_g = {.embed = 80,
                            .patch = 28,
                            .vision = {208, 2, 2, 410},
                            .text = {64, 3, 4, 160},
                            .vocabulary = 49408};

// ---- configurations ----------------------------------------------------------------------------

static json_t *tower_config(const small_clip *m, const small_tower *t)
{
    return json_pack("{s:i, s:i, s:i, s:i, s:s}", "hidden_size", t->width, "num_hidden_layers",
                     t->layers, "num_attention_heads", t->heads, "intermediate_size", t->mlp_width,
                     "hidden_act", m->quick_gelu ? "quick_gelu" : "gelu");
}

static json_t *transformers_config(const small_clip *m)
{
    json_t *text = tower_config(m, &m->text), *vision = tower_config(m, &m->vision);
    json_object_set_new(text, "vocab_size", json_integer(m->vocabulary));
    json_object_set_new(text, "eos_token_id", json_integer(2));
    json_object_set_new(vision, "patch_size", json_integer(m->patch));
    return json_pack("{s:[s], s:s, s:i, s:o, s:o}", "architectures", "CLIPModel", "model_type",
                     "clip", "projection_dim", m->embed, "text_config", text, "vision_config",
                     vision);
}

static json_t *open_clip_config(const small_clip *m)
{
    const small_tower *v = &m->vision, *t = &m->text;
    return json_pack("{s:{s:i, s:b, s:{s:i, s:i, s:i, s:f, s:i}, s:{s:i, s:i, s:i, s:f, s:i}}}",
                     "model_cfg", "embed_dim", m->embed, "quick_gelu", (int)m->quick_gelu,
                     "vision_cfg", "width", v->width, "layers", v->layers, "head_width",
                     v->width / v->heads, "mlp_ratio", v->mlp_width / (double)v->width + 1e-9,
                     "patch_size", m->patch, "text_cfg", "width", t->width, "layers", t->layers,
                     "heads", t->heads, "mlp_ratio", t->mlp_width / (double)t->width + 1e-9,
                     "vocab_size", m->vocabulary);
}

static void write_config(const char *directory, const char *name, json_t *config)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    CHECK_INT(json_dump_file(config, path, JSON_INDENT(1)), 0);
}

// ---- weights -----------------------------------------------------------------------------------

enum { MAX_TENSORS = 256 };

typedef struct tensors {
    bdpo_tensor_to_write list[MAX_TENSORS];
    char names[MAX_TENSORS][BDPO_NAME_BYTES];
    int64_t dims[MAX_TENSORS][4];
    float *values[MAX_TENSORS];
    size_t count;
} tensors;

static size_t count_of(const tensors *t, size_t i)
{
    size_t n = 1;
    for (int d = 0; d < t->list[i].n_dims; d++) n *= (size_t)t->dims[i][d];
    return n;
}

// The tensor of this name, new and zeroed where there is none.
static float *tensor(tensors *t, const char *name, int n_dims, const int64_t *dim)
{
    for (size_t i = 0; i < t->count; i++)
        if (strcmp(t->names[i], name) == 0) return t->values[i];
    size_t i = t->count++;
    CHECK(i < MAX_TENSORS);
    snprintf(t->names[i], sizeof t->names[i], "%s", name);
    memcpy(t->dims[i], dim, (size_t)n_dims * sizeof *dim);
    t->list[i] = (bdpo_tensor_to_write){
        .name = t->names[i], .dtype = BDPO_STORED_F32, .n_dims = n_dims, .dim = t->dims[i]};
    t->values[i] = model_floats(count_of(t, i));
    t->list[i].data = t->values[i];
    return t->values[i];
}

// Values in the order of transformers' file: convolutions OIHW.
static float *values_of(const small_clip *m, const bdpo_param_spec *spec)
{
    char key[512];
    bdpo_shape shape = spec->shape;
    size_t count = (size_t)bdpo_shape_count(&shape);
    float *values = model_floats(count);
    snprintf(key, sizeof key, "%s/%s", m->weights, spec->name);
    if (strcmp(spec->name, "logit_scale") == 0)
        values[0] = SMALL_LOGIT_SCALE_4 / 4.0F;
    else
        model_fill_parameter(values, count, spec->name, shape.n_dims, shape.dim[0], key);
    if (shape.n_dims != 4) return values;
    int64_t ci = shape.dim[1], plane = shape.dim[2] * shape.dim[3];
    float *turned = model_floats(count);
    for (int64_t o = 0; o < shape.dim[0]; o++)
        for (int64_t c = 0; c < ci; c++)
            for (int64_t i = 0; i < plane; i++)
                turned[(o * ci + c) * plane + i] = values[(o * plane + i) * ci + c];
    bdpo_free(values);
    return turned;
}

static void add_transformers(tensors *t, const small_clip *m, const bdpo_param_spec *spec)
{
    bool scalar = strcmp(spec->name, "logit_scale") == 0; // stored without axes
    float *values = values_of(m, spec);
    float *out = tensor(t, spec->name, scalar ? 0 : spec->shape.n_dims, spec->shape.dim);
    memcpy(out, values, (size_t)bdpo_shape_count(&spec->shape) * sizeof *out);
    bdpo_free(values);
}

static void add_open_clip(tensors *t, const small_clip *m, const bdpo_param_spec *spec,
                          const bdpo_naming *naming)
{
    bdpo_tensor_name name;
    CHECK(bdpo_naming_to_original(&name, naming, spec->name));
    float *values = values_of(m, spec);
    size_t count = (size_t)bdpo_shape_count(&spec->shape);
    int64_t dim[4];
    memcpy(dim, spec->shape.dim, sizeof dim);
    if (name.third >= 0) dim[0] *= 3;
    if (name.transposed) {
        dim[0] = spec->shape.dim[1];
        dim[1] = spec->shape.dim[0];
    }
    bool scalar = strcmp(spec->name, "logit_scale") == 0;
    float *out = tensor(t, name.text, scalar ? 0 : spec->shape.n_dims, dim);
    if (name.third >= 0) out += (size_t)name.third * count;
    if (name.transposed)
        for (int64_t i = 0; i < dim[0]; i++)
            for (int64_t j = 0; j < dim[1]; j++) out[i * dim[1] + j] = values[j * dim[0] + i];
    else
        memcpy(out, values, count * sizeof *out);
    bdpo_free(values);
}

static void collect(tensors *t, const small_clip *m, const json_t *config)
{
    bdpo_clip_text_config text;
    bdpo_clip_vision_config vision;
    bdpo_param_list *list;
    bdpo_naming *naming;
    CHECK_OK(bdpo_clip_text_config_parse(&text, config, "config"));
    CHECK_OK(bdpo_clip_vision_config_parse(&vision, config, "config"));
    CHECK_OK(bdpo_naming_new(&naming, BDPO_NAMES_OPEN_CLIP, config, "config"));
    CHECK_OK(bdpo_param_list_new(&list));
    bdpo_clip_text_params(list, &text);
    bdpo_clip_vision_params(list, &vision);
    bdpo_clip_logit_scale_params(list);
    CHECK_OK(bdpo_param_list_check(list));
    for (int i = 0; i < bdpo_param_list_count(list); i++)
        if (m->open_clip)
            add_open_clip(t, m, bdpo_param_list_at(list, i), naming);
        else
            add_transformers(t, m, bdpo_param_list_at(list, i));
    bdpo_param_list_free(list);
    bdpo_naming_free(naming);
}

static void make_half(tensors *t)
{
    for (size_t i = 0; i < t->count; i++) {
        char *bytes = (char *)t->values[i]; // in place, from the front
        for (size_t j = 0, n = count_of(t, i); j < n; j++) {
            uint16_t half = bdpo_f16_from_f32(t->values[i][j]);
            memcpy(bytes + j * sizeof half, &half, sizeof half);
        }
        t->list[i].dtype = BDPO_STORED_F16;
    }
}

void small_clip_write(const char *directory, const char *file, const small_clip *m)
{
    char path[1024];
    json_t *config = transformers_config(m);
    tensors *t = bdpo_alloc(1, sizeof *t);
    collect(t, m, config);
    if (m->half) make_half(t);
    if (!file) file = m->open_clip ? "open_clip_model.safetensors" : "model.safetensors";
    snprintf(path, sizeof path, "%s/%s", directory, file);
    CHECK_OK(bdpo_safetensors_write(path, t->list, t->count, NULL));
    if (!m->without_config && !m->open_clip) write_config(directory, "config.json", config);
    json_decref(config);
    config = open_clip_config(m);
    if (!m->without_config && m->open_clip)
        write_config(directory, "open_clip_config.json", config);
    json_decref(config);
    for (size_t i = 0; i < t->count; i++) bdpo_free(t->values[i]);
    bdpo_free(t);
}

void small_head_write(const char *path)
{
    static const int numbers[] = {0, 2, 4, 6, 7};
    static const int64_t sizes[] = {768, 1024, 128, 64, 16, 1};
    tensors *t = bdpo_alloc(1, sizeof *t);
    for (int i = 0; i < 5; i++) {
        char name[64], key[128];
        int64_t dim[] = {sizes[i + 1], sizes[i]};
        for (int n_dims = 1; n_dims <= 2; n_dims++) {
            snprintf(name, sizeof name, "layers.%d.%s", numbers[i],
                     n_dims == 2 ? "weight" : "bias");
            snprintf(key, sizeof key, "head/%s", name);
            float *values = tensor(t, name, n_dims, dim);
            size_t count = count_of(t, t->count - 1);
            model_fill_parameter(values, count, name, n_dims, dim[0], key);
            for (size_t j = 0; i == 0 && n_dims == 2 && j < count; j++)
                values[j] *= (float)sqrt(768.0);
            if (i == 4 && n_dims == 1) values[0] = 5;
        }
    }
    CHECK_OK(bdpo_safetensors_write(path, t->list, t->count, NULL));
    for (size_t i = 0; i < t->count; i++) bdpo_free(t->values[i]);
    bdpo_free(t);
}

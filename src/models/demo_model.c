// Folder by folder: configuration, the list of parameters that it asks for, a value for each.
#include "models/demo_model.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/random.h"
#include "formats/safetensors.h"
#include "models/clip_text.h"
#include "models/demo_configs.h"
#include "models/demo_vocabulary.h"
#include "models/model_writer.h"
#include "models/unet.h"
#include "models/vae.h"

// ---- values ------------------------------------------------------------------------------------

static bool ends_in(const char *text, const char *end)
{
    size_t n = strlen(text), k = strlen(end);
    return n >= k && strcmp(text + n - k, end) == 0;
}

// The last product of a residual branch: kept small, so that depth does not amplify.
static bool ends_branch(const char *name)
{
    static const char *const ends[] = {"conv2.weight",    "to_out.0.weight", "ff.net.2.weight",
                                       "proj_out.weight", "out_proj.weight", "fc2.weight"};
    for (size_t i = 0; i < BDPO_COUNTOF(ends); i++)
        if (ends_in(name, ends[i])) return true;
    return false;
}

// Deviation of a tensor's values, about a mean of 1 for the gain of a norm and else 0. Products
// keep the deviation of what they get.
static double deviation(const bdpo_param_spec *spec)
{
    double fan_in = 1;
    if (ends_in(spec->name, "embedding.weight")) return 0.5;
    if (spec->shape.n_dims == 1) return 0.1; // biases and gains
    for (int i = 1; i < spec->shape.n_dims; i++) fan_in *= (double)spec->shape.dim[i];
    return (ends_branch(spec->name) ? 0.3 : 1) / sqrt(fan_in);
}

static bool is_gain(const bdpo_param_spec *spec)
{
    return spec->shape.n_dims == 1 && ends_in(spec->name, ".weight");
}

static int64_t elements(const bdpo_param_spec *spec)
{
    int64_t count = 1;
    for (int i = 0; i < spec->shape.n_dims; i++) count *= spec->shape.dim[i];
    return count;
}

typedef struct weights {
    const bdpo_param_list *list;
    const bdpo_demo_model *model;
    int part; // numbers the components: no two parameters share random numbers
} weights;

static bdpo_status put(void *context, size_t index, bdpo_tensor_sink *sink)
{
    const weights *w = context;
    const bdpo_param_spec *spec = bdpo_param_list_at(w->list, (int)index);
    if (w->model->interrupted && w->model->interrupted())
        return bdpo_fail(BDPO_INTERRUPTED, "interrupted");
    int64_t count = elements(spec);
    float *values = bdpo_alloc((size_t)count, sizeof *values);
    if (!values) return bdpo_fail(BDPO_NO_MEMORY, "no memory for \"%s\"", spec->name);
    bdpo_random_key key = {.seed = w->model->seed,
                           .sample = (uint64_t)w->part << 32 | index,
                           .purpose = BDPO_RANDOM_INIT};
    bdpo_random_normal(values, count, key, 0);
    float scale = (float)deviation(spec), mean = is_gain(spec) ? 1 : 0;
    for (int64_t i = 0; i < count; i++) values[i] = mean + scale * values[i];
    bdpo_status status = bdpo_tensor_sink_put(sink, values, (size_t)count * sizeof *values);
    bdpo_free(values);
    return status;
}

static bdpo_status write_weights(const char *path, weights *w)
{
    size_t count = (size_t)bdpo_param_list_count(w->list);
    bdpo_tensor_to_write *tensors = bdpo_alloc(count, sizeof *tensors);
    if (!tensors) return bdpo_fail(BDPO_NO_MEMORY, "%s: no memory for its tensors", path);
    for (size_t i = 0; i < count; i++) {
        const bdpo_param_spec *spec = bdpo_param_list_at(w->list, (int)i);
        tensors[i] = (bdpo_tensor_to_write){.name = spec->name,
                                            .dtype = BDPO_STORED_F32,
                                            .n_dims = spec->shape.n_dims,
                                            .dim = spec->shape.dim};
    }
    bdpo_status status = bdpo_safetensors_write(
        path, tensors, count, &(bdpo_safetensors_options){.source = put, .context = w});
    bdpo_free(tensors);
    return status;
}

// ---- folders -----------------------------------------------------------------------------------

static bdpo_status make_directory(char path[BDPO_PATH_BYTES], const char *parent, const char *name)
{
    TRY(bdpo_file_join(path, parent, name));
    if (mkdir(path, 0777) == 0 || (errno == EEXIST && bdpo_file_is_directory(path))) return BDPO_OK;
    char reason[128];
    if (strerror_r(errno, reason, sizeof reason) != 0) snprintf(reason, sizeof reason, "error");
    return bdpo_fail(BDPO_IO, "%s: cannot make the directory: %s", path, reason);
}

static bdpo_status write_json(const char *directory, const char *name, const json_t *root)
{
    char path[BDPO_PATH_BYTES];
    TRY(bdpo_file_join(path, directory, name));
    char *text = json_dumps(root, JSON_INDENT(2) | JSON_SORT_KEYS | JSON_REAL_PRECISION(15));
    if (!text) return bdpo_fail(BDPO_NO_MEMORY, "%s: no memory to write it", path);
    bdpo_status status = bdpo_file_write(path, text, strlen(text));
    free(text); // jansson's
    return status;
}

// Writes one of the configurations; where `list` is given, adds the parameters that it asks for.
static bdpo_status write_config(const char *directory, const char *file, const char *name,
                                const bdpo_demo_model *model, bdpo_param_list *list)
{
    bdpo_json_document *document;
    TRY(bdpo_demo_config(&document, model, name));
    const json_t *root = bdpo_json_root(document).value;
    bdpo_status status = write_json(directory, file, root);
    union {
        bdpo_unet_config unet;
        bdpo_vae_config vae;
        bdpo_clip_text_config text;
    } config;
    if (!list || status != BDPO_OK) {
        // nothing more
    } else if (strcmp(name, "unet") == 0) {
        status = bdpo_unet_config_parse(&config.unet, root, name);
        if (status == BDPO_OK) bdpo_unet_params(list, &config.unet);
    } else if (strcmp(name, "vae") == 0) {
        status = bdpo_vae_config_parse(&config.vae, root, name);
        if (status == BDPO_OK) bdpo_vae_params(list, &config.vae);
    } else {
        status = bdpo_clip_text_config_parse(&config.text, root, name);
        if (status == BDPO_OK) bdpo_clip_text_params(list, &config.text);
    }
    bdpo_json_free(document);
    return status;
}

static bdpo_status write_component(const char *root, const bdpo_component_spec *spec,
                                   const bdpo_demo_model *model, int part)
{
    char directory[BDPO_PATH_BYTES], path[BDPO_PATH_BYTES], file[64];
    bdpo_param_list *list;
    TRY(make_directory(directory, root, spec->name));
    snprintf(file, sizeof file, "%s.safetensors", spec->weights);
    TRY(bdpo_file_join(path, directory, file));
    TRY(bdpo_param_list_new(&list));
    bdpo_status status = write_config(directory, "config.json", spec->name, model, list);
    if (status == BDPO_OK) status = bdpo_param_list_check(list);
    weights w = {.list = list, .model = model, .part = part};
    if (status == BDPO_OK) status = write_weights(path, &w);
    bdpo_param_list_free(list);
    return status;
}

static bdpo_status write_tokenizers(const char *root, bdpo_model_type type)
{
    char directory[BDPO_PATH_BYTES];
    TRY(make_directory(directory, root, "tokenizer"));
    TRY(bdpo_demo_vocabulary_write(directory, type == BDPO_SD2 ? "!" : NULL));
    if (type != BDPO_SDXL) return BDPO_OK;
    TRY(make_directory(directory, root, "tokenizer_2"));
    return bdpo_demo_vocabulary_write(directory, "!");
}

bdpo_status bdpo_demo_model_write(const char *root, const bdpo_demo_model *model)
{
    char directory[BDPO_PATH_BYTES];
    TRY(make_directory(directory, root, ""));
    TRY(write_tokenizers(root, model->type));
    TRY(make_directory(directory, root, "scheduler"));
    TRY(write_config(directory, "scheduler_config.json", "scheduler", model, NULL));
    for (int i = 0; i < bdpo_model_type_count(model->type); i++)
        TRY(write_component(root, bdpo_model_type_at(model->type, i), model, i));
    return write_config(root, "model_index.json", "model_index", model, NULL);
}

// ---- a single file -----------------------------------------------------------------------------

static bdpo_status write_as_single(const char *path, const bdpo_checkpoint *checkpoint)
{
    enum { MAX_PARTS = 8 };
    bdpo_part_to_write parts[MAX_PARTS];
    BDPO_ASSERT(bdpo_checkpoint_count(checkpoint) <= MAX_PARTS);
    bdpo_parts_of_checkpoint(parts, checkpoint);
    bdpo_model_to_write model = {
        .checkpoint = checkpoint, .parts = parts, .n_parts = bdpo_checkpoint_count(checkpoint)};
    return bdpo_model_write_single(path, &model);
}

static bdpo_status remove_weights(const char *root, bdpo_model_type type)
{
    char directory[BDPO_PATH_BYTES], path[BDPO_PATH_BYTES], file[64];
    for (int i = 0; i < bdpo_model_type_count(type); i++) {
        const bdpo_component_spec *spec = bdpo_model_type_at(type, i);
        snprintf(file, sizeof file, "%s.safetensors", spec->weights);
        TRY(bdpo_file_join(directory, root, spec->name));
        TRY(bdpo_file_join(path, directory, file));
        if (unlink(path) != 0) return bdpo_fail(BDPO_IO, "%s: cannot remove it", path);
    }
    return BDPO_OK;
}

bdpo_status bdpo_demo_model_write_single(const char *path, const char *root,
                                         const bdpo_demo_model *model)
{
    bdpo_checkpoint *checkpoint;
    TRY(bdpo_demo_model_write(root, model));
    TRY(bdpo_checkpoint_open(&checkpoint, root, NULL));
    bdpo_status status = write_as_single(path, checkpoint);
    bdpo_checkpoint_close(checkpoint);
    return status == BDPO_OK ? remove_weights(root, model->type) : status;
}

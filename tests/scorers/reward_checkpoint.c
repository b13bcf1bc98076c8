// The folders of reward_checkpoint.h.
#include "scorers/reward_checkpoint.h"

#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "formats/safetensors.h"
#include "harness.h"
#include "models/scratch.h"
#include "parity/model_parity.h"
#include "tensor/tensor.h"

enum { MAX_TENSORS = 256, PROJECTION = 256 };

bdpo_blip_config reward_sizes(void)
{
    bdpo_blip_config config = bdpo_blip_image_reward();
    config.vision = (bdpo_vit_config){.width = 64,
                                      .mlp_width = 256,
                                      .layers = 2,
                                      .heads = 4,
                                      .channels = 3,
                                      .image_size = 224,
                                      .patch_size = 32,
                                      .norm_eps = 1e-6F};
    config.text = (bdpo_bert_config){.width = 48,
                                     .mlp_width = 160,
                                     .layers = 2,
                                     .heads = 4,
                                     .vocabulary = 1878 + 2,
                                     .positions = 40,
                                     .encoder_width = 64,
                                     .norm_eps = 1e-12F};
    config.vision_projection = config.text_projection = PROJECTION;
    return config;
}

// [co, ky, kx, ci] as a file has it, [co, ci, ky, kx].
static void to_file(float *out, const float *in, const bdpo_shape *shape)
{
    size_t kernel = (size_t)(shape->dim[2] * shape->dim[3]), ci = (size_t)shape->dim[1];
    for (size_t co = 0; co < (size_t)shape->dim[0]; co++)
        for (size_t k = 0; k < kernel; k++)
            for (size_t i = 0; i < ci; i++) out[(co * ci + i) * kernel + k] = *in++;
}

static float *values_of(const bdpo_param_spec *spec)
{
    char key[384];
    size_t count = (size_t)bdpo_shape_count(&spec->shape);
    float *values = model_floats(count), *turned;
    snprintf(key, sizeof key, "image_reward/%s", spec->name);
    model_fill_parameter(values, count, spec->name, spec->shape.n_dims, spec->shape.dim[0], key);
    if (spec->shape.n_dims != 4) return values;
    turned = model_floats(count);
    to_file(turned, values, &spec->shape);
    bdpo_free(values);
    return turned;
}

static bool matches(const char *pattern, const char *name)
{
    if (!pattern) return false;
    size_t n = strlen(pattern);
    return pattern[n - 1] == '*' ? strncmp(pattern, name, n - 1) == 0 : strcmp(pattern, name) == 0;
}

static void write_tensors(const char *path, const bdpo_param_list *list,
                          const reward_change *change)
{
    static const int64_t three[] = {3};
    static const float zeros[3];
    bdpo_tensor_to_write tensors[MAX_TENSORS];
    int64_t dims[MAX_TENSORS][BDPO_MAX_DIMS];
    float *values[MAX_TENSORS];
    size_t n = 0;
    for (int i = 0; i < bdpo_param_list_count(list); i++) {
        const bdpo_param_spec *spec = bdpo_param_list_at(list, i);
        CHECK(n + 1 < MAX_TENSORS);
        if (matches(change->drop, spec->name)) continue;
        memcpy(dims[n], spec->shape.dim, sizeof dims[n]);
        if (matches(change->resize, spec->name)) dims[n][0]--;
        values[n] = values_of(spec);
        if (matches(change->spoil, spec->name)) values[n][0] = NAN;
        tensors[n] = (bdpo_tensor_to_write){spec->name, BDPO_STORED_F32, spec->shape.n_dims,
                                            dims[n], values[n]};
        n++;
    }
    size_t n_values = n;
    if (change->add)
        tensors[n++] = (bdpo_tensor_to_write){change->add, BDPO_STORED_F32, 1, three, zeros};
    CHECK_OK(bdpo_safetensors_write(path, tensors, n, NULL));
    for (size_t i = 0; i < n_values; i++) bdpo_free(values[i]);
}

static void copy_vocabulary(const char *path)
{
    char *text;
    size_t size;
    CHECK_OK(bdpo_file_read(&text, &size, test_path("text/wordpiece/vocab.txt"), 1 << 20));
    CHECK_OK(bdpo_file_write(path, text, size));
    bdpo_free(text);
}

const char *reward_checkpoint(const char *name, const reward_change *change)
{
    static char folder[1024];
    static const char scorer[] = "{\"name\": \"small-reward\", \"family\": \"image-reward\","
                                 " \"vision_heads\": 4, \"text_heads\": 4}\n";
    static const reward_change none;
    char path[BDPO_PATH_BYTES];
    bdpo_param_list *list;
    bdpo_blip_config config = reward_sizes();
    if (!change) change = &none;
    if (change->bare) config.vision_projection = config.text_projection = 0;
    snprintf(folder, sizeof folder, "%s", scratch_directory(name));
    CHECK_OK(bdpo_param_list_new(&list));
    bdpo_blip_params(list, &config);
    CHECK_OK(bdpo_param_list_check(list));
    CHECK_OK(bdpo_file_join(path, folder, "ImageReward.safetensors"));
    write_tensors(path, list, change);
    bdpo_param_list_free(list);
    CHECK_OK(bdpo_file_join(path, folder, "scorer.json"));
    CHECK_OK(bdpo_file_write(path, scorer, sizeof scorer - 1));
    CHECK_OK(bdpo_file_join(path, folder, "vocab.txt"));
    copy_vocabulary(path);
    return folder;
}

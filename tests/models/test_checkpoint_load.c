// Weights in the store: mapped where they can be, permuted where they must, and refused whole where
// one of them does not fit.
#include "harness.h"

#include "base/memory.h"
#include "graph/store.h"
#include "models/checkpoint.h"
#include "tensor/tensor.h"

typedef struct loaded {
    bdpo_checkpoint *checkpoint;
    const bdpo_component *unet;
    bdpo_param_list *list;
    bdpo_engine *engine;
    bdpo_store *store;
} loaded;

static void open_golden(loaded *out)
{
    CHECK_OK(bdpo_checkpoint_open(&out->checkpoint, test_path("fixtures/checkpoints/sd2"), NULL));
    CHECK_OK(bdpo_checkpoint_find(&out->unet, out->checkpoint, "unet"));
    CHECK_OK(bdpo_param_list_new(&out->list));
    CHECK_OK(bdpo_component_params(out->list, bdpo_component_get_source(out->unet)));
    CHECK_OK(bdpo_engine_new(&out->engine, &(bdpo_engine_options){.n_threads = 1}));
    CHECK_OK(bdpo_store_new(&out->store, out->engine));
}

static void close_golden(loaded *l)
{
    bdpo_store_free(l->store);
    bdpo_engine_free(l->engine);
    bdpo_param_list_free(l->list);
    bdpo_checkpoint_close(l->checkpoint);
}

static void load(loaded *l, const bdpo_load_options *options)
{
    open_golden(l);
    CHECK_OK(bdpo_component_declare(l->unet, l->list, l->store, options));
    CHECK_OK(bdpo_store_seal(l->store));
    CHECK_OK(bdpo_component_fill(l->unet, l->list, l->store));
}

enum { LARGEST = 4096 };

// The store's values in f32, in the order of the file.
static size_t read_in_file_order(float *out, const loaded *l, const bdpo_param_spec *spec)
{
    static float raw[LARGEST];
    bdpo_dtype dtype;
    bdpo_shape shape;
    size_t count = (size_t)bdpo_shape_count(&spec->shape), n = 0;
    CHECK(count <= LARGEST);
    CHECK_OK(bdpo_store_describe(l->store, BDPO_PARAM, spec->name, &dtype, &shape));
    CHECK_OK(
        bdpo_store_read(l->store, BDPO_PARAM, spec->name, raw, count * bdpo_dtype_size(dtype)));
    const uint16_t *halves = (const uint16_t *)(const void *)raw;
    int64_t d[4] = {1, 1, 1, 1};
    for (int i = 0; i < spec->shape.n_dims; i++) d[i] = spec->shape.dim[i];
    bool conv = spec->shape.n_dims == 4;
    for (int64_t co = 0; co < d[0]; co++)
        for (int64_t ci = 0; ci < d[1]; ci++)
            for (int64_t y = 0; y < d[2]; y++)
                for (int64_t x = 0; x < d[3]; x++) {
                    int64_t at = conv ? ((co * d[2] + y) * d[3] + x) * d[1] + ci : (int64_t)n;
                    out[n++] = dtype == BDPO_F32 ? raw[at] : bdpo_f16_to_f32(halves[at]);
                }
    return n;
}

static void check_values(const loaded *l)
{
    static float got[LARGEST], expected[LARGEST];
    for (int i = 0; i < bdpo_param_list_count(l->list); i++) {
        const bdpo_param_spec *spec = bdpo_param_list_at(l->list, i);
        size_t n = read_in_file_order(got, l, spec);
        const bdpo_weight *w = bdpo_component_find(l->unet, spec->name);
        CHECK_OK(bdpo_stored_tensor_read_f32(&w->tensor, expected, n));
        CHECK_BYTES(got, expected, n * sizeof *got);
    }
}

BDPO_TEST(frozen_weights_stay_in_the_file)
{
    loaded l;
    int mapped = 0;
    load(&l, &(bdpo_load_options){0});
    check_values(&l);
    for (int i = 0; i < bdpo_param_list_count(l.list); i++) {
        const bdpo_param_spec *spec = bdpo_param_list_at(l.list, i);
        const bdpo_param_info *info = bdpo_store_find(l.store, spec->name);
        bool kernel = spec->shape.n_dims == 4 && spec->shape.dim[2] > 1;
        CHECK_INT(info->dtype, BDPO_F16);
        CHECK_INT(info->mapped != NULL, !kernel);
        mapped += info->mapped != NULL;
    }
    CHECK_INT(mapped, 186); // 206 without the kernels of 3x3: 16 in blocks, in, out, down, up
    close_golden(&l);
}

BDPO_TEST(copied_weights_need_no_file)
{
    loaded l;
    load(&l, &(bdpo_load_options){.copy = true});
    check_values(&l);
    for (int i = 0; i < bdpo_store_count(l.store); i++)
        CHECK(bdpo_store_at(l.store, i)->mapped == NULL);
    close_golden(&l);
}

BDPO_TEST(trainable_weights_are_f32)
{
    loaded l;
    load(&l, &(bdpo_load_options){.trainable = true});
    check_values(&l);
    for (int i = 0; i < bdpo_store_count(l.store); i++) {
        CHECK(bdpo_store_at(l.store, i)->trainable);
        CHECK_INT(bdpo_store_at(l.store, i)->dtype, BDPO_F32);
    }
    close_golden(&l);
}

BDPO_TEST(every_misfit_is_counted_and_the_first_are_named)
{
    loaded l;
    bdpo_param_list *other;
    open_golden(&l);
    CHECK_OK(bdpo_param_list_new(&other));
    for (int i = 0; i < bdpo_param_list_count(l.list); i++) {
        const bdpo_param_spec *spec = bdpo_param_list_at(l.list, i);
        if (strcmp(spec->name, "conv_in.weight") == 0)
            bdpo_param_list_add(other, BDPO_SHAPE(4, 9, 3, 3), "%s", spec->name);
        else if (strcmp(spec->name, "conv_out.bias") != 0)
            bdpo_param_list_add(other, spec->shape, "%s", spec->name);
    }
    bdpo_param_list_add(other, BDPO_SHAPE(7), "ours.weight");
    CHECK_OK(bdpo_param_list_check(other));
    CHECK_STATUS(bdpo_component_declare(l.unet, other, l.store, &(bdpo_load_options){0}),
                 BDPO_BAD_FILE);
    CHECK_CONTAINS(bdpo_message(),
                   "diffusion_pytorch_model.safetensors: 3 of 206 tensors do not fit unet (");
    CHECK_CONTAINS(bdpo_message(),
                   "unet/config.json): \"conv_in.weight\" is [4, 4, 3, 3] where [4, 9, 3, 3] is "
                   "expected; \"ours.weight\" [7] is missing; \"conv_out.bias\" [4] is left over");
    CHECK_INT(bdpo_store_count(l.store), 0); // nothing was begun
    bdpo_param_list_free(other);
    close_golden(&l);
}

BDPO_TEST(many_misfits_are_cut_short)
{
    loaded l;
    bdpo_param_list *none;
    open_golden(&l);
    CHECK_OK(bdpo_param_list_new(&none));
    CHECK_STATUS(bdpo_component_check(l.unet, none), BDPO_BAD_FILE);
    CHECK_CONTAINS(bdpo_message(), "206 of 0 tensors do not fit");
    CHECK_CONTAINS(bdpo_message(), "; and 202 more");
    bdpo_param_list_free(none);
    close_golden(&l);
}

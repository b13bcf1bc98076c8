// Writing a model: from a file and from a store, as training does, with the bytes that diffusers
// writes for the same numbers.
#include "harness.h"

#include "base/file.h"
#include "base/memory.h"
#include "formats/safetensors.h"
#include "models/checkpoint.h"
#include "models/model_writer.h"
#include "models/scratch.h"

enum { N_PARTS = 3 };

// The golden model with every component in a store of its own.
typedef struct loaded {
    bdpo_checkpoint *checkpoint;
    bdpo_engine *engine;
    bdpo_param_list *lists[N_PARTS];
    bdpo_store *stores[N_PARTS];
    bdpo_part_to_write parts[N_PARTS];
} loaded;

static void load(loaded *l, bool trainable)
{
    CHECK_OK(bdpo_checkpoint_open(&l->checkpoint, test_path("fixtures/checkpoints/sd2"), NULL));
    CHECK_OK(bdpo_engine_new(&l->engine, &(bdpo_engine_options){.n_threads = 1}));
    CHECK_INT(bdpo_checkpoint_count(l->checkpoint), N_PARTS);
    for (int i = 0; i < N_PARTS; i++) {
        const bdpo_component *c = bdpo_checkpoint_at(l->checkpoint, i);
        const bdpo_load_options options = {.trainable = trainable};
        CHECK_OK(bdpo_param_list_new(&l->lists[i]));
        CHECK_OK(bdpo_component_params(l->lists[i], bdpo_component_get_source(c)));
        CHECK_OK(bdpo_store_new(&l->stores[i], l->engine));
        CHECK_OK(bdpo_component_declare(c, l->lists[i], l->stores[i], &options));
        CHECK_OK(bdpo_store_seal(l->stores[i]));
        CHECK_OK(bdpo_component_fill(c, l->lists[i], l->stores[i]));
        l->parts[i] = (bdpo_part_to_write){
            .component = c, .params = l->lists[i], .store = l->stores[i], .kind = BDPO_PARAM};
    }
}

static void unload(loaded *l)
{
    for (int i = 0; i < N_PARTS; i++) {
        bdpo_store_free(l->stores[i]);
        bdpo_param_list_free(l->lists[i]);
    }
    bdpo_engine_free(l->engine);
    bdpo_checkpoint_close(l->checkpoint);
    scratch_remove();
}

static bdpo_model_to_write model_of(const loaded *l, bdpo_write_dtype dtype)
{
    return (bdpo_model_to_write){
        .checkpoint = l->checkpoint, .parts = l->parts, .n_parts = N_PARTS, .dtype = dtype};
}

static void check_same_file(const char *a, const char *b)
{
    bdpo_file_view left, right;
    CHECK_OK(bdpo_file_map(&left, a));
    CHECK_OK(bdpo_file_map(&right, b));
    CHECK_U64(left.size, right.size);
    CHECK_BYTES(left.data, right.data, left.size);
    bdpo_file_unmap(&left);
    bdpo_file_unmap(&right);
}

static void check_directory(const char *path)
{
    static const char *const files[] = {"unet/diffusion_pytorch_model.safetensors",
                                        "vae/diffusion_pytorch_model.safetensors"};
    char ours[1024], theirs[1024];
    for (size_t i = 0; i < BDPO_COUNTOF(files); i++) {
        snprintf(ours, sizeof ours, "%s/%s", path, files[i]);
        snprintf(theirs, sizeof theirs, "%s/%s", test_path("fixtures/checkpoints/sd2"), files[i]);
        check_same_file(ours, theirs);
    }
}

BDPO_TEST(trained_stores_give_diffusers_own_bytes)
{
    loaded l;
    load(&l, true); // f32, permuted: f16 again must be exact
    bdpo_model_to_write model = model_of(&l, BDPO_WRITE_F16);
    CHECK_OK(bdpo_model_write_directory(scratch_path("out"), &model));
    check_directory(scratch_path("out"));
    unload(&l);
}

BDPO_TEST(frozen_half_stores_give_diffusers_own_bytes)
{
    loaded l;
    load(&l, false); // f16, some mapped
    bdpo_model_to_write model = model_of(&l, BDPO_WRITE_F16);
    CHECK_OK(bdpo_model_write_directory(scratch_path("out"), &model));
    check_directory(scratch_path("out"));
    unload(&l);
}

BDPO_TEST(store_and_file_give_the_same_single_file)
{
    loaded l;
    bdpo_part_to_write from_file[N_PARTS];
    load(&l, true);
    bdpo_model_to_write model = model_of(&l, BDPO_WRITE_F16);
    CHECK_OK(bdpo_model_write_single(scratch_path("a.safetensors"), &model));
    bdpo_parts_of_checkpoint(from_file, l.checkpoint);
    model.parts = from_file;
    scratch_directory("b"); // the file's title is its name
    CHECK_OK(bdpo_model_write_single(scratch_path("b/a.safetensors"), &model));
    check_same_file(scratch_path("a.safetensors"), scratch_path("b/a.safetensors"));
    unload(&l);
}

BDPO_TEST(shards_read_back)
{
    loaded l;
    bdpo_checkpoint *back;
    load(&l, true);
    bdpo_model_to_write model = model_of(&l, BDPO_WRITE_AS_READ);
    model.shard_bytes = 4096;
    CHECK_OK(bdpo_model_write_directory(scratch_path("out"), &model));
    CHECK_OK(bdpo_checkpoint_open(&back, scratch_path("out"), NULL));
    CHECK_STR(bdpo_tensor_file_format(bdpo_checkpoint_file(back, 0)), "sharded");
    for (int i = 0; i < N_PARTS; i++)
        CHECK_OK(bdpo_component_check(bdpo_checkpoint_at(back, i), l.lists[i]));
    bdpo_checkpoint_close(back);
    unload(&l);
}

static bool always(void)
{
    return true;
}

BDPO_TEST(interrupted_writing_leaves_no_file)
{
    loaded l;
    load(&l, true);
    bdpo_model_to_write model = model_of(&l, BDPO_WRITE_F32);
    model.interrupted = always;
    CHECK_STATUS(bdpo_model_write_single(scratch_path("a.safetensors"), &model), BDPO_INTERRUPTED);
    bdpo_file_view view;
    CHECK_STATUS(bdpo_file_map(&view, scratch_path("a.safetensors")), BDPO_NOT_FOUND);
    unload(&l);
}

BDPO_TEST(values_beyond_f16_are_refused)
{
    loaded l;
    load(&l, true);
    const float large[] = {1.0F, 70000.0F, 0.0F, 0.0F};
    CHECK_OK(bdpo_store_write(l.stores[0], BDPO_PARAM, "conv_out.bias", large, sizeof large));
    bdpo_model_to_write model = model_of(&l, BDPO_WRITE_F16);
    CHECK_STATUS(bdpo_model_write_single(scratch_path("a.safetensors"), &model), BDPO_BAD_ARGUMENT);
    CHECK_CONTAINS(bdpo_message(), "out.2.bias\" has the value 70000, which f16 cannot hold");
    model.dtype = BDPO_WRITE_BF16;
    CHECK_OK(bdpo_model_write_single(scratch_path("a.safetensors"), &model));
    unload(&l);
}

BDPO_TEST(missing_tokenizer_is_named)
{
    loaded l;
    load(&l, false);
    bdpo_model_to_write model = model_of(&l, BDPO_WRITE_AS_READ);
    model.tokenizers = scratch_directory("nothing");
    CHECK_STATUS(bdpo_model_write_directory(scratch_path("out"), &model), BDPO_NOT_FOUND);
    CHECK_CONTAINS(bdpo_message(), "nothing/tokenizer: no such directory");
    unload(&l);
}

BDPO_TEST(writing_survives_each_failed_allocation)
{
    loaded l;
    load(&l, true);
    bdpo_model_to_write model = model_of(&l, BDPO_WRITE_F16);
    char path[512];
    snprintf(path, sizeof path, "%s", scratch_path("a.safetensors"));
    for (uint64_t at = 1;; at += at < 40 ? 1 : 41) { // each of the first, then a sample
        bdpo_alloc_fail_at(bdpo_alloc_count() + at);
        bdpo_status status = bdpo_model_write_single(path, &model);
        bdpo_alloc_fail_at(0);
        if (status == BDPO_OK) break;
        CHECK_STATUS(status, BDPO_NO_MEMORY);
    }
    unload(&l);
}

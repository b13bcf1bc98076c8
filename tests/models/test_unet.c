// models/unet: the parameters of the real models, and graphs that must build or be refused. The
// values are tests/parity/test_parity_unet.c's.
#include "harness.h"

#include <jansson.h>

#include "base/memory.h"
#include "models/unet.h"

static void read_file(bdpo_unet_config *out, const char *relative)
{
    json_error_t error;
    json_t *root = json_load_file(test_path(relative), 0, &error);
    if (!root) FAIL("%s: %s", relative, error.text);
    CHECK_OK(bdpo_unet_config_parse(out, root, relative));
    json_decref(root);
}

static bdpo_param_list *params_of(const bdpo_unet_config *config)
{
    bdpo_param_list *list;
    CHECK_OK(bdpo_param_list_new(&list));
    bdpo_unet_params(list, config);
    CHECK_OK(bdpo_param_list_check(list));
    return list;
}

// The totals that the models are known by.
static void check_total(const char *relative, int tensors, int64_t elements)
{
    bdpo_unet_config config;
    read_file(&config, relative);
    bdpo_param_list *list = params_of(&config);
    CHECK_INT(bdpo_param_list_count(list), tensors);
    CHECK_INT(bdpo_param_list_elements(list), elements);
    bdpo_param_list_free(list);
}

BDPO_TEST(unet_totals_are_those_of_the_real_models)
{
    check_total("fixtures/unet/sd15.json", 686, 859520964);
    check_total("fixtures/unet/sd21.json", 686, 865910724);
    check_total("fixtures/unet/sdxl.json", 1680, 2567463684);
}

static void check_param(const bdpo_param_list *list, const char *name, bdpo_shape shape)
{
    const bdpo_param_spec *spec = bdpo_param_list_find(list, name);
    if (!spec) FAIL("no parameter %s", name);
    CHECK_INT(spec->shape.n_dims, shape.n_dims);
    for (int i = 0; i < shape.n_dims; i++) CHECK_INT(spec->shape.dim[i], shape.dim[i]);
}

BDPO_TEST(unet_names_are_those_of_diffusers)
{
    bdpo_unet_config config;
    read_file(&config, "fixtures/unet/sdxl.json");
    bdpo_param_list *list = params_of(&config);
    check_param(list, "add_embedding.linear_1.weight", BDPO_SHAPE(1280, 2816));
    check_param(list, "down_blocks.1.attentions.0.proj_in.weight", BDPO_SHAPE(640, 640));
    check_param(list, "up_blocks.0.attentions.2.transformer_blocks.9.attn2.to_k.weight",
                BDPO_SHAPE(1280, 2048));
    check_param(list, "up_blocks.0.resnets.2.conv_shortcut.weight", BDPO_SHAPE(1280, 1920, 1, 1));
    check_param(list, "up_blocks.2.resnets.0.conv1.weight", BDPO_SHAPE(320, 960, 3, 3));
    check_param(list, "down_blocks.1.downsamplers.0.conv.weight", BDPO_SHAPE(640, 640, 3, 3));
    check_param(list, "mid_block.resnets.1.time_emb_proj.weight", BDPO_SHAPE(1280, 1280));
    bdpo_param_list_free(list);
}

// Modules that the known tools train: DPO's scripts attention only, kohya all linear layers of the
// transformers and their projections.
static void check_adapters(const char *relative, int attention, int transformers)
{
    static const char *const targets[] = {"attention", "feed-forward", "projections"};
    bdpo_unet_config config;
    bdpo_lora *lora;
    read_file(&config, relative);
    bdpo_param_list *list = params_of(&config);
    CHECK_OK(bdpo_lora_new(&lora));
    CHECK_OK(bdpo_lora_target(lora, list, targets, 1, 4, 4));
    CHECK_INT(bdpo_lora_count(lora), attention);
    CHECK_OK(bdpo_lora_target(lora, list, targets, 3, 8, 1));
    CHECK_INT(bdpo_lora_count(lora), transformers);
    CHECK_INT(bdpo_lora_at(lora, 0)->rank, 4); // a second call leaves the first's modules alone
    bdpo_lora_free(lora);
    bdpo_param_list_free(list);
}

BDPO_TEST(unet_adapters_are_as_many_as_the_tools_make)
{
    check_adapters("fixtures/unet/sd15.json", 128, 192);
    check_adapters("fixtures/unet/sd21.json", 128, 192);
    check_adapters("fixtures/unet/sdxl.json", 560, 722);
}

// ---- graphs, built and not run ----------------------------------------------------------------

// Builds the graph of a model, without weights, on the backend that computes nothing; *out is the
// shape of its output.
static bdpo_status build(const bdpo_unet_config *config, int64_t height, int64_t width,
                         bdpo_shape *out)
{
    bdpo_engine *engine;
    bdpo_store *store;
    bdpo_graph *g;
    bdpo_param_list *list = params_of(config);
    CHECK_OK(bdpo_engine_new(&engine, &(bdpo_engine_options){.backend = "null"}));
    CHECK_OK(bdpo_store_new(&store, engine));
    for (int i = 0; i < bdpo_param_list_count(list); i++) {
        const bdpo_param_spec *spec = bdpo_param_list_at(list, i);
        CHECK_OK(
            bdpo_store_declare(store, spec->name, BDPO_BF16, bdpo_param_store_shape(spec), false));
    }
    CHECK_OK(bdpo_store_seal(store));
    CHECK_OK(bdpo_graph_new(&g, store));
    bdpo_builder b = {.graph = g};
    bdpo_unet_inputs in = {
        .sample = bdpo_input(g, "x", BDPO_F32, BDPO_SHAPE(1, height, width, config->in_channels)),
        .timestep = bdpo_input(g, "t", BDPO_F32, BDPO_SHAPE(1)),
        .context = bdpo_input(g, "c", BDPO_F32, BDPO_SHAPE(1, 7, config->context_width)),
    };
    *out = bdpo_node_shape(bdpo_unet(&b, config, &in));
    bdpo_status status = bdpo_graph_check(g);
    bdpo_graph_free(g);
    bdpo_store_free(store);
    bdpo_engine_free(engine);
    bdpo_param_list_free(list);
    return status;
}

BDPO_TEST(unet_takes_any_size)
{
    bdpo_unet_config config;
    bdpo_shape y;
    read_file(&config, "fixtures/unet/small15.json");
    for (int64_t height = 1; height <= 9; height++)
        for (int64_t width = 1; width <= 5; width++) {
            CHECK_OK(build(&config, height, width, &y));
            CHECK_INT(y.dim[1], height);
            CHECK_INT(y.dim[2], width);
        }
}

// Without padding on all sides an odd size is rounded down, and cannot come back.
BDPO_TEST(unet_refuses_an_odd_size_without_padding)
{
    bdpo_unet_config config;
    bdpo_shape y;
    read_file(&config, "fixtures/unet/small15.json");
    config.downsample_padding = 0;
    CHECK_OK(build(&config, 16, 16, &y));
    CHECK_STATUS(build(&config, 13, 16, &y), BDPO_BAD_SHAPE);
    CHECK_CONTAINS(bdpo_message(), "only to twice its size, or one less");
}

// The reader of configurations refuses this; one made by hand meets the operator's rule.
BDPO_TEST(unet_refuses_heads_that_do_not_divide_the_width)
{
    bdpo_unet_config config;
    bdpo_shape y;
    read_file(&config, "fixtures/unet/small15.json");
    config.level[1].heads = 5;
    CHECK_STATUS(build(&config, 8, 8, &y), BDPO_BAD_SHAPE);
    CHECK_CONTAINS(bdpo_message(), "attention");
}

BDPO_TEST_FULL(unet_survives_each_failed_allocation)
{
    bdpo_unet_config config;
    bdpo_engine *engine;
    bdpo_store *store;
    read_file(&config, "fixtures/unet/small15.json");
    bdpo_param_list *list = params_of(&config);
    CHECK_OK(bdpo_engine_new(&engine, &(bdpo_engine_options){.backend = "null"}));
    CHECK_OK(bdpo_store_new(&store, engine));
    for (int i = 0; i < bdpo_param_list_count(list); i++) {
        const bdpo_param_spec *spec = bdpo_param_list_at(list, i);
        CHECK_OK(
            bdpo_store_declare(store, spec->name, BDPO_F32, bdpo_param_store_shape(spec), false));
    }
    CHECK_OK(bdpo_store_seal(store));
    bdpo_status status = BDPO_NO_MEMORY;
    for (uint64_t at = 1; status != BDPO_OK; at++) {
        bdpo_graph *g = NULL;
        bdpo_alloc_fail_at(bdpo_alloc_count() + at);
        status = bdpo_graph_new(&g, store);
        if (status == BDPO_OK) {
            bdpo_builder b = {.graph = g};
            bdpo_unet_inputs in = {
                .sample = bdpo_input(g, "x", BDPO_F32, BDPO_SHAPE(1, 8, 8, 4)),
                .timestep = bdpo_input(g, "t", BDPO_F32, BDPO_SHAPE(1)),
                .context = bdpo_input(g, "c", BDPO_F32, BDPO_SHAPE(1, 7, config.context_width)),
            };
            bdpo_unet(&b, &config, &in);
            status = bdpo_graph_check(g);
        }
        bdpo_alloc_fail_at(0);
        bdpo_graph_free(g);
        if (status != BDPO_OK) CHECK_STATUS(status, BDPO_NO_MEMORY);
    }
    bdpo_store_free(store);
    bdpo_engine_free(engine);
    bdpo_param_list_free(list);
}

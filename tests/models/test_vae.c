// The autoencoder's configurations, the parameter totals of the real one, clamping, sampling and
// what is refused.
#include "harness.h"

#include "base/memory.h"
#include "models/vae_tiled.h"

static bdpo_status parse_vae(bdpo_vae_config *out, const char *text)
{
    json_error_t error;
    json_t *root = json_loads(text, JSON_REJECT_DUPLICATES, &error);
    if (!root) FAIL("%s", error.text);
    bdpo_status status = bdpo_vae_config_parse(out, root, "vae/config.json");
    json_decref(root);
    return status;
}

#define FOUR_DOWN                                                                                  \
    "\"down_block_types\": [\"DownEncoderBlock2D\", \"DownEncoderBlock2D\", "                      \
    "\"DownEncoderBlock2D\", \"DownEncoderBlock2D\"]"
#define FOUR_UP                                                                                    \
    "\"up_block_types\": [\"UpDecoderBlock2D\", \"UpDecoderBlock2D\", "                            \
    "\"UpDecoderBlock2D\", \"UpDecoderBlock2D\"]"

static const char sd15[] =
    "{\"_class_name\": \"AutoencoderKL\", \"_diffusers_version\": \"0.6.0\", \"act_fn\": \"silu\","
    " \"block_out_channels\": [128, 256, 512, 512]," FOUR_DOWN "," FOUR_UP ","
    " \"in_channels\": 3, \"latent_channels\": 4, \"layers_per_block\": 2,"
    " \"norm_num_groups\": 32, \"out_channels\": 3, \"sample_size\": 512}";
static const char sdxl[] =
    "{\"_class_name\": \"AutoencoderKL\", \"block_out_channels\": [128, 256, 512, 512]," FOUR_DOWN
    "," FOUR_UP ", \"layers_per_block\": 2, \"force_upcast\": false, \"sample_size\": 1024,"
    " \"scaling_factor\": 0.13025, \"shift_factor\": null}";

BDPO_TEST(vae_of_sd_has_the_published_size)
{
    bdpo_vae_config config;
    bdpo_param_list *list;
    CHECK_OK(parse_vae(&config, sd15));
    CHECK_NEAR(config.scaling, 0.18215, 1e-8); // one rounding to float
    CHECK(config.upcast && config.quant_conv && config.post_quant_conv && config.mid_attention);
    CHECK_INT(bdpo_vae_factor(&config), 8);
    CHECK_OK(bdpo_param_list_new(&list));
    bdpo_vae_params(list, &config);
    CHECK_OK(bdpo_param_list_check(list));
    CHECK_INT(bdpo_param_list_count(list), 248);
    CHECK_INT(bdpo_param_list_elements(list), 83653863);
    bdpo_param_list_free(list);
    CHECK_OK(parse_vae(&config, sdxl));
    CHECK_NEAR(config.scaling, 0.13025, 1e-8);
    CHECK(!config.upcast && config.shift == 0);
}

#define TWO_DOWN "\"down_block_types\": [\"DownEncoderBlock2D\", \"DownEncoderBlock2D\"]"
#define TWO_UP   "\"up_block_types\": [\"UpDecoderBlock2D\", \"UpDecoderBlock2D\"]"
#define TWO      "\"block_out_channels\": [32, 64], " TWO_DOWN ", " TWO_UP

BDPO_TEST(vae_config_refusals_name_file_and_field)
{
    static const struct {
        const char *json, *field;
    } rows[] = {
        {"{}", "block_out_channels"},
        {"{\"block_out_channels\": []}", "block_out_channels"},
        {"{\"block_out_channels\": [32, 0]}", "block_out_channels"},
        {"{\"block_out_channels\": [32]," TWO_DOWN "," TWO_UP "}", "down_block_types"},
        {"{" TWO ", \"_class_name\": \"AutoencoderTiny\"}", "_class_name"},
        {"{" TWO ", \"act_fn\": \"mish\"}", "act_fn"},
        {"{" TWO ", \"norm_num_groups\": 24}", "norm_num_groups"},
        {"{" TWO ", \"layers_per_block\": 0}", "layers_per_block"},
        {"{" TWO ", \"scaling_factor\": 0}", "scaling_factor"},
        {"{" TWO ", \"latents_mean\": [0.1, 0.2, 0.3, 0.4]}", "latents_mean"},
        {"{" TWO ", \"force_upcast\": 1}", "force_upcast"},
        {"{\"block_out_channels\": [32, 64], " TWO_UP
         ", \"down_block_types\": [\"DownEncoderBlock2D\", \"AttnDownEncoderBlock2D\"]}",
         "down_block_types"},
    };
    for (size_t i = 0; i < BDPO_COUNTOF(rows); i++) {
        bdpo_vae_config config;
        if (parse_vae(&config, rows[i].json) == BDPO_OK) FAIL("accepted %s", rows[i].json);
        CHECK_CONTAINS(bdpo_message(), "vae/config.json");
        CHECK_CONTAINS(bdpo_message(), rows[i].field);
    }
}

// ---- a tiny one --------------------------------------------------------------------------------

static const bdpo_vae_config tiny = {.n_levels = 2,
                                     .channels = {8, 8},
                                     .residuals = 1,
                                     .in_channels = 3,
                                     .out_channels = 3,
                                     .latent_channels = 2,
                                     .groups = 2,
                                     .sample_size = 16,
                                     .scaling = 0.5F,
                                     .shift = 3,
                                     .upcast = true,
                                     .quant_conv = true,
                                     .post_quant_conv = true,
                                     .mid_attention = true};

typedef struct tiny_vae {
    bdpo_engine *engine;
    bdpo_store *store;
    bdpo_graph *graph;
} tiny_vae;

static void tiny_init(tiny_vae *t)
{
    bdpo_param_list *list;
    CHECK_OK(bdpo_engine_new(&t->engine, &(bdpo_engine_options){.n_threads = 1}));
    CHECK_OK(bdpo_store_new(&t->store, t->engine));
    CHECK_OK(bdpo_param_list_new(&list));
    bdpo_vae_params(list, &tiny);
    for (int i = 0; i < bdpo_param_list_count(list); i++) {
        const bdpo_param_spec *spec = bdpo_param_list_at(list, i);
        CHECK_OK(bdpo_store_declare(t->store, spec->name, BDPO_F32, bdpo_param_store_shape(spec),
                                    false));
    }
    bdpo_param_list_free(list);
    CHECK_OK(bdpo_store_seal(t->store));
    CHECK_OK(bdpo_graph_new(&t->graph, t->store));
}

static void tiny_release(tiny_vae *t)
{
    bdpo_graph_free(t->graph);
    bdpo_store_free(t->store);
    bdpo_engine_free(t->engine);
}

// All weights are zero, so the moments are quant_conv's biases: two means, two log-variances, of
// which one lies above the clamp and one below.
BDPO_TEST(vae_clamps_and_samples)
{
    tiny_vae t;
    tiny_init(&t);
    bdpo_builder b = {.graph = t.graph};
    bdpo_plan *plan;
    float biases[] = {7, -7, 100, -100}, x[2 * 2 * 3] = {0}, noise[] = {1e-4F, 1e6F};
    float logvar[2], latents[2], mode[2];
    CHECK_OK(bdpo_store_write(t.store, BDPO_PARAM, "quant_conv.bias", biases, sizeof biases));
    bdpo_node *pixels = bdpo_input(t.graph, "x", BDPO_F32, BDPO_SHAPE(1, 2, 2, 3));
    bdpo_node *given = bdpo_input(t.graph, "noise", BDPO_F32, BDPO_SHAPE(1, 1, 1, 2));
    bdpo_vae_moments moments = bdpo_vae_encode(&b, &tiny, pixels);
    bdpo_node *sample = bdpo_vae_sample(&b, &tiny, &moments, given);
    bdpo_output(t.graph, "logvar", moments.logvar);
    bdpo_output(t.graph, "latents", sample);
    bdpo_output(t.graph, "mode", bdpo_vae_sample(&b, &tiny, &moments, NULL));
    CHECK_OK(bdpo_plan_new(&plan, t.engine, t.graph, &(bdpo_plan_options){0}));
    CHECK_OK(bdpo_plan_write(plan, "x", x, sizeof x));
    CHECK_OK(bdpo_plan_write(plan, "noise", noise, sizeof noise));
    CHECK_OK(bdpo_plan_run(plan));
    CHECK_OK(bdpo_plan_read(plan, "logvar", logvar, sizeof logvar));
    CHECK_OK(bdpo_plan_read(plan, "latents", latents, sizeof latents));
    CHECK_OK(bdpo_plan_read(plan, "mode", mode, sizeof mode));
    CHECK(logvar[0] == 20 && logvar[1] == -30);
    // (mean + exp(logvar / 2) noise - 3) / 2; a few roundings of numbers near 10
    CHECK_NEAR(latents[0], (7 + exp(10) * 1e-4 - 3) / 2, 1e-5);
    CHECK_NEAR(latents[1], (-7 + exp(-15) * 1e6 - 3) / 2, 1e-5);
    CHECK(mode[0] == 2 && mode[1] == -5);
    bdpo_plan_free(plan);
    tiny_release(&t);
}

// ---- tiles -------------------------------------------------------------------------------------

BDPO_TEST(vae_tiles_refuse_what_does_not_fit)
{
    tiny_vae t;
    tiny_init(&t);
    float z[1] = {0}, image[1];
    bdpo_vae_config odd = tiny;
    odd.sample_size = 20; // tiles of 10 latents overlap by 2.5
    bdpo_shape large = BDPO_SHAPE(1, 12, 12, 2), deep = BDPO_SHAPE(1, 12, 12, 4);
    CHECK_STATUS(bdpo_vae_decode_tiled(image, z, &large, t.engine, t.store, &odd),
                 BDPO_BAD_ARGUMENT);
    CHECK_CONTAINS(bdpo_message(), "sample_size is 20, expected a multiple of 8");
    CHECK_STATUS(bdpo_vae_decode_tiled(image, z, &deep, t.engine, t.store, &tiny), BDPO_BAD_SHAPE);
    CHECK_CONTAINS(bdpo_message(), "expected [n, h, w, 2]");
    tiny_release(&t);
}

static bdpo_status decode_zeros(tiny_vae *t, float *image, const bdpo_shape *shape)
{
    float z[12 * 9 * 2] = {0};
    return bdpo_vae_decode_tiled(image, z, shape, t->engine, t->store, &tiny);
}

BDPO_TEST(vae_tiles_survive_each_failed_allocation)
{
    float image[24 * 18 * 3];
    bdpo_shape shape = BDPO_SHAPE(1, 12, 9, 2);
    tiny_vae t;
    tiny_init(&t);
    for (uint64_t at = 1;; at++) {
        bdpo_alloc_fail_at(bdpo_alloc_count() + at);
        bdpo_status status = decode_zeros(&t, image, &shape);
        bdpo_alloc_fail_at(0);
        if (status == BDPO_OK) break;
        CHECK_STATUS(status, BDPO_NO_MEMORY);
    }
    tiny_release(&t);
}

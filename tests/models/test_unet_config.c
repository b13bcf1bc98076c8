// models/unet_config: the real configurations are read, and what we cannot compute is refused by
// name.
#include "harness.h"

#include "models/unet_config.h"

// Parses a JSON text under the name "c.json".
static bdpo_status parse(bdpo_unet_config *out, const char *text)
{
    json_error_t error;
    json_t *root = json_loads(text, JSON_DECODE_ANY, &error);
    if (!root) FAIL("%s: %s", text, error.text);
    bdpo_status status = bdpo_unet_config_parse(out, root, "c.json");
    json_decref(root);
    return status;
}

static void check_refused(const char *text, bdpo_status status, const char *message)
{
    bdpo_unet_config config;
    CHECK_STATUS(parse(&config, text), status);
    CHECK_STR(bdpo_message(), message);
}

static void read_file(bdpo_unet_config *out, const char *relative)
{
    json_error_t error;
    json_t *root = json_load_file(test_path(relative), 0, &error);
    if (!root) FAIL("%s: %s", relative, error.text);
    CHECK_OK(bdpo_unet_config_parse(out, root, relative));
    json_decref(root);
}

BDPO_TEST(unet_config_has_the_defaults_of_diffusers)
{
    bdpo_unet_config c;
    CHECK_OK(parse(&c, "{}"));
    CHECK_INT(c.n_levels, 4);
    CHECK_INT(c.level[3].channels, 1280);
    CHECK(c.level[2].down_attends && !c.level[3].down_attends);
    CHECK(c.level[2].up_attends && !c.level[3].up_attends);
    CHECK_INT(c.level[0].heads, 8);
    CHECK_INT(c.level[0].residuals, 2);
    CHECK_INT(c.level[0].transformer_layers, 1);
    CHECK_INT(c.context_width, 1280);
    CHECK_INT(c.time_width, 1280);
    CHECK_INT(c.in_channels, 4);
    CHECK_INT(c.sample_height, 0);
    CHECK_INT(c.norm_groups, 32);
    CHECK_NEAR(c.norm_eps, 1e-5, 1e-12); // one rounding to float
    CHECK(c.cos_first && !c.text_time && !c.linear_projection && !c.upcast_attention);
    CHECK_INT(c.downsample_padding, 1);
}

BDPO_TEST(unet_config_of_sd21_has_heads_for_each_level)
{
    bdpo_unet_config c;
    read_file(&c, "fixtures/unet/sd21.json");
    CHECK_INT(c.level[0].heads, 5);
    CHECK_INT(c.level[3].heads, 20);
    CHECK_INT(c.context_width, 1024);
    CHECK_INT(c.sample_width, 96);
    CHECK(c.linear_projection && c.upcast_attention);
}

BDPO_TEST(unet_config_of_sdxl_has_layers_for_each_level)
{
    bdpo_unet_config c;
    read_file(&c, "fixtures/unet/sdxl.json");
    CHECK_INT(c.n_levels, 3);
    CHECK(!c.level[0].down_attends && !c.level[0].up_attends && c.level[2].up_attends);
    CHECK_INT(c.level[1].transformer_layers, 2);
    CHECK_INT(c.level[2].transformer_layers, 10);
    CHECK(c.text_time && !c.upcast_attention);
    CHECK_INT(bdpo_unet_pooled_width(&c), 1280);
}

BDPO_TEST(unet_config_takes_both_names_of_the_heads)
{
    bdpo_unet_config c;
    CHECK_OK(parse(&c, "{\"num_attention_heads\": 10, \"attention_head_dim\": [5, 10, 20, 20]}"));
    CHECK_INT(c.level[0].heads, 10);
    CHECK_OK(parse(&c, "{\"num_attention_heads\": null, \"attention_head_dim\": [5, 10, 20, 20]}"));
    CHECK_INT(c.level[0].heads, 5);
}

BDPO_TEST(unet_config_ignores_what_changes_nothing)
{
    bdpo_unet_config c;
    CHECK_OK(parse(&c, "{\"_name_or_path\": \"x\", \"decay\": 0.9999, \"dropout\": 0, "
                       "\"act_fn\": \"swish\", \"only_cross_attention\": [false, false], "
                       "\"resnet_skip_time_act\": false, \"addition_embed_type_num_heads\": 64, "
                       "\"class_embed_type\": null, \"of_the_future\": null}"));
    CHECK_OK(parse(&c, "{\"sample_size\": [96, 64], \"cross_attention_dim\": [8, 8, 8, 8]}"));
    CHECK_INT(c.sample_height, 96);
    CHECK_INT(c.sample_width, 64);
    CHECK_INT(c.context_width, 8);
}

BDPO_TEST(unet_config_refuses_what_it_cannot_compute)
{
    static const char odd_one[] = "null or false, or no such field: we do not know what it changes";
    static const struct {
        const char *name, *value, *expected;
    } rows[] = {
        {"class_embed_type", "\"timestep\"", odd_one},
        {"num_class_embeds", "7", odd_one},
        {"encoder_hid_dim", "64", odd_one},
        {"dual_cross_attention", "true", odd_one},
        {"only_cross_attention", "[true,false,false,false]", odd_one},
        {"reverse_transformer_layers_per_block", "[[1,2]]", odd_one},
        {"time_cond_proj_dim", "256", odd_one},
        {"timestep_post_act", "\"silu\"", odd_one},
        {"time_embedding_act_fn", "\"silu\"", odd_one},
        {"class_embeddings_concat", "true", odd_one},
        {"cross_attention_norm", "\"layer_norm\"", odd_one},
        {"of_the_future", "1", odd_one},
        {"act_fn", "\"gelu\"", "\"silu\""},
        {"mid_block_type", "null", "\"UNetMidBlock2DCrossAttn\""},
        {"resnet_time_scale_shift", "\"scale_shift\"", "\"default\""},
        {"time_embedding_type", "\"fourier\"", "\"positional\""},
        {"attention_type", "\"gated\"", "\"default\""},
        {"dropout", "0.1", "0.0"},
        {"addition_embed_type", "\"image\"", "null or \"text_time\""},
        {"norm_num_groups", "null", "a positive integer"},
        {"downsample_padding", "2", "0 or 1"},
        {"conv_in_kernel", "4", "an odd kernel size of at most 31"},
        {"cross_attention_dim", "[8,8,8,16]", "the same width at all levels"},
        {"_class_name", "\"UNet2DModel\"", "\"UNet2DConditionModel\""},
        {"down_block_types",
         "[\"DownBlock2D\",\"AttnDownBlock2D\",\"DownBlock2D\",\"DownBlock2D\"]",
         "4 of \"DownBlock2D\" and \"CrossAttnDownBlock2D\""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char text[256], message[512];
        snprintf(text, sizeof text, "{\"%s\": %s}", rows[i].name, rows[i].value);
        snprintf(message, sizeof message, "c.json: field \"%s\": found %s, expected %s",
                 rows[i].name, rows[i].value, rows[i].expected);
        check_refused(text, BDPO_UNSUPPORTED, message);
    }
}

BDPO_TEST(unet_config_refuses_values_that_do_not_fit)
{
    check_refused("[]", BDPO_BAD_FILE, "c.json: found [], expected a JSON object");
    check_refused("{\"in_channels\": 0}", BDPO_BAD_FILE,
                  "c.json: field \"in_channels\": found 0, expected a positive integer");
    check_refused("{\"in_channels\": 99999999999}", BDPO_BAD_FILE,
                  "c.json: field \"in_channels\": found 99999999999, expected a positive integer");
    check_refused("{\"block_out_channels\": []}", BDPO_BAD_FILE,
                  "c.json: field \"block_out_channels\": found [], expected a list of 1 to 8 "
                  "positive integers");
    check_refused("{\"block_out_channels\": [320, 640]}", BDPO_BAD_FILE,
                  "c.json: field \"down_block_types\": found nothing, expected 2 of "
                  "\"DownBlock2D\" and \"CrossAttnDownBlock2D\"");
    check_refused("{\"attention_head_dim\": 7}", BDPO_BAD_FILE,
                  "c.json: field \"attention_head_dim\": found 7, expected numbers of heads that "
                  "divide block_out_channels");
    check_refused("{\"norm_num_groups\": 48}", BDPO_BAD_FILE,
                  "c.json: field \"norm_num_groups\": found 48, expected a number that divides "
                  "block_out_channels");
    check_refused("{\"layers_per_block\": [2, 2, 2]}", BDPO_BAD_FILE,
                  "c.json: field \"layers_per_block\": found [2,2,2], expected a positive integer "
                  "or a list of 4");
    check_refused("{\"norm_eps\": \"small\"}", BDPO_BAD_FILE,
                  "c.json: field \"norm_eps\": found \"small\", expected a number");
    check_refused("{\"flip_sin_to_cos\": 1}", BDPO_BAD_FILE,
                  "c.json: field \"flip_sin_to_cos\": found 1, expected true or false");
    check_refused("{\"sample_size\": [64]}", BDPO_BAD_FILE,
                  "c.json: field \"sample_size\": found [64], expected a positive integer or a "
                  "list of two");
    check_refused("{\"addition_embed_type\": \"text_time\"}", BDPO_BAD_FILE,
                  "c.json: field \"addition_time_embed_dim\": found nothing, expected an even "
                  "positive integer beside \"text_time\"");
    check_refused("{\"addition_embed_type\": \"text_time\", \"addition_time_embed_dim\": 256, "
                  "\"projection_class_embeddings_input_dim\": 1536}",
                  BDPO_BAD_FILE,
                  "c.json: field \"projection_class_embeddings_input_dim\": found 1536, expected "
                  "more than 6 addition_time_embed_dim");
}

// A value of any length is cut in the message.
BDPO_TEST(unet_config_cuts_long_values)
{
    char text[1024];
    snprintf(text, sizeof text, "{\"act_fn\": \"%0900d\"}", 0);
    bdpo_unet_config c;
    CHECK_STATUS(parse(&c, text), BDPO_UNSUPPORTED);
    CHECK_CONTAINS(bdpo_message(), "000..., expected \"silu\"");
}

// Names of the three real families, both ways, against the list that diffusers' own converters made
// (tests/fixtures/checkpoints/names.txt), and the variants that files have.
#include "harness.h"

#include <stdlib.h>

#include "base/file.h"
#include "base/memory.h"
#include "models/model_type.h"
#include "models/naming.h"

static bdpo_naming *open_naming(bdpo_json_document **config, bdpo_model_type type,
                                const char *component)
{
    bdpo_naming *naming;
    CHECK_OK(bdpo_model_type_config(config, type, component, BDPO_PREDICTS_EPSILON));
    const bdpo_component_spec *spec = bdpo_model_type_find(type, component);
    CHECK(spec != NULL);
    CHECK_OK(bdpo_naming_new(&naming, spec->kind, bdpo_json_root(*config).value, "config"));
    return naming;
}

// ---- the list ----------------------------------------------------------------------------------

// One pair of the list: the original may end in "/1", the third of a stacked tensor.
static void check_pair(const bdpo_naming *naming, const char *name, char *original)
{
    char *slash = strchr(original, '/');
    int third = slash ? slash[1] - '0' : -1;
    if (slash) *slash = '\0';
    bdpo_tensor_name found, back[3];
    if (!bdpo_naming_to_original(&found, naming, name)) FAIL("%s has no original", name);
    CHECK_STR(found.text, original);
    CHECK_INT(found.third, third);
    CHECK_INT(found.transposed, strcmp(name, "text_projection.weight") == 0);
    bool conv =
        strstr(name, ".attentions.0.to_") && strstr(original, "attn_1") && strstr(name, "weight");
    CHECK_INT(found.conv, conv);
    int n = bdpo_naming_to_diffusers(back, naming, original);
    CHECK_INT(n, third < 0 ? 1 : 3);
    CHECK_STR(back[third < 0 ? 0 : third].text, name);
    CHECK_INT(back[third < 0 ? 0 : third].third, third);
}

// Puts `number` for each "#", and the ending behind, where there is one.
static void unfold(char out[BDPO_NAME_BYTES], const char *folded, int number, const char *ending)
{
    size_t n = 0;
    const char *slash = strchr(folded, '/');
    for (const char *c = folded; *c && c != slash; c++) {
        if (*c == '#')
            n += (size_t)snprintf(out + n, BDPO_NAME_BYTES - n, "%d", number);
        else
            out[n++] = *c;
        CHECK(n < BDPO_NAME_BYTES - 1);
    }
    snprintf(out + n, BDPO_NAME_BYTES - n, "%s%s%s", *ending ? "." : "", ending,
             slash ? slash : "");
}

// "diffusers original bias+weight 10"; returns how many tensors the line stands for.
static int check_line(const bdpo_naming *naming, const char *line)
{
    char name[BDPO_NAME_BYTES], original[BDPO_NAME_BYTES], endings[32];
    char whole[BDPO_NAME_BYTES], whole_original[BDPO_NAME_BYTES];
    int count, checked = 0;
    CHECK_INT(sscanf(line, "%255s %255s %31s %d", name, original, endings, &count), 4);
    for (int i = 0; i < (count ? count : 1); i++) {
        static const char *const words[] = {"bias", "weight", "-"};
        for (size_t k = 0; k < BDPO_COUNTOF(words); k++) {
            if (!strstr(endings, words[k])) continue;
            const char *ending = k == 2 ? "" : words[k];
            unfold(whole, name, i, ending);
            unfold(whole_original, original, i, ending);
            check_pair(naming, whole, whole_original);
            checked++;
        }
    }
    return checked;
}

// Every line of the section that begins with `title`, e.g. "[unet sd1 sd2 ".
static void check_section(bdpo_model_type type, const char *component, const char *title)
{
    char *text, *rest = NULL;
    size_t size;
    int expected = -1, checked = 0;
    bdpo_json_document *config;
    bdpo_naming *naming = open_naming(&config, type, component);
    CHECK_OK(bdpo_file_read(&text, &size, test_path("fixtures/checkpoints/names.txt"), 1 << 20));
    for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        if (line[0] == '[' && expected >= 0) break;
        if (expected >= 0) checked += check_line(naming, line);
        if (strncmp(line, title, strlen(title)) == 0)
            expected = (int)strtol(line + strlen(title), NULL, 10);
    }
    CHECK_INT(checked, expected);
    bdpo_free(text);
    bdpo_naming_free(naming);
    bdpo_json_free(config);
}

BDPO_TEST(unet_names_of_sd1_and_sd2)
{
    check_section(BDPO_SD1, "unet", "[unet sd1 sd2 ");
    check_section(BDPO_SD2, "unet", "[unet sd1 sd2 ");
}

BDPO_TEST(unet_names_of_sdxl)
{
    check_section(BDPO_SDXL, "unet", "[unet sdxl ");
}

BDPO_TEST(vae_names)
{
    check_section(BDPO_SD1, "vae", "[vae sd1 sd2 sdxl ");
    check_section(BDPO_SDXL, "vae", "[vae sd1 sd2 sdxl ");
}

BDPO_TEST(open_clip_names)
{
    check_section(BDPO_SD2, "text_encoder", "[text_encoder sd2 ");
    check_section(BDPO_SDXL, "text_encoder_2", "[text_encoder_2 sdxl ");
}

// ---- what is not in the list -------------------------------------------------------------------

BDPO_TEST(names_of_no_module_are_refused)
{
    static const char *const wrong[] = {"",
                                        "input_blocks.12.0.in_layers.0.weight",
                                        "input_blocks.1.0.in_layers.0.running_mean",
                                        "input_blocks.10.1.norm.weight", // no attention there
                                        "input_blocks.1x.0.in_layers.0.weight",
                                        "output_blocks.12.0.in_layers.0.weight"};
    bdpo_json_document *config;
    bdpo_naming *naming = open_naming(&config, BDPO_SD1, "unet");
    bdpo_tensor_name found[3];
    for (size_t i = 0; i < BDPO_COUNTOF(wrong); i++)
        CHECK_INT(bdpo_naming_to_diffusers(found, naming, wrong[i]), 0);
    CHECK(!bdpo_naming_to_original(found, naming, "down_blocks.4.resnets.0.conv1.weight"));
    CHECK(!bdpo_naming_to_original(found, naming, "conv_in.lora_A.weight"));
    bdpo_naming_free(naming);
    bdpo_json_free(config);
}

BDPO_TEST(names_that_are_too_long_are_refused)
{
    char name[2 * BDPO_NAME_BYTES], out[BDPO_NAME_BYTES];
    memset(name, 'x', sizeof name);
    memcpy(name, "embeddings.", 11);
    name[BDPO_NAME_BYTES - 1] = '\0'; // with text_model. in front it no longer fits
    CHECK(!bdpo_naming_modern(out, BDPO_NAMES_CLIP_TEXT, name));
    CHECK(bdpo_naming_modern(out, BDPO_NAMES_UNET, name));
    CHECK_STR(out, name);
}

BDPO_TEST(whole_clip_has_both_towers)
{
    static const char text[] = "{\"text_config\": {\"num_hidden_layers\": 2},"
                               " \"vision_config\": {\"num_hidden_layers\": 3}}";
    static const char *const pairs[][2] = {
        {"visual.conv1.weight", "vision_model.embeddings.patch_embedding.weight"},
        {"visual.class_embedding", "vision_model.embeddings.class_embedding"},
        {"visual.positional_embedding", "vision_model.embeddings.position_embedding.weight"},
        {"visual.ln_pre.bias", "vision_model.pre_layrnorm.bias"},
        {"visual.ln_post.weight", "vision_model.post_layernorm.weight"},
        {"visual.proj", "visual_projection.weight"},
        {"visual.transformer.resblocks.2.mlp.c_fc.bias",
         "vision_model.encoder.layers.2.mlp.fc1.bias"},
        {"transformer.resblocks.1.ln_2.weight", "text_model.encoder.layers.1.layer_norm2.weight"},
        {"text.ln_final.bias", "text_model.final_layer_norm.bias"}, // CustomTextCLIP
        {"logit_scale", "logit_scale"}};
    bdpo_json_document *config;
    bdpo_naming *naming;
    bdpo_tensor_name found[3];
    CHECK_OK(bdpo_json_parse(&config, text, strlen(text), "config"));
    CHECK_OK(bdpo_naming_new(&naming, BDPO_NAMES_OPEN_CLIP, bdpo_json_root(config).value, "c"));
    for (size_t i = 0; i < BDPO_COUNTOF(pairs); i++) {
        CHECK_INT(bdpo_naming_to_diffusers(found, naming, pairs[i][0]), 1);
        CHECK_STR(found[0].text, pairs[i][1]);
    }
    CHECK_INT(
        bdpo_naming_to_diffusers(found, naming, "visual.transformer.resblocks.0.attn.in_proj_bias"),
        3);
    CHECK_STR(found[2].text, "vision_model.encoder.layers.0.self_attn.v_proj.bias");
    CHECK_INT(found[2].third, 2);
    bdpo_naming_free(naming);
    bdpo_json_free(config);
}

BDPO_TEST(variants_become_todays_names)
{
    static const struct {
        bdpo_naming_kind kind;
        const char *old, *modern;
    } cases[] = {
        {BDPO_NAMES_VAE, "encoder.mid_block.attentions.0.query.weight",
         "encoder.mid_block.attentions.0.to_q.weight"},
        {BDPO_NAMES_VAE, "decoder.mid_block.attentions.0.key.bias",
         "decoder.mid_block.attentions.0.to_k.bias"},
        {BDPO_NAMES_VAE, "decoder.mid_block.attentions.0.value.bias",
         "decoder.mid_block.attentions.0.to_v.bias"},
        {BDPO_NAMES_VAE, "decoder.mid_block.attentions.0.proj_attn.weight",
         "decoder.mid_block.attentions.0.to_out.0.weight"},
        {BDPO_NAMES_VAE, "decoder.mid_block.attentions.0.group_norm.weight",
         "decoder.mid_block.attentions.0.group_norm.weight"},
        {BDPO_NAMES_VAE, "module.quant_conv.weight", "quant_conv.weight"},
        {BDPO_NAMES_CLIP_TEXT, "embeddings.token_embedding.weight",
         "text_model.embeddings.token_embedding.weight"},
        {BDPO_NAMES_CLIP_TEXT, "encoder.layers.3.mlp.fc1.bias",
         "text_model.encoder.layers.3.mlp.fc1.bias"},
        {BDPO_NAMES_CLIP_TEXT, "final_layer_norm.bias", "text_model.final_layer_norm.bias"},
        {BDPO_NAMES_CLIP_TEXT, "text_model.final_layer_norm.bias",
         "text_model.final_layer_norm.bias"},
        {BDPO_NAMES_CLIP_TEXT, "text_projection.weight", "text_projection.weight"},
        {BDPO_NAMES_UNET, "module.conv_in.bias", "conv_in.bias"},
    };
    char out[BDPO_NAME_BYTES];
    for (size_t i = 0; i < BDPO_COUNTOF(cases); i++) {
        CHECK(bdpo_naming_modern(out, cases[i].kind, cases[i].old));
        CHECK_STR(out, cases[i].modern);
    }
}

BDPO_TEST(what_is_no_weight_is_ignored)
{
    static const char *const ignored[] = {
        "model_ema.diffusion_modelinput_blocks00weight",
        "betas",
        "alphas_cumprod_prev",
        "sqrt_one_minus_alphas_cumprod",
        "posterior_variance",
        "denoiser.sigmas",
        "v_pred",
        "cond_stage_model.transformer.text_model.embeddings.position_ids",
        "state_dict.cond_stage_model.model.attn_mask",
        "text_model.embeddings.position_ids",
        "cond_stage_model.model.transformer.resblocks.23.ln_1.bias",
        "cond_stage_model.model.text_projection",
        "conditioner.embedders.1.model.logit_scale"};
    static const char *const kept[] = {
        "conv_in.weight",
        "logit_scale",
        "cond_stage_model.model.transformer.resblocks.2.ln_1.bias",
        "conditioner.embedders.1.model.text_projection",
        "conditioner.embedders.1.model.transformer.resblocks.23.ln_1.bias",
        "model.diffusion_model.out.2.bias"};
    for (size_t i = 0; i < BDPO_COUNTOF(ignored); i++)
        if (!bdpo_naming_ignored(ignored[i])) FAIL("%s is not ignored", ignored[i]);
    for (size_t i = 0; i < BDPO_COUNTOF(kept); i++)
        if (bdpo_naming_ignored(kept[i])) FAIL("%s is ignored", kept[i]);
}

BDPO_TEST(naming_refuses_a_configuration_without_blocks)
{
    static const struct {
        const char *text, *expected;
    } cases[] = {
        {"{}", "unet/config.json: \"block_out_channels\" is not a list of 1 to 8 levels"},
        {"{\"block_out_channels\": [1, 2]}",
         "unet/config.json: \"layers_per_block\" is not a whole number from 1 to 8"},
        {"{\"block_out_channels\": [1, 2], \"layers_per_block\": 2, \"down_block_types\": [\"x\"]}",
         "unet/config.json: \"down_block_types\" is not a list of 2 blocks, one for each of "
         "\"block_out_channels\""}};
    for (size_t i = 0; i < BDPO_COUNTOF(cases); i++) {
        bdpo_json_document *config;
        bdpo_naming *naming;
        CHECK_OK(bdpo_json_parse(&config, cases[i].text, strlen(cases[i].text), "c"));
        CHECK_STATUS(bdpo_naming_new(&naming, BDPO_NAMES_UNET, bdpo_json_root(config).value,
                                     "unet/config.json"),
                     BDPO_BAD_FILE);
        CHECK_STR(bdpo_message(), cases[i].expected);
        bdpo_json_free(config);
    }
}

BDPO_TEST(naming_survives_each_failed_allocation)
{
    bdpo_json_document *config;
    CHECK_OK(bdpo_model_type_config(&config, BDPO_SD1, "unet", BDPO_PREDICTS_EPSILON));
    for (uint64_t at = 1;; at++) {
        bdpo_naming *naming;
        bdpo_alloc_fail_at(bdpo_alloc_count() + at);
        bdpo_status status =
            bdpo_naming_new(&naming, BDPO_NAMES_UNET, bdpo_json_root(config).value, "c");
        bdpo_alloc_fail_at(0);
        if (status == BDPO_OK) {
            CHECK(at > 2);
            bdpo_naming_free(naming);
            break;
        }
        CHECK_STATUS(status, BDPO_NO_MEMORY);
        CHECK(naming == NULL);
    }
    bdpo_json_free(config);
}

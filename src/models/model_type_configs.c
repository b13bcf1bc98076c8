// The configurations of the published models: SD 1.5, SD 2.1 and SDXL base 1.0, as their diffusers
// directories have them (fields that are diffusers' defaults are left out).
//
// JSON with ' for ", so that it reads; a family's own fields are laid over the common ones.
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "models/model_type.h"

static const char unet[] =
    "{'_class_name': 'UNet2DConditionModel', 'act_fn': 'silu', 'center_input_sample': false,"
    " 'downsample_padding': 1, 'flip_sin_to_cos': true, 'freq_shift': 0, 'in_channels': 4,"
    " 'layers_per_block': 2, 'mid_block_scale_factor': 1, 'norm_eps': 1e-05,"
    " 'norm_num_groups': 32, 'out_channels': 4}";

#define FOUR_LEVELS                                                                                \
    "'block_out_channels': [320, 640, 1280, 1280],"                                                \
    " 'down_block_types': ['CrossAttnDownBlock2D', 'CrossAttnDownBlock2D', "                       \
    "'CrossAttnDownBlock2D',"                                                                      \
    " 'DownBlock2D'],"                                                                             \
    " 'up_block_types': ['UpBlock2D', 'CrossAttnUpBlock2D', 'CrossAttnUpBlock2D',"                 \
    " 'CrossAttnUpBlock2D']"

static const char *const unet_own[] = {
    "{" FOUR_LEVELS ", 'attention_head_dim': 8, 'cross_attention_dim': 768, 'sample_size': 64}",
    "{" FOUR_LEVELS ", 'attention_head_dim': [5, 10, 20, 20], 'cross_attention_dim': 1024,"
    " 'sample_size': 96, 'upcast_attention': true, 'use_linear_projection': true}",
    "{'addition_embed_type': 'text_time', 'addition_time_embed_dim': 256,"
    " 'attention_head_dim': [5, 10, 20], 'block_out_channels': [320, 640, 1280],"
    " 'cross_attention_dim': 2048,"
    " 'down_block_types': ['DownBlock2D', 'CrossAttnDownBlock2D', 'CrossAttnDownBlock2D'],"
    " 'up_block_types': ['CrossAttnUpBlock2D', 'CrossAttnUpBlock2D', 'UpBlock2D'],"
    " 'projection_class_embeddings_input_dim': 2816, 'sample_size': 128,"
    " 'transformer_layers_per_block': [1, 2, 10], 'use_linear_projection': true}"};

static const char vae[] =
    "{'_class_name': 'AutoencoderKL', 'act_fn': 'silu', 'block_out_channels': [128, 256, 512, 512],"
    " 'down_block_types': ['DownEncoderBlock2D', 'DownEncoderBlock2D', 'DownEncoderBlock2D',"
    " 'DownEncoderBlock2D'], 'in_channels': 3, 'latent_channels': 4, 'layers_per_block': 2,"
    " 'norm_num_groups': 32, 'out_channels': 3,"
    " 'up_block_types': ['UpDecoderBlock2D', 'UpDecoderBlock2D', 'UpDecoderBlock2D',"
    " 'UpDecoderBlock2D']}";

static const char *const vae_own[] = {
    "{'sample_size': 512, 'scaling_factor': 0.18215}",
    "{'sample_size': 768, 'scaling_factor': 0.18215}",
    "{'sample_size': 1024, 'scaling_factor': 0.13025, 'force_upcast': true}"};

// The end of text is the largest id of a prompt; 2 is how these files say so (docs/checkpoints.md).
static const char text[] =
    "{'attention_dropout': 0.0, 'bos_token_id': 0, 'dropout': 0.0, 'eos_token_id': 2,"
    " 'initializer_factor': 1.0, 'initializer_range': 0.02, 'layer_norm_eps': 1e-05,"
    " 'max_position_embeddings': 77, 'model_type': 'clip_text_model', 'pad_token_id': 1,"
    " 'vocab_size': 49408}";

#define CLIP_L                                                                                     \
    "{'architectures': ['CLIPTextModel'], 'hidden_act': 'quick_gelu', 'hidden_size': 768,"         \
    " 'intermediate_size': 3072, 'num_attention_heads': 12, 'num_hidden_layers': 12,"              \
    " 'projection_dim': 768}"

static const char *const text_own[] = {
    CLIP_L,
    "{'architectures': ['CLIPTextModel'], 'hidden_act': 'gelu', 'hidden_size': 1024,"
    " 'intermediate_size': 4096, 'num_attention_heads': 16, 'num_hidden_layers': 23,"
    " 'projection_dim': 512}",
    CLIP_L};

static const char text_2_own[] =
    "{'architectures': ['CLIPTextModelWithProjection'], 'hidden_act': 'gelu', 'hidden_size': 1280,"
    " 'intermediate_size': 5120, 'num_attention_heads': 20, 'num_hidden_layers': 32,"
    " 'projection_dim': 1280}";

static const char scheduler[] =
    "{'beta_end': 0.012, 'beta_schedule': 'scaled_linear', 'beta_start': 0.00085,"
    " 'clip_sample': false, 'num_train_timesteps': 1000, 'set_alpha_to_one': false,"
    " 'steps_offset': 1}";

static const char *const scheduler_own[] = {
    "{'_class_name': 'PNDMScheduler', 'skip_prk_steps': true}", "{'_class_name': 'DDIMScheduler'}",
    "{'_class_name': 'EulerDiscreteScheduler', 'interpolation_type': 'linear',"
    " 'sample_max_value': 1.0, 'skip_prk_steps': true, 'timestep_spacing': 'leading',"
    " 'use_karras_sigmas': false}"};

static const char index_common[] =
    "{'_diffusers_version': '0.42.1', 'scheduler': null,"
    " 'text_encoder': ['transformers', 'CLIPTextModel'],"
    " 'tokenizer': ['transformers', 'CLIPTokenizer'],"
    " 'unet': ['diffusers', 'UNet2DConditionModel'], 'vae': ['diffusers', 'AutoencoderKL']}";

#define NO_CHECKER                                                                                 \
    "'feature_extractor': [null, null], 'image_encoder': [null, null],"                            \
    " 'requires_safety_checker': false, 'safety_checker': [null, null]"

static const char *const index_own[] = {
    "{'_class_name': 'StableDiffusionPipeline', 'scheduler': ['diffusers', 'PNDMScheduler']," //
    NO_CHECKER "}",
    "{'_class_name': 'StableDiffusionPipeline', 'scheduler': ['diffusers', 'DDIMScheduler']," //
    NO_CHECKER "}",
    "{'_class_name': 'StableDiffusionXLPipeline', 'feature_extractor': [null, null],"
    " 'force_zeros_for_empty_prompt': true, 'image_encoder': [null, null],"
    " 'scheduler': ['diffusers', 'EulerDiscreteScheduler'],"
    " 'text_encoder_2': ['transformers', 'CLIPTextModelWithProjection'],"
    " 'tokenizer_2': ['transformers', 'CLIPTokenizer']}"};

static bdpo_status parse(bdpo_json_document **out, const char *quoted, const char *name)
{
    char json[2048];
    size_t length = strlen(quoted);
    BDPO_ASSERT(length < sizeof json);
    for (size_t i = 0; i <= length; i++) json[i] = quoted[i] == '\'' ? '"' : quoted[i];
    return bdpo_json_parse(out, json, length, name);
}

// *out = `common` with the fields of `own` laid over it.
static bdpo_status lay_over(bdpo_json_document **out, const char *common, const char *own,
                            const char *name)
{
    bdpo_json_document *over;
    TRY(parse(out, common, name));
    bdpo_status status = parse(&over, own, name);
    if (status == BDPO_OK) {
        if (json_object_update(bdpo_json_root(*out).value, bdpo_json_root(over).value) != 0)
            status = bdpo_fail(BDPO_NO_MEMORY, "no memory for a configuration");
        bdpo_json_free(over);
    }
    if (status == BDPO_OK) return BDPO_OK;
    bdpo_json_free(*out);
    *out = NULL;
    return status;
}

static bdpo_status set_prediction(bdpo_json_document *document, bdpo_prediction prediction)
{
    if (prediction == BDPO_PREDICTS_UNKNOWN) prediction = BDPO_PREDICTS_EPSILON;
    if (json_object_set_new(bdpo_json_root(document).value, "prediction_type",
                            json_string(bdpo_prediction_name(prediction))) != 0)
        return bdpo_fail(BDPO_NO_MEMORY, "no memory for a configuration");
    return BDPO_OK;
}

bdpo_status bdpo_model_type_config(bdpo_json_document **out, bdpo_model_type type, const char *name,
                                   bdpo_prediction prediction)
{
    char file[64];
    *out = NULL;
    snprintf(file, sizeof file, "the known %s of %s", name, bdpo_model_type_name(type));
    if (strcmp(name, "unet") == 0) return lay_over(out, unet, unet_own[type], file);
    if (strcmp(name, "vae") == 0) return lay_over(out, vae, vae_own[type], file);
    if (strcmp(name, "text_encoder") == 0) return lay_over(out, text, text_own[type], file);
    if (strcmp(name, "text_encoder_2") == 0) return lay_over(out, text, text_2_own, file);
    if (strcmp(name, "model_index") == 0) return lay_over(out, index_common, index_own[type], file);
    if (strcmp(name, "scheduler") != 0) BDPO_BUG("no component is called %s", name);
    TRY(lay_over(out, scheduler, scheduler_own[type], file));
    bdpo_status status = set_prediction(*out, prediction);
    if (status != BDPO_OK) {
        bdpo_json_free(*out);
        *out = NULL;
    }
    return status;
}

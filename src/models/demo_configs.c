// Sizes, as JSON with ' for ". A group of a norm has four channels or more; head sizes are 8 to 32.
#include "models/demo_configs.h"

#include <stdio.h>
#include <string.h>

#include "models/demo_vocabulary.h"

// [family][size]
static const char *const unet[][2] = {
    {"{'attention_head_dim': 4, 'block_out_channels': [32, 64, 64, 64], 'cross_attention_dim': 32,"
     " 'layers_per_block': 1, 'norm_num_groups': 8, 'sample_size': 16}",
     "{'attention_head_dim': 4, 'block_out_channels': [64, 128, 128, 128],"
     " 'cross_attention_dim': 128, 'norm_num_groups': 16, 'sample_size': 32}"},
    {"{'attention_head_dim': [2, 4, 4, 4], 'block_out_channels': [32, 64, 64, 64],"
     " 'cross_attention_dim': 48, 'layers_per_block': 1, 'norm_num_groups': 8, 'sample_size': 16}",
     "{'attention_head_dim': [2, 4, 4, 4], 'block_out_channels': [64, 128, 128, 128],"
     " 'cross_attention_dim': 160, 'norm_num_groups': 16, 'sample_size': 32}"},
    {"{'addition_time_embed_dim': 8, 'attention_head_dim': [2, 4, 4],"
     " 'block_out_channels': [32, 64, 64], 'cross_attention_dim': 80, 'layers_per_block': 1,"
     " 'norm_num_groups': 8, 'projection_class_embeddings_input_dim': 96, 'sample_size': 16,"
     " 'transformer_layers_per_block': [1, 1, 2]}",
     "{'addition_time_embed_dim': 32, 'attention_head_dim': [2, 4, 4],"
     " 'block_out_channels': [64, 128, 128], 'cross_attention_dim': 288, 'norm_num_groups': 16,"
     " 'projection_class_embeddings_input_dim': 352, 'sample_size': 32,"
     " 'transformer_layers_per_block': [1, 2, 4]}"},
};

static const char *const vae[2] = {
    "{'block_out_channels': [16, 32, 32, 32], 'layers_per_block': 1, 'norm_num_groups': 4,"
    " 'sample_size': 128}",
    "{'block_out_channels': [32, 64, 128, 128], 'norm_num_groups': 8, 'sample_size': 256}",
};

static const char *const clip_l[2] = {
    "{'hidden_size': 32, 'intermediate_size': 64, 'num_attention_heads': 2,"
    " 'num_hidden_layers': 3, 'projection_dim': 32}",
    "{'hidden_size': 128, 'intermediate_size': 512, 'num_attention_heads': 4,"
    " 'num_hidden_layers': 4, 'projection_dim': 128}",
};

// For OpenCLIP's H and bigG alike.
static const char *const open_clip[2] = {
    "{'hidden_size': 48, 'intermediate_size': 96, 'num_attention_heads': 3,"
    " 'num_hidden_layers': 4, 'projection_dim': 48}",
    "{'hidden_size': 160, 'intermediate_size': 640, 'num_attention_heads': 5,"
    " 'num_hidden_layers': 5, 'projection_dim': 160}",
};

static const char *sizes_of(const bdpo_demo_model *model, const char *name)
{
    if (strcmp(name, "unet") == 0) return unet[model->type][model->size];
    if (strcmp(name, "vae") == 0) return vae[model->size];
    if (strcmp(name, "text_encoder_2") == 0) return open_clip[model->size];
    if (strcmp(name, "text_encoder") == 0)
        return model->type == BDPO_SD2 ? open_clip[model->size] : clip_l[model->size];
    return "{}";
}

static bdpo_status lay_over(json_t *root, const char *quoted, bool has_vocabulary)
{
    char json[512];
    size_t length = strlen(quoted);
    BDPO_ASSERT(length < sizeof json);
    for (size_t i = 0; i <= length; i++) json[i] = quoted[i] == '\'' ? '"' : quoted[i];
    bdpo_json_document *sizes;
    TRY(bdpo_json_parse(&sizes, json, length, "the sizes of a demonstration model"));
    bool failed = json_object_update(root, bdpo_json_root(sizes).value) != 0;
    bdpo_json_free(sizes);
    if (has_vocabulary)
        failed |= json_object_set_new(root, "vocab_size", json_integer(BDPO_DEMO_N_IDS)) != 0;
    return failed ? bdpo_fail(BDPO_NO_MEMORY, "no memory for a configuration") : BDPO_OK;
}

bdpo_status bdpo_demo_config(bdpo_json_document **out, const bdpo_demo_model *model,
                             const char *name)
{
    bool is_text = strncmp(name, "text_encoder", strlen("text_encoder")) == 0;
    TRY(bdpo_model_type_config(out, model->type, name,
                               model->type == BDPO_SD2 ? BDPO_PREDICTS_V : BDPO_PREDICTS_EPSILON));
    bdpo_status status = lay_over(bdpo_json_root(*out).value, sizes_of(model, name), is_text);
    if (status == BDPO_OK) return BDPO_OK;
    bdpo_json_free(*out);
    *out = NULL;
    return status;
}

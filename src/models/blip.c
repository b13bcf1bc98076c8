// ImageReward's parts put together under the names of its file.
#include "models/blip.h"

#include "tensor/tensor.h"

static const char vision_path[] = "blip.visual_encoder";
static const char text_path[] = "blip.text_encoder";

bdpo_blip_config bdpo_blip_image_reward(void)
{
    return (bdpo_blip_config){
        .vision = {.width = 1024,
                   .mlp_width = 4096,
                   .layers = 24,
                   .heads = 16,
                   .channels = 3,
                   .image_size = 224,
                   .patch_size = 16,
                   .norm_eps = 1e-6F},
        .text = {.width = 768,
                 .mlp_width = 3072,
                 .layers = 12,
                 .heads = 12,
                 .vocabulary = 30524, // BERT's and [DEC], [ENC]
                 .positions = 512,
                 .encoder_width = 1024,
                 .norm_eps = 1e-12F},
        .n_head = 5,
        .head_width = {1024, 128, 64, 16, 1},
        .head_index = {0, 2, 4, 6, 7},
    };
}

static bdpo_path head_layer(const bdpo_blip_config *config, int i)
{
    return bdpo_path_join("mlp.layers", "%d", config->head_index[i]);
}

void bdpo_blip_params(bdpo_param_list *list, const bdpo_blip_config *config)
{
    int64_t width = config->text.width;
    bdpo_vit_params(list, vision_path, &config->vision);
    bdpo_bert_params(list, text_path, &config->text);
    if (config->vision_projection > 0)
        bdpo_linear_params(list, "blip.vision_proj", config->vision.width,
                           config->vision_projection, true);
    if (config->text_projection > 0)
        bdpo_linear_params(list, "blip.text_proj", width, config->text_projection, true);
    for (int i = 0; i < config->n_head; i++) {
        bdpo_linear_params(list, head_layer(config, i).text, width, config->head_width[i], true);
        width = config->head_width[i];
    }
}

bdpo_node *bdpo_blip_vision(const bdpo_builder *b, const bdpo_blip_config *config,
                            bdpo_node *pixels)
{
    return bdpo_vit(b, vision_path, &config->vision, pixels);
}

bdpo_node *bdpo_blip_reward(const bdpo_builder *b, const bdpo_blip_config *config, bdpo_node *rows,
                            bdpo_node *ids, bdpo_node *lengths)
{
    bdpo_node *x = bdpo_bert(b, text_path, &config->text, ids, lengths, rows, true);
    if (!x) return NULL;
    bdpo_shape shape = bdpo_node_shape(x);
    x = bdpo_reshape(b->graph, x, BDPO_SHAPE(shape.dim[0], shape.dim[2]));
    for (int i = 0; i < config->n_head; i++)
        x = bdpo_linear_at(b, head_layer(config, i).text, x, true, BDPO_NO_ACTIVATION);
    return x;
}

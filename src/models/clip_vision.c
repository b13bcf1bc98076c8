// Patches, a class token before them, positions, layers; the class token's row is the picture's
// embedding.
#include "models/clip_vision.h"

#include "graph/graph.h"
#include "tensor/tensor.h"

static const char patch_path[] = "vision_model.embeddings.patch_embedding";
static const char position_path[] = "vision_model.embeddings.position_embedding";
static const char class_name[] = "vision_model.embeddings.class_embedding";
static const char layers_path[] = "vision_model.encoder";

bdpo_status bdpo_clip_vision_config_parse(bdpo_clip_vision_config *out, const json_t *root,
                                          const char *file)
{
    enum { MAX_SIZE = 1 << 14, MAX_CHANNELS = 64 };
    bdpo_clip_part part;
    TRY(bdpo_clip_part_find(&part, root, file, "vision"));
    *out = (bdpo_clip_vision_config){
        // CLIPVisionConfig's defaults
        .tower = {.width = 768, .mlp_width = 3072, .layers = 12, .heads = 12, .norm_eps = 1e-5F},
        .projection_dim = part.projection_dim};
    const bdpo_json *fields = &part.fields;
    TRY(bdpo_clip_tower_parse(&out->tower, fields));
    TRY(bdpo_json_int_or(&out->channels, fields, "num_channels", 3, 1, MAX_CHANNELS));
    TRY(bdpo_json_int_or(&out->image_size, fields, "image_size", 224, 1, MAX_SIZE));
    TRY(bdpo_json_int_or(&out->patch_size, fields, "patch_size", 32, 1, MAX_SIZE));
    if (out->patch_size <= out->image_size) return BDPO_OK;
    return bdpo_fail(BDPO_BAD_FILE, "%s: patch_size is %d, expected at most image_size %d", file,
                     out->patch_size, out->image_size);
}

static int64_t patches(const bdpo_clip_vision_config *config)
{
    int64_t side = config->image_size / config->patch_size;
    return side * side;
}

void bdpo_clip_vision_params(bdpo_param_list *list, const bdpo_clip_vision_config *config)
{
    int64_t width = config->tower.width;
    bdpo_param_list_add(list, BDPO_SHAPE(width), "%s", class_name);
    bdpo_conv2d_params(list, patch_path, config->channels, width, config->patch_size, false);
    bdpo_embedding_params(list, position_path, 1 + patches(config), width);
    bdpo_norm_params(list, "vision_model.pre_layrnorm", width);
    bdpo_clip_layers_params(list, layers_path, &config->tower);
    bdpo_norm_params(list, "vision_model.post_layernorm", width);
    if (config->projection_dim > 0)
        bdpo_linear_params(list, "visual_projection", width, config->projection_dim, false);
}

void bdpo_clip_logit_scale_params(bdpo_param_list *list)
{
    bdpo_param_list_add(list, BDPO_SHAPE(1), "logit_scale");
}

// ---- graph -------------------------------------------------------------------------------------

// The class token before each picture's patches. x [n, patches, width] -> [n, 1 + patches, width];
// joined as channels of one long row each, where the tokens lie side by side.
static bdpo_node *prepend_class(const bdpo_builder *b, const bdpo_clip_vision_config *config,
                                bdpo_node *x, int64_t n)
{
    bdpo_graph *g = b->graph;
    int64_t width = config->tower.width, count = patches(config);
    bdpo_node *zeros = bdpo_fill(g, BDPO_SHAPE(n, width), 0);
    bdpo_node *parts[] = {bdpo_add(g, zeros, bdpo_param(g, class_name)),
                          bdpo_reshape(g, x, BDPO_SHAPE(n, count * width))};
    return bdpo_reshape(g, bdpo_concat_channels(g, parts, 2), BDPO_SHAPE(n, 1 + count, width));
}

static bdpo_node *embed(const bdpo_builder *b, const bdpo_clip_vision_config *config,
                        bdpo_node *pixels)
{
    bdpo_conv2d_options options = {.stride = config->patch_size};
    bdpo_node *x = bdpo_conv2d_at(b, patch_path, pixels, false, &options);
    x = prepend_class(b, config, x, bdpo_node_shape(pixels).dim[0]);
    x = bdpo_clip_add_positions(b, position_path, x);
    return bdpo_layer_norm_at(b, "vision_model.pre_layrnorm", x, config->tower.norm_eps);
}

static bdpo_node *class_row(const bdpo_builder *b, const bdpo_clip_vision_config *config,
                            bdpo_node *x, int64_t n)
{
    int64_t width = config->tower.width;
    x = bdpo_reshape(b->graph, x, BDPO_SHAPE(n, (1 + patches(config)) * width));
    return bdpo_slice_channels(b->graph, x, 0, width);
}

static bdpo_status check_pixels(const bdpo_clip_vision_config *config, bdpo_node *pixels)
{
    bdpo_shape shape = bdpo_node_shape(pixels);
    int size = config->image_size;
    if (shape.n_dims == 4 && shape.dim[1] == size && shape.dim[2] == size &&
        shape.dim[3] == config->channels)
        return BDPO_OK;
    return bdpo_fail(BDPO_BAD_SHAPE, "clip vision: pixels are %s, expected [n, %d, %d, %d]",
                     bdpo_shape_print(&shape).text, size, size, config->channels);
}

bdpo_clip_vision_outputs bdpo_clip_vision(const bdpo_builder *b,
                                          const bdpo_clip_vision_config *config, bdpo_node *pixels)
{
    bdpo_clip_vision_outputs out = {0};
    if (!pixels) return out;
    bdpo_status status = check_pixels(config, pixels);
    if (status != BDPO_OK) {
        bdpo_graph_fail(b->graph, status);
        return out;
    }
    const bdpo_clip_tower *tower = &config->tower;
    out.last =
        bdpo_clip_layers(b, layers_path, tower, embed(b, config, pixels), 0, tower->layers, false);
    bdpo_node *row = class_row(b, config, out.last, bdpo_node_shape(pixels).dim[0]);
    row = bdpo_layer_norm_at(b, "vision_model.post_layernorm", row, tower->norm_eps);
    if (config->projection_dim > 0)
        row = bdpo_linear_at(b, "visual_projection", row, false, BDPO_NO_ACTIVATION);
    out.embedding = row;
    return out;
}

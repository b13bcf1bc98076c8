// Patches, a class token before them, positions, pre-norm blocks, a last norm.
//
// A block is  x += proj(attention(q, k, v)),  q, k, v = thirds of qkv(norm1(x))
//             x += fc2(gelu(fc1(norm2(x))))
#include "models/vit.h"

#include "graph/graph.h"
#include "tensor/tensor.h"

static int64_t patches(const bdpo_vit_config *config)
{
    int64_t side = config->image_size / config->patch_size;
    return side * side;
}

int64_t bdpo_vit_rows(const bdpo_vit_config *config)
{
    return 1 + patches(config);
}

// ---- parameters --------------------------------------------------------------------------------

static void block_params(bdpo_param_list *list, const char *path, const bdpo_vit_config *config)
{
    int64_t width = config->width, mlp = config->mlp_width;
    bdpo_norm_params(list, bdpo_path_join(path, "norm1").text, width);
    bdpo_linear_params(list, bdpo_path_join(path, "attn.qkv").text, width, 3 * width, true);
    bdpo_linear_params(list, bdpo_path_join(path, "attn.proj").text, width, width, true);
    bdpo_norm_params(list, bdpo_path_join(path, "norm2").text, width);
    bdpo_linear_params(list, bdpo_path_join(path, "mlp.fc1").text, width, mlp, true);
    bdpo_linear_params(list, bdpo_path_join(path, "mlp.fc2").text, mlp, width, true);
}

void bdpo_vit_params(bdpo_param_list *list, const char *path, const bdpo_vit_config *config)
{
    int64_t width = config->width;
    bdpo_param_list_add(list, BDPO_SHAPE(1, 1, width), "%s.cls_token", path);
    bdpo_param_list_add(list, BDPO_SHAPE(1, bdpo_vit_rows(config), width), "%s.pos_embed", path);
    bdpo_conv2d_params(list, bdpo_path_join(path, "patch_embed.proj").text, config->channels, width,
                       config->patch_size, true);
    for (int i = 0; i < config->layers; i++)
        block_params(list, bdpo_path_join(path, "blocks.%d", i).text, config);
    bdpo_norm_params(list, bdpo_path_join(path, "norm").text, width);
}

// ---- graph -------------------------------------------------------------------------------------

static bdpo_node *project(const bdpo_builder *b, const char *path, const char *name, bdpo_node *x)
{
    return bdpo_linear_at(b, bdpo_path_join(path, "%s", name).text, x, true, BDPO_NO_ACTIVATION);
}

// Queries, keys and values are read where the one product put them.
static bdpo_node *attend(const bdpo_builder *b, const char *path, const bdpo_vit_config *config,
                         bdpo_node *h)
{
    int64_t thirds[] = {config->width, config->width, config->width};
    bdpo_node *part[3] = {0};
    bdpo_segments_begin(b, BDPO_SEGMENTS_LEAN);
    bdpo_node *x = bdpo_layer_norm_at(b, bdpo_path_join(path, "norm1").text, h, config->norm_eps);
    x = project(b, path, "attn.qkv", x);
    bdpo_segments_end(b, BDPO_SEGMENTS_LEAN);
    bdpo_split_channels(b->graph, x, 3, thirds, part);
    bdpo_attention_options options = {.heads = config->heads};
    x = bdpo_attention(b->graph, part[0], part[1], part[2], NULL, &options);
    return bdpo_add(b->graph, project(b, path, "attn.proj", x), h);
}

// The activation is a node of its own, so that a lean segment can make it again without its
// product.
static bdpo_node *feed_forward(const bdpo_builder *b, const char *path,
                               const bdpo_vit_config *config, bdpo_node *h)
{
    bdpo_segments_begin(b, BDPO_SEGMENTS_LEAN);
    bdpo_node *x = bdpo_layer_norm_at(b, bdpo_path_join(path, "norm2").text, h, config->norm_eps);
    x = project(b, path, "mlp.fc1", x);
    bdpo_segments_end(b, BDPO_SEGMENTS_LEAN);
    bdpo_segments_begin(b, BDPO_SEGMENTS_LEAN);
    x = project(b, path, "mlp.fc2", bdpo_gelu(b->graph, x));
    bdpo_segments_end(b, BDPO_SEGMENTS_LEAN);
    return bdpo_add(b->graph, x, h);
}

// The class token before each picture's patches. x [n, patches, width] -> [n, 1 + patches, width];
// joined as channels of one long row each, where the rows lie side by side.
static bdpo_node *prepend_class(const bdpo_builder *b, const char *path,
                                const bdpo_vit_config *config, bdpo_node *x, int64_t n)
{
    bdpo_graph *g = b->graph;
    int64_t width = config->width, count = patches(config);
    bdpo_node *token = bdpo_param(g, bdpo_path_join(path, "cls_token").text);
    token = bdpo_reshape(g, token, BDPO_SHAPE(width));
    bdpo_node *parts[] = {bdpo_add(g, bdpo_fill(g, BDPO_SHAPE(n, width), 0), token),
                          bdpo_reshape(g, x, BDPO_SHAPE(n, count * width))};
    return bdpo_reshape(g, bdpo_concat_channels(g, parts, 2), BDPO_SHAPE(n, 1 + count, width));
}

static bdpo_status check_pixels(const bdpo_vit_config *config, bdpo_node *pixels)
{
    bdpo_shape shape = bdpo_node_shape(pixels);
    int size = config->image_size;
    if (shape.n_dims == 4 && shape.dim[1] == size && shape.dim[2] == size &&
        shape.dim[3] == config->channels)
        return BDPO_OK;
    return bdpo_fail(BDPO_BAD_SHAPE, "vit: pixels are %s, expected [n, %d, %d, %d]",
                     bdpo_shape_print(&shape).text, size, size, config->channels);
}

bdpo_node *bdpo_vit(const bdpo_builder *b, const char *path, const bdpo_vit_config *config,
                    bdpo_node *pixels)
{
    if (!pixels) return NULL;
    bdpo_status status = check_pixels(config, pixels);
    if (status != BDPO_OK) {
        bdpo_graph_fail(b->graph, status);
        return NULL;
    }
    bdpo_conv2d_options options = {.stride = config->patch_size};
    bdpo_node *x =
        bdpo_conv2d_at(b, bdpo_path_join(path, "patch_embed.proj").text, pixels, true, &options);
    x = prepend_class(b, path, config, x, bdpo_node_shape(pixels).dim[0]);
    x = bdpo_add(b->graph, x, bdpo_param(b->graph, bdpo_path_join(path, "pos_embed").text));
    for (int i = 0; i < config->layers; i++) {
        bdpo_path block = bdpo_path_join(path, "blocks.%d", i);
        bdpo_segments_begin(b, BDPO_SEGMENTS_COARSE);
        x = feed_forward(b, block.text, config, attend(b, block.text, config, x));
        bdpo_segments_end(b, BDPO_SEGMENTS_COARSE);
    }
    return bdpo_layer_norm_at(b, bdpo_path_join(path, "norm").text, x, config->norm_eps);
}

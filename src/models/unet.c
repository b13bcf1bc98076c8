// The UNet of unet.h: time, the way down, the middle, the way up.
#include "models/unet.h"

#include "models/unet_blocks.h"

// ---- time --------------------------------------------------------------------------------------

static bdpo_timestep_options timestep_options(const bdpo_unet_config *config, int64_t width)
{
    return (bdpo_timestep_options){
        .dim = (int)width, .cos_first = config->cos_first, .shift = config->freq_shift};
}

// SDXL's second embedding: pooled text, and the sines and cosines of the time ids, one behind the
// other.
static bdpo_node *text_time(const bdpo_builder *b, const bdpo_unet_config *config,
                            const bdpo_unet_inputs *in)
{
    bdpo_graph *g = b->graph;
    bdpo_timestep_options options = timestep_options(config, config->time_id_width);
    int64_t n = bdpo_node_shape(in->sample).dim[0];
    bdpo_node *ids = bdpo_reshape(g, in->time_ids, BDPO_SHAPE(n * BDPO_UNET_TIME_IDS));
    ids = bdpo_timestep_embedding(g, ids, &options);
    ids = bdpo_reshape(g, ids, BDPO_SHAPE(n, BDPO_UNET_TIME_IDS * (int64_t)config->time_id_width));
    bdpo_node *both = bdpo_concat_channels(g, (bdpo_node *[]){in->pooled, ids}, 2);
    return bdpo_embedding_mlp_at(b, "add_embedding", both);
}

// Every residual block reads the embedding behind a SiLU, which is done once here.
static bdpo_node *embed_time(const bdpo_builder *b, const bdpo_unet_config *config,
                             const bdpo_unet_inputs *in)
{
    bdpo_timestep_options options = timestep_options(config, config->level[0].channels);
    bdpo_node *time = bdpo_timestep_embedding(b->graph, in->timestep, &options);
    time = bdpo_embedding_mlp_at(b, "time_embedding", time);
    if (config->text_time) time = bdpo_add(b->graph, time, text_time(b, config, in));
    return bdpo_silu(b->graph, time);
}

// ---- the whole ---------------------------------------------------------------------------------

static bdpo_node *center(bdpo_graph *g, bdpo_node *x) // 2 x - 1
{
    return bdpo_sub(g, bdpo_scale(g, x, 2), bdpo_fill(g, BDPO_SHAPE(1), 1));
}

static bdpo_node *enter(const bdpo_builder *b, const bdpo_unet_config *config, bdpo_node *x)
{
    bdpo_conv2d_options same = bdpo_same_padding(config->conv_in_kernel);
    if (config->center_input) x = center(b->graph, x);
    return bdpo_conv2d_at(b, "conv_in", x, true, &same);
}

static bdpo_node *leave(const bdpo_builder *b, const bdpo_unet_config *config, bdpo_node *x)
{
    bdpo_conv2d_options same = bdpo_same_padding(config->conv_out_kernel);
    bdpo_group_norm_options norm = {
        .groups = config->norm_groups, .eps = config->norm_eps, .silu = true};
    bdpo_segment_begin(b->graph);
    x = bdpo_group_norm_at(b, "conv_norm_out", x, &norm);
    x = bdpo_conv2d_at(b, "conv_out", x, true, &same);
    bdpo_segment_end(b->graph);
    return x;
}

bdpo_node *bdpo_unet(const bdpo_builder *b, const bdpo_unet_config *config,
                     const bdpo_unet_inputs *in)
{
    if (bdpo_graph_check(b->graph) != BDPO_OK) return NULL;
    BDPO_ASSERT(config->text_time == (in->pooled != NULL && in->time_ids != NULL));
    bdpo_unet_stream s = {.b = b, .config = config, .context = in->context};
    s.time = embed_time(b, config, in);
    bdpo_node *x = enter(b, config, in->sample);
    bdpo_unet_push(&s.skips, x);
    for (int i = 0; i < config->n_levels; i++) x = bdpo_unet_down(&s, i, x);
    x = bdpo_unet_middle(&s, x);
    for (int i = config->n_levels - 1; i >= 0; i--) x = bdpo_unet_up(&s, i, x);
    return leave(b, config, x);
}

void bdpo_unet_params(bdpo_param_list *list, const bdpo_unet_config *config)
{
    int64_t first = config->level[0].channels;
    bdpo_conv2d_params(list, "conv_in", config->in_channels, first, config->conv_in_kernel, true);
    bdpo_embedding_mlp_params(list, "time_embedding", first, config->time_width);
    if (config->text_time)
        bdpo_embedding_mlp_params(list, "add_embedding", config->addition_width,
                                  config->time_width);
    for (int i = 0; i < config->n_levels; i++) bdpo_unet_down_params(list, config, i);
    for (int i = config->n_levels - 1; i >= 0; i--) bdpo_unet_up_params(list, config, i);
    bdpo_unet_middle_params(list, config);
    bdpo_norm_params(list, "conv_norm_out", first);
    bdpo_conv2d_params(list, "conv_out", first, config->out_channels, config->conv_out_kernel,
                       true);
}

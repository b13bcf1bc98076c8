// The levels of unet_blocks.h: diffusers' CrossAttnDownBlock2D, DownBlock2D,
// UNetMidBlock2DCrossAttn, CrossAttnUpBlock2D and UpBlock2D. Blocks of the way up are numbered from
// the smallest level on.
#include "models/unet_blocks.h"

void bdpo_unet_push(bdpo_unet_skips *skips, bdpo_node *x)
{
    BDPO_ASSERT(skips->count < BDPO_UNET_MAX_SKIPS);
    skips->node[skips->count++] = x;
}

static bdpo_node *pop(bdpo_unet_skips *skips)
{
    BDPO_ASSERT(skips->count > 0);
    return skips->node[--skips->count];
}

static bdpo_transformer_options transformer_options(const bdpo_unet_config *config, int level)
{
    return (bdpo_transformer_options){
        .groups = config->norm_groups,
        .heads = config->level[level].heads,
        .layers = config->level[level].transformer_layers,
        .linear_projection = config->linear_projection,
        .upcast = config->upcast_attention,
    };
}

static bdpo_node *residual(const bdpo_unet_stream *s, const char *path, int index, int level,
                           float scale, bdpo_node *x)
{
    bdpo_residual_options options = {
        .out = s->config->level[level].channels,
        .groups = s->config->norm_groups,
        .eps = s->config->norm_eps,
        .output_scale = scale,
    };
    return bdpo_residual_at(s->b, bdpo_path_join(path, "resnets.%d", index).text, x, s->time,
                            &options);
}

static bdpo_node *attend(const bdpo_unet_stream *s, const char *path, int index, int level,
                         bdpo_node *x)
{
    bdpo_transformer_options options = transformer_options(s->config, level);
    return bdpo_transformer_at(s->b, bdpo_path_join(path, "attentions.%d", index).text, x,
                               s->context, &options);
}

static void attend_params(bdpo_param_list *list, const bdpo_unet_config *config, const char *path,
                          int index, int level)
{
    bdpo_transformer_options options = transformer_options(config, level);
    bdpo_transformer_params(list, bdpo_path_join(path, "attentions.%d", index).text,
                            config->level[level].channels, config->context_width, &options);
}

// ---- down --------------------------------------------------------------------------------------

bdpo_node *bdpo_unet_down(bdpo_unet_stream *s, int level, bdpo_node *x)
{
    const bdpo_unet_level *at = &s->config->level[level];
    bdpo_path path = bdpo_path_join("down_blocks", "%d", level);
    for (int i = 0; i < at->residuals; i++) {
        x = residual(s, path.text, i, level, 1, x);
        if (at->down_attends) x = attend(s, path.text, i, level, x);
        bdpo_unet_push(&s->skips, x);
    }
    if (level == s->config->n_levels - 1) return x;
    x = bdpo_downsample_at(s->b, bdpo_path_join(path.text, "downsamplers.0").text, x,
                           s->config->downsample_padding);
    bdpo_unet_push(&s->skips, x);
    return x;
}

void bdpo_unet_down_params(bdpo_param_list *list, const bdpo_unet_config *config, int level)
{
    const bdpo_unet_level *at = &config->level[level];
    bdpo_path path = bdpo_path_join("down_blocks", "%d", level);
    int64_t in = config->level[level > 0 ? level - 1 : 0].channels;
    for (int i = 0; i < at->residuals && at->down_attends; i++)
        attend_params(list, config, path.text, i, level);
    for (int i = 0; i < at->residuals; i++)
        bdpo_residual_params(list, bdpo_path_join(path.text, "resnets.%d", i).text,
                             i == 0 ? in : at->channels, at->channels, config->time_width);
    if (level < config->n_levels - 1)
        bdpo_resample_params(list, bdpo_path_join(path.text, "downsamplers.0").text, at->channels);
}

// ---- middle ------------------------------------------------------------------------------------

bdpo_node *bdpo_unet_middle(bdpo_unet_stream *s, bdpo_node *x)
{
    static const char path[] = "mid_block";
    int last = s->config->n_levels - 1;
    x = residual(s, path, 0, last, s->config->mid_scale, x);
    x = attend(s, path, 0, last, x);
    return residual(s, path, 1, last, s->config->mid_scale, x);
}

void bdpo_unet_middle_params(bdpo_param_list *list, const bdpo_unet_config *config)
{
    static const char path[] = "mid_block";
    int last = config->n_levels - 1;
    int64_t channels = config->level[last].channels;
    attend_params(list, config, path, 0, last);
    for (int i = 0; i < 2; i++)
        bdpo_residual_params(list, bdpo_path_join(path, "resnets.%d", i).text, channels, channels,
                             config->time_width);
}

// ---- up ----------------------------------------------------------------------------------------

static bdpo_path up_path(const bdpo_unet_config *config, int level)
{
    return bdpo_path_join("up_blocks", "%d", config->n_levels - 1 - level);
}

bdpo_node *bdpo_unet_up(bdpo_unet_stream *s, int level, bdpo_node *x)
{
    const bdpo_unet_level *at = &s->config->level[level];
    bdpo_path path = up_path(s->config, level);
    for (int i = 0; i < at->residuals + 1; i++) {
        bdpo_node *skip = pop(&s->skips);
        x = bdpo_concat_channels(s->b->graph, (bdpo_node *[]){x, skip}, 2);
        x = residual(s, path.text, i, level, 1, x);
        if (at->up_attends) x = attend(s, path.text, i, level, x);
    }
    if (level == 0) return x;
    // To the size of the next skip connection: an odd one was rounded up on the way down.
    bdpo_shape next = bdpo_node_shape(s->skips.node[s->skips.count - 1]);
    return bdpo_upsample_at(s->b, bdpo_path_join(path.text, "upsamplers.0").text, x, next.dim[1],
                            next.dim[2]);
}

// Channels that the i-th residual block of a level's way up gets from its skip connection: of the
// level itself, and last what came into the level on the way down.
static int64_t skip_channels(const bdpo_unet_config *config, int level, int i)
{
    bool last = i == config->level[level].residuals;
    return config->level[last && level > 0 ? level - 1 : level].channels;
}

void bdpo_unet_up_params(bdpo_param_list *list, const bdpo_unet_config *config, int level)
{
    const bdpo_unet_level *at = &config->level[level];
    bdpo_path path = up_path(config, level);
    int below = level < config->n_levels - 1 ? level + 1 : level;
    for (int i = 0; i < at->residuals + 1 && at->up_attends; i++)
        attend_params(list, config, path.text, i, level);
    for (int i = 0; i < at->residuals + 1; i++) {
        int64_t from = i == 0 ? config->level[below].channels : at->channels;
        bdpo_residual_params(list, bdpo_path_join(path.text, "resnets.%d", i).text,
                             from + skip_channels(config, level, i), at->channels,
                             config->time_width);
    }
    if (level > 0)
        bdpo_resample_params(list, bdpo_path_join(path.text, "upsamplers.0").text, at->channels);
}

// Encoder and decoder, top to bottom as in diffusers' Encoder, Decoder and UNetMidBlock2D.
#include "models/vae.h"

#include "formats/json.h"

// Of every norm here; the layers themselves know it from us.
static const float norm_eps = 1e-6F;

// ---- config.json -------------------------------------------------------------------------------

enum { MAX_CHANNELS = 1 << 14, MAX_SIZE = 1 << 16 };

static bdpo_status check_types(const bdpo_json *fields, const char *name, const char *word,
                               int n_levels)
{
    int found[BDPO_VAE_MAX_LEVELS], count;
    TRY(bdpo_json_words(found, &count, BDPO_VAE_MAX_LEVELS, fields, name, &word, 1));
    if (count == n_levels) return BDPO_OK;
    return bdpo_fail(BDPO_BAD_FILE, "%s: %s has %d entries, expected %d as block_out_channels",
                     fields->file, name, count, n_levels);
}

static bdpo_status read_levels(bdpo_vae_config *out, const bdpo_json *fields)
{
    TRY(bdpo_json_ints(out->channels, &out->n_levels, BDPO_VAE_MAX_LEVELS, fields,
                       "block_out_channels", 1, MAX_CHANNELS));
    TRY(check_types(fields, "down_block_types", "DownEncoderBlock2D", out->n_levels));
    TRY(check_types(fields, "up_block_types", "UpDecoderBlock2D", out->n_levels));
    TRY(bdpo_json_int_or(&out->residuals, fields, "layers_per_block", 1, 1, 64));
    TRY(bdpo_json_int_or(&out->groups, fields, "norm_num_groups", 32, 1, MAX_CHANNELS));
    for (int i = 0; i < out->n_levels; i++)
        if (out->channels[i] % out->groups != 0)
            return bdpo_fail(BDPO_BAD_FILE,
                             "%s: block_out_channels[%d] is %d, expected a multiple of "
                             "norm_num_groups %d",
                             fields->file, i, out->channels[i], out->groups);
    return BDPO_OK;
}

static bdpo_status read_scale(bdpo_vae_config *out, const bdpo_json *fields)
{
    double scaling, shift;
    TRY(bdpo_json_double_or(&scaling, fields, "scaling_factor", 0.18215, 1e-6, 1e6));
    TRY(bdpo_json_double_or(&shift, fields, "shift_factor", 0, -1e6, 1e6));
    out->scaling = (float)scaling;
    out->shift = (float)shift;
    static const char *const unknown[] = {"latents_mean", "latents_std"};
    for (size_t i = 0; i < BDPO_COUNTOF(unknown); i++)
        if (bdpo_json_has(fields, unknown[i]))
            return bdpo_fail(BDPO_UNSUPPORTED,
                             "%s: %s is set, expected null: latents of other "
                             "scales for each channel are not supported",
                             fields->file, unknown[i]);
    return BDPO_OK;
}

bdpo_status bdpo_vae_config_parse(bdpo_vae_config *out, const json_t *root, const char *file)
{
    static const char *const class_name = "AutoencoderKL", *const activation = "silu";
    int word;
    // The reader never changes a document.
    bdpo_json object = {.value = (json_t *)(uintptr_t)root, .file = file};
    const bdpo_json *fields = &object;
    *out = (bdpo_vae_config){0};
    TRY(bdpo_json_word_or(&word, fields, "_class_name", 0, &class_name, 1));
    TRY(bdpo_json_word_or(&word, fields, "act_fn", 0, &activation, 1));
    TRY(read_levels(out, fields));
    TRY(read_scale(out, fields));
    TRY(bdpo_json_int_or(&out->in_channels, fields, "in_channels", 3, 1, MAX_CHANNELS));
    TRY(bdpo_json_int_or(&out->out_channels, fields, "out_channels", 3, 1, MAX_CHANNELS));
    TRY(bdpo_json_int_or(&out->latent_channels, fields, "latent_channels", 4, 1, MAX_CHANNELS));
    TRY(bdpo_json_int_or(&out->sample_size, fields, "sample_size", 32, 1, MAX_SIZE));
    TRY(bdpo_json_bool_or(&out->upcast, fields, "force_upcast", true));
    TRY(bdpo_json_bool_or(&out->quant_conv, fields, "use_quant_conv", true));
    TRY(bdpo_json_bool_or(&out->post_quant_conv, fields, "use_post_quant_conv", true));
    return bdpo_json_bool_or(&out->mid_attention, fields, "mid_block_add_attention", true);
}

int64_t bdpo_vae_factor(const bdpo_vae_config *config)
{
    return (int64_t)1 << (config->n_levels - 1);
}

static int64_t deepest(const bdpo_vae_config *config)
{
    return config->channels[config->n_levels - 1];
}

// ---- parameters --------------------------------------------------------------------------------

static void attention_params(bdpo_param_list *list, const char *path, int64_t channels)
{
    static const char *const products[] = {"to_q", "to_k", "to_v", "to_out.0"};
    bdpo_norm_params(list, bdpo_path_join(path, "group_norm").text, channels);
    for (size_t i = 0; i < BDPO_COUNTOF(products); i++)
        bdpo_linear_params(list, bdpo_path_join(path, "%s", products[i]).text, channels, channels,
                           true);
}

static void mid_params(bdpo_param_list *list, const char *path, const bdpo_vae_config *config)
{
    int64_t channels = deepest(config);
    if (config->mid_attention)
        attention_params(list, bdpo_path_join(path, "mid_block.attentions.0").text, channels);
    for (int j = 0; j < 2; j++)
        bdpo_residual_params(list, bdpo_path_join(path, "mid_block.resnets.%d", j).text, channels,
                             channels, 0);
}

// One resolution: `count` residual blocks, and in all but the last the change to the next.
static void level_params(bdpo_param_list *list, const char *path, int count, int64_t in,
                         int64_t out, const char *resampler)
{
    for (int j = 0; j < count; j++)
        bdpo_residual_params(list, bdpo_path_join(path, "resnets.%d", j).text, j == 0 ? in : out,
                             out, 0);
    if (resampler) bdpo_resample_params(list, bdpo_path_join(path, "%s.0", resampler).text, out);
}

static void encoder_params(bdpo_param_list *list, const bdpo_vae_config *config)
{
    int64_t in = config->channels[0];
    bdpo_conv2d_params(list, "encoder.conv_in", config->in_channels, in, 3, true);
    for (int i = 0; i < config->n_levels; i++) {
        level_params(list, bdpo_path_join("encoder", "down_blocks.%d", i).text, config->residuals,
                     in, config->channels[i], i < config->n_levels - 1 ? "downsamplers" : NULL);
        in = config->channels[i];
    }
    mid_params(list, "encoder", config);
    bdpo_norm_params(list, "encoder.conv_norm_out", in);
    bdpo_conv2d_params(list, "encoder.conv_out", in, 2 * (int64_t)config->latent_channels, 3, true);
}

static void decoder_params(bdpo_param_list *list, const bdpo_vae_config *config)
{
    int64_t in = deepest(config);
    bdpo_conv2d_params(list, "decoder.conv_in", config->latent_channels, in, 3, true);
    mid_params(list, "decoder", config);
    for (int i = 0; i < config->n_levels; i++) {
        int64_t out = config->channels[config->n_levels - 1 - i];
        level_params(list, bdpo_path_join("decoder", "up_blocks.%d", i).text, config->residuals + 1,
                     in, out, i < config->n_levels - 1 ? "upsamplers" : NULL);
        in = out;
    }
    bdpo_norm_params(list, "decoder.conv_norm_out", in);
    bdpo_conv2d_params(list, "decoder.conv_out", in, config->out_channels, 3, true);
}

void bdpo_vae_params(bdpo_param_list *list, const bdpo_vae_config *config)
{
    int64_t latent = config->latent_channels;
    encoder_params(list, config);
    decoder_params(list, config);
    if (config->quant_conv) bdpo_conv2d_params(list, "quant_conv", 2 * latent, 2 * latent, 1, true);
    if (config->post_quant_conv)
        bdpo_conv2d_params(list, "post_quant_conv", latent, latent, 1, true);
}

// ---- graph -------------------------------------------------------------------------------------

static bdpo_node *conv3x3(const bdpo_builder *b, const char *path, bdpo_node *x)
{
    bdpo_conv2d_options same = bdpo_same_padding(3);
    return bdpo_conv2d_at(b, path, x, true, &same);
}

static bdpo_node *residual(const bdpo_builder *b, const bdpo_vae_config *config, const char *path,
                           int index, bdpo_node *x, int64_t out)
{
    bdpo_residual_options options = {.out = out, .groups = config->groups, .eps = norm_eps};
    return bdpo_residual_at(b, bdpo_path_join(path, "resnets.%d", index).text, x, NULL, &options);
}

static bdpo_node *project(const bdpo_builder *b, const char *path, const char *name, bdpo_node *x)
{
    return bdpo_linear_at(b, bdpo_path_join(path, "%s", name).text, x, true, BDPO_NO_ACTIVATION);
}

// x + to_out.0(attention(to_q, to_k, to_v of group_norm(x))), one head as wide as the map.
static bdpo_node *attention(const bdpo_builder *b, const bdpo_vae_config *config, const char *path,
                            bdpo_node *x)
{
    bdpo_group_norm_options norm = {.groups = config->groups, .eps = norm_eps};
    bdpo_segment_begin(b->graph);
    bdpo_node *h = bdpo_group_norm_at(b, bdpo_path_join(path, "group_norm").text, x, &norm);
    bdpo_node *q = project(b, path, "to_q", h);
    bdpo_node *k = project(b, path, "to_k", h);
    bdpo_node *v = project(b, path, "to_v", h);
    bdpo_segment_end(b->graph);
    h = bdpo_attention(b->graph, q, k, v, NULL, &(bdpo_attention_options){.heads = 1});
    return bdpo_add(b->graph, project(b, path, "to_out.0", h), x);
}

static bdpo_node *mid_block(const bdpo_builder *b, const bdpo_vae_config *config, const char *path,
                            bdpo_node *x)
{
    bdpo_path mid = bdpo_path_join(path, "mid_block");
    x = residual(b, config, mid.text, 0, x, deepest(config));
    if (config->mid_attention)
        x = attention(b, config, bdpo_path_join(mid.text, "attentions.0").text, x);
    return residual(b, config, mid.text, 1, x, deepest(config));
}

static bdpo_node *norm_silu_conv_out(const bdpo_builder *b, const bdpo_vae_config *config,
                                     const char *path, bdpo_node *x)
{
    bdpo_group_norm_options norm = {.groups = config->groups, .eps = norm_eps, .silu = true};
    bdpo_segment_begin(b->graph);
    x = bdpo_group_norm_at(b, bdpo_path_join(path, "conv_norm_out").text, x, &norm);
    x = conv3x3(b, bdpo_path_join(path, "conv_out").text, x);
    bdpo_segment_end(b->graph);
    return x;
}

static bdpo_node *encoder(const bdpo_builder *b, const bdpo_vae_config *config, bdpo_node *x)
{
    x = conv3x3(b, "encoder.conv_in", x);
    for (int i = 0; i < config->n_levels; i++) {
        bdpo_path level = bdpo_path_join("encoder", "down_blocks.%d", i);
        for (int j = 0; j < config->residuals; j++)
            x = residual(b, config, level.text, j, x, config->channels[i]);
        if (i < config->n_levels - 1)
            x = bdpo_downsample_at(b, bdpo_path_join(level.text, "downsamplers.0").text, x, 0);
    }
    x = mid_block(b, config, "encoder", x);
    return norm_silu_conv_out(b, config, "encoder", x);
}

static bdpo_node *decoder(const bdpo_builder *b, const bdpo_vae_config *config, bdpo_node *x)
{
    x = conv3x3(b, "decoder.conv_in", x);
    x = mid_block(b, config, "decoder", x);
    for (int i = 0; i < config->n_levels; i++) {
        bdpo_path level = bdpo_path_join("decoder", "up_blocks.%d", i);
        for (int j = 0; j < config->residuals + 1; j++)
            x = residual(b, config, level.text, j, x, config->channels[config->n_levels - 1 - i]);
        if (i < config->n_levels - 1)
            x = bdpo_upsample_at(b, bdpo_path_join(level.text, "upsamplers.0").text, x, 0, 0);
    }
    return norm_silu_conv_out(b, config, "decoder", x);
}

static void upcast_begin(const bdpo_builder *b, const bdpo_vae_config *config)
{
    if (config->upcast) bdpo_f32_begin(b->graph);
}

static void upcast_end(const bdpo_builder *b, const bdpo_vae_config *config)
{
    if (config->upcast) bdpo_f32_end(b->graph);
}

bdpo_vae_moments bdpo_vae_encode(const bdpo_builder *b, const bdpo_vae_config *config,
                                 bdpo_node *pixels)
{
    bdpo_node *part[2] = {0};
    upcast_begin(b, config);
    bdpo_node *x = encoder(b, config, pixels);
    if (config->quant_conv) x = bdpo_conv2d_at(b, "quant_conv", x, true, NULL);
    int64_t latent = config->latent_channels;
    bdpo_split_channels(b->graph, x, 2, (const int64_t[]){latent, latent}, part);
    bdpo_node *logvar = bdpo_clamp(b->graph, part[1], -30, 20);
    upcast_end(b, config);
    return (bdpo_vae_moments){.mean = part[0], .logvar = logvar};
}

static bdpo_node *shifted(const bdpo_builder *b, bdpo_node *x, float shift)
{
    if (shift == 0) return x;
    return bdpo_add(b->graph, x, bdpo_fill(b->graph, BDPO_SHAPE(1), shift));
}

bdpo_node *bdpo_vae_sample(const bdpo_builder *b, const bdpo_vae_config *config,
                           const bdpo_vae_moments *moments, bdpo_node *noise)
{
    bdpo_graph *g = b->graph;
    upcast_begin(b, config);
    bdpo_node *z = moments->mean;
    if (noise) {
        bdpo_node *deviation = bdpo_exp(g, bdpo_scale(g, moments->logvar, 0.5F));
        z = bdpo_add(g, bdpo_mul(g, deviation, noise), z);
    }
    z = bdpo_scale(g, shifted(b, z, -config->shift), config->scaling);
    upcast_end(b, config);
    return z;
}

bdpo_node *bdpo_vae_unscale(const bdpo_builder *b, const bdpo_vae_config *config,
                            bdpo_node *latents)
{
    return shifted(b, bdpo_scale(b->graph, latents, 1 / config->scaling), config->shift);
}

bdpo_node *bdpo_vae_decode(const bdpo_builder *b, const bdpo_vae_config *config, bdpo_node *z)
{
    upcast_begin(b, config);
    if (config->post_quant_conv) z = bdpo_conv2d_at(b, "post_quant_conv", z, true, NULL);
    z = decoder(b, config, z);
    upcast_end(b, config);
    return z;
}

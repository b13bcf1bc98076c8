// The table of modules and the two walks over it.
//
// A module of the table is a path in both worlds and a list of leaves below it, e.g. the residual
// block "down_blocks.0.resnets.1" = "input_blocks.2.0" with "conv1" = "in_layers.2". A name is the
// module's path, the leaf's, and what remains: ".weight" or ".bias".
//
// Sources of the originals' names: CompVis stable-diffusion and Stability-AI generative-models
// (openaimodel.py, ddpm's autoencoder), open_clip (transformer.py).
#include "models/naming.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"

enum { PATH_BYTES = 48, MAX_LEVELS = 8, MAX_LAYERS = 8 };

// ---- leaves ------------------------------------------------------------------------------------

typedef struct leaf {
    const char *diffusers, *original; // "": everything below the module has one name in both
    int stacked;                      // 1 + third of the original; 0: whole
    bool transposed, conv;
} leaf;

static const leaf same[] = {{.diffusers = "", .original = ""}};

static const leaf unet_resnet[] = {
    {.diffusers = "norm1", .original = "in_layers.0"},
    {.diffusers = "conv1", .original = "in_layers.2"},
    {.diffusers = "time_emb_proj", .original = "emb_layers.1"},
    {.diffusers = "norm2", .original = "out_layers.0"},
    {.diffusers = "conv2", .original = "out_layers.3"},
    {.diffusers = "conv_shortcut", .original = "skip_connection"},
};

static const leaf vae_resnet[] = {
    {.diffusers = "norm1", .original = "norm1"},
    {.diffusers = "conv1", .original = "conv1"},
    {.diffusers = "norm2", .original = "norm2"},
    {.diffusers = "conv2", .original = "conv2"},
    {.diffusers = "conv_shortcut", .original = "nin_shortcut"},
};

static const leaf vae_attention[] = {
    {.diffusers = "group_norm", .original = "norm"},
    {.diffusers = "to_q", .original = "q", .conv = true},
    {.diffusers = "to_k", .original = "k", .conv = true},
    {.diffusers = "to_v", .original = "v", .conv = true},
    {.diffusers = "to_out.0", .original = "proj_out", .conv = true},
};

static const leaf open_clip_layer[] = {
    {.diffusers = "layer_norm1", .original = "ln_1"},
    {.diffusers = "layer_norm2", .original = "ln_2"},
    {.diffusers = "self_attn.q_proj.weight", .original = "attn.in_proj_weight", .stacked = 1},
    {.diffusers = "self_attn.k_proj.weight", .original = "attn.in_proj_weight", .stacked = 2},
    {.diffusers = "self_attn.v_proj.weight", .original = "attn.in_proj_weight", .stacked = 3},
    {.diffusers = "self_attn.q_proj.bias", .original = "attn.in_proj_bias", .stacked = 1},
    {.diffusers = "self_attn.k_proj.bias", .original = "attn.in_proj_bias", .stacked = 2},
    {.diffusers = "self_attn.v_proj.bias", .original = "attn.in_proj_bias", .stacked = 3},
    {.diffusers = "self_attn.out_proj", .original = "attn.out_proj"},
    {.diffusers = "mlp.fc1", .original = "mlp.c_fc"},
    {.diffusers = "mlp.fc2", .original = "mlp.c_proj"},
};

static const leaf open_clip_rest[] = {
    {.diffusers = "text_model.embeddings.token_embedding", .original = "token_embedding"},
    {.diffusers = "text_model.embeddings.position_embedding.weight",
     .original = "positional_embedding"},
    {.diffusers = "text_model.final_layer_norm", .original = "ln_final"},
    {.diffusers = "text_projection.weight", .original = "text_projection", .transposed = true},
};

// Of the vision model, where a file holds a whole CLIP.
static const leaf open_clip_vision[] = {
    {.diffusers = "vision_model.embeddings.class_embedding", .original = "visual.class_embedding"},
    {.diffusers = "vision_model.embeddings.patch_embedding", .original = "visual.conv1"},
    {.diffusers = "vision_model.embeddings.position_embedding.weight",
     .original = "visual.positional_embedding"},
    {.diffusers = "vision_model.pre_layrnorm", .original = "visual.ln_pre"},
    {.diffusers = "vision_model.post_layernorm", .original = "visual.ln_post"},
    {.diffusers = "visual_projection.weight", .original = "visual.proj", .transposed = true},
    {.diffusers = "logit_scale", .original = "logit_scale"},
};

static const leaf unet_rest[] = {
    {.diffusers = "conv_in", .original = "input_blocks.0.0"},
    {.diffusers = "time_embedding.linear_1", .original = "time_embed.0"},
    {.diffusers = "time_embedding.linear_2", .original = "time_embed.2"},
    {.diffusers = "add_embedding.linear_1", .original = "label_emb.0.0"},
    {.diffusers = "add_embedding.linear_2", .original = "label_emb.0.2"},
    {.diffusers = "conv_norm_out", .original = "out.0"},
    {.diffusers = "conv_out", .original = "out.2"},
};

static const leaf vae_half[] = {
    {.diffusers = "conv_in", .original = "conv_in"},
    {.diffusers = "conv_norm_out", .original = "norm_out"},
    {.diffusers = "conv_out", .original = "conv_out"},
};

static const leaf vae_rest[] = {
    {.diffusers = "quant_conv", .original = "quant_conv"},
    {.diffusers = "post_quant_conv", .original = "post_quant_conv"},
};

// ---- modules -----------------------------------------------------------------------------------

typedef struct module {
    char diffusers[PATH_BYTES], original[PATH_BYTES]; // "": the root
    const leaf *leaves;
    int n_leaves;
} module;

struct bdpo_naming {
    bdpo_naming_kind kind;
    module *modules;
    int count, capacity;
    bool no_memory; // sticks; asked for once
};

#define LEAVES(table) table, (int)BDPO_COUNTOF(table)

static module *next_module(bdpo_naming *naming)
{
    if (naming->count == naming->capacity) {
        int capacity = naming->capacity ? 2 * naming->capacity : 64;
        module *grown = bdpo_realloc(naming->modules, (size_t)capacity, sizeof *grown);
        if (!grown) return NULL;
        naming->modules = grown;
        naming->capacity = capacity;
    }
    return &naming->modules[naming->count++];
}

// Appends a module, its paths printed as "diffusers=original"; each alone may be empty.
__attribute__((format(printf, 4, 5))) static void add(bdpo_naming *naming, const leaf *leaves,
                                                      int n_leaves, const char *paths, ...)
{
    module *m = next_module(naming);
    if (!m) {
        naming->no_memory = true;
        return;
    }
    char text[2 * PATH_BYTES];
    va_list arguments;
    va_start(arguments, paths);
    int length = vsnprintf(text, sizeof text, paths, arguments);
    va_end(arguments);
    char *equals = strchr(text, '=');
    BDPO_ASSERT(length < (int)sizeof text && equals && equals - text < PATH_BYTES &&
                strlen(equals) <= PATH_BYTES);
    *equals = '\0';
    *m = (module){.leaves = leaves, .n_leaves = n_leaves};
    memcpy(m->diffusers, text, strlen(text) + 1);
    memcpy(m->original, equals + 1, strlen(equals + 1) + 1);
}

// What the configuration tells: levels, residual blocks in each, and where there is attention.
typedef struct blocks {
    int n_levels, n_layers;
    bool down_attention[MAX_LEVELS], up_attention[MAX_LEVELS];
} blocks;

// Each level of the way down is n_layers residual blocks and a downsampler, numbered on from the
// first convolution; each of the way up has one block more, and its upsampler shares the number of
// the last.
static void add_unet(bdpo_naming *naming, const blocks *b)
{
    int n = b->n_layers + 1;
    add(naming, LEAVES(unet_rest), "=");
    for (int i = 0; i < b->n_levels; i++) {
        for (int j = 0; j < b->n_layers; j++) {
            int at = n * i + j + 1;
            add(naming, LEAVES(unet_resnet), "down_blocks.%d.resnets.%d=input_blocks.%d.0", i, j,
                at);
            if (b->down_attention[i])
                add(naming, LEAVES(same), "down_blocks.%d.attentions.%d=input_blocks.%d.1", i, j,
                    at);
        }
        if (i < b->n_levels - 1)
            add(naming, LEAVES(same), "down_blocks.%d.downsamplers.0.conv=input_blocks.%d.0.op", i,
                n * i + n);
    }
    add(naming, LEAVES(unet_resnet), "mid_block.resnets.0=middle_block.0");
    add(naming, LEAVES(same), "mid_block.attentions.0=middle_block.1");
    add(naming, LEAVES(unet_resnet), "mid_block.resnets.1=middle_block.2");
    for (int i = 0; i < b->n_levels; i++) {
        for (int j = 0; j < n; j++) {
            int at = n * i + j;
            add(naming, LEAVES(unet_resnet), "up_blocks.%d.resnets.%d=output_blocks.%d.0", i, j,
                at);
            if (b->up_attention[i])
                add(naming, LEAVES(same), "up_blocks.%d.attentions.%d=output_blocks.%d.1", i, j,
                    at);
        }
        if (i < b->n_levels - 1)
            add(naming, LEAVES(same), "up_blocks.%d.upsamplers.0.conv=output_blocks.%d.%d.conv", i,
                n * i + n - 1, b->up_attention[i] ? 2 : 1);
    }
}

// The original counts the decoder's levels from the picture, diffusers from the latent.
static void add_vae(bdpo_naming *naming, const blocks *b)
{
    static const char *const halves[] = {"encoder", "decoder"};
    int last = b->n_levels - 1;
    add(naming, LEAVES(vae_rest), "=");
    for (int h = 0; h < 2; h++) {
        const char *half = halves[h];
        add(naming, LEAVES(vae_half), "%s=%s", half, half);
        add(naming, LEAVES(vae_resnet), "%s.mid_block.resnets.0=%s.mid.block_1", half, half);
        add(naming, LEAVES(vae_attention), "%s.mid_block.attentions.0=%s.mid.attn_1", half, half);
        add(naming, LEAVES(vae_resnet), "%s.mid_block.resnets.1=%s.mid.block_2", half, half);
    }
    for (int i = 0; i <= last; i++) {
        for (int j = 0; j < b->n_layers; j++)
            add(naming, LEAVES(vae_resnet),
                "encoder.down_blocks.%d.resnets.%d=encoder.down.%d.block.%d", i, j, i, j);
        for (int j = 0; j < b->n_layers + 1; j++)
            add(naming, LEAVES(vae_resnet),
                "decoder.up_blocks.%d.resnets.%d=decoder.up.%d.block.%d", i, j, last - i, j);
        if (i == last) break;
        add(naming, LEAVES(same),
            "encoder.down_blocks.%d.downsamplers.0.conv=encoder.down.%d.downsample.conv", i, i);
        add(naming, LEAVES(same),
            "decoder.up_blocks.%d.upsamplers.0.conv=decoder.up.%d.upsample.conv", i, last - i);
    }
}

static void add_open_clip(bdpo_naming *naming, int n_text, int n_vision)
{
    add(naming, LEAVES(open_clip_rest), "=");
    for (int i = 0; i < n_text; i++)
        add(naming, LEAVES(open_clip_layer),
            "text_model.encoder.layers.%d=transformer.resblocks.%d", i, i);
    if (n_vision == 0) return;
    add(naming, LEAVES(open_clip_vision), "=");
    for (int i = 0; i < n_vision; i++)
        add(naming, LEAVES(open_clip_layer),
            "vision_model.encoder.layers.%d=visual.transformer.resblocks.%d", i, i);
}

// ---- configuration -----------------------------------------------------------------------------

static bdpo_status read_int(int *out, const json_t *config, const char *field, int largest,
                            const char *file)
{
    const json_t *value = json_object_get(config, field);
    json_int_t number = json_integer_value(value);
    if (!json_is_integer(value) || number < 1 || number > largest)
        return bdpo_fail(BDPO_BAD_FILE, "%s: \"%s\" is not a whole number from 1 to %d", file,
                         field, largest);
    *out = (int)number;
    return BDPO_OK;
}

static bdpo_status read_attention(bool *out, const json_t *config, const char *field, int n_levels,
                                  const char *file)
{
    const json_t *types = json_object_get(config, field);
    if (json_array_size(types) != (size_t)n_levels)
        return bdpo_fail(BDPO_BAD_FILE,
                         "%s: \"%s\" is not a list of %d blocks, one for each of "
                         "\"block_out_channels\"",
                         file, field, n_levels);
    for (int i = 0; i < n_levels; i++) {
        const char *type = json_string_value(json_array_get(types, (size_t)i));
        out[i] = type && strncmp(type, "CrossAttn", 9) == 0;
    }
    return BDPO_OK;
}

static bdpo_status read_blocks(blocks *out, bdpo_naming_kind kind, const json_t *config,
                               const char *file)
{
    *out = (blocks){0};
    size_t n_levels = json_array_size(json_object_get(config, "block_out_channels"));
    if (n_levels < 1 || n_levels > MAX_LEVELS)
        return bdpo_fail(BDPO_BAD_FILE,
                         "%s: \"block_out_channels\" is not a list of 1 to %d levels", file,
                         MAX_LEVELS);
    out->n_levels = (int)n_levels;
    TRY(read_int(&out->n_layers, config, "layers_per_block", MAX_LAYERS, file));
    if (kind == BDPO_NAMES_VAE) return BDPO_OK;
    TRY(read_attention(out->down_attention, config, "down_block_types", out->n_levels, file));
    return read_attention(out->up_attention, config, "up_block_types", out->n_levels, file);
}

static bdpo_status fill(bdpo_naming *naming, bdpo_naming_kind kind, const json_t *config,
                        const char *file)
{
    blocks b;
    int n_text = 0, n_vision = 0;
    const json_t *text = json_object_get(config, "text_config");
    const json_t *vision = json_object_get(config, "vision_config"); // both: of a whole CLIP
    switch (kind) {
    case BDPO_NAMES_UNET:
        TRY(read_blocks(&b, kind, config, file));
        add_unet(naming, &b);
        break;
    case BDPO_NAMES_VAE:
        TRY(read_blocks(&b, kind, config, file));
        add_vae(naming, &b);
        break;
    case BDPO_NAMES_OPEN_CLIP:
        TRY(read_int(&n_text, text ? text : config, "num_hidden_layers", 1000, file));
        if (vision) TRY(read_int(&n_vision, vision, "num_hidden_layers", 1000, file));
        add_open_clip(naming, n_text, n_vision);
        break;
    case BDPO_NAMES_CLIP_TEXT:
    case BDPO_NAMES_OWN:
        add(naming, LEAVES(same), "=");
        break;
    }
    if (naming->no_memory) return bdpo_fail(BDPO_NO_MEMORY, "%s: no memory for its names", file);
    return BDPO_OK;
}

bdpo_status bdpo_naming_new(bdpo_naming **out, bdpo_naming_kind kind, const json_t *config,
                            const char *file)
{
    *out = NULL;
    bdpo_naming *naming = bdpo_alloc(1, sizeof *naming);
    if (!naming) return bdpo_fail(BDPO_NO_MEMORY, "%s: no memory for its names", file);
    naming->kind = kind;
    bdpo_status status = fill(naming, kind, config, file);
    if (status != BDPO_OK)
        bdpo_naming_free(naming);
    else
        *out = naming;
    return status;
}

void bdpo_naming_free(bdpo_naming *naming)
{
    if (!naming) return;
    bdpo_free(naming->modules);
    bdpo_free(naming);
}

// ---- translation -------------------------------------------------------------------------------

static bool has_prefix(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

// What follows `path` in `name`, which must end there or go on with a dot; NULL where it does not.
static const char *after(const char *name, const char *path)
{
    size_t length = strlen(path);
    if (length == 0) return name;
    if (strncmp(name, path, length) != 0) return NULL;
    if (name[length] == '.') return name + length + 1;
    return name[length] == '\0' ? name + length : NULL;
}

// Below a leaf there is a weight or a bias, or nothing where the leaf says so itself.
static bool is_end_of_name(const leaf *l, const char *rest)
{
    return *l->diffusers == '\0' || *rest == '\0' || strcmp(rest, "weight") == 0 ||
           strcmp(rest, "bias") == 0;
}

static bool join(char out[BDPO_NAME_BYTES], const char *a, const char *b, const char *c)
{
    int length = snprintf(out, BDPO_NAME_BYTES, "%s%s%s%s%s", a, *a && (*b || *c) ? "." : "", b,
                          *b && *c ? "." : "", c);
    return length < BDPO_NAME_BYTES;
}

// All names that a module has for `name` in the other world; at most 3.
static int translate(bdpo_tensor_name *out, const module *m, const char *name, bool to_original)
{
    const char *below = after(name, to_original ? m->diffusers : m->original);
    int n = 0;
    for (int i = 0; below && i < m->n_leaves && n < 3; i++) {
        const leaf *l = &m->leaves[i];
        const char *rest = after(below, to_original ? l->diffusers : l->original);
        if (!rest || !is_end_of_name(l, rest)) continue;
        bdpo_tensor_name *found = &out[n];
        if (!join(found->text, to_original ? m->original : m->diffusers,
                  to_original ? l->original : l->diffusers, rest))
            continue;
        found->third = l->stacked - 1;
        found->transposed = l->transposed;
        found->conv = l->conv && strcmp(rest, "weight") == 0;
        n++;
    }
    return n;
}

bool bdpo_naming_to_original(bdpo_tensor_name *out, const bdpo_naming *naming, const char *name)
{
    bdpo_tensor_name found[3];
    for (int i = 0; i < naming->count; i++) {
        if (translate(found, &naming->modules[i], name, true) == 0) continue;
        *out = found[0];
        return true;
    }
    return false;
}

int bdpo_naming_to_diffusers(bdpo_tensor_name out[3], const bdpo_naming *naming, const char *name)
{
    if (naming->kind == BDPO_NAMES_OPEN_CLIP && has_prefix(name, "text."))
        name += strlen("text."); // of open_clip's CustomTextCLIP
    for (int i = 0; i < naming->count; i++) {
        int n = translate(out, &naming->modules[i], name, false);
        if (n > 0) return n;
    }
    return 0;
}

// ---- variants ----------------------------------------------------------------------------------

bool bdpo_naming_modern(char out[BDPO_NAME_BYTES], bdpo_naming_kind kind, const char *name)
{
    static const char *const attention[][2] = {
        {"query", "to_q"}, {"key", "to_k"}, {"value", "to_v"}, {"proj_attn", "to_out.0"}};
    static const char block[] = ".attentions.0.";
    if (has_prefix(name, "module.")) name += strlen("module.");
    if (kind == BDPO_NAMES_CLIP_TEXT &&
        (has_prefix(name, "embeddings.") || has_prefix(name, "encoder.") ||
         has_prefix(name, "final_layer_norm.")))
        return join(out, "text_model", name, "");
    const char *at = kind == BDPO_NAMES_VAE ? strstr(name, block) : NULL;
    for (size_t i = 0; at && i < BDPO_COUNTOF(attention); i++) {
        const char *rest = after(at + strlen(block), attention[i][0]);
        if (!rest) continue;
        int length = snprintf(out, BDPO_NAME_BYTES, "%.*s%s%s.%s", (int)(at - name), name, block,
                              attention[i][1], rest);
        return length < BDPO_NAME_BYTES;
    }
    return join(out, name, "", "");
}

bool bdpo_naming_ignored(const char *name)
{
    // Of training: the moving average's copy, the loss of the autoencoder, counters. Of the noise
    // schedule, which configurations tell: buffers and the markers of SDXL. Of text models:
    // constants, and what only scoring needs.
    static const char *const prefixes[] = {
        "model_ema.", "first_stage_model.model_ema.", "first_stage_model.loss.", "loss.",
        "alphas_cumprod", "sqrt_", "log_one_minus_", "posterior_", "denoiser.",
        // The last block of SD 2's text model, whose input is what is used.
        "cond_stage_model.model.transformer.resblocks.23."};
    static const char *const names[] = {"betas",
                                        "logvar",
                                        "scale_factor",
                                        "global_step",
                                        "v_pred",
                                        "ztsnr",
                                        "cond_stage_model.model.text_projection",
                                        "cond_stage_model.model.logit_scale",
                                        "conditioner.embedders.1.model.logit_scale",
                                        "input_resolution",
                                        "context_length",
                                        "vocab_size"}; // of OpenAI's CLIP files
    static const char *const suffixes[] = {"position_ids", "attn_mask"};
    if (has_prefix(name, "module.")) name += strlen("module.");
    if (has_prefix(name, "state_dict.")) name += strlen("state_dict.");
    size_t length = strlen(name);
    for (size_t i = 0; i < BDPO_COUNTOF(prefixes); i++)
        if (has_prefix(name, prefixes[i])) return true;
    for (size_t i = 0; i < BDPO_COUNTOF(names); i++)
        if (strcmp(name, names[i]) == 0) return true;
    for (size_t i = 0; i < BDPO_COUNTOF(suffixes); i++) {
        size_t n = strlen(suffixes[i]);
        if (length >= n && strcmp(name + length - n, suffixes[i]) == 0) return true;
    }
    return false;
}

// From shapes and med_config.json to a configuration.
#include "models/blip_sizes.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_SIZE = 1 << 20, MAX_LAYERS = 1024, HEAD_WIDTH = 64 };

const bdpo_component_spec *bdpo_blip_spec(void)
{
    static const bdpo_component_spec spec = {.name = "ImageReward",
                                             .library = "ImageReward",
                                             .class_name = "ImageReward",
                                             .weights = "ImageReward",
                                             .old_weights = "ImageReward",
                                             .prefix = "",
                                             .kind = BDPO_NAMES_OWN};
    return &spec;
}

static const char *path_of(const bdpo_component *c)
{
    return bdpo_tensor_file_path(bdpo_component_get_source(c)->file);
}

// ---- shapes ------------------------------------------------------------------------------------

// The tensor's sizes, of which there must be `n_dims`; `form` says which, for the sentence.
static bdpo_status sizes_of(int *out, const bdpo_component *c, const char *name, int n_dims,
                            const char *form)
{
    const bdpo_weight *w = bdpo_component_find(c, name);
    if (!w) return bdpo_fail(BDPO_BAD_FILE, "%s: \"%s\" %s is missing", path_of(c), name, form);
    bool fits = w->tensor.n_dims == n_dims;
    for (int i = 0; fits && i < n_dims; i++) {
        fits = w->tensor.dim[i] >= 1 && w->tensor.dim[i] <= MAX_SIZE;
        out[i] = fits ? (int)w->tensor.dim[i] : 0;
    }
    if (fits) return BDPO_OK;
    return bdpo_fail(BDPO_BAD_FILE, "%s: \"%s\" is %s where %s is expected", path_of(c), name,
                     bdpo_stored_shape_print(w->tensor.dim, w->tensor.n_dims).text, form);
}

// One more than the largest number that stands behind `prefix` in a name.
static int count_layers(const bdpo_component *c, const char *prefix)
{
    size_t length = strlen(prefix);
    long count = 0;
    for (size_t i = 0; i < bdpo_component_count(c); i++) {
        const char *name = bdpo_component_at(c, i)->name;
        if (strncmp(name, prefix, length) != 0) continue;
        char *end;
        long number = strtol(name + length, &end, 10);
        if (end > name + length && *end == '.' && number >= count && number < MAX_LAYERS)
            count = number + 1;
    }
    return (int)count;
}

static bdpo_status set_heads(int *heads, int given, int width, const bdpo_component *c,
                             const char *part)
{
    *heads = given ? given : width / HEAD_WIDTH;
    if (given ? width % given == 0 : width % HEAD_WIDTH == 0) return BDPO_OK;
    if (given)
        return bdpo_fail(BDPO_BAD_FILE,
                         "%s: the %s encoder is %d wide, which %d heads do not divide", path_of(c),
                         part, width, given);
    return bdpo_fail(BDPO_BAD_FILE,
                     "%s: the %s encoder is %d wide, expected a multiple of %d, or the number of "
                     "its heads in a configuration",
                     path_of(c), part, width, HEAD_WIDTH);
}

static int square_root(int number)
{
    int root = 0;
    while ((root + 1) * (root + 1) <= number) root++;
    return root;
}

static bdpo_status read_vision(bdpo_vit_config *out, const bdpo_component *c, int heads)
{
    int table[3], kernel[4], mlp[2];
    TRY(sizes_of(table, c, "blip.visual_encoder.pos_embed", 3, "[1, 1 + patches, width]"));
    TRY(sizes_of(kernel, c, "blip.visual_encoder.patch_embed.proj.weight", 4,
                 "[width, channels, patch, patch]"));
    TRY(sizes_of(mlp, c, "blip.visual_encoder.blocks.0.mlp.fc1.weight", 2, "[4 width, width]"));
    int side = square_root(table[1] - 1);
    if (side == 0 || side * side != table[1] - 1 || side > MAX_SIZE / kernel[2])
        return bdpo_fail(BDPO_BAD_FILE,
                         "%s: \"blip.visual_encoder.pos_embed\" has %d rows, expected one and a "
                         "square number of patches",
                         path_of(c), table[1]);
    out->width = table[2];
    out->channels = kernel[1];
    out->patch_size = kernel[2];
    out->image_size = side * kernel[2];
    out->mlp_width = mlp[0];
    if (out->channels != 3)
        return bdpo_fail(BDPO_UNSUPPORTED, "%s: pictures of %d channels, supported are those of 3",
                         path_of(c), out->channels);
    out->layers = out->width == 1024  ? 24 // the package's "large"
                  : out->width == 768 ? 12 // and "base"
                                      : count_layers(c, "blip.visual_encoder.blocks.");
    return set_heads(&out->heads, heads, out->width, c, "vision");
}

// ---- the text encoder --------------------------------------------------------------------------

// Sizes from here show in the tensors that do not fit.
static bdpo_status read_med_config(bdpo_bert_config *out, int *heads, const bdpo_json *med)
{
    static const char *const activations[] = {"gelu"}, *const positions[] = {"absolute"};
    int word;
    double eps;
    TRY(bdpo_json_int_or(&out->width, med, "hidden_size", out->width, 1, MAX_SIZE));
    TRY(bdpo_json_int_or(&out->mlp_width, med, "intermediate_size", out->mlp_width, 1, MAX_SIZE));
    TRY(bdpo_json_int_or(&out->layers, med, "num_hidden_layers", out->layers, 1, MAX_LAYERS));
    TRY(bdpo_json_int_or(&out->vocabulary, med, "vocab_size", out->vocabulary, 1, MAX_SIZE));
    TRY(bdpo_json_int_or(&out->positions, med, "max_position_embeddings", out->positions, 1,
                         MAX_SIZE));
    TRY(bdpo_json_int_or(heads, med, "num_attention_heads", *heads, 1, out->width));
    TRY(bdpo_json_double_or(&eps, med, "layer_norm_eps", (double)out->norm_eps, 0, 1));
    out->norm_eps = (float)eps;
    TRY(bdpo_json_word_or(&word, med, "hidden_act", 0, activations, 1));
    return bdpo_json_word_or(&word, med, "position_embedding_type", 0, positions, 1);
}

static bdpo_status read_text(bdpo_bert_config *out, const bdpo_component *c,
                             const bdpo_blip_size_options *options)
{
    int words[2], positions[2], mlp[2], heads = 0;
    TRY(sizes_of(words, c, "blip.text_encoder.embeddings.word_embeddings.weight", 2,
                 "[vocabulary, width]"));
    TRY(sizes_of(positions, c, "blip.text_encoder.embeddings.position_embeddings.weight", 2,
                 "[positions, width]"));
    TRY(sizes_of(mlp, c, "blip.text_encoder.encoder.layer.0.intermediate.dense.weight", 2,
                 "[4 width, width]"));
    out->vocabulary = words[0];
    out->width = words[1];
    out->positions = positions[0];
    out->mlp_width = mlp[0];
    out->layers = out->width == 768 ? 12 : count_layers(c, "blip.text_encoder.encoder.layer.");
    if (options->med_config) TRY(read_med_config(out, &heads, options->med_config));
    if (options->text_heads) heads = options->text_heads;
    return set_heads(&out->heads, heads, out->width, c, "text");
}

// ---- the whole ---------------------------------------------------------------------------------

// Files may come without what no score uses.
static bdpo_status read_projection(int *out, const bdpo_component *c, const char *weight,
                                   const char *bias)
{
    int dim[2];
    *out = 0;
    if (!bdpo_component_find(c, weight) && !bdpo_component_find(c, bias)) return BDPO_OK;
    TRY(sizes_of(dim, c, weight, 2, "[projection, width]"));
    *out = dim[0];
    return BDPO_OK;
}

bdpo_status bdpo_blip_sizes(bdpo_blip_config *out, const bdpo_component *c,
                            const bdpo_blip_size_options *options)
{
    *out = bdpo_blip_image_reward();
    TRY(read_vision(&out->vision, c, options->vision_heads));
    TRY(read_text(&out->text, c, options));
    out->text.encoder_width = out->vision.width;
    TRY(read_projection(&out->vision_projection, c, "blip.vision_proj.weight",
                        "blip.vision_proj.bias"));
    return read_projection(&out->text_projection, c, "blip.text_proj.weight",
                           "blip.text_proj.bias");
}

// The sizes of an ImageReward checkpoint: what shapes, widths and med_config.json say.
#include "harness.h"

#include "base/memory.h"
#include "formats/safetensors.h"
#include "models/blip_sizes.h"
#include "models/scratch.h"

enum { N_DEFINING = 6 };

typedef struct defining {
    int64_t vision, text, rows; // widths, and rows of the table of positions
    const char *extra;          // one tensor more
} defining;

// A file with the tensors that tell sizes, and one layer of each kind; opened.
static bdpo_tensor_file *open_file(const defining *d)
{
    const int64_t dims[N_DEFINING + 1][4] = {{1, d->rows, d->vision},
                                             {d->vision, 3, 2, 2},
                                             {8, d->vision},
                                             {5, d->text},
                                             {40, d->text},
                                             {8, d->text},
                                             {1}};
    static const char *const names[N_DEFINING] = {
        "blip.visual_encoder.pos_embed",
        "blip.visual_encoder.patch_embed.proj.weight",
        "blip.visual_encoder.blocks.0.mlp.fc1.weight",
        "blip.text_encoder.embeddings.word_embeddings.weight",
        "blip.text_encoder.embeddings.position_embeddings.weight",
        "blip.text_encoder.encoder.layer.0.intermediate.dense.weight"};
    static const int n_dims[N_DEFINING] = {3, 4, 2, 2, 2, 2};
    bdpo_tensor_to_write tensors[N_DEFINING + 1];
    float *zeros = bdpo_alloc(1 << 16, sizeof *zeros);
    bdpo_tensor_file *file;
    CHECK(zeros != NULL);
    for (int i = 0; i < N_DEFINING; i++)
        tensors[i] = (bdpo_tensor_to_write){names[i], BDPO_STORED_F32, n_dims[i], dims[i], zeros};
    tensors[N_DEFINING] =
        (bdpo_tensor_to_write){d->extra, BDPO_STORED_F32, 1, dims[N_DEFINING], zeros};
    const char *path = scratch_path("x.safetensors");
    CHECK_OK(bdpo_safetensors_write(path, tensors, d->extra ? N_DEFINING + 1 : N_DEFINING, NULL));
    CHECK_OK(bdpo_tensor_file_open(&file, path));
    bdpo_free(zeros);
    return file;
}

static bdpo_status read_sizes(bdpo_blip_config *out, const defining *d, const char *med_config)
{
    bdpo_tensor_file *file = open_file(d);
    bdpo_component *component;
    bdpo_json_document *document = NULL;
    bdpo_json med;
    bdpo_blip_size_options options = {0};
    if (med_config) {
        CHECK_OK(bdpo_json_parse(&document, med_config, strlen(med_config), "med_config.json"));
        med = bdpo_json_root(document);
        options.med_config = &med;
    }
    CHECK_OK(bdpo_component_new(
        &component,
        &(bdpo_component_source){.spec = bdpo_blip_spec(), .file = file, .prefix = ""}));
    bdpo_status status = bdpo_blip_sizes(out, component, &options);
    bdpo_component_free(component);
    bdpo_tensor_file_close(file);
    bdpo_json_free(document);
    scratch_remove();
    return status;
}

// Though the file has one layer of each.
BDPO_TEST(published_widths_have_the_published_number_of_layers)
{
    bdpo_blip_config config;
    CHECK_OK(read_sizes(&config, &(defining){.vision = 1024, .text = 768, .rows = 5}, NULL));
    CHECK_INT(config.vision.layers, 24);
    CHECK_INT(config.vision.heads, 16);
    CHECK_INT(config.vision.image_size, 4);
    CHECK_INT(config.text.layers, 12);
    CHECK_INT(config.text.heads, 12);
    CHECK_INT(config.text.encoder_width, 1024);
    CHECK_INT(config.vision_projection, 0);
}

BDPO_TEST(layers_of_other_widths_are_counted)
{
    bdpo_blip_config config;
    defining d = {
        .vision = 128, .text = 64, .rows = 10, .extra = "blip.visual_encoder.blocks.6.norm1.bias"};
    CHECK_OK(read_sizes(&config, &d, NULL));
    CHECK_INT(config.vision.layers, 7); // of which the load will miss most
    CHECK_INT(config.vision.heads, 2);
    CHECK_INT(config.text.layers, 1);
    d.extra = "blip.visual_encoder.blocks.99999999999999999999.norm1.bias";
    CHECK_OK(read_sizes(&config, &d, "{\"num_hidden_layers\": 3, \"num_attention_heads\": 4}"));
    CHECK_INT(config.vision.layers, 1);
    CHECK_INT(config.text.layers, 3);
    CHECK_INT(config.text.heads, 4);
}

BDPO_TEST(sizes_that_are_none_are_refused)
{
    static const struct {
        defining d;
        const char *med_config, *says;
    } rows[] = {
        {{128, 64, 11, NULL}, NULL, "\"blip.visual_encoder.pos_embed\" has 11 rows, expected one"},
        {{128, 64, 1, NULL}, NULL, "has 1 rows, expected one and a square number of patches"},
        {{100, 64, 5, NULL}, NULL, "the vision encoder is 100 wide, expected a multiple of 64"},
        {{48, 64, 5, NULL}, NULL, "the vision encoder is 48 wide"},
        {{128, 64, 5, NULL}, "{\"num_attention_heads\": 5}", "which 5 heads do not divide"},
        {{128, 64, 5, NULL}, "{\"hidden_act\": \"relu\"}", "med_config.json: hidden_act is"},
        {{128, 64, 5, NULL}, "{\"position_embedding_type\": \"relative_key\"}", "med_config.json"},
        {{128, 64, 5, "blip.vision_proj.bias"}, NULL, "\"blip.vision_proj.weight\" [projection"},
    };
    for (size_t i = 0; i < BDPO_COUNTOF(rows); i++) {
        bdpo_blip_config config;
        CHECK_STATUS(read_sizes(&config, &rows[i].d, rows[i].med_config), BDPO_BAD_FILE);
        CHECK_CONTAINS(bdpo_message(), rows[i].says);
    }
}

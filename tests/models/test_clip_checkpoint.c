// Whole CLIP models on disk: the layouts, where sizes and activation come from, what is refused.
#include <jansson.h>
#include <stdlib.h>

#include "base/memory.h"
#include "formats/safetensors.h"
#include "harness.h"
#include "models/clip_checkpoint.h"
#include "models/open_clip_config.h"
#include "models/scratch.h"
#include "models/small_clip.h"

static const small_clip tiny = {.weights = "tiny",
                                .embed = 24,
                                .patch = 56,
                                .vision = {40, 2, 2, 80},
                                .text = {32, 2, 4, 64},
                                .vocabulary = 30};

static bdpo_status try_open(const char *path, const bdpo_clip_checkpoint_options *options)
{
    bdpo_clip_checkpoint *c;
    bdpo_status status = bdpo_clip_checkpoint_open(&c, path, options);
    bdpo_clip_checkpoint_close(c);
    return status;
}

// ---- layouts -----------------------------------------------------------------------------------

static void check_same_values(const char *path, const bdpo_clip_checkpoint_options *options,
                              const float *expected, size_t count)
{
    bdpo_engine *engine;
    bdpo_store *store;
    bdpo_clip_checkpoint *c;
    static const char name[] = "text_model.encoder.layers.1.self_attn.k_proj.weight";
    float *values = bdpo_alloc(count, sizeof *values);
    CHECK_OK(bdpo_engine_new(&engine, &(bdpo_engine_options){.n_threads = 1}));
    CHECK_OK(bdpo_clip_checkpoint_open(&c, path, options));
    CHECK_OK(bdpo_clip_checkpoint_load(&store, engine, c));
    CHECK_OK(bdpo_store_read(store, BDPO_PARAM, name, values, count * sizeof *values));
    CHECK_BYTES(values, expected, count * sizeof *values);
    CHECK_NEAR(bdpo_clip_checkpoint_get_info(c).logit_scale, 4.25, 0);
    bdpo_store_free(store);
    bdpo_clip_checkpoint_close(c);
    bdpo_engine_free(engine);
    bdpo_free(values);
}

static void read_values(float *out, size_t count, const char *path)
{
    bdpo_engine *engine;
    bdpo_store *store;
    bdpo_clip_checkpoint *c;
    CHECK_OK(bdpo_engine_new(&engine, &(bdpo_engine_options){.n_threads = 1}));
    CHECK_OK(bdpo_clip_checkpoint_open(&c, path, NULL));
    CHECK_OK(bdpo_clip_checkpoint_load(&store, engine, c));
    CHECK_OK(bdpo_store_read(store, BDPO_PARAM,
                             "text_model.encoder.layers.1.self_attn.k_proj.weight", out,
                             count * sizeof *out));
    bdpo_store_free(store);
    bdpo_clip_checkpoint_close(c);
    bdpo_engine_free(engine);
}

BDPO_TEST(both_worlds_hold_the_same_model)
{
    enum { COUNT = 32 * 32 };
    float values[COUNT];
    char config[1024];
    small_clip model = tiny;
    const char *hf = scratch_directory("hf"), *open = scratch_directory("open");
    small_clip_write(hf, NULL, &model);
    model.open_clip = true;
    small_clip_write(open, NULL, &model);
    read_values(values, COUNT, hf);
    check_same_values(open, NULL, values, COUNT);
    // The file instead of its folder; the configuration is beside it.
    snprintf(config, sizeof config, "%s/open_clip_model.safetensors", open);
    check_same_values(config, NULL, values, COUNT);
    // A file that lies alone, and a configuration of either world from elsewhere.
    model.without_config = true;
    const char *alone = scratch_directory("alone");
    small_clip_write(alone, "HPS.safetensors", &model);
    snprintf(config, sizeof config, "%s/config.json", hf);
    check_same_values(scratch_path("alone/HPS.safetensors"),
                      &(bdpo_clip_checkpoint_options){.config = config}, values, COUNT);
    scratch_remove();
}

// open_clip's CustomTextCLIP has the text tower under a name of its own.
BDPO_TEST(a_text_tower_below_text_is_found)
{
    static char names[256][BDPO_NAME_BYTES];
    bdpo_tensor_file *file;
    bdpo_tensor_to_write t[256];
    small_clip model = tiny;
    model.open_clip = true;
    const char *directory = scratch_directory("open");
    small_clip_write(directory, NULL, &model);
    CHECK_OK(bdpo_tensor_file_open(&file, scratch_path("open/open_clip_model.safetensors")));
    size_t n = bdpo_tensor_file_count(file);
    CHECK(n < 256);
    for (size_t i = 0; i < n; i++) {
        const bdpo_stored_tensor *s = bdpo_tensor_file_at(file, i);
        bool text = strncmp(s->name, "visual.", 7) != 0 && strcmp(s->name, "logit_scale") != 0;
        snprintf(names[i], sizeof names[i], "%s%s", text ? "text." : "", s->name);
        t[i] = (bdpo_tensor_to_write){names[i], s->dtype, s->n_dims, s->dim, s->data};
    }
    CHECK_OK(bdpo_safetensors_write(scratch_path("custom.safetensors"), t, n, NULL));
    bdpo_tensor_file_close(file);
    CHECK_OK(bdpo_safetensors_write(scratch_path("empty.safetensors"), t, 0, NULL));
    char config[1024];
    snprintf(config, sizeof config, "%s/open_clip_config.json", directory);
    CHECK_OK(try_open(scratch_path("custom.safetensors"),
                      &(bdpo_clip_checkpoint_options){.config = config}));
    CHECK_STATUS(try_open(scratch_path("empty.safetensors"), NULL), BDPO_BAD_FILE);
    scratch_remove();
}

BDPO_TEST(the_activation_is_what_the_files_say_or_the_caller)
{
    small_clip model = tiny;
    bdpo_clip_checkpoint *c;
    const char *directory = scratch_directory("hf");
    small_clip_write(directory, NULL, &model);
    bdpo_clip_checkpoint_options o = {.activation = "quick_gelu"}; // the file is not silent
    CHECK_OK(bdpo_clip_checkpoint_open(&c, directory, &o));
    CHECK_STR(bdpo_clip_checkpoint_get_info(c).activation, "gelu");
    CHECK(bdpo_clip_checkpoint_get_info(c).text.tower.activation == BDPO_GELU);
    bdpo_clip_checkpoint_close(c);
    o.force_activation = "quick_gelu";
    CHECK_OK(bdpo_clip_checkpoint_open(&c, directory, &o));
    CHECK(bdpo_clip_checkpoint_get_info(c).text.tower.activation == BDPO_QUICK_GELU);
    CHECK(bdpo_clip_checkpoint_get_info(c).vision.tower.activation == BDPO_QUICK_GELU);
    bdpo_clip_checkpoint_close(c);
    o.force_activation = "relu";
    CHECK_STATUS(try_open(directory, &o), BDPO_BAD_ARGUMENT);
    CHECK_CONTAINS(bdpo_message(), "\"relu\", expected gelu or quick_gelu");
    scratch_remove();
}

// ---- sizes from shapes -------------------------------------------------------------------------

// Only what is looked at of a ViT-H-14 as open_clip's training writes it.
static void write_marks(const char *path, int layers)
{
    static char names[64][96];
    bdpo_tensor_to_write t[64];
    static const int64_t conv[] = {1280, 3, 14, 14}, positions[] = {257, 1280},
                         tokens[] = {1, 1024}, one[] = {1};
    size_t n = 0;
    float *zeros = bdpo_alloc(1280 * 3 * 14 * 14, sizeof *zeros);
    t[n++] = (bdpo_tensor_to_write){"module.visual.conv1.weight", BDPO_STORED_F32, 4, conv, zeros};
    t[n++] = (bdpo_tensor_to_write){"module.visual.positional_embedding", BDPO_STORED_F32, 2,
                                    positions, zeros};
    t[n++] =
        (bdpo_tensor_to_write){"module.token_embedding.weight", BDPO_STORED_F32, 2, tokens, zeros};
    for (int i = 0; i < 32 + layers; i++) {
        snprintf(names[i], sizeof names[i], "module.%stransformer.resblocks.%d.ln_1.weight",
                 i < 32 ? "visual." : "", i < 32 ? i : i - 32);
        t[n++] = (bdpo_tensor_to_write){names[i], BDPO_STORED_F32, 1, one, zeros};
    }
    CHECK_OK(bdpo_safetensors_write(path, t, n, NULL));
    bdpo_free(zeros);
}

BDPO_TEST(a_known_architecture_is_seen_in_the_shapes)
{
    bdpo_tensor_file *file;
    bdpo_clip_names names;
    const char *name, *path = scratch_path("h.safetensors");
    write_marks(path, 24);
    CHECK_OK(bdpo_tensor_file_open(&file, path));
    CHECK_OK(bdpo_clip_names_find(&names, file));
    CHECK(names.open_clip);
    CHECK_STR(names.prefix, "module.");
    CHECK_OK(bdpo_open_clip_config_guess(&name, file, &names));
    CHECK_STR(name, "ViT-H-14");
    bdpo_tensor_file_close(file);
    // Which activation no shape tells.
    CHECK_STATUS(try_open(path, NULL), BDPO_BAD_ARGUMENT);
    CHECK_CONTAINS(bdpo_message(), "gelu or quick_gelu");
    CHECK_STATUS(try_open(path, &(bdpo_clip_checkpoint_options){.activation = "gelu"}),
                 BDPO_BAD_FILE);
    CHECK_CONTAINS(bdpo_message(), "shapes of ViT-H-14");
    CHECK_CONTAINS(bdpo_message(), "is missing");
    write_marks(path, 23);
    CHECK_STATUS(try_open(path, NULL), BDPO_UNSUPPORTED);
    CHECK_CONTAINS(bdpo_message(), "towers of 1280 x 32 (patch 14) and 1024 x 23");
    scratch_remove();
}

BDPO_TEST(architectures_have_the_published_sizes)
{
    static const struct {
        const char *name;
        int64_t parameters;
    } rows[] = {{"ViT-B-32", 151277313},     {"ViT-B-16", 149620737},
                {"ViT-L-14", 427616513},     {"ViT-L-14-336", 427944193},
                {"ViT-H-14", 986109441},     {"ViT-g-14", 1366678273},
                {"ViT-bigG-14", 2539567105}, {"ViT-L-14-quickgelu", 427616513}};
    for (size_t i = 0; i < BDPO_COUNTOF(rows); i++) {
        json_t *config;
        bdpo_clip_text_config text;
        bdpo_clip_vision_config vision;
        bdpo_param_list *list;
        CHECK_OK(bdpo_open_clip_config_named(&config, rows[i].name));
        CHECK_OK(bdpo_clip_text_config_parse(&text, config, rows[i].name));
        CHECK_OK(bdpo_clip_vision_config_parse(&vision, config, rows[i].name));
        CHECK_OK(bdpo_param_list_new(&list));
        bdpo_clip_text_params(list, &text);
        bdpo_clip_vision_params(list, &vision);
        bdpo_clip_logit_scale_params(list);
        CHECK_INT(bdpo_param_list_elements(list), rows[i].parameters);
        bdpo_param_list_free(list);
        json_decref(config);
    }
    json_t *config;
    CHECK_STATUS(bdpo_open_clip_config_named(&config, "ViT-L-15"), BDPO_BAD_ARGUMENT);
    CHECK_CONTAINS(bdpo_message(), "\"ViT-L-15\"");
}

// ---- refusals ----------------------------------------------------------------------------------

static void check_config(const char *text, bdpo_status status, const char *part)
{
    bdpo_json_document *document;
    json_t *config = NULL;
    CHECK_OK(bdpo_json_parse(&document, text, strlen(text), "open_clip_config.json"));
    bdpo_json root = bdpo_json_root(document);
    CHECK_STATUS(bdpo_open_clip_config_convert(&config, &root), status);
    if (status != BDPO_OK) CHECK_CONTAINS(bdpo_message(), part);
    json_decref(config);
    bdpo_json_free(document);
}

BDPO_TEST(configurations_of_other_models_are_refused_by_field)
{
    check_config("{\"model_cfg\": {\"embed_dim\": 8, \"vision_cfg\": {}, \"text_cfg\": {}}}",
                 BDPO_OK, NULL);
    check_config(
        "{\"embed_dim\": 8, \"vision_cfg\": {\"patch_dropout\": 0.5, \"pool_type\": \"tok\"},"
        " \"text_cfg\": {\"hf_model_name\": null, \"pool_type\": \"argmax\"}}",
        BDPO_OK, NULL);
    check_config("{\"embed_dim\": 8, \"vision_cfg\": {\"timm_model_name\": \"vit\"},"
                 " \"text_cfg\": {}}",
                 BDPO_UNSUPPORTED, "vision_cfg.timm_model_name");
    check_config("{\"embed_dim\": 8, \"vision_cfg\": {\"pool_type\": \"avg\"}, \"text_cfg\": {}}",
                 BDPO_UNSUPPORTED, "vision_cfg.pool_type");
    check_config("{\"embed_dim\": 8, \"vision_cfg\": {}, \"text_cfg\": {\"hf_model_name\": \"r\"}}",
                 BDPO_UNSUPPORTED, "text_cfg.hf_model_name");
    check_config("{\"embed_dim\": 8, \"vision_cfg\": {\"layers\": [3, 4, 6, 3]}, \"text_cfg\": {}}",
                 BDPO_BAD_FILE, "vision_cfg.layers");
    check_config("{\"vision_cfg\": {}, \"text_cfg\": {}}", BDPO_BAD_FILE, "embed_dim");
}

// A model whose tensor number `at` has another name or one row less.
static void check_broken(size_t at, const char *name, bool shorter, const char *part)
{
    bdpo_tensor_file *file;
    bdpo_tensor_to_write t[256] = {0};
    int64_t dim[4];
    const char *path = scratch_path("open/open_clip_model.safetensors");
    const char *broken = scratch_path("broken.safetensors");
    CHECK_OK(bdpo_tensor_file_open(&file, path));
    size_t n = bdpo_tensor_file_count(file);
    CHECK(n < 256);
    for (size_t i = 0; i < n; i++) {
        const bdpo_stored_tensor *s = bdpo_tensor_file_at(file, i);
        t[i] = (bdpo_tensor_to_write){s->name, s->dtype, s->n_dims, s->dim, s->data};
    }
    if (at >= n || !t[at].dim) FAIL("there is no tensor %zu", at);
    if (name) t[at].name = name;
    memcpy(dim, t[at].dim, (size_t)t[at].n_dims * sizeof *dim);
    if (shorter) dim[t[at].n_dims - 1]--, t[at].dim = dim;
    CHECK_OK(bdpo_safetensors_write(broken, t, n, NULL));
    bdpo_tensor_file_close(file);
    char config[1024];
    snprintf(config, sizeof config, "%s", scratch_path("open/open_clip_config.json"));
    CHECK_STATUS(try_open(broken, &(bdpo_clip_checkpoint_options){.config = config}),
                 BDPO_BAD_FILE);
    CHECK_CONTAINS(bdpo_message(), part);
}

BDPO_TEST(tensors_that_do_not_fit_are_named)
{
    small_clip model = tiny;
    bdpo_tensor_file *file;
    model.open_clip = true;
    small_clip_write(scratch_directory("open"), NULL, &model);
    CHECK_OK(bdpo_tensor_file_open(&file, scratch_path("open/open_clip_model.safetensors")));
    size_t n = bdpo_tensor_file_count(file), projection = n, layer = n;
    for (size_t i = 0; i < n; i++) {
        const char *name = bdpo_tensor_file_at(file, i)->name;
        if (strcmp(name, "text_projection") == 0) projection = i;
        if (strcmp(name, "transformer.resblocks.1.attn.in_proj_weight") == 0) layer = i;
    }
    bdpo_tensor_file_close(file);
    CHECK(projection < n && layer < n);
    check_broken(projection, "text_projektion", false,
                 "\"text_projection.weight\" [24, 32] is missing");
    check_broken(projection, "text_projektion", false, "\"text_projektion\" is left over");
    check_broken(projection, NULL, true, "\"text_projection.weight\" is [23, 32]");
    check_broken(layer, NULL, true, "self_attn.k_proj.weight\" is [32, 31]");
    scratch_remove();
}

BDPO_TEST(places_without_a_model_say_what_was_looked_for)
{
    CHECK_STATUS(try_open("/no/such/model", NULL), BDPO_NOT_FOUND);
    CHECK_CONTAINS(bdpo_message(), "/no/such/model");
    const char *empty = scratch_directory("empty");
    CHECK_STATUS(try_open(empty, NULL), BDPO_NOT_FOUND);
    CHECK_CONTAINS(bdpo_message(), "open_clip_model.safetensors");
    CHECK_STATUS(try_open(scratch_file("x.safetensors", "no tensors"), NULL), BDPO_BAD_FILE);
    int64_t one = 1;
    float zero = 0;
    bdpo_tensor_to_write t = {"weight", BDPO_STORED_F32, 1, &one, &zero};
    const char *path = scratch_path("y.safetensors");
    CHECK_OK(bdpo_safetensors_write(path, &t, 1, NULL));
    CHECK_STATUS(try_open(path, NULL), BDPO_BAD_FILE);
    CHECK_CONTAINS(bdpo_message(), "is no CLIP model");
    scratch_remove();
}

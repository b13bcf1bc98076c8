// Finding the weights, their names and their configuration, in this order.
#include "models/clip_checkpoint.h"

#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "models/checkpoint_files.h"
#include "models/model_type.h"
#include "models/open_clip_config.h"

struct bdpo_clip_checkpoint {
    bdpo_clip_checkpoint_info info;
    bdpo_arena *arena;
    bdpo_tensor_file *file;
    bdpo_clip_names names;
    json_t *config; // transformers' form
    bool named;     // it is an architecture's, which does not tell the activation
    bdpo_component *component;
    bdpo_param_list *params;
};

static bdpo_status keep(const char **out, bdpo_clip_checkpoint *c, const char *text)
{
    *out = bdpo_arena_strdup(c->arena, text);
    return *out ? BDPO_OK : bdpo_fail(BDPO_NO_MEMORY, "%s: no memory to open it", text);
}

// ---- the weights -------------------------------------------------------------------------------

static bdpo_status has_file(bool *found, char out[BDPO_PATH_BYTES], const char *directory,
                            const char *name)
{
    TRY(bdpo_file_join(out, directory, name));
    *found = bdpo_file_exists(out);
    return BDPO_OK;
}

bdpo_status bdpo_clip_weights_find(char out[BDPO_PATH_BYTES], const char *path)
{
    static const char *const open_clip[] = {"open_clip_model.safetensors",
                                            "open_clip_pytorch_model.safetensors",
                                            "open_clip_pytorch_model.bin"};
    bool found;
    if (!bdpo_file_is_directory(path)) {
        if (snprintf(out, BDPO_PATH_BYTES, "%s", path) >= BDPO_PATH_BYTES)
            return bdpo_fail(BDPO_BAD_ARGUMENT, "%.60s...: too long a path", path);
        return bdpo_file_exists(path)
                   ? BDPO_OK
                   : bdpo_fail(BDPO_NOT_FOUND, "%s: there is no such file or folder", path);
    }
    TRY(has_file(&found, out, path, "config.json"));
    if (found && bdpo_weights_find(out, path, bdpo_clip_spec(), NULL) == BDPO_OK) return BDPO_OK;
    for (size_t i = 0; i < BDPO_COUNTOF(open_clip); i++) {
        TRY(has_file(&found, out, path, open_clip[i]));
        if (found) return BDPO_OK;
    }
    return bdpo_fail(BDPO_NOT_FOUND,
                     "%s: holds no CLIP model: neither config.json with model.safetensors or "
                     "pytorch_model.bin (transformers), nor open_clip_model.safetensors or "
                     "open_clip_pytorch_model.bin (open_clip)",
                     path);
}

// ---- the configuration -------------------------------------------------------------------------

static bdpo_status read_config(bdpo_clip_checkpoint *c, const char *path)
{
    bdpo_json_document *document;
    TRY(bdpo_json_open(&document, path));
    bdpo_json root = bdpo_json_root(document);
    bdpo_status status = BDPO_OK;
    if (bdpo_json_has(&root, "model_cfg") || bdpo_json_has(&root, "vision_cfg"))
        status = bdpo_open_clip_config_convert(&c->config, &root);
    else
        c->config = json_deep_copy(root.value);
    bdpo_json_free(document);
    TRY(status);
    if (!c->config) return bdpo_fail(BDPO_NO_MEMORY, "%s: no memory to read it", path);
    return keep(&c->info.sizes_from, c, path);
}

// A configuration beside the weights, of the world whose names they have or else of the other.
static bdpo_status read_config_beside(bdpo_clip_checkpoint *c)
{
    static const char *const files[] = {"config.json", "open_clip_config.json"};
    char path[BDPO_PATH_BYTES];
    const char *weights = c->info.weights, *slash = strrchr(weights, '/');
    int length = slash ? (int)(slash - weights) + 1 : 0;
    for (int i = 0; i < 2; i++) {
        const char *name = files[i ^ (int)c->names.open_clip];
        if (snprintf(path, sizeof path, "%.*s%s", length, weights, name) < (int)sizeof path &&
            bdpo_file_exists(path))
            return read_config(c, path);
    }
    return BDPO_OK;
}

static bdpo_status find_config(bdpo_clip_checkpoint *c, const bdpo_clip_checkpoint_options *o)
{
    char text[128];
    const char *name = o->architecture, *how = "architecture";
    if (o->config) return read_config(c, o->config);
    TRY(read_config_beside(c));
    if (c->config) return BDPO_OK;
    if (!name) {
        TRY(bdpo_open_clip_config_guess(&name, c->file, &c->names));
        how = "shapes of";
    }
    TRY(bdpo_open_clip_config_named(&c->config, name));
    c->named = true;
    snprintf(text, sizeof text, "%s %s", how, name);
    return keep(&c->info.sizes_from, c, text);
}

// A configuration always says it: transformers' default is quick_gelu, open_clip's is gelu.
static bool says_activation(const bdpo_clip_checkpoint *c)
{
    return !c->named || json_object_get(json_object_get(c->config, "vision_config"), "hidden_act");
}

static bdpo_status set_activation(bdpo_clip_checkpoint *c, const bdpo_clip_checkpoint_options *o)
{
    static const char *const towers[] = {"text_config", "text_config_dict", "vision_config",
                                         "vision_config_dict"};
    const char *word = o->force_activation;
    if (!word && !says_activation(c)) {
        word = o->activation;
        if (!word)
            return bdpo_fail(BDPO_BAD_ARGUMENT,
                             "%s: nothing says whether its activation is gelu or quick_gelu "
                             "(OpenAI's weights); a wrong one gives wrong scores: expected a "
                             "configuration beside it, or the field \"activation\"",
                             c->info.weights);
    }
    if (!word) return BDPO_OK;
    if (strcmp(word, "gelu") != 0 && strcmp(word, "quick_gelu") != 0)
        return bdpo_fail(BDPO_BAD_ARGUMENT, "activation is \"%s\", expected gelu or quick_gelu",
                         word);
    for (size_t i = 0; i < BDPO_COUNTOF(towers); i++) {
        json_t *tower = json_object_get(c->config, towers[i]);
        if (json_is_object(tower)) json_object_set_new(tower, "hidden_act", json_string(word));
    }
    return BDPO_OK;
}

static const char *activation_name(bdpo_activation activation)
{
    return activation == BDPO_QUICK_GELU ? "quick_gelu" : "gelu";
}

static bdpo_status parse_config(bdpo_clip_checkpoint *c)
{
    bdpo_clip_checkpoint_info *i = &c->info;
    TRY(bdpo_clip_text_config_parse(&i->text, c->config, i->sizes_from));
    TRY(bdpo_clip_vision_config_parse(&i->vision, c->config, i->sizes_from));
    if (i->text.projection_dim < 1 || i->text.projection_dim != i->vision.projection_dim)
        return bdpo_fail(BDPO_BAD_FILE,
                         "%s: is not of a whole CLIP model, which has text_config "
                         "and vision_config",
                         i->sizes_from);
    if (i->vision.channels != 3)
        return bdpo_fail(BDPO_UNSUPPORTED, "%s: num_channels is %d, expected 3", i->sizes_from,
                         i->vision.channels);
    i->activation = activation_name(i->vision.tower.activation);
    if (i->text.tower.activation == i->vision.tower.activation) return BDPO_OK;
    return bdpo_fail(BDPO_UNSUPPORTED, "%s: hidden_act is %s of text and %s of pictures",
                     i->sizes_from, activation_name(i->text.tower.activation), i->activation);
}

// ---- the whole ---------------------------------------------------------------------------------

static bdpo_status read_logit_scale(bdpo_clip_checkpoint *c)
{
    float value;
    const bdpo_weight *w = bdpo_component_find(c->component, "logit_scale");
    TRY(bdpo_stored_tensor_read_f32(&w->tensor, &value, 1));
    c->info.logit_scale = (double)value;
    return BDPO_OK;
}

static bdpo_status check_tensors(bdpo_clip_checkpoint *c)
{
    const char *prefix = c->names.prefix;
    if (strncmp(prefix, "module.", 7) == 0) prefix += 7; // the component takes it off each name
    bdpo_component_source source = {.spec = bdpo_clip_spec(),
                                    .file = c->file,
                                    .prefix = prefix,
                                    .original = c->names.open_clip,
                                    .config = c->config,
                                    .config_file = c->info.sizes_from};
    TRY(bdpo_component_new(&c->component, &source));
    TRY(bdpo_param_list_new(&c->params));
    bdpo_clip_text_params(c->params, &c->info.text);
    bdpo_clip_vision_params(c->params, &c->info.vision);
    bdpo_clip_logit_scale_params(c->params);
    TRY(bdpo_param_list_check(c->params));
    return bdpo_component_check(c->component, c->params);
}

static bdpo_status open_checkpoint(bdpo_clip_checkpoint *c, const char *path,
                                   const bdpo_clip_checkpoint_options *options)
{
    char weights[BDPO_PATH_BYTES];
    TRY(bdpo_arena_new(&c->arena));
    TRY(bdpo_clip_weights_find(weights, path));
    TRY(keep(&c->info.weights, c, weights));
    TRY(bdpo_tensor_file_open(&c->file, weights));
    TRY(bdpo_clip_names_find(&c->names, c->file));
    c->info.names = c->names.open_clip ? "open_clip" : "transformers";
    TRY(find_config(c, options));
    TRY(set_activation(c, options));
    TRY(parse_config(c));
    TRY(check_tensors(c));
    return read_logit_scale(c);
}

bdpo_status bdpo_clip_checkpoint_open(bdpo_clip_checkpoint **out, const char *path,
                                      const bdpo_clip_checkpoint_options *options)
{
    static const bdpo_clip_checkpoint_options none = {0};
    *out = NULL;
    bdpo_clip_checkpoint *c = bdpo_alloc(1, sizeof *c);
    if (!c) return bdpo_fail(BDPO_NO_MEMORY, "%s: no memory to open it", path);
    bdpo_status status = open_checkpoint(c, path, options ? options : &none);
    if (status == BDPO_OK)
        *out = c;
    else
        bdpo_clip_checkpoint_close(c);
    return status;
}

void bdpo_clip_checkpoint_close(bdpo_clip_checkpoint *c)
{
    if (!c) return;
    bdpo_param_list_free(c->params);
    bdpo_component_free(c->component);
    json_decref(c->config);
    bdpo_tensor_file_close(c->file);
    bdpo_arena_free(c->arena);
    bdpo_free(c);
}

bdpo_clip_checkpoint_info bdpo_clip_checkpoint_get_info(const bdpo_clip_checkpoint *c)
{
    return c->info;
}

bdpo_status bdpo_clip_checkpoint_load(bdpo_store **out, bdpo_engine *engine,
                                      const bdpo_clip_checkpoint *c)
{
    *out = NULL;
    bdpo_store *store;
    TRY(bdpo_store_new(&store, engine));
    bdpo_status status =
        bdpo_component_declare(c->component, c->params, store, &(bdpo_load_options){0});
    if (status == BDPO_OK) status = bdpo_store_seal(store);
    if (status == BDPO_OK) status = bdpo_component_fill(c->component, c->params, store);
    if (status == BDPO_OK)
        *out = store;
    else
        bdpo_store_free(store);
    return status;
}

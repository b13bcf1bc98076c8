// Finding out what lies at a path, and opening its files and configurations.
#include "models/checkpoint.h"

#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "models/checkpoint_files.h"

enum { MAX_PARTS = 4 };

typedef struct part {
    bdpo_tensor_file *file; // NULL where the checkpoint's first file holds it
    bdpo_json_document *config;
    bdpo_component *component;
} part;

struct bdpo_checkpoint {
    bdpo_checkpoint_info info;
    bdpo_arena *arena; // of strings
    const char *variant, *configs;
    bdpo_prediction asked;
    bdpo_tensor_file *file; // of a single file and of tensors
    bdpo_json_document *index, *scheduler;
    part parts[MAX_PARTS];
    int n_parts;
};

const char *bdpo_layout_name(bdpo_layout layout)
{
    static const char *const names[] = {"directory", "single file", "component", "tensors"};
    return names[layout];
}

static bdpo_status keep(const char **out, bdpo_checkpoint *c, const char *text)
{
    *out = bdpo_arena_strdup(c->arena, text);
    return *out ? BDPO_OK : bdpo_fail(BDPO_NO_MEMORY, "%s: no memory to open it", text);
}

static bdpo_status add_part(bdpo_checkpoint *c, const bdpo_component_source *source)
{
    bdpo_component *component;
    TRY(bdpo_component_new(&component, source));
    if (bdpo_component_count(component) == 0 && bdpo_component_n_strays(component) == 0) {
        bdpo_component_free(component); // a single file need not hold all components
        return BDPO_OK;
    }
    c->parts[c->n_parts++].component = component;
    return BDPO_OK;
}

// The slot of the part that is being opened; a part that turns out empty leaves what it opened
// there, to be closed with the rest.
static part *current(bdpo_checkpoint *c)
{
    BDPO_ASSERT(c->n_parts < MAX_PARTS);
    return &c->parts[c->n_parts];
}

static void close_files(part *p)
{
    bdpo_json_free(p->config);
    bdpo_tensor_file_close(p->file);
    p->config = NULL;
    p->file = NULL;
}

// ---- a folder of weights -----------------------------------------------------------------------

static bdpo_status open_folder(bdpo_checkpoint *c, const char *directory,
                               const bdpo_component_spec *spec)
{
    char path[BDPO_PATH_BYTES];
    part *p = current(c);
    bdpo_component_source source = {.spec = spec, .prefix = ""};
    TRY(bdpo_file_join(path, directory, "config.json"));
    if (!p->config) TRY(bdpo_json_open(&p->config, path));
    TRY(keep(&source.config_file, c, path));
    source.config = bdpo_json_root(p->config).value;
    TRY(bdpo_weights_find(path, directory, spec, c->variant));
    TRY(bdpo_tensor_file_open(&p->file, path));
    source.file = p->file;
    return add_part(c, &source);
}

// What a lone config.json calls its class; NULL where it does not say.
static const char *class_of(const json_t *config)
{
    const char *name = json_string_value(json_object_get(config, "_class_name"));
    return name ? name
                : json_string_value(json_array_get(json_object_get(config, "architectures"), 0));
}

static const bdpo_component_spec *spec_of_class(const char *class_name)
{
    for (int i = 0; class_name && i < bdpo_model_type_count(BDPO_SDXL); i++) {
        const bdpo_component_spec *spec = bdpo_model_type_at(BDPO_SDXL, i);
        if (strcmp(spec->class_name, class_name) == 0) return spec;
    }
    return bdpo_clip_spec();
}

static bdpo_status open_lone_folder(bdpo_checkpoint *c)
{
    char path[BDPO_PATH_BYTES];
    c->info.layout = BDPO_LAYOUT_COMPONENT;
    TRY(bdpo_file_join(path, c->info.path, "config.json"));
    if (!bdpo_file_exists(path))
        return bdpo_fail(BDPO_NOT_FOUND,
                         "%s: has neither model_index.json nor config.json: no model",
                         c->info.path);
    TRY(bdpo_json_open(&current(c)->config, path));
    const json_t *config = bdpo_json_root(current(c)->config).value;
    return open_folder(c, c->info.path, spec_of_class(class_of(config)));
}

// ---- a directory -------------------------------------------------------------------------------

// The family by the configuration of the UNet alone.
static bdpo_model_type type_of_unet(const json_t *config)
{
    const char *addition = json_string_value(json_object_get(config, "addition_embed_type"));
    if (addition && strcmp(addition, "text_time") == 0) return BDPO_SDXL;
    return json_is_true(json_object_get(config, "use_linear_projection")) ? BDPO_SD2 : BDPO_SD1;
}

static bdpo_status read_type(bdpo_checkpoint *c)
{
    char path[BDPO_PATH_BYTES];
    bdpo_json_document *document;
    if (c->info.known_type) return BDPO_OK; // asked for
    TRY(bdpo_file_join(path, c->info.path, "unet/config.json"));
    TRY(bdpo_json_open(&document, path));
    c->info.type = type_of_unet(bdpo_json_root(document).value);
    c->info.known_type = true;
    bdpo_json_free(document);
    return BDPO_OK;
}

static bdpo_status set_prediction(bdpo_checkpoint *c)
{
    json_t *root = bdpo_json_root(c->scheduler).value;
    const char *said = json_string_value(json_object_get(root, "prediction_type"));
    c->info.prediction = BDPO_PREDICTS_EPSILON; // diffusers' default
    if (c->asked != BDPO_PREDICTS_UNKNOWN)
        c->info.prediction = c->asked;
    else if (said && bdpo_prediction_parse(&c->info.prediction, said) != BDPO_OK)
        c->info.prediction = BDPO_PREDICTS_UNKNOWN; // "sample": check_usable refuses it
    if (c->info.prediction == BDPO_PREDICTS_UNKNOWN) return BDPO_OK;
    const char *word = bdpo_prediction_name(c->info.prediction);
    if (json_object_set_new(root, "prediction_type", json_string(word)) != 0)
        return bdpo_fail(BDPO_NO_MEMORY, "no memory for the scheduler's configuration");
    return BDPO_OK;
}

// A component that the index lists as [null, null], or not at all, is absent.
static bool is_listed(const bdpo_checkpoint *c, const char *name)
{
    const json_t *pair = json_object_get(bdpo_json_root(c->index).value, name);
    return json_is_string(json_array_get(pair, 0));
}

static bdpo_status open_directory(bdpo_checkpoint *c)
{
    char path[BDPO_PATH_BYTES];
    TRY(bdpo_file_join(path, c->info.path, "model_index.json"));
    if (!bdpo_file_exists(path)) return open_lone_folder(c);
    c->info.layout = BDPO_LAYOUT_DIRECTORY;
    TRY(bdpo_json_open(&c->index, path));
    TRY(read_type(c));
    TRY(bdpo_file_join(path, c->info.path, "scheduler/scheduler_config.json"));
    TRY(bdpo_json_open(&c->scheduler, path));
    TRY(set_prediction(c));
    for (int i = 0; i < bdpo_model_type_count(c->info.type); i++) {
        const bdpo_component_spec *spec = bdpo_model_type_at(c->info.type, i);
        if (!is_listed(c, spec->name)) continue;
        TRY(bdpo_file_join(path, c->info.path, spec->name));
        TRY(open_folder(c, path, spec));
    }
    return BDPO_OK;
}

// ---- a single file -----------------------------------------------------------------------------

// From the directory that was given, else what we know of the family.
static bdpo_status open_config(bdpo_json_document **out, const char **file, bdpo_checkpoint *c,
                               const char *name, const char *path_below)
{
    char path[BDPO_PATH_BYTES];
    if (c->configs) {
        TRY(bdpo_file_join(path, c->configs, path_below));
        TRY(bdpo_json_open(out, path));
        return file ? keep(file, c, path) : BDPO_OK;
    }
    TRY(bdpo_model_type_config(out, c->info.type, name, c->info.prediction));
    return file ? keep(file, c, "the published configuration") : BDPO_OK;
}

static bdpo_status open_part(bdpo_checkpoint *c, const bdpo_component_spec *spec,
                             const char *prefix)
{
    char below[64], whole[BDPO_NAME_BYTES];
    part *p = current(c);
    close_files(p); // of a component that was not in the file
    bdpo_component_source source = {.spec = spec, .file = c->file, .original = true};
    snprintf(below, sizeof below, "%s/config.json", spec->name);
    TRY(open_config(&p->config, &source.config_file, c, spec->name, below));
    source.config = bdpo_json_root(p->config).value;
    snprintf(whole, sizeof whole, "%s%s", bdpo_state_dict_prefix(c->file), prefix);
    TRY(keep(&source.prefix, c, whole));
    return add_part(c, &source);
}

// `stated` is what the file itself says that it predicts.
static bdpo_status open_single(bdpo_checkpoint *c, bdpo_prediction stated)
{
    c->info.layout = BDPO_LAYOUT_SINGLE_FILE;
    if (c->asked == BDPO_PREDICTS_UNKNOWN) c->asked = stated; // goes before a borrowed scheduler
    c->info.prediction = c->asked;
    if (c->asked == BDPO_PREDICTS_UNKNOWN && c->info.type != BDPO_SD2)
        c->info.prediction = BDPO_PREDICTS_EPSILON; // SD 2 is published in both kinds
    TRY(open_config(&c->index, NULL, c, "model_index", "model_index.json"));
    TRY(open_config(&c->scheduler, NULL, c, "scheduler", "scheduler/scheduler_config.json"));
    if (c->configs) TRY(set_prediction(c));
    for (int i = 0; i < bdpo_model_type_count(c->info.type); i++) {
        const bdpo_component_spec *spec = bdpo_model_type_at(c->info.type, i);
        TRY(open_part(c, spec, spec->prefix));
    }
    return BDPO_OK;
}

// A VAE alone, under its original names and without a prefix.
static bool is_bare_vae(const bdpo_checkpoint *c)
{
    char name[BDPO_NAME_BYTES];
    snprintf(name, sizeof name, "%sencoder.down.0.block.0.norm1.weight",
             bdpo_state_dict_prefix(c->file));
    return bdpo_tensor_file_find(c->file, name) != NULL;
}

// A file of weights with its configuration beside it.
static bdpo_status open_lone_file(bdpo_checkpoint *c, bool *found)
{
    char path[BDPO_PATH_BYTES];
    const char *slash = strrchr(c->info.path, '/');
    int length = slash ? (int)(slash - c->info.path) + 1 : 0;
    *found = false;
    if (snprintf(path, sizeof path, "%.*sconfig.json", length, c->info.path) >= (int)sizeof path ||
        !bdpo_file_exists(path))
        return BDPO_OK;
    part *p = current(c);
    bdpo_component_source source = {.file = c->file, .prefix = ""};
    TRY(bdpo_json_open(&p->config, path));
    TRY(keep(&source.config_file, c, path));
    source.config = bdpo_json_root(p->config).value;
    source.spec = spec_of_class(class_of(source.config));
    c->info.layout = BDPO_LAYOUT_COMPONENT;
    *found = true;
    return add_part(c, &source);
}

static bdpo_status open_file(bdpo_checkpoint *c)
{
    TRY(bdpo_tensor_file_open(&c->file, c->info.path));
    bdpo_detected detected = bdpo_model_type_detect(c->file);
    if (detected.refiner)
        return bdpo_fail(BDPO_UNSUPPORTED, "%s: is SDXL's refiner, which is not supported",
                         c->info.path);
    c->info.in_channels = detected.in_channels;
    if (detected.known) {
        if (!c->info.known_type) c->info.type = detected.type;
        c->info.known_type = true;
        return open_single(c, detected.prediction);
    }
    if (is_bare_vae(c)) {
        c->info.layout = BDPO_LAYOUT_SINGLE_FILE;
        return open_part(c, bdpo_model_type_find(c->info.type, "vae"), "");
    }
    bool found;
    TRY(open_lone_file(c, &found));
    if (!found) c->info.layout = BDPO_LAYOUT_TENSORS;
    return BDPO_OK;
}

// ---- opening and closing -----------------------------------------------------------------------

static void read_in_channels(bdpo_checkpoint *c)
{
    const bdpo_component *unet;
    if (bdpo_checkpoint_find(&unet, c, "unet") != BDPO_OK) return;
    const bdpo_weight *w = bdpo_component_find(unet, "conv_in.weight");
    if (w && w->tensor.n_dims == 4 && w->tensor.dim[1] < 1000)
        c->info.in_channels = (int)w->tensor.dim[1];
}

static bdpo_status open_any(bdpo_checkpoint *c, const char *path,
                            const bdpo_checkpoint_options *options)
{
    TRY(bdpo_arena_new(&c->arena));
    TRY(keep(&c->info.path, c, path));
    if (options->variant) TRY(keep(&c->variant, c, options->variant));
    if (options->configs) TRY(keep(&c->configs, c, options->configs));
    c->asked = options->prediction;
    if (options->type) {
        TRY(bdpo_model_type_parse(&c->info.type, options->type));
        c->info.known_type = true;
    }
    TRY(bdpo_file_is_directory(path) ? open_directory(c) : open_file(c));
    read_in_channels(c);
    return BDPO_OK;
}

bdpo_status bdpo_checkpoint_open(bdpo_checkpoint **out, const char *path,
                                 const bdpo_checkpoint_options *options)
{
    static const bdpo_checkpoint_options none = {0};
    *out = NULL;
    bdpo_checkpoint *c = bdpo_alloc(1, sizeof *c);
    if (!c) return bdpo_fail(BDPO_NO_MEMORY, "%s: no memory to open it", path);
    bdpo_status status = open_any(c, path, options ? options : &none);
    if (status != BDPO_OK)
        bdpo_checkpoint_close(c);
    else
        *out = c;
    return status;
}

void bdpo_checkpoint_close(bdpo_checkpoint *c)
{
    if (!c) return;
    for (int i = 0; i < MAX_PARTS; i++) { // all: the last may have been half open
        bdpo_component_free(c->parts[i].component);
        close_files(&c->parts[i]);
    }
    bdpo_tensor_file_close(c->file);
    bdpo_json_free(c->index);
    bdpo_json_free(c->scheduler);
    bdpo_arena_free(c->arena);
    bdpo_free(c);
}

// ---- reading -----------------------------------------------------------------------------------

bdpo_checkpoint_info bdpo_checkpoint_get_info(const bdpo_checkpoint *c)
{
    return c->info;
}

bdpo_status bdpo_checkpoint_check_usable(const bdpo_checkpoint *c)
{
    const bdpo_checkpoint_info *i = &c->info;
    if (i->layout == BDPO_LAYOUT_COMPONENT || i->layout == BDPO_LAYOUT_TENSORS)
        return bdpo_fail(BDPO_UNSUPPORTED, "%s: holds %s, not a whole text-to-image model", i->path,
                         i->layout == BDPO_LAYOUT_TENSORS ? "tensors of no known model"
                                                          : "one component");
    if (i->in_channels == 9 || i->in_channels == 8)
        return bdpo_fail(BDPO_UNSUPPORTED, "%s: is a model for %s (%d input channels), not for %s",
                         i->path, i->in_channels == 9 ? "inpainting" : "editing pictures",
                         i->in_channels, "text to image (4)");
    if (i->prediction == BDPO_PREDICTS_UNKNOWN)
        return bdpo_fail(BDPO_BAD_ARGUMENT,
                         "%s: does not say what the model predicts: give --prediction epsilon or "
                         "--prediction v_prediction",
                         i->path);
    return BDPO_OK;
}

int bdpo_checkpoint_count(const bdpo_checkpoint *c)
{
    return c->n_parts;
}

const bdpo_component *bdpo_checkpoint_at(const bdpo_checkpoint *c, int index)
{
    BDPO_ASSERT(index >= 0 && index < c->n_parts);
    return c->parts[index].component;
}

bdpo_status bdpo_checkpoint_find(const bdpo_component **out, const bdpo_checkpoint *c,
                                 const char *name)
{
    for (int i = 0; i < c->n_parts; i++) {
        *out = c->parts[i].component;
        if (strcmp(bdpo_component_get_source(*out)->spec->name, name) == 0) return BDPO_OK;
    }
    *out = NULL;
    return bdpo_fail(BDPO_NOT_FOUND, "%s: has no %s", c->info.path, name);
}

const json_t *bdpo_checkpoint_scheduler(const bdpo_checkpoint *c)
{
    return c->scheduler ? bdpo_json_root(c->scheduler).value : NULL;
}

const json_t *bdpo_checkpoint_index(const bdpo_checkpoint *c)
{
    return c->index ? bdpo_json_root(c->index).value : NULL;
}

const char *bdpo_checkpoint_tokenizers(const bdpo_checkpoint *c)
{
    if (!c->index || !is_listed(c, "tokenizer")) return NULL;
    return c->info.layout == BDPO_LAYOUT_DIRECTORY ? c->info.path : c->configs;
}

int bdpo_checkpoint_n_files(const bdpo_checkpoint *c)
{
    return c->file ? 1 : c->n_parts;
}

const bdpo_tensor_file *bdpo_checkpoint_file(const bdpo_checkpoint *c, int index)
{
    BDPO_ASSERT(index >= 0 && index < bdpo_checkpoint_n_files(c));
    return c->file ? c->file : c->parts[index].file;
}

static bool is_stranger(const bdpo_checkpoint *c, const char *name)
{
    if (bdpo_naming_ignored(name)) return false;
    if (strncmp(name, "module.", 7) == 0) name += 7;
    for (int i = 0; i < c->n_parts; i++) {
        const char *prefix = bdpo_component_get_source(c->parts[i].component)->prefix;
        if (strncmp(name, prefix, strlen(prefix)) == 0) return false;
    }
    return true;
}

size_t bdpo_checkpoint_n_strangers(const bdpo_checkpoint *c)
{
    size_t n = 0;
    if (c->info.layout != BDPO_LAYOUT_SINGLE_FILE) return 0;
    for (size_t i = 0; i < bdpo_tensor_file_count(c->file); i++)
        n += is_stranger(c, bdpo_tensor_file_at(c->file, i)->name);
    return n;
}

// The registry: presets, which configuration a request means, and how a scorer comes into being.
#include "scorers/scorer.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "scorers/scorer_families.h"

// ---- tables ------------------------------------------------------------------------------------

static const bdpo_scorer_family *const families[] = {
    &bdpo_family_clip,
    &bdpo_family_aesthetic,
    &bdpo_family_image_reward,
    &bdpo_family_external,
};

// JSON with ' for ", so that it reads. "architecture" and "activation" are for files that lie
// alone.
static const struct {
    const char *name, *config;
} presets[] = {
    // Diffusion-DPO's "CLIP score": OpenCLIP ViT-H-14 laion2b_s32b_b79k.
    {"clip-h", "{'name': 'clip-h', 'family': 'clip', 'architecture': 'ViT-H-14',"
               " 'activation': 'gelu', 'pipeline': 'open-clip', 'preprocess': 'hps',"
               " 'scale': 'cosine'}"},
    // OpenAI's ViT-L-14 as transformers runs it.
    {"clip-l", "{'name': 'clip-l', 'family': 'clip', 'architecture': 'ViT-L-14',"
               " 'activation': 'quick_gelu', 'pipeline': 'fast',"
               " 'preprocess': 'clip-image-processor', 'scale': 'cosine'}"},
    // OpenCLIP ViT-bigG-14 laion2b as open_clip runs it.
    {"clip-g", "{'name': 'clip-g', 'family': 'clip', 'architecture': 'ViT-bigG-14',"
               " 'activation': 'gelu', 'pipeline': 'open-clip', 'preprocess': 'torchvision',"
               " 'scale': 'cosine'}"},
    {"pickscore", "{'name': 'pickscore', 'family': 'clip', 'architecture': 'ViT-H-14',"
                  " 'activation': 'gelu', 'pipeline': 'fast',"
                  " 'preprocess': 'clip-image-processor', 'scale': 'logit-scale'}"},
    {"hpsv2", "{'name': 'hpsv2', 'family': 'clip', 'architecture': 'ViT-H-14',"
              " 'activation': 'gelu', 'pipeline': 'open-clip', 'preprocess': 'hps',"
              " 'scale': 'cosine'}"},
    {"hpsv2.1", "{'name': 'hpsv2.1', 'family': 'clip', 'architecture': 'ViT-H-14',"
                " 'activation': 'gelu', 'pipeline': 'open-clip', 'preprocess': 'hps',"
                " 'scale': 'cosine'}"},
    // LAION aesthetic v2 on OpenAI's ViT-L-14.
    {"aesthetic", "{'name': 'aesthetic', 'family': 'aesthetic', 'architecture': 'ViT-L-14',"
                  " 'activation': 'quick_gelu', 'preprocess': 'clip-image-processor'}"},
    // ImageReward v1.0.
    {"imagereward", "{'name': 'imagereward', 'family': 'image-reward',"
                    " 'preprocess': 'torchvision'}"},
};

int bdpo_scorer_preset_count(void)
{
    return (int)BDPO_COUNTOF(presets);
}

const char *bdpo_scorer_preset_name(int index)
{
    BDPO_ASSERT(index >= 0 && index < bdpo_scorer_preset_count());
    return presets[index].name;
}

const char *bdpo_scorer_preset_find(const char *name)
{
    for (size_t i = 0; i < BDPO_COUNTOF(presets); i++)
        if (strcmp(presets[i].name, name) == 0) return presets[i].config;
    return NULL;
}

static const bdpo_scorer_family *find_family(const char *name)
{
    for (size_t i = 0; i < BDPO_COUNTOF(families); i++)
        if (strcmp(families[i]->name, name) == 0) return families[i];
    return NULL;
}

// ---- configuration -----------------------------------------------------------------------------

// The public scorer with what only opening and closing see.
typedef struct opened {
    bdpo_scorer scorer; // first: a scorer is given out as this
    bdpo_json_document *document;
    char directory[BDPO_PATH_BYTES]; // of the configuration's file; "" for a preset
} opened;

static bdpo_status parse_preset(bdpo_json_document **out, const char *name)
{
    char text[512];
    const char *config = bdpo_scorer_preset_find(name);
    size_t length = strlen(config);
    BDPO_ASSERT(length < sizeof text);
    for (size_t i = 0; i <= length; i++) text[i] = config[i] == '\'' ? '"' : config[i];
    return bdpo_json_parse(out, text, length, name);
}

static bdpo_status fail_unknown(const char *name)
{
    char known[512];
    size_t used = 0;
    for (size_t i = 0; i < BDPO_COUNTOF(presets) && used < sizeof known; i++)
        used += (size_t)snprintf(known + used, sizeof known - used, "%s%s", i ? ", " : "",
                                 presets[i].name);
    return bdpo_fail(BDPO_BAD_ARGUMENT,
                     "there is no scorer \"%s\": expected one of %s, or the path of a "
                     "configuration that ends in .json",
                     name, known);
}

static bdpo_status read_document(opened *o, const char *name)
{
    size_t length = strlen(name);
    if (bdpo_scorer_preset_find(name)) return parse_preset(&o->document, name);
    if (length <= 5 || strcmp(name + length - 5, ".json") != 0) return fail_unknown(name);
    const char *slash = strrchr(name, '/');
    int directory = slash ? (int)(slash - name) + 1 : 0;
    if (snprintf(o->directory, sizeof o->directory, "%.*s", directory, name) >=
        (int)sizeof o->directory)
        return bdpo_fail(BDPO_BAD_ARGUMENT, "%.60s...: too long a path", name);
    return bdpo_json_open(&o->document, name);
}

// A path of the configuration stands relative to its file.
static bdpo_status resolve(const char **out, const opened *o, const char *asked, const char *field)
{
    const char *path;
    char joined[2 * BDPO_PATH_BYTES];
    *out = asked;
    if (asked) return BDPO_OK;
    TRY(bdpo_json_string_or(&path, &o->scorer.config, field, NULL));
    if (!path) return BDPO_OK;
    snprintf(joined, sizeof joined, "%s%s", path[0] == '/' ? "" : o->directory, path);
    *out = bdpo_arena_strdup(o->scorer.arena, joined);
    return *out ? BDPO_OK : bdpo_fail(BDPO_NO_MEMORY, "no memory for a scorer");
}

bdpo_status bdpo_scorer_path(const char **out, bdpo_scorer *scorer, const char *field)
{
    return resolve(out, (const opened *)(const void *)scorer, NULL, field);
}

static bdpo_status check_name(const bdpo_json *config, const char *name)
{
    for (const char *c = name; *c; c++)
        if ((unsigned char)*c <= ' ' || *c == ',' || *c == '=' || *c == '"' || *c == 127)
            return bdpo_fail(BDPO_BAD_FILE,
                             "%s: name is \"%s\", expected one without spaces, commas, quotes and "
                             "equal signs",
                             config->file, name);
    return *name ? BDPO_OK : bdpo_fail(BDPO_BAD_FILE, "%s: name is empty", config->file);
}

static bdpo_status check_fields(const bdpo_json *config, const bdpo_scorer_family *family)
{
    static const char *const common[] = {"name",      "family",   "checkpoint",
                                         "tokenizer", "backbone", "comment"};
    for (const char *key = bdpo_json_next_key(config, NULL); key && family->fields;
         key = bdpo_json_next_key(config, key)) {
        bool known = false;
        for (size_t i = 0; i < BDPO_COUNTOF(common); i++) known |= strcmp(key, common[i]) == 0;
        for (const char *const *f = family->fields; *f; f++) known |= strcmp(key, *f) == 0;
        if (!known)
            return bdpo_fail(BDPO_BAD_FILE, "%s: \"%s\" is no field of the family %s", config->file,
                             key, family->name);
    }
    return BDPO_OK;
}

static bdpo_status read_config(opened *o, const bdpo_scorer_request *request)
{
    bdpo_scorer *s = &o->scorer;
    const char *family;
    TRY(read_document(o, request->name));
    s->config = bdpo_json_root(o->document);
    TRY(bdpo_json_string(&s->info.name, &s->config, "name"));
    TRY(check_name(&s->config, s->info.name));
    TRY(bdpo_json_string(&family, &s->config, "family"));
    s->family = find_family(family);
    if (!s->family)
        return bdpo_fail(BDPO_BAD_FILE,
                         "%s: there is no family \"%s\": expected clip, aesthetic, image-reward or "
                         "external",
                         s->config.file, family);
    s->info.family = s->family->name;
    TRY(check_fields(&s->config, s->family));
    TRY(resolve(&s->checkpoint, o, request->checkpoint, "checkpoint"));
    TRY(resolve(&s->tokenizer, o, request->tokenizer, "tokenizer"));
    return resolve(&s->backbone, o, request->backbone, "backbone");
}

// ---- preprocessing -----------------------------------------------------------------------------

static bdpo_status read_three(float out[3], const bdpo_json *object, const char *field)
{
    bdpo_json list;
    if (!bdpo_json_has(object, field)) return BDPO_OK;
    TRY(bdpo_json_array(&list, object, field));
    for (size_t i = 0; i < 3 && bdpo_json_count(&list) == 3; i++) {
        bdpo_json element = bdpo_json_element(&list, i);
        out[i] = (float)json_number_value(element.value);
        if (!json_is_number(element.value)) break;
        if (i == 2) return BDPO_OK;
    }
    return bdpo_fail(BDPO_BAD_FILE, "%s: %s.%s is not a list of 3 numbers", object->file,
                     object->place, field);
}

static bdpo_status read_kind(bdpo_preprocess_kind *out, const bdpo_json *object, const char *field)
{
    const char *word;
    TRY(bdpo_json_string(&word, object, field));
    bdpo_status status = bdpo_preprocess_kind_parse(out, word);
    return status == BDPO_OK
               ? BDPO_OK
               : bdpo_fail(BDPO_BAD_FILE, "%s: %s: %s", object->file, field, bdpo_message());
}

static bdpo_status read_options(bdpo_preprocess *out, const bdpo_json *o)
{
    static const char *const orders[] = {"13", "12"}, *const alphas[] = {"drop", "white"};
    static const char *const fields[] = {"kind",      "size",   "mean",  "std",
                                         "antialias", "pillow", "alpha", "exif"};
    int order, alpha;
    bool antialias;
    for (const char *key = bdpo_json_next_key(o, NULL); key; key = bdpo_json_next_key(o, key)) {
        bool known = false;
        for (size_t i = 0; i < BDPO_COUNTOF(fields); i++) known |= strcmp(key, fields[i]) == 0;
        if (!known)
            return bdpo_fail(BDPO_BAD_FILE, "%s: \"%s\" is no field of %s", o->file, key, o->place);
    }
    TRY(bdpo_json_int_or(&out->size, o, "size", out->size, 1, BDPO_PREPROCESS_MAX_SIZE));
    TRY(read_three(out->mean, o, "mean"));
    TRY(read_three(out->std, o, "std"));
    TRY(bdpo_json_bool_or(&antialias, o, "antialias", true));
    TRY(bdpo_json_word_or(&order, o, "pillow", 0, orders, 2));
    TRY(bdpo_json_word_or(&alpha, o, "alpha", 0, alphas, 2));
    TRY(bdpo_json_bool_or(&out->apply_orientation, o, "exif", false));
    out->no_antialias = !antialias;
    out->order = order == 0 ? BDPO_PILLOW_13 : BDPO_PILLOW_12;
    out->alpha_on_white = alpha == 1;
    return BDPO_OK;
}

// What changes the pixels, and nothing else.
static json_t *describe(const bdpo_preprocess *p)
{
    json_t *o = json_pack(
        "{s:s, s:i, s:[f, f, f], s:[f, f, f], s:b}", "kind", bdpo_preprocess_kind_name(p->kind),
        "size", p->size, "mean", (double)p->mean[0], (double)p->mean[1], (double)p->mean[2], "std",
        (double)p->std[0], (double)p->std[1], (double)p->std[2], "exif", (int)p->apply_orientation);
    if (p->kind == BDPO_PREPROCESS_HPS)
        json_object_set_new(o, "antialias", json_boolean(!p->no_antialias));
    else
        json_object_set_new(o, "pillow", json_string(p->order == BDPO_PILLOW_13 ? "13" : "12"));
    if (p->kind == BDPO_PREPROCESS_CLIP_IMAGE_PROCESSOR)
        json_object_set_new(o, "alpha", json_string(p->alpha_on_white ? "white" : "drop"));
    return o;
}

bdpo_status bdpo_scorer_preprocess(bdpo_preprocess *out, bdpo_scorer *scorer,
                                   bdpo_preprocess_kind fallback, int size)
{
    static const char field[] = "preprocess";
    const bdpo_json *config = &scorer->config;
    bdpo_preprocess_kind kind = fallback;
    bdpo_json object = {0};
    if (json_is_object(json_object_get(config->value, field))) {
        TRY(bdpo_json_object(&object, config, field));
        if (bdpo_json_has(&object, "kind")) TRY(read_kind(&kind, &object, "kind"));
    } else if (bdpo_json_has(config, field)) {
        TRY(read_kind(&kind, config, field));
    }
    *out = bdpo_preprocess_default(kind);
    out->size = size;
    if (object.value) TRY(read_options(out, &object));
    if (out->size != size)
        return bdpo_fail(BDPO_BAD_FILE, "%s: %s.size is %d, expected the model's %d", config->file,
                         field, out->size, size);
    for (int i = 0; i < 3; i++)
        if (!(out->std[i] > 0))
            return bdpo_fail(BDPO_BAD_FILE, "%s: %s.std is not positive", config->file, field);
    json_object_set_new(scorer->settings, field, describe(out));
    return BDPO_OK;
}

// ---- opening -----------------------------------------------------------------------------------

static bdpo_status write_settings(bdpo_scorer *s)
{
    char *text = json_dumps(s->settings, JSON_COMPACT | JSON_SORT_KEYS | JSON_REAL_PRECISION(9));
    s->info.settings = text ? bdpo_arena_strdup(s->arena, text) : NULL;
    free(text); // jansson's
    return s->info.settings ? BDPO_OK : bdpo_fail(BDPO_NO_MEMORY, "no memory for settings");
}

static bdpo_status open_scorer(opened *o, const bdpo_scorer_request *request, bdpo_engine *engine,
                               bdpo_shared *shared)
{
    bdpo_scorer *s = &o->scorer;
    s->engine = engine;
    s->shared = shared;
    s->settings = json_object();
    TRY(bdpo_arena_new(&s->arena));
    TRY(read_config(o, request));
    bdpo_status status = s->family->open(s);
    if (status != BDPO_OK) return bdpo_fail(status, "scorer %s: %s", s->info.name, bdpo_message());
    return write_settings(s);
}

bdpo_status bdpo_scorer_open(bdpo_scorer **out, const bdpo_scorer_request *request,
                             bdpo_engine *engine, bdpo_shared *shared)
{
    *out = NULL;
    opened *o = bdpo_alloc(1, sizeof *o);
    if (!o) return bdpo_fail(BDPO_NO_MEMORY, "no memory for a scorer");
    bdpo_status status = open_scorer(o, request, engine, shared);
    if (status == BDPO_OK)
        *out = &o->scorer;
    else
        bdpo_scorer_close(&o->scorer);
    return status;
}

void bdpo_scorer_close(bdpo_scorer *scorer)
{
    if (!scorer) return;
    opened *o = (opened *)(void *)scorer;
    if (scorer->family && scorer->family->close) scorer->family->close(scorer);
    json_decref(scorer->settings);
    bdpo_json_free(o->document);
    bdpo_arena_free(scorer->arena);
    bdpo_free(o);
}

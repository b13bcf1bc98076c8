// A tower's plan has a fixed number of inputs, whatever the batch: a score's bits are then its own.
// A text is cut behind its end: no position looks ahead, so what follows cannot change it.
#include "scorers/clip_passes.h"

#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "graph/store.h"
#include "scorers/wide_store.h"

// ---- the model ---------------------------------------------------------------------------------

// One of the two towers.
typedef struct tower {
    bdpo_param_list *params;
    bool half;        // its weights rest in half width
    bdpo_store *wide; // them in f32, while many inputs come; NULL
    int runs;         // since the tower rested
} tower;

struct bdpo_clip_model {
    bdpo_engine *engine;
    bdpo_clip_checkpoint *checkpoint;
    bdpo_clip_checkpoint_info info;
    bdpo_store *store; // of both, as they are stored
    tower text, vision;
    const char *sha256;
    char key[256];
};

static void free_tower(tower *t)
{
    bdpo_store_free(t->wide);
    bdpo_param_list_free(t->params);
}

static void free_model(void *object)
{
    bdpo_clip_model *m = object;
    free_tower(&m->text);
    free_tower(&m->vision);
    bdpo_store_free(m->store);
    bdpo_clip_checkpoint_close(m->checkpoint);
    bdpo_free(m);
}

static bdpo_status read_options(bdpo_clip_checkpoint_options *out, bdpo_scorer *scorer)
{
    const bdpo_json *config = &scorer->config;
    *out = (bdpo_clip_checkpoint_options){0};
    TRY(bdpo_scorer_path(&out->config, scorer, "model_config"));
    TRY(bdpo_json_string_or(&out->architecture, config, "architecture", NULL));
    TRY(bdpo_json_string_or(&out->activation, config, "activation", NULL));
    return bdpo_json_string_or(&out->force_activation, config, "force_activation", NULL);
}

// What the model computes: of equal weights, what the configuration adds to their shapes.
static void make_key(bdpo_clip_model *m)
{
    const bdpo_clip_text_config *t = &m->info.text;
    const bdpo_clip_vision_config *v = &m->info.vision;
    snprintf(m->key, sizeof m->key, "clip %s %s %d %d %.9g %.9g %d", m->sha256, m->info.activation,
             t->tower.heads, v->tower.heads, (double)t->tower.norm_eps, (double)v->tower.norm_eps,
             t->eos_token_id);
}

static bdpo_status open_model(bdpo_clip_model *m, bdpo_scorer *scorer, const char *path)
{
    bdpo_clip_checkpoint_options options;
    TRY(read_options(&options, scorer));
    TRY(bdpo_clip_checkpoint_open(&m->checkpoint, path, &options));
    m->engine = scorer->engine;
    m->info = bdpo_clip_checkpoint_get_info(m->checkpoint);
    TRY(bdpo_shared_sha256(&m->sha256, scorer->shared, m->info.weights));
    make_key(m);
    return BDPO_OK;
}

static bdpo_status list_towers(bdpo_clip_model *m)
{
    TRY(bdpo_param_list_new(&m->text.params));
    TRY(bdpo_param_list_new(&m->vision.params));
    bdpo_clip_text_params(m->text.params, &m->info.text);
    bdpo_clip_vision_params(m->vision.params, &m->info.vision);
    TRY(bdpo_param_list_check(m->text.params));
    TRY(bdpo_param_list_check(m->vision.params));
    m->text.half = bdpo_is_half(m->store, m->text.params);
    m->vision.half = bdpo_is_half(m->store, m->vision.params);
    return BDPO_OK;
}

// Opened to see what it is; loaded unless a scorer before has the same.
static bdpo_status find_model(bdpo_clip_model **out, bdpo_scorer *scorer, const char *path)
{
    bdpo_clip_model *m = bdpo_alloc(1, sizeof *m);
    if (!m) return bdpo_fail(BDPO_NO_MEMORY, "%s: no memory to open it", path);
    bdpo_status status = open_model(m, scorer, path);
    *out = status == BDPO_OK ? bdpo_shared_find(scorer->shared, m->key) : NULL;
    if (status == BDPO_OK && !*out)
        status = bdpo_clip_checkpoint_load(&m->store, m->engine, m->checkpoint);
    if (status == BDPO_OK && !*out) status = list_towers(m);
    if (status != BDPO_OK || *out) {
        free_model(m);
        return status;
    }
    TRY(bdpo_shared_add(scorer->shared, m->key, m, free_model));
    *out = m;
    return BDPO_OK;
}

bdpo_status bdpo_clip_model_share(bdpo_clip_model **out, const char **sha256, bdpo_scorer *scorer,
                                  const char *path)
{
    TRY(find_model(out, scorer, path));
    *sha256 = (*out)->sha256;
    json_object_set_new(scorer->settings, "activation", json_string((*out)->info.activation));
    return BDPO_OK;
}

const bdpo_clip_checkpoint_info *bdpo_clip_model_info(const bdpo_clip_model *m)
{
    return &m->info;
}

// ---- which weights -----------------------------------------------------------------------------

// The weights for the next `n` runs: widened ones where they pay. Where there is no memory for them
// the stored ones give the same numbers, later.
static bdpo_store *weights_for(const bdpo_clip_model *m, tower *t, int n)
{
    enum { WORTH_IT = 4 }; // widening costs about two runs' own
    t->runs += n;
    if (!t->half || t->wide || t->runs < WORTH_IT) return t->wide ? t->wide : m->store;
    if (bdpo_wide_store_new(&t->wide, m->engine, m->store, t->params) != BDPO_OK)
        t->half = false; // not tried again
    return t->wide ? t->wide : m->store;
}

// The towers of many models do not fit into memory at once.
static void rest_tower(const bdpo_clip_model *m, tower *t)
{
    bdpo_store_free(t->wide);
    t->wide = NULL;
    t->runs = 0;
    bdpo_store_rest(m->store);
}

// ---- pictures ----------------------------------------------------------------------------------

enum { PICTURES = 1 }; // in a run of the plan

typedef struct image_pass {
    bdpo_feature_pass pass; // first
    bdpo_clip_model *model;
} image_pass;

static void build_image(bdpo_graph *graph, const bdpo_plan_key *key, const void *model)
{
    bdpo_builder b = {.graph = graph};
    bdpo_node *pixels = bdpo_input(graph, "pixels", BDPO_F32, key->shape);
    bdpo_output(graph, "embedding", bdpo_clip_vision(&b, model, pixels).embedding);
}

static bdpo_status run_images(bdpo_feature_pass *pass, void *const *features,
                              const float *const *pixels, int n)
{
    const image_pass *p = (const image_pass *)pass;
    bdpo_clip_model *m = p->model;
    int size = m->info.vision.image_size;
    bdpo_plan_key key = {.graph = "clip image", .shape = BDPO_SHAPE(PICTURES, size, size, 3)};
    size_t bytes = bdpo_preprocess_count(&pass->preprocess) * sizeof **pixels;
    bdpo_plan *plan;
    TRY(bdpo_engine_plan(&plan, m->engine, weights_for(m, &m->vision, n), &key, build_image,
                         &m->info.vision));
    for (int i = 0; i < n; i++) {
        TRY(bdpo_plan_write(plan, "pixels", pixels[i], bytes));
        TRY(bdpo_plan_run(plan));
        TRY(bdpo_plan_read(plan, "embedding", features[i], pass->n_bytes));
    }
    return BDPO_OK;
}

static void rest_images(bdpo_feature_pass *pass)
{
    bdpo_clip_model *m = ((image_pass *)pass)->model;
    rest_tower(m, &m->vision);
}

static void image_settings(char out[256], const bdpo_preprocess *p)
{
    bool hps = p->kind == BDPO_PREPROCESS_HPS;
    snprintf(out, 256, "%s %d %.9g %.9g %.9g %.9g %.9g %.9g %d %d %d %d",
             bdpo_preprocess_kind_name(p->kind), p->size, (double)p->mean[0], (double)p->mean[1],
             (double)p->mean[2], (double)p->std[0], (double)p->std[1], (double)p->std[2],
             hps && p->no_antialias, hps ? 0 : (int)p->order,
             p->kind == BDPO_PREPROCESS_CLIP_IMAGE_PROCESSOR && p->alpha_on_white,
             p->apply_orientation);
}

bdpo_status bdpo_clip_image_pass(bdpo_feature_pass **out, bdpo_scorer *scorer,
                                 bdpo_clip_model *model, const bdpo_preprocess *preprocess)
{
    char settings[256], key[sizeof model->key + sizeof settings + 16];
    image_settings(settings, preprocess);
    snprintf(key, sizeof key, "image %s %s", settings, model->key);
    *out = bdpo_shared_find(scorer->shared, key);
    if (*out) return BDPO_OK;
    image_pass *p = bdpo_alloc(1, sizeof *p);
    if (!p) return bdpo_fail(BDPO_NO_MEMORY, "no memory for a scorer");
    p->model = model;
    p->pass =
        (bdpo_feature_pass){.n_bytes = (size_t)model->info.vision.projection_dim * sizeof(float),
                            .preprocess = *preprocess,
                            .run_images = run_images,
                            .rest = rest_images};
    TRY(bdpo_shared_add(scorer->shared, key, p, bdpo_free));
    *out = &p->pass;
    return BDPO_OK;
}

// ---- texts -------------------------------------------------------------------------------------

typedef struct text_pass {
    bdpo_feature_pass pass; // first
    bdpo_clip_model *model;
    bdpo_clip_bpe *bpe;
    int n_ids;
    int32_t *ids;
    char *prefix;
} text_pass;

static void free_text_pass(void *object)
{
    text_pass *p = object;
    bdpo_clip_bpe_free(p->bpe);
    bdpo_free(p->ids);
    bdpo_free(p->prefix);
    bdpo_free(p);
}

static void rest_text(bdpo_feature_pass *pass)
{
    bdpo_clip_model *m = ((text_pass *)pass)->model;
    rest_tower(m, &m->text);
}

static void build_text(bdpo_graph *graph, const bdpo_plan_key *key, const void *model)
{
    bdpo_builder b = {.graph = graph};
    bdpo_node *ids = bdpo_input(graph, "ids", BDPO_I32, key->shape);
    bdpo_node *end = bdpo_input(graph, "end", BDPO_I32, BDPO_SHAPE(1));
    bdpo_clip_text_options options = {0};
    bdpo_output(graph, "embedding", bdpo_clip_text(&b, model, ids, end, &options).pooled);
}

static bdpo_status encode(text_pass *p, const char *text, size_t size)
{
    size_t prefix = strlen(p->prefix), whole;
    if (prefix == 0) return bdpo_clip_bpe_encode(p->bpe, p->ids, p->n_ids, NULL, text, size);
    char *joined = bdpo_size_add(&whole, prefix, size) ? bdpo_alloc(whole, 1) : NULL;
    if (!joined) return bdpo_fail(BDPO_NO_MEMORY, "no memory for a prompt");
    memcpy(joined, p->prefix, prefix);
    if (size > 0) memcpy(joined + prefix, text, size);
    bdpo_status status = bdpo_clip_bpe_encode(p->bpe, p->ids, p->n_ids, NULL, joined, whole);
    bdpo_free(joined);
    return status;
}

// Few lengths, so that there are few plans; each a function of the text alone.
static int length_for(int needed, int most)
{
    enum { STEP = 8 };
    int length = (needed + STEP - 1) / STEP * STEP;
    return length < most ? length : most;
}

static bdpo_status run_text(bdpo_feature_pass *pass, void *features, const char *text, size_t size)
{
    text_pass *p = (text_pass *)pass;
    bdpo_clip_model *m = p->model;
    bdpo_plan *plan;
    int32_t end;
    TRY(encode(p, text, size));
    TRY(bdpo_clip_eos_index(&end, p->ids, 1, p->n_ids, m->info.text.eos_token_id));
    int length = length_for(end + 1, p->n_ids);
    bdpo_plan_key key = {.graph = "clip text", .shape = BDPO_SHAPE(1, length)};
    TRY(bdpo_engine_plan(&plan, m->engine, weights_for(m, &m->text, 1), &key, build_text,
                         &m->info.text));
    TRY(bdpo_plan_write(plan, "ids", p->ids, (size_t)length * sizeof *p->ids));
    TRY(bdpo_plan_write(plan, "end", &end, sizeof end));
    TRY(bdpo_plan_run(plan));
    return bdpo_plan_read(plan, "embedding", features, pass->n_bytes);
}

static bool holds(char out[BDPO_PATH_BYTES], const char *directory, const char *name)
{
    return bdpo_file_join(out, directory, name) == BDPO_OK && bdpo_file_exists(out);
}

// True where the folder has a vocabulary: *packed tells whether it is the packed file, whose path
// *out is, else *out is the folder.
static bool has_vocabulary(char out[BDPO_PATH_BYTES], bool *packed, const char *directory)
{
    *packed = holds(out, directory, "bpe_simple_vocab_16e6.txt.gz");
    if (*packed) return true;
    bool found = holds(out, directory, "vocab.json") || holds(out, directory, "tokenizer.json");
    snprintf(out, BDPO_PATH_BYTES, "%s", directory);
    return found;
}

static bdpo_status find_vocabulary(char out[BDPO_PATH_BYTES], bool *packed, const char *given,
                                   const char *weights)
{
    char directory[BDPO_PATH_BYTES], below[BDPO_PATH_BYTES];
    const char *slash = strrchr(weights, '/');
    if (given && !bdpo_file_is_directory(given)) {
        *packed = true;
        snprintf(out, BDPO_PATH_BYTES, "%s", given);
        return BDPO_OK;
    }
    if (given)
        snprintf(directory, sizeof directory, "%s", given);
    else
        snprintf(directory, sizeof directory, "%.*s", slash ? (int)(slash - weights) : 1,
                 slash ? weights : ".");
    if (has_vocabulary(out, packed, directory)) return BDPO_OK;
    TRY(bdpo_file_join(below, directory, "tokenizer"));
    if (has_vocabulary(out, packed, below)) return BDPO_OK;
    return bdpo_fail(BDPO_NOT_FOUND,
                     "%s: holds no tokenizer: neither vocab.json and merges.txt, nor "
                     "tokenizer.json, nor bpe_simple_vocab_16e6.txt.gz",
                     directory);
}

static bdpo_status open_vocabulary(text_pass *p, bool packed, const char *path,
                                   bdpo_clip_pipeline pipeline)
{
    bdpo_clip_bpe_options options = {.pipeline = pipeline};
    const bdpo_clip_text_config *text = &p->model->info.text;
    TRY(packed ? bdpo_clip_bpe_open_packed(&p->bpe, path, &options)
               : bdpo_clip_bpe_open(&p->bpe, path, &options));
    bdpo_clip_bpe_info info = bdpo_clip_bpe_get_info(p->bpe);
    p->n_ids = info.max_length < text->positions ? info.max_length : text->positions;
    if (info.n_ids > text->vocabulary)
        return bdpo_fail(BDPO_BAD_FILE, "%s: has %d tokens, expected at most the model's %d", path,
                         info.n_ids, text->vocabulary);
    if (p->n_ids < 2)
        return bdpo_fail(BDPO_BAD_FILE, "%s: texts of %d tokens, expected 2 or more", path,
                         p->n_ids);
    p->ids = bdpo_alloc((size_t)p->n_ids, sizeof *p->ids);
    return p->ids ? BDPO_OK : bdpo_fail(BDPO_NO_MEMORY, "no memory for a prompt");
}

static bdpo_status set_prefix(text_pass *p, const char *prefix)
{
    size_t size = strlen(prefix) + 1;
    p->prefix = bdpo_alloc(size, 1);
    if (!p->prefix) return bdpo_fail(BDPO_NO_MEMORY, "no memory for a prompt");
    memcpy(p->prefix, prefix, size);
    return BDPO_OK;
}

bdpo_status bdpo_clip_text_pass(bdpo_feature_pass **out, bdpo_scorer *scorer,
                                bdpo_clip_model *model, bdpo_clip_pipeline pipeline,
                                const char *prefix)
{
    char path[BDPO_PATH_BYTES], key[sizeof model->key + sizeof path + 256];
    bool packed;
    TRY(find_vocabulary(path, &packed, scorer->tokenizer, model->info.weights));
    snprintf(key, sizeof key, "text %s %s \"%.128s\" %s", bdpo_clip_pipeline_name(pipeline), path,
             prefix, model->key);
    *out = bdpo_shared_find(scorer->shared, key);
    if (*out) return BDPO_OK;
    text_pass *p = bdpo_alloc(1, sizeof *p);
    if (!p) return bdpo_fail(BDPO_NO_MEMORY, "no memory for a scorer");
    p->model = model;
    p->pass =
        (bdpo_feature_pass){.n_bytes = (size_t)model->info.text.projection_dim * sizeof(float),
                            .run_text = run_text,
                            .rest = rest_text};
    bdpo_status status = set_prefix(p, prefix);
    if (status == BDPO_OK) status = open_vocabulary(p, packed, path, pipeline);
    if (status != BDPO_OK) {
        free_text_pass(p);
        return status;
    }
    TRY(bdpo_shared_add(scorer->shared, key, p, free_text_pass));
    *out = &p->pass;
    return BDPO_OK;
}

// ImageReward: how well a person would like a picture for a prompt, about -2.3 to 2. One picture's
// rows and one prompt's ids are features; text encoder and head run for each pair.
//
// Fields of a configuration, beside those of every scorer:
// - checkpoint: ImageReward.pt, a safetensors file of the same names, or a folder with one of them.
//   A med_config.json beside it is read.
// - tokenizer: bert-base-uncased's vocab.txt or tokenizer.json, or a folder with one of them; else
//   it is looked for beside the checkpoint, there also in "bert-base-uncased".
// - vision_heads, text_heads: of sizes that were not published; else one to 64 channels.
//
// The plans have fixed shapes that are filled up with zeros, so that a score's bits do not depend
// on what else is scored beside it.
#include "scorers/scorer_families.h"

#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "graph/store.h"
#include "models/blip_sizes.h"
#include "text/wordpiece.h"

// Pairs of one run: more would be a few percent faster, and slower where there is but one. The
// tokens of a prompt are the package's max_length.
enum { PAIRS = 2, TOKENS = 35 };

// What the model's number is shifted by and divided by.
static const double reward_mean = 0.16717362830052426, reward_deviation = 1.0333394966054072;

// A prompt's feature.
typedef struct prompt_ids {
    int32_t ids[TOKENS];
    int32_t length;
} prompt_ids;

typedef struct image_reward {
    bdpo_feature_pass images, texts; // first: a pass is the whole
    bdpo_tensor_file *file;
    bdpo_json_document *med_config;
    bdpo_component *component;
    bdpo_param_list *params;
    bdpo_blip_config config;
    bdpo_wordpiece *tokenizer;
    bdpo_store *store;
    bdpo_graph *vision_graph, *reward_graph;
    bdpo_plan *vision, *reward;
    size_t n_pixels, n_rows; // floats of one picture
    float *rows;             // [PAIRS, n_rows]
    int32_t ids[PAIRS][TOKENS], lengths[PAIRS];
} image_reward;

// ---- files -------------------------------------------------------------------------------------

// The first of `names` that is in the folder; *out is "" where there is none.
static bdpo_status find_in(char out[BDPO_PATH_BYTES], const char *folder, const char *const *names,
                           size_t n)
{
    for (size_t i = 0; i < n; i++) {
        TRY(bdpo_file_join(out, folder, names[i]));
        if (bdpo_file_exists(out)) return BDPO_OK;
    }
    out[0] = '\0';
    return BDPO_OK;
}

static bdpo_status keep(const char **out, const bdpo_scorer *scorer, const char *text)
{
    *out = bdpo_arena_strdup(scorer->arena, text);
    return *out ? BDPO_OK : bdpo_fail(BDPO_NO_MEMORY, "no memory for a scorer's paths");
}

static bdpo_status find_checkpoint(const char **out, const bdpo_scorer *scorer)
{
    static const char *const names[] = {"ImageReward.pt", "ImageReward.safetensors",
                                        "model.safetensors"};
    char path[BDPO_PATH_BYTES];
    if (!scorer->checkpoint)
        return bdpo_fail(BDPO_NOT_FOUND, "no checkpoint is given: expected the path of "
                                         "ImageReward.pt or of its folder");
    if (!bdpo_file_is_directory(scorer->checkpoint)) return keep(out, scorer, scorer->checkpoint);
    TRY(find_in(path, scorer->checkpoint, names, BDPO_COUNTOF(names)));
    if (!*path)
        return bdpo_fail(BDPO_NOT_FOUND,
                         "%s: neither ImageReward.pt nor ImageReward.safetensors "
                         "is there",
                         scorer->checkpoint);
    return keep(out, scorer, path);
}

// The folder that a file lies in.
static bdpo_status folder_of(char out[BDPO_PATH_BYTES], const char *path)
{
    const char *slash = strrchr(path, '/');
    int n = slash ? (int)(slash - path) : 0;
    int length = n > 0 ? snprintf(out, BDPO_PATH_BYTES, "%.*s", n, path)
                       : snprintf(out, BDPO_PATH_BYTES, slash ? "/" : ".");
    if (length < BDPO_PATH_BYTES) return BDPO_OK;
    return bdpo_fail(BDPO_BAD_ARGUMENT, "%s: the path is too long", path);
}

// The file of the vocabulary.
static bdpo_status find_vocabulary(const char **out, const bdpo_scorer *scorer, const char *folder)
{
    static const char *const given[] = {"vocab.txt", "tokenizer.json"};
    static const char *const beside[] = {"vocab.txt", "tokenizer.json",
                                         "bert-base-uncased/vocab.txt",
                                         "bert-base-uncased/tokenizer.json"};
    char path[BDPO_PATH_BYTES];
    if (!scorer->tokenizer) {
        TRY(find_in(path, folder, beside, BDPO_COUNTOF(beside)));
        if (!*path)
            return bdpo_fail(BDPO_NOT_FOUND,
                             "%s: no vocab.txt or tokenizer.json of bert-base-uncased is there, "
                             "and no tokenizer is given",
                             folder);
        return keep(out, scorer, path);
    }
    if (!bdpo_file_is_directory(scorer->tokenizer)) return keep(out, scorer, scorer->tokenizer);
    TRY(find_in(path, scorer->tokenizer, given, BDPO_COUNTOF(given)));
    if (!*path)
        return bdpo_fail(BDPO_NOT_FOUND, "%s: neither vocab.txt nor tokenizer.json is there",
                         scorer->tokenizer);
    return keep(out, scorer, path);
}

// ---- opening -----------------------------------------------------------------------------------

static bdpo_status open_med_config(image_reward *m, const char *folder)
{
    char path[BDPO_PATH_BYTES];
    TRY(bdpo_file_join(path, folder, "med_config.json"));
    return bdpo_file_exists(path) ? bdpo_json_open(&m->med_config, path) : BDPO_OK;
}

static bdpo_status read_sizes(image_reward *m, const bdpo_scorer *scorer, const char *folder)
{
    enum { MAX_HEADS = 1024 };
    bdpo_json med;
    bdpo_blip_size_options options = {0};
    TRY(open_med_config(m, folder));
    if (m->med_config) {
        med = bdpo_json_root(m->med_config);
        options.med_config = &med;
    }
    TRY(bdpo_json_int_or(&options.vision_heads, &scorer->config, "vision_heads", 0, 1, MAX_HEADS));
    TRY(bdpo_json_int_or(&options.text_heads, &scorer->config, "text_heads", 0, 1, MAX_HEADS));
    bdpo_component_source source = {.spec = bdpo_blip_spec(),
                                    .file = m->file,
                                    .prefix = bdpo_state_dict_prefix(m->file),
                                    .config_file = m->med_config ? med.file : "its own sizes"};
    TRY(bdpo_component_new(&m->component, &source));
    TRY(bdpo_blip_sizes(&m->config, m->component, &options));
    if (m->config.text.positions >= TOKENS) return BDPO_OK;
    return bdpo_fail(BDPO_BAD_FILE, "%s: has %d positions, expected at least the %d of a prompt",
                     scorer->info.checkpoint, m->config.text.positions, TOKENS);
}

static bdpo_status load_weights(image_reward *m, bdpo_engine *engine)
{
    TRY(bdpo_param_list_new(&m->params));
    bdpo_blip_params(m->params, &m->config);
    TRY(bdpo_param_list_check(m->params));
    TRY(bdpo_store_new(&m->store, engine));
    TRY(bdpo_component_declare(m->component, m->params, m->store, &(bdpo_load_options){0}));
    TRY(bdpo_store_seal(m->store));
    return bdpo_component_fill(m->component, m->params, m->store);
}

static bdpo_status open_tokenizer(image_reward *m, const char *path)
{
    TRY(bdpo_wordpiece_open(&m->tokenizer, path, &bdpo_wordpiece_of_blip));
    int n = bdpo_wordpiece_get_info(m->tokenizer).n_ids;
    if (n == m->config.text.vocabulary) return BDPO_OK;
    return bdpo_fail(BDPO_BAD_FILE, "%s: has %d tokens with [DEC] and [ENC], expected the %d of %s",
                     path, n, m->config.text.vocabulary, bdpo_tensor_file_path(m->file));
}

static bdpo_status plan_vision(image_reward *m, bdpo_engine *engine)
{
    const bdpo_vit_config *v = &m->config.vision;
    TRY(bdpo_graph_new(&m->vision_graph, m->store));
    bdpo_graph *g = m->vision_graph;
    bdpo_shape shape = BDPO_SHAPE(1, v->image_size, v->image_size, v->channels);
    bdpo_node *pixels = bdpo_input(g, "pixels", BDPO_F32, shape);
    bdpo_output(g, "rows", bdpo_blip_vision(&(bdpo_builder){.graph = g}, &m->config, pixels));
    TRY(bdpo_graph_check(g));
    return bdpo_plan_new(&m->vision, engine, g, &(bdpo_plan_options){0});
}

static bdpo_status plan_reward(image_reward *m, bdpo_engine *engine)
{
    TRY(bdpo_graph_new(&m->reward_graph, m->store));
    bdpo_graph *g = m->reward_graph;
    int64_t n_rows = bdpo_vit_rows(&m->config.vision);
    bdpo_node *rows =
        bdpo_input(g, "rows", BDPO_F32, BDPO_SHAPE(PAIRS, n_rows, m->config.vision.width));
    bdpo_node *ids = bdpo_input(g, "ids", BDPO_I32, BDPO_SHAPE(PAIRS, TOKENS));
    bdpo_node *lengths = bdpo_input(g, "lengths", BDPO_I32, BDPO_SHAPE(PAIRS));
    bdpo_output(g, "reward",
                bdpo_blip_reward(&(bdpo_builder){.graph = g}, &m->config, rows, ids, lengths));
    TRY(bdpo_graph_check(g));
    return bdpo_plan_new(&m->reward, engine, g, &(bdpo_plan_options){0});
}

static bdpo_status make_room(image_reward *m)
{
    const bdpo_vit_config *v = &m->config.vision;
    m->n_pixels = (size_t)v->image_size * (size_t)v->image_size * (size_t)v->channels;
    m->n_rows = (size_t)bdpo_vit_rows(v) * (size_t)v->width;
    m->rows = bdpo_alloc(PAIRS * m->n_rows, sizeof *m->rows);
    return m->rows ? BDPO_OK : bdpo_fail(BDPO_NO_MEMORY, "no memory for ImageReward's pictures");
}

// What else changes the numbers.
static bdpo_status describe(const image_reward *m, json_t *settings)
{
    int failed =
        json_object_set_new(settings, "pipeline", json_string("wordpiece-slow")) |
        json_object_set_new(settings, "tokens", json_integer(TOKENS)) |
        json_object_set_new(settings, "vision_heads", json_integer(m->config.vision.heads)) |
        json_object_set_new(settings, "text_heads", json_integer(m->config.text.heads));
    return failed ? bdpo_fail(BDPO_NO_MEMORY, "no memory for a scorer's settings") : BDPO_OK;
}

static bdpo_status run_images(bdpo_feature_pass *pass, void *const *features,
                              const float *const *pixels, int n);
static bdpo_status run_text(bdpo_feature_pass *pass, void *features, const char *text, size_t size);
static void rest_images(bdpo_feature_pass *pass);

static bdpo_status set_passes(image_reward *m, bdpo_scorer *scorer)
{
    m->images.n_bytes = m->n_rows * sizeof(float);
    m->images.run_images = run_images;
    m->images.rest = rest_images;
    m->texts.n_bytes = sizeof(prompt_ids);
    m->texts.run_text = run_text;
    scorer->image_pass = &m->images;
    scorer->text_pass = &m->texts;
    scorer->info.reads_prompt = true;
    return bdpo_scorer_preprocess(&m->images.preprocess, scorer, BDPO_PREPROCESS_TORCHVISION,
                                  m->config.vision.image_size);
}

static bdpo_status open_scorer(bdpo_scorer *scorer)
{
    char folder[BDPO_PATH_BYTES];
    const char *vocabulary;
    image_reward *m = scorer->state = bdpo_alloc(1, sizeof *m);
    if (!m) return bdpo_fail(BDPO_NO_MEMORY, "no memory for ImageReward");
    TRY(find_checkpoint(&scorer->info.checkpoint, scorer));
    TRY(folder_of(folder, scorer->info.checkpoint));
    TRY(find_vocabulary(&vocabulary, scorer, folder));
    TRY(bdpo_tensor_file_open(&m->file, scorer->info.checkpoint));
    TRY(read_sizes(m, scorer, folder));
    TRY(load_weights(m, scorer->engine));
    TRY(open_tokenizer(m, vocabulary));
    TRY(make_room(m));
    TRY(plan_vision(m, scorer->engine));
    TRY(plan_reward(m, scorer->engine));
    TRY(set_passes(m, scorer));
    TRY(bdpo_shared_sha256(&scorer->info.sha256, scorer->shared, scorer->info.checkpoint));
    return describe(m, scorer->settings);
}

static void close_scorer(bdpo_scorer *scorer)
{
    image_reward *m = scorer->state;
    if (!m) return;
    bdpo_plan_free(m->vision);
    bdpo_plan_free(m->reward);
    bdpo_graph_free(m->vision_graph);
    bdpo_graph_free(m->reward_graph);
    bdpo_store_free(m->store);
    bdpo_param_list_free(m->params);
    bdpo_component_free(m->component);
    bdpo_tensor_file_close(m->file);
    bdpo_json_free(m->med_config);
    bdpo_wordpiece_free(m->tokenizer);
    bdpo_free(m->rows);
    bdpo_free(m);
}

// ---- features ----------------------------------------------------------------------------------

static bdpo_status run_images(bdpo_feature_pass *pass, void *const *features,
                              const float *const *pixels, int n)
{
    image_reward *m = (image_reward *)pass;
    for (int i = 0; i < n; i++) {
        TRY(bdpo_plan_write(m->vision, "pixels", pixels[i], m->n_pixels * sizeof(float)));
        TRY(bdpo_plan_run(m->vision));
        TRY(bdpo_plan_read(m->vision, "rows", features[i], m->n_rows * sizeof(float)));
    }
    return BDPO_OK;
}

static void rest_images(bdpo_feature_pass *pass)
{
    bdpo_store_rest(((image_reward *)pass)->store);
}

static bdpo_status run_text(bdpo_feature_pass *pass, void *features, const char *text, size_t size)
{
    image_reward *m = (image_reward *)((char *)pass - offsetof(image_reward, texts));
    prompt_ids *prompt = features;
    size_t n_cut;
    return bdpo_wordpiece_encode(m->tokenizer, prompt->ids, TOKENS, &prompt->length, &n_cut, text,
                                 size);
}

// ---- scores ------------------------------------------------------------------------------------

// A pair that is not there is a text of one token on a picture of zeros.
static bdpo_status write_pairs(image_reward *m, const bdpo_score_case *cases, int n)
{
    memset(m->ids, 0, sizeof m->ids);
    memset(m->rows, 0, PAIRS * m->n_rows * sizeof(float));
    for (int i = 0; i < PAIRS; i++) m->lengths[i] = 1;
    for (int i = 0; i < n; i++) {
        const prompt_ids *prompt = cases[i].text;
        memcpy(m->ids[i], prompt->ids, sizeof m->ids[i]);
        m->lengths[i] = prompt->length;
        memcpy(m->rows + (size_t)i * m->n_rows, cases[i].image, m->n_rows * sizeof(float));
    }
    TRY(bdpo_plan_write(m->reward, "rows", m->rows, PAIRS * m->n_rows * sizeof(float)));
    TRY(bdpo_plan_write(m->reward, "ids", m->ids, sizeof m->ids));
    return bdpo_plan_write(m->reward, "lengths", m->lengths, sizeof m->lengths);
}

static bdpo_status score_pairs(image_reward *m, const bdpo_score_case *cases, int n)
{
    float rewards[PAIRS];
    TRY(write_pairs(m, cases, n));
    TRY(bdpo_plan_run(m->reward));
    TRY(bdpo_plan_read(m->reward, "reward", rewards, sizeof rewards));
    for (int i = 0; i < n; i++) {
        // In f32, as the package does.
        float reward = (rewards[i] - (float)reward_mean) / (float)reward_deviation;
        *cases[i].score = isfinite(reward) ? (double)reward : (double)NAN;
        if (!isfinite(reward)) *cases[i].reason = "the reward is not a finite number";
    }
    return BDPO_OK;
}

static bdpo_status score(bdpo_scorer *scorer, const bdpo_score_case *cases, int n)
{
    image_reward *m = scorer->state;
    for (int i = 0; i < n; i += PAIRS)
        TRY(score_pairs(m, cases + i, n - i < PAIRS ? n - i : PAIRS));
    bdpo_store_rest(m->store); // other scorers come now
    return BDPO_OK;
}

static const char *const fields[] = {"preprocess", "vision_heads", "text_heads", NULL};

const bdpo_scorer_family bdpo_family_image_reward = {
    .name = "image-reward",
    .open = open_scorer,
    .score = score,
    .close = close_scorer,
    .fields = fields,
};

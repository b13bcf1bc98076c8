// score = max(scale * cos(image embedding, text embedding), minimum)
//
// Embeddings are f32; the cosine is summed in f64 and rounded once. A zero vector has no direction
// and so no score.
#include <math.h>
#include <string.h>

#include "scorers/clip_passes.h"
#include "scorers/scorer_families.h"

typedef struct clip_state {
    size_t dim;
    double scale, minimum; // minimum: -infinity where there is none
} clip_state;

// ---- configuration -----------------------------------------------------------------------------

// "cosine", "logit-scale" or a number.
static bdpo_status read_scale(clip_state *state, bdpo_scorer *s,
                              const bdpo_clip_checkpoint_info *info)
{
    static const char *const words[] = {"cosine", "logit-scale"};
    const json_t *value = json_object_get(s->config.value, "scale");
    int word = 0;
    if (json_is_number(value)) {
        state->scale = json_number_value(value);
        json_object_set_new(s->settings, "scale", json_real(state->scale));
    } else {
        if (bdpo_json_word_or(&word, &s->config, "scale", 0, words, 2) != BDPO_OK)
            return bdpo_fail(BDPO_BAD_FILE, "%s, or a number", bdpo_message());
        state->scale = word == 1 ? exp(info->logit_scale) : 1;
        json_object_set_new(s->settings, "scale", json_string(words[word]));
    }
    if (isfinite(state->scale) && state->scale > 0) return BDPO_OK;
    return bdpo_fail(BDPO_BAD_FILE, "%s: scale is %g, expected a positive number", s->config.file,
                     state->scale);
}

static bdpo_status read_minimum(clip_state *state, bdpo_scorer *s)
{
    state->minimum = -INFINITY;
    if (!bdpo_json_has(&s->config, "minimum")) return BDPO_OK;
    TRY(bdpo_json_double(&state->minimum, &s->config, "minimum", -1e6, 1e6));
    json_object_set_new(s->settings, "minimum", json_real(state->minimum));
    return BDPO_OK;
}

static bdpo_status read_text_pass(bdpo_scorer *s, bdpo_clip_model *model)
{
    const char *word, *prefix;
    bdpo_clip_pipeline pipeline;
    TRY(bdpo_json_string_or(&word, &s->config, "pipeline", "open-clip"));
    TRY(bdpo_clip_pipeline_parse(&pipeline, word));
    TRY(bdpo_json_string_or(&prefix, &s->config, "prompt_prefix", ""));
    if (strlen(prefix) > 120)
        return bdpo_fail(BDPO_BAD_FILE, "%s: prompt_prefix is longer than 120 bytes",
                         s->config.file);
    json_object_set_new(s->settings, "pipeline", json_string(word));
    if (*prefix) json_object_set_new(s->settings, "prompt_prefix", json_string(prefix));
    return bdpo_clip_text_pass(&s->text_pass, s, model, pipeline, prefix);
}

static bdpo_status clip_open(bdpo_scorer *s)
{
    bdpo_clip_model *model;
    bdpo_preprocess preprocess;
    if (!s->checkpoint)
        return bdpo_fail(BDPO_NOT_FOUND, "no checkpoint is given: expected the path of a CLIP "
                                         "model");
    clip_state *state = bdpo_arena_alloc(s->arena, 1, sizeof *state);
    if (!state) return bdpo_fail(BDPO_NO_MEMORY, "no memory for a scorer");
    s->state = state;
    TRY(bdpo_clip_model_share(&model, &s->info.sha256, s, s->checkpoint));
    const bdpo_clip_checkpoint_info *info = bdpo_clip_model_info(model);
    s->info.checkpoint = s->checkpoint;
    s->info.reads_prompt = true;
    state->dim = (size_t)info->vision.projection_dim;
    TRY(read_scale(state, s, info));
    TRY(read_minimum(state, s));
    TRY(bdpo_scorer_preprocess(&preprocess, s, BDPO_PREPROCESS_TORCHVISION,
                               info->vision.image_size));
    TRY(bdpo_clip_image_pass(&s->image_pass, s, model, &preprocess));
    return read_text_pass(s, model);
}

// ---- scores ------------------------------------------------------------------------------------

static double cosine(const float *a, const float *b, size_t n)
{
    double dot = 0, aa = 0, bb = 0;
    for (size_t i = 0; i < n; i++) {
        double x = (double)a[i], y = (double)b[i];
        dot += x * y;
        aa += x * x;
        bb += y * y;
    }
    return dot / sqrt(aa * bb);
}

static bdpo_status clip_score(bdpo_scorer *s, const bdpo_score_case *cases, int n)
{
    const clip_state *state = s->state;
    for (int i = 0; i < n; i++) {
        double score = state->scale * cosine(cases[i].image, cases[i].text, state->dim);
        *cases[i].score = score < state->minimum ? state->minimum : score; // a NaN stays one
    }
    return BDPO_OK;
}

static const char *const fields[] = {
    BDPO_CLIP_MODEL_FIELDS, "pipeline", "prompt_prefix", "preprocess", "scale", "minimum", NULL};

const bdpo_scorer_family bdpo_family_clip = {
    .name = "clip", .open = clip_open, .score = clip_score, .fields = fields};

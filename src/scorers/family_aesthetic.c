// LAION's aesthetic predictor v2: score = head(e / |e|), e a CLIP's image embedding.
//
// The head is five linear layers without activations between, d -> 1024 -> 128 -> 64 -> 16 -> 1
// (d = 768 of the published one), so it is one affine function, w . x + b. It is multiplied out
// once, in f64, and agrees with the layers in f32 to their rounding, about 1e-6.
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "scorers/clip_passes.h"
#include "scorers/scorer_families.h"

enum { LAYERS = 5, MAX_DIM = 1 << 14 };

static const int numbers[LAYERS] = {0, 2, 4, 6, 7}; // between are dropouts
static const int64_t outs[LAYERS] = {1024, 128, 64, 16, 1};

typedef struct aesthetic_state {
    size_t dim;
    double *w, b;
} aesthetic_state;

// ---- the head ----------------------------------------------------------------------------------

static bdpo_status get(const bdpo_stored_tensor **out, const bdpo_tensor_file *file, int layer,
                       const char *part, const int64_t *dim, int n_dims)
{
    char name[32];
    snprintf(name, sizeof name, "layers.%d.%s", numbers[layer], part);
    TRY(bdpo_tensor_file_get(out, file, name));
    return bdpo_stored_tensor_check_shape(*out, dim, n_dims);
}

// From the last layer back: w becomes w W, b becomes b + w . bias. w holds `out` numbers before and
// `in` after.
static bdpo_status multiply_layer(aesthetic_state *s, const bdpo_tensor_file *file, int layer,
                                  double *next, float *values)
{
    const bdpo_stored_tensor *weight, *bias;
    int64_t out = outs[layer], in = layer ? outs[layer - 1] : (int64_t)s->dim;
    TRY(get(&weight, file, layer, "weight", (int64_t[]){out, in}, 2));
    TRY(get(&bias, file, layer, "bias", &out, 1));
    TRY(bdpo_stored_tensor_read_f32(bias, values, (size_t)out));
    for (int64_t i = 0; i < out; i++) s->b += s->w[i] * (double)values[i];
    TRY(bdpo_stored_tensor_read_f32(weight, values, (size_t)(out * in)));
    memset(next, 0, (size_t)in * sizeof *next);
    for (int64_t i = 0; i < out; i++)
        for (int64_t j = 0; j < in; j++) next[j] += s->w[i] * (double)values[i * in + j];
    memcpy(s->w, next, (size_t)in * sizeof *next);
    return BDPO_OK;
}

static bdpo_status multiply_out(aesthetic_state *s, const bdpo_tensor_file *file, bdpo_arena *arena)
{
    size_t most = s->dim > 1024 ? s->dim : 1024;
    if (bdpo_tensor_file_count(file) != 2 * LAYERS)
        return bdpo_fail(BDPO_BAD_FILE,
                         "%s: holds %zu tensors, expected the %d of LAION's linear head: "
                         "layers.{0,2,4,6,7}.{weight,bias}",
                         bdpo_tensor_file_path(file), bdpo_tensor_file_count(file), 2 * LAYERS);
    s->w = bdpo_arena_alloc(arena, most, sizeof *s->w);
    double *next = bdpo_alloc(most, sizeof *next);
    float *values = bdpo_alloc(s->dim * 1024 + 1024 * 128, sizeof *values);
    bdpo_status status = s->w && next && values
                             ? BDPO_OK
                             : bdpo_fail(BDPO_NO_MEMORY, "no memory for a scorer's head");
    if (status == BDPO_OK) s->w[0] = 1;
    for (int layer = LAYERS - 1; layer >= 0 && status == BDPO_OK; layer--)
        status = multiply_layer(s, file, layer, next, values);
    bdpo_free(next);
    bdpo_free(values);
    return status;
}

static bdpo_status read_head(aesthetic_state *s, const char *path, bdpo_arena *arena)
{
    bdpo_tensor_file *file;
    TRY(bdpo_tensor_file_open(&file, path));
    bdpo_status status = multiply_out(s, file, arena);
    bdpo_tensor_file_close(file);
    return status;
}

// ---- the scorer --------------------------------------------------------------------------------

static bdpo_status aesthetic_open(bdpo_scorer *s)
{
    bdpo_clip_model *model;
    bdpo_preprocess preprocess;
    const char *backbone_sha256;
    if (!s->checkpoint || !s->backbone)
        return bdpo_fail(BDPO_NOT_FOUND, "no %s is given: expected %s",
                         s->checkpoint ? "backbone" : "checkpoint",
                         s->checkpoint ? "the path of OpenAI's CLIP ViT-L-14"
                                       : "the path of sac+logos+ava1-l14-linearMSE.pth");
    aesthetic_state *state = bdpo_arena_alloc(s->arena, 1, sizeof *state);
    if (!state) return bdpo_fail(BDPO_NO_MEMORY, "no memory for a scorer");
    s->state = state;
    TRY(bdpo_clip_model_share(&model, &backbone_sha256, s, s->backbone));
    const bdpo_clip_checkpoint_info *info = bdpo_clip_model_info(model);
    state->dim = (size_t)info->vision.projection_dim;
    if (state->dim > MAX_DIM)
        return bdpo_fail(BDPO_UNSUPPORTED, "%s: embeddings of %zu numbers", info->weights,
                         state->dim);
    TRY(read_head(state, s->checkpoint, s->arena));
    TRY(bdpo_shared_sha256(&s->info.sha256, s->shared, s->checkpoint));
    s->info.checkpoint = s->checkpoint;
    json_object_set_new(s->settings, "backbone_sha256", json_string(backbone_sha256));
    TRY(bdpo_scorer_preprocess(&preprocess, s, BDPO_PREPROCESS_CLIP_IMAGE_PROCESSOR,
                               info->vision.image_size));
    return bdpo_clip_image_pass(&s->image_pass, s, model, &preprocess);
}

// A zero vector stays one, as in the package.
static double head_of(const aesthetic_state *s, const float *embedding)
{
    double dot = 0, square = 0;
    for (size_t i = 0; i < s->dim; i++) {
        double x = (double)embedding[i];
        dot += s->w[i] * x;
        square += x * x;
    }
    return (square != 0 ? dot / sqrt(square) : 0) + s->b;
}

static bdpo_status aesthetic_score(bdpo_scorer *s, const bdpo_score_case *cases, int n)
{
    for (int i = 0; i < n; i++) *cases[i].score = head_of(s->state, cases[i].image);
    return BDPO_OK;
}

static const char *const fields[] = {BDPO_CLIP_MODEL_FIELDS, "preprocess", NULL};

const bdpo_scorer_family bdpo_family_aesthetic = {
    .name = "aesthetic", .open = aesthetic_open, .score = aesthetic_score, .fields = fields};

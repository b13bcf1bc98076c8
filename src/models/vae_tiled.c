// Tiles in rows from top left to bottom right. A tile is first blended with the bottom of the one
// above it, then with the right of the one on its left, both as they are after their own blending;
// then all of it that no later tile owns is copied out. So what must be kept is the bottom of a row
// of tiles and the right side of one.
#include "models/vae_tiled.h"

#include <string.h>

#include "base/memory.h"
#include "tensor/tensor.h"

// A picture or a strip of one, dense rows of pixels.
typedef struct area {
    float *at;
    int64_t height, width;
} area;

typedef struct tiling {
    bdpo_engine *engine;
    bdpo_store *store;
    const bdpo_vae_config *config;
    int64_t factor, channels; // pixels for each latent; of the picture
    int64_t tile, step;       // in latents
    int64_t blend;            // in pixels: how much of two neighbours is mixed
    int64_t rows, columns;    // latents of the whole
    int64_t n_across;         // tiles of a row
    float *latents;           // of the tile at hand
    area here, left, *above;  // the tile; kept strips, `above` for each column of tiles
} tiling;

// ---- sizes -------------------------------------------------------------------------------------

static bdpo_status choose_sizes(tiling *t, const bdpo_shape *shape)
{
    const bdpo_vae_config *config = t->config;
    t->factor = bdpo_vae_factor(config);
    t->channels = config->out_channels;
    t->rows = shape->dim[1];
    t->columns = shape->dim[2];
    t->tile = config->sample_size / t->factor;
    t->step = t->tile - t->tile / 4;
    t->blend = config->sample_size / 4;
    if (t->rows <= t->tile && t->columns <= t->tile) { // one tile: the whole
        t->tile = t->rows > t->columns ? t->rows : t->columns;
        t->step = t->tile;
    } else if (t->tile % 4 != 0 || t->tile * t->factor != config->sample_size) {
        return bdpo_fail(BDPO_BAD_ARGUMENT,
                         "vae: sample_size is %d, expected a multiple of %lld to decode by tiles",
                         config->sample_size, (long long)(4 * t->factor));
    }
    t->n_across = (t->columns + t->step - 1) / t->step;
    return BDPO_OK;
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

// ---- memory ------------------------------------------------------------------------------------

static bool new_area(area *out, int64_t height, int64_t width, int64_t channels)
{
    size_t count;
    *out = (area){.height = height, .width = width};
    if (!bdpo_size_mul(&count, (size_t)height, (size_t)width)) return false;
    out->at = bdpo_alloc(count, (size_t)channels * sizeof *out->at);
    return out->at != NULL;
}

static bool new_strips(tiling *t)
{
    int64_t side = t->tile * t->factor;
    t->above = bdpo_alloc((size_t)t->n_across, sizeof *t->above);
    if (!t->above) return false;
    for (int64_t i = 0; i < t->n_across; i++)
        if (!new_area(&t->above[i], t->blend, side, t->channels)) return false;
    return new_area(&t->left, side, t->blend, t->channels) &&
           new_area(&t->here, side, side, t->channels);
}

static bdpo_status allocate(tiling *t)
{
    size_t latents = (size_t)t->config->latent_channels * sizeof *t->latents;
    if (!new_strips(t) || !(t->latents = bdpo_alloc((size_t)(t->tile * t->tile), latents)))
        return bdpo_fail(BDPO_NO_MEMORY, "vae: no memory for tiles of %lld x %lld latents",
                         (long long)t->tile, (long long)t->tile);
    return BDPO_OK;
}

static void release(tiling *t)
{
    for (int64_t i = 0; t->above && i < t->n_across; i++) bdpo_free(t->above[i].at);
    bdpo_free(t->above);
    bdpo_free(t->left.at);
    bdpo_free(t->here.at);
    bdpo_free(t->latents);
}

// ---- one tile ----------------------------------------------------------------------------------

static void build(bdpo_graph *graph, const bdpo_plan_key *key, const void *model)
{
    bdpo_builder b = {.graph = graph};
    bdpo_node *z = bdpo_input(graph, "z", BDPO_F32, key->shape);
    bdpo_output(graph, "image", bdpo_vae_decode(&b, model, z));
}

// Cuts height x width latents at (top, left) out of one picture's and decodes them into t->here.
static bdpo_status decode(tiling *t, const float *z, int64_t top, int64_t left, int64_t height,
                          int64_t width)
{
    int64_t c = t->config->latent_channels;
    size_t row_bytes = (size_t)(width * c) * sizeof *z;
    for (int64_t i = 0; i < height; i++)
        memcpy(t->latents + i * width * c, z + ((top + i) * t->columns + left) * c, row_bytes);
    t->here.height = height * t->factor;
    t->here.width = width * t->factor;
    bdpo_plan *plan;
    bdpo_plan_key key = {.graph = "vae decode", .shape = BDPO_SHAPE(1, height, width, c)};
    TRY(bdpo_engine_plan(&plan, t->engine, t->store, &key, build, t->config));
    TRY(bdpo_plan_write(plan, "z", t->latents, (size_t)height * row_bytes));
    TRY(bdpo_plan_run(plan));
    size_t pixels = (size_t)(t->here.height * t->here.width);
    return bdpo_plan_read(plan, "image", t->here.at,
                          pixels * (size_t)t->channels * sizeof *t->here.at);
}

// ---- blending ----------------------------------------------------------------------------------

static void mix(float *to, const float *from, int64_t count, float share)
{
    for (int64_t i = 0; i < count; i++) to[i] = from[i] * (1 - share) + to[i] * share;
}

// The last rows of `above` fade into the first of `here`.
static void blend_down(const area *above, area *here, int64_t channels, int64_t blend)
{
    int64_t extent = least(least(above->height, here->height), blend);
    int64_t count = here->width * channels;
    for (int64_t y = 0; y < extent; y++)
        mix(here->at + y * count,
            above->at + (above->height - extent + y) * above->width * channels, count,
            (float)((double)y / (double)extent));
}

static void blend_right(const area *left, area *here, int64_t channels, int64_t blend)
{
    int64_t extent = least(least(left->width, here->width), blend);
    for (int64_t y = 0; y < here->height; y++)
        for (int64_t x = 0; x < extent; x++)
            mix(here->at + (y * here->width + x) * channels,
                left->at + (y * left->width + left->width - extent + x) * channels, channels,
                (float)((double)x / (double)extent));
}

// Keeps the bottom and the right side for the tile's neighbours.
static void keep_strips(const area *here, area *above, area *left, int64_t channels, int64_t blend)
{
    above->height = least(here->height, blend);
    above->width = here->width;
    left->height = here->height;
    left->width = least(here->width, blend);
    size_t row_bytes = (size_t)(here->width * channels) * sizeof *here->at;
    size_t end_bytes = (size_t)(left->width * channels) * sizeof *here->at;
    memcpy(above->at, here->at + (here->height - above->height) * here->width * channels,
           (size_t)above->height * row_bytes);
    for (int64_t y = 0; y < here->height; y++)
        memcpy(left->at + y * left->width * channels,
               here->at + ((y + 1) * here->width - left->width) * channels, end_bytes);
}

// Copies what is the tile's own: up to where the next one begins.
static void copy_out(const tiling *t, float *image, int64_t top, int64_t left)
{
    int64_t limit = t->step * t->factor, c = t->channels;
    int64_t height = least(t->here.height, limit), width = least(t->here.width, limit);
    float *to = image + (top * t->columns * t->factor + left) * t->factor * c;
    for (int64_t y = 0; y < height; y++)
        memcpy(to + y * t->columns * t->factor * c, t->here.at + y * t->here.width * c,
               (size_t)(width * c) * sizeof *to);
}

// ---- all tiles ---------------------------------------------------------------------------------

static bdpo_status decode_picture(tiling *t, float *image, const float *z)
{
    for (int64_t top = 0; top < t->rows; top += t->step)
        for (int64_t left = 0; left < t->columns; left += t->step) {
            area *above = &t->above[left / t->step];
            TRY(decode(t, z, top, left, least(t->tile, t->rows - top),
                       least(t->tile, t->columns - left)));
            if (top > 0) blend_down(above, &t->here, t->channels, t->blend);
            if (left > 0) blend_right(&t->left, &t->here, t->channels, t->blend);
            keep_strips(&t->here, above, &t->left, t->channels, t->blend);
            copy_out(t, image, top, left);
        }
    return BDPO_OK;
}

bdpo_status bdpo_vae_decode_tiled(float *image, const float *z, const bdpo_shape *shape,
                                  bdpo_engine *engine, bdpo_store *store,
                                  const bdpo_vae_config *config)
{
    tiling t = {.engine = engine, .store = store, .config = config};
    if (shape->n_dims != 4 || shape->dim[3] != config->latent_channels)
        return bdpo_fail(BDPO_BAD_SHAPE, "vae: latents are %s, expected [n, h, w, %d]",
                         bdpo_shape_print(shape).text, config->latent_channels);
    TRY(bdpo_shape_check(shape, "latents"));
    TRY(choose_sizes(&t, shape));
    bdpo_status status = allocate(&t);
    int64_t in = shape->dim[1] * shape->dim[2] * shape->dim[3];
    int64_t out = shape->dim[1] * shape->dim[2] * t.factor * t.factor * t.channels;
    for (int64_t i = 0; i < shape->dim[0] && status == BDPO_OK; i++)
        status = decode_picture(&t, image + i * out, z + i * in);
    release(&t);
    return status;
}

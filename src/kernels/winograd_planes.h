// What the two halves of the Winograd convolution share: images cut into tiles, and transformed
// tiles
// ("planes"): for each of the 36 elements of a patch, a matrix of tiles by channels. Included by
// *_isa.c files only.
#ifndef BDPO_WINOGRAD_PLANES_H
#define BDPO_WINOGRAD_PLANES_H

#include "kernels/conv_method.h"
#include "kernels/conv_product.h"
#include "kernels/winograd_transform.h"

enum {
    WEIGHT_TAPS = WINO_TAPS * WINO_TAPS,
    TILE_AREA = WINO_TILE * WINO_TILE,
    PLANE_PAD = 16,    // floats: planes start in different sets of the caches
    WEIGHTS_AHEAD = 8, // rows of the weights between what is fetched and what is used
    PLANES_BYTES = WINO_PLANES * (int)sizeof(float) // of one channel of one tile
};

// Rows of channels of images in memory. Tile (i, j) of an image begins at pixel
// (4 i - top, 4 j - left).
typedef struct image {
    const float *data;
    int64_t ld, h, w;
    int top, left;
} image;

// n images of rows x columns tiles of 4x4 outputs.
typedef struct tiling {
    int64_t rows, columns, count;
} tiling;

static inline tiling tiles_of(int64_t n, int64_t h, int64_t w)
{
    int64_t rows = conv_div_up(h, WINO_TILE), columns = conv_div_up(w, WINO_TILE);
    return (tiling){.rows = rows, .columns = columns, .count = n * rows * columns};
}

// All planes of one vector of channels, to or from the caches. Two loops, because compilers unroll
// up to 32 rounds of one.
BDPO_INLINE void store_planes(float *to, int64_t plane, const vf x[WINO_PLANES])
{
    BDPO_UNROLL
    for (int i = 0; i < WINO_PATCH; i++) {
        BDPO_UNROLL
        for (int j = 0; j < WINO_PATCH; j++) {
            vf_store(to + (i * WINO_PATCH + j) * plane, x[i * WINO_PATCH + j]);
        }
    }
}

BDPO_INLINE void load_planes(vf x[WINO_PLANES], const float *from, int64_t plane)
{
    BDPO_UNROLL
    for (int i = 0; i < WINO_PATCH; i++) {
        BDPO_UNROLL
        for (int j = 0; j < WINO_PATCH; j++) {
            x[i * WINO_PATCH + j] = vf_load(from + (i * WINO_PATCH + j) * plane);
        }
    }
}

// Pointers to the size x size pixels of a tile, row-major; to `outside` where there is no pixel.
static inline void patch_pointers(const float **pixel, int size, const image *im,
                                  const tiling *tiles, int64_t tile, const float *outside)
{
    int64_t y0 = tile / tiles->columns % tiles->rows * WINO_TILE - im->top;
    int64_t x0 = tile % tiles->columns * WINO_TILE - im->left;
    int64_t first_row = tile / (tiles->columns * tiles->rows) * im->h;
    for (int i = 0; i < size; i++) {
        bool row_inside = y0 + i >= 0 && y0 + i < im->h;
        int64_t offset = ((first_row + y0 + i) * im->w + x0) * im->ld;
        for (int j = 0; j < size; j++) {
            bool inside = row_inside && x0 + j >= 0 && x0 + j < im->w;
            pixel[i * size + j] = inside ? im->data + offset + j * im->ld : outside;
        }
    }
}

// out[plane][lane] = B^T d B for one vector of channels.
BDPO_INLINE void input_vector(float *out, int64_t plane, const float *const *pixel, int64_t c,
                              int64_t lanes, int64_t next)
{
    vf d[WINO_PLANES], v[WINO_PLANES];
    BDPO_UNROLL
    for (int i = 0; i < WINO_PATCH; i++) {
        BDPO_UNROLL
        for (int j = 0; j < WINO_PATCH; j++) {
            const float *from = pixel[i * WINO_PATCH + j] + c;
            if (j >= WINO_PATCH - WINO_TILE) __builtin_prefetch(from + next);
            d[i * WINO_PATCH + j] = conv_load(from, lanes);
        }
    }
    wino_input_2d(v, d);
    store_planes(out, plane, v);
}

// out[plane][lane] = A e A^T for one vector of channels.
BDPO_INLINE void cotangent_vector(float *out, int64_t plane, const float *const *pixel, int64_t c,
                                  int64_t lanes, int64_t next)
{
    vf e[TILE_AREA], v[WINO_PLANES];
    BDPO_UNROLL
    for (int i = 0; i < TILE_AREA; i++) {
        __builtin_prefetch(pixel[i] + c + next);
        e[i] = conv_load(pixel[i] + c, lanes);
    }
    wino_cotangent_2d(v, e);
    store_planes(out, plane, v);
}

// Transformed tiles: [block of channels][plane][tile][channel of the block]. Channels behind the
// last are zero.
typedef struct planes {
    float *data;
    int64_t channels, block, n_blocks;
    int64_t plane; // floats from plane to plane
} planes;

static inline planes planes_of(int64_t channels, int64_t block, int64_t tiles)
{
    return (planes){.channels = channels,
                    .block = block,
                    .n_blocks = conv_div_up(channels, block),
                    .plane = tiles * block + PLANE_PAD};
}

static inline float *planes_at(const planes *p, int64_t block, int64_t plane, int64_t tile)
{
    return p->data + (block * WINO_PLANES + plane) * p->plane + tile * p->block;
}

static inline size_t planes_floats(const planes *p)
{
    return (size_t)(p->n_blocks * WINO_PLANES * p->plane);
}

static inline int64_t block_channels(const planes *p, int64_t block)
{
    return conv_min(p->block, p->channels - block * p->block);
}

static inline void clear_lanes(float *out, int64_t plane, int64_t count)
{
    for (int i = 0; i < WINO_PLANES; i++) {
        for (int64_t j = 0; j < count; j += VF_LANES) vf_store(out + i * plane + j, vf_zero());
    }
}

// Transforms the team's share of the tiles first .. first + count. Both kinds of patch: of the
// input (6x6) and of the output's gradient (4x4).
static inline void fill_planes(const planes *to, const image *im, const tiling *tiles,
                               int64_t first, int64_t count, int size, const float *outside,
                               conv_team team)
{
    const float *pixel[WINO_PLANES];
    const int64_t next = WINO_TILE * im->ld;
    int64_t end = conv_share(to->n_blocks * count, team.rank + 1, team.size);
    for (int64_t i = conv_share(to->n_blocks * count, team.rank, team.size); i < end; i++) {
        int64_t tile = i / to->n_blocks, block = i % to->n_blocks, c = block * to->block;
        int64_t channels = block_channels(to, block), lane = 0;
        float *out = planes_at(to, block, 0, tile);
        patch_pointers(pixel, size, im, tiles, first + tile, outside);
        if (size == WINO_PATCH) {
            for (; lane + VF_LANES <= channels; lane += VF_LANES) {
                input_vector(out + lane, to->plane, pixel, c + lane, VF_LANES, next);
            }
            if (lane < channels) {
                input_vector(out + lane, to->plane, pixel, c + lane, channels - lane, next);
            }
        } else {
            for (; lane + VF_LANES <= channels; lane += VF_LANES) {
                cotangent_vector(out + lane, to->plane, pixel, c + lane, VF_LANES, next);
            }
            if (lane < channels) {
                cotangent_vector(out + lane, to->plane, pixel, c + lane, channels - lane, next);
            }
        }
        lane = conv_round_up(channels, VF_LANES);
        clear_lanes(out + lane, to->plane, to->block - lane);
    }
}

static inline void meet(conv_team team)
{
    if (team.size > 1) {
#pragma omp barrier
    }
}

#endif

// Winograd convolution F(4x4, 3x3): 36 small products in place of 16 x 9 multiplications a tile,
// 4 times fewer. The maps and the notation are in winograd_transform.h.
//
// What keeps it fast is that nothing transformed goes to memory. Tiles are taken in chunks whose
// transformed patches V fit in the last-level cache; for each panel of output channels the weights
// are transformed block by block into U, multiplied and the products M mapped back while both lie
// in the second-level cache. So each weight is transformed once a chunk, and the workspace is
// bounded whatever the layer's width.
#include "kernels/conv_method.h"
#include "kernels/conv_product.h"
#include "kernels/winograd_transform.h"

#include <omp.h>

#include "base/memory.h"

enum {
    WEIGHT_TAPS = WINO_TAPS * WINO_TAPS,
    TILE_AREA = WINO_TILE * WINO_TILE,
    PLANE_PAD = 16,               // floats: planes start in different sets of the caches
    K_BLOCK = 128,                // channels summed between two visits of M
    CHUNK_TILES = 128,            // enough to make the transform of the weights cheap
    SHARED_BYTES = 12 << 20,      // V, or V and the cotangent together twice this
    OWN_TILES = 64,               // a thread with fewer tiles than this had better share V
    OWN_BYTES = 1 << 20,          // V of a thread that works alone
    M_BYTES = CONV_COLUMNS << 12, // M where the sum needs only one block of channels
    COTANGENT_BLOCK = 48,         // channels of dy side by side in a cotangent plane
    WEIGHT_GRAD_TILES = 256,
    WEIGHTS_AHEAD = 8 // rows of the weights between what is fetched and what is used
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

static tiling tiles_of(int64_t n, int64_t h, int64_t w)
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
static void patch_pointers(const float **pixel, int size, const image *im, const tiling *tiles,
                           int64_t tile, const float *outside)
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

static planes planes_of(int64_t channels, int64_t block, int64_t tiles)
{
    return (planes){.channels = channels,
                    .block = block,
                    .n_blocks = conv_div_up(channels, block),
                    .plane = tiles * block + PLANE_PAD};
}

static float *planes_at(const planes *p, int64_t block, int64_t plane, int64_t tile)
{
    return p->data + (block * WINO_PLANES + plane) * p->plane + tile * p->block;
}

static size_t planes_floats(const planes *p)
{
    return (size_t)(p->n_blocks * WINO_PLANES * p->plane);
}

static int64_t block_channels(const planes *p, int64_t block)
{
    return conv_min(p->block, p->channels - block * p->block);
}

static void clear_lanes(float *out, int64_t plane, int64_t count)
{
    for (int i = 0; i < WINO_PLANES; i++) {
        for (int64_t j = 0; j < count; j += VF_LANES) vf_store(out + i * plane + j, vf_zero());
    }
}

// Transforms the team's share of the tiles first .. first + count. Both kinds of patch: of the
// input (6x6) and of the output's gradient (4x4).
static void fill_planes(const planes *to, const image *im, const tiling *tiles, int64_t first,
                        int64_t count, int size, const float *outside, conv_team team)
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

// ---- forward and input gradient: one convolution, [n, h, w, k] -> [n, oh, ow, m] --------------

// How the work is cut; a function of the shape and the number of threads.
typedef struct forward_plan {
    int64_t h, w, k;   // source
    int64_t oh, ow, m; // target
    int top, left;
    tiling tiles;
    planes v;
    bool alone;      // each thread runs chunks of its own tiles, else all share each chunk
    int64_t chunk;   // tiles of a chunk, at most
    int64_t parts;   // jobs into which the tiles of a chunk are cut, for each panel
    int64_t m_tiles; // tiles whose M is held at once
    int64_t u_plane, m_plane;
    size_t own_floats; // of each thread: zeros, U, M and, when alone, V
    size_t total_floats;
} forward_plan;

static forward_plan plan_shape(const bdpo_conv_shape *s, bdpo_conv_pass pass)
{
    if (pass == BDPO_CONV_FORWARD) {
        return (forward_plan){.h = s->h,
                              .w = s->w,
                              .k = s->ci,
                              .oh = s->oh,
                              .ow = s->ow,
                              .m = s->co,
                              .top = s->pad_top,
                              .left = s->pad_left};
    }
    // The gradient is the convolution of dy with the kernel turned by half a turn.
    return (forward_plan){.h = s->oh,
                          .w = s->ow,
                          .k = s->co,
                          .oh = s->h,
                          .ow = s->w,
                          .m = s->ci,
                          .top = WINO_TAPS - 1 - s->pad_top,
                          .left = WINO_TAPS - 1 - s->pad_left};
}

static forward_plan plan_forward(const bdpo_conv_shape *s, bdpo_conv_pass pass, int n_threads)
{
    forward_plan p = plan_shape(s, pass);
    p.tiles = tiles_of(s->n, p.oh, p.ow);
    int64_t block = conv_div_up(p.k, conv_div_up(p.k, K_BLOCK));
    block = conv_round_up(block, VF_LANES);
    int64_t bytes_a_tile = conv_round_up(p.k, block) * WINO_PLANES * (int64_t)sizeof(float);

    p.alone = p.tiles.count >= OWN_TILES * n_threads && OWN_BYTES / bytes_a_tile >= OWN_TILES / 2;
    int64_t tiles = p.alone ? conv_div_up(p.tiles.count, n_threads) : p.tiles.count;
    int64_t limit = (p.alone ? OWN_BYTES : SHARED_BYTES) / bytes_a_tile;
    limit = conv_max(CONV_ROWS, conv_min(limit, CHUNK_TILES));
    p.chunk = conv_div_up(tiles, conv_div_up(tiles, limit));
    p.v = planes_of(p.k, block, p.chunk);

    int64_t panels = conv_div_up(p.m, CONV_COLUMNS);
    p.parts = p.alone ? 1 : conv_parts(panels, conv_div_up(p.chunk, 2 * CONV_ROWS), n_threads);
    p.m_tiles = conv_div_up(p.chunk, p.parts);
    if (p.v.n_blocks == 1) {
        int64_t fit = M_BYTES / (WINO_PLANES * CONV_COLUMNS * (int64_t)sizeof(float));
        p.m_tiles = conv_min(p.m_tiles, fit);
    }
    p.u_plane = block * CONV_COLUMNS + PLANE_PAD;
    p.m_plane = p.m_tiles * CONV_COLUMNS + PLANE_PAD;
    p.own_floats = (size_t)(conv_round_up(p.k, 16) + WINO_PLANES * (p.u_plane + p.m_plane));
    if (p.alone) p.own_floats += planes_floats(&p.v);
    p.own_floats = bdpo_align(p.own_floats, 16);
    p.total_floats = p.own_floats * (size_t)n_threads + (p.alone ? 0 : planes_floats(&p.v));
    return p;
}

// A running pass, and what one of its threads owns.
typedef struct forward_run {
    const bdpo_conv_call *call;
    const forward_plan *plan;
    image source;
    planes v;
    float *zeros, *u, *m;
    conv_team team;
} forward_run;

// U[plane][k][lane] = G g G^T for k < count and the output channels m0 .., zero behind the last.
// The weights of FORWARD, [m][3][3][k], have to be transposed.
static void fill_weights_forward(const forward_run *r, int64_t m0, int vectors, int64_t k0,
                                 int64_t count)
{
    const int64_t row = WEIGHT_TAPS * r->plan->k, u_plane = r->plan->u_plane;
    const int64_t width = vectors * VF_LANES;
    vf g[WEIGHT_TAPS][VF_LANES], one[WEIGHT_TAPS], u[WINO_PLANES];
    for (int64_t j0 = 0; j0 < width; j0 += VF_LANES) {
        int64_t rows = conv_min(VF_LANES, r->plan->m - m0 - j0);
        for (int64_t k = 0; k < count; k += VF_LANES) {
            int64_t lanes = conv_min(VF_LANES, count - k);
            const float *w = r->call->other + (m0 + j0) * row + k0 + k;
            for (int t = 0; t < WEIGHT_TAPS; t++) {
                for (int j = 0; j < VF_LANES; j++) {
                    const float *from = w + j * row + t * r->plan->k;
                    __builtin_prefetch(from + VF_LANES);
                    g[t][j] = j < rows ? conv_load(from, lanes) : vf_zero();
                }
                conv_transpose(g[t]);
            }
            for (int64_t i = 0; i < lanes; i++) {
                BDPO_UNROLL
                for (int t = 0; t < WEIGHT_TAPS; t++) one[t] = g[t][i];
                wino_weight_2d(u, one);
                float *out = r->u + (k + i) * width + j0;
                store_planes(out, u_plane, u);
            }
        }
    }
}

// The same for INPUT_GRAD: the weights [k][3][3][m], taps in reverse.
static void fill_weights_backward(const forward_run *r, int64_t m0, int vectors, int64_t k0,
                                  int64_t count)
{
    const int64_t m = r->plan->m, u_plane = r->plan->u_plane;
    const int64_t width = vectors * VF_LANES;
    vf g[WEIGHT_TAPS], u[WINO_PLANES];
    for (int64_t k = 0; k < count; k++) {
        for (int64_t j = 0; j < width; j += VF_LANES) {
            const float *w = r->call->other + (k0 + k) * WEIGHT_TAPS * m + m0 + j;
            int64_t lanes = m - m0 - j;
            BDPO_UNROLL
            for (int t = 0; t < WEIGHT_TAPS; t++) {
                const float *from = w + (WEIGHT_TAPS - 1 - t) * m;
                __builtin_prefetch(from + WEIGHTS_AHEAD * WEIGHT_TAPS * m);
                g[t] = conv_load(from, lanes);
            }
            wino_weight_2d(u, g);
            float *out = r->u + k * width + j;
            store_planes(out, u_plane, u);
        }
    }
}

static void fill_weights(const forward_run *r, int64_t m0, int vectors, int64_t block)
{
    int64_t k0 = block * r->v.block, count = block_channels(&r->v, block);
    if (r->call->pass == BDPO_CONV_FORWARD) {
        fill_weights_forward(r, m0, vectors, k0, count);
    } else {
        fill_weights_backward(r, m0, vectors, k0, count);
    }
}

// M[plane] (+)= V[plane] U[plane] over one block of channels.
static void multiply(const forward_run *r, int64_t block, int64_t tile, int64_t count, int vectors)
{
    conv_product product = {.ldc = vectors * VF_LANES,
                            .lda = r->v.block,
                            .n_rows = count,
                            .n_k = block_channels(&r->v, block),
                            .vectors = vectors,
                            .add = block > 0};
    for (int64_t x = 0; x < WINO_PLANES; x++) {
        product.a = planes_at(&r->v, block, x, tile);
        product.b = r->u + x * r->plan->u_plane;
        product.c = r->m + x * r->plan->m_plane;
        product.next_a = product.a + r->v.plane;
        product.next_b = product.b + r->plan->u_plane;
        conv_product_rows(&product);
    }
}

// y = A^T M A + bias for one vector of channels of one tile; pixels outside are NULL.
BDPO_INLINE void output_vector(float *const *pixel, const float *m, int64_t plane, vf bias,
                               int64_t c, int64_t lanes)
{
    vf x[WINO_PLANES], y[TILE_AREA];
    load_planes(x, m, plane);
    wino_output_2d(y, x);
    for (int i = 0; i < TILE_AREA; i++) {
        if (pixel[i] != NULL) conv_store(pixel[i] + c, y[i] + bias, lanes);
    }
}

static void output_tile(const forward_run *r, int64_t tile, const float *m, int64_t m0, int vectors)
{
    const forward_plan *p = r->plan;
    float *pixel[TILE_AREA];
    int64_t y0 = tile / p->tiles.columns % p->tiles.rows * WINO_TILE;
    int64_t x0 = tile % p->tiles.columns * WINO_TILE;
    int64_t row = tile / (p->tiles.columns * p->tiles.rows) * p->oh + y0;
    for (int i = 0; i < TILE_AREA; i++) {
        int64_t dy = i / WINO_TILE, dx = i % WINO_TILE;
        bool inside = y0 + dy < p->oh && x0 + dx < p->ow;
        pixel[i] = inside ? r->call->out + ((row + dy) * p->ow + x0 + dx) * r->call->ld_out : NULL;
    }
    for (int64_t j = 0; j < vectors * VF_LANES && m0 + j < p->m; j += VF_LANES) {
        int64_t lanes = conv_min(VF_LANES, p->m - m0 - j);
        vf bias = r->call->bias != NULL ? conv_load(r->call->bias + m0 + j, lanes) : vf_zero();
        output_vector(pixel, m + j, p->m_plane, bias, m0 + j, lanes);
    }
}

// One panel of output channels for the tiles [begin, end) of the chunk that starts at `first`.
static void run_panel(const forward_run *r, int64_t panel, int64_t first, int64_t begin,
                      int64_t end)
{
    int64_t m0 = panel * CONV_COLUMNS;
    int vectors = r->plan->m - m0 > VF_LANES ? 2 : 1;
    bool one_block = r->v.n_blocks == 1;
    if (one_block) fill_weights(r, m0, vectors, 0);
    for (int64_t tile = begin; tile < end; tile += r->plan->m_tiles) {
        int64_t count = conv_min(r->plan->m_tiles, end - tile);
        for (int64_t block = 0; block < r->v.n_blocks; block++) {
            if (!one_block) fill_weights(r, m0, vectors, block);
            multiply(r, block, tile, count, vectors);
        }
        for (int64_t i = 0; i < count; i++) {
            output_tile(r, first + tile + i, r->m + i * vectors * VF_LANES, m0, vectors);
        }
    }
}

static void meet(conv_team team)
{
    if (team.size > 1) {
#pragma omp barrier
    }
}

// The tiles [begin, end), chunk by chunk.
static void run_chunks(const forward_run *r, int64_t begin, int64_t end)
{
    const forward_plan *p = r->plan;
    int64_t jobs = conv_div_up(p->m, CONV_COLUMNS) * p->parts;
    for (int64_t first = begin; first < end; first += p->chunk) {
        int64_t count = conv_min(p->chunk, end - first);
        fill_planes(&r->v, &r->source, &p->tiles, first, count, WINO_PATCH, r->zeros, r->team);
        meet(r->team);
        int64_t last = conv_share(jobs, r->team.rank + 1, r->team.size);
        for (int64_t job = conv_share(jobs, r->team.rank, r->team.size); job < last; job++) {
            int64_t part = job % p->parts;
            run_panel(r, job / p->parts, first, count * part / p->parts,
                      count * (part + 1) / p->parts);
        }
        meet(r->team);
    }
}

static void run_forward(const bdpo_conv_call *call)
{
    const forward_plan plan = plan_forward(&call->shape, call->pass, call->n_threads);
#pragma omp parallel num_threads(call->n_threads)
    {
        conv_team all = {.rank = omp_get_thread_num(), .size = omp_get_num_threads()};
        float *shared = call->workspace;
        float *own = shared + (plan.alone ? 0 : planes_floats(&plan.v));
        own += plan.own_floats * (size_t)all.rank;
        forward_run run = {.call = call, .plan = &plan, .v = plan.v, .zeros = own};
        run.source = (image){.data = call->in,
                             .ld = call->ld_in,
                             .h = plan.h,
                             .w = plan.w,
                             .top = plan.top,
                             .left = plan.left};
        run.u = own + conv_round_up(plan.k, 16);
        run.m = run.u + WINO_PLANES * plan.u_plane;
        run.v.data = plan.alone ? run.m + WINO_PLANES * plan.m_plane : shared;
        run.team = plan.alone ? (conv_team){0, 1} : all;
        memset(run.zeros, 0, (size_t)plan.k * sizeof(float));
        if (plan.alone) {
            run_chunks(&run, conv_share(plan.tiles.count, all.rank, all.size),
                       conv_share(plan.tiles.count, all.rank + 1, all.size));
        } else {
            run_chunks(&run, 0, plan.tiles.count);
        }
    }
}

// ---- weight gradient --------------------------------------------------------------------------

// dU[plane][co][ci] is summed over the tiles of a chunk and mapped back into dw at once, so that
// it never exists as a whole: chunks add to dw.
typedef struct weight_plan {
    tiling tiles;
    planes v, e; // of x, in panels of CONV_COLUMNS; of dy, in blocks of channels
    int64_t chunk, parts;
    int64_t c_plane;
    size_t own_floats; // zeros and dU of one job
    size_t total_floats;
} weight_plan;

static weight_plan plan_weight_grad(const bdpo_conv_shape *s, int n_threads)
{
    weight_plan p = {.tiles = tiles_of(s->n, s->oh, s->ow)};
    int64_t e_block = conv_min(COTANGENT_BLOCK, conv_round_up(s->co, VF_LANES));
    int64_t v_block = s->ci > VF_LANES ? CONV_COLUMNS : VF_LANES;
    int64_t channels = conv_round_up(s->ci, v_block) + conv_round_up(s->co, e_block);
    int64_t limit = 2 * SHARED_BYTES / (channels * WINO_PLANES * (int64_t)sizeof(float));
    limit = conv_max(8, conv_min(limit, WEIGHT_GRAD_TILES));
    p.chunk = conv_div_up(p.tiles.count, conv_div_up(p.tiles.count, limit));
    p.v = planes_of(s->ci, v_block, p.chunk);
    p.e = planes_of(s->co, e_block, p.chunk);
    p.parts = conv_parts(p.v.n_blocks * p.e.n_blocks, conv_div_up(e_block, 4), n_threads);
    p.c_plane = e_block * CONV_COLUMNS + PLANE_PAD;
    p.own_floats = (size_t)(conv_round_up(conv_max(s->ci, s->co), 16) + WINO_PLANES * p.c_plane);
    p.own_floats = bdpo_align(p.own_floats, 16);
    p.total_floats = p.own_floats * (size_t)n_threads + planes_floats(&p.v) + planes_floats(&p.e);
    return p;
}

// dw[co, :, :, ci0 ..] (+)= G^T dU G for the output channels [begin, end) of a block.
static void store_weight_grad(const bdpo_conv_call *call, const float *c, int64_t c_plane,
                              int64_t co0, int64_t begin, int64_t end, int64_t ci0, int vectors,
                              bool add)
{
    const int64_t ci = call->shape.ci;
    vf u[WINO_PLANES], g[WEIGHT_TAPS];
    for (int64_t row = begin; row < end; row++) {
        for (int64_t j = 0; j < vectors * VF_LANES && ci0 + j < ci; j += VF_LANES) {
            const float *from = c + (row - begin) * vectors * VF_LANES + j;
            float *dw = call->out + (co0 + row) * WEIGHT_TAPS * ci + ci0 + j;
            int64_t lanes = ci - ci0 - j;
            load_planes(u, from, c_plane);
            wino_weight_grad_2d(g, u);
            for (int t = 0; t < WEIGHT_TAPS; t++) {
                __builtin_prefetch(dw + (WEIGHTS_AHEAD * WEIGHT_TAPS + t) * ci, 1);
                vf old = add ? conv_load(dw + t * ci, lanes) : vf_zero();
                conv_store(dw + t * ci, old + g[t], lanes);
            }
        }
    }
}

// One job: a panel of input channels by a range of rows of a block of output channels.
static void run_weight_job(const bdpo_conv_call *call, const weight_plan *p, const planes *v,
                           const planes *e, float *c, int64_t job, int64_t count, bool add)
{
    int64_t part = job % p->parts, panel = job / p->parts % v->n_blocks;
    int64_t block = job / p->parts / v->n_blocks;
    int64_t rows = block_channels(e, block);
    int64_t begin = rows * part / p->parts, end = rows * (part + 1) / p->parts;
    if (begin == end) return;
    int vectors = (int)(v->block / VF_LANES);
    conv_product product = {.c = c,
                            .ldc = vectors * VF_LANES,
                            .lda = e->block,
                            .n_rows = end - begin,
                            .n_k = count,
                            .vectors = vectors};
    for (int64_t x = 0; x < WINO_PLANES; x++) {
        product.a = planes_at(e, block, x, 0) + begin;
        product.b = planes_at(v, panel, x, 0);
        product.c = c + x * p->c_plane;
        product.next_a = product.a + e->plane;
        product.next_b = product.b + v->plane;
        conv_product_columns(&product);
    }
    store_weight_grad(call, c, p->c_plane, block * e->block, begin, end, panel * v->block, vectors,
                      add);
}

static void run_weight_grad(const bdpo_conv_call *call)
{
    const bdpo_conv_shape *s = &call->shape;
    const weight_plan plan = plan_weight_grad(s, call->n_threads);
    const image x = {.data = call->in,
                     .ld = call->ld_in,
                     .h = s->h,
                     .w = s->w,
                     .top = s->pad_top,
                     .left = s->pad_left};
    const image dy = {.data = call->other, .ld = call->ld_other, .h = s->oh, .w = s->ow};
    planes v = plan.v, e = plan.e;
    v.data = call->workspace;
    e.data = v.data + planes_floats(&v);
    float *own = e.data + planes_floats(&e);
#pragma omp parallel num_threads(call->n_threads)
    {
        conv_team team = {.rank = omp_get_thread_num(), .size = omp_get_num_threads()};
        float *zeros = own + plan.own_floats * (size_t)team.rank;
        float *c = zeros + conv_round_up(conv_max(s->ci, s->co), 16);
        int64_t jobs = v.n_blocks * e.n_blocks * plan.parts;
        memset(zeros, 0, (size_t)conv_max(s->ci, s->co) * sizeof(float));
        for (int64_t first = 0; first < plan.tiles.count; first += plan.chunk) {
            int64_t count = conv_min(plan.chunk, plan.tiles.count - first);
            fill_planes(&v, &x, &plan.tiles, first, count, WINO_PATCH, zeros, team);
            fill_planes(&e, &dy, &plan.tiles, first, count, WINO_TILE, zeros, team);
            meet(team);
            int64_t last = conv_share(jobs, team.rank + 1, team.size);
            for (int64_t job = conv_share(jobs, team.rank, team.size); job < last; job++) {
                run_weight_job(call, &plan, &v, &e, c, job, count, call->accumulate || first > 0);
            }
            meet(team);
        }
    }
}

// ---- the table --------------------------------------------------------------------------------

static size_t workspace(const bdpo_conv_shape *shape, bdpo_conv_pass pass, int n_threads)
{
    size_t floats = pass == BDPO_CONV_WEIGHT_GRAD
                        ? plan_weight_grad(shape, n_threads).total_floats
                        : plan_forward(shape, pass, n_threads).total_floats;
    return floats * sizeof(float);
}

static void run(const bdpo_conv_call *call)
{
    if (call->pass == BDPO_CONV_WEIGHT_GRAD) {
        run_weight_grad(call);
    } else {
        run_forward(call);
    }
}

extern const bdpo_conv_method BDPO_ISA_SYMBOL(bdpo_winograd_method);
const bdpo_conv_method BDPO_ISA_SYMBOL(bdpo_winograd_method) = {.workspace = workspace, .run = run};

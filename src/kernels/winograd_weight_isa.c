// The gradient of a Winograd convolution to its weight, in the notation of winograd_transform.h:
//
//   dw = G^T dU G,   dU[plane][co][ci] = sum over tiles of E[plane][tile][co] V[plane][tile][ci]
//
// with E = A e A^T of the output's gradient and V = B^T d B of the input.
//
// Own: dU is small. Each thread sums its own tiles into a dU of its own, a few tiles at a time, so
// that all stays in its caches; at the end the sums are added in the order of the threads.
//
// Shared: tiles are taken in chunks by all threads together; dU of a piece of dw is summed over the
// chunk and mapped back at once, so that it never exists as a whole: chunks add to dw.
#include "kernels/winograd.h"
#include "kernels/winograd_planes.h"

#include <omp.h>

#include "base/memory.h"

enum {
    ROW_BLOCK = 48,            // channels side by side in the planes that give a product its rows
    CHUNK_TILES = 256,         // of a shared chunk, at most
    CHUNK_BYTES = 24 << 20,    // of its planes, at most
    CHUNK_LEAST = 8 << 20,     // .. at least
    NEAR_BYTES = 5 << 18,      // of planes that stay in the second-level caches: worth a chunk of
    NEAR_TILES = 48,           // no more than so many tiles, though dU is mapped back more often
    OWN_BYTES = 1 << 18,       // of dU, at most, for each thread
    OWN_TILES = 128,           // that a thread sums at a time, at most ...
    OWN_PLANE_BYTES = 3 << 18, // ... fewer where their planes are larger than this
    OWN_LEAST = 24             // tiles for each thread, or the work is shared
};

// Rows and lanes of the products are output and input channels or, where there are few input
// channels, the reverse (`swapped`), so that lanes are not wasted.
typedef struct weight_plan {
    tiling tiles;
    bool own, swapped;
    planes rows, lanes; // in blocks of ROW_BLOCK, in panels of CONV_COLUMNS
    int64_t chunk;      // tiles of a chunk
    int64_t parts;      // shared: jobs for each panel and block of rows
    int64_t c_plane;    // of dU of one panel and block
    size_t c_floats;
    size_t zero_floats, thread_floats, total_floats;
} weight_plan;

// The planes of a chunk are most of what a residual block needs at its peak, while mapping dU back
// costs little where dw is small: they may be as large as dw, or a third of x and dy.
static int64_t chunk_bytes(const bdpo_conv_shape *s)
{
    int64_t dw = WEIGHT_TAPS * s->ci * s->co;
    int64_t images = s->n * (s->h * s->w * s->ci + s->oh * s->ow * s->co);
    int64_t bytes = conv_max(dw, images / 3) * (int64_t)sizeof(float);
    return conv_min(conv_max(bytes, CHUNK_LEAST), CHUNK_BYTES);
}

static int64_t shared_tiles(const bdpo_conv_shape *s, int64_t tile_bytes)
{
    int64_t near = NEAR_BYTES / tile_bytes;
    return conv_min(near >= NEAR_TILES ? near : chunk_bytes(s) / tile_bytes, CHUNK_TILES);
}

static weight_plan plan_weight_grad(const bdpo_conv_shape *s, int n_threads)
{
    weight_plan p = {.tiles = tiles_of(s->n, s->oh, s->ow)};
    p.swapped = s->ci < VF_LANES && s->co > s->ci;
    int64_t n_rows = p.swapped ? s->ci : s->co, n_lanes = p.swapped ? s->co : s->ci;
    int64_t row_block = conv_min(ROW_BLOCK, conv_round_up(n_rows, VF_LANES));
    int64_t panel = n_lanes > VF_LANES ? CONV_COLUMNS : VF_LANES;
    int64_t blocks = conv_div_up(n_rows, row_block), panels = conv_div_up(n_lanes, panel);
    int64_t tile_bytes = (blocks * row_block + panels * panel) * PLANES_BYTES;
    p.c_plane = conv_min(row_block, n_rows) * panel + PLANE_PAD;
    p.c_floats = (size_t)(WINO_PLANES * p.c_plane);
    size_t du_floats = p.c_floats * (size_t)(blocks * panels);

    p.own = du_floats * sizeof(float) <= OWN_BYTES && p.tiles.count >= OWN_LEAST * n_threads;
    int64_t tiles = p.own ? conv_div_up(p.tiles.count, n_threads) : p.tiles.count;
    int64_t limit =
        p.own ? conv_min(OWN_PLANE_BYTES / tile_bytes, OWN_TILES) : shared_tiles(s, tile_bytes);
    p.chunk = conv_div_up(tiles, conv_div_up(tiles, conv_max(8, limit)));
    p.rows = planes_of(n_rows, row_block, p.chunk);
    p.lanes = planes_of(n_lanes, panel, p.chunk);
    p.parts = conv_parts(blocks * panels, conv_div_up(row_block, 4), n_threads);

    size_t plane_floats = planes_floats(&p.rows) + planes_floats(&p.lanes);
    p.zero_floats = (size_t)conv_round_up(conv_max(s->ci, s->co), 16);
    p.thread_floats = p.zero_floats + (p.own ? du_floats + plane_floats : p.c_floats);
    p.total_floats = p.thread_floats * (size_t)n_threads + (p.own ? 0 : plane_floats);
    return p;
}

// A running pass, and what one of its threads works on.
typedef struct weight_run {
    const bdpo_conv_call *call;
    const weight_plan *plan;
    image row_image, lane_image;
    planes rows, lanes;
    float *zeros, *c;
    conv_team team;
} weight_run;

static void fill_both(const weight_run *r, int64_t first, int64_t count, conv_team team)
{
    bool swapped = r->plan->swapped;
    fill_planes(&r->rows, &r->row_image, &r->plan->tiles, first, count,
                swapped ? WINO_PATCH : WINO_TILE, r->zeros, team);
    fill_planes(&r->lanes, &r->lane_image, &r->plan->tiles, first, count,
                swapped ? WINO_TILE : WINO_PATCH, r->zeros, team);
}

// c[plane][row][lane] (+)= sum over the chunk, for the rows [begin, end) of a block.
static void multiply(const weight_run *r, float *c, int64_t block, int64_t panel, int64_t begin,
                     int64_t end, int64_t count, bool add)
{
    int vectors = (int)(r->lanes.block / VF_LANES);
    conv_product product = {.ldc = r->lanes.block,
                            .lda = r->rows.block,
                            .n_rows = end - begin,
                            .n_k = count,
                            .vectors = vectors,
                            .add = add};
    for (int64_t x = 0; x < WINO_PLANES; x++) {
        product.a = planes_at(&r->rows, block, x, 0) + begin;
        product.b = planes_at(&r->lanes, panel, x, 0);
        product.c = c + x * r->plan->c_plane;
        product.next_a = product.a + r->rows.plane;
        product.next_b = product.b + r->lanes.plane;
        conv_product_columns(&product);
    }
}

// dw (+)= G^T dU G for one row and one vector of lanes.
BDPO_INLINE void store_vector(const weight_run *r, const vf u[WINO_PLANES], int64_t row,
                              int64_t lane, bool add)
{
    const int64_t ci = r->call->shape.ci, lanes = r->lanes.channels - lane;
    vf g[WEIGHT_TAPS];
    wino_weight_grad_2d(g, u);
    if (r->plan->swapped) {
        float *dw = r->call->out + lane * WEIGHT_TAPS * ci + row, value[VF_LANES];
        for (int t = 0; t < WEIGHT_TAPS; t++) {
            vf_store(value, g[t]);
            for (int64_t i = 0; i < conv_min(lanes, VF_LANES); i++) {
                float *to = dw + (i * WEIGHT_TAPS + t) * ci;
                *to = add ? *to + value[i] : value[i];
            }
        }
        return;
    }
    float *dw = r->call->out + row * WEIGHT_TAPS * ci + lane;
    for (int t = 0; t < WEIGHT_TAPS; t++) {
        __builtin_prefetch(dw + (WEIGHTS_AHEAD * WEIGHT_TAPS + t) * ci, 1);
        vf old = add ? conv_load(dw + t * ci, lanes) : vf_zero();
        conv_store(dw + t * ci, old + g[t], lanes);
    }
}

// ---- shared -----------------------------------------------------------------------------------

// One job: a panel of lanes by a range of rows of a block.
static void run_job(const weight_run *r, int64_t job, int64_t count, bool add)
{
    const weight_plan *p = r->plan;
    int64_t part = job % p->parts, panel = job / p->parts % r->lanes.n_blocks;
    int64_t block = job / p->parts / r->lanes.n_blocks, n_rows = block_channels(&r->rows, block);
    int64_t begin = n_rows * part / p->parts, end = n_rows * (part + 1) / p->parts;
    if (begin == end) return;
    multiply(r, r->c, block, panel, begin, end, count, false);
    vf u[WINO_PLANES];
    int64_t lane0 = panel * r->lanes.block, lane_end = lane0 + block_channels(&r->lanes, panel);
    for (int64_t row = begin; row < end; row++) {
        for (int64_t lane = lane0; lane < lane_end; lane += VF_LANES) {
            load_planes(u, r->c + (row - begin) * r->lanes.block + lane - lane0, p->c_plane);
            store_vector(r, u, block * r->rows.block + row, lane, add);
        }
    }
}

static void run_shared(const weight_run *r)
{
    const weight_plan *p = r->plan;
    int64_t jobs = r->rows.n_blocks * r->lanes.n_blocks * p->parts;
    int64_t last = conv_share(jobs, r->team.rank + 1, r->team.size);
    for (int64_t first = 0; first < p->tiles.count; first += p->chunk) {
        int64_t count = conv_min(p->chunk, p->tiles.count - first);
        fill_both(r, first, count, r->team);
        meet(r->team);
        for (int64_t job = conv_share(jobs, r->team.rank, r->team.size); job < last; job++) {
            run_job(r, job, count, r->call->accumulate || first > 0);
        }
        meet(r->team);
    }
}

// ---- own --------------------------------------------------------------------------------------

// Sums the thread's tiles into its dU.
static void sum_own(const weight_run *r)
{
    const weight_plan *p = r->plan;
    const int64_t begin = conv_share(p->tiles.count, r->team.rank, r->team.size);
    const int64_t end = conv_share(p->tiles.count, r->team.rank + 1, r->team.size);
    for (int64_t first = begin; first < end; first += p->chunk) {
        int64_t count = conv_min(p->chunk, end - first);
        fill_both(r, first, count, (conv_team){0, 1});
        for (int64_t i = 0; i < r->rows.n_blocks * r->lanes.n_blocks; i++) {
            int64_t block = i / r->lanes.n_blocks, panel = i % r->lanes.n_blocks;
            multiply(r, r->c + (size_t)i * p->c_floats, block, panel, 0,
                     block_channels(&r->rows, block), count, first > begin);
        }
    }
}

// Maps the thread's share of the rows back, adding up all threads' dU. `first` is that of thread 0.
static void store_own(const weight_run *r, const float *first)
{
    const weight_plan *p = r->plan;
    int64_t last = conv_share(r->rows.channels, r->team.rank + 1, r->team.size);
    vf u[WINO_PLANES];
    for (int64_t row = conv_share(r->rows.channels, r->team.rank, r->team.size); row < last;
         row++) {
        int64_t block = row / r->rows.block, in_block = row % r->rows.block;
        for (int64_t lane = 0; lane < r->lanes.channels; lane += VF_LANES) {
            int64_t panel = lane / r->lanes.block;
            const float *c = first + (size_t)(block * r->lanes.n_blocks + panel) * p->c_floats +
                             in_block * r->lanes.block + lane % r->lanes.block;
            load_planes(u, c, p->c_plane);
            for (int t = 1; t < r->team.size; t++) {
                for (int x = 0; x < WINO_PLANES; x++) {
                    u[x] += vf_load(c + (size_t)t * p->thread_floats + x * p->c_plane);
                }
            }
            store_vector(r, u, row, lane, r->call->accumulate);
        }
    }
}

// ---- the pass ---------------------------------------------------------------------------------

// The run of one thread: its images and its places in the workspace.
static weight_run thread_run(const bdpo_conv_call *call, const weight_plan *p, conv_team team)
{
    const bdpo_conv_shape *s = &call->shape;
    const image x = {.data = call->in,
                     .ld = call->ld_in,
                     .h = s->h,
                     .w = s->w,
                     .top = s->pad_top,
                     .left = s->pad_left};
    const image dy = {.data = call->other, .ld = call->ld_other, .h = s->oh, .w = s->ow};
    weight_run r = {.call = call, .plan = p, .rows = p->rows, .lanes = p->lanes, .team = team};
    r.row_image = p->swapped ? x : dy;
    r.lane_image = p->swapped ? dy : x;
    float *workspace = call->workspace;
    r.zeros = workspace + p->thread_floats * (size_t)team.rank;
    r.c = r.zeros + p->zero_floats;
    if (p->own) {
        r.rows.data = r.c + p->c_floats * (size_t)(p->rows.n_blocks * p->lanes.n_blocks);
    } else {
        r.rows.data = workspace + p->thread_floats * (size_t)call->n_threads;
    }
    r.lanes.data = r.rows.data + planes_floats(&r.rows);
    memset(r.zeros, 0, p->zero_floats * sizeof(float));
    return r;
}

void BDPO_ISA_SYMBOL(bdpo_winograd_weight_grad)(const bdpo_conv_call *call)
{
    const weight_plan plan = plan_weight_grad(&call->shape, call->n_threads);
#pragma omp parallel num_threads(call->n_threads)
    {
        conv_team team = {.rank = omp_get_thread_num(), .size = omp_get_num_threads()};
        weight_run run = thread_run(call, &plan, team);
        if (plan.own) {
            sum_own(&run);
            meet(team);
            store_own(&run, (const float *)call->workspace + plan.zero_floats);
        } else {
            run_shared(&run);
        }
    }
}

size_t BDPO_ISA_SYMBOL(bdpo_winograd_weight_grad_workspace)(const bdpo_conv_shape *shape,
                                                            int n_threads)
{
    return plan_weight_grad(shape, n_threads).total_floats * sizeof(float);
}

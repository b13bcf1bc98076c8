// The gradient of a Winograd convolution to its weight: G^T [sum over tiles of (A e A^T) o (B^T d
// B)] G.
//
// dU[plane][co][ci] is summed over the tiles of a chunk and mapped back into dw at once, so that it
// never exists as a whole: chunks add to dw.
#include "kernels/winograd.h"
#include "kernels/winograd_planes.h"

#include <omp.h>

#include "base/memory.h"

enum {
    COTANGENT_BLOCK = 48,  // channels of dy side by side
    MOST_TILES = 256,      // of a chunk
    MOST_BYTES = 24 << 20, // of its planes
    LEAST_TILES = 48,      // enough to make mapping dU back cheap
    NARROW = 16,           // channels: with so few, mapping back is cheap in any case
    NEAR_BYTES = 5 << 18   // planes that stay in the second-level caches
};

typedef struct weight_plan {
    tiling tiles;
    planes v, e; // of x, in panels of CONV_COLUMNS; of dy, in blocks of channels
    int64_t chunk, parts;
    int64_t c_plane;
    size_t own_floats; // zeros and dU of one job
    size_t total_floats;
} weight_plan;

// Tiles of a chunk, at most. `bytes` are those of a tile's planes.
static int64_t chunk_limit(const bdpo_conv_shape *s, int64_t bytes)
{
    int64_t near = conv_max(CONV_ROWS, NEAR_BYTES / bytes);
    bool narrow = conv_min(s->ci, s->co) <= NARROW;
    if (near >= LEAST_TILES || narrow) return conv_min(near, MOST_TILES);
    return conv_max(8, conv_min(MOST_BYTES / bytes, MOST_TILES));
}

static weight_plan plan_weight_grad(const bdpo_conv_shape *s, int n_threads)
{
    weight_plan p = {.tiles = tiles_of(s->n, s->oh, s->ow)};
    int64_t e_block = conv_min(COTANGENT_BLOCK, conv_round_up(s->co, VF_LANES));
    int64_t v_block = s->ci > VF_LANES ? CONV_COLUMNS : VF_LANES;
    int64_t channels = conv_round_up(s->ci, v_block) + conv_round_up(s->co, e_block);
    int64_t limit = chunk_limit(s, channels * PLANES_BYTES);
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

void BDPO_ISA_SYMBOL(bdpo_winograd_weight_grad)(const bdpo_conv_call *call)
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

size_t BDPO_ISA_SYMBOL(bdpo_winograd_weight_grad_workspace)(const bdpo_conv_shape *shape,
                                                            int n_threads)
{
    return plan_weight_grad(shape, n_threads).total_floats * sizeof(float);
}

// Winograd convolution F(4x4, 3x3), forward and gradient to the input: 36 small products in place
// of 16 x 9 multiplications a tile, 4 times fewer. The maps and the notation are in
// winograd_transform.h.
//
// What keeps it fast is that nothing transformed goes to memory; how depends on the weights' size.
//
// Resident: the transformed weights U fit in a cache. They are made once, and each thread takes its
// own tiles, a few at a time: patches V, products M and results pass through its own caches.
//
// Streamed: tiles are taken in chunks whose V fit in the last-level cache. For each panel of output
// channels the weights are transformed block by block into U, multiplied, and the products M mapped
// back while both lie in the second-level cache. Each weight is transformed once a chunk, and the
// workspace is bounded whatever the layer's width.
#include "kernels/winograd.h"
#include "kernels/winograd_planes.h"

#include <omp.h>

#include "base/memory.h"

enum {
    K_BLOCK = 128,              // channels summed between two visits of M
    RESIDENT_BYTES = 3 << 20,   // U, at most
    RESIDENT_TILES = 24,        // tiles that a thread with resident weights takes at a time ...
    RESIDENT_V_BYTES = 3 << 17, // ... fewer where their V is larger than this
    CHUNK_TILES = 128,          // enough to make the transform of streamed weights cheap
    CHUNK_BYTES = 12 << 20,     // V of a chunk
    M_TILES = 28                // tiles whose M is held at once where the sum is one block
};

// The convolution [n, h, w, k] -> [n, oh, ow, m] and how its work is cut: a function of the shape,
// the pass and the number of threads.
typedef struct forward_plan {
    int64_t h, w, k;   // source
    int64_t oh, ow, m; // target
    int top, left;
    tiling tiles;
    planes v;
    int64_t panels; // of output channels
    bool resident;
    int64_t chunk;   // tiles of a chunk, at most
    int64_t parts;   // streamed: jobs into which the tiles of a chunk are cut, for each panel
    int64_t m_tiles; // tiles whose M is held at once
    int64_t u_plane, m_plane;
    size_t u_floats;   // of one panel and block
    size_t own_floats; // of each thread
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

static void plan_resident(forward_plan *p, int64_t block, int n_threads)
{
    int64_t tiles = conv_div_up(p->tiles.count, n_threads);
    int64_t fit = RESIDENT_V_BYTES / (conv_round_up(p->k, block) * PLANES_BYTES);
    p->chunk = conv_min(tiles, conv_max(CONV_ROWS, conv_min(fit, RESIDENT_TILES)));
    p->parts = 1;
    p->m_tiles = p->chunk;
}

static void plan_streamed(forward_plan *p, int64_t block, int n_threads)
{
    int64_t fit = CHUNK_BYTES / (conv_round_up(p->k, block) * PLANES_BYTES);
    int64_t limit = conv_max(CONV_ROWS, conv_min(fit, CHUNK_TILES));
    p->chunk = conv_div_up(p->tiles.count, conv_div_up(p->tiles.count, limit));
    p->parts = conv_parts(p->panels, conv_div_up(p->chunk, 2 * CONV_ROWS), n_threads);
    p->m_tiles = conv_div_up(p->chunk, p->parts);
    if (block >= p->k) p->m_tiles = conv_min(p->m_tiles, M_TILES);
}

static forward_plan plan_forward(const bdpo_conv_shape *s, bdpo_conv_pass pass, int n_threads)
{
    forward_plan p = plan_shape(s, pass);
    p.tiles = tiles_of(s->n, p.oh, p.ow);
    p.panels = conv_div_up(p.m, CONV_COLUMNS);
    int64_t n_blocks = conv_div_up(p.k, K_BLOCK);
    int64_t block = conv_round_up(conv_div_up(p.k, n_blocks), VF_LANES);
    int64_t width = p.m > VF_LANES ? CONV_COLUMNS : VF_LANES;
    p.u_plane = block * width + PLANE_PAD;
    p.u_floats = (size_t)(WINO_PLANES * p.u_plane);
    size_t u_all = p.u_floats * (size_t)(p.panels * n_blocks);

    p.resident = u_all * sizeof(float) <= RESIDENT_BYTES &&
                 p.tiles.count >= (int64_t)RESIDENT_TILES * n_threads;
    (p.resident ? plan_resident : plan_streamed)(&p, block, n_threads);
    p.v = planes_of(p.k, block, p.chunk);
    p.m_plane = p.m_tiles * width + PLANE_PAD;
    p.own_floats = (size_t)(conv_round_up(p.k, 16) + WINO_PLANES * p.m_plane);
    p.own_floats += p.resident ? planes_floats(&p.v) : p.u_floats;
    p.own_floats = bdpo_align(p.own_floats, 16);
    p.total_floats = p.own_floats * (size_t)n_threads + (p.resident ? u_all : planes_floats(&p.v));
    return p;
}

// A running pass, and what one of its threads works on.
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
static void fill_weights_forward(const forward_run *r, float *to, int64_t m0, int vectors,
                                 int64_t k0, int64_t count)
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
                float *out = to + (k + i) * width + j0;
                store_planes(out, u_plane, u);
            }
        }
    }
}

// The same for INPUT_GRAD: the weights [k][3][3][m], taps in reverse.
static void fill_weights_backward(const forward_run *r, float *to, int64_t m0, int vectors,
                                  int64_t k0, int64_t count)
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
            float *out = to + k * width + j;
            store_planes(out, u_plane, u);
        }
    }
}

// The vectors of a panel.
static int panel_vectors(const forward_plan *p, int64_t panel)
{
    return p->m - panel * CONV_COLUMNS > VF_LANES ? 2 : 1;
}

static void fill_weights(const forward_run *r, float *to, int64_t panel, int64_t block)
{
    int64_t k0 = block * r->v.block, count = block_channels(&r->v, block);
    int64_t m0 = panel * CONV_COLUMNS;
    int vectors = panel_vectors(r->plan, panel);
    if (r->call->pass == BDPO_CONV_FORWARD) {
        fill_weights_forward(r, to, m0, vectors, k0, count);
    } else {
        fill_weights_backward(r, to, m0, vectors, k0, count);
    }
}

// M[plane] (+)= V[plane] U[plane] over one block of channels.
static void multiply(const forward_run *r, const float *u, int64_t block, int64_t tile,
                     int64_t count, int vectors)
{
    conv_product product = {.ldc = vectors * VF_LANES,
                            .lda = r->v.block,
                            .n_rows = count,
                            .n_k = block_channels(&r->v, block),
                            .vectors = vectors,
                            .add = block > 0};
    for (int64_t x = 0; x < WINO_PLANES; x++) {
        product.a = planes_at(&r->v, block, x, tile);
        product.b = u + x * r->plan->u_plane;
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

static void output_tiles(const forward_run *r, int64_t first, int64_t count, int64_t panel)
{
    int vectors = panel_vectors(r->plan, panel);
    for (int64_t i = 0; i < count; i++) {
        output_tile(r, first + i, r->m + i * vectors * VF_LANES, panel * CONV_COLUMNS, vectors);
    }
}

// Streamed: one panel of output channels for the tiles [begin, end) of the chunk from `first` on.
static void run_panel(const forward_run *r, int64_t panel, int64_t first, int64_t begin,
                      int64_t end)
{
    int vectors = panel_vectors(r->plan, panel);
    bool one_block = r->v.n_blocks == 1;
    if (one_block) fill_weights(r, r->u, panel, 0);
    for (int64_t tile = begin; tile < end; tile += r->plan->m_tiles) {
        int64_t count = conv_min(r->plan->m_tiles, end - tile);
        for (int64_t block = 0; block < r->v.n_blocks; block++) {
            if (!one_block) fill_weights(r, r->u, panel, block);
            multiply(r, r->u, block, tile, count, vectors);
        }
        output_tiles(r, first + tile, count, panel);
    }
}

static void run_streamed(const forward_run *r)
{
    const forward_plan *p = r->plan;
    int64_t jobs = p->panels * p->parts, last = conv_share(jobs, r->team.rank + 1, r->team.size);
    for (int64_t first = 0; first < p->tiles.count; first += p->chunk) {
        int64_t count = conv_min(p->chunk, p->tiles.count - first);
        fill_planes(&r->v, &r->source, &p->tiles, first, count, WINO_PATCH, r->zeros, r->team);
        meet(r->team);
        for (int64_t job = conv_share(jobs, r->team.rank, r->team.size); job < last; job++) {
            int64_t part = job % p->parts;
            run_panel(r, job / p->parts, first, count * part / p->parts,
                      count * (part + 1) / p->parts);
        }
        meet(r->team);
    }
}

// r->u holds all panels and blocks, r->v the thread's own tiles.
static void run_resident(const forward_run *r)
{
    const forward_plan *p = r->plan;
    const int64_t n_blocks = r->v.n_blocks, pieces = p->panels * n_blocks;
    int64_t last = conv_share(pieces, r->team.rank + 1, r->team.size);
    for (int64_t i = conv_share(pieces, r->team.rank, r->team.size); i < last; i++) {
        fill_weights(r, r->u + (size_t)i * p->u_floats, i / n_blocks, i % n_blocks);
    }
    meet(r->team);
    int64_t end = conv_share(p->tiles.count, r->team.rank + 1, r->team.size);
    int64_t first = conv_share(p->tiles.count, r->team.rank, r->team.size);
    for (; first < end; first += p->chunk) {
        int64_t count = conv_min(p->chunk, end - first);
        fill_planes(&r->v, &r->source, &p->tiles, first, count, WINO_PATCH, r->zeros,
                    (conv_team){0, 1});
        for (int64_t panel = 0; panel < p->panels; panel++) {
            for (int64_t block = 0; block < n_blocks; block++) {
                const float *u = r->u + (size_t)(panel * n_blocks + block) * p->u_floats;
                multiply(r, u, block, 0, count, panel_vectors(p, panel));
            }
            output_tiles(r, first, count, panel);
        }
    }
}

static void run_forward(const bdpo_conv_call *call)
{
    const forward_plan plan = plan_forward(&call->shape, call->pass, call->n_threads);
    float *shared = call->workspace, *all_own = shared;
    if (plan.resident) {
        all_own += plan.u_floats * (size_t)(plan.panels * plan.v.n_blocks);
    } else {
        all_own += planes_floats(&plan.v);
    }
#pragma omp parallel num_threads(call->n_threads)
    {
        conv_team team = {.rank = omp_get_thread_num(), .size = omp_get_num_threads()};
        float *own = all_own + plan.own_floats * (size_t)team.rank;
        forward_run run = {.call = call, .plan = &plan, .v = plan.v, .zeros = own, .team = team};
        run.source = (image){.data = call->in,
                             .ld = call->ld_in,
                             .h = plan.h,
                             .w = plan.w,
                             .top = plan.top,
                             .left = plan.left};
        run.m = own + conv_round_up(plan.k, 16);
        float *rest = run.m + WINO_PLANES * plan.m_plane;
        run.u = plan.resident ? shared : rest;
        run.v.data = plan.resident ? rest : shared;
        memset(run.zeros, 0, (size_t)plan.k * sizeof(float));
        if (plan.resident) {
            run_resident(&run);
        } else {
            run_streamed(&run);
        }
    }
}

// ---- the table --------------------------------------------------------------------------------

static size_t workspace(const bdpo_conv_shape *shape, bdpo_conv_pass pass, int n_threads)
{
    if (pass == BDPO_CONV_WEIGHT_GRAD) {
        return BDPO_ISA_SYMBOL(bdpo_winograd_weight_grad_workspace)(shape, n_threads);
    }
    return plan_forward(shape, pass, n_threads).total_floats * sizeof(float);
}

static void run(const bdpo_conv_call *call)
{
    if (call->pass == BDPO_CONV_WEIGHT_GRAD) {
        BDPO_ISA_SYMBOL(bdpo_winograd_weight_grad)(call);
    } else {
        run_forward(call);
    }
}

extern const bdpo_conv_method BDPO_ISA_SYMBOL(bdpo_winograd_method);
const bdpo_conv_method BDPO_ISA_SYMBOL(bdpo_winograd_method) = {.workspace = workspace, .run = run};

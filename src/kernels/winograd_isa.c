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
    M_TILES = 28,               // tiles whose M is held at once where the sum is one block
    MOST_GROUP = 4,             // panels whose weights are read together
    DOT_COLUMNS = 4,            // outputs so few that lanes run over the sum instead
    FUSED_K = 4                 // terms so few that M need not be stored
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
    int64_t group;   // streamed: panels of a job, whose weights are read together
    int64_t parts;   // streamed: jobs into which the tiles of a chunk are cut, for each group
    int64_t m_tiles; // tiles whose M is held at once
    int64_t u_plane, m_plane;
    bool dots;       // resident, few outputs: lanes of the products run over k
    bool fused;      // resident, few terms: the products are not stored
    size_t u_floats; // of one panel and block
    size_t m_floats; // of one panel
    size_t shared_floats, own_floats;
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

// The fewest blocks of the sum, of equal length, a whole number of vectors.
static int64_t even_block(int64_t k, int64_t most)
{
    return conv_round_up(conv_div_up(k, conv_div_up(k, most)), VF_LANES);
}

static void plan_resident(forward_plan *p, int n_threads)
{
    int64_t tiles = conv_div_up(p->tiles.count, n_threads);
    int64_t fit = RESIDENT_V_BYTES / (conv_round_up(p->k, VF_LANES) * PLANES_BYTES);
    p->chunk = conv_min(tiles, conv_max(CONV_ROWS, conv_min(fit, RESIDENT_TILES)));
    p->m_tiles = p->chunk;
}

// The gradient's weights lie [k][3][3][m]: each row of a panel is on nine other pages of memory.
// With few tiles M is small, so several panels are taken at a time, in shorter blocks of k.
static void plan_streamed(forward_plan *p, bdpo_conv_pass pass, int n_threads)
{
    int64_t fit = CHUNK_BYTES / (conv_round_up(p->k, VF_LANES) * PLANES_BYTES);
    int64_t limit = conv_max(CONV_ROWS, conv_min(fit, CHUNK_TILES));
    p->chunk = conv_div_up(p->tiles.count, conv_div_up(p->tiles.count, limit));
    if (pass == BDPO_CONV_INPUT_GRAD) {
        p->group = conv_max(1, conv_min(CHUNK_TILES / p->chunk, MOST_GROUP));
    }
    p->parts = conv_parts(conv_div_up(p->panels, p->group), conv_div_up(p->chunk, 2 * CONV_ROWS),
                          n_threads);
    p->m_tiles = conv_div_up(p->chunk, p->parts);
    if (p->k <= K_BLOCK / p->group) p->m_tiles = conv_min(p->m_tiles, M_TILES);
}

static forward_plan plan_forward(const bdpo_conv_shape *s, bdpo_conv_pass pass, int n_threads)
{
    forward_plan p = plan_shape(s, pass);
    p.tiles = tiles_of(s->n, p.oh, p.ow);
    p.panels = conv_div_up(p.m, CONV_COLUMNS);
    p.group = p.parts = 1;
    int64_t width = p.m > VF_LANES ? CONV_COLUMNS : VF_LANES;
    int64_t u_bytes = p.panels * width * p.k * PLANES_BYTES;
    p.resident = u_bytes <= RESIDENT_BYTES && p.tiles.count >= RESIDENT_TILES * n_threads;
    if (p.resident) {
        plan_resident(&p, n_threads);
    } else {
        plan_streamed(&p, pass, n_threads);
    }
    p.dots = p.resident && p.m <= DOT_COLUMNS;
    p.fused = p.resident && p.k <= FUSED_K;

    int64_t block = even_block(p.k, K_BLOCK / p.group);
    p.v = planes_of(p.k, block, p.chunk);
    p.u_plane = block * width + PLANE_PAD;
    p.m_plane = p.m_tiles * width + PLANE_PAD;
    p.u_floats = (size_t)(WINO_PLANES * p.u_plane);
    p.m_floats = (size_t)(WINO_PLANES * p.m_plane);
    size_t v_floats = planes_floats(&p.v), u_all = p.u_floats * (size_t)(p.panels * p.v.n_blocks);
    size_t own = (size_t)conv_round_up(p.k, 16) + p.m_floats * (size_t)p.group;
    own += p.resident ? v_floats : p.u_floats * (size_t)p.group;
    p.own_floats = bdpo_align(own, 16);
    p.shared_floats = p.resident ? u_all : v_floats;
    return p;
}

static size_t forward_bytes(const forward_plan *p, int n_threads)
{
    return (p->shared_floats + p->own_floats * (size_t)n_threads) * sizeof(float);
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

// The vectors of a panel.
static int panel_vectors(const forward_plan *p, int64_t panel)
{
    return p->m - panel * CONV_COLUMNS > VF_LANES ? 2 : 1;
}

// U[plane][k][lane] = G g G^T for k < count and the panel's outputs, zero behind the last.
// The weights of FORWARD, [m][3][3][k], have to be transposed.
static void fill_weights_forward(const forward_run *r, float *to, int64_t panel, int64_t k0,
                                 int64_t count)
{
    const int64_t row = WEIGHT_TAPS * r->plan->k, u_plane = r->plan->u_plane;
    const int64_t m0 = panel * CONV_COLUMNS, width = panel_vectors(r->plan, panel) * VF_LANES;
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

// The same for INPUT_GRAD and several panels: the weights [k][3][3][m], taps in reverse.
static void fill_weights_backward(const forward_run *r, float *to, int64_t panel, int64_t n_panels,
                                  int64_t k0, int64_t count)
{
    const forward_plan *p = r->plan;
    const int64_t m = p->m, m0 = panel * CONV_COLUMNS;
    const int64_t m_end = conv_min(conv_round_up(m, VF_LANES), m0 + n_panels * CONV_COLUMNS);
    vf g[WEIGHT_TAPS], u[WINO_PLANES];
    for (int64_t k = 0; k < count; k++) {
        for (int64_t j = m0; j < m_end; j += VF_LANES) {
            const float *w = r->call->other + (k0 + k) * WEIGHT_TAPS * m + j;
            int64_t i = (j - m0) / CONV_COLUMNS, width = panel_vectors(p, panel + i) * VF_LANES;
            BDPO_UNROLL
            for (int t = 0; t < WEIGHT_TAPS; t++) {
                const float *from = w + (WEIGHT_TAPS - 1 - t) * m;
                __builtin_prefetch(from + WEIGHTS_AHEAD * WEIGHT_TAPS * m);
                g[t] = conv_load(from, m - j);
            }
            wino_weight_2d(u, g);
            float *out = to + (size_t)i * p->u_floats + k * width + (j - m0) % CONV_COLUMNS;
            store_planes(out, p->u_plane, u);
        }
    }
}

// U[plane][output][k] for products by dots: lanes over k, zero behind the last.
static void fill_weights_dots(const forward_run *r, float *to, int64_t k0, int64_t count)
{
    const int64_t k_all = r->plan->k, m = r->plan->m;
    bool forward = r->call->pass == BDPO_CONV_FORWARD;
    vf g[WEIGHT_TAPS], u[WINO_PLANES];
    for (int64_t o = 0; o < DOT_COLUMNS; o++) {
        for (int64_t k = 0; k < count; k += VF_LANES) {
            for (int t = 0; t < WEIGHT_TAPS; t++) {
                float lane[VF_LANES] = {0};
                for (int64_t i = 0; i < VF_LANES && k + i < count && o < m; i++) {
                    int64_t at = k0 + k + i, tap = forward ? t : WEIGHT_TAPS - 1 - t;
                    lane[i] = r->call->other[forward ? (o * WEIGHT_TAPS + tap) * k_all + at
                                                     : (at * WEIGHT_TAPS + tap) * m + o];
                }
                g[t] = vf_load(lane);
            }
            wino_weight_2d(u, g);
            store_planes(to + o * r->v.block + k, r->plan->u_plane, u);
        }
    }
}

// U of the panels from `panel` on, for one block of k.
static void fill_weights(const forward_run *r, float *to, int64_t panel, int64_t n_panels,
                         int64_t block)
{
    const forward_plan *p = r->plan;
    int64_t k0 = block * r->v.block, count = block_channels(&r->v, block);
    if (p->fused) memset(to, 0, p->u_floats * (size_t)n_panels * sizeof(float));
    if (p->dots) {
        fill_weights_dots(r, to, k0, count);
    } else if (r->call->pass == BDPO_CONV_INPUT_GRAD) {
        fill_weights_backward(r, to, panel, n_panels, k0, count);
    } else {
        for (int64_t i = 0; i < n_panels; i++) {
            fill_weights_forward(r, to + (size_t)i * p->u_floats, panel + i, k0, count);
        }
    }
}

// M[plane] (+)= V[plane] U[plane] over one block of channels.
static void multiply(const forward_run *r, float *m, const float *u, int64_t block, int64_t tile,
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
        product.c = m + x * r->plan->m_plane;
        product.next_a = product.a + r->v.plane;
        product.next_b = product.b + r->plan->u_plane;
        if (r->plan->dots) {
            conv_product_dots(&product, r->v.block);
        } else {
            conv_product_rows(&product);
        }
    }
}

// Where the results of a tile go; NULL outside the image.
static void output_pointers(float **pixel, const forward_run *r, int64_t tile)
{
    const forward_plan *p = r->plan;
    int64_t y0 = tile / p->tiles.columns % p->tiles.rows * WINO_TILE;
    int64_t x0 = tile % p->tiles.columns * WINO_TILE;
    int64_t row = tile / (p->tiles.columns * p->tiles.rows) * p->oh + y0;
    for (int i = 0; i < TILE_AREA; i++) {
        int64_t dy = i / WINO_TILE, dx = i % WINO_TILE;
        bool inside = y0 + dy < p->oh && x0 + dx < p->ow;
        pixel[i] = inside ? r->call->out + ((row + dy) * p->ow + x0 + dx) * r->call->ld_out : NULL;
    }
}

// y = A^T M A + bias for one vector of channels of one tile.
BDPO_INLINE void output_vector(const forward_run *r, float *const *pixel, const vf m[WINO_PLANES],
                               int64_t c)
{
    int64_t lanes = r->plan->m - c;
    vf y[TILE_AREA], bias = r->call->bias != NULL ? conv_load(r->call->bias + c, lanes) : vf_zero();
    wino_output_2d(y, m);
    for (int i = 0; i < TILE_AREA; i++) {
        if (pixel[i] != NULL) conv_store(pixel[i] + c, y[i] + bias, lanes);
    }
}

static void output_tiles(const forward_run *r, const float *m, int64_t first, int64_t count,
                         int64_t panel)
{
    const int64_t m0 = panel * CONV_COLUMNS, width = panel_vectors(r->plan, panel) * VF_LANES;
    float *pixel[TILE_AREA];
    vf x[WINO_PLANES];
    for (int64_t i = 0; i < count; i++) {
        output_pointers(pixel, r, first + i);
        for (int64_t j = 0; j < width && m0 + j < r->plan->m; j += VF_LANES) {
            load_planes(x, m + i * width + j, r->plan->m_plane);
            output_vector(r, pixel, x, m0 + j);
        }
    }
}

// M of one tile straight from V and U, for sums of at most FUSED_K terms; v and u at plane 0.
BDPO_INLINE void fused_products(vf m[2][WINO_PLANES], const float *v, int64_t v_plane,
                                const float *u, int64_t u_plane, const int vectors)
{
    BDPO_UNROLL
    for (int a = 0; a < WINO_PATCH; a++) {
        BDPO_UNROLL
        for (int b = 0; b < WINO_PATCH; b++, v += v_plane, u += u_plane) {
            vf sum[2] = {vf_zero(), vf_zero()};
            BDPO_UNROLL
            for (int k = 0; k < FUSED_K; k++) {
                vf vk = vf_set(v[k]);
                BDPO_UNROLL
                for (int j = 0; j < vectors; j++) {
                    sum[j] = vf_fma(vk, vf_load(u + (k * vectors + j) * VF_LANES), sum[j]);
                }
            }
            BDPO_UNROLL
            for (int j = 0; j < vectors; j++) m[j][a * WINO_PATCH + b] = sum[j];
        }
    }
}

static void output_tiles_fused(const forward_run *r, const float *u, int64_t first, int64_t count,
                               int64_t panel)
{
    const int64_t m0 = panel * CONV_COLUMNS, v_plane = r->v.plane, u_plane = r->plan->u_plane;
    float *pixel[TILE_AREA];
    vf m[2][WINO_PLANES];
    for (int64_t i = 0; i < count; i++) {
        const float *v = r->v.data + i * r->v.block;
        output_pointers(pixel, r, first + i);
        if (panel_vectors(r->plan, panel) == 2) {
            fused_products(m, v, v_plane, u, u_plane, 2);
            output_vector(r, pixel, m[0], m0);
            output_vector(r, pixel, m[1], m0 + VF_LANES);
        } else {
            fused_products(m, v, v_plane, u, u_plane, 1);
            output_vector(r, pixel, m[0], m0);
        }
    }
}

// Streamed: one group of panels for the tiles [begin, end) of the chunk from `first` on.
static void run_group(const forward_run *r, int64_t group, int64_t first, int64_t begin,
                      int64_t end)
{
    const forward_plan *p = r->plan;
    int64_t panel = group * p->group, n_panels = conv_min(p->group, p->panels - panel);
    bool one_block = r->v.n_blocks == 1;
    if (one_block) fill_weights(r, r->u, panel, n_panels, 0);
    for (int64_t tile = begin; tile < end; tile += p->m_tiles) {
        int64_t count = conv_min(p->m_tiles, end - tile);
        for (int64_t block = 0; block < r->v.n_blocks; block++) {
            if (!one_block) fill_weights(r, r->u, panel, n_panels, block);
            for (int64_t i = 0; i < n_panels; i++) {
                multiply(r, r->m + (size_t)i * p->m_floats, r->u + (size_t)i * p->u_floats, block,
                         tile, count, panel_vectors(p, panel + i));
            }
        }
        for (int64_t i = 0; i < n_panels; i++) {
            output_tiles(r, r->m + (size_t)i * p->m_floats, first + tile, count, panel + i);
        }
    }
}

static void run_streamed(const forward_run *r)
{
    const forward_plan *p = r->plan;
    int64_t jobs = conv_div_up(p->panels, p->group) * p->parts;
    int64_t last = conv_share(jobs, r->team.rank + 1, r->team.size);
    for (int64_t first = 0; first < p->tiles.count; first += p->chunk) {
        int64_t count = conv_min(p->chunk, p->tiles.count - first);
        fill_planes(&r->v, &r->source, &p->tiles, first, count, WINO_PATCH, r->zeros, r->team);
        meet(r->team);
        for (int64_t job = conv_share(jobs, r->team.rank, r->team.size); job < last; job++) {
            int64_t part = job % p->parts;
            run_group(r, job / p->parts, first, count * part / p->parts,
                      count * (part + 1) / p->parts);
        }
        meet(r->team);
    }
}

// All panels for the tiles of this thread that r->v holds.
static void run_tiles(const forward_run *r, int64_t first, int64_t count)
{
    const forward_plan *p = r->plan;
    for (int64_t panel = 0; panel < p->panels; panel++) {
        const float *u = r->u + (size_t)(panel * r->v.n_blocks) * p->u_floats;
        if (p->fused) {
            output_tiles_fused(r, u, first, count, panel);
            continue;
        }
        for (int64_t block = 0; block < r->v.n_blocks; block++) {
            multiply(r, r->m, u + (size_t)block * p->u_floats, block, 0, count,
                     panel_vectors(p, panel));
        }
        output_tiles(r, r->m, first, count, panel);
    }
}

// r->u holds all panels and blocks, r->v the thread's own tiles.
static void run_resident(const forward_run *r)
{
    const forward_plan *p = r->plan;
    const int64_t n_blocks = r->v.n_blocks, pieces = p->panels * n_blocks;
    int64_t last = conv_share(pieces, r->team.rank + 1, r->team.size);
    for (int64_t i = conv_share(pieces, r->team.rank, r->team.size); i < last; i++) {
        fill_weights(r, r->u + (size_t)i * p->u_floats, i / n_blocks, 1, i % n_blocks);
    }
    if (p->dots) memset(r->m, 0, p->m_floats * sizeof(float)); // lanes behind the dots
    meet(r->team);
    int64_t end = conv_share(p->tiles.count, r->team.rank + 1, r->team.size);
    int64_t first = conv_share(p->tiles.count, r->team.rank, r->team.size);
    for (; first < end; first += p->chunk) {
        int64_t count = conv_min(p->chunk, end - first);
        fill_planes(&r->v, &r->source, &p->tiles, first, count, WINO_PATCH, r->zeros,
                    (conv_team){0, 1});
        run_tiles(r, first, count);
    }
}

static void run_forward(const bdpo_conv_call *call)
{
    const forward_plan plan = plan_forward(&call->shape, call->pass, call->n_threads);
    float *shared = call->workspace;
#pragma omp parallel num_threads(call->n_threads)
    {
        conv_team team = {.rank = omp_get_thread_num(), .size = omp_get_num_threads()};
        float *own = shared + plan.shared_floats + plan.own_floats * (size_t)team.rank;
        forward_run run = {.call = call, .plan = &plan, .v = plan.v, .zeros = own, .team = team};
        run.source = (image){.data = call->in,
                             .ld = call->ld_in,
                             .h = plan.h,
                             .w = plan.w,
                             .top = plan.top,
                             .left = plan.left};
        run.m = own + conv_round_up(plan.k, 16);
        float *rest = run.m + plan.m_floats * (size_t)plan.group;
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
    forward_plan plan = plan_forward(shape, pass, n_threads);
    return forward_bytes(&plan, n_threads);
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

// Direct convolution: products over gathered patches, for any kernel, stride and padding.
//
// Rows of the product are output pixels, and its sum runs over (tap, channel). Patches are gathered
// in chunks that fit in the last-level cache; the weights of a panel of columns are packed block by
// block as they are used. The gradient to the input of a convolution with stride s is s x s such
// products, one for each residue of the pixel's coordinates, so that no tap that meets only zeros
// is multiplied.
#include "kernels/conv_method.h"
#include "kernels/conv_product.h"

#include <omp.h>

#include "base/memory.h"

enum {
    K_BLOCK = 256,           // terms summed between two visits of the results
    CHUNK_ROWS = 1024,       // enough to make the packing of the weights cheap
    SHARED_BYTES = 12 << 20, // gathered patches
    OWN_ROWS = 256,          // a thread with fewer rows had better share a chunk
    OWN_BYTES = 1 << 20,     // gathered patches of a thread that works alone
    WEIGHT_GRAD_ROWS = 512,  // output pixels summed between two visits of dw
    COTANGENT_BLOCK = 48,    // channels of dy side by side
    WEIGHTS_AHEAD = 8        // rows of the weights between what is fetched and what is used
};

// Along one axis: output i reads the source at i * step + base + u * tap_step through the kernel's
// coordinate tap0 + u * tap_stride, u < taps, and is written at target0 + i * target_step.
typedef struct axis {
    int64_t count, step, base, source_size;
    int taps, tap_step, tap0, tap_stride;
    int64_t target0, target_step;
} axis;

static axis forward_axis(int64_t size, int64_t out_size, int kernel, int stride, int pad)
{
    return (axis){.count = out_size,
                  .step = stride,
                  .base = -pad,
                  .source_size = size,
                  .taps = kernel,
                  .tap_step = 1,
                  .tap_stride = 1,
                  .target_step = 1};
}

// Inputs residue, residue + stride, ...: input y meets output (y + pad - tap) / stride, where that
// is whole.
static axis backward_axis(int64_t size, int64_t out_size, int kernel, int stride, int pad,
                          int residue)
{
    int tap0 = (residue + pad) % stride;
    return (axis){.count = residue < size ? (size - residue - 1) / stride + 1 : 0,
                  .step = 1,
                  .base = (residue + pad - tap0) / stride,
                  .source_size = out_size,
                  .taps = tap0 < kernel ? (kernel - tap0 - 1) / stride + 1 : 0,
                  .tap_step = -1,
                  .tap0 = tap0,
                  .tap_stride = stride,
                  .target0 = residue,
                  .target_step = stride};
}

// One product: rows (n, y.count, x.count), sum over (y.taps, x.taps, channels).
typedef struct gather {
    const float *source;
    int64_t ld, channels;
    int64_t n_rows, n_k;
    axis y, x;
} gather;

static gather gather_of(const axis *y, const axis *x, int64_t n, int64_t channels)
{
    return (gather){.channels = channels,
                    .n_rows = n * y->count * x->count,
                    .n_k = (int64_t)y->taps * x->taps * channels,
                    .y = *y,
                    .x = *x};
}

// Patches in blocks of terms: [block][row][term of the block].
typedef struct patches {
    float *data;
    int64_t block, n_blocks, rows; // rows: of a chunk, at most
} patches;

static size_t patches_floats(const patches *p)
{
    return bdpo_align((size_t)(p->n_blocks * p->rows * p->block), 16);
}

static int64_t block_terms(const patches *p, const gather *g, int64_t block)
{
    return conv_min(p->block, g->n_k - block * p->block);
}

// Terms k .. k + count of a row, from `from` or, where it is NULL, zeros.
static void copy_terms(const patches *p, int64_t row, int64_t k, const float *from, int64_t count)
{
    while (count > 0) {
        int64_t block = k / p->block, start = k - block * p->block;
        int64_t run = conv_min(count, p->block - start);
        float *to = p->data + (block * p->rows + row) * p->block + start;
        if (from != NULL) {
            memcpy(to, from, (size_t)run * sizeof(float));
            from += run;
        } else {
            memset(to, 0, (size_t)run * sizeof(float));
        }
        k += run;
        count -= run;
    }
}

// Gathers row `index` of the product into row `row` of the patches.
static void gather_row(const patches *p, const gather *g, int64_t index, int64_t row)
{
    int64_t x0 = index % g->x.count * g->x.step + g->x.base;
    int64_t y0 = index / g->x.count % g->y.count * g->y.step + g->y.base;
    int64_t image = index / (g->x.count * g->y.count), k = 0;
    for (int u = 0; u < g->y.taps; u++) {
        int64_t y = y0 + u * g->y.tap_step;
        for (int v = 0; v < g->x.taps; v++, k += g->channels) {
            int64_t x = x0 + v * g->x.tap_step;
            bool inside = y >= 0 && y < g->y.source_size && x >= 0 && x < g->x.source_size;
            int64_t pixel = (image * g->y.source_size + y) * g->x.source_size + x;
            copy_terms(p, row, k, inside ? g->source + pixel * g->ld : NULL, g->channels);
        }
    }
}

static void gather_chunk(const patches *p, const gather *g, int64_t first, int64_t count,
                         conv_team team)
{
    int64_t end = conv_share(count, team.rank + 1, team.size);
    for (int64_t row = conv_share(count, team.rank, team.size); row < end; row++) {
        gather_row(p, g, first + row, row);
    }
}

static void meet(conv_team team)
{
    if (team.size > 1) {
#pragma omp barrier
    }
}

// ---- forward and input gradient ---------------------------------------------------------------

typedef struct product_plan {
    gather g;
    patches a;
    int64_t columns;
    bool alone;        // each thread runs chunks of its own rows, else all share each chunk
    int64_t parts;     // jobs into which the rows of a chunk are cut, for each panel
    size_t own_floats; // of each thread: packed weights, results and, when alone, the patches
    size_t total_floats;
} product_plan;

static product_plan plan_product(const gather *g, int64_t columns, int n_threads)
{
    product_plan p = {.g = *g, .columns = columns};
    int64_t n_k = conv_max(1, g->n_k);
    p.a.n_blocks = conv_div_up(n_k, K_BLOCK);
    p.a.block = conv_round_up(conv_div_up(n_k, p.a.n_blocks), 4);
    int64_t row_bytes = p.a.n_blocks * p.a.block * (int64_t)sizeof(float);

    p.alone = g->n_rows >= OWN_ROWS * n_threads && OWN_BYTES / row_bytes >= OWN_ROWS / 2;
    int64_t rows = p.alone ? conv_div_up(g->n_rows, n_threads) : g->n_rows;
    int64_t limit = (p.alone ? OWN_BYTES : SHARED_BYTES) / row_bytes;
    limit = conv_max(CONV_ROWS, conv_min(limit, CHUNK_ROWS));
    p.a.rows = rows > 0 ? conv_div_up(rows, conv_div_up(rows, limit)) : 1;

    int64_t panels = conv_div_up(columns, CONV_COLUMNS);
    p.parts = p.alone ? 1 : conv_parts(panels, conv_div_up(p.a.rows, 2 * CONV_ROWS), n_threads);
    int64_t part_rows = conv_div_up(p.a.rows, p.parts);
    p.own_floats = bdpo_align((size_t)((p.a.block + part_rows) * CONV_COLUMNS), 16);
    if (p.alone) p.own_floats += patches_floats(&p.a);
    p.total_floats = p.own_floats * (size_t)n_threads + (p.alone ? 0 : patches_floats(&p.a));
    return p;
}

// A running product, and what one of its threads owns.
typedef struct product_run {
    const bdpo_conv_call *call;
    const product_plan *plan;
    patches a;
    float *b, *c;
    conv_team team;
} product_run;

// The weight's element that term 0 of tap (u, v) of this product meets, in floats from w, when a
// row of the weight holds `channels` of them.
static int64_t tap_offset(const gather *g, int kw, int64_t channels, int64_t tap)
{
    int64_t u = tap / g->x.taps, v = tap % g->x.taps;
    return ((g->y.tap0 + u * g->y.tap_stride) * kw + g->x.tap0 + v * g->x.tap_stride) * channels;
}

// b[k][lane] = w[m0 + lane][k0 + k]: the rows of [co][K], transposed.
static void pack_forward(const product_run *r, int64_t m0, int vectors, int64_t k0, int64_t count)
{
    const int64_t n_k = r->plan->g.n_k, width = vectors * VF_LANES;
    vf rows[VF_LANES];
    for (int64_t j0 = 0; j0 < width; j0 += VF_LANES) {
        int64_t n_rows = conv_min(VF_LANES, r->plan->columns - m0 - j0);
        for (int64_t k = 0; k < count; k += VF_LANES) {
            const float *w = r->call->other + (m0 + j0) * n_k + k0 + k;
            for (int j = 0; j < VF_LANES; j++) {
                rows[j] = j < n_rows ? conv_load(w + j * n_k, count - k) : vf_zero();
            }
            conv_transpose(rows);
            for (int64_t i = 0; i < VF_LANES && k + i < count; i++) {
                vf_store(r->b + (k + i) * width + j0, rows[i]);
            }
        }
    }
}

// b[k][lane] = w[channel of k][tap of k][m0 + lane].
static void pack_backward(const product_run *r, int64_t m0, int vectors, int64_t k0, int64_t count)
{
    const gather *g = &r->plan->g;
    const bdpo_conv_shape *s = &r->call->shape;
    const int64_t width = vectors * VF_LANES;
    for (int64_t k = 0; k < count; k++) {
        int64_t tap = (k0 + k) / g->channels, channel = (k0 + k) % g->channels;
        const float *w = r->call->other + channel * s->kh * s->kw * s->ci + m0 +
                         tap_offset(g, s->kw, s->ci, tap);
        for (int64_t j = 0; j < width; j += VF_LANES) {
            __builtin_prefetch(w + WEIGHTS_AHEAD * s->kh * s->kw * s->ci + j);
            vf_store(r->b + k * width + j, conv_load(w + j, s->ci - m0 - j));
        }
    }
}

// Writes the results of rows first .. first + count to their pixels.
static void store_rows(const product_run *r, int64_t first, int64_t count, int64_t m0, int vectors)
{
    const axis *y = &r->plan->g.y, *x = &r->plan->g.x;
    const bdpo_conv_shape *s = &r->call->shape;
    bool forward = r->call->pass == BDPO_CONV_FORWARD;
    int64_t h = forward ? s->oh : s->h, w = forward ? s->ow : s->w;
    for (int64_t row = 0; row < count; row++) {
        int64_t index = first + row, image = index / (x->count * y->count);
        int64_t ty = y->target0 + index / x->count % y->count * y->target_step;
        int64_t tx = x->target0 + index % x->count * x->target_step;
        float *to = r->call->out + ((image * h + ty) * w + tx) * r->call->ld_out + m0;
        const float *from = r->c + row * vectors * VF_LANES;
        for (int64_t j = 0; j < vectors * VF_LANES && m0 + j < r->plan->columns; j += VF_LANES) {
            int64_t lanes = r->plan->columns - m0 - j;
            vf value = vf_load(from + j);
            if (r->call->bias != NULL) value += conv_load(r->call->bias + m0 + j, lanes);
            conv_store(to + j, value, lanes);
        }
    }
}

// One panel of columns for the rows [begin, end) of the chunk that starts at `first`.
static void run_panel(const product_run *r, int64_t panel, int64_t first, int64_t begin,
                      int64_t end)
{
    int64_t m0 = panel * CONV_COLUMNS;
    int vectors = r->plan->columns - m0 > VF_LANES ? 2 : 1;
    conv_product product = {.c = r->c,
                            .ldc = vectors * VF_LANES,
                            .lda = r->a.block,
                            .b = r->b,
                            .n_rows = end - begin,
                            .vectors = vectors};
    for (int64_t block = 0; block < r->a.n_blocks; block++) {
        product.n_k = block_terms(&r->a, &r->plan->g, block);
        product.a = r->a.data + (block * r->a.rows + begin) * r->a.block;
        product.add = block > 0;
        product.next_a = product.a + r->a.rows * r->a.block;
        if (r->call->pass == BDPO_CONV_FORWARD) {
            pack_forward(r, m0, vectors, block * r->a.block, product.n_k);
        } else {
            pack_backward(r, m0, vectors, block * r->a.block, product.n_k);
        }
        conv_product_rows(&product);
    }
    store_rows(r, first + begin, end - begin, m0, vectors);
}

// The rows [begin, end), chunk by chunk.
static void run_chunks(const product_run *r, int64_t begin, int64_t end)
{
    const product_plan *p = r->plan;
    int64_t jobs = conv_div_up(p->columns, CONV_COLUMNS) * p->parts;
    for (int64_t first = begin; first < end; first += r->a.rows) {
        int64_t count = conv_min(r->a.rows, end - first);
        gather_chunk(&r->a, &p->g, first, count, r->team);
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

static void run_product(const bdpo_conv_call *call, const product_plan *plan)
{
#pragma omp parallel num_threads(call->n_threads)
    {
        conv_team all = {.rank = omp_get_thread_num(), .size = omp_get_num_threads()};
        float *shared = call->workspace, *own = shared;
        if (!plan->alone) own += patches_floats(&plan->a);
        own += plan->own_floats * (size_t)all.rank;
        product_run run = {.call = call, .plan = plan, .a = plan->a, .b = own};
        run.c = run.b + plan->a.block * CONV_COLUMNS;
        run.a.data = plan->alone ? own + plan->own_floats - patches_floats(&plan->a) : shared;
        run.team = plan->alone ? (conv_team){0, 1} : all;
        if (plan->alone) {
            run_chunks(&run, conv_share(plan->g.n_rows, all.rank, all.size),
                       conv_share(plan->g.n_rows, all.rank + 1, all.size));
        } else {
            run_chunks(&run, 0, plan->g.n_rows);
        }
    }
}

static gather forward_gather(const bdpo_conv_shape *s)
{
    axis y = forward_axis(s->h, s->oh, s->kh, s->stride, s->pad_top);
    axis x = forward_axis(s->w, s->ow, s->kw, s->stride, s->pad_left);
    return gather_of(&y, &x, s->n, s->ci);
}

static gather backward_gather(const bdpo_conv_shape *s, int residue_y, int residue_x)
{
    axis y = backward_axis(s->h, s->oh, s->kh, s->stride, s->pad_top, residue_y);
    axis x = backward_axis(s->w, s->ow, s->kw, s->stride, s->pad_left, residue_x);
    return gather_of(&y, &x, s->n, s->co);
}

static void run_forward(const bdpo_conv_call *call)
{
    gather g = forward_gather(&call->shape);
    g.source = call->in;
    g.ld = call->ld_in;
    product_plan plan = plan_product(&g, call->shape.co, call->n_threads);
    run_product(call, &plan);
}

static void run_input_grad(const bdpo_conv_call *call)
{
    for (int ry = 0; ry < call->shape.stride; ry++) {
        for (int rx = 0; rx < call->shape.stride; rx++) {
            gather g = backward_gather(&call->shape, ry, rx);
            g.source = call->in;
            g.ld = call->ld_in;
            product_plan plan = plan_product(&g, call->shape.ci, call->n_threads);
            run_product(call, &plan);
        }
    }
}

// ---- weight gradient --------------------------------------------------------------------------

// dw[co][K] = sum over output pixels of dy[pixel][co] patch[pixel][K].
typedef struct weight_plan {
    gather g;
    patches b;  // panels of CONV_COLUMNS terms
    patches dy; // blocks of channels
    int64_t parts;
    size_t own_floats, total_floats;
} weight_plan;

static weight_plan plan_weight_grad(const bdpo_conv_shape *s, int n_threads)
{
    weight_plan p = {.g = forward_gather(s)};
    p.b.block = CONV_COLUMNS;
    p.b.n_blocks = conv_div_up(p.g.n_k, CONV_COLUMNS);
    p.dy.block = conv_min(COTANGENT_BLOCK, conv_round_up(s->co, 4));
    p.dy.n_blocks = conv_div_up(s->co, p.dy.block);
    int64_t row_bytes =
        (p.b.n_blocks * p.b.block + p.dy.n_blocks * p.dy.block) * (int64_t)sizeof(float);
    int64_t limit = conv_max(16, conv_min(WEIGHT_GRAD_ROWS, SHARED_BYTES / row_bytes));
    p.b.rows = conv_div_up(p.g.n_rows, conv_div_up(p.g.n_rows, limit));
    p.dy.rows = p.b.rows;
    p.parts = conv_parts(p.b.n_blocks * p.dy.n_blocks, conv_div_up(p.dy.block, 4), n_threads);
    p.own_floats = (size_t)(p.dy.block * CONV_COLUMNS);
    p.total_floats =
        p.own_floats * (size_t)n_threads + patches_floats(&p.b) + patches_floats(&p.dy);
    return p;
}

static void clear_last_terms(const patches *b, const gather *g, int64_t rows, conv_team team)
{
    int64_t used = block_terms(b, g, b->n_blocks - 1);
    int64_t end = conv_share(rows, team.rank + 1, team.size);
    for (int64_t row = conv_share(rows, team.rank, team.size); row < end; row++) {
        float *to = b->data + ((b->n_blocks - 1) * b->rows + row) * b->block + used;
        memset(to, 0, (size_t)(b->block - used) * sizeof(float));
    }
}

static void copy_cotangent(const patches *to, const bdpo_conv_call *call, int64_t first,
                           int64_t count, conv_team team)
{
    int64_t end = conv_share(count, team.rank + 1, team.size);
    for (int64_t row = conv_share(count, team.rank, team.size); row < end; row++) {
        copy_terms(to, row, 0, call->other + (first + row) * call->ld_other, call->shape.co);
    }
}

// One job: a panel of terms by a range of rows of a block of output channels.
static void run_weight_job(const bdpo_conv_call *call, const weight_plan *p, const patches *b,
                           const patches *dy, float *c, int64_t job, int64_t count, bool add)
{
    int64_t part = job % p->parts, block = job / p->parts % dy->n_blocks;
    int64_t panel = job / p->parts / dy->n_blocks, n_k = p->g.n_k;
    int64_t co0 = block * dy->block, rows = conv_min(dy->block, call->shape.co - co0);
    int64_t begin = rows * part / p->parts, end = rows * (part + 1) / p->parts;
    conv_product product = {.c = c,
                            .ldc = CONV_COLUMNS,
                            .a = dy->data + block * dy->rows * dy->block + begin,
                            .lda = dy->block,
                            .b = b->data + panel * b->rows * b->block,
                            .n_rows = end - begin,
                            .n_k = count,
                            .vectors = 2};
    product.next_a = product.a + dy->rows * dy->block;
    for (int64_t row = begin; row < end; row++) { // each on another page: fetched meanwhile
        __builtin_prefetch(call->out + (co0 + row) * n_k + panel * CONV_COLUMNS, 1);
    }
    conv_product_columns(&product);
    for (int64_t row = begin; row < end; row++) {
        float *dw = call->out + (co0 + row) * n_k + panel * CONV_COLUMNS;
        const float *from = c + (row - begin) * CONV_COLUMNS;
        for (int64_t j = 0; j < CONV_COLUMNS && panel * CONV_COLUMNS + j < n_k; j += VF_LANES) {
            int64_t lanes = n_k - panel * CONV_COLUMNS - j;
            vf old = add ? conv_load(dw + j, lanes) : vf_zero();
            conv_store(dw + j, old + vf_load(from + j), lanes);
        }
    }
}

static void run_weight_grad(const bdpo_conv_call *call)
{
    weight_plan plan = plan_weight_grad(&call->shape, call->n_threads);
    plan.g.source = call->in;
    plan.g.ld = call->ld_in;
    patches b = plan.b, dy = plan.dy;
    b.data = call->workspace;
    dy.data = b.data + patches_floats(&b);
    float *own = dy.data + patches_floats(&dy);
#pragma omp parallel num_threads(call->n_threads)
    {
        conv_team team = {.rank = omp_get_thread_num(), .size = omp_get_num_threads()};
        float *c = own + plan.own_floats * (size_t)team.rank;
        int64_t jobs = b.n_blocks * dy.n_blocks * plan.parts;
        for (int64_t first = 0; first < plan.g.n_rows; first += b.rows) {
            int64_t count = conv_min(b.rows, plan.g.n_rows - first);
            gather_chunk(&b, &plan.g, first, count, team);
            clear_last_terms(&b, &plan.g, count, team);
            copy_cotangent(&dy, call, first, count, team);
            meet(team);
            int64_t last = conv_share(jobs, team.rank + 1, team.size);
            for (int64_t job = conv_share(jobs, team.rank, team.size); job < last; job++) {
                run_weight_job(call, &plan, &b, &dy, c, job, count, call->accumulate || first > 0);
            }
            meet(team);
        }
    }
}

// ---- the table --------------------------------------------------------------------------------

static size_t input_grad_floats(const bdpo_conv_shape *shape, int n_threads)
{
    size_t most = 0;
    for (int ry = 0; ry < shape->stride; ry++) {
        for (int rx = 0; rx < shape->stride; rx++) {
            gather g = backward_gather(shape, ry, rx);
            product_plan p = plan_product(&g, shape->ci, n_threads);
            if (p.total_floats > most) most = p.total_floats;
        }
    }
    return most;
}

static size_t workspace(const bdpo_conv_shape *shape, bdpo_conv_pass pass, int n_threads)
{
    size_t floats = 0;
    switch (pass) {
    case BDPO_CONV_FORWARD: {
        gather g = forward_gather(shape);
        floats = plan_product(&g, shape->co, n_threads).total_floats;
        break;
    }
    case BDPO_CONV_INPUT_GRAD:
        floats = input_grad_floats(shape, n_threads);
        break;
    case BDPO_CONV_WEIGHT_GRAD:
        floats = plan_weight_grad(shape, n_threads).total_floats;
        break;
    }
    return floats * sizeof(float);
}

static void run(const bdpo_conv_call *call)
{
    switch (call->pass) {
    case BDPO_CONV_FORWARD:
        run_forward(call);
        break;
    case BDPO_CONV_INPUT_GRAD:
        run_input_grad(call);
        break;
    case BDPO_CONV_WEIGHT_GRAD:
        run_weight_grad(call);
        break;
    }
}

extern const bdpo_conv_method BDPO_ISA_SYMBOL(bdpo_conv_direct_method);
const bdpo_conv_method BDPO_ISA_SYMBOL(bdpo_conv_direct_method) = {.workspace = workspace,
                                                                   .run = run};

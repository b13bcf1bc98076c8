// The blocks of the SD UNet, forward and forward + backward, through the engine: SD 1.5's four
// levels at two images, and the small shapes of toy models. bench/torch_blocks.py does the same
// work in PyTorch, bench/compare.sh runs both. "both" and "memory" are with norms and activations
// computed again in the backward pass, which costs next to nothing; "_all_kept" without that,
// "_checkpointed" with whole segments computed again.
#include "bench.h"

#include <bdpo/engine.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "parity/blocks_graph.h"
#include "parity/parity_inputs.h"

static void check(bdpo_status status)
{
    if (status == BDPO_OK) return;
    fprintf(stderr, "bench_blocks: %s\n", bdpo_message());
    exit(1);
}

static size_t count_of(bdpo_shape shape)
{
    size_t count = 1;
    for (int i = 0; i < shape.n_dims; i++) count *= (size_t)shape.dim[i];
    return count;
}

static float *filled(size_t count, const char *name, double scale)
{
    float *values = bdpo_alloc(count, sizeof *values);
    if (!values) check(BDPO_NO_MEMORY);
    parity_fill(values, count, name, scale, 0);
    return values;
}

// Values of a plausible size: denormals or infinities would distort the times.
static void fill_store(bdpo_store *store)
{
    for (int i = 0; i < bdpo_store_count(store); i++) {
        const char *name = bdpo_store_name(store, i);
        bdpo_dtype dtype;
        bdpo_shape shape;
        check(bdpo_store_describe(store, BDPO_PARAM, name, &dtype, &shape));
        size_t count = count_of(shape);
        double fan_in = (double)count / (double)shape.dim[0];
        bool weight = strstr(name, "weight") != NULL && shape.n_dims > 1;
        float *values = filled(count, name, weight ? 1 / __builtin_sqrt(fan_in) : 1);
        check(bdpo_store_write(store, BDPO_PARAM, name, values, count * sizeof *values));
        bdpo_free(values);
    }
}

static void run_plan(void *plan)
{
    check(bdpo_plan_run(plan));
}

// Of a forward + backward pass: what is kept for the backward pass.
typedef enum keeping { KEEP_LEAN, KEEP_ALL, KEEP_SEGMENTS } keeping;
static const char *const keeping_suffix[] = {"", "_all_kept", "_checkpointed"};

static void bench_plan(bdpo_engine *engine, bdpo_store *store, const block_shape *shape,
                       const char *name, bool backward, keeping keep)
{
    block_shape lean = *shape, *s = &lean;
    lean.lean = keep == KEEP_LEAN;
    bdpo_graph *g;
    bdpo_plan *plan;
    check(bdpo_graph_new(&g, store));
    bdpo_graph_set_checkpointing(g, keep != KEEP_ALL);
    bdpo_node *y = block_build(g, s);
    if (backward)
        block_backward(g, y);
    else
        bdpo_output(g, "y", y);
    check(bdpo_graph_check(g));
    check(bdpo_plan_new(&plan, engine, g, &(bdpo_plan_options){0}));
    if (backward) {
        size_t count = count_of(bdpo_node_shape(y));
        float *dy = filled(count, "dy", 1);
        check(bdpo_plan_write(plan, "dy", dy, count * sizeof *dy));
        bdpo_free(dy);
    }
    char what[96];
    snprintf(what, sizeof what, "%s/%s%s", name, backward ? "both" : "forward",
             keeping_suffix[keep]);
    bench_measure(what, block_flops(s) * (backward ? 3 : 1), 0, run_plan, plan);
    if (backward) {
        snprintf(what, sizeof what, "%s/memory%s", name, keeping_suffix[keep]);
        bench_memory(what, (double)bdpo_plan_costs(plan).peak_bytes);
    }
    bdpo_plan_free(plan);
    bdpo_graph_free(g);
}

static bool any_wanted(const char *name)
{
    static const char *const parts[] = {"forward",
                                        "both",
                                        "memory",
                                        "both_all_kept",
                                        "memory_all_kept",
                                        "both_checkpointed",
                                        "memory_checkpointed"};
    char what[96];
    bool wanted = false;
    for (size_t i = 0; i < BDPO_COUNTOF(parts); i++) {
        snprintf(what, sizeof what, "%s/%s", name, parts[i]);
        wanted = bench_wanted(what) || wanted;
    }
    return wanted;
}

static void bench_block(const char *name, const block_shape *s)
{
    if (!any_wanted(name)) return;
    bdpo_engine *engine;
    bdpo_store *store;
    check(bdpo_engine_new(&engine, &(bdpo_engine_options){.n_threads = bench_threads()}));
    check(bdpo_store_new(&store, engine));
    check(block_declare(store, s));
    fill_store(store);
    bench_plan(engine, store, s, name, false, KEEP_LEAN);
    bench_plan(engine, store, s, name, true, KEEP_LEAN);
    bench_plan(engine, store, s, name, true, KEEP_ALL);
    bench_plan(engine, store, s, name, true, KEEP_SEGMENTS);
    bdpo_store_free(store);
    bdpo_engine_free(engine);
}

static void bench_level(block_kind kind, int64_t channels, int64_t size)
{
    char name[64];
    snprintf(name, sizeof name, "%s_%d_%d", kind == BLOCK_RESIDUAL ? "residual" : "transformer",
             (int)channels, (int)size);
    block_shape s = block_sd15(kind, 2, size, channels, channels);
    bench_block(name, &s);
}

BDPO_BENCH(sd15)
{
    static const struct {
        int channels, size;
    } levels[] = {{320, 64}, {640, 32}, {1280, 16}, {1280, 8}};
    for (size_t i = 0; i < BDPO_COUNTOF(levels); i++) {
        bench_level(BLOCK_RESIDUAL, levels[i].channels, levels[i].size);
        bench_level(BLOCK_TRANSFORMER, levels[i].channels, levels[i].size);
    }
}

// 16 images of 64 to 256 tokens, 64 to 128 wide.
BDPO_BENCH(small)
{
    static const struct {
        const char *name;
        block_kind kind;
        int channels, size;
    } rows[] = {{"residual_64_16", BLOCK_RESIDUAL, 64, 16},
                {"residual_128_8", BLOCK_RESIDUAL, 128, 8},
                {"transformer_64_16", BLOCK_TRANSFORMER, 64, 16},
                {"transformer_128_8", BLOCK_TRANSFORMER, 128, 8}};
    for (size_t i = 0; i < BDPO_COUNTOF(rows); i++) {
        block_shape s =
            block_sd15(rows[i].kind, 16, rows[i].size, rows[i].channels, rows[i].channels);
        s.heads = 4;
        s.time_width = 256;
        s.context_width = 128;
        bench_block(rows[i].name, &s);
    }
}

// Plans: sticky errors, refused kernels, the arena, half width, costs, buckets, the cache.
#include <stdatomic.h>
#include <stdlib.h>

#include <bdpo/engine.h>

#include "base/memory.h"
#include "graph/graph.h"
#include "graph/plan.h"
#include "harness.h"
#include "ops/ops.h"

enum { ROWS = 5, WIDTH = 12, COUNT = ROWS * WIDTH };

static bdpo_engine *engine_of(const char *backend)
{
    bdpo_engine *engine;
    CHECK_OK(bdpo_engine_new(&engine, &(bdpo_engine_options){.backend = backend, .n_threads = 2}));
    return engine;
}

static bdpo_store *store_of(bdpo_engine *engine)
{
    bdpo_store *store;
    float w[WIDTH * WIDTH];
    CHECK_OK(bdpo_store_new(&store, engine));
    CHECK_OK(bdpo_store_declare(store, "w", BDPO_F32, BDPO_SHAPE(WIDTH, WIDTH), true));
    CHECK_OK(bdpo_store_seal(store));
    for (int i = 0; i < WIDTH * WIDTH; i++) w[i] = (float)((i * 37) % 100) / 100 - 0.5f;
    CHECK_OK(bdpo_store_write(store, BDPO_PARAM, "w", w, sizeof w));
    return store;
}

static bdpo_node *input(bdpo_graph *g)
{
    return bdpo_input(g, "x", BDPO_F32, BDPO_SHAPE(ROWS, WIDTH));
}

static bdpo_node *linear(bdpo_graph *g, bdpo_node *x)
{
    return bdpo_linear(g, x, bdpo_param(g, "w"), NULL, BDPO_NO_ACTIVATION);
}

BDPO_TEST(the_first_error_sticks)
{
    bdpo_engine *engine = engine_of("cpu");
    bdpo_store *store = store_of(engine);
    bdpo_graph *g;
    bdpo_plan *plan;
    CHECK_OK(bdpo_graph_new(&g, store));
    bdpo_node *bad = bdpo_linear(g, bdpo_input(g, "x", BDPO_F32, BDPO_SHAPE(2, 3)),
                                 bdpo_param(g, "w"), NULL, BDPO_NO_ACTIVATION);
    CHECK(bad == NULL);
    CHECK(bdpo_silu(g, bad) == NULL);
    CHECK(bdpo_param(g, "unknown") == NULL);
    bdpo_output(g, "y", bad);
    bdpo_backward(g, bad);
    CHECK_STATUS(bdpo_graph_check(g), BDPO_BAD_SHAPE);
    CHECK_CONTAINS(bdpo_message(), "linear: weight [12, 12] does not fit rows of [2, 3]");
    CHECK_STATUS(bdpo_plan_new(&plan, engine, g, &(bdpo_plan_options){0}), BDPO_BAD_SHAPE);
    CHECK(plan == NULL);
    bdpo_graph_free(g);
    bdpo_store_free(store);
    bdpo_engine_free(engine);
}

BDPO_TEST(mistakes_of_the_caller_are_told)
{
    bdpo_engine *engine = engine_of("cpu");
    bdpo_store *store = store_of(engine);
    bdpo_graph *g;
    CHECK_OK(bdpo_graph_new(&g, store));
    bdpo_param(g, "nowhere");
    CHECK_STATUS(bdpo_graph_check(g), BDPO_NOT_FOUND);
    CHECK_CONTAINS(bdpo_message(), "\"nowhere\"");
    bdpo_graph_free(g);
    CHECK_OK(bdpo_graph_new(&g, store));
    bdpo_segment_begin(g);
    CHECK_STATUS(bdpo_graph_check(g), BDPO_BAD_ARGUMENT);
    bdpo_graph_free(g);
    CHECK_OK(bdpo_graph_new(&g, store));
    bdpo_output(g, "y", input(g));
    bdpo_output(g, "y", linear(g, bdpo_silu(g, bdpo_input(g, "z", BDPO_F32, BDPO_SHAPE(1, 12)))));
    CHECK_STATUS(bdpo_graph_check(g), BDPO_BAD_ARGUMENT);
    CHECK_CONTAINS(bdpo_message(), "named twice");
    bdpo_graph_free(g);
    CHECK_OK(bdpo_graph_new(&g, store));
    CHECK(input(g) != NULL && input(g) == NULL);
    CHECK_STATUS(bdpo_graph_check(g), BDPO_BAD_ARGUMENT);
    bdpo_graph_free(g);
    CHECK_OK(bdpo_graph_new(&g, store));
    bdpo_node *zeroed = bdpo_zero(g, bdpo_state(g, BDPO_PARAM, "w"));
    CHECK(bdpo_silu(g, zeroed) == NULL);
    CHECK_STATUS(bdpo_graph_check(g), BDPO_BAD_SHAPE);
    CHECK_CONTAINS(bdpo_message(), "silu: input 0, zero, changes the store and has no value");
    bdpo_graph_free(g);
    CHECK_OK(bdpo_graph_new(&g, store));
    bdpo_output(g, "y", bdpo_zero(g, bdpo_state(g, BDPO_PARAM, "w")));
    CHECK_STATUS(bdpo_graph_check(g), BDPO_BAD_ARGUMENT);
    bdpo_graph_free(g);
    bdpo_store_free(store);
    bdpo_engine_free(engine);
    CHECK_STATUS(bdpo_engine_new(&engine, &(bdpo_engine_options){.backend = "tpu"}),
                 BDPO_BAD_ARGUMENT);
    CHECK(engine == NULL);
}

static bdpo_status shape_of_input(bdpo_node *node)
{
    return bdpo_same_shape(node, 1);
}

BDPO_TEST(an_operator_without_a_kernel_is_refused_by_name)
{
    static const bdpo_op homeless = {
        .name = "homeless", .n_inputs = 1, .shape = shape_of_input, .grad = bdpo_no_grad};
    bdpo_engine *engine = engine_of("cpu");
    bdpo_graph *g;
    bdpo_plan *plan;
    CHECK_OK(bdpo_graph_new(&g, NULL));
    bdpo_node *x = input(g);
    bdpo_output(g, "y", bdpo_node_new(g, &homeless, NULL, &x, 1));
    CHECK_STATUS(bdpo_plan_new(&plan, engine, g, &(bdpo_plan_options){0}), BDPO_UNSUPPORTED);
    CHECK_CONTAINS(bdpo_message(), "the cpu backend has no kernel for operator \"homeless\"");
    bdpo_graph_free(g);
    bdpo_engine_free(engine);
}

// y = silu(w x), with everything that training adds.
static bdpo_plan *training_plan(bdpo_engine *engine, bdpo_graph *g,
                                const bdpo_plan_options *options)
{
    bdpo_plan *plan;
    bdpo_node *y = bdpo_silu(g, linear(g, bdpo_tanh(g, linear(g, input(g)))));
    bdpo_node *dy = bdpo_input(g, "dy", BDPO_F32, BDPO_SHAPE(ROWS, WIDTH));
    bdpo_node *w = bdpo_param(g, "w"), *dw;
    bdpo_output(g, "y", y);
    bdpo_gradients(g, y, dy, &w, 1, &dw);
    bdpo_output(g, "dw", dw);
    CHECK_OK(bdpo_plan_new(&plan, engine, g, options));
    return plan;
}

BDPO_TEST(a_run_allocates_nothing)
{
    bdpo_engine *engine = engine_of("cpu");
    bdpo_store *store = store_of(engine);
    bdpo_graph *g;
    float x[COUNT] = {1};
    CHECK_OK(bdpo_graph_new(&g, store));
    bdpo_plan *plan = training_plan(engine, g, &(bdpo_plan_options){0});
    CHECK_OK(bdpo_plan_run(plan)); // the first run may start threads
    uint64_t before = bdpo_alloc_count();
    for (int i = 0; i < 10; i++) {
        CHECK_OK(bdpo_plan_write(plan, "x", x, sizeof x));
        CHECK_OK(bdpo_plan_run(plan));
        CHECK_OK(bdpo_plan_read(plan, "y", x, sizeof x));
    }
    CHECK_U64(bdpo_alloc_count(), before);
    bdpo_plan_free(plan);
    bdpo_graph_free(g);
    bdpo_store_free(store);
    bdpo_engine_free(engine);
}

BDPO_TEST(the_planned_peak_is_the_arena)
{
    bdpo_engine *engine = engine_of("cpu");
    bdpo_store *store = store_of(engine);
    bdpo_graph *g;
    CHECK_OK(bdpo_graph_new(&g, store));
    bdpo_plan *plan = training_plan(engine, g, &(bdpo_plan_options){0});
    CHECK(bdpo_plan_costs(plan).peak_bytes > 0);
    CHECK_U64(bdpo_engine_arena_bytes(engine), bdpo_plan_costs(plan).peak_bytes);
    bdpo_plan_free(plan);
    bdpo_graph_free(g);
    bdpo_store_free(store);
    bdpo_engine_free(engine);
}

static void build_large(bdpo_graph *g)
{
    bdpo_node *x = bdpo_input(g, "x", BDPO_F32, BDPO_SHAPE(5000, WIDTH));
    bdpo_output(g, "y", bdpo_silu(g, linear(g, linear(g, x))));
}

// A later, larger plan moves the arena; the earlier one must follow it.
BDPO_TEST(plans_share_an_arena_that_moves)
{
    bdpo_engine *engine = engine_of("cpu");
    bdpo_store *store = store_of(engine);
    bdpo_graph *small, *large;
    bdpo_plan *large_plan;
    float x[COUNT], before[COUNT], after[COUNT];
    for (int i = 0; i < COUNT; i++) x[i] = (float)i / COUNT;
    CHECK_OK(bdpo_graph_new(&small, store));
    bdpo_plan *plan = training_plan(engine, small, &(bdpo_plan_options){0});
    CHECK_OK(bdpo_plan_write(plan, "x", x, sizeof x));
    CHECK_OK(bdpo_plan_run(plan));
    CHECK_OK(bdpo_plan_read(plan, "y", before, sizeof before));

    CHECK_OK(bdpo_graph_new(&large, store));
    build_large(large);
    CHECK_OK(bdpo_plan_new(&large_plan, engine, large, &(bdpo_plan_options){0}));
    CHECK_OK(bdpo_plan_run(large_plan));
    CHECK_OK(bdpo_plan_run(plan));
    CHECK_OK(bdpo_plan_read(plan, "y", after, sizeof after));
    CHECK_BYTES(after, before, sizeof after);
    CHECK_U64(bdpo_engine_arena_bytes(engine), bdpo_plan_costs(large_plan).peak_bytes);
    bdpo_plan_free(large_plan);
    bdpo_plan_free(plan);
    bdpo_graph_free(large);
    bdpo_graph_free(small);
    bdpo_store_free(store);
    bdpo_engine_free(engine);
}

// The arena is given back before a larger one is asked for. When there is none, the plans that
// fitted into the old one get it again, or are told that they do not.
BDPO_TEST(plans_survive_an_arena_that_could_not_grow)
{
    bdpo_engine *engine = engine_of("cpu");
    bdpo_store *store = store_of(engine);
    bdpo_graph *small, *large;
    bdpo_plan *large_plan = NULL;
    float x[COUNT], before[COUNT], after[COUNT];
    int n_lost = 0;
    for (int i = 0; i < COUNT; i++) x[i] = (float)i / COUNT;
    CHECK_OK(bdpo_graph_new(&small, store));
    bdpo_plan *plan = training_plan(engine, small, &(bdpo_plan_options){0});
    CHECK_OK(bdpo_plan_write(plan, "x", x, sizeof x));
    CHECK_OK(bdpo_plan_run(plan));
    CHECK_OK(bdpo_plan_read(plan, "y", before, sizeof before));
    CHECK_OK(bdpo_graph_new(&large, store));
    build_large(large);
    for (uint64_t n = 1; !large_plan; n++) {
        bdpo_alloc_fail_at(bdpo_alloc_count() + n);
        bdpo_status status = bdpo_plan_new(&large_plan, engine, large, &(bdpo_plan_options){0});
        bdpo_alloc_fail_at(0);
        if (status != BDPO_OK) CHECK_STATUS(status, BDPO_NO_MEMORY);
        if (bdpo_engine_arena_bytes(engine) == 0) {
            n_lost++;
            bdpo_alloc_fail_at(bdpo_alloc_count() + 1);
            CHECK_STATUS(bdpo_plan_run(plan), BDPO_NO_MEMORY);
            bdpo_alloc_fail_at(0);
        }
        CHECK_OK(bdpo_plan_run(plan));
        CHECK_OK(bdpo_plan_read(plan, "y", after, sizeof after));
        CHECK_BYTES(after, before, sizeof after);
    }
    CHECK_INT(n_lost, 1);
    bdpo_plan_free(large_plan);
    bdpo_plan_free(plan);
    bdpo_graph_free(large);
    bdpo_graph_free(small);
    bdpo_store_free(store);
    bdpo_engine_free(engine);
}

BDPO_TEST(elementwise_nodes_reuse_their_input)
{
    bdpo_engine *engine = engine_of("null");
    bdpo_graph *g;
    bdpo_plan *plan;
    CHECK_OK(bdpo_graph_new(&g, NULL));
    bdpo_node *x = input(g);
    for (int i = 0; i < 10; i++) x = bdpo_tanh(g, x);
    bdpo_output(g, "y", x);
    CHECK_OK(bdpo_plan_new(&plan, engine, g, &(bdpo_plan_options){0}));
    CHECK_U64(bdpo_plan_costs(plan).peak_bytes, bdpo_align(COUNT * sizeof(float), 64));
    bdpo_plan_free(plan);
    bdpo_graph_free(g);
    bdpo_engine_free(engine);
}

BDPO_TEST(bf16_halves_the_planned_memory)
{
    size_t peak[2];
    for (int half = 0; half < 2; half++) {
        bdpo_engine *engine = engine_of("null");
        bdpo_graph *g;
        bdpo_store *store = store_of(engine);
        bdpo_plan *plan;
        CHECK_OK(bdpo_graph_new(&g, store));
        bdpo_node *x = bdpo_input(g, "x", half ? BDPO_BF16 : BDPO_F32, BDPO_SHAPE(4096, WIDTH));
        bdpo_node *a = linear(g, x);
        bdpo_output(g, "y", linear(g, linear(g, a)));
        bdpo_dtype dtype = half ? BDPO_BF16 : BDPO_F32;
        CHECK_OK(bdpo_plan_new(&plan, engine, g, &(bdpo_plan_options){.compute_dtype = dtype}));
        peak[half] = bdpo_plan_costs(plan).peak_bytes;
        bdpo_plan_free(plan);
        bdpo_graph_free(g);
        bdpo_store_free(store);
        bdpo_engine_free(engine);
    }
    // half the bytes for the two products in flight; the third goes through a cast to its output
    CHECK_U64(peak[1] * 2, peak[0]);
}

// On the CPU a bf16 plan computes in f32 and rounds: each value equals the rounded f32 product of
// rounded operands.
BDPO_TEST(bf16_is_emulated_by_rounding)
{
    bdpo_engine *engine = engine_of("cpu");
    bdpo_store *store = store_of(engine);
    bdpo_graph *g;
    bdpo_plan *plan;
    float x[COUNT], y[COUNT], w[WIDTH * WIDTH];
    for (int i = 0; i < COUNT; i++) x[i] = (float)(i % 17) / 7 - 1.0f;
    CHECK_OK(bdpo_graph_new(&g, store));
    bdpo_output(g, "y", linear(g, input(g)));
    CHECK_OK(bdpo_plan_new(&plan, engine, g, &(bdpo_plan_options){.compute_dtype = BDPO_BF16}));
    CHECK_OK(bdpo_plan_write(plan, "x", x, sizeof x));
    CHECK_OK(bdpo_plan_run(plan));
    CHECK_OK(bdpo_plan_read(plan, "y", y, sizeof y));
    CHECK_OK(bdpo_store_read(store, BDPO_PARAM, "w", w, sizeof w));
    for (int r = 0; r < ROWS; r++)
        for (int c = 0; c < WIDTH; c++) {
            double sum = 0;
            for (int k = 0; k < WIDTH; k++)
                sum += (double)bdpo_bf16_to_f32(bdpo_bf16_from_f32(x[r * WIDTH + k])) *
                       bdpo_bf16_to_f32(bdpo_bf16_from_f32(w[c * WIDTH + k]));
            float got = y[r * WIDTH + c];
            CHECK(bdpo_bf16_to_f32(bdpo_bf16_from_f32(got)) == got);
            CHECK_NEAR(got, sum, fabs(sum) / 256 + 1e-6); // half a step of 8 bits
        }
    bdpo_plan_free(plan);
    bdpo_graph_free(g);
    bdpo_store_free(store);
    bdpo_engine_free(engine);
}

// Inside bdpo_f32_begin() a bf16 plan rounds nothing but the weight's shadow at its border.
BDPO_TEST(an_island_computes_in_f32)
{
    bdpo_engine *engine = engine_of("cpu");
    bdpo_graph *g;
    bdpo_plan *plan;
    float x[COUNT], inside[COUNT], outside[COUNT];
    for (int i = 0; i < COUNT; i++) x[i] = (float)i / 31;
    CHECK_OK(bdpo_graph_new(&g, NULL));
    bdpo_node *in = input(g);
    bdpo_f32_begin(g);
    bdpo_output(g, "inside", bdpo_tanh(g, in));
    bdpo_f32_end(g);
    bdpo_output(g, "outside", bdpo_tanh(g, in));
    CHECK_OK(bdpo_plan_new(&plan, engine, g, &(bdpo_plan_options){.compute_dtype = BDPO_BF16}));
    CHECK_OK(bdpo_plan_write(plan, "x", x, sizeof x));
    CHECK_OK(bdpo_plan_run(plan));
    CHECK_OK(bdpo_plan_read(plan, "inside", inside, sizeof inside));
    CHECK_OK(bdpo_plan_read(plan, "outside", outside, sizeof outside));
    int n_rounded = 0;
    for (int i = 0; i < COUNT; i++) {
        CHECK_NEAR(inside[i], tanh((double)x[i]), 1e-6);
        n_rounded += bdpo_bf16_to_f32(bdpo_bf16_from_f32(inside[i])) == inside[i];
        CHECK(bdpo_bf16_to_f32(bdpo_bf16_from_f32(outside[i])) == outside[i]);
    }
    CHECK(n_rounded < COUNT / 4);
    bdpo_plan_free(plan);
    bdpo_graph_free(g);
    bdpo_engine_free(engine);
}

BDPO_TEST(half_width_weights_are_widened_on_use)
{
    bdpo_engine *engine = engine_of("cpu");
    bdpo_store *store;
    bdpo_graph *g;
    bdpo_plan *plan;
    static const uint16_t w[2] = {0x3e00, 0xc000}; // f16: 1.5, -2
    float x = 3, y[2];
    CHECK_OK(bdpo_store_new(&store, engine));
    CHECK_OK(bdpo_store_declare_mapped(store, "w", BDPO_F16, BDPO_SHAPE(2, 1), w));
    CHECK_OK(bdpo_store_seal(store));
    CHECK_OK(bdpo_graph_new(&g, store));
    bdpo_output(g, "y", linear(g, bdpo_input(g, "x", BDPO_F32, BDPO_SHAPE(1, 1))));
    CHECK_OK(bdpo_plan_new(&plan, engine, g, &(bdpo_plan_options){0}));
    CHECK_OK(bdpo_plan_write(plan, "x", &x, sizeof x));
    CHECK_OK(bdpo_plan_run(plan));
    CHECK_OK(bdpo_plan_read(plan, "y", y, sizeof y));
    CHECK(y[0] == 4.5f && y[1] == -6.0f);
    bdpo_plan_free(plan);
    bdpo_graph_free(g);
    bdpo_store_free(store);
    bdpo_engine_free(engine);
}

BDPO_TEST(costs_and_report_tell_the_truth)
{
    bdpo_engine *engine = engine_of("null");
    bdpo_store *store = store_of(engine);
    bdpo_graph *g;
    bdpo_plan *plan;
    CHECK_OK(bdpo_graph_new(&g, store));
    bdpo_output(g, "y", bdpo_tanh(g, linear(g, input(g))));
    CHECK_OK(bdpo_plan_new(&plan, engine, g, &(bdpo_plan_options){0}));
    bdpo_plan_cost cost = bdpo_plan_costs(plan);
    CHECK_INT(cost.flops, 2 * ROWS * WIDTH * WIDTH + COUNT);
    CHECK_INT(cost.bytes, (3 * COUNT + WIDTH * WIDTH + COUNT) * 4);
    CHECK_INT(cost.n_nodes, 2);
    char text[2000] = "";
    FILE *file = fmemopen(text, sizeof text, "w");
    bdpo_plan_report(plan, file);
    fclose(file);
    CHECK_CONTAINS(text, "linear");
    CHECK_CONTAINS(text, "[5, 12]");
    CHECK_CONTAINS(text, "2 nodes");
    bdpo_plan_free(plan);
    bdpo_graph_free(g);
    bdpo_store_free(store);
    bdpo_engine_free(engine);
}

BDPO_TEST(wrong_sizes_and_names_are_refused)
{
    bdpo_engine *engine = engine_of("cpu");
    bdpo_graph *g;
    bdpo_plan *plan;
    float x[COUNT] = {0};
    CHECK_OK(bdpo_graph_new(&g, NULL));
    bdpo_output(g, "y", bdpo_tanh(g, input(g)));
    CHECK_OK(bdpo_plan_new(&plan, engine, g, &(bdpo_plan_options){0}));
    CHECK_STATUS(bdpo_plan_write(plan, "x", x, 4), BDPO_BAD_SHAPE);
    CHECK_CONTAINS(bdpo_message(), "input \"x\" is f32 [5, 12]: expected 240 bytes, got 4");
    CHECK_STATUS(bdpo_plan_write(plan, "y", x, sizeof x), BDPO_NOT_FOUND);
    CHECK_STATUS(bdpo_plan_read(plan, "x", x, sizeof x), BDPO_NOT_FOUND);
    bdpo_plan_free(plan);
    bdpo_graph_free(g);
    bdpo_engine_free(engine);
}

// ---- outputs that are leaves or views ----------------------------------------------------------

BDPO_TEST(an_output_may_be_an_input_or_a_weight)
{
    bdpo_engine *engine = engine_of("cpu");
    bdpo_store *store = store_of(engine);
    bdpo_graph *g;
    bdpo_plan *plan;
    float x[COUNT], y[COUNT], w[WIDTH * WIDTH], kept[WIDTH * WIDTH];
    for (int i = 0; i < COUNT; i++) x[i] = (float)i;
    CHECK_OK(bdpo_graph_new(&g, store));
    bdpo_output(g, "same", input(g));
    bdpo_output(g, "weight", bdpo_param(g, "w"));
    CHECK_OK(bdpo_plan_new(&plan, engine, g, &(bdpo_plan_options){0}));
    CHECK_OK(bdpo_plan_write(plan, "x", x, sizeof x));
    CHECK_OK(bdpo_plan_run(plan));
    CHECK_OK(bdpo_plan_read(plan, "same", y, sizeof y));
    CHECK_BYTES(y, x, sizeof x);
    CHECK_OK(bdpo_plan_read(plan, "weight", w, sizeof w));
    CHECK_OK(bdpo_store_read(store, BDPO_PARAM, "w", kept, sizeof kept));
    CHECK_BYTES(w, kept, sizeof w);
    bdpo_plan_free(plan);
    bdpo_graph_free(g);
    bdpo_store_free(store);
    bdpo_engine_free(engine);
}

BDPO_TEST(a_graph_may_be_empty)
{
    bdpo_engine *engine = engine_of("cpu");
    bdpo_graph *g;
    bdpo_plan *plan;
    char text[400] = "";
    CHECK_OK(bdpo_graph_new(&g, NULL));
    for (int poison = 0; poison < 2; poison++) {
        bdpo_plan_options options = {.poison = poison, .shuffle_seed = (uint64_t)poison};
        CHECK_OK(bdpo_plan_new(&plan, engine, g, &options));
        CHECK_OK(bdpo_plan_run(plan));
        CHECK_U64(bdpo_plan_costs(plan).peak_bytes, 0);
        FILE *file = fmemopen(text, sizeof text, "w");
        bdpo_plan_report(plan, file);
        fclose(file);
        CHECK_CONTAINS(text, "0 nodes");
        bdpo_plan_free(plan);
    }
    bdpo_graph_free(g);
    bdpo_engine_free(engine);
}

// Each of these fits an address space, all of them do not.
BDPO_TEST(sizes_beyond_any_memory_are_refused)
{
    bdpo_engine *engine = engine_of("null");
    for (int computed = 0; computed < 2; computed++) {
        bdpo_graph *g;
        bdpo_plan *plan;
        char name[8];
        CHECK_OK(bdpo_graph_new(&g, NULL));
        for (int i = 0; i < 5; i++) {
            snprintf(name, sizeof name, "x%d", i);
            bdpo_shape shape = BDPO_SHAPE((int64_t)1 << 30, (int64_t)1 << 30);
            bdpo_node *x = bdpo_input(g, name, BDPO_F32, computed ? BDPO_SHAPE(1) : shape);
            if (computed) x = bdpo_fill(g, shape, 1);
            snprintf(name, sizeof name, "y%d", i);
            bdpo_output(g, name, bdpo_tanh(g, x));
        }
        CHECK_STATUS(bdpo_plan_new(&plan, engine, g, &(bdpo_plan_options){0}), BDPO_NO_MEMORY);
        bdpo_graph_free(g);
    }
    bdpo_engine_free(engine);
}

// ---- buckets -----------------------------------------------------------------------------------

typedef struct readiness {
    bdpo_store *store;
    int order[8];
    float value[8];
    _Atomic int count;
} readiness;

static void note_bucket(void *user, int bucket)
{
    readiness *r = user;
    size_t bytes;
    float *grad = bdpo_store_bucket_data(r->store, BDPO_GRAD, bucket, &bytes);
    int at = atomic_fetch_add(&r->count, 1);
    r->order[at] = bucket;
    r->value[at] = grad[0];
    grad[0] *= 2; // as a reduction would change it
}

// A chain of six weights; a frozen one between the third and the fourth parts two buckets.
static bdpo_store *chain_store(bdpo_engine *engine)
{
    bdpo_store *store;
    char name[8];
    CHECK_OK(bdpo_store_new(&store, engine));
    for (int i = 0; i < 6; i++) {
        snprintf(name, sizeof name, "w%d", i);
        if (i == 3) CHECK_OK(bdpo_store_declare(store, "frozen", BDPO_F32, BDPO_SHAPE(1), false));
        CHECK_OK(bdpo_store_declare(store, name, BDPO_F32, BDPO_SHAPE(WIDTH, 1), true));
    }
    CHECK_OK(bdpo_store_seal(store));
    return store;
}

static void build_chain(bdpo_graph *g)
{
    char name[8];
    bdpo_node *h = bdpo_fill(g, BDPO_SHAPE(1, 1), 1), *row = bdpo_fill(g, BDPO_SHAPE(1, WIDTH), 1);
    for (int i = 0; i < 6; i++) { // h [1, 1] -> [1, WIDTH] -> [1, 1]
        snprintf(name, sizeof name, "w%d", i);
        bdpo_node *wide = bdpo_linear(g, h, bdpo_param(g, name), NULL, BDPO_NO_ACTIVATION);
        h = bdpo_matmul(g, wide, row, false, true);
    }
    bdpo_backward(g, bdpo_reshape(g, h, BDPO_SHAPE(1)));
}

BDPO_TEST(a_bucket_is_ready_after_its_last_gradient)
{
    bdpo_engine *engine = engine_of("cpu");
    bdpo_store *store = chain_store(engine);
    bdpo_graph *g;
    bdpo_plan *plan;
    CHECK_INT(bdpo_store_bucket_count(store), 3);
    CHECK_OK(bdpo_graph_new(&g, store));
    build_chain(g);
    readiness r = {.store = store};
    bdpo_plan_options options = {.on_bucket_ready = note_bucket, .on_bucket_ready_user = &r};
    CHECK_OK(bdpo_plan_new(&plan, engine, g, &options));
    CHECK_OK(bdpo_plan_run(plan));
    CHECK_INT(r.count, 2);    // the frozen one is never announced
    CHECK_INT(r.order[0], 2); // the backward pass reaches the later parameters first
    CHECK_INT(r.order[1], 0);
    float first;
    size_t bytes;
    memcpy(&first, bdpo_store_bucket_data(store, BDPO_GRAD, 0, &bytes), sizeof first);
    CHECK(first == 2 * r.value[1]);
    bdpo_plan_free(plan);
    bdpo_graph_free(g);
    bdpo_store_free(store);
    bdpo_engine_free(engine);
}

// Who was told that a bucket is ready owns it for the rest of the run.
BDPO_TEST(a_gradient_that_was_handed_over_is_not_used)
{
    bdpo_engine *engine = engine_of("cpu");
    bdpo_store *store = chain_store(engine);
    for (int late = 0; late < 2; late++) {
        bdpo_graph *g;
        bdpo_plan *plan;
        CHECK_OK(bdpo_graph_new(&g, store));
        if (!late) bdpo_zero(g, bdpo_bucket(g, BDPO_GRAD, 2));
        build_chain(g);
        if (late) bdpo_output(g, "y", bdpo_sum_of_squares(g, bdpo_bucket(g, BDPO_GRAD, 2), NULL));
        readiness r = {.store = store};
        bdpo_plan_options options = {.on_bucket_ready = note_bucket, .on_bucket_ready_user = &r};
        bdpo_status status = bdpo_plan_new(&plan, engine, g, &options);
        CHECK_STATUS(status, late ? BDPO_BAD_ARGUMENT : BDPO_OK);
        if (late) CHECK_CONTAINS(bdpo_message(), "sum_of_squares uses the gradients of bucket 2");
        bdpo_plan_free(plan);
        CHECK_OK(bdpo_plan_new(&plan, engine, g, &(bdpo_plan_options){0})); // nobody is told
        bdpo_plan_free(plan);
        bdpo_graph_free(g);
    }
    bdpo_store_free(store);
    bdpo_engine_free(engine);
}

// ---- the cache ---------------------------------------------------------------------------------

static void build_cached(bdpo_graph *g, const bdpo_plan_key *key, const void *model)
{
    int *n_built = (int *)(uintptr_t)model;
    ++*n_built;
    bdpo_output(g, "y", linear(g, bdpo_input(g, "x", BDPO_F32, key->shape)));
}

static void build_nothing_good(bdpo_graph *g, const bdpo_plan_key *key, const void *model)
{
    (void)key, (void)model;
    bdpo_output(g, "y", bdpo_param(g, "missing"));
}

BDPO_TEST(plans_are_cached_by_key)
{
    bdpo_engine *engine = engine_of("cpu");
    bdpo_store *store = store_of(engine);
    bdpo_plan *first, *second;
    int n_built = 0;
    bdpo_plan_key key = {.graph = "g", .shape = BDPO_SHAPE(3, WIDTH)};
    CHECK_OK(bdpo_engine_plan(&first, engine, store, &key, build_cached, &n_built));
    CHECK_OK(bdpo_engine_plan(&second, engine, store, &key, build_cached, &n_built));
    CHECK(first == second);
    CHECK_INT(n_built, 1);
    key.shape = BDPO_SHAPE(4, WIDTH);
    CHECK_OK(bdpo_engine_plan(&second, engine, store, &key, build_cached, &n_built));
    CHECK(first != second);
    key.compute_dtype = BDPO_BF16;
    CHECK_OK(bdpo_engine_plan(&second, engine, store, &key, build_cached, &n_built));
    key.checkpointing = true;
    CHECK_OK(bdpo_engine_plan(&second, engine, store, &key, build_cached, &n_built));
    key.graph = "other";
    CHECK_OK(bdpo_engine_plan(&second, engine, store, &key, build_cached, &n_built));
    CHECK_INT(n_built, 5);
    key.graph = "bad";
    CHECK_STATUS(bdpo_engine_plan(&second, engine, store, &key, build_nothing_good, NULL),
                 BDPO_NOT_FOUND);
    bdpo_store_free(store);
    bdpo_engine_free(engine);
}

// A store's plans go with it; another store at its address gets its own.
BDPO_TEST(cached_plans_go_with_their_store)
{
    bdpo_engine *engine = engine_of("cpu");
    int n_built = 0;
    bdpo_plan_key key = {.graph = "g", .shape = BDPO_SHAPE(3, WIDTH)};
    for (int i = 1; i <= 3; i++) {
        bdpo_plan *plan;
        bdpo_store *store = store_of(engine);
        CHECK_OK(bdpo_engine_plan(&plan, engine, store, &key, build_cached, &n_built));
        CHECK_INT(n_built, i);
        CHECK_OK(bdpo_plan_run(plan));
        bdpo_store_free(store);
    }
    bdpo_engine_free(engine);
}

BDPO_TEST(a_graph_runs_on_the_engine_of_its_store)
{
    bdpo_engine *engine = engine_of("cpu"), *other = engine_of("null");
    bdpo_store *store = store_of(engine);
    bdpo_graph *g;
    bdpo_plan *plan;
    CHECK_OK(bdpo_graph_new(&g, store));
    bdpo_output(g, "y", linear(g, input(g)));
    CHECK_STATUS(bdpo_plan_new(&plan, other, g, &(bdpo_plan_options){0}), BDPO_BAD_ARGUMENT);
    bdpo_graph_free(g);
    bdpo_store_free(store);
    bdpo_engine_free(other);
    bdpo_engine_free(engine);
}

BDPO_TEST(no_allocation_failure_is_missed)
{
    bdpo_engine *engine = engine_of("cpu");
    bdpo_store *store = store_of(engine);
    int n_built = 0, n_failed = 0;
    bdpo_plan_key key = {.graph = "g", .shape = BDPO_SHAPE(3, WIDTH)};
    bdpo_status status = BDPO_NO_MEMORY;
    for (uint64_t n = 1; status != BDPO_OK && n < 200; n++) {
        bdpo_plan *plan;
        bdpo_alloc_fail_at(bdpo_alloc_count() + n);
        status = bdpo_engine_plan(&plan, engine, store, &key, build_cached, &n_built);
        if (status != BDPO_OK) CHECK_STATUS(status, BDPO_NO_MEMORY);
        n_failed += status != BDPO_OK;
    }
    bdpo_alloc_fail_at(0);
    CHECK_OK(status);
    CHECK(n_failed > 3);
    bdpo_store_free(store);
    bdpo_engine_free(engine);
}

// ---- concat without copies ---------------------------------------------------------------------

static bdpo_node *named_input(bdpo_graph *g, const char *name, int64_t channels)
{
    return bdpo_input(g, name, BDPO_F32, BDPO_SHAPE(ROWS, channels));
}

// Finds the only concat of a plan and counts the inputs that lie in its output.
static int count_parts(const bdpo_plan *plan)
{
    int n_parts = 0;
    for (int s = 0; s < plan->program.n_steps; s++) {
        const bdpo_op_call *call = &plan->program.steps[s].call;
        if (strcmp(call->op->name, "concat") != 0) continue;
        const char *begin = call->out[0].data;
        for (int i = 0; i < call->n_in; i++) {
            const char *at = call->in[i].data;
            n_parts += at >= begin && at < begin + bdpo_shape_count(&call->out[0].shape) * 4;
        }
    }
    return n_parts;
}

// tanh(a), then silu(b), then concat: the last one made is computed in its place.
BDPO_TEST(the_last_part_of_a_concat_is_not_copied)
{
    enum { A = 7, B = 5 };
    bdpo_engine *engine = engine_of("cpu");
    bdpo_graph *g;
    bdpo_plan *plan;
    float a[ROWS * A], b[ROWS * B], y[ROWS * (A + B)];
    for (int i = 0; i < ROWS * A; i++) a[i] = (float)i / 20;
    for (int i = 0; i < ROWS * B; i++) b[i] = (float)i / 10 - 1;
    CHECK_OK(bdpo_graph_new(&g, NULL));
    bdpo_node *parts[2] = {bdpo_tanh(g, named_input(g, "a", A)),
                           bdpo_silu(g, named_input(g, "b", B))};
    bdpo_output(g, "y", bdpo_exp(g, bdpo_concat_channels(g, parts, 2)));
    CHECK_OK(bdpo_plan_new(&plan, engine, g, &(bdpo_plan_options){.poison = true}));
    CHECK_OK(bdpo_plan_write(plan, "a", a, sizeof a));
    CHECK_OK(bdpo_plan_write(plan, "b", b, sizeof b));
    CHECK_OK(bdpo_plan_run(plan));
    CHECK_INT(count_parts(plan), 1);
    CHECK_OK(bdpo_plan_read(plan, "y", y, sizeof y));
    for (int r = 0; r < ROWS; r++)
        for (int c = 0; c < A + B; c++) {
            double x = c < A ? tanh((double)a[r * A + c]) : (double)b[r * B + c - A];
            double expected = exp(c < A ? x : x / (1 + exp(-x)));
            CHECK_NEAR(y[r * (A + B) + c], expected, 2e-6);
        }
    bdpo_plan_free(plan);
    bdpo_graph_free(g);
    bdpo_engine_free(engine);
}

// A part of a value cannot be computed in its place: only all of the value can.
BDPO_TEST(a_part_of_a_value_is_copied_into_a_concat)
{
    bdpo_engine *engine = engine_of("cpu");
    bdpo_graph *g;
    bdpo_plan *plan;
    float x[COUNT], y[COUNT];
    for (int i = 0; i < COUNT; i++) x[i] = (float)i / 50;
    CHECK_OK(bdpo_graph_new(&g, NULL));
    bdpo_node *halves[2];
    bdpo_split_batch(g, bdpo_tanh(g, input(g)), 2, (int64_t[]){2, ROWS - 2}, halves);
    bdpo_node *parts[2] = {halves[1], bdpo_silu(g, halves[0])};
    bdpo_output(g, "y", bdpo_scale(g, bdpo_concat_batch(g, parts, 2), 2));
    CHECK_OK(bdpo_plan_new(&plan, engine, g, &(bdpo_plan_options){.poison = true}));
    CHECK_OK(bdpo_plan_write(plan, "x", x, sizeof x));
    CHECK_OK(bdpo_plan_run(plan));
    CHECK_OK(bdpo_plan_read(plan, "y", y, sizeof y));
    CHECK_INT(count_parts(plan), 1);
    for (int i = 0; i < COUNT; i++) {
        double t = tanh((double)x[(i + 2 * WIDTH) % COUNT]);
        CHECK_NEAR(y[i], 2 * (i < (ROWS - 2) * WIDTH ? t : t / (1 + exp(-t))), 2e-6);
    }
    bdpo_plan_free(plan);
    bdpo_graph_free(g);
    bdpo_engine_free(engine);
}

// A skip connection that the backward pass reads again is kept once: both parts are in place.
BDPO_TEST(kept_parts_of_a_concat_are_not_copied)
{
    bdpo_engine *engine = engine_of("cpu");
    bdpo_store *store = store_of(engine);
    bdpo_graph *g;
    bdpo_plan *plan;
    float x[COUNT], dw[2][WIDTH * WIDTH];
    for (int i = 0; i < COUNT; i++) x[i] = (float)(i % 13) / 6 - 1;
    for (int poison = 0; poison < 2; poison++) {
        CHECK_OK(bdpo_graph_new(&g, store));
        bdpo_node *skip = linear(g, input(g)), *h = linear(g, bdpo_tanh(g, skip));
        bdpo_node *parts[2] = {h, skip}, *w = bdpo_param(g, "w"), *d;
        bdpo_node *joined = bdpo_silu(g, bdpo_concat_channels(g, parts, 2));
        bdpo_node *dy = bdpo_fill(g, BDPO_SHAPE(ROWS, 2 * WIDTH), 0.5f);
        bdpo_gradients(g, joined, dy, &w, 1, &d);
        bdpo_output(g, "dw", d);
        CHECK_OK(bdpo_plan_new(&plan, engine, g, &(bdpo_plan_options){.poison = poison}));
        CHECK_OK(bdpo_plan_write(plan, "x", x, sizeof x));
        CHECK_OK(bdpo_plan_run(plan));
        CHECK_OK(bdpo_plan_read(plan, "dw", dw[poison], sizeof dw[poison]));
        CHECK_INT(count_parts(plan), 2);
        bdpo_plan_free(plan);
        bdpo_graph_free(g);
    }
    CHECK_BYTES(dw[1], dw[0], sizeof dw[0]);
    bdpo_store_free(store);
    bdpo_engine_free(engine);
}

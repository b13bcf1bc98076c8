// Every allocation of a training plan's life fails in turn: the call that needed it says so, leaks
// nothing (the asan suite looks), and may be tried again.
#include <bdpo/engine.h>
#include <bdpo/ops.h>

#include "base/memory.h"
#include "harness.h"

enum { ROWS = 4, WIDTH = 8, COUNT = ROWS * WIDTH, MAX_ALLOCATIONS = 2000 };

typedef struct life {
    bdpo_engine *engine;
    bdpo_store *store;
    bdpo_graph *graph;
    bdpo_plan *plan;
    int n_failed;
} life;

// Does it again without a fault after a failure.
#define PERSIST(l, call)                                                                           \
    do {                                                                                           \
        bdpo_status status_ = (call);                                                              \
        if (status_ == BDPO_OK) break;                                                             \
        CHECK_STATUS(status_, BDPO_NO_MEMORY);                                                     \
        (l)->n_failed++;                                                                           \
        CHECK_OK(call);                                                                            \
    } while (0)

static void open_store(life *l)
{
    static const uint16_t half[WIDTH] = {0x3c00};
    const float w[WIDTH * WIDTH] = {0.5f, -0.25f};
    PERSIST(l, bdpo_engine_new(&l->engine, &(bdpo_engine_options){.n_threads = 1}));
    PERSIST(l, bdpo_store_new(&l->store, l->engine));
    PERSIST(l, bdpo_store_declare(l->store, "w", BDPO_F32, BDPO_SHAPE(WIDTH, WIDTH), true));
    PERSIST(l, bdpo_store_declare(l->store, "frozen", BDPO_F32, BDPO_SHAPE(WIDTH), false));
    PERSIST(l, bdpo_store_declare_mapped(l->store, "half", BDPO_F16, BDPO_SHAPE(WIDTH), half));
    PERSIST(l, bdpo_store_seal(l->store));
    PERSIST(l, bdpo_store_write(l->store, BDPO_PARAM, "w", w, sizeof w));
}

static bdpo_node *layer(bdpo_graph *g, bdpo_node *x)
{
    x = bdpo_linear(g, x, bdpo_param(g, "w"), bdpo_param(g, "half"), BDPO_SILU);
    return bdpo_layer_norm(g, x, bdpo_param(g, "frozen"), bdpo_param(g, "half"), 1e-5f);
}

static bdpo_status build(life *l)
{
    bdpo_graph *g;
    bdpo_status status = bdpo_graph_new(&l->graph, l->store);
    if (status != BDPO_OK) return status;
    g = l->graph;
    bdpo_graph_set_checkpointing(g, true);
    bdpo_node *x = bdpo_input(g, "x", BDPO_F32, BDPO_SHAPE(ROWS, WIDTH)), *dx = NULL;
    bdpo_require_grad(x);
    bdpo_segment_begin(g);
    bdpo_node *h = layer(g, layer(g, x));
    bdpo_segment_end(g);
    bdpo_node *parts[2] = {layer(g, h), bdpo_tanh(g, h)};
    bdpo_node *y = bdpo_concat_channels(g, parts, 2);
    bdpo_gradients(g, h, bdpo_fill(g, BDPO_SHAPE(ROWS, WIDTH), 1), &x, 1, &dx);
    bdpo_output(g, "dx", dx);
    bdpo_backward(g, bdpo_reduce_sum(g, y, BDPO_KEEP_NONE));
    status = bdpo_graph_check(g);
    if (status == BDPO_OK) return BDPO_OK;
    bdpo_graph_free(g);
    l->graph = NULL;
    return status;
}

static void ready(void *user, int bucket)
{
    (void)bucket;
    ++*(int *)user;
}

static void build_cached(bdpo_graph *g, const bdpo_plan_key *key, const void *model)
{
    (void)model;
    bdpo_output(g, "y", layer(g, bdpo_input(g, "x", BDPO_F32, key->shape)));
}

// Lives once; the n-th allocation of it fails. What it computes must not depend on that.
static int live(uint64_t n, float out[COUNT + WIDTH * WIDTH])
{
    life l = {0};
    bdpo_plan *cached;
    const float x[COUNT] = {1, 2, 3};
    int n_ready = 0;
    bdpo_plan_options options = {.compute_dtype = BDPO_BF16,
                                 .on_bucket_ready = ready,
                                 .on_bucket_ready_user = &n_ready,
                                 .shuffle_seed = 3,
                                 .poison = true};
    bdpo_plan_key key = {.graph = "cached", .shape = BDPO_SHAPE(3 * ROWS, WIDTH)};
    bdpo_alloc_fail_at(bdpo_alloc_count() + n);
    open_store(&l);
    PERSIST(&l, build(&l));
    PERSIST(&l, bdpo_plan_new(&l.plan, l.engine, l.graph, &options));
    PERSIST(&l, bdpo_plan_write(l.plan, "x", x, sizeof x));
    PERSIST(&l, bdpo_engine_plan(&cached, l.engine, l.store, &key, build_cached, NULL));
    PERSIST(&l, bdpo_plan_run(cached));
    PERSIST(&l, bdpo_plan_run(l.plan));
    bdpo_alloc_fail_at(0);
    CHECK_OK(bdpo_plan_read(l.plan, "dx", out, COUNT * sizeof *out));
    CHECK_OK(bdpo_store_read(l.store, BDPO_GRAD, "w", out + COUNT, WIDTH * WIDTH * sizeof *out));
    CHECK_INT(n_ready, 1);
    bdpo_plan_free(l.plan);
    bdpo_graph_free(l.graph);
    bdpo_store_free(l.store);
    bdpo_engine_free(l.engine);
    return l.n_failed;
}

BDPO_TEST(whatever_allocation_fails_may_be_tried_again)
{
    float expected[COUNT + WIDTH * WIDTH], got[COUNT + WIDTH * WIDTH];
    uint64_t n = 1;
    CHECK_INT(live(UINT64_MAX / 2, expected), 0);
    while (n < MAX_ALLOCATIONS && live(n, got) == 1) {
        CHECK_BYTES(got, expected, sizeof got);
        n++;
    }
    CHECK_INT(live(n, got), 0);
    CHECK(n > 30); // so many allocations does a life have at least
}

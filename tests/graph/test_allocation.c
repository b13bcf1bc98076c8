// A run allocates nothing: no thread of it, neither the library nor what it stands on.
#include "harness.h"

#include <bdpo/engine.h>

#include "malloc_count.h"
#include "parity/blocks_graph.h"

static void check_block(block_shape shape)
{
    if (!malloc_is_counted()) SKIP("another allocator is in place (a sanitizer, valgrind)");
#ifdef __clang__
    SKIP("LLVM's OpenMP allocates for each parallel region; gcc's does not");
#endif
    bdpo_engine *engine;
    bdpo_store *store;
    bdpo_graph *g;
    bdpo_plan *plan;
    CHECK_OK(bdpo_engine_new(&engine, &(bdpo_engine_options){.n_threads = 2}));
    CHECK_OK(bdpo_store_new(&store, engine));
    CHECK_OK(block_declare(store, &shape));
    CHECK_OK(bdpo_store_reserve(store, BDPO_GRAD));
    CHECK_OK(bdpo_graph_new(&g, store));
    bdpo_node *y = block_build(g, &shape);
    bdpo_output(g, "y", y);
    block_backward(g, y);
    CHECK_OK(bdpo_plan_new(&plan, engine, g, &(bdpo_plan_options){0}));
    CHECK_OK(bdpo_plan_run(plan)); // the first run starts the threads
    uint64_t before = malloc_count();
    for (int i = 0; i < 3; i++) CHECK_OK(bdpo_plan_run(plan));
    CHECK_U64(malloc_count(), before);
    bdpo_plan_free(plan);
    bdpo_graph_free(g);
    bdpo_store_free(store);
    bdpo_engine_free(engine);
}

// Convolutions, group norms, a linear layer, their gradients.
BDPO_TEST(a_residual_block_allocates_nothing)
{
    check_block(block_sd15(BLOCK_RESIDUAL, 1, 16, 64, 96));
}

// Attention, layer norms, GEGLU, products, their gradients.
BDPO_TEST(a_transformer_block_allocates_nothing)
{
    check_block(block_sd15(BLOCK_TRANSFORMER, 1, 16, 64, 64));
}

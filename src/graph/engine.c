// The engine: opens a backend, owns the arena that all plans share, and keeps plans by key.
#include <string.h>

#include "base/memory.h"
#include "base/threads.h"
#include "graph/engine_room.h"
#include "graph/graph.h"

struct bdpo_cached_plan {
    bdpo_cached_plan *next;
    const bdpo_store *store;
    bdpo_plan_key key;
    bdpo_graph *graph;
    bdpo_plan *plan;
    char name[64]; // key.graph points here
};

static bdpo_status find_backend(const bdpo_backend **out, const char *name)
{
    *out = NULL;
    if (!name || strcmp(name, "cpu") == 0) *out = &bdpo_backend_cpu;
    if (name && strcmp(name, "null") == 0) *out = &bdpo_backend_null;
    if (name && strcmp(name, "cuda") == 0) {
        *out = bdpo_backend_cuda();
        if (!*out) return bdpo_fail(BDPO_UNSUPPORTED, "this build has no CUDA backend");
    }
    return *out
               ? BDPO_OK
               : bdpo_fail(BDPO_BAD_ARGUMENT, "backend \"%s\" is unknown: cpu, cuda or null", name);
}

bdpo_status bdpo_engine_new(bdpo_engine **out, const bdpo_engine_options *options)
{
    *out = NULL;
    const bdpo_backend *backend;
    TRY(find_backend(&backend, options->backend));
    bdpo_engine *engine = bdpo_alloc(1, sizeof *engine);
    if (!engine) return bdpo_fail(BDPO_NO_MEMORY, "no memory for an engine");
    engine->backend = backend;
    bdpo_status status = backend->open(&engine->device, options->n_threads, &engine->n_threads);
    if (status != BDPO_OK) {
        bdpo_free(engine);
        return status;
    }
    *out = engine;
    return BDPO_OK;
}

static void free_cached(bdpo_cached_plan *cached)
{
    bdpo_plan_free(cached->plan);
    bdpo_graph_free(cached->graph);
    bdpo_free(cached);
}

void bdpo_engine_free(bdpo_engine *engine)
{
    if (!engine) return;
    while (engine->plans) {
        bdpo_cached_plan *next = engine->plans->next;
        free_cached(engine->plans);
        engine->plans = next;
    }
    if (engine->arena) engine->backend->release(engine->device, engine->arena, engine->arena_bytes);
    engine->backend->close(engine->device);
    bdpo_free(engine);
}

void bdpo_engine_forget_store(bdpo_engine *engine, const bdpo_store *store)
{
    bdpo_cached_plan **at = &engine->plans;
    while (*at) {
        bdpo_cached_plan *cached = *at;
        if (cached->store != store) {
            at = &cached->next;
            continue;
        }
        *at = cached->next;
        free_cached(cached);
    }
}

void bdpo_prepare_threads(char *const argv[], int n_threads, FILE *talk)
{
    bdpo_machine machine;
    bdpo_machine_read(&machine, "");
    bdpo_threads threads = bdpo_threads_share(&machine, n_threads);
    bool crowded = bdpo_threads_crowded(&threads);
    bdpo_status status = // comes back after the restart
        bdpo_threads_set_waiting(argv, crowded ? BDPO_WAIT_PASSIVELY : BDPO_WAIT_BRIEFLY);
    if (talk && crowded) fprintf(talk, "warning: %s\n", bdpo_threads_advice(&threads).text);
    if (talk && status != BDPO_OK) fprintf(talk, "warning: %s\n", bdpo_message());
}

int bdpo_engine_threads(const bdpo_engine *engine)
{
    return engine->n_threads;
}

const char *bdpo_engine_backend(const bdpo_engine *engine)
{
    return engine->backend->name;
}

size_t bdpo_engine_arena_bytes(const bdpo_engine *engine)
{
    return engine->arena_bytes;
}

// The old arena goes first: two would not always fit beside each other.
bdpo_status bdpo_engine_grow_arena(bdpo_engine *engine, size_t bytes)
{
    if (bytes <= engine->arena_bytes) return BDPO_OK;
    if (engine->arena) engine->backend->release(engine->device, engine->arena, engine->arena_bytes);
    engine->arena = NULL;
    engine->arena_bytes = 0;
    engine->arena_generation++;
    TRY(engine->backend->alloc(engine->device, &engine->arena, bytes));
    engine->arena_bytes = bytes;
    return BDPO_OK;
}

// ---- plans by key ------------------------------------------------------------------------------

static bool same_key(const bdpo_plan_key *a, const bdpo_plan_key *b)
{
    return strcmp(a->graph, b->graph) == 0 && bdpo_shape_equal(&a->shape, &b->shape) &&
           a->compute_dtype == b->compute_dtype && a->checkpointing == b->checkpointing;
}

static bdpo_status build_plan(bdpo_cached_plan *cached, bdpo_engine *engine, bdpo_store *store,
                              bdpo_graph_builder build, const void *model)
{
    TRY(bdpo_graph_new(&cached->graph, store));
    bdpo_graph_set_checkpointing(cached->graph, cached->key.checkpointing);
    build(cached->graph, &cached->key, model);
    bdpo_plan_options options = {.compute_dtype = cached->key.compute_dtype};
    return bdpo_plan_new(&cached->plan, engine, cached->graph, &options);
}

bdpo_status bdpo_engine_plan(bdpo_plan **out, bdpo_engine *engine, bdpo_store *store,
                             const bdpo_plan_key *key, bdpo_graph_builder build, const void *model)
{
    *out = NULL;
    for (bdpo_cached_plan *c = engine->plans; c; c = c->next)
        if (c->store == store && same_key(&c->key, key)) {
            *out = c->plan;
            return BDPO_OK;
        }
    bdpo_cached_plan *cached = bdpo_alloc(1, sizeof *cached);
    if (!cached) return bdpo_fail(BDPO_NO_MEMORY, "no memory for a plan");
    if (strlen(key->graph) >= sizeof cached->name) {
        bdpo_free(cached);
        return bdpo_fail(BDPO_BAD_ARGUMENT, "graph name \"%s\" is longer than %zu characters",
                         key->graph, sizeof cached->name - 1);
    }
    memcpy(cached->name, key->graph, strlen(key->graph) + 1);
    cached->store = store;
    cached->key = *key;
    cached->key.graph = cached->name;
    bdpo_status status = build_plan(cached, engine, store, build, model);
    if (status != BDPO_OK) {
        free_cached(cached);
        return status;
    }
    cached->next = engine->plans;
    engine->plans = cached;
    *out = cached->plan;
    return BDPO_OK;
}

// The engine as its room sees it: the device, the shared arena, the cache of plans.
#ifndef BDPO_ENGINE_ROOM_H
#define BDPO_ENGINE_ROOM_H

#include "graph/backend.h"

typedef struct bdpo_cached_plan bdpo_cached_plan;

struct bdpo_engine {
    const bdpo_backend *backend;
    bdpo_device *device;
    int n_threads;
    void *arena; // device memory, shared by all plans: only one runs at a time
    size_t arena_bytes;
    uint64_t arena_generation; // counts the moves of the arena
    bdpo_cached_plan *plans;
};

// Frees the cached plans over a store that goes away.
void bdpo_engine_forget_store(bdpo_engine *engine, const bdpo_store *store);

// Makes the arena at least this large. Its contents are lost, its address may change.
BDPO_MUST_CHECK bdpo_status bdpo_engine_grow_arena(bdpo_engine *engine, size_t bytes);

#endif

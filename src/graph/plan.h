// A plan: the lowered nodes, where their values lie, and the program that a backend runs.
#ifndef BDPO_PLAN_H
#define BDPO_PLAN_H

#include "graph/engine_room.h"
#include "graph/lower.h"
#include "graph/memory_plan.h"

// Where the memory of a value is.
typedef enum bdpo_region {
    BDPO_REGION_ARENA, // shared; `offset` from the start of `interval`
    BDPO_REGION_IO,    // the plan's own inputs and outputs; `offset`
    BDPO_REGION_STORE, // `data`
} bdpo_region;

typedef struct bdpo_storage {
    bdpo_region region;
    int interval;
    size_t offset;
    void *data;
} bdpo_storage;

// A value computed inside the output of a concat.
typedef struct bdpo_part {
    const bdpo_node *whole; // NULL: an ordinary value
    int64_t offset;         // elements
} bdpo_part;

struct bdpo_plan {
    bdpo_engine *engine;
    bdpo_arena *arena; // host memory of everything below
    bdpo_node_list list;
    bdpo_storage *storage; // [node][BDPO_MAX_OUTPUTS], of nodes that are no views
    bdpo_part *parts;      // [node][BDPO_MAX_OUTPUTS]
    int *workspace;        // [node]: interval, -1: none
    bdpo_interval *intervals;
    int n_intervals, interval_capacity;
    int *dead; // with poison: the interval of each span in program.dead
    void *io;
    size_t io_bytes, peak_bytes;
    bdpo_program program;
    int *step_node; // [step]: index in the list
};

// Fills the storage of every node: liveness, in-place reuse, gradients bound to their buckets.
BDPO_MUST_CHECK bdpo_status bdpo_plan_storage(bdpo_plan *plan, const bdpo_store *store);

// Decides which inputs of concats are computed in place. last_use: [node][BDPO_MAX_OUTPUTS].
BDPO_MUST_CHECK bdpo_status bdpo_plan_parts(bdpo_plan *plan, const int *last_use);

static inline bdpo_storage *bdpo_storage_of(const bdpo_plan *plan, const bdpo_node *node, int k)
{
    return &plan->storage[node->id * BDPO_MAX_OUTPUTS + k];
}

// True for a node whose kernel runs.
bool bdpo_node_computes(const bdpo_node *node);

#endif

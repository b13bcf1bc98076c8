// Random graphs of real operators over a store of every resting dtype, made from a seed: shared
// values, views of views, concats, attention, random nodes, nested segments, islands, one or two
// backward passes. The same seed builds the same graph.
#ifndef RANDOM_GRAPH_H
#define RANDOM_GRAPH_H

#include <bdpo/engine.h>

#include "graph/graph.h"

enum { RANDOM_MAX_VALUES = 96, RANDOM_MAX_DEPTH = 3 };

typedef struct random_graph {
    uint64_t state;
    bdpo_graph *graph;
    // Half-width leaves become f32 inputs that hold the same values: for an evaluation that knows
    // no half width. random_graph_leaf() gives the values.
    bool widened;
    bdpo_node *values[RANDOM_MAX_VALUES];
    int n_values, n_segments, n_islands;
    bool used[RANDOM_MAX_VALUES];
    int n_backward;
} random_graph;

uint64_t random_draw(uint64_t *state, uint64_t limit);

// A sealed store with the parameters that random graphs use, filled.
bdpo_store *random_store_new(bdpo_engine *engine);

// Builds and differentiates. The graph is the caller's; its outputs are "o0", "o1", ..
random_graph random_graph_new(bdpo_store *store, uint64_t seed, bool checkpointing, bool widened);

// The values of an input of the graph in its own dtype; bytes: of `out`.
void random_graph_input(const bdpo_named_node *input, void *out, size_t bytes);

#endif

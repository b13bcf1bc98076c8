// From the graph as it was built to the list of nodes that one backend will run.
#ifndef BDPO_LOWER_H
#define BDPO_LOWER_H

#include "graph/backend.h"
#include "graph/graph.h"

// Copies of the nodes that matter, in the order in which they run.
typedef struct bdpo_node_list {
    bdpo_arena *arena;
    bdpo_node **at;
    int count, capacity;
    bdpo_name_list inputs, outputs; // outputs: op nodes with a dense f32, i32 or u8 value
} bdpo_node_list;

// 1. Keeps what an output or a state operator needs. 2. Chooses the dtype of each node, adding
// casts. 3. For a backend without half-width kernels: f32 storage and rounding instead. 4. Lets
// kernels that can add do so to the store's gradients. 5. Shuffles, if options->shuffle_seed is
// set.
BDPO_MUST_CHECK bdpo_status bdpo_lower(bdpo_node_list *list, bdpo_graph *graph,
                                       const bdpo_backend *backend,
                                       const bdpo_plan_options *options);

#endif

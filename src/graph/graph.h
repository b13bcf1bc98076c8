// The graph as its own room sees it: nodes in order of creation, names, segments, sticky status.
#ifndef BDPO_GRAPH_H
#define BDPO_GRAPH_H

#include "base/memory.h"
#include "graph/op.h"

typedef struct bdpo_named_node {
    const char *name;
    bdpo_node *node;
} bdpo_named_node;

// A growing list; the memory is the arena's.
typedef struct bdpo_name_list {
    bdpo_named_node *at;
    int count, capacity;
} bdpo_name_list;

// Nodes [begin, end) by id. Segment 0 stands for "none".
typedef struct bdpo_segment {
    int begin, end, parent;
} bdpo_segment;

struct bdpo_graph {
    bdpo_arena *arena; // of the nodes and all they point to
    bdpo_store *store;
    bdpo_kind kind;
    bdpo_node **nodes;
    int n_nodes, node_capacity;
    bdpo_node **params; // [parameter][kind]: the leaves that bdpo_param() has made
    bdpo_name_list inputs, outputs;
    bdpo_segment *segments;
    int n_segments, segment_capacity, segment; // segment: the open one
    bool checkpointing;
    int f32_depth;
    bdpo_status status; // the first failure
    char message[512];
};

// Leaves. An input's attrs are its name; a state leaf's say where in the store it lies.
typedef struct bdpo_state_attrs {
    bdpo_kind kind;
    int param;  // -1: a whole bucket
    int bucket; // of the parameter, or the bucket itself
} bdpo_state_attrs;
extern const bdpo_op bdpo_op_input;
extern const bdpo_op bdpo_op_state;
extern const bdpo_op bdpo_op_project; // a view of output k of its input; attrs: int k

static inline bool bdpo_is_leaf(const bdpo_node *node)
{
    return node->op == &bdpo_op_input || node->op == &bdpo_op_state;
}

// Where a value really lies: the node and output behind views, and the elements between.
typedef struct bdpo_place {
    const bdpo_node *node;
    int output;
    int64_t offset;
} bdpo_place;
bdpo_place bdpo_place_of(const bdpo_node *node, int output);

// Records the failure whose sentence stands in bdpo_message(); the first one stays.
void bdpo_graph_fail(bdpo_graph *graph, bdpo_status status);

// Doubles `*list` (elements of `size`) in an arena when `count` has reached `*capacity`.
BDPO_MUST_CHECK bdpo_status bdpo_grow(bdpo_arena *arena, void **list, int count, int *capacity,
                                      size_t size);

#endif

// Computes a graph kernel by kernel, without planner or backend, and looks over the kernels'
// shoulders: every buffer stands between guard words, outputs begin as NaN, the workspace has
// exactly the bytes that the operator asked for, and inputs must come back unchanged. A variant
// says under which circumstances the kernels run; each applies it as far as its descriptor allows.
#ifndef OP_EVAL_H
#define OP_EVAL_H

#include "base/memory.h"
#include "graph/graph.h"
#include "kernels/isa.h"

typedef struct op_variant {
    const char *name;
    bdpo_isa isa;
    int n_threads;
    unsigned strided;     // these inputs are views into wider buffers whose other columns are NaN
    unsigned strided_out; // these outputs too are views into wider buffers
    unsigned inplace;     // out[0] takes the storage of the first of these inputs that permits it
    bool parts;           // inputs of an operator with part_offset already lie in its output
    bool accumulate;      // out[0] starts at known values, which are taken off afterwards
} op_variant;

typedef struct op_eval {
    bdpo_arena *arena; // of all values
    op_variant variant;
    bdpo_tensor (*value)[BDPO_MAX_OUTPUTS]; // by node id; .data NULL: not computed
    bdpo_tensor changed[BDPO_MAX_INPUTS];   // new values of the inputs that the last node mutates
    bool applied;                           // some kernel ran under the variant's circumstance
    char why[400];
} op_eval;

// Room for the values of all nodes of `g`. The caller sets those of the leaves.
void op_eval_init(op_eval *e, bdpo_arena *arena, const bdpo_graph *g, op_variant variant);

// Computes what the roots need (NULL roots are skipped). False: a kernel misbehaved, see `why`.
bool op_eval_run(op_eval *e, const bdpo_graph *g, bdpo_node *const *roots, int n_roots);

// Zeroed memory from a test's arena; fails the test when there is none.
void *op_eval_alloc(bdpo_arena *arena, size_t count, size_t size);

// Element (row, col) of a tensor of any dtype.
double op_element(const bdpo_tensor *t, int64_t row, int64_t col);
void op_set_element(const bdpo_tensor *t, int64_t row, int64_t col, double value);
// All elements, dense, in double.
double *op_to_double(bdpo_arena *arena, const bdpo_tensor *t);

#endif

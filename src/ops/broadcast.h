// Broadcasts and their reverse, reductions: which elements of a large tensor share one element of
// a small one. add, sub and mul find it from the shapes, sum and expand are told it.
#ifndef BDPO_BROADCAST_H
#define BDPO_BROADCAST_H

#include "kernels/elementwise.h"
#include "ops/ops.h"

#include "graph/op.h"

// What sum and expand are told. `shape` is that of the output: the small tensor of sum, the large
// one of expand.
typedef struct bdpo_sum_attrs {
    bdpo_keep keep;
    float scale;
    bdpo_shape shape;
} bdpo_sum_attrs;

// How the small shape lies over the large one; false where it does not:
//   equal · one element · [c] or [1, .., 1, c] · [n, c] or [n, 1, .., 1, c] · [n, 1, .., 1]
//   [1, .., c], the rest equal · [.., 1], the rest equal
bool bdpo_keep_find(bdpo_keep *out, const bdpo_shape *large, const bdpo_shape *small);

// Elements of the small tensor.
int64_t bdpo_keep_count(bdpo_keep keep, const bdpo_shape *large);

// The element of the small tensor behind element (row, col) of the large one; for references.
int64_t bdpo_keep_index(bdpo_keep keep, const bdpo_shape *large, int64_t row, int64_t col);

// Rows of one sample, the first axis.
int64_t bdpo_rows_per_sample(const bdpo_shape *shape);

// y = a (op) spread(b): shape rule, kernel and reference of the operators that do it.
bdpo_status bdpo_broadcast_shape(bdpo_node *node);
void bdpo_broadcast_run(const bdpo_op_call *call, bdpo_binary op);
void bdpo_broadcast_reference(const bdpo_reference_call *call, bdpo_binary op);

// The cotangent of a broadcast operand of this shape: scale * dy, times `weight` if it is not
// NULL, summed where the operand was repeated.
bdpo_node *bdpo_sum_to(bdpo_graph *g, bdpo_node *dy, bdpo_node *weight, const bdpo_shape *small,
                       float scale);

// The small tensor of a reduction repeated over `shape` and scaled.
bdpo_node *bdpo_expand(bdpo_graph *g, bdpo_node *x, const bdpo_shape *shape, bdpo_keep keep,
                       float scale);

// The cases that add, sub and mul share.
enum { BDPO_N_BROADCAST_CASES = 16 };
extern const bdpo_op_case bdpo_broadcast_cases[BDPO_N_BROADCAST_CASES];

#endif

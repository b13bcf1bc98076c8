// What the operators y = f(x) of one formula share: rules, kernel calls, reference loop, cases.
// Each operator's own file holds its formula, its slope's kernel and its descriptors.
#ifndef BDPO_UNARY_H
#define BDPO_UNARY_H

#include "graph/op.h"
#include "kernels/elementwise.h"

// x -> y and (dy, x) -> dx, floats of one shape, whatever it is.
BDPO_MUST_CHECK bdpo_status bdpo_unary_shape(bdpo_node *node);
BDPO_MUST_CHECK bdpo_status bdpo_unary_backward_shape(bdpo_node *node);

// dx[0] = backward(dy, x), with the forward operator's attributes.
void bdpo_unary_grad(bdpo_graph *g, bdpo_node *node, bdpo_node *const *dy, bdpo_node **dx,
                     const bdpo_op *backward);

// The kernel calls; lo and hi are the bounds of clamp.
void bdpo_unary_run(const bdpo_op_call *call, bdpo_unary f, float lo, float hi);
void bdpo_unary_run_backward(const bdpo_op_call *call, bdpo_unary f, float lo, float hi);

void bdpo_unary_reference(const bdpo_reference_call *call, double (*f)(double x));

bdpo_node *bdpo_unary_node(bdpo_graph *g, const bdpo_op *op, bdpo_node *x);

// For operators without attributes.
enum { BDPO_N_UNARY_CASES = 5 };
extern const bdpo_op_case bdpo_unary_cases[BDPO_N_UNARY_CASES];

#endif

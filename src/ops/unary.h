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

// All of the operator `name` but its formula: gradient rule, kernel calls, reference, descriptors
// and builder. Stands behind the file's `formula`, a function of a double.
#define BDPO_UNARY_OPERATOR(name_, NAME, precision_)                                               \
    static void grad(bdpo_graph *g, bdpo_node *node, bdpo_node *const *dy, bdpo_node **dx)         \
    {                                                                                              \
        bdpo_unary_grad(g, node, dy, dx, &bdpo_op_##name_##_backward);                             \
    }                                                                                              \
    static void cpu(const bdpo_op_call *call)                                                      \
    {                                                                                              \
        bdpo_unary_run(call, BDPO_UNARY_##NAME, 0, 0);                                             \
    }                                                                                              \
    static void cpu_backward(const bdpo_op_call *call)                                             \
    {                                                                                              \
        bdpo_unary_run_backward(call, BDPO_UNARY_##NAME, 0, 0);                                    \
    }                                                                                              \
    static void reference(const bdpo_reference_call *call)                                         \
    {                                                                                              \
        bdpo_unary_reference(call, formula);                                                       \
    }                                                                                              \
    const bdpo_op bdpo_op_##name_ = {                                                              \
        .name = #name_,                                                                            \
        .n_inputs = 1,                                                                             \
        .shape = bdpo_unary_shape,                                                                 \
        .grad = grad,                                                                              \
        .cpu = cpu,                                                                                \
        .reference = reference,                                                                    \
        .cases = bdpo_unary_cases,                                                                 \
        .n_cases = BDPO_N_UNARY_CASES,                                                             \
        .precision = (precision_),                                                                 \
        .strided_inputs = 1,                                                                       \
        .strided_outputs = 1,                                                                      \
        .inplace_inputs = 1,                                                                       \
    };                                                                                             \
    const bdpo_op bdpo_op_##name_##_backward = {                                                   \
        .name = #name_ "_backward",                                                                \
        .n_inputs = 2,                                                                             \
        .shape = bdpo_unary_backward_shape,                                                        \
        .grad = bdpo_no_grad,                                                                      \
        .cpu = cpu_backward,                                                                       \
        .tested_by = &bdpo_op_##name_,                                                             \
        .precision = (precision_),                                                                 \
        .strided_inputs = 3,                                                                       \
        .strided_outputs = 1,                                                                      \
        .inplace_inputs = 3,                                                                       \
        .can_accumulate = true,                                                                    \
    };                                                                                             \
    bdpo_node *bdpo_##name_(bdpo_graph *g, bdpo_node *x)                                           \
    {                                                                                              \
        return bdpo_unary_node(g, &bdpo_op_##name_, x);                                            \
    }

#endif

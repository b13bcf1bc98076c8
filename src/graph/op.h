// What an operator is: one descriptor with its shape rule, gradient rule, kernel and cases.
// ops.def lists the descriptors; nothing else in the tree knows which operators exist.
#ifndef BDPO_OP_H
#define BDPO_OP_H

#include <bdpo/engine.h>

#include "tensor/tensor.h"

enum { BDPO_MAX_INPUTS = 10, BDPO_MAX_OUTPUTS = 6 };

typedef struct bdpo_op bdpo_op;

// One value of a node: what the shape rule fills in.
typedef struct bdpo_value {
    bdpo_dtype dtype;
    bdpo_shape shape;
    int64_t row_stride;  // set by bdpo_node_new() to dense; a view operator sets its own
    int64_t view_offset; // of view operators: elements from the start of input 0
} bdpo_value;

// A node. Operators read `in`, `attrs` and, in the shape rule, fill `out` and `n_out`.
struct bdpo_node {
    const bdpo_op *op;
    bdpo_graph *graph;
    int id; // order of creation, the order in which nodes run
    int n_in, n_out;
    bdpo_node *in[BDPO_MAX_INPUTS]; // NULL: an optional input that is absent
    bdpo_value out[BDPO_MAX_OUTPUTS];
    const void *attrs;      // op->attrs_size bytes, owned by the graph
    bool needs_grad;        // a trainable leaf is behind it
    bool f32;               // built between bdpo_f32_begin() and _end()
    bool accumulate;        // set by the planner: the kernel adds to out[0], see `can_accumulate`
    bool accumulate_bound;  // set by the planner: in[1] has been added by its own kernel
    unsigned round_outputs; // set by the planner: bit k: f32 storage, values rounded to bf16
    int segment;            // the innermost around it; 0: none
    bdpo_node *projection[BDPO_MAX_OUTPUTS]; // handles of out[1] and up, made when asked for
};

// What a kernel gets. Kernels never fail and never allocate: shapes have passed the shape rule.
typedef struct bdpo_op_call {
    const bdpo_op *op;
    const void *attrs;
    int n_in, n_out;
    bdpo_tensor in[BDPO_MAX_INPUTS]; // .data NULL: absent
    bdpo_tensor out[BDPO_MAX_OUTPUTS];
    void *workspace; // 64-byte aligned; op->workspace() bytes
    size_t workspace_bytes;
    bool accumulate; // out[0] += result
    int n_threads;   // CPU
    void *stream;    // CUDA
} bdpo_op_call;

// The same computation in double, naive and readable, for the driver of the cases. Integer inputs
// come as doubles too. For operators with `mutates`, out[k] is the new value of the k-th mutated
// input and `in` still holds the old ones.
typedef struct bdpo_reference_call {
    const void *attrs;
    int n_in, n_out;
    const double *in[BDPO_MAX_INPUTS]; // dense; NULL: absent
    bdpo_shape in_shape[BDPO_MAX_INPUTS];
    double *out[BDPO_MAX_OUTPUTS]; // dense, zeroed
    bdpo_shape out_shape[BDPO_MAX_OUTPUTS];
} bdpo_reference_call;

typedef enum bdpo_case_fill {
    BDPO_FILL_NORMAL,   // f32, standard normal
    BDPO_FILL_UNIFORM,  // f32, in (-1, 1)
    BDPO_FILL_POSITIVE, // f32, in (0.1, 1.1)
    BDPO_FILL_INDEX,    // i32, in [0, limit)
    BDPO_FILL_LENGTH,   // i32, in [0, limit], both ends included at least once when there is room
    BDPO_FILL_COUNT,    // f32, whole numbers 1 .. limit: step numbers, timesteps
    BDPO_FILL_BITS,     // i32, any
    BDPO_FILL_CODE,     // u8, any
} bdpo_case_fill;

typedef struct bdpo_case_input {
    bdpo_shape shape; // n_dims 0: absent
    bdpo_case_fill fill;
    int64_t limit;
} bdpo_case_input;

// Its initializers, constant as static tables need them: a dense input filled with normals,
// BDPO_IN(2, 8, 32), and one of another fill, BDPO_IN_FILL(BDPO_FILL_INDEX, 10, 2).
#define BDPO_IN(...) BDPO_IN_FILL(BDPO_FILL_NORMAL, 0, __VA_ARGS__)
#define BDPO_IN_FILL(fill_, limit_, ...)                                                           \
    {                                                                                              \
        .shape = {.n_dims = (int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)),             \
                  .dim = {__VA_ARGS__}},                                                           \
        .fill = (fill_), .limit = (limit_)                                                         \
    }

typedef struct bdpo_op_case {
    const char *name;
    bdpo_case_input in[BDPO_MAX_INPUTS];
    const void *attrs;
    bool refused;     // the shape rule must refuse it
    double tolerance; // relative L2; 0: the driver's, derived from f32
    const char *why;  // the reason of an own tolerance
} bdpo_op_case;

// Which dtype a node computes in when the plan's compute dtype is bf16.
typedef enum bdpo_precision {
    BDPO_COMPUTE, // float inputs and out[0] in the compute dtype, further outputs (statistics) f32;
                  // an input that is such a further output stays f32
    BDPO_ISLAND,  // everything f32: softmax, sinusoids, errors, losses
    BDPO_FOLLOW,  // the dtype of input 0, without a cast: views, layout
    BDPO_WEIGHT,  // float inputs in the compute dtype, all outputs f32: gradients of weights
    BDPO_OWN,     // as the shape rule says: cast, leaves, state operators
} bdpo_precision;

typedef bdpo_status (*bdpo_shape_rule)(bdpo_node *node);
// dy[k] is the cotangent of output k, NULL if there is none (at least one is given). Sets dx[i]
// for the inputs that bdpo_wants_grad() names; leaves the others NULL.
typedef void (*bdpo_grad_rule)(bdpo_graph *g, bdpo_node *node, bdpo_node *const *dy,
                               bdpo_node **dx);

struct bdpo_op {
    const char *name;
    int n_inputs; // most inputs; fewer, or NULL ones, are for the shape rule to accept
    size_t attrs_size;
    bdpo_shape_rule shape;
    bdpo_grad_rule grad;                   // or bdpo_no_grad, explicitly
    void (*cpu)(const bdpo_op_call *call); // NULL for views and leaves
    void (*reference)(const bdpo_reference_call *call);
    const bdpo_op_case *cases;
    size_t n_cases;
    const bdpo_op *tested_by; // a gradient kernel: cases and reference are those of this operator
    size_t (*workspace)(const bdpo_node *node, int n_threads); // bytes on the CPU; NULL: none
    int64_t (*flops)(const bdpo_node *node);                   // NULL: one per output element
    bdpo_precision precision;
    unsigned compute_outputs; // BDPO_COMPUTE: bit k: out[k] too is in the compute dtype
    unsigned strided_inputs;  // bit i: input i may be a view with a row stride
    unsigned strided_outputs; // bit k: out[k] may be written with a row stride
    unsigned inplace_inputs;  // bit i: out[0] may take the storage of input i
    unsigned mutates;         // bit i: input i is a leaf of the store that the kernel changes
    // For an operator that puts its inputs side by side: where input i begins in out[0], in
    // elements. The planner may have the input computed there; the kernel then skips it.
    int64_t (*part_offset)(const bdpo_node *node, int i);
    bool is_view;        // no kernel: outputs lie in input 0, where the shape rule says
    bool can_accumulate; // the kernel honours call->accumulate
};

// The gradient rule of an operator through which no gradient flows.
void bdpo_no_grad(bdpo_graph *g, bdpo_node *node, bdpo_node *const *dy, bdpo_node **dx);

// Makes a node: copies attrs, runs the shape rule, marks needs_grad. `in` may hold NULLs where the
// shape rule accepts them. NULL when the graph has failed or fails here.
bdpo_node *bdpo_node_new(bdpo_graph *g, const bdpo_op *op, const void *attrs, bdpo_node *const *in,
                         int n_in);
// The handle of output k of a node (k = 0: the node itself).
bdpo_node *bdpo_node_output(bdpo_node *node, int k);

// True where the gradient rule has to produce dx[i].
static inline bool bdpo_wants_grad(const bdpo_node *node, int i)
{
    return node->in[i] != NULL && node->in[i]->needs_grad;
}

// The value that a handle stands for.
static inline const bdpo_value *bdpo_in(const bdpo_node *node, int i)
{
    return &node->in[i]->out[0];
}

// For shape rules: out[0] is a dense tensor of this shape and dtype, the node has one output; and
// one output more. The failure of a rule, in one line with the operator's name in front:
// return bdpo_refuse(node, "weight %s does not fit input %s", ...).
void bdpo_set_output(bdpo_node *node, bdpo_dtype dtype, bdpo_shape shape);
void bdpo_add_output(bdpo_node *node, bdpo_dtype dtype, bdpo_shape shape);
BDPO_MUST_CHECK bdpo_status bdpo_refuse(const bdpo_node *node, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
// Common checks: input i is present, of this dtype (and number of dimensions, 0 = any).
BDPO_MUST_CHECK bdpo_status bdpo_expect(const bdpo_node *node, int i, bdpo_dtype dtype, int n_dims);
// As bdpo_expect for a float input, which may rest in f32, bf16 or f16.
BDPO_MUST_CHECK bdpo_status bdpo_expect_float(const bdpo_node *node, int i, int n_dims);
// All inputs 0..n-1 are floats of one shape, which becomes the output's.
BDPO_MUST_CHECK bdpo_status bdpo_same_shape(bdpo_node *node, int n);

// The operators that the graph itself emits; they live in src/ops like all others.
extern const bdpo_op bdpo_op_add;             // a + b, same shape
extern const bdpo_op bdpo_op_cast;            // attrs: bdpo_dtype of the output; strided input ok
extern const bdpo_op bdpo_op_fill;            // no input; attrs: bdpo_fill_attrs
extern const bdpo_op bdpo_op_grad_accumulate; // in[0] (leaf) += in[1]

typedef struct bdpo_fill_attrs {
    bdpo_shape shape;
    float value;
} bdpo_fill_attrs;

// Every operator of ops.def, in its order. cpu_only: declared with OP_CPU, there is no .cu file.
typedef struct bdpo_op_entry {
    const bdpo_op *op;
    bool cpu_only;
} bdpo_op_entry;
extern const bdpo_op_entry bdpo_op_list[];
extern const int bdpo_n_ops;

#endif

// The engine: an engine owns a device, a store owns weights, a graph describes a computation, a
// plan is that computation compiled. Build once per shape, run many times, allocate nothing.
//
//     bdpo_engine_new(&engine, &(bdpo_engine_options){.backend = "cpu"});
//     bdpo_store_new(&store, engine);
//     bdpo_store_declare(store, "w", BDPO_F32, BDPO_SHAPE(10, 64), true);
//     bdpo_store_seal(store);
//     bdpo_graph_new(&graph, store);
//     y = bdpo_linear(graph, bdpo_input(graph, "x", BDPO_F32, BDPO_SHAPE(8, 64)),
//                     bdpo_param(graph, "w"), NULL, BDPO_NO_ACTIVATION);
//     bdpo_output(graph, "y", y);
//     bdpo_plan_new(&plan, engine, graph, &(bdpo_plan_options){0});
//
// Ownership: what a *_new function puts into its first argument is the caller's and goes back by
// the matching *_free, in reverse order. Nodes are borrowed from their graph.
#ifndef BDPO_ENGINE_H
#define BDPO_ENGINE_H

#include <stdio.h>

#include <bdpo/types.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct bdpo_engine bdpo_engine;
typedef struct bdpo_store bdpo_store;
typedef struct bdpo_graph bdpo_graph;
typedef struct bdpo_node bdpo_node;
typedef struct bdpo_plan bdpo_plan;

// ---- engine ------------------------------------------------------------------------------------

typedef struct bdpo_engine_options {
    const char *backend; // "cpu" (also NULL), "cuda", or "null", which plans and computes nothing
    int n_threads;       // CPU threads; 0 = the cores this process may use
} bdpo_engine_options;

// Opens the device. UNSUPPORTED when this build or machine has no such backend.
BDPO_MUST_CHECK bdpo_status bdpo_engine_new(bdpo_engine **out, const bdpo_engine_options *options);
void bdpo_engine_free(bdpo_engine *engine);
// Call it first in main(). OpenMP's threads then spin for microseconds only while they wait, and
// leave the cores to others; for this the program is started again once. Where this node would run
// more threads than it has cores (several ranks, or n_threads above the cores; 0 = as the engine
// chooses), they sleep at once, and it says so on `talk` (NULL: silent).
void bdpo_prepare_threads(char *const argv[], int n_threads, FILE *talk);

int bdpo_engine_threads(const bdpo_engine *engine);
const char *bdpo_engine_backend(const bdpo_engine *engine);

// Bytes of the arena that all plans of the engine share: the largest planned peak so far.
size_t bdpo_engine_arena_bytes(const bdpo_engine *engine);

// ---- store -------------------------------------------------------------------------------------

// What the store keeps for each parameter. PARAM exists for all; the others are reserved when
// asked for, and only for trainable parameters (REFERENCE and SHADOW: for all).
#define BDPO_KIND_LIST(X)                                                                          \
    X(PARAM, param)                   /* the weight itself */                                      \
    X(GRAD, grad)                     /* f32, summed over micro-batches */                         \
    X(MOMENT1, moment1)               /* f32: AdamW's first moment */                              \
    X(MOMENT2, moment2)               /* f32: AdamW's second moment */                             \
    X(REFERENCE, reference)           /* the frozen copy that DPO compares with */                 \
    X(AVERAGE, average)               /* f32: moving average of the weight */                      \
    X(SHADOW, shadow)                 /* bf16 copy from which a bf16 graph computes */             \
    X(MOMENT1_8BIT, moment1_8bit)     /* u8 codes; f32 under 4096 elements */                      \
    X(MOMENT1_ABSMAX, moment1_absmax) /* f32, one per 256 codes */                                 \
    X(MOMENT2_8BIT, moment2_8bit)                                                                  \
    X(MOMENT2_ABSMAX, moment2_absmax)                                                              \
    X(FACTOR_ROW, factor_row)       /* f32: Adafactor's factors, in OIHW order; the row */         \
    X(FACTOR_COLUMN, factor_column) /* factor holds the full second moment of 1-D weights */

typedef enum bdpo_kind {
#define X(name, text) BDPO_##name,
    BDPO_KIND_LIST(X)
#undef X
        BDPO_N_KINDS
} bdpo_kind;

BDPO_MUST_CHECK bdpo_status bdpo_store_new(bdpo_store **out, bdpo_engine *engine);
void bdpo_store_free(bdpo_store *store);

// Adds a parameter; order of declaration is order in the flat buckets. Trainable ones are f32,
// frozen ones may rest in bf16 or f16. Linear weights [out, in], convolutions [co, ky, kx, ci].
BDPO_MUST_CHECK bdpo_status bdpo_store_declare(bdpo_store *store, const char *name,
                                               bdpo_dtype dtype, bdpo_shape shape, bool trainable);

// As declare, for a frozen parameter whose values stay where they are (a mapped file). `data` is
// borrowed for the life of the store, dense, aligned to its dtype, in host memory.
BDPO_MUST_CHECK bdpo_status bdpo_store_declare_mapped(bdpo_store *store, const char *name,
                                                      bdpo_dtype dtype, bdpo_shape shape,
                                                      const void *data);

// Lays the parameters out in buckets of at most 64 MiB and allocates them, zeroed.
BDPO_MUST_CHECK bdpo_status bdpo_store_seal(bdpo_store *store);

// Allocates one more kind, zeroed. Asking again does nothing.
BDPO_MUST_CHECK bdpo_status bdpo_store_reserve(bdpo_store *store, bdpo_kind kind);

// Copies one whole tensor in or out, dense; bytes must equal its size. NOT_FOUND names it.
BDPO_MUST_CHECK bdpo_status bdpo_store_write(bdpo_store *store, bdpo_kind kind, const char *name,
                                             const void *data, size_t bytes);
BDPO_MUST_CHECK bdpo_status bdpo_store_read(bdpo_store *store, bdpo_kind kind, const char *name,
                                            void *data, size_t bytes);

// Parameters in order of declaration; shape and dtype of one of its kinds.
int bdpo_store_count(const bdpo_store *store);
const char *bdpo_store_name(const bdpo_store *store, int index);
BDPO_MUST_CHECK bdpo_status bdpo_store_describe(const bdpo_store *store, bdpo_kind kind,
                                                const char *name, bdpo_dtype *dtype,
                                                bdpo_shape *shape);

// Buckets: parameters of one dtype, trainable or frozen, side by side in memory. One bucket is
// one collective, one shard, one checkpoint write.
int bdpo_store_bucket_count(const bdpo_store *store);
bool bdpo_store_bucket_trainable(const bdpo_store *store, int bucket);
// Device memory of a bucket's kind and its bytes; NULL where the kind is not reserved or absent.
void *bdpo_store_bucket_data(const bdpo_store *store, bdpo_kind kind, int bucket, size_t *bytes);

// ---- graph -------------------------------------------------------------------------------------

// Starts an empty graph over a store (NULL: a graph without parameters).
BDPO_MUST_CHECK bdpo_status bdpo_graph_new(bdpo_graph **out, bdpo_store *store);
void bdpo_graph_free(bdpo_graph *graph);

// Builders (here and in ops.h) return nodes. The first failure sticks: that builder and all later
// ones return NULL, and this function tells it.
BDPO_MUST_CHECK bdpo_status bdpo_graph_check(const bdpo_graph *graph);

// A value that the caller writes before each run.
bdpo_node *bdpo_input(bdpo_graph *graph, const char *name, bdpo_dtype dtype, bdpo_shape shape);

// A parameter; the kind is PARAM, or what bdpo_graph_set_kind() chose: a model's builder makes
// its reference's graph from REFERENCE without a line of its own.
bdpo_node *bdpo_param(bdpo_graph *graph, const char *name);
void bdpo_graph_set_kind(bdpo_graph *graph, bdpo_kind kind);

// Any tensor of the store, or a whole bucket as one row, as the state operators take them.
bdpo_node *bdpo_state(bdpo_graph *graph, bdpo_kind kind, const char *name);
bdpo_node *bdpo_bucket(bdpo_graph *graph, bdpo_kind kind, int bucket);

// Names a value that the caller reads after each run.
void bdpo_output(bdpo_graph *graph, const char *name, bdpo_node *node);

bdpo_shape bdpo_node_shape(const bdpo_node *node);
bdpo_dtype bdpo_node_dtype(const bdpo_node *node);

// Marks an input as one toward which bdpo_gradients() may be asked.
void bdpo_require_grad(bdpo_node *input);

// Emits the gradient of `loss`, a scalar [1], and adds it to GRAD of every trainable parameter
// that the loss depends on.
void bdpo_backward(bdpo_graph *graph, bdpo_node *loss);

// Emits the cotangents dx[i] of x[i], given the cotangent dy of y. dx[i] is NULL where y does
// not depend on x[i]. GRAD is left alone.
void bdpo_gradients(bdpo_graph *graph, bdpo_node *y, bdpo_node *dy, bdpo_node *const *x, int n_x,
                    bdpo_node **dx);

// What is built between begin and end is a segment: with checkpointing on, its inner values are
// not kept for the backward pass but computed again, to the same bits. Segments may nest.
// Checkpointing is set before bdpo_backward().
void bdpo_segment_begin(bdpo_graph *graph);
void bdpo_segment_end(bdpo_graph *graph);
void bdpo_graph_set_checkpointing(bdpo_graph *graph, bool on);

// What is built between begin and end computes in f32 whatever the compute dtype of the plan:
// attention where a model says upcast.
void bdpo_f32_begin(bdpo_graph *graph);
void bdpo_f32_end(bdpo_graph *graph);

// ---- plan --------------------------------------------------------------------------------------

// Called when the last contribution to a bucket's gradient has been added, while the rest of the
// graph still runs: on a progress thread (CPU) or as a host function of the second stream (CUDA).
// It may read and change that bucket's GRAD and nothing else of the store.
typedef void (*bdpo_bucket_ready)(void *user, int bucket);

typedef struct bdpo_plan_options {
    bdpo_dtype compute_dtype; // BDPO_F32 or BDPO_BF16; a CPU plan in bf16 rounds as bf16 would
    bdpo_bucket_ready on_bucket_ready;
    void *on_bucket_ready_user;
    uint64_t shuffle_seed; // for tests: not 0 = a random order among those the graph allows
    bool poison;           // for tests: memory is filled with NaN as soon as it is dead
} bdpo_plan_options;

// Compiles. The graph must stay until the plan is freed, and be built no further. UNSUPPORTED
// names the first operator that the backend cannot run.
BDPO_MUST_CHECK bdpo_status bdpo_plan_new(bdpo_plan **out, bdpo_engine *engine, bdpo_graph *graph,
                                          const bdpo_plan_options *options);
void bdpo_plan_free(bdpo_plan *plan);

// Plans by key: the first call builds and compiles, later calls return the same plan. The plan
// and its graph belong to the engine, which frees them.
typedef struct bdpo_plan_key {
    const char *graph; // which computation: "unet", "vae decode"
    bdpo_shape shape;  // the shape of its main input
    bdpo_dtype compute_dtype;
    bool checkpointing;
} bdpo_plan_key;
typedef void (*bdpo_graph_builder)(bdpo_graph *graph, const bdpo_plan_key *key, const void *model);
BDPO_MUST_CHECK bdpo_status bdpo_engine_plan(bdpo_plan **out, bdpo_engine *engine,
                                             bdpo_store *store, const bdpo_plan_key *key,
                                             bdpo_graph_builder build, const void *model);

// Copies a value into an input or out of an output, dense f32 (or i32, u8 as declared); bytes
// must equal its size. Host work happens here, between runs, never inside one.
BDPO_MUST_CHECK bdpo_status bdpo_plan_write(bdpo_plan *plan, const char *input, const void *data,
                                            size_t bytes);
BDPO_MUST_CHECK bdpo_status bdpo_plan_read(bdpo_plan *plan, const char *output, void *data,
                                           size_t bytes);

// Runs the plan once. Allocates nothing after the first run.
BDPO_MUST_CHECK bdpo_status bdpo_plan_run(bdpo_plan *plan);

typedef struct bdpo_plan_cost {
    size_t peak_bytes; // of the arena: intermediate values and workspace
    size_t io_bytes;   // inputs and outputs, which live outside the arena
    int64_t flops;     // per run; a multiply-add is 2
    int64_t bytes;     // read and written by the nodes
    int n_nodes;       // that compute
} bdpo_plan_cost;
bdpo_plan_cost bdpo_plan_costs(const bdpo_plan *plan);

// Writes one line per node: operator, shape, dtype, bytes, FLOPs, live memory; and the peak.
void bdpo_plan_report(const bdpo_plan *plan, FILE *out);

#ifdef __cplusplus
}
#endif
#endif

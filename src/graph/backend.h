// What the graph asks of a device: memory, copies, and running a program. One struct of functions
// per backend, filled once; a backend that this build lacks is a stub file.
#ifndef BDPO_BACKEND_H
#define BDPO_BACKEND_H

#include "graph/op.h"

// One kernel call of a program.
typedef struct bdpo_step {
    bdpo_op_call call;
    unsigned round_outputs;   // round these outputs to bf16 afterwards (CPU)
    int first_ready, n_ready; // buckets whose gradient is complete after this step
    int first_dead, n_dead;   // with poison: spans of the arena that are dead after it
} bdpo_step;

typedef struct bdpo_span {
    void *start;
    size_t bytes;
} bdpo_span;

// A compiled graph with its addresses. They are stable until `generation` changes, which a
// backend that captures has to watch.
typedef struct bdpo_program {
    bdpo_step *steps;
    int n_steps;
    const int *ready;
    bdpo_span *dead;
    bdpo_bucket_ready on_bucket_ready;
    void *on_bucket_ready_user;
    uint64_t generation;
    void *captured; // the backend's own; freed by forget()
} bdpo_program;

typedef struct bdpo_device bdpo_device; // each backend defines its own

typedef struct bdpo_backend {
    const char *name;
    bool computes;      // false: plans only
    bool computes_half; // kernels take bf16 and f16; else they are emulated on f32
    bool host_memory;   // alloc() gives memory that the host may read

    // n_threads: CPU threads, 0 = as the machine allows; *used_threads tells the choice.
    bdpo_status (*open)(bdpo_device **out, int n_threads, int *used_threads);
    void (*close)(bdpo_device *device);
    // Memory aligned to 256 bytes (CUDA) or 64 (host); zeroed.
    bdpo_status (*alloc)(bdpo_device *device, void **out, size_t bytes);
    void (*release)(bdpo_device *device, void *memory, size_t bytes);
    // Copies between host and device, finished on return; staged through pinned memory on CUDA.
    bdpo_status (*upload)(bdpo_device *device, void *dst, const void *src, size_t bytes);
    bdpo_status (*download)(bdpo_device *device, void *dst, const void *src, size_t bytes);
    bool (*has_kernel)(const bdpo_op *op);
    size_t (*workspace)(bdpo_device *device, const bdpo_node *node);
    // Runs all steps in order and returns when their results may be read. on_bucket_ready runs
    // beside the later steps, and has returned too.
    bdpo_status (*run)(bdpo_device *device, bdpo_program *program);
    void (*forget)(bdpo_device *device, bdpo_program *program);
} bdpo_backend;

extern const bdpo_backend bdpo_backend_cpu;
extern const bdpo_backend bdpo_backend_null;
// NULL where the build has no CUDA.
const bdpo_backend *bdpo_backend_cuda(void);

#endif

// The CUDA backend: one stream that computes, a second one on which complete gradients are handed
// over, pinned memory for the copies, and programs that are captured once and replayed.
#include "kernels/cuda_common.cuh"

extern "C" {
#include "base/memory.h"
#include "graph/backend.h"
}

#include <string.h>

// ---- kernels -----------------------------------------------------------------------------------

typedef bdpo_status (*launcher)(const bdpo_op_call *call);

#define OP(NAME, name) extern "C" bdpo_status bdpo_cuda_##name(const bdpo_op_call *call);
#define OP_CPU(NAME, name)
#include "ops/ops.def"
#undef OP
#undef OP_CPU

typedef struct kernel_entry {
    const char *name;
    launcher launch;
} kernel_entry;

static const kernel_entry kernels[] = {
#define OP(NAME, name) {#name, bdpo_cuda_##name},
#define OP_CPU(NAME, name)
#include "ops/ops.def"
#undef OP
#undef OP_CPU
};

static launcher find_kernel(const bdpo_op *op)
{
    for (size_t i = 0; i < BDPO_COUNTOF(kernels); i++)
        if (strcmp(kernels[i].name, op->name) == 0) return kernels[i].launch;
    return NULL;
}

// ---- device ------------------------------------------------------------------------------------

static const size_t STAGING_BYTES = 16u << 20, BLAS_WORKSPACE_BYTES = 32u << 20;

struct bdpo_device {
    bdpo_cuda_stream compute;
    cudaStream_t second; // gradients that are complete
    cudaEvent_t ready, joined;
    void *staging; // pinned
};

static bdpo_status check(cudaError_t error, const char *what)
{
    if (error == cudaSuccess) return BDPO_OK;
    return bdpo_fail(error == cudaErrorMemoryAllocation ? BDPO_NO_MEMORY : BDPO_UNSUPPORTED,
                     "CUDA: %s: %s", what, cudaGetErrorString(error));
}

static void cuda_close(bdpo_device *device)
{
    if (device->compute.blas) cublasLtDestroy(device->compute.blas);
    cudaFree(device->compute.workspace);
    cudaFreeHost(device->staging);
    if (device->ready) cudaEventDestroy(device->ready);
    if (device->joined) cudaEventDestroy(device->joined);
    if (device->second) cudaStreamDestroy(device->second);
    if (device->compute.stream) cudaStreamDestroy(device->compute.stream);
    bdpo_free(device);
}

static bdpo_status fill_device(bdpo_device *device)
{
    bdpo_cuda_stream *compute = &device->compute;
    TRY(check(cudaStreamCreateWithFlags(&compute->stream, cudaStreamNonBlocking), "stream"));
    TRY(check(cudaStreamCreateWithFlags(&device->second, cudaStreamNonBlocking), "stream"));
    TRY(check(cudaEventCreateWithFlags(&device->ready, cudaEventDisableTiming), "event"));
    TRY(check(cudaEventCreateWithFlags(&device->joined, cudaEventDisableTiming), "event"));
    TRY(check(cudaMallocHost(&device->staging, STAGING_BYTES), "pinned memory"));
    TRY(check(cudaMalloc(&compute->workspace, BLAS_WORKSPACE_BYTES), "workspace"));
    compute->workspace_bytes = BLAS_WORKSPACE_BYTES;
    if (cublasLtCreate(&compute->blas) != CUBLAS_STATUS_SUCCESS)
        return bdpo_fail(BDPO_UNSUPPORTED, "CUDA: cuBLASLt does not start");
    return BDPO_OK;
}

static bdpo_status cuda_open(bdpo_device **out, int n_threads, int *used_threads)
{
    int n_devices = 0;
    TRY(check(cudaGetDeviceCount(&n_devices), "no usable GPU"));
    if (n_devices == 0) return bdpo_fail(BDPO_UNSUPPORTED, "CUDA: this machine has no GPU");
    bdpo_device *device = (bdpo_device *)bdpo_alloc(1, sizeof *device);
    if (!device) return bdpo_fail(BDPO_NO_MEMORY, "no memory for the CUDA device");
    bdpo_status status = fill_device(device);
    if (status != BDPO_OK) {
        cuda_close(device);
        return status;
    }
    *used_threads = n_threads > 0 ? n_threads : 1;
    *out = device;
    return BDPO_OK;
}

// ---- memory ------------------------------------------------------------------------------------

static bdpo_status cuda_alloc(bdpo_device *device, void **out, size_t bytes)
{
    *out = NULL;
    TRY(check(cudaMalloc(out, bytes), "device memory"));
    TRY(check(cudaMemsetAsync(*out, 0, bytes, device->compute.stream), "zeroing"));
    return check(cudaStreamSynchronize(device->compute.stream), "zeroing");
}

static void cuda_release(bdpo_device *device, void *memory, size_t bytes)
{
    (void)device, (void)bytes;
    cudaFree(memory);
}

// Copies piece by piece through the pinned buffer.
static bdpo_status copy(bdpo_device *device, void *dst, const void *src, size_t bytes, bool up)
{
    cudaStream_t stream = device->compute.stream;
    for (size_t at = 0; at < bytes; at += STAGING_BYTES) {
        size_t part = bytes - at < STAGING_BYTES ? bytes - at : STAGING_BYTES;
        const char *from = (const char *)src + at;
        char *to = (char *)dst + at;
        if (up) memcpy(device->staging, from, part);
        TRY(check(up ? cudaMemcpyAsync(to, device->staging, part, cudaMemcpyHostToDevice, stream)
                     : cudaMemcpyAsync(device->staging, from, part, cudaMemcpyDeviceToHost, stream),
                  "copy"));
        TRY(check(cudaStreamSynchronize(stream), "copy"));
        if (!up) memcpy(to, device->staging, part);
    }
    return BDPO_OK;
}

static bdpo_status cuda_upload(bdpo_device *device, void *dst, const void *src, size_t bytes)
{
    return copy(device, dst, src, bytes, true);
}

static bdpo_status cuda_download(bdpo_device *device, void *dst, const void *src, size_t bytes)
{
    return copy(device, dst, src, bytes, false);
}

static bool cuda_has_kernel(const bdpo_op *op)
{
    return find_kernel(op) != NULL;
}

static size_t cuda_workspace(bdpo_device *device, const bdpo_node *node)
{
    (void)device, (void)node;
    return 0; // products use the device's own workspace, the other kernels none
}

// ---- run ---------------------------------------------------------------------------------------

typedef struct announcement {
    bdpo_bucket_ready call;
    void *user;
    int bucket;
} announcement;

// What a program keeps between runs. The first run is eager, so that libraries and kernels are
// loaded before anything is captured; the second is captured; later ones replay.
typedef struct recording {
    bool warm;
    cudaGraphExec_t replay;
    announcement *announcements; // stable memory for the host functions
} recording;

static void CUDART_CB announce(void *user)
{
    const announcement *a = (const announcement *)user;
    a->call(a->user, a->bucket);
}

static bdpo_status enqueue_ready(bdpo_device *device, const bdpo_program *program,
                                 const bdpo_step *step, recording *r)
{
    TRY(check(cudaEventRecord(device->ready, device->compute.stream), "event"));
    TRY(check(cudaStreamWaitEvent(device->second, device->ready, 0), "event"));
    for (int i = step->first_ready; i < step->first_ready + step->n_ready; i++) {
        announcement a = {program->on_bucket_ready, program->on_bucket_ready_user,
                          program->ready[i]};
        r->announcements[i] = a;
        TRY(check(cudaLaunchHostFunc(device->second, announce, &r->announcements[i]),
                  "host function"));
    }
    return BDPO_OK;
}

static bdpo_status enqueue_all(bdpo_device *device, bdpo_program *program, recording *r)
{
    bool forked = false; // only then may the second stream be joined to a capture
    for (int s = 0; s < program->n_steps; s++) {
        bdpo_step *step = &program->steps[s];
        step->call.stream = &device->compute;
        TRY(find_kernel(step->call.op)(&step->call));
        if (!step->n_ready || !program->on_bucket_ready) continue;
        TRY(enqueue_ready(device, program, step, r));
        forked = true;
    }
    if (!forked) return BDPO_OK;
    TRY(check(cudaEventRecord(device->joined, device->second), "event"));
    return check(cudaStreamWaitEvent(device->compute.stream, device->joined, 0), "event");
}

static bdpo_status capture(bdpo_device *device, bdpo_program *program, recording *r)
{
    cudaGraph_t graph = NULL;
    TRY(check(cudaStreamBeginCapture(device->compute.stream, cudaStreamCaptureModeThreadLocal),
              "capture"));
    bdpo_status status = enqueue_all(device, program, r);
    cudaError_t error = cudaStreamEndCapture(device->compute.stream, &graph);
    if (status == BDPO_OK) status = check(error, "capture");
    if (status == BDPO_OK) status = check(cudaGraphInstantiate(&r->replay, graph, 0), "capture");
    if (graph) cudaGraphDestroy(graph);
    return status;
}

static bdpo_status new_recording(bdpo_program *program, recording **out)
{
    int n_ready = 0;
    for (int s = 0; s < program->n_steps; s++) n_ready += program->steps[s].n_ready;
    recording *r = (recording *)bdpo_alloc(1, sizeof *r);
    if (r) r->announcements = (announcement *)bdpo_alloc((size_t)n_ready + 1, sizeof(announcement));
    if (!r || !r->announcements) {
        bdpo_free(r);
        return bdpo_fail(BDPO_NO_MEMORY, "no memory to record a program");
    }
    program->captured = r;
    *out = r;
    return BDPO_OK;
}

static bdpo_status cuda_run(bdpo_device *device, bdpo_program *program)
{
    recording *r = (recording *)program->captured;
    if (!r) TRY(new_recording(program, &r));
    if (r->warm && !r->replay) TRY(capture(device, program, r));
    if (r->replay)
        TRY(check(cudaGraphLaunch(r->replay, device->compute.stream), "replay"));
    else
        TRY(enqueue_all(device, program, r));
    r->warm = true;
    return check(cudaStreamSynchronize(device->compute.stream), "a kernel");
}

static void cuda_forget(bdpo_device *device, bdpo_program *program)
{
    (void)device;
    recording *r = (recording *)program->captured;
    if (!r) return;
    if (r->replay) cudaGraphExecDestroy(r->replay);
    bdpo_free(r->announcements);
    bdpo_free(r);
    program->captured = NULL;
}

extern "C" const bdpo_backend *bdpo_backend_cuda(void)
{
    static const bdpo_backend backend = {
        /* name */ "cuda",
        /* computes */ true,
        /* computes_half */ true,
        /* host_memory */ false,
        cuda_open,
        cuda_close,
        cuda_alloc,
        cuda_release,
        cuda_upload,
        cuda_download,
        cuda_has_kernel,
        cuda_workspace,
        cuda_run,
        cuda_forget,
    };
    return &backend;
}

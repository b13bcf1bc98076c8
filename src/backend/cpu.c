// The CPU backend: f32 kernels one after the other, each spread over OpenMP threads. Gradients
// that are complete are handed to a progress thread, so that a reduction runs beside the rest.
#include <string.h>

#include "base/memory.h"
#include "base/threads.h"
#include "base/worker.h"
#include "graph/backend.h"
#include "kernels/elementwise.h"

enum { MAX_PENDING_BUCKETS = 256 };

struct bdpo_device {
    int n_threads;
    bdpo_worker *progress; // started by the first program that wants it
};

static bdpo_status cpu_open(bdpo_device **out, int n_threads, int *used_threads)
{
    bdpo_device *device = bdpo_alloc(1, sizeof *device);
    if (!device) return bdpo_fail(BDPO_NO_MEMORY, "no memory for the CPU device");
    device->n_threads = n_threads > 0 ? n_threads : bdpo_threads_choose();
    *used_threads = device->n_threads;
    *out = device;
    return BDPO_OK;
}

static void cpu_close(bdpo_device *device)
{
    bdpo_worker_free(device->progress);
    bdpo_free(device);
}

// Touches every page now, by the threads that will use them: a first touch inside a run would
// cost more than the kernel.
static bdpo_status cpu_alloc(bdpo_device *device, void **out, size_t bytes)
{
    const size_t page = 1 << 16;
    char *memory = bdpo_alloc_aligned(bytes);
    *out = memory;
    if (!memory) return bdpo_fail(BDPO_NO_MEMORY, "no memory for %zu bytes", bytes);
    int64_t n_pages = (int64_t)((bytes + page - 1) / page);
#pragma omp parallel for num_threads(device->n_threads) schedule(static)
    for (int64_t i = 0; i < n_pages; i++) {
        size_t start = (size_t)i * page;
        memset(memory + start, 0, bytes - start < page ? bytes - start : page);
    }
    return BDPO_OK;
}

static void cpu_release(bdpo_device *device, void *memory, size_t bytes)
{
    (void)device, (void)bytes;
    bdpo_free_aligned(memory);
}

static bdpo_status cpu_copy(bdpo_device *device, void *dst, const void *src, size_t bytes)
{
    (void)device;
    memcpy(dst, src, bytes);
    return BDPO_OK;
}

static bool cpu_has_kernel(const bdpo_op *op)
{
    return op->cpu != NULL;
}

static size_t cpu_workspace(bdpo_device *device, const bdpo_node *node)
{
    return node->op->workspace ? node->op->workspace(node, device->n_threads) : 0;
}

// ---- run ---------------------------------------------------------------------------------------

static void round_outputs(const bdpo_step *step, int n_threads)
{
    for (int k = 0; k < step->call.n_out; k++)
        if (step->round_outputs & 1u << k)
            bdpo_round_to(step->call.out[k].data, BDPO_BF16,
                          bdpo_shape_count(&step->call.out[k].shape), n_threads);
}

// All bits set is a NaN in every float type and an index far out of range in i32.
static void poison(const bdpo_program *program, const bdpo_step *step)
{
    for (int i = step->first_dead; i < step->first_dead + step->n_dead; i++)
        memset(program->dead[i].start, 0xff, program->dead[i].bytes);
}

static void announce(bdpo_device *device, const bdpo_program *program, const bdpo_step *step)
{
    for (int i = step->first_ready; i < step->first_ready + step->n_ready; i++)
        bdpo_worker_post(device->progress, program->on_bucket_ready, program->on_bucket_ready_user,
                         program->ready[i]);
}

static bdpo_status cpu_run(bdpo_device *device, bdpo_program *program)
{
    if (program->on_bucket_ready && !device->progress)
        TRY(bdpo_worker_new(&device->progress, MAX_PENDING_BUCKETS));
    for (int s = 0; s < program->n_steps; s++) {
        const bdpo_step *step = &program->steps[s];
        step->call.op->cpu(&step->call);
        if (step->round_outputs) round_outputs(step, device->n_threads);
        if (step->n_dead) poison(program, step);
        if (program->on_bucket_ready) announce(device, program, step);
    }
    if (device->progress) bdpo_worker_drain(device->progress);
    return BDPO_OK;
}

static void cpu_forget(bdpo_device *device, bdpo_program *program)
{
    (void)device, (void)program;
}

const bdpo_backend bdpo_backend_cpu = {
    .name = "cpu",
    .computes = true,
    .computes_half = false,
    .host_memory = true,
    .open = cpu_open,
    .close = cpu_close,
    .alloc = cpu_alloc,
    .release = cpu_release,
    .upload = cpu_copy,
    .download = cpu_copy,
    .has_kernel = cpu_has_kernel,
    .workspace = cpu_workspace,
    .run = cpu_run,
    .forget = cpu_forget,
};

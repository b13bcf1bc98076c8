// The null backend: plans, reports, and computes nothing. Its memory is address space without
// pages behind it, so that SDXL can be planned on a small machine.
#define _DEFAULT_SOURCE // MAP_ANONYMOUS
#include <sys/mman.h>

#include "base/memory.h"
#include "graph/backend.h"

struct bdpo_device {
    int unused;
};

static bdpo_status null_open(bdpo_device **out, int n_threads, int *used_threads)
{
    static bdpo_device device; // without state
    *used_threads = n_threads > 0 ? n_threads : 1;
    *out = &device;
    return BDPO_OK;
}

static void null_close(bdpo_device *device)
{
    (void)device;
}

static bdpo_status null_alloc(bdpo_device *device, void **out, size_t bytes)
{
    (void)device;
    void *memory = mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    *out = memory == MAP_FAILED ? NULL : memory;
    return *out ? BDPO_OK : bdpo_fail(BDPO_NO_MEMORY, "no address space for %zu bytes", bytes);
}

static void null_release(bdpo_device *device, void *memory, size_t bytes)
{
    (void)device;
    munmap(memory, bytes);
}

static bdpo_status null_copy(bdpo_device *device, void *dst, const void *src, size_t bytes)
{
    (void)device, (void)dst, (void)src, (void)bytes;
    return BDPO_OK;
}

static bool null_has_kernel(const bdpo_op *op)
{
    (void)op;
    return true;
}

static size_t null_workspace(bdpo_device *device, const bdpo_node *node)
{
    (void)device, (void)node;
    return 0;
}

static bdpo_status null_run(bdpo_device *device, bdpo_program *program)
{
    (void)device, (void)program;
    return BDPO_OK;
}

static void null_forget(bdpo_device *device, bdpo_program *program)
{
    (void)device, (void)program;
}

const bdpo_backend bdpo_backend_null = {
    .name = "null",
    .computes = false,
    .computes_half = true,
    .host_memory = true,
    .open = null_open,
    .close = null_close,
    .alloc = null_alloc,
    .release = null_release,
    .upload = null_copy,
    .download = null_copy,
    .has_kernel = null_has_kernel,
    .workspace = null_workspace,
    .run = null_run,
    .forget = null_forget,
};

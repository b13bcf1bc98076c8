// The counter of malloc_count.h, over glibc's own entry points.
#include "malloc_count.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

static atomic_uint_fast64_t count;

uint64_t malloc_count(void)
{
    return atomic_load(&count);
}

bool malloc_is_counted(void)
{
    uint64_t before = malloc_count();
    void *volatile block = malloc(1); // volatile: or the compiler drops the pair
    free(block);
    return malloc_count() != before;
}

#if defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *block, size_t size);
void *__libc_memalign(size_t alignment, size_t size);

void *malloc(size_t size)
{
    atomic_fetch_add(&count, 1);
    return __libc_malloc(size);
}

void *calloc(size_t n, size_t size)
{
    atomic_fetch_add(&count, 1);
    return __libc_calloc(n, size);
}

void *realloc(void *block, size_t size)
{
    atomic_fetch_add(&count, 1);
    return __libc_realloc(block, size);
}

void *aligned_alloc(size_t alignment, size_t size)
{
    atomic_fetch_add(&count, 1);
    return __libc_memalign(alignment, size);
}

int posix_memalign(void **out, size_t alignment, size_t size)
{
    atomic_fetch_add(&count, 1);
    *out = __libc_memalign(alignment, size);
    return *out ? 0 : ENOMEM;
}

#endif

// Checked allocation and arenas. The counter and the fault serve tests only: what they cost is
// one relaxed increment per allocation, and nothing allocates while a plan runs.
#include "base/memory.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { CACHE_LINE = 64, ARENA_ALIGNMENT = 16, ARENA_FIRST_BLOCK = 4096 };

static _Atomic uint64_t n_allocations;
static _Atomic uint64_t fail_at;

// Counts one allocation; false when it is the one that a test wants to fail.
static bool may_allocate(void)
{
    uint64_t number = atomic_fetch_add_explicit(&n_allocations, 1, memory_order_relaxed) + 1;
    return number != atomic_load_explicit(&fail_at, memory_order_relaxed);
}

uint64_t bdpo_alloc_count(void)
{
    return atomic_load(&n_allocations);
}

void bdpo_alloc_fail_at(uint64_t at)
{
    atomic_store(&fail_at, at);
}

void *bdpo_alloc(size_t count, size_t size)
{
    size_t bytes;
    if (!may_allocate() || !bdpo_size_mul(&bytes, count, size)) return NULL;
    // An empty request still gets its own address, so that NULL always means failure.
    return calloc(bytes > 0 ? bytes : 1, 1);
}

void *bdpo_realloc(void *block, size_t count, size_t size)
{
    size_t bytes;
    if (!may_allocate() || !bdpo_size_mul(&bytes, count, size)) return NULL;
    return realloc(block, bytes > 0 ? bytes : 1);
}

void *bdpo_alloc_aligned(size_t size)
{
    if (!may_allocate() || size > SIZE_MAX - CACHE_LINE) return NULL;
    return aligned_alloc(CACHE_LINE, bdpo_align(size > 0 ? size : 1, CACHE_LINE));
}

void bdpo_free(void *block)
{
    free(block);
}

void bdpo_free_aligned(void *block)
{
    free(block);
}

// The newest block is first in the list and the only one that still gives.
typedef struct arena_block {
    struct arena_block *older;
    size_t size, used; // bytes in pieces[]
    _Alignas(ARENA_ALIGNMENT) unsigned char pieces[];
} arena_block;

struct bdpo_arena {
    arena_block *newest; // NULL until the first piece
};

bdpo_status bdpo_arena_new(bdpo_arena **out)
{
    *out = bdpo_alloc(1, sizeof **out);
    if (!*out) return bdpo_fail(BDPO_NO_MEMORY, "no memory for an arena");
    return BDPO_OK;
}

void bdpo_arena_free(bdpo_arena *arena)
{
    if (!arena) return;
    for (arena_block *block = arena->newest, *older; block; block = older) {
        older = block->older;
        bdpo_free(block);
    }
    bdpo_free(arena);
}

static arena_block *add_block(bdpo_arena *arena, size_t needed)
{
    size_t size = ARENA_FIRST_BLOCK, bytes;
    if (arena->newest && !bdpo_size_mul(&size, arena->newest->size, 2)) return NULL;
    if (size < needed) size = needed;
    if (!bdpo_size_add(&bytes, size, sizeof(arena_block))) return NULL;
    arena_block *block = bdpo_alloc(1, bytes);
    if (!block) return NULL;
    *block = (arena_block){.older = arena->newest, .size = size};
    arena->newest = block;
    return block;
}

void *bdpo_arena_alloc(bdpo_arena *arena, size_t count, size_t size)
{
    size_t bytes;
    if (!bdpo_size_mul(&bytes, count, size) || bytes > SIZE_MAX - ARENA_ALIGNMENT) return NULL;
    bytes = bdpo_align(bytes > 0 ? bytes : 1, ARENA_ALIGNMENT);
    arena_block *block = arena->newest;
    if (!block || block->size - block->used < bytes) block = add_block(arena, bytes);
    if (!block) return NULL;
    void *piece = block->pieces + block->used;
    block->used += bytes;
    return piece;
}

char *bdpo_arena_strdup(bdpo_arena *arena, const char *text)
{
    size_t bytes = strlen(text) + 1;
    char *copy = bdpo_arena_alloc(arena, bytes, 1);
    return copy ? memcpy(copy, text, bytes) : NULL;
}

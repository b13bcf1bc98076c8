// Every allocation of the library passes here: sizes are checked products, and a test may count
// allocations or make one fail.
#ifndef BDPO_MEMORY_H
#define BDPO_MEMORY_H

#include "base/status.h"

// *out = a * b or a + b; false on overflow.
static inline bool bdpo_size_mul(size_t *out, size_t a, size_t b)
{
    return !__builtin_mul_overflow(a, b, out);
}
static inline bool bdpo_size_add(size_t *out, size_t a, size_t b)
{
    return !__builtin_add_overflow(a, b, out);
}

// Rounds up to a multiple of `alignment`, a power of two.
static inline size_t bdpo_align(size_t size, size_t alignment)
{
    return (size + alignment - 1) & ~(alignment - 1);
}

// Zeroed memory for `count` elements; NULL when there is none or the product overflows.
// Freed by bdpo_free().
void *bdpo_alloc(size_t count, size_t size) __attribute__((malloc));
// As realloc, with a checked product; the new part is not zeroed. NULL keeps the old block.
void *bdpo_realloc(void *block, size_t count, size_t size);
// 64-byte aligned memory, not zeroed and not touched. Freed by bdpo_free_aligned().
void *bdpo_alloc_aligned(size_t size);
void bdpo_free(void *block);
void bdpo_free_aligned(void *block);

// For tests: the number of allocations so far in the process, and a fault: the allocation whose
// number reaches `at` fails once (0 = never).
uint64_t bdpo_alloc_count(void);
void bdpo_alloc_fail_at(uint64_t at);

// An arena: memory of one owner, freed whole. Zeroed, 16-byte aligned pieces; blocks grow by
// doubling. A failed allocation returns NULL.
typedef struct bdpo_arena bdpo_arena;
BDPO_MUST_CHECK bdpo_status bdpo_arena_new(bdpo_arena **out);
void bdpo_arena_free(bdpo_arena *arena);
void *bdpo_arena_alloc(bdpo_arena *arena, size_t count, size_t size);
char *bdpo_arena_strdup(bdpo_arena *arena, const char *text);

#endif

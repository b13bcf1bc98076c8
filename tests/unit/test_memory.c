// base/memory: sizes are checked, failures can be provoked, arenas are zeroed and freed whole.
#include "base/memory.h"
#include "harness.h"

BDPO_TEST(size_arithmetic_sees_overflow)
{
    size_t out = 0;
    CHECK(bdpo_size_mul(&out, SIZE_MAX / 2, 2));
    CHECK_U64(out, SIZE_MAX - 1);
    CHECK(!bdpo_size_mul(&out, SIZE_MAX / 2 + 1, 2));
    CHECK(bdpo_size_add(&out, SIZE_MAX, 0));
    CHECK(!bdpo_size_add(&out, SIZE_MAX, 1));
    CHECK_U64(bdpo_align(0, 64), 0);
    CHECK_U64(bdpo_align(1, 64), 64);
    CHECK_U64(bdpo_align(64, 64), 64);
}

BDPO_TEST(alloc_zeroes_and_refuses_overflow)
{
    unsigned char *block = bdpo_alloc(1000, 3);
    CHECK(block != NULL);
    for (size_t i = 0; i < 3000; i++) CHECK_INT(block[i], 0);
    bdpo_free(block);
    CHECK(bdpo_alloc(SIZE_MAX, 2) == NULL);
    CHECK(bdpo_alloc(SIZE_MAX / 2 + 1, 2) == NULL);
    CHECK(bdpo_alloc_aligned(SIZE_MAX) == NULL);
    CHECK(bdpo_alloc_aligned(SIZE_MAX - 63) == NULL);
}

BDPO_TEST(alloc_of_nothing_is_not_a_failure)
{
    void *a = bdpo_alloc(0, 8), *b = bdpo_alloc_aligned(0), *c = bdpo_realloc(NULL, 0, 8);
    CHECK(a && b && c);
    bdpo_free(a);
    bdpo_free_aligned(b);
    bdpo_free(c);
}

BDPO_TEST(aligned_alloc_is_aligned)
{
    for (size_t size = 1; size < 5000; size = size * 2 + 1) {
        unsigned char *block = bdpo_alloc_aligned(size);
        CHECK(block != NULL);
        CHECK_U64((uintptr_t)block % 64, 0);
        memset(block, 1, size);
        bdpo_free_aligned(block);
    }
}

BDPO_TEST(realloc_keeps_the_old_part)
{
    int *block = bdpo_realloc(NULL, 10, sizeof *block);
    CHECK(block != NULL);
    for (int i = 0; i < 10; i++) block[i] = i;
    int *more = bdpo_realloc(block, 100000, sizeof *block);
    CHECK(more != NULL);
    for (int i = 0; i < 10; i++) CHECK_INT(more[i], i);
    CHECK(bdpo_realloc(more, SIZE_MAX / 2, sizeof *block) == NULL);
    CHECK_INT(more[9], 9); // the refused call left the block alone
    bdpo_free(more);
}

BDPO_TEST(allocations_are_counted_and_fail_once)
{
    uint64_t before = bdpo_alloc_count();
    void *a = bdpo_alloc(1, 1), *b = bdpo_alloc_aligned(1);
    a = bdpo_realloc(a, 2, 1);
    CHECK_U64(bdpo_alloc_count() - before, 3);

    bdpo_alloc_fail_at(before + 5);
    void *c = bdpo_alloc(1, 1), *d = bdpo_alloc(1, 1), *e = bdpo_alloc(1, 1);
    CHECK(c != NULL && d == NULL && e != NULL);
    bdpo_alloc_fail_at(bdpo_alloc_count() + 1);
    CHECK(bdpo_alloc_aligned(1) == NULL);
    bdpo_alloc_fail_at(bdpo_alloc_count() + 1);
    CHECK(bdpo_realloc(a, 3, 1) == NULL);
    bdpo_alloc_fail_at(0);
    bdpo_free(a);
    bdpo_free_aligned(b);
    bdpo_free(c);
    bdpo_free(e);
}

BDPO_TEST(arena_pieces_are_zeroed_aligned_and_apart)
{
    enum { PIECES = 300 };
    static unsigned char *piece[PIECES];
    bdpo_arena *arena;
    CHECK_OK(bdpo_arena_new(&arena));
    for (size_t i = 0; i < PIECES; i++) { // 1 to 300 * 37 bytes: many blocks, some of one piece
        piece[i] = bdpo_arena_alloc(arena, i * 37 + 1, 1);
        CHECK(piece[i] != NULL);
        CHECK_U64((uintptr_t)piece[i] % 16, 0);
        for (size_t k = 0; k < i * 37 + 1; k++) CHECK_INT(piece[i][k], 0);
        memset(piece[i], (int)(i % 251) + 1, i * 37 + 1);
    }
    for (size_t i = 0; i < PIECES; i++) // nobody wrote into somebody else's piece
        for (size_t k = 0; k < i * 37 + 1; k++) CHECK_INT(piece[i][k], i % 251 + 1);
    CHECK_STR(bdpo_arena_strdup(arena, "down.0.attn"), "down.0.attn");
    CHECK(bdpo_arena_alloc(arena, SIZE_MAX, 2) == NULL);
    CHECK(bdpo_arena_alloc(arena, SIZE_MAX - 3, 1) == NULL);
    bdpo_arena_free(arena);
    bdpo_arena_free(NULL);
}

BDPO_TEST(arena_blocks_double)
{
    bdpo_arena *arena;
    CHECK_OK(bdpo_arena_new(&arena));
    uint64_t before = bdpo_alloc_count();
    for (int i = 0; i < 1 << 16; i++) CHECK(bdpo_arena_alloc(arena, 1, 16) != NULL);
    // 2^20 bytes from blocks of 2^12, 2^13, ...: 2^12 (2^n - 1) >= 2^20 from n = 9 on.
    CHECK_U64(bdpo_alloc_count() - before, 9);
    bdpo_arena_free(arena);
}

BDPO_TEST(arena_survives_a_failed_allocation)
{
    bdpo_arena *arena;
    bdpo_alloc_fail_at(bdpo_alloc_count() + 1);
    CHECK_STATUS(bdpo_arena_new(&arena), BDPO_NO_MEMORY);
    CHECK_OK(bdpo_arena_new(&arena));
    bdpo_alloc_fail_at(bdpo_alloc_count() + 1);
    CHECK(bdpo_arena_strdup(arena, "lost") == NULL);
    CHECK_STR(bdpo_arena_strdup(arena, "kept"), "kept");
    bdpo_arena_free(arena);
}

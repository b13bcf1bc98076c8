#include "unit/guarded.h"

#include "base/memory.h"

enum { GUARD = 64 };
static const uint32_t guard_bits = 0x7fc0beefU; // a NaN that no arithmetic makes

static float guard_value(void)
{
    float value;
    memcpy(&value, &guard_bits, sizeof value);
    return value;
}

static uint32_t next(uint32_t *state)
{
    *state = *state * 1664525U + 1013904223U;
    return *state >> 8;
}

int64_t random_below(uint32_t *state, int64_t count)
{
    return (int64_t)(next(state) % (uint32_t)count);
}

guarded guarded_new(int64_t rows, int64_t cols, int64_t gap, uint32_t seed, float scale)
{
    guarded m = {.rows = rows, .cols = cols, .ld = cols + gap};
    m.count = (size_t)(rows * m.ld + (int64_t)2 * GUARD);
    m.block = bdpo_alloc_aligned(m.count * sizeof *m.block);
    CHECK(m.block != NULL);
    m.data = m.block + GUARD;
    for (size_t i = 0; i < m.count; i++) m.block[i] = guard_value();
    uint32_t state = seed * 2654435761U + 12345U;
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < cols; c++)
            m.data[r * m.ld + c] = scale * ((float)next(&state) * 0x1p-23F - 1.0F);
    return m;
}

guarded guarded_copy(const guarded *m)
{
    guarded copy = *m;
    copy.block = bdpo_alloc_aligned(m->count * sizeof *m->block);
    CHECK(copy.block != NULL);
    copy.data = copy.block + GUARD;
    memcpy(copy.block, m->block, m->count * sizeof *m->block);
    return copy;
}

void guarded_fill(guarded *m, float value)
{
    for (int64_t r = 0; r < m->rows; r++)
        for (int64_t c = 0; c < m->cols; c++) m->data[r * m->ld + c] = value;
}

void guarded_free(guarded *m)
{
    bdpo_free_aligned(m->block);
    m->block = m->data = NULL;
}

void guarded_check(const char *file, int line, const guarded *m)
{
    for (size_t i = 0; i < m->count; i++) {
        int64_t at = (int64_t)i - GUARD;
        if (at >= 0 && at < m->rows * m->ld && at % m->ld < m->cols) continue;
        uint32_t bits;
        memcpy(&bits, m->block + i, sizeof bits);
        if (bits != guard_bits)
            test_fail(file, line, "wrote outside of a [%ld, %ld] matrix of stride %ld, at %ld",
                      (long)m->rows, (long)m->cols, (long)m->ld, (long)at);
    }
}

void guarded_near(const char *file, int line, const char *what, int64_t row, int64_t col,
                  double actual, double expected, double tolerance)
{
    if (!(fabs(actual - expected) <= tolerance))
        test_fail(file, line, "%s with %s: element %ld, %ld is %.9g, expected %.9g +- %.2g", what,
                  bdpo_isa_name(bdpo_isa_active()), (long)row, (long)col, actual, expected,
                  tolerance);
}

void *workspace_new(size_t size)
{
    unsigned char *w = bdpo_alloc_aligned(size + GUARD);
    CHECK(w != NULL);
    memset(w, 0xff, size + GUARD);
    return w;
}

void workspace_free(void *workspace, size_t size)
{
    const unsigned char *w = workspace;
    for (size_t i = size; i < size + GUARD; i++) CHECK_INT(w[i], 0xff);
    bdpo_free_aligned(workspace);
}

void for_each_isa(void (*run)(void))
{
    static const bdpo_isa sets[] = {
#define X(name) BDPO_ISA_##name,
        BDPO_ISA_LIST(X)
#undef X
    };
    for (size_t i = 0; i < BDPO_COUNTOF(sets); i++)
        if (bdpo_isa_force(sets[i]) == BDPO_OK) run();
}

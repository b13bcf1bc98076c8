// The memory plan: no two values that live together may touch, on many random sets of intervals.
#include "base/memory.h"
#include "graph/memory_plan.h"
#include "harness.h"

enum { MAX_INTERVALS = 300 };

static uint64_t draw(uint64_t *state, uint64_t limit)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (*state >> 33) % limit;
}

static bool live_together(const bdpo_interval *a, const bdpo_interval *b)
{
    return a->first <= b->last && b->first <= a->last;
}

static void check_plan(const bdpo_interval *at, int count, size_t peak)
{
    size_t highest = 0;
    for (int i = 0; i < count; i++) {
        size_t end = at[i].offset + at[i].bytes;
        highest = end > highest ? end : highest;
        for (int j = 0; j < i; j++)
            if (live_together(&at[i], &at[j]))
                CHECK(end <= at[j].offset || at[j].offset + at[j].bytes <= at[i].offset);
    }
    CHECK_U64(peak, highest);
}

BDPO_TEST(random_intervals_never_overlap)
{
    bdpo_interval at[MAX_INTERVALS];
    for (uint64_t seed = 1; seed <= 200; seed++) {
        uint64_t state = seed;
        int count = 1 + (int)draw(&state, MAX_INTERVALS);
        for (int i = 0; i < count; i++) {
            int first = (int)draw(&state, 100);
            at[i] = (bdpo_interval){.bytes = 64 * (1 + draw(&state, 1000)),
                                    .first = first,
                                    .last = first + (int)draw(&state, 20)};
        }
        size_t peak, bound;
        CHECK_OK(bdpo_memory_plan(at, count, &peak));
        CHECK_OK(bdpo_memory_bound(at, count, &bound));
        check_plan(at, count, peak);
        CHECK(peak >= bound);
    }
}

// A forward and backward pass keeps values like a stack; there the plan reaches the bound.
BDPO_TEST(nested_intervals_reach_the_bound)
{
    bdpo_interval at[50];
    for (int i = 0; i < 50; i++)
        at[i] = (bdpo_interval){.bytes = 64 * (size_t)(1 + i * 7 % 13), .first = i, .last = 99 - i};
    size_t peak, bound;
    CHECK_OK(bdpo_memory_plan(at, 50, &peak));
    CHECK_OK(bdpo_memory_bound(at, 50, &bound));
    CHECK_U64(peak, bound);
}

BDPO_TEST(disjoint_lives_share_memory)
{
    bdpo_interval at[3] = {{.bytes = 640, .first = 0, .last = 1},
                           {.bytes = 128, .first = 2, .last = 3},
                           {.bytes = 512, .first = 2, .last = 4}};
    size_t peak;
    CHECK_OK(bdpo_memory_plan(at, 3, &peak));
    CHECK_U64(peak, 640);
}

BDPO_TEST(nothing_to_plan)
{
    size_t peak = 1;
    CHECK_OK(bdpo_memory_plan(NULL, 0, &peak));
    CHECK_U64(peak, 0);
}

BDPO_TEST(no_memory_is_reported)
{
    bdpo_interval one = {.bytes = 64};
    size_t peak;
    bdpo_alloc_fail_at(bdpo_alloc_count() + 1);
    CHECK_STATUS(bdpo_memory_plan(&one, 1, &peak), BDPO_NO_MEMORY);
}

BDPO_TEST(sizes_that_no_memory_has_are_refused)
{
    bdpo_interval at[2] = {{.bytes = SIZE_MAX / 2 + 1}, {.bytes = SIZE_MAX / 2 + 1}};
    size_t peak;
    CHECK_STATUS(bdpo_memory_plan(at, 2, &peak), BDPO_NO_MEMORY);
}

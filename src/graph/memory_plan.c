// Offsets for intervals of life: each interval in turn takes the lowest gap that is free for all
// its life. The turn is by size in one attempt (large values dominate the peak) and by time in the
// other (which suits the stack-like life of a forward and a backward pass).
#include "graph/memory_plan.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

typedef struct placed {
    const bdpo_interval *interval;
    size_t offset;
} placed;

static int by_size(const void *a, const void *b)
{
    const bdpo_interval *x = *(bdpo_interval *const *)a, *y = *(bdpo_interval *const *)b;
    if (x->bytes != y->bytes) return x->bytes < y->bytes ? 1 : -1;
    if (x->first != y->first) return x->first < y->first ? -1 : 1;
    return x < y ? -1 : x > y;
}

static int by_time(const void *a, const void *b)
{
    const bdpo_interval *x = *(bdpo_interval *const *)a, *y = *(bdpo_interval *const *)b;
    if (x->first != y->first) return x->first < y->first ? -1 : 1;
    if (x->last != y->last) return x->last > y->last ? -1 : 1;
    return x < y ? -1 : x > y;
}

// The lowest offset at which `wanted` fits between the placed intervals that live with it;
// `done` is sorted by offset.
static size_t lowest_gap(const placed *done, int n_done, const bdpo_interval *wanted)
{
    size_t offset = 0;
    for (int i = 0; i < n_done; i++) {
        const bdpo_interval *other = done[i].interval;
        if (other->last < wanted->first || other->first > wanted->last) continue;
        if (done[i].offset >= offset + wanted->bytes) break;
        size_t end = done[i].offset + other->bytes;
        offset = end > offset ? end : offset;
    }
    return offset;
}

static size_t place_all(bdpo_interval **order, int count, placed *done)
{
    size_t peak = 0;
    for (int n = 0; n < count; n++) {
        bdpo_interval *wanted = order[n];
        wanted->offset = lowest_gap(done, n, wanted);
        size_t end = wanted->offset + wanted->bytes;
        peak = end > peak ? end : peak;
        int at = n; // keep `done` sorted by offset
        while (at > 0 && done[at - 1].offset > wanted->offset) at--;
        memmove(&done[at + 1], &done[at], (size_t)(n - at) * sizeof *done);
        done[at] = (placed){wanted, wanted->offset};
    }
    return peak;
}

bdpo_status bdpo_memory_plan(bdpo_interval *intervals, int count, size_t *peak)
{
    size_t total = 0; // no offset is above it
    *peak = 0;
    for (int i = 0; i < count; i++)
        if (!bdpo_size_add(&total, total, intervals[i].bytes))
            return bdpo_fail(BDPO_NO_MEMORY, "the values do not fit in memory");
    if (count == 0) return BDPO_OK;
    bdpo_interval **order = bdpo_alloc((size_t)count, sizeof *order);
    placed *done = bdpo_alloc((size_t)count, sizeof *done);
    if (order && done) {
        for (int i = 0; i < count; i++) order[i] = &intervals[i];
        qsort(order, (size_t)count, sizeof *order, by_time);
        size_t time_peak = place_all(order, count, done);
        qsort(order, (size_t)count, sizeof *order, by_size);
        *peak = place_all(order, count, done);
        if (time_peak < *peak) {
            qsort(order, (size_t)count, sizeof *order, by_time);
            *peak = place_all(order, count, done);
        }
    }
    bool failed = !order || !done;
    bdpo_free(order);
    bdpo_free(done);
    return failed ? bdpo_fail(BDPO_NO_MEMORY, "no memory to plan %d values", count) : BDPO_OK;
}

bdpo_status bdpo_memory_bound(const bdpo_interval *intervals, int count, size_t *bound)
{
    *bound = 0;
    int n_steps = 0;
    for (int i = 0; i < count; i++)
        n_steps = intervals[i].last + 2 > n_steps ? intervals[i].last + 2 : n_steps;
    size_t *change = bdpo_alloc((size_t)n_steps + 1, sizeof *change); // wraps around, sums do not
    if (!change) return bdpo_fail(BDPO_NO_MEMORY, "no memory to plan %d values", count);
    for (int i = 0; i < count; i++) {
        change[intervals[i].first] += intervals[i].bytes;
        change[intervals[i].last + 1] -= intervals[i].bytes;
    }
    size_t live = 0;
    for (int i = 0; i < n_steps; i++) {
        live += change[i];
        *bound = live > *bound ? live : *bound;
    }
    bdpo_free(change);
    return BDPO_OK;
}

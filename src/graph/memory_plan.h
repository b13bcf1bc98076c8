// Where each value lies in the arena, from when it is made to when it is last read.
#ifndef BDPO_MEMORY_PLAN_H
#define BDPO_MEMORY_PLAN_H

#include "base/status.h"

typedef struct bdpo_interval {
    size_t bytes;    // a multiple of 64
    int first, last; // steps, both included
    size_t offset;   // set by the plan
} bdpo_interval;

// Sets the offsets so that no two intervals that live at one step overlap in memory, and *peak to
// the end of the highest. Tries two greedy orders and keeps the tighter.
BDPO_MUST_CHECK bdpo_status bdpo_memory_plan(bdpo_interval *intervals, int count, size_t *peak);

// The largest sum of bytes alive at one step: no plan can be below it.
BDPO_MUST_CHECK bdpo_status bdpo_memory_bound(const bdpo_interval *intervals, int count,
                                              size_t *bound);

#endif

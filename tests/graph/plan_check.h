// Walks through a plan's program without computing: who wrote what each kernel reads, of which
// dtype is it, and when is a bucket of gradients complete?
#ifndef PLAN_CHECK_H
#define PLAN_CHECK_H

#include "graph/plan.h"

// NULL, or a sentence that says what is wrong at which node, valid until the next call. It is found
// from the addresses of the steps and the nodes' inputs alone; the plan's own liveness is not
// asked. The plan must have run once, so that its addresses are set. `store` may be NULL.
const char *plan_check(const bdpo_plan *plan, const bdpo_store *store, bdpo_dtype compute);

#endif

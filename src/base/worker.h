// One thread beside the main one, fed by a ring of jobs: reductions, copies and writes that run
// while the main thread computes. Nothing is allocated after creation.
#ifndef BDPO_WORKER_H
#define BDPO_WORKER_H

#include "base/status.h"

typedef struct bdpo_worker bdpo_worker;

// What a job runs. It reports failure through `user`; it must not post to or drain its own worker.
typedef void (*bdpo_worker_job)(void *user, int argument);

// Starts the thread; at most `capacity` jobs wait. Signals stay with the other threads.
// *out is the caller's, released by bdpo_worker_free().
BDPO_MUST_CHECK bdpo_status bdpo_worker_new(bdpo_worker **out, int capacity);

// Jobs run one after the other in the order of posting. Waits while the ring is full. What the
// poster wrote before is seen by the job.
void bdpo_worker_post(bdpo_worker *worker, bdpo_worker_job job, void *user, int argument);

// Returns when all jobs posted so far have ended; what they wrote is seen by the caller.
void bdpo_worker_drain(bdpo_worker *worker);

// Drains, then ends the thread. NULL is fine.
void bdpo_worker_free(bdpo_worker *worker);

#endif

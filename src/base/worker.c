// A ring under one lock. Jobs are long against a lock (a reduction, a file), so nothing cleverer.
#include "base/worker.h"

#include <pthread.h>
#include <signal.h>

#include "base/memory.h"

typedef struct entry {
    bdpo_worker_job job;
    void *user;
    int argument;
} entry;

// Jobs are numbered from 0 in the order of posting; number i lies in ring[i % capacity].
// n_done <= n_posted <= n_done + capacity: a running job keeps its place.
struct bdpo_worker {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t posted, done; // n_posted or `closing` changed; n_done changed
    uint64_t n_posted, n_done;
    bool closing;
    int capacity;
    entry ring[];
};

static void *run(void *context)
{
    bdpo_worker *w = context;
    pthread_mutex_lock(&w->lock);
    for (;;) {
        while (w->n_done == w->n_posted && !w->closing) pthread_cond_wait(&w->posted, &w->lock);
        if (w->n_done == w->n_posted) break;
        entry e = w->ring[w->n_done % (uint64_t)w->capacity];
        pthread_mutex_unlock(&w->lock);
        e.job(e.user, e.argument);
        pthread_mutex_lock(&w->lock);
        w->n_done++;
        pthread_cond_broadcast(&w->done);
    }
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

// A thread inherits its maker's signal mask, so all are blocked while it is made: Ctrl-C must
// interrupt the main thread.
static int start(bdpo_worker *w)
{
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int error = pthread_create(&w->thread, NULL, run, w);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return error;
}

static void release(bdpo_worker *w)
{
    pthread_cond_destroy(&w->done);
    pthread_cond_destroy(&w->posted);
    pthread_mutex_destroy(&w->lock);
    bdpo_free(w);
}

bdpo_status bdpo_worker_new(bdpo_worker **out, int capacity)
{
    BDPO_ASSERT(capacity >= 1);
    bdpo_worker *w = bdpo_alloc(1, sizeof *w + (size_t)capacity * sizeof w->ring[0]);
    if (!w) return bdpo_fail(BDPO_NO_MEMORY, "no memory for a worker of %d jobs", capacity);
    w->capacity = capacity;
    pthread_mutex_init(&w->lock, NULL); // with default attributes these cannot fail on Linux
    pthread_cond_init(&w->posted, NULL);
    pthread_cond_init(&w->done, NULL);
    int error = start(w);
    if (error != 0) {
        release(w);
        return bdpo_fail(BDPO_UNSUPPORTED, "cannot start a worker thread (error %d)", error);
    }
    *out = w;
    return BDPO_OK;
}

void bdpo_worker_post(bdpo_worker *w, bdpo_worker_job job, void *user, int argument)
{
    pthread_mutex_lock(&w->lock);
    while (w->n_posted - w->n_done == (uint64_t)w->capacity) pthread_cond_wait(&w->done, &w->lock);
    w->ring[w->n_posted % (uint64_t)w->capacity] = (entry){job, user, argument};
    w->n_posted++;
    pthread_cond_signal(&w->posted);
    pthread_mutex_unlock(&w->lock);
}

void bdpo_worker_drain(bdpo_worker *w)
{
    pthread_mutex_lock(&w->lock);
    uint64_t last = w->n_posted;
    while (w->n_done < last) pthread_cond_wait(&w->done, &w->lock);
    pthread_mutex_unlock(&w->lock);
}

void bdpo_worker_free(bdpo_worker *w)
{
    if (!w) return;
    pthread_mutex_lock(&w->lock);
    w->closing = true;
    pthread_cond_signal(&w->posted);
    pthread_mutex_unlock(&w->lock);
    pthread_join(w->thread, NULL); // it leaves only when the ring is empty
    release(w);
}

// base/worker: order, backpressure, visibility, no allocation, a clean end.
#include "base/worker.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <time.h>

#include "base/memory.h"
#include "harness.h"

enum { MOST = 10000 };

typedef struct journal {
    int n, argument[MOST];
    atomic_bool gate_open;
    atomic_int n_started;
} journal;

static void nap(void)
{
    nanosleep(&(struct timespec){0, 1000000}, NULL);
}

static void note(void *user, int argument)
{
    journal *j = user;
    j->argument[j->n++] = argument;
}

static void wait_at_gate(void *user, int argument)
{
    journal *j = user;
    atomic_fetch_add(&j->n_started, 1);
    while (!atomic_load(&j->gate_open)) nap();
    note(user, argument);
}

static void check_in_order(const journal *j, int n)
{
    CHECK_INT(j->n, n);
    for (int i = 0; i < n; i++) CHECK_INT(j->argument[i], i);
}

BDPO_TEST(worker_keeps_the_order)
{
    for (int capacity = 1; capacity <= 300; capacity = capacity * 3 + 1) {
        static journal j;
        bdpo_worker *w;
        j.n = 0;
        CHECK_OK(bdpo_worker_new(&w, capacity));
        for (int i = 0; i < MOST; i++) bdpo_worker_post(w, note, &j, i);
        bdpo_worker_drain(w);
        check_in_order(&j, MOST);
        bdpo_worker_free(w);
    }
}

BDPO_TEST(worker_does_not_allocate_after_creation)
{
    static journal j;
    bdpo_worker *w;
    CHECK_OK(bdpo_worker_new(&w, 8));
    uint64_t before = bdpo_alloc_count();
    for (int i = 0; i < 1000; i++) bdpo_worker_post(w, note, &j, i);
    bdpo_worker_drain(w);
    CHECK_U64(bdpo_alloc_count(), before);
    bdpo_worker_free(w);
}

BDPO_TEST(worker_runs_beside_the_poster_and_drain_waits)
{
    static journal j;
    bdpo_worker *w;
    CHECK_OK(bdpo_worker_new(&w, 4));
    bdpo_worker_drain(w); // nothing to wait for
    bdpo_worker_post(w, wait_at_gate, &j, 0);
    while (atomic_load(&j.n_started) == 0) nap(); // it started while we are here
    for (int i = 1; i < 4; i++) bdpo_worker_post(w, note, &j, i);
    CHECK_INT(j.n, 0);
    atomic_store(&j.gate_open, true);
    bdpo_worker_drain(w);
    check_in_order(&j, 4);
    bdpo_worker_free(w);
}

typedef struct poster {
    bdpo_worker *worker;
    journal *journal;
    atomic_int n_posted;
} poster;

static void *post_three(void *context)
{
    poster *p = context;
    for (int i = 0; i < 3; i++) {
        bdpo_worker_post(p->worker, wait_at_gate, p->journal, i);
        atomic_fetch_add(&p->n_posted, 1);
    }
    return NULL;
}

BDPO_TEST(worker_holds_the_poster_while_the_ring_is_full)
{
    static journal j;
    poster p = {.journal = &j};
    pthread_t thread;
    CHECK_OK(bdpo_worker_new(&p.worker, 2));
    CHECK_INT(pthread_create(&thread, NULL, post_three, &p), 0);
    while (atomic_load(&p.n_posted) < 2) nap();
    for (int i = 0; i < 30; i++) nap(); // time enough to do it wrong
    CHECK_INT(atomic_load(&p.n_posted), 2);
    atomic_store(&j.gate_open, true);
    pthread_join(thread, NULL);
    CHECK_INT(atomic_load(&p.n_posted), 3);
    bdpo_worker_drain(p.worker);
    check_in_order(&j, 3);
    bdpo_worker_free(p.worker);
}

BDPO_TEST(worker_ends_after_its_last_job)
{
    static journal j;
    bdpo_worker *w;
    CHECK_OK(bdpo_worker_new(&w, 100));
    for (int i = 0; i < 100; i++) bdpo_worker_post(w, note, &j, i);
    bdpo_worker_free(w); // no drain before
    check_in_order(&j, 100);
    bdpo_worker_free(NULL);
}

static void look_at_signals(void *user, int argument)
{
    (void)argument;
    sigset_t mask;
    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    *(bool *)user = sigismember(&mask, SIGINT) == 1;
}

BDPO_TEST(worker_leaves_signals_to_the_main_thread)
{
    bool blocked = false;
    sigset_t mask;
    bdpo_worker *w;
    CHECK_OK(bdpo_worker_new(&w, 1));
    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    CHECK_INT(sigismember(&mask, SIGINT), 0); // ours is as before
    bdpo_worker_post(w, look_at_signals, &blocked, 0);
    bdpo_worker_drain(w);
    CHECK(blocked);
    bdpo_worker_free(w);
}

BDPO_TEST(worker_without_memory_is_a_status)
{
    bdpo_worker *w;
    bdpo_alloc_fail_at(bdpo_alloc_count() + 1);
    CHECK_STATUS(bdpo_worker_new(&w, 4), BDPO_NO_MEMORY);
}

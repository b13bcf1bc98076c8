// How many threads this process should compute with, and how they should wait.
#ifndef BDPO_THREADS_H
#define BDPO_THREADS_H

#include "base/status.h"

// What the machine says. Zero: unknown or unlimited.
typedef struct bdpo_machine {
    int n_online; // cores that run
    int n_bound;  // cores that this process may run on
    int n_set;    // cores of its control group (a container's or a batch job's)
    int n_quota;  // cores' worth of time that the group may use, rounded down
    int n_ranks;  // processes of this run on this node; 1 outside MPI and Slurm
} bdpo_machine;

typedef struct bdpo_threads {
    int n_threads; // to use
    int n_ranks;   // processes on the node that do the same
    int n_cores;   // that they share
} bdpo_threads;

// Reads the machine; `root` stands before /proc and /sys ("" outside tests).
void bdpo_machine_read(bdpo_machine *out, const char *root);

// wanted > 0 is taken as it is. Else the node's cores divided by its ranks, at least one and at
// most what this process may run on.
bdpo_threads bdpo_threads_share(const bdpo_machine *machine, int wanted);

// Both in one, with nothing wanted: the number of threads.
int bdpo_threads_choose(void);

// More threads than cores on this node, as far as this process knows.
bool bdpo_threads_crowded(const bdpo_threads *threads);

// The sentence for the user about it, e.g. "4 processes with 4 threads each on 8 cores: ...".
typedef struct bdpo_threads_text {
    char text[256];
} bdpo_threads_text;
bdpo_threads_text bdpo_threads_advice(const bdpo_threads *threads);

// How OpenMP's threads wait for work. Left to itself GNU's library lets them spin for milliseconds:
// a thread that spins holds the core that another thread, or another program, needs.
typedef enum bdpo_waiting {
    BDPO_WAIT_BRIEFLY,  // spin for some microseconds, then sleep: the cores are ours, or may be
    BDPO_WAIT_PASSIVELY // sleep at once: more threads than cores
} bdpo_waiting;

// OpenMP libraries read this once, while they are loaded, so the program starts itself again with
// the environment that says so: call it first in main(), before MPI, files or threads. Returns
// BDPO_OK where the environment already says how to wait, or binds threads to cores (the restarted
// program would inherit the first one's); and a status where the restart failed, after which the
// program goes on as it is.
BDPO_MUST_CHECK bdpo_status bdpo_threads_set_waiting(char *const argv[], bdpo_waiting how);

#endif

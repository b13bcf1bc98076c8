// How far a long task is, how fast it goes and how long it will take: on a terminal a bar that is
// drawn over itself, elsewhere a plain line now and then.
#ifndef BDPO_PROGRESS_H
#define BDPO_PROGRESS_H

#include "base/log.h"

typedef double (*bdpo_progress_clock)(void *user); // seconds, never set back

// Plain value, used by one thread. The fields are its own.
typedef struct bdpo_progress {
    bdpo_log *log;
    const char *label, *unit;
    int64_t total, first, done;
    bdpo_progress_clock clock;
    void *clock_user;
    double begin_s, sampled_s, shown_s;
    int64_t sampled;
    double rate_sum, rate_weight; // fading sum of rates and of their weights
    char note[96];
} bdpo_progress;

// Starts at `done` of `total` (0: unknown) things called `unit`, in the plural. Shown at level info
// of `log`, which may be NULL. `label` and `unit` are borrowed until the end.
void bdpo_progress_begin(bdpo_progress *out, bdpo_log *log, const char *label, const char *unit,
                         int64_t total, int64_t done);
// The same on another clock, for tests.
void bdpo_progress_begin_at(bdpo_progress *out, bdpo_log *log, const char *label, const char *unit,
                            int64_t total, int64_t done, bdpo_progress_clock clock,
                            void *clock_user);

// Cheap enough for every step: draws at most ten times a second. `note` (may be NULL) stands at
// the end of the line, e.g. "loss 0.693".
void bdpo_progress_update(bdpo_progress *progress, int64_t done, const char *note);

// Draws the last state and ends the line; tells the whole time and the mean rate.
void bdpo_progress_end(bdpo_progress *progress);

#endif

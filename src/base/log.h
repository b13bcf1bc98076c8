// Where the program talks to its user: one line per message, to a file that the caller names.
// Results are not talk; they go elsewhere. A log is passed to whoever may speak; NULL is silence.
#ifndef BDPO_LOG_H
#define BDPO_LOG_H

#include <stdio.h>

#include "base/status.h"

typedef enum bdpo_log_level {
    BDPO_LOG_ERROR,
    BDPO_LOG_WARNING,
    BDPO_LOG_INFO,
    BDPO_LOG_DEBUG
} bdpo_log_level;

typedef struct bdpo_log {
    FILE *file;           // borrowed
    bdpo_log_level level; // the last that is written
    bool terminal;        // lines may be overwritten
    char prefix[24];      // before each line, e.g. "[rank 3] "; "" at first
    bool bar_shown;       // a progress bar stands on the current line (base/progress.h)
} bdpo_log;

// Asks the file whether it is a terminal. Owns nothing: there is no release.
void bdpo_log_init(bdpo_log *out, FILE *file, bdpo_log_level level);

bool bdpo_log_wants(const bdpo_log *log, bdpo_log_level level);

// Writes "[prefix][warning: |error: ]text" and a newline, whole, also from several threads. A bar
// on the line makes place. A text beyond 2,000 bytes is cut.
void bdpo_log_write(bdpo_log *log, bdpo_log_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif

// Runs the program and keeps what it printed.
#ifndef BDPO_RUN_PROGRAM_H
#define BDPO_RUN_PROGRAM_H

#include <stdio.h>
#include <sys/types.h>

typedef struct program_result {
    int code;                           // of its exit; -1 where a signal ended it
    char out[64 * 1024], err[8 * 1024]; // cut where longer
} program_result;

// Arguments after the program's name, ended by NULL; at most 15. Works in the directory `directory`
// (NULL: where the test is). Borrowed until the next call.
const program_result *run_program(const char *directory, const char *const *arguments);

// Starts it and returns at once: the child, to be waited for, with its output into two files.
pid_t start_program(const char *directory, const char *const *arguments, FILE *out, FILE *err);

#define RUN(directory, ...) run_program(directory, (const char *const[]){__VA_ARGS__, NULL})

#endif

// Runs the program and keeps what it printed.
#ifndef BDPO_RUN_PROGRAM_H
#define BDPO_RUN_PROGRAM_H

typedef struct program_result {
    int code;                           // of its exit; -1 where a signal ended it
    char out[64 * 1024], err[8 * 1024]; // cut where longer
} program_result;

// Arguments after the program's name, ended by NULL; at most 15. Works in the directory `directory`
// (NULL: where the test is). Borrowed until the next call.
const program_result *run_program(const char *directory, const char *const *arguments);

#define RUN(directory, ...) run_program(directory, (const char *const[]){__VA_ARGS__, NULL})

#endif

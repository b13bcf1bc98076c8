// A command of the program: one struct in one file, from which parsing, help and docs/commands.md
// are made. main.c has the table of all.
//
// Conventions: results go to stdout, talk to stderr; --json gives results for machines; --quiet
// leaves out talk that is no error; a failure is one line, "bdpo: what happened".
#ifndef BDPO_COMMAND_H
#define BDPO_COMMAND_H

#include <popt.h>
#include <stdio.h>

#include "base/log.h"
#include "base/memory.h"

// Exit codes of the program.
enum { BDPO_EXIT_DONE = 0, BDPO_EXIT_FAILED = 1, BDPO_EXIT_USAGE = 2, BDPO_EXIT_INTERRUPTED = 130 };

typedef struct bdpo_invocation bdpo_invocation;

typedef struct bdpo_example {
    const char *line;  // "bdpo inspect model.safetensors"
    const char *shows; // "type, components and size of a checkpoint"
} bdpo_example;

typedef struct bdpo_command {
    const char *name;
    const char *arguments;                   // after the name: "FILE|DIR"
    const char *summary;                     // one line, in lower case
    const char *text;                        // a paragraph of help; lines as they are printed
    const struct poptOption *options;        // own ones, ended by POPT_TABLEEND; `val` from 1 on
    const bdpo_example *examples;            // ended by {NULL, NULL}
    int n_arguments;                         // that must follow; -1: the command looks itself
    bool computes;                           // its threads are set up first (engine.h)
    int (*run)(bdpo_invocation *invocation); // returns an exit code
} bdpo_command;

struct bdpo_invocation {
    const bdpo_command *command;
    poptContext popt;
    bdpo_arena *arena; // of texts of options
    bdpo_log *log;     // stderr; warnings only with --quiet
    bool json, quiet;
    const char *const *arguments; // after the options: complete when next_option() returned 0
    int n_arguments;
};

// The `val` of the next option; 0 at the end; -1 where the command line is wrong, after one line
// that says so: return BDPO_EXIT_USAGE. Common options never show.
int bdpo_next_option(bdpo_invocation *invocation);
// The text of the option just returned; borrowed from the invocation. NULL for want of memory.
const char *bdpo_option_text(bdpo_invocation *invocation);

// Prints "bdpo: COMMAND: why (see bdpo COMMAND --help)"; returns BDPO_EXIT_USAGE.
int bdpo_usage_error(const bdpo_invocation *invocation, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
// The exit code of a status; prints "bdpo: message" unless it is BDPO_OK.
int bdpo_exit_code(bdpo_status status);

// Runs a command on its arguments; argv[0] is its name.
int bdpo_command_run(const bdpo_command *command, int argc, const char **argv);

#endif

// Parsing and failing, the same for every command.
#include "cli/command.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "cli/command_help.h"

enum { HELP = 1000, JSON, QUIET }; // beyond any command's own values

int bdpo_usage_error(const bdpo_invocation *invocation, const char *format, ...)
{
    char why[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(why, sizeof why, format, arguments);
    va_end(arguments);
    const char *name = invocation->command->name;
    fprintf(stderr, "bdpo: %s: %s (see bdpo %s --help)\n", name, why, name);
    return BDPO_EXIT_USAGE;
}

int bdpo_exit_code(bdpo_status status)
{
    if (status == BDPO_OK) return BDPO_EXIT_DONE;
    fprintf(stderr, "bdpo: %s\n", bdpo_message());
    return status == BDPO_INTERRUPTED ? BDPO_EXIT_INTERRUPTED : BDPO_EXIT_FAILED;
}

static bool take_common(bdpo_invocation *invocation, int option)
{
    if (option == JSON)
        invocation->json = true;
    else if (option == QUIET)
        invocation->quiet = true;
    else
        return false;
    if (invocation->quiet) invocation->log->level = BDPO_LOG_WARNING;
    return true;
}

static int end_of_options(bdpo_invocation *invocation)
{
    const char **arguments = poptGetArgs(invocation->popt);
    const bdpo_command *command = invocation->command;
    int n = 0;
    while (arguments && arguments[n]) n++;
    invocation->arguments = (const char *const *)arguments;
    invocation->n_arguments = n;
    if (command->n_arguments < 0 || n == command->n_arguments) return 0;
    bdpo_usage_error(invocation, "needs %s, got %d argument%s", command->arguments, n,
                     n == 1 ? "" : "s");
    return -1;
}

int bdpo_next_option(bdpo_invocation *invocation)
{
    int option;
    do option = poptGetNextOpt(invocation->popt);
    while (take_common(invocation, option));
    if (option == -1) return end_of_options(invocation);
    if (option > 0) return option;
    bdpo_usage_error(invocation, "%s: %s", poptBadOption(invocation->popt, POPT_BADOPTION_NOALIAS),
                     poptStrerror(option));
    return -1;
}

const char *bdpo_option_text(bdpo_invocation *invocation)
{
    char *text = poptGetOptArg(invocation->popt);
    const char *kept = text ? bdpo_arena_strdup(invocation->arena, text) : NULL;
    free(text);
    return kept;
}

static bool asks_for_help(int argc, const char **argv)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) return true;
    return false;
}

// Results that did not reach their file are a failure too: a full disk, a closed pipe.
static int check_output(int code)
{
    if (fflush(stdout) == 0 && !ferror(stdout)) return code;
    fprintf(stderr, "bdpo: cannot write to the standard output\n");
    return code == BDPO_EXIT_DONE ? BDPO_EXIT_FAILED : code;
}

int bdpo_command_run(const bdpo_command *command, int argc, const char **argv)
{
    static const struct poptOption common[] = {
        {"json", '\0', POPT_ARG_NONE, NULL, JSON, NULL, NULL},
        {"quiet", 'q', POPT_ARG_NONE, NULL, QUIET, NULL, NULL},
        POPT_TABLEEND};
    if (asks_for_help(argc, argv)) {
        bdpo_help_command(stdout, command);
        return check_output(BDPO_EXIT_DONE);
    }
    // popt's tables are not const in its types, though it only reads those without addresses.
    const struct poptOption table[] = {
        {NULL, '\0', POPT_ARG_INCLUDE_TABLE, (void *)(uintptr_t)command->options, 0, NULL, NULL},
        {NULL, '\0', POPT_ARG_INCLUDE_TABLE, (void *)(uintptr_t)common, 0, NULL, NULL},
        POPT_TABLEEND};
    bdpo_log log;
    bdpo_log_init(&log, stderr, BDPO_LOG_INFO);
    bdpo_invocation invocation = {.command = command, .log = &log};
    if (bdpo_arena_new(&invocation.arena) != BDPO_OK) return bdpo_exit_code(BDPO_NO_MEMORY);
    invocation.popt = poptGetContext("bdpo", argc, argv, table, 0);
    int code = command->run(&invocation);
    poptFreeContext(invocation.popt);
    bdpo_arena_free(invocation.arena);
    return check_output(code);
}

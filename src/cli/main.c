// The program: finds the command and runs it.
#include <stdio.h>
#include <string.h>

#include <bdpo/engine.h>

#include "cli/command.h"
#include "cli/command_help.h"
#include "cli/commands.h"

static const bdpo_command *const commands[] = {
    &bdpo_cmd_convert, &bdpo_cmd_demo_model, &bdpo_cmd_fetch, &bdpo_cmd_inspect, &bdpo_cmd_merge,
    &bdpo_cmd_sample,  &bdpo_cmd_score,      &bdpo_cmd_store, &bdpo_cmd_vote,    NULL};

static const bdpo_command *find(const char *name)
{
    for (int i = 0; commands[i]; i++)
        if (strcmp(commands[i]->name, name) == 0) return commands[i];
    return NULL;
}

static int unknown(const char *name)
{
    const bdpo_command *nearest = bdpo_nearest_command(commands, name);
    if (nearest)
        fprintf(stderr, "bdpo: no command \"%s\"; did you mean %s? (see bdpo --help)\n", name,
                nearest->name);
    else
        fprintf(stderr, "bdpo: no command \"%s\" (see bdpo --help)\n", name);
    return BDPO_EXIT_USAGE;
}

static int help(const char *argument)
{
    const bdpo_command *command = argument ? find(argument) : NULL;
    if (!argument)
        bdpo_help_list(stdout, commands);
    else if (strcmp(argument, "--all") == 0)
        bdpo_help_document(stdout, commands);
    else if (command)
        bdpo_help_command(stdout, command);
    else
        return unknown(argument);
    return fflush(stdout) == 0 ? BDPO_EXIT_DONE : BDPO_EXIT_FAILED;
}

int main(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : NULL;
    if (!name) {
        bdpo_help_list(stderr, commands);
        return BDPO_EXIT_USAGE;
    }
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0)
        return help(argc > 2 ? argv[2] : NULL);
    if (strcmp(name, "--version") == 0) return printf("bdpo %s\n", BDPO_VERSION) < 0;
    const bdpo_command *command = find(name);
    if (!command) return unknown(name);
    if (command->computes) bdpo_prepare_threads(argv, 0, stderr);
    return bdpo_command_run(command, argc - 1, (const char **)(argv + 1));
}

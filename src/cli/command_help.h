// Help and documentation, generated from the table of commands.
#ifndef BDPO_COMMAND_HELP_H
#define BDPO_COMMAND_HELP_H

#include "cli/command.h"

// The list of commands; `commands` ends with NULL.
void bdpo_help_list(FILE *out, const bdpo_command *const *commands);
// One command: usage, options, examples.
void bdpo_help_command(FILE *out, const bdpo_command *command);
// docs/commands.md: all of it.
void bdpo_help_document(FILE *out, const bdpo_command *const *commands);

// The command whose name is nearest to a wrong one; NULL where none is near.
const bdpo_command *bdpo_nearest_command(const bdpo_command *const *commands, const char *name);

#endif

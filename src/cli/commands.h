// The commands, each in its own cmd_*.c.
#ifndef BDPO_COMMANDS_H
#define BDPO_COMMANDS_H

#include "cli/command.h"

extern const bdpo_command bdpo_cmd_convert;
extern const bdpo_command bdpo_cmd_demo_model;
extern const bdpo_command bdpo_cmd_fetch;
extern const bdpo_command bdpo_cmd_inspect;
extern const bdpo_command bdpo_cmd_merge;
extern const bdpo_command bdpo_cmd_sample;
extern const bdpo_command bdpo_cmd_score;
extern const bdpo_command bdpo_cmd_store;
extern const bdpo_command bdpo_cmd_vote;

#endif

// Options of all commands that read a data set: its form, filters and subsets.
#ifndef BDPO_RECORD_OPTIONS_H
#define BDPO_RECORD_OPTIONS_H

#include "cli/command.h"
#include "data/record_source.h"

// To be included into a command's table, by BDPO_RECORD_OPTION_ROW. Its values begin at 500.
extern const struct poptOption bdpo_record_option_table[];

#define BDPO_RECORD_OPTION_ROW                                                                     \
    {                                                                                              \
        NULL, '\0', POPT_ARG_INCLUDE_TABLE, (void *)(uintptr_t)bdpo_record_option_table, 0,        \
            "the data set", NULL                                                                   \
    }

// True where `option` is one of them; then *ok tells whether its text was right. A wrong one is
// told in one line.
bool bdpo_take_record_option(bool *ok, bdpo_record_options *o, int option,
                             bdpo_invocation *invocation);

#endif

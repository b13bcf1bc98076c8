// Numbers of the command line: the whole text must be one, in bounds.
#ifndef BDPO_OPTION_NUMBERS_H
#define BDPO_OPTION_NUMBERS_H

#include "cli/command.h"

// Each reads the option just returned, called `name` ("--steps"). False after one line that says
// what was found and expected.
bool bdpo_option_int(int *out, bdpo_invocation *invocation, const char *name, int least, int most);
// 0 to 2^63 - 1, so that JSON can hold it.
bool bdpo_option_seed(uint64_t *out, bdpo_invocation *invocation, const char *name);
bool bdpo_option_double(double *out, bdpo_invocation *invocation, const char *name, double least,
                        double most);
// "WIDTHxHEIGHT"; or any two numbers.
bool bdpo_option_pair(int *first, int *second, bdpo_invocation *invocation, const char *name,
                      int least, int most);
// The position of the word in a list that NULL ends.
bool bdpo_option_word(int *out, bdpo_invocation *invocation, const char *name,
                      const char *const *words);

#endif

// Options of all commands that write a model: --to and --dtype.
#ifndef BDPO_WRITE_OPTIONS_H
#define BDPO_WRITE_OPTIONS_H

#include "cli/command.h"
#include "models/model_writer.h"

typedef struct bdpo_write_options {
    bool chosen, single; // --to was given; it said single
    bdpo_write_dtype dtype;
} bdpo_write_options;

// Rows of a command's table; `to` and `dtype` are its values for the two.
#define BDPO_WRITE_OPTION_ROWS(to, dtype)                                                          \
    {"to",                                                                                         \
     '\0',                                                                                         \
     POPT_ARG_STRING,                                                                              \
     NULL,                                                                                         \
     to,                                                                                           \
     "layout of OUT; without it, single where OUT ends in .safetensors",                           \
     "diffusers|single"},                                                                          \
    {                                                                                              \
        "dtype", '\0', POPT_ARG_STRING, NULL, dtype, "without it, that of IN", "f32|f16|bf16"      \
    }

// Take the option just returned; false after one line where its text is no such word.
bool bdpo_take_layout(bdpo_write_options *o, bdpo_invocation *invocation);
bool bdpo_take_dtype(bdpo_write_options *o, bdpo_invocation *invocation);

// Where --to was not given, the name of OUT decides.
void bdpo_settle_layout(bdpo_write_options *o, const char *out);

// Prints the result of writing: path, type, prediction and layout.
void bdpo_tell_written(const bdpo_invocation *invocation, const bdpo_checkpoint *checkpoint,
                       const char *out, const bdpo_write_options *o);

#endif

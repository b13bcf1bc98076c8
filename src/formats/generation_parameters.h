// The text in which web user interfaces keep how a picture was made: the prompt, a line
// "Negative prompt: ..." where there is one, and a last line
//
//     Steps: 20, Sampler: Euler a, CFG scale: 7, Seed: 1, Size: 512x512, Model hash: .., Model: ..
//
// Values with a comma, colon or line end are JSON strings. Pictures hold it under "parameters".
#ifndef BDPO_GENERATION_PARAMETERS_H
#define BDPO_GENERATION_PARAMETERS_H

#include "base/memory.h"

typedef struct bdpo_generation_field {
    const char *key, *value;
} bdpo_generation_field;

// Fields are UTF-8. What is NULL (or 0, where it says so) is not there.
typedef struct bdpo_generation_parameters {
    const char *prompt; // NULL is written as ""; both prompts may have several lines
    const char *negative_prompt;
    int n_steps; // 0: none
    const char *sampler;
    bool has_cfg_scale, has_seed;
    double cfg_scale;
    uint64_t seed;
    int width, height; // 0: none
    const char *model_hash, *model;
    const bdpo_generation_field *others; // in the order in which they are written
    int n_others;
    bdpo_arena *arena; // what bdpo_generation_parse() made; NULL where the caller owns the strings
} bdpo_generation_parameters;

// *out is the caller's, released by bdpo_free(). BDPO_BAD_ARGUMENT for a key that does not read
// back: it begins with a letter, digit or _, and goes on, for one byte or more, with these, spaces,
// "-" and "/".
BDPO_MUST_CHECK bdpo_status bdpo_generation_format(char **out,
                                                   const bdpo_generation_parameters *parameters);

// Reads what any writer left, so nothing is refused: a last line of fewer than three fields is
// prompt, a value that is not the number it should be is kept among the others. *out is the
// caller's, released by bdpo_generation_release(). Fails for memory only.
BDPO_MUST_CHECK bdpo_status bdpo_generation_parse(bdpo_generation_parameters *out,
                                                  const char *text);
void bdpo_generation_release(bdpo_generation_parameters *parameters);

#endif

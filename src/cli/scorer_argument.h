// The arguments of --scorer: a preset or a configuration file, and where its files lie:
//
//     pickscore                                        found among what was fetched
//     pickscore=models/PickScore_v1                    this checkpoint
//     hpsv2.1=HPS_v2.1.pt,tokenizer=clip               and this tokenizer
//     aesthetic=head.pth,backbone=clip-vit-large       a head and its CLIP
//     mine.json                                        a scorer of one's own
#ifndef BDPO_SCORER_ARGUMENT_H
#define BDPO_SCORER_ARGUMENT_H

#include "cli/command.h"
#include "scorers/scoring.h"

typedef struct bdpo_scorer_arguments {
    bdpo_scorer_request at[BDPO_SESSION_MAX_SCORERS];
    int count;
} bdpo_scorer_arguments;

// Takes the option just returned; false after one line where it is no such text, or one too many.
// Several scorers may stand in one, separated by spaces; a path may have spaces too, no commas.
// Texts are the invocation's.
bool bdpo_take_scorer(bdpo_scorer_arguments *arguments, bdpo_invocation *invocation);

// Finds the files of presets that were given without, also the backbone beside a given head.
// NOT_FOUND says how to get them.
BDPO_MUST_CHECK bdpo_status bdpo_scorer_arguments_find(bdpo_scorer_arguments *arguments,
                                                       bdpo_arena *arena);

#endif

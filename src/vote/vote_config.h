// A configuration of the vote from words, as the command line and a YAML file give them:
//
//     voters:  clip-h, hpsv2, aesthetic, human          rule:  normalized-sum:minmax
//     margin:  clip-h=0.02                              tie:   scorer:pickscore
//     weight:  human=2                                  seed:  7
//
// A scorer is a name, or name@hash with the beginning of its checkpoint's SHA-256 where two
// checkpoints have one name. Every refusal is BAD_ARGUMENT with one line: the field, what was
// found, what would be right, and the nearest valid word.
#ifndef BDPO_VOTE_CONFIG_H
#define BDPO_VOTE_CONFIG_H

#include "vote/vote.h"

// The defaults are ours, since the paper's are not public.
#define BDPO_VOTE_DEFAULT_VOTERS "clip-h,hpsv2,aesthetic"
#define BDPO_VOTE_DEFAULT_RULE   "majority"
#define BDPO_VOTE_DEFAULT_TIE    "skip"

// Scorers that may be named, borrowed. `human` is always one and need not be listed. `place` is
// where they are, for messages: "of the store". NULL for the whole argument: any name will do.
typedef struct bdpo_vote_names {
    const char *const *names;
    int count;
    const char *place;
} bdpo_vote_names;

// No voters, majority, ties skipped, seed 0.
void bdpo_vote_config_init(bdpo_vote_config *out);

// "a,b,human": adds voters of weight 1 and margin 0. Spaces about a name are left out.
BDPO_MUST_CHECK bdpo_status bdpo_vote_config_voters(bdpo_vote_config *config, const char *text,
                                                    const bdpo_vote_names *known);
// "majority", "single:S", "normalized-sum" (zscore), "normalized-sum:minmax". A scorer that is not
// a voter is asked nevertheless. "single:human" is "human".
BDPO_MUST_CHECK bdpo_status bdpo_vote_config_rule(bdpo_vote_config *config, const char *text,
                                                  const bdpo_vote_names *known);
// "skip", "scorer:S".
BDPO_MUST_CHECK bdpo_status bdpo_vote_config_tie(bdpo_vote_config *config, const char *text,
                                                 const bdpo_vote_names *known);
// "S=number", of one who was named before.
BDPO_MUST_CHECK bdpo_status bdpo_vote_config_margin(bdpo_vote_config *config, const char *text);
BDPO_MUST_CHECK bdpo_status bdpo_vote_config_weight(bdpo_vote_config *config, const char *text);

// The voter of this name; -1 where there is none.
int bdpo_vote_config_find(const bdpo_vote_config *config, const char *name);

enum { BDPO_RULE_TEXT_BYTES = BDPO_VOTER_NAME_BYTES + 32 };
// The rule and the tie policy as words that the functions above take.
void bdpo_vote_rule_text(char out[BDPO_RULE_TEXT_BYTES], const bdpo_vote_config *config);
void bdpo_vote_tie_text(char out[BDPO_RULE_TEXT_BYTES], const bdpo_vote_config *config);

#endif

// A few pictures and one prompt, scored onto the screen.
#ifndef BDPO_SCORE_PICTURES_H
#define BDPO_SCORE_PICTURES_H

#include "cli/command.h"
#include "scorers/scoring.h"

// Scores the files that are the command's arguments and prints a line for each. A picture that
// cannot be read is told and has no scores; a failure where that were all, and at the first where
// `strict`.
BDPO_MUST_CHECK bdpo_status bdpo_score_pictures(const bdpo_invocation *invocation,
                                                bdpo_session *session, const char *prompt,
                                                bool strict);

#endif

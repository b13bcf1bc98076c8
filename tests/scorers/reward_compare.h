// Scores against a fixture of the image-reward package: a key for each picture, and under it the
// scores of all prompts.
#ifndef REWARD_COMPARE_H
#define REWARD_COMPARE_H

#include "parity/fixture.h"
#include "scorers/scoring.h"

// scores [pictures, n_prompts], pictures in the order of the fixture. Fails the test where a score
// differs by more than 1e-4, or two scores stand the other way round.
void reward_compare(const fixture *f, const bdpo_score *scores, size_t n_prompts);

#endif

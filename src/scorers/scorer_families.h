// The families that there are. A new one is a source file, a line here and one in scorer.c.
#ifndef BDPO_SCORER_FAMILIES_H
#define BDPO_SCORER_FAMILIES_H

#include "scorers/scorer.h"

extern const bdpo_scorer_family bdpo_family_clip;      // cosine of a CLIP's two embeddings
extern const bdpo_scorer_family bdpo_family_aesthetic; // a linear head on a CLIP's image embedding
extern const bdpo_scorer_family bdpo_family_image_reward; // a head on BLIP's text encoder
extern const bdpo_scorer_family bdpo_family_external;     // another program

#endif

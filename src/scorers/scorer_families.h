// The families that there are. A new one is a source file, a line here and one in scorer.c.
#ifndef BDPO_SCORER_FAMILIES_H
#define BDPO_SCORER_FAMILIES_H

#include "scorers/scorer.h"

extern const bdpo_scorer_family bdpo_family_clip;      // cosine of a CLIP's two embeddings
extern const bdpo_scorer_family bdpo_family_aesthetic; // a linear head on a CLIP's image embedding
extern const bdpo_scorer_family bdpo_family_image_reward; // a head on BLIP's text encoder

// Another program, started once ({"command": ["judge", "--option"]}), which reads a question on
// each line of its standard input and writes an answer on each line of its standard output, in any
// order:
//
//     {"id":1,"image":"/data/1.png","prompt":"a cat"}          a prompt may be null
//     {"id":1,"score":0.5}    or {"id":1,"score":null}    or {"id":1,"error":"too dark to tell"}
//
// It must not wait for more questions than it was sent and must flush each answer; it ends when its
// input ends. A picture that is no file of its own is written to a temporary one, which is gone
// after the answer. The program may be started again when it fails.
extern const bdpo_scorer_family bdpo_family_external;

#endif

// The tokenizer of demonstration models: CLIP's byte-level BPE over a small vocabulary of our own,
// in the files that transformers reads. Ids as in CLIP's: the 256 byte characters, the same at a
// word's end, one for each merge, start of text, and last, as the largest id, end of text.
#ifndef BDPO_DEMO_VOCABULARY_H
#define BDPO_DEMO_VOCABULARY_H

#include "base/status.h"

enum {
    BDPO_DEMO_BYTES = 256,
    BDPO_DEMO_MERGES = 448,
    BDPO_DEMO_BEGIN = 2 * BDPO_DEMO_BYTES + BDPO_DEMO_MERGES,
    BDPO_DEMO_END,
    BDPO_DEMO_N_IDS
};

// Writes vocab.json, merges.txt, special_tokens_map.json and tokenizer_config.json into a directory
// that exists. `pad` is the token that fills up: "!" as SD 2 and SDXL's second tokenizer have it,
// or NULL for end of text.
BDPO_MUST_CHECK bdpo_status bdpo_demo_vocabulary_write(const char *directory, const char *pad);

#endif

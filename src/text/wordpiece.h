// The tokenizer of BERT (uncased): words are cut at whitespace and punctuation, freed of accents
// and capitals, and each is cut into the longest pieces that the vocabulary has. Ids equal those of
// transformers 4's BertTokenizer (the slow one, which ImageReward uses) on any text; docs/text.md
// says where the fast one differs.
//
// Text is UTF-8 of a given length and may hold zero bytes. Each maximal part that is not UTF-8
// counts as U+FFFD, which this tokenizer drops.
#ifndef BDPO_WORDPIECE_H
#define BDPO_WORDPIECE_H

#include "base/status.h"

// A vocabulary. Nothing changes after loading: any number of threads may use one.
typedef struct bdpo_wordpiece bdpo_wordpiece;

typedef struct bdpo_wordpiece_options {
    // Tokens that get the ids after the vocabulary's, and that a text may spell out as it may
    // "[SEP]". BLIP and ImageReward add "[DEC]" and "[ENC]".
    const char *const *added;
    int n_added;
} bdpo_wordpiece_options;

// What BLIP's init_tokenizer() adds.
extern const bdpo_wordpiece_options bdpo_wordpiece_of_blip;

// Reads vocab.txt (one token a line), a tokenizer.json of the same kind, or a folder that has one
// of them. `options` may be NULL. *out is the caller's, released by bdpo_wordpiece_free().
// BDPO_NOT_FOUND where there is no such file, BDPO_BAD_FILE names file, line or key, what was found
// and what was expected; UNSUPPORTED a tokenizer.json whose steps are others than BERT's.
BDPO_MUST_CHECK bdpo_status bdpo_wordpiece_open(bdpo_wordpiece **out, const char *path,
                                                const bdpo_wordpiece_options *options);
void bdpo_wordpiece_free(bdpo_wordpiece *wordpiece); // NULL is fine

typedef struct bdpo_wordpiece_info {
    int n_ids;                        // all ids are below: rows of the embedding table
    int32_t begin, end, pad, unknown; // [CLS], [SEP], [PAD], [UNK]
} bdpo_wordpiece_info;
bdpo_wordpiece_info bdpo_wordpiece_get_info(const bdpo_wordpiece *wordpiece);

// ids[n_ids] = begin, the text's first n_ids - 2 pieces, end, pads. n_ids >= 2. *length is how many
// come before the pads: the ones of the attention mask. *n_cut is the number of pieces left out, a
// text's end that the model does not see. Fails only for want of memory.
BDPO_MUST_CHECK bdpo_status bdpo_wordpiece_encode(const bdpo_wordpiece *wordpiece, int32_t *ids,
                                                  int n_ids, int *length, size_t *n_cut,
                                                  const char *text, size_t size);

// All pieces of a text, without begin, end and padding. *ids is the caller's, released by
// bdpo_free(); NULL where there are none.
BDPO_MUST_CHECK bdpo_status bdpo_wordpiece_pieces(const bdpo_wordpiece *wordpiece, int32_t **ids,
                                                  size_t *n_ids, const char *text, size_t size);

#endif

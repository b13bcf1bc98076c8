// A vocabulary of byte-level BPE: tokens with their ids, and the merges that make words of them.
//
// A token is spelled in characters that stand for bytes: those of 33-126, 161-172 and 174-255 for
// themselves, U+0100 and on for the others in their order. "</w>" at its end marks a word's end.
#ifndef BDPO_CLIP_VOCAB_H
#define BDPO_CLIP_VOCAB_H

#include "base/status.h"

enum { BDPO_CLIP_MAX_IDS = 1 << 20, BDPO_CLIP_NO_ID = -1 };

typedef struct bdpo_clip_vocab bdpo_clip_vocab;

// *out is the caller's, released by bdpo_clip_vocab_free().
BDPO_MUST_CHECK bdpo_status bdpo_clip_vocab_new(bdpo_clip_vocab **out);
void bdpo_clip_vocab_free(bdpo_clip_vocab *vocab); // NULL is fine

// BDPO_BAD_FILE, naming `file`, where the id is out of bounds or taken, or the token is there. The
// spelling is copied.
BDPO_MUST_CHECK bdpo_status bdpo_clip_vocab_add(bdpo_clip_vocab *vocab, const char *file,
                                                const char *token, size_t size, int64_t id);
// A merge of two tokens into one that is in the vocabulary; the first one added goes first.
BDPO_MUST_CHECK bdpo_status bdpo_clip_vocab_add_merge(bdpo_clip_vocab *vocab, const char *file,
                                                      const char *left, size_t left_size,
                                                      const char *right, size_t right_size);
// After the last merge: finds the tokens of single bytes. Those that are missing become `unknown`;
// where that is BDPO_CLIP_NO_ID, a missing one is BDPO_BAD_FILE.
BDPO_MUST_CHECK bdpo_status bdpo_clip_vocab_seal(bdpo_clip_vocab *vocab, const char *file,
                                                 int32_t unknown);

int bdpo_clip_vocab_n_ids(const bdpo_clip_vocab *vocab); // one more than the largest id
// BDPO_CLIP_NO_ID where there is none.
int32_t bdpo_clip_vocab_find(const bdpo_clip_vocab *vocab, const char *token, size_t size);
// The spelling of an id, borrowed; NULL where no token has it.
const char *bdpo_clip_vocab_token(const bdpo_clip_vocab *vocab, int32_t id);
// The token of one byte, at a word's end or not.
int32_t bdpo_clip_vocab_byte(const bdpo_clip_vocab *vocab, unsigned char byte, bool ends_word);
// The id that two neighbours merge into, and when (*rank: the smallest goes first).
int32_t bdpo_clip_vocab_merge(const bdpo_clip_vocab *vocab, uint32_t *rank, int32_t left,
                              int32_t right);

// The character that stands for a byte, and the reverse: -1 where it stands for none.
uint32_t bdpo_clip_byte_rune(unsigned char byte);
int bdpo_clip_rune_byte(uint32_t rune);

#endif

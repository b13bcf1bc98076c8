// The text files of BPE: merges.txt of a tokenizer folder, and the packed file of the CLIP package.
#ifndef BDPO_BPE_FILES_H
#define BDPO_BPE_FILES_H

#include "text/clip_vocab.h"

// Adds the merges of a file "left right" per line; a first line "#version..." is passed over.
BDPO_MUST_CHECK bdpo_status bdpo_merges_read(bdpo_clip_vocab *vocab, const char *path);

// Adds tokens and merges of bpe_simple_vocab_16e6.txt.gz: gzip over a line of version and lines
// "left right", of which the first 48,894 count. Ids are 256 bytes, the same at a word's end, one
// token for each merge, begin, end.
BDPO_MUST_CHECK bdpo_status bdpo_packed_bpe_read(bdpo_clip_vocab *vocab, const char *path);

#endif

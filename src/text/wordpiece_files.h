// The vocabulary of a BERT tokenizer from its files: vocab.txt, tokenizer.json, or a folder of
// transformers that has one of them.
#ifndef BDPO_WORDPIECE_FILES_H
#define BDPO_WORDPIECE_FILES_H

#include "text/clip_vocab.h"

// Adds the tokens of what `path` is. In a folder vocab.txt goes first, and tokenizer_config.json,
// where there is one, must describe the uncased tokenizer. Failures as of bdpo_wordpiece_open().
BDPO_MUST_CHECK bdpo_status bdpo_wordpiece_read(bdpo_clip_vocab *vocab, const char *path);

#endif

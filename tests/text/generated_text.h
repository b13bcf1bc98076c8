// Texts that are a function of a number, in C here and in Python in
// tools/parity/tokenizers_live.py, so that fixtures hold results only.
#ifndef GENERATED_TEXT_H
#define GENERATED_TEXT_H

#include <stddef.h>

enum { GENERATED_MAX_BYTES = 8192 };

// Writes text number `index`; returns its bytes. It may hold zero bytes.
size_t generated_text(char out[GENERATED_MAX_BYTES], int index);

#endif

// Numbers as text that loses nothing.
#ifndef BDPO_REAL_TEXT_H
#define BDPO_REAL_TEXT_H

enum { BDPO_REAL_TEXT_BYTES = 40 };

// The shortest of 15 to 17 digits that reads back as the same number; returns its length. It has a
// point only where it needs one: 1, 0.1, 1e-07; and inf, -inf, nan.
int bdpo_real_text(char out[BDPO_REAL_TEXT_BYTES], double number);

#endif

// Properties, lower case and NFC as the reference libraries see them: each has its own version of
// Unicode. Built on utf8proc and the differences in unicode_tables.c.
#ifndef BDPO_UNICODE_H
#define BDPO_UNICODE_H

#include "text/runes.h"

typedef enum bdpo_unicode {
    BDPO_UNICODE_RUST,  // the tokenizers package: classes of 16, lower case of 17, NFC of 9
    BDPO_UNICODE_PYTHON // Python 3.11 (version 14) with the regex package (classes of 17)
} bdpo_unicode;

typedef enum bdpo_rune_kind {
    BDPO_RUNE_OTHER,
    BDPO_RUNE_LETTER,
    BDPO_RUNE_NUMBER,
    BDPO_RUNE_SPACE
} bdpo_rune_kind;

// As a class of a regular expression: \p{L}, \p{N}, \s or none of these.
bdpo_rune_kind bdpo_rune_get_kind(uint32_t rune, bdpo_unicode version);
// Unicode's White_Space.
bool bdpo_rune_is_space(uint32_t rune);
// Python's str.isspace(): White_Space and U+001C to U+001F.
bool bdpo_rune_is_python_space(uint32_t rune);
// Python's \w: a letter, a number or an underscore.
bool bdpo_rune_is_python_word(uint32_t rune);
// Python's \d: a decimal digit of any script.
bool bdpo_rune_is_python_digit(uint32_t rune);
// Python's categories Cc, Cf, Cs, Co, Cn; and Zs.
bool bdpo_rune_is_python_control(uint32_t rune);
bool bdpo_rune_is_space_separator(uint32_t rune);
// Python's categories Mn, and Pc, Pd, Ps, Pe, Pi, Pf, Po.
bool bdpo_rune_is_python_nonspacing(uint32_t rune);
bool bdpo_rune_is_python_punctuation(uint32_t rune);

// text = the lower case of text: Python's rule for a final sigma under PYTHON, each character by
// itself under RUST.
void bdpo_runes_lower(bdpo_runes *text, bdpo_unicode version);
// text = NFC(text), NFD(text). `spare` is any text; its content is lost.
void bdpo_runes_nfc(bdpo_runes *text, bdpo_runes *spare, bdpo_unicode version);
void bdpo_runes_nfd(bdpo_runes *text, bdpo_runes *spare, bdpo_unicode version);

#endif

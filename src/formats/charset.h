// Text of other encodings, to and from UTF-8: what PNG and EXIF hold.
#ifndef BDPO_CHARSET_H
#define BDPO_CHARSET_H

#include "formats/growing.h"

bool bdpo_utf8_is_valid(const void *text, size_t size); // and holds no zero byte
bool bdpo_utf8_is_valid_with_zeros(const void *text, size_t size);
bool bdpo_text_is_utf8(const char *text); // of one that a zero ends

// Each adds the converted text to *out, without a closing zero. BDPO_NO_MEMORY, and where it is
// said, BDPO_BAD_FILE with a sentence that begins with `name`.
BDPO_MUST_CHECK bdpo_status bdpo_latin1_to_utf8(bdpo_growing *out, const uint8_t *text, size_t size,
                                                const char *name);
// BDPO_BAD_FILE for half a unit, half a surrogate pair or a zero.
BDPO_MUST_CHECK bdpo_status bdpo_utf16_to_utf8(bdpo_growing *out, const uint8_t *text, size_t size,
                                               bool big_endian, const char *name);
// `text` is valid UTF-8.
BDPO_MUST_CHECK bdpo_status bdpo_utf8_to_utf16be(bdpo_growing *out, const char *text,
                                                 const char *name);
// `text` is valid UTF-8. *fits is false, and nothing is added, where a character is not in Latin-1.
BDPO_MUST_CHECK bdpo_status bdpo_utf8_to_latin1(bdpo_growing *out, bool *fits, const char *text,
                                                const char *name);

#endif

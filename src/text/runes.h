// Text as an array of code points, which is how the cleaning of prompts works on it.
#ifndef BDPO_RUNES_H
#define BDPO_RUNES_H

#include "base/status.h"

// A growing text. Start from {0}; release by bdpo_runes_release(). Out of memory sticks: later
// appends do nothing, and whoever made the text asks once, by bdpo_runes_check().
typedef struct bdpo_runes {
    uint32_t *data;
    size_t n, capacity;
    bool failed;
} bdpo_runes;

void bdpo_runes_release(bdpo_runes *text);
void bdpo_runes_push(bdpo_runes *text, uint32_t rune);
void bdpo_runes_append(bdpo_runes *text, const uint32_t *runes, size_t n);
// Appends UTF-8 of `size` bytes; each maximal ill-formed part becomes one U+FFFD.
void bdpo_runes_append_utf8(bdpo_runes *text, const char *bytes, size_t size);
void bdpo_runes_swap(bdpo_runes *a, bdpo_runes *b);
bool bdpo_runes_equal(const bdpo_runes *a, const bdpo_runes *b);
BDPO_MUST_CHECK bdpo_status bdpo_runes_check(const bdpo_runes *text);

// Reads one character at *at < size and moves *at behind it; U+FFFD and *well_formed = false where
// the bytes are none (as many are taken as could have begun one).
uint32_t bdpo_utf8_next(const unsigned char *bytes, size_t size, size_t *at, bool *well_formed);
// Writes 1 to 4 bytes; returns how many.
int bdpo_utf8_put(unsigned char bytes[4], uint32_t rune);

// Ranges in increasing order, as the generated tables hold them.
typedef struct bdpo_rune_range {
    uint32_t first, last;
} bdpo_rune_range;
bool bdpo_rune_in(uint32_t rune, const bdpo_rune_range *ranges, size_t n);

#endif

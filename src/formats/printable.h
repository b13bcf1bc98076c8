// Names from files in messages: on one line, short, and with nothing that moves a terminal's
// cursor.
#ifndef BDPO_PRINTABLE_H
#define BDPO_PRINTABLE_H

#include <stddef.h>

typedef struct bdpo_printable_text {
    char text[160];
} bdpo_printable_text;

// The name in quotes; control bytes and what is not UTF-8 as \x1b; a long one ends in "...".
bdpo_printable_text bdpo_printable(const char *name);
bdpo_printable_text bdpo_printable_bytes(const char *bytes, size_t length);

#endif

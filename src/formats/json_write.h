// JSON text, built piece by piece in a growing block. The first failed allocation sticks, and is
// asked for once at the end.
#ifndef BDPO_JSON_WRITE_H
#define BDPO_JSON_WRITE_H

#include "base/status.h"

typedef struct bdpo_json_text {
    char *text; // zero-terminated
    size_t size, capacity;
    bool failed;
} bdpo_json_text;

// Appends formatted text of up to 127 bytes as it is; and text of any length.
void bdpo_json_put(bdpo_json_text *out, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void bdpo_json_put_text(bdpo_json_text *out, const char *text);
// Appends a quoted string: as serde_json, which keeps what is not ASCII; and as Python's json,
// which writes it as \u escapes. The text must be UTF-8.
void bdpo_json_put_string(bdpo_json_text *out, const char *text);
void bdpo_json_put_ascii(bdpo_json_text *out, const char *text);
void bdpo_json_text_clear(bdpo_json_text *out);

#endif

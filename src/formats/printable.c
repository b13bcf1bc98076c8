// Quoting of names for messages.
#include "formats/printable.h"

#include <stdio.h>
#include <string.h>
#include <utf8proc.h>

bdpo_printable_text bdpo_printable_bytes(const char *bytes, size_t length)
{
    enum { ROOM = 12 }; // of one character more, "...", the quote and the zero
    bdpo_printable_text out = {"\""};
    size_t used = 1, i = 0;
    while (i < length && used + ROOM < sizeof out.text) {
        utf8proc_int32_t code;
        utf8proc_ssize_t n = utf8proc_iterate((const utf8proc_uint8_t *)bytes + i,
                                              (utf8proc_ssize_t)(length - i), &code);
        if (n > 0 && code >= 0x20 && (code < 0x7f || code >= 0xa0)) {
            memcpy(out.text + used, bytes + i, (size_t)n);
            used += (size_t)n;
            i += (size_t)n;
        } else {
            used += (size_t)snprintf(out.text + used, sizeof out.text - used, "\\x%02x",
                                     (unsigned)(unsigned char)bytes[i++]);
        }
    }
    snprintf(out.text + used, sizeof out.text - used, i < length ? "...\"" : "\"");
    return out;
}

bdpo_printable_text bdpo_printable(const char *name)
{
    return bdpo_printable_bytes(name, strlen(name));
}

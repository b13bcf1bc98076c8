// Growing JSON text.
#include "formats/json_write.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <utf8proc.h>

#include "base/memory.h"

static bool reserve(bdpo_json_text *out, size_t more)
{
    if (out->failed) return false;
    if (more < out->capacity - out->size) return true; // one byte for the closing zero
    size_t wanted = 2 * (out->size + more) + 64;
    char *grown = bdpo_realloc(out->text, wanted, 1);
    if (!grown) {
        out->failed = true;
        return false;
    }
    out->text = grown;
    out->capacity = wanted;
    return true;
}

static void append(bdpo_json_text *out, const char *bytes, size_t n)
{
    if (!reserve(out, n)) return;
    memcpy(out->text + out->size, bytes, n);
    out->size += n;
    out->text[out->size] = '\0';
}

void bdpo_json_put(bdpo_json_text *out, const char *format, ...)
{
    char piece[128];
    va_list arguments;
    va_start(arguments, format);
    int n = vsnprintf(piece, sizeof piece, format, arguments);
    va_end(arguments);
    BDPO_ASSERT(n >= 0 && (size_t)n < sizeof piece); // strings go through put_string
    append(out, piece, (size_t)n);
}

void bdpo_json_put_text(bdpo_json_text *out, const char *text)
{
    append(out, text, strlen(text));
}

static void put_character(bdpo_json_text *out, const char *bytes, size_t n, int code, bool ascii)
{
    static const char plain[] = "\"\\\b\f\n\r\t", escaped[] = "\"\\bfnrt";
    const char *special = code < 0x80 ? strchr(plain, code) : NULL;
    if (special)
        bdpo_json_put(out, "\\%c", escaped[special - plain]);
    else if (code < 0x20 || (ascii && code > 0x7f && code < 0x10000))
        bdpo_json_put(out, "\\u%04x", (unsigned)code);
    else if (ascii && code >= 0x10000)
        bdpo_json_put(out, "\\u%04x\\u%04x", 0xd800u + (unsigned)((code - 0x10000) >> 10),
                      0xdc00u + (unsigned)((code - 0x10000) & 0x3ff));
    else
        append(out, bytes, n);
}

static void put_quoted(bdpo_json_text *out, const char *text, bool ascii)
{
    size_t length = strlen(text);
    append(out, "\"", 1);
    for (size_t i = 0; i < length;) {
        utf8proc_int32_t code;
        utf8proc_ssize_t n = utf8proc_iterate((const utf8proc_uint8_t *)text + i,
                                              (utf8proc_ssize_t)(length - i), &code);
        BDPO_ASSERT(n > 0);
        put_character(out, text + i, (size_t)n, code, ascii);
        i += (size_t)n;
    }
    append(out, "\"", 1);
}

void bdpo_json_put_string(bdpo_json_text *out, const char *text)
{
    put_quoted(out, text, false);
}

void bdpo_json_put_ascii(bdpo_json_text *out, const char *text)
{
    put_quoted(out, text, true);
}

void bdpo_json_text_clear(bdpo_json_text *out)
{
    bdpo_free(out->text);
    *out = (bdpo_json_text){0};
}

// Conversions over code points; utf8proc reads and writes UTF-8.
#include "formats/charset.h"

#include <string.h>
#include <utf8proc.h>

static bdpo_status no_memory(const char *name)
{
    return bdpo_fail(BDPO_NO_MEMORY, "%s: no memory for its text", name);
}

// The next code point and how many bytes it takes; 0 at the end, negative where it is not UTF-8.
static ptrdiff_t next_point(int32_t *point, const uint8_t *text, size_t size)
{
    if (size == 0) return 0;
    return utf8proc_iterate(text, size < 4 ? (utf8proc_ssize_t)size : 4, point);
}

bool bdpo_utf8_is_valid_with_zeros(const void *text, size_t size)
{
    const uint8_t *at = text;
    int32_t point;
    while (size > 0) {
        ptrdiff_t n = next_point(&point, at, size);
        if (n <= 0) return false;
        at += n;
        size -= (size_t)n;
    }
    return true;
}

bool bdpo_utf8_is_valid(const void *text, size_t size)
{
    return bdpo_utf8_is_valid_with_zeros(text, size) && (size == 0 || !memchr(text, 0, size));
}

bool bdpo_text_is_utf8(const char *text)
{
    return bdpo_utf8_is_valid_with_zeros(text, strlen(text));
}

static bool add_point(bdpo_growing *out, uint32_t point)
{
    uint8_t bytes[4];
    utf8proc_ssize_t n = utf8proc_encode_char((utf8proc_int32_t)point, bytes);
    return bdpo_growing_add(out, bytes, (size_t)n);
}

bdpo_status bdpo_latin1_to_utf8(bdpo_growing *out, const uint8_t *text, size_t size,
                                const char *name)
{
    for (size_t i = 0; i < size; i++)
        if (!add_point(out, text[i])) return no_memory(name);
    return BDPO_OK;
}

bdpo_status bdpo_utf16_to_utf8(bdpo_growing *out, const uint8_t *text, size_t size, bool big_endian,
                               const char *name)
{
    uint32_t high = 0; // a first surrogate that waits for its second
    if (size % 2 != 0)
        return bdpo_fail(BDPO_BAD_FILE, "%s: UTF-16 text of %zu bytes, an odd number", name, size);
    for (size_t i = 0; i < size; i += 2) {
        uint32_t unit = big_endian ? (uint32_t)text[i] << 8 | text[i + 1]
                                   : (uint32_t)text[i + 1] << 8 | text[i];
        bool first = unit >= 0xd800 && unit < 0xdc00, second = unit >= 0xdc00 && unit < 0xe000;
        if (unit == 0 || second != (high != 0))
            return bdpo_fail(BDPO_BAD_FILE, "%s: UTF-16 text has a stray unit 0x%04x at byte %zu",
                             name, unit, i);
        if (first) {
            high = unit;
            continue;
        }
        if (second) unit = 0x10000 + ((high - 0xd800) << 10) + (unit - 0xdc00);
        high = 0;
        if (!add_point(out, unit)) return no_memory(name);
    }
    if (high != 0)
        return bdpo_fail(BDPO_BAD_FILE, "%s: UTF-16 text ends in half a surrogate pair", name);
    return BDPO_OK;
}

static bool add_unit(bdpo_growing *out, uint32_t unit)
{
    uint8_t bytes[2] = {(uint8_t)(unit >> 8), (uint8_t)unit};
    return bdpo_growing_add(out, bytes, sizeof bytes);
}

bdpo_status bdpo_utf8_to_utf16be(bdpo_growing *out, const char *text, const char *name)
{
    const uint8_t *at = (const uint8_t *)text;
    size_t left = strlen(text);
    int32_t point;
    for (ptrdiff_t n; (n = next_point(&point, at, left)) > 0; at += n, left -= (size_t)n) {
        uint32_t p = (uint32_t)point;
        bool ok = p < 0x10000 ? add_unit(out, p)
                              : add_unit(out, 0xd800 + ((p - 0x10000) >> 10)) &&
                                    add_unit(out, 0xdc00 + ((p - 0x10000) & 0x3ff));
        if (!ok) return no_memory(name);
    }
    return BDPO_OK;
}

bdpo_status bdpo_utf8_to_latin1(bdpo_growing *out, bool *fits, const char *text, const char *name)
{
    const uint8_t *at = (const uint8_t *)text;
    size_t left = strlen(text), size = out->size;
    int32_t point;
    *fits = true;
    for (ptrdiff_t n; (n = next_point(&point, at, left)) > 0; at += n, left -= (size_t)n) {
        uint8_t byte = (uint8_t)point;
        if (point > 0xff) {
            *fits = false;
            out->size = size;
            return BDPO_OK;
        }
        if (!bdpo_growing_add(out, &byte, 1)) return no_memory(name);
    }
    return BDPO_OK;
}

// A TIFF block: "II" or "MM" (the byte order), 42, the offset of the first directory. A directory
// is a count and entries of 12 bytes: tag, type, number of values, and the values or their offset.
// Source: EXIF 2.3, section 4.6; TIFF 6.0, section 2.
#include "formats/exif.h"

#include <string.h>

#include "base/memory.h"
#include "formats/charset.h"

enum {
    TAG_ORIENTATION = 0x0112,
    TAG_EXIF_DIRECTORY = 0x8769,
    TAG_USER_COMMENT = 0x9286,
    TYPE_BYTE = 1, // Pillow's user comments
    TYPE_SHORT = 3,
    TYPE_LONG = 4,
    TYPE_UNDEFINED = 7,
    HEADER_BYTES = 8,
    ENTRY_BYTES = 12,
    CHARSET_BYTES = 8,
};

typedef struct block {
    const uint8_t *data;
    size_t size;
    bool big_endian;
} block;

typedef struct entry {
    uint32_t type, count;
    const uint8_t *value; // of `count` values when that many bytes are in the block, else NULL
} entry;

static uint32_t get(const block *b, const uint8_t *at, int n_bytes)
{
    uint32_t value = 0;
    for (int i = 0; i < n_bytes; i++) value = value << 8 | at[b->big_endian ? i : n_bytes - 1 - i];
    return value;
}

static const uint8_t *part(const block *b, uint32_t offset, size_t size)
{
    return offset <= b->size && size <= b->size - offset ? b->data + offset : NULL;
}

// The entry `tag` of the directory at `offset`. False where there is none.
static bool find(entry *out, const block *b, uint32_t offset, uint32_t tag)
{
    const uint8_t *count = part(b, offset, 2);
    if (!count) return false;
    uint32_t n = get(b, count, 2);
    for (uint32_t i = 0; i < n; i++) {
        const uint8_t *at = part(b, offset + 2 + ENTRY_BYTES * i, ENTRY_BYTES);
        if (!at) return false;
        if (get(b, at, 2) != tag) continue;
        *out = (entry){.type = get(b, at + 2, 2), .count = get(b, at + 4, 4)};
        size_t value_bytes = out->type == TYPE_SHORT  ? (size_t)2 * out->count
                             : out->type == TYPE_LONG ? (size_t)4 * out->count
                                                      : out->count;
        out->value = value_bytes <= 4 ? at + 8 : part(b, get(b, at + 8, 4), value_bytes);
        return out->value != NULL && out->count > 0;
    }
    return false;
}

void bdpo_exif_read(bdpo_exif *out, const uint8_t *tiff, size_t size)
{
    *out = (bdpo_exif){.orientation = 1};
    if (size < HEADER_BYTES || (memcmp(tiff, "II*\0", 4) != 0 && memcmp(tiff, "MM\0*", 4) != 0))
        return;
    block b = {.data = tiff, .size = size, .big_endian = tiff[0] == 'M'};
    uint32_t directory = get(&b, tiff + 4, 4);
    entry e;
    out->big_endian = b.big_endian;
    if (find(&e, &b, directory, TAG_ORIENTATION) && e.type == TYPE_SHORT) {
        uint32_t orientation = get(&b, e.value, 2);
        if (orientation >= 1 && orientation <= 8) out->orientation = (int)orientation;
    }
    if (!find(&e, &b, directory, TAG_EXIF_DIRECTORY) || e.type != TYPE_LONG) return;
    if (!find(&e, &b, get(&b, e.value, 4), TAG_USER_COMMENT)) return;
    if ((e.type != TYPE_UNDEFINED && e.type != TYPE_BYTE) || e.count < CHARSET_BYTES) return;
    out->comment = e.value;
    out->comment_size = e.count;
}

// ---- the user comment ----------------------------------------------------------------------

// EXIF asks for the block's byte order, piexif always writes the high byte first. Most text has
// most of its zeros in the high bytes.
static bool looks_big_endian(const uint8_t *text, size_t size)
{
    size_t zeros[2] = {0};
    for (size_t i = 0; i < size; i++) zeros[i % 2] += text[i] == 0;
    return zeros[0] >= zeros[1];
}

static bdpo_status from_utf16(bdpo_growing *out, const uint8_t *text, size_t size, const char *name)
{
    bool big_endian = looks_big_endian(text, size);
    if (size >= 2 && text[0] + text[1] == 0xff + 0xfe && (text[0] == 0xff || text[0] == 0xfe)) {
        big_endian = text[0] == 0xfe; // a byte order mark
        text += 2;
        size -= 2;
    }
    while (size >= 2 && text[size - 1] == 0 && text[size - 2] == 0) size -= 2; // padding
    return bdpo_utf16_to_utf8(out, text, size, big_endian, name);
}

static bdpo_status convert(bdpo_growing *out, const bdpo_exif *exif, const char *name)
{
    static const char undefined[CHARSET_BYTES] = {0};
    const uint8_t *text = exif->comment + CHARSET_BYTES;
    size_t size = exif->comment_size - CHARSET_BYTES;
    if (memcmp(exif->comment, "UNICODE", CHARSET_BYTES) == 0)
        return from_utf16(out, text, size, name);
    if (memcmp(exif->comment, "ASCII\0\0", CHARSET_BYTES) != 0 &&
        memcmp(exif->comment, undefined, CHARSET_BYTES) != 0)
        return bdpo_fail(BDPO_BAD_FILE,
                         "%s: EXIF user comment of an unknown charset, expected ASCII or UNICODE",
                         name);
    while (size > 0 && text[size - 1] == 0) size--;
    if (!bdpo_utf8_is_valid(text, size)) // some writers put UTF-8 there, which includes ASCII
        return bdpo_fail(BDPO_BAD_FILE, "%s: EXIF user comment is not the ASCII that it says",
                         name);
    if (!bdpo_growing_add(out, text, size))
        return bdpo_fail(BDPO_NO_MEMORY, "%s: no memory for its text", name);
    return BDPO_OK;
}

bdpo_status bdpo_exif_comment(char **out, const bdpo_exif *exif, size_t limit, const char *name)
{
    bdpo_growing text = {0};
    *out = NULL;
    if (!exif->comment) return BDPO_OK;
    if (exif->comment_size > limit)
        return bdpo_fail(BDPO_BAD_FILE, "%s: EXIF user comment of %zu bytes, at most %zu are read",
                         name, exif->comment_size, limit);
    bdpo_status status = convert(&text, exif, name);
    if (status == BDPO_OK && !bdpo_growing_add(&text, "", 1))
        status = bdpo_fail(BDPO_NO_MEMORY, "%s: no memory for its text", name);
    if (status == BDPO_OK)
        *out = (char *)text.data;
    else
        bdpo_free(text.data);
    return status;
}

// ---- writing -------------------------------------------------------------------------------

static void put(uint8_t *at, uint32_t value, int n_bytes)
{
    for (int i = n_bytes - 1; i >= 0; i--, value >>= 8) at[i] = (uint8_t)value;
}

// A directory of one entry at `at`; its last four bytes say that none follows.
static void put_directory(uint8_t *at, uint32_t tag, uint32_t type, uint32_t count, uint32_t value)
{
    put(at, 1, 2);
    put(at + 2, tag, 2);
    put(at + 4, type, 2);
    put(at + 6, count, 4);
    put(at + 10, value, 4);
    put(at + 14, 0, 4);
}

bdpo_status bdpo_exif_write(bdpo_growing *out, const char *comment, const char *name)
{
    enum {
        DIRECTORY_BYTES = 2 + ENTRY_BYTES + 4,
        SECOND = HEADER_BYTES + DIRECTORY_BYTES,
        COMMENT = SECOND + DIRECTORY_BYTES,
    };
    uint8_t head[COMMENT] = "MM\0*";
    size_t start = out->size;
    bool ok =
        bdpo_growing_add(out, head, sizeof head) && bdpo_growing_add(out, "UNICODE", CHARSET_BYTES);
    if (!ok) return bdpo_fail(BDPO_NO_MEMORY, "%s: no memory for its text", name);
    TRY(bdpo_utf8_to_utf16be(out, comment, name));
    uint32_t comment_bytes = (uint32_t)(out->size - start - COMMENT);
    put(head + 4, HEADER_BYTES, 4);
    put_directory(head + HEADER_BYTES, TAG_EXIF_DIRECTORY, TYPE_LONG, 1, SECOND);
    put_directory(head + SECOND, TAG_USER_COMMENT, TYPE_UNDEFINED, comment_bytes, COMMENT);
    memcpy(out->data + start, head, sizeof head);
    return BDPO_OK;
}

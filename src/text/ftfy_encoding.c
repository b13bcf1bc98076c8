// ftfy's fix_encoding(): text that was UTF-8 and was decoded as a single-byte encoding is encoded
// back and decoded again, whole or in parts (ftfy/__init__.py and fixes.py, 6.3.1, Apache-2.0).
#include <string.h>

#include "base/memory.h"
#include "text/ftfy.h"
#include "text/ftfy_tables.h"

// Bytes that a text is encoded to. Replacements may make them longer.
typedef struct byte_text {
    unsigned char *data;
    size_t n;
} byte_text;

// ---- single-byte encodings -----------------------------------------------------------------

static bool is_sloppy(bdpo_ftfy_charmap map)
{
    return map >= BDPO_FTFY_WINDOWS_1252 && map <= BDPO_FTFY_WINDOWS_1257;
}

// The byte of a character, or -1.
static int encode_rune(uint32_t rune, bdpo_ftfy_charmap map)
{
    if (rune == 0x1a) return is_sloppy(map) ? -1 : 0x1a;
    if (rune < 0x80) return (int)rune;
    if (rune == 0xfffd && is_sloppy(map)) return 0x1a;
    const bdpo_ftfy_charmap_entry *entries = bdpo_ftfy_charmaps[map];
    for (size_t low = 0, high = 128; low < high;) {
        size_t middle = low + (high - low) / 2;
        if (entries[middle].rune == rune) return entries[middle].byte;
        if (entries[middle].rune < rune)
            low = middle + 1;
        else
            high = middle;
    }
    return -1;
}

static bool encode(unsigned char *out, const bdpo_runes *text, bdpo_ftfy_charmap map)
{
    for (size_t i = 0; i < text->n; i++) {
        int byte = encode_rune(text->data[i], map);
        if (byte < 0) return false;
        out[i] = (unsigned char)byte;
    }
    return true;
}

static bool is_cp1252_gap(uint32_t c)
{
    return c == 0x81 || c == 0x8d || c == 0x8f || c == 0x90 || c == 0x9d;
}

static uint32_t windows_1252(uint32_t c1)
{
    for (size_t i = 0; i < 128; i++)
        if (bdpo_ftfy_charmaps[BDPO_FTFY_WINDOWS_1252][i].byte == c1)
            return bdpo_ftfy_charmaps[BDPO_FTFY_WINDOWS_1252][i].rune;
    return c1;
}

void bdpo_ftfy_fix_c1(bdpo_runes *text)
{
    for (size_t i = 0; i < text->n; i++)
        if (text->data[i] >= 0x80 && text->data[i] <= 0x9f)
            text->data[i] = windows_1252(text->data[i]);
}

// ---- bytes that were altered ---------------------------------------------------------------

static bool between(const byte_text *b, size_t at, int low, int high)
{
    return at < b->n && b->data[at] >= low && b->data[at] <= high;
}

static bool is_space(const byte_text *b, size_t at)
{
    return between(b, at, ' ', ' ');
}

// A continuation byte beside which a space may be a lost A0: not 85 (an ellipsis), not A0 itself.
static bool is_tail(const byte_text *b, size_t at)
{
    return between(b, at, 0x80, 0xbf) && b->data[at] != 0x85 && b->data[at] != 0xa0;
}

// The leads of two bytes before A0 that make a likely character.
static bool is_lead_of_two(unsigned char lead)
{
    return lead == 0xc2 || lead == 0xc3 || lead == 0xc5 || lead == 0xce || lead == 0xd0 ||
           lead == 0xd9;
}

// How many bytes at `at` would be UTF-8 if a space among them were A0; 0 where none.
static size_t altered_at(const byte_text *b, size_t at)
{
    unsigned char lead = b->data[at];
    if (is_lead_of_two(lead) && is_space(b, at + 1)) return 2;
    if ((lead == 0xe2 || lead == 0xe3) && is_space(b, at + 1) && is_tail(b, at + 2)) return 3;
    if (lead >= 0xe0 && lead <= 0xe3 && is_tail(b, at + 1) && is_space(b, at + 2)) return 3;
    if (lead != 0xf0) return 0;
    int n_spaces = 0;
    for (size_t k = 1; k <= 3; k++) {
        if (is_space(b, at + k))
            n_spaces++;
        else if (!between(b, at + k, 0x80, 0xbf))
            return 0;
    }
    return n_spaces == 1 ? 4 : 0;
}

static bool has_altered(const byte_text *b)
{
    for (size_t i = 0; i < b->n; i++)
        if (altered_at(b, i)) return true;
    return false;
}

// "Ã la" is "à la": the space stays, but for the Portuguese contractions.
static bool is_a_grave_word(const byte_text *b, size_t at)
{
    static const char *const not_before[] = {" ", "quele", "quela", "quilo", "s "};
    if (b->data[at] != 0xc3 || !is_space(b, at + 1)) return false;
    for (size_t i = 0; i < BDPO_COUNTOF(not_before); i++) {
        size_t length = strlen(not_before[i]);
        if (length <= b->n - at - 2 && memcmp(b->data + at + 2, not_before[i], length) == 0)
            return false;
    }
    return true;
}

// out->data has room for one and a half times the bytes.
static void restore_a0(byte_text *out, const byte_text *b)
{
    out->n = 0;
    for (size_t i = 0; i < b->n; i++) {
        out->data[out->n++] = b->data[i];
        if (is_a_grave_word(b, i)) out->data[out->n++] = 0xa0;
    }
    for (size_t i = 0; i < out->n;) {
        size_t length = altered_at(out, i);
        for (size_t k = 0; k < length; k++)
            if (out->data[i + k] == ' ') out->data[i + k] = 0xa0;
        i += length > 0 ? length : 1;
    }
}

// ---- bytes that were lost ------------------------------------------------------------------

static bool is_lost(const byte_text *b, size_t at, bool question)
{
    return between(b, at, 0x1a, 0x1a) || (question && between(b, at, '?', '?'));
}

static bool is_lost_or_tail(const byte_text *b, size_t at, bool question)
{
    return is_lost(b, at, question) || between(b, at, 0x80, 0xbf);
}

// n_tails bytes of which exactly one place is sure to be lost, the others lost or kept.
static bool lossy_tails(const byte_text *b, size_t at, size_t n_tails)
{
    for (size_t place = 0; place < n_tails; place++) {
        bool match = true;
        for (size_t k = 0; match && k < n_tails; k++)
            match = k == place ? is_lost(b, at + k, true) : is_lost_or_tail(b, at + k, false);
        if (match) return true;
    }
    return false;
}

// The length of a sequence of UTF-8 at `at` of which 1A, or one question mark, hides a part.
static size_t lossy_at(const byte_text *b, size_t at)
{
    unsigned char lead = b->data[at];
    if (lead == 0x1a) return 1;
    if (lead < 0xc2 || lead > 0xf4) return 0;
    if (lead <= 0xdf) return is_lost(b, at + 1, lead <= 0xc3) ? 2 : 0;
    if (lead == 0xed && between(b, at + 1, 0xa0, 0xaf) && is_lost_or_tail(b, at + 2, true) &&
        between(b, at + 3, 0xed, 0xed) && between(b, at + 4, 0xb0, 0xbf) &&
        is_lost_or_tail(b, at + 5, true) && (is_lost(b, at + 2, true) || is_lost(b, at + 5, true)))
        return 6;
    size_t n_tails = lead <= 0xef ? 2 : 3;
    return lossy_tails(b, at + 1, n_tails) ? 1 + n_tails : 0;
}

// Each becomes U+FFFD. out->data has room for three times the bytes.
static void replace_lossy(byte_text *out, const byte_text *b)
{
    out->n = 0;
    for (size_t i = 0; i < b->n;) {
        size_t length = lossy_at(b, i);
        if (length == 0) {
            out->data[out->n++] = b->data[i++];
            continue;
        }
        memcpy(out->data + out->n, "\xef\xbf\xbd", 3);
        out->n += 3;
        i += length;
    }
}

// ---- decoding ------------------------------------------------------------------------------

static bool decode_utf8(bdpo_runes *out, const unsigned char *data, size_t n)
{
    bool well_formed = true;
    for (size_t at = 0; at < n && well_formed;)
        bdpo_runes_push(out, bdpo_utf8_next(data, n, &at, &well_formed));
    return well_formed;
}

// Python's "$" in a pattern of bytes: the end, or before a line break that ends.
static bool is_dollar(const byte_text *b, size_t at)
{
    return at == b->n || (at + 1 == b->n && b->data[at] == '\n');
}

// A pattern of the codec: at each place a range of bytes, or the end, and from there on the end.
static bool matches(const byte_text *b, size_t at, const unsigned char ranges[][2], size_t n)
{
    for (size_t k = 0; k < n; k++) {
        if (between(b, at, ranges[k][0], ranges[k][1]))
            at++;
        else if (!is_dollar(b, at))
            return false;
    }
    return true;
}

static const unsigned char surrogate_pair[5][2] = {
    {0xa0, 0xaf}, {0x80, 0xbf}, {0xed, 0xed}, {0xb0, 0xbf}, {0x80, 0xbf}};
static const unsigned char surrogate[2][2] = {{0xa0, 0xbf}, {0x80, 0xbf}};
static const unsigned char null_tail[1][2] = {{0x80, 0x80}};

static bool is_special(const byte_text *b, size_t at)
{
    if (b->data[at] == 0xc0) return matches(b, at + 1, null_tail, 1);
    return b->data[at] == 0xed &&
           (matches(b, at + 1, surrogate_pair, 5) || matches(b, at + 1, surrogate, 2));
}

// The codec "utf-8-variants": also C0 80 for zero, and surrogate pairs of three bytes each. What it
// does at a closing line break is an accident of its patterns, kept here.
static bool decode_variants(bdpo_runes *out, const byte_text *b)
{
    size_t at = 0;
    while (at < b->n) {
        size_t special = at;
        while (special < b->n && !is_special(b, special)) special++;
        if (special > at) {
            if (!decode_utf8(out, b->data + at, special - at)) return false;
            at = special;
        } else if (b->data[at] == 0xc0) {
            if (b->n - at < 2) return false;
            bdpo_runes_push(out, 0);
            at += 2;
        } else {
            const unsigned char *p = b->data + at;
            if (b->n - at < 6 || !matches(b, at + 1, surrogate_pair, 5)) return false;
            bdpo_runes_push(out, ((p[1] & 0xfu) << 16) + ((p[2] & 0x3fu) << 10) +
                                     ((p[4] & 0xfu) << 6) + (p[5] & 0x3fu) + 0x10000);
            at += 6;
        }
    }
    return true;
}

static bool decode(bdpo_runes *out, const byte_text *b)
{
    bool variants = b->n > 0 && (memchr(b->data, 0xed, b->n) || memchr(b->data, 0xc0, b->n));
    out->n = 0;
    return variants ? decode_variants(out, b) : decode_utf8(out, b->data, b->n);
}

// ---- one step ------------------------------------------------------------------------------

// `room` holds 3 * 3 * n bytes: one copy of the text as bytes, and one that may be longer.
static bool decode_as(bdpo_runes *out, const bdpo_runes *text, unsigned char *room,
                      bdpo_ftfy_charmap map)
{
    byte_text a = {.data = room, .n = text->n}, b = {.data = room + 3 * text->n};
    byte_text *now = &a, *next = &b, *old;
    if (map != BDPO_FTFY_MACROMAN && has_altered(now)) { // there it would be a dash and a space
        restore_a0(next, now);
        old = now, now = next, next = old;
    }
    if (is_sloppy(map)) {
        replace_lossy(next, now);
        now = next;
    }
    return decode(out, now);
}

// Encodes whole, decodes as UTF-8. *latin_1 tells whether the text could have been Latin-1.
static bool decode_whole(bdpo_runes *out, const bdpo_runes *text, bool *latin_1)
{
    size_t size;
    bool done = false;
    unsigned char *room = bdpo_size_mul(&size, text->n, 9) ? bdpo_alloc(size, 1) : NULL;
    *latin_1 = false;
    if (!room) {
        out->failed = true;
        return true;
    }
    for (int map = 0; map < BDPO_FTFY_N_CHARMAPS && !done; map++) {
        if (!encode(room, text, (bdpo_ftfy_charmap)map)) continue;
        if (map == BDPO_FTFY_LATIN_1) *latin_1 = true;
        done = decode_as(out, text, room, (bdpo_ftfy_charmap)map);
    }
    bdpo_free(room);
    return done;
}

// The length of a run at `at` that looks like UTF-8 in a wrong encoding.
static size_t detect(const bdpo_runes *text, size_t at)
{
    size_t end = at;
    for (;;) {
        uint32_t class = end < text->n ? bdpo_ftfy_get_class(text->data[end]) : 0;
        size_t n_tails = 0;
        for (size_t k = 1; k <= 3; k++) { // the first kind of lead that fits, as the pattern tries
            if (!(class & (uint32_t)BDPO_FTFY_FIRST_OF_2 << (k - 1))) continue;
            size_t i = 1;
            while (i <= k && end + i < text->n &&
                   bdpo_ftfy_get_class(text->data[end + i]) & BDPO_FTFY_CONTINUATION)
                i++;
            if (i <= k) continue;
            n_tails = k;
            break;
        }
        if (n_tails == 0) return end - at;
        end += 1 + n_tails;
    }
}

static bool follows_continuation(const bdpo_runes *text, size_t at)
{
    return at > 0 && bdpo_ftfy_get_class(text->data[at - 1]) & BDPO_FTFY_CONTINUATION_STRICT;
}

// Decodes by themselves those runs that are bad. Each is shorter than the text, and what it decodes
// to is shorter still, so that the recursion is not deeper than the logarithm of the length.
static bool decode_runs(bdpo_runes *out, const bdpo_runes *text)
{
    bool found = false;
    out->n = 0;
    for (size_t i = 0; i < text->n;) {
        size_t length = follows_continuation(text, i) ? 0 : detect(text, i);
        if (length == 0) {
            bdpo_runes_push(out, text->data[i++]);
            continue;
        }
        bdpo_runes run = {0};
        bdpo_runes_append(&run, text->data + i, length);
        if (!run.failed && length < text->n && bdpo_ftfy_is_bad(run.data, run.n))
            bdpo_ftfy_fix_encoding(&run);
        bdpo_runes_append(out, run.data, run.n);
        out->failed |= run.failed;
        bdpo_runes_release(&run);
        found = true;
        i += length;
    }
    return found && !bdpo_runes_equal(out, text);
}

// Latin-1 that was meant as Windows-1252, where every byte has a meaning there.
static void latin_1_as_windows(bdpo_runes *text)
{
    for (size_t i = 0; i < text->n; i++)
        if (is_cp1252_gap(text->data[i])) return;
    bdpo_ftfy_fix_c1(text);
}

// False where the text needs nothing more.
static bool fix_step(bdpo_runes *text, bdpo_runes *spare)
{
    size_t i = 0;
    while (i < text->n && text->data[i] < 0x80) i++;
    if (i == text->n || !bdpo_ftfy_is_bad(text->data, text->n)) return false;
    bool latin_1;
    spare->n = 0;
    if (decode_whole(spare, text, &latin_1) || decode_runs(spare, text)) {
        bool changed = !bdpo_runes_equal(text, spare);
        bdpo_runes_swap(text, spare);
        return changed;
    }
    spare->n = 0;
    bdpo_runes_append(spare, text->data, text->n);
    if (latin_1) latin_1_as_windows(text);
    if (bdpo_runes_equal(text, spare)) bdpo_ftfy_fix_c1(text);
    return !bdpo_runes_equal(text, spare);
}

void bdpo_ftfy_fix_encoding(bdpo_runes *text)
{
    bdpo_runes spare = {0};
    while (!text->failed && !spare.failed && fix_step(text, &spare)) continue;
    text->failed |= spare.failed;
    bdpo_runes_release(&spare);
}

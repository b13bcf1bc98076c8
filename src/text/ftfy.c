// ftfy's fix_text(): piece by piece between line breaks, each until nothing changes any more.
#include "text/ftfy.h"

#include "text/ftfy_tables.h"
#include "text/html_entities.h"
#include "text/unicode.h"

enum { MAX_PIECE = 1000000 }; // characters

// ---- single characters ---------------------------------------------------------------------

static const bdpo_ftfy_replacement *find_replacement(uint32_t rune)
{
    size_t low = 0, high = n_bdpo_ftfy_replacements;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (bdpo_ftfy_replacements[middle].rune == rune) return &bdpo_ftfy_replacements[middle];
        if (bdpo_ftfy_replacements[middle].rune < rune)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

static uint32_t straight_quote(uint32_t rune)
{
    if (rune == 0x2bc || (rune >= 0x2018 && rune <= 0x201b)) return '\'';
    return rune >= 0x201c && rune <= 0x201f ? '"' : rune;
}

// Ligatures, widths, quotes. Each is one pass in ftfy; no result of one is the others' concern but
// for the full-width forms, which give no quotes that are curled.
static void replace_characters(bdpo_runes *text, bdpo_runes *out)
{
    out->n = 0;
    for (size_t i = 0; i < text->n; i++) {
        uint32_t rune = straight_quote(text->data[i]);
        const bdpo_ftfy_replacement *r = rune < 0x132 ? NULL : find_replacement(rune);
        if (!r) {
            bdpo_runes_push(out, rune);
            continue;
        }
        for (size_t k = 0; k < 3 && r->to[k] != 0; k++)
            bdpo_runes_push(out, straight_quote(r->to[k]));
    }
    bdpo_runes_swap(text, out);
}

static bool is_line_break(uint32_t rune)
{
    return rune == '\r' || rune == 0x2028 || rune == 0x2029 || rune == 0x85;
}

static void fix_line_breaks(bdpo_runes *text)
{
    size_t out = 0;
    for (size_t i = 0; i < text->n; i++) {
        uint32_t rune = text->data[i];
        if (rune == '\r' && i + 1 < text->n && text->data[i + 1] == '\n') continue;
        text->data[out++] = is_line_break(rune) ? '\n' : rune;
    }
    text->n = out;
}

// The length of a terminal's escape sequence (colours and the like) at `at`. Its digits are those
// of Python's \d, of any script.
static size_t escape_at(const bdpo_runes *text, size_t at)
{
    if (text->data[at] != 0x1b || at + 1 >= text->n || text->data[at + 1] != '[') return 0;
    size_t end = at + 2;
    while (end < text->n && (text->data[end] == ';' || bdpo_rune_is_python_digit(text->data[end])))
        end++;
    if (end == text->n) return 0;
    uint32_t letter = text->data[end] | 0x20;
    return letter >= 'a' && letter <= 'z' ? end + 1 - at : 0;
}

static void remove_escapes(bdpo_runes *text)
{
    size_t out = 0;
    for (size_t i = 0; i < text->n;) {
        size_t length = escape_at(text, i);
        if (length == 0) text->data[out++] = text->data[i++];
        i += length;
    }
    text->n = out;
}

static bool is_unwanted_control(uint32_t c)
{
    return c <= 0x08 || c == 0x0b || (c >= 0x0e && c <= 0x1f) || c == 0x7f ||
           (c >= 0x206a && c <= 0x206f) || c == 0xfeff || (c >= 0xfff9 && c <= 0xfffc);
}

static void remove_controls(bdpo_runes *text)
{
    size_t out = 0;
    for (size_t i = 0; i < text->n; i++)
        if (!is_unwanted_control(text->data[i])) text->data[out++] = text->data[i];
    text->n = out;
}

// ---- a piece -------------------------------------------------------------------------------

static bool has_markup(const uint32_t *text, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (text[i] == '<') return true;
    return false;
}

static void fix_once(bdpo_runes *text, bdpo_runes *spare, bool unescape)
{
    if (unescape) bdpo_html_unescape_careful(text, spare);
    bdpo_ftfy_fix_encoding(text);
    bdpo_ftfy_fix_c1(text);
    replace_characters(text, spare);
    fix_line_breaks(text);
    remove_escapes(text);
    remove_controls(text);
    bdpo_runes_nfc(text, spare, BDPO_UNICODE_PYTHON);
}

static void fix_piece(bdpo_runes *text, bdpo_runes *spare, bool unescape)
{
    bdpo_runes before = {0};
    do {
        before.n = 0;
        bdpo_runes_append(&before, text->data, text->n);
        fix_once(text, spare, unescape);
        text->failed |= before.failed | spare->failed;
    } while (!text->failed && !bdpo_runes_equal(text, &before));
    bdpo_runes_release(&before);
}

static size_t piece_length(const uint32_t *text, size_t n)
{
    size_t length = 0;
    while (length < n && length < MAX_PIECE)
        if (text[length++] == '\n') break;
    return length;
}

void bdpo_ftfy_fix_text(bdpo_runes *text)
{
    bdpo_runes out = {0}, piece = {0}, spare = {0};
    bool unescape = true; // until the first piece with markup, as that may show its entities
    for (size_t at = 0; at < text->n && !out.failed;) {
        size_t length = piece_length(text->data + at, text->n - at);
        if (has_markup(text->data + at, length)) unescape = false;
        piece.n = 0;
        bdpo_runes_append(&piece, text->data + at, length);
        fix_piece(&piece, &spare, unescape);
        bdpo_runes_append(&out, piece.data, piece.n);
        out.failed |= piece.failed;
        at += length;
    }
    out.failed |= text->failed;
    bdpo_runes_swap(text, &out);
    bdpo_runes_release(&out);
    bdpo_runes_release(&piece);
    bdpo_runes_release(&spare);
}

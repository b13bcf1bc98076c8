// Classes, lower case, NFC and NFD over utf8proc, corrected to each reference's version of Unicode.
#include "text/unicode.h"

#include <utf8proc.h>

#include "text/unicode_tables.h"

#define IN(rune, table) bdpo_rune_in(rune, table, n_##table)

// ---- properties ----------------------------------------------------------------------------

bool bdpo_rune_is_space(uint32_t rune)
{
    if (rune < 0x80) return rune == ' ' || (rune >= 9 && rune <= 13);
    return rune == 0x85 || rune == 0xa0 || rune == 0x1680 || (rune >= 0x2000 && rune <= 0x200a) ||
           rune == 0x2028 || rune == 0x2029 || rune == 0x202f || rune == 0x205f || rune == 0x3000;
}

bool bdpo_rune_is_python_space(uint32_t rune)
{
    return bdpo_rune_is_space(rune) || (rune >= 0x1c && rune <= 0x1f);
}

static bdpo_rune_kind ascii_kind(uint32_t rune)
{
    uint32_t letter = rune | 0x20;
    if (letter >= 'a' && letter <= 'z') return BDPO_RUNE_LETTER;
    if (rune >= '0' && rune <= '9') return BDPO_RUNE_NUMBER;
    return bdpo_rune_is_space(rune) ? BDPO_RUNE_SPACE : BDPO_RUNE_OTHER;
}

static bdpo_rune_kind kind_of_category(utf8proc_category_t category)
{
    if (category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_LO)
        return BDPO_RUNE_LETTER;
    if (category >= UTF8PROC_CATEGORY_ND && category <= UTF8PROC_CATEGORY_NO)
        return BDPO_RUNE_NUMBER;
    return BDPO_RUNE_OTHER;
}

bdpo_rune_kind bdpo_rune_get_kind(uint32_t rune, bdpo_unicode version)
{
    if (rune < 0x80) return ascii_kind(rune);
    // Ignoring case, regex finds this mark (whose capital is a letter) in no class, and so it parts
    // words as a space does.
    if (rune == 0x345 && version == BDPO_UNICODE_PYTHON) return BDPO_RUNE_SPACE;
    utf8proc_category_t category = utf8proc_category((utf8proc_int32_t)rune);
    bdpo_rune_kind kind = kind_of_category(category);
    if (kind != BDPO_RUNE_OTHER) return kind;
    if (bdpo_rune_is_space(rune)) return BDPO_RUNE_SPACE;
    if (category != UTF8PROC_CATEGORY_CN) return BDPO_RUNE_OTHER;
    bool newest = version == BDPO_UNICODE_PYTHON;
    if (IN(rune, bdpo_letters_16) || (newest && IN(rune, bdpo_letters_17))) return BDPO_RUNE_LETTER;
    if (IN(rune, bdpo_numbers_16) || (newest && IN(rune, bdpo_numbers_17))) return BDPO_RUNE_NUMBER;
    return BDPO_RUNE_OTHER;
}

bool bdpo_rune_is_python_word(uint32_t rune)
{
    if (rune < 0x80)
        return rune == '_' || ascii_kind(rune) == BDPO_RUNE_LETTER ||
               ascii_kind(rune) == BDPO_RUNE_NUMBER;
    return kind_of_category(utf8proc_category((utf8proc_int32_t)rune)) != BDPO_RUNE_OTHER &&
           !IN(rune, bdpo_assigned_15);
}

bool bdpo_rune_is_python_digit(uint32_t rune)
{
    if (rune < 0x80) return rune >= '0' && rune <= '9';
    return utf8proc_category((utf8proc_int32_t)rune) == UTF8PROC_CATEGORY_ND &&
           !IN(rune, bdpo_assigned_15);
}

bool bdpo_rune_is_python_control(uint32_t rune)
{
    if (rune < 0x80) return rune < 0x20 || rune == 0x7f;
    utf8proc_category_t category = utf8proc_category((utf8proc_int32_t)rune);
    return category == UTF8PROC_CATEGORY_CN || category >= UTF8PROC_CATEGORY_CC ||
           IN(rune, bdpo_assigned_15);
}

bool bdpo_rune_is_space_separator(uint32_t rune)
{
    return utf8proc_category((utf8proc_int32_t)rune) == UTF8PROC_CATEGORY_ZS;
}

bool bdpo_rune_is_python_nonspacing(uint32_t rune)
{
    return utf8proc_category((utf8proc_int32_t)rune) == UTF8PROC_CATEGORY_MN &&
           !IN(rune, bdpo_assigned_15);
}

bool bdpo_rune_is_python_punctuation(uint32_t rune)
{
    utf8proc_category_t category = utf8proc_category((utf8proc_int32_t)rune);
    return category >= UTF8PROC_CATEGORY_PC && category <= UTF8PROC_CATEGORY_PO &&
           !IN(rune, bdpo_assigned_15);
}

// ---- lower case ----------------------------------------------------------------------------

static bool is_ignorable(uint32_t rune)
{
    switch (utf8proc_category((utf8proc_int32_t)rune)) {
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_SK:
        return !IN(rune, bdpo_assigned_15);
    default:
        return IN(rune, bdpo_ignorable_14);
    }
}

static bool is_cased(uint32_t rune)
{
    utf8proc_category_t category = utf8proc_category((utf8proc_int32_t)rune);
    if (category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_LT)
        return !IN(rune, bdpo_assigned_15);
    return IN(rune, bdpo_cased_14);
}

// After a cased letter and before none, ignorable characters aside. `lower` tells what stands
// before `at`: lower case is as cased as upper, and the one replacement of several characters
// (that of U+0130) ends in an ignorable mark.
static bool is_final_sigma(const bdpo_runes *text, size_t at)
{
    size_t i = at;
    do
        if (i-- == 0) return false;
    while (is_ignorable(text->data[i]));
    if (!is_cased(text->data[i])) return false;
    for (i = at + 1; i < text->n && is_ignorable(text->data[i]); i++) continue;
    return i == text->n || !is_cased(text->data[i]);
}

static uint32_t lower_of_17(uint32_t rune)
{
    for (size_t i = 0; i < n_bdpo_lower_17; i++)
        if (bdpo_lower_17[i].from == rune) return bdpo_lower_17[i].to;
    return rune;
}

static uint32_t lower_rune(const bdpo_runes *text, size_t at, bdpo_unicode version)
{
    uint32_t rune = text->data[at];
    if (version == BDPO_UNICODE_PYTHON && rune == 0x3a3)
        return is_final_sigma(text, at) ? 0x3c2 : 0x3c3;
    uint32_t lower = (uint32_t)utf8proc_tolower((utf8proc_int32_t)rune);
    return lower == rune && version == BDPO_UNICODE_RUST && rune >= 0x1c89 ? lower_of_17(rune)
                                                                           : lower;
}

// U+0130 is the one letter whose lower case has two characters: i and a dot above.
static void lower_with_dots(bdpo_runes *text, size_t from, bdpo_unicode version)
{
    bdpo_runes out = {0};
    bdpo_runes_append(&out, text->data, from);
    for (size_t i = from; i < text->n; i++) {
        if (text->data[i] == 0x130) {
            bdpo_runes_push(&out, 'i');
            bdpo_runes_push(&out, 0x307);
        } else {
            bdpo_runes_push(&out, lower_rune(text, i, version));
        }
    }
    bdpo_runes_swap(text, &out);
    bdpo_runes_release(&out);
}

void bdpo_runes_lower(bdpo_runes *text, bdpo_unicode version)
{
    for (size_t i = 0; i < text->n; i++) {
        uint32_t rune = text->data[i];
        if (rune < 0x80) {
            if (rune >= 'A' && rune <= 'Z') text->data[i] = rune | 0x20;
        } else if (rune == 0x130) {
            lower_with_dots(text, i, version);
            return;
        } else {
            text->data[i] = lower_rune(text, i, version);
        }
    }
}

// ---- NFC -----------------------------------------------------------------------------------

// The one pair that came after 9 and whose second part is no mark.
enum { DIVES_AKURU_E = 0x11935, DIVES_AKURU_AA = 0x11930, DIVES_AKURU_O = 0x11938 };

static bool is_unknown_mark(uint32_t rune, bdpo_unicode version)
{
    if (rune < 0x300) return false;
    if (version == BDPO_UNICODE_PYTHON) return IN(rune, bdpo_assigned_15);
    return rune == DIVES_AKURU_AA || IN(rune, bdpo_marks_after_9);
}

static int combining_class(uint32_t rune, bdpo_unicode version)
{
    int class = utf8proc_get_property((utf8proc_int32_t)rune)->combining_class;
    return class != 0 && is_unknown_mark(rune, version) ? 0 : class;
}

static void decompose(bdpo_runes *out, const bdpo_runes *text, bdpo_unicode version)
{
    utf8proc_int32_t parts[8]; // no canonical decomposition has more than four
    int boundary = 0;
    for (size_t i = 0; i < text->n; i++) {
        uint32_t rune = text->data[i];
        if (rune < 0xc0 || (rune == DIVES_AKURU_O && version == BDPO_UNICODE_RUST)) {
            bdpo_runes_push(out, rune);
            continue;
        }
        utf8proc_ssize_t n = utf8proc_decompose_char((utf8proc_int32_t)rune, parts, 8,
                                                     UTF8PROC_DECOMPOSE, &boundary);
        for (utf8proc_ssize_t k = 0; k < n; k++) bdpo_runes_push(out, (uint32_t)parts[k]);
    }
}

// Runs of marks by class, equal ones in their order. A text may be nothing but marks: a stable
// counting sort over the 255 classes keeps that linear.
static void order_run(uint32_t *runes, size_t n, bdpo_runes *spare, bdpo_unicode version)
{
    size_t starts[256] = {0};
    if (n < 32) {
        for (size_t i = 1; i < n; i++) {
            uint32_t rune = runes[i];
            int class = combining_class(rune, version);
            size_t k = i;
            for (; k > 0 && combining_class(runes[k - 1], version) > class; k--)
                runes[k] = runes[k - 1];
            runes[k] = rune;
        }
        return;
    }
    spare->n = 0;
    bdpo_runes_append(spare, runes, n);
    if (spare->failed) return;
    for (size_t i = 0; i < n; i++) starts[combining_class(runes[i], version)]++;
    for (size_t c = 0, sum = 0; c < 256; c++) {
        size_t count = starts[c];
        starts[c] = sum;
        sum += count;
    }
    for (size_t i = 0; i < n; i++)
        runes[starts[combining_class(spare->data[i], version)]++] = spare->data[i];
}

static void order_marks(bdpo_runes *text, bdpo_runes *spare, bdpo_unicode version)
{
    for (size_t i = 0; i < text->n; i++) {
        size_t begin = i;
        while (i < text->n && text->data[i] >= 0x300 && combining_class(text->data[i], version))
            i++;
        if (i - begin > 1) order_run(text->data + begin, i - begin, spare, version);
    }
}

// Composes in place, part by part: a mark that the reference does not know ends a part, as it would
// be a starter that composes with nothing.
static void compose(bdpo_runes *text, bdpo_unicode version)
{
    size_t out = 0;
    for (size_t begin = 0; begin < text->n;) {
        size_t end = begin + 1;
        if (!is_unknown_mark(text->data[begin], version))
            while (end < text->n && !is_unknown_mark(text->data[end], version)) end++;
        utf8proc_ssize_t n = utf8proc_normalize_utf32((utf8proc_int32_t *)text->data + begin,
                                                      (utf8proc_ssize_t)(end - begin),
                                                      UTF8PROC_COMPOSE | UTF8PROC_STABLE);
        for (utf8proc_ssize_t k = 0; k < n; k++) text->data[out++] = text->data[begin + (size_t)k];
        begin = end;
    }
    text->n = out;
}

// Both forms: decomposed, marks in order; with `composed` put together again.
static void normalize(bdpo_runes *text, bdpo_runes *spare, bdpo_unicode version, bool composed)
{
    bdpo_runes out = {0};
    decompose(&out, text, version);
    if (!out.failed) {
        spare->n = 0;
        order_marks(&out, spare, version);
        if (composed) compose(&out, version);
        out.failed = spare->failed;
    }
    bdpo_runes_swap(text, &out);
    bdpo_runes_release(&out);
}

// Where all are below `limit` the text is in its form already.
static bool all_below(const bdpo_runes *text, uint32_t limit)
{
    size_t i = 0;
    while (i < text->n && text->data[i] < limit) i++;
    return i == text->n;
}

void bdpo_runes_nfc(bdpo_runes *text, bdpo_runes *spare, bdpo_unicode version)
{
    if (!all_below(text, 0x300)) normalize(text, spare, version, true);
}

void bdpo_runes_nfd(bdpo_runes *text, bdpo_runes *spare, bdpo_unicode version)
{
    if (!all_below(text, 0xc0)) normalize(text, spare, version, false);
}

// The cleaning pipelines and the regular expression that cuts text into words.
#include "text/clean.h"

#include "text/ftfy.h"
#include "text/html_entities.h"
#include "text/unicode.h"

typedef bool (*is_space)(uint32_t rune);

static bdpo_unicode unicode_of(bdpo_clip_pipeline pipeline)
{
    return pipeline == BDPO_CLIP_FAST ? BDPO_UNICODE_RUST : BDPO_UNICODE_PYTHON;
}

// Runs of space become one space; `strip` drops those at both ends.
static void collapse_spaces(bdpo_runes *text, is_space space, bool strip)
{
    size_t out = 0;
    for (size_t i = 0; i < text->n; i++) {
        if (!space(text->data[i]))
            text->data[out++] = text->data[i];
        else if (i == 0 ? !strip : !space(text->data[i - 1]))
            text->data[out++] = ' ';
    }
    if (strip && out > 0 && text->data[out - 1] == ' ') out--;
    text->n = out;
}

// ---- BasicTokenizer, which stands in for ftfy ----------------------------------------------

static bool is_ideograph(uint32_t c)
{
    return (c >= 0x4e00 && c <= 0x9fff) || (c >= 0x3400 && c <= 0x4dbf) ||
           (c >= 0x20000 && c <= 0x2a6df) || (c >= 0x2a700 && c <= 0x2ceaf) ||
           (c >= 0xf900 && c <= 0xfaff) || (c >= 0x2f800 && c <= 0x2fa1f);
}

// Drops what is no text, makes spaces plain, sets ideographs apart.
static void clean_basic(bdpo_runes *text, bdpo_runes *out)
{
    out->n = 0;
    for (size_t i = 0; i < text->n; i++) {
        uint32_t rune = text->data[i];
        if (rune == '\t' || rune == '\n' || rune == '\r' || bdpo_rune_is_space_separator(rune)) {
            bdpo_runes_push(out, ' ');
        } else if (is_ideograph(rune)) {
            bdpo_runes_push(out, ' ');
            bdpo_runes_push(out, rune);
            bdpo_runes_push(out, ' ');
        } else if (rune != 0xfffd && !bdpo_rune_is_python_control(rune)) {
            bdpo_runes_push(out, rune);
        }
    }
    bdpo_runes_swap(text, out);
}

// ---- pipelines -----------------------------------------------------------------------------

void bdpo_clip_clean(bdpo_runes *text, bdpo_runes *spare, bdpo_clip_pipeline pipeline)
{
    bdpo_unicode unicode = unicode_of(pipeline);
    switch (pipeline) {
    case BDPO_CLIP_FAST:
        bdpo_runes_nfc(text, spare, unicode);
        collapse_spaces(text, bdpo_rune_is_space, false);
        break;
    case BDPO_CLIP_SLOW_FTFY:
        bdpo_ftfy_fix_text(text);
        collapse_spaces(text, bdpo_rune_is_space, true);
        break;
    case BDPO_CLIP_SLOW:
        clean_basic(text, spare);
        bdpo_runes_nfc(text, spare, unicode);
        collapse_spaces(text, bdpo_rune_is_python_space, true);
        break;
    case BDPO_CLIP_OPENAI:
    case BDPO_CLIP_OPEN_CLIP:
        bdpo_ftfy_fix_text(text);
        bdpo_html_unescape(text, spare);
        bdpo_html_unescape(text, spare);
        collapse_spaces(text, bdpo_rune_is_python_space, true);
        break;
    case BDPO_CLIP_N_PIPELINES:
        BDPO_BUG("no pipeline");
    }
    bdpo_runes_lower(text, unicode);
    text->failed |= spare->failed;
}

// ---- words ---------------------------------------------------------------------------------

// The regular expression's letters, in lower-case text: Python's ignore case, and there the long s
// is an s.
static bool same_letter(uint32_t rune, char letter, bdpo_unicode unicode)
{
    return rune == (unsigned char)letter ||
           (letter == 's' && rune == 0x17f && unicode == BDPO_UNICODE_PYTHON);
}

// The length of `literal` where the text goes on with it, else 0. *exact: letter by letter.
static size_t match(bool *exact, const char *literal, const bdpo_runes *text, size_t at,
                    bdpo_unicode unicode)
{
    size_t n = 0;
    *exact = true;
    for (; literal[n]; n++) {
        if (at + n >= text->n || !same_letter(text->data[at + n], literal[n], unicode)) return 0;
        *exact = *exact && text->data[at + n] == (unsigned char)literal[n];
    }
    return n;
}

static size_t match_mark(bdpo_clip_mark *mark, const bdpo_runes *text, size_t at,
                         bdpo_clip_pipeline pipeline)
{
    bool exact, open_clip = pipeline == BDPO_CLIP_OPEN_CLIP;
    const char *begin = open_clip ? "<start_of_text>" : "<|startoftext|>";
    const char *end = open_clip ? "<end_of_text>" : "<|endoftext|>";
    size_t length = match(&exact, begin, text, at, unicode_of(pipeline));
    *mark = BDPO_CLIP_BEGIN_MARK;
    if (length == 0) {
        length = match(&exact, end, text, at, unicode_of(pipeline));
        *mark = BDPO_CLIP_END_MARK;
    }
    if (length == 0 || !exact) *mark = BDPO_CLIP_NO_MARK;
    return length;
}

static size_t match_contraction(const bdpo_runes *text, size_t at, bdpo_unicode unicode)
{
    static const char *const contractions[] = {"'s", "'t", "'re", "'ve", "'m", "'ll", "'d"};
    bool exact;
    for (size_t i = 0; i < BDPO_COUNTOF(contractions); i++) {
        size_t length = match(&exact, contractions[i], text, at, unicode);
        if (length > 0) return length;
    }
    return 0;
}

// The runes from `at` on that are of one kind, up to `limit`.
static size_t run_length(const bdpo_runes *text, size_t at, size_t limit, bdpo_unicode unicode)
{
    bdpo_rune_kind kind = bdpo_rune_get_kind(text->data[at], unicode);
    size_t end = at + 1;
    if (kind == BDPO_RUNE_NUMBER) return 1; // each for itself
    while (end < limit && bdpo_rune_get_kind(text->data[end], unicode) == kind) end++;
    return end - at;
}

bool bdpo_clip_next_word(bdpo_clip_mark *mark, bdpo_clip_cursor *cursor, const bdpo_runes *text,
                         bdpo_clip_pipeline pipeline)
{
    bdpo_unicode unicode = unicode_of(pipeline);
    size_t at = cursor->next, length = 0;
    *mark = BDPO_CLIP_NO_MARK;
    while (at < text->n && bdpo_rune_get_kind(text->data[at], unicode) == BDPO_RUNE_SPACE) at++;
    if (at == text->n) return false;
    if (text->data[at] == '<') {
        length = match_mark(mark, text, at, pipeline);
        cursor->mark_end = at + length;
    } else if (text->data[at] == '\'') {
        length = match_contraction(text, at, unicode);
    }
    if (length > 0 && pipeline == BDPO_CLIP_FAST && text->data[at] == '<') {
        // A spelling that the added tokens did not take. The tokenizers package cuts it a second
        // time, by an expression that does not know it; but it ends where it ends.
        *mark = BDPO_CLIP_NO_MARK;
        length = 0;
    }
    if (length == 0) {
        size_t limit = at < cursor->mark_end ? cursor->mark_end : text->n;
        length = run_length(text, at, limit, unicode);
    }
    cursor->at = at;
    cursor->next = at + length;
    return true;
}

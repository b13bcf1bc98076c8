// Character references of HTML5 as Python's html.unescape() and ftfy's unescape_html() decode them.
#include "text/html_entities.h"

#include <string.h>

#include "text/ftfy_tables.h"

enum { MAX_NAME = 32 }; // Python looks at no more

// ---- tables --------------------------------------------------------------------------------

// Compares as strcmp; a rune beyond ASCII is larger than any letter.
static int compare_name(const uint32_t *runes, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t c = (unsigned char)name[i];
        if (runes[i] != c) return runes[i] < c ? -1 : 1;
    }
    return name[n] == '\0' ? 0 : -1;
}

static const bdpo_html_entity *find(const uint32_t *runes, size_t n)
{
    size_t low = 0, high = n_bdpo_html_entities;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = compare_name(runes, n, bdpo_html_entities[middle].name);
        if (order == 0) return &bdpo_html_entities[middle];
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

static bool is_digit(uint32_t c)
{
    return c >= '0' && c <= '9';
}

static bool is_letter(uint32_t c)
{
    return (c | 0x20) >= 'a' && (c | 0x20) <= 'z' && c < 0x80;
}

static bool is_hex(uint32_t c)
{
    return is_digit(c) || (is_letter(c) && (c | 0x20) <= 'f');
}

// ---- numbers -------------------------------------------------------------------------------

static void push_number(bdpo_runes *out, uint32_t number)
{
    for (size_t i = 0; i < n_bdpo_html_charrefs; i++)
        if (bdpo_html_charrefs[i].number == number) {
            bdpo_runes_push(out, bdpo_html_charrefs[i].rune);
            return;
        }
    if ((number >= 0xd800 && number <= 0xdfff) || number > 0x10ffff)
        bdpo_runes_push(out, 0xfffd);
    else if (!bdpo_rune_in(number, bdpo_html_invalid, n_bdpo_html_invalid))
        bdpo_runes_push(out, number);
}

// Reads "#12" or "#x1F" behind the ampersand, with a semicolon if there is one. Returns how many
// runes that are, 0 where it is no number.
static size_t read_number(uint32_t *number, const uint32_t *p, size_t n)
{
    bool hex = n > 1 && (p[1] | 0x20) == 'x';
    size_t begin = hex ? 2 : 1, i = begin;
    *number = 0;
    for (; i < n && (hex ? is_hex(p[i]) : is_digit(p[i])); i++) {
        uint32_t digit = is_digit(p[i]) ? p[i] - '0' : (p[i] | 0x20) - 'a' + 10;
        if (*number <= 0x10ffff) *number = *number * (hex ? 16 : 10) + digit;
    }
    if (i == begin) return 0;
    return i < n && p[i] == ';' ? i + 1 : i;
}

// ---- Python --------------------------------------------------------------------------------

static bool ends_name(uint32_t c)
{
    return c == '\t' || c == '\n' || c == '\f' || c == ' ' || c == '<' || c == '&' || c == '#' ||
           c == ';';
}

// Decodes the name at p; returns how many runes it took, 0 where it is none: the whole with its
// semicolon, or the longest beginning that needs none.
static size_t push_name(bdpo_runes *out, const uint32_t *p, size_t n)
{
    size_t length = 0;
    while (length < n && length < MAX_NAME && !ends_name(p[length])) length++;
    const bdpo_html_entity *entity = NULL;
    size_t used = 0;
    if (length < n && p[length] == ';') {
        entity = find(p, length);
        used = length + 1;
    }
    for (size_t x = length; !entity && x > 1; x--) {
        const bdpo_html_entity *shorter = find(p, x);
        if (!shorter || !(shorter->flags & BDPO_HTML_PLAIN)) continue;
        entity = shorter;
        used = x;
    }
    if (!entity) return 0;
    bdpo_runes_append_utf8(out, entity->text, strlen(entity->text));
    return used;
}

void bdpo_html_unescape(bdpo_runes *text, bdpo_runes *out)
{
    size_t i = 0;
    while (i < text->n && text->data[i] != '&') i++;
    if (i == text->n) return;
    out->n = 0;
    bdpo_runes_append(out, text->data, i);
    while (i < text->n) {
        const uint32_t *rest = text->data + i + 1;
        size_t n = text->n - i - 1, used = 0;
        uint32_t number;
        if (text->data[i] == '&' && n > 0) {
            if (rest[0] != '#')
                used = push_name(out, rest, n);
            else if ((used = read_number(&number, rest, n)) > 0)
                push_number(out, number);
        }
        if (used == 0) bdpo_runes_push(out, text->data[i]);
        i += 1 + used;
    }
    bdpo_runes_swap(text, out);
}

// ---- ftfy ----------------------------------------------------------------------------------

// The name of `n` runes in capitals, as ftfy knows some.
static const bdpo_html_entity *find_shouted(const uint32_t *p, size_t n)
{
    uint32_t lower[MAX_NAME];
    for (size_t i = 0; i < n; i++) {
        if (p[i] >= 'a' && p[i] <= 'z') return NULL;
        lower[i] = is_letter(p[i]) ? p[i] | 0x20 : p[i];
    }
    const bdpo_html_entity *entity = find(lower, n);
    return entity && entity->flags & BDPO_HTML_SHOUTED ? entity : NULL;
}

// Decodes what stands between "&" and ";"; false where it stays as it is.
static bool push_careful(bdpo_runes *out, const uint32_t *p, size_t n)
{
    if (p[0] == '#') {
        uint32_t number;
        if (read_number(&number, p, n) != n || number == ';') return false;
        push_number(out, number);
        return true;
    }
    const bdpo_html_entity *entity = find(p, n);
    const char *text = entity ? entity->text : NULL;
    if (!entity && (entity = find_shouted(p, n)))
        text = entity->shouted ? entity->shouted : entity->text;
    if (text) bdpo_runes_append_utf8(out, text, strlen(text));
    return text != NULL;
}

void bdpo_html_unescape_careful(bdpo_runes *text, bdpo_runes *out)
{
    enum { MAX_CAREFUL = 24 };
    size_t i = 0;
    while (i < text->n && text->data[i] != '&') i++;
    if (i == text->n) return;
    out->n = 0;
    bdpo_runes_append(out, text->data, i);
    while (i < text->n) {
        const uint32_t *p = text->data + i + 1;
        size_t n = text->n - i - 1, mark = n > 0 && p[0] == '#' ? 1 : 0, end = mark;
        if (text->data[i] == '&')
            while (end < n && end < mark + MAX_CAREFUL && (is_digit(p[end]) || is_letter(p[end])))
                end++;
        if (text->data[i] == '&' && end > mark && end < n && p[end] == ';') {
            if (!push_careful(out, p, end)) bdpo_runes_append(out, text->data + i, end + 2);
            i += end + 2;
        } else {
            bdpo_runes_push(out, text->data[i++]);
        }
    }
    bdpo_runes_swap(text, out);
}

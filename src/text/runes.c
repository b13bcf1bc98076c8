// Growing arrays of code points, UTF-8, and search in ranges.
#include "text/runes.h"

#include <string.h>

#include "base/memory.h"

void bdpo_runes_release(bdpo_runes *text)
{
    bdpo_free(text->data);
    *text = (bdpo_runes){0};
}

// Room for `more` further runes.
static bool reserve(bdpo_runes *text, size_t more)
{
    size_t wanted, doubled;
    if (text->failed) return false;
    if (more <= text->capacity - text->n) return true;
    text->failed = true;
    if (!bdpo_size_add(&wanted, text->n, more)) return false;
    if (!bdpo_size_mul(&doubled, text->capacity, 2)) return false;
    if (wanted < doubled) wanted = doubled;
    if (wanted < 64) wanted = 64;
    uint32_t *grown = bdpo_realloc(text->data, wanted, sizeof *grown);
    if (!grown) return false;
    text->data = grown;
    text->capacity = wanted;
    text->failed = false;
    return true;
}

void bdpo_runes_push(bdpo_runes *text, uint32_t rune)
{
    if (text->n < text->capacity || reserve(text, 1)) text->data[text->n++] = rune;
}

void bdpo_runes_append(bdpo_runes *text, const uint32_t *runes, size_t n)
{
    if (n == 0 || !reserve(text, n)) return;
    memcpy(text->data + text->n, runes, n * sizeof *runes);
    text->n += n;
}

void bdpo_runes_append_utf8(bdpo_runes *text, const char *bytes, size_t size)
{
    const unsigned char *p = (const unsigned char *)bytes;
    bool well_formed;
    if (!reserve(text, size)) return; // never more runes than bytes
    for (size_t at = 0; at < size;) {
        if (p[at] < 0x80)
            text->data[text->n++] = p[at++];
        else
            text->data[text->n++] = bdpo_utf8_next(p, size, &at, &well_formed);
    }
}

void bdpo_runes_swap(bdpo_runes *a, bdpo_runes *b)
{
    bdpo_runes old = *a;
    *a = *b;
    *b = old;
}

bool bdpo_runes_equal(const bdpo_runes *a, const bdpo_runes *b)
{
    return a->n == b->n && (a->n == 0 || memcmp(a->data, b->data, a->n * sizeof *a->data) == 0);
}

bdpo_status bdpo_runes_check(const bdpo_runes *text)
{
    if (!text->failed) return BDPO_OK;
    return bdpo_fail(BDPO_NO_MEMORY, "no memory for a text of more than %zu characters", text->n);
}

// How many bytes follow the lead, and between what the first of them must lie (Unicode, table 3-7).
static int sequence(unsigned char lead, unsigned char *low, unsigned char *high)
{
    *low = 0x80, *high = 0xbf;
    if (lead >= 0xc2 && lead <= 0xdf) return 1;
    if (lead >= 0xe0 && lead <= 0xef) {
        if (lead == 0xe0) *low = 0xa0;
        if (lead == 0xed) *high = 0x9f;
        return 2;
    }
    if (lead >= 0xf0 && lead <= 0xf4) {
        if (lead == 0xf0) *low = 0x90;
        if (lead == 0xf4) *high = 0x8f;
        return 3;
    }
    return 0;
}

uint32_t bdpo_utf8_next(const unsigned char *bytes, size_t size, size_t *at, bool *well_formed)
{
    unsigned char lead = bytes[(*at)++], low, high;
    *well_formed = true;
    if (lead < 0x80) return lead;
    int n_more = sequence(lead, &low, &high);
    uint32_t rune = n_more == 1 ? lead & 0x1fu : n_more == 2 ? lead & 0xfu : lead & 0x7u;
    *well_formed = n_more > 0;
    for (int i = 0; i < n_more; i++) {
        if (*at >= size || bytes[*at] < low || bytes[*at] > high) {
            *well_formed = false;
            break;
        }
        rune = rune << 6 | (bytes[(*at)++] & 0x3fu);
        low = 0x80, high = 0xbf;
    }
    return *well_formed ? rune : 0xfffd;
}

int bdpo_utf8_put(unsigned char bytes[4], uint32_t rune)
{
    if (rune < 0x80) {
        bytes[0] = (unsigned char)rune;
        return 1;
    }
    int n_more = rune < 0x800 ? 1 : rune < 0x10000 ? 2 : 3;
    static const unsigned char leads[] = {0, 0xc0, 0xe0, 0xf0};
    bytes[0] = (unsigned char)(leads[n_more] | rune >> 6 * n_more);
    for (int i = 1; i <= n_more; i++)
        bytes[i] = (unsigned char)(0x80 | (rune >> 6 * (n_more - i) & 0x3f));
    return n_more + 1;
}

bool bdpo_rune_in(uint32_t rune, const bdpo_rune_range *ranges, size_t n)
{
    size_t low = 0;
    while (low < n) {
        size_t middle = low + (n - low) / 2;
        if (rune < ranges[middle].first)
            n = middle;
        else if (rune > ranges[middle].last)
            low = middle + 1;
        else
            return true;
    }
    return false;
}

// The signs of mojibake: ftfy's regular expression of unlikely sequences (ftfy/badness.py, 6.3.1,
// Apache-2.0), as tests on the classes of neighbouring characters. The order of its alternatives
// does not matter, as only whether one matches is asked.
#include "text/ftfy.h"
#include "text/ftfy_tables.h"
#include "text/unicode.h"

enum {
    C1 = BDPO_FTFY_C1,
    BAD = BDPO_FTFY_BAD,
    LAW = BDPO_FTFY_LAW,
    CUR = BDPO_FTFY_CURRENCY,
    SP = BDPO_FTFY_START,
    EP = BDPO_FTFY_END,
    NUM = BDPO_FTFY_NUMERIC,
    KAO = BDPO_FTFY_KAOMOJI,
    UA = BDPO_FTFY_UPPER_ACCENTED,
    LA = BDPO_FTFY_LOWER_ACCENTED,
    UC = BDPO_FTFY_UPPER_COMMON,
    LC = BDPO_FTFY_LOWER_COMMON,
    BOX = BDPO_FTFY_BOX,
    COM = BDPO_FTFY_COMMON
};

uint32_t bdpo_ftfy_get_class(uint32_t rune)
{
    size_t low = 0, high = n_bdpo_ftfy_classes;
    if (rune < 0x80 && rune != ' ') return 0;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (bdpo_ftfy_classes[middle].rune == rune) return bdpo_ftfy_classes[middle].mask;
        if (bdpo_ftfy_classes[middle].rune < rune)
            low = middle + 1;
        else
            high = middle;
    }
    return 0;
}

// A few characters from a position on, with their classes; behind the end stands none.
enum { WINDOW = 6 };
static const uint32_t none = UINT32_MAX;
typedef struct window {
    uint32_t rune[WINDOW], class[WINDOW];
} window;

static bool one_of(uint32_t rune, const char *characters) // UTF-8
{
    const unsigned char *p = (const unsigned char *)characters;
    size_t size = 0, at = 0;
    bool well_formed;
    while (p[size]) size++;
    while (at < size)
        if (bdpo_utf8_next(p, size, &at, &well_formed) == rune) return true;
    return false;
}

static bool is_small(uint32_t rune)
{
    return rune >= 'a' && rune <= 'z';
}

static bool is_latin(uint32_t rune)
{
    return is_small(rune) || (rune >= 'A' && rune <= 'Z');
}

// Sequences of two classes.
static bool bad_pair(uint32_t a, uint32_t b)
{
    const uint32_t any = BAD | LA | UA | BOX | SP | EP | CUR | NUM | LAW;
    return (a & any && b & BAD) || (a & BAD && b & (any & ~(uint32_t)BAD)) ||
           (a & (LA | LC | BOX | EP | CUR | NUM) && b & UA) ||
           (a & (BOX | EP | CUR | NUM) && b & LA) || (a & (LA | BOX | EP) && b & CUR) ||
           (a & (UA | BOX) && b & (NUM | LAW)) || (a & (CUR | NUM | BOX) && b & SP) ||
           (a & BOX && b & (KAO | EP)) || (a & (LA | UA | CUR | NUM | SP | EP | LAW) && b & BOX);
}

// Sequences of three, of classes or of ASCII and classes.
static bool bad_triple(const window *w)
{
    uint32_t a = w->class[0], b = w->class[1], c = w->class[2], first = w->rune[0];
    return (is_latin(first) && b & (LC | UC) && c & BAD) ||
           (bdpo_rune_is_python_space(first) && b & UA && c & CUR) ||
           (a & (LA | UA | BOX | CUR | EP) && b & SP && c & NUM) ||
           (a & (LA | UA | CUR | NUM | BOX | LAW) && b & EP && c & SP) ||
           (is_small(first) && b & UA && c & (SP | CUR)) ||
           (a & (LA | UA) && b & (SP | EP) && w->rune[2] != none &&
            bdpo_rune_is_python_word(w->rune[2]));
}

// What Windows-1252 makes of particular bytes.
static bool bad_windows_1252(const window *w)
{
    uint32_t first = w->rune[0], second = w->rune[1], b = w->class[1];
    const uint32_t arabic = COM | CUR | BAD | NUM | SP;
    if (second == none) return false;
    switch (first) {
    case 0x152: // the ligature oe where no unaccented letter follows
    case 0x153:
        return !is_latin(second);
    case 0xd8: // Arabic, twice
    case 0xd9:
        return (b & arabic || one_of(second, "ŸŠ®°µ»")) &&
               (w->rune[2] == 0xd8 || w->rune[2] == 0xd9) &&
               (w->class[3] & arabic || one_of(w->rune[3], "ŸŠ®°µ»"));
    case 0xe0: // the beginning of South Asian letters
        return one_of(second, "²µ¹¼½¾");
    case 0xd7:
        return one_of(second, "²³");
    case 0xc3:
        if (second == 0xa0 || second == 0xa1) return true; // fall through
    case 0xc2:
    case 0xce:
    case 0xd0:
        return b & (SP | EP) || one_of(second, "€œŠš¢£Ÿž\u00a0\u00ad®°©·»–—´");
    default:
        return false;
    }
}

// What MacRoman, Windows-1251, -1253 and -1257 make of particular bytes.
static bool bad_elsewhere(const window *w)
{
    uint32_t first = w->rune[0], second = w->rune[1], third = w->rune[2];
    switch (first) {
    case 0x221a: // square root
        return one_of(second, "±∂†≠®™´≤≥¥µø");
    case 0x2248: // almost equal
        return one_of(second, "°¢");
    case 0x201a: // low quotation mark
        return (second == 0xc4 && one_of(third, "ìîïòôúùû†°¢π")) ||
               (one_of(second, "âó") && one_of(third, "àä°ê"));
    case 0x432: // Cyrillic ve
        return second == 0x402;
    case 0x3b2: // Greek beta
        return second == 0x20ac && one_of(third, "™\u00a0Ά\u00ad®°");
    case 0x101: // a with macron
        return second == 0x20ac;
    default:
        break;
    }
    bool wrapped = w->class[1] & (C1 | BAD | SP | EP | CUR) || second == 0xb0;
    if (one_of(first, "ВГРС") && (wrapped || second == 0xb5) && one_of(third, "ВГРС")) return true;
    if (one_of(first, "ΒΓΞΟ") && wrapped && one_of(third, "ΒΓΞΟ")) return true;
    return first == 0x413 && second == 0x45e && third == 0x412 && w->rune[3] == 0x402 &&
           w->rune[4] == 0x412; // its two further characters are the caller's
}

// A capital A with tilde or circumflex that stands for a letter before a space.
static bool bad_before_space(const window *w, bool at_start)
{
    uint32_t first = w->rune[0], second = w->rune[1], third = w->rune[2];
    bool a = first == 0xc2 || first == 0xc3, b = second == 0xc2 || second == 0xc3;
    bool c = third == 0xc2 || third == 0xc3;
    if (at_start && a && second == ' ') return true;
    if (is_small(first) && b && third == ' ') return true;
    if (is_small(first) && second != none && bdpo_rune_is_python_space(second) && c &&
        w->rune[3] == ' ')
        return true;
    return (is_small(first) || first == '.' || first == ',' || first == '?' || first == '!' ||
            w->class[0] & EP) &&
           second == 0xc2 && (third == ' ' || w->class[2] & (SP | EP));
}

// The five Cyrillic letters that stand for a no-break space twice over, a character that is no line
// break, and a Latin letter or a space.
static bool bad_cyrillic_seven(const uint32_t *text, size_t n)
{
    return n >= 7 && text[5] != '\n' && (is_latin(text[6]) || text[6] == ' ');
}

bool bdpo_ftfy_is_bad(const uint32_t *text, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        // No alternative has its first two characters in ASCII, but where a letter and a space
        // precede a capital A.
        if (text[i] < 0x80 && (i + 1 == n || text[i + 1] < 0x80) &&
            (i + 2 >= n || text[i + 2] < 0x80))
            continue;
        window w;
        for (size_t k = 0; k < WINDOW; k++) {
            w.rune[k] = i + k < n ? text[i + k] : none;
            w.class[k] = i + k < n ? bdpo_ftfy_get_class(text[i + k]) : 0;
        }
        if (w.class[0] & C1 || bad_pair(w.class[0], w.class[1]) || bad_triple(&w) ||
            (w.class[0] & UA && w.rune[1] == 0xb0) || bad_windows_1252(&w) ||
            bad_before_space(&w, i == 0))
            return true;
        if (bad_elsewhere(&w) &&
            (w.rune[0] != 0x413 || w.rune[1] != 0x45e || bad_cyrillic_seven(text + i, n - i)))
            return true;
    }
    return false;
}

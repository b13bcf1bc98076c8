// The scanner walks the text once. Grammar: RFC 8259; the text has been checked to be UTF-8.
#include "formats/json_scan.h"

#include <stdio.h>
#include <string.h>

enum { MAX_DEPTH = 127 };

static void skip_space(bdpo_json_scan *s)
{
    while (s->at < s->end && strchr(" \t\n\r", *s->at) && *s->at) s->at++;
}

bdpo_status bdpo_json_scan_fail(bdpo_json_scan *s, const char *expected)
{
    char found[32];
    skip_space(s);
    unsigned char c = s->at < s->end ? (unsigned char)*s->at : 0;
    if (s->at >= s->end)
        snprintf(found, sizeof found, "its end");
    else if (c > 0x20 && c < 0x7f)
        snprintf(found, sizeof found, "'%c'", c);
    else
        snprintf(found, sizeof found, "byte 0x%02x", c);
    return bdpo_fail(BDPO_BAD_FILE, "%s: header, byte %zu: found %s, expected %s", s->path,
                     (size_t)(s->at - s->begin), found, expected);
}

bool bdpo_json_scan_take(bdpo_json_scan *s, char c)
{
    skip_space(s);
    if (s->at >= s->end || *s->at != c) return false;
    s->at++;
    return true;
}

bdpo_status bdpo_json_scan_expect(bdpo_json_scan *s, char c)
{
    char what[4] = {'\'', c, '\'', '\0'};
    return bdpo_json_scan_take(s, c) ? BDPO_OK : bdpo_json_scan_fail(s, what);
}

// ---- strings -------------------------------------------------------------------------------

// Four hexadecimal digits at s->at, consumed; -1 where they are not that.
static int hex4(bdpo_json_scan *s)
{
    int value = 0;
    if (s->end - s->at < 4) return -1;
    for (int i = 0; i < 4; i++, s->at++) {
        static const char digits[] = "0123456789abcdef0123456789ABCDEF";
        const char *digit = *s->at ? strchr(digits, *s->at) : NULL;
        if (!digit) return -1;
        value = value * 16 + (int)(digit - digits) % 16;
    }
    return value;
}

static size_t put_utf8(char *out, int code)
{
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    size_t n = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    for (size_t i = n; i-- > 1; code >>= 6) out[i] = (char)(0x80 | (code & 0x3f));
    out[0] = (char)((0xf00 >> n & 0xff) | code);
    return n;
}

// After "\u". Characters beyond 16 bits are a pair of surrogates; one alone is no character.
static bdpo_status unicode_escape(bdpo_json_scan *s, char *out, size_t *used)
{
    int code = hex4(s);
    if (code < 0) return bdpo_json_scan_fail(s, "four hexadecimal digits");
    if (code == 0) return bdpo_json_scan_fail(s, "no zero character in a string");
    if (code >= 0xd800 && code < 0xe000) {
        bool pair = code < 0xdc00 && s->end - s->at >= 2 && s->at[0] == '\\' && s->at[1] == 'u';
        if (pair) s->at += 2;
        int low = pair ? hex4(s) : -1;
        if (low < 0xdc00 || low >= 0xe000)
            return bdpo_json_scan_fail(s, "the second half of a surrogate pair");
        code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
    }
    *used += put_utf8(out + *used, code);
    return BDPO_OK;
}

// After a backslash.
static bdpo_status escape(bdpo_json_scan *s, char *out, size_t *used)
{
    static const char names[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";
    const char *name = s->at < s->end && *s->at ? strchr(names, *s->at) : NULL;
    if (name) {
        s->at++;
        out[(*used)++] = values[name - names];
        return BDPO_OK;
    }
    if (s->at >= s->end || *s->at != 'u') return bdpo_json_scan_fail(s, "an escape sequence");
    s->at++;
    return unicode_escape(s, out, used);
}

bdpo_status bdpo_json_scan_string(bdpo_json_scan *s, const char **out)
{
    if (!bdpo_json_scan_take(s, '"')) return bdpo_json_scan_fail(s, "a string");
    const char *close = s->at; // no escape makes a string longer than its text
    while (close < s->end && *close != '"') close += *close == '\\' ? 2 : 1;
    if (close >= s->end) {
        s->at = s->end;
        return bdpo_json_scan_fail(s, "the end of a string");
    }
    char *text = bdpo_arena_alloc(s->arena, (size_t)(close - s->at) + 1, 1);
    if (!text) return bdpo_fail(BDPO_NO_MEMORY, "%s: no memory for its header", s->path);
    size_t used = 0;
    while (s->at < close) {
        unsigned char c = (unsigned char)*s->at;
        if (c < 0x20) return bdpo_json_scan_fail(s, "no control character in a string");
        s->at++;
        if (c == '\\')
            TRY(escape(s, text, &used));
        else
            text[used++] = (char)c;
    }
    s->at = close + 1;
    text[used] = '\0';
    *out = text;
    return BDPO_OK;
}

// ---- numbers and the rest ------------------------------------------------------------------

static bool is_digit(const bdpo_json_scan *s)
{
    return s->at < s->end && *s->at >= '0' && *s->at <= '9';
}

static bool continues_number(const bdpo_json_scan *s)
{
    return s->at < s->end && *s->at && strchr("+-.eE0123456789", *s->at);
}

bdpo_status bdpo_json_scan_u64(bdpo_json_scan *s, uint64_t *out)
{
    static const char expected[] = "an integer from 0 to 2^64 - 1";
    uint64_t value = 0;
    skip_space(s);
    const char *start = s->at;
    for (; is_digit(s); s->at++) {
        if (__builtin_mul_overflow(value, 10u, &value) ||
            __builtin_add_overflow(value, (uint64_t)(*s->at - '0'), &value)) {
            s->at = start;
            return bdpo_json_scan_fail(s, expected);
        }
    }
    if (s->at == start || continues_number(s) || (*start == '0' && s->at - start > 1))
        return bdpo_json_scan_fail(s, expected);
    *out = value;
    return BDPO_OK;
}

static bdpo_status digits(bdpo_json_scan *s)
{
    if (!is_digit(s)) return bdpo_json_scan_fail(s, "a digit");
    while (is_digit(s)) s->at++;
    return BDPO_OK;
}

static bdpo_status skip_number(bdpo_json_scan *s)
{
    if (*s->at == '-') s->at++;
    if (s->at < s->end && *s->at == '0')
        s->at++;
    else
        TRY(digits(s));
    if (s->at < s->end && *s->at == '.') {
        s->at++;
        TRY(digits(s));
    }
    if (s->at < s->end && (*s->at == 'e' || *s->at == 'E')) {
        s->at++;
        if (s->at < s->end && (*s->at == '+' || *s->at == '-')) s->at++;
        TRY(digits(s));
    }
    return continues_number(s) ? bdpo_json_scan_fail(s, "the end of a number") : BDPO_OK;
}

static bool skip_word(bdpo_json_scan *s, const char *word)
{
    size_t n = strlen(word);
    if ((size_t)(s->end - s->at) < n || memcmp(s->at, word, n) != 0) return false;
    s->at += n;
    return true;
}

static bdpo_status skip_value(bdpo_json_scan *s, int depth);

static bdpo_status skip_items(bdpo_json_scan *s, char close, int depth)
{
    const char *key;
    if (depth > MAX_DEPTH) return bdpo_json_scan_fail(s, "no deeper nesting");
    if (bdpo_json_scan_take(s, close)) return BDPO_OK;
    do {
        if (close == '}') {
            TRY(bdpo_json_scan_string(s, &key));
            TRY(bdpo_json_scan_expect(s, ':'));
        }
        TRY(skip_value(s, depth));
    } while (bdpo_json_scan_take(s, ','));
    return bdpo_json_scan_expect(s, close);
}

static bdpo_status skip_value(bdpo_json_scan *s, int depth)
{
    const char *text;
    skip_space(s);
    char c = s->at < s->end ? *s->at : '\0';
    if (c == '"') return bdpo_json_scan_string(s, &text);
    if (c == '-' || is_digit(s)) return skip_number(s);
    if (c == '{' || c == '[') {
        s->at++;
        return skip_items(s, c == '{' ? '}' : ']', depth + 1);
    }
    if (skip_word(s, "true") || skip_word(s, "false") || skip_word(s, "null")) return BDPO_OK;
    return bdpo_json_scan_fail(s, "a value");
}

bdpo_status bdpo_json_scan_skip(bdpo_json_scan *s)
{
    return skip_value(s, 0);
}

bdpo_status bdpo_json_scan_finish(bdpo_json_scan *s)
{
    skip_space(s);
    return s->at == s->end ? BDPO_OK : bdpo_json_scan_fail(s, "nothing after the object");
}

// The texts of generated_text.h: pieces drawn from splitmix64's output of "tokenizer/INDEX".
#include "text/generated_text.h"

#include <stdio.h>
#include <string.h>

#include "parity/parity_inputs.h"
#include "text/runes.h"

// Special tokens, contractions, entities, emoji, mojibake, characters that fold or compose; in the
// order of the Python twin. With sizes, as one is a zero byte.
static const struct {
    const char *text;
    size_t size;
} snippets[] = {{"<|endoftext|>", 13},
                {"<|startoftext|>", 15},
                {"<|ENDOFTEXT|>", 13},
                {"<end_of_text>", 13},
                {"<start_of_text>", 15},
                {"'s", 2},
                {"'LL", 3},
                {"'ve", 3},
                {"it'\305\277", 5},
                {"!!!", 3},
                {"!", 1},
                {"&amp;", 5},
                {"&amp;amp;", 9},
                {"&eacute;", 8},
                {"&EACUTE;", 8},
                {"&#233;", 6},
                {"&#x1F600;", 9},
                {"&#150;", 6},
                {"&copy 2020", 10},
                {"&notit;", 7},
                {"&lt;", 4},
                {"<", 1},
                {"\015\012", 2},
                {"\342\200\250", 3},
                {"\302\205", 2},
                {"\000", 1},
                {"\033[31m", 5},
                {"\342\200\215", 3},
                {"\357\270\217", 3},
                {"\360\237\221\250\342\200\215\360\237\221\251\342\200\215\360\237\221\247", 18},
                {"\342\235\244\357\270\217", 6},
                {"\360\237\207\251\360\237\207\252", 8},
                {"\303\203\302\251", 4},
                {"\303\242\302\200\302\231", 6},
                {"\303\203 la", 5},
                {"\303\242\342\202\254\342\200\234", 8},
                {"\342\200\234x\342\200\235", 7},
                {"\357\254\201", 3},
                {"\357\274\241\357\274\221", 6},
                {"\304\260\316\243", 4},
                {"A\316\243 ", 4},
                {"\342\204\252\342\204\253", 6},
                {"\315\204", 2},
                {"\341\272\233\314\243", 5},
                {"\357\277\275", 3},
                {"\343\200\200", 3},
                {"\302\275\342\221\243", 5},
                {"e\314\201", 3},
                {"\344\270\200\347\214\253", 6},
                {"\352\260\200\341\204\200\341\205\241\341\206\250", 12},
                {"</w>", 4},
                {"\320\240\321\237\320\241\320\202", 8}};

typedef struct stream {
    uint64_t key, index;
    char *out;
    size_t n;
} stream;

static uint32_t draw(stream *s, uint32_t limit)
{
    return (uint32_t)(parity_bits(s->key, s->index++) % limit);
}

static void put(stream *s, uint32_t rune)
{
    s->n += (size_t)bdpo_utf8_put((unsigned char *)s->out + s->n, rune);
}

static void put_word(stream *s, uint32_t first)
{
    uint32_t n = 1 + draw(s, 8);
    for (uint32_t i = 0; i < n; i++) put(s, first + draw(s, 26));
}

static void put_snippet(stream *s)
{
    size_t i = draw(s, (uint32_t)(sizeof snippets / sizeof snippets[0]));
    memcpy(s->out + s->n, snippets[i].text, snippets[i].size);
    s->n += snippets[i].size;
}

static void put_any(stream *s, uint32_t limit)
{
    uint32_t rune = draw(s, limit);
    put(s, rune >= 0xd800 && rune <= 0xdfff ? 'x' : rune);
}

// The UTF-8 of a character, read as Latin-1.
static void put_mojibake(stream *s)
{
    unsigned char bytes[4];
    int n = bdpo_utf8_put(bytes, 0x80 + draw(s, 0x2f80));
    for (int i = 0; i < n; i++) put(s, bytes[i]);
}

static void put_piece(stream *s)
{
    uint32_t kind = draw(s, 16), n;
    switch (kind) {
    case 4:
    case 5:
        n = 1 + draw(s, 3);
        while (n-- > 0) put(s, ' ');
        return;
    case 6:
        put(s, 33 + draw(s, 94));
        return;
    case 7:
        put_any(s, 0x10000);
        return;
    case 8:
        put_any(s, 0x110000);
        return;
    case 9:
        put_snippet(s);
        return;
    case 10:
        put(s, 0x300 + draw(s, 0x70));
        return;
    case 11:
        put(s, 0x80 + draw(s, 0x500));
        return;
    case 12:
        put(s, '0' + draw(s, 10));
        return;
    case 14:
        put(s, 0x3040 + draw(s, 0x7000));
        return;
    case 15:
        put_mojibake(s);
        return;
    default:
        put_word(s, kind == 13 ? 'A' : 'a');
    }
}

size_t generated_text(char out[GENERATED_MAX_BYTES], int index)
{
    char name[32];
    snprintf(name, sizeof name, "tokenizer/%d", index);
    stream s = {.key = parity_key(name), .out = out};
    if (index % 500 == 499) { // a long word
        uint32_t letter = draw(&s, 2), n = 1000 + draw(&s, 3000);
        while (n-- > 0) put(&s, 'a' + letter);
        return s.n;
    }
    for (uint32_t n = draw(&s, 40); n > 0; n--) put_piece(&s);
    return s.n;
}

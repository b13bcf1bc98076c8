// ustar headers.
#include "formats/tar_bytes.h"

#include "harness.h"

enum { BLOCK = 512 };
static const char zeros[2 * BLOCK];

static void put_octal(char *at, int n_digits, size_t value)
{
    for (int i = n_digits - 1; i >= 0; i--, value >>= 3) at[i] = (char)('0' + (value & 7));
}

static void put_text(char *at, const char *text)
{
    while (*text) *at++ = *text++;
}

void tar_put_header(bdpo_growing *out, const char *name, char kind, size_t size)
{
    char h[BLOCK] = {0};
    size_t sum = 0;
    put_text(h, name);
    put_octal(h + 100, 7, 0644);
    put_octal(h + 124, 11, size);
    put_octal(h + 136, 11, 0);
    h[156] = kind;
    put_text(h + 257, "ustar");
    put_text(h + 263, "00");
    put_text(h + 148, "        ");
    for (int i = 0; i < BLOCK; i++) sum += (unsigned char)h[i];
    put_octal(h + 148, 6, sum);
    h[154] = '\0';
    CHECK(bdpo_growing_add(out, h, sizeof h));
}

void tar_put_file(bdpo_growing *out, const char *name, const char *bytes, size_t size)
{
    tar_put_header(out, name, '0', size);
    CHECK(bdpo_growing_add(out, bytes, size));
    CHECK(bdpo_growing_add(out, zeros, (BLOCK - size % BLOCK) % BLOCK));
}

void tar_put_end(bdpo_growing *out)
{
    CHECK(bdpo_growing_add(out, zeros, sizeof zeros));
}

// merges.txt, and the packed BPE file by way of zlib.
#include "text/bpe_files.h"

#include <string.h>
#include <zlib.h>

#include "base/file.h"
#include "base/memory.h"
#include "text/runes.h"

// CLIP's files have 0.5 MB, 1.4 MB packed and 3.2 MB unpacked.
enum { MAX_FILE = 64 << 20, MAX_UNPACKED = 16 << 20, N_CLIP_MERGES = 49152 - 256 - 2 };

// ---- lines ---------------------------------------------------------------------------------

typedef struct pair {
    const char *left, *right;
    size_t left_size, right_size;
} pair;

// Cuts a line into its two words.
static bdpo_status read_pair(pair *out, const char *path, size_t number, const char *line,
                             size_t size)
{
    const char *space = memchr(line, ' ', size);
    size_t left = space ? (size_t)(space - line) : size;
    size_t right = space ? size - left - 1 : 0;
    if (left == 0 || right == 0 || memchr(space + 1, ' ', right))
        return bdpo_fail(BDPO_BAD_FILE,
                         "%s: line %zu is \"%.*s\", expected two tokens and a space "
                         "between",
                         path, number, size < 80 ? (int)size : 80, line);
    *out = (pair){line, space + 1, left, right};
    return BDPO_OK;
}

// The line at *at without its end; moves *at to the next. False at the end of the text.
static bool next_line(const char **line, size_t *size, const char *text, size_t n, size_t *at)
{
    if (*at >= n) return false;
    const char *end = memchr(text + *at, '\n', n - *at);
    *line = text + *at;
    *size = end ? (size_t)(end - *line) : n - *at;
    *at += *size + 1;
    if (*size > 0 && (*line)[*size - 1] == '\r') --*size;
    return true;
}

static bdpo_status add_merges(bdpo_clip_vocab *vocab, const char *path, const char *text, size_t n)
{
    const char *line;
    size_t at = 0, size;
    for (size_t number = 1; next_line(&line, &size, text, n, &at); number++) {
        pair p = {0};
        if (number == 1 && size >= 8 && memcmp(line, "#version", 8) == 0) continue;
        if (size == 0 && at >= n) break; // a blank line that ends the file
        TRY(read_pair(&p, path, number, line, size));
        TRY(bdpo_clip_vocab_add_merge(vocab, path, p.left, p.left_size, p.right, p.right_size));
    }
    return BDPO_OK;
}

bdpo_status bdpo_merges_read(bdpo_clip_vocab *vocab, const char *path)
{
    char *text;
    size_t n;
    TRY(bdpo_file_read(&text, &n, path, MAX_FILE));
    bdpo_status status = add_merges(vocab, path, text, n);
    bdpo_free(text);
    return status;
}

// ---- gzip ----------------------------------------------------------------------------------

static bdpo_status inflate_all(z_stream *z, const char *path, char **out, size_t *n)
{
    size_t capacity = 0;
    int code = Z_OK;
    while (code == Z_OK) {
        if (*n == capacity) {
            if (capacity >= MAX_UNPACKED)
                return bdpo_fail(BDPO_BAD_FILE, "%s: unpacks to more than %d bytes, expected 3 MB",
                                 path, MAX_UNPACKED);
            capacity = capacity ? 2 * capacity : 1 << 20;
            char *grown = bdpo_realloc(*out, capacity, 1);
            if (!grown) return bdpo_fail(BDPO_NO_MEMORY, "%s: no memory to unpack it", path);
            *out = grown;
        }
        z->next_out = (Bytef *)*out + *n;
        z->avail_out = (uInt)(capacity - *n);
        code = inflate(z, Z_NO_FLUSH);
        *n = capacity - z->avail_out;
        if (code == Z_BUF_ERROR && z->avail_out == 0) code = Z_OK;
    }
    if (code == Z_STREAM_END) return BDPO_OK;
    if (code == Z_MEM_ERROR) return bdpo_fail(BDPO_NO_MEMORY, "%s: no memory to unpack it", path);
    return bdpo_fail(BDPO_BAD_FILE, "%s: not a whole gzip file: %s", path,
                     z->msg ? z->msg : "it ends too early");
}

// *out is the caller's, also after a failure.
static bdpo_status unpack(char **out, size_t *n, const char *path)
{
    enum { GZIP = 16 + MAX_WBITS };
    bdpo_file_view view;
    z_stream z = {0};
    TRY(bdpo_file_map(&view, path));
    bdpo_status status = BDPO_OK;
    if (view.size > MAX_FILE) {
        status =
            bdpo_fail(BDPO_BAD_FILE, "%s: has %zu bytes, at most %d", path, view.size, MAX_FILE);
    } else if (inflateInit2(&z, GZIP) != Z_OK) {
        status = bdpo_fail(BDPO_NO_MEMORY, "%s: no memory to unpack it", path);
    } else {
        z.next_in = (z_const Bytef *)view.data;
        z.avail_in = (uInt)view.size;
        status = inflate_all(&z, path, out, n);
        inflateEnd(&z);
    }
    bdpo_file_unmap(&view);
    return status;
}

// ---- the packed file -----------------------------------------------------------------------

// The order of the first ids: bytes that stand for themselves, then the others.
static bdpo_status add_bytes(bdpo_clip_vocab *vocab, const char *path)
{
    int id = 0;
    for (int stands = 1; stands >= 0; stands--)
        for (int byte = 0; byte < 256; byte++) {
            unsigned char spelling[8];
            uint32_t rune = bdpo_clip_byte_rune((unsigned char)byte);
            if ((rune < 256) != stands) continue;
            size_t size = (size_t)bdpo_utf8_put(spelling, rune);
            memcpy(spelling + size, "</w>", sizeof "</w>");
            const char *token = (const char *)spelling;
            TRY(bdpo_clip_vocab_add(vocab, path, token, size, id));
            TRY(bdpo_clip_vocab_add(vocab, path, token, size + 4, 256 + id));
            id++;
        }
    return BDPO_OK;
}

static bdpo_status add_merged_token(bdpo_clip_vocab *vocab, const char *path, const pair *p,
                                    int64_t id)
{
    char token[1024];
    size_t size = p->left_size + p->right_size;
    if (size >= sizeof token)
        return bdpo_fail(BDPO_BAD_FILE, "%s: a merge makes a token of %zu bytes, at most %zu", path,
                         size, sizeof token - 1);
    memcpy(token, p->left, p->left_size);
    memcpy(token + p->left_size, p->right, p->right_size);
    token[size] = '\0';
    TRY(bdpo_clip_vocab_add(vocab, path, token, size, id));
    return bdpo_clip_vocab_add_merge(vocab, path, p->left, p->left_size, p->right, p->right_size);
}

static bdpo_status add_packed(bdpo_clip_vocab *vocab, const char *path, const char *text, size_t n)
{
    static const char *const marks[] = {"<|startoftext|>", "<|endoftext|>"};
    const char *line;
    size_t at = 0, size;
    int64_t id = 512;
    TRY(add_bytes(vocab, path));
    bool more = next_line(&line, &size, text, n, &at); // the version
    for (int i = 0; i < N_CLIP_MERGES; i++) {
        pair p = {0};
        more = more && next_line(&line, &size, text, n, &at);
        if (!more)
            return bdpo_fail(BDPO_BAD_FILE, "%s: has %d merges, expected %d", path, i,
                             N_CLIP_MERGES);
        TRY(read_pair(&p, path, (size_t)i + 2, line, size));
        TRY(add_merged_token(vocab, path, &p, id++));
    }
    for (size_t i = 0; i < BDPO_COUNTOF(marks); i++)
        TRY(bdpo_clip_vocab_add(vocab, path, marks[i], strlen(marks[i]), id++));
    return BDPO_OK;
}

bdpo_status bdpo_packed_bpe_read(bdpo_clip_vocab *vocab, const char *path)
{
    char *text = NULL;
    size_t n = 0;
    bdpo_status status = unpack(&text, &n, path);
    if (status == BDPO_OK) status = add_packed(vocab, path, text, n);
    bdpo_free(text);
    return status;
}

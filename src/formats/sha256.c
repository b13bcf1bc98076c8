// SHA-256 over libcrypto.
#include "formats/sha256.h"

#include <openssl/evp.h>
#include <stdio.h>

#include "base/file.h"
#include "base/memory.h"

struct bdpo_sha256_stream {
    EVP_MD_CTX *context;
};

static bdpo_status failed(void)
{
    return bdpo_fail(BDPO_NO_MEMORY, "SHA-256: libcrypto has no memory");
}

bdpo_status bdpo_sha256_new(bdpo_sha256_stream **out)
{
    bdpo_sha256_stream *s = bdpo_alloc(1, sizeof *s);
    if (s) s->context = EVP_MD_CTX_new();
    if (s && s->context && EVP_DigestInit_ex(s->context, EVP_sha256(), NULL) == 1) {
        *out = s;
        return BDPO_OK;
    }
    bdpo_sha256_free(s);
    return failed();
}

void bdpo_sha256_free(bdpo_sha256_stream *s)
{
    if (!s) return;
    EVP_MD_CTX_free(s->context);
    bdpo_free(s);
}

bdpo_status bdpo_sha256_add(bdpo_sha256_stream *s, const void *data, size_t size)
{
    if (size == 0) return BDPO_OK;
    return EVP_DigestUpdate(s->context, data, size) == 1 ? BDPO_OK : failed();
}

bdpo_status bdpo_sha256_finish(bdpo_sha256_text *out, bdpo_sha256_stream *s)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    bool done = EVP_DigestFinal_ex(s->context, digest, NULL) == 1;
    bdpo_sha256_free(s);
    if (!done) return failed();
    for (size_t i = 0; i < BDPO_SHA256_BYTES; i++)
        snprintf(out->hex + 2 * i, sizeof out->hex - 2 * i, "%02x", digest[i]);
    return BDPO_OK;
}

bdpo_status bdpo_sha256(bdpo_sha256_text *out, const void *data, size_t size)
{
    bdpo_sha256_stream *s;
    TRY(bdpo_sha256_new(&s));
    bdpo_status status = bdpo_sha256_add(s, data, size);
    if (status == BDPO_OK) return bdpo_sha256_finish(out, s);
    bdpo_sha256_free(s);
    return status;
}

bdpo_status bdpo_sha256_file(bdpo_sha256_text *out, const char *path)
{
    return bdpo_sha256_file_part(out, path, 0, UINT64_MAX);
}

// In parts, each given back when it is hashed, so that a model of any size takes little memory.
static bdpo_status add_resting(bdpo_sha256_stream *s, const unsigned char *data, size_t size)
{
    enum { PART = 16 << 20 };
    for (size_t i = 0; i < size; i += PART) {
        size_t n = size - i < PART ? size - i : PART;
        TRY(bdpo_sha256_add(s, data + i, n));
        bdpo_file_rest(data + i, n);
    }
    return BDPO_OK;
}

static bdpo_status hash_part(bdpo_sha256_text *out, const unsigned char *data, size_t size)
{
    bdpo_sha256_stream *s;
    TRY(bdpo_sha256_new(&s));
    bdpo_status status = add_resting(s, data, size);
    if (status == BDPO_OK) return bdpo_sha256_finish(out, s);
    bdpo_sha256_free(s);
    return status;
}

bdpo_status bdpo_sha256_file_part(bdpo_sha256_text *out, const char *path, uint64_t offset,
                                  uint64_t size)
{
    bdpo_file_view view;
    TRY(bdpo_file_map(&view, path));
    size_t begin = offset < view.size ? (size_t)offset : view.size;
    size_t n = size < view.size - begin ? (size_t)size : view.size - begin;
    bdpo_status status = hash_part(out, n > 0 ? (const unsigned char *)view.data + begin : NULL, n);
    bdpo_file_unmap(&view);
    return status;
}

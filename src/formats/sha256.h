// SHA-256 of memory, of a stream and of a file, as lower-case hexadecimal: the names under which
// checkpoints and images are recorded.
#ifndef BDPO_SHA256_H
#define BDPO_SHA256_H

#include "base/status.h"

enum { BDPO_SHA256_BYTES = 32 };

typedef struct bdpo_sha256_text {
    char hex[2 * BDPO_SHA256_BYTES + 1];
} bdpo_sha256_text;

BDPO_MUST_CHECK bdpo_status bdpo_sha256(bdpo_sha256_text *out, const void *data, size_t size);

// The file is mapped: a model of any size takes no memory of its own.
BDPO_MUST_CHECK bdpo_status bdpo_sha256_file(bdpo_sha256_text *out, const char *path);

// `size` bytes from `offset` on, for hashes of a part (sd-scripts hashes what follows the header).
// A file that ends earlier gives the hash of what it has.
BDPO_MUST_CHECK bdpo_status bdpo_sha256_file_part(bdpo_sha256_text *out, const char *path,
                                                  uint64_t offset, uint64_t size);

// In pieces: new, any number of add, then finish, which frees it (as free does, without a result).
typedef struct bdpo_sha256_stream bdpo_sha256_stream;
BDPO_MUST_CHECK bdpo_status bdpo_sha256_new(bdpo_sha256_stream **out);
BDPO_MUST_CHECK bdpo_status bdpo_sha256_add(bdpo_sha256_stream *stream, const void *data,
                                            size_t size);
BDPO_MUST_CHECK bdpo_status bdpo_sha256_finish(bdpo_sha256_text *out, bdpo_sha256_stream *stream);
void bdpo_sha256_free(bdpo_sha256_stream *stream); // NULL is fine

#endif

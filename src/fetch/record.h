// What was learnt when a file was fetched, kept as a small JSON file: a later fetch compares, so
// that content which changes at its address is noticed.
#ifndef BDPO_FETCH_RECORD_H
#define BDPO_FETCH_RECORD_H

#include "base/status.h"
#include "formats/sha256.h"

typedef struct bdpo_fetch_record {
    bdpo_sha256_text sha256; // of the bytes that came
    int64_t size;
    char address[1024];
    char etag[128], commit[72]; // as the server said; "" where it did not
    char proof[16];             // who named the hash before: "catalogue", "server", "user", "none"
} bdpo_fetch_record;

// NOT_FOUND where there is none.
BDPO_MUST_CHECK bdpo_status bdpo_fetch_record_read(bdpo_fetch_record *out, const char *path);
// Makes the directory too.
BDPO_MUST_CHECK bdpo_status bdpo_fetch_record_write(const bdpo_fetch_record *record,
                                                    const char *path);

// 64 hexadecimal digits; out is in lower case.
bool bdpo_fetch_sha256_parse(bdpo_sha256_text *out, const char *text);

// Makes the directories in which `path` will lie.
BDPO_MUST_CHECK bdpo_status bdpo_fetch_make_parents(const char *path);

#endif

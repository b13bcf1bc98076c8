// Tar archives (ustar, pax, GNU), plain or packed by gzip, bzip2, xz or zstd, read as a stream: one
// member at a time, whatever the archive's size. Nothing is ever unpacked to disk.
#ifndef BDPO_TAR_H
#define BDPO_TAR_H

#include "formats/growing.h"

typedef struct bdpo_tar bdpo_tar;

typedef struct bdpo_tar_member { // borrowed until the next call
    const char *name;            // as stored; "" where it has none that can be read
    bool is_file;                // else a folder, a link, a device
    int64_t size;                // as the header says: not to be trusted for an allocation
    uint64_t offset;             // of the header: where bdpo_tar_seek() can go
} bdpo_tar_member;

// *out is the caller's, closed by bdpo_tar_close(). NOT_FOUND, IO; BAD_FILE where it is no tar, and
// where its end is missing, with one line; so do the functions below.
BDPO_MUST_CHECK bdpo_status bdpo_tar_open(bdpo_tar **out, const char *path);
void bdpo_tar_close(bdpo_tar *tar); // NULL is fine
const char *bdpo_tar_path(const bdpo_tar *tar);

// The next member; *out is NULL behind the last.
BDPO_MUST_CHECK bdpo_status bdpo_tar_next(const bdpo_tar_member **out, bdpo_tar *tar);
// Adds the bytes of the member to *out; *too_large, and some are missing, above `limit` bytes.
BDPO_MUST_CHECK bdpo_status bdpo_tar_read(bdpo_growing *out, bool *too_large, bdpo_tar *tar,
                                          size_t limit);
// The next member will be the one at `offset`. UNSUPPORTED where the archive is packed.
BDPO_MUST_CHECK bdpo_status bdpo_tar_seek(bdpo_tar *tar, uint64_t offset);

#endif

// The table of contents of a zip file whose entries are stored, not compressed: PyTorch's. Entries
// are views of the mapped file. Internal to this room.
#ifndef BDPO_ZIP_DIRECTORY_H
#define BDPO_ZIP_DIRECTORY_H

#include "base/file.h"
#include "base/memory.h"
#include "formats/name_index.h"

typedef struct bdpo_zip_entry {
    const char *name;
    const unsigned char *data; // in the mapped file
    size_t size;
    size_t header_offset; // of its local header
} bdpo_zip_entry;

typedef struct bdpo_zip {
    bdpo_zip_entry *entries; // in the order of the central directory; in the arena, as all else
    size_t n_entries;
    bdpo_name_entry *by_name;
} bdpo_zip;

// Reads the central directory (with zip64) and checks each entry against the file: it lies before
// the directory, its local header agrees, no two share bytes or a name. BDPO_BAD_FILE else;
// compressed and encrypted entries are refused by name.
BDPO_MUST_CHECK bdpo_status bdpo_zip_read(bdpo_zip *out, bdpo_arena *arena, bdpo_file_view view,
                                          const char *path);
// NULL where there is none.
const bdpo_zip_entry *bdpo_zip_find(const bdpo_zip *zip, const char *name);

#endif

// Members of a tar by hand: a test of the reader should not need a writer.
#ifndef TAR_BYTES_H
#define TAR_BYTES_H

#include "formats/growing.h"

// kind: '0' a file, '2' a link, '5' a folder.
void tar_put_header(bdpo_growing *out, const char *name, char kind, size_t size);
// A file with its header, filled up to a whole block.
void tar_put_file(bdpo_growing *out, const char *name, const char *bytes, size_t size);
// The two empty blocks at the end.
void tar_put_end(bdpo_growing *out);

#endif

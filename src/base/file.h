// Whole files: written so that a reader sees the old content or the new one and never a part,
// read with a limit, and mapped. Every message names the file and the system's reason.
#ifndef BDPO_FILE_H
#define BDPO_FILE_H

#include "base/status.h"

enum { BDPO_PATH_BYTES = 4096 };

// Paths. out = "directory/name". BAD_ARGUMENT where that is too long.
BDPO_MUST_CHECK bdpo_status bdpo_file_join(char out[BDPO_PATH_BYTES], const char *directory,
                                           const char *name);
bool bdpo_file_is_directory(const char *path);
bool bdpo_file_exists(const char *path);

// A file that comes into being at commit. Until then the bytes lie under a temporary name in the
// same directory; the temporary is gone after commit (failed or not) and after abort.
// What is not a plain file (a pipe, /dev/stdout) is written to directly.
typedef struct bdpo_file_writer bdpo_file_writer;

// *out is the caller's until commit or abort. An existing file gives the new one its permissions.
BDPO_MUST_CHECK bdpo_status bdpo_file_writer_open(bdpo_file_writer **out, const char *path);
BDPO_MUST_CHECK bdpo_status bdpo_file_writer_write(bdpo_file_writer *writer, const void *data,
                                                   size_t size);
// Makes the content durable and gives it its name; frees the writer in any case. After a failed
// write it fails too. On failure the old file stays, except where only the directory could not be
// made durable: then the new one stands and may be lost with the machine's power.
BDPO_MUST_CHECK bdpo_status bdpo_file_writer_commit(bdpo_file_writer *writer);
// Leaves no trace; frees the writer. NULL is fine.
void bdpo_file_writer_abort(bdpo_file_writer *writer);

// The three above in one: `size` bytes become the content of `path`.
BDPO_MUST_CHECK bdpo_status bdpo_file_write(const char *path, const void *data, size_t size);

// Reads the whole file; *out is the caller's, released by bdpo_free(), and a zero byte follows the
// content, so that text is a string. BDPO_BAD_FILE where it has more than `limit` bytes,
// BDPO_NOT_FOUND where there is none. Works on pipes.
BDPO_MUST_CHECK bdpo_status bdpo_file_read(char **out, size_t *size, const char *path,
                                           size_t limit);

// A read-only view of a file. An empty file has data NULL. Another process that shortens the file
// while it is mapped makes reading fault: the files we map are written by rename only.
typedef struct bdpo_file_view {
    const void *data;
    size_t size;
} bdpo_file_view;

// out->data is released by bdpo_file_unmap(), which leaves the view empty.
BDPO_MUST_CHECK bdpo_status bdpo_file_map(bdpo_file_view *out, const char *path);
void bdpo_file_unmap(bdpo_file_view *view);
// This part of a view is not needed for a while: its memory goes back to the system, and comes
// again from the file where it is read.
void bdpo_file_rest(const void *data, size_t size);

#endif

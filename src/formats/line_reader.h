// The lines of a text file, one at a time with number and place; a file of any size takes the
// memory of one line.
#ifndef BDPO_LINE_READER_H
#define BDPO_LINE_READER_H

#include "base/status.h"

typedef struct bdpo_line_reader bdpo_line_reader;

// Borrowed until the next call.
typedef struct bdpo_line {
    char *text;       // zero-terminated, may be changed; with its line end
    size_t size;      // without the line end: LF, or CR LF
    size_t full_size; // with it
    int64_t number;   // from 1
    uint64_t offset;  // of its first byte in the file
    bool too_long;    // above the limit: only its beginning is here
} bdpo_line;

// Lines of at most `limit` bytes. A UTF-8 byte order mark at the beginning is passed. *out is the
// caller's, closed by bdpo_line_reader_close(). NOT_FOUND or IO names the file. Works on pipes.
BDPO_MUST_CHECK bdpo_status bdpo_line_reader_open(bdpo_line_reader **out, const char *path,
                                                  size_t limit);
void bdpo_line_reader_close(bdpo_line_reader *reader); // NULL is fine
const char *bdpo_line_reader_path(const bdpo_line_reader *reader);

// *out is NULL behind the last line. A last line without a line end counts, an empty one does not.
BDPO_MUST_CHECK bdpo_status bdpo_line_reader_next(bdpo_line **out, bdpo_line_reader *reader);
// The next line is the one at `offset`, with this number.
BDPO_MUST_CHECK bdpo_status bdpo_line_reader_seek(bdpo_line_reader *reader, uint64_t offset,
                                                  int64_t number);

#endif

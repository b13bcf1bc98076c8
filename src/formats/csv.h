// Tables of text, a row at a time with the number of its line; and fields quoted for writing.
//
// CSV is RFC 4180: what Python's csv module writes is read as it reads it. A quote inside a field
// in quotes that is neither doubled nor before a delimiter is text; one that is never closed is a
// fault.
//
// TSV has no quotes by itself: a tab ends a field and a line end ends a row, and PartiPrompts is
// written so. A program that wrote it "with quotes where needed" gives itself away by a quoted
// header or, in the first MiB, by a field in quotes with a doubled quote, or with a tab where the
// row would else have a field too many: such a file is read with quotes.
#ifndef BDPO_CSV_H
#define BDPO_CSV_H

#include "formats/growing.h"

typedef struct bdpo_csv bdpo_csv;

enum { BDPO_CSV_MAX_ROW = 16 << 20 }; // bytes

// A row: zero-terminated fields, borrowed until the next call. Fields are what the file holds; zero
// bytes and encoding are the caller's to judge (lengths are given).
typedef struct bdpo_csv_row {
    const char *const *fields;
    const size_t *lengths;
    size_t n_fields;
    int64_t line;      // where the row begins, from 1
    uint64_t offset;   // of its first byte in the file
    const char *fault; // NULL, or what is wrong with the row, which then has no fields
} bdpo_csv_row;

// Opens a table whose fields are separated by `delimiter`, ',' or '\t' say. A byte order mark is
// passed. *out is the caller's, closed by bdpo_csv_close(). NOT_FOUND or IO.
BDPO_MUST_CHECK bdpo_status bdpo_csv_open(bdpo_csv **out, const char *path, char delimiter);
void bdpo_csv_close(bdpo_csv *csv); // NULL is fine

// The next row; *out is NULL behind the last. Blank lines are passed. A row with a fault (a quote
// that is never closed, more than BDPO_CSV_MAX_ROW bytes) is given, and reading can go on.
BDPO_MUST_CHECK bdpo_status bdpo_csv_next(const bdpo_csv_row **out, bdpo_csv *csv);

// Goes to a row that was given before, by its offset and line.
BDPO_MUST_CHECK bdpo_status bdpo_csv_seek(bdpo_csv *csv, uint64_t offset, int64_t line);

// Appends a field, in quotes where it needs them (it holds the delimiter, a quote or a line end, or
// begins or ends with a space), quotes doubled. False where there is no memory.
BDPO_MUST_CHECK bool bdpo_csv_put(bdpo_growing *out, const char *field, size_t length,
                                  char delimiter);

#endif

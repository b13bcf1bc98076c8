// Parquet: a reader that goes through the rows of chosen columns page by page, and a writer of flat
// tables. docs/formats.md says what is read and what is refused.
//
//     bdpo_parquet_open(&file, path);
//     bdpo_parquet_cursor_open(&cursor, file, (const char *[]){"caption", "jpg_0"}, 2);
//     for (;;) {
//         TRY(bdpo_parquet_cursor_next(&has_row, cursor));
//         if (!has_row) break;
//         TRY(bdpo_parquet_cursor_get(&caption, cursor, 0));
//         TRY(bdpo_parquet_cursor_get(&jpeg, cursor, 1));
//     }
//
// A cursor holds one page and one dictionary of each of its columns, whatever the file's size.
#ifndef BDPO_PARQUET_H
#define BDPO_PARQUET_H

#include "base/status.h"

// ---- columns and values --------------------------------------------------------------------

// How a column is stored. The numbers are those of the format.
typedef enum bdpo_parquet_type {
    BDPO_PARQUET_BOOLEAN,
    BDPO_PARQUET_INT32,
    BDPO_PARQUET_INT64,
    BDPO_PARQUET_INT96, // read as a timestamp in nanoseconds
    BDPO_PARQUET_FLOAT,
    BDPO_PARQUET_DOUBLE,
    BDPO_PARQUET_BYTES,
    BDPO_PARQUET_FIXED_BYTES
} bdpo_parquet_type;

// What it means.
typedef enum bdpo_parquet_logical {
    BDPO_PARQUET_PLAIN, // no more than its type says
    BDPO_PARQUET_STRING,
    BDPO_PARQUET_ENUM,
    BDPO_PARQUET_JSON,
    BDPO_PARQUET_BSON,
    BDPO_PARQUET_UUID,
    BDPO_PARQUET_FLOAT16,
    BDPO_PARQUET_DECIMAL,
    BDPO_PARQUET_DATE, // days since 1970-01-01
    BDPO_PARQUET_TIME_MS,
    BDPO_PARQUET_TIME_US,
    BDPO_PARQUET_TIME_NS,
    BDPO_PARQUET_TIMESTAMP_MS, // since 1970-01-01 00:00:00
    BDPO_PARQUET_TIMESTAMP_US,
    BDPO_PARQUET_TIMESTAMP_NS,
    BDPO_PARQUET_INTERVAL,
    BDPO_PARQUET_SIGNED,   // integers of any width
    BDPO_PARQUET_UNSIGNED, // those above INT64_MAX come as negative integers
    BDPO_PARQUET_NULL,     // nulls only
    BDPO_PARQUET_OTHER     // a kind that came after this reader
} bdpo_parquet_logical;

typedef struct bdpo_parquet_column {
    const char *name; // of a field inside a group: "image.bytes"
    bdpo_parquet_type type;
    bdpo_parquet_logical logical;
    bool nullable;
    bool repeated;       // inside a list or a map: not read
    int32_t fixed_bytes; // of BDPO_PARQUET_FIXED_BYTES
    int32_t scale;       // of BDPO_PARQUET_DECIMAL: value = integer * 10^-scale
} bdpo_parquet_column;

// "BOOLEAN", "INT32", ...; "STRING", "TIMESTAMP_NS", ..., "" for PLAIN.
const char *bdpo_parquet_type_name(bdpo_parquet_type type);
const char *bdpo_parquet_logical_name(bdpo_parquet_logical logical);

typedef struct bdpo_parquet_value {
    bool is_null;     // all else is zero then
    int64_t integer;  // BOOLEAN (0, 1), INT32, INT64, INT96
    double number;    // FLOAT, DOUBLE; of integers their nearest double
    const char *data; // BYTES, FIXED_BYTES: `size` bytes, no zero behind; STRING is not checked
    size_t size;      // to be UTF-8
} bdpo_parquet_value;

// ---- files ---------------------------------------------------------------------------------

typedef struct bdpo_parquet_file bdpo_parquet_file;

// Reads and checks the footer; *out is the caller's. BDPO_NOT_FOUND where there is no such file;
// BDPO_BAD_FILE or BDPO_UNSUPPORTED with one line that says what was found and what is read.
// An opened file does not change: cursors in several threads may share it.
BDPO_MUST_CHECK bdpo_status bdpo_parquet_open(bdpo_parquet_file **out, const char *path);
void bdpo_parquet_close(bdpo_parquet_file *file); // after its cursors; NULL is fine

const char *bdpo_parquet_path(const bdpo_parquet_file *file);
const char *bdpo_parquet_created_by(const bdpo_parquet_file *file); // "" where it is not said
int64_t bdpo_parquet_n_rows(const bdpo_parquet_file *file);
size_t bdpo_parquet_n_row_groups(const bdpo_parquet_file *file);
// The first row of a group; of the group behind the last, the number of rows.
int64_t bdpo_parquet_first_row(const bdpo_parquet_file *file, size_t group);

// The leaves of the schema, in its order.
size_t bdpo_parquet_n_columns(const bdpo_parquet_file *file);
const bdpo_parquet_column *bdpo_parquet_column_at(const bdpo_parquet_file *file, size_t index);
// SIZE_MAX where there is none of that name.
size_t bdpo_parquet_column_find(const bdpo_parquet_file *file, const char *name);

// Key-value metadata; NULL where the key is not there, "" where it has no value.
const char *bdpo_parquet_metadata(const bdpo_parquet_file *file, const char *key);

// ---- rows ----------------------------------------------------------------------------------

typedef struct bdpo_parquet_cursor bdpo_parquet_cursor;

// Before the first row. *out is the caller's; the file must outlive it. BDPO_BAD_FILE names a
// column that is missing, a group or a list, or of a codec that is not read.
BDPO_MUST_CHECK bdpo_status bdpo_parquet_cursor_open(bdpo_parquet_cursor **out,
                                                     const bdpo_parquet_file *file,
                                                     const char *const *columns, size_t n_columns);
void bdpo_parquet_cursor_close(bdpo_parquet_cursor *cursor); // NULL is fine

// Moves to the next row; *has_row is false behind the last.
BDPO_MUST_CHECK bdpo_status bdpo_parquet_cursor_next(bool *has_row, bdpo_parquet_cursor *cursor);
// The row of the last next(); -1 before the first, behind the last and after a seek.
int64_t bdpo_parquet_cursor_row(const bdpo_parquet_cursor *cursor);
// The next row will be `row`, 0 to the number of rows. Nothing is read: what lies between is
// skipped when a value is asked for, row groups whole and pages by their headers.
BDPO_MUST_CHECK bdpo_status bdpo_parquet_cursor_seek(bdpo_parquet_cursor *cursor, int64_t row);

// The value of the present row in the cursor's column `index`. Bytes are borrowed until the next
// get() of the same column. A column of which nothing is asked is not read.
BDPO_MUST_CHECK bdpo_status bdpo_parquet_cursor_get(bdpo_parquet_value *out,
                                                    bdpo_parquet_cursor *cursor, size_t index);

// ---- writing -------------------------------------------------------------------------------

typedef struct bdpo_parquet_pair {
    const char *key, *text;
} bdpo_parquet_pair;

typedef struct bdpo_parquet_options { // all zero: the defaults
    int64_t group_rows;               // rows of a row group: 1000
    size_t page_bytes;                // a page ends behind the value that reaches this: 1 MiB
    bool uncompressed;                // else Snappy
    const bdpo_parquet_pair *metadata;
    size_t n_metadata;
} bdpo_parquet_options;

typedef struct bdpo_parquet_writer bdpo_parquet_writer;

// A table of these columns: BOOLEAN, INT64 (also TIMESTAMP_NS), DOUBLE, BYTES (also STRING), each
// nullable or not. Names, and texts of metadata, are copied. The file has its name after commit
// only; one row group at a time is held in memory. BDPO_BAD_ARGUMENT for other columns.
BDPO_MUST_CHECK bdpo_status bdpo_parquet_writer_open(bdpo_parquet_writer **out, const char *path,
                                                     const bdpo_parquet_column *columns,
                                                     size_t n_columns,
                                                     const bdpo_parquet_options *options);
// One row: a value for each column. BDPO_BAD_ARGUMENT for a null in a column that has none, for a
// STRING that is not UTF-8, and after a failure.
BDPO_MUST_CHECK bdpo_status bdpo_parquet_writer_row(bdpo_parquet_writer *writer,
                                                    const bdpo_parquet_value *values);
// As bdpo_file_writer_commit and _abort: each frees the writer.
BDPO_MUST_CHECK bdpo_status bdpo_parquet_writer_commit(bdpo_parquet_writer *writer);
void bdpo_parquet_writer_abort(bdpo_parquet_writer *writer); // NULL is fine

#endif

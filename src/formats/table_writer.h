// A table of named columns, written row by row as CSV, JSONL or Parquet.
//
// Numbers are written so that they read back to the bit. JSON knows no infinity: there it is the
// text "inf" or "-inf". A text that is not UTF-8 is written as it is into CSV, and into JSONL as
// its bytes in hexadecimal, under the column's name with "_hex"; into Parquet, whose columns are of
// one kind, with U+FFFD for each byte that fits no character.
#ifndef BDPO_TABLE_WRITER_H
#define BDPO_TABLE_WRITER_H

#include <stdio.h>

#include "base/status.h"

typedef enum bdpo_table_format {
    BDPO_TABLE_CSV,
    BDPO_TABLE_JSONL,
    BDPO_TABLE_PARQUET
} bdpo_table_format;

typedef enum bdpo_table_kind { BDPO_TABLE_TEXT, BDPO_TABLE_INT, BDPO_TABLE_REAL } bdpo_table_kind;

typedef struct bdpo_table_column {
    const char *name; // UTF-8
    bdpo_table_kind kind;
} bdpo_table_column;

// Of the column's kind. A NULL text and a NaN are no value: empty in CSV, null elsewhere.
typedef struct bdpo_table_value {
    const char *text;
    size_t length;
    int64_t integer;
    double number;
} bdpo_table_value;

// From the ending of a name: .csv, .jsonl, .parquet. False for another.
bool bdpo_table_format_of(bdpo_table_format *out, const char *path);
extern const char *const bdpo_table_format_names[]; // "csv", "jsonl", "parquet", NULL

typedef struct bdpo_table_writer bdpo_table_writer;

// A file that has its name after commit only; or, where path is NULL, `stream`, which stays the
// caller's. *out is the caller's until commit or abort. UNSUPPORTED for Parquet to a stream.
BDPO_MUST_CHECK bdpo_status bdpo_table_writer_open(bdpo_table_writer **out, const char *path,
                                                   FILE *stream, bdpo_table_format format,
                                                   const bdpo_table_column *columns,
                                                   size_t n_columns);
// One row: a value for each column.
BDPO_MUST_CHECK bdpo_status bdpo_table_writer_row(bdpo_table_writer *writer,
                                                  const bdpo_table_value *values);
BDPO_MUST_CHECK bdpo_status bdpo_table_writer_commit(bdpo_table_writer *writer);
void bdpo_table_writer_abort(bdpo_table_writer *writer); // NULL is fine

#endif

// One column of a Parquet file as a stream of values: finds the page of a row, reads it and gives
// the row's value. Internal to this room.
#ifndef BDPO_PARQUET_PAGES_H
#define BDPO_PARQUET_PAGES_H

#include "formats/parquet_values.h"

// Bytes that are overwritten, never grown in place.
typedef struct bdpo_parquet_buffer {
    uint8_t *data;
    size_t capacity;
} bdpo_parquet_buffer;

// Where a data page's header begins, and its first row in the group.
typedef struct bdpo_parquet_mark {
    int64_t at, first_row;
} bdpo_parquet_mark;

typedef struct bdpo_parquet_stream {
    const bdpo_parquet_file *file;
    const bdpo_parquet_leaf *leaf;
    size_t leaf_index;
    bdpo_parquet_buffer *stored; // a page as it lies in the file; shared by a cursor's streams

    bool in_group; // all below is of one row group
    size_t group;
    const bdpo_parquet_chunk *chunk;
    int64_t at, end;      // where the next page's header begins, where the pages end
    int64_t page_at;      // the page that was read last, for messages
    int64_t n_rows_to_at; // of the pages before `at`
    bdpo_growing marks;   // of the data pages that were seen, in order: bdpo_parquet_mark

    bdpo_parquet_buffer window; // bytes of the file, so that small pages are read by many
    int64_t window_at;
    size_t window_bytes;

    bool has_dictionary, dictionary_loaded;
    bdpo_parquet_page dictionary_page;
    int64_t dictionary_at, dictionary_body; // where its header and its bytes begin
    bdpo_parquet_buffer dictionary_bytes;
    bdpo_parquet_dictionary dictionary;

    bool has_page; // all below is of one page
    bdpo_parquet_page page;
    int64_t first_row; // in the group
    bdpo_parquet_buffer bytes;
    const uint8_t *levels, *levels_end, *data, *data_end;
    uint64_t n_present; // values that are no nulls
    bdpo_parquet_runs level_runs;
    bdpo_parquet_values values;
    int64_t position; // in the page, of the next value
    bdpo_growing value_bytes;
    bool has_value; // of the row before `position`
    bdpo_parquet_value value;
} bdpo_parquet_stream;

// Whether the column can be read in this row group; the refusal names both.
BDPO_MUST_CHECK bdpo_status bdpo_parquet_chunk_check(const bdpo_parquet_file *file, size_t leaf,
                                                     size_t group);

void bdpo_parquet_stream_begin(bdpo_parquet_stream *s, const bdpo_parquet_file *file, size_t leaf,
                               bdpo_parquet_buffer *stored);
void bdpo_parquet_stream_clear(bdpo_parquet_stream *s);
// The value of a row of a group, whatever was asked before.
BDPO_MUST_CHECK bdpo_status bdpo_parquet_stream_get(bdpo_parquet_value *out, bdpo_parquet_stream *s,
                                                    size_t group, int64_t row);

#endif

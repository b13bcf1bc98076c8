// What a Parquet file says about itself: the footer (schema, row groups, chunks of columns) and the
// headers of pages. Checked as far as it can be without the data. Internal to this room.
#ifndef BDPO_PARQUET_META_H
#define BDPO_PARQUET_META_H

#include "base/file.h"
#include "base/memory.h"
#include "formats/growing.h"
#include "formats/parquet.h"

enum {
    BDPO_PARQUET_MAX_FOOTER = 128 << 20,
    BDPO_PARQUET_MAX_PAGE = 1 << 30,         // of a page as it lies in the file, and in memory
    BDPO_PARQUET_MAX_PAGE_HEADER = 16 << 20, // statistics may be long
    BDPO_PARQUET_MAX_SCHEMA = 1 << 16,       // elements
    BDPO_PARQUET_MAX_DEPTH = 64,             // of the schema
    BDPO_PARQUET_MAX_NAME = 1024,            // bytes of a dotted name
    BDPO_PARQUET_MAGIC_BYTES = 4,
    BDPO_PARQUET_TAIL_BYTES = 8 // the footer's length and the magic
};

typedef enum bdpo_parquet_codec {
    BDPO_PARQUET_UNCOMPRESSED,
    BDPO_PARQUET_SNAPPY,
    BDPO_PARQUET_GZIP,
    BDPO_PARQUET_LZO,
    BDPO_PARQUET_BROTLI,
    BDPO_PARQUET_LZ4,
    BDPO_PARQUET_ZSTD,
    BDPO_PARQUET_LZ4_RAW
} bdpo_parquet_codec;

typedef enum bdpo_parquet_encoding {
    BDPO_PARQUET_ENCODING_PLAIN = 0,
    BDPO_PARQUET_ENCODING_PLAIN_DICTIONARY = 2,
    BDPO_PARQUET_ENCODING_RLE = 3,
    BDPO_PARQUET_ENCODING_BIT_PACKED = 4,
    BDPO_PARQUET_ENCODING_DELTA_BINARY_PACKED = 5,
    BDPO_PARQUET_ENCODING_DELTA_LENGTH_BYTE_ARRAY = 6,
    BDPO_PARQUET_ENCODING_DELTA_BYTE_ARRAY = 7,
    BDPO_PARQUET_ENCODING_RLE_DICTIONARY = 8,
    BDPO_PARQUET_ENCODING_BYTE_STREAM_SPLIT = 9
} bdpo_parquet_encoding;

typedef enum bdpo_parquet_page_type {
    BDPO_PARQUET_DATA_PAGE,
    BDPO_PARQUET_INDEX_PAGE,
    BDPO_PARQUET_DICTIONARY_PAGE,
    BDPO_PARQUET_DATA_PAGE_V2
} bdpo_parquet_page_type;

// One column of one row group. What is wrong with it is told where the column is asked for.
typedef struct bdpo_parquet_chunk {
    int64_t start, size_bytes; // of all its pages
    int64_t n_values;
    int32_t type, codec;
    bool encrypted, elsewhere; // elsewhere: in another file
} bdpo_parquet_chunk;

typedef struct bdpo_parquet_group {
    int64_t first_row, n_rows;
    size_t first_chunk; // in `chunks`; one for each leaf
} bdpo_parquet_group;

typedef struct bdpo_parquet_leaf {
    bdpo_parquet_column column;
    int max_level; // the definition level of a value that is there
} bdpo_parquet_leaf;

struct bdpo_parquet_file {
    bdpo_file_reader *reader;
    bdpo_arena *arena; // names and metadata
    const char *path, *created_by;
    uint64_t footer_start; // no chunk reaches beyond
    int64_t n_rows;
    bdpo_growing leaves, groups, chunks, pairs; // of bdpo_parquet_leaf, _group, _chunk, _pair
    size_t n_leaves, n_groups;
};

const bdpo_parquet_leaf *bdpo_parquet_leaf_at(const bdpo_parquet_file *file, size_t index);
const bdpo_parquet_group *bdpo_parquet_group_at(const bdpo_parquet_file *file, size_t index);
const bdpo_parquet_chunk *bdpo_parquet_chunk_at(const bdpo_parquet_file *file, size_t group,
                                                size_t leaf);

// Fills the file from its footer's bytes.
BDPO_MUST_CHECK bdpo_status bdpo_parquet_read_footer(bdpo_parquet_file *file, const void *data,
                                                     size_t size);

typedef struct bdpo_parquet_page {
    int32_t type;                      // bdpo_parquet_page_type, or one to skip
    int32_t stored_bytes, plain_bytes; // as in the file, decompressed
    bool has_crc, is_compressed;       // is_compressed: version 2
    uint32_t crc;                      // of the stored bytes
    int32_t n_values, encoding;        // nulls count
    int32_t level_encoding;            // version 1
    int32_t n_nulls, n_rows, level_bytes, repetition_bytes; // version 2
} bdpo_parquet_page;

// Reads a page's header from the first of `size` bytes on. *header_bytes is its length, or 0 where
// it goes on behind them. A fault is written into `fault`, and false returned.
bool bdpo_parquet_read_page(bdpo_parquet_page *out, size_t *header_bytes, const void *data,
                            size_t size, char fault[128]);

#endif

// Writing Parquet: flat columns, each optional or required, PLAIN, pages of version 1 in Snappy or
// uncompressed. Rows go into a page of each column; a page that is full is compressed and appended
// to its column's chunk; a row group that is full is written column by column. So the memory is
// that of one row group. No statistics.
#include <inttypes.h>
#include <snappy-c.h>
#include <stdio.h>
#include <string.h>
#include <zlib.h>

#include "base/file.h"
#include "formats/charset.h"
#include "formats/parquet_meta.h"
#include "formats/parquet_thrift_write.h"
#include "formats/printable.h"

enum { DEFAULT_GROUP_ROWS = 1000, DEFAULT_PAGE_BYTES = 1 << 20, MAX_PAGE_VALUES = 1 << 20 };

static const char magic[] = "PAR1";

typedef struct written_column {
    bdpo_parquet_column column;        // its name is in the arena
    bdpo_growing levels;               // of the present page: a byte for each value, 1 or 0
    bdpo_growing plain;                // its values
    int n_bits;                        // of BOOLEAN: used in the last byte
    int32_t n_values;                  // nulls count
    bdpo_growing pages;                // finished ones of the present row group
    int64_t group_values, plain_bytes; // of these, with headers
} written_column;

typedef struct written_chunk {
    int64_t offset, stored_bytes, plain_bytes;
} written_chunk;

struct bdpo_parquet_writer {
    bdpo_file_writer *file;
    bdpo_arena *arena;
    const char *path;
    bdpo_parquet_options options; // without the pairs
    bdpo_parquet_pair *pairs;     // in the arena
    size_t n_pairs, n_columns;
    written_column *columns; // in the arena
    int64_t n_rows, group_rows, offset;
    bdpo_growing chunks; // of written_chunk, n_columns for each group
    bdpo_growing groups; // of int64_t: their rows
    bdpo_growing body;   // of the page that is being finished
    bool failed;
};

static bdpo_status no_memory(const bdpo_parquet_writer *w)
{
    return bdpo_fail(BDPO_NO_MEMORY, "%s: no memory to write it", w->path);
}

static bdpo_status column_fail(const char *path, const bdpo_parquet_column *column,
                               const char *what)
{
    return bdpo_fail(BDPO_BAD_ARGUMENT, "%s: cannot write column %s: %s", path,
                     bdpo_printable(column->name).text, what);
}

// ---- pages ---------------------------------------------------------------------------------

// The definition levels, one bit each, as runs of equal ones: a length of four bytes, then for each
// run its length, doubled, and the level.
static bool put_levels(bdpo_growing *body, const written_column *c)
{
    bdpo_thrift_out runs = {0}; // its varints are the same
    const uint8_t *levels = c->levels.data;
    for (size_t i = 0, n; i < c->levels.size; i += n) {
        for (n = 1; i + n < c->levels.size && levels[i + n] == levels[i];) n++;
        bdpo_thrift_put_varint(&runs, (uint64_t)n << 1);
        bdpo_thrift_put_byte(&runs, levels[i]);
    }
    uint32_t length = (uint32_t)runs.bytes.size; // little-endian, as all our machines
    bool ok = !runs.failed && bdpo_growing_add(body, &length, sizeof length) &&
              bdpo_growing_add(body, runs.bytes.data, runs.bytes.size);
    bdpo_free(runs.bytes.data);
    return ok;
}

static void put_page_header(bdpo_thrift_out *t, const written_column *c, int32_t plain_bytes,
                            const void *stored, int32_t stored_bytes)
{
    enum { PLAIN = BDPO_PARQUET_ENCODING_PLAIN, RLE = BDPO_PARQUET_ENCODING_RLE };
    uint32_t crc = (uint32_t)crc32_z(crc32_z(0, NULL, 0), stored, (size_t)stored_bytes);
    bdpo_thrift_put_i32(t, 1, BDPO_PARQUET_DATA_PAGE);
    bdpo_thrift_put_i32(t, 2, plain_bytes);
    bdpo_thrift_put_i32(t, 3, stored_bytes);
    bdpo_thrift_put_i32(t, 4, (int32_t)crc);
    bdpo_thrift_begin_struct(t, 5);
    bdpo_thrift_put_i32(t, 1, c->n_values);
    bdpo_thrift_put_i32(t, 2, PLAIN);
    bdpo_thrift_put_i32(t, 3, RLE);
    bdpo_thrift_put_i32(t, 4, RLE);
    bdpo_thrift_end_struct(t);
    bdpo_thrift_end_struct(t);
}

// Appends header and bytes to the column's pages.
static bdpo_status append_page(bdpo_parquet_writer *w, written_column *c, const void *stored,
                               size_t stored_bytes)
{
    bdpo_thrift_out header = {0};
    put_page_header(&header, c, (int32_t)w->body.size, stored, (int32_t)stored_bytes);
    bool ok = !header.failed && bdpo_growing_add(&c->pages, header.bytes.data, header.bytes.size) &&
              bdpo_growing_add(&c->pages, stored, stored_bytes);
    c->plain_bytes += (int64_t)(header.bytes.size + w->body.size);
    bdpo_free(header.bytes.data);
    return ok ? BDPO_OK : no_memory(w);
}

static bdpo_status compress_page(bdpo_parquet_writer *w, written_column *c)
{
    size_t size = snappy_max_compressed_length(w->body.size);
    char *stored = bdpo_realloc(NULL, size, 1);
    if (!stored) return no_memory(w);
    bdpo_status status = BDPO_OK;
    if (snappy_compress((const char *)w->body.data, w->body.size, stored, &size) != SNAPPY_OK)
        status = bdpo_fail(BDPO_NO_MEMORY, "%s: Snappy could not compress a page", w->path);
    if (status == BDPO_OK) status = append_page(w, c, stored, size);
    bdpo_free(stored);
    return status;
}

static bdpo_status finish_page(bdpo_parquet_writer *w, written_column *c)
{
    if (c->n_values == 0) return BDPO_OK;
    w->body.size = 0;
    if (c->column.nullable && !put_levels(&w->body, c)) return no_memory(w);
    if (!bdpo_growing_add(&w->body, c->plain.data, c->plain.size)) return no_memory(w);
    if (w->body.size > BDPO_PARQUET_MAX_PAGE)
        return column_fail(w->path, &c->column, "a page of more than 1 GiB");
    TRY(w->options.uncompressed ? append_page(w, c, w->body.data, w->body.size)
                                : compress_page(w, c));
    c->group_values += c->n_values;
    c->levels.size = c->plain.size = 0;
    c->n_values = c->n_bits = 0;
    return BDPO_OK;
}

// ---- values --------------------------------------------------------------------------------

static bool put_bit(written_column *c, bool bit)
{
    uint8_t zero = 0;
    if (c->n_bits % 8 == 0 && !bdpo_growing_add(&c->plain, &zero, 1)) return false;
    c->plain.data[c->plain.size - 1] |= (uint8_t)(bit << c->n_bits % 8);
    c->n_bits = (c->n_bits + 1) % 8;
    return true;
}

static bool put_plain(written_column *c, const bdpo_parquet_value *value)
{
    uint32_t length = (uint32_t)value->size;
    switch (c->column.type) {
    case BDPO_PARQUET_BOOLEAN:
        return put_bit(c, value->integer != 0);
    case BDPO_PARQUET_INT64:
        return bdpo_growing_add(&c->plain, &value->integer, sizeof value->integer);
    case BDPO_PARQUET_DOUBLE:
        return bdpo_growing_add(&c->plain, &value->number, sizeof value->number);
    default:
        return bdpo_growing_add(&c->plain, &length, sizeof length) &&
               bdpo_growing_add(&c->plain, value->data, value->size);
    }
}

static bdpo_status check_value(const bdpo_parquet_writer *w, const written_column *c,
                               const bdpo_parquet_value *value)
{
    if (value->is_null && !c->column.nullable)
        return column_fail(w->path, &c->column, "a null in a column that has none");
    if (value->is_null || c->column.type != BDPO_PARQUET_BYTES) return BDPO_OK;
    if (value->size >= BDPO_PARQUET_MAX_PAGE / 2)
        return column_fail(w->path, &c->column, "a value of 512 MiB or more");
    if (c->column.logical == BDPO_PARQUET_STRING &&
        !bdpo_utf8_is_valid_with_zeros(value->data, value->size))
        return column_fail(w->path, &c->column, "a text that is not UTF-8");
    return BDPO_OK;
}

static bdpo_status put_value(bdpo_parquet_writer *w, written_column *c,
                             const bdpo_parquet_value *value)
{
    uint8_t level = !value->is_null;
    TRY(check_value(w, c, value));
    if (c->column.nullable && !bdpo_growing_add(&c->levels, &level, 1)) return no_memory(w);
    if (level && !put_plain(c, value)) return no_memory(w);
    c->n_values++;
    bool full = c->plain.size >= w->options.page_bytes || c->n_values >= MAX_PAGE_VALUES;
    return full ? finish_page(w, c) : BDPO_OK;
}

// ---- row groups ----------------------------------------------------------------------------

static bdpo_status write_bytes(bdpo_parquet_writer *w, const void *data, size_t size)
{
    w->offset += (int64_t)size;
    return bdpo_file_writer_write(w->file, data, size);
}

static bdpo_status write_chunk(bdpo_parquet_writer *w, written_column *c)
{
    TRY(finish_page(w, c));
    written_chunk chunk = {w->offset, (int64_t)c->pages.size, c->plain_bytes};
    if (!bdpo_growing_add(&w->chunks, &chunk, sizeof chunk)) return no_memory(w);
    TRY(write_bytes(w, c->pages.data, c->pages.size));
    BDPO_ASSERT(c->group_values == w->group_rows);
    c->pages.size = 0;
    c->group_values = c->plain_bytes = 0;
    return BDPO_OK;
}

static bdpo_status finish_group(bdpo_parquet_writer *w)
{
    if (w->group_rows == 0) return BDPO_OK;
    for (size_t i = 0; i < w->n_columns; i++) TRY(write_chunk(w, &w->columns[i]));
    if (!bdpo_growing_add(&w->groups, &w->group_rows, sizeof w->group_rows)) return no_memory(w);
    w->group_rows = 0;
    return BDPO_OK;
}

static bdpo_status put_row(bdpo_parquet_writer *w, const bdpo_parquet_value *values)
{
    for (size_t i = 0; i < w->n_columns; i++) TRY(put_value(w, &w->columns[i], &values[i]));
    w->n_rows++;
    w->group_rows++;
    return w->group_rows == w->options.group_rows ? finish_group(w) : BDPO_OK;
}

bdpo_status bdpo_parquet_writer_row(bdpo_parquet_writer *w, const bdpo_parquet_value *values)
{
    if (w->failed)
        return bdpo_fail(BDPO_BAD_ARGUMENT, "%s: an earlier row could not be written", w->path);
    bdpo_status status = put_row(w, values);
    w->failed = status != BDPO_OK;
    return status;
}

// ---- the footer ----------------------------------------------------------------------------

enum { UTF8 = 0, REQUIRED = 0, OPTIONAL = 1, NANOSECONDS = 3 };

// LogicalType: of a text a STRING; of a time TIMESTAMP, not adjusted to UTC, in nanoseconds.
static void put_logical(bdpo_thrift_out *t, bdpo_parquet_logical logical)
{
    bdpo_thrift_begin_struct(t, 10);
    if (logical == BDPO_PARQUET_STRING) {
        bdpo_thrift_put_empty_struct(t, 1);
    } else {
        bdpo_thrift_begin_struct(t, 8);
        bdpo_thrift_put_field(t, 1, BDPO_THRIFT_FALSE);
        bdpo_thrift_begin_struct(t, 2);
        bdpo_thrift_put_empty_struct(t, NANOSECONDS);
        bdpo_thrift_end_struct(t);
        bdpo_thrift_end_struct(t);
    }
    bdpo_thrift_end_struct(t);
}

static void put_schema(bdpo_thrift_out *t, const bdpo_parquet_writer *w)
{
    bdpo_thrift_put_list(t, 2, BDPO_THRIFT_STRUCT, w->n_columns + 1);
    bdpo_thrift_begin_element(t);
    bdpo_thrift_put_string(t, 4, "schema");
    bdpo_thrift_put_i32(t, 5, (int32_t)w->n_columns);
    bdpo_thrift_end_struct(t);
    for (size_t i = 0; i < w->n_columns; i++) {
        const bdpo_parquet_column *c = &w->columns[i].column;
        bdpo_thrift_begin_element(t);
        bdpo_thrift_put_i32(t, 1, (int32_t)c->type);
        bdpo_thrift_put_i32(t, 3, c->nullable ? OPTIONAL : REQUIRED);
        bdpo_thrift_put_string(t, 4, c->name);
        if (c->logical == BDPO_PARQUET_STRING) bdpo_thrift_put_i32(t, 6, UTF8);
        if (c->logical != BDPO_PARQUET_PLAIN) put_logical(t, c->logical);
        bdpo_thrift_end_struct(t);
    }
}

static void put_chunk(bdpo_thrift_out *t, const bdpo_parquet_writer *w,
                      const bdpo_parquet_column *c, const written_chunk *chunk, int64_t n_rows)
{
    bdpo_thrift_begin_element(t);
    bdpo_thrift_put_i64(t, 2, 0); // file_offset: deprecated, zero by the format's advice
    bdpo_thrift_begin_struct(t, 3);
    bdpo_thrift_put_i32(t, 1, (int32_t)c->type);
    bdpo_thrift_put_list(t, 2, BDPO_THRIFT_I32, 2);
    bdpo_thrift_put_zigzag(t, BDPO_PARQUET_ENCODING_PLAIN);
    bdpo_thrift_put_zigzag(t, BDPO_PARQUET_ENCODING_RLE);
    bdpo_thrift_put_list(t, 3, BDPO_THRIFT_BINARY, 1);
    bdpo_thrift_put_text(t, c->name);
    bdpo_thrift_put_i32(t, 4,
                        w->options.uncompressed ? BDPO_PARQUET_UNCOMPRESSED : BDPO_PARQUET_SNAPPY);
    bdpo_thrift_put_i64(t, 5, n_rows);
    bdpo_thrift_put_i64(t, 6, chunk->plain_bytes);
    bdpo_thrift_put_i64(t, 7, chunk->stored_bytes);
    bdpo_thrift_put_i64(t, 9, chunk->offset);
    bdpo_thrift_end_struct(t);
    bdpo_thrift_end_struct(t);
}

static void put_groups(bdpo_thrift_out *t, const bdpo_parquet_writer *w)
{
    const int64_t *rows = (const int64_t *)(const void *)w->groups.data;
    const written_chunk *chunks = (const written_chunk *)(const void *)w->chunks.data;
    size_t n = w->groups.size / sizeof *rows;
    bdpo_thrift_put_list(t, 4, BDPO_THRIFT_STRUCT, n);
    for (size_t g = 0; g < n; g++) {
        int64_t plain_bytes = 0;
        bdpo_thrift_begin_element(t);
        bdpo_thrift_put_list(t, 1, BDPO_THRIFT_STRUCT, w->n_columns);
        for (size_t i = 0; i < w->n_columns; i++) {
            const written_chunk *chunk = &chunks[g * w->n_columns + i];
            put_chunk(t, w, &w->columns[i].column, chunk, rows[g]);
            plain_bytes += chunk->plain_bytes;
        }
        bdpo_thrift_put_i64(t, 2, plain_bytes);
        bdpo_thrift_put_i64(t, 3, rows[g]);
        bdpo_thrift_end_struct(t);
    }
}

static void put_pairs(bdpo_thrift_out *t, const bdpo_parquet_writer *w)
{
    if (w->n_pairs == 0) return;
    bdpo_thrift_put_list(t, 5, BDPO_THRIFT_STRUCT, w->n_pairs);
    for (size_t i = 0; i < w->n_pairs; i++) {
        bdpo_thrift_begin_element(t);
        bdpo_thrift_put_string(t, 1, w->pairs[i].key);
        bdpo_thrift_put_string(t, 2, w->pairs[i].text);
        bdpo_thrift_end_struct(t);
    }
}

static bdpo_status write_footer(bdpo_parquet_writer *w)
{
    enum { VERSION = 2 };
    bdpo_thrift_out t = {0};
    bdpo_thrift_put_i32(&t, 1, VERSION);
    put_schema(&t, w);
    bdpo_thrift_put_i64(&t, 3, w->n_rows);
    put_groups(&t, w);
    put_pairs(&t, w);
    bdpo_thrift_put_string(&t, 6, "bdpo");
    bdpo_thrift_end_struct(&t);
    bdpo_status status = BDPO_OK;
    uint32_t size = (uint32_t)t.bytes.size;
    if (t.failed) status = no_memory(w);
    if (t.bytes.size > BDPO_PARQUET_MAX_FOOTER)
        status = bdpo_fail(BDPO_BAD_ARGUMENT, "%s: too many row groups: a footer of %zu bytes",
                           w->path, t.bytes.size);
    if (status == BDPO_OK) status = write_bytes(w, t.bytes.data, t.bytes.size);
    if (status == BDPO_OK) status = write_bytes(w, &size, sizeof size);
    if (status == BDPO_OK) status = write_bytes(w, magic, strlen(magic));
    bdpo_free(t.bytes.data);
    return status;
}

// ---- opening and closing -------------------------------------------------------------------

static bdpo_status check_column(const char *path, const bdpo_parquet_column *columns, size_t i)
{
    const bdpo_parquet_column *c = &columns[i];
    bool known =
        c->logical == BDPO_PARQUET_PLAIN
            ? c->type == BDPO_PARQUET_BOOLEAN || c->type == BDPO_PARQUET_INT64 ||
                  c->type == BDPO_PARQUET_DOUBLE || c->type == BDPO_PARQUET_BYTES
            : (c->type == BDPO_PARQUET_BYTES && c->logical == BDPO_PARQUET_STRING) ||
                  (c->type == BDPO_PARQUET_INT64 && c->logical == BDPO_PARQUET_TIMESTAMP_NS);
    if (!known || c->repeated) return column_fail(path, c, "columns of its kind are not written");
    if (c->name[0] == '\0' || strlen(c->name) >= BDPO_PARQUET_MAX_NAME)
        return column_fail(path, c, "a name has 1 to 1,023 bytes");
    if (!bdpo_text_is_utf8(c->name)) return column_fail(path, c, "its name is not UTF-8");
    for (size_t k = 0; k < i; k++)
        if (strcmp(columns[k].name, c->name) == 0) return column_fail(path, c, "it is there twice");
    return BDPO_OK;
}

static bdpo_status copy_columns(bdpo_parquet_writer *w, const bdpo_parquet_column *columns,
                                size_t n)
{
    if (n == 0 || n >= BDPO_PARQUET_MAX_SCHEMA)
        return bdpo_fail(BDPO_BAD_ARGUMENT, "%s: cannot write a table of %zu columns", w->path, n);
    w->columns = bdpo_arena_alloc(w->arena, n, sizeof *w->columns);
    if (!w->columns) return no_memory(w);
    w->n_columns = n;
    for (size_t i = 0; i < n; i++) {
        TRY(check_column(w->path, columns, i));
        w->columns[i].column = columns[i];
        w->columns[i].column.name = bdpo_arena_strdup(w->arena, columns[i].name);
        if (!w->columns[i].column.name) return no_memory(w);
    }
    return BDPO_OK;
}

static bdpo_status copy_options(bdpo_parquet_writer *w, const bdpo_parquet_options *options)
{
    if (options) w->options = *options;
    if (w->options.group_rows <= 0) w->options.group_rows = DEFAULT_GROUP_ROWS;
    if (w->options.page_bytes == 0) w->options.page_bytes = DEFAULT_PAGE_BYTES;
    if (w->options.page_bytes > BDPO_PARQUET_MAX_PAGE / 4)
        w->options.page_bytes = BDPO_PARQUET_MAX_PAGE / 4;
    w->n_pairs = w->options.n_metadata;
    w->pairs = bdpo_arena_alloc(w->arena, w->n_pairs + 1, sizeof *w->pairs);
    for (size_t i = 0; i < w->n_pairs && w->pairs; i++) {
        const bdpo_parquet_pair *from = &w->options.metadata[i];
        if (!bdpo_text_is_utf8(from->key) || !bdpo_text_is_utf8(from->text))
            return bdpo_fail(BDPO_BAD_ARGUMENT, "%s: metadata %s is not UTF-8", w->path,
                             bdpo_printable(from->key).text);
        w->pairs[i].key = bdpo_arena_strdup(w->arena, from->key);
        w->pairs[i].text = bdpo_arena_strdup(w->arena, from->text);
        if (!w->pairs[i].key || !w->pairs[i].text) return no_memory(w);
    }
    w->options.metadata = NULL;
    return w->pairs ? BDPO_OK : no_memory(w);
}

static bdpo_status open_writer(bdpo_parquet_writer *w, const char *path,
                               const bdpo_parquet_column *columns, size_t n_columns,
                               const bdpo_parquet_options *options)
{
    TRY(bdpo_arena_new(&w->arena));
    w->path = bdpo_arena_strdup(w->arena, path);
    if (!w->path) return bdpo_fail(BDPO_NO_MEMORY, "%s: no memory to write it", path);
    TRY(copy_columns(w, columns, n_columns));
    TRY(copy_options(w, options));
    TRY(bdpo_file_writer_open(&w->file, path));
    return write_bytes(w, magic, strlen(magic));
}

bdpo_status bdpo_parquet_writer_open(bdpo_parquet_writer **out, const char *path,
                                     const bdpo_parquet_column *columns, size_t n_columns,
                                     const bdpo_parquet_options *options)
{
    bdpo_parquet_writer *w = bdpo_alloc(1, sizeof *w);
    if (!w) return bdpo_fail(BDPO_NO_MEMORY, "%s: no memory to write it", path);
    bdpo_status status = open_writer(w, path, columns, n_columns, options);
    if (status == BDPO_OK)
        *out = w;
    else
        bdpo_parquet_writer_abort(w);
    return status;
}

static bdpo_status finish(bdpo_parquet_writer *w)
{
    if (w->failed)
        return bdpo_fail(BDPO_BAD_ARGUMENT, "%s: an earlier row could not be written", w->path);
    TRY(finish_group(w));
    return write_footer(w);
}

bdpo_status bdpo_parquet_writer_commit(bdpo_parquet_writer *w)
{
    bdpo_status status = finish(w);
    if (status == BDPO_OK) {
        bdpo_file_writer *file = w->file;
        w->file = NULL;
        status = bdpo_file_writer_commit(file);
    }
    bdpo_parquet_writer_abort(w); // removes what a failure left; after success only frees
    return status;
}

void bdpo_parquet_writer_abort(bdpo_parquet_writer *w)
{
    if (!w) return;
    bdpo_file_writer_abort(w->file);
    for (size_t i = 0; i < w->n_columns; i++) {
        bdpo_free(w->columns[i].levels.data);
        bdpo_free(w->columns[i].plain.data);
        bdpo_free(w->columns[i].pages.data);
    }
    bdpo_free(w->chunks.data);
    bdpo_free(w->groups.data);
    bdpo_free(w->body.data);
    bdpo_arena_free(w->arena);
    bdpo_free(w);
}

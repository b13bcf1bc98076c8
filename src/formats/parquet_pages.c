// The pages of a column chunk: an optional dictionary page, then data pages, each a header in
// Thrift and a body. Version 1: levels and values compressed as one; version 2: levels first,
// never compressed. A page that does not hold the wanted row is passed by its header.
#include "formats/parquet_pages.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <zlib.h>

#include "formats/parquet_codec.h"
#include "formats/printable.h"

enum { WINDOW = 4096, SPARE_BELOW = 16 << 20 };

// ---- refusals ------------------------------------------------------------------------------

static bdpo_status chunk_fail(const bdpo_parquet_file *file, size_t leaf, size_t group,
                              bdpo_status status, const char *what)
{
    return bdpo_fail(status, "%s: column %s, row group %zu: %s", file->path,
                     bdpo_printable(bdpo_parquet_leaf_at(file, leaf)->column.name).text, group,
                     what);
}

static bdpo_status page_fail(const bdpo_parquet_stream *s, bdpo_status status, const char *what)
{
    return bdpo_fail(status, "%s: column %s, row group %zu, page at byte %" PRId64 ": %s",
                     s->file->path, bdpo_printable(s->leaf->column.name).text, s->group, s->page_at,
                     what);
}

static bdpo_status values_fault(const bdpo_parquet_stream *s, const char *fault)
{
    if (!fault) return BDPO_OK;
    return page_fail(s, fault == bdpo_parquet_no_memory ? BDPO_NO_MEMORY : BDPO_BAD_FILE, fault);
}

// ---- chunks --------------------------------------------------------------------------------

static bdpo_status check_codec(const bdpo_parquet_file *file, size_t leaf, size_t group,
                               int32_t codec)
{
    char what[128];
    const char *name = bdpo_parquet_codec_name(codec);
    if (bdpo_parquet_codec_supported(codec)) return BDPO_OK;
    snprintf(what, sizeof what, "codec %d%s%s; UNCOMPRESSED, SNAPPY, GZIP, ZSTD, LZ4_RAW are read",
             codec, name ? ", " : "", name ? name : "");
    return chunk_fail(file, leaf, group, BDPO_UNSUPPORTED, what);
}

static bdpo_status check_range(const bdpo_parquet_file *file, size_t leaf, size_t group,
                               const bdpo_parquet_chunk *c)
{
    char what[128];
    int64_t end;
    if (c->start >= BDPO_PARQUET_MAGIC_BYTES && c->size_bytes >= 0 &&
        !__builtin_add_overflow(c->start, c->size_bytes, &end) &&
        (uint64_t)end <= file->footer_start)
        return BDPO_OK;
    snprintf(what, sizeof what, "%" PRId64 " bytes from %" PRId64 " on, the data ends at %" PRIu64,
             c->size_bytes, c->start, file->footer_start);
    return chunk_fail(file, leaf, group, BDPO_BAD_FILE, what);
}

bdpo_status bdpo_parquet_chunk_check(const bdpo_parquet_file *file, size_t leaf, size_t group)
{
    char what[128];
    const bdpo_parquet_chunk *c = bdpo_parquet_chunk_at(file, group, leaf);
    int64_t n_rows = bdpo_parquet_group_at(file, group)->n_rows;
    if (c->encrypted) return chunk_fail(file, leaf, group, BDPO_UNSUPPORTED, "it is encrypted");
    if (c->elsewhere)
        return chunk_fail(file, leaf, group, BDPO_UNSUPPORTED, "its data lie in another file");
    if (c->type != (int32_t)bdpo_parquet_leaf_at(file, leaf)->column.type)
        return chunk_fail(file, leaf, group, BDPO_BAD_FILE, "its type is not that of the schema");
    TRY(check_codec(file, leaf, group, c->codec));
    if (c->n_values != n_rows) {
        snprintf(what, sizeof what, "%" PRId64 " values, the row group has %" PRId64 " rows",
                 c->n_values, n_rows);
        return chunk_fail(file, leaf, group, BDPO_BAD_FILE, what);
    }
    return n_rows > 0 ? check_range(file, leaf, group, c) : BDPO_OK;
}

// ---- bytes ---------------------------------------------------------------------------------

static bdpo_status reserve(const bdpo_parquet_stream *s, bdpo_parquet_buffer *buffer, size_t size)
{
    if (size < buffer->capacity) return BDPO_OK;
    bdpo_free(buffer->data);
    buffer->capacity = size + 1;
    if (size < SPARE_BELOW) buffer->capacity += size / 8; // the next may be a little larger
    buffer->data = bdpo_realloc(NULL, buffer->capacity, 1);
    if (buffer->data) return BDPO_OK;
    buffer->capacity = 0;
    return page_fail(s, BDPO_NO_MEMORY, "no memory for it");
}

// The bytes from `at` on that the window holds; where these are fewer than `wanted`, or than the
// chunk has, the window moves there.
static bdpo_status look(bdpo_parquet_stream *s, const uint8_t **out, size_t *size, int64_t at,
                        size_t wanted)
{
    uint64_t left = (uint64_t)(s->end - at);
    if (wanted > left) wanted = (size_t)left;
    int64_t held = s->window_at + (int64_t)s->window_bytes - at;
    if (at < s->window_at || held < (int64_t)wanted) {
        size_t n = wanted > WINDOW ? wanted : left < WINDOW ? (size_t)left : WINDOW;
        s->window_bytes = 0;
        TRY(reserve(s, &s->window, n));
        TRY(bdpo_file_reader_read(s->file->reader, s->window.data, n, (uint64_t)at));
        s->window_at = at;
        s->window_bytes = n;
        held = (int64_t)n;
    }
    *out = s->window.data + (at - s->window_at);
    *size = (size_t)held;
    return BDPO_OK;
}

static bdpo_status check_sizes(const bdpo_parquet_stream *s, const bdpo_parquet_page *p,
                               bool compressed)
{
    char what[160];
    uint64_t most =
        bdpo_parquet_codec_most((bdpo_parquet_codec)s->chunk->codec, (uint64_t)p->stored_bytes);
    if (p->stored_bytes > BDPO_PARQUET_MAX_PAGE || p->plain_bytes > BDPO_PARQUET_MAX_PAGE) {
        snprintf(what, sizeof what, "%d bytes, decompressed %d; at most %d are read",
                 p->stored_bytes, p->plain_bytes, BDPO_PARQUET_MAX_PAGE);
        return page_fail(s, BDPO_UNSUPPORTED, what);
    }
    if (compressed ? (uint64_t)p->plain_bytes <= most : p->plain_bytes == p->stored_bytes)
        return BDPO_OK;
    snprintf(what, sizeof what, "%d bytes in %s cannot be %d bytes decompressed", p->stored_bytes,
             compressed ? bdpo_parquet_codec_name(s->chunk->codec) : "UNCOMPRESSED",
             p->plain_bytes);
    return page_fail(s, BDPO_BAD_FILE, what);
}

// From the window where that holds them.
static bdpo_status read_at(const bdpo_parquet_stream *s, uint8_t *out, size_t size, int64_t at)
{
    int64_t held = s->window_at + (int64_t)s->window_bytes - at;
    if (at < s->window_at || held < (int64_t)size)
        return bdpo_file_reader_read(s->file->reader, out, size, (uint64_t)at);
    memcpy(out, s->window.data + (at - s->window_at), size);
    return BDPO_OK;
}

static bdpo_status read_stored(const bdpo_parquet_stream *s, const bdpo_parquet_page *p,
                               bdpo_parquet_buffer *buffer, int64_t at)
{
    size_t size = (size_t)p->stored_bytes;
    char what[96];
    TRY(reserve(s, buffer, size));
    TRY(read_at(s, buffer->data, size, at));
    if (!p->has_crc) return BDPO_OK;
    uint32_t crc = (uint32_t)crc32_z(crc32_z(0, NULL, 0), buffer->data, size);
    if (crc == p->crc) return BDPO_OK;
    snprintf(what, sizeof what, "its checksum is %08" PRIx32 ", its header says %08" PRIx32, crc,
             p->crc);
    return page_fail(s, BDPO_BAD_FILE, what);
}

// The page's bytes into `buffer`; the first `n_levels` of them lie uncompressed in the file.
static bdpo_status read_plain(const bdpo_parquet_stream *s, const bdpo_parquet_page *p,
                              bdpo_parquet_buffer *buffer, int64_t at, size_t n_levels)
{
    bdpo_parquet_codec codec = (bdpo_parquet_codec)s->chunk->codec;
    bool compressed = codec != BDPO_PARQUET_UNCOMPRESSED &&
                      (p->type != BDPO_PARQUET_DATA_PAGE_V2 || p->is_compressed);
    char what[96];
    TRY(check_sizes(s, p, compressed));
    if (!compressed) return read_stored(s, p, buffer, at);
    TRY(read_stored(s, p, s->stored, at));
    TRY(reserve(s, buffer, (size_t)p->plain_bytes));
    memcpy(buffer->data, s->stored->data, n_levels);
    if (bdpo_parquet_decompress(codec, buffer->data + n_levels, (size_t)p->plain_bytes - n_levels,
                                s->stored->data + n_levels, (size_t)p->stored_bytes - n_levels))
        return BDPO_OK;
    snprintf(what, sizeof what, "its %s data are damaged, or not %d bytes as its header says",
             bdpo_parquet_codec_name((int32_t)codec), p->plain_bytes);
    return page_fail(s, BDPO_BAD_FILE, what);
}

// ---- the dictionary ------------------------------------------------------------------------

static void forget_dictionary(bdpo_parquet_stream *s)
{
    bdpo_free(s->dictionary.offsets);
    s->dictionary = (bdpo_parquet_dictionary){0};
    s->dictionary_loaded = s->has_dictionary = false;
}

static bdpo_status load_dictionary(bdpo_parquet_stream *s)
{
    const bdpo_parquet_page *p = &s->dictionary_page;
    int64_t page_at = s->page_at;
    if (!s->has_dictionary || s->dictionary_loaded) return BDPO_OK;
    s->page_at = s->dictionary_at;
    if (p->encoding != BDPO_PARQUET_ENCODING_PLAIN &&
        p->encoding != BDPO_PARQUET_ENCODING_PLAIN_DICTIONARY)
        return page_fail(s, BDPO_BAD_FILE, "a dictionary in another encoding than PLAIN");
    TRY(read_plain(s, p, &s->dictionary_bytes, s->dictionary_body, 0));
    TRY(values_fault(s, bdpo_parquet_dictionary_begin(&s->dictionary, &s->leaf->column,
                                                      s->dictionary_bytes.data,
                                                      (size_t)p->plain_bytes, p->n_values)));
    s->dictionary_loaded = true;
    s->page_at = page_at;
    return BDPO_OK;
}

static bdpo_status note_dictionary(bdpo_parquet_stream *s, const bdpo_parquet_page *p, int64_t body)
{
    if (s->has_dictionary && s->dictionary_body != body)
        return page_fail(s, BDPO_BAD_FILE, "a second dictionary in the column chunk");
    s->has_dictionary = true;
    s->dictionary_page = *p;
    s->dictionary_at = s->page_at;
    s->dictionary_body = body;
    return BDPO_OK;
}

// ---- data pages ----------------------------------------------------------------------------

static bdpo_status check_encoding(const bdpo_parquet_stream *s, const bdpo_parquet_page *p)
{
    char what[96];
    const char *name = bdpo_parquet_encoding_name(p->encoding);
    bool levels_by_runs = p->type == BDPO_PARQUET_DATA_PAGE_V2 || s->leaf->max_level == 0 ||
                          p->level_encoding == BDPO_PARQUET_ENCODING_RLE;
    if (!levels_by_runs)
        return page_fail(s, BDPO_UNSUPPORTED, "definition levels in another encoding than RLE");
    if (name && p->encoding != 1 && p->encoding != BDPO_PARQUET_ENCODING_BIT_PACKED) return BDPO_OK;
    snprintf(what, sizeof what, "encoding %d%s%s, which is not read", p->encoding, name ? ", " : "",
             name ? name : "");
    return page_fail(s, BDPO_UNSUPPORTED, what);
}

// Where levels and values lie in a page of version 1: the levels' length stands before them.
static bdpo_status split_v1(bdpo_parquet_stream *s)
{
    size_t size = (size_t)s->page.plain_bytes;
    uint32_t length = 0;
    s->levels = s->levels_end = s->data = s->bytes.data;
    s->data_end = s->bytes.data + size;
    if (s->leaf->max_level == 0) return BDPO_OK;
    if (size >= sizeof length) memcpy(&length, s->bytes.data, sizeof length);
    if (size < sizeof length || length > size - sizeof length)
        return page_fail(s, BDPO_BAD_FILE, "its definition levels are longer than the page");
    s->levels += sizeof length;
    s->data = s->levels_end = s->levels + length;
    return BDPO_OK;
}

// Version 2: the lengths stand in the header. Repetition levels, first, are all zero here.
static bdpo_status check_v2(const bdpo_parquet_stream *s, const bdpo_parquet_page *p)
{
    if (p->n_rows != p->n_values)
        return page_fail(s, BDPO_BAD_FILE, "another number of rows than of values");
    int64_t levels = (int64_t)p->level_bytes + p->repetition_bytes;
    if (p->level_bytes < 0 || p->repetition_bytes < 0 || levels > p->stored_bytes ||
        levels > p->plain_bytes)
        return page_fail(s, BDPO_BAD_FILE, "its levels are longer than the page");
    return BDPO_OK;
}

static void split_v2(bdpo_parquet_stream *s)
{
    s->levels = s->bytes.data + s->page.repetition_bytes;
    s->data = s->levels_end = s->levels + s->page.level_bytes;
    s->data_end = s->bytes.data + s->page.plain_bytes;
}

static int level_width(int max_level)
{
    int width = 0;
    while (max_level >> width > 0) width++;
    return width;
}

// Goes over all levels once: afterwards none can be missing or too high.
static bdpo_status count_present(bdpo_parquet_stream *s)
{
    uint32_t highest, max_level = (uint32_t)s->leaf->max_level;
    uint64_t n = (uint64_t)s->page.n_values;
    s->n_present = n;
    if (max_level > 0) {
        bdpo_parquet_runs_begin(&s->level_runs, s->levels, s->levels_end,
                                level_width((int)max_level));
        if (!bdpo_parquet_runs_count(&s->level_runs, n, max_level, &s->n_present, &highest))
            return page_fail(s, BDPO_BAD_FILE, "its definition levels run out");
        if (highest > max_level)
            return page_fail(s, BDPO_BAD_FILE, "a definition level above the schema's");
    }
    if (s->page.type == BDPO_PARQUET_DATA_PAGE_V2 &&
        (uint64_t)s->page.n_nulls != n - s->n_present) {
        char what[96];
        snprintf(what, sizeof what, "%d nulls, its levels say %" PRIu64, s->page.n_nulls,
                 n - s->n_present);
        return page_fail(s, BDPO_BAD_FILE, what);
    }
    return BDPO_OK;
}

// Sets the decoders before the page's first value.
static bdpo_status rewind_page(bdpo_parquet_stream *s)
{
    s->position = 0;
    s->has_value = false;
    bdpo_parquet_runs_begin(&s->level_runs, s->levels, s->levels_end,
                            level_width(s->leaf->max_level));
    return values_fault(s, bdpo_parquet_values_begin(
                               &s->values, s->page.encoding, &s->leaf->column, s->data,
                               (size_t)(s->data_end - s->data), s->n_present,
                               s->dictionary_loaded ? &s->dictionary : NULL, &s->value_bytes));
}

static bdpo_status load_page(bdpo_parquet_stream *s, const bdpo_parquet_page *p, int64_t body)
{
    bool is_v2 = p->type == BDPO_PARQUET_DATA_PAGE_V2;
    s->has_page = false;
    TRY(check_encoding(s, p));
    if (p->encoding == BDPO_PARQUET_ENCODING_PLAIN_DICTIONARY ||
        p->encoding == BDPO_PARQUET_ENCODING_RLE_DICTIONARY)
        TRY(load_dictionary(s));
    TRY(read_plain(s, p, &s->bytes, body,
                   is_v2 ? (size_t)p->level_bytes + (size_t)p->repetition_bytes : 0));
    s->page = *p;
    if (is_v2)
        split_v2(s);
    else
        TRY(split_v1(s));
    TRY(count_present(s));
    TRY(rewind_page(s));
    s->has_page = true;
    return BDPO_OK;
}

// ---- finding a page ------------------------------------------------------------------------

// The header at s->at, read in a window that grows until it holds all of it.
static bdpo_status read_header(bdpo_parquet_stream *s, bdpo_parquet_page *p, size_t *header_bytes)
{
    char fault[128];
    uint64_t left = (uint64_t)(s->end - s->at);
    size_t size = 0;
    s->page_at = s->at;
    for (size_t wanted = 1; size < left; wanted = size < WINDOW ? WINDOW : 4 * size) {
        const uint8_t *header = NULL;
        TRY(look(s, &header, &size, s->at, wanted));
        if (!bdpo_parquet_read_page(p, header_bytes, header, size, fault))
            return page_fail(s, BDPO_BAD_FILE, fault);
        if (*header_bytes > 0) break;
        if (size >= BDPO_PARQUET_MAX_PAGE_HEADER)
            return page_fail(s, BDPO_UNSUPPORTED, "a header of more than 16 MiB");
    }
    if (*header_bytes == 0)
        return page_fail(s, BDPO_BAD_FILE, "its header goes past the end of the column chunk");
    if ((uint64_t)p->stored_bytes <= left - *header_bytes) return BDPO_OK;
    snprintf(fault, sizeof fault, "%d bytes, the column chunk has %" PRIu64 " more",
             p->stored_bytes, left - *header_bytes);
    return page_fail(s, BDPO_BAD_FILE, fault);
}

static const bdpo_parquet_mark *mark_at(const bdpo_parquet_stream *s, size_t i)
{
    return (const bdpo_parquet_mark *)(const void *)s->marks.data + i;
}

// Remembers the data page at s->at, unless it is known.
static bdpo_status note_page(bdpo_parquet_stream *s, int64_t first_row)
{
    bdpo_parquet_mark mark = {s->at, first_row};
    size_t n = s->marks.size / sizeof mark;
    if (n > 0 && mark_at(s, n - 1)->at >= mark.at) return BDPO_OK;
    return bdpo_growing_add(&s->marks, &mark, sizeof mark)
               ? BDPO_OK
               : page_fail(s, BDPO_NO_MEMORY, "no memory to remember it");
}

// Goes to the last known page that does not begin behind the row.
static void go_near(bdpo_parquet_stream *s, int64_t row)
{
    size_t low = 0, high = s->marks.size / sizeof(bdpo_parquet_mark);
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (mark_at(s, middle)->first_row <= row)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == 0) return;
    const bdpo_parquet_mark *mark = mark_at(s, low - 1);
    if (row >= s->n_rows_to_at && mark->at < s->at) return; // it is nearer already
    s->at = mark->at;
    s->n_rows_to_at = mark->first_row;
}

// Takes the next page of any kind; loads it where it holds the row.
static bdpo_status take_page(bdpo_parquet_stream *s, int64_t row, int64_t n_rows)
{
    bdpo_parquet_page p;
    size_t header_bytes = 0;
    TRY(read_header(s, &p, &header_bytes));
    int64_t body = s->at + (int64_t)header_bytes, first_row = s->n_rows_to_at;
    if (p.type == BDPO_PARQUET_DICTIONARY_PAGE) TRY(note_dictionary(s, &p, body));
    if (p.type == BDPO_PARQUET_DATA_PAGE_V2) TRY(check_v2(s, &p));
    if (p.type == BDPO_PARQUET_DATA_PAGE || p.type == BDPO_PARQUET_DATA_PAGE_V2) {
        if (p.n_values > n_rows - first_row)
            return page_fail(s, BDPO_BAD_FILE, "more values than the row group has rows");
        TRY(note_page(s, first_row));
        if (row < first_row + p.n_values) TRY(load_page(s, &p, body));
        s->first_row = first_row;
        s->n_rows_to_at += p.n_values;
    }
    s->at = body + p.stored_bytes;
    return BDPO_OK;
}

static void enter_group(bdpo_parquet_stream *s, size_t group)
{
    forget_dictionary(s);
    s->in_group = true;
    s->group = group;
    s->chunk = bdpo_parquet_chunk_at(s->file, group, s->leaf_index);
    s->at = s->chunk->start;
    s->end = s->chunk->start + s->chunk->size_bytes;
    s->n_rows_to_at = 0;
    s->marks.size = 0;
    s->window_bytes = 0;
    s->has_page = false;
}

static bdpo_status find_page(bdpo_parquet_stream *s, int64_t row)
{
    int64_t n_rows = bdpo_parquet_group_at(s->file, s->group)->n_rows;
    if (s->has_page && row >= s->first_row && row < s->first_row + s->page.n_values) return BDPO_OK;
    s->has_page = false;
    go_near(s, row);
    while (!s->has_page) {
        if (s->at == s->end) {
            char what[96];
            snprintf(what, sizeof what, "its pages hold %" PRId64 " of %" PRId64 " rows",
                     s->n_rows_to_at, n_rows);
            return chunk_fail(s->file, s->leaf_index, s->group, BDPO_BAD_FILE, what);
        }
        TRY(take_page(s, row, n_rows));
    }
    return BDPO_OK;
}

// ---- values --------------------------------------------------------------------------------

static bdpo_status skip_to(bdpo_parquet_stream *s, int64_t position)
{
    uint32_t highest;
    if (position < s->position) TRY(rewind_page(s));
    uint64_t n = (uint64_t)(position - s->position), n_present = n;
    if (n == 0) return BDPO_OK;
    s->has_value = false;
    if (s->leaf->max_level > 0 &&
        !bdpo_parquet_runs_count(&s->level_runs, n, (uint32_t)s->leaf->max_level, &n_present,
                                 &highest))
        BDPO_BUG("levels that were there are gone");
    s->position = position;
    return values_fault(s, bdpo_parquet_values_skip(&s->values, n_present));
}

static bdpo_status read_value(bdpo_parquet_stream *s)
{
    uint32_t level = 0;
    s->has_value = false;
    s->value = (bdpo_parquet_value){.is_null = true};
    if (s->leaf->max_level > 0 && !bdpo_parquet_runs_next(&s->level_runs, &level))
        BDPO_BUG("levels that were there are gone");
    if (level == (uint32_t)s->leaf->max_level)
        TRY(values_fault(s, bdpo_parquet_values_next(&s->values, &s->value)));
    s->position++;
    s->has_value = true;
    return BDPO_OK;
}

static bdpo_status find_value(bdpo_parquet_stream *s, int64_t row)
{
    TRY(find_page(s, row));
    int64_t position = row - s->first_row;
    if (s->has_value && position == s->position - 1) return BDPO_OK;
    TRY(skip_to(s, position));
    return read_value(s);
}

bdpo_status bdpo_parquet_stream_get(bdpo_parquet_value *out, bdpo_parquet_stream *s, size_t group,
                                    int64_t row)
{
    if (!s->in_group || s->group != group) enter_group(s, group);
    bdpo_status status = find_value(s, row);
    if (status == BDPO_OK)
        *out = s->value;
    else
        s->in_group = false; // whoever asks again begins anew
    return status;
}

void bdpo_parquet_stream_begin(bdpo_parquet_stream *s, const bdpo_parquet_file *file, size_t leaf,
                               bdpo_parquet_buffer *stored)
{
    *s = (bdpo_parquet_stream){.file = file,
                               .leaf = bdpo_parquet_leaf_at(file, leaf),
                               .leaf_index = leaf,
                               .stored = stored};
}

void bdpo_parquet_stream_clear(bdpo_parquet_stream *s)
{
    forget_dictionary(s);
    bdpo_free(s->marks.data);
    bdpo_free(s->window.data);
    bdpo_free(s->dictionary_bytes.data);
    bdpo_free(s->bytes.data);
    bdpo_free(s->value_bytes.data);
}

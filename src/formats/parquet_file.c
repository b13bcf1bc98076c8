// A Parquet file: "PAR1", the column chunks, the footer, its length in four bytes, "PAR1". Opening
// reads the footer alone; a cursor has a stream for each of its columns, which reads when asked.
#include <inttypes.h>
#include <string.h>

#include "formats/parquet_pages.h"
#include "formats/printable.h"

const char *bdpo_parquet_type_name(bdpo_parquet_type type)
{
    static const char *const names[] = {"BOOLEAN", "INT32",  "INT64",      "INT96",
                                        "FLOAT",   "DOUBLE", "BYTE_ARRAY", "FIXED_LEN_BYTE_ARRAY"};
    return names[type];
}

const char *bdpo_parquet_logical_name(bdpo_parquet_logical logical)
{
    static const char *const names[] = {
        "",         "STRING",  "ENUM",         "JSON",         "BSON",
        "UUID",     "FLOAT16", "DECIMAL",      "DATE",         "TIME_MS",
        "TIME_US",  "TIME_NS", "TIMESTAMP_MS", "TIMESTAMP_US", "TIMESTAMP_NS",
        "INTERVAL", "SIGNED",  "UNSIGNED",     "NULL",         "OTHER",
    };
    return names[logical];
}

// ---- opening -------------------------------------------------------------------------------

static bdpo_status check_magic(const bdpo_parquet_file *file, const unsigned char *tail,
                               uint64_t size)
{
    const unsigned char *magic = tail + (BDPO_PARQUET_TAIL_BYTES - BDPO_PARQUET_MAGIC_BYTES);
    char head[BDPO_PARQUET_MAGIC_BYTES];
    if (memcmp(magic, "PARE", BDPO_PARQUET_MAGIC_BYTES) == 0)
        return bdpo_fail(BDPO_UNSUPPORTED, "%s: a Parquet file whose footer is encrypted",
                         file->path);
    TRY(bdpo_file_reader_read(file->reader, head, sizeof head, 0));
    if (memcmp(head, "PAR1", sizeof head) != 0)
        return bdpo_fail(BDPO_BAD_FILE, "%s: no Parquet file: it does not begin with PAR1",
                         file->path);
    if (memcmp(magic, "PAR1", BDPO_PARQUET_MAGIC_BYTES) != 0)
        return bdpo_fail(BDPO_BAD_FILE,
                         "%s: a Parquet file that was cut: its %" PRIu64
                         " bytes do not end with PAR1",
                         file->path, size);
    return BDPO_OK;
}

static bdpo_status check_footer_size(bdpo_parquet_file *file, uint64_t file_size,
                                     uint64_t footer_size)
{
    uint64_t around = BDPO_PARQUET_MAGIC_BYTES + BDPO_PARQUET_TAIL_BYTES;
    if (footer_size > file_size - around)
        return bdpo_fail(BDPO_BAD_FILE,
                         "%s: a footer of %" PRIu64 " bytes, the file has %" PRIu64 " before it",
                         file->path, footer_size, file_size - around);
    if (footer_size > BDPO_PARQUET_MAX_FOOTER)
        return bdpo_fail(BDPO_UNSUPPORTED, "%s: a footer of %" PRIu64 " bytes, at most %d are read",
                         file->path, footer_size, BDPO_PARQUET_MAX_FOOTER);
    file->footer_start = file_size - BDPO_PARQUET_TAIL_BYTES - footer_size;
    return BDPO_OK;
}

static bdpo_status read_footer(bdpo_parquet_file *file)
{
    unsigned char tail[BDPO_PARQUET_TAIL_BYTES];
    uint64_t size = bdpo_file_reader_size(file->reader), footer_size = 0;
    if (size < BDPO_PARQUET_MAGIC_BYTES + BDPO_PARQUET_TAIL_BYTES)
        return bdpo_fail(BDPO_BAD_FILE, "%s: no Parquet file: it has %" PRIu64 " bytes", file->path,
                         size);
    TRY(bdpo_file_reader_read(file->reader, tail, sizeof tail, size - sizeof tail));
    TRY(check_magic(file, tail, size));
    for (int i = 0; i < 4; i++) footer_size |= (uint64_t)tail[i] << 8 * i;
    TRY(check_footer_size(file, size, footer_size));
    void *footer = bdpo_realloc(NULL, (size_t)footer_size + 1, 1);
    if (!footer)
        return bdpo_fail(BDPO_NO_MEMORY, "%s: no memory for a footer of %" PRIu64 " bytes",
                         file->path, footer_size);
    bdpo_status status =
        bdpo_file_reader_read(file->reader, footer, (size_t)footer_size, file->footer_start);
    if (status == BDPO_OK) status = bdpo_parquet_read_footer(file, footer, (size_t)footer_size);
    bdpo_free(footer);
    return status;
}

static bdpo_status open_content(bdpo_parquet_file *file, const char *path)
{
    TRY(bdpo_arena_new(&file->arena));
    file->path = bdpo_arena_strdup(file->arena, path);
    if (!file->path) return bdpo_fail(BDPO_NO_MEMORY, "%s: no memory to open it", path);
    TRY(bdpo_file_reader_open(&file->reader, path));
    return read_footer(file);
}

bdpo_status bdpo_parquet_open(bdpo_parquet_file **out, const char *path)
{
    bdpo_parquet_file *file = bdpo_alloc(1, sizeof *file);
    if (!file) return bdpo_fail(BDPO_NO_MEMORY, "%s: no memory to open it", path);
    bdpo_status status = open_content(file, path);
    if (status == BDPO_OK)
        *out = file;
    else
        bdpo_parquet_close(file);
    return status;
}

void bdpo_parquet_close(bdpo_parquet_file *file)
{
    if (!file) return;
    bdpo_free(file->leaves.data);
    bdpo_free(file->groups.data);
    bdpo_free(file->chunks.data);
    bdpo_free(file->pairs.data);
    bdpo_file_reader_close(file->reader);
    bdpo_arena_free(file->arena);
    bdpo_free(file);
}

// ---- what is in it -------------------------------------------------------------------------

const char *bdpo_parquet_path(const bdpo_parquet_file *file)
{
    return file->path;
}

const char *bdpo_parquet_created_by(const bdpo_parquet_file *file)
{
    return file->created_by;
}

int64_t bdpo_parquet_n_rows(const bdpo_parquet_file *file)
{
    return file->n_rows;
}

size_t bdpo_parquet_n_row_groups(const bdpo_parquet_file *file)
{
    return file->n_groups;
}

int64_t bdpo_parquet_first_row(const bdpo_parquet_file *file, size_t group)
{
    BDPO_ASSERT(group <= file->n_groups);
    return group == file->n_groups ? file->n_rows : bdpo_parquet_group_at(file, group)->first_row;
}

size_t bdpo_parquet_n_columns(const bdpo_parquet_file *file)
{
    return file->n_leaves;
}

const bdpo_parquet_column *bdpo_parquet_column_at(const bdpo_parquet_file *file, size_t index)
{
    return &bdpo_parquet_leaf_at(file, index)->column;
}

static size_t find_from(const bdpo_parquet_file *file, const char *name, size_t first)
{
    for (size_t i = first; i < file->n_leaves; i++)
        if (strcmp(bdpo_parquet_column_at(file, i)->name, name) == 0) return i;
    return SIZE_MAX;
}

size_t bdpo_parquet_column_find(const bdpo_parquet_file *file, const char *name)
{
    return find_from(file, name, 0);
}

const char *bdpo_parquet_metadata(const bdpo_parquet_file *file, const char *key)
{
    const bdpo_parquet_pair *pairs = (const bdpo_parquet_pair *)(const void *)file->pairs.data;
    for (size_t i = 0; i < file->pairs.size / sizeof *pairs; i++)
        if (strcmp(pairs[i].key, key) == 0) return pairs[i].text;
    return NULL;
}

// ---- cursors -------------------------------------------------------------------------------

struct bdpo_parquet_cursor {
    const bdpo_parquet_file *file;
    int64_t row, next_row; // row: -1 where no value can be asked for
    size_t group;          // that holds `row`
    size_t n_streams;
    bdpo_parquet_stream *streams;
    bdpo_parquet_buffer stored;
};

static bool is_inside(const char *name, const char *group)
{
    size_t n = strlen(group);
    return strncmp(name, group, n) == 0 && name[n] == '.';
}

static bdpo_status no_column(const bdpo_parquet_file *file, const char *name)
{
    for (size_t i = 0; i < file->n_leaves; i++) {
        const char *leaf = bdpo_parquet_column_at(file, i)->name;
        if (!is_inside(leaf, name)) continue;
        return bdpo_fail(BDPO_UNSUPPORTED,
                         "%s: column %s is nested, its first field is %s; only plain ones are read",
                         file->path, bdpo_printable(name).text, bdpo_printable(leaf).text);
    }
    return bdpo_fail(BDPO_BAD_FILE, "%s: no column %s among its %zu", file->path,
                     bdpo_printable(name).text, file->n_leaves);
}

static bdpo_status find_column(size_t *out, const bdpo_parquet_file *file, const char *name)
{
    size_t found = bdpo_parquet_column_find(file, name);
    if (found == SIZE_MAX) return no_column(file, name);
    if (find_from(file, name, found + 1) != SIZE_MAX)
        return bdpo_fail(BDPO_BAD_FILE, "%s: column %s is there twice", file->path,
                         bdpo_printable(name).text);
    if (bdpo_parquet_column_at(file, found)->repeated)
        return bdpo_fail(BDPO_UNSUPPORTED,
                         "%s: column %s is repeated, in a list or a map; only plain ones are read",
                         file->path, bdpo_printable(name).text);
    for (size_t group = 0; group < file->n_groups; group++)
        TRY(bdpo_parquet_chunk_check(file, found, group));
    *out = found;
    return BDPO_OK;
}

static bdpo_status begin_streams(bdpo_parquet_cursor *c, const char *const *columns, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        size_t leaf = 0;
        TRY(find_column(&leaf, c->file, columns[i]));
        bdpo_parquet_stream_begin(&c->streams[i], c->file, leaf, &c->stored);
        c->n_streams++;
    }
    return BDPO_OK;
}

bdpo_status bdpo_parquet_cursor_open(bdpo_parquet_cursor **out, const bdpo_parquet_file *file,
                                     const char *const *columns, size_t n_columns)
{
    bdpo_status status;
    bdpo_parquet_cursor *c = bdpo_alloc(1, sizeof *c);
    if (!c) return bdpo_fail(BDPO_NO_MEMORY, "%s: no memory for a cursor", file->path);
    c->file = file;
    c->row = -1;
    c->streams = bdpo_alloc(n_columns + 1, sizeof *c->streams);
    status = c->streams ? begin_streams(c, columns, n_columns)
                        : bdpo_fail(BDPO_NO_MEMORY, "%s: no memory for a cursor", file->path);
    if (status == BDPO_OK)
        *out = c;
    else
        bdpo_parquet_cursor_close(c);
    return status;
}

void bdpo_parquet_cursor_close(bdpo_parquet_cursor *c)
{
    if (!c) return;
    for (size_t i = 0; i < c->n_streams; i++) bdpo_parquet_stream_clear(&c->streams[i]);
    bdpo_free(c->streams);
    bdpo_free(c->stored.data);
    bdpo_free(c);
}

// The group whose rows include `row`, which the file has. Empty groups are never it.
static size_t group_of(const bdpo_parquet_file *file, int64_t row)
{
    size_t low = 0, high = file->n_groups; // first_row(low) <= row < first_row(high)
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (bdpo_parquet_first_row(file, middle) <= row)
            low = middle;
        else
            high = middle;
    }
    return low;
}

bdpo_status bdpo_parquet_cursor_next(bool *has_row, bdpo_parquet_cursor *c)
{
    *has_row = c->next_row < c->file->n_rows;
    c->row = *has_row ? c->next_row : -1;
    if (!*has_row) return BDPO_OK;
    if (c->row >= bdpo_parquet_first_row(c->file, c->group + 1) ||
        c->row < bdpo_parquet_first_row(c->file, c->group))
        c->group = group_of(c->file, c->row);
    c->next_row++;
    return BDPO_OK;
}

int64_t bdpo_parquet_cursor_row(const bdpo_parquet_cursor *c)
{
    return c->row;
}

bdpo_status bdpo_parquet_cursor_seek(bdpo_parquet_cursor *c, int64_t row)
{
    if (row < 0 || row > c->file->n_rows)
        return bdpo_fail(BDPO_BAD_ARGUMENT, "%s: row %" PRId64 " of %" PRId64, c->file->path, row,
                         c->file->n_rows);
    c->next_row = row;
    c->row = -1;
    return BDPO_OK;
}

bdpo_status bdpo_parquet_cursor_get(bdpo_parquet_value *out, bdpo_parquet_cursor *c, size_t index)
{
    BDPO_ASSERT(index < c->n_streams && c->row >= 0);
    int64_t in_group = c->row - bdpo_parquet_first_row(c->file, c->group);
    return bdpo_parquet_stream_get(out, &c->streams[index], c->group, in_group);
}

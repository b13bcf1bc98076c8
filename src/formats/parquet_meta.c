// The footer and the page headers, in Thrift's compact protocol. Field numbers are those of the
// format's own parquet.thrift; fields that are not read here are skipped.
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "formats/parquet_footer.h"

const bdpo_parquet_leaf *bdpo_parquet_leaf_at(const bdpo_parquet_file *file, size_t index)
{
    BDPO_ASSERT(index < file->n_leaves);
    return (const bdpo_parquet_leaf *)(const void *)file->leaves.data + index;
}

const bdpo_parquet_group *bdpo_parquet_group_at(const bdpo_parquet_file *file, size_t index)
{
    BDPO_ASSERT(index < file->n_groups);
    return (const bdpo_parquet_group *)(const void *)file->groups.data + index;
}

const bdpo_parquet_chunk *bdpo_parquet_chunk_at(const bdpo_parquet_file *file, size_t group,
                                                size_t leaf)
{
    BDPO_ASSERT(leaf < file->n_leaves);
    size_t index = bdpo_parquet_group_at(file, group)->first_chunk + leaf;
    return (const bdpo_parquet_chunk *)(const void *)file->chunks.data + index;
}

bdpo_status bdpo_parquet_footer_no_memory(const bdpo_parquet_file *file)
{
    return bdpo_fail(BDPO_NO_MEMORY, "%s: no memory for its footer", file->path);
}

bdpo_status bdpo_parquet_footer_fault(const bdpo_parquet_file *file, const bdpo_thrift *t)
{
    if (bdpo_thrift_ok(t)) return BDPO_OK;
    return bdpo_fail(BDPO_BAD_FILE, "%s: footer, %s", file->path, t->fault);
}

// ---- row groups ----------------------------------------------------------------------------

static void read_chunk_metadata(bdpo_thrift *t, const bdpo_thrift_field *in, bdpo_parquet_chunk *c)
{
    bdpo_thrift_field f = {0};
    int64_t data = -1, dictionary = 0;
    bdpo_thrift_struct(t, in);
    while (bdpo_thrift_next(t, &f)) {
        switch (f.id) {
        case 1:
            c->type = bdpo_thrift_i32(t, &f);
            break;
        case 4:
            c->codec = bdpo_thrift_i32(t, &f);
            break;
        case 5:
            c->n_values = bdpo_thrift_i64(t, &f);
            break;
        case 7:
            c->size_bytes = bdpo_thrift_i64(t, &f);
            break;
        case 9:
            data = bdpo_thrift_i64(t, &f);
            break;
        case 11:
            dictionary = bdpo_thrift_i64(t, &f);
            break;
        default:
            bdpo_thrift_skip(t, &f);
        }
    }
    static const int needed[] = {1, 4, 5, 7, 9}; // the rest is of no use here
    for (size_t i = 0; i < BDPO_COUNTOF(needed); i++)
        if (!bdpo_thrift_has(&f, needed[i]))
            bdpo_thrift_fail(t, "a column chunk without field %d", needed[i]);
    // A dictionary at 0, where the magic lies, is none.
    c->start = dictionary > 0 && dictionary < data ? dictionary : data;
}

static void read_chunk(bdpo_thrift *t, bdpo_parquet_chunk *c)
{
    bdpo_thrift_field f = {0};
    size_t size = 0;
    *c = (bdpo_parquet_chunk){0};
    while (bdpo_thrift_next(t, &f)) {
        switch (f.id) {
        case 1:
            bdpo_thrift_binary(t, &f, &size);
            break;
        case 3:
            read_chunk_metadata(t, &f, c);
            break;
        default:
            bdpo_thrift_skip(t, &f);
        }
    }
    c->elsewhere = size > 0;
    c->encrypted = bdpo_thrift_has(&f, 8) || bdpo_thrift_has(&f, 9);
    // Also keeps what a footer of empty chunks would take in proportion.
    if (!bdpo_thrift_has(&f, 3) && !c->encrypted)
        bdpo_thrift_fail(t, "a column chunk without field 3");
}

static bdpo_status read_chunks(bdpo_parquet_file *file, bdpo_thrift *t, const bdpo_thrift_field *f,
                               size_t *n)
{
    *n = bdpo_thrift_structs(t, f);
    for (size_t i = 0; i < *n && bdpo_thrift_ok(t); i++) {
        bdpo_parquet_chunk chunk;
        read_chunk(t, &chunk);
        if (!bdpo_growing_add(&file->chunks, &chunk, sizeof chunk))
            return bdpo_parquet_footer_no_memory(file);
    }
    return BDPO_OK;
}

static bdpo_status read_group(bdpo_parquet_file *file, bdpo_thrift *t, size_t *n_chunks)
{
    bdpo_thrift_field f = {0};
    bdpo_parquet_group group = {.first_chunk = file->chunks.size / sizeof(bdpo_parquet_chunk)};
    *n_chunks = 0;
    while (bdpo_thrift_next(t, &f)) {
        switch (f.id) {
        case 1:
            TRY(read_chunks(file, t, &f, n_chunks));
            break;
        case 3:
            group.n_rows = bdpo_thrift_i64(t, &f);
            break;
        default:
            bdpo_thrift_skip(t, &f);
        }
    }
    if (!bdpo_thrift_has(&f, 1)) bdpo_thrift_fail(t, "a row group without columns");
    if (!bdpo_thrift_has(&f, 3)) bdpo_thrift_fail(t, "a row group without a number of rows");
    return bdpo_growing_add(&file->groups, &group, sizeof group)
               ? BDPO_OK
               : bdpo_parquet_footer_no_memory(file);
}

// The schema is before: every writer puts the fields in the order of their numbers.
static bdpo_status read_groups(bdpo_parquet_file *file, bdpo_thrift *t, const bdpo_thrift_field *f)
{
    size_t n = bdpo_thrift_structs(t, f), n_chunks = 0;
    int64_t n_rows = 0;
    for (size_t i = 0; i < n; i++) {
        TRY(read_group(file, t, &n_chunks));
        TRY(bdpo_parquet_footer_fault(file, t));
        bdpo_parquet_group *group = (bdpo_parquet_group *)(void *)file->groups.data + i;
        if (n_chunks != file->n_leaves)
            return bdpo_fail(BDPO_BAD_FILE,
                             "%s: row group %zu has %zu columns, the schema before it %zu",
                             file->path, i, n_chunks, file->n_leaves);
        group->first_row = n_rows;
        if (group->n_rows < 0 || __builtin_add_overflow(n_rows, group->n_rows, &n_rows))
            return bdpo_fail(BDPO_BAD_FILE, "%s: row group %zu of %" PRId64 " rows", file->path, i,
                             group->n_rows);
        file->n_groups++;
    }
    return BDPO_OK;
}

// ---- the footer ----------------------------------------------------------------------------

static const char *copy_text(bdpo_parquet_file *file, bdpo_thrift *t, const bdpo_thrift_field *f)
{
    size_t size;
    const char *text = bdpo_thrift_binary(t, f, &size);
    char *copy = bdpo_arena_alloc(file->arena, size + 1, 1);
    if (copy) memcpy(copy, text, size);
    return copy;
}

static bdpo_status read_pairs(bdpo_parquet_file *file, bdpo_thrift *t, const bdpo_thrift_field *in)
{
    size_t n = bdpo_thrift_structs(t, in);
    for (size_t i = 0; i < n && bdpo_thrift_ok(t); i++) {
        bdpo_thrift_field f = {0};
        bdpo_parquet_pair pair = {"", ""};
        while (bdpo_thrift_next(t, &f)) {
            switch (f.id) {
            case 1:
                pair.key = copy_text(file, t, &f);
                break;
            case 2:
                pair.text = copy_text(file, t, &f);
                break;
            default:
                bdpo_thrift_skip(t, &f);
            }
        }
        if (!bdpo_thrift_has(&f, 1)) bdpo_thrift_fail(t, "metadata without a key");
        if (!pair.key || !pair.text || !bdpo_growing_add(&file->pairs, &pair, sizeof pair))
            return bdpo_parquet_footer_no_memory(file);
    }
    return BDPO_OK;
}

static bdpo_status read_fields(bdpo_parquet_file *file, bdpo_thrift *t, bdpo_thrift_field *f)
{
    while (bdpo_thrift_next(t, f)) {
        switch (f->id) {
        case 2:
            TRY(bdpo_parquet_read_schema(file, t, f));
            break;
        case 3:
            file->n_rows = bdpo_thrift_i64(t, f);
            break;
        case 4:
            TRY(read_groups(file, t, f));
            break;
        case 5:
            TRY(read_pairs(file, t, f));
            break;
        case 6:
            file->created_by = copy_text(file, t, f);
            break;
        default:
            bdpo_thrift_skip(t, f);
        }
    }
    if (!file->created_by) return bdpo_parquet_footer_no_memory(file);
    return bdpo_parquet_footer_fault(file, t);
}

bdpo_status bdpo_parquet_read_footer(bdpo_parquet_file *file, const void *data, size_t size)
{
    bdpo_thrift t;
    bdpo_thrift_field f = {0};
    file->created_by = "";
    bdpo_thrift_begin(&t, data, size);
    TRY(read_fields(file, &t, &f));
    for (int id = 2; id <= 4; id++)
        if (!bdpo_thrift_has(&f, id))
            return bdpo_fail(BDPO_BAD_FILE, "%s: footer: field %d, %s, is missing", file->path, id,
                             id == 2   ? "the schema"
                             : id == 3 ? "the number of rows"
                                       : "the row groups");
    int64_t n_rows = 0;
    for (size_t i = 0; i < file->n_groups; i++) n_rows += bdpo_parquet_group_at(file, i)->n_rows;
    if (n_rows != file->n_rows)
        return bdpo_fail(BDPO_BAD_FILE,
                         "%s: footer: %" PRId64 " rows, those of its row groups are %" PRId64,
                         file->path, file->n_rows, n_rows);
    return BDPO_OK;
}

// ---- pages ---------------------------------------------------------------------------------

static void read_data_header(bdpo_thrift *t, const bdpo_thrift_field *in, bdpo_parquet_page *p)
{
    bdpo_thrift_field f = {0};
    bdpo_thrift_struct(t, in);
    while (bdpo_thrift_next(t, &f)) {
        switch (f.id) {
        case 1:
            p->n_values = bdpo_thrift_i32(t, &f);
            break;
        case 2:
            p->encoding = bdpo_thrift_i32(t, &f);
            break;
        case 3:
            p->level_encoding = bdpo_thrift_i32(t, &f);
            break;
        default:
            bdpo_thrift_skip(t, &f);
        }
    }
    if ((f.seen & 14) != 14) bdpo_thrift_fail(t, "a data page's header lacks a field");
}

static void read_dictionary_header(bdpo_thrift *t, const bdpo_thrift_field *in,
                                   bdpo_parquet_page *p)
{
    bdpo_thrift_field f = {0};
    bdpo_thrift_struct(t, in);
    while (bdpo_thrift_next(t, &f)) {
        switch (f.id) {
        case 1:
            p->n_values = bdpo_thrift_i32(t, &f);
            break;
        case 2:
            p->encoding = bdpo_thrift_i32(t, &f);
            break;
        default:
            bdpo_thrift_skip(t, &f);
        }
    }
    if ((f.seen & 6) != 6) bdpo_thrift_fail(t, "a dictionary page's header lacks a field");
}

static void read_data_header_v2(bdpo_thrift *t, const bdpo_thrift_field *in, bdpo_parquet_page *p)
{
    bdpo_thrift_field f = {0};
    bdpo_thrift_struct(t, in);
    while (bdpo_thrift_next(t, &f)) {
        switch (f.id) {
        case 1:
            p->n_values = bdpo_thrift_i32(t, &f);
            break;
        case 2:
            p->n_nulls = bdpo_thrift_i32(t, &f);
            break;
        case 3:
            p->n_rows = bdpo_thrift_i32(t, &f);
            break;
        case 4:
            p->encoding = bdpo_thrift_i32(t, &f);
            break;
        case 5:
            p->level_bytes = bdpo_thrift_i32(t, &f);
            break;
        case 6:
            p->repetition_bytes = bdpo_thrift_i32(t, &f);
            break;
        case 7:
            p->is_compressed = bdpo_thrift_bool(t, &f);
            break;
        default:
            bdpo_thrift_skip(t, &f);
        }
    }
    if ((f.seen & 126) != 126) bdpo_thrift_fail(t, "a version 2 page's header lacks a field");
}

static void check_page(bdpo_thrift *t, const bdpo_parquet_page *p, const bdpo_thrift_field *f)
{
    static const int header_of[] = {5, 6, 7, 8}; // the field that each type needs
    if ((f->seen & 14) != 14) bdpo_thrift_fail(t, "a page header lacks type or size");
    if (p->type >= 0 && p->type < 4 && p->type != BDPO_PARQUET_INDEX_PAGE &&
        !bdpo_thrift_has(f, header_of[p->type]))
        bdpo_thrift_fail(t, "a page of type %d without field %d", p->type, header_of[p->type]);
    if (p->stored_bytes < 0 || p->plain_bytes < 0)
        bdpo_thrift_fail(t, "a page of %d bytes, decompressed %d", p->stored_bytes, p->plain_bytes);
    if (p->n_values < 0 || p->n_nulls < 0 || p->n_nulls > p->n_values)
        bdpo_thrift_fail(t, "a page of %d values and %d nulls", p->n_values, p->n_nulls);
}

bool bdpo_parquet_read_page(bdpo_parquet_page *out, size_t *header_bytes, const void *data,
                            size_t size, char fault[128])
{
    bdpo_thrift t;
    bdpo_thrift_field f = {0};
    *out = (bdpo_parquet_page){.is_compressed = true};
    *header_bytes = 0;
    bdpo_thrift_begin(&t, data, size);
    while (bdpo_thrift_next(&t, &f)) {
        switch (f.id) {
        case 1:
            out->type = bdpo_thrift_i32(&t, &f);
            break;
        case 2:
            out->plain_bytes = bdpo_thrift_i32(&t, &f);
            break;
        case 3:
            out->stored_bytes = bdpo_thrift_i32(&t, &f);
            break;
        case 4:
            out->crc = (uint32_t)bdpo_thrift_i32(&t, &f);
            break;
        case 5:
            read_data_header(&t, &f, out);
            break;
        case 7:
            read_dictionary_header(&t, &f, out);
            break;
        case 8:
            read_data_header_v2(&t, &f, out);
            break;
        default:
            bdpo_thrift_skip(&t, &f);
        }
    }
    if (t.ended) return true;
    out->has_crc = bdpo_thrift_has(&f, 4);
    check_page(&t, out, &f);
    snprintf(fault, 128, "header, %s", t.fault);
    if (!bdpo_thrift_ok(&t)) return false;
    *header_bytes = (size_t)(t.at - t.begin);
    return true;
}

// The footer and the page headers, in Thrift's compact protocol. Field numbers are those of the
// format's own parquet.thrift; fields that are not read here are skipped.
#include "formats/parquet_meta.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "formats/parquet_thrift.h"
#include "formats/printable.h"

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

static bdpo_status no_memory(const bdpo_parquet_file *file)
{
    return bdpo_fail(BDPO_NO_MEMORY, "%s: no memory for its footer", file->path);
}

static bdpo_status footer_fault(const bdpo_parquet_file *file, const bdpo_thrift *t)
{
    if (bdpo_thrift_ok(t)) return BDPO_OK;
    return bdpo_fail(BDPO_BAD_FILE, "%s: footer, %s", file->path, t->fault);
}

// ---- logical types -------------------------------------------------------------------------

// What SchemaElement.converted_type says, for writers before logical types.
static bdpo_parquet_logical from_converted(int32_t converted)
{
    static const bdpo_parquet_logical kinds[] = {
        BDPO_PARQUET_STRING,       BDPO_PARQUET_OTHER,        BDPO_PARQUET_OTHER,
        BDPO_PARQUET_OTHER,        BDPO_PARQUET_ENUM,         BDPO_PARQUET_DECIMAL,
        BDPO_PARQUET_DATE,         BDPO_PARQUET_TIME_MS,      BDPO_PARQUET_TIME_US,
        BDPO_PARQUET_TIMESTAMP_MS, BDPO_PARQUET_TIMESTAMP_US, BDPO_PARQUET_UNSIGNED,
        BDPO_PARQUET_UNSIGNED,     BDPO_PARQUET_UNSIGNED,     BDPO_PARQUET_UNSIGNED,
        BDPO_PARQUET_SIGNED,       BDPO_PARQUET_SIGNED,       BDPO_PARQUET_SIGNED,
        BDPO_PARQUET_SIGNED,       BDPO_PARQUET_JSON,         BDPO_PARQUET_BSON,
        BDPO_PARQUET_INTERVAL,
    };
    if (converted < 0 || converted >= (int32_t)BDPO_COUNTOF(kinds)) return BDPO_PARQUET_OTHER;
    return kinds[converted];
}

// TimeUnit, a union of empty structs: 1 milliseconds, 2 microseconds, 3 nanoseconds.
static int read_unit(bdpo_thrift *t, const bdpo_thrift_field *in)
{
    bdpo_thrift_field f = {0};
    int unit = 0;
    bdpo_thrift_struct(t, in);
    while (bdpo_thrift_next(t, &f)) {
        unit = f.id;
        bdpo_thrift_skip(t, &f);
    }
    return unit;
}

static bdpo_parquet_logical read_time(bdpo_thrift *t, const bdpo_thrift_field *in,
                                      bdpo_parquet_logical milliseconds)
{
    bdpo_thrift_field f = {0};
    int unit = 0;
    bdpo_thrift_struct(t, in);
    while (bdpo_thrift_next(t, &f)) {
        if (f.id == 2)
            unit = read_unit(t, &f);
        else
            bdpo_thrift_skip(t, &f);
    }
    if (unit < 1 || unit > 3) return BDPO_PARQUET_OTHER;
    return (bdpo_parquet_logical)((int)milliseconds + unit - 1);
}

static bdpo_parquet_logical read_decimal(bdpo_thrift *t, const bdpo_thrift_field *in,
                                         int32_t *scale)
{
    bdpo_thrift_field f = {0};
    bdpo_thrift_struct(t, in);
    while (bdpo_thrift_next(t, &f)) {
        if (f.id == 1)
            *scale = bdpo_thrift_i32(t, &f);
        else
            bdpo_thrift_skip(t, &f);
    }
    return BDPO_PARQUET_DECIMAL;
}

static bdpo_parquet_logical read_integer(bdpo_thrift *t, const bdpo_thrift_field *in)
{
    bdpo_thrift_field f = {0};
    bool is_signed = true;
    bdpo_thrift_struct(t, in);
    while (bdpo_thrift_next(t, &f)) {
        if (f.id == 2)
            is_signed = bdpo_thrift_bool(t, &f);
        else
            bdpo_thrift_skip(t, &f);
    }
    return is_signed ? BDPO_PARQUET_SIGNED : BDPO_PARQUET_UNSIGNED;
}

// LogicalType, a union: the field's number is the kind.
static bdpo_parquet_logical read_logical(bdpo_thrift *t, const bdpo_thrift_field *in,
                                         int32_t *scale)
{
    static const bdpo_parquet_logical plain[] = {
        [1] = BDPO_PARQUET_STRING, [4] = BDPO_PARQUET_ENUM,     [6] = BDPO_PARQUET_DATE,
        [11] = BDPO_PARQUET_NULL,  [12] = BDPO_PARQUET_JSON,    [13] = BDPO_PARQUET_BSON,
        [14] = BDPO_PARQUET_UUID,  [15] = BDPO_PARQUET_FLOAT16,
    };
    bdpo_thrift_field f = {0};
    bdpo_parquet_logical logical = BDPO_PARQUET_OTHER;
    bdpo_thrift_struct(t, in);
    while (bdpo_thrift_next(t, &f)) {
        if (f.id == 5) {
            logical = read_decimal(t, &f, scale);
        } else if (f.id == 7) {
            logical = read_time(t, &f, BDPO_PARQUET_TIME_MS);
        } else if (f.id == 8) {
            logical = read_time(t, &f, BDPO_PARQUET_TIMESTAMP_MS);
        } else if (f.id == 10) {
            logical = read_integer(t, &f);
        } else {
            if (f.id > 0 && f.id < (int)BDPO_COUNTOF(plain) && plain[f.id] != BDPO_PARQUET_PLAIN)
                logical = plain[f.id];
            bdpo_thrift_skip(t, &f);
        }
    }
    return logical;
}

// ---- the schema ----------------------------------------------------------------------------

typedef struct element {
    bool has_type, is_group;
    int32_t type, length, repetition, n_children, scale; // repetition: 0 required, 1 optional
    bdpo_parquet_logical logical;
    const char *name;
    size_t name_bytes;
} element;

// The groups around the present element.
typedef struct walk {
    int depth, n_children[BDPO_PARQUET_MAX_DEPTH]; // children that are still to come
    int levels[BDPO_PARQUET_MAX_DEPTH];
    bool repeated[BDPO_PARQUET_MAX_DEPTH];
    size_t name_bytes[BDPO_PARQUET_MAX_DEPTH];
    char name[BDPO_PARQUET_MAX_NAME];
} walk;

static void read_element(bdpo_thrift *t, element *e)
{
    bdpo_thrift_field f = {0};
    int32_t converted = -1;
    *e = (element){.name = ""};
    while (bdpo_thrift_next(t, &f)) {
        switch (f.id) {
        case 1:
            e->type = bdpo_thrift_i32(t, &f);
            break;
        case 2:
            e->length = bdpo_thrift_i32(t, &f);
            break;
        case 3:
            e->repetition = bdpo_thrift_i32(t, &f);
            break;
        case 4:
            e->name = bdpo_thrift_binary(t, &f, &e->name_bytes);
            break;
        case 5:
            e->n_children = bdpo_thrift_i32(t, &f);
            break;
        case 6:
            converted = bdpo_thrift_i32(t, &f);
            break;
        case 7:
            e->scale = bdpo_thrift_i32(t, &f);
            break;
        case 10:
            e->logical = read_logical(t, &f, &e->scale);
            break;
        default:
            bdpo_thrift_skip(t, &f);
        }
    }
    e->has_type = bdpo_thrift_has(&f, 1);
    // Some writers give a leaf 0 children, and a table without columns has such a root.
    e->is_group = bdpo_thrift_has(&f, 5) && !(e->has_type && e->n_children == 0);
    if (!bdpo_thrift_has(&f, 10) && converted >= 0) e->logical = from_converted(converted);
    if (!bdpo_thrift_has(&f, 4)) bdpo_thrift_fail(t, "a schema element without a name");
}

static bdpo_status bad_element(const bdpo_parquet_file *file, const element *e, const char *what)
{
    return bdpo_fail(BDPO_BAD_FILE, "%s: schema: %s: %s", file->path,
                     bdpo_printable_bytes(e->name, e->name_bytes).text, what);
}

static bdpo_status check_element(const bdpo_parquet_file *file, const element *e)
{
    if (e->is_group == e->has_type)
        return bad_element(file, e,
                           e->is_group ? "a group with a type of its own"
                                       : "neither a type nor children");
    if (e->repetition < 0 || e->repetition > 2)
        return bad_element(file, e, "it is neither required nor optional nor repeated");
    if (e->is_group) {
        if (e->n_children < 0) return bad_element(file, e, "a negative number of children");
        return BDPO_OK;
    }
    if (e->type < 0 || e->type > BDPO_PARQUET_FIXED_BYTES)
        return bad_element(file, e, "a type that the format does not have");
    if (e->type == BDPO_PARQUET_FIXED_BYTES &&
        (e->length <= 0 || e->length > BDPO_PARQUET_MAX_PAGE))
        return bad_element(file, e, "bytes of fixed length with a length that is none");
    return BDPO_OK;
}

// Appends ".name" to the name of the group around. *end is the length of the whole.
static bdpo_status join_name(const bdpo_parquet_file *file, walk *w, const element *e, size_t *end)
{
    size_t begin = w->name_bytes[w->depth - 1];
    if (memchr(e->name, '\0', e->name_bytes))
        return bad_element(file, e, "a zero character in its name");
    if (e->name_bytes >= sizeof w->name - begin - 1)
        return bad_element(file, e, "with the names of its groups longer than 1022 bytes");
    if (begin > 0) w->name[begin++] = '.';
    memcpy(w->name + begin, e->name, e->name_bytes);
    *end = begin + e->name_bytes;
    w->name[*end] = '\0';
    return BDPO_OK;
}

static bdpo_status add_leaf(bdpo_parquet_file *file, const walk *w, const element *e)
{
    int around = w->depth - 1;
    bdpo_parquet_leaf leaf = {
        .column = {.name = bdpo_arena_strdup(file->arena, w->name),
                   .type = (bdpo_parquet_type)e->type,
                   .logical = e->logical,
                   .nullable = w->levels[around] > 0 || e->repetition != 0,
                   .repeated = w->repeated[around] || e->repetition == 2,
                   .fixed_bytes = e->type == BDPO_PARQUET_FIXED_BYTES ? e->length : 0,
                   .scale = e->logical == BDPO_PARQUET_DECIMAL ? e->scale : 0},
        .max_level = w->levels[around] + (e->repetition != 0),
    };
    if (e->type == BDPO_PARQUET_INT96 && e->logical == BDPO_PARQUET_PLAIN)
        leaf.column.logical = BDPO_PARQUET_TIMESTAMP_NS;
    if (!leaf.column.name || !bdpo_growing_add(&file->leaves, &leaf, sizeof leaf))
        return no_memory(file);
    file->n_leaves++;
    return BDPO_OK;
}

static bdpo_status enter_group(const bdpo_parquet_file *file, walk *w, const element *e, size_t end)
{
    int around = w->depth - 1;
    if (w->depth == BDPO_PARQUET_MAX_DEPTH)
        return bad_element(file, e, "nested deeper than 64 groups");
    w->n_children[w->depth] = e->n_children;
    w->levels[w->depth] = w->levels[around] + (e->repetition != 0);
    w->repeated[w->depth] = w->repeated[around] || e->repetition == 2;
    w->name_bytes[w->depth] = end;
    w->depth++;
    return BDPO_OK;
}

// The elements come depth first; the first is the root, whose name does not count.
static bdpo_status walk_schema(bdpo_parquet_file *file, bdpo_thrift *t, size_t n, walk *w)
{
    element e;
    read_element(t, &e);
    TRY(footer_fault(file, t));
    if (!e.is_group || e.n_children < 0)
        return bad_element(file, &e, "the root of the schema is no group");
    w->depth = 1;
    w->n_children[0] = e.n_children;
    for (size_t i = 1; i < n; i++) {
        size_t end = 0;
        while (w->depth > 0 && w->n_children[w->depth - 1] == 0) w->depth--;
        read_element(t, &e);
        TRY(footer_fault(file, t));
        if (w->depth == 0) return bad_element(file, &e, "it is behind the schema's last group");
        w->n_children[w->depth - 1]--;
        TRY(check_element(file, &e));
        TRY(join_name(file, w, &e, &end));
        TRY(e.is_group ? enter_group(file, w, &e, end) : add_leaf(file, w, &e));
    }
    for (int d = 0; d < w->depth; d++)
        if (w->n_children[d] > 0)
            return bdpo_fail(BDPO_BAD_FILE, "%s: schema: %d children of a group are missing",
                             file->path, w->n_children[d]);
    return BDPO_OK;
}

static bdpo_status read_schema(bdpo_parquet_file *file, bdpo_thrift *t, const bdpo_thrift_field *f)
{
    size_t n = bdpo_thrift_structs(t, f);
    TRY(footer_fault(file, t));
    if (n == 0) return bdpo_fail(BDPO_BAD_FILE, "%s: the schema is empty", file->path);
    if (n > BDPO_PARQUET_MAX_SCHEMA)
        return bdpo_fail(BDPO_BAD_FILE, "%s: a schema of %zu elements, at most %d are allowed",
                         file->path, n, BDPO_PARQUET_MAX_SCHEMA);
    walk *w = bdpo_alloc(1, sizeof *w);
    if (!w) return no_memory(file);
    bdpo_status status = walk_schema(file, t, n, w);
    bdpo_free(w);
    return status;
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
    static const int needed[] = {1, 4, 5, 7, 9};
    for (size_t i = 0; i < BDPO_COUNTOF(needed); i++)
        if (!bdpo_thrift_has(&f, needed[i]))
            bdpo_thrift_fail(t, "a column chunk without field %d", needed[i]);
    // A dictionary at 0, where the magic lies, is none.
    c->start = dictionary > 0 && dictionary < data ? dictionary : data;
    c->has_metadata = true;
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
}

static bdpo_status read_chunks(bdpo_parquet_file *file, bdpo_thrift *t, const bdpo_thrift_field *f,
                               size_t *n)
{
    *n = bdpo_thrift_structs(t, f);
    for (size_t i = 0; i < *n && bdpo_thrift_ok(t); i++) {
        bdpo_parquet_chunk chunk;
        read_chunk(t, &chunk);
        if (!bdpo_growing_add(&file->chunks, &chunk, sizeof chunk)) return no_memory(file);
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
    return bdpo_growing_add(&file->groups, &group, sizeof group) ? BDPO_OK : no_memory(file);
}

// The schema is before: every writer puts the fields in the order of their numbers.
static bdpo_status read_groups(bdpo_parquet_file *file, bdpo_thrift *t, const bdpo_thrift_field *f)
{
    size_t n = bdpo_thrift_structs(t, f), n_chunks = 0;
    int64_t n_rows = 0;
    for (size_t i = 0; i < n; i++) {
        TRY(read_group(file, t, &n_chunks));
        TRY(footer_fault(file, t));
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
        if (!pair.key || !pair.text || !bdpo_growing_add(&file->pairs, &pair, sizeof pair))
            return no_memory(file);
    }
    return BDPO_OK;
}

static bdpo_status read_fields(bdpo_parquet_file *file, bdpo_thrift *t, bdpo_thrift_field *f)
{
    while (bdpo_thrift_next(t, f)) {
        switch (f->id) {
        case 2:
            TRY(read_schema(file, t, f));
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
    if (!file->created_by) return no_memory(file);
    return footer_fault(file, t);
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

// The schema of a Parquet file: its elements come depth first, a group before its children, and
// give a list of leaves. Field numbers are those of the format's own parquet.thrift.
#include <string.h>

#include "formats/parquet_footer.h"
#include "formats/printable.h"

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
        return bdpo_parquet_footer_no_memory(file);
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
    TRY(bdpo_parquet_footer_fault(file, t));
    if (!e.is_group || e.n_children < 0)
        return bad_element(file, &e, "the root of the schema is no group");
    w->depth = 1;
    w->n_children[0] = e.n_children;
    for (size_t i = 1; i < n; i++) {
        size_t end = 0;
        while (w->depth > 0 && w->n_children[w->depth - 1] == 0) w->depth--;
        read_element(t, &e);
        TRY(bdpo_parquet_footer_fault(file, t));
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

bdpo_status bdpo_parquet_read_schema(bdpo_parquet_file *file, bdpo_thrift *t,
                                     const bdpo_thrift_field *f)
{
    size_t n = bdpo_thrift_structs(t, f);
    TRY(bdpo_parquet_footer_fault(file, t));
    if (n == 0) return bdpo_fail(BDPO_BAD_FILE, "%s: the schema is empty", file->path);
    if (n > BDPO_PARQUET_MAX_SCHEMA)
        return bdpo_fail(BDPO_BAD_FILE, "%s: a schema of %zu elements, at most %d are allowed",
                         file->path, n, BDPO_PARQUET_MAX_SCHEMA);
    walk *w = bdpo_alloc(1, sizeof *w);
    if (!w) return bdpo_parquet_footer_no_memory(file);
    bdpo_status status = walk_schema(file, t, n, w);
    bdpo_free(w);
    return status;
}

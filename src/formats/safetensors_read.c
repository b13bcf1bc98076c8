// Reading safetensors. The header is walked once; then the byte ranges, sorted, must tile the data
// without hole or overlap. Stricter than the reference reader in what no writer produces: a name
// that occurs twice, an entry written as an array, a zero character in a name, more than 64
// dimensions.
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "formats/json_scan.h"
#include "formats/printable.h"
#include "formats/safetensors.h"
#include "formats/tensor_list.h"

enum { LENGTH_BYTES = 8, MAX_HEADER_BYTES = 100000000 };

// What the header says of one tensor; `position` is that in the list.
typedef struct range {
    uint64_t begin, end;
    size_t position;
} range;

typedef struct reader {
    bdpo_tensor_list *list;
    bdpo_json_scan scan;
    const unsigned char *data; // of all tensors
    size_t data_bytes;
    range *ranges;
    size_t range_capacity;
    bool has_metadata;
} reader;

static bdpo_status fail(const reader *r, const char *name, const char *what)
{
    return bdpo_fail(BDPO_BAD_FILE, "%s: tensor %s: %s", r->list->path, bdpo_printable(name).text,
                     what);
}

// ---- one entry -----------------------------------------------------------------------------

static bdpo_status read_dtype(reader *r, bdpo_stored_tensor *t)
{
    const char *word;
    TRY(bdpo_json_scan_string(&r->scan, &word));
    if (bdpo_stored_dtype_find(&t->dtype, word)) return BDPO_OK;
    return bdpo_fail(BDPO_BAD_FILE, "%s: tensor %s: unknown dtype %s", r->list->path,
                     bdpo_printable(t->name).text, bdpo_printable(word).text);
}

static bdpo_status read_shape(reader *r, bdpo_stored_tensor *t)
{
    int64_t dim[BDPO_STORED_MAX_DIMS];
    int n = 0;
    TRY(bdpo_json_scan_expect(&r->scan, '['));
    if (!bdpo_json_scan_take(&r->scan, ']')) {
        do {
            uint64_t value;
            TRY(bdpo_json_scan_u64(&r->scan, &value));
            if (n == BDPO_STORED_MAX_DIMS) return fail(r, t->name, "more than 64 dimensions");
            if (value > INT64_MAX) return fail(r, t->name, "a dimension above 2^63 - 1");
            dim[n++] = (int64_t)value;
        } while (bdpo_json_scan_take(&r->scan, ','));
        TRY(bdpo_json_scan_expect(&r->scan, ']'));
    }
    int64_t *kept = bdpo_arena_alloc(r->list->arena, (size_t)n + 1, sizeof *kept);
    if (!kept) return bdpo_tensor_list_no_memory(r->list);
    if (n > 0) memcpy(kept, dim, (size_t)n * sizeof *kept);
    t->dim = kept;
    t->n_dims = n;
    return BDPO_OK;
}

static bdpo_status read_offsets(reader *r, range *out)
{
    TRY(bdpo_json_scan_expect(&r->scan, '['));
    TRY(bdpo_json_scan_u64(&r->scan, &out->begin));
    TRY(bdpo_json_scan_expect(&r->scan, ','));
    TRY(bdpo_json_scan_u64(&r->scan, &out->end));
    return bdpo_json_scan_expect(&r->scan, ']');
}

enum { HAS_DTYPE = 1, HAS_SHAPE = 2, HAS_OFFSETS = 4 };

static bdpo_status read_field(reader *r, bdpo_stored_tensor *t, range *where, int *seen)
{
    const char *key;
    TRY(bdpo_json_scan_string(&r->scan, &key));
    TRY(bdpo_json_scan_expect(&r->scan, ':'));
    int field = strcmp(key, "dtype") == 0          ? HAS_DTYPE
                : strcmp(key, "shape") == 0        ? HAS_SHAPE
                : strcmp(key, "data_offsets") == 0 ? HAS_OFFSETS
                                                   : 0;
    if (*seen & field) return fail(r, t->name, "a field of its entry occurs twice");
    *seen |= field;
    switch (field) {
    case HAS_DTYPE:
        return read_dtype(r, t);
    case HAS_SHAPE:
        return read_shape(r, t);
    case HAS_OFFSETS:
        return read_offsets(r, where);
    default:
        return bdpo_json_scan_skip(&r->scan); // unknown fields may come with later versions
    }
}

static bdpo_status check_entry(const reader *r, bdpo_stored_tensor *t, const range *where, int seen)
{
    if (!(seen & HAS_DTYPE)) return fail(r, t->name, "its entry has no dtype");
    if (!(seen & HAS_SHAPE)) return fail(r, t->name, "its entry has no shape");
    if (!(seen & HAS_OFFSETS)) return fail(r, t->name, "its entry has no data_offsets");
    bdpo_stored_shape_text shape = bdpo_stored_shape_print(t->dim, t->n_dims);
    const char *dtype = bdpo_stored_dtype_name(t->dtype);
    if (!bdpo_stored_size(&t->count, &t->size_bytes, t->dim, t->n_dims, t->dtype))
        return bdpo_fail(BDPO_BAD_FILE,
                         "%s: tensor %s: %s %s is no whole number of bytes below 2^61",
                         r->list->path, bdpo_printable(t->name).text, dtype, shape.text);
    if (where->end < where->begin || where->end > r->data_bytes)
        return bdpo_fail(
            BDPO_BAD_FILE, "%s: tensor %s: data_offsets %llu to %llu, the file has 0 to %zu",
            r->list->path, bdpo_printable(t->name).text, (unsigned long long)where->begin,
            (unsigned long long)where->end, r->data_bytes);
    if (where->end - where->begin != t->size_bytes)
        return bdpo_fail(BDPO_BAD_FILE, "%s: tensor %s: %llu bytes of data, %s %s takes %zu",
                         r->list->path, bdpo_printable(t->name).text,
                         (unsigned long long)(where->end - where->begin), dtype, shape.text,
                         t->size_bytes);
    return BDPO_OK;
}

static bdpo_status add_range(reader *r, const range *where)
{
    size_t n = r->list->n_tensors;
    if (n == r->range_capacity) {
        size_t wanted = n ? 2 * n : 64;
        range *grown = bdpo_realloc(r->ranges, wanted, sizeof *grown);
        if (!grown) return bdpo_tensor_list_no_memory(r->list);
        r->ranges = grown;
        r->range_capacity = wanted;
    }
    r->ranges[n] = (range){where->begin, where->end, n};
    return BDPO_OK;
}

static bdpo_status read_entry(reader *r, const char *name)
{
    bdpo_stored_tensor t = {.path = r->list->path, .name = name};
    range where = {0};
    int seen = 0;
    TRY(bdpo_json_scan_expect(&r->scan, '{'));
    if (!bdpo_json_scan_take(&r->scan, '}')) {
        do TRY(read_field(r, &t, &where, &seen));
        while (bdpo_json_scan_take(&r->scan, ','));
        TRY(bdpo_json_scan_expect(&r->scan, '}'));
    }
    TRY(check_entry(r, &t, &where, seen));
    t.data = t.size_bytes > 0 ? r->data + where.begin : NULL;
    TRY(add_range(r, &where));
    return bdpo_tensor_list_add(r->list, &t);
}

// ---- the header ----------------------------------------------------------------------------

static bdpo_status read_metadata(reader *r)
{
    if (r->has_metadata)
        return bdpo_fail(BDPO_BAD_FILE, "%s: __metadata__ occurs twice", r->list->path);
    r->has_metadata = true;
    bdpo_json_scan *s = &r->scan;
    if (bdpo_json_scan_take(s, 'n')) { // null, as the reference reader
        s->at--;
        return bdpo_json_scan_skip(s);
    }
    TRY(bdpo_json_scan_expect(s, '{'));
    if (bdpo_json_scan_take(s, '}')) return BDPO_OK;
    do {
        bdpo_file_value value = {.kind = BDPO_FILE_TEXT};
        TRY(bdpo_json_scan_string(s, &value.name));
        TRY(bdpo_json_scan_expect(s, ':'));
        TRY(bdpo_json_scan_string(s, &value.text));
        value.length = strlen(value.text);
        TRY(bdpo_tensor_list_add_value(r->list, &value));
    } while (bdpo_json_scan_take(s, ','));
    return bdpo_json_scan_expect(s, '}');
}

static bdpo_status read_header(reader *r)
{
    bdpo_json_scan *s = &r->scan;
    TRY(bdpo_json_scan_expect(s, '{'));
    if (bdpo_json_scan_take(s, '}')) return bdpo_json_scan_finish(s);
    do {
        const char *name;
        TRY(bdpo_json_scan_string(s, &name));
        TRY(bdpo_json_scan_expect(s, ':'));
        if (strcmp(name, "__metadata__") == 0)
            TRY(read_metadata(r));
        else
            TRY(read_entry(r, name));
    } while (bdpo_json_scan_take(s, ','));
    TRY(bdpo_json_scan_expect(s, '}'));
    return bdpo_json_scan_finish(s);
}

static bdpo_status check_utf8(const reader *r)
{
    const char *at = r->scan.begin;
    while (at < r->scan.end) {
        utf8proc_int32_t code;
        utf8proc_ssize_t n = (unsigned char)*at < 0x80
                                 ? 1
                                 : utf8proc_iterate((const utf8proc_uint8_t *)at,
                                                    (utf8proc_ssize_t)(r->scan.end - at), &code);
        if (n <= 0)
            return bdpo_fail(BDPO_BAD_FILE, "%s: header, byte %zu: not UTF-8", r->list->path,
                             (size_t)(at - r->scan.begin));
        at += n;
    }
    return BDPO_OK;
}

// ---- the data ------------------------------------------------------------------------------

static int compare(const void *a, const void *b)
{
    const range *x = a, *y = b;
    if (x->begin != y->begin) return x->begin < y->begin ? -1 : 1;
    if (x->end != y->end) return x->end < y->end ? -1 : 1;
    return (x->position > y->position) - (x->position < y->position);
}

// Sorts ranges and tensors by place and checks that they tile the data.
static bdpo_status check_ranges(reader *r)
{
    size_t n = r->list->n_tensors;
    uint64_t end = 0;
    if (n > 1) qsort(r->ranges, n, sizeof *r->ranges, compare);
    for (size_t i = 0; i < n; i++) {
        const range *here = &r->ranges[i];
        if (here->begin != end)
            return bdpo_fail(BDPO_BAD_FILE,
                             "%s: tensor %s: its data begins at %llu, but what lies before it ends "
                             "at %llu",
                             r->list->path,
                             bdpo_printable(r->list->tensors[here->position].name).text,
                             (unsigned long long)here->begin, (unsigned long long)end);
        end = here->end;
    }
    if (end != r->data_bytes)
        return bdpo_fail(BDPO_BAD_FILE, "%s: %zu bytes of data, its tensors take %llu",
                         r->list->path, r->data_bytes, (unsigned long long)end);
    return BDPO_OK;
}

static bdpo_status order_tensors(reader *r)
{
    size_t n = r->list->n_tensors;
    if (n == 0) return BDPO_OK;
    bdpo_stored_tensor *ordered = bdpo_alloc(n, sizeof *ordered);
    if (!ordered) return bdpo_tensor_list_no_memory(r->list);
    for (size_t i = 0; i < n; i++) ordered[i] = r->list->tensors[r->ranges[i].position];
    bdpo_free(r->list->tensors);
    r->list->tensors = ordered;
    r->list->tensor_capacity = n;
    return BDPO_OK;
}

static bdpo_status read_all(reader *r)
{
    TRY(check_utf8(r));
    TRY(read_header(r));
    TRY(check_ranges(r));
    return order_tensors(r);
}

bdpo_status bdpo_safetensors_read(bdpo_tensor_list *list, bdpo_file_view view)
{
    const unsigned char *bytes = view.data;
    uint64_t header = 0;
    if (view.size < LENGTH_BYTES)
        return bdpo_fail(BDPO_BAD_FILE, "%s: %zu bytes, a safetensors file has at least 8",
                         list->path, view.size);
    for (int i = LENGTH_BYTES; i-- > 0;) header = header << 8 | bytes[i];
    if (header > MAX_HEADER_BYTES)
        return bdpo_fail(BDPO_BAD_FILE, "%s: a header of %llu bytes, at most %d are allowed",
                         list->path, (unsigned long long)header, MAX_HEADER_BYTES);
    if (header > view.size - LENGTH_BYTES)
        return bdpo_fail(BDPO_BAD_FILE, "%s: a header of %llu bytes, the file has %zu after it",
                         list->path, (unsigned long long)header, view.size - LENGTH_BYTES);
    const char *text = (const char *)bytes + LENGTH_BYTES;
    reader r = {
        .list = list,
        .scan = {list->path, text, text, text + header, list->arena},
        .data = bytes + LENGTH_BYTES + header,
        .data_bytes = view.size - LENGTH_BYTES - (size_t)header,
    };
    bdpo_status status = read_all(&r);
    bdpo_free(r.ranges);
    return status;
}

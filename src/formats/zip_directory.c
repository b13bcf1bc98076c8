// Zip (APPNOTE.TXT of PKWARE, 4.3): end record, zip64 end record, central directory, local headers.
// Local headers written by PyTorch have no sizes, so the central directory is what counts.
#include "formats/zip_directory.h"

#include <stdlib.h>
#include <string.h>

#include "formats/printable.h"

enum {
    LOCAL_SIGNATURE = 0x04034b50,
    CENTRAL_SIGNATURE = 0x02014b50,
    END_SIGNATURE = 0x06054b50,
    END64_SIGNATURE = 0x06064b50,
    LOCATOR64_SIGNATURE = 0x07064b50,
    LOCAL_BYTES = 30,
    CENTRAL_BYTES = 46,
    END_BYTES = 22,
    END64_BYTES = 56,
    LOCATOR64_BYTES = 20,
    MAX_COMMENT = 65535,
    EXTRA_ZIP64 = 1,
    FLAG_ENCRYPTED = 1,
};

typedef struct reader {
    bdpo_zip *zip;
    bdpo_arena *arena;
    const unsigned char *bytes;
    size_t size;
    const char *path;
    uint64_t directory, directory_bytes, n_entries;
} reader;

static uint64_t load(const unsigned char *p, int n)
{
    uint64_t value = 0;
    while (n-- > 0) value = value << 8 | p[n];
    return value;
}

static bdpo_status fail(const reader *r, const char *what)
{
    return bdpo_fail(BDPO_BAD_FILE, "%s: zip: %s", r->path, what);
}

static bdpo_status fail_entry(const reader *r, const char *name, const char *what)
{
    return bdpo_fail(BDPO_BAD_FILE, "%s: zip entry %s: %s", r->path, bdpo_printable(name).text,
                     what);
}

// ---- the end record ------------------------------------------------------------------------

// *at is where the end record's part of the file begins: the directory must end there.
static bdpo_status read_end64(reader *r, uint64_t *at)
{
    const unsigned char *locator = r->bytes + *at - LOCATOR64_BYTES;
    uint64_t where = load(locator + 8, 8);
    if (where > *at - LOCATOR64_BYTES || *at - LOCATOR64_BYTES - where < END64_BYTES ||
        load(r->bytes + where, 4) != END64_SIGNATURE)
        return fail(r, "the zip64 locator does not point to a zip64 end record");
    const unsigned char *end = r->bytes + where;
    if (load(locator + 4, 4) != 0 || load(locator + 16, 4) > 1 || load(end + 16, 4) != 0 ||
        load(end + 20, 4) != 0 || load(end + 24, 8) != load(end + 32, 8))
        return fail(r, "it is split over several files");
    r->n_entries = load(end + 32, 8);
    r->directory_bytes = load(end + 40, 8);
    r->directory = load(end + 48, 8);
    *at = where;
    return BDPO_OK;
}

static bdpo_status read_end(reader *r)
{
    if (r->size < END_BYTES) return fail(r, "shorter than an end record");
    size_t at = r->size - END_BYTES, lowest = at > MAX_COMMENT ? at - MAX_COMMENT : 0;
    while (load(r->bytes + at, 4) != END_SIGNATURE ||
           load(r->bytes + at + 20, 2) != r->size - END_BYTES - at) {
        if (at == lowest) return fail(r, "no end record: the file is cut off, or not a zip");
        at--;
    }
    const unsigned char *end = r->bytes + at;
    uint64_t directory_end = at;
    if (at >= LOCATOR64_BYTES && load(end - LOCATOR64_BYTES, 4) == LOCATOR64_SIGNATURE) {
        TRY(read_end64(r, &directory_end));
    } else {
        if (load(end + 4, 2) != 0 || load(end + 6, 2) != 0 || load(end + 8, 2) != load(end + 10, 2))
            return fail(r, "it is split over several files");
        r->n_entries = load(end + 10, 2);
        r->directory_bytes = load(end + 12, 4);
        r->directory = load(end + 16, 4);
    }
    if (r->directory > directory_end || r->directory_bytes != directory_end - r->directory)
        return bdpo_fail(
            BDPO_BAD_FILE,
            "%s: zip: a directory of %llu bytes at %llu, but the end record is at %llu", r->path,
            (unsigned long long)r->directory_bytes, (unsigned long long)r->directory,
            (unsigned long long)directory_end);
    if (r->n_entries > r->directory_bytes / CENTRAL_BYTES)
        return bdpo_fail(BDPO_BAD_FILE, "%s: zip: %llu entries in a directory of %llu bytes",
                         r->path, (unsigned long long)r->n_entries,
                         (unsigned long long)r->directory_bytes);
    return BDPO_OK;
}

// ---- entries -------------------------------------------------------------------------------

typedef struct sizes {
    uint64_t plain, packed, header;
} sizes;

// Fields of all ones stand in the zip64 extra field, in this order.
static bdpo_status read_extra64(const reader *r, const char *name, sizes *s,
                                const unsigned char *extra, size_t n)
{
    uint64_t *wide[] = {&s->plain, &s->packed, &s->header};
    if (s->plain != UINT32_MAX && s->packed != UINT32_MAX && s->header != UINT32_MAX)
        return BDPO_OK;
    while (n >= 4) {
        size_t length = (size_t)load(extra + 2, 2);
        if (length > n - 4) break;
        if (load(extra, 2) == EXTRA_ZIP64) {
            const unsigned char *field = extra + 4;
            for (size_t i = 0; i < BDPO_COUNTOF(wide); i++) {
                if (*wide[i] != UINT32_MAX) continue;
                if (length < 8) return fail_entry(r, name, "its zip64 field is too short");
                *wide[i] = load(field, 8);
                field += 8;
                length -= 8;
            }
            return BDPO_OK;
        }
        extra += 4 + length;
        n -= 4 + length;
    }
    return fail_entry(r, name, "its zip64 field is missing");
}

// The local header must agree; the data follows it.
static bdpo_status locate(const reader *r, bdpo_zip_entry *e, const sizes *s)
{
    if (s->header > r->directory || r->directory - s->header < LOCAL_BYTES ||
        load(r->bytes + s->header, 4) != LOCAL_SIGNATURE)
        return fail_entry(r, e->name, "no local header where the directory says");
    const unsigned char *local = r->bytes + s->header;
    size_t name_bytes = (size_t)load(local + 26, 2), extra_bytes = (size_t)load(local + 28, 2);
    uint64_t room = r->directory - s->header - LOCAL_BYTES;
    if (name_bytes + extra_bytes > room || name_bytes != strlen(e->name) ||
        memcmp(local + LOCAL_BYTES, e->name, name_bytes) != 0)
        return fail_entry(r, e->name, "its local header has another name");
    room -= name_bytes + extra_bytes;
    if (s->plain > room)
        return bdpo_fail(BDPO_BAD_FILE, "%s: zip entry %s: %llu bytes, the file has room for %llu",
                         r->path, bdpo_printable(e->name).text, (unsigned long long)s->plain,
                         (unsigned long long)room);
    e->header_offset = (size_t)s->header;
    e->data = local + LOCAL_BYTES + name_bytes + extra_bytes;
    e->size = (size_t)s->plain;
    return BDPO_OK;
}

static bdpo_status read_entry(reader *r, bdpo_zip_entry *e, const unsigned char **at,
                              const unsigned char *end)
{
    const unsigned char *c = *at;
    if (end - c < CENTRAL_BYTES || load(c, 4) != CENTRAL_SIGNATURE)
        return fail(r, "its directory is malformed");
    size_t name_bytes = (size_t)load(c + 28, 2), extra_bytes = (size_t)load(c + 30, 2);
    size_t total = CENTRAL_BYTES + name_bytes + extra_bytes + (size_t)load(c + 32, 2);
    if (total > (size_t)(end - c)) return fail(r, "its directory is malformed");
    char *name = bdpo_arena_alloc(r->arena, name_bytes + 1, 1);
    if (!name) return bdpo_fail(BDPO_NO_MEMORY, "%s: no memory for its directory", r->path);
    memcpy(name, c + CENTRAL_BYTES, name_bytes);
    e->name = name;
    if (strlen(name) != name_bytes) return fail_entry(r, name, "a zero byte in its name");
    if (load(c + 8, 2) & FLAG_ENCRYPTED) return fail_entry(r, name, "encrypted");
    if (load(c + 10, 2) != 0 && strstr(name, "/code/"))
        return fail(r, "a TorchScript archive, which is code: save its state_dict");
    if (load(c + 10, 2) != 0)
        return fail_entry(r, name, "compressed; PyTorch stores its entries as they are");
    sizes s = {load(c + 24, 4), load(c + 20, 4), load(c + 42, 4)};
    TRY(read_extra64(r, name, &s, c + CENTRAL_BYTES + name_bytes, extra_bytes));
    if (s.plain != s.packed) return fail_entry(r, name, "stored, but its two sizes differ");
    *at = c + total;
    return locate(r, e, &s);
}

// ---- the whole -----------------------------------------------------------------------------

static int compare_place(const void *a, const void *b)
{
    const bdpo_zip_entry *x = a, *y = b;
    return (x->header_offset > y->header_offset) - (x->header_offset < y->header_offset);
}

static bdpo_status check_overlap(const reader *r)
{
    const bdpo_zip *zip = r->zip;
    if (zip->n_entries > 1)
        qsort(zip->entries, zip->n_entries, sizeof *zip->entries, compare_place);
    for (size_t i = 1; i < zip->n_entries; i++) {
        const bdpo_zip_entry *before = &zip->entries[i - 1], *here = &zip->entries[i];
        size_t end = (size_t)(before->data - r->bytes) + before->size;
        if (here->header_offset < end) return fail_entry(r, here->name, "overlaps another entry");
    }
    return BDPO_OK;
}

static bdpo_status index_names(reader *r)
{
    bdpo_zip *zip = r->zip;
    zip->by_name = bdpo_arena_alloc(r->arena, zip->n_entries + 1, sizeof *zip->by_name);
    if (!zip->by_name) return bdpo_fail(BDPO_NO_MEMORY, "%s: no memory for its directory", r->path);
    for (size_t i = 0; i < zip->n_entries; i++)
        zip->by_name[i] = (bdpo_name_entry){zip->entries[i].name, i};
    bdpo_names_sort(zip->by_name, zip->n_entries);
    const char *twice = bdpo_names_twice(zip->by_name, zip->n_entries);
    return twice ? fail_entry(r, twice, "occurs twice") : BDPO_OK;
}

bdpo_status bdpo_zip_read(bdpo_zip *out, bdpo_arena *arena, bdpo_file_view view, const char *path)
{
    reader r = {.zip = out, .arena = arena, .bytes = view.data, .size = view.size, .path = path};
    *out = (bdpo_zip){0};
    TRY(read_end(&r));
    out->n_entries = (size_t)r.n_entries;
    out->entries = bdpo_arena_alloc(arena, out->n_entries + 1, sizeof *out->entries);
    if (!out->entries) return bdpo_fail(BDPO_NO_MEMORY, "%s: no memory for its directory", path);
    const unsigned char *at = r.bytes + r.directory, *end = at + r.directory_bytes;
    for (size_t i = 0; i < out->n_entries; i++) TRY(read_entry(&r, &out->entries[i], &at, end));
    if (at != end) return fail(&r, "its directory has more entries than the end record says");
    TRY(index_names(&r));
    TRY(check_overlap(&r)); // sorts the entries by place
    return index_names(&r);
}

const bdpo_zip_entry *bdpo_zip_find(const bdpo_zip *zip, const char *name)
{
    size_t position = bdpo_names_find(zip->by_name, zip->n_entries, name);
    return position == SIZE_MAX ? NULL : &zip->entries[position];
}

// Writing safetensors as the reference library does: tensors by dtype, widest first, then by name;
// compact JSON; spaces up to a multiple of 8. Metadata is sorted (the reference library's order is
// random), so the same input always gives the same bytes.
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "formats/charset.h"
#include "formats/json_write.h"
#include "formats/name_index.h"
#include "formats/printable.h"
#include "formats/safetensors.h"
#include "formats/tensor_list.h"

enum { HEADER_LIMIT = 100000000, ALIGNMENT = 8 };

// A tensor with its place in the caller's list and its size.
typedef struct item {
    const bdpo_tensor_to_write *tensor;
    size_t index, size_bytes;
} item;

struct bdpo_tensor_sink {
    bdpo_file_writer *writer;
    const char *path;
    const item *item;
    size_t n_bytes; // put so far
};

// ---- checks --------------------------------------------------------------------------------

static bdpo_status bad(const char *path, const char *name, const char *what)
{
    return bdpo_fail(BDPO_BAD_ARGUMENT, "%s: cannot write tensor %s: %s", path,
                     bdpo_printable(name).text, what);
}

static bdpo_status check_tensor(item *out, const char *path, const bdpo_tensor_to_write *t,
                                bool has_source)
{
    size_t count;
    if (!bdpo_text_is_utf8(t->name)) return bad(path, t->name, "its name is not UTF-8");
    if (strcmp(t->name, "__metadata__") == 0) return bad(path, t->name, "the name is reserved");
    if (t->n_dims < 0 || t->n_dims > BDPO_STORED_MAX_DIMS)
        return bad(path, t->name, "more than 64 dimensions");
    for (int d = 0; d < t->n_dims; d++)
        if (t->dim[d] < 0) return bad(path, t->name, "a negative dimension");
    if (!bdpo_stored_size(&count, &out->size_bytes, t->dim, t->n_dims, t->dtype))
        return bad(path, t->name, "its size overflows");
    if (!t->data && out->size_bytes > 0 && !has_source) return bad(path, t->name, "it has no data");
    out->tensor = t;
    return BDPO_OK;
}

static int compare_items(const void *a, const void *b)
{
    const item *x = a, *y = b;
    if (x->tensor->dtype != y->tensor->dtype) return x->tensor->dtype > y->tensor->dtype ? -1 : 1;
    return strcmp(x->tensor->name, y->tensor->name);
}

static bdpo_status check_names(const char *path, const item *items, size_t n)
{
    bdpo_name_entry *names = bdpo_alloc(n + 1, sizeof *names);
    if (!names) return bdpo_fail(BDPO_NO_MEMORY, "%s: no memory to write it", path);
    for (size_t i = 0; i < n; i++) names[i] = (bdpo_name_entry){items[i].tensor->name, i};
    bdpo_names_sort(names, n);
    const char *twice = bdpo_names_twice(names, n);
    bdpo_free(names);
    return twice ? bad(path, twice, "it is there twice") : BDPO_OK;
}

// ---- the header ----------------------------------------------------------------------------

static int compare_pairs(const void *a, const void *b)
{
    const bdpo_metadata_pair *x = a, *y = b;
    return strcmp(x->key, y->key);
}

static bdpo_status put_pairs(bdpo_json_text *text, const char *path, bdpo_metadata_pair *pairs,
                             size_t n)
{
    if (n > 1) qsort(pairs, n, sizeof *pairs, compare_pairs);
    bdpo_json_put(text, "\"__metadata__\":{");
    for (size_t i = 0; i < n; i++) {
        if (!bdpo_text_is_utf8(pairs[i].key) || !bdpo_text_is_utf8(pairs[i].text))
            return bdpo_fail(BDPO_BAD_ARGUMENT, "%s: metadata %s is not UTF-8", path,
                             bdpo_printable(pairs[i].key).text);
        if (i > 0 && strcmp(pairs[i].key, pairs[i - 1].key) == 0)
            return bdpo_fail(BDPO_BAD_ARGUMENT, "%s: metadata %s is there twice", path,
                             bdpo_printable(pairs[i].key).text);
        if (i > 0) bdpo_json_put(text, ",");
        bdpo_json_put_string(text, pairs[i].key);
        bdpo_json_put(text, ":");
        bdpo_json_put_string(text, pairs[i].text);
    }
    bdpo_json_put(text, "}");
    return BDPO_OK;
}

static bdpo_status put_metadata(bdpo_json_text *text, const char *path,
                                const bdpo_safetensors_options *options)
{
    size_t n = options->n_metadata;
    bool has_format = false;
    bdpo_metadata_pair *pairs = bdpo_alloc(n + 1, sizeof *pairs);
    if (!pairs) return bdpo_fail(BDPO_NO_MEMORY, "%s: no memory to write it", path);
    for (size_t i = 0; i < n; i++) {
        pairs[i] = options->metadata[i];
        has_format |= strcmp(pairs[i].key, "format") == 0;
    }
    if (!has_format) pairs[n++] = (bdpo_metadata_pair){"format", "pt"};
    bdpo_status status = put_pairs(text, path, pairs, n);
    bdpo_free(pairs);
    return status;
}

static void put_entry(bdpo_json_text *text, const item *it, uint64_t begin)
{
    const bdpo_tensor_to_write *t = it->tensor;
    bdpo_json_put(text, ",");
    bdpo_json_put_string(text, t->name);
    bdpo_json_put(text, ":{\"dtype\":\"%s\",\"shape\":[", bdpo_stored_dtype_name(t->dtype));
    for (int d = 0; d < t->n_dims; d++)
        bdpo_json_put(text, "%s%" PRId64, d > 0 ? "," : "", t->dim[d]);
    bdpo_json_put(text, "],\"data_offsets\":[%" PRIu64 ",%" PRIu64 "]}", begin,
                  begin + it->size_bytes);
}

// Sorts the items and writes the header for them.
static bdpo_status build_header(bdpo_json_text *text, const char *path, item *items, size_t n,
                                const bdpo_safetensors_options *options)
{
    uint64_t begin = 0;
    if (n > 1) qsort(items, n, sizeof *items, compare_items);
    bdpo_json_put(text, "{");
    TRY(put_metadata(text, path, options));
    for (size_t i = 0; i < n; i++) {
        put_entry(text, &items[i], begin);
        if (__builtin_add_overflow(begin, items[i].size_bytes, &begin))
            return bad(path, items[i].tensor->name, "the file would be too large");
    }
    bdpo_json_put(text, "}");
    while (text->size % ALIGNMENT != 0 && !text->failed) bdpo_json_put(text, " ");
    if (text->failed) return bdpo_fail(BDPO_NO_MEMORY, "%s: no memory for its header", path);
    if (text->size > HEADER_LIMIT)
        return bdpo_fail(BDPO_BAD_ARGUMENT, "%s: a header of %zu bytes, at most %d are allowed",
                         path, text->size, HEADER_LIMIT);
    return BDPO_OK;
}

// ---- the data ------------------------------------------------------------------------------

bdpo_status bdpo_tensor_sink_put(bdpo_tensor_sink *sink, const void *data, size_t size_bytes)
{
    if (size_bytes > sink->item->size_bytes - sink->n_bytes)
        return bad(sink->path, sink->item->tensor->name, "its source gives too many bytes");
    sink->n_bytes += size_bytes;
    return bdpo_file_writer_write(sink->writer, data, size_bytes);
}

static bdpo_status write_item(bdpo_file_writer *writer, const char *path, const item *it,
                              const bdpo_safetensors_options *options)
{
    if (it->size_bytes == 0) return BDPO_OK;
    if (it->tensor->data) return bdpo_file_writer_write(writer, it->tensor->data, it->size_bytes);
    bdpo_tensor_sink sink = {writer, path, it, 0};
    TRY(options->source(options->context, it->index, &sink));
    return sink.n_bytes == it->size_bytes
               ? BDPO_OK
               : bad(path, it->tensor->name, "its source gives too few bytes");
}

static bdpo_status write_content(bdpo_file_writer *writer, const char *path,
                                 const bdpo_json_text *header, const item *items, size_t n,
                                 const bdpo_safetensors_options *options)
{
    unsigned char length[8];
    for (int i = 0; i < 8; i++) length[i] = (unsigned char)(header->size >> 8 * i);
    TRY(bdpo_file_writer_write(writer, length, sizeof length));
    TRY(bdpo_file_writer_write(writer, header->text, header->size));
    for (size_t i = 0; i < n; i++) TRY(write_item(writer, path, &items[i], options));
    return BDPO_OK;
}

static bdpo_status write_file(const char *path, item *items, size_t n,
                              const bdpo_safetensors_options *options)
{
    bdpo_json_text header = {0};
    bdpo_file_writer *writer = NULL;
    bdpo_status status = build_header(&header, path, items, n, options);
    if (status == BDPO_OK) status = bdpo_file_writer_open(&writer, path);
    if (status == BDPO_OK) status = write_content(writer, path, &header, items, n, options);
    bdpo_json_text_clear(&header);
    if (status == BDPO_OK) return bdpo_file_writer_commit(writer);
    bdpo_file_writer_abort(writer);
    return status;
}

// ---- one file ------------------------------------------------------------------------------

// The checked items of all tensors, in the given order; *out is the caller's.
static bdpo_status make_items(item **out, const char *path, const bdpo_tensor_to_write *tensors,
                              size_t n, const bdpo_safetensors_options *options)
{
    item *items = bdpo_alloc(n + 1, sizeof *items);
    if (!items) return bdpo_fail(BDPO_NO_MEMORY, "%s: no memory to write it", path);
    bdpo_status status = BDPO_OK;
    for (size_t i = 0; i < n && status == BDPO_OK; i++) {
        items[i].index = i;
        status = check_tensor(&items[i], path, &tensors[i], options->source != NULL);
    }
    if (status == BDPO_OK) status = check_names(path, items, n);
    if (status == BDPO_OK)
        *out = items;
    else
        bdpo_free(items);
    return status;
}

bdpo_status bdpo_safetensors_write(const char *path, const bdpo_tensor_to_write *tensors,
                                   size_t n_tensors, const bdpo_safetensors_options *options)
{
    static const bdpo_safetensors_options defaults;
    item *items;
    if (!options) options = &defaults;
    TRY(make_items(&items, path, tensors, n_tensors, options));
    bdpo_status status = write_file(path, items, n_tensors, options);
    bdpo_free(items);
    return status;
}

// ---- shards --------------------------------------------------------------------------------

typedef struct shards {
    const char *path, *file_name;   // file_name: behind the last slash of path
    item *items;                    // grouped by shard, in the given order within one
    size_t *first;                  // [n_shards + 1] of items
    size_t n_shards, n_items, stem; // stem: of path, without its suffix
    uint64_t total_bytes;
} shards;

static const char suffix[] = ".safetensors";

// As huggingface_hub deals: a tensor that is too large gets a shard of its own at once, before the
// one that is being filled; the others fill shards in their order. shard_of[] by item.
static size_t deal(size_t *shard_of, const item *items, size_t n, uint64_t limit)
{
    const size_t filling = SIZE_MAX;
    uint64_t used = 0;
    size_t n_shards = 0, first = 0; // first: of the items that may still be without a shard
    for (size_t i = 0; i < n; i++) {
        uint64_t size = items[i].size_bytes;
        shard_of[i] = size > limit ? n_shards++ : filling;
        if (size > limit) continue;
        if (used + size > limit) {
            for (; first < i; first++)
                if (shard_of[first] == filling) shard_of[first] = n_shards;
            n_shards++;
            used = 0;
        }
        used += size;
    }
    bool any = false;
    for (; first < n; first++) {
        if (shard_of[first] != filling) continue;
        shard_of[first] = n_shards;
        any = true;
    }
    return n_shards + (any ? 1 : 0);
}

// Groups the items by shard, keeping their order: s->first[k] is where shard k begins.
static bdpo_status group(shards *s, const size_t *shard_of)
{
    item *grouped = bdpo_alloc(s->n_items + 1, sizeof *grouped);
    s->first = bdpo_alloc(s->n_shards + 2, sizeof *s->first);
    if (!grouped || !s->first) {
        bdpo_free(grouped);
        return bdpo_fail(BDPO_NO_MEMORY, "%s: no memory to write it", s->path);
    }
    for (size_t i = 0; i < s->n_items; i++) s->first[shard_of[i] + 2]++;
    for (size_t k = 2; k < s->n_shards + 2; k++) s->first[k] += s->first[k - 1];
    for (size_t i = 0; i < s->n_items; i++) grouped[s->first[shard_of[i] + 1]++] = s->items[i];
    bdpo_free(s->items);
    s->items = grouped;
    return BDPO_OK;
}

static bdpo_status deal_and_group(shards *s, uint64_t limit)
{
    size_t *shard_of = bdpo_alloc(s->n_items + 1, sizeof *shard_of);
    if (!shard_of) return bdpo_fail(BDPO_NO_MEMORY, "%s: no memory to write it", s->path);
    s->n_shards = deal(shard_of, s->items, s->n_items, limit);
    bdpo_status status = group(s, shard_of);
    bdpo_free(shard_of);
    return status;
}

// "model-00001-of-00002.safetensors", with the directory of the path.
static void shard_name(char *out, size_t room, const shards *s, size_t k)
{
    snprintf(out, room, "%.*s-%05zu-of-%05zu%s", (int)s->stem, s->path, k + 1, s->n_shards, suffix);
}

typedef struct mapped {
    const char *name;
    size_t shard;
} mapped;

static int compare_mapped(const void *a, const void *b)
{
    const mapped *x = a, *y = b;
    return strcmp(x->name, y->name);
}

// json.dumps(indent=2, sort_keys=True), as diffusers writes it.
static void build_index(bdpo_json_text *text, const shards *s, mapped *map, char *name, size_t room)
{
    size_t directory = (size_t)(s->file_name - s->path);
    for (size_t k = 0; k < s->n_shards; k++)
        for (size_t i = s->first[k]; i < s->first[k + 1]; i++)
            map[i] = (mapped){s->items[i].tensor->name, k};
    qsort(map, s->n_items, sizeof *map, compare_mapped);
    bdpo_json_put(text, "{\n  \"metadata\": {\n    \"total_size\": %" PRIu64 "\n  },\n",
                  s->total_bytes);
    bdpo_json_put(text, "  \"weight_map\": {");
    for (size_t i = 0; i < s->n_items; i++) {
        bdpo_json_put(text, "%s\n    ", i > 0 ? "," : "");
        bdpo_json_put_ascii(text, map[i].name);
        bdpo_json_put(text, ": ");
        shard_name(name, room, s, map[i].shard);
        bdpo_json_put_ascii(text, name + directory);
    }
    bdpo_json_put(text, "\n  }\n}\n");
}

static bdpo_status write_index(const shards *s, char *name, size_t room)
{
    bdpo_json_text text = {0};
    mapped *map = bdpo_alloc(s->n_items + 1, sizeof *map);
    if (map) build_index(&text, s, map, name, room);
    bdpo_free(map);
    bdpo_status status = BDPO_OK;
    if (!map || text.failed) {
        status = bdpo_fail(BDPO_NO_MEMORY, "%s: no memory for its index", s->path);
    } else {
        snprintf(name, room, "%s.index.json", s->path);
        status = bdpo_file_write(name, text.text, text.size);
    }
    bdpo_json_text_clear(&text);
    return status;
}

static bdpo_status write_shards(const shards *s, const bdpo_safetensors_options *options)
{
    size_t room = strlen(s->path) + 64;
    char *name = bdpo_alloc(room, 1);
    if (!name) return bdpo_fail(BDPO_NO_MEMORY, "%s: no memory to write it", s->path);
    bdpo_status status = BDPO_OK;
    for (size_t k = 0; k < s->n_shards && status == BDPO_OK; k++) {
        shard_name(name, room, s, k);
        status = write_file(name, s->items + s->first[k], s->first[k + 1] - s->first[k], options);
    }
    if (status == BDPO_OK) status = write_index(s, name, room);
    bdpo_free(name);
    return status;
}

bdpo_status bdpo_safetensors_write_sharded(const char *path, const bdpo_tensor_to_write *tensors,
                                           size_t n_tensors,
                                           const bdpo_safetensors_options *options)
{
    static const bdpo_safetensors_options defaults;
    static const uint64_t ten_gigabytes = 10000000000;
    const char *slash = strrchr(path, '/');
    size_t length = strlen(path);
    shards s = {.path = path, .file_name = slash ? slash + 1 : path, .n_items = n_tensors};
    if (!options) options = &defaults;
    if (length < strlen(suffix) || strcmp(path + length - strlen(suffix), suffix) != 0)
        return bdpo_fail(BDPO_BAD_ARGUMENT, "%s: a sharded model's name ends in %s", path, suffix);
    s.stem = length - strlen(suffix);
    TRY(make_items(&s.items, path, tensors, n_tensors, options));
    for (size_t i = 0; i < n_tensors; i++) s.total_bytes += s.items[i].size_bytes;
    bdpo_status status =
        deal_and_group(&s, options->shard_bytes ? options->shard_bytes : ten_gigabytes);
    if (status == BDPO_OK)
        status = s.n_shards <= 1 ? write_file(path, s.items, n_tensors, options)
                                 : write_shards(&s, options);
    bdpo_free(s.items);
    bdpo_free(s.first);
    return status;
}

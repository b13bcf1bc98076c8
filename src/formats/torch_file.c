// PyTorch's files. Zip form: data.pkl names storages, each an entry data/KEY. Legacy form: five
// pickles (magic number, protocol, system, the object, the list of keys), then for each key a count
// of eight bytes and the elements. Both give a tree of containers, which is flattened to dotted
// names.
#include <stdio.h>
#include <string.h>

#include "formats/printable.h"
#include "formats/tensor_list.h"
#include "formats/torch_pickle.h"
#include "formats/zip_directory.h"

enum {
    MAX_PICKLE_BYTES = 256 << 20,
    MAX_DEPTH = 64,
    MAX_NAME = 2048,
    SHARING = 4,           // how often the tree may come to each value, on average,
    FREE_VISITS = 1 << 16, // beyond these
};

// Where the bytes of storages are: in entries of a zip, or in parts of a legacy file.
typedef struct part {
    const unsigned char *data;
    size_t size;
} part;

typedef struct reader {
    bdpo_tensor_list *list;
    bdpo_file_view view;
    bdpo_pickle pickle;
    bdpo_zip zip;
    const char *root;      // of the zip: "archive"
    bdpo_name_entry *keys; // of a legacy file, sorted; positions are those of `parts`
    part *parts;
    size_t n_keys;
    char name[MAX_NAME]; // of the walk's present place
    size_t n_visits;
} reader;

static bdpo_status fail(const reader *r, const char *what)
{
    return bdpo_fail(BDPO_BAD_FILE, "%s: %s", r->list->path, what);
}

static bdpo_status no_memory(const reader *r)
{
    return bdpo_tensor_list_no_memory(r->list);
}

// ---- storages ------------------------------------------------------------------------------

static bool storage_bytes(size_t *out, const bdpo_pickle_storage *s)
{
    return bdpo_size_mul(out, s->n_elements, bdpo_stored_dtype_bits(s->dtype) / 8);
}

static bdpo_status find_part(part *out, const reader *r, const char *key)
{
    if (r->root) {
        char name[MAX_NAME];
        int n = snprintf(name, sizeof name, "%s/data/%s", r->root, key);
        const bdpo_zip_entry *entry =
            n >= 0 && (size_t)n < sizeof name ? bdpo_zip_find(&r->zip, name) : NULL;
        if (entry) {
            *out = (part){entry->data, entry->size};
            return BDPO_OK;
        }
    } else {
        size_t position = bdpo_names_find(r->keys, r->n_keys, key);
        if (position != SIZE_MAX) {
            *out = r->parts[position];
            return BDPO_OK;
        }
    }
    return bdpo_fail(BDPO_BAD_FILE, "%s: storage %s is not in the file", r->list->path,
                     bdpo_printable(key).text);
}

static bdpo_status locate(const unsigned char **out, const reader *r, const bdpo_pickle_storage *s)
{
    part found = {0};
    size_t wanted;
    *out = NULL;
    TRY(find_part(&found, r, s->key));
    if (!storage_bytes(&wanted, s) || wanted != found.size)
        return bdpo_fail(BDPO_BAD_FILE, "%s: storage %s has %zu bytes, the pickle says %zu of %s",
                         r->list->path, bdpo_printable(s->key).text, found.size, s->n_elements,
                         bdpo_stored_dtype_name(s->dtype));
    *out = found.data;
    return BDPO_OK;
}

// ---- the walk ------------------------------------------------------------------------------

// NULL where the elements lie one after another.
static const int64_t *stride_if_needed(const bdpo_pickle_tensor *t)
{
    int64_t dense = 1;
    for (int d = t->n_dims; d-- > 0;) {
        if (t->dim[d] != 1 && t->stride[d] != dense) return t->stride;
        dense *= t->dim[d]; // cannot overflow: it is the stride of what lies in the storage
    }
    return NULL;
}

static bdpo_status add_tensor(reader *r, const bdpo_pickle_tensor *from)
{
    const unsigned char *data;
    bdpo_stored_tensor t = {
        .path = r->list->path,
        .name = bdpo_arena_strdup(r->list->arena, r->name),
        .dtype = from->dtype,
        .n_dims = from->n_dims,
        .dim = from->dim,
    };
    if (!t.name) return no_memory(r);
    TRY(locate(&data, r, from->storage));
    if (!bdpo_stored_size(&t.count, &t.size_bytes, t.dim, t.n_dims, t.dtype))
        return bdpo_fail(BDPO_BAD_FILE, "%s: tensor %s: the size of %s overflows", r->list->path,
                         bdpo_printable(t.name).text,
                         bdpo_stored_shape_print(t.dim, t.n_dims).text);
    if (t.count > 0) {
        size_t view =
            from->storage->view_begin * (bdpo_stored_dtype_bits(from->storage->dtype) / 8);
        t.data = data + view + from->offset * (bdpo_stored_dtype_bits(from->dtype) / 8);
        t.stride = stride_if_needed(from);
    }
    return bdpo_tensor_list_add(r->list, &t);
}

static bdpo_status add_value(reader *r, const bdpo_pickle_value *from)
{
    bdpo_file_value value = {.name = bdpo_arena_strdup(r->list->arena, r->name)};
    if (!value.name) return no_memory(r);
    switch (from->kind) {
    case BDPO_PICKLE_BOOL:
    case BDPO_PICKLE_INT:
        value.kind = from->kind == BDPO_PICKLE_INT ? BDPO_FILE_INT : BDPO_FILE_BOOL;
        value.integer = from->integer;
        value.number = (double)from->integer;
        break;
    case BDPO_PICKLE_FLOAT:
        value.kind = BDPO_FILE_FLOAT;
        value.number = from->number;
        break;
    default:
        value.kind = from->kind == BDPO_PICKLE_TEXT ? BDPO_FILE_TEXT : BDPO_FILE_BYTES;
        value.text = from->text.bytes;
        value.length = from->text.length;
    }
    return bdpo_tensor_list_add_value(r->list, &value);
}

static bdpo_status walk(reader *r, bdpo_pickle_value *value, size_t length, int depth);

// Goes on at name + "." + part.
static bdpo_status walk_into(reader *r, bdpo_pickle_value *value, size_t length, const char *key,
                             size_t key_bytes, int depth)
{
    size_t dot = length > 0 ? 1 : 0;
    if (memchr(key, '\0', key_bytes)) return fail(r, "a zero byte in a key");
    if (key_bytes >= MAX_NAME - length - dot)
        return bdpo_fail(BDPO_BAD_FILE, "%s: a name longer than %d bytes, beginning with %s",
                         r->list->path, MAX_NAME, bdpo_printable_bytes(r->name, length).text);
    if (dot) r->name[length] = '.';
    memcpy(r->name + length + dot, key, key_bytes);
    length += dot + key_bytes;
    r->name[length] = '\0';
    TRY(walk(r, value, length, depth + 1));
    return BDPO_OK;
}

static bdpo_status walk_dict(reader *r, const bdpo_pickle_value *dict, size_t length, int depth)
{
    for (size_t i = 0; i < dict->list.count; i += 2) {
        const bdpo_pickle_value *key = dict->list.items[i];
        bdpo_pickle_value *value = dict->list.items[i + 1];
        char number[24];
        if (key->kind == BDPO_PICKLE_TEXT) {
            TRY(walk_into(r, value, length, key->text.bytes, key->text.length, depth));
        } else if (key->kind == BDPO_PICKLE_INT) {
            int n = snprintf(number, sizeof number, "%lld", (long long)key->integer);
            TRY(walk_into(r, value, length, number, (size_t)n, depth));
        } // what other keys lead to has no name: a callback's own state, say
    }
    return BDPO_OK;
}

static bdpo_status walk_items(reader *r, const bdpo_pickle_value *items, size_t length, int depth)
{
    for (size_t i = 0; i < items->list.count; i++) {
        char number[24];
        int n = snprintf(number, sizeof number, "%zu", i);
        TRY(walk_into(r, items->list.items[i], length, number, (size_t)n, depth));
    }
    return BDPO_OK;
}

static bdpo_status walk_container(reader *r, bdpo_pickle_value *value, size_t length, int depth)
{
    if (value->on_path)
        return bdpo_fail(BDPO_BAD_FILE, "%s: %s contains itself", r->list->path,
                         bdpo_printable_bytes(r->name, length).text);
    if (depth >= MAX_DEPTH)
        return bdpo_fail(BDPO_BAD_FILE, "%s: %s: containers nested more than %d deep",
                         r->list->path, bdpo_printable_bytes(r->name, length).text, MAX_DEPTH);
    value->on_path = true;
    bdpo_status status = value->kind == BDPO_PICKLE_DICT ? walk_dict(r, value, length, depth)
                                                         : walk_items(r, value, length, depth);
    value->on_path = false;
    return status;
}

static bdpo_status walk(reader *r, bdpo_pickle_value *value, size_t length, int depth)
{
    // Shared parts are listed under each of their names; a forged file could make that endless.
    if (++r->n_visits > SHARING * r->pickle.n_opcodes + FREE_VISITS)
        return fail(r, "its containers share parts so often that the list would not end");
    switch (value->kind) {
    case BDPO_PICKLE_DICT:
    case BDPO_PICKLE_LIST:
    case BDPO_PICKLE_TUPLE:
        return walk_container(r, value, length, depth);
    case BDPO_PICKLE_TENSOR:
        return add_tensor(r, value->tensor);
    case BDPO_PICKLE_BOOL:
    case BDPO_PICKLE_INT:
    case BDPO_PICKLE_FLOAT:
    case BDPO_PICKLE_TEXT:
    case BDPO_PICKLE_BYTES:
        return add_value(r, value);
    default:
        return BDPO_OK; // None, sets, dtypes, opaque objects: nothing to list
    }
}

static bdpo_status flatten(reader *r, bdpo_pickle_value *root)
{
    bdpo_pickle_kind kind = root->kind;
    if (kind != BDPO_PICKLE_DICT && kind != BDPO_PICKLE_LIST && kind != BDPO_PICKLE_TUPLE &&
        kind != BDPO_PICKLE_TENSOR)
        return bdpo_fail(BDPO_BAD_FILE, "%s: holds %s, expected a dict, a list or a tensor",
                         r->list->path, bdpo_pickle_kind_text(kind));
    r->name[0] = '\0';
    return walk(r, root, 0, 0);
}

static void begin_pickle(reader *r, const char *name, const unsigned char *bytes, size_t size)
{
    r->pickle = (bdpo_pickle){
        .path = r->list->path,
        .part = name,
        .bytes = bytes,
        .size = size < MAX_PICKLE_BYTES ? size : MAX_PICKLE_BYTES,
        .arena = r->list->arena,
    };
}

// ---- zip form ------------------------------------------------------------------------------

// The folder that holds data.pkl: everything lies in it.
static bdpo_status find_root(reader *r, const bdpo_zip_entry **pickle)
{
    static const char suffix[] = "/data.pkl";
    *pickle = NULL;
    for (size_t i = 0; i < r->zip.n_entries; i++) {
        const bdpo_zip_entry *entry = &r->zip.entries[i];
        const char *slash = strchr(entry->name, '/');
        if (!slash || strcmp(slash, suffix) != 0) continue;
        if (*pickle) return fail(r, "two folders with a data.pkl");
        *pickle = entry;
    }
    if (!*pickle) return fail(r, "a zip without FOLDER/data.pkl: not written by torch.save");
    char *root = bdpo_arena_strdup(r->list->arena, (*pickle)->name);
    if (!root) return no_memory(r);
    root[strlen(root) - strlen(suffix)] = '\0';
    r->root = root;
    return BDPO_OK;
}

static const bdpo_zip_entry *entry_in_root(const reader *r, const char *name)
{
    char full[MAX_NAME];
    int n = snprintf(full, sizeof full, "%s/%s", r->root, name);
    return n >= 0 && (size_t)n < sizeof full ? bdpo_zip_find(&r->zip, full) : NULL;
}

static bdpo_status read_zip(reader *r)
{
    const bdpo_zip_entry *pickle;
    bdpo_pickle_value *root;
    TRY(bdpo_zip_read(&r->zip, r->list->arena, r->view, r->list->path));
    TRY(find_root(r, &pickle));
    if (entry_in_root(r, "constants.pkl"))
        return fail(r, "a TorchScript archive, which is code: save its state_dict");
    const bdpo_zip_entry *order = entry_in_root(r, "byteorder");
    if (order && (order->size != 6 || memcmp(order->data, "little", 6) != 0))
        return bdpo_fail(BDPO_BAD_FILE, "%s: byteorder is %s, expected \"little\"", r->list->path,
                         bdpo_printable_bytes((const char *)order->data, order->size).text);
    if (pickle->size > MAX_PICKLE_BYTES)
        return bdpo_fail(BDPO_BAD_FILE, "%s: data.pkl of %zu bytes, at most %d are allowed",
                         r->list->path, pickle->size, MAX_PICKLE_BYTES);
    begin_pickle(r, "data.pkl", pickle->data, pickle->size);
    TRY(bdpo_pickle_run(&root, &r->pickle));
    return flatten(r, root);
}

bdpo_status bdpo_torch_zip_read(bdpo_tensor_list *list, bdpo_file_view view)
{
    reader *r = bdpo_alloc(1, sizeof *r);
    if (!r) return bdpo_tensor_list_no_memory(list);
    r->list = list;
    r->view = view;
    bdpo_status status = read_zip(r);
    bdpo_pickle_clear(&r->pickle);
    bdpo_free(r);
    return status;
}

// ---- legacy form ---------------------------------------------------------------------------

static bdpo_status read_magic(reader *r)
{
    static const unsigned char magic[] = {0x6c, 0xfc, 0x9c, 0x46, 0xf9,
                                          0x20, 0x6a, 0xa8, 0x50, 0x19};
    enum { PROTOCOL = 1001 };
    bdpo_pickle_value *value;
    TRY(bdpo_pickle_run(&value, &r->pickle));
    if (value->kind != BDPO_PICKLE_LONG || value->text.length != sizeof magic ||
        memcmp(value->text.bytes, magic, sizeof magic) != 0)
        return fail(r, "a pickle, but not one of PyTorch: its magic number is missing");
    r->pickle.part = "the protocol";
    TRY(bdpo_pickle_run(&value, &r->pickle));
    if (value->kind != BDPO_PICKLE_INT || value->integer != PROTOCOL)
        return fail(r, "an unknown version of PyTorch's legacy format, expected 1001");
    return BDPO_OK;
}

static bdpo_status read_system(reader *r)
{
    bdpo_pickle_value *system;
    r->pickle.part = "the system's description";
    TRY(bdpo_pickle_run(&system, &r->pickle));
    for (size_t i = 0; system->kind == BDPO_PICKLE_DICT && i < system->list.count; i += 2) {
        const bdpo_pickle_value *key = system->list.items[i], *value = system->list.items[i + 1];
        if (key->kind != BDPO_PICKLE_TEXT || strcmp(key->text.bytes, "little_endian") != 0)
            continue;
        if (value->kind == BDPO_PICKLE_BOOL && value->integer) return BDPO_OK;
        return fail(r, "little_endian is not True: such files are not read");
    }
    return fail(r, "its system's description has no little_endian");
}

// Element sizes come from the persistent ids: one key must have one dtype and size.
static bdpo_status index_storages(reader *r, bdpo_name_entry *by_key)
{
    const bdpo_pickle *p = &r->pickle;
    for (size_t i = 0; i < p->n_storages; i++)
        by_key[i] = (bdpo_name_entry){p->storages[i]->key, i};
    bdpo_names_sort(by_key, p->n_storages);
    for (size_t i = 1; i < p->n_storages; i++) {
        const bdpo_pickle_storage *a = p->storages[by_key[i - 1].position];
        const bdpo_pickle_storage *b = p->storages[by_key[i].position];
        if (strcmp(a->key, b->key) == 0 && (a->dtype != b->dtype || a->n_elements != b->n_elements))
            return bdpo_fail(BDPO_BAD_FILE, "%s: storage %s is described in two ways",
                             r->list->path, bdpo_printable(a->key).text);
    }
    return BDPO_OK;
}

// The storage at p->at: a count, then the elements.
static bdpo_status read_storage(reader *r, part *out, const bdpo_pickle_storage *s, size_t *at)
{
    enum { COUNT_BYTES = 8 };
    const unsigned char *bytes = r->view.data;
    size_t room = r->view.size - *at, size;
    uint64_t count = 0;
    if (room < COUNT_BYTES)
        return bdpo_fail(BDPO_BAD_FILE, "%s: ends before storage %s", r->list->path,
                         bdpo_printable(s->key).text);
    for (int i = COUNT_BYTES; i-- > 0;) count = count << 8 | bytes[*at + (size_t)i];
    room -= COUNT_BYTES;
    if (count != s->n_elements || !storage_bytes(&size, s) || size > room)
        return bdpo_fail(BDPO_BAD_FILE,
                         "%s: storage %s: %llu elements in %zu bytes, the pickle says %zu of %s",
                         r->list->path, bdpo_printable(s->key).text, (unsigned long long)count,
                         room, s->n_elements, bdpo_stored_dtype_name(s->dtype));
    *out = (part){bytes + *at + COUNT_BYTES, size};
    *at += COUNT_BYTES + size;
    return BDPO_OK;
}

static bdpo_status read_storages(reader *r, const bdpo_pickle_value *keys)
{
    const bdpo_pickle *p = &r->pickle;
    size_t at = p->at, n = keys->list.count;
    bdpo_name_entry *by_key = bdpo_arena_alloc(p->arena, p->n_storages + 1, sizeof *by_key);
    r->keys = bdpo_arena_alloc(p->arena, n + 1, sizeof *r->keys);
    r->parts = bdpo_arena_alloc(p->arena, n + 1, sizeof *r->parts);
    if (!by_key || !r->keys || !r->parts) return no_memory(r);
    TRY(index_storages(r, by_key));
    for (size_t i = 0; i < n; i++) {
        const bdpo_pickle_value *key = keys->list.items[i];
        size_t position = key->kind == BDPO_PICKLE_TEXT
                              ? bdpo_names_find(by_key, p->n_storages, key->text.bytes)
                              : SIZE_MAX;
        if (position == SIZE_MAX)
            return fail(r, "its list of storages has one that no tensor uses");
        TRY(read_storage(r, &r->parts[i], p->storages[position], &at));
        r->keys[i] = (bdpo_name_entry){key->text.bytes, i};
    }
    r->n_keys = n;
    bdpo_names_sort(r->keys, n);
    if (bdpo_names_twice(r->keys, n)) return fail(r, "its list of storages names one twice");
    if (at != r->view.size)
        return bdpo_fail(BDPO_BAD_FILE, "%s: %zu bytes follow the last storage", r->list->path,
                         r->view.size - at);
    return BDPO_OK;
}

static bdpo_status read_legacy(reader *r)
{
    bdpo_pickle_value *root, *keys;
    begin_pickle(r, "the magic number", r->view.data, r->view.size);
    TRY(read_magic(r));
    TRY(read_system(r));
    r->pickle.part = "the object";
    TRY(bdpo_pickle_run(&root, &r->pickle));
    r->pickle.part = "the list of storages";
    TRY(bdpo_pickle_run(&keys, &r->pickle));
    if (keys->kind != BDPO_PICKLE_LIST) return fail(r, "its list of storages is not a list");
    TRY(read_storages(r, keys));
    return flatten(r, root);
}

bdpo_status bdpo_torch_legacy_read(bdpo_tensor_list *list, bdpo_file_view view)
{
    reader *r = bdpo_alloc(1, sizeof *r);
    if (!r) return bdpo_tensor_list_no_memory(list);
    r->list = list;
    r->view = view;
    bdpo_status status = read_legacy(r);
    bdpo_pickle_clear(&r->pickle);
    bdpo_free(r);
    return status;
}

// Tells the formats apart by their first bytes, opens sharded models, and looks names up.
#include "formats/tensor_file.h"

#include <string.h>

#include "formats/json.h"
#include "formats/name_index.h"
#include "formats/printable.h"
#include "formats/tensor_list.h"

struct bdpo_tensor_file {
    const char *format;
    bdpo_file_view view;
    bdpo_tensor_list list;
    bdpo_name_entry *tensor_names, *value_names; // sorted, in the arena
    bdpo_tensor_file **shards;                   // of an index, in the arena
    size_t n_shards;
};

// ---- telling formats apart -----------------------------------------------------------------

typedef enum format {
    SAFETENSORS,
    INDEX,
    TORCH_ZIP,
    TORCH_LEGACY,
    TAR,
    LFS_POINTER,
    UNKNOWN
} format;

static bool begins_with(bdpo_file_view view, size_t offset, const char *text)
{
    size_t n = strlen(text);
    return view.size >= offset && view.size - offset >= n &&
           memcmp((const char *)view.data + offset, text, n) == 0;
}

static bool ends_with(const char *text, const char *suffix)
{
    size_t n = strlen(text), m = strlen(suffix);
    return n >= m && strcmp(text + n - m, suffix) == 0;
}

// The length of a safetensors header is below 2^27, so its upper four bytes are zero: no text
// has them. A file of that name that does not look so goes to that reader for its message.
static format tell_format(bdpo_file_view view, const char *path)
{
    const unsigned char *bytes = view.data;
    if (begins_with(view, 0, "PK\003\004") || begins_with(view, 0, "PK\005\006")) return TORCH_ZIP;
    if (begins_with(view, 257, "ustar")) return TAR;
    if (begins_with(view, 0, "version https://git-lfs")) return LFS_POINTER;
    if (view.size >= 2 && bytes[0] == 0x80 && bytes[1] >= 2 && bytes[1] <= 5) {
        bool header = view.size >= 8 && memcmp(bytes + 4, "\0\0\0\0", 4) == 0;
        return header && ends_with(path, ".safetensors") ? SAFETENSORS : TORCH_LEGACY;
    }
    if (ends_with(path, ".safetensors")) return SAFETENSORS;
    if (view.size >= 8 && memcmp(bytes + 4, "\0\0\0\0", 4) == 0) return SAFETENSORS;
    size_t at = 0;
    while (at < view.size && bytes[at] && strchr(" \t\r\n", bytes[at])) at++;
    return begins_with(view, at, "{") ? INDEX : UNKNOWN;
}

// ---- sharded models ------------------------------------------------------------------------

// dir(path of the index) + name. A name that could lead elsewhere is refused.
static bdpo_status shard_path(const char **out, const bdpo_tensor_file *file, const char *name)
{
    const char *path = file->list.path, *slash = strrchr(path, '/');
    size_t directory = slash ? (size_t)(slash - path) + 1 : 0, n = strlen(name);
    if (n == 0 || strpbrk(name, "/\\") || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return bdpo_fail(BDPO_BAD_FILE, "%s: weight_map: %s is no name of a file beside it", path,
                         bdpo_printable(name).text);
    if (ends_with(name, ".json"))
        return bdpo_fail(BDPO_BAD_FILE, "%s: weight_map: %s: an index of indices", path,
                         bdpo_printable(name).text);
    char *joined = bdpo_arena_alloc(file->list.arena, directory + n + 1, 1);
    if (!joined) return bdpo_tensor_list_no_memory(&file->list);
    memcpy(joined, path, directory);
    memcpy(joined + directory, name, n + 1);
    *out = joined;
    return BDPO_OK;
}

static bdpo_status open_file(bdpo_tensor_file **out, const char *path, bool may_be_index);

// Opens each shard once: `names` are sorted, so equal ones are neighbours. shard_of[] gives, for
// each tensor of the map, its shard.
static bdpo_status open_shards(bdpo_tensor_file *file, bdpo_name_entry *names, size_t n,
                               size_t *shard_of)
{
    bdpo_names_sort(names, n);
    for (size_t i = 0; i < n; i++) {
        if (i == 0 || strcmp(names[i].name, names[i - 1].name) != 0) {
            const char *path = NULL;
            TRY(shard_path(&path, file, names[i].name));
            bdpo_status status = open_file(&file->shards[file->n_shards], path, false);
            if (status == BDPO_NOT_FOUND)
                return bdpo_fail(BDPO_BAD_FILE, "%s: its shard %s is missing", file->list.path,
                                 bdpo_printable(names[i].name).text);
            TRY(status);
            file->n_shards++;
        }
        shard_of[names[i].position] = file->n_shards - 1;
    }
    return BDPO_OK;
}

static bdpo_status add_mapped(bdpo_tensor_file *file, const bdpo_json *map, const size_t *shard_of)
{
    size_t i = 0;
    for (const char *key = NULL; (key = bdpo_json_next_key(map, key));) {
        const bdpo_tensor_file *shard = file->shards[shard_of[i++]];
        const bdpo_stored_tensor *t = bdpo_tensor_file_find(shard, key);
        if (!t)
            return bdpo_fail(BDPO_BAD_FILE, "%s: weight_map: tensor %s is not in %s",
                             file->list.path, bdpo_printable(key).text, shard->list.path);
        TRY(bdpo_tensor_list_add(&file->list, t));
    }
    return BDPO_OK;
}

static bdpo_status read_map(bdpo_tensor_file *file, const bdpo_json *map)
{
    size_t n = bdpo_json_count(map), i = 0;
    bdpo_arena *arena = file->list.arena;
    bdpo_name_entry *names = bdpo_arena_alloc(arena, n + 1, sizeof *names);
    size_t *shard_of = bdpo_arena_alloc(arena, n + 1, sizeof *shard_of);
    file->shards = bdpo_arena_alloc(arena, n + 1, sizeof(bdpo_tensor_file *));
    if (!names || !shard_of || !file->shards) return bdpo_tensor_list_no_memory(&file->list);
    for (const char *key = NULL; (key = bdpo_json_next_key(map, key)); i++) {
        names[i].position = i;
        TRY(bdpo_json_string(&names[i].name, map, key));
    }
    TRY(open_shards(file, names, n, shard_of));
    return add_mapped(file, map, shard_of);
}

// {"metadata": {"total_size": ..}, "weight_map": {tensor: file name}}. The total is not compared:
// writers count tied weights in different ways.
static bdpo_status read_index(bdpo_tensor_file *file)
{
    bdpo_json_document *document;
    bdpo_json map;
    TRY(bdpo_json_parse(&document, file->view.data, file->view.size, file->list.path));
    bdpo_json root = bdpo_json_root(document);
    bdpo_status status = bdpo_json_object(&map, &root, "weight_map");
    if (status != BDPO_OK && !bdpo_json_has(&root, "weight_map"))
        status = bdpo_fail(BDPO_BAD_FILE, "%s: expected an index of weights or the weights",
                           bdpo_message());
    if (status == BDPO_OK) status = read_map(file, &map);
    bdpo_json_free(document);
    return status;
}

// ---- opening -------------------------------------------------------------------------------

static bdpo_status read_content(bdpo_tensor_file *file, bool may_be_index)
{
    const char *path = file->list.path;
    switch (tell_format(file->view, path)) {
    case SAFETENSORS:
        file->format = "safetensors";
        return bdpo_safetensors_read(&file->list, file->view);
    case TORCH_ZIP:
        file->format = "PyTorch";
        return bdpo_torch_zip_read(&file->list, file->view);
    case TORCH_LEGACY:
        file->format = "PyTorch, legacy";
        return bdpo_torch_legacy_read(&file->list, file->view);
    case INDEX:
        file->format = "sharded";
        if (!may_be_index) return bdpo_fail(BDPO_BAD_FILE, "%s: an index among shards", path);
        return read_index(file);
    case TAR:
        return bdpo_fail(
            BDPO_BAD_FILE,
            "%s: a tar file, as PyTorch wrote before 0.2: save it again with a newer one", path);
    case LFS_POINTER:
        return bdpo_fail(BDPO_BAD_FILE, "%s: a Git LFS pointer: the file itself was not fetched",
                         path);
    case UNKNOWN:
        break;
    }
    return bdpo_fail(BDPO_BAD_FILE,
                     "%s: neither safetensors nor PyTorch, nor an index of such files", path);
}

static bdpo_status index_names(bdpo_tensor_file *file)
{
    bdpo_tensor_list *list = &file->list;
    file->tensor_names =
        bdpo_arena_alloc(list->arena, list->n_tensors + 1, sizeof(bdpo_name_entry));
    file->value_names = bdpo_arena_alloc(list->arena, list->n_values + 1, sizeof(bdpo_name_entry));
    if (!file->tensor_names || !file->value_names) return bdpo_tensor_list_no_memory(list);
    for (size_t i = 0; i < list->n_tensors; i++)
        file->tensor_names[i] = (bdpo_name_entry){list->tensors[i].name, i};
    for (size_t i = 0; i < list->n_values; i++)
        file->value_names[i] = (bdpo_name_entry){list->values[i].name, i};
    bdpo_names_sort(file->tensor_names, list->n_tensors);
    bdpo_names_sort(file->value_names, list->n_values);
    const char *twice = bdpo_names_twice(file->tensor_names, list->n_tensors);
    const char *what = "tensor";
    if (!twice) {
        twice = bdpo_names_twice(file->value_names, list->n_values);
        what = "value";
    }
    if (!twice) return BDPO_OK;
    return bdpo_fail(BDPO_BAD_FILE, "%s: %s %s occurs twice", list->path, what,
                     bdpo_printable(twice).text);
}

static bdpo_status open_content(bdpo_tensor_file *file, const char *path, bool may_be_index)
{
    TRY(bdpo_arena_new(&file->list.arena));
    file->list.path = bdpo_arena_strdup(file->list.arena, path);
    if (!file->list.path) return bdpo_fail(BDPO_NO_MEMORY, "%s: no memory to open it", path);
    TRY(bdpo_file_map(&file->view, path));
    TRY(read_content(file, may_be_index));
    return index_names(file);
}

static bdpo_status open_file(bdpo_tensor_file **out, const char *path, bool may_be_index)
{
    bdpo_tensor_file *file = bdpo_alloc(1, sizeof *file);
    if (!file) return bdpo_fail(BDPO_NO_MEMORY, "%s: no memory to open it", path);
    bdpo_status status = open_content(file, path, may_be_index);
    if (status == BDPO_OK)
        *out = file;
    else
        bdpo_tensor_file_close(file);
    return status;
}

bdpo_status bdpo_tensor_file_open(bdpo_tensor_file **out, const char *path)
{
    return open_file(out, path, true);
}

void bdpo_tensor_file_close(bdpo_tensor_file *file)
{
    if (!file) return;
    for (size_t i = 0; i < file->n_shards; i++) bdpo_tensor_file_close(file->shards[i]);
    bdpo_tensor_list_clear(&file->list);
    bdpo_file_unmap(&file->view);
    bdpo_arena_free(file->list.arena);
    bdpo_free(file);
}

// ---- what is in it -------------------------------------------------------------------------

const char *bdpo_tensor_file_format(const bdpo_tensor_file *file)
{
    return file->format;
}

const char *bdpo_tensor_file_path(const bdpo_tensor_file *file)
{
    return file->list.path;
}

size_t bdpo_tensor_file_count(const bdpo_tensor_file *file)
{
    return file->list.n_tensors;
}

const bdpo_stored_tensor *bdpo_tensor_file_at(const bdpo_tensor_file *file, size_t index)
{
    BDPO_ASSERT(index < file->list.n_tensors);
    return &file->list.tensors[index];
}

const bdpo_stored_tensor *bdpo_tensor_file_find(const bdpo_tensor_file *file, const char *name)
{
    size_t position = bdpo_names_find(file->tensor_names, file->list.n_tensors, name);
    return position == SIZE_MAX ? NULL : &file->list.tensors[position];
}

bdpo_status bdpo_tensor_file_get(const bdpo_stored_tensor **out, const bdpo_tensor_file *file,
                                 const char *name)
{
    *out = bdpo_tensor_file_find(file, name);
    if (*out) return BDPO_OK;
    return bdpo_fail(BDPO_BAD_FILE, "%s: no tensor %s among its %zu", file->list.path,
                     bdpo_printable(name).text, file->list.n_tensors);
}

size_t bdpo_tensor_file_n_values(const bdpo_tensor_file *file)
{
    return file->list.n_values;
}

const bdpo_file_value *bdpo_tensor_file_value_at(const bdpo_tensor_file *file, size_t index)
{
    BDPO_ASSERT(index < file->list.n_values);
    return &file->list.values[index];
}

const bdpo_file_value *bdpo_tensor_file_value(const bdpo_tensor_file *file, const char *name)
{
    size_t position = bdpo_names_find(file->value_names, file->list.n_values, name);
    return position == SIZE_MAX ? NULL : &file->list.values[position];
}

const char *bdpo_tensor_file_text(const bdpo_tensor_file *file, const char *name)
{
    const bdpo_file_value *value = bdpo_tensor_file_value(file, name);
    return value && value->kind == BDPO_FILE_TEXT ? value->text : NULL;
}

// The lists of tensors of a directory's components and of a single file, and the small files beside
// them.
#include "models/model_writer.h"
#include "base/file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/memory.h"
#include "models/model_writer_values.h"
#include "models/modelspec.h"

// ---- a list of tensors -------------------------------------------------------------------------

typedef struct list {
    bdpo_arena *arena; // of names
    bdpo_entry *entries;
    size_t count, capacity;
    bool (*interrupted)(void);
} list;

static bdpo_status append(list *l, const bdpo_entry *entry)
{
    if (l->count == l->capacity) {
        size_t capacity = l->capacity ? 2 * l->capacity : 512;
        bdpo_entry *grown = bdpo_realloc(l->entries, capacity, sizeof *grown);
        if (!grown) return bdpo_fail(BDPO_NO_MEMORY, "no memory for a list of tensors");
        l->entries = grown;
        l->capacity = capacity;
    }
    l->entries[l->count++] = *entry;
    return BDPO_OK;
}

static void release(list *l)
{
    bdpo_free(l->entries);
    bdpo_arena_free(l->arena);
}

static bdpo_status put(void *context, size_t index, bdpo_tensor_sink *sink)
{
    const list *l = context;
    if (l->interrupted && l->interrupted()) return bdpo_fail(BDPO_INTERRUPTED, "interrupted");
    return bdpo_entry_put(&l->entries[index], sink);
}

static bdpo_status write_list(const char *path, list *l, bdpo_safetensors_options *options,
                              bool sharded)
{
    bdpo_tensor_to_write *tensors = bdpo_alloc(l->count ? l->count : 1, sizeof *tensors);
    if (!tensors) return bdpo_fail(BDPO_NO_MEMORY, "%s: no memory for its tensors", path);
    for (size_t i = 0; i < l->count; i++) {
        const bdpo_entry *e = &l->entries[i];
        tensors[i] = (bdpo_tensor_to_write){
            .name = e->name, .dtype = e->dtype, .n_dims = e->n_dims, .dim = e->dim};
    }
    options->source = put;
    options->context = l;
    bdpo_status status = sharded ? bdpo_safetensors_write_sharded(path, tensors, l->count, options)
                                 : bdpo_safetensors_write(path, tensors, l->count, options);
    bdpo_free(tensors);
    return status;
}

// ---- small files -------------------------------------------------------------------------------

static bdpo_status make_directory(const char *path)
{
    if (mkdir(path, 0777) == 0 || (errno == EEXIST && bdpo_file_is_directory(path))) return BDPO_OK;
    char reason[128];
    if (strerror_r(errno, reason, sizeof reason) != 0) snprintf(reason, sizeof reason, "error");
    return bdpo_fail(BDPO_IO, "%s: cannot make the directory: %s", path, reason);
}

// As diffusers lays it out. 15 digits give back every decimal that a configuration is written with.
static bdpo_status write_json(const char *path, const json_t *root)
{
    char *text = json_dumps(root, JSON_INDENT(2) | JSON_SORT_KEYS | JSON_REAL_PRECISION(15));
    if (!text) return bdpo_fail(BDPO_NO_MEMORY, "%s: no memory to write it", path);
    size_t length = strlen(text);
    text[length] = '\n'; // in place of the closing zero: the length is given
    bdpo_status status = bdpo_file_write(path, text, length + 1);
    free(text);
    return status;
}

static bdpo_status copy_file(const char *from, const char *to)
{
    enum { LARGEST = 64 << 20 };
    char *text;
    size_t size;
    TRY(bdpo_file_read(&text, &size, from, LARGEST));
    bdpo_status status = bdpo_file_write(to, text, size);
    bdpo_free(text);
    return status;
}

static bdpo_status copy_tokenizer(const char *to_root, const char *from_root, const char *name)
{
    static const char *const files[] = {"vocab.json",        "merges.txt",
                                        "tokenizer.json",    "tokenizer_config.json",
                                        "added_tokens.json", "special_tokens_map.json"};
    char from[BDPO_PATH_BYTES], to[BDPO_PATH_BYTES], from_file[BDPO_PATH_BYTES],
        to_file[BDPO_PATH_BYTES];
    TRY(bdpo_file_join(from, from_root, name));
    TRY(bdpo_file_join(to, to_root, name));
    if (!bdpo_file_is_directory(from))
        return bdpo_fail(BDPO_NOT_FOUND, "%s: no such directory, from which to copy a tokenizer",
                         from);
    TRY(make_directory(to));
    for (size_t i = 0; i < BDPO_COUNTOF(files); i++) {
        TRY(bdpo_file_join(from_file, from, files[i]));
        TRY(bdpo_file_join(to_file, to, files[i]));
        if (bdpo_file_exists(from_file)) TRY(copy_file(from_file, to_file));
    }
    return BDPO_OK;
}

// ---- a directory -------------------------------------------------------------------------------

static const bdpo_component_spec *spec_of(const bdpo_part_to_write *part)
{
    return bdpo_component_get_source(part->component)->spec;
}

static bdpo_status list_diffusers(list *l, const bdpo_part_to_write *part, bdpo_write_dtype dtype)
{
    for (size_t i = 0; i < bdpo_part_count(part); i++) {
        bdpo_entry entry;
        TRY(bdpo_entry_init(&entry, part, bdpo_part_name(part, i), dtype));
        TRY(append(l, &entry));
    }
    return BDPO_OK;
}

static bdpo_status write_part(const char *root, const bdpo_part_to_write *part,
                              const bdpo_model_to_write *model)
{
    char directory[BDPO_PATH_BYTES], path[BDPO_PATH_BYTES], name[128];
    TRY(bdpo_file_join(directory, root, spec_of(part)->name));
    TRY(make_directory(directory));
    TRY(bdpo_file_join(path, directory, "config.json"));
    TRY(write_json(path, bdpo_component_get_source(part->component)->config));
    snprintf(name, sizeof name, "%s.safetensors", spec_of(part)->weights);
    TRY(bdpo_file_join(path, directory, name));
    list l = {.interrupted = model->interrupted};
    bdpo_status status = list_diffusers(&l, part, model->dtype);
    bdpo_safetensors_options options = {.shard_bytes = model->shard_bytes};
    if (status == BDPO_OK) status = write_list(path, &l, &options, true);
    release(&l);
    return status;
}

static bool is_written(const bdpo_model_to_write *model, const char *name)
{
    for (int i = 0; i < model->n_parts; i++)
        if (strcmp(spec_of(&model->parts[i])->name, name) == 0) return true;
    return strcmp(name, "scheduler") == 0 || strncmp(name, "tokenizer", 9) == 0;
}

// The index with [null, null] for what is not written: a safety checker, mostly.
static bdpo_status write_index(const char *root, const bdpo_model_to_write *model)
{
    char path[BDPO_PATH_BYTES];
    TRY(bdpo_file_join(path, root, "model_index.json"));
    json_t *index = json_deep_copy(bdpo_checkpoint_index(model->checkpoint)), *value;
    bool failed = !index;
    const char *name;
    void *next;
    json_object_foreach_safe(index, next, name, value)
    {
        if (!json_is_array(value) || is_written(model, name)) continue;
        failed |= json_array_set_new(value, 0, json_null()) != 0 ||
                  json_array_set_new(value, 1, json_null()) != 0;
        if (strcmp(name, "safety_checker") == 0)
            failed |= json_object_set_new(index, "requires_safety_checker", json_false()) != 0;
    }
    bdpo_status status = failed ? bdpo_fail(BDPO_NO_MEMORY, "%s: no memory to write it", path)
                                : write_json(path, index);
    json_decref(index);
    return status;
}

bdpo_status bdpo_model_write_directory(const char *path, const bdpo_model_to_write *model)
{
    char below[BDPO_PATH_BYTES];
    TRY(make_directory(path));
    for (int i = 0; i < model->n_parts; i++) TRY(write_part(path, &model->parts[i], model));
    TRY(bdpo_file_join(below, path, "scheduler"));
    TRY(make_directory(below));
    TRY(bdpo_file_join(below, path, "scheduler/scheduler_config.json"));
    TRY(write_json(below, bdpo_checkpoint_scheduler(model->checkpoint)));
    if (model->tokenizers) {
        TRY(copy_tokenizer(path, model->tokenizers, "tokenizer"));
        if (bdpo_checkpoint_get_info(model->checkpoint).type == BDPO_SDXL)
            TRY(copy_tokenizer(path, model->tokenizers, "tokenizer_2"));
    }
    return write_index(path, model);
}

// ---- a single file -----------------------------------------------------------------------------

static bdpo_status arena_print(const char **out, list *l, const char *prefix, const char *name)
{
    char text[1024];
    snprintf(text, sizeof text, "%s%s", prefix, name);
    *out = bdpo_arena_strdup(l->arena, text);
    return *out ? BDPO_OK : bdpo_fail(BDPO_NO_MEMORY, "no memory for a tensor's name");
}

// q, k and v, in this order, become one tensor, which q stands for.
static bdpo_status stack(bdpo_entry *e, list *l, const bdpo_naming *naming, const char *original)
{
    bdpo_tensor_name thirds[3];
    BDPO_ASSERT(bdpo_naming_to_diffusers(thirds, naming, original) == 3);
    for (int i = 0; i < 3; i++) TRY(arena_print(&e->sources[i], l, "", thirds[i].text));
    for (int i = 1; i < 3; i++) {
        bdpo_entry other;
        TRY(bdpo_entry_init(&other, e->part, e->sources[i], BDPO_WRITE_F32));
        if (other.n_dims != e->n_dims ||
            memcmp(other.dim, e->dim, (size_t)e->n_dims * sizeof *e->dim) != 0)
            return bdpo_fail(BDPO_BAD_SHAPE, "\"%s\" and \"%s\" cannot be stacked: %s and %s",
                             e->sources[0], e->sources[i],
                             bdpo_stored_shape_print(e->dim, e->n_dims).text,
                             bdpo_stored_shape_print(other.dim, other.n_dims).text);
    }
    e->dim[0] *= 3;
    return BDPO_OK;
}

static void make_conv(bdpo_entry *e)
{
    while (e->n_dims < 4) e->dim[e->n_dims++] = 1;
}

static bdpo_status list_original(list *l, const bdpo_part_to_write *part, bdpo_write_dtype dtype)
{
    const bdpo_naming *naming = bdpo_component_naming(part->component);
    const bdpo_component_spec *spec = spec_of(part);
    for (size_t i = 0; i < bdpo_part_count(part); i++) {
        const char *name = bdpo_part_name(part, i);
        bdpo_tensor_name original;
        bdpo_entry e;
        if (!bdpo_naming_to_original(&original, naming, name))
            return bdpo_fail(BDPO_UNSUPPORTED, "%s: \"%s\" has no name in a single file",
                             spec->name, name);
        if (original.third > 0) continue; // comes with the first
        TRY(bdpo_entry_init(&e, part, name, dtype));
        if (original.third == 0) TRY(stack(&e, l, naming, original.text));
        if (original.conv) make_conv(&e);
        if (original.transposed && e.n_dims == 2) {
            int64_t rows = e.dim[0];
            e.dim[0] = e.dim[1];
            e.dim[1] = rows;
            e.transposed = true;
        }
        TRY(arena_print(&e.name, l, spec->prefix, original.text));
        TRY(append(l, &e));
    }
    return BDPO_OK;
}

// The list and the marker of what SDXL predicts, which others look for; its value means nothing.
static bdpo_status write_original(const char *path, list *l, const bdpo_checkpoint_info *info)
{
    // Needed by whoever opens the file: SD 2 does not tell what it predicts.
    bdpo_modelspec spec = bdpo_modelspec_of(path, info->type, info->prediction, false);
    const bdpo_metadata_pair metadata[] = {BDPO_MODELSPEC_PAIRS(spec)};
    bdpo_safetensors_options options = {.metadata = metadata, .n_metadata = BDPO_COUNTOF(metadata)};
    return write_list(path, l, &options, false);
}

bdpo_status bdpo_model_write_single(const char *path, const bdpo_model_to_write *model)
{
    bdpo_checkpoint_info info = bdpo_checkpoint_get_info(model->checkpoint);
    list l = {.interrupted = model->interrupted};
    bdpo_status status = bdpo_arena_new(&l.arena);
    for (int i = 0; i < model->n_parts && status == BDPO_OK; i++)
        status = list_original(&l, &model->parts[i], model->dtype);
    if (status == BDPO_OK && info.type == BDPO_SDXL && info.prediction == BDPO_PREDICTS_V) {
        bdpo_entry marker = {.name = "v_pred", .dtype = BDPO_STORED_F32, .n_dims = 1};
        status = append(&l, &marker);
    }
    if (status == BDPO_OK) status = write_original(path, &l, &info);
    release(&l);
    return status;
}

void bdpo_parts_of_checkpoint(bdpo_part_to_write *parts, const bdpo_checkpoint *checkpoint)
{
    for (int i = 0; i < bdpo_checkpoint_count(checkpoint); i++)
        parts[i] = (bdpo_part_to_write){.component = bdpo_checkpoint_at(checkpoint, i)};
}

// What the scorers of a session have in common: a list, which is short.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "formats/sha256.h"
#include "formats/tensor_file.h"
#include "models/clip_checkpoint.h"
#include "scorers/scorer.h"

typedef struct entry {
    struct entry *next;
    void *object;
    void (*free_object)(void *object);
    char key[];
} entry;

typedef struct digest {
    struct digest *next;
    bdpo_sha256_text text;
    char path[];
} digest;

struct bdpo_shared {
    entry *entries; // the last added first
    digest *digests;
};

bdpo_status bdpo_shared_new(bdpo_shared **out)
{
    *out = bdpo_alloc(1, sizeof **out);
    return *out ? BDPO_OK : bdpo_fail(BDPO_NO_MEMORY, "no memory for a scoring session");
}

void bdpo_shared_free(bdpo_shared *shared)
{
    if (!shared) return;
    while (shared->entries) {
        entry *e = shared->entries;
        shared->entries = e->next;
        e->free_object(e->object);
        bdpo_free(e);
    }
    while (shared->digests) {
        digest *d = shared->digests;
        shared->digests = d->next;
        bdpo_free(d);
    }
    bdpo_free(shared);
}

void *bdpo_shared_find(const bdpo_shared *shared, const char *key)
{
    for (entry *e = shared->entries; e; e = e->next)
        if (strcmp(e->key, key) == 0) return e->object;
    return NULL;
}

bdpo_status bdpo_shared_add(bdpo_shared *shared, const char *key, void *object,
                            void (*free_object)(void *object))
{
    size_t size = strlen(key) + 1;
    entry *e = bdpo_alloc(1, sizeof *e + size);
    if (!e) {
        free_object(object);
        return bdpo_fail(BDPO_NO_MEMORY, "no memory for a scoring session");
    }
    *e = (entry){.next = shared->entries, .object = object, .free_object = free_object};
    memcpy(e->key, key, size);
    shared->entries = e;
    return BDPO_OK;
}

// ---- digests -----------------------------------------------------------------------------------

static int compare(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

// The paths of a sharded model's shards, each once, sorted; *n of them.
static bdpo_status list_shards(const char ***out, size_t *n, const bdpo_tensor_file *file)
{
    size_t count = bdpo_tensor_file_count(file);
    const char **paths = bdpo_alloc(count + 1, sizeof *paths);
    if (!paths) return bdpo_fail(BDPO_NO_MEMORY, "no memory for the names of shards");
    for (size_t i = 0; i < count; i++) paths[i] = bdpo_tensor_file_at(file, i)->path;
    if (count > 0) qsort(paths, count, sizeof *paths, compare);
    *n = 0;
    for (size_t i = 0; i < count; i++)
        if (*n == 0 || strcmp(paths[*n - 1], paths[i]) != 0) paths[(*n)++] = paths[i];
    *out = paths;
    return BDPO_OK;
}

static bdpo_status add_shard(bdpo_sha256_stream *stream, const char *path)
{
    char line[BDPO_PATH_BYTES + 80];
    bdpo_sha256_text text;
    const char *slash = strrchr(path, '/');
    TRY(bdpo_sha256_file(&text, path));
    int length = snprintf(line, sizeof line, "%s  %s\n", text.hex, slash ? slash + 1 : path);
    return bdpo_sha256_add(stream, line, (size_t)length);
}

static bdpo_status digest_shards(bdpo_sha256_text *out, const bdpo_tensor_file *file)
{
    const char **paths = NULL;
    size_t n = 0;
    bdpo_sha256_stream *stream;
    TRY(list_shards(&paths, &n, file));
    bdpo_status status = bdpo_sha256_new(&stream);
    if (status == BDPO_OK) {
        for (size_t i = 0; i < n && status == BDPO_OK; i++) status = add_shard(stream, paths[i]);
        if (status == BDPO_OK)
            status = bdpo_sha256_finish(out, stream);
        else
            bdpo_sha256_free(stream);
    }
    bdpo_free(paths);
    return status;
}

static bool ends_in_json(const char *path)
{
    size_t length = strlen(path);
    return length > 5 && strcmp(path + length - 5, ".json") == 0;
}

static bdpo_status digest_weights(bdpo_sha256_text *out, const char *path)
{
    bdpo_tensor_file *file;
    if (!ends_in_json(path)) return bdpo_sha256_file(out, path);
    TRY(bdpo_tensor_file_open(&file, path)); // an index of shards
    bdpo_status status = digest_shards(out, file);
    bdpo_tensor_file_close(file);
    return status;
}

bdpo_status bdpo_shared_sha256(const char **hex, bdpo_shared *shared, const char *path)
{
    char weights[BDPO_PATH_BYTES];
    TRY(bdpo_clip_weights_find(weights, path));
    for (digest *d = shared->digests; d; d = d->next) {
        *hex = d->text.hex;
        if (strcmp(d->path, weights) == 0) return BDPO_OK;
    }
    size_t size = strlen(weights) + 1;
    digest *d = bdpo_alloc(1, sizeof *d + size);
    if (!d) return bdpo_fail(BDPO_NO_MEMORY, "no memory for a scoring session");
    memcpy(d->path, weights, size);
    bdpo_status status = digest_weights(&d->text, weights);
    if (status != BDPO_OK) {
        bdpo_free(d);
        return status;
    }
    d->next = shared->digests;
    shared->digests = d;
    *hex = d->text.hex;
    return BDPO_OK;
}

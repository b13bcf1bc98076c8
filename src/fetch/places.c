// The environment, and a look into both caches.
//
// Hugging Face's cache: models--ORG--NAME/{refs/main, snapshots/COMMIT/PATH, blobs/}; datasets
// begin with "datasets--". The files of a snapshot are links to blobs, and are there when whole.
#include "fetch/places.h"

#include <dirent.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/memory.h"
#include "fetch/record.h"

// ---- the environment ---------------------------------------------------------------------------

static const char *get(const char *name)
{
    const char *value = getenv(name);
    return value && *value ? value : NULL;
}

// out = value + tail; a leading "~/" is the home directory, as Hugging Face's libraries take it.
static bdpo_status set_path(char out[BDPO_PATH_BYTES], const char *value, const char *tail)
{
    const char *home = strncmp(value, "~/", 2) == 0 ? get("HOME") : NULL;
    int n =
        snprintf(out, BDPO_PATH_BYTES, "%s%s%s", home ? home : "", home ? value + 1 : value, tail);
    if (n < 0 || n >= BDPO_PATH_BYTES)
        return bdpo_fail(BDPO_BAD_ARGUMENT, "%.40s...: the path has more than %d bytes", value,
                         BDPO_PATH_BYTES - 1);
    return BDPO_OK;
}

// The directory of Hugging Face's libraries: the cache of files is "hub" in it.
static bdpo_status hub_home(char out[BDPO_PATH_BYTES])
{
    const char *value = get("HF_HOME");
    if (value) return set_path(out, value, "");
    value = get("XDG_CACHE_HOME");
    if (value) return set_path(out, value, "/huggingface");
    value = get("HOME");
    out[0] = '\0';
    return value ? set_path(out, value, "/.cache/huggingface") : BDPO_OK;
}

static bdpo_status read_caches(bdpo_fetch_places *out)
{
    const char *hub = get("HF_HUB_CACHE"), *value;
    char home[BDPO_PATH_BYTES];
    if (!hub) hub = get("HUGGINGFACE_HUB_CACHE");
    TRY(hub_home(home));
    if (hub) {
        TRY(set_path(out->hub_cache, hub, ""));
    } else if (home[0]) {
        TRY(set_path(out->hub_cache, home, "/hub"));
    }
    if ((value = get("BDPO_CACHE"))) return set_path(out->cache, value, "");
    if ((value = get("XDG_CACHE_HOME"))) return set_path(out->cache, value, "/bdpo");
    if ((value = get("HOME"))) return set_path(out->cache, value, "/.cache/bdpo");
    return bdpo_fail(BDPO_BAD_ARGUMENT, "neither BDPO_CACHE nor HOME is set: where should files "
                                        "lie?");
}

// An address of a host, without the slash at its end.
static bdpo_status read_endpoint(char *out, size_t size, const char *name, const char *fallback)
{
    const char *value = get(name);
    if (!value) value = fallback;
    size_t length = strlen(value);
    while (length > 0 && value[length - 1] == '/') length--;
    if (length >= size || (strncmp(value, "https://", 8) != 0 && strncmp(value, "http://", 7) != 0))
        return bdpo_fail(BDPO_BAD_ARGUMENT, "%s=%.100s: should be an address, such as %s", name,
                         value, fallback);
    memcpy(out, value, length);
    out[length] = '\0';
    return BDPO_OK;
}

static bool is_token(const char *text)
{
    for (; *text; text++)
        if (*text <= ' ' || *text > '~') return false;
    return true;
}

static void trim(char *text)
{
    size_t length = strlen(text), begin = strspn(text, " \t\r\n");
    while (length > begin && strchr(" \t\r\n", text[length - 1])) length--;
    memmove(text, text + begin, length - begin);
    text[length - begin] = '\0';
}

static bdpo_status set_token(bdpo_fetch_places *out, const char *value, const char *from)
{
    char text[sizeof out->token];
    if (snprintf(text, sizeof text, "%s", value) < (int)sizeof text) {
        trim(text);
        if (is_token(text)) { // nothing that could end the header line
            memcpy(out->token, text, sizeof text);
            return BDPO_OK;
        }
    }
    return bdpo_fail(BDPO_BAD_ARGUMENT, "%s: this is no token: one word such as hf_...", from);
}

// What `hf auth login` left. A file that cannot be read is as none.
static bdpo_status read_token_file(bdpo_fetch_places *out)
{
    char path[BDPO_PATH_BYTES], *text;
    size_t size;
    const char *value = get("HF_TOKEN_PATH");
    if (value) {
        TRY(set_path(path, value, ""));
    } else {
        char home[BDPO_PATH_BYTES];
        TRY(hub_home(home));
        if (!home[0]) return BDPO_OK;
        TRY(set_path(path, home, "/token"));
    }
    if (bdpo_file_read(&text, &size, path, sizeof out->token - 1) != BDPO_OK) return BDPO_OK;
    bdpo_status status = set_token(out, text, path);
    bdpo_free(text);
    return status;
}

static bdpo_status read_token(bdpo_fetch_places *out)
{
    const char *value = get("HF_TOKEN");
    if (value) return set_token(out, value, "HF_TOKEN");
    value = get("HUGGING_FACE_HUB_TOKEN");
    if (value) return set_token(out, value, "HUGGING_FACE_HUB_TOKEN");
    return read_token_file(out);
}

static bool is_true(const char *value)
{
    return value &&
           (strcmp(value, "1") == 0 || strcmp(value, "ON") == 0 || strcmp(value, "YES") == 0 ||
            strcmp(value, "TRUE") == 0 || strcmp(value, "true") == 0);
}

bdpo_status bdpo_fetch_places_read(bdpo_fetch_places *out)
{
    *out = (bdpo_fetch_places){0};
    TRY(read_caches(out));
    TRY(read_endpoint(out->hub, sizeof out->hub, "HF_ENDPOINT", "https://huggingface.co"));
    TRY(read_endpoint(out->github, sizeof out->github, "BDPO_GITHUB_ENDPOINT",
                      "https://raw.githubusercontent.com"));
    out->offline = is_true(get("HF_HUB_OFFLINE"));
    return read_token(out);
}

// ---- directories -------------------------------------------------------------------------------

const char *bdpo_fetch_where_name(bdpo_fetch_where where)
{
    static const char *const names[] = {"missing", "HF cache", "bdpo cache"};
    return names[where];
}

// "models--ORG--NAME"
static void folder_name(char *out, size_t size, bdpo_fetch_host host, const char *repository)
{
    static const char *const kinds[] = {"models", "datasets", "github"};
    size_t used = (size_t)snprintf(out, size, "%s--", kinds[host]);
    for (const char *c = repository; *c && used + 3 < size; c++) {
        if (*c == '/') out[used++] = '-';
        out[used++] = *c == '/' ? '-' : *c;
    }
    out[used] = '\0';
}

bdpo_status bdpo_fetch_our_directory(char out[BDPO_PATH_BYTES], const bdpo_fetch_places *places,
                                     const bdpo_fetch_source *source)
{
    char folder[256];
    folder_name(folder, sizeof folder, source->host, source->repository);
    return bdpo_file_join(out, places->cache, folder);
}

bdpo_status bdpo_fetch_our_record(char out[BDPO_PATH_BYTES], const bdpo_fetch_places *places,
                                  const bdpo_fetch_source *source, const char *name)
{
    char folder[256];
    folder_name(folder, sizeof folder, source->host, source->repository);
    int n = snprintf(out, BDPO_PATH_BYTES, "%s/records/%s/%s.json", places->cache, folder, name);
    if (n < 0 || n >= BDPO_PATH_BYTES)
        return bdpo_fail(BDPO_BAD_ARGUMENT, "%s: the path has more than %d bytes", name,
                         BDPO_PATH_BYTES - 1);
    return BDPO_OK;
}

// A directory where files of a source may lie; true ends the search.
typedef struct visitor {
    const bdpo_fetch_places *places;
    const bdpo_fetch_source *source;
    const bdpo_fetch_file *file; // that is looked for
    int shard;                   // which of its shards
    char *out;                   // BDPO_PATH_BYTES
    bool (*look)(const struct visitor *v, const char *directory, bdpo_fetch_where where);
} visitor;

enum { MAX_SNAPSHOTS = 64, NAME_BYTES = 256 };

typedef struct snapshot {
    char name[NAME_BYTES];
    struct timespec changed;
    bool wanted; // the revision's
} snapshot;

static int compare_snapshots(const void *a, const void *b)
{
    const snapshot *x = a, *y = b;
    if (x->wanted != y->wanted) return x->wanted ? -1 : 1;
    if (x->changed.tv_sec != y->changed.tv_sec)
        return x->changed.tv_sec > y->changed.tv_sec ? -1 : 1;
    if (x->changed.tv_nsec != y->changed.tv_nsec)
        return x->changed.tv_nsec > y->changed.tv_nsec ? -1 : 1;
    return strcmp(x->name, y->name);
}

// The commit that refs/REVISION names; "" where there is none.
static void read_ref(char *out, size_t size, const char *repository, const char *revision)
{
    char path[BDPO_PATH_BYTES], tail[NAME_BYTES], *text;
    size_t length;
    out[0] = '\0';
    snprintf(tail, sizeof tail, "refs/%s", revision);
    if (bdpo_file_join(path, repository, tail) != BDPO_OK) return;
    if (bdpo_file_read(&text, &length, path, NAME_BYTES - 1) != BDPO_OK) return;
    trim(text);
    if (strlen(text) < size) memcpy(out, text, strlen(text) + 1);
    bdpo_free(text);
}

static int list_snapshots(snapshot *out, const char *directory, const char *wanted)
{
    int n = 0;
    DIR *dir = opendir(directory);
    if (!dir) return 0;
    for (struct dirent *entry; n < MAX_SNAPSHOTS && (entry = readdir(dir));) {
        char path[BDPO_PATH_BYTES];
        struct stat info;
        if (entry->d_name[0] == '.' || strlen(entry->d_name) >= NAME_BYTES) continue;
        if (bdpo_file_join(path, directory, entry->d_name) != BDPO_OK) continue;
        if (stat(path, &info) != 0 || !S_ISDIR(info.st_mode)) continue;
        memcpy(out[n].name, entry->d_name, strlen(entry->d_name) + 1);
        out[n].changed = info.st_mtim;
        out[n].wanted = strcmp(entry->d_name, wanted) == 0;
        n++;
    }
    closedir(dir);
    qsort(out, (size_t)n, sizeof *out, compare_snapshots);
    return n;
}

static bool visit_hub(const visitor *v, const char *repository)
{
    char folder[NAME_BYTES], path[BDPO_PATH_BYTES], snapshots[BDPO_PATH_BYTES], commit[NAME_BYTES];
    if (!repository || !v->places->hub_cache[0] || v->source->host == BDPO_FETCH_GITHUB)
        return false;
    folder_name(folder, sizeof folder, v->source->host, repository);
    if (bdpo_file_join(path, v->places->hub_cache, folder) != BDPO_OK) return false;
    if (bdpo_file_join(snapshots, path, "snapshots") != BDPO_OK) return false;
    read_ref(commit, sizeof commit, path, v->source->revision);
    snapshot *all = bdpo_alloc(MAX_SNAPSHOTS, sizeof *all);
    if (!all) return false;
    bool found = false;
    int n = list_snapshots(all, snapshots, commit);
    for (int i = 0; i < n && !found; i++)
        found = bdpo_file_join(path, snapshots, all[i].name) == BDPO_OK &&
                v->look(v, path, BDPO_FETCH_IN_HUB_CACHE);
    bdpo_free(all);
    return found;
}

static bdpo_fetch_where visit(const visitor *v)
{
    char ours[BDPO_PATH_BYTES];
    if (visit_hub(v, v->source->repository)) return BDPO_FETCH_IN_HUB_CACHE;
    if (visit_hub(v, v->source->earlier)) return BDPO_FETCH_IN_HUB_CACHE;
    if (bdpo_fetch_our_directory(ours, v->places, v->source) == BDPO_OK &&
        v->look(v, ours, BDPO_FETCH_IN_OURS))
        return BDPO_FETCH_IN_OURS;
    return BDPO_FETCH_MISSING;
}

// ---- files -------------------------------------------------------------------------------------

bool bdpo_fetch_next_name(char out[BDPO_PATH_BYTES], const char **names)
{
    size_t length = strcspn(*names, "|");
    if (length == 0 || length >= BDPO_PATH_BYTES) return false;
    memcpy(out, *names, length);
    out[length] = '\0';
    *names += length + ((*names)[length] == '|');
    return true;
}

// A file of ours whose size is not the recorded one was cut or changed: it counts as missing.
static bool as_recorded(const visitor *v, const char *name, int64_t size)
{
    char path[BDPO_PATH_BYTES];
    bdpo_fetch_record record;
    if (bdpo_fetch_our_record(path, v->places, v->source, name) != BDPO_OK) return true;
    if (bdpo_fetch_record_read(&record, path) != BDPO_OK) return true;
    return record.size == size;
}

static bool is_there(const visitor *v, const char *directory, const char *name,
                     bdpo_fetch_where where)
{
    struct stat info;
    if (bdpo_file_join(v->out, directory, name) != BDPO_OK) return false;
    if (stat(v->out, &info) != 0 || !S_ISREG(info.st_mode)) return false;
    return where != BDPO_FETCH_IN_OURS || as_recorded(v, name, (int64_t)info.st_size);
}

// Of how many shards this is one: 4 for "train-00001-of-00004-ab.parquet"; 0 where it does not
// tell.
static long shards_of(const char *name)
{
    const char *of = strstr(name, "-of-");
    return of ? strtol(of + 4, NULL, 10) : 0;
}

// The shard v->shard of those that match, if all are there: their number is in their names.
static bool find_shard(const visitor *v, const char *directory, const char *pattern,
                       bdpo_fetch_where where)
{
    char folder[BDPO_PATH_BYTES], name[BDPO_PATH_BYTES] = "";
    struct dirent **entries;
    const char *slash = strrchr(pattern, '/');
    int folder_length = slash ? (int)(slash - pattern) + 1 : 0;
    snprintf(name, sizeof name, "%.*s", folder_length, pattern);
    if (bdpo_file_join(folder, directory, name) != BDPO_OK) return false;
    int n = scandir(folder, &entries, NULL, alphasort);
    if (n < 0) return false;
    long total = 0, count = 0;
    for (int i = 0; i < n; i++) {
        const char *entry = entries[i]->d_name;
        if (fnmatch(pattern + folder_length, entry, FNM_PERIOD) == 0 && shards_of(entry) > 0) {
            total = shards_of(entry);
            if (count++ == v->shard)
                snprintf(name + folder_length, sizeof name - (size_t)folder_length, "%s", entry);
        }
        free(entries[i]);
    }
    free(entries);
    return count == total && v->shard < count && is_there(v, directory, name, where);
}

static bool look_for_file(const visitor *v, const char *directory, bdpo_fetch_where where)
{
    const char *names = v->file->path;
    char name[BDPO_PATH_BYTES];
    if (strchr(names, '*')) return find_shard(v, directory, names, where);
    while (bdpo_fetch_next_name(name, &names))
        if (is_there(v, directory, name, where)) return true;
    return false;
}

static bool look_for_whole(const visitor *v, const char *directory, bdpo_fetch_where where)
{
    for (int i = 0; i < bdpo_fetch_file_count(v->source); i++) {
        visitor one = *v;
        one.file = &v->source->files[i];
        if (!look_for_file(&one, directory, where)) return false;
    }
    return snprintf(v->out, BDPO_PATH_BYTES, "%s", directory) < BDPO_PATH_BYTES;
}

bdpo_fetch_where bdpo_fetch_locate_shard(char out[BDPO_PATH_BYTES], const bdpo_fetch_places *places,
                                         const bdpo_fetch_source *source,
                                         const bdpo_fetch_file *file, int index)
{
    return visit(&(visitor){.places = places,
                            .source = source,
                            .file = file,
                            .shard = index,
                            .out = out,
                            .look = look_for_file});
}

bdpo_fetch_where bdpo_fetch_locate(char out[BDPO_PATH_BYTES], const bdpo_fetch_places *places,
                                   const bdpo_fetch_source *source, const bdpo_fetch_file *file)
{
    return bdpo_fetch_locate_shard(out, places, source, file, 0);
}

bdpo_fetch_where bdpo_fetch_locate_whole(char out[BDPO_PATH_BYTES], const bdpo_fetch_places *places,
                                         const bdpo_fetch_source *source)
{
    return visit(
        &(visitor){.places = places, .source = source, .out = out, .look = look_for_whole});
}

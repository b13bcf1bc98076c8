// Items: finding, getting, checking.
#define _DEFAULT_SOURCE // realpath
#include "fetch/fetch.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "fetch/hub_listing.h"

enum { LABEL_BYTES = 512 };

// ---- addresses ---------------------------------------------------------------------------------

static const char *host_of(const bdpo_fetch_places *places, const bdpo_fetch_source *source)
{
    return source->host == BDPO_FETCH_GITHUB ? places->github : places->hub;
}

static const char *room_of(const bdpo_fetch_source *source)
{
    return source->host == BDPO_FETCH_HUB_DATASET ? "datasets/" : "";
}

bdpo_fetch_address bdpo_fetch_page(const bdpo_fetch_places *places, const bdpo_fetch_source *source)
{
    bdpo_fetch_address out;
    if (source->host == BDPO_FETCH_GITHUB)
        snprintf(out.text, sizeof out.text, "https://github.com/%s", source->repository);
    else
        snprintf(out.text, sizeof out.text, "%s/%s%s", places->hub, room_of(source),
                 source->repository);
    return out;
}

// All but letters, digits and "-._~/" as %XX.
static void append_escaped(char *out, size_t size, const char *path)
{
    static const char plain[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~/";
    size_t used = strlen(out);
    for (; *path && used + 4 < size; path++) {
        if (strchr(plain, *path)) {
            out[used++] = *path;
            continue;
        }
        used += (size_t)snprintf(out + used, size - used, "%%%02X", (unsigned)(unsigned char)*path);
    }
    out[used] = '\0';
}

static bdpo_fetch_address file_address(const bdpo_fetch_places *places,
                                       const bdpo_fetch_source *source, const char *path)
{
    bdpo_fetch_address out;
    bool github = source->host == BDPO_FETCH_GITHUB;
    snprintf(out.text, sizeof out.text, "%s/%s%s/%s%s/", host_of(places, source), room_of(source),
             source->repository, github ? "" : "resolve/", source->revision);
    append_escaped(out.text, sizeof out.text, path);
    return out;
}

static bdpo_fetch_address listing_address(const bdpo_fetch_places *places,
                                          const bdpo_fetch_source *source)
{
    bdpo_fetch_address out;
    snprintf(out.text, sizeof out.text, "%s/api/%s/%s/tree/%s?recursive=true", places->hub,
             source->host == BDPO_FETCH_HUB_DATASET ? "datasets" : "models", source->repository,
             source->revision);
    return out;
}

// ---- finding -----------------------------------------------------------------------------------

static bool is_shards(const bdpo_fetch_file *file)
{
    return strchr(file->path, '*') != NULL;
}

// The file of an item that `name` means: a whole name, one of its alternatives, or the last part.
static bool is_called(const bdpo_fetch_file *file, const char *name)
{
    char one[BDPO_PATH_BYTES];
    for (const char *names = file->path; bdpo_fetch_next_name(one, &names);) {
        const char *slash = strrchr(one, '/');
        if (strcmp(one, name) == 0 || (slash && strcmp(slash + 1, name) == 0)) return true;
    }
    return false;
}

static bdpo_status not_here(const bdpo_fetch_item *item, const char *what)
{
    return bdpo_fail(BDPO_NOT_FOUND,
                     "%s: %s is not on this disk; `bdpo fetch %s` gets it (licence: %s)",
                     item->name, what, item->name, item->licence);
}

static bdpo_status find_file(char out[BDPO_PATH_BYTES], const bdpo_fetch_places *places,
                             const bdpo_fetch_item *item, const char *name)
{
    for (int s = 0; s < bdpo_fetch_source_count(item); s++) {
        const bdpo_fetch_source *source = &item->sources[s];
        for (int f = 0; f < bdpo_fetch_file_count(source); f++) {
            if (!is_called(&source->files[f], name)) continue;
            if (bdpo_fetch_locate(out, places, source, &source->files[f]) != BDPO_FETCH_MISSING)
                return BDPO_OK;
            return not_here(item, name);
        }
    }
    return bdpo_fail(BDPO_BAD_ARGUMENT, "%s has no file \"%.200s\"", item->name, name);
}

static bdpo_status find_source(char out[BDPO_PATH_BYTES], const bdpo_fetch_places *places,
                               const bdpo_fetch_item *item, const bdpo_fetch_source *source)
{
    if (source->directory && bdpo_fetch_locate_whole(out, places, source) != BDPO_FETCH_MISSING)
        return BDPO_OK;
    bool weights_do = item->kind == BDPO_FETCH_SCORER && source->role != BDPO_FETCH_TOKENIZER;
    if ((!source->directory || weights_do) &&
        bdpo_fetch_locate(out, places, source, &source->files[0]) != BDPO_FETCH_MISSING)
        return BDPO_OK;
    return not_here(item, source->repository);
}

bdpo_status bdpo_fetch_find_part(char out[BDPO_PATH_BYTES], const char *name, bdpo_fetch_role role)
{
    const bdpo_fetch_item *item;
    bdpo_fetch_places places;
    TRY(bdpo_fetch_item_find(&item, name));
    TRY(bdpo_fetch_places_read(&places));
    for (int s = 0; s < bdpo_fetch_source_count(item); s++)
        if (item->sources[s].role == role)
            return find_source(out, &places, item, &item->sources[s]);
    return bdpo_fail(BDPO_BAD_ARGUMENT, "%s has no %s of its own", name,
                     role == BDPO_FETCH_TOKENIZER ? "tokenizer" : "model under it");
}

bdpo_status bdpo_fetch_find(char out[BDPO_PATH_BYTES], const char *name, const char *file)
{
    const bdpo_fetch_item *item;
    bdpo_fetch_places places;
    if (!file) return bdpo_fetch_find_part(out, name, BDPO_FETCH_MODEL);
    TRY(bdpo_fetch_item_find(&item, name));
    TRY(bdpo_fetch_places_read(&places));
    return find_file(out, &places, item, file);
}

// A directory must be whole in one place, linked or not.
static void count_source(bdpo_fetch_presence *out, bdpo_fetch_where *first,
                         const bdpo_fetch_source *source, const bdpo_fetch_places *places)
{
    char path[BDPO_PATH_BYTES];
    bdpo_fetch_where whole =
        source->directory ? bdpo_fetch_locate_whole(path, places, source) : BDPO_FETCH_MISSING;
    int n = bdpo_fetch_file_count(source), n_here = 0;
    for (int f = 0; f < n; f++) {
        bdpo_fetch_where where = bdpo_fetch_locate(path, places, source, &source->files[f]);
        n_here += where != BDPO_FETCH_MISSING;
        if (*first == BDPO_FETCH_MISSING) *first = whole != BDPO_FETCH_MISSING ? whole : where;
    }
    if (source->directory && whole == BDPO_FETCH_MISSING && n_here == n) n_here--; // scattered
    out->n += n;
    out->n_here += n_here;
}

bdpo_fetch_presence bdpo_fetch_item_presence(const bdpo_fetch_item *item,
                                             const bdpo_fetch_places *places)
{
    bdpo_fetch_presence out = {0};
    bdpo_fetch_where first = BDPO_FETCH_MISSING;
    for (int s = 0; s < bdpo_fetch_source_count(item); s++)
        count_source(&out, &first, &item->sources[s], places);
    out.where = out.n_here == out.n ? first : BDPO_FETCH_MISSING;
    return out;
}

// ---- getting -----------------------------------------------------------------------------------

typedef struct getting {
    const bdpo_fetch_item *item;
    const bdpo_fetch_source *source;
    const bdpo_fetch_places *places;
    bdpo_fetch_options options;
    bdpo_http *http;
    char directory[BDPO_PATH_BYTES]; // ours, of the source
    bool licence_shown;
} getting;

static void show_licence(getting *g)
{
    if (!g->licence_shown)
        bdpo_log_write(g->options.log, BDPO_LOG_INFO, "%s: licence: %s; from %s", g->item->name,
                       g->item->licence, bdpo_fetch_page(g->places, g->source).text);
    g->licence_shown = true;
}

static bdpo_status refuse_offline(const getting *g)
{
    if (!g->places->offline) return BDPO_OK;
    return bdpo_fail(BDPO_IO, "%s: not all of it is on this disk, and HF_HUB_OFFLINE is set",
                     g->item->name);
}

// `sha256` and `size` as the catalogue or the hub's list says; NULL and 0: unknown.
static bdpo_status get_named(getting *g, const char *name, const char *sha256, const char *proof,
                             int64_t size)
{
    char path[BDPO_PATH_BYTES], record[BDPO_PATH_BYTES], label[LABEL_BYTES];
    bdpo_fetch_address url = file_address(g->places, g->source, name);
    bdpo_fetch_address page = bdpo_fetch_page(g->places, g->source);
    bool github = g->source->host == BDPO_FETCH_GITHUB;
    TRY(refuse_offline(g));
    TRY(bdpo_file_join(path, g->directory, name));
    TRY(bdpo_fetch_our_record(record, g->places, g->source, name));
    snprintf(label, sizeof label, "%s: %s", g->item->name, name);
    show_licence(g);
    bdpo_download what = {
        .url = url.text,
        .path = path,
        .record = record,
        .label = label,
        .sha256 = sha256,
        .proof = proof,
        .size = size,
        .token = github ? "" : g->places->token,
        .page = github ? NULL : page.text,
        .http_allowed = strncmp(host_of(g->places, g->source), "http:", 5) == 0,
    };
    return bdpo_download_file(&what, g->http, &g->options);
}

// The names of a file in turn, until the server has one.
static bdpo_status get_file(getting *g, const bdpo_fetch_file *file)
{
    char name[BDPO_PATH_BYTES];
    const char *names = file->path;
    int tried = 0;
    bdpo_status status = BDPO_NOT_FOUND;
    while (status == BDPO_NOT_FOUND && bdpo_fetch_next_name(name, &names)) {
        status = get_named(g, name, file->sha256, "catalogue", file->sha256 ? file->size : 0);
        tried++;
    }
    if (status != BDPO_NOT_FOUND || tried < 2) return status;
    return bdpo_fail(BDPO_NOT_FOUND, "%s: %s has none of %s", g->item->name,
                     bdpo_fetch_page(g->places, g->source).text, file->path);
}

// The name of a found file inside its repository: what follows the directory.
static bdpo_status link_into_ours(const getting *g, const bdpo_fetch_file *file, const char *found)
{
    char name[BDPO_PATH_BYTES], ours[BDPO_PATH_BYTES], *real;
    size_t length = strlen(found);
    for (const char *names = file->path; bdpo_fetch_next_name(name, &names);) {
        size_t tail = strlen(name);
        if (tail > length || strcmp(found + length - tail, name) != 0) continue;
        TRY(bdpo_file_join(ours, g->directory, name));
        if (bdpo_file_exists(ours)) return BDPO_OK;
        TRY(bdpo_fetch_make_parents(ours));
        unlink(ours); // a link to what is gone
        if (!(real = realpath(found, NULL)))
            return bdpo_fail(BDPO_IO, "%s: cannot be followed", found);
        int failed = symlink(real, ours);
        free(real);
        if (failed != 0 && errno != EEXIST)
            return bdpo_fail(BDPO_IO, "%s: cannot link it to %s", ours, found);
        return BDPO_OK;
    }
    BDPO_BUG("%s was found as %s", file->path, found);
}

static bdpo_status get_listed(getting *g, const bdpo_hub_listing *listing)
{
    char path[BDPO_PATH_BYTES];
    for (int i = 0; i < listing->count; i++) {
        const bdpo_hub_file *shard = &listing->files[i];
        bdpo_fetch_file one = {.path = shard->path};
        bdpo_fetch_where where = bdpo_fetch_locate(path, g->places, g->source, &one);
        if (where == BDPO_FETCH_IN_HUB_CACHE) TRY(link_into_ours(g, &one, path));
        if (where != BDPO_FETCH_MISSING) continue;
        const char *sha256 = shard->sha256.hex[0] ? shard->sha256.hex : NULL;
        TRY(get_named(g, shard->path, sha256, "server", shard->size));
    }
    return BDPO_OK;
}

static bdpo_status get_shards(getting *g, const bdpo_fetch_file *file)
{
    char label[LABEL_BYTES];
    bdpo_hub_listing listing;
    bdpo_fetch_address url = listing_address(g->places, g->source);
    bdpo_fetch_address page = bdpo_fetch_page(g->places, g->source);
    TRY(refuse_offline(g));
    snprintf(label, sizeof label, "%s: list of files", g->item->name);
    bdpo_download what = {.url = url.text,
                          .label = label,
                          .token = g->places->token,
                          .page = page.text,
                          .http_allowed = strncmp(g->places->hub, "http:", 5) == 0};
    bdpo_status status = bdpo_hub_listing_get(&listing, file->path, &what, g->http, &g->options);
    if (status == BDPO_OK && listing.count == 0)
        status =
            bdpo_fail(BDPO_NOT_FOUND, "%s: %s has no %s", g->item->name, page.text, file->path);
    if (status == BDPO_OK) status = get_listed(g, &listing);
    bdpo_hub_listing_free(&listing);
    return status;
}

static bdpo_status get_source(getting *g)
{
    char found[BDPO_PATH_BYTES];
    TRY(bdpo_fetch_our_directory(g->directory, g->places, g->source));
    if (g->source->directory &&
        bdpo_fetch_locate_whole(found, g->places, g->source) != BDPO_FETCH_MISSING)
        return BDPO_OK;
    for (int f = 0; f < bdpo_fetch_file_count(g->source); f++) {
        const bdpo_fetch_file *file = &g->source->files[f];
        bdpo_fetch_where where = bdpo_fetch_locate(found, g->places, g->source, file);
        if (where == BDPO_FETCH_IN_HUB_CACHE && g->source->directory) {
            TRY(link_into_ours(g, file, found));
        } else if (where == BDPO_FETCH_MISSING) {
            TRY(is_shards(file) ? get_shards(g, file) : get_file(g, file));
        }
    }
    return BDPO_OK;
}

static int64_t missing_size(const bdpo_fetch_item *item, const bdpo_fetch_places *places)
{
    char path[BDPO_PATH_BYTES];
    int64_t size = 0;
    for (int s = 0; s < bdpo_fetch_source_count(item); s++) {
        const bdpo_fetch_source *source = &item->sources[s];
        for (int f = 0; f < bdpo_fetch_file_count(source); f++)
            if (source->files[f].size > 0 &&
                bdpo_fetch_locate(path, places, source, &source->files[f]) == BDPO_FETCH_MISSING)
                size += source->files[f].size;
    }
    return size;
}

// The sizes are rounded, so this only warns; each file is checked exactly before it begins.
static void warn_of_space(const bdpo_fetch_item *item, const bdpo_fetch_places *places,
                          bdpo_log *log)
{
    char directory[BDPO_PATH_BYTES];
    struct statvfs disk;
    memcpy(directory, places->cache, sizeof directory);
    while (statvfs(directory, &disk) != 0) { // the nearest one that is there
        char *slash = strrchr(directory, '/');
        if (!slash || slash == directory) return;
        *slash = '\0';
    }
    double wanted = (double)missing_size(item, places);
    double free_bytes = (double)disk.f_bavail * (double)disk.f_frsize;
    if (wanted > free_bytes)
        bdpo_log_write(log, BDPO_LOG_WARNING,
                       "%s: about %.2f GB are to come, and %s has %.2f GB free", item->name,
                       wanted / 1e9, directory, free_bytes / 1e9);
}

bdpo_status bdpo_fetch_item_get(const bdpo_fetch_item *item, const bdpo_fetch_places *places,
                                const bdpo_fetch_options *options)
{
    getting g = {.item = item, .places = places, .options = bdpo_fetch_options_settle(options)};
    warn_of_space(item, places, options->log);
    TRY(bdpo_http_new(&g.http, g.options.interrupted, g.options.stall_s));
    bdpo_status status = BDPO_OK;
    for (int s = 0; s < bdpo_fetch_source_count(item) && status == BDPO_OK; s++) {
        g.source = &item->sources[s];
        status = get_source(&g);
    }
    bdpo_http_free(g.http);
    return status;
}

// ---- checking ----------------------------------------------------------------------------------

// In Hugging Face's cache a large file is a link to blobs/SHA-256.
static bool hash_of_blob(bdpo_sha256_text *out, const char *path)
{
    char *real = realpath(path, NULL);
    const char *slash = real ? strrchr(real, '/') : NULL;
    bool known = slash && bdpo_fetch_sha256_parse(out, slash + 1);
    free(real);
    return known;
}

static bool hash_of_record(bdpo_sha256_text *out, const bdpo_fetch_places *places,
                           const bdpo_fetch_source *source, const char *path)
{
    char directory[BDPO_PATH_BYTES], record_path[BDPO_PATH_BYTES];
    bdpo_fetch_record record;
    if (bdpo_fetch_our_directory(directory, places, source) != BDPO_OK) return false;
    size_t length = strlen(directory);
    if (strncmp(path, directory, length) != 0 || path[length] != '/') return false;
    if (bdpo_fetch_our_record(record_path, places, source, path + length + 1) != BDPO_OK)
        return false;
    if (bdpo_fetch_record_read(&record, record_path) != BDPO_OK) return false;
    *out = record.sha256;
    return true;
}

static bdpo_status check_file(int *n_checked, int *n_unknown, const bdpo_fetch_places *places,
                              const bdpo_fetch_source *source, const bdpo_fetch_file *file,
                              const char *path)
{
    bdpo_sha256_text expected, actual;
    bool known = file->sha256 ? bdpo_fetch_sha256_parse(&expected, file->sha256)
                              : hash_of_record(&expected, places, source, path) ||
                                    hash_of_blob(&expected, path);
    if (!known) {
        ++*n_unknown;
        return BDPO_OK;
    }
    TRY(bdpo_sha256_file(&actual, path));
    if (strcmp(actual.hex, expected.hex) != 0)
        return bdpo_fail(BDPO_BAD_FILE,
                         "%s: has the SHA-256 %s, expected %s: remove it and fetch it again", path,
                         actual.hex, expected.hex);
    ++*n_checked;
    return BDPO_OK;
}

bdpo_status bdpo_fetch_item_check(int *n_checked, int *n_unknown, const bdpo_fetch_item *item,
                                  const bdpo_fetch_places *places,
                                  const bdpo_fetch_options *options)
{
    char path[BDPO_PATH_BYTES];
    *n_checked = *n_unknown = 0;
    for (int s = 0; s < bdpo_fetch_source_count(item); s++) {
        const bdpo_fetch_source *source = &item->sources[s];
        for (int f = 0; f < bdpo_fetch_file_count(source); f++)
            for (int i = 0; i == 0 || is_shards(&source->files[f]); i++) {
                if (bdpo_fetch_locate_shard(path, places, source, &source->files[f], i) ==
                    BDPO_FETCH_MISSING) {
                    if (i == 0) return not_here(item, source->files[f].path);
                    break;
                }
                TRY(check_file(n_checked, n_unknown, places, source, &source->files[f], path));
                if (options->interrupted && options->interrupted())
                    return bdpo_fail(BDPO_INTERRUPTED, "interrupted");
            }
    }
    return BDPO_OK;
}

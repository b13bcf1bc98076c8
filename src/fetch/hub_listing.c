// A page: [{"type": "file", "path": "data/x.parquet", "size": 1, "lfs": {"oid": "SHA-256"}}, ...].
#include "fetch/hub_listing.h"

#include <fnmatch.h>
#include <string.h>

#include "formats/json.h"
#include "formats/printable.h"

enum { MAX_PAGES = 100 };

// A path that stays in the directory it is joined to, and fits on a line.
static bool is_inside(const char *path)
{
    if (path[0] == '/' || strlen(path) > 1024) return false;
    for (const char *part = path; part; part = strchr(part, '/')) {
        part += *part == '/';
        size_t length = strcspn(part, "/");
        if (length == 0 || part[0] == '.') return false; // nor hidden files
    }
    for (const char *c = path; *c; c++)
        if ((unsigned char)*c < ' ' || *c == '\\' || *c == 0x7f) return false;
    return true;
}

static bdpo_status add(bdpo_hub_listing *out, const char *path, int64_t size,
                       const bdpo_sha256_text *sha256)
{
    if (out->count == out->capacity) {
        int wanted = out->capacity ? 2 * out->capacity : 64;
        bdpo_hub_file *grown = bdpo_realloc(out->files, (size_t)wanted, sizeof *grown);
        if (!grown) return bdpo_fail(BDPO_NO_MEMORY, "no memory for a list of files");
        out->files = grown;
        out->capacity = wanted;
    }
    const char *kept = bdpo_arena_strdup(out->arena, path);
    if (!kept) return bdpo_fail(BDPO_NO_MEMORY, "no memory for a list of files");
    out->files[out->count++] = (bdpo_hub_file){kept, size, *sha256};
    return BDPO_OK;
}

static bdpo_status take_entry(bdpo_hub_listing *out, const char *pattern, const bdpo_json *entry)
{
    const char *type, *path, *oid;
    double size;
    bdpo_sha256_text sha256 = {{0}};
    TRY(bdpo_json_string(&type, entry, "type"));
    TRY(bdpo_json_string(&path, entry, "path"));
    if (strcmp(type, "file") != 0 || fnmatch(pattern, path, FNM_PATHNAME) != 0) return BDPO_OK;
    if (!is_inside(path))
        return bdpo_fail(BDPO_BAD_FILE, "%s: lists %s, which is no name to write to", entry->file,
                         bdpo_printable(path).text);
    TRY(bdpo_json_double(&size, entry, "size", 0, 9e15));
    if (bdpo_json_has(entry, "lfs")) {
        bdpo_json lfs;
        TRY(bdpo_json_object(&lfs, entry, "lfs"));
        TRY(bdpo_json_string(&oid, &lfs, "oid"));
        if (strncmp(oid, "sha256:", 7) == 0) oid += 7;
        if (!bdpo_fetch_sha256_parse(&sha256, oid))
            return bdpo_fail(BDPO_BAD_FILE, "%s: %s: lfs.oid should be 64 hexadecimal digits",
                             entry->file, bdpo_printable(path).text);
    }
    return add(out, path, (int64_t)size, &sha256);
}

bdpo_status bdpo_hub_listing_parse(bdpo_hub_listing *out, const char *pattern, const char *text,
                                   size_t size, const char *name)
{
    bdpo_json_document *document;
    bdpo_status status = BDPO_OK;
    if (!out->arena) TRY(bdpo_arena_new(&out->arena));
    TRY(bdpo_json_parse(&document, text, size, name));
    bdpo_json root = bdpo_json_root(document);
    if (!json_is_array(root.value))
        status = bdpo_fail(BDPO_BAD_FILE, "%s: should be a list of files", name);
    for (size_t i = 0; status == BDPO_OK && i < bdpo_json_count(&root); i++) {
        bdpo_json entry = bdpo_json_element(&root, i);
        status = take_entry(out, pattern, &entry);
    }
    bdpo_json_free(document);
    return status;
}

bdpo_status bdpo_hub_listing_get(bdpo_hub_listing *out, const char *pattern,
                                 const bdpo_download *what, bdpo_http *http,
                                 const bdpo_fetch_options *options)
{
    char next[1024], url[1024];
    bdpo_download page = *what;
    *out = (bdpo_hub_listing){0};
    for (int i = 0; i < MAX_PAGES; i++) {
        char *text;
        size_t size;
        TRY(bdpo_download_text(&text, &size, next, &page, http, options));
        bdpo_status status = bdpo_hub_listing_parse(out, pattern, text, size, page.label);
        bdpo_free(text);
        TRY(status);
        if (!next[0]) return BDPO_OK;
        memcpy(url, next, sizeof url);
        page.url = url;
    }
    return bdpo_fail(BDPO_BAD_FILE, "%s: has more than %d pages", what->label, MAX_PAGES);
}

void bdpo_hub_listing_free(bdpo_hub_listing *listing)
{
    bdpo_free(listing->files);
    bdpo_arena_free(listing->arena);
    *listing = (bdpo_hub_listing){0};
}

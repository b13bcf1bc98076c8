// The catalogue in three forms.
#include "cli/fetch_table.h"

#include <inttypes.h>
#include <string.h>

#include "formats/charset.h"
#include "formats/json_write.h"

typedef struct short_text {
    char text[48];
} short_text;

static short_text print_size(int64_t size)
{
    short_text out;
    if (size < 0)
        snprintf(out.text, sizeof out.text, "unknown");
    else if (size == 0)
        snprintf(out.text, sizeof out.text, "small");
    else if (size < 1000000)
        snprintf(out.text, sizeof out.text, "%.0f kB", (double)size / 1e3);
    else if (size < 1000000000)
        snprintf(out.text, sizeof out.text, "%.0f MB", (double)size / 1e6);
    else
        snprintf(out.text, sizeof out.text, "%.1f GB", (double)size / 1e9);
    return out;
}

// "HF cache", "bdpo cache", "3 of 7 files", "missing"
static short_text print_presence(const bdpo_fetch_item *item, const bdpo_fetch_places *places)
{
    short_text out;
    bdpo_fetch_presence p = bdpo_fetch_item_presence(item, places);
    if (p.where == BDPO_FETCH_MISSING && p.n_here > 0)
        snprintf(out.text, sizeof out.text, "%d of %d files", p.n_here, p.n);
    else
        snprintf(out.text, sizeof out.text, "%s", bdpo_fetch_where_name(p.where));
    return out;
}

void bdpo_fetch_print_table(FILE *out, const bdpo_fetch_places *places)
{
    fprintf(out, "%-21s %-9s %-8s %-14s %-26s %s\n", "name", "kind", "size", "here", "licence",
            "what it is");
    for (int i = 0; i < bdpo_fetch_count(); i++) {
        const bdpo_fetch_item *item = bdpo_fetch_item_at(i);
        fprintf(out, "%-21s %-9s %-8s %-14s %-26s %s\n", item->name,
                bdpo_fetch_kind_name(item->kind), print_size(bdpo_fetch_item_size(item)).text,
                print_presence(item, places).text, item->licence, item->use);
    }
}

// ---- Markdown ----------------------------------------------------------------------------------

static void print_markdown_item(FILE *out, const bdpo_fetch_item *item)
{
    const bdpo_fetch_places places = {.hub = "https://huggingface.co"};
    fprintf(out, "| `%s` | ", item->name);
    for (int s = 0; s < bdpo_fetch_source_count(item); s++) {
        const bdpo_fetch_source *source = &item->sources[s];
        fprintf(out, "%s<%s>", s ? "<br>" : "", bdpo_fetch_page(&places, source).text);
        if (strcmp(source->revision, "main") != 0) fprintf(out, " at `%.8s`", source->revision);
    }
    fprintf(out, " | %s | %s | %s |\n", print_size(bdpo_fetch_item_size(item)).text, item->licence,
            item->use);
}

static void print_markdown_files(FILE *out, const bdpo_fetch_item *item)
{
    for (int s = 0; s < bdpo_fetch_source_count(item); s++) {
        const bdpo_fetch_source *source = &item->sources[s];
        for (int f = 0; f < bdpo_fetch_file_count(source); f++) {
            const bdpo_fetch_file *file = &source->files[f];
            char name[BDPO_PATH_BYTES];
            fprintf(out, "| `%s` | ", item->name);
            int n = 0;
            for (const char *names = file->path; bdpo_fetch_next_name(name, &names); n++)
                fprintf(out, "%s`%s`", n ? " or " : "", name);
            if (file->sha256)
                fprintf(out, " | %" PRId64 " bytes | `%s` |\n", file->size, file->sha256);
            else
                fprintf(out, " | %s | unknown until fetched |\n", print_size(file->size).text);
        }
    }
}

void bdpo_fetch_print_markdown(FILE *out)
{
    fprintf(out, "| name | address | size | licence | use |\n|---|---|---|---|---|\n");
    for (int i = 0; i < bdpo_fetch_count(); i++) print_markdown_item(out, bdpo_fetch_item_at(i));
    fprintf(out, "\n| name | file | size | SHA-256 |\n|---|---|---|---|\n");
    for (int i = 0; i < bdpo_fetch_count(); i++) print_markdown_files(out, bdpo_fetch_item_at(i));
}

// ---- JSON --------------------------------------------------------------------------------------

static void put_field(bdpo_json_text *json, const char *field, const char *text)
{
    bdpo_json_put(json, "\"%s\": ", field);
    bdpo_json_put_string(json, bdpo_text_is_utf8(text) ? text : "");
}

static void put_size(bdpo_json_text *json, int64_t size)
{
    if (size < 0)
        bdpo_json_put(json, ", \"size_bytes\": null, ");
    else
        bdpo_json_put(json, ", \"size_bytes\": %" PRId64 ", ", size);
}

static void put_file(bdpo_json_text *json, const bdpo_fetch_source *source,
                     const bdpo_fetch_file *file, const bdpo_fetch_places *places)
{
    char path[BDPO_PATH_BYTES];
    bdpo_fetch_where where = bdpo_fetch_locate(path, places, source, file);
    bdpo_json_put(json, "{");
    put_field(json, "name", file->path);
    put_size(json, file->size);
    if (file->sha256)
        put_field(json, "sha256", file->sha256);
    else
        bdpo_json_put(json, "\"sha256\": null");
    bdpo_json_put(json, ", ");
    put_field(json, "here", bdpo_fetch_where_name(where));
    if (where != BDPO_FETCH_MISSING) {
        bdpo_json_put(json, ", ");
        put_field(json, "path", path);
    }
    bdpo_json_put(json, "}");
}

static void put_source(bdpo_json_text *json, const bdpo_fetch_source *source,
                       const bdpo_fetch_places *places)
{
    char path[BDPO_PATH_BYTES];
    bdpo_json_put(json, "{");
    put_field(json, "address", bdpo_fetch_page(places, source).text);
    bdpo_json_put(json, ", ");
    put_field(json, "revision", source->revision);
    if (source->directory && bdpo_fetch_locate_whole(path, places, source) != BDPO_FETCH_MISSING) {
        bdpo_json_put(json, ", ");
        put_field(json, "directory", path);
    }
    bdpo_json_put(json, ", \"files\": [");
    for (int f = 0; f < bdpo_fetch_file_count(source); f++) {
        if (f) bdpo_json_put(json, ", ");
        put_file(json, source, &source->files[f], places);
    }
    bdpo_json_put(json, "]}");
}

static void put_item(bdpo_json_text *json, const bdpo_fetch_item *item,
                     const bdpo_fetch_places *places)
{
    bdpo_json_put(json, "  {");
    put_field(json, "name", item->name);
    bdpo_json_put(json, ", ");
    put_field(json, "kind", bdpo_fetch_kind_name(item->kind));
    put_size(json, bdpo_fetch_item_size(item));
    put_field(json, "licence", item->licence);
    bdpo_json_put(json, ", ");
    put_field(json, "use", item->use);
    bdpo_json_put(json, ", ");
    put_field(json, "here", print_presence(item, places).text);
    bdpo_json_put(json, ",\n   \"sources\": [");
    for (int s = 0; s < bdpo_fetch_source_count(item); s++) {
        if (s) bdpo_json_put(json, ", ");
        put_source(json, &item->sources[s], places);
    }
    bdpo_json_put(json, "]}");
}

bdpo_status bdpo_fetch_print_json(FILE *out, const char *const *names, int n_names,
                                  const bdpo_fetch_places *places)
{
    bdpo_json_text json = {0};
    int n = n_names > 0 ? n_names : bdpo_fetch_count();
    bdpo_status status = BDPO_OK;
    bdpo_json_put(&json, "[\n");
    for (int i = 0; i < n && status == BDPO_OK; i++) {
        const bdpo_fetch_item *item = bdpo_fetch_item_at(i % bdpo_fetch_count());
        if (n_names > 0) status = bdpo_fetch_item_find(&item, names[i]);
        if (status == BDPO_OK) put_item(&json, item, places);
        bdpo_json_put(&json, i + 1 < n ? ",\n" : "\n");
    }
    bdpo_json_put(&json, "]\n");
    if (json.failed) status = bdpo_fail(BDPO_NO_MEMORY, "no memory for the list");
    if (status == BDPO_OK) fputs(json.text, out);
    bdpo_json_text_clear(&json);
    return status;
}

// ---- where -------------------------------------------------------------------------------------

static bdpo_status missing(const bdpo_fetch_item *item, const char *what)
{
    return bdpo_fail(BDPO_NOT_FOUND, "%s: %s is not on this disk; `bdpo fetch %s` gets it",
                     item->name, what, item->name);
}

static bdpo_status print_files(FILE *out, const bdpo_fetch_item *item,
                               const bdpo_fetch_source *source, const bdpo_fetch_places *places)
{
    char path[BDPO_PATH_BYTES];
    for (int f = 0; f < bdpo_fetch_file_count(source); f++) {
        const bdpo_fetch_file *file = &source->files[f];
        bool shards = strchr(file->path, '*') != NULL;
        for (int i = 0; i == 0 || shards; i++) {
            bdpo_fetch_where where = bdpo_fetch_locate_shard(path, places, source, file, i);
            if (where == BDPO_FETCH_MISSING && i == 0) return missing(item, file->path);
            if (where == BDPO_FETCH_MISSING) break;
            fprintf(out, "%s\n", path);
        }
    }
    return BDPO_OK;
}

bdpo_status bdpo_fetch_print_where(FILE *out, const bdpo_fetch_item *item,
                                   const bdpo_fetch_places *places)
{
    char path[BDPO_PATH_BYTES];
    for (int s = 0; s < bdpo_fetch_source_count(item); s++) {
        const bdpo_fetch_source *source = &item->sources[s];
        if (!source->directory) {
            TRY(print_files(out, item, source, places));
            continue;
        }
        if (bdpo_fetch_locate_whole(path, places, source) == BDPO_FETCH_MISSING)
            return missing(item, source->repository);
        fprintf(out, "%s\n", path);
    }
    return BDPO_OK;
}

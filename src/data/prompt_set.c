// Prompts from arguments, and from the four kinds of files.
#include "data/prompt_set.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "data/record_fields.h"
#include "formats/charset.h"
#include "formats/line_reader.h"
#include "formats/name_index.h"
#include "formats/parquet.h"

enum { MAX_LINE = 16 << 20 };

struct bdpo_prompt_set {
    bdpo_arena *arena; // of the texts
    bdpo_prompt *prompts;
    int count, capacity;
    int64_t n_empty, n_repeated;
};

bdpo_status bdpo_prompt_set_new(bdpo_prompt_set **out)
{
    bdpo_prompt_set *s = bdpo_alloc(1, sizeof *s);
    if (!s || bdpo_arena_new(&s->arena) != BDPO_OK) {
        bdpo_free(s);
        return bdpo_fail(BDPO_NO_MEMORY, "no memory for prompts");
    }
    *out = s;
    return BDPO_OK;
}

void bdpo_prompt_set_free(bdpo_prompt_set *s)
{
    if (!s) return;
    bdpo_arena_free(s->arena);
    bdpo_free(s->prompts);
    bdpo_free(s);
}

int bdpo_prompt_set_count(const bdpo_prompt_set *s)
{
    return s->count;
}

const bdpo_prompt *bdpo_prompt_set_at(const bdpo_prompt_set *s, int index)
{
    return &s->prompts[index];
}

int64_t bdpo_prompt_set_n_empty(const bdpo_prompt_set *s)
{
    return s->n_empty;
}

int64_t bdpo_prompt_set_n_repeated(const bdpo_prompt_set *s)
{
    return s->n_repeated;
}

// ---- adding --------------------------------------------------------------------------------

static bdpo_status make_room(bdpo_prompt_set *s)
{
    if (s->count < s->capacity) return BDPO_OK;
    int capacity = s->capacity < 16 ? 16 : s->capacity < INT_MAX / 2 ? 2 * s->capacity : INT_MAX;
    bdpo_prompt *grown = bdpo_realloc(s->prompts, (size_t)capacity, sizeof *grown);
    if (!grown || capacity == s->count)
        return bdpo_fail(BDPO_NO_MEMORY, "no memory for %d prompts", capacity);
    s->prompts = grown;
    s->capacity = capacity;
    return BDPO_OK;
}

static bdpo_status copy_text(const char **text, bdpo_arena *arena)
{
    if (!*text) return BDPO_OK;
    *text = bdpo_arena_strdup(arena, *text);
    return *text ? BDPO_OK : bdpo_fail(BDPO_NO_MEMORY, "no memory for a prompt");
}

static bdpo_status add_copy(bdpo_prompt_set *s, const bdpo_prompt *from)
{
    bdpo_prompt prompt = *from;
    TRY(make_room(s));
    TRY(copy_text(&prompt.text, s->arena));
    TRY(copy_text(&prompt.category, s->arena));
    TRY(copy_text(&prompt.challenge, s->arena));
    TRY(copy_text(&prompt.style, s->arena));
    s->prompts[s->count++] = prompt;
    return BDPO_OK;
}

bdpo_status bdpo_prompt_set_add(bdpo_prompt_set *s, const char *text, const char *source)
{
    if (!bdpo_text_is_utf8(text))
        return bdpo_fail(BDPO_BAD_ARGUMENT, "%s: found bytes that are not UTF-8", source);
    return add_copy(s, &(bdpo_prompt){.text = text, .row = s->count});
}

// A row of a file: a blank prompt is counted, bad text is refused by its place.
static bdpo_status add_row(bdpo_prompt_set *s, const bdpo_prompt *prompt, size_t size,
                           const char *place)
{
    const char *text = prompt->text ? prompt->text : "";
    if (strlen(text) < size)
        return bdpo_fail(BDPO_BAD_FILE, "%s: found a zero byte, expected text", place);
    if (!bdpo_utf8_is_valid(text, size))
        return bdpo_fail(BDPO_BAD_FILE, "%s: found bytes that are not UTF-8", place);
    if (text[strspn(text, " \t\r\n")] != '\0') return add_copy(s, prompt);
    s->n_empty++;
    return BDPO_OK;
}

// ---- text ----------------------------------------------------------------------------------

static bdpo_status add_line(bdpo_prompt_set *s, bdpo_line *line, const char *path)
{
    char place[300];
    snprintf(place, sizeof place, "%.250s, line %jd", path, (intmax_t)line->number);
    if (line->too_long) return bdpo_fail(BDPO_BAD_FILE, "%s: has more than 16 MiB", place);
    line->text[line->size] = '\0';
    return add_row(s, &(bdpo_prompt){.text = line->text, .row = line->number - 1}, line->size,
                   place);
}

static bdpo_status read_text(bdpo_prompt_set *s, const char *path)
{
    bdpo_line_reader *lines;
    bdpo_line *line;
    TRY(bdpo_line_reader_open(&lines, path, MAX_LINE));
    bdpo_status status;
    while ((status = bdpo_line_reader_next(&line, lines)) == BDPO_OK && line)
        if ((status = add_line(s, line, path)) != BDPO_OK) break;
    bdpo_line_reader_close(lines);
    return status;
}

// ---- tables and JSON -----------------------------------------------------------------------

#define NAMES(...) ((const char *const[]){__VA_ARGS__, NULL})
static const char *const prompt_names[] = {"prompt", "Prompt", "caption", "Caption",
                                           "text",   "Text",   "TEXT",    NULL};

static bdpo_status add_fields(bdpo_prompt_set *s, const bdpo_rows_item *item, int64_t row,
                              const char *style)
{
    bdpo_prompt prompt = {.row = row};
    const bdpo_fields *f = &item->fields;
    if (item->fault[0]) return bdpo_fail(BDPO_BAD_FILE, "%s: %s", item->place, item->fault);
    TRY(bdpo_fields_text(&prompt.text, f, prompt_names));
    TRY(bdpo_fields_text(&prompt.category, f, NAMES("Category", "category")));
    TRY(bdpo_fields_text(&prompt.challenge, f, NAMES("Challenge", "challenge")));
    TRY(bdpo_fields_text(&prompt.style, f, NAMES("style", "Style")));
    if (!prompt.style) prompt.style = style;
    return add_row(s, &prompt, prompt.text ? strlen(prompt.text) : 0, item->place);
}

static bdpo_status read_rows(bdpo_prompt_set *s, const char *path, char delimiter)
{
    bdpo_rows *rows;
    bdpo_rows_item *item;
    TRY(bdpo_rows_open_as(&rows, path, delimiter));
    bdpo_status status = BDPO_OK;
    if (!bdpo_rows_name_one(rows, prompt_names))
        status = bdpo_fail(BDPO_BAD_FILE, "%s: has no column prompt, caption or text", path);
    for (int64_t row = 0; status == BDPO_OK; row++) {
        status = bdpo_rows_next(&item, rows);
        if (status != BDPO_OK || !item) break;
        status = add_fields(s, item, row, NULL);
    }
    bdpo_rows_close(rows);
    return status;
}

// "anime" of ".../hpdv2_benchmark_anime.json". In the arena; NULL where there is no memory.
static const char *style_of(bdpo_arena *arena, const char *path)
{
    static const char prefix[] = "hpdv2_benchmark_";
    const char *last = bdpo_path_last(path);
    if (strncmp(last, prefix, sizeof prefix - 1) == 0) last += sizeof prefix - 1;
    return bdpo_name_stem(arena, last);
}

// A list of texts: a benchmark, whose rows are addressed by their index. *is_list is false, and
// nothing is added, where it is a list of objects.
static bdpo_status read_list(bool *is_list, bdpo_prompt_set *s, const char *path)
{
    bdpo_json_document *document;
    const char *style = style_of(s->arena, path);
    TRY(bdpo_json_open(&document, path));
    bdpo_json root = bdpo_json_root(document);
    bdpo_status status = style ? BDPO_OK : bdpo_fail(BDPO_NO_MEMORY, "%s: no memory", path);
    *is_list = json_is_array(root.value) && json_is_string(json_array_get(root.value, 0));
    for (size_t i = 0; *is_list && status == BDPO_OK && i < json_array_size(root.value); i++) {
        json_t *value = json_array_get(root.value, i);
        char place[300];
        snprintf(place, sizeof place, "%.250s[%zu]", path, i);
        bdpo_prompt prompt = {json_string_value(value), (int64_t)i, NULL, NULL, style};
        status = prompt.text ? add_row(s, &prompt, json_string_length(value), place)
                             : bdpo_fail(BDPO_BAD_FILE, "%s: expected a text", place);
    }
    bdpo_json_free(document);
    return status;
}

// The first byte that is not white space: '[' is a list.
static bdpo_status first_byte(int *out, const char *path)
{
    bdpo_line_reader *lines;
    bdpo_line *line;
    *out = 0;
    TRY(bdpo_line_reader_open(&lines, path, 4096));
    bdpo_status status;
    while ((status = bdpo_line_reader_next(&line, lines)) == BDPO_OK && line && !*out)
        *out = (unsigned char)line->text[strspn(line->text, " \t\r\n")];
    bdpo_line_reader_close(lines);
    return status;
}

static bdpo_status read_json(bdpo_prompt_set *s, const char *path)
{
    int first;
    bool is_list = false;
    TRY(first_byte(&first, path));
    if (first == '[') TRY(read_list(&is_list, s, path));
    return is_list ? BDPO_OK : read_rows(s, path, 0);
}

static char delimiter_of(const char *path)
{
    return bdpo_name_has_ending(path, "csv") ? ',' : '\t';
}

static bdpo_status read_table(bdpo_prompt_set *s, const char *path)
{
    return read_rows(s, path, delimiter_of(path));
}

// ---- Parquet -------------------------------------------------------------------------------

static bdpo_status add_values(bdpo_prompt_set *s, bdpo_parquet_cursor *cursor, const char *path)
{
    bdpo_growing text = {0};
    bdpo_parquet_value value;
    bool has_row;
    bdpo_status status = BDPO_OK;
    for (int64_t row = 0; status == BDPO_OK; row++) {
        char place[300];
        snprintf(place, sizeof place, "%.250s, row %jd", path, (intmax_t)row);
        status = bdpo_parquet_cursor_next(&has_row, cursor);
        if (status != BDPO_OK || !has_row) break;
        status = bdpo_parquet_cursor_get(&value, cursor, 0);
        if (status != BDPO_OK) break;
        text.size = 0;
        if (!bdpo_growing_add(&text, value.data, value.size) || !bdpo_growing_add(&text, "", 1))
            status = bdpo_fail(BDPO_NO_MEMORY, "%s: no memory", place);
        else
            status = add_row(s, &(bdpo_prompt){.text = (const char *)text.data, .row = row},
                             value.size, place);
    }
    bdpo_free(text.data);
    return status;
}

static bdpo_status read_column(bdpo_prompt_set *s, const bdpo_parquet_file *file, const char *path)
{
    const char *const *name = prompt_names;
    bdpo_parquet_cursor *cursor;
    size_t at = SIZE_MAX;
    for (; *name && at == SIZE_MAX; name += at == SIZE_MAX)
        at = bdpo_parquet_column_find(file, *name);
    if (at == SIZE_MAX || bdpo_parquet_column_at(file, at)->type != BDPO_PARQUET_BYTES)
        return bdpo_fail(BDPO_BAD_FILE, "%s: has no column prompt, caption or text", path);
    TRY(bdpo_parquet_cursor_open(&cursor, file, name, 1));
    bdpo_status status = add_values(s, cursor, path);
    bdpo_parquet_cursor_close(cursor);
    return status;
}

static bdpo_status read_parquet(bdpo_prompt_set *s, const char *path)
{
    bdpo_parquet_file *file;
    TRY(bdpo_parquet_open(&file, path));
    bdpo_status status = read_column(s, file, path);
    bdpo_parquet_close(file);
    return status;
}

// ---- kinds ---------------------------------------------------------------------------------

static const struct {
    const char *name;
    bdpo_status (*read)(bdpo_prompt_set *s, const char *path);
    const char *endings;
} kinds[] = {
    {"text", read_text, "txt"},
    {"table", read_table, "csv tsv tab"},
    {"json", read_json, "json jsonl ndjson"},
    {"parquet", read_parquet, "parquet"},
};
enum { TEXT, TABLE, JSON, PARQUET };

// Files without a telling name: JSON where the first thing parses as such, a table where the first
// line has tabs and a column of prompts. All else is text, which a prompt in brackets is too.
static bool is_json(const char *path)
{
    bdpo_rows *rows;
    bdpo_rows_item *item;
    bdpo_json_document *document;
    int first;
    if (first_byte(&first, path) != BDPO_OK) return false;
    if (first == '[') {
        bool parses = bdpo_json_open(&document, path) == BDPO_OK;
        if (parses) bdpo_json_free(document);
        return parses;
    }
    if (first != '{' || bdpo_rows_open_as(&rows, path, 0) != BDPO_OK) return false;
    bool parses = bdpo_rows_next(&item, rows) == BDPO_OK && item && !item->fault[0];
    bdpo_rows_close(rows);
    return parses;
}

static bool is_table(const char *path)
{
    bdpo_rows *rows;
    size_t n;
    if (bdpo_rows_open_as(&rows, path, '\t') != BDPO_OK) return false;
    (void)bdpo_rows_header(rows, &n);
    bool found = n > 1 && bdpo_rows_name_one(rows, prompt_names);
    bdpo_rows_close(rows);
    return found;
}

static bool is_parquet(const char *path)
{
    char magic[4] = {0};
    FILE *file = fopen(path, "rbe");
    bool found = file && fread(magic, 1, 4, file) == 4 && memcmp(magic, "PAR1", 4) == 0;
    if (file) fclose(file);
    return found;
}

// A pipe can be read once only, so nothing is looked up in it.
static size_t kind_of(const char *path)
{
    for (size_t i = 0; i < BDPO_COUNTOF(kinds); i++)
        if (bdpo_name_has_ending(path, kinds[i].endings)) return i;
    if (!bdpo_is_plain_file(path)) return TEXT;
    return is_parquet(path) ? PARQUET : is_json(path) ? JSON : is_table(path) ? TABLE : TEXT;
}

static bdpo_status find_kind(size_t *out, const char *path, const char *kind)
{
    *out = kind ? 0 : kind_of(path);
    while (kind && *out < BDPO_COUNTOF(kinds) && strcmp(kind, kinds[*out].name) != 0) ++*out;
    if (*out < BDPO_COUNTOF(kinds)) return BDPO_OK;
    return bdpo_fail(BDPO_BAD_ARGUMENT,
                     "no kind of prompts is named %s, expected text, table, json or parquet", kind);
}

static bdpo_status read_file(bdpo_prompt_set *s, const char *path, const char *kind)
{
    size_t at;
    int before = s->count;
    TRY(find_kind(&at, path, kind));
    TRY(kinds[at].read(s, path));
    if (s->count > before) return BDPO_OK;
    return bdpo_fail(BDPO_BAD_FILE, "%s: has no prompt, expected %s", path,
                     at == TEXT ? "one on each line" : "one in each row");
}

static bdpo_status read_folder(bdpo_prompt_set *s, const char *path, const char *kind)
{
    bdpo_file_list list;
    TRY(bdpo_file_list_paths(&list, s->arena, path, "json"));
    if (list.n == 0)
        return bdpo_fail(BDPO_BAD_FILE, "%s: a folder without .json files of prompts", path);
    for (size_t i = 0; i < list.n; i++) TRY(read_file(s, list.paths[i], kind));
    return BDPO_OK;
}

bdpo_status bdpo_prompt_set_read(bdpo_prompt_set *s, const char *path, const char *kind)
{
    if (bdpo_file_is_directory(path)) return read_folder(s, path, kind);
    return read_file(s, path, kind);
}

// ---- repeated prompts ----------------------------------------------------------------------

bdpo_status bdpo_prompt_set_make_unique(bdpo_prompt_set *s)
{
    size_t n = (size_t)s->count;
    bdpo_name_entry *entries = bdpo_alloc(n, sizeof *entries);
    if (!entries) return bdpo_fail(BDPO_NO_MEMORY, "no memory to find repeated prompts");
    for (size_t i = 0; i < n; i++) entries[i] = (bdpo_name_entry){s->prompts[i].text, i};
    bdpo_names_sort(entries, n);
    for (size_t i = n; i-- > 1;) // equal names stand in the order of their positions
        if (strcmp(entries[i].name, entries[i - 1].name) == 0)
            s->prompts[entries[i].position].text = NULL;
    bdpo_free(entries);
    int kept = 0;
    for (int i = 0; i < s->count; i++)
        if (s->prompts[i].text) s->prompts[kept++] = s->prompts[i];
    s->n_repeated += s->count - kept;
    s->count = kept;
    return BDPO_OK;
}

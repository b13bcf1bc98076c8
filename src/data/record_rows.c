// Files of rows: tables with a header, JSON lines and JSON arrays.
#include <stdio.h>
#include <string.h>

#include "data/record_fields.h"

struct bdpo_rows {
    char *path;
    bdpo_csv *csv; // or
    bdpo_json_items *json;
    bdpo_arena *arena; // of the header
    const char **header;
    size_t n_header;
    bdpo_rows_mark first, last; // of the first row of a table; of the row given last
    bdpo_json_document *document;
    bdpo_rows_item item;
};

// ---- tables --------------------------------------------------------------------------------

static bdpo_status read_header(bdpo_rows *r)
{
    const bdpo_csv_row *row;
    TRY(bdpo_arena_new(&r->arena));
    TRY(bdpo_csv_next(&row, r->csv));
    if (!row) return bdpo_fail(BDPO_BAD_FILE, "%s: is empty, expected a header", r->path);
    if (row->fault)
        return bdpo_fail(BDPO_BAD_FILE, "%s, line %jd: the header %s", r->path, (intmax_t)row->line,
                         row->fault);
    r->n_header = row->n_fields;
    r->header = bdpo_arena_alloc(r->arena, row->n_fields, sizeof *r->header);
    for (size_t i = 0; r->header && i < row->n_fields; i++)
        if (!(r->header[i] = bdpo_arena_strdup(r->arena, row->fields[i]))) r->header = NULL;
    if (!r->header) return bdpo_fail(BDPO_NO_MEMORY, "%s: no memory for a header", r->path);
    r->first = (bdpo_rows_mark){row->offset, row->line};
    return BDPO_OK;
}

static bool has_zero_byte(const bdpo_csv_row *row)
{
    for (size_t i = 0; i < row->n_fields; i++)
        if (strlen(row->fields[i]) < row->lengths[i]) return true;
    return false;
}

static bdpo_status next_table_row(bdpo_rows_item **out, bdpo_rows *r)
{
    const bdpo_csv_row *row;
    bdpo_rows_item *item = &r->item;
    TRY(bdpo_csv_next(&row, r->csv));
    if (!row) return BDPO_OK;
    r->last = (bdpo_rows_mark){row->offset, row->line};
    snprintf(item->place, sizeof item->place, "%.450s, line %jd", r->path, (intmax_t)row->line);
    if (row->fault)
        snprintf(item->fault, sizeof item->fault, "%s", row->fault);
    else if (row->n_fields != r->n_header)
        snprintf(item->fault, sizeof item->fault, "has %zu fields, the header has %zu",
                 row->n_fields, r->n_header);
    else if (has_zero_byte(row))
        snprintf(item->fault, sizeof item->fault, "holds a zero byte");
    item->fields.header = r->header;
    item->fields.columns = row->fields;
    item->fields.n_columns = item->fault[0] ? 0 : row->n_fields;
    *out = item;
    return BDPO_OK;
}

// ---- JSON ----------------------------------------------------------------------------------

static bdpo_status parse_item(bdpo_rows *r, const bdpo_json_item *text)
{
    bdpo_rows_item *item = &r->item;
    bdpo_status status = bdpo_json_parse(&r->document, text->text, text->size, item->place);
    if (status != BDPO_OK) {
        r->document = NULL;
        const char *message = bdpo_message();
        size_t n = strlen(item->place);
        if (strncmp(message, item->place, n) == 0) message += n + strspn(message + n, ": ,");
        snprintf(item->fault, sizeof item->fault, "%s", message);
        return status == BDPO_BAD_FILE ? BDPO_OK : status;
    }
    item->root = bdpo_json_root(r->document);
    item->fields.json = &item->root;
    if (!json_is_object(item->root.value))
        snprintf(item->fault, sizeof item->fault, "expected an object in braces");
    return BDPO_OK;
}

static bdpo_status next_json_row(bdpo_rows_item **out, bdpo_rows *r)
{
    const bdpo_json_item *text;
    bdpo_rows_item *item = &r->item;
    TRY(bdpo_json_items_next(&text, r->json));
    if (!text) return BDPO_OK;
    r->last = (bdpo_rows_mark){text->offset, text->number};
    bool is_array = bdpo_json_items_is_array(r->json);
    snprintf(item->place, sizeof item->place, is_array ? "%.450s[%jd]" : "%.450s, line %jd",
             r->path, (intmax_t)text->number);
    if (text->fault)
        snprintf(item->fault, sizeof item->fault, "%s", text->fault);
    else
        TRY(parse_item(r, text));
    *out = item;
    return BDPO_OK;
}

bdpo_status bdpo_rows_next(bdpo_rows_item **out, bdpo_rows *r)
{
    *out = NULL;
    bdpo_json_free(r->document);
    r->document = NULL;
    r->item.fields = (bdpo_fields){.place = r->item.place};
    r->item.root = (bdpo_json){0};
    r->item.fault[0] = '\0';
    return r->csv ? next_table_row(out, r) : next_json_row(out, r);
}

// ---- opening -------------------------------------------------------------------------------

static bdpo_status open_file(bdpo_rows *r, char delimiter)
{
    if (delimiter == 0) return bdpo_json_items_open(&r->json, r->path);
    TRY(bdpo_csv_open(&r->csv, r->path, delimiter));
    return read_header(r);
}

bdpo_status bdpo_rows_open_as(bdpo_rows **out, const char *path, char delimiter)
{
    bdpo_rows *r = bdpo_alloc(1, sizeof *r);
    char *copy = bdpo_alloc(strlen(path) + 1, 1);
    if (!r || !copy) {
        bdpo_free(r);
        bdpo_free(copy);
        return bdpo_fail(BDPO_NO_MEMORY, "%s: no memory to read it", path);
    }
    memcpy(copy, path, strlen(path) + 1);
    r->path = copy;
    bdpo_status status = open_file(r, delimiter);
    if (status != BDPO_OK) {
        bdpo_rows_close(r);
        return status;
    }
    *out = r;
    return BDPO_OK;
}

bdpo_status bdpo_rows_open(bdpo_rows **out, const char *path)
{
    bool tabs = bdpo_name_has_ending(path, "tsv tab");
    bool commas = bdpo_name_has_ending(path, "csv");
    return bdpo_rows_open_as(out, path, tabs ? '\t' : commas ? ',' : 0);
}

void bdpo_rows_close(bdpo_rows *r)
{
    if (!r) return;
    bdpo_json_free(r->document);
    bdpo_csv_close(r->csv);
    bdpo_json_items_close(r->json);
    if (r->arena) bdpo_arena_free(r->arena);
    bdpo_free(r->path);
    bdpo_free(r);
}

// ---- places --------------------------------------------------------------------------------

bdpo_rows_mark bdpo_rows_last_mark(const bdpo_rows *r)
{
    return r->last;
}

bdpo_status bdpo_rows_seek(bdpo_rows *r, bdpo_rows_mark mark)
{
    return r->csv ? bdpo_csv_seek(r->csv, mark.offset, mark.number)
                  : bdpo_json_items_seek(r->json, mark.offset, mark.number);
}

bdpo_status bdpo_rows_rewind(bdpo_rows *r)
{
    const bdpo_csv_row *header;
    if (!r->csv) return bdpo_json_items_rewind(r->json);
    TRY(bdpo_csv_seek(r->csv, r->first.offset, r->first.number));
    return bdpo_csv_next(&header, r->csv);
}

int64_t bdpo_rows_index_count(const bdpo_rows_index *index)
{
    return (int64_t)(index->marks.size / sizeof(bdpo_rows_mark));
}

bdpo_rows_mark bdpo_rows_index_at(const bdpo_rows_index *index, int64_t row)
{
    return ((const bdpo_rows_mark *)(const void *)index->marks.data)[row];
}

bdpo_status bdpo_rows_index_make(bdpo_rows_index *index, bdpo_rows *r, int64_t next)
{
    bdpo_rows_item *item;
    if (index->made) return BDPO_OK;
    index->marks.size = 0;
    TRY(bdpo_rows_rewind(r));
    for (;;) {
        TRY(bdpo_rows_next(&item, r));
        if (!item) break;
        if (!bdpo_growing_add(&index->marks, &r->last, sizeof r->last))
            return bdpo_fail(BDPO_NO_MEMORY, "%s: no memory for the places of its rows", r->path);
    }
    index->made = true;
    if (next >= bdpo_rows_index_count(index)) return BDPO_OK;
    return bdpo_rows_seek(r, bdpo_rows_index_at(index, next));
}

const char *const *bdpo_rows_header(const bdpo_rows *r, size_t *n)
{
    *n = r->n_header;
    return r->csv ? r->header : NULL;
}

bool bdpo_rows_name_one(const bdpo_rows *r, const char *const *names)
{
    for (size_t i = 0; i < r->n_header; i++)
        for (const char *const *name = names; *name; name++)
            if (strcmp(r->header[i], *name) == 0) return true;
    return r->csv == NULL;
}

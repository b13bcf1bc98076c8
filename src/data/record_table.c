// Tables that name picture files: CSV, TSV, JSON lines and JSON arrays (form "table"), and the same
// as metadata.jsonl or metadata.csv of a folder (form "imagefolder").
//
// Columns: docs/data-sets.md. A table of the user's own may name files anywhere: relative names
// count from its folder, absolute ones and ".." are followed. What an image folder names stays in
// it: such folders are passed around.
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "data/record_fields.h"
#include "formats/printable.h"

typedef struct table {
    bdpo_rows *rows;
    const char *folder; // of relative names
    bool confined;
    int64_t index; // of the next row
    bdpo_rows_index marks;
    char paths[BDPO_RECORD_MAX_PICTURES][BDPO_PATH_BYTES];
} table;

static const char *const single_names[] = {"image", "file_name", "image_file_name", "image_path",
                                           "path",  "file",      "filename",        NULL};
static const char *const pair_names[2][10] = {
    {"image_0", "image_0_file_name", "file_name_0", "image_0_path", "path_0", "jpg_0", "chosen",
     "chosen_file_name", NULL},
    {"image_1", "image_1_file_name", "file_name_1", "image_1_path", "path_1", "jpg_1", "rejected",
     "rejected_file_name", NULL},
};

// ---- rows ----------------------------------------------------------------------------------

// Whether the row has such a field, be it empty.
static bool has_field(const bdpo_fields *f, const char *const *names)
{
    for (; *names; names++) {
        if (f->json && json_object_get(f->json->value, *names)) return true;
        for (size_t i = 0; i < f->n_columns; i++)
            if (strcmp(f->header[i], *names) == 0) return true;
    }
    return false;
}

// The path of picture k from its name; drops the row where it has none.
static bdpo_status set_path(bdpo_row *row, table *t, int k, const char *name)
{
    bdpo_record_picture *picture = &row->record.pictures[k];
    if (!name || row->kind != BDPO_ROW_RECORD) return BDPO_OK; // the source says "no picture"
    if (t->confined && !bdpo_name_is_inside(name)) {
        bdpo_row_drop(row, BDPO_DROP_OUTSIDE, "%s", bdpo_printable(name).text);
        return BDPO_OK;
    }
    const char *folder = name[0] == '/' ? "" : t->folder;
    int n = snprintf(t->paths[k], BDPO_PATH_BYTES, "%s%s%s", folder, *folder ? "/" : "", name);
    if (n >= BDPO_PATH_BYTES) bdpo_row_drop(row, BDPO_DROP_BROKEN_ROW, "a path of %d bytes", n);
    picture->path = picture->name = t->paths[k];
    return BDPO_OK;
}

// What chosen and rejected say: the first is preferred, unless a label says something else.
static bdpo_status imply_label(bdpo_record *record, const bdpo_fields *f)
{
    const char *chosen;
    TRY(bdpo_fields_text(&chosen, f, (const char *const[]){"chosen", "chosen_file_name", NULL}));
    if (!chosen) return BDPO_OK;
    if (!isnan(record->label) && record->label != 1)
        return bdpo_fail(BDPO_BAD_FILE, "%s: names a chosen picture and has the label %g", f->place,
                         record->label);
    record->label = 1;
    return BDPO_OK;
}

static bdpo_status read_row(bdpo_row *row, table *t, const bdpo_fields *f)
{
    const char *name;
    bool is_pair = has_field(f, pair_names[0]) || has_field(f, pair_names[1]);
    row->record.n_pictures = is_pair ? 2 : 1;
    TRY(bdpo_fields_record(&row->record, f));
    if (is_pair) TRY(imply_label(&row->record, f));
    for (int k = 0; k < row->record.n_pictures; k++) {
        TRY(bdpo_fields_text(&name, f, is_pair ? pair_names[k] : single_names));
        TRY(set_path(row, t, k, name));
    }
    return BDPO_OK;
}

static bdpo_status table_next(bdpo_row *row, void *state)
{
    table *t = state;
    bdpo_rows_item *item;
    TRY(bdpo_rows_next(&item, t->rows));
    bdpo_row_begin(row, t->index);
    if (!item) {
        row->kind = BDPO_ROW_END;
        return BDPO_OK;
    }
    t->index++;
    snprintf(row->place, sizeof row->place, "%s", item->place);
    if (item->fault[0]) {
        bdpo_row_drop(row, BDPO_DROP_BROKEN_ROW, "%s", item->fault);
        return BDPO_OK;
    }
    bdpo_status status = read_row(row, t, &item->fields);
    if (status == BDPO_BAD_FILE) bdpo_row_drop_by_message(row, BDPO_DROP_BROKEN_ROW);
    return status == BDPO_BAD_FILE ? BDPO_OK : status;
}

// ---- places --------------------------------------------------------------------------------

static bdpo_status table_n_rows(int64_t *out, void *state)
{
    table *t = state;
    TRY(bdpo_rows_index_make(&t->marks, t->rows, t->index));
    *out = bdpo_rows_index_count(&t->marks);
    return BDPO_OK;
}

static bdpo_status table_seek(void *state, int64_t index)
{
    table *t = state;
    int64_t n;
    TRY(table_n_rows(&n, t));
    TRY(bdpo_form_check_index(index, n));
    t->index = index;
    return bdpo_rows_seek(t->rows, bdpo_rows_index_at(&t->marks, index));
}

// ---- opening -------------------------------------------------------------------------------

static void table_close(void *state)
{
    table *t = state;
    if (!t) return;
    bdpo_rows_close(t->rows);
    bdpo_free(t->marks.marks.data);
    bdpo_free(t);
}

// A table without the columns would only be told row by row.
static bdpo_status check_header(const table *t, const char *path, bool without_prompts)
{
    const bdpo_rows *rows = t->rows;
    if (!bdpo_rows_name_one(rows, single_names) && !bdpo_rows_name_one(rows, pair_names[0]))
        return bdpo_fail(BDPO_BAD_FILE,
                         "%s: its header names no picture, expected image, or image_0 and image_1",
                         path);
    if (without_prompts || bdpo_rows_name_one(rows, bdpo_prompt_names)) return BDPO_OK;
    return bdpo_fail(BDPO_BAD_FILE, "%s: its header names no prompt, caption or text", path);
}

static bdpo_status open_at(void **state, const bdpo_record_input *input, const char *path,
                           bool confined)
{
    table *t = bdpo_alloc(1, sizeof *t);
    const char *folder = input->options->images;
    if (!folder) folder = bdpo_path_folder(input->arena, path);
    if (!t || !folder) {
        bdpo_free(t);
        return bdpo_fail(BDPO_NO_MEMORY, "%s: no memory for a table", path);
    }
    t->folder = folder;
    t->confined = confined;
    bdpo_status status = bdpo_rows_open(&t->rows, path);
    if (status == BDPO_OK) status = check_header(t, path, input->options->keep_empty_prompts);
    if (status != BDPO_OK) {
        table_close(t);
        return status;
    }
    *state = t;
    return BDPO_OK;
}

static bdpo_status table_matches(bool *out, const bdpo_record_input *input)
{
    *out = !input->is_folder && input->files.n == 1 &&
           bdpo_name_has_ending(input->path, "csv tsv tab jsonl ndjson json");
    return BDPO_OK;
}

static bdpo_status table_open(void **state, const bdpo_record_input *input)
{
    if (input->files.n != 1 || input->is_folder)
        return bdpo_fail(BDPO_BAD_ARGUMENT, "%s: expected one CSV, TSV or JSON file", input->path);
    return open_at(state, input, input->files.paths[0], false);
}

static bool metadata_path(char path[BDPO_PATH_BYTES], const bdpo_record_input *input)
{
    return input->is_folder && bdpo_find_metadata(path, input->files.paths[0]);
}

static bdpo_status imagefolder_matches(bool *out, const bdpo_record_input *input)
{
    char path[BDPO_PATH_BYTES];
    *out = metadata_path(path, input);
    return BDPO_OK;
}

static bdpo_status imagefolder_open(void **state, const bdpo_record_input *input)
{
    char path[BDPO_PATH_BYTES];
    if (!metadata_path(path, input))
        return bdpo_fail(BDPO_BAD_FILE, "%s: expected a folder with metadata.jsonl or metadata.csv",
                         input->path);
    return open_at(state, input, path, true);
}

const bdpo_record_form bdpo_form_table = {
    .name = "table",
    .matches = table_matches,
    .open = table_open,
    .close = table_close,
    .next = table_next,
    .n_rows = table_n_rows,
    .seek = table_seek,
};

const bdpo_record_form bdpo_form_imagefolder = {
    .name = "imagefolder",
    .matches = imagefolder_matches,
    .open = imagefolder_open,
    .close = table_close,
    .next = table_next,
    .n_rows = table_n_rows,
    .seek = table_seek,
};

// Pick-a-Pic v1 and v2: Parquet shards with one row for each pair. The pictures are read of rows
// that the source keeps, and only then. pickapic_v2_no_images has the same columns without jpg_0
// and jpg_1.
//
// label_0 is 1 where picture 0 was chosen, 0 where picture 1 was, 0.5 for a tie, and label_1 is the
// rest to 1. has_label false: nobody chose.
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "data/record_fields.h"
#include "formats/parquet.h"

enum {
    N_COLUMNS = 12,
    CAPTION = 0,
    JPG_0,
    JPG_1,
    LABEL_0,
    LABEL_1,
    HAS_LABEL,
    UID_0,
    UID_1,
    MODEL_0,
    MODEL_1,
    N_EXAMPLES,
    RANKING
};

typedef enum value_kind { TEXT, BYTES, NUMBER } value_kind;

static const struct {
    const char *name;
    value_kind kind;
    const char *nested; // the name that stands for it where there is none of that name
} wanted[N_COLUMNS] = {
    [CAPTION] = {"caption", TEXT, NULL},
    [JPG_0] = {"jpg_0", BYTES, "jpg_0.bytes"}, // a picture of the datasets library
    [JPG_1] = {"jpg_1", BYTES, "jpg_1.bytes"},
    [LABEL_0] = {"label_0", NUMBER, NULL},
    [LABEL_1] = {"label_1", NUMBER, NULL},
    [HAS_LABEL] = {"has_label", NUMBER, NULL},
    [UID_0] = {"image_0_uid", TEXT, NULL},
    [UID_1] = {"image_1_uid", TEXT, NULL},
    [MODEL_0] = {"model_0", TEXT, NULL},
    [MODEL_1] = {"model_1", TEXT, NULL},
    [N_EXAMPLES] = {"num_example_per_prompt", NUMBER, NULL},
    [RANKING] = {"ranking_id", NUMBER, NULL},
};

typedef struct pickapic {
    const bdpo_file_list *shards;
    const char **splits;
    int64_t *first_rows; // of each shard in the data set; of the one behind the last: all
    const char *wanted_split;
    bool has_pictures;
    size_t shard;
    bdpo_parquet_file *file; // the present shard; NULL: to be opened
    bdpo_parquet_cursor *cursor;
    size_t column[N_COLUMNS]; // in the cursor; SIZE_MAX: not in this file
    int64_t row;              // of the next row, in the shard
    bdpo_growing texts[N_COLUMNS];
    char names[2][600];
} pickapic;

// ---- values --------------------------------------------------------------------------------

static bdpo_status get(bdpo_parquet_value *out, pickapic *p, int column)
{
    *out = (bdpo_parquet_value){.is_null = true};
    if (p->column[column] == SIZE_MAX) return BDPO_OK;
    return bdpo_parquet_cursor_get(out, p->cursor, p->column[column]);
}

// A text with a zero behind it; NULL where there is none. *size may be NULL.
static bdpo_status get_text(const char **out, size_t *size, pickapic *p, int column)
{
    bdpo_parquet_value value;
    bdpo_growing *text = &p->texts[column];
    *out = NULL;
    TRY(get(&value, p, column));
    if (value.is_null) return BDPO_OK;
    text->size = 0;
    if (!bdpo_growing_add(text, value.data, value.size) || !bdpo_growing_add(text, "", 1))
        return bdpo_fail(BDPO_NO_MEMORY, "%s: no memory", bdpo_parquet_path(p->file));
    *out = (const char *)text->data;
    if (size) *size = value.size;
    return BDPO_OK;
}

static bdpo_status get_number(double *out, pickapic *p, int column)
{
    bdpo_parquet_value value;
    TRY(get(&value, p, column));
    *out = value.is_null ? NAN : value.number;
    return BDPO_OK;
}

// Also of a column of reals: what pandas makes of integers among which there are nulls.
static bdpo_status get_count(int64_t *out, pickapic *p, int column)
{
    bdpo_parquet_value value;
    TRY(get(&value, p, column));
    if (!value.is_null && fabs(value.number) < 9e15) *out = (int64_t)value.number;
    return BDPO_OK;
}

// ---- rows ----------------------------------------------------------------------------------

static bdpo_status read_label(bdpo_row *row, pickapic *p)
{
    double label, other, has_label;
    TRY(get_number(&label, p, LABEL_0));
    TRY(get_number(&other, p, LABEL_1));
    TRY(get_number(&has_label, p, HAS_LABEL));
    if (bdpo_label_make(&row->record.label, label, other, has_label, row->place) != BDPO_OK)
        bdpo_row_drop_by_message(row, BDPO_DROP_BROKEN_ROW);
    return BDPO_OK;
}

static bdpo_status read_row(bdpo_row *row, pickapic *p)
{
    bdpo_record *record = &row->record;
    bdpo_record_picture *pictures = record->pictures;
    record->n_pictures = 2;
    record->split = p->splits[p->shard];
    TRY(get_text(&record->prompt, &record->prompt_size, p, CAPTION));
    TRY(get_text(&pictures[0].uid, NULL, p, UID_0));
    TRY(get_text(&pictures[1].uid, NULL, p, UID_1));
    TRY(get_text(&pictures[0].model, NULL, p, MODEL_0));
    TRY(get_text(&pictures[1].model, NULL, p, MODEL_1));
    TRY(get_count(&record->n_prompt_examples, p, N_EXAMPLES));
    TRY(get_count(&record->ranking_id, p, RANKING));
    return read_label(row, p);
}

static bdpo_status pickapic_load(bdpo_row *row, void *state)
{
    pickapic *p = state;
    for (int k = 0; k < 2 && p->has_pictures; k++) {
        bdpo_parquet_value value;
        TRY(get(&value, p, k == 0 ? JPG_0 : JPG_1));
        snprintf(p->names[k], sizeof p->names[k], "%.500s, jpg_%d", row->place, k);
        row->record.pictures[k].name = p->names[k];
        row->record.pictures[k].data = value.is_null ? NULL : value.data;
        row->record.pictures[k].size = value.size;
    }
    return BDPO_OK;
}

// ---- shards --------------------------------------------------------------------------------

static void close_shard(pickapic *p)
{
    bdpo_parquet_cursor_close(p->cursor);
    bdpo_parquet_close(p->file);
    p->cursor = NULL;
    p->file = NULL;
}

// A column of nulls only has whatever type its writer took.
static bool fits(const bdpo_parquet_column *column, value_kind kind)
{
    if (column->logical == BDPO_PARQUET_NULL) return true;
    if (kind == NUMBER)
        return column->type != BDPO_PARQUET_BYTES && column->type != BDPO_PARQUET_FIXED_BYTES;
    return column->type == BDPO_PARQUET_BYTES;
}

// Which columns the file has, for a cursor.
static bdpo_status find_columns(size_t column[N_COLUMNS], const char *names[N_COLUMNS], size_t *n,
                                const bdpo_parquet_file *file)
{
    *n = 0;
    for (int i = 0; i < N_COLUMNS; i++) {
        size_t at = bdpo_parquet_column_find(file, wanted[i].name);
        if (at == SIZE_MAX && wanted[i].nested)
            at = bdpo_parquet_column_find(file, wanted[i].nested);
        column[i] = SIZE_MAX;
        if (at == SIZE_MAX) continue;
        const bdpo_parquet_column *found = bdpo_parquet_column_at(file, at);
        if (!fits(found, wanted[i].kind))
            return bdpo_fail(BDPO_BAD_FILE, "%s: column %s is %s, expected %s",
                             bdpo_parquet_path(file), found->name,
                             bdpo_parquet_type_name(found->type),
                             wanted[i].kind == NUMBER ? "a number" : "bytes");
        column[i] = *n;
        names[(*n)++] = found->name;
    }
    if (column[CAPTION] == SIZE_MAX)
        return bdpo_fail(BDPO_BAD_FILE, "%s: has no column caption, which Pick-a-Pic has",
                         bdpo_parquet_path(file));
    return BDPO_OK;
}

static bool holds_pictures(const size_t column[N_COLUMNS])
{
    return column[JPG_0] != SIZE_MAX && column[JPG_1] != SIZE_MAX;
}

static bdpo_status open_shard(pickapic *p)
{
    const char *names[N_COLUMNS];
    size_t n;
    TRY(bdpo_parquet_open(&p->file, p->shards->paths[p->shard]));
    TRY(find_columns(p->column, names, &n, p->file));
    if (holds_pictures(p->column) != p->has_pictures)
        return bdpo_fail(BDPO_BAD_FILE, "%s: %s jpg_0 and jpg_1, which other shards %s",
                         bdpo_parquet_path(p->file), p->has_pictures ? "lacks" : "has",
                         p->has_pictures ? "have" : "lack");
    TRY(bdpo_parquet_cursor_open(&p->cursor, p->file, names, n));
    return BDPO_OK;
}

static int64_t rows_of(const pickapic *p, size_t shard)
{
    return p->first_rows[shard + 1] - p->first_rows[shard];
}

static bool is_wanted(const pickapic *p)
{
    return !p->wanted_split || strcmp(p->wanted_split, p->splits[p->shard]) == 0;
}

static bdpo_status shard_row(bdpo_row *row, pickapic *p)
{
    bool has_row;
    bdpo_row_begin(row, p->first_rows[p->shard] + p->row);
    snprintf(row->place, sizeof row->place, "%.450s, row %jd", bdpo_parquet_path(p->file),
             (intmax_t)p->row);
    TRY(bdpo_parquet_cursor_next(&has_row, p->cursor));
    if (!has_row)
        return bdpo_fail(BDPO_BAD_FILE, "%s: has changed while it was read",
                         bdpo_parquet_path(p->file));
    p->row++;
    return read_row(row, p);
}

static bdpo_status pickapic_next(bdpo_row *row, void *state)
{
    pickapic *p = state;
    for (; p->shard < p->shards->n; p->shard++, p->row = 0) {
        bool done = p->row >= rows_of(p, p->shard);
        if (!done && !p->file && !is_wanted(p)) {
            bdpo_row_begin(row, p->first_rows[p->shard]);
            row->kind = BDPO_ROW_SKIPPED;
            row->n_rows = rows_of(p, p->shard);
            p->shard++;
            return BDPO_OK;
        }
        if (!done && !p->file) TRY(open_shard(p));
        if (!done) return shard_row(row, p);
        close_shard(p);
    }
    bdpo_row_begin(row, p->first_rows[p->shards->n]);
    row->kind = BDPO_ROW_END;
    return BDPO_OK;
}

static bdpo_status pickapic_n_rows(int64_t *out, void *state)
{
    const pickapic *p = state;
    *out = p->first_rows[p->shards->n];
    return BDPO_OK;
}

static bdpo_status pickapic_seek(void *state, int64_t index)
{
    pickapic *p = state;
    TRY(bdpo_form_check_index(index, p->first_rows[p->shards->n]));
    size_t low = 0, high = p->shards->n; // first_rows[low] <= index < first_rows[high]
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (p->first_rows[middle] <= index)
            low = middle;
        else
            high = middle;
    }
    if (!p->file || p->shard != low) {
        close_shard(p);
        p->shard = low;
        TRY(open_shard(p));
    }
    p->row = index - p->first_rows[low];
    return bdpo_parquet_cursor_seek(p->cursor, p->row);
}

static bool pickapic_has_pictures(const void *state)
{
    return ((const pickapic *)state)->has_pictures;
}

// ---- opening -------------------------------------------------------------------------------

static void pickapic_close(void *state)
{
    pickapic *p = state;
    if (!p) return;
    close_shard(p);
    for (int i = 0; i < N_COLUMNS; i++) bdpo_free(p->texts[i].data);
    bdpo_free(p->first_rows);
    bdpo_free(p);
}

// The Parquet files of the input: named, or in the folder, or in its "data", as on the hub.
static bdpo_status list_shards(const bdpo_file_list **out, const bdpo_record_input *input)
{
    char data[BDPO_PATH_BYTES];
    *out = &input->files;
    if (!input->is_folder) return BDPO_OK;
    bdpo_file_list *inside = bdpo_arena_alloc(input->arena, 1, sizeof *inside);
    if (!inside) return bdpo_fail(BDPO_NO_MEMORY, "%s: no memory", input->path);
    *out = inside;
    TRY(bdpo_file_list_paths(inside, input->arena, input->files.paths[0], "parquet"));
    TRY(bdpo_file_join(data, input->files.paths[0], "data"));
    if (inside->n > 0 || !bdpo_file_is_directory(data)) return BDPO_OK;
    return bdpo_file_list_paths(inside, input->arena, data, "parquet");
}

// The footer of each shard: its rows, and of the first whether there are pictures.
static bdpo_status read_footers(pickapic *p)
{
    const char *names[N_COLUMNS];
    size_t n, column[N_COLUMNS];
    p->first_rows = bdpo_alloc(p->shards->n + 1, sizeof *p->first_rows);
    if (!p->first_rows) return bdpo_fail(BDPO_NO_MEMORY, "no memory for %zu shards", p->shards->n);
    for (size_t i = 0; i < p->shards->n; i++) {
        bdpo_parquet_file *file;
        TRY(bdpo_parquet_open(&file, p->shards->paths[i]));
        p->first_rows[i + 1] = p->first_rows[i] + bdpo_parquet_n_rows(file);
        bdpo_status status = i == 0 ? find_columns(column, names, &n, file) : BDPO_OK;
        if (i == 0 && status == BDPO_OK) p->has_pictures = holds_pictures(column);
        bdpo_parquet_close(file);
        TRY(status);
    }
    return BDPO_OK;
}

static bdpo_status pickapic_matches(bool *out, const bdpo_record_input *input)
{
    const bdpo_file_list *shards;
    *out = bdpo_name_has_ending(input->files.paths[0], "parquet");
    if (!input->is_folder) return BDPO_OK;
    TRY(list_shards(&shards, input));
    *out = shards->n > 0;
    return BDPO_OK;
}

static bdpo_status pickapic_open(void **state, const bdpo_record_input *input)
{
    pickapic *p = bdpo_alloc(1, sizeof *p);
    if (!p) return bdpo_fail(BDPO_NO_MEMORY, "%s: no memory", input->path);
    p->wanted_split = input->options->split;
    bdpo_status status = list_shards(&p->shards, input);
    if (status == BDPO_OK && p->shards->n == 0)
        status = bdpo_fail(BDPO_BAD_FILE, "%s: expected .parquet files", input->path);
    if (status == BDPO_OK) status = bdpo_file_list_splits(&p->splits, input->arena, p->shards);
    if (status == BDPO_OK) status = read_footers(p);
    if (status != BDPO_OK) {
        pickapic_close(p);
        return status;
    }
    *state = p;
    return BDPO_OK;
}

const bdpo_record_form bdpo_form_pickapic = {
    .name = "pickapic",
    .matches = pickapic_matches,
    .open = pickapic_open,
    .close = pickapic_close,
    .next = pickapic_next,
    .load = pickapic_load,
    .n_rows = pickapic_n_rows,
    .seek = pickapic_seek,
    .seeks_at_once = true,
    .has_pictures = pickapic_has_pictures,
};

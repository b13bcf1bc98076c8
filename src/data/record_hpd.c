// HPDv2: train.json (pairs with a preference) and test.json (several pictures with a rank each),
// and a folder of pictures. An entry of n ranked pictures is n (n - 1) / 2 rows, its pairs i < j in
// order; pairs of equal rank are ties and dropped. A broken entry counts as one row.
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "data/record_fields.h"
#include "formats/printable.h"

enum { MAX_FILES = 16, MAX_RANKED = 1000 };

typedef struct list_file {
    const char *path, *images, *split;
    int64_t n_rows; // -1: not counted yet
} list_file;

// Where an entry is, and its first row in the list.
typedef struct entry_place {
    bdpo_rows_mark mark;
    int64_t first_row;
} entry_place;

typedef struct hpd {
    const char *wanted_split;
    list_file files[MAX_FILES];
    int n_files, file; // the present one
    bdpo_rows *rows;   // of it; NULL: to be opened
    int64_t index;     // of the next row
    // The present entry.
    bdpo_rows_item *item;
    json_t *names, *ranks; // of a ranked one
    size_t i, j, n;        // the next pair; done where n is 0
    char paths[2][BDPO_PATH_BYTES];
    bdpo_growing entries[MAX_FILES]; // of entry_place; of the lists whose rows were counted
} hpd;

// ---- entries -------------------------------------------------------------------------------

static bdpo_status fail_entry(const bdpo_rows_item *item, const char *expected)
{
    return bdpo_fail(BDPO_BAD_FILE, "%s: expected %s", item->place, expected);
}

static json_t *array(const bdpo_rows_item *item, const char *field)
{
    json_t *value = json_object_get(item->root.value, field);
    return json_is_array(value) ? value : NULL;
}

static bool all_strings(const json_t *names)
{
    for (size_t i = 0; i < json_array_size(names); i++)
        if (!json_is_string(json_array_get(names, i))) return false;
    return true;
}

static bool all_numbers(const json_t *values)
{
    for (size_t i = 0; i < json_array_size(values); i++)
        if (!json_is_number(json_array_get(values, i))) return false;
    return true;
}

static bdpo_status check_ranked(const bdpo_rows_item *item, size_t *n)
{
    json_t *names = array(item, "image_path"), *ranks = array(item, "rank");
    *n = json_array_size(names);
    if (!names || *n < 2 || *n > MAX_RANKED || !all_strings(names))
        return fail_entry(item, "image_path with 2 to 1000 names");
    if (!ranks || json_array_size(ranks) != *n || !all_numbers(ranks))
        return fail_entry(item, "rank with a number for each of image_path");
    return BDPO_OK;
}

static bdpo_status check_pair(const bdpo_rows_item *item)
{
    json_t *names = array(item, "file_path"), *choice = array(item, "human_preference");
    if (!names || json_array_size(names) != 2 || !all_strings(names))
        return fail_entry(item, "file_path with 2 names");
    if (!choice || json_array_size(choice) != 2 || !all_numbers(choice))
        return fail_entry(item, "human_preference [1, 0] or [0, 1]");
    double a = json_number_value(json_array_get(choice, 0));
    double b = json_number_value(json_array_get(choice, 1));
    return a + b == 1 && (a == 0 || a == 1) ? BDPO_OK
                                            : fail_entry(item, "human_preference [1, 0] or [0, 1]");
}

// *n_rows of the entry; BAD_FILE where it is broken, which is one row.
static bdpo_status check_entry(const bdpo_rows_item *item, int64_t *n_rows)
{
    size_t n = 2;
    *n_rows = 1;
    if (item->fault[0]) return bdpo_fail(BDPO_BAD_FILE, "%s: %s", item->place, item->fault);
    if (json_object_get(item->root.value, "image_path"))
        TRY(check_ranked(item, &n));
    else
        TRY(check_pair(item));
    *n_rows = (int64_t)(n * (n - 1) / 2);
    return BDPO_OK;
}

// ---- rows ----------------------------------------------------------------------------------

static void set_picture(bdpo_row *row, hpd *h, int k, json_t *name_value)
{
    const char *name = json_string_value(name_value);
    bdpo_record_picture *picture = &row->record.pictures[k];
    if (row->kind != BDPO_ROW_RECORD) return;
    if (!bdpo_name_is_inside(name)) {
        bdpo_row_drop(row, BDPO_DROP_OUTSIDE, "%s", bdpo_printable(name).text);
        return;
    }
    if (bdpo_file_join(h->paths[k], h->files[h->file].images, name) != BDPO_OK)
        bdpo_row_drop(row, BDPO_DROP_BROKEN_ROW, "a path that is too long");
    picture->path = picture->name = h->paths[k];
    picture->uid = name;
}

static bdpo_status begin_row(bdpo_row *row, hpd *h)
{
    bdpo_row_begin(row, h->index++);
    snprintf(row->place, sizeof row->place, "%s", h->item->place);
    row->record.split = h->files[h->file].split;
    row->record.n_pictures = 2;
    TRY(bdpo_fields_text(&row->record.prompt, &h->item->fields, bdpo_prompt_names));
    row->record.prompt_size = row->record.prompt ? strlen(row->record.prompt) : 0;
    return BDPO_OK;
}

static bdpo_status ranked_row(bdpo_row *row, hpd *h)
{
    size_t i = h->i, j = h->j;
    double a = json_number_value(json_array_get(h->ranks, i));
    double b = json_number_value(json_array_get(h->ranks, j));
    if (++h->j == h->n) h->j = ++h->i + 1;
    if (h->j == h->n) h->n = 0;
    TRY(begin_row(row, h));
    size_t length = strlen(row->place);
    snprintf(row->place + length, sizeof row->place - length, ", pictures %zu and %zu", i, j);
    set_picture(row, h, 0, json_array_get(h->names, i));
    set_picture(row, h, 1, json_array_get(h->names, j));
    row->record.label = a < b ? 1 : 0;
    if (a == b && row->kind == BDPO_ROW_RECORD)
        bdpo_row_drop(row, BDPO_DROP_TIE, "both of rank %g", a);
    return BDPO_OK;
}

static bdpo_status pair_row(bdpo_row *row, hpd *h)
{
    json_t *names = array(h->item, "file_path");
    json_t *first = json_array_get(array(h->item, "human_preference"), 0);
    TRY(begin_row(row, h));
    set_picture(row, h, 0, json_array_get(names, 0));
    set_picture(row, h, 1, json_array_get(names, 1));
    row->record.label = json_number_value(first);
    return BDPO_OK;
}

// The first row of the entry that is there now.
static bdpo_status entry_row(bdpo_row *row, hpd *h)
{
    int64_t n_rows;
    TRY(check_entry(h->item, &n_rows));
    h->names = array(h->item, "image_path");
    if (!h->names) return pair_row(row, h);
    h->ranks = array(h->item, "rank");
    h->i = 0;
    h->j = 1;
    h->n = json_array_size(h->names);
    return ranked_row(row, h);
}

// A broken entry, or a prompt that is no string, is a dropped row.
static bdpo_status or_dropped(bdpo_status status, bdpo_row *row, hpd *h, int64_t index)
{
    if (status != BDPO_BAD_FILE) return status;
    bdpo_row_begin(row, index);
    h->index = index + 1;
    snprintf(row->place, sizeof row->place, "%s", h->item->place);
    bdpo_row_drop_by_message(row, BDPO_DROP_BROKEN_ROW);
    return BDPO_OK;
}

// ---- files ---------------------------------------------------------------------------------

static void close_rows(hpd *h)
{
    bdpo_rows_close(h->rows);
    h->rows = NULL;
    h->item = NULL;
    h->n = 0;
}

static bdpo_status list_entries(bdpo_growing *list, int64_t *n_rows, bdpo_rows *rows)
{
    bdpo_rows_item *item;
    list->size = 0;
    *n_rows = 0;
    for (;;) {
        int64_t n;
        TRY(bdpo_rows_next(&item, rows));
        if (!item) return BDPO_OK;
        bdpo_status broken = check_entry(item, &n);
        (void)broken; // is one row too
        entry_place place = {bdpo_rows_last_mark(rows), *n_rows};
        if (!bdpo_growing_add(list, &place, sizeof place))
            return bdpo_fail(BDPO_NO_MEMORY, "%s: no memory for its place", item->place);
        *n_rows += n;
    }
}

// Counts the rows of a list, and keeps the places of its entries.
static bdpo_status count_rows(hpd *h, int file)
{
    bdpo_rows *rows;
    int64_t n_rows;
    if (h->files[file].n_rows >= 0) return BDPO_OK;
    TRY(bdpo_rows_open(&rows, h->files[file].path));
    bdpo_status status = list_entries(&h->entries[file], &n_rows, rows);
    bdpo_rows_close(rows);
    if (status == BDPO_OK) h->files[file].n_rows = n_rows;
    return status;
}

static bool is_wanted(const hpd *h, const list_file *file)
{
    return !h->wanted_split || strcmp(h->wanted_split, file->split) == 0;
}

static bdpo_status skip_file(bdpo_row *row, hpd *h)
{
    list_file *file = &h->files[h->file];
    TRY(count_rows(h, h->file));
    bdpo_row_begin(row, h->index);
    row->kind = BDPO_ROW_SKIPPED;
    row->n_rows = file->n_rows;
    h->index += file->n_rows;
    h->file++;
    return BDPO_OK;
}

static bdpo_status hpd_next(bdpo_row *row, void *state)
{
    hpd *h = state;
    int64_t index = h->index;
    if (h->n > 0) return or_dropped(ranked_row(row, h), row, h, index);
    for (; h->file < h->n_files; h->file++) {
        if (!h->rows && !is_wanted(h, &h->files[h->file])) return skip_file(row, h);
        if (!h->rows) TRY(bdpo_rows_open(&h->rows, h->files[h->file].path));
        TRY(bdpo_rows_next(&h->item, h->rows));
        if (h->item) return or_dropped(entry_row(row, h), row, h, index);
        close_rows(h);
    }
    bdpo_row_begin(row, h->index);
    row->kind = BDPO_ROW_END;
    return BDPO_OK;
}

// ---- places --------------------------------------------------------------------------------

static bdpo_status hpd_n_rows(int64_t *out, void *state)
{
    hpd *h = state;
    *out = 0;
    for (int i = 0; i < h->n_files; i++) {
        TRY(count_rows(h, i));
        *out += h->files[i].n_rows;
    }
    return BDPO_OK;
}

// The last entry whose first row is at most `row`.
static const entry_place *find_entry(const bdpo_growing *list, int64_t row)
{
    const entry_place *places = (const entry_place *)(const void *)list->data;
    size_t low = 0, high = list->size / sizeof *places;
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (places[middle].first_row <= row)
            low = middle;
        else
            high = middle;
    }
    return &places[low];
}

// A row of a split that is not wanted is read all the same: the source drops it.
static bdpo_status hpd_seek(void *state, int64_t index)
{
    hpd *h = state;
    int64_t n, row = index;
    bdpo_row passed;
    TRY(hpd_n_rows(&n, h));
    TRY(bdpo_form_check_index(index, n));
    close_rows(h);
    for (h->file = 0; row >= h->files[h->file].n_rows; h->file++) row -= h->files[h->file].n_rows;
    h->index = index;
    const entry_place *entry = find_entry(&h->entries[h->file], row);
    TRY(bdpo_rows_open(&h->rows, h->files[h->file].path));
    TRY(bdpo_rows_seek(h->rows, entry->mark));
    int64_t behind = row - entry->first_row;
    h->index = index - behind;
    for (int64_t i = 0; i < behind; i++) TRY(hpd_next(&passed, h));
    return BDPO_OK;
}

// ---- opening -------------------------------------------------------------------------------

static void hpd_close(void *state)
{
    hpd *h = state;
    if (!h) return;
    bdpo_rows_close(h->rows);
    for (int i = 0; i < h->n_files; i++) bdpo_free(h->entries[i].data);
    bdpo_free(h);
}

// Where the pictures of a list lie: a folder of its split's name beside it, or "images", or beside.
static bdpo_status find_images(list_file *file, const bdpo_record_input *input)
{
    const char *folder = bdpo_path_folder(input->arena, file->path);
    char path[BDPO_PATH_BYTES];
    if (!folder || !file->split) return bdpo_fail(BDPO_NO_MEMORY, "%s: no memory", file->path);
    const char *names[] = {file->split, "images"};
    file->images = input->options->images ? input->options->images : folder;
    for (size_t i = 0; !input->options->images && i < BDPO_COUNTOF(names); i++) {
        TRY(bdpo_file_join(path, folder, names[i]));
        if (!bdpo_file_is_directory(path)) continue;
        file->images = bdpo_arena_strdup(input->arena, path);
        break;
    }
    return file->images ? BDPO_OK : bdpo_fail(BDPO_NO_MEMORY, "%s: no memory", file->path);
}

static bdpo_status add_file(hpd *h, const bdpo_record_input *input, const char *path)
{
    if (h->n_files == MAX_FILES)
        return bdpo_fail(BDPO_BAD_ARGUMENT, "%s: more than %d lists", input->path, MAX_FILES);
    list_file *file = &h->files[h->n_files++];
    *file = (list_file){.path = bdpo_arena_strdup(input->arena, path), .n_rows = -1};
    if (!file->path) return bdpo_fail(BDPO_NO_MEMORY, "%s: no memory", path);
    file->split = bdpo_path_split(input->arena, path);
    return find_images(file, input);
}

static const char *const list_names[] = {"test.json", "train.json"}; // sorted

static bdpo_status add_files(hpd *h, const bdpo_record_input *input)
{
    char path[BDPO_PATH_BYTES];
    for (size_t i = 0; !input->is_folder && i < input->files.n; i++)
        TRY(add_file(h, input, input->files.paths[i]));
    for (size_t i = 0; input->is_folder && i < BDPO_COUNTOF(list_names); i++) {
        TRY(bdpo_file_join(path, input->files.paths[0], list_names[i]));
        if (bdpo_is_plain_file(path)) TRY(add_file(h, input, path));
    }
    if (h->n_files > 0) return BDPO_OK;
    return bdpo_fail(BDPO_BAD_FILE, "%s: expected a folder with train.json or test.json",
                     input->path);
}

static bdpo_status hpd_open(void **state, const bdpo_record_input *input)
{
    hpd *h = bdpo_alloc(1, sizeof *h);
    if (!h) return bdpo_fail(BDPO_NO_MEMORY, "%s: no memory", input->path);
    h->wanted_split = input->options->split;
    bdpo_status status = add_files(h, input);
    if (status != BDPO_OK) {
        hpd_close(h);
        return status;
    }
    *state = h;
    return BDPO_OK;
}

// The first entry that can be read tells.
static bdpo_status file_matches(bool *out, const char *path)
{
    bdpo_rows *rows;
    bdpo_rows_item *item;
    if (!bdpo_name_has_ending(path, "json jsonl")) return BDPO_OK;
    TRY(bdpo_rows_open(&rows, path));
    bdpo_status status = BDPO_OK;
    for (int i = 0; i < 10 && !*out; i++) {
        status = bdpo_rows_next(&item, rows);
        if (status != BDPO_OK || !item) break;
        *out = array(item, "human_preference") || array(item, "image_path");
    }
    bdpo_rows_close(rows);
    return status;
}

static bdpo_status hpd_matches(bool *out, const bdpo_record_input *input)
{
    char path[BDPO_PATH_BYTES];
    *out = false;
    if (!input->is_folder) return file_matches(out, input->files.paths[0]);
    for (size_t i = 0; i < BDPO_COUNTOF(list_names); i++) {
        TRY(bdpo_file_join(path, input->files.paths[0], list_names[i]));
        if (bdpo_is_plain_file(path)) *out = true;
    }
    return BDPO_OK;
}

const bdpo_record_form bdpo_form_hpd = {
    .name = "hpd",
    .matches = hpd_matches,
    .open = hpd_open,
    .close = hpd_close,
    .next = hpd_next,
    .n_rows = hpd_n_rows,
    .seek = hpd_seek,
};

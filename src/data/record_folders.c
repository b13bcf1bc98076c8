// Folders of pictures without a list: each with its caption in a .txt beside it (form "captions"),
// and two folders whose pictures of equal name are a pair (form "paired").
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "data/record_form.h"
#include "formats/line_reader.h"
#include "formats/printable.h"

enum { MAX_CAPTION = 1 << 20, MAX_PROMPT_LINE = 1 << 20 };

// One row: the pictures of one name. A name that a folder has not is NULL.
typedef struct entry {
    const char *stem;
    const char *names[2];
    const char *twice; // a second file of that stem in one folder, or NULL
} entry;

typedef struct folders {
    const char *paths[2];
    int n_folders;
    const char *caption_folder; // looked into after the two; NULL: none
    entry *entries;             // sorted by stem
    size_t n;
    const char **prompts; // one for each row, or NULL: captions lie beside the pictures
    double label;
    int64_t index; // of the next row
    char *caption; // of the present row
    char pictures[2][BDPO_PATH_BYTES];
} folders;

static bdpo_status no_memory(const char *path)
{
    return bdpo_fail(BDPO_NO_MEMORY, "%s: no memory for its list of files", path);
}

// ---- captions ------------------------------------------------------------------------------

// Editors end a file by a line end, which is no part of the caption.
static void trim_end(char *text, size_t *size)
{
    while (*size > 0 && strchr("\r\n", text[*size - 1])) (*size)--;
    text[*size] = '\0';
}

static bdpo_status set_caption(bdpo_row *row, folders *f, size_t size)
{
    size_t begin = size >= 3 && memcmp(f->caption, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
    trim_end(f->caption, &size);
    row->record.prompt = f->caption + begin;
    row->record.prompt_size = size >= begin ? size - begin : 0;
    return BDPO_OK;
}

static bdpo_status read_caption(bdpo_row *row, folders *f, const char *stem)
{
    const char *where[] = {f->paths[0], f->n_folders > 1 ? f->paths[1] : NULL, f->caption_folder};
    char path[BDPO_PATH_BYTES];
    size_t size;
    bdpo_free(f->caption);
    f->caption = NULL;
    for (size_t i = 0; i < BDPO_COUNTOF(where); i++) {
        if (!where[i]) continue;
        int n = snprintf(path, sizeof path, "%s/%s.txt", where[i], stem);
        if (n >= (int)sizeof path || !bdpo_is_plain_file(path)) continue;
        bdpo_status status = bdpo_file_read(&f->caption, &size, path, MAX_CAPTION);
        if (status == BDPO_OK) return set_caption(row, f, size);
        if (status == BDPO_NO_MEMORY) return status;
        bool large = status == BDPO_BAD_FILE;
        bdpo_row_drop(row, large ? BDPO_DROP_OVERSIZED : BDPO_DROP_MISSING_FILE, "%s",
                      bdpo_message());
        return BDPO_OK;
    }
    bdpo_row_drop(row, BDPO_DROP_MISSING_FILE, "has no caption file %s.txt",
                  bdpo_printable(stem).text);
    return BDPO_OK;
}

// ---- rows ----------------------------------------------------------------------------------

static void set_picture(bdpo_row *row, folders *f, int k, const char *name)
{
    if (!name) return;
    if (bdpo_file_join(f->pictures[k], f->paths[k], name) != BDPO_OK)
        bdpo_row_drop(row, BDPO_DROP_BROKEN_ROW, "a path that is too long");
    row->record.pictures[k].path = row->record.pictures[k].name = f->pictures[k];
}

static bdpo_status set_prompt(bdpo_row *row, folders *f, const entry *e)
{
    if (!f->prompts) return read_caption(row, f, e->stem);
    row->record.prompt = f->prompts[row->record.index];
    row->record.prompt_size = strlen(row->record.prompt);
    return BDPO_OK;
}

static bdpo_status folders_next(bdpo_row *row, void *state)
{
    folders *f = state;
    bdpo_row_begin(row, f->index);
    if ((size_t)f->index == f->n) {
        row->kind = BDPO_ROW_END;
        return BDPO_OK;
    }
    const entry *e = &f->entries[f->index++];
    row->record.n_pictures = f->n_folders;
    row->record.label = f->label;
    for (int k = 0; k < f->n_folders; k++) set_picture(row, f, k, e->names[k]);
    int given = e->names[0] ? 0 : 1;
    snprintf(row->place, sizeof row->place, "%.340s/%s", f->paths[given],
             bdpo_printable(e->names[given]).text);
    if (e->twice)
        bdpo_row_drop(row, BDPO_DROP_BROKEN_ROW, "%s has the same name",
                      bdpo_printable(e->twice).text);
    else if (f->n_folders == 2 && (!e->names[0] || !e->names[1]))
        bdpo_row_drop(row, BDPO_DROP_NO_PARTNER, "has no partner in %.300s", f->paths[1 - given]);
    return row->kind == BDPO_ROW_RECORD ? set_prompt(row, f, e) : BDPO_OK;
}

static bdpo_status folders_n_rows(int64_t *out, void *state)
{
    *out = (int64_t)((folders *)state)->n;
    return BDPO_OK;
}

static bdpo_status folders_seek(void *state, int64_t index)
{
    folders *f = state;
    TRY(bdpo_form_check_index(index, (int64_t)f->n));
    f->index = index;
    return BDPO_OK;
}

// ---- entries -------------------------------------------------------------------------------

static int compare(const void *a, const void *b)
{
    const entry *x = a, *y = b;
    int order = strcmp(x->stem, y->stem);
    if (order != 0) return order;
    bool first = x->names[0] && !y->names[0]; // of one stem, the first folder's comes first
    return first ? -1 : x->names[0] && y->names[0] ? strcmp(x->names[0], y->names[0]) : 1;
}

// Entries of one stem become one, where two folders are paired.
static void merge(folders *f)
{
    size_t kept = 0;
    for (size_t i = 0; i < f->n; i++) {
        entry *last = kept > 0 ? &f->entries[kept - 1] : NULL, *e = &f->entries[i];
        if (!last || strcmp(last->stem, e->stem) != 0) {
            f->entries[kept++] = *e;
            continue;
        }
        for (int k = 0; k < 2; k++) {
            if (e->names[k] && last->names[k]) last->twice = e->names[k];
            if (e->names[k] && !last->names[k]) last->names[k] = e->names[k];
        }
    }
    f->n = kept;
}

static bdpo_status list_entries(folders *f, bdpo_arena *arena)
{
    bdpo_file_list lists[2] = {{0}};
    for (int k = 0; k < f->n_folders; k++)
        TRY(bdpo_file_list_folder(&lists[k], arena, f->paths[k], BDPO_PICTURE_ENDINGS));
    f->entries = bdpo_arena_alloc(arena, lists[0].n + lists[1].n + 1, sizeof *f->entries);
    if (!f->entries) return no_memory(f->paths[0]);
    for (int k = 0; k < f->n_folders; k++) {
        for (size_t i = 0; i < lists[k].n; i++) {
            entry *e = &f->entries[f->n++];
            e->names[k] = lists[k].paths[i];
            e->stem = bdpo_name_stem(arena, e->names[k]);
            if (!e->stem) return no_memory(f->paths[k]);
        }
    }
    if (f->n_folders == 1) return BDPO_OK; // sorted by name, and each is a row
    qsort(f->entries, f->n, sizeof *f->entries, compare);
    merge(f);
    return BDPO_OK;
}

// ---- a file of prompts ---------------------------------------------------------------------

static bdpo_status read_lines(folders *f, bdpo_arena *arena, bdpo_line_reader *lines)
{
    bdpo_line *line;
    size_t n = 0;
    for (;;) {
        TRY(bdpo_line_reader_next(&line, lines));
        if (!line) break;
        line->text[line->size] = '\0';
        if (line->too_long || strlen(line->text) < line->size)
            return bdpo_fail(BDPO_BAD_FILE, "%s, line %jd: %s, expected a prompt",
                             bdpo_line_reader_path(lines), (intmax_t)line->number,
                             line->too_long ? "has more than 1 MiB" : "holds a zero byte");
        if (n < f->n && !(f->prompts[n] = bdpo_arena_strdup(arena, line->text)))
            return no_memory(bdpo_line_reader_path(lines));
        n++;
    }
    if (n == f->n) return BDPO_OK;
    return bdpo_fail(BDPO_BAD_FILE, "%s: %zu lines, expected one for each of the %zu pictures",
                     bdpo_line_reader_path(lines), n, f->n);
}

static bdpo_status read_prompts(folders *f, bdpo_arena *arena, const char *path)
{
    bdpo_line_reader *lines;
    f->prompts = bdpo_arena_alloc(arena, f->n + 1, sizeof *f->prompts);
    if (!f->prompts) return no_memory(path);
    TRY(bdpo_line_reader_open(&lines, path, MAX_PROMPT_LINE));
    bdpo_status status = read_lines(f, arena, lines);
    bdpo_line_reader_close(lines);
    return status;
}

// ---- opening -------------------------------------------------------------------------------

static void folders_close(void *state)
{
    folders *f = state;
    if (!f) return;
    bdpo_free(f->caption);
    bdpo_free(f);
}

static bdpo_status fill(folders *f, const bdpo_record_input *input)
{
    char path[BDPO_PATH_BYTES];
    const char *prompts = input->options->prompts;
    TRY(list_entries(f, input->arena));
    if (!prompts && f->caption_folder &&
        bdpo_file_join(path, f->caption_folder, "prompts.txt") == BDPO_OK &&
        bdpo_is_plain_file(path))
        prompts = path;
    return prompts ? read_prompts(f, input->arena, prompts) : BDPO_OK;
}

static bdpo_status open_folders(void **state, const bdpo_record_input *input, const char *first,
                                const char *second, const char *parent, double label)
{
    folders *f = bdpo_alloc(1, sizeof *f);
    if (!f) return no_memory(input->path);
    f->paths[0] = first;
    f->paths[1] = second;
    f->n_folders = second ? 2 : 1;
    f->caption_folder = parent;
    f->label = label;
    bdpo_status status = fill(f, input);
    if (status != BDPO_OK) {
        folders_close(f);
        return status;
    }
    *state = f;
    return BDPO_OK;
}

static bdpo_status has_pictures(bool *out, const char *folder)
{
    bdpo_arena *arena;
    bdpo_file_list list;
    TRY(bdpo_arena_new(&arena));
    bdpo_status status = bdpo_file_list_folder(&list, arena, folder, BDPO_PICTURE_ENDINGS);
    bdpo_arena_free(arena);
    *out = status == BDPO_OK && list.n > 0;
    return status;
}

static bdpo_status captions_matches(bool *out, const bdpo_record_input *input)
{
    *out = false;
    return input->is_folder ? has_pictures(out, input->files.paths[0]) : BDPO_OK;
}

static bdpo_status captions_open(void **state, const bdpo_record_input *input)
{
    if (!input->is_folder)
        return bdpo_fail(BDPO_BAD_ARGUMENT, "%s: expected a folder of pictures", input->path);
    return open_folders(state, input, input->files.paths[0], NULL, NULL, NAN);
}

// What the folder's name says of its pictures: 1 chosen, -1 rejected, 0 nothing.
static int role_of(const char *path)
{
    static const char *const chosen[] = {"chosen", "preferred", "win", "winner", "good", "better"};
    static const char *const rejected[] = {"rejected", "dispreferred", "lose",
                                           "loser",    "bad",          "worse"};
    const char *last = bdpo_path_last(path);
    size_t length = strcspn(last, "/");
    for (size_t i = 0; i < BDPO_COUNTOF(chosen); i++) {
        if (strlen(chosen[i]) == length && strncasecmp(chosen[i], last, length) == 0) return 1;
        if (strlen(rejected[i]) == length && strncasecmp(rejected[i], last, length) == 0) return -1;
    }
    return 0;
}

static double label_of(const char *first, const char *second)
{
    int a = role_of(first), b = role_of(second);
    return a > b && a * b < 0 ? 1 : a < b && a * b < 0 ? 0 : NAN;
}

// The two folders: the path and options.second, or what a pattern names, or the folders in the
// path. False where there are not two.
typedef struct folder_pair {
    const char *first, *second, *parent;
} folder_pair;

static bdpo_status find_pair(folder_pair *out, bool *found, const bdpo_record_input *input)
{
    bdpo_file_list inside;
    char path[2][BDPO_PATH_BYTES];
    const bdpo_file_list *files = &input->files;
    *out = (folder_pair){files->paths[0], input->options->second, NULL};
    *found = input->is_folder && out->second;
    if (*found) return BDPO_OK;
    if (files->n == 2 && bdpo_file_is_directory(files->paths[0]) &&
        bdpo_file_is_directory(files->paths[1])) {
        out->second = files->paths[1];
        *found = true;
        return BDPO_OK;
    }
    if (!input->is_folder) return BDPO_OK;
    TRY(bdpo_file_list_folder(&inside, input->arena, files->paths[0], NULL));
    if (inside.n != 2) return BDPO_OK;
    for (int k = 0; k < 2; k++) TRY(bdpo_file_join(path[k], files->paths[0], inside.paths[k]));
    TRY(has_pictures(found, path[0]));
    if (*found) TRY(has_pictures(found, path[1]));
    if (!*found) return BDPO_OK;
    out->parent = files->paths[0];
    out->first = bdpo_arena_strdup(input->arena, path[0]);
    out->second = bdpo_arena_strdup(input->arena, path[1]);
    return out->first && out->second ? BDPO_OK : no_memory(input->path);
}

// Folders with lists of their own are splits (train, test) of image folders, and no pairs.
static bdpo_status paired_matches(bool *out, const bdpo_record_input *input)
{
    folder_pair pair;
    char list[BDPO_PATH_BYTES];
    TRY(find_pair(&pair, out, input));
    if (!*out) return BDPO_OK;
    *out = !bdpo_find_metadata(list, pair.first) && !bdpo_find_metadata(list, pair.second);
    return BDPO_OK;
}

static bdpo_status paired_open(void **state, const bdpo_record_input *input)
{
    folder_pair pair;
    bool found;
    TRY(find_pair(&pair, &found, input));
    if (!found)
        return bdpo_fail(BDPO_BAD_FILE,
                         "%s: expected two folders of pictures, inside it or by a second path",
                         input->path);
    return open_folders(state, input, pair.first, pair.second, pair.parent,
                        label_of(pair.first, pair.second));
}

const bdpo_record_form bdpo_form_captions = {
    .name = "captions",
    .matches = captions_matches,
    .open = captions_open,
    .close = folders_close,
    .next = folders_next,
    .n_rows = folders_n_rows,
    .seek = folders_seek,
    .seeks_at_once = true,
};

const bdpo_record_form bdpo_form_paired = {
    .name = "paired",
    .matches = paired_matches,
    .open = paired_open,
    .close = folders_close,
    .next = folders_next,
    .n_rows = folders_n_rows,
    .seek = folders_seek,
    .seeks_at_once = true,
};

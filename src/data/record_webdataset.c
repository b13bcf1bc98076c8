// WebDataset: tar shards in which consecutive members that share the name before the first dot are
// one row: 000017.jpg and 000017.txt; of a pair 000017.0.jpg and 000017.1.jpg. Prompts come from
// .txt or .json, all else from .json, with the names of a table's columns.
//
// A damaged shard ends with the row that the damage is in, which is dropped; the next shard goes
// on.
#include <stdio.h>
#include <string.h>

#include "data/record_fields.h"
#include "formats/image.h"
#include "formats/printable.h"
#include "formats/tar.h"

enum { MAX_TEXT = 1 << 20, MAX_KEY = 1024, N_PARTS = 5, PART_JSON = 4 };

// The parts of a row: a single picture, two of a pair, the prompt, the rest.
static const struct {
    const char *endings;
    size_t limit;
} part_kinds[N_PARTS] = {
    {"jpg jpeg png webp", BDPO_IMAGE_MAX_FILE},
    {"0.jpg 0.jpeg 0.png 0.webp jpg_0", BDPO_IMAGE_MAX_FILE},
    {"1.jpg 1.jpeg 1.png 1.webp jpg_1", BDPO_IMAGE_MAX_FILE},
    {"txt caption", MAX_TEXT},
    {"json", BDPO_JSON_ITEM_MAX},
};

typedef struct place {
    size_t shard;
    uint64_t offset; // of the first member's header
} place;

typedef struct webdataset {
    const bdpo_file_list *shards;
    const char **splits; // of the shards
    const char *wanted_split;
    size_t shard;
    bdpo_tar *tar;                 // the present shard; NULL: to be opened
    const bdpo_tar_member *member; // read, but not yet in a row
    int64_t index;                 // of the next row
    // The present row.
    char key[MAX_KEY];
    uint64_t offset;
    bdpo_growing parts[N_PARTS];
    bool has_part[N_PARTS];
    char names[N_PARTS][600]; // "shard.tar: 000017.0.jpg"
    bdpo_json_document *document;
    // Random access: one for each row, made at the first seek.
    bdpo_growing places; // of place
    bool has_places;
} webdataset;

// ---- members -------------------------------------------------------------------------------

// The length of the key, which ends before the first dot of the last part; 0 where the member
// belongs to no row: it is hidden, or has no ending.
static size_t key_length(const char *name)
{
    const char *slash = strrchr(name, '/');
    const char *last = slash ? slash + 1 : name;
    size_t n = strcspn(last, ".");
    if (n == 0 || last[n] == '\0') return 0;
    size_t length = (size_t)(last - name) + n;
    return length < MAX_KEY ? length : 0;
}

static int part_of(const char *name)
{
    const char *ending = name + key_length(name) + 1;
    for (int i = 0; i < N_PARTS; i++)
        if (bdpo_word_is_in(ending, part_kinds[i].endings)) return i;
    return -1;
}

static bdpo_status next_member(webdataset *w)
{
    do TRY(bdpo_tar_next(&w->member, w->tar));
    while (w->member && (!w->member->is_file || key_length(w->member->name) == 0));
    return BDPO_OK;
}

static bool belongs(const webdataset *w)
{
    size_t n = key_length(w->member->name);
    return strlen(w->key) == n && memcmp(w->key, w->member->name, n) == 0;
}

// ---- one row -------------------------------------------------------------------------------

static void clear_row(webdataset *w)
{
    bdpo_json_free(w->document);
    w->document = NULL;
    for (int i = 0; i < N_PARTS; i++) {
        w->parts[i].size = 0;
        w->has_part[i] = false;
    }
}

static void begin_row(bdpo_row *row, webdataset *w)
{
    clear_row(w);
    bdpo_row_begin(row, w->index);
    memset(w->key, 0, sizeof w->key);
    if (w->member) memcpy(w->key, w->member->name, key_length(w->member->name));
    w->offset = w->member ? w->member->offset : 0;
    snprintf(row->place, sizeof row->place, "%.330s: %s", bdpo_tar_path(w->tar),
             w->key[0] ? bdpo_printable(w->key).text : "its members");
}

static bdpo_status take_part(bdpo_row *row, webdataset *w)
{
    bool too_large;
    const char *name = w->member->name;
    int i = part_of(name);
    if (!bdpo_name_is_inside(name))
        bdpo_row_drop(row, BDPO_DROP_OUTSIDE, "%s", bdpo_printable(name).text);
    if (i < 0 || row->kind != BDPO_ROW_RECORD) return BDPO_OK;
    if (w->has_part[i]) {
        bdpo_row_drop(row, BDPO_DROP_BROKEN_ROW, "a second %s", bdpo_printable(name).text);
        return BDPO_OK;
    }
    w->has_part[i] = true;
    snprintf(w->names[i], sizeof w->names[i], "%.330s: %s", bdpo_tar_path(w->tar),
             bdpo_printable(name).text);
    TRY(bdpo_tar_read(&w->parts[i], &too_large, w->tar, part_kinds[i].limit));
    if (too_large)
        bdpo_row_drop(row, BDPO_DROP_OVERSIZED, "%s has more than %zu bytes",
                      bdpo_printable(name).text, part_kinds[i].limit);
    if (!bdpo_growing_add(&w->parts[i], "", 1)) // for text; not counted below
        return bdpo_fail(BDPO_NO_MEMORY, "%s: no memory", w->names[i]);
    return BDPO_OK;
}

static void set_picture(bdpo_record_picture *picture, const webdataset *w, int part)
{
    if (!w->has_part[part]) return;
    picture->data = w->parts[part].data;
    picture->size = w->parts[part].size - 1;
    picture->name = w->names[part];
}

static void set_text(bdpo_record *record, const bdpo_growing *part)
{
    const char *text = (const char *)part->data;
    size_t size = part->size - 1;
    while (size > 0 && strchr("\r\n", text[size - 1])) size--;
    record->prompt = text;
    record->prompt_size = size;
}

static bdpo_status read_json(bdpo_record *record, webdataset *w)
{
    const bdpo_growing *part = &w->parts[PART_JSON];
    const char *name = w->names[PART_JSON];
    TRY(bdpo_json_parse(&w->document, (const char *)part->data, part->size - 1, name));
    bdpo_json root = bdpo_json_root(w->document);
    if (!json_is_object(root.value))
        return bdpo_fail(BDPO_BAD_FILE, "%s: expected an object in braces", name);
    return bdpo_fields_record(record, &(bdpo_fields){.place = name, .json = &root});
}

// The record of the parts that were read.
static bdpo_status end_row(bdpo_row *row, webdataset *w)
{
    bdpo_record *record = &row->record;
    bool is_pair = w->has_part[1] || w->has_part[2];
    if (row->kind != BDPO_ROW_RECORD) return BDPO_OK;
    record->n_pictures = is_pair ? 2 : 1;
    if (w->has_part[PART_JSON]) {
        bdpo_status status = read_json(record, w);
        if (status == BDPO_BAD_FILE) {
            bdpo_row_drop(row, BDPO_DROP_BROKEN_ROW, "%s", bdpo_message());
            return BDPO_OK;
        }
        TRY(status);
    }
    if (w->has_part[3]) set_text(record, &w->parts[3]);
    if (!record->split) record->split = w->splits[w->shard];
    set_picture(&record->pictures[0], w, is_pair ? 1 : 0);
    if (is_pair) set_picture(&record->pictures[1], w, 2);
    if (is_pair && !(w->has_part[1] && w->has_part[2]))
        bdpo_row_drop(row, BDPO_DROP_NO_PARTNER, "has picture %d only", w->has_part[1] ? 0 : 1);
    return BDPO_OK;
}

static bdpo_status read_parts(bdpo_row *row, webdataset *w)
{
    do {
        TRY(take_part(row, w));
        TRY(next_member(w));
    } while (w->member && belongs(w));
    return end_row(row, w);
}

// ---- shards --------------------------------------------------------------------------------

static void close_shard(webdataset *w)
{
    bdpo_tar_close(w->tar);
    w->tar = NULL;
    w->member = NULL;
}

static bdpo_status open_shard(webdataset *w)
{
    TRY(bdpo_tar_open(&w->tar, w->shards->paths[w->shard]));
    bdpo_status status = next_member(w);
    if (status != BDPO_OK) close_shard(w);
    return status;
}

// Damage inside a shard is a dropped row, the last one of it.
static bdpo_status damaged(bdpo_row *row, webdataset *w, bdpo_status status)
{
    if (status != BDPO_BAD_FILE) return status;
    bdpo_row_drop(row, BDPO_DROP_BROKEN_ROW, "%s", bdpo_message());
    close_shard(w);
    w->shard++;
    return BDPO_OK;
}

static bdpo_status add_place(webdataset *w, place at)
{
    if (bdpo_growing_add(&w->places, &at, sizeof at)) return BDPO_OK;
    return bdpo_fail(BDPO_NO_MEMORY, "%s: no memory for the places of its rows",
                     w->shards->paths[at.shard]);
}

// Counts the rows of a shard by its headers; the places of its rows are kept where asked for.
static bdpo_status count_shard(int64_t *out, const webdataset *w, size_t shard, webdataset *keeper)
{
    webdataset reader = {.shards = w->shards, .shard = shard};
    *out = 0;
    bdpo_status status = open_shard(&reader);
    while (status == BDPO_OK && reader.member) {
        memset(reader.key, 0, sizeof reader.key);
        memcpy(reader.key, reader.member->name, key_length(reader.member->name));
        if (keeper) status = add_place(keeper, (place){shard, reader.member->offset});
        ++*out;
        while (status == BDPO_OK && reader.member && belongs(&reader))
            status = next_member(&reader);
    }
    close_shard(&reader);
    return status == BDPO_BAD_FILE && *out > 0 ? BDPO_OK : status;
}

static bool is_wanted(const webdataset *w)
{
    return !w->wanted_split || strcmp(w->wanted_split, w->splits[w->shard]) == 0;
}

static bdpo_status skip_shard(bdpo_row *row, webdataset *w)
{
    bdpo_row_begin(row, w->index);
    row->kind = BDPO_ROW_SKIPPED;
    TRY(count_shard(&row->n_rows, w, w->shard, NULL));
    w->index += row->n_rows;
    w->shard++;
    return BDPO_OK;
}

static bdpo_status webdataset_next(bdpo_row *row, void *state)
{
    webdataset *w = state;
    for (; w->shard < w->shards->n; w->shard++) {
        if (!w->tar && !is_wanted(w)) return skip_shard(row, w);
        if (!w->tar) TRY(open_shard(w));
        if (w->member) {
            begin_row(row, w);
            w->index++;
            bdpo_status status = read_parts(row, w);
            return status == BDPO_OK ? status : damaged(row, w, status);
        }
        close_shard(w);
    }
    bdpo_row_begin(row, w->index);
    row->kind = BDPO_ROW_END;
    return BDPO_OK;
}

// ---- places --------------------------------------------------------------------------------

static bdpo_status make_places(webdataset *w)
{
    int64_t n;
    if (w->has_places) return BDPO_OK;
    w->places.size = 0;
    for (size_t i = 0; i < w->shards->n; i++) TRY(count_shard(&n, w, i, w));
    w->has_places = true;
    return BDPO_OK;
}

static int64_t n_places(const webdataset *w)
{
    return (int64_t)(w->places.size / sizeof(place));
}

static bdpo_status webdataset_n_rows(int64_t *out, void *state)
{
    webdataset *w = state;
    TRY(make_places(w));
    *out = n_places(w);
    return BDPO_OK;
}

static bdpo_status webdataset_seek(void *state, int64_t index)
{
    webdataset *w = state;
    TRY(make_places(w));
    TRY(bdpo_form_check_index(index, n_places(w)));
    const place *at = (const place *)(const void *)w->places.data + index;
    if (!w->tar || w->shard != at->shard) {
        close_shard(w);
        w->shard = at->shard;
        TRY(bdpo_tar_open(&w->tar, w->shards->paths[w->shard]));
    }
    w->index = index;
    TRY(bdpo_tar_seek(w->tar, at->offset));
    return next_member(w);
}

// ---- opening -------------------------------------------------------------------------------

static void webdataset_close(void *state)
{
    webdataset *w = state;
    if (!w) return;
    clear_row(w);
    close_shard(w);
    for (int i = 0; i < N_PARTS; i++) bdpo_free(w->parts[i].data);
    bdpo_free(w->places.data);
    bdpo_free(w);
}

static bdpo_status list_shards(const bdpo_file_list **out, const bdpo_record_input *input)
{
    *out = &input->files;
    if (!input->is_folder) return BDPO_OK;
    bdpo_file_list *inside = bdpo_arena_alloc(input->arena, 1, sizeof *inside);
    if (!inside) return bdpo_fail(BDPO_NO_MEMORY, "%s: no memory", input->path);
    *out = inside;
    return bdpo_file_list_paths(inside, input->arena, input->files.paths[0], "tar");
}

static bdpo_status webdataset_matches(bool *out, const bdpo_record_input *input)
{
    const char *last = bdpo_path_last(input->files.paths[0]);
    const bdpo_file_list *shards;
    *out = bdpo_name_has_ending(last, "tar tgz") ||
           (bdpo_name_has_ending(last, "gz bz2 xz zst") && strstr(last, ".tar."));
    if (!input->is_folder) return BDPO_OK;
    TRY(list_shards(&shards, input));
    *out = shards->n > 0;
    return BDPO_OK;
}

static bdpo_status webdataset_open(void **state, const bdpo_record_input *input)
{
    webdataset *w = bdpo_alloc(1, sizeof *w);
    if (!w) return bdpo_fail(BDPO_NO_MEMORY, "%s: no memory", input->path);
    w->wanted_split = input->options->split;
    bdpo_status status = list_shards(&w->shards, input);
    if (status == BDPO_OK && w->shards->n == 0)
        status = bdpo_fail(BDPO_BAD_FILE, "%s: expected .tar files", input->path);
    if (status == BDPO_OK) status = bdpo_file_list_splits(&w->splits, input->arena, w->shards);
    if (status == BDPO_OK) status = open_shard(w);
    if (status != BDPO_OK) {
        webdataset_close(w);
        return status;
    }
    if (!is_wanted(w)) close_shard(w);
    *state = w;
    return BDPO_OK;
}

const bdpo_record_form bdpo_form_webdataset = {
    .name = "webdataset",
    .matches = webdataset_matches,
    .open = webdataset_open,
    .close = webdataset_close,
    .next = webdataset_next,
    .n_rows = webdataset_n_rows,
    .seek = webdataset_seek,
};

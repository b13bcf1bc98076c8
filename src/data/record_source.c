// The source: finds the form, takes its rows, judges and counts them.
#define _DEFAULT_SOURCE // realpath
#include "data/record_source.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "data/record_filter.h"
#include "formats/charset.h"
#include "formats/growing.h"
#include "formats/image.h"

enum { N_NAMES = 5 }; // of dropped rows, for each reason

struct bdpo_record_source {
    bdpo_arena *arena;
    bdpo_record_options options; // texts in the arena
    bdpo_record_input input;
    const char *name;
    const bdpo_record_form *form;
    void *state;
    bdpo_record_filter *filter;
    bool begun, has_pictures;
    bdpo_row row;
    bdpo_growing prompt; // of the record
    int64_t n_read, n_kept;
    int64_t n_dropped[BDPO_N_DROPS];
    char names[BDPO_N_DROPS][N_NAMES][400];
};

// In the order in which they are tried.
static const bdpo_record_form *const forms[] = {
    &bdpo_form_pickapic, &bdpo_form_webdataset, &bdpo_form_hpd,   &bdpo_form_imagefolder,
    &bdpo_form_paired,   &bdpo_form_captions,   &bdpo_form_table,
};

// ---- reasons -------------------------------------------------------------------------------

static const struct {
    const char *text;
    bool fault;
} reasons[] = {
#define X(name, text, fault) [BDPO_DROP_##name] = {text, fault},
    BDPO_DROP_LIST(X)
#undef X
};

const char *bdpo_drop_text(bdpo_drop reason)
{
    return reasons[reason].text;
}

bool bdpo_drop_is_fault(bdpo_drop reason)
{
    return reasons[reason].fault;
}

// Counts it, and keeps what names it where it is among the first.
static bdpo_status count_drop(bdpo_record_source *s, bdpo_drop reason, const char *place,
                              const char *message)
{
    int64_t n = s->n_dropped[reason]++;
    const char *between = place[0] && message[0] ? ": " : "";
    if (n < N_NAMES) {
        char *name = s->names[reason][n];
        snprintf(name, sizeof s->names[reason][n], "%s%s%s", place, between, message);
        bdpo_make_line(name);
    }
    if (!s->options.strict || !reasons[reason].fault) return BDPO_OK;
    return bdpo_fail(BDPO_BAD_FILE, "%s: %s%s%s", place, reasons[reason].text,
                     message[0] ? ": " : "", message);
}

// ---- judging a row -------------------------------------------------------------------------

static bool is_blank(const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (!strchr(" \t\r\n", text[i]) || text[i] == '\0') return false;
    return true;
}

// The prompt, copied so that a zero follows it.
static bdpo_status check_prompt(bdpo_record_source *s)
{
    bdpo_record *r = &s->row.record;
    const char *text = r->prompt ? r->prompt : "";
    if (!bdpo_utf8_is_valid(text, r->prompt_size)) {
        bdpo_row_drop(&s->row, BDPO_DROP_BAD_TEXT, "%s", "");
        return BDPO_OK;
    }
    if (is_blank(text, r->prompt_size) && !s->options.keep_empty_prompts) {
        bdpo_row_drop(&s->row, BDPO_DROP_EMPTY_PROMPT, "%s", "");
        return BDPO_OK;
    }
    s->prompt.size = 0;
    if (!bdpo_growing_add(&s->prompt, text, r->prompt_size) || !bdpo_growing_add(&s->prompt, "", 1))
        return bdpo_fail(BDPO_NO_MEMORY, "%s: no memory for a prompt", s->row.place);
    r->prompt = (const char *)s->prompt.data;
    return BDPO_OK;
}

static void check_file(bdpo_row *row, const char *path)
{
    struct stat info;
    if (stat(path, &info) != 0)
        bdpo_row_drop(row, BDPO_DROP_MISSING_FILE, "%.500s: no such file", path);
    else if (!S_ISREG(info.st_mode))
        bdpo_row_drop(row, BDPO_DROP_MISSING_FILE, "%.500s: is not a file", path);
    else if (info.st_size == 0)
        bdpo_row_drop(row, BDPO_DROP_NO_PICTURE, "%.500s: is empty", path);
    else if (info.st_size > BDPO_IMAGE_MAX_FILE)
        bdpo_row_drop(row, BDPO_DROP_OVERSIZED, "%.500s: %jd bytes", path, (intmax_t)info.st_size);
}

static void check_picture(bdpo_row *row, int k)
{
    const bdpo_record_picture *picture = &row->record.pictures[k];
    if (picture->path)
        check_file(row, picture->path);
    else if (!picture->data || picture->size == 0)
        bdpo_row_drop(row, BDPO_DROP_NO_PICTURE, "picture %d", k);
    else if (picture->size > BDPO_IMAGE_MAX_FILE)
        bdpo_row_drop(row, BDPO_DROP_OVERSIZED, "picture %d: %zu bytes", k, picture->size);
}

static bool is_record(const bdpo_record_source *s)
{
    return s->row.kind == BDPO_ROW_RECORD;
}

static void check_split(bdpo_record_source *s)
{
    const char *split = s->row.record.split;
    if (s->options.split && (!split || strcmp(split, s->options.split) != 0))
        bdpo_row_drop(&s->row, BDPO_DROP_SPLIT, "%s", "");
}

// Cheap questions first: pictures are read of rows that pass all others.
static bdpo_status judge(bdpo_record_source *s)
{
    bool inside;
    bdpo_row *row = &s->row;
    TRY(bdpo_record_filter_has(&inside, s->filter, row->record.index));
    if (!inside) bdpo_row_drop(row, BDPO_DROP_SUBSET, "%s", "");
    if (is_record(s)) check_split(s);
    if (is_record(s)) TRY(check_prompt(s));
    if (is_record(s)) TRY(bdpo_record_filter_words(row, s->filter));
    if (is_record(s) && s->form->load) TRY(s->form->load(row, s->state));
    for (int k = 0; k < row->record.n_pictures && s->has_pictures && is_record(s); k++)
        check_picture(row, k);
    return is_record(s) ? bdpo_record_filter_pictures(row, s->filter) : BDPO_OK;
}

// ---- reading -------------------------------------------------------------------------------

// Takes one row, and counts it; *out is NULL where it is no record.
static bdpo_status take_row(const bdpo_record **out, bdpo_record_source *s)
{
    bdpo_row *row = &s->row;
    *out = NULL;
    TRY(s->form->next(row, s->state));
    if (row->kind == BDPO_ROW_END) return BDPO_OK;
    if (row->kind == BDPO_ROW_SKIPPED) {
        s->n_read += row->n_rows;
        s->n_dropped[BDPO_DROP_SPLIT] += row->n_rows;
        return BDPO_OK;
    }
    row->record.data_set = s->name;
    TRY(judge(s));
    s->n_read++;
    if (!is_record(s)) return count_drop(s, row->reason, row->place, row->message);
    s->n_kept++;
    *out = &row->record;
    return BDPO_OK;
}

// Goes to the first row of the subset where the form knows the way.
static bdpo_status begin(bdpo_record_source *s)
{
    int64_t n, first = s->options.first;
    if (s->begun) return BDPO_OK;
    s->begun = true;
    if (first == 0 || !s->form->seeks_at_once) return BDPO_OK;
    TRY(s->form->n_rows(&n, s->state));
    if (first >= n) return BDPO_OK;
    TRY(s->form->seek(s->state, first));
    s->n_read += first;
    s->n_dropped[BDPO_DROP_SUBSET] += first;
    return BDPO_OK;
}

bdpo_status bdpo_record_source_next(const bdpo_record **out, bdpo_record_source *s)
{
    *out = NULL;
    TRY(begin(s));
    do {
        int64_t n_rows = s->row.kind == BDPO_ROW_SKIPPED ? s->row.n_rows : 1;
        int64_t next = s->row.record.index + n_rows; // where a row was read before
        if (s->options.end > 0 && s->n_read > 0 && next >= s->options.end) return BDPO_OK;
        TRY(take_row(out, s));
    } while (!*out && s->row.kind != BDPO_ROW_END);
    return BDPO_OK;
}

bdpo_status bdpo_record_source_n_rows(int64_t *out, bdpo_record_source *s)
{
    return s->form->n_rows(out, s->state);
}

bdpo_status bdpo_record_source_at(const bdpo_record **out, bdpo_record_source *s, int64_t index)
{
    *out = NULL;
    s->begun = true;
    TRY(s->form->seek(s->state, index));
    return take_row(out, s);
}

// ---- opening -------------------------------------------------------------------------------

static bdpo_status copy_text(const char **text, bdpo_arena *arena)
{
    if (!*text) return BDPO_OK;
    *text = bdpo_arena_strdup(arena, *text);
    return *text ? BDPO_OK : bdpo_fail(BDPO_NO_MEMORY, "no memory for options");
}

static bdpo_status check_options(const bdpo_record_options *o)
{
    if (o->first < 0 || o->end < 0 || (o->end > 0 && o->end <= o->first))
        return bdpo_fail(BDPO_BAD_ARGUMENT, "rows %jd to %jd, expected a range that is not empty",
                         (intmax_t)o->first, (intmax_t)o->end);
    if (!(o->hash_from >= 0 && o->hash_to <= 1) ||
        ((o->hash_from > 0 || o->hash_to != 0) && !(o->hash_to > o->hash_from)))
        return bdpo_fail(BDPO_BAD_ARGUMENT, "a part of %g to %g, expected 0 <= from < to <= 1",
                         o->hash_from, o->hash_to);
    if (o->min_side < 0)
        return bdpo_fail(BDPO_BAD_ARGUMENT, "a smallest side of %d pixels, expected 0 or more",
                         o->min_side);
    return BDPO_OK;
}

static bdpo_status copy_options(bdpo_record_source *s, const bdpo_record_options *options)
{
    if (options) s->options = *options;
    bdpo_record_options *o = &s->options;
    const char **texts[] = {&o->form,    &o->name,  &o->images,       &o->second,
                            &o->prompts, &o->split, &o->banned_words, &o->index_list};
    for (size_t i = 0; i < BDPO_COUNTOF(texts); i++) TRY(copy_text(texts[i], s->arena));
    return check_options(o);
}

// The last part of the path; of "." that of the folder it stands for.
static bdpo_status set_name(bdpo_record_source *s, const char *path)
{
    const char *last = bdpo_path_last(path);
    size_t length = strcspn(last, "/");
    bool dots = length <= 2 && strspn(last, ".") == length;
    char *whole = dots && !s->options.name ? realpath(path, NULL) : NULL;
    s->name = s->options.name ? s->options.name : whole ? bdpo_path_last(whole) : last;
    bdpo_status status = copy_text(&s->name, s->arena);
    free(whole);
    TRY(status);
    char *slash = strchr(s->name, '/');
    if (slash && !s->options.name && slash != s->name) *slash = '\0';
    return BDPO_OK;
}

static bdpo_status fail_form(const char *path, const char *wanted)
{
    char list[200] = "";
    for (size_t i = 0; i < BDPO_COUNTOF(forms); i++)
        snprintf(list + strlen(list), sizeof list - strlen(list), "%s%s", i ? ", " : "",
                 forms[i]->name);
    if (wanted)
        return bdpo_fail(BDPO_BAD_ARGUMENT, "no form of data set is named %s, expected one of %s",
                         wanted, list);
    return bdpo_fail(BDPO_BAD_FILE, "%s: no data set that is known, expected one of %s", path,
                     list);
}

static bdpo_status find_form(bdpo_record_source *s)
{
    const char *wanted = s->options.form;
    for (size_t i = 0; i < BDPO_COUNTOF(forms) && !s->form; i++) {
        bool found = wanted && strcmp(wanted, forms[i]->name) == 0;
        if (!wanted) TRY(forms[i]->matches(&found, &s->input));
        if (found) s->form = forms[i];
    }
    return s->form ? BDPO_OK : fail_form(s->input.path, wanted);
}

static bdpo_status open_parts(bdpo_record_source *s, const char *path,
                              const bdpo_record_options *options)
{
    TRY(bdpo_arena_new(&s->arena));
    TRY(copy_options(s, options));
    TRY(set_name(s, path));
    s->input = (bdpo_record_input){.path = path, .options = &s->options, .arena = s->arena};
    TRY(copy_text(&s->input.path, s->arena));
    TRY(bdpo_file_list_expand(&s->input.files, s->arena, path));
    s->input.is_folder = s->input.files.n == 1 && bdpo_file_is_directory(s->input.files.paths[0]);
    TRY(find_form(s));
    TRY(bdpo_record_filter_new(&s->filter, &s->options, s->name));
    TRY(s->form->open(&s->state, &s->input));
    s->has_pictures = !s->form->has_pictures || s->form->has_pictures(s->state);
    return BDPO_OK;
}

bdpo_status bdpo_record_source_open(bdpo_record_source **out, const char *path,
                                    const bdpo_record_options *options)
{
    bdpo_record_source *s = bdpo_alloc(1, sizeof *s);
    if (!s) return bdpo_fail(BDPO_NO_MEMORY, "%s: no memory to read it", path);
    bdpo_status status = open_parts(s, path, options);
    if (status != BDPO_OK) {
        bdpo_record_source_close(s);
        return status;
    }
    *out = s;
    return BDPO_OK;
}

void bdpo_record_source_close(bdpo_record_source *s)
{
    if (!s) return;
    if (s->state) s->form->close(s->state);
    bdpo_record_filter_free(s->filter);
    bdpo_free(s->prompt.data);
    if (s->arena) bdpo_arena_free(s->arena);
    bdpo_free(s);
}

const char *bdpo_record_source_name(const bdpo_record_source *s)
{
    return s->name;
}

const char *bdpo_record_source_form(const bdpo_record_source *s)
{
    return s->form->name;
}

bool bdpo_record_source_has_pictures(const bdpo_record_source *s)
{
    return s->has_pictures;
}

// ---- counts --------------------------------------------------------------------------------

bdpo_status bdpo_record_source_drop(bdpo_record_source *s, bdpo_drop reason, int64_t index,
                                    const char *message)
{
    char place[80];
    snprintf(place, sizeof place, "row %" PRId64, index);
    s->n_kept--;
    return count_drop(s, reason, place, message);
}

int64_t bdpo_record_source_n_read(const bdpo_record_source *s)
{
    return s->n_read;
}

int64_t bdpo_record_source_n_kept(const bdpo_record_source *s)
{
    return s->n_kept;
}

int64_t bdpo_record_source_n_dropped(const bdpo_record_source *s, bdpo_drop reason)
{
    return s->n_dropped[reason];
}

static void put_line(bdpo_growing *out, bool *room, const char *line)
{
    *room = *room && bdpo_growing_add_text(out, line);
}

static void put_reason(bdpo_growing *out, bool *room, const bdpo_record_source *s, int reason)
{
    char line[512];
    int64_t n = s->n_dropped[reason];
    bool named = reason != BDPO_DROP_SPLIT && reason != BDPO_DROP_SUBSET;
    snprintf(line, sizeof line, "%12" PRId64 "  %s\n", n, reasons[reason].text);
    put_line(out, room, line);
    for (int64_t i = 0; named && i < n && i < N_NAMES; i++) {
        snprintf(line, sizeof line, "%12s    %s\n", "", s->names[reason][i]);
        put_line(out, room, line);
    }
    if (!named || n <= N_NAMES) return;
    snprintf(line, sizeof line, "%12s    and %" PRId64 " more\n", "", n - N_NAMES);
    put_line(out, room, line);
}

bdpo_status bdpo_record_source_report(char **out, const bdpo_record_source *s)
{
    bdpo_growing text = {0};
    bool room = true;
    char line[512];
    snprintf(line, sizeof line,
             "%.200s (%s): %" PRId64 " rows read, %" PRId64 " kept, %" PRId64 " dropped%s\n",
             s->name, s->form->name, s->n_read, s->n_kept, s->n_read - s->n_kept,
             s->has_pictures ? "" : "; it has no pictures, only prompts and labels");
    put_line(&text, &room, line);
    for (int i = 0; i < BDPO_N_DROPS; i++)
        if (s->n_dropped[i] > 0) put_reason(&text, &room, s, i);
    if (!room || !bdpo_growing_add(&text, "", 1)) {
        bdpo_free(text.data);
        return bdpo_fail(BDPO_NO_MEMORY, "no memory for a report");
    }
    *out = (char *)text.data;
    return BDPO_OK;
}

// One row after another, from a table or from lines of JSON.
#include "scorers/import_rows.h"

#include <ctype.h>
#include <jansson.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/csv.h"
#include "formats/line_reader.h"
#include "formats/printable.h"

enum { MAX_LINE_BYTES = 64 << 20 };

// What a row may say, and where a table says it.
typedef enum field {
    IMAGE,
    PROMPT,
    SCORE,
    SCORER,
    CHECKPOINT,
    VERSION,
    REASON,
    PROMPT_HEX,
    IMAGE_0,
    IMAGE_1,
    CHOICE,
    ANNOTATOR,
    TIME,
    N_FIELDS
} field;
static const char *const field_names[N_FIELDS] = {
    "image",      "prompt",  "score",   "scorer", "checkpoint", "version", "reason",
    "prompt_hex", "image_0", "image_1", "choice", "annotator",  "time"};

struct bdpo_import_rows {
    const bdpo_score_import *what;
    bdpo_csv *csv;
    size_t n_columns, at[N_FIELDS]; // of a table; SIZE_MAX: no such column
    bdpo_line_reader *lines;
    json_t *object; // of the present line
    char *bytes;    // of a prompt in hexadecimal
    bdpo_import_row row;
};

static void fault(bdpo_import_row *row, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static void fault(bdpo_import_row *row, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    if (!row->fault[0]) // the first tells enough
        vsnprintf(row->fault, sizeof row->fault, format, arguments);
    va_end(arguments);
}

// ---- values ------------------------------------------------------------------------------------

// strtod() without its leniency: no spaces, no hexadecimal, "nan" and "inf" by these names only.
static bool read_number(double *out, const char *text)
{
    char *end;
    if (text[0] == '\0' || strcmp(text, "nan") == 0 || strcmp(text, "NaN") == 0) {
        *out = NAN;
        return true;
    }
    const char *digits = text + (*text == '-' || *text == '+');
    if (strcmp(digits, "inf") == 0 || strcmp(digits, "Infinity") == 0) {
        *out = *text == '-' ? -INFINITY : INFINITY;
        return true;
    }
    if (digits[strspn(digits, "0123456789.eE+-")] != '\0' || !strpbrk(digits, "0123456789"))
        return false;
    *out = strtod(text, &end);
    return *end == '\0' && isfinite(*out);
}

static void take_score_text(bdpo_import_row *row, const char *text)
{
    if (!read_number(&row->score, text))
        fault(row, "score is %s, expected a number, inf, -inf, nan or nothing",
              bdpo_printable(text).text);
}

// Choice and time of a vote; NULL where the row has none.
static void take_vote_texts(bdpo_import_row *row, const char *choice, const char *time)
{
    double number;
    if (!choice || !read_number(&row->choice, choice) ||
        (row->choice != 1 && row->choice != 0 && row->choice != 0.5))
        fault(row, "choice is %s, expected 1 (picture 0 is better), 0 or 0.5 (a tie)",
              choice ? bdpo_printable(choice).text : "missing");
    if (!time || !*time) return;
    if (read_number(&number, time) && number == floor(number) && fabs(number) < 1e15)
        row->time = (int64_t)number;
    else
        fault(row, "time is %s, expected seconds since 1970", bdpo_printable(time).text);
}

static int hex_digit(char c)
{
    static const char digits[] = "0123456789abcdef";
    const char *at = c ? strchr(digits, tolower((unsigned char)c)) : NULL;
    return at ? (int)(at - digits) : -1;
}

// The prompt's bytes from hexadecimal.
static bdpo_status take_hex(bdpo_import_rows *rows, const char *hex)
{
    bdpo_import_row *row = &rows->row;
    size_t n = strlen(hex) / 2;
    bdpo_free(rows->bytes);
    rows->bytes = bdpo_alloc(n + 1, 1);
    if (!rows->bytes)
        return bdpo_fail(BDPO_NO_MEMORY, "%s: no memory for a prompt", rows->what->path);
    bool good = strlen(hex) % 2 == 0;
    for (size_t i = 0; good && i < n; i++) {
        int high = hex_digit(hex[2 * i]), low = hex_digit(hex[2 * i + 1]);
        good = high >= 0 && low >= 0;
        if (good) rows->bytes[i] = (char)(16 * high + low);
    }
    if (!good) fault(row, "prompt_hex is no bytes in hexadecimal");
    row->prompt = rows->bytes;
    row->prompt_length = n;
    row->no_prompt = false;
    return BDPO_OK;
}

static void check_vote(bdpo_import_row *row, const bdpo_score_import *what)
{
    if (!row->annotator) row->annotator = what->annotator;
    if (!row->images[0] || !*row->images[0]) fault(row, "no image_0");
    if (!row->images[1] || !*row->images[1]) fault(row, "no image_1");
    if (!row->annotator || !*row->annotator) fault(row, "no annotator");
    if (!row->prompt) fault(row, "no prompt");
}

// What every score must have in the end.
static void check_score(bdpo_import_row *row, const bdpo_score_import *what)
{
    if (!row->scorer) row->scorer = what->scorer;
    if (!row->version) row->version = what->version;
    if (what->no_prompt) {
        row->prompt = NULL;
        row->no_prompt = true;
    }
    if (!row->image || !*row->image) fault(row, "no image");
    if (!row->scorer || !*row->scorer) fault(row, "no scorer");
    if (!row->version || !*row->version) fault(row, "no checkpoint or version of the scorer");
    if (!row->prompt && !row->no_prompt) fault(row, "no prompt");
    if (row->reason && !*row->reason) row->reason = NULL;
    if (row->reason && !isnan(row->score))
        fault(row, "it has a score and a reason why it has none");
}

// ---- tables ------------------------------------------------------------------------------------

static bool has_column(const bdpo_import_rows *rows, field f)
{
    return rows->at[f] != SIZE_MAX;
}

static bdpo_status lacks(const bdpo_import_rows *rows, const char *column, const char *help)
{
    return bdpo_fail(BDPO_BAD_FILE, "%s:1: no column \"%s\"%s", rows->what->path, column, help);
}

static bdpo_status check_vote_columns(const bdpo_import_rows *rows)
{
    if (!has_column(rows, IMAGE_0)) return lacks(rows, "image_0", "");
    if (!has_column(rows, IMAGE_1)) return lacks(rows, "image_1", "");
    if (!has_column(rows, CHOICE)) return lacks(rows, "choice", "");
    if (!has_column(rows, PROMPT) && !has_column(rows, PROMPT_HEX))
        return lacks(rows, "prompt", "");
    if (!has_column(rows, ANNOTATOR) && !rows->what->annotator)
        return lacks(rows, "annotator", "; --annotator NAME gives it for all rows");
    return BDPO_OK;
}

static bdpo_status check_columns(const bdpo_import_rows *rows)
{
    const bdpo_score_import *what = rows->what;
    if (what->votes) return check_vote_columns(rows);
    if (!has_column(rows, IMAGE)) return lacks(rows, "image", "");
    if (!has_column(rows, SCORE)) return lacks(rows, "score", "");
    if (!has_column(rows, PROMPT) && !has_column(rows, PROMPT_HEX) && !what->no_prompt)
        return lacks(rows, "prompt", "; a scorer that sees none needs --no-prompt");
    if (!has_column(rows, SCORER) && !what->scorer)
        return lacks(rows, "scorer", "; --scorer NAME gives it for all rows");
    if (!has_column(rows, CHECKPOINT) && !has_column(rows, VERSION) && !what->version)
        return lacks(rows, "checkpoint", "; --version TEXT gives it for all rows");
    return BDPO_OK;
}

static bdpo_status read_header(bdpo_import_rows *rows)
{
    const bdpo_csv_row *header;
    TRY(bdpo_csv_next(&header, rows->csv));
    if (!header) return bdpo_fail(BDPO_BAD_FILE, "%s: it is empty", rows->what->path);
    if (header->fault)
        return bdpo_fail(BDPO_BAD_FILE, "%s:%lld: %s", rows->what->path, (long long)header->line,
                         header->fault);
    rows->n_columns = header->n_fields;
    for (int f = 0; f < N_FIELDS; f++) {
        rows->at[f] = SIZE_MAX;
        for (size_t i = 0; i < header->n_fields; i++) {
            if (strcmp(header->fields[i], field_names[f]) != 0) continue;
            if (rows->at[f] != SIZE_MAX)
                return bdpo_fail(BDPO_BAD_FILE, "%s:1: two columns \"%s\"", rows->what->path,
                                 field_names[f]);
            rows->at[f] = i;
        }
    }
    return check_columns(rows);
}

// A text of the row that is no prompt: it may hold no zero byte.
static const char *cell(bdpo_import_rows *rows, const bdpo_csv_row *from, field f)
{
    if (!has_column(rows, f)) return NULL;
    const char *text = from->fields[rows->at[f]];
    if (strlen(text) != from->lengths[rows->at[f]])
        fault(&rows->row, "a zero byte in %s", field_names[f]);
    return text;
}

static void take_score_cells(bdpo_import_rows *rows, const bdpo_csv_row *from)
{
    bdpo_import_row *row = &rows->row;
    row->image = cell(rows, from, IMAGE);
    row->scorer = cell(rows, from, SCORER);
    row->version = cell(rows, from, CHECKPOINT);
    if (!row->version) row->version = cell(rows, from, VERSION);
    row->reason = cell(rows, from, REASON);
    take_score_text(row, cell(rows, from, SCORE));
}

static void take_vote_cells(bdpo_import_rows *rows, const bdpo_csv_row *from)
{
    bdpo_import_row *row = &rows->row;
    row->images[0] = cell(rows, from, IMAGE_0);
    row->images[1] = cell(rows, from, IMAGE_1);
    row->annotator = cell(rows, from, ANNOTATOR);
    take_vote_texts(row, cell(rows, from, CHOICE), cell(rows, from, TIME));
}

static bdpo_status take_cells(bdpo_import_rows *rows, const bdpo_csv_row *from)
{
    bdpo_import_row *row = &rows->row;
    if (rows->what->votes)
        take_vote_cells(rows, from);
    else
        take_score_cells(rows, from);
    if (has_column(rows, PROMPT)) {
        row->prompt = from->fields[rows->at[PROMPT]];
        row->prompt_length = from->lengths[rows->at[PROMPT]];
    }
    const char *hex = cell(rows, from, PROMPT_HEX);
    return hex && *hex ? take_hex(rows, hex) : BDPO_OK;
}

static bdpo_status next_of_table(bool *there, bdpo_import_rows *rows)
{
    const bdpo_csv_row *from;
    TRY(bdpo_csv_next(&from, rows->csv));
    *there = from != NULL;
    if (!from) return BDPO_OK;
    rows->row.line = from->line;
    if (from->fault)
        fault(&rows->row, "%s", from->fault);
    else if (from->n_fields != rows->n_columns)
        fault(&rows->row, "%zu fields, the first line has %zu", from->n_fields, rows->n_columns);
    if (rows->row.fault[0]) return BDPO_OK;
    return take_cells(rows, from);
}

// ---- JSON --------------------------------------------------------------------------------------

// A text, or NULL; null counts as absent.
static const char *member(bdpo_import_rows *rows, field f)
{
    json_t *value = json_object_get(rows->object, field_names[f]);
    if (!value || json_is_null(value)) return NULL;
    const char *text = json_string_value(value);
    if (!text)
        fault(&rows->row, "%s is no text", field_names[f]);
    else if (f != PROMPT && strlen(text) != json_string_length(value))
        fault(&rows->row, "a zero byte in %s", field_names[f]);
    return text;
}

static void take_score_member(bdpo_import_rows *rows)
{
    json_t *value = json_object_get(rows->object, "score");
    bdpo_import_row *row = &rows->row;
    row->score = NAN;
    if (!value)
        fault(row, "no score");
    else if (json_is_string(value))
        take_score_text(row, json_string_value(value));
    else if (json_is_number(value))
        row->score = json_number_value(value);
    else if (!json_is_null(value))
        fault(row, "score is no number");
}

static void take_score_members(bdpo_import_rows *rows)
{
    bdpo_import_row *row = &rows->row;
    row->image = member(rows, IMAGE);
    row->scorer = member(rows, SCORER);
    row->version = member(rows, CHECKPOINT);
    if (!row->version) row->version = member(rows, VERSION);
    row->reason = member(rows, REASON);
    take_score_member(rows);
}

// A number as its digits, so that it is read as that of a table; or a text.
static const char *number_member(char out[32], bdpo_import_rows *rows, field f)
{
    json_t *value = json_object_get(rows->object, field_names[f]);
    if (!json_is_number(value)) return member(rows, f);
    snprintf(out, 32, "%.17g", json_number_value(value));
    return out;
}

static void take_vote_members(bdpo_import_rows *rows)
{
    char choice[32], time[32];
    bdpo_import_row *row = &rows->row;
    row->images[0] = member(rows, IMAGE_0);
    row->images[1] = member(rows, IMAGE_1);
    row->annotator = member(rows, ANNOTATOR);
    take_vote_texts(row, number_member(choice, rows, CHOICE), number_member(time, rows, TIME));
}

static bdpo_status take_members(bdpo_import_rows *rows)
{
    bdpo_import_row *row = &rows->row;
    json_t *prompt = json_object_get(rows->object, "prompt");
    row->prompt = member(rows, PROMPT);
    row->prompt_length = row->prompt ? json_string_length(prompt) : 0;
    row->no_prompt = json_is_null(prompt);
    if (rows->what->votes)
        take_vote_members(rows);
    else
        take_score_members(rows);
    const char *hex = member(rows, PROMPT_HEX);
    return hex ? take_hex(rows, hex) : BDPO_OK;
}

static bool is_blank(const bdpo_line *line)
{
    return strspn(line->text, " \t\r\n") == line->full_size;
}

static bdpo_status next_of_lines(bool *there, bdpo_import_rows *rows)
{
    bdpo_line *line;
    json_error_t error;
    do TRY(bdpo_line_reader_next(&line, rows->lines));
    while (line && is_blank(line));
    *there = line != NULL;
    if (!line) return BDPO_OK;
    rows->row.line = line->number;
    if (line->too_long) fault(&rows->row, "the line has more than %d bytes", MAX_LINE_BYTES);
    json_decref(rows->object);
    rows->object = NULL;
    if (rows->row.fault[0]) return BDPO_OK;
    rows->object =
        json_loadb(line->text, line->size,
                   JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES | JSON_DECODE_INT_AS_REAL, &error);
    if (!rows->object)
        fault(&rows->row, "no JSON: %s, at character %d", error.text, error.column);
    else if (!json_is_object(rows->object))
        fault(&rows->row, "no JSON object");
    return rows->row.fault[0] ? BDPO_OK : take_members(rows);
}

// ---- the file ----------------------------------------------------------------------------------

static bdpo_status open_table(bdpo_import_rows *rows, char delimiter)
{
    TRY(bdpo_csv_open(&rows->csv, rows->what->path, delimiter));
    return read_header(rows);
}

bdpo_status bdpo_import_rows_open(bdpo_import_rows **out, const bdpo_score_import *what)
{
    *out = NULL;
    bdpo_import_rows *rows = bdpo_alloc(1, sizeof *rows);
    if (!rows) return bdpo_fail(BDPO_NO_MEMORY, "%s: no memory for reading", what->path);
    rows->what = what;
    bdpo_status status = what->format == BDPO_IMPORT_JSONL
                             ? bdpo_line_reader_open(&rows->lines, what->path, MAX_LINE_BYTES)
                             : open_table(rows, what->format == BDPO_IMPORT_TSV ? '\t' : ',');
    if (status != BDPO_OK)
        bdpo_import_rows_close(rows);
    else
        *out = rows;
    return status;
}

bdpo_status bdpo_import_rows_next(bdpo_import_row **out, bdpo_import_rows *rows)
{
    bool there;
    *out = NULL;
    rows->row = (bdpo_import_row){.time = rows->what->time};
    TRY(rows->csv ? next_of_table(&there, rows) : next_of_lines(&there, rows));
    if (!there) return BDPO_OK;
    if (!rows->row.fault[0]) (rows->what->votes ? check_vote : check_score)(&rows->row, rows->what);
    *out = &rows->row;
    return BDPO_OK;
}

void bdpo_import_rows_close(bdpo_import_rows *rows)
{
    if (!rows) return;
    bdpo_csv_close(rows->csv);
    bdpo_line_reader_close(rows->lines);
    json_decref(rows->object);
    bdpo_free(rows->bytes);
    bdpo_free(rows);
}

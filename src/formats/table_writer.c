// Rows are built as text in a growing block and handed to a file that is renamed into place, or to
// a stream; rows of Parquet go to its own writer.
#include "formats/table_writer.h"

#include <math.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "formats/charset.h"
#include "formats/csv.h"
#include "formats/parquet.h"
#include "formats/real_text.h"

enum { PARQUET_GROUP_ROWS = 65536 }; // rows are small

const char *const bdpo_table_format_names[] = {"csv", "jsonl", "parquet", NULL};

struct bdpo_table_writer {
    bdpo_table_format format;
    const char *path; // of messages
    FILE *stream;
    bdpo_file_writer *file; // where there is no stream
    const bdpo_table_column *columns;
    size_t n_columns;
    bdpo_growing row;
    bdpo_parquet_writer *parquet; // instead of a stream and a file
    bdpo_parquet_value *cells;    // of a row of Parquet
    char *copies;                 // of the path and the columns
    bool failed;
};

bool bdpo_table_format_of(bdpo_table_format *out, const char *path)
{
    const char *ending = strrchr(path, '.');
    for (int i = 0; ending && bdpo_table_format_names[i]; i++) {
        if (strcmp(ending + 1, bdpo_table_format_names[i]) != 0) continue;
        *out = (bdpo_table_format)i;
        return true;
    }
    return false;
}

// ---- values ------------------------------------------------------------------------------------

// With a point, so that other readers take it for a real one too and keep the sign of -0.0.
static void format_number(char out[BDPO_REAL_TEXT_BYTES], double number)
{
    int length = bdpo_real_text(out, number);
    if (!strpbrk(out, ".einf")) memcpy(out + length, ".0", 3);
}

static bool add_json_text(bdpo_growing *out, const char *text, size_t length)
{
    char escape[8];
    bool fits = bdpo_growing_add_text(out, "\"");
    for (size_t i = 0, begin = 0; fits && i <= length; i++) {
        unsigned char c = i < length ? (unsigned char)text[i] : 0;
        if (i < length && c >= 0x20 && c != '"' && c != '\\' && c != 0x7f) continue;
        fits = bdpo_growing_add(out, text + begin, i - begin);
        begin = i + 1;
        snprintf(escape, sizeof escape, c == '"' || c == '\\' ? "\\%c" : "\\u%04x", c);
        if (i < length) fits = fits && bdpo_growing_add_text(out, escape);
    }
    return fits && bdpo_growing_add_text(out, "\"");
}

static bool add_hex(bdpo_growing *out, const char *bytes, size_t length)
{
    char digits[4];
    bool fits = bdpo_growing_add_text(out, "\"");
    for (size_t i = 0; fits && i < length; i++) {
        snprintf(digits, sizeof digits, "%02x", (unsigned)(unsigned char)bytes[i]);
        fits = bdpo_growing_add_text(out, digits);
    }
    return fits && bdpo_growing_add_text(out, "\"");
}

static bool add_json_value(bdpo_growing *out, const bdpo_table_column *column,
                           const bdpo_table_value *value)
{
    char number[BDPO_REAL_TEXT_BYTES];
    size_t name_length = strlen(column->name);
    bool is_text = column->kind == BDPO_TABLE_TEXT && value->text;
    if (is_text && !bdpo_utf8_is_valid_with_zeros(value->text, value->length))
        return add_json_text(out, column->name, name_length) && --out->size > 0 &&
               bdpo_growing_add_text(out, "_hex\": ") && add_hex(out, value->text, value->length);
    if (!add_json_text(out, column->name, name_length) || !bdpo_growing_add_text(out, ": "))
        return false;
    if (is_text) return add_json_text(out, value->text, value->length);
    if (column->kind == BDPO_TABLE_INT)
        snprintf(number, sizeof number, "%lld", (long long)value->integer);
    else if (column->kind == BDPO_TABLE_TEXT || isnan(value->number))
        snprintf(number, sizeof number, "null");
    else if (isinf(value->number))
        snprintf(number, sizeof number, value->number > 0 ? "\"inf\"" : "\"-inf\"");
    else
        format_number(number, value->number);
    return bdpo_growing_add_text(out, number);
}

// An empty text is written in quotes, so that a reader that looks may tell it from none.
static bool add_csv_value(bdpo_growing *out, const bdpo_table_column *column,
                          const bdpo_table_value *value)
{
    char number[BDPO_REAL_TEXT_BYTES] = "";
    if (column->kind == BDPO_TABLE_TEXT && !value->text) return true;
    if (column->kind == BDPO_TABLE_TEXT)
        return value->length > 0 ? bdpo_csv_put(out, value->text, value->length, ',')
                                 : bdpo_growing_add_text(out, "\"\"");
    if (column->kind == BDPO_TABLE_INT)
        snprintf(number, sizeof number, "%lld", (long long)value->integer);
    else if (!isnan(value->number))
        format_number(number, value->number);
    return bdpo_growing_add_text(out, number);
}

// ---- Parquet -----------------------------------------------------------------------------------

// Appends a text with U+FFFD for each byte that is of no character.
static bool add_repaired(bdpo_growing *out, const char *text, size_t length)
{
    bool fits = true;
    for (size_t i = 0; fits && i < length;) {
        size_t n = 1;
        while (n < 4 && n < length - i && !bdpo_utf8_is_valid_with_zeros(text + i, n)) n++;
        bool good = bdpo_utf8_is_valid_with_zeros(text + i, n);
        fits =
            good ? bdpo_growing_add(out, text + i, n) : bdpo_growing_add_text(out, "\xef\xbf\xbd");
        i += good ? n : 1;
    }
    return fits;
}

// False where there is no memory. A repaired text goes to the row's block and has no address yet.
static bool fill_cell(bdpo_parquet_value *cell, bdpo_growing *block, bdpo_table_kind kind,
                      const bdpo_table_value *value)
{
    *cell = (bdpo_parquet_value){.integer = value->integer, .number = value->number};
    if (kind == BDPO_TABLE_REAL) cell->is_null = isnan(value->number);
    if (kind != BDPO_TABLE_TEXT) return true;
    *cell =
        (bdpo_parquet_value){.is_null = !value->text, .data = value->text, .size = value->length};
    if (!value->text || bdpo_utf8_is_valid_with_zeros(value->text, value->length)) return true;
    size_t begin = block->size;
    if (!add_repaired(block, value->text, value->length)) return false;
    *cell = (bdpo_parquet_value){.size = block->size - begin};
    return true;
}

static bdpo_status write_parquet_row(bdpo_table_writer *w, const bdpo_table_value *values)
{
    w->row.size = 0;
    for (size_t i = 0; i < w->n_columns; i++)
        if (!fill_cell(&w->cells[i], &w->row, w->columns[i].kind, &values[i]))
            return bdpo_fail(BDPO_NO_MEMORY, "%s: no memory for a row", w->path);
    size_t begin = 0;
    for (size_t i = 0; i < w->n_columns; i++) {
        bdpo_parquet_value *cell = &w->cells[i];
        if (w->columns[i].kind != BDPO_TABLE_TEXT || cell->is_null || cell->data) continue;
        cell->data = (const char *)w->row.data + begin;
        begin += cell->size;
    }
    return bdpo_parquet_writer_row(w->parquet, w->cells);
}

static bdpo_status open_parquet(bdpo_table_writer *w)
{
    static const bdpo_parquet_type types[] = {BDPO_PARQUET_BYTES, BDPO_PARQUET_INT64,
                                              BDPO_PARQUET_DOUBLE};
    w->cells = bdpo_alloc(w->n_columns, sizeof *w->cells);
    bdpo_parquet_column *columns = bdpo_alloc(w->n_columns, sizeof *columns);
    bdpo_status status = w->cells && columns
                             ? BDPO_OK
                             : bdpo_fail(BDPO_NO_MEMORY, "%s: no memory for columns", w->path);
    for (size_t i = 0; status == BDPO_OK && i < w->n_columns; i++) {
        bdpo_table_kind kind = w->columns[i].kind;
        columns[i] = (bdpo_parquet_column){.name = w->columns[i].name,
                                           .type = types[kind],
                                           .logical = kind == BDPO_TABLE_TEXT ? BDPO_PARQUET_STRING
                                                                              : BDPO_PARQUET_PLAIN,
                                           .nullable = kind != BDPO_TABLE_INT};
    }
    if (status == BDPO_OK)
        status =
            bdpo_parquet_writer_open(&w->parquet, w->path, columns, w->n_columns,
                                     &(bdpo_parquet_options){.group_rows = PARQUET_GROUP_ROWS});
    bdpo_free(columns);
    return status;
}

// ---- rows --------------------------------------------------------------------------------------

static bdpo_status send_row(bdpo_table_writer *w, bool fits)
{
    bdpo_status status = BDPO_OK;
    if (!fits)
        status = bdpo_fail(BDPO_NO_MEMORY, "%s: no memory for a row", w->path);
    else if (!w->stream)
        status = bdpo_file_writer_write(w->file, w->row.data, w->row.size);
    else if (fwrite(w->row.data, 1, w->row.size, w->stream) != w->row.size)
        status = bdpo_fail(BDPO_IO, "%s: cannot write", w->path);
    w->failed = w->failed || status != BDPO_OK;
    w->row.size = 0;
    return status;
}

static bdpo_status write_header(bdpo_table_writer *w)
{
    bool fits = true;
    for (size_t i = 0; i < w->n_columns; i++) {
        const char *name = w->columns[i].name;
        if (i > 0) fits = fits && bdpo_growing_add_text(&w->row, ",");
        fits = fits && bdpo_csv_put(&w->row, name, strlen(name), ',');
    }
    return send_row(w, fits && bdpo_growing_add_text(&w->row, "\n"));
}

bdpo_status bdpo_table_writer_row(bdpo_table_writer *w, const bdpo_table_value *values)
{
    if (w->parquet) return write_parquet_row(w, values);
    bool json = w->format == BDPO_TABLE_JSONL, fits = !json || bdpo_growing_add_text(&w->row, "{");
    for (size_t i = 0; fits && i < w->n_columns; i++) {
        if (i > 0) fits = bdpo_growing_add_text(&w->row, json ? ", " : ",");
        fits = fits && (json ? add_json_value(&w->row, &w->columns[i], &values[i])
                             : add_csv_value(&w->row, &w->columns[i], &values[i]));
    }
    return send_row(w, fits && bdpo_growing_add_text(&w->row, json ? "}\n" : "\n"));
}

// ---- opening and closing -----------------------------------------------------------------------

// Path, columns and their names in one block.
static bool copy(bdpo_table_writer *w, const char *path, const bdpo_table_column *columns, size_t n)
{
    size_t size = n * sizeof *columns + strlen(path) + 1;
    for (size_t i = 0; i < n; i++) size += strlen(columns[i].name) + 1;
    w->copies = bdpo_alloc(size, 1);
    if (!w->copies) return false;
    bdpo_table_column *kept = (bdpo_table_column *)(void *)w->copies;
    char *text = w->copies + n * sizeof *columns;
    for (size_t i = 0; i < n; i++) {
        kept[i] = (bdpo_table_column){text, columns[i].kind};
        size_t name_size = strlen(columns[i].name) + 1;
        memcpy(text, columns[i].name, name_size);
        text += name_size;
    }
    w->path = memcpy(text, path, strlen(path) + 1);
    w->columns = kept;
    w->n_columns = n;
    return true;
}

static void release(bdpo_table_writer *w)
{
    bdpo_free(w->row.data);
    bdpo_free(w->cells);
    bdpo_free(w->copies);
    bdpo_free(w);
}

bdpo_status bdpo_table_writer_open(bdpo_table_writer **out, const char *path, FILE *stream,
                                   bdpo_table_format format, const bdpo_table_column *columns,
                                   size_t n_columns)
{
    *out = NULL;
    const char *name = path ? path : "standard output";
    if (format == BDPO_TABLE_PARQUET && !path)
        return bdpo_fail(BDPO_UNSUPPORTED, "%s: Parquet is written to a file only", name);
    bdpo_table_writer *w = bdpo_alloc(1, sizeof *w);
    if (!w || !copy(w, name, columns, n_columns)) {
        bdpo_free(w);
        return bdpo_fail(BDPO_NO_MEMORY, "%s: no memory for a table", name);
    }
    w->format = format;
    w->stream = path ? NULL : stream;
    bdpo_status status = BDPO_OK;
    if (format == BDPO_TABLE_PARQUET)
        status = open_parquet(w);
    else if (path)
        status = bdpo_file_writer_open(&w->file, path);
    if (status != BDPO_OK) {
        release(w);
        return status;
    }
    if (format == BDPO_TABLE_CSV) status = write_header(w);
    if (status != BDPO_OK)
        bdpo_table_writer_abort(w);
    else
        *out = w;
    return status;
}

bdpo_status bdpo_table_writer_commit(bdpo_table_writer *w)
{
    bdpo_status status = BDPO_OK;
    if (w->parquet)
        status = bdpo_parquet_writer_commit(w->parquet);
    else if (!w->stream)
        status = bdpo_file_writer_commit(w->file);
    if (status == BDPO_OK && (w->failed || (w->stream && fflush(w->stream) != 0)))
        status = bdpo_fail(BDPO_IO, "%s: cannot write", w->path);
    release(w);
    return status;
}

void bdpo_table_writer_abort(bdpo_table_writer *w)
{
    if (!w) return;
    bdpo_parquet_writer_abort(w->parquet);
    bdpo_file_writer_abort(w->file);
    release(w);
}

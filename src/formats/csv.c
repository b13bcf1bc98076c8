// Rows over libcsv, which is fed up to one line end at a time: so it never completes two rows at
// once, and each row knows where it began.
#include "formats/csv.h"

#include <csv.h>
#include <string.h>

#include "base/memory.h"
#include "formats/line_reader.h"

enum { SAMPLE_BYTES = 1 << 20 };

struct bdpo_csv {
    bdpo_line_reader *lines;
    bdpo_line *line; // NULL: the next is to be read
    size_t at;       // of what libcsv has not seen of the line
    bool quotes;     // else lines are split at the delimiter
    bool has_parser;
    struct csv_parser parser;
    char delimiter;
    // The row in the making: its fields one after the other, with zeros between.
    bdpo_growing text;
    size_t *starts, *lengths;
    const char **fields;
    size_t n_fields, capacity;
    size_t fed; // bytes of this row
    bool complete, no_memory;
    bdpo_csv_row row;
};

// ---- fields --------------------------------------------------------------------------------

static bool grow_fields(bdpo_csv *c)
{
    size_t capacity = c->capacity < 16 ? 16 : 2 * c->capacity;
    size_t *starts = bdpo_realloc(c->starts, capacity, sizeof *starts);
    if (starts) c->starts = starts;
    size_t *lengths = bdpo_realloc(c->lengths, capacity, sizeof *lengths);
    if (lengths) c->lengths = lengths;
    const char **fields = bdpo_realloc(c->fields, capacity, sizeof *fields);
    if (fields) c->fields = fields;
    if (!starts || !lengths || !fields) return false;
    c->capacity = capacity;
    return true;
}

static void add_field(void *data, size_t length, void *user)
{
    bdpo_csv *c = user;
    if (c->no_memory) return;
    if (c->n_fields == c->capacity && !grow_fields(c)) {
        c->no_memory = true;
        return;
    }
    c->starts[c->n_fields] = c->text.size;
    c->lengths[c->n_fields] = length;
    if (!bdpo_growing_add(&c->text, data, length) || !bdpo_growing_add(&c->text, "", 1))
        c->no_memory = true;
    else
        c->n_fields++;
}

static void end_row(int terminator, void *user)
{
    bdpo_csv *c = user;
    (void)terminator;
    c->complete = true;
}

static void begin_row(bdpo_csv *c)
{
    c->row = (bdpo_csv_row){0};
    c->text.size = c->n_fields = c->fed = 0;
    c->complete = c->no_memory = false;
}

static bdpo_status give_row(const bdpo_csv_row **out, bdpo_csv *c)
{
    if (c->no_memory)
        return bdpo_fail(BDPO_NO_MEMORY, "%s: no memory for line %jd",
                         bdpo_line_reader_path(c->lines), (intmax_t)c->row.line);
    if (c->row.fault) c->n_fields = 0;
    for (size_t i = 0; i < c->n_fields; i++)
        c->fields[i] = (const char *)c->text.data + c->starts[i];
    c->row.fields = c->fields;
    c->row.lengths = c->lengths;
    c->row.n_fields = c->n_fields;
    *out = &c->row;
    return BDPO_OK;
}

// ---- rows without quotes -------------------------------------------------------------------

static bdpo_status next_plain(const bdpo_csv_row **out, bdpo_csv *c)
{
    bdpo_line *line;
    *out = NULL;
    do TRY(bdpo_line_reader_next(&line, c->lines));
    while (line && line->size == 0);
    if (!line) return BDPO_OK;
    c->row.line = line->number;
    c->row.offset = line->offset;
    if (line->too_long) c->row.fault = "has more than 16 MiB";
    char *at = line->text, *end = line->text + line->size;
    while (!c->row.fault && at <= end) {
        char *stop = memchr(at, c->delimiter, (size_t)(end - at));
        if (!stop) stop = end;
        add_field(at, (size_t)(stop - at), c);
        at = stop + 1;
    }
    return give_row(out, c);
}

// ---- rows with quotes ----------------------------------------------------------------------

static int is_space(unsigned char byte) // none: spaces belong to the field
{
    (void)byte;
    return 0;
}

static bdpo_status new_parser(bdpo_csv *c)
{
    if (c->has_parser) csv_free(&c->parser);
    c->has_parser = csv_init(&c->parser, 0) == 0;
    if (!c->has_parser)
        return bdpo_fail(BDPO_NO_MEMORY, "%s: no memory for a parser",
                         bdpo_line_reader_path(c->lines));
    csv_set_delim(&c->parser, (unsigned char)c->delimiter);
    csv_set_space_func(&c->parser, is_space);
    return BDPO_OK;
}

// What is left of the line up to and with its next CR or LF. *size is 0 at the end of the file.
static bdpo_status next_piece(const char **piece, size_t *size, bdpo_csv *c)
{
    if (c->line && c->at == c->line->full_size) c->line = NULL;
    if (!c->line) {
        TRY(bdpo_line_reader_next(&c->line, c->lines));
        c->at = 0;
    }
    *size = 0;
    if (!c->line) return BDPO_OK;
    *piece = c->line->text + c->at;
    size_t left = c->line->full_size - c->at;
    const char *stop = memchr(*piece, '\r', left);
    *size = stop ? (size_t)(stop - *piece) + 1 : left;
    return BDPO_OK;
}

static bdpo_status feed(bdpo_csv *c, const char *piece, size_t size)
{
    bool blank = size == 1 && (*piece == '\r' || *piece == '\n');
    if (c->fed == 0 && !blank) {
        c->row.line = c->line->number;
        c->row.offset = c->line->offset + c->at;
    }
    if (c->fed > 0 || !blank) c->fed += size;
    c->at += size;
    if (c->line->too_long || c->fed > BDPO_CSV_MAX_ROW) {
        c->row.fault = "has more than 16 MiB, or a quote that is never closed";
        return new_parser(c);
    }
    if (csv_parse(&c->parser, piece, size, add_field, end_row, c) != size) c->no_memory = true;
    return BDPO_OK;
}

// The end of the file ends the last row, or shows that its quote is open. Only for this is libcsv
// asked to be strict: elsewhere a stray quote is text, as in Python.
static bdpo_status end_of_file(bdpo_csv *c)
{
    csv_set_opts(&c->parser, CSV_STRICT | CSV_STRICT_FINI);
    if (csv_fini(&c->parser, add_field, end_row, c) == 0) {
        csv_set_opts(&c->parser, 0);
        return BDPO_OK;
    }
    c->row.fault = "opens a quote that is never closed";
    return new_parser(c);
}

static bdpo_status next_quoted(const bdpo_csv_row **out, bdpo_csv *c)
{
    *out = NULL;
    while (!c->complete && !c->row.fault && !c->no_memory) {
        const char *piece;
        size_t size;
        TRY(next_piece(&piece, &size, c));
        if (size > 0) {
            TRY(feed(c, piece, size));
            continue;
        }
        TRY(end_of_file(c));
        if (!c->complete && !c->row.fault && !c->no_memory) return BDPO_OK;
    }
    return give_row(out, c);
}

bdpo_status bdpo_csv_next(const bdpo_csv_row **out, bdpo_csv *c)
{
    begin_row(c);
    return c->quotes ? next_quoted(out, c) : next_plain(out, c);
}

// ---- opening -------------------------------------------------------------------------------

static size_t count_fields(const bdpo_line *line, char delimiter)
{
    size_t n = 1;
    for (size_t i = 0; i < line->size; i++) n += line->text[i] == delimiter;
    return n;
}

// Whether a field that begins with a quote is what a writer of quotes makes, and hardly anybody
// else: "a ""b"" c", or one with a delimiter inside where that explains one field too many
// (`extra`). *at moves behind the field where it ends by a quote.
static bool shows_quoting(const char **at, const char *end, char delimiter, bool extra)
{
    bool evidence = false;
    const char *p = *at + 1;
    for (; p < end; p++) {
        if (*p == delimiter && extra) evidence = true;
        if (*p != '"') continue;
        if (p + 1 == end || p[1] != '"') break;
        evidence = true;
        p++;
    }
    if (p >= end || (p + 1 < end && p[1] != delimiter)) return false;
    *at = p + 1;
    return evidence;
}

static bool line_shows_quoting(const bdpo_line *line, char delimiter, size_t n_header)
{
    const char *at = line->text, *end = line->text + line->size;
    bool extra = count_fields(line, delimiter) > n_header;
    if (line->number == 1 && line->text[0] == '"') return true;
    while (at < end) {
        if (*at == '"' && shows_quoting(&at, end, delimiter, extra)) return true;
        const char *stop = memchr(at, delimiter, (size_t)(end - at));
        at = stop ? stop + 1 : end;
    }
    return false;
}

static bdpo_status look_for_quoting(bool *found, bdpo_line_reader *lines, char delimiter)
{
    bdpo_line *line;
    size_t n_header = 0;
    do {
        TRY(bdpo_line_reader_next(&line, lines));
        if (!line) return BDPO_OK;
        if (n_header == 0) n_header = count_fields(line, delimiter);
        *found = line_shows_quoting(line, delimiter, n_header);
    } while (!*found && line->offset < SAMPLE_BYTES);
    return BDPO_OK;
}

static bdpo_status find_quoting(bdpo_csv *c, const char *path)
{
    bdpo_line_reader *sample;
    c->quotes = c->delimiter == ',';
    if (c->quotes) return BDPO_OK;
    TRY(bdpo_line_reader_open(&sample, path, SAMPLE_BYTES));
    bdpo_status status = look_for_quoting(&c->quotes, sample, c->delimiter);
    bdpo_line_reader_close(sample);
    return status;
}

bdpo_status bdpo_csv_open(bdpo_csv **out, const char *path, char delimiter)
{
    bdpo_csv *c = bdpo_alloc(1, sizeof *c);
    if (!c) return bdpo_fail(BDPO_NO_MEMORY, "%s: no memory for a table", path);
    c->delimiter = delimiter;
    bdpo_status status = bdpo_line_reader_open(&c->lines, path, BDPO_CSV_MAX_ROW);
    if (status == BDPO_OK) status = find_quoting(c, path);
    if (status == BDPO_OK) status = new_parser(c);
    if (status != BDPO_OK) {
        bdpo_csv_close(c);
        return status;
    }
    *out = c;
    return BDPO_OK;
}

void bdpo_csv_close(bdpo_csv *c)
{
    if (!c) return;
    bdpo_line_reader_close(c->lines);
    if (c->has_parser) csv_free(&c->parser);
    bdpo_free(c->text.data);
    bdpo_free(c->starts);
    bdpo_free(c->lengths);
    bdpo_free(c->fields);
    bdpo_free(c);
}

bdpo_status bdpo_csv_seek(bdpo_csv *c, uint64_t offset, int64_t line)
{
    c->line = NULL;
    TRY(new_parser(c));
    return bdpo_line_reader_seek(c->lines, offset, line);
}

// ---- writing -------------------------------------------------------------------------------

static bool needs_quotes(const char *field, size_t length, char delimiter)
{
    if (length == 0) return false;
    if (field[0] == ' ' || field[length - 1] == ' ') return true;
    for (size_t i = 0; i < length; i++)
        if (field[i] == delimiter || field[i] == '"' || field[i] == '\n' || field[i] == '\r')
            return true;
    return false;
}

bool bdpo_csv_put(bdpo_growing *out, const char *field, size_t length, char delimiter)
{
    if (!needs_quotes(field, length, delimiter)) return bdpo_growing_add(out, field, length);
    if (!bdpo_growing_add(out, "\"", 1)) return false;
    for (const char *end = field + length; field < end;) {
        const char *quote = memchr(field, '"', (size_t)(end - field));
        size_t run = quote ? (size_t)(quote - field) + 1 : (size_t)(end - field);
        if (!bdpo_growing_add(out, field, run)) return false;
        if (quote && !bdpo_growing_add(out, "\"", 1)) return false;
        field += run;
    }
    return bdpo_growing_add(out, "\"", 1);
}

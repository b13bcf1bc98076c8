// Rows of named fields, whatever wrote them: a row of CSV or TSV under its header, or an object of
// JSON. The names under which a record's parts are looked for are here, once for all forms.
#ifndef BDPO_RECORD_FIELDS_H
#define BDPO_RECORD_FIELDS_H

#include "data/record_form.h"
#include "formats/csv.h"
#include "formats/json.h"
#include "formats/json_items.h"

// ---- one row -------------------------------------------------------------------------------

typedef struct bdpo_fields {
    const char *place;                          // for messages
    const bdpo_json *json;                      // an object, or NULL
    const char *const *header, *const *columns; // of a table
    size_t n_columns;
} bdpo_fields;

// The first of `names` (NULL-terminated) that the row has, as text; NULL where it has none, or
// null, or (in a table) nothing. BAD_FILE, beginning with the place, where it is no text.
BDPO_MUST_CHECK bdpo_status bdpo_fields_text(const char **out, const bdpo_fields *fields,
                                             const char *const *names);
// The same of numbers; NaN where there is none.
BDPO_MUST_CHECK bdpo_status bdpo_fields_number(double *out, const bdpo_fields *fields,
                                               const char *const *names);

// All of a record but its pictures' bytes and paths: prompt, label, split, uids, models, counts. In
// a row of a pair `record->n_pictures` is 2 before.
BDPO_MUST_CHECK bdpo_status bdpo_fields_record(bdpo_record *record, const bdpo_fields *fields);

// The label of a pair from those of its two pictures and from whether anybody chose (0: nobody,
// whatever the labels are); NaN stands for what is not there. BAD_FILE outside [0, 1], and where
// the two do not add up to 1.
BDPO_MUST_CHECK bdpo_status bdpo_label_make(double *out, double label, double other,
                                            double has_label, const char *place);

extern const char *const bdpo_prompt_names[]; // "prompt", "caption", "text"

// ---- a file of rows ------------------------------------------------------------------------

typedef struct bdpo_rows bdpo_rows;

// CSV and TSV by their ending, else JSON lines or a JSON array. *out is the caller's. BAD_FILE for
// a table without a header.
BDPO_MUST_CHECK bdpo_status bdpo_rows_open(bdpo_rows **out, const char *path);
// The same of a table with this delimiter, or of JSON where it is 0.
BDPO_MUST_CHECK bdpo_status bdpo_rows_open_as(bdpo_rows **out, const char *path, char delimiter);
void bdpo_rows_close(bdpo_rows *rows); // NULL is fine

typedef struct bdpo_rows_item {
    bdpo_fields fields;
    bdpo_json root;  // of JSON; its value is NULL in a table
    char place[512]; // "pairs.csv, line 3", "train.json[5]"
    char fault[400]; // "", or what is wrong with the row, which then has no fields
} bdpo_rows_item;

// The next row, *out NULL behind the last; borrowed until the next call.
BDPO_MUST_CHECK bdpo_status bdpo_rows_next(bdpo_rows_item **out, bdpo_rows *rows);
// Where the next() that gave the last row can be had again.
typedef struct bdpo_rows_mark {
    uint64_t offset;
    int64_t number;
} bdpo_rows_mark;
bdpo_rows_mark bdpo_rows_last_mark(const bdpo_rows *rows);
BDPO_MUST_CHECK bdpo_status bdpo_rows_seek(bdpo_rows *rows, bdpo_rows_mark mark);
// Before the first row.
BDPO_MUST_CHECK bdpo_status bdpo_rows_rewind(bdpo_rows *rows);

// The marks of all rows: 16 bytes for each.
typedef struct bdpo_rows_index { // all zero: not made yet
    bdpo_growing marks;          // of bdpo_rows_mark; its data is released by bdpo_free()
    bool made;
} bdpo_rows_index;

// Goes through the file once, and then to row `next`, its end included. Does nothing where it was
// made before.
BDPO_MUST_CHECK bdpo_status bdpo_rows_index_make(bdpo_rows_index *index, bdpo_rows *rows,
                                                 int64_t next);
int64_t bdpo_rows_index_count(const bdpo_rows_index *index);
bdpo_rows_mark bdpo_rows_index_at(const bdpo_rows_index *index, int64_t row);

// The header of a table; NULL for JSON.
const char *const *bdpo_rows_header(const bdpo_rows *rows, size_t *n);
// Whether the header has one of `names` (NULL-terminated); true for JSON, whose objects each have
// their own.
bool bdpo_rows_name_one(const bdpo_rows *rows, const char *const *names);

#endif

// What a form of data set gives to the source: rows in order, with what it found in each. The
// source (record_source.c) judges prompts and files, filters, and counts; a form only reads.
// Internal to this room.
#ifndef BDPO_RECORD_FORM_H
#define BDPO_RECORD_FORM_H

#include "base/memory.h"
#include "data/record_files.h"
#include "data/record_source.h"

// What the form is opened on.
typedef struct bdpo_record_input {
    const char *path;     // as the user gave it
    bdpo_file_list files; // what it names: one file or folder, or many files, sorted
    bool is_folder;       // of the only one
    const bdpo_record_options *options;
    bdpo_arena *arena; // lives as long as the form
} bdpo_record_input;

typedef enum bdpo_row_kind {
    BDPO_ROW_RECORD,
    BDPO_ROW_DROPPED, // cannot be used: reason and message say why
    BDPO_ROW_SKIPPED, // n_rows rows of another split, which were not read
    BDPO_ROW_END
} bdpo_row_kind;

// One row. Of the record the form sets the index and what it found; texts need not be
// zero-terminated where they have a size, prompt NULL is a prompt that is not there, and a
// picture with neither data nor path is one that is not there.
typedef struct bdpo_row {
    bdpo_row_kind kind;
    bdpo_record record;
    char place[512]; // names the row: "pairs.jsonl, line 7"
    bdpo_drop reason;
    char message[600]; // of DROPPED: what was found there, without the place
    int64_t n_rows;    // of SKIPPED
} bdpo_row;

// A form. A status other than OK is what no row stands for, and ends the reading.
typedef struct bdpo_record_form {
    const char *name;
    // Whether the input has this form; asked in the order of the list in record_source.c.
    bdpo_status (*matches)(bool *out, const bdpo_record_input *input);
    bdpo_status (*open)(void **state, const bdpo_record_input *input);
    void (*close)(void *state);
    bdpo_status (*next)(bdpo_row *row, void *state);
    // Fills in the pictures of the row that next() gave last: only where they are dear. May be
    // NULL.
    bdpo_status (*load)(bdpo_row *row, void *state);
    bdpo_status (*n_rows)(int64_t *out, void *state);
    // The next row will be this one; 0 <= index < n_rows.
    bdpo_status (*seek)(void *state, int64_t index);
    bool seeks_at_once;                      // n_rows and seek need no pass over the data
    bool (*has_pictures)(const void *state); // NULL: yes
} bdpo_record_form;

extern const bdpo_record_form bdpo_form_pickapic, bdpo_form_hpd, bdpo_form_imagefolder,
    bdpo_form_captions, bdpo_form_paired, bdpo_form_webdataset, bdpo_form_table;

// Names and messages come from files: control characters in them become '?'.
void bdpo_make_line(char *text);

// An empty record of this index in *row.
void bdpo_row_begin(bdpo_row *row, int64_t index);
// Makes it a dropped one.
void bdpo_row_drop(bdpo_row *row, bdpo_drop reason, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
// The same from bdpo_message(), without the place that it begins with.
void bdpo_row_drop_by_message(bdpo_row *row, bdpo_drop reason);

// Checks 0 <= index < n, for seek: BDPO_BAD_ARGUMENT names both.
BDPO_MUST_CHECK bdpo_status bdpo_form_check_index(int64_t index, int64_t n);

#endif

// Data sets of pictures and pairs behind one interface, read as a stream of records:
//
// - pickapic: Parquet shards with the columns of Pick-a-Pic v1 and v2, with pictures or without
// - hpd: HPDv2, that is train.json, test.json and a folder of pictures
// - imagefolder: a folder with metadata.jsonl or metadata.csv
// - captions: a folder of pictures, each with a .txt beside it
// - paired: two folders with equal file names
// - webdataset: tar shards whose members share a base name
// - table: CSV, TSV or JSON lines that name picture files
//
// Each form has one file, record_<form>.c, over record_form.h. What a row must have and what is
// refused: docs/data-sets.md.
//
// A row that cannot be used (a missing file, an empty prompt, a broken line) or that a filter drops
// is counted by its reason and named; it ends the reading only where `strict` is set, and then only
// for a fault. The index of a record counts all rows of the data set, dropped ones too: with the
// data set's name it identifies the record whatever the filters are.
#ifndef BDPO_RECORD_SOURCE_H
#define BDPO_RECORD_SOURCE_H

#include "base/status.h"

enum { BDPO_RECORD_MAX_PICTURES = 2 };

// ---- records -------------------------------------------------------------------------------

// One picture: the bytes of its file, or the path of it, or neither in a set without pictures.
typedef struct bdpo_record_picture {
    const char *name;  // for messages: the path, or "train-00000.parquet, row 17, jpg_0"
    const char *path;  // of a file, NULL where `data` holds the bytes
    const void *data;  // of the encoded file (JPEG, PNG, WebP); NULL where there is a path
    size_t size;       // of data
    const char *uid;   // as the data set calls it, or NULL
    const char *model; // that made it, or NULL
} bdpo_record_picture;

// All pointers are borrowed from the source until the next call on it.
typedef struct bdpo_record {
    const char *data_set; // its name
    int64_t index;        // of the row in the data set, from 0
    const char *split;    // "train", or NULL where the form knows none
    const char *prompt;   // UTF-8, zero-terminated, as stored: not trimmed
    size_t prompt_size;   // bytes
    int n_pictures;       // 1: a captioned picture; 2: a pair
    bdpo_record_picture pictures[BDPO_RECORD_MAX_PICTURES];
    // Of a pair: the probability that a person prefers pictures[0]: 1, 0, 0.5 for a tie; NaN where
    // nobody chose. NaN for a single picture.
    double label;
    int64_t n_prompt_examples; // rows with this prompt, as the data set says; 0: unknown
    int64_t ranking_id;        // as the data set says; -1: unknown
} bdpo_record;

// A copy that outlives the source, with the bytes of the pictures: what a thread works on.
// *out is the caller's, freed by bdpo_record_free().
BDPO_MUST_CHECK bdpo_status bdpo_record_clone(bdpo_record **out, const bdpo_record *record);
void bdpo_record_free(bdpo_record *record); // NULL is fine

// The bytes of a picture's file, read from its path where need be. *out is released by
// bdpo_picture_bytes_release(). NOT_FOUND or IO names the file; BAD_ARGUMENT in a set without
// pictures. Threads may call this on records of their own.
typedef struct bdpo_picture_bytes {
    const void *data; // borrowed from the picture, or owned by `read`
    size_t size;
    void *read;
} bdpo_picture_bytes;
BDPO_MUST_CHECK bdpo_status bdpo_picture_bytes_get(bdpo_picture_bytes *out,
                                                   const bdpo_record_picture *picture);
void bdpo_picture_bytes_release(bdpo_picture_bytes *bytes); // leaves it empty

// ---- what is dropped -----------------------------------------------------------------------

// Reasons: X(NAME, "text", is a fault). Faults end the reading where `strict` is set; the others
// are what the user asked for.
#define BDPO_DROP_LIST(X)                                                                          \
    X(SPLIT, "another split", false)                                                               \
    X(SUBSET, "outside the subset", false)                                                         \
    X(TIE, "tie", false)                                                                           \
    X(UNLABELLED, "pair without a label", false)                                                   \
    X(WORD, "prompt with a listed word", false)                                                    \
    X(DUPLICATE, "duplicate", false)                                                               \
    X(SMALL, "picture too small", false)                                                           \
    X(BROKEN_ROW, "malformed row", true)                                                           \
    X(EMPTY_PROMPT, "empty prompt", true)                                                          \
    X(BAD_TEXT, "prompt is not UTF-8", true)                                                       \
    X(NO_PICTURE, "no picture", true)                                                              \
    X(NO_PARTNER, "no partner picture", true)                                                      \
    X(MISSING_FILE, "missing file", true)                                                          \
    X(OUTSIDE, "path leaves the folder", true)                                                     \
    X(OVERSIZED, "too large", true)                                                                \
    X(UNREADABLE, "picture does not decode", true)

typedef enum bdpo_drop {
#define X(name, text, fault) BDPO_DROP_##name,
    BDPO_DROP_LIST(X)
#undef X
        BDPO_N_DROPS
} bdpo_drop;

const char *bdpo_drop_text(bdpo_drop reason);
bool bdpo_drop_is_fault(bdpo_drop reason);

// ---- reading -------------------------------------------------------------------------------

// All zero: every usable row, ties and unlabelled pairs too.
typedef struct bdpo_record_options {
    const char *form;    // one of the names above; NULL: seen in the content
    const char *name;    // of the data set; NULL: the last part of the path
    const char *images;  // where the pictures of relative names lie; NULL: beside the list
    const char *second;  // paired: the other folder; NULL: the path holds both
    const char *prompts; // paired, captions: a file of prompts, one line for each picture in order
    bool strict;         // the first fault ends the reading
    bool keep_empty_prompts;
    // Filters.
    const char *split; // of shards or rows; NULL: all
    bool drop_ties, drop_unlabelled;
    bool drop_duplicates;     // the same prompt and the same bytes, in a pair in either order
    int min_side;             // pixels of the shorter side, as the file's header says; 0: any
    const char *banned_words; // a file, one word or phrase a line: prompts with one are dropped
    // Subsets, by the index in the data set; they intersect.
    int64_t first, end;        // first <= index < end; end 0: no end
    const char *index_list;    // a file of indices, one a line
    double hash_from, hash_to; // by a hash of name and index in [0, 1): 0 to 0.1 is a fixed tenth,
                               // 0.1 to 1 the rest; hash_to 0: all
} bdpo_record_options;

typedef struct bdpo_record_source bdpo_record_source;

// A data set at `path`: a file, a folder, or several files by a glob ("train-*.parquet") or a brace
// range ("{0000..0007}.tar"), in sorted order. `options` NULL: all zero; its texts are copied.
// *out is the caller's, closed by bdpo_record_source_close(). NOT_FOUND, BAD_FILE or UNSUPPORTED
// names the file; BAD_ARGUMENT the option.
BDPO_MUST_CHECK bdpo_status bdpo_record_source_open(bdpo_record_source **out, const char *path,
                                                    const bdpo_record_options *options);
void bdpo_record_source_close(bdpo_record_source *source); // NULL is fine

const char *bdpo_record_source_name(const bdpo_record_source *source); // of the data set
const char *bdpo_record_source_form(const bdpo_record_source *source); // "pickapic", ...
// False for a set of prompts and labels only (pickapic_v2_no_images).
bool bdpo_record_source_has_pictures(const bdpo_record_source *source);

// The next record; *out is NULL at the end. A status other than OK ends the reading: a fault under
// `strict`, or what no row stands for (a folder that cannot be read, no memory).
BDPO_MUST_CHECK bdpo_status bdpo_record_source_next(const bdpo_record **out,
                                                    bdpo_record_source *source);

// Rows of the data set, before filters. Forms that cannot know it count first: a pass over the
// list, or over the headers of a tar.
BDPO_MUST_CHECK bdpo_status bdpo_record_source_n_rows(int64_t *out, bdpo_record_source *source);

// Random access: the row of this index, *out NULL where it is dropped. It is counted, each time;
// and with drop_duplicates a row that was given before is a duplicate. BAD_ARGUMENT for an index
// that is not in the data set, UNSUPPORTED for packed tar. bdpo_record_source_next() then gives the
// rows behind it.
BDPO_MUST_CHECK bdpo_status bdpo_record_source_at(const bdpo_record **out,
                                                  bdpo_record_source *source, int64_t index);

// ---- counts --------------------------------------------------------------------------------

// Counts a record that the caller found unusable: it was given, and is dropped now. `message`
// says why, in one line. Fails with that line under `strict` where the reason is a fault.
BDPO_MUST_CHECK bdpo_status bdpo_record_source_drop(bdpo_record_source *source, bdpo_drop reason,
                                                    int64_t index, const char *message);

int64_t bdpo_record_source_n_read(const bdpo_record_source *source); // rows so far
int64_t bdpo_record_source_n_kept(const bdpo_record_source *source); // records not dropped
int64_t bdpo_record_source_n_dropped(const bdpo_record_source *source, bdpo_drop reason);

// A table for the user: rows, records, and for each reason the count and the first few rows by
// name and fault. Prompts are not shown. *out is the caller's, released by bdpo_free().
BDPO_MUST_CHECK bdpo_status bdpo_record_source_report(char **out, const bdpo_record_source *source);

#endif

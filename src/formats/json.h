// JSON files with messages that a user can act on: a parse error names file, line and column; a
// field that is missing or of the wrong kind is named with its file, what it is and what it may be.
// Duplicate keys are refused. Unknown fields are the caller's to judge (bdpo_json_next_key).
//
//     bdpo_json_document *document;
//     TRY(bdpo_json_open(&document, "unet/config.json"));
//     bdpo_json root = bdpo_json_root(document);
//     status = bdpo_json_int(&config->in_channels, &root, "in_channels", 1, 64);
#ifndef BDPO_JSON_H
#define BDPO_JSON_H

#include <jansson.h>

#include "base/status.h"

enum { BDPO_JSON_MAX_BYTES = 256 << 20 };

typedef struct bdpo_json_document bdpo_json_document;

// A value in a document, with the words to name it. Borrowed from the document; copy it freely.
typedef struct bdpo_json {
    json_t *value;
    const char *file;
    char place[96]; // "" for the root, else "down_blocks[2].type"; cut off where it is longer
} bdpo_json;

// *out is the caller's, freed by bdpo_json_free(). The root must be an object or an array.
BDPO_MUST_CHECK bdpo_status bdpo_json_open(bdpo_json_document **out, const char *path);
// The same from memory; `name` stands for the file in messages and is copied.
BDPO_MUST_CHECK bdpo_status bdpo_json_parse(bdpo_json_document **out, const char *text, size_t size,
                                            const char *name);
void bdpo_json_free(bdpo_json_document *document); // NULL is fine
bdpo_json bdpo_json_root(const bdpo_json_document *document);

// True where the field is there and not null. A null counts as absent everywhere below: diffusers
// writes it for "take the default".
bool bdpo_json_has(const bdpo_json *object, const char *field);

// Required fields. Numbers outside min..max are refused; strings are borrowed from the document.
BDPO_MUST_CHECK bdpo_status bdpo_json_int(int *out, const bdpo_json *object, const char *field,
                                          int min, int max);
BDPO_MUST_CHECK bdpo_status bdpo_json_double(double *out, const bdpo_json *object,
                                             const char *field, double min, double max);
BDPO_MUST_CHECK bdpo_status bdpo_json_bool(bool *out, const bdpo_json *object, const char *field);
BDPO_MUST_CHECK bdpo_status bdpo_json_string(const char **out, const bdpo_json *object,
                                             const char *field);
// The field's position in `words`; the sentence of a refusal lists them.
BDPO_MUST_CHECK bdpo_status bdpo_json_word(int *out, const bdpo_json *object, const char *field,
                                           const char *const *words, int n_words);

// Optional fields: `fallback` where the field is absent or null; of the wrong kind is still
// refused.
BDPO_MUST_CHECK bdpo_status bdpo_json_int_or(int *out, const bdpo_json *object, const char *field,
                                             int fallback, int min, int max);
BDPO_MUST_CHECK bdpo_status bdpo_json_double_or(double *out, const bdpo_json *object,
                                                const char *field, double fallback, double min,
                                                double max);
BDPO_MUST_CHECK bdpo_status bdpo_json_bool_or(bool *out, const bdpo_json *object, const char *field,
                                              bool fallback);
BDPO_MUST_CHECK bdpo_status bdpo_json_string_or(const char **out, const bdpo_json *object,
                                                const char *field, const char *fallback);
BDPO_MUST_CHECK bdpo_status bdpo_json_word_or(int *out, const bdpo_json *object, const char *field,
                                              int fallback, const char *const *words, int n_words);

// An array of 1 to `capacity` integers; *count says how many.
BDPO_MUST_CHECK bdpo_status bdpo_json_ints(int *out, int *count, int capacity,
                                           const bdpo_json *object, const char *field, int min,
                                           int max);
// An array of exactly `count` integers, or one integer that stands for all of them.
BDPO_MUST_CHECK bdpo_status bdpo_json_int_or_ints(int *out, int count, const bdpo_json *object,
                                                  const char *field, int min, int max);
// An array of 1 to `capacity` words, each as its position in `words`.
BDPO_MUST_CHECK bdpo_status bdpo_json_words(int *out, int *count, int capacity,
                                            const bdpo_json *object, const char *field,
                                            const char *const *words, int n_words);

// Nested values. *out borrows from the document.
BDPO_MUST_CHECK bdpo_status bdpo_json_object(bdpo_json *out, const bdpo_json *object,
                                             const char *field);
BDPO_MUST_CHECK bdpo_status bdpo_json_array(bdpo_json *out, const bdpo_json *object,
                                            const char *field);
size_t bdpo_json_count(const bdpo_json *array); // or the fields of an object
bdpo_json bdpo_json_element(const bdpo_json *array, size_t index);

// The keys of an object in the file's order: NULL gives the first, the last gives NULL. `key` must
// be one that this function gave.
const char *bdpo_json_next_key(const bdpo_json *object, const char *key);

#endif

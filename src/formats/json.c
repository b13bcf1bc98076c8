// Documents parsed by jansson, and fields fetched with their kind and range checked.
#include "formats/json.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "formats/printable.h"

struct bdpo_json_document {
    json_t *root;
    char *name;
};

// ---- documents -----------------------------------------------------------------------------

bdpo_status bdpo_json_parse(bdpo_json_document **out, const char *text, size_t size,
                            const char *name)
{
    json_error_t error;
    if (size > BDPO_JSON_MAX_BYTES)
        return bdpo_fail(BDPO_BAD_FILE, "%s: longer than the %d bytes that are allowed here", name,
                         BDPO_JSON_MAX_BYTES);
    bdpo_json_document *d = bdpo_alloc(1, sizeof *d);
    char *copy = bdpo_alloc(strlen(name) + 1, 1);
    if (!d || !copy) {
        bdpo_free(d);
        bdpo_free(copy);
        return bdpo_fail(BDPO_NO_MEMORY, "%s: no memory to parse it", name);
    }
    memcpy(copy, name, strlen(name) + 1);
    d->name = copy;
    d->root = json_loadb(text ? text : "", size, JSON_REJECT_DUPLICATES, &error);
    if (d->root) {
        *out = d;
        return BDPO_OK;
    }
    bdpo_json_free(d);
    // jansson quotes what stands near the fault, which may be anything: shown as one printable
    // line.
    bdpo_printable_text what = bdpo_printable(error.text);
    return bdpo_fail(BDPO_BAD_FILE, "%s: line %d, column %d: %s", name, error.line, error.column,
                     what.text);
}

bdpo_status bdpo_json_open(bdpo_json_document **out, const char *path)
{
    char *text;
    size_t size;
    TRY(bdpo_file_read(&text, &size, path, BDPO_JSON_MAX_BYTES));
    bdpo_status status = bdpo_json_parse(out, text, size, path);
    bdpo_free(text);
    return status;
}

void bdpo_json_free(bdpo_json_document *d)
{
    if (!d) return;
    json_decref(d->root);
    bdpo_free(d->name);
    bdpo_free(d);
}

bdpo_json bdpo_json_root(const bdpo_json_document *d)
{
    return (bdpo_json){.value = d->root, .file = d->name};
}

// ---- words for messages --------------------------------------------------------------------

typedef struct found_text {
    char text[200];
} found_text;

// What a value is: "\"swish\"", "12", "an array of 3".
static found_text describe(const json_t *value)
{
    found_text out;
    size_t room = sizeof out.text;
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        snprintf(out.text, room, "an object");
        break;
    case JSON_ARRAY:
        snprintf(out.text, room, "an array of %zu", json_array_size(value));
        break;
    case JSON_STRING:
        snprintf(out.text, room, "%s",
                 bdpo_printable_bytes(json_string_value(value), json_string_length(value)).text);
        break;
    case JSON_INTEGER:
        snprintf(out.text, room, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
        break;
    case JSON_REAL:
        snprintf(out.text, room, "%g", json_real_value(value));
        break;
    case JSON_TRUE:
        snprintf(out.text, room, "true");
        break;
    case JSON_FALSE:
        snprintf(out.text, room, "false");
        break;
    case JSON_NULL:
        snprintf(out.text, room, "null");
        break;
    }
    return out;
}

// The place of a field below another.
static bdpo_json below(const bdpo_json *parent, json_t *value, const char *field)
{
    bdpo_json out = {.value = value, .file = parent->file};
    const char *dot = parent->place[0] ? "." : "";
    int n = snprintf(out.place, sizeof out.place, "%s%s%s", parent->place, dot, field);
    if (n < 0 || (size_t)n >= sizeof out.place) memcpy(out.place + sizeof out.place - 4, "...", 4);
    for (char *c = out.place; *c; c++)
        if ((unsigned char)*c < 0x20) *c = '?';
    return out;
}

static bdpo_status fail(const bdpo_json *value, const char *expected)
{
    return bdpo_fail(BDPO_BAD_FILE, "%s: %s is %s, expected %s", value->file,
                     value->place[0] ? value->place : "the document", describe(value->value).text,
                     expected);
}

// ---- fields --------------------------------------------------------------------------------

static json_t *get(const bdpo_json *object, const char *field)
{
    json_t *value = json_object_get(object->value, field); // NULL where it is no object
    return json_is_null(value) ? NULL : value;
}

bool bdpo_json_has(const bdpo_json *object, const char *field)
{
    return get(object, field) != NULL;
}

static bdpo_status require(bdpo_json *out, const bdpo_json *object, const char *field)
{
    if (!json_is_object(object->value)) return fail(object, "an object");
    json_t *value = get(object, field);
    *out = below(object, value, field);
    if (value) return BDPO_OK;
    return bdpo_fail(BDPO_BAD_FILE, "%s: %s is missing", out->file, out->place);
}

static bdpo_status as_int(int *out, const bdpo_json *value, int min, int max)
{
    json_int_t found = json_integer_value(value->value); // 0 where it is no integer
    if (json_is_integer(value->value) && found >= min && found <= max) {
        *out = (int)found;
        return BDPO_OK;
    }
    char expected[80];
    snprintf(expected, sizeof expected, "an integer from %d to %d", min, max);
    return fail(value, expected);
}

bdpo_status bdpo_json_int(int *out, const bdpo_json *object, const char *field, int min, int max)
{
    bdpo_json value;
    TRY(require(&value, object, field));
    return as_int(out, &value, min, max);
}

bdpo_status bdpo_json_double(double *out, const bdpo_json *object, const char *field, double min,
                             double max)
{
    bdpo_json value;
    TRY(require(&value, object, field));
    double found = json_number_value(value.value);
    if (json_is_number(value.value) && found >= min && found <= max) {
        *out = found;
        return BDPO_OK;
    }
    char expected[80];
    snprintf(expected, sizeof expected, "a number from %g to %g", min, max);
    return fail(&value, expected);
}

bdpo_status bdpo_json_bool(bool *out, const bdpo_json *object, const char *field)
{
    bdpo_json value;
    TRY(require(&value, object, field));
    if (!json_is_boolean(value.value)) return fail(&value, "true or false");
    *out = json_is_true(value.value);
    return BDPO_OK;
}

bdpo_status bdpo_json_string(const char **out, const bdpo_json *object, const char *field)
{
    bdpo_json value;
    TRY(require(&value, object, field));
    if (!json_is_string(value.value)) return fail(&value, "a string");
    *out = json_string_value(value.value);
    return BDPO_OK;
}

static bdpo_status as_word(int *out, const bdpo_json *value, const char *const *words, int n_words)
{
    const char *found = json_string_value(value->value); // NULL where it is no string
    for (int i = 0; found && i < n_words; i++) {
        if (strcmp(found, words[i]) != 0) continue;
        *out = i;
        return BDPO_OK;
    }
    char expected[400] = "one of";
    size_t used = strlen(expected);
    for (int i = 0; i < n_words; i++) {
        int n =
            snprintf(expected + used, sizeof expected - used, "%s %s", i > 0 ? "," : "", words[i]);
        if (n < 0 || (size_t)n >= sizeof expected - used) break; // cut off
        used += (size_t)n;
    }
    return fail(value, expected);
}

bdpo_status bdpo_json_word(int *out, const bdpo_json *object, const char *field,
                           const char *const *words, int n_words)
{
    bdpo_json value;
    TRY(require(&value, object, field));
    return as_word(out, &value, words, n_words);
}

// ---- optional fields -----------------------------------------------------------------------

// Whether to take the fallback; an object that is none goes on to the required form's refusal.
static bool absent(const bdpo_json *object, const char *field)
{
    return json_is_object(object->value) && !bdpo_json_has(object, field);
}

bdpo_status bdpo_json_int_or(int *out, const bdpo_json *object, const char *field, int fallback,
                             int min, int max)
{
    *out = fallback;
    return absent(object, field) ? BDPO_OK : bdpo_json_int(out, object, field, min, max);
}

bdpo_status bdpo_json_double_or(double *out, const bdpo_json *object, const char *field,
                                double fallback, double min, double max)
{
    *out = fallback;
    return absent(object, field) ? BDPO_OK : bdpo_json_double(out, object, field, min, max);
}

bdpo_status bdpo_json_bool_or(bool *out, const bdpo_json *object, const char *field, bool fallback)
{
    *out = fallback;
    return absent(object, field) ? BDPO_OK : bdpo_json_bool(out, object, field);
}

bdpo_status bdpo_json_string_or(const char **out, const bdpo_json *object, const char *field,
                                const char *fallback)
{
    *out = fallback;
    return absent(object, field) ? BDPO_OK : bdpo_json_string(out, object, field);
}

bdpo_status bdpo_json_word_or(int *out, const bdpo_json *object, const char *field, int fallback,
                              const char *const *words, int n_words)
{
    *out = fallback;
    return absent(object, field) ? BDPO_OK : bdpo_json_word(out, object, field, words, n_words);
}

// ---- arrays --------------------------------------------------------------------------------

bdpo_status bdpo_json_object(bdpo_json *out, const bdpo_json *object, const char *field)
{
    TRY(require(out, object, field));
    return json_is_object(out->value) ? BDPO_OK : fail(out, "an object");
}

bdpo_status bdpo_json_array(bdpo_json *out, const bdpo_json *object, const char *field)
{
    TRY(require(out, object, field));
    return json_is_array(out->value) ? BDPO_OK : fail(out, "an array");
}

size_t bdpo_json_count(const bdpo_json *array)
{
    return json_is_object(array->value) ? json_object_size(array->value)
                                        : json_array_size(array->value);
}

bdpo_json bdpo_json_element(const bdpo_json *array, size_t index)
{
    json_t *value = json_array_get(array->value, index);
    if (!value) BDPO_BUG("no element %zu in %s: %s", index, array->file, array->place);
    bdpo_json out = {.value = value, .file = array->file};
    int n = snprintf(out.place, sizeof out.place, "%s[%zu]", array->place, index);
    if (n < 0 || (size_t)n >= sizeof out.place) memcpy(out.place + sizeof out.place - 4, "...", 4);
    return out;
}

// An array of 1 to `capacity` elements.
static bdpo_status require_array(bdpo_json *out, int *count, int capacity, const bdpo_json *object,
                                 const char *field)
{
    TRY(require(out, object, field));
    size_t n = json_array_size(out->value); // 0 where it is no array
    if (n >= 1 && n <= (size_t)capacity) {
        *count = (int)n;
        return BDPO_OK;
    }
    char expected[80];
    snprintf(expected, sizeof expected, "an array of 1 to %d", capacity);
    return fail(out, expected);
}

bdpo_status bdpo_json_ints(int *out, int *count, int capacity, const bdpo_json *object,
                           const char *field, int min, int max)
{
    bdpo_json array;
    TRY(require_array(&array, count, capacity, object, field));
    for (int i = 0; i < *count; i++) {
        bdpo_json element = bdpo_json_element(&array, (size_t)i);
        TRY(as_int(&out[i], &element, min, max));
    }
    return BDPO_OK;
}

bdpo_status bdpo_json_words(int *out, int *count, int capacity, const bdpo_json *object,
                            const char *field, const char *const *words, int n_words)
{
    bdpo_json array;
    TRY(require_array(&array, count, capacity, object, field));
    for (int i = 0; i < *count; i++) {
        bdpo_json element = bdpo_json_element(&array, (size_t)i);
        TRY(as_word(&out[i], &element, words, n_words));
    }
    return BDPO_OK;
}

bdpo_status bdpo_json_int_or_ints(int *out, int count, const bdpo_json *object, const char *field,
                                  int min, int max)
{
    bdpo_json value;
    TRY(require(&value, object, field));
    if (!json_is_array(value.value)) {
        TRY(as_int(out, &value, min, max));
        for (int i = 1; i < count; i++) out[i] = out[0];
        return BDPO_OK;
    }
    char expected[80];
    snprintf(expected, sizeof expected, "an integer or an array of %d", count);
    if (json_array_size(value.value) != (size_t)count) return fail(&value, expected);
    return bdpo_json_ints(out, &count, count, object, field, min, max);
}

// ---- keys ----------------------------------------------------------------------------------

const char *bdpo_json_next_key(const bdpo_json *object, const char *key)
{
    void *iterator = key ? json_object_iter_next(object->value, json_object_key_to_iter(key))
                         : json_object_iter(object->value);
    return iterator ? json_object_iter_key(iterator) : NULL;
}

// Fields by name.
#include "data/record_fields.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/printable.h"

#define NAMES(...) ((const char *const[]){__VA_ARGS__, NULL})

const char *const bdpo_prompt_names[] = {"prompt", "caption", "text", NULL};

// ---- values --------------------------------------------------------------------------------

// The column of that name; NULL where there is none or it is empty.
static const char *column(const bdpo_fields *f, const char *name)
{
    for (size_t i = 0; i < f->n_columns; i++)
        if (strcmp(f->header[i], name) == 0) return f->columns[i][0] ? f->columns[i] : NULL;
    return NULL;
}

static json_t *member(const bdpo_fields *f, const char *name)
{
    json_t *value = json_object_get(f->json->value, name);
    return value && !json_is_null(value) ? value : NULL;
}

bdpo_status bdpo_fields_text(const char **out, const bdpo_fields *f, const char *const *names)
{
    *out = NULL;
    for (; *names && !*out; names++) {
        if (!f->json) {
            *out = column(f, *names);
            continue;
        }
        json_t *value = member(f, *names);
        if (!value) continue;
        if (!json_is_string(value))
            return bdpo_fail(BDPO_BAD_FILE, "%s: %s: expected a string", f->place, *names);
        *out = json_string_value(value);
    }
    return BDPO_OK;
}

static bdpo_status parse_number(double *out, const char *text, const char *place, const char *name)
{
    char *end;
    *out = strtod(text, &end);
    if (end == text || *end != '\0')
        return bdpo_fail(BDPO_BAD_FILE, "%s: %s: found %s, expected a number", place, name,
                         bdpo_printable(text).text);
    return BDPO_OK;
}

static bdpo_status json_number(double *out, json_t *value, const char *place, const char *name)
{
    if (json_is_string(value)) return parse_number(out, json_string_value(value), place, name);
    if (json_is_boolean(value)) *out = json_is_true(value) ? 1 : 0;
    if (json_is_number(value)) *out = json_number_value(value);
    if (json_is_boolean(value) || json_is_number(value)) return BDPO_OK;
    return bdpo_fail(BDPO_BAD_FILE, "%s: %s: expected a number", place, name);
}

bdpo_status bdpo_fields_number(double *out, const bdpo_fields *f, const char *const *names)
{
    *out = NAN;
    for (; *names; names++) {
        const char *text = f->json ? NULL : column(f, *names);
        json_t *value = f->json ? member(f, *names) : NULL;
        if (text) return parse_number(out, text, f->place, *names);
        if (value) return json_number(out, value, f->place, *names);
    }
    return BDPO_OK;
}

// ---- records -------------------------------------------------------------------------------

static bdpo_status check_label(double label, const char *place)
{
    if (isnan(label) || (label >= 0 && label <= 1)) return BDPO_OK;
    return bdpo_fail(BDPO_BAD_FILE, "%s: a label of %g, expected 0 to 1", place, label);
}

bdpo_status bdpo_label_make(double *out, double label, double other, double has_label,
                            const char *place)
{
    *out = NAN;
    if (has_label == 0) return BDPO_OK;
    TRY(check_label(label, place));
    TRY(check_label(other, place));
    if (fabs(label + other - 1) > 1e-6)
        return bdpo_fail(BDPO_BAD_FILE, "%s: labels %g and %g, expected a sum of 1", place, label,
                         other);
    *out = isnan(label) ? 1 - other : label;
    return BDPO_OK;
}

// Words for labels, and truth values: what people write where a number would do.
static bool is_word(double *out, const char *text)
{
    static const struct {
        const char *word;
        double value;
    } words[] = {
        {"tie", 0.5}, {"image_0", 1}, {"image_1", 0}, {"true", 1},  {"false", 0},  {"True", 1},
        {"False", 0}, {"none", NAN},  {"nan", NAN},   {"NaN", NAN}, {"null", NAN},
    };
    for (size_t i = 0; i < BDPO_COUNTOF(words); i++) {
        if (strcmp(text, words[i].word) != 0) continue;
        *out = words[i].value;
        return true;
    }
    return false;
}

// A number, or one of the words.
static bdpo_status number_or_word(double *out, const bdpo_fields *f, const char *const *names)
{
    for (; *names; names++) {
        json_t *value = f->json ? member(f, *names) : NULL;
        const char *text = f->json ? json_string_value(value) : column(f, *names);
        if (text && is_word(out, text)) return BDPO_OK;
        if (text || value) return bdpo_fields_number(out, f, NAMES(*names));
    }
    *out = NAN;
    return BDPO_OK;
}

static bdpo_status read_label(bdpo_record *r, const bdpo_fields *f)
{
    double label, other, has_label;
    TRY(number_or_word(&label, f, NAMES("label", "label_0")));
    TRY(number_or_word(&other, f, NAMES("label_1")));
    TRY(number_or_word(&has_label, f, NAMES("has_label")));
    return bdpo_label_make(&r->label, label, other, has_label, f->place);
}

static bdpo_status read_count(int64_t *out, int64_t fallback, const bdpo_fields *f,
                              const char *name)
{
    double x;
    TRY(bdpo_fields_number(&x, f, NAMES(name)));
    bool fits = x >= 0 && x < 9e15 && x == floor(x);
    if (!isnan(x) && !fits)
        return bdpo_fail(BDPO_BAD_FILE, "%s: %s: found %g, expected a whole number", f->place, name,
                         x);
    *out = fits ? (int64_t)x : fallback;
    return BDPO_OK;
}

static bdpo_status read_pair(bdpo_record *r, const bdpo_fields *f)
{
    bdpo_record_picture *p = r->pictures;
    TRY(bdpo_fields_text(&p[0].uid, f, NAMES("image_0_uid", "uid_0")));
    TRY(bdpo_fields_text(&p[1].uid, f, NAMES("image_1_uid", "uid_1")));
    TRY(bdpo_fields_text(&p[0].model, f, NAMES("model_0")));
    TRY(bdpo_fields_text(&p[1].model, f, NAMES("model_1")));
    return read_label(r, f);
}

bdpo_status bdpo_fields_record(bdpo_record *r, const bdpo_fields *f)
{
    TRY(bdpo_fields_text(&r->prompt, f, bdpo_prompt_names));
    r->prompt_size = r->prompt ? strlen(r->prompt) : 0;
    TRY(bdpo_fields_text(&r->split, f, NAMES("split")));
    TRY(read_count(&r->n_prompt_examples, 0, f, "num_example_per_prompt"));
    TRY(read_count(&r->ranking_id, -1, f, "ranking_id"));
    if (r->n_pictures == 2) return read_pair(r, f);
    TRY(bdpo_fields_text(&r->pictures[0].uid, f, NAMES("uid", "image_uid")));
    return bdpo_fields_text(&r->pictures[0].model, f, NAMES("model"));
}

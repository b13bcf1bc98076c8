// ftfy.fix_text() against the vectors of ftfy 6.3.1.
#include "harness.h"

#include <jansson.h>
#include <unistd.h>

#include "text/ftfy.h"

static bdpo_runes runes_of(const json_t *text)
{
    bdpo_runes out = {0};
    bdpo_runes_append_utf8(&out, json_string_value(text), json_string_length(text));
    CHECK_OK(bdpo_runes_check(&out));
    return out;
}

BDPO_TEST(all_vectors_of_ftfy)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/../../shared/data/text/ftfy_vectors.jsonl", BDPO_TESTS_DIR);
    FILE *file = fopen(path, "r");
    if (!file) SKIP("../shared/data/text/ftfy_vectors.jsonl is absent");
    int n_vectors = 0, n_wrong = 0;
    json_t *vector;
    while ((vector = json_loadf(file, JSON_DISABLE_EOF_CHECK | JSON_ALLOW_NUL, NULL))) {
        bdpo_runes text = runes_of(json_object_get(vector, "text"));
        bdpo_runes fixed = runes_of(json_object_get(vector, "fixed"));
        bdpo_ftfy_fix_text(&text);
        CHECK_OK(bdpo_runes_check(&text));
        if (!bdpo_runes_equal(&text, &fixed)) {
            n_wrong++;
            printf("        differs: %s\n", json_string_value(json_object_get(vector, "name")));
        }
        n_vectors++;
        bdpo_runes_release(&text);
        bdpo_runes_release(&fixed);
        json_decref(vector);
    }
    fclose(file);
    CHECK_INT(n_vectors, 219);
    CHECK_INT(n_wrong, 0);
}

// Without outside data: what the first lines of ftfy's own documentation promise.
BDPO_TEST(examples)
{
    static const struct {
        const char *text, *fixed;
    } rows[] = {
        {"\xc3\xa2\xc5\x93\xe2\x80\x9d No problems", "\xe2\x9c\x94 No problems"},
        {"s\xc3\x83\xc2\xb3", "s\xc3\xb3"},
        {"P&EACUTE;REZ &nTILDE;", "P\xc3\x89REZ &nTILDE;"},
        {"a < b &amp; c", "a < b &amp; c"},
        {"&#59;&#x41;", "&#59;A"},
        {"\xe2\x80\x9cquoted\xe2\x80\x9d\r\n", "\"quoted\"\n"},
        {"\xef\xbc\xac\xef\xbc\xaf\xe3\x80\x80\xef\xac\x81", "LO fi"},
        {"\x1b[31mred\x1b[0m\x07", "red"},
        {"plain \xc3\xa9t\xc3\xa9", "plain \xc3\xa9t\xc3\xa9"},
    };
    for (size_t i = 0; i < BDPO_COUNTOF(rows); i++) {
        bdpo_runes text = {0}, fixed = {0};
        bdpo_runes_append_utf8(&text, rows[i].text, strlen(rows[i].text));
        bdpo_runes_append_utf8(&fixed, rows[i].fixed, strlen(rows[i].fixed));
        bdpo_ftfy_fix_text(&text);
        if (!bdpo_runes_equal(&text, &fixed)) FAIL("row %zu: %s", i, rows[i].text);
        bdpo_runes_release(&text);
        bdpo_runes_release(&fixed);
    }
}

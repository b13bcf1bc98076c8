// The lists of a store in two forms.
#include "cli/store_report.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "formats/printable.h"

// ---- gathering ---------------------------------------------------------------------------------

// A name may have come from anywhere; JSON takes UTF-8 only.
json_t *bdpo_store_words(const char *words)
{
    json_t *value = json_string(words);
    return value ? value : json_string(bdpo_printable(words).text);
}

// JSON has neither NaN nor infinity.
static json_t *real(double number)
{
    if (isnan(number)) return json_null();
    if (isinf(number)) return json_string(number > 0 ? "inf" : "-inf");
    return json_real(number);
}

// Settings are JSON text; what is not stays a text.
static json_t *settings(const char *words)
{
    json_t *value = json_loads(words, JSON_DECODE_ANY, NULL);
    return value ? value : bdpo_store_words(words);
}

typedef json_int_t integer;

static json_t *scorer(const bdpo_scorer_summary *s)
{
    return json_pack("{s:I, s:o, s:o, s:o, s:b, s:I, s:I, s:o, s:o, s:o}", "id", (integer)s->id,
                     "name", bdpo_store_words(s->scorer.name), "checkpoint",
                     bdpo_store_words(s->scorer.checkpoint), "settings",
                     settings(s->scorer.settings), "uses_prompt", s->scorer.uses_prompt, "scored",
                     (integer)s->scored, "none", (integer)s->none, "mean", real(s->mean), "min",
                     real(s->min), "max", real(s->max));
}

static json_t *data_set(const bdpo_data_set_summary *d)
{
    return json_pack("{s:o, s:I, s:b, s:I, s:I, s:I, s:I, s:I}", "name", bdpo_store_words(d->name),
                     "pairs", (integer)d->pairs, "finished", d->finished, "first",
                     (integer)d->first, "second", (integer)d->second, "ties", (integer)d->ties,
                     "unlabelled", (integer)d->unlabelled, "votes", (integer)d->votes);
}

static json_t *rule(const bdpo_rule_summary *r)
{
    return json_pack("{s:o, s:o, s:I, s:I, s:I, s:I, s:I}", "rule", bdpo_store_words(r->text),
                     "scorers", settings(r->scorers), "labels", (integer)r->labels, "first",
                     (integer)r->first, "second", (integer)r->second, "unlabelled",
                     (integer)r->unlabelled, "ties", (integer)r->ties);
}

static bdpo_status gather_lists(json_t *report, bdpo_score_store *store, bdpo_arena *arena)
{
    bdpo_scorer_summary *scorers;
    bdpo_data_set_summary *sets;
    bdpo_rule_summary *rules;
    int n_scorers, n_sets, n_rules;
    TRY(bdpo_score_store_list_scorers(&scorers, &n_scorers, store, arena));
    TRY(bdpo_score_store_list_data_sets(&sets, &n_sets, store, arena));
    TRY(bdpo_score_store_list_rules(&rules, &n_rules, store, arena));
    json_t *list = json_array();
    for (int i = 0; i < n_scorers; i++) json_array_append_new(list, scorer(&scorers[i]));
    json_object_set_new(report, "scorers", list);
    list = json_array();
    for (int i = 0; i < n_sets; i++) json_array_append_new(list, data_set(&sets[i]));
    json_object_set_new(report, "data_sets", list);
    list = json_array();
    for (int i = 0; i < n_rules; i++) json_array_append_new(list, rule(&rules[i]));
    json_object_set_new(report, "rules", list);
    return BDPO_OK;
}

static bdpo_status gather(json_t *report, bdpo_score_store *store)
{
    bdpo_store_counts c;
    bdpo_arena *arena;
    TRY(bdpo_score_store_count(&c, store));
    const struct {
        const char *name;
        int64_t count;
    } counts[] = {
        {"images", c.images}, {"prompts", c.prompts},       {"scores", c.scores},
        {"none", c.none},     {"pairs", c.pairs},           {"votes", c.votes},
        {"labels", c.labels}, {"annotators", c.annotators}, {"version", BDPO_STORE_VERSION}};
    json_object_set_new(report, "path", bdpo_store_words(bdpo_score_store_path(store)));
    for (size_t i = 0; i < BDPO_COUNTOF(counts); i++)
        json_object_set_new(report, counts[i].name, json_integer(counts[i].count));
    TRY(bdpo_arena_new(&arena));
    bdpo_status status = gather_lists(report, store, arena);
    bdpo_arena_free(arena);
    return status;
}

bdpo_status bdpo_store_report(json_t **out, bdpo_score_store *store)
{
    json_t *report = json_object();
    *out = report;
    if (!report) return bdpo_fail(BDPO_NO_MEMORY, "no memory for the report");
    bdpo_status status = gather(report, store);
    if (status == BDPO_OK) return BDPO_OK;
    json_decref(report);
    *out = NULL;
    return status;
}

// ---- printing ----------------------------------------------------------------------------------

static long long count(const json_t *object, const char *key)
{
    return (long long)json_integer_value(json_object_get(object, key));
}

// A name on its way to a terminal: control characters are shown as '?'.
static void print_name(const char *name, int width)
{
    int n = 0;
    for (; name && *name; name++) {
        unsigned char c = (unsigned char)*name;
        putchar(c < 0x20 || c == 0x7f ? '?' : c);
        if ((c & 0xc0) != 0x80) n++; // the first byte of a character
    }
    for (; n < width; n++) putchar(' ');
}

static const char *word(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

static int longest(json_t *list, const char *key, int width)
{
    size_t i;
    json_t *item;
    json_array_foreach(list, i, item)
    {
        const char *name = word(item, key);
        if (name && (int)strlen(name) > width) width = (int)strlen(name);
    }
    return width < 60 ? width : 60;
}

static void print_counts(json_t *report)
{
    static const char *const keys[] = {"images", "prompts", "scores", "pairs", "votes", "labels"};
    print_name(word(report, "path"), 0);
    printf("\n");
    for (size_t i = 0; i < BDPO_COUNTOF(keys); i++) {
        printf("%-9s %12lld", keys[i], count(report, keys[i]));
        if (i == 2 && count(report, "none") > 0) printf(", %lld none", count(report, "none"));
        if (i == 4 && count(report, "annotators") > 0)
            printf(" of %lld annotator%s", count(report, "annotators"),
                   count(report, "annotators") == 1 ? "" : "s");
        printf("\n");
    }
}

static void print_real(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    if (json_is_number(value))
        printf(" %12.6g", json_number_value(value));
    else
        printf(" %12s", json_is_string(value) ? json_string_value(value) : "-");
}

static void print_scorers(json_t *list)
{
    size_t i;
    json_t *s;
    int width = longest(list, "name", 6);
    if (json_array_size(list) == 0) return;
    printf("\n%-*s  %-12s %10s %8s %12s %12s %12s\n", width, "scorer", "checkpoint", "scored",
           "none", "mean", "min", "max");
    json_array_foreach(list, i, s)
    {
        char checkpoint[13];
        snprintf(checkpoint, sizeof checkpoint, "%s", word(s, "checkpoint"));
        print_name(word(s, "name"), width);
        printf("  ");
        print_name(checkpoint, 12);
        printf(" %10lld %8lld", count(s, "scored"), count(s, "none"));
        print_real(s, "mean");
        print_real(s, "min");
        print_real(s, "max");
        printf("\n");
    }
}

// A list whose columns are a name and counts.
static void print_list(json_t *list, const char *title, const char *name, const char *const *keys,
                       int n)
{
    size_t i;
    json_t *item;
    int width = longest(list, name, (int)strlen(title));
    if (json_array_size(list) == 0) return;
    printf("\n%-*s ", width, title);
    for (int k = 0; k < n; k++) printf(" %10s", keys[k]);
    printf("\n");
    json_array_foreach(list, i, item)
    {
        print_name(word(item, name), width);
        printf(" ");
        for (int k = 0; k < n; k++) printf(" %10lld", count(item, keys[k]));
        printf("\n");
    }
}

void bdpo_store_report_print(json_t *report)
{
    static const char *const set_keys[] = {"pairs", "first",      "second",
                                           "ties",  "unlabelled", "votes"};
    static const char *const rule_keys[] = {"labels", "first", "second", "ties", "unlabelled"};
    print_counts(report);
    print_scorers(json_object_get(report, "scorers"));
    print_list(json_object_get(report, "data_sets"), "data set", "name", set_keys, 6);
    print_list(json_object_get(report, "rules"), "rule", "rule", rule_keys, 5);
}

bdpo_status bdpo_store_print_json(json_t *result)
{
    char *words = result ? json_dumps(result, JSON_INDENT(2) | JSON_REAL_PRECISION(17)) : NULL;
    json_decref(result);
    if (!words) return bdpo_fail(BDPO_NO_MEMORY, "no memory for the result");
    printf("%s\n", words);
    free(words);
    return BDPO_OK;
}

// What a store has: counts, scorers, data sets, rules; and the scorer that a user means.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "formats/growing.h"
#include "formats/printable.h"
#include "scorers/store_sql.h"

// ---- counts ------------------------------------------------------------------------------------

bdpo_status bdpo_score_store_count(bdpo_store_counts *out, bdpo_score_store *store)
{
    bdpo_sql sql;
    bool there;
    TRY(bdpo_sql_prepare(&sql, store,
                         "SELECT (SELECT count(*) FROM images),"
                         " (SELECT count(*) FROM prompts WHERE id > 0),"
                         " (SELECT count(*) FROM scorers), (SELECT count(*) FROM scores),"
                         " (SELECT count(*) FROM scores WHERE score IS NULL),"
                         " (SELECT count(*) FROM pairs), (SELECT count(*) FROM votes),"
                         " (SELECT count(DISTINCT annotator) FROM votes),"
                         " (SELECT count(*) FROM labels)"));
    TRY(bdpo_sql_row(&there, &sql));
    int64_t *const counts[] = {&out->images, &out->prompts,    &out->scorers,
                               &out->scores, &out->none,       &out->pairs,
                               &out->votes,  &out->annotators, &out->labels};
    for (size_t i = 0; i < BDPO_COUNTOF(counts); i++) *counts[i] = bdpo_sql_get_int(&sql, (int)i);
    bdpo_sql_end(&sql);
    return BDPO_OK;
}

// ---- lists -------------------------------------------------------------------------------------

static bdpo_status no_memory(const bdpo_score_store *store)
{
    return bdpo_fail(BDPO_NO_MEMORY, "%s: no memory for a list", store->path);
}

// A column of text into the arena; NULL for want of memory.
static const char *kept_text(const bdpo_sql *sql, int column, bdpo_arena *arena)
{
    const char *text = bdpo_sql_get_text(sql, column);
    return bdpo_arena_strdup(arena, text ? text : "");
}

// Rows of a query into an array, one by one. `take` is false where memory is short.
static bdpo_status list(void **out, int *n, bdpo_score_store *store, bdpo_arena *arena, size_t size,
                        const char *text,
                        bool (*take)(void *item, const bdpo_sql *sql, bdpo_arena *arena))
{
    bdpo_sql sql;
    size_t capacity = 16;
    char *items = bdpo_arena_alloc(arena, capacity, size);
    *n = 0;
    TRY(bdpo_sql_prepare(&sql, store, text));
    for (bool there;;) {
        TRY(bdpo_sql_row(&there, &sql));
        if (!there) break;
        if (items && (size_t)*n == capacity) {
            char *more = bdpo_arena_alloc(arena, 2 * capacity, size);
            if (more) memcpy(more, items, capacity * size);
            items = more;
            capacity *= 2;
        }
        if (!items || !take(items + (size_t)*n * size, &sql, arena)) {
            bdpo_sql_end(&sql);
            return no_memory(store);
        }
        ++*n;
    }
    bdpo_sql_end(&sql);
    *out = items;
    return items ? BDPO_OK : no_memory(store);
}

static bool take_scorer(void *item, const bdpo_sql *sql, bdpo_arena *arena)
{
    bdpo_scorer_summary *s = item;
    *s = (bdpo_scorer_summary){.id = bdpo_sql_get_int(sql, 0),
                               .scorer = {.name = kept_text(sql, 1, arena),
                                          .checkpoint = kept_text(sql, 2, arena),
                                          .settings = kept_text(sql, 3, arena),
                                          .uses_prompt = bdpo_sql_get_int(sql, 4) != 0},
                               .mean = 0,
                               .min = NAN,
                               .max = NAN};
    return s->scorer.name && s->scorer.checkpoint && s->scorer.settings;
}

static void count_score(bdpo_scorer_summary *scorers, int n, int64_t id, double score)
{
    int i = 0;
    while (i < n && scorers[i].id != id) i++;
    if (i == n) return;
    if (isnan(score)) {
        scorers[i].none++;
        return;
    }
    scorers[i].scored++;
    scorers[i].mean += score; // the sum, while counting
    scorers[i].min = fmin(scorers[i].min, score);
    scorers[i].max = fmax(scorers[i].max, score);
}

bdpo_status bdpo_score_store_list_scorers(bdpo_scorer_summary **out, int *n,
                                          bdpo_score_store *store, bdpo_arena *arena)
{
    bdpo_sql sql;
    void *items;
    TRY(list(&items, n, store, arena, sizeof **out,
             "SELECT id, name, checkpoint, settings, uses_prompt FROM scorers"
             " ORDER BY name, checkpoint, id",
             take_scorer));
    bdpo_scorer_summary *scorers = items;
    // Added up here: GROUP BY would sort every score of the store first.
    TRY(bdpo_sql_prepare(&sql, store, "SELECT scorer, score FROM scores"));
    for (bool there;;) {
        TRY(bdpo_sql_row(&there, &sql));
        if (!there) break;
        count_score(scorers, *n, bdpo_sql_get_int(&sql, 0), bdpo_sql_get_real(&sql, 1));
    }
    bdpo_sql_end(&sql);
    for (int i = 0; i < *n; i++)
        scorers[i].mean = scorers[i].scored > 0 ? scorers[i].mean / (double)scorers[i].scored : NAN;
    *out = scorers;
    return BDPO_OK;
}

static bool take_data_set(void *item, const bdpo_sql *sql, bdpo_arena *arena)
{
    bdpo_data_set_summary *d = item;
    *d = (bdpo_data_set_summary){.name = kept_text(sql, 0, arena),
                                 .pairs = bdpo_sql_get_int(sql, 1),
                                 .first = bdpo_sql_get_int(sql, 2),
                                 .second = bdpo_sql_get_int(sql, 3),
                                 .ties = bdpo_sql_get_int(sql, 4),
                                 .unlabelled = bdpo_sql_get_int(sql, 5),
                                 .votes = bdpo_sql_get_int(sql, 6),
                                 .finished = bdpo_sql_get_int(sql, 7) == 1};
    return d->name != NULL;
}

bdpo_status bdpo_score_store_list_data_sets(bdpo_data_set_summary **out, int *n,
                                            bdpo_score_store *store, bdpo_arena *arena)
{
    void *items;
    TRY(list(&items, n, store, arena, sizeof **out,
             "SELECT d.name, count(x.id), total(x.label > 0.5), total(x.label < 0.5),"
             " total(x.label = 0.5), count(x.id) - count(x.label),"
             " (SELECT count(*) FROM votes v WHERE EXISTS (SELECT 1 FROM pairs y"
             "  WHERE y.data_set = d.id AND y.prompt = v.prompt"
             "  AND ((y.image_0 = v.image_0 AND y.image_1 = v.image_1)"
             "       OR (y.image_0 = v.image_1 AND y.image_1 = v.image_0)))),"
             " ifnull(d.finished = count(x.id), 0)"
             " FROM data_sets d LEFT JOIN pairs x ON x.data_set = d.id"
             " GROUP BY d.id ORDER BY d.name",
             take_data_set));
    *out = items;
    return BDPO_OK;
}

static bool take_rule(void *item, const bdpo_sql *sql, bdpo_arena *arena)
{
    bdpo_rule_summary *r = item;
    *r = (bdpo_rule_summary){.id = bdpo_sql_get_int(sql, 0),
                             .text = kept_text(sql, 1, arena),
                             .scorers = kept_text(sql, 2, arena),
                             .labels = bdpo_sql_get_int(sql, 3),
                             .first = bdpo_sql_get_int(sql, 4),
                             .second = bdpo_sql_get_int(sql, 5),
                             .unlabelled = bdpo_sql_get_int(sql, 6),
                             .ties = bdpo_sql_get_int(sql, 7)};
    return r->text && r->scorers;
}

bdpo_status bdpo_score_store_list_rules(bdpo_rule_summary **out, int *n, bdpo_score_store *store,
                                        bdpo_arena *arena)
{
    void *items;
    TRY(list(&items, n, store, arena, sizeof **out,
             "SELECT r.id, r.text, r.scorers, count(l.pair), total(l.probability > 0.5),"
             " total(l.probability < 0.5), count(l.pair) - count(l.probability), total(l.tie)"
             " FROM rules r LEFT JOIN labels l ON l.rule = r.id GROUP BY r.id ORDER BY r.id",
             take_rule));
    *out = items;
    return BDPO_OK;
}

// ---- the scorer that is meant ------------------------------------------------------------------

// "clip-h@2b1e0c3f, pickscore@9a...": the scorers of a query, as a message lists them.
static bdpo_status list_names(bdpo_growing *out, bdpo_score_store *store, const char *name)
{
    bdpo_sql sql;
    TRY(bdpo_sql_prepare(&sql, store,
                         "SELECT printf('%s@%.8s (#%d)', name, checkpoint, id) FROM scorers"
                         " WHERE name = ifnull(?, name) ORDER BY name, checkpoint, id LIMIT 12"));
    bdpo_sql_text(&sql, name);
    for (bool there;;) {
        TRY(bdpo_sql_row(&there, &sql));
        if (!there) break;
        const char *text = bdpo_sql_get_text(&sql, 0);
        if ((out->size > 0 && !bdpo_growing_add_text(out, ", ")) ||
            !bdpo_growing_add_text(out, text ? text : "")) {
            bdpo_sql_end(&sql);
            return no_memory(store);
        }
    }
    bdpo_sql_end(&sql);
    if (out->size == 0 && !bdpo_growing_add_text(out, "none")) return no_memory(store);
    for (size_t i = 0; i < out->size; i++) // a file may name a scorer as it likes
        if (out->data[i] < 0x20 || out->data[i] == 0x7f) out->data[i] = '?';
    return bdpo_growing_add(out, "", 1) ? BDPO_OK : no_memory(store);
}

static bdpo_status not_one(bdpo_score_store *store, const char *words, const char *name, bool none)
{
    bdpo_growing names = {0};
    bdpo_status status = list_names(&names, store, none ? NULL : name);
    const char *list_of = (const char *)names.data;
    if (status == BDPO_OK && none)
        status = bdpo_fail(BDPO_NOT_FOUND, "%s: no scorer %s; there are: %s", store->path,
                           bdpo_printable(words).text, list_of);
    else if (status == BDPO_OK)
        status = bdpo_fail(BDPO_BAD_ARGUMENT, "%s: several scorers are %s: say which of %s",
                           store->path, bdpo_printable(words).text, list_of);
    bdpo_free(names.data);
    return status;
}

// Counts who fits; *id is one of them.
static bdpo_status match(int64_t *id, int64_t *n, bdpo_score_store *store, const char *name,
                         const char *checkpoint, int64_t wanted)
{
    bdpo_sql sql;
    bool there;
    TRY(bdpo_sql_prepare(&sql, store,
                         "SELECT count(*), min(id) FROM scorers WHERE id = ?3 OR (name = ?1"
                         " AND substr(checkpoint, 1, length(?2)) = ?2)"));
    bdpo_sql_text(&sql, name);
    bdpo_sql_text(&sql, checkpoint);
    bdpo_sql_int(&sql, wanted);
    TRY(bdpo_sql_row(&there, &sql));
    *n = bdpo_sql_get_int(&sql, 0);
    *id = *n > 0 ? bdpo_sql_get_int(&sql, 1) : BDPO_NO_ID;
    bdpo_sql_end(&sql);
    return BDPO_OK;
}

bdpo_status bdpo_score_store_choose_scorer(int64_t *id, bdpo_score_store *store, const char *words)
{
    int64_t n, wanted = BDPO_NO_ID;
    size_t size = strlen(words) + 1;
    char *end, *name = bdpo_alloc(size, 1);
    if (!name) return no_memory(store);
    memcpy(name, words, size);
    char *checkpoint = strrchr(name, '@');
    if (checkpoint) *checkpoint++ = '\0';
    if (words[0] == '#') {
        wanted = strtoll(words + 1, &end, 10);
        if (*end != '\0' || end == words + 1) wanted = BDPO_NO_ID;
    }
    bdpo_status status = match(id, &n, store, name, checkpoint ? checkpoint : "", wanted);
    if (status == BDPO_OK && n != 1) status = not_one(store, words, name, n == 0);
    bdpo_free(name);
    return status;
}

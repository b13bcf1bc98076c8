// Reading row by row: pairs with their scores, and every score.
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "formats/growing.h"
#include "formats/printable.h"
#include "scorers/store_sql.h"

// ---- pairs -------------------------------------------------------------------------------------

// A row is asked for by the one before it and its texts are copied, so that no statement is open
// between two calls: one that is would hold an old state of the file, from which SQLite lets nobody
// begin to write.
struct bdpo_pair_cursor {
    bdpo_score_store *store;
    bdpo_arena *arena; // of what stays the same from row to row
    bdpo_sql next;
    const int64_t *scorers;
    int n_scorers, n_data_sets, at; // at: the present data set
    const int64_t *data_sets;       // in the order of their names
    const char *const *names;
    int64_t last_row; // of the present data set
    bool any_votes;
    double *scores[2];
    bool *missing[2];
    bdpo_growing texts; // of the present row, each ended by a zero byte
    bdpo_scored_pair row;
};

static bdpo_status no_memory(const bdpo_score_store *store)
{
    return bdpo_fail(BDPO_NO_MEMORY, "%s: no memory for reading", store->path);
}

static bdpo_status keep_data_sets(bdpo_pair_cursor *cursor, bdpo_sql *sql, int64_t count)
{
    int64_t *ids = bdpo_arena_alloc(cursor->arena, (size_t)count, sizeof *ids);
    const char **names = bdpo_arena_alloc(cursor->arena, (size_t)count, sizeof *names);
    if (!ids || !names) return no_memory(cursor->store);
    int n = 0;
    for (bool there; n < count; n++) {
        TRY(bdpo_sql_row(&there, sql));
        if (!there) break;
        const char *name = bdpo_sql_get_text(sql, 1);
        ids[n] = bdpo_sql_get_int(sql, 0);
        names[n] = bdpo_arena_strdup(cursor->arena, name ? name : "");
        if (!names[n]) return no_memory(cursor->store);
    }
    cursor->data_sets = ids;
    cursor->names = names;
    cursor->n_data_sets = n;
    return BDPO_OK;
}

static bdpo_status find_data_sets(bdpo_pair_cursor *cursor, const char *only)
{
    bdpo_sql sql;
    int64_t count, votes;
    TRY(bdpo_sql_prepare(&sql, cursor->store, "SELECT count(*) FROM data_sets"));
    TRY(bdpo_sql_id(&count, &sql));
    TRY(bdpo_sql_prepare(&sql, cursor->store, "SELECT EXISTS (SELECT 1 FROM votes)"));
    TRY(bdpo_sql_id(&votes, &sql));
    cursor->any_votes = votes == 1;
    TRY(bdpo_sql_prepare(&sql, cursor->store,
                         "SELECT id, name FROM data_sets WHERE name = ifnull(?, name)"
                         " ORDER BY name"));
    bdpo_sql_text(&sql, only);
    bdpo_status status = keep_data_sets(cursor, &sql, count);
    bdpo_sql_end(&sql);
    TRY(status);
    if (!only || cursor->n_data_sets > 0) return BDPO_OK;
    return bdpo_fail(BDPO_NOT_FOUND, "%s: no data set %s", cursor->store->path,
                     bdpo_printable(only).text);
}

static bdpo_status prepare(bdpo_pair_cursor *cursor, const int64_t *scorers, int n)
{
    size_t count = (size_t)n;
    int64_t *kept = bdpo_arena_alloc(cursor->arena, count, sizeof *kept);
    for (int i = 0; i < 2; i++) {
        cursor->scores[i] = bdpo_arena_alloc(cursor->arena, count, sizeof(double));
        cursor->missing[i] = bdpo_arena_alloc(cursor->arena, count, sizeof(bool));
        if (!cursor->scores[i] || !cursor->missing[i]) return no_memory(cursor->store);
    }
    if (!kept) return no_memory(cursor->store);
    for (int i = 0; i < n; i++) kept[i] = scorers[i];
    cursor->scorers = kept;
    cursor->n_scorers = n;
    return bdpo_sql_prepare(
        &cursor->next, cursor->store,
        "SELECT x.id, x.row, x.image_0, x.image_1, x.prompt, x.label, x.model_0, x.model_1, p.text,"
        " i.sha256, j.sha256, i.path, j.path FROM pairs x JOIN prompts p ON p.id = x.prompt"
        " JOIN images i ON i.id = x.image_0 JOIN images j ON j.id = x.image_1"
        " WHERE x.data_set = ? AND x.row > ? ORDER BY x.row LIMIT 1");
}

bdpo_status bdpo_pair_cursor_open(bdpo_pair_cursor **out, bdpo_score_store *store,
                                  const char *data_set, const int64_t *scorers, int n)
{
    *out = NULL;
    bdpo_pair_cursor *cursor = bdpo_alloc(1, sizeof *cursor);
    if (!cursor) return no_memory(store);
    cursor->store = store;
    cursor->last_row = -1;
    bdpo_status status = bdpo_arena_new(&cursor->arena);
    if (status == BDPO_OK) status = find_data_sets(cursor, data_set);
    if (status == BDPO_OK) status = prepare(cursor, scorers, n);
    if (status != BDPO_OK)
        bdpo_pair_cursor_close(cursor);
    else
        *out = cursor;
    return status;
}

void bdpo_pair_cursor_close(bdpo_pair_cursor *cursor)
{
    if (!cursor) return;
    bdpo_sql_end(&cursor->next);
    bdpo_arena_free(cursor->arena);
    bdpo_free(cursor->texts.data);
    bdpo_free(cursor);
}

// The row's texts, one behind the other; pointers are taken when all are there.
static bdpo_status copy_texts(bdpo_pair_cursor *cursor, const bdpo_sql *sql)
{
    enum { FIRST = 6, PROMPT = 2, TEXTS = 7 };
    bdpo_scored_pair *row = &cursor->row;
    const char **const texts[TEXTS] = {&row->pair.model_0, &row->pair.model_1, &row->prompt_text,
                                       &row->sha256_0,     &row->sha256_1,     &row->path_0,
                                       &row->path_1};
    size_t begin[TEXTS];
    cursor->texts.size = 0;
    for (int i = 0; i < TEXTS; i++) {
        const void *bytes = sqlite3_column_blob(sql->statement, FIRST + i);
        size_t size = (size_t)sqlite3_column_bytes(sql->statement, FIRST + i);
        begin[i] = cursor->texts.size;
        if (!bdpo_growing_add(&cursor->texts, bytes, size) ||
            !bdpo_growing_add(&cursor->texts, "", 1))
            return no_memory(cursor->store);
        if (i == PROMPT) row->prompt_length = size;
    }
    for (int i = 0; i < TEXTS; i++) {
        bool there = sqlite3_column_type(sql->statement, FIRST + i) != SQLITE_NULL;
        *texts[i] = there ? (const char *)cursor->texts.data + begin[i] : NULL;
    }
    return BDPO_OK;
}

static bdpo_status take_row(bool *there, bdpo_pair_cursor *cursor)
{
    bdpo_sql sql = cursor->next; // stays prepared: rewound here, ended by close
    sqlite3_reset(sql.statement);
    sql.owned = false;
    bdpo_sql_int(&sql, cursor->data_sets[cursor->at]);
    bdpo_sql_int(&sql, cursor->last_row);
    TRY(bdpo_sql_row(there, &sql));
    bdpo_status status = BDPO_OK;
    if (*there) {
        bdpo_stored_pair *pair = &cursor->row.pair;
        cursor->row.id = bdpo_sql_get_int(&sql, 0);
        pair->data_set = cursor->names[cursor->at];
        cursor->last_row = pair->row = bdpo_sql_get_int(&sql, 1);
        pair->image_0 = bdpo_sql_get_int(&sql, 2);
        pair->image_1 = bdpo_sql_get_int(&sql, 3);
        pair->prompt = bdpo_sql_get_int(&sql, 4);
        pair->label = bdpo_sql_get_real(&sql, 5);
        status = copy_texts(cursor, &sql);
    }
    bdpo_sql_end(&sql);
    return status;
}

static bdpo_status sum_votes(bdpo_pair_cursor *cursor)
{
    bdpo_sql sql;
    bool there;
    const bdpo_stored_pair *pair = &cursor->row.pair;
    cursor->row.n_votes = 0;
    cursor->row.votes_for_0 = 0;
    if (!cursor->any_votes) return BDPO_OK;
    // The first three terms are those of the index votes_once.
    TRY(bdpo_sql_ready(&sql, cursor->store, BDPO_SQL_SUM_VOTES,
                       "SELECT count(*), total(iif(image_0 = ?1, choice, 1 - choice)) FROM votes"
                       " WHERE min(image_0, image_1) = min(?1, ?2)"
                       " AND max(image_0, image_1) = max(?1, ?2) AND prompt = ?3"));
    bdpo_sql_int(&sql, pair->image_0);
    bdpo_sql_int(&sql, pair->image_1);
    bdpo_sql_int(&sql, pair->prompt);
    TRY(bdpo_sql_row(&there, &sql));
    if (there) {
        cursor->row.n_votes = (int)bdpo_sql_get_int(&sql, 0);
        cursor->row.votes_for_0 = bdpo_sql_get_real(&sql, 1);
    }
    bdpo_sql_end(&sql);
    return BDPO_OK;
}

static bdpo_status add_scores(bdpo_pair_cursor *cursor)
{
    const bdpo_stored_pair *pair = &cursor->row.pair;
    const int64_t images[] = {pair->image_0, pair->image_1};
    for (int i = 0; i < 2; i++)
        TRY(bdpo_score_store_get_scores(cursor->scores[i], cursor->missing[i], cursor->store,
                                        images[i], pair->prompt, cursor->scorers,
                                        cursor->n_scorers));
    cursor->row.scores_0 = cursor->scores[0];
    cursor->row.scores_1 = cursor->scores[1];
    cursor->row.missing_0 = cursor->missing[0];
    cursor->row.missing_1 = cursor->missing[1];
    return sum_votes(cursor);
}

bdpo_status bdpo_pair_cursor_next(const bdpo_scored_pair **out, bdpo_pair_cursor *cursor)
{
    *out = NULL;
    for (; cursor->at < cursor->n_data_sets; cursor->at++, cursor->last_row = -1) {
        bool there;
        TRY(take_row(&there, cursor));
        if (!there) continue;
        TRY(add_scores(cursor));
        *out = &cursor->row;
        return BDPO_OK;
    }
    return BDPO_OK;
}

// ---- every score -------------------------------------------------------------------------------

struct bdpo_score_cursor {
    bdpo_sql sql;
    bdpo_score_row row;
};

static bool put_filter(bdpo_growing *text, const bdpo_score_filter *filter)
{
    char number[32];
    bool fits = true;
    for (int i = 0; i < filter->n_scorers; i++) {
        snprintf(number, sizeof number, "%s%lld", i > 0 ? ", " : " AND v.scorer IN (",
                 (long long)filter->scorers[i]);
        fits = fits && bdpo_growing_add_text(text, number);
    }
    if (filter->n_scorers > 0) fits = fits && bdpo_growing_add_text(text, ")");
    if (!filter->data_set) return fits;
    return fits && bdpo_growing_add_text(
                       text, " AND (EXISTS (SELECT 1 FROM pairs x WHERE x.image_0 = v.image"
                             " AND v.prompt IN (0, x.prompt) AND x.data_set = ?1)"
                             " OR EXISTS (SELECT 1 FROM pairs x WHERE x.image_1 = v.image"
                             " AND v.prompt IN (0, x.prompt) AND x.data_set = ?1))");
}

static bdpo_status prepare_scores(bdpo_sql *out, bdpo_score_store *store,
                                  const bdpo_score_filter *filter, int64_t data_set)
{
    bdpo_growing text = {0};
    bool fits = bdpo_growing_add_text(
        &text, "SELECT i.sha256, i.path, p.text, s.name, s.checkpoint, v.score, v.reason"
               " FROM scores v CROSS JOIN images i ON i.id = v.image"
               " CROSS JOIN prompts p ON p.id = v.prompt"
               " CROSS JOIN scorers s ON s.id = v.scorer WHERE true");
    fits = fits && put_filter(&text, filter);
    fits = fits && bdpo_growing_add_text(&text, " ORDER BY v.image, v.prompt, v.scorer");
    fits = fits && bdpo_growing_add(&text, "", 1);
    bdpo_status status =
        fits ? bdpo_sql_prepare(out, store, (const char *)text.data) : no_memory(store);
    bdpo_free(text.data);
    if (status == BDPO_OK && filter->data_set) bdpo_sql_int(out, data_set);
    return status;
}

static bdpo_status find_data_set(int64_t *id, bdpo_score_store *store, const char *name)
{
    bdpo_sql sql;
    *id = BDPO_NO_ID;
    if (!name) return BDPO_OK;
    TRY(bdpo_sql_prepare(&sql, store, "SELECT id FROM data_sets WHERE name = ?"));
    bdpo_sql_text(&sql, name);
    TRY(bdpo_sql_id(id, &sql));
    if (*id != BDPO_NO_ID) return BDPO_OK;
    return bdpo_fail(BDPO_NOT_FOUND, "%s: no data set %s", store->path, bdpo_printable(name).text);
}

bdpo_status bdpo_score_cursor_open(bdpo_score_cursor **out, bdpo_score_store *store,
                                   const bdpo_score_filter *filter)
{
    int64_t data_set;
    *out = NULL;
    TRY(find_data_set(&data_set, store, filter->data_set));
    bdpo_score_cursor *cursor = bdpo_alloc(1, sizeof *cursor);
    if (!cursor) return no_memory(store);
    bdpo_status status = prepare_scores(&cursor->sql, store, filter, data_set);
    if (status != BDPO_OK)
        bdpo_score_cursor_close(cursor);
    else
        *out = cursor;
    return status;
}

bdpo_status bdpo_score_cursor_next(const bdpo_score_row **out, bdpo_score_cursor *cursor)
{
    const bdpo_sql *sql = &cursor->sql;
    bool there = false;
    *out = NULL;
    if (sql->statement) TRY(bdpo_sql_row(&there, &cursor->sql));
    if (!there) {
        bdpo_sql_end(&cursor->sql);
        return BDPO_OK;
    }
    bool any_prompt = sqlite3_column_type(sql->statement, 2) == SQLITE_NULL;
    const char *prompt = sqlite3_column_blob(sql->statement, 2); // NULL where it is empty
    cursor->row = (bdpo_score_row){.sha256 = bdpo_sql_get_text(sql, 0),
                                   .path = bdpo_sql_get_text(sql, 1),
                                   .prompt = any_prompt ? NULL
                                             : prompt   ? prompt
                                                        : "",
                                   .scorer = bdpo_sql_get_text(sql, 3),
                                   .checkpoint = bdpo_sql_get_text(sql, 4),
                                   .score = bdpo_sql_get_real(sql, 5),
                                   .reason = bdpo_sql_get_text(sql, 6)};
    cursor->row.prompt_length = (size_t)sqlite3_column_bytes(sql->statement, 2);
    *out = &cursor->row;
    return BDPO_OK;
}

void bdpo_score_cursor_close(bdpo_score_cursor *cursor)
{
    if (!cursor) return;
    bdpo_sql_end(&cursor->sql);
    bdpo_free(cursor);
}

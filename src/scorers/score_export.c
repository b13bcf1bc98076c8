// Scores and pairs as rows.
#include "scorers/score_export.h"

#include <string.h>

static bdpo_table_value text_value(const char *text)
{
    return (bdpo_table_value){.text = text, .length = text ? strlen(text) : 0};
}

// ---- scores ------------------------------------------------------------------------------------

static bdpo_status write_scores(int64_t *n, bdpo_table_writer *writer, bdpo_score_cursor *cursor)
{
    for (const bdpo_score_row *row;; ++*n) {
        TRY(bdpo_score_cursor_next(&row, cursor));
        if (!row) return BDPO_OK;
        const bdpo_table_value values[] = {text_value(row->sha256),
                                           text_value(row->path),
                                           {.text = row->prompt, .length = row->prompt_length},
                                           text_value(row->scorer),
                                           text_value(row->checkpoint),
                                           {.number = row->score},
                                           text_value(row->reason)};
        TRY(bdpo_table_writer_row(writer, values));
    }
}

static bdpo_status finish(bdpo_table_writer *writer, bdpo_status status)
{
    if (status == BDPO_OK) return bdpo_table_writer_commit(writer);
    bdpo_table_writer_abort(writer);
    return status;
}

static bdpo_status export_scores(int64_t *n, bdpo_score_store *store, const bdpo_score_export *what)
{
    static const bdpo_table_column columns[] = {
        {"image", BDPO_TABLE_TEXT},  {"path", BDPO_TABLE_TEXT},       {"prompt", BDPO_TABLE_TEXT},
        {"scorer", BDPO_TABLE_TEXT}, {"checkpoint", BDPO_TABLE_TEXT}, {"score", BDPO_TABLE_REAL},
        {"reason", BDPO_TABLE_TEXT}};
    bdpo_score_cursor *cursor;
    bdpo_table_writer *writer;
    TRY(bdpo_score_cursor_open(&cursor, store, &what->filter));
    bdpo_status status = bdpo_table_writer_open(&writer, what->path, what->stream, what->format,
                                                columns, BDPO_COUNTOF(columns));
    if (status == BDPO_OK) status = finish(writer, write_scores(n, writer, cursor));
    bdpo_score_cursor_close(cursor);
    return status;
}

// ---- pairs -------------------------------------------------------------------------------------

static const bdpo_table_column pair_columns[] = {
    {"data_set", BDPO_TABLE_TEXT}, {"row", BDPO_TABLE_INT},      {"image_0", BDPO_TABLE_TEXT},
    {"path_0", BDPO_TABLE_TEXT},   {"image_1", BDPO_TABLE_TEXT}, {"path_1", BDPO_TABLE_TEXT},
    {"prompt", BDPO_TABLE_TEXT},   {"label", BDPO_TABLE_REAL},   {"model_0", BDPO_TABLE_TEXT},
    {"model_1", BDPO_TABLE_TEXT},  {"votes", BDPO_TABLE_INT},    {"votes_for_0", BDPO_TABLE_REAL}};
enum { PAIR_COLUMNS = BDPO_COUNTOF(pair_columns) };

// The table that a pairs export writes; all in the arena.
typedef struct pair_table {
    bdpo_table_column *columns;
    bdpo_table_value *values;
    int64_t *scorers;
    int n;
} pair_table;

static bool is_wanted(const bdpo_score_filter *filter, int64_t id)
{
    for (int i = 0; i < filter->n_scorers; i++)
        if (filter->scorers[i] == id) return true;
    return filter->n_scorers == 0;
}

// "hpsv2.1_0"; with the checkpoint's beginning where another scorer that is exported has the name,
// and with the id where that one has the same checkpoint too.
static const char *column_name(bdpo_arena *arena, const bdpo_scorer_summary *all, int n, int i,
                               int side)
{
    const bdpo_stored_scorer *s = &all[i].scorer;
    bool name_twice = false, checkpoint_twice = false;
    for (int k = 0; k < n; k++) {
        if (k == i || strcmp(all[k].scorer.name, s->name) != 0) continue;
        name_twice = true;
        if (strncmp(all[k].scorer.checkpoint, s->checkpoint, 8) == 0) checkpoint_twice = true;
    }
    size_t size = strlen(s->name) + 64;
    char *name = bdpo_arena_alloc(arena, size, 1);
    if (!name) return NULL;
    int used = snprintf(name, size, "%s", s->name);
    if (name_twice) used += snprintf(name + used, size - (size_t)used, "@%.8s", s->checkpoint);
    if (checkpoint_twice)
        used += snprintf(name + used, size - (size_t)used, "#%lld", (long long)all[i].id);
    snprintf(name + used, size - (size_t)used, "_%d", side);
    return name;
}

static bdpo_status make_pair_table(pair_table *t, bdpo_score_store *store,
                                   const bdpo_score_filter *filter, bdpo_arena *arena)
{
    bdpo_scorer_summary *all;
    int n_all;
    TRY(bdpo_score_store_list_scorers(&all, &n_all, store, arena));
    int n = 0;
    for (int i = 0; i < n_all; i++)
        if (is_wanted(filter, all[i].id)) all[n++] = all[i];
    t->n = n;
    t->scorers = bdpo_arena_alloc(arena, (size_t)n, sizeof *t->scorers);
    t->columns = bdpo_arena_alloc(arena, (size_t)PAIR_COLUMNS + 2 * (size_t)n, sizeof *t->columns);
    t->values = bdpo_arena_alloc(arena, (size_t)PAIR_COLUMNS + 2 * (size_t)n, sizeof *t->values);
    bool fits = t->scorers && t->columns && t->values;
    if (fits) memcpy(t->columns, pair_columns, sizeof pair_columns);
    for (int i = 0; fits && i < n; i++) {
        t->scorers[i] = all[i].id;
        for (int side = 0; side < 2; side++) {
            const char *name = column_name(arena, all, n, i, side);
            t->columns[PAIR_COLUMNS + 2 * i + side] = (bdpo_table_column){name, BDPO_TABLE_REAL};
            fits = fits && name;
        }
    }
    return fits ? BDPO_OK
                : bdpo_fail(BDPO_NO_MEMORY, "%s: no memory for columns",
                            bdpo_score_store_path(store));
}

static void fill_pair(const pair_table *t, const bdpo_scored_pair *row)
{
    const bdpo_stored_pair *p = &row->pair;
    const bdpo_table_value fixed[PAIR_COLUMNS] = {
        text_value(p->data_set),
        {.integer = p->row},
        text_value(row->sha256_0),
        text_value(row->path_0),
        text_value(row->sha256_1),
        text_value(row->path_1),
        {.text = row->prompt_text, .length = row->prompt_length},
        {.number = p->label},
        text_value(p->model_0),
        text_value(p->model_1),
        {.integer = row->n_votes},
        {.number = row->votes_for_0},
    };
    memcpy(t->values, fixed, sizeof fixed);
    for (int i = 0; i < t->n; i++) {
        t->values[PAIR_COLUMNS + 2 * i].number = row->scores_0[i];
        t->values[PAIR_COLUMNS + 2 * i + 1].number = row->scores_1[i];
    }
}

static bdpo_status write_pairs(int64_t *n, bdpo_table_writer *writer, const pair_table *t,
                               bdpo_pair_cursor *cursor)
{
    for (const bdpo_scored_pair *row;; ++*n) {
        TRY(bdpo_pair_cursor_next(&row, cursor));
        if (!row) return BDPO_OK;
        fill_pair(t, row);
        TRY(bdpo_table_writer_row(writer, t->values));
    }
}

static bdpo_status export_pairs(int64_t *n, bdpo_score_store *store, const bdpo_score_export *what,
                                bdpo_arena *arena)
{
    pair_table table;
    bdpo_pair_cursor *cursor;
    bdpo_table_writer *writer;
    TRY(make_pair_table(&table, store, &what->filter, arena));
    TRY(bdpo_pair_cursor_open(&cursor, store, what->filter.data_set, table.scorers, table.n));
    bdpo_status status =
        bdpo_table_writer_open(&writer, what->path, what->stream, what->format, table.columns,
                               (size_t)PAIR_COLUMNS + 2 * (size_t)table.n);
    if (status == BDPO_OK) status = finish(writer, write_pairs(n, writer, &table, cursor));
    bdpo_pair_cursor_close(cursor);
    return status;
}

bdpo_status bdpo_score_store_export(int64_t *n_rows, bdpo_score_store *store,
                                    const bdpo_score_export *what)
{
    bdpo_arena *arena;
    *n_rows = 0;
    if (!what->pairs) return export_scores(n_rows, store, what);
    TRY(bdpo_arena_new(&arena));
    bdpo_status status = export_pairs(n_rows, store, what, arena);
    bdpo_arena_free(arena);
    return status;
}

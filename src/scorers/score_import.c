// Rows into a store. What a file says twice and which paths were hashed stands in temporary tables,
// so that a file of any size takes little memory.
#include "scorers/score_import.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "formats/printable.h"
#include "scorers/import_rows.h"
#include "scorers/store_sql.h"

enum { MAX_SCORERS = 256 };

// A scorer of the file.
typedef struct known_scorer {
    char *name, *version;
    int64_t id;
    bool uses_prompt;
} known_scorer;

typedef struct import {
    bdpo_score_store *store;
    const bdpo_score_import *what;
    bdpo_import_counts *counts;
    bdpo_arena *arena;
    known_scorer scorers[MAX_SCORERS];
    int n_scorers;
    char why[512]; // the present row is bad; "" where it is not
} import;

bool bdpo_import_format_of(bdpo_import_format *out, const char *path)
{
    static const char *const endings[] = {".csv", ".tsv", ".jsonl"};
    const char *ending = strrchr(path, '.');
    for (int i = 0; ending && i < 3; i++) {
        if (strcmp(ending, endings[i]) != 0) continue;
        *out = (bdpo_import_format)i;
        return true;
    }
    return false;
}

// ---- pictures ----------------------------------------------------------------------------------

static bool is_hash(const char *text)
{
    return strlen(text) == 64 && strspn(text, "0123456789abcdefABCDEF") == 64;
}

// Relative to the folder of the file that is imported.
static bdpo_status full_path(char out[BDPO_PATH_BYTES], const import *m, const char *path)
{
    char folder[BDPO_PATH_BYTES];
    const char *slash = strrchr(m->what->path, '/');
    if (path[0] == '/' || !slash || strlen(m->what->path) >= sizeof folder)
        return bdpo_file_join(out, "", path);
    size_t n = (size_t)(slash - m->what->path) + 1; // with the slash: it may be the root
    memcpy(folder, m->what->path, n);
    folder[n] = '\0';
    return bdpo_file_join(out, folder, path);
}

static bdpo_status put_image(int64_t *id, import *m, const bdpo_stored_image *image)
{
    TRY(bdpo_score_store_find_image(id, m->store, image->sha256));
    if (*id == BDPO_NO_ID) m->counts->images++;
    return bdpo_score_store_put_image(id, m->store, image);
}

static bdpo_status note_path(bdpo_score_store *store, const char *path, int64_t id)
{
    bdpo_sql sql;
    TRY(bdpo_sql_ready(&sql, store, BDPO_SQL_IMPORT_ADD_PATH,
                       "INSERT INTO temp.import_paths (path, image) VALUES (?, ?)"));
    bdpo_sql_text(&sql, path);
    bdpo_sql_int(&sql, id);
    return bdpo_sql_run(&sql);
}

// Each path is hashed once.
static bdpo_status find_path(int64_t *id, import *m, const char *path)
{
    bdpo_sql sql;
    bdpo_sha256_text hash;
    char full[BDPO_PATH_BYTES];
    struct stat info;
    TRY(bdpo_sql_ready(&sql, m->store, BDPO_SQL_IMPORT_FIND_PATH,
                       "SELECT image FROM temp.import_paths WHERE path = ?"));
    bdpo_sql_text(&sql, path);
    TRY(bdpo_sql_id(id, &sql));
    if (*id != BDPO_NO_ID) return BDPO_OK;
    if (full_path(full, m, path) != BDPO_OK || bdpo_sha256_file(&hash, full) != BDPO_OK) {
        snprintf(m->why, sizeof m->why, "image is no SHA-256, and as a path: %s", bdpo_message());
        return BDPO_OK;
    }
    bdpo_stored_image image = {.sha256 = hash.hex, .size_bytes = -1, .path = full};
    if (stat(full, &info) == 0) image.size_bytes = info.st_size;
    TRY(put_image(id, m, &image));
    return note_path(m->store, path, *id);
}

static bdpo_status find_image(int64_t *id, import *m, const char *text)
{
    char hash[65];
    if (!is_hash(text)) return find_path(id, m, text);
    for (int i = 0; i < 65; i++)
        hash[i] = text[i] >= 'A' && text[i] <= 'F' ? (char)(text[i] - 'A' + 'a') : text[i];
    return put_image(id, m, &(bdpo_stored_image){.sha256 = hash, .size_bytes = -1});
}

// ---- scorers -----------------------------------------------------------------------------------

// The scorer of that name and version, whatever its settings; *n says how many there are.
static bdpo_status ask_scorer(int64_t *n, known_scorer *out, bdpo_score_store *store,
                              const bdpo_import_row *row)
{
    bdpo_sql sql;
    bool there;
    TRY(bdpo_sql_prepare(&sql, store,
                         "SELECT count(*), min(id), min(uses_prompt) FROM scorers"
                         " WHERE name = ? AND checkpoint = ?"));
    bdpo_sql_text(&sql, row->scorer);
    bdpo_sql_text(&sql, row->version);
    TRY(bdpo_sql_row(&there, &sql));
    *n = bdpo_sql_get_int(&sql, 0);
    out->id = *n > 0 ? bdpo_sql_get_int(&sql, 1) : BDPO_NO_ID;
    out->uses_prompt = *n > 0 ? bdpo_sql_get_int(&sql, 2) != 0 : !row->no_prompt;
    bdpo_sql_end(&sql);
    return BDPO_OK;
}

static bdpo_status learn_scorer(known_scorer *out, import *m, const bdpo_import_row *row)
{
    int64_t n;
    TRY(ask_scorer(&n, out, m->store, row));
    if (n > 1) {
        snprintf(m->why, sizeof m->why,
                 "the store has %lld scorers of this name and version, with other settings each",
                 (long long)n);
        return BDPO_OK;
    }
    if (n == 1) return BDPO_OK;
    bdpo_stored_scorer scorer = {
        .name = row->scorer, .checkpoint = row->version, .uses_prompt = out->uses_prompt};
    bdpo_status status = bdpo_score_store_put_scorer(&out->id, m->store, &scorer);
    if (status == BDPO_BAD_ARGUMENT) {
        snprintf(m->why, sizeof m->why, "%s is no name for a scorer",
                 bdpo_printable(row->scorer).text);
        return BDPO_OK;
    }
    m->counts->scorers++;
    return status;
}

static bdpo_status find_scorer(const known_scorer **out, import *m, const bdpo_import_row *row)
{
    for (int i = 0; i < m->n_scorers; i++) {
        *out = &m->scorers[i];
        if (strcmp((*out)->name, row->scorer) == 0 && strcmp((*out)->version, row->version) == 0)
            return BDPO_OK;
    }
    if (m->n_scorers == MAX_SCORERS) {
        snprintf(m->why, sizeof m->why, "a file may name %d scorers", MAX_SCORERS);
        return BDPO_OK;
    }
    known_scorer *fresh = &m->scorers[m->n_scorers];
    *out = fresh;
    TRY(learn_scorer(fresh, m, row));
    if (m->why[0]) return BDPO_OK;
    fresh->name = bdpo_arena_strdup(m->arena, row->scorer);
    fresh->version = bdpo_arena_strdup(m->arena, row->version);
    if (!fresh->name || !fresh->version)
        return bdpo_fail(BDPO_NO_MEMORY, "%s: no memory for a scorer", m->what->path);
    m->n_scorers++;
    return BDPO_OK;
}

// ---- scores ------------------------------------------------------------------------------------

// Whether the file gave this score before: *line is 0 where not, else where; *same: the same one.
static bdpo_status find_given(int64_t *line, bool *same, bdpo_score_store *store,
                              const bdpo_stored_score *score)
{
    bdpo_sql sql;
    bool there;
    TRY(bdpo_sql_ready(&sql, store, BDPO_SQL_IMPORT_FIND_SCORE,
                       "SELECT line, score IS ? FROM temp.import_scores"
                       " WHERE image = ? AND prompt = ? AND scorer = ?"));
    bdpo_sql_real(&sql, score->score);
    bdpo_sql_int(&sql, score->image);
    bdpo_sql_int(&sql, score->prompt);
    bdpo_sql_int(&sql, score->scorer);
    TRY(bdpo_sql_row(&there, &sql));
    *line = there ? bdpo_sql_get_int(&sql, 0) : 0;
    *same = there && bdpo_sql_get_int(&sql, 1) != 0;
    bdpo_sql_end(&sql);
    return BDPO_OK;
}

static bdpo_status note_given(bdpo_score_store *store, const bdpo_stored_score *score, int64_t line)
{
    bdpo_sql sql;
    TRY(bdpo_sql_ready(&sql, store, BDPO_SQL_IMPORT_ADD_SCORE,
                       "INSERT INTO temp.import_scores (image, prompt, scorer, score, line)"
                       " VALUES (?, ?, ?, ?, ?)"));
    bdpo_sql_int(&sql, score->image);
    bdpo_sql_int(&sql, score->prompt);
    bdpo_sql_int(&sql, score->scorer);
    bdpo_sql_real(&sql, score->score);
    bdpo_sql_int(&sql, line);
    return bdpo_sql_run(&sql);
}

static bdpo_status put_score(import *m, const bdpo_stored_score *score, int64_t line)
{
    bdpo_import_counts *counts = m->counts;
    int64_t before;
    double old;
    bool same, missing;
    TRY(find_given(&before, &same, m->store, score));
    if (before > 0 && !same)
        snprintf(m->why, sizeof m->why,
                 "line %lld gives another score to the same image, prompt and scorer",
                 (long long)before);
    if (isnan(score->score)) counts->none++;
    if (before > 0) {
        counts->same += same;
        return BDPO_OK;
    }
    TRY(note_given(m->store, score, line));
    TRY(bdpo_score_store_get_scores(&old, &missing, m->store, score->image, score->prompt,
                                    &score->scorer, 1));
    if (missing)
        counts->added++;
    else if (isnan(score->score) || old == score->score)
        counts->same++; // a "none" does not replace a number
    else
        counts->replaced++;
    return bdpo_score_store_put_score(m->store, score);
}

static bdpo_status take_prompt(int64_t *id, import *m, const bdpo_import_row *row)
{
    TRY(bdpo_score_store_find_prompt(id, m->store, row->prompt, row->prompt_length));
    if (*id == BDPO_NO_ID) m->counts->prompts++;
    return bdpo_score_store_put_prompt(id, m->store, row->prompt, row->prompt_length);
}

static bdpo_status take_vote(import *m, const bdpo_import_row *row)
{
    bool added;
    bdpo_stored_vote vote = {.choice = row->choice, .annotator = row->annotator, .time = row->time};
    TRY(find_image(&vote.image_0, m, row->images[0]));
    if (!m->why[0]) TRY(find_image(&vote.image_1, m, row->images[1]));
    if (m->why[0]) return BDPO_OK;
    if (vote.image_0 == vote.image_1) {
        snprintf(m->why, sizeof m->why, "both pictures are the same file");
        return BDPO_OK;
    }
    TRY(take_prompt(&vote.prompt, m, row));
    TRY(bdpo_score_store_put_vote(&added, m->store, &vote));
    m->counts->added += added;
    m->counts->same += !added;
    return BDPO_OK;
}

static bdpo_status take_score(import *m, const bdpo_import_row *row)
{
    const known_scorer *scorer;
    bdpo_stored_score score = {.score = row->score, .reason = row->reason};
    TRY(find_scorer(&scorer, m, row));
    if (m->why[0]) return BDPO_OK;
    if (scorer->uses_prompt && row->no_prompt) {
        snprintf(m->why, sizeof m->why,
                 "scorer %s sees the prompt: a score without one says nothing",
                 bdpo_printable(row->scorer).text);
        return BDPO_OK;
    }
    TRY(find_image(&score.image, m, row->image));
    if (m->why[0]) return BDPO_OK;
    score.scorer = scorer->id;
    score.prompt = BDPO_ANY_PROMPT;
    if (scorer->uses_prompt) TRY(take_prompt(&score.prompt, m, row));
    return put_score(m, &score, row->line);
}

// ---- the file ----------------------------------------------------------------------------------

static void say_bad(import *m, int64_t line, const char *why)
{
    char text[1024];
    m->counts->bad++;
    int begin = snprintf(text, sizeof text, "%s:%lld: ", m->what->path, (long long)line);
    if (begin < 0 || (size_t)begin >= sizeof text) begin = 0;
    snprintf(text + begin, sizeof text - (size_t)begin, "%s", why);
    for (char *at = text + begin; *at; at++) // what stands in the file may hold anything
        if ((unsigned char)*at < 0x20 || *at == 0x7f) *at = '?';
    if (m->what->say) m->what->say(m->what->context, text);
}

static bdpo_status take_rows(import *m, bdpo_import_rows *rows)
{
    for (bdpo_import_row *row;;) {
        TRY(bdpo_import_rows_next(&row, rows));
        if (!row) break;
        m->counts->rows++;
        m->why[0] = '\0';
        if (!row->fault[0]) TRY(m->what->votes ? take_vote(m, row) : take_score(m, row));
        if (row->fault[0] || m->why[0]) say_bad(m, row->line, row->fault[0] ? row->fault : m->why);
    }
    const bdpo_import_counts *c = m->counts;
    if (c->bad == 0) return BDPO_OK;
    return bdpo_fail(BDPO_BAD_FILE, "%s: %lld of %lld rows %s bad: nothing was imported",
                     m->what->path, (long long)c->bad, (long long)c->rows,
                     c->bad == 1 ? "is" : "are");
}

static bdpo_status import_rows(import *m, bdpo_import_rows *rows)
{
    TRY(bdpo_sql_exec(m->store,
                      "CREATE TEMP TABLE import_paths (path TEXT PRIMARY KEY, image INTEGER)"
                      " WITHOUT ROWID;"
                      "CREATE TEMP TABLE import_scores (image INTEGER, prompt INTEGER,"
                      " scorer INTEGER, score, line INTEGER, PRIMARY KEY (image, prompt, scorer))"
                      " WITHOUT ROWID"));
    TRY(take_rows(m, rows));
    return bdpo_sql_exec(m->store, "DROP TABLE temp.import_paths; DROP TABLE temp.import_scores");
}

static bdpo_status import_in_batch(import *m, bdpo_import_rows *rows)
{
    TRY(bdpo_score_store_begin(m->store));
    bdpo_status status = import_rows(m, rows);
    if (status == BDPO_OK) return bdpo_score_store_commit(m->store);
    bdpo_score_store_abort(m->store);
    return status;
}

bdpo_status bdpo_score_store_import(bdpo_import_counts *out, bdpo_score_store *store,
                                    const bdpo_score_import *what)
{
    bdpo_import_rows *rows;
    *out = (bdpo_import_counts){0};
    TRY(bdpo_import_rows_open(&rows, what));
    import *m = bdpo_alloc(1, sizeof *m);
    bdpo_status status = m ? bdpo_arena_new(&m->arena)
                           : bdpo_fail(BDPO_NO_MEMORY, "%s: no memory for importing", what->path);
    if (status == BDPO_OK) {
        m->store = store;
        m->what = what;
        m->counts = out;
        status = import_in_batch(m, rows);
    }
    if (m) bdpo_arena_free(m->arena);
    bdpo_free(m);
    bdpo_import_rows_close(rows);
    return status;
}

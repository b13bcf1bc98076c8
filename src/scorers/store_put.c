// Writing, and finding by content: pictures, prompts, scorers, scores, pairs, votes, labels.
#include <math.h>
#include <string.h>

#include "formats/charset.h"
#include "formats/json_write.h"
#include "formats/printable.h"
#include "scorers/store_sql.h"

static void bind_size(bdpo_sql *sql, int64_t size, int64_t unknown)
{
    if (size == unknown)
        bdpo_sql_text(sql, NULL);
    else
        bdpo_sql_int(sql, size);
}

// ---- pictures ----------------------------------------------------------------------------------

static bdpo_status check_hash(const bdpo_score_store *store, const char *sha256)
{
    if (strlen(sha256) == 64 && strspn(sha256, "0123456789abcdef") == 64) return BDPO_OK;
    return bdpo_fail(BDPO_BAD_ARGUMENT,
                     "%s: %s is no SHA-256 of a picture: 64 hexadecimal digits in lower case",
                     store->path, bdpo_printable(sha256).text);
}

bdpo_status bdpo_score_store_find_image(int64_t *id, bdpo_score_store *store, const char *sha256)
{
    bdpo_sql sql;
    TRY(bdpo_sql_ready(&sql, store, BDPO_SQL_FIND_IMAGE, "SELECT id FROM images WHERE sha256 = ?"));
    bdpo_sql_text(&sql, sha256);
    return bdpo_sql_id(id, &sql);
}

static void bind_image(bdpo_sql *sql, const bdpo_stored_image *image)
{
    bdpo_sql_text(sql, image->sha256);
    bind_size(sql, image->size_bytes, -1);
    bind_size(sql, image->width, 0);
    bind_size(sql, image->height, 0);
    bdpo_sql_text(sql, image->path);
}

static bdpo_status improve_image(bdpo_score_store *store, const bdpo_stored_image *image)
{
    bdpo_sql sql;
    TRY(bdpo_sql_ready(&sql, store, BDPO_SQL_IMPROVE_IMAGE,
                       "UPDATE images SET bytes = ifnull(?2, bytes), width = ifnull(?3, width),"
                       " height = ifnull(?4, height), path = ifnull(?5, path)"
                       " WHERE sha256 = ?1 AND (bytes IS NOT ifnull(?2, bytes)"
                       " OR width IS NOT ifnull(?3, width) OR height IS NOT ifnull(?4, height)"
                       " OR path IS NOT ifnull(?5, path))"));
    bind_image(&sql, image);
    return bdpo_sql_run(&sql);
}

bdpo_status bdpo_score_store_put_image(int64_t *id, bdpo_score_store *store,
                                       const bdpo_stored_image *image)
{
    bdpo_sql sql;
    BDPO_NEED_BATCH(store);
    TRY(check_hash(store, image->sha256));
    TRY(bdpo_score_store_find_image(id, store, image->sha256));
    if (*id != BDPO_NO_ID) return improve_image(store, image);
    TRY(bdpo_sql_ready(&sql, store, BDPO_SQL_ADD_IMAGE,
                       "INSERT INTO images (sha256, bytes, width, height, path)"
                       " VALUES (?, ?, ?, ?, ?) RETURNING id"));
    bind_image(&sql, image);
    return bdpo_sql_id(id, &sql);
}

// ---- prompts -----------------------------------------------------------------------------------

bdpo_status bdpo_score_store_find_prompt(int64_t *id, bdpo_score_store *store, const char *text,
                                         size_t length)
{
    bdpo_sql sql;
    TRY(bdpo_sql_ready(&sql, store, BDPO_SQL_FIND_PROMPT, "SELECT id FROM prompts WHERE text = ?"));
    bdpo_sql_prompt(&sql, text, length);
    return bdpo_sql_id(id, &sql);
}

bdpo_status bdpo_score_store_put_prompt(int64_t *id, bdpo_score_store *store, const char *text,
                                        size_t length)
{
    bdpo_sql sql;
    BDPO_NEED_BATCH(store);
    BDPO_ASSERT(text);
    TRY(bdpo_score_store_find_prompt(id, store, text, length));
    if (*id != BDPO_NO_ID) return BDPO_OK;
    TRY(bdpo_sql_ready(&sql, store, BDPO_SQL_ADD_PROMPT,
                       "INSERT INTO prompts (text) VALUES (?) RETURNING id"));
    bdpo_sql_prompt(&sql, text, length);
    return bdpo_sql_id(id, &sql);
}

// ---- scorers -----------------------------------------------------------------------------------

static void bind_scorer(bdpo_sql *sql, const bdpo_stored_scorer *scorer)
{
    bdpo_sql_text(sql, scorer->name);
    bdpo_sql_text(sql, scorer->checkpoint);
    bdpo_sql_text(sql, scorer->settings ? scorer->settings : "{}");
}

static bdpo_status find_scorer(int64_t *id, bool *uses_prompt, bdpo_score_store *store,
                               const bdpo_stored_scorer *scorer)
{
    bdpo_sql sql;
    bool there;
    TRY(bdpo_sql_ready(&sql, store, BDPO_SQL_FIND_SCORER,
                       "SELECT id, uses_prompt FROM scorers"
                       " WHERE name = ? AND checkpoint = ? AND settings = ?"));
    bind_scorer(&sql, scorer);
    TRY(bdpo_sql_row(&there, &sql));
    *id = there ? bdpo_sql_get_int(&sql, 0) : BDPO_NO_ID;
    *uses_prompt = there && bdpo_sql_get_int(&sql, 1) != 0;
    bdpo_sql_end(&sql);
    return BDPO_OK;
}

bdpo_status bdpo_score_store_find_scorer(int64_t *id, bdpo_score_store *store,
                                         const bdpo_stored_scorer *scorer)
{
    bool uses_prompt;
    return find_scorer(id, &uses_prompt, store, scorer);
}

bdpo_status bdpo_score_store_put_scorer(int64_t *id, bdpo_score_store *store,
                                        const bdpo_stored_scorer *scorer)
{
    bdpo_sql sql;
    bool uses_prompt;
    BDPO_NEED_BATCH(store);
    if (scorer->name[0] == '\0' || !bdpo_text_is_utf8(scorer->name))
        return bdpo_fail(BDPO_BAD_ARGUMENT, "%s: %s is no name for a scorer (UTF-8, not empty)",
                         store->path, bdpo_printable(scorer->name).text);
    TRY(find_scorer(id, &uses_prompt, store, scorer));
    if (*id != BDPO_NO_ID && uses_prompt != scorer->uses_prompt)
        return bdpo_fail(BDPO_BAD_ARGUMENT, "%s: scorer %s stands there as one that sees %s prompt",
                         store->path, bdpo_printable(scorer->name).text,
                         uses_prompt ? "the" : "no");
    if (*id != BDPO_NO_ID) return BDPO_OK;
    TRY(bdpo_sql_ready(&sql, store, BDPO_SQL_ADD_SCORER,
                       "INSERT INTO scorers (name, checkpoint, settings, uses_prompt)"
                       " VALUES (?, ?, ?, ?) RETURNING id"));
    bind_scorer(&sql, scorer);
    bdpo_sql_int(&sql, scorer->uses_prompt);
    return bdpo_sql_id(id, &sql);
}

// ---- scores ------------------------------------------------------------------------------------

bdpo_status bdpo_score_store_put_score(bdpo_score_store *store, const bdpo_stored_score *score)
{
    bdpo_sql sql;
    int64_t row;
    bool none = isnan(score->score);
    BDPO_NEED_BATCH(store);
    // The SELECT puts scores of a scorer without prompts under BDPO_ANY_PROMPT, and has no row
    // where there is no such scorer: then nothing is returned.
    TRY(bdpo_sql_ready(&sql, store, BDPO_SQL_PUT_SCORE,
                       "INSERT INTO scores (image, prompt, scorer, score, reason)"
                       " SELECT ?1, iif(uses_prompt, ?2, 0), id, ?4, ?5 FROM scorers WHERE id = ?3"
                       " ON CONFLICT (image, prompt, scorer) DO UPDATE SET"
                       " score = ifnull(excluded.score, score),"
                       " reason = iif(ifnull(excluded.score, score) IS NULL, excluded.reason, NULL)"
                       " RETURNING 1"));
    bdpo_sql_int(&sql, score->image);
    bdpo_sql_int(&sql, score->prompt);
    bdpo_sql_int(&sql, score->scorer);
    bdpo_sql_real(&sql, score->score);
    bdpo_sql_text(&sql, !none ? NULL : score->reason ? score->reason : "nan");
    TRY(bdpo_sql_id(&row, &sql));
    if (row == 1) return BDPO_OK;
    store->broken = true;
    return bdpo_fail(BDPO_BAD_ARGUMENT, "%s: no scorer has the id %lld", store->path,
                     (long long)score->scorer);
}

static void take_score(double *scores, bool *missing, const bdpo_sql *sql, const int64_t *scorers,
                       int n)
{
    int64_t scorer = bdpo_sql_get_int(sql, 0);
    for (int i = 0; i < n; i++) {
        if (scorers[i] != scorer) continue;
        scores[i] = bdpo_sql_get_real(sql, 1);
        if (missing) missing[i] = false;
    }
}

bdpo_status bdpo_score_store_get_scores(double *scores, bool *missing, bdpo_score_store *store,
                                        int64_t image, int64_t prompt, const int64_t *scorers,
                                        int n)
{
    bdpo_sql sql;
    for (int i = 0; i < n; i++) {
        scores[i] = NAN;
        if (missing) missing[i] = true;
    }
    if (image == BDPO_NO_ID) return BDPO_OK;
    // One range of the primary key for both prompts, whatever the number of scorers.
    TRY(bdpo_sql_ready(&sql, store, BDPO_SQL_GET_SCORES,
                       "SELECT scorer, score FROM scores WHERE image = ? AND prompt IN (0, ?)"));
    bdpo_sql_int(&sql, image);
    bdpo_sql_int(&sql, prompt);
    for (bool there;;) {
        TRY(bdpo_sql_row(&there, &sql));
        if (!there) break;
        take_score(scores, missing, &sql, scorers, n);
    }
    bdpo_sql_end(&sql);
    return BDPO_OK;
}

// ---- pairs -------------------------------------------------------------------------------------

static bdpo_status put_data_set(int64_t *id, bdpo_score_store *store, const char *name)
{
    bdpo_sql sql;
    TRY(bdpo_sql_ready(&sql, store, BDPO_SQL_FIND_DATA_SET,
                       "SELECT id FROM data_sets WHERE name = ?"));
    bdpo_sql_text(&sql, name);
    TRY(bdpo_sql_id(id, &sql));
    if (*id != BDPO_NO_ID) return BDPO_OK;
    TRY(bdpo_sql_ready(&sql, store, BDPO_SQL_ADD_DATA_SET,
                       "INSERT INTO data_sets (name) VALUES (?) RETURNING id"));
    bdpo_sql_text(&sql, name);
    return bdpo_sql_id(id, &sql);
}

// *same: the row that stands there has the pair's pictures and prompt.
static bdpo_status find_pair(int64_t *id, bool *same, bdpo_score_store *store, int64_t data_set,
                             const bdpo_stored_pair *pair)
{
    bdpo_sql sql;
    bool there;
    TRY(bdpo_sql_ready(&sql, store, BDPO_SQL_FIND_PAIR,
                       "SELECT id, image_0 = ? AND image_1 = ? AND prompt = ? FROM pairs"
                       " WHERE data_set = ? AND row = ?"));
    bdpo_sql_int(&sql, pair->image_0);
    bdpo_sql_int(&sql, pair->image_1);
    bdpo_sql_int(&sql, pair->prompt);
    bdpo_sql_int(&sql, data_set);
    bdpo_sql_int(&sql, pair->row);
    TRY(bdpo_sql_row(&there, &sql));
    *id = there ? bdpo_sql_get_int(&sql, 0) : BDPO_NO_ID;
    *same = there && bdpo_sql_get_int(&sql, 1) != 0;
    bdpo_sql_end(&sql);
    return BDPO_OK;
}

static bdpo_status improve_pair(bdpo_score_store *store, int64_t id, const bdpo_stored_pair *pair)
{
    bdpo_sql sql;
    TRY(bdpo_sql_ready(&sql, store, BDPO_SQL_IMPROVE_PAIR,
                       "UPDATE pairs SET label = ifnull(?2, label),"
                       " model_0 = ifnull(?3, model_0), model_1 = ifnull(?4, model_1)"
                       " WHERE id = ?1 AND (label IS NOT ifnull(?2, label)"
                       " OR model_0 IS NOT ifnull(?3, model_0)"
                       " OR model_1 IS NOT ifnull(?4, model_1))"));
    bdpo_sql_int(&sql, id);
    bdpo_sql_real(&sql, pair->label);
    bdpo_sql_text(&sql, pair->model_0);
    bdpo_sql_text(&sql, pair->model_1);
    return bdpo_sql_run(&sql);
}

static bdpo_status add_pair(int64_t *id, bdpo_score_store *store, int64_t data_set,
                            const bdpo_stored_pair *pair)
{
    bdpo_sql sql;
    TRY(bdpo_sql_ready(&sql, store, BDPO_SQL_ADD_PAIR,
                       "INSERT INTO pairs (data_set, row, image_0, image_1, prompt, label,"
                       " model_0, model_1) VALUES (?, ?, ?, ?, ?, ?, ?, ?) RETURNING id"));
    bdpo_sql_int(&sql, data_set);
    bdpo_sql_int(&sql, pair->row);
    bdpo_sql_int(&sql, pair->image_0);
    bdpo_sql_int(&sql, pair->image_1);
    bdpo_sql_int(&sql, pair->prompt);
    bdpo_sql_real(&sql, pair->label);
    bdpo_sql_text(&sql, pair->model_0);
    bdpo_sql_text(&sql, pair->model_1);
    return bdpo_sql_id(id, &sql);
}

bdpo_status bdpo_score_store_put_pair(int64_t *id, bdpo_score_store *store,
                                      const bdpo_stored_pair *pair)
{
    int64_t data_set;
    bool same;
    BDPO_NEED_BATCH(store);
    TRY(put_data_set(&data_set, store, pair->data_set));
    TRY(find_pair(id, &same, store, data_set, pair));
    if (*id == BDPO_NO_ID) return add_pair(id, store, data_set, pair);
    if (same) return improve_pair(store, *id, pair);
    store->broken = true;
    return bdpo_fail(BDPO_BAD_ARGUMENT,
                     "%s: row %lld of data set %s stands there with other pictures or another "
                     "prompt: give this data set another name",
                     store->path, (long long)pair->row, bdpo_printable(pair->data_set).text);
}

// The number of pairs is kept and not a flag, so that every way to add a pair ends it.
bdpo_status bdpo_score_store_finish(bdpo_score_store *store, const char *data_set)
{
    bdpo_sql sql;
    BDPO_NEED_BATCH(store);
    TRY(bdpo_sql_ready(&sql, store, BDPO_SQL_FINISH,
                       "UPDATE data_sets SET finished = (SELECT count(*) FROM pairs"
                       " WHERE data_set = data_sets.id) WHERE name = ?"));
    bdpo_sql_text(&sql, data_set);
    return bdpo_sql_run(&sql);
}

// ---- people's votes ----------------------------------------------------------------------------

bdpo_status bdpo_score_store_put_vote(bool *added, bdpo_score_store *store,
                                      const bdpo_stored_vote *vote)
{
    bdpo_sql sql;
    int64_t id;
    BDPO_NEED_BATCH(store);
    double choice = vote->choice;
    if (choice != 0 && choice != 1 && choice != 0.5)
        return bdpo_fail(BDPO_BAD_ARGUMENT, "%s: a vote is 1, 0 or 0.5, not %g", store->path,
                         choice);
    if (vote->annotator[0] == '\0')
        return bdpo_fail(BDPO_BAD_ARGUMENT, "%s: a vote needs its annotator's name", store->path);
    TRY(bdpo_sql_ready(&sql, store, BDPO_SQL_ADD_VOTE,
                       "INSERT INTO votes (image_0, image_1, prompt, choice, annotator, time)"
                       " VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING RETURNING id"));
    bdpo_sql_int(&sql, vote->image_0);
    bdpo_sql_int(&sql, vote->image_1);
    bdpo_sql_int(&sql, vote->prompt);
    bdpo_sql_real(&sql, choice);
    bdpo_sql_text(&sql, vote->annotator);
    bdpo_sql_int(&sql, vote->time);
    TRY(bdpo_sql_id(&id, &sql));
    *added = id != BDPO_NO_ID;
    return BDPO_OK;
}

// ---- labels ------------------------------------------------------------------------------------

static bdpo_status name_scorer(bdpo_json_text *out, bdpo_score_store *store, int64_t id)
{
    static const char *const keys[] = {"{\"name\": ", ", \"checkpoint\": ", ", \"settings\": "};
    bdpo_sql sql;
    bool there;
    TRY(bdpo_sql_prepare(&sql, store,
                         "SELECT name, checkpoint, settings FROM scorers WHERE id = ?"));
    bdpo_sql_int(&sql, id);
    TRY(bdpo_sql_row(&there, &sql));
    for (int i = 0; there && i < 3; i++) {
        const char *text = bdpo_sql_get_text(&sql, i);
        bdpo_json_put(out, "%s", keys[i]);
        bdpo_json_put_string(out, text && bdpo_text_is_utf8(text) ? text : "?");
    }
    bdpo_json_put(out, "}");
    bdpo_sql_end(&sql);
    return there ? BDPO_OK
                 : bdpo_fail(BDPO_BAD_ARGUMENT, "%s: no scorer has the id %lld", store->path,
                             (long long)id);
}

static bdpo_status put_rule(int64_t *id, bdpo_score_store *store, const char *text,
                            const char *scorers)
{
    bdpo_sql sql;
    TRY(bdpo_sql_ready(&sql, store, BDPO_SQL_FIND_RULE,
                       "SELECT id FROM rules WHERE text = ? AND scorers = ?"));
    bdpo_sql_text(&sql, text);
    bdpo_sql_text(&sql, scorers);
    TRY(bdpo_sql_id(id, &sql));
    if (*id != BDPO_NO_ID) return BDPO_OK;
    TRY(bdpo_sql_ready(&sql, store, BDPO_SQL_ADD_RULE,
                       "INSERT INTO rules (text, scorers) VALUES (?, ?) RETURNING id"));
    bdpo_sql_text(&sql, text);
    bdpo_sql_text(&sql, scorers);
    return bdpo_sql_id(id, &sql);
}

bdpo_status bdpo_score_store_put_rule(int64_t *id, bdpo_score_store *store, const char *text,
                                      const int64_t *scorers, int n)
{
    bdpo_json_text names = {0};
    bdpo_status status = BDPO_OK;
    BDPO_NEED_BATCH(store);
    bdpo_json_put(&names, "[");
    for (int i = 0; status == BDPO_OK && i < n; i++) {
        if (i > 0) bdpo_json_put(&names, ", ");
        status = name_scorer(&names, store, scorers[i]);
    }
    bdpo_json_put(&names, "]");
    if (status == BDPO_OK && names.failed)
        status = bdpo_fail(BDPO_NO_MEMORY, "%s: no memory for a rule", store->path);
    if (status == BDPO_OK) status = put_rule(id, store, text, names.text);
    bdpo_json_text_clear(&names);
    return status;
}

bdpo_status bdpo_score_store_put_label(bdpo_score_store *store, const bdpo_stored_label *label)
{
    bdpo_sql sql;
    BDPO_NEED_BATCH(store);
    TRY(bdpo_sql_ready(&sql, store, BDPO_SQL_PUT_LABEL,
                       "INSERT INTO labels (pair, rule, probability, margin, tie)"
                       " VALUES (?, ?, ?, ?, ?) ON CONFLICT (pair, rule) DO UPDATE SET"
                       " probability = excluded.probability, margin = excluded.margin,"
                       " tie = excluded.tie"));
    bdpo_sql_int(&sql, label->pair);
    bdpo_sql_int(&sql, label->rule);
    bdpo_sql_real(&sql, label->probability);
    bdpo_sql_real(&sql, label->margin);
    bdpo_sql_int(&sql, label->tie);
    return bdpo_sql_run(&sql);
}

bdpo_status bdpo_score_store_get_label(bool *there, bdpo_stored_label *out, bdpo_score_store *store,
                                       int64_t pair, int64_t rule)
{
    bdpo_sql sql;
    TRY(bdpo_sql_ready(&sql, store, BDPO_SQL_GET_LABEL,
                       "SELECT probability, margin, tie FROM labels WHERE pair = ? AND rule = ?"));
    bdpo_sql_int(&sql, pair);
    bdpo_sql_int(&sql, rule);
    TRY(bdpo_sql_row(there, &sql));
    if (*there)
        *out = (bdpo_stored_label){.pair = pair,
                                   .rule = rule,
                                   .probability = bdpo_sql_get_real(&sql, 0),
                                   .margin = bdpo_sql_get_real(&sql, 1),
                                   .tie = bdpo_sql_get_int(&sql, 2) != 0};
    bdpo_sql_end(&sql);
    return BDPO_OK;
}

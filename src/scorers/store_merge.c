// Another store's contents, added by content. The other file is attached; each of its tables gets a
// temporary map from its ids to ours, and everything goes over in one transaction.
#include <string.h>
#include <sys/stat.h>

#include "formats/printable.h"
#include "scorers/store_sql.h"

// ---- maps --------------------------------------------------------------------------------------

// Ids of `other` on the left, ours on the right. Made anew for each merge.
static const char map_tables[] =
    "CREATE TEMP TABLE image_map (old INTEGER PRIMARY KEY, new INTEGER);"
    "CREATE TEMP TABLE prompt_map (old INTEGER PRIMARY KEY, new INTEGER);"
    "CREATE TEMP TABLE scorer_map (old INTEGER PRIMARY KEY, new INTEGER);"
    "CREATE TEMP TABLE set_map (old INTEGER PRIMARY KEY, new INTEGER);"
    "CREATE TEMP TABLE whole_set (id INTEGER PRIMARY KEY);"
    "CREATE TEMP TABLE pair_map (old INTEGER PRIMARY KEY, new INTEGER);"
    "CREATE TEMP TABLE rule_map (old INTEGER PRIMARY KEY, new INTEGER);";

// One step of a merge: a statement, and where the number of rows that it brought is counted.
typedef struct step {
    const char *text;
    size_t count; // offset in bdpo_merge_counts; NOT_COUNTED
} step;

enum { NOT_COUNTED = 1 << 20 };
#define COUNTED(field) offsetof(bdpo_merge_counts, field)

static const step contents[] = {
    {"UPDATE main.images SET bytes = ifnull(main.images.bytes, o.bytes),"
     " width = ifnull(main.images.width, o.width), height = ifnull(main.images.height, o.height),"
     " path = ifnull(main.images.path, o.path) FROM other.images o"
     " WHERE o.sha256 = main.images.sha256 AND (main.images.bytes IS NULL"
     " OR main.images.width IS NULL OR main.images.height IS NULL OR main.images.path IS NULL)",
     NOT_COUNTED},
    {"INSERT INTO main.images (sha256, bytes, width, height, path)"
     " SELECT sha256, bytes, width, height, path FROM other.images WHERE true ORDER BY id"
     " ON CONFLICT DO NOTHING",
     COUNTED(images)},
    {"INSERT INTO image_map SELECT o.id, m.id FROM other.images o"
     " JOIN main.images m ON m.sha256 = o.sha256",
     NOT_COUNTED},
    {"INSERT INTO main.prompts (text) SELECT text FROM other.prompts WHERE id > 0 ORDER BY id"
     " ON CONFLICT DO NOTHING",
     COUNTED(prompts)},
    {"INSERT INTO prompt_map SELECT o.id, m.id FROM other.prompts o"
     " JOIN main.prompts m ON m.text = o.text UNION ALL SELECT 0, 0",
     NOT_COUNTED},
    {"INSERT INTO main.scorers (name, checkpoint, settings, uses_prompt)"
     " SELECT name, checkpoint, settings, uses_prompt FROM other.scorers WHERE true ORDER BY id"
     " ON CONFLICT DO NOTHING",
     COUNTED(scorers)},
    {"INSERT INTO scorer_map SELECT o.id, m.id FROM other.scorers o JOIN main.scorers m"
     " ON m.name = o.name AND m.checkpoint = o.checkpoint AND m.settings = o.settings",
     NOT_COUNTED},
};

static const step scores[] = {
    {"INSERT INTO main.scores (image, prompt, scorer, score, reason)"
     " SELECT i.new, p.new, s.new, o.score, o.reason FROM other.scores o"
     " JOIN image_map i ON i.old = o.image JOIN prompt_map p ON p.old = o.prompt"
     " JOIN scorer_map s ON s.old = o.scorer WHERE true"
     " ON CONFLICT DO UPDATE SET score = excluded.score, reason = NULL"
     " WHERE score IS NULL AND excluded.score IS NOT NULL",
     COUNTED(scores)},
};

static const step pairs[] = {
    {"INSERT INTO main.data_sets (name) SELECT name FROM other.data_sets WHERE true ORDER BY id"
     " ON CONFLICT DO NOTHING",
     NOT_COUNTED},
    {"INSERT INTO set_map SELECT o.id, m.id FROM other.data_sets o"
     " JOIN main.data_sets m ON m.name = o.name",
     NOT_COUNTED},
    // Two finished parts of a data set, or a finished one and none, are finished together.
    {"INSERT INTO whole_set SELECT m.id FROM set_map d JOIN main.data_sets m ON m.id = d.new"
     " JOIN other.data_sets o ON o.id = d.old"
     " WHERE o.finished = (SELECT count(*) FROM other.pairs WHERE data_set = o.id)"
     " AND ifnull(m.finished, 0) = (SELECT count(*) FROM main.pairs WHERE data_set = m.id)",
     NOT_COUNTED},
    {"UPDATE main.pairs SET label = ifnull(main.pairs.label, o.label),"
     " model_0 = ifnull(main.pairs.model_0, o.model_0),"
     " model_1 = ifnull(main.pairs.model_1, o.model_1)"
     " FROM other.pairs o JOIN set_map d ON d.old = o.data_set"
     " WHERE main.pairs.data_set = d.new AND main.pairs.row = o.row AND (main.pairs.label IS NULL"
     " OR main.pairs.model_0 IS NULL OR main.pairs.model_1 IS NULL)",
     NOT_COUNTED},
    {"INSERT INTO main.pairs (data_set, row, image_0, image_1, prompt, label, model_0, model_1)"
     " SELECT d.new, o.row, i.new, j.new, p.new, o.label, o.model_0, o.model_1 FROM other.pairs o"
     " JOIN set_map d ON d.old = o.data_set JOIN image_map i ON i.old = o.image_0"
     " JOIN image_map j ON j.old = o.image_1 JOIN prompt_map p ON p.old = o.prompt"
     " WHERE true ORDER BY o.id ON CONFLICT DO NOTHING",
     COUNTED(pairs)},
    {"UPDATE main.data_sets SET finished = (SELECT count(*) FROM main.pairs"
     " WHERE data_set = main.data_sets.id) WHERE id IN (SELECT id FROM whole_set)",
     NOT_COUNTED},
    {"INSERT INTO pair_map SELECT o.id, m.id FROM other.pairs o JOIN set_map d ON d.old = "
     "o.data_set"
     " JOIN main.pairs m ON m.data_set = d.new AND m.row = o.row",
     NOT_COUNTED},
    {"INSERT INTO main.votes (image_0, image_1, prompt, choice, annotator, time)"
     " SELECT i.new, j.new, p.new, o.choice, o.annotator, o.time FROM other.votes o"
     " JOIN image_map i ON i.old = o.image_0 JOIN image_map j ON j.old = o.image_1"
     " JOIN prompt_map p ON p.old = o.prompt WHERE true ORDER BY o.id ON CONFLICT DO NOTHING",
     COUNTED(votes)},
    {"INSERT INTO main.rules (text, scorers) SELECT text, scorers FROM other.rules WHERE true"
     " ORDER BY id ON CONFLICT DO NOTHING",
     NOT_COUNTED},
    {"INSERT INTO rule_map SELECT o.id, m.id FROM other.rules o"
     " JOIN main.rules m ON m.text = o.text AND m.scorers = o.scorers",
     NOT_COUNTED},
    {"INSERT INTO main.labels (pair, rule, probability, margin, tie)"
     " SELECT x.new, r.new, o.probability, o.margin, o.tie FROM other.labels o"
     " JOIN pair_map x ON x.old = o.pair JOIN rule_map r ON r.old = o.rule WHERE true"
     " ON CONFLICT DO NOTHING",
     COUNTED(labels)},
};

static bdpo_status run(bdpo_merge_counts *out, bdpo_score_store *store, const step *steps, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        bdpo_sql sql;
        TRY(bdpo_sql_prepare(&sql, store, steps[i].text));
        TRY(bdpo_sql_run(&sql));
        if (steps[i].count != NOT_COUNTED)
            *(int64_t *)(void *)((char *)out + steps[i].count) = sqlite3_changes64(store->db);
    }
    return BDPO_OK;
}

// ---- what does not fit -------------------------------------------------------------------------

static bdpo_status check_scorers(bdpo_score_store *store, const char *other)
{
    bdpo_sql sql;
    bool there;
    TRY(bdpo_sql_prepare(&sql, store,
                         "SELECT o.name FROM other.scorers o JOIN scorer_map s ON s.old = o.id"
                         " JOIN main.scorers m ON m.id = s.new WHERE m.uses_prompt <> o.uses_prompt"
                         " LIMIT 1"));
    TRY(bdpo_sql_row(&there, &sql));
    bdpo_status status = BDPO_OK;
    if (there)
        status = bdpo_fail(BDPO_BAD_ARGUMENT,
                           "%s: scorer %s sees prompts in only one of this store and %s",
                           store->path, bdpo_printable(bdpo_sql_get_text(&sql, 0)).text, other);
    bdpo_sql_end(&sql);
    return status;
}

static bdpo_status check_pairs(bdpo_score_store *store, const char *other)
{
    bdpo_sql sql;
    bool there;
    TRY(bdpo_sql_prepare(&sql, store,
                         "SELECT d.name, o.row FROM other.pairs o"
                         " JOIN other.data_sets d ON d.id = o.data_set"
                         " JOIN main.data_sets e ON e.name = d.name"
                         " JOIN main.pairs m ON m.data_set = e.id AND m.row = o.row"
                         " JOIN image_map i ON i.old = o.image_0"
                         " JOIN image_map j ON j.old = o.image_1"
                         " JOIN prompt_map p ON p.old = o.prompt"
                         " WHERE m.image_0 <> i.new OR m.image_1 <> j.new OR m.prompt <> p.new"
                         " LIMIT 1"));
    TRY(bdpo_sql_row(&there, &sql));
    bdpo_status status = BDPO_OK;
    if (there)
        status = bdpo_fail(BDPO_BAD_ARGUMENT,
                           "%s: row %lld of data set %s has other pictures or another prompt here "
                           "than in %s",
                           store->path, (long long)bdpo_sql_get_int(&sql, 1),
                           bdpo_printable(bdpo_sql_get_text(&sql, 0)).text, other);
    bdpo_sql_end(&sql);
    return status;
}

static bdpo_status count_differing(int64_t *out, bdpo_score_store *store)
{
    bdpo_sql sql;
    TRY(bdpo_sql_prepare(
        &sql, store,
        "SELECT count(*) FROM other.scores o"
        " JOIN image_map i ON i.old = o.image JOIN prompt_map p ON p.old = o.prompt"
        " JOIN scorer_map s ON s.old = o.scorer"
        " JOIN main.scores m ON m.image = i.new AND m.prompt = p.new"
        " AND m.scorer = s.new WHERE m.score <> o.score"));
    return bdpo_sql_id(out, &sql);
}

// ---- merging -----------------------------------------------------------------------------------

static bdpo_status merge(bdpo_merge_counts *out, bdpo_score_store *store, const char *other)
{
    TRY(bdpo_sql_exec(store, map_tables));
    TRY(run(out, store, contents, BDPO_COUNTOF(contents)));
    TRY(check_scorers(store, other));
    TRY(check_pairs(store, other));
    TRY(count_differing(&out->differing, store));
    TRY(run(out, store, scores, BDPO_COUNTOF(scores)));
    return run(out, store, pairs, BDPO_COUNTOF(pairs));
}

static bdpo_status merge_in_batch(bdpo_merge_counts *out, bdpo_score_store *store,
                                  const char *other)
{
    TRY(bdpo_score_store_begin(store));
    bdpo_status status = merge(out, store, other);
    // The maps go with an abort; after a commit they would stand in the way of the next merge.
    if (status == BDPO_OK)
        status = bdpo_sql_exec(store, "DROP TABLE temp.image_map; DROP TABLE temp.prompt_map;"
                                      "DROP TABLE temp.scorer_map; DROP TABLE temp.set_map;"
                                      "DROP TABLE temp.whole_set;"
                                      "DROP TABLE temp.pair_map; DROP TABLE temp.rule_map");
    if (status == BDPO_OK) return bdpo_score_store_commit(store);
    bdpo_score_store_abort(store);
    return status;
}

static bdpo_status attach(bdpo_score_store *store, const bdpo_score_store *other)
{
    bdpo_sql sql;
    TRY(bdpo_sql_prepare(&sql, store, "ATTACH ? AS other"));
    bdpo_sql_text(&sql, other->uri);
    return bdpo_sql_run(&sql);
}

static bool same_file(const char *a, const char *b)
{
    struct stat x, y;
    return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

bdpo_status bdpo_score_store_merge(bdpo_merge_counts *out, bdpo_score_store *store,
                                   const char *other)
{
    bdpo_score_store *source;
    *out = (bdpo_merge_counts){0};
    if (same_file(store->path, other))
        return bdpo_fail(BDPO_BAD_ARGUMENT, "%s: a store cannot be merged into itself", other);
    // Opened by itself first: what is wrong with it is said under its own name.
    TRY(bdpo_score_store_open(&source, other, BDPO_STORE_READ));
    bdpo_status status = attach(store, source);
    if (status == BDPO_OK) {
        status = merge_in_batch(out, store, other);
        sqlite3_exec(store->db, "DETACH other", NULL, NULL, NULL);
    }
    bdpo_score_store_close(source);
    return status;
}

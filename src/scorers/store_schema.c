// One text for each version; a new file runs through all of them, so there is one way to the
// current tables. A text that was released is never changed: a change is a new version at the end.
#include "scorers/store_schema.h"

#include <stdio.h>

// Numbers that come back to the bit have no declared type: with REAL, SQLite would store -0.0 as
// the integer 0. A prompt has none because it may be TEXT or BLOB (store_sql.h).
static const char version_1[] =
    "CREATE TABLE images ("
    "  id INTEGER PRIMARY KEY,"
    "  sha256 TEXT NOT NULL UNIQUE CHECK (length(sha256) = 64),"
    "  bytes INTEGER, width INTEGER, height INTEGER);"
    "CREATE TABLE prompts ("
    "  id INTEGER PRIMARY KEY,"
    "  text UNIQUE,"
    "  CHECK ((id = 0) = (text IS NULL)));"
    "INSERT INTO prompts (id, text) VALUES (0, NULL);"
    "CREATE TABLE scorers ("
    "  id INTEGER PRIMARY KEY,"
    "  name TEXT NOT NULL, checkpoint TEXT NOT NULL, settings TEXT NOT NULL,"
    "  uses_prompt INTEGER NOT NULL CHECK (uses_prompt IN (0, 1)),"
    "  UNIQUE (name, checkpoint, settings));"
    "CREATE TABLE scores ("
    "  image INTEGER NOT NULL REFERENCES images,"
    "  prompt INTEGER NOT NULL REFERENCES prompts,"
    "  scorer INTEGER NOT NULL REFERENCES scorers,"
    "  score, reason TEXT,"
    "  PRIMARY KEY (image, prompt, scorer),"
    "  CHECK ((typeof(score) = 'real' AND reason IS NULL)"
    "         OR (score IS NULL AND reason IS NOT NULL))) WITHOUT ROWID;";

// Pairs, people's votes and labels; where a picture was last seen; views with names for the shell.
// The index votes_once makes one vote of each annotator, whichever picture stood first.
static const char version_2[] =
    "ALTER TABLE images ADD COLUMN path TEXT;"
    "CREATE TABLE data_sets ("
    "  id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, finished INTEGER);"
    "CREATE TABLE pairs ("
    "  id INTEGER PRIMARY KEY,"
    "  data_set INTEGER NOT NULL REFERENCES data_sets, row INTEGER NOT NULL CHECK (row >= 0),"
    "  image_0 INTEGER NOT NULL REFERENCES images, image_1 INTEGER NOT NULL REFERENCES images,"
    "  prompt INTEGER NOT NULL REFERENCES prompts CHECK (prompt > 0),"
    "  label CHECK (label BETWEEN 0 AND 1),"
    "  model_0 TEXT, model_1 TEXT,"
    "  UNIQUE (data_set, row));"
    "CREATE INDEX pairs_by_content ON pairs (image_0, image_1, prompt);"
    "CREATE INDEX pairs_by_image_1 ON pairs (image_1, prompt);"
    "CREATE TABLE votes ("
    "  id INTEGER PRIMARY KEY,"
    "  image_0 INTEGER NOT NULL REFERENCES images, image_1 INTEGER NOT NULL REFERENCES images,"
    "  prompt INTEGER NOT NULL REFERENCES prompts CHECK (prompt > 0),"
    "  choice NOT NULL CHECK (choice IN (0, 0.5, 1)),"
    "  annotator TEXT NOT NULL CHECK (annotator <> ''),"
    "  time INTEGER NOT NULL);"
    "CREATE UNIQUE INDEX votes_once ON votes"
    "  (min(image_0, image_1), max(image_0, image_1), prompt, annotator);"
    "CREATE TABLE rules ("
    "  id INTEGER PRIMARY KEY, text TEXT NOT NULL, scorers TEXT NOT NULL,"
    "  UNIQUE (text, scorers));"
    "CREATE TABLE labels ("
    "  pair INTEGER NOT NULL REFERENCES pairs, rule INTEGER NOT NULL REFERENCES rules,"
    "  probability CHECK (probability BETWEEN 0 AND 1),"
    "  margin, tie INTEGER NOT NULL CHECK (tie IN (0, 1)),"
    "  PRIMARY KEY (pair, rule)) WITHOUT ROWID;"
    "CREATE VIEW named_scores AS SELECT"
    "  i.sha256, i.path, p.text AS prompt, s.name AS scorer, s.checkpoint, v.score, v.reason"
    "  FROM scores v JOIN images i ON i.id = v.image JOIN prompts p ON p.id = v.prompt"
    "  JOIN scorers s ON s.id = v.scorer;"
    "CREATE VIEW named_pairs AS SELECT"
    "  d.name AS data_set, x.row, i.sha256 AS image_0, j.sha256 AS image_1, p.text AS prompt,"
    "  x.label, x.model_0, x.model_1, x.id AS pair"
    "  FROM pairs x JOIN data_sets d ON d.id = x.data_set JOIN images i ON i.id = x.image_0"
    "  JOIN images j ON j.id = x.image_1 JOIN prompts p ON p.id = x.prompt;";

static const char *const versions[] = {version_1, version_2};
_Static_assert(BDPO_COUNTOF(versions) == BDPO_STORE_VERSION, "a text for each version");

// What the file says of itself.
typedef struct identity {
    int64_t application, version, n_tables;
} identity;

static bdpo_status ask(int64_t *out, bdpo_score_store *store, const char *text)
{
    bdpo_sql sql;
    TRY(bdpo_sql_prepare(&sql, store, text));
    return bdpo_sql_id(out, &sql);
}

static bdpo_status ask_all(identity *out, bdpo_score_store *store)
{
    TRY(ask(&out->application, store, "PRAGMA application_id"));
    TRY(ask(&out->version, store, "PRAGMA user_version"));
    return ask(&out->n_tables, store, "SELECT count(*) FROM sqlite_master");
}

// In one state of the file: another process may make the tables between two questions. (A savepoint
// may stand inside a transaction and is one where there is none.)
static bdpo_status identify(identity *out, bdpo_score_store *store)
{
    TRY(bdpo_sql_exec(store, "SAVEPOINT identity"));
    bdpo_status status = ask_all(out, store);
    bdpo_status released = bdpo_sql_exec(store, "RELEASE identity");
    return status == BDPO_OK ? released : status;
}

static bdpo_status check_identity(const bdpo_score_store *store, const identity *found,
                                  bool may_create)
{
    if (found->application == 0 && found->version == 0 && found->n_tables == 0) {
        if (may_create) return BDPO_OK;
        return bdpo_fail(BDPO_BAD_FILE, "%s: no score store: it is empty", store->path);
    }
    if (found->application != BDPO_STORE_APPLICATION)
        return bdpo_fail(BDPO_BAD_FILE, "%s: no score store: an SQLite file of another program",
                         store->path);
    if (found->version < 1 || found->version > BDPO_STORE_VERSION)
        return bdpo_fail(BDPO_BAD_FILE,
                         "%s: a score store of version %lld; this program knows versions 1 to %d",
                         store->path, (long long)found->version, BDPO_STORE_VERSION);
    return BDPO_OK;
}

bdpo_status bdpo_store_schema_check(bdpo_score_store *store, bool may_create)
{
    identity found;
    TRY(identify(&found, store));
    return check_identity(store, &found, may_create);
}

// Inside a transaction: another process may have done it in the meantime.
static bdpo_status bring_up(bdpo_score_store *store, bool may_create)
{
    identity found;
    char mark[96];
    TRY(identify(&found, store));
    TRY(check_identity(store, &found, may_create));
    for (int64_t v = found.version; v < BDPO_STORE_VERSION; v++)
        TRY(bdpo_sql_exec(store, versions[v]));
    snprintf(mark, sizeof mark, "PRAGMA application_id = %d; PRAGMA user_version = %d",
             BDPO_STORE_APPLICATION, BDPO_STORE_VERSION);
    return bdpo_sql_exec(store, mark);
}

bdpo_status bdpo_store_schema_settle(bdpo_score_store *store, bool may_create)
{
    identity found;
    TRY(identify(&found, store));
    TRY(check_identity(store, &found, may_create));
    if (found.version == BDPO_STORE_VERSION) return BDPO_OK;
    if (!store->writable)
        return bdpo_fail(BDPO_BAD_FILE,
                         "%s: a score store of version %lld; bring it to version %d by: bdpo store "
                         "%s upgrade",
                         store->path, (long long)found.version, BDPO_STORE_VERSION, store->path);
    TRY(bdpo_score_store_begin(store));
    bdpo_status status = bring_up(store, may_create);
    if (status == BDPO_OK) return bdpo_score_store_commit(store);
    bdpo_score_store_abort(store);
    return status;
}

// The score store from inside: its handle, and SQL that is prepared once, bound value by value and
// stepped. What SQLite says becomes one line that begins with the path.
#ifndef BDPO_STORE_SQL_H
#define BDPO_STORE_SQL_H

#include <sqlite3.h>

#include "scorers/score_store.h"

// Statements that are kept, each prepared when it is first used.
typedef enum bdpo_kept_sql {
    BDPO_SQL_BEGIN,
    BDPO_SQL_COMMIT,
    BDPO_SQL_FIND_IMAGE,
    BDPO_SQL_ADD_IMAGE,
    BDPO_SQL_IMPROVE_IMAGE,
    BDPO_SQL_FIND_PROMPT,
    BDPO_SQL_ADD_PROMPT,
    BDPO_SQL_FIND_SCORER,
    BDPO_SQL_ADD_SCORER,
    BDPO_SQL_PUT_SCORE,
    BDPO_SQL_GET_SCORES,
    BDPO_SQL_FIND_DATA_SET,
    BDPO_SQL_ADD_DATA_SET,
    BDPO_SQL_FIND_PAIR,
    BDPO_SQL_ADD_PAIR,
    BDPO_SQL_IMPROVE_PAIR,
    BDPO_SQL_FINISH,
    BDPO_SQL_ADD_VOTE,
    BDPO_SQL_SUM_VOTES,
    BDPO_SQL_FIND_RULE,
    BDPO_SQL_ADD_RULE,
    BDPO_SQL_PUT_LABEL,
    BDPO_SQL_GET_LABEL,
    BDPO_SQL_IMPORT_FIND_PATH,
    BDPO_SQL_IMPORT_ADD_PATH,
    BDPO_SQL_IMPORT_FIND_SCORE,
    BDPO_SQL_IMPORT_ADD_SCORE,
    BDPO_SQL_COUNT
} bdpo_kept_sql;

struct bdpo_score_store {
    char *path, *uri; // as the user wrote it; for SQLite, with how it is opened
    sqlite3 *db;
    bool writable, in_batch, broken; // broken: something in the batch failed
    sqlite3_stmt *kept[BDPO_SQL_COUNT];
};

// A statement in use. The first value that cannot be bound sticks and is told by row or run.
typedef struct bdpo_sql {
    bdpo_score_store *store;
    sqlite3_stmt *statement;
    int n_bound, code;
    bool owned; // not kept: finalized at the end
} bdpo_sql;

// Ready for its values. End it before the next use of the same slot.
BDPO_MUST_CHECK bdpo_status bdpo_sql_ready(bdpo_sql *out, bdpo_score_store *store,
                                           bdpo_kept_sql slot, const char *text);
// For one use.
BDPO_MUST_CHECK bdpo_status bdpo_sql_prepare(bdpo_sql *out, bdpo_score_store *store,
                                             const char *text);

// The next value. A NaN and a NULL text become NULL.
void bdpo_sql_int(bdpo_sql *sql, int64_t value);
void bdpo_sql_real(bdpo_sql *sql, double value);
void bdpo_sql_text(bdpo_sql *sql, const char *text);
// A prompt: TEXT where it is UTF-8 without zero bytes, else BLOB, so that no byte is lost and SQL's
// functions see only what they are defined for. NULL stays NULL.
void bdpo_sql_prompt(bdpo_sql *sql, const char *text, size_t length);

// Columns of the row, from 0. A NULL is NaN or NULL.
double bdpo_sql_get_real(const bdpo_sql *sql, int column);
const char *bdpo_sql_get_text(const bdpo_sql *sql, int column);
int64_t bdpo_sql_get_int(const bdpo_sql *sql, int column);

// Steps: *there says whether a row came. After a failure the statement is ended.
BDPO_MUST_CHECK bdpo_status bdpo_sql_row(bool *there, bdpo_sql *sql);
// Steps through all rows and ends the statement.
BDPO_MUST_CHECK bdpo_status bdpo_sql_run(bdpo_sql *sql);
// Steps to the first row, takes its first column for *id (BDPO_NO_ID where no row comes), ends.
BDPO_MUST_CHECK bdpo_status bdpo_sql_id(int64_t *id, bdpo_sql *sql);
void bdpo_sql_end(bdpo_sql *sql); // a second time: nothing

// Runs a text without values, of one statement or several.
BDPO_MUST_CHECK bdpo_status bdpo_sql_exec(bdpo_score_store *store, const char *text);

// One line for what SQLite just refused. Inside a batch: marks it broken.
BDPO_MUST_CHECK bdpo_status bdpo_sql_fail(bdpo_score_store *store, int code);

// A caller that writes without a batch is a mistake in our code.
#define BDPO_NEED_BATCH(store)                                                                     \
    do {                                                                                           \
        if (!(store)->in_batch) BDPO_BUG("%s: written to outside a batch", (store)->path);         \
    } while (0)

#endif

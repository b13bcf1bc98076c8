// Statements of the score store, and SQLite's refusals as sentences.
#include "scorers/store_sql.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "formats/charset.h"

// ---- refusals ----------------------------------------------------------------------------------

// The system's own number for the last refusal: of the file, or of the log beside it. 0: not known.
static int system_error(const bdpo_score_store *store)
{
    sqlite3_file *log = NULL;
    int number = sqlite3_system_errno(store->db);
    if (number == 0) sqlite3_file_control(store->db, "main", SQLITE_FCNTL_LAST_ERRNO, &number);
    if (number == 0) sqlite3_file_control(store->db, "main", SQLITE_FCNTL_JOURNAL_POINTER, &log);
    if (log && log->pMethods) log->pMethods->xFileControl(log, SQLITE_FCNTL_LAST_ERRNO, &number);
    return number;
}

static bdpo_status fail_by_system(const bdpo_score_store *store, const char *what)
{
    int system = system_error(store);
    return bdpo_fail(BDPO_IO, "%s: %s%s%s", store->path, what, system ? ": " : "",
                     system ? strerror(system) : "");
}

// SQLite's words, which may hold names from a file that was made to harm: one line, no control
// characters.
static bdpo_status fail_in_words(bdpo_status status, const bdpo_score_store *store,
                                 const char *what)
{
    char words[256];
    snprintf(words, sizeof words, "%s", sqlite3_errmsg(store->db));
    for (char *at = words; *at; at++)
        if ((unsigned char)*at < 0x20 || *at == 0x7f) *at = '?';
    return bdpo_fail(status, "%s: %s: %s", store->path, what, words);
}

static bdpo_status fail_by_code(const bdpo_score_store *store, int code)
{
    switch (code & 0xff) {
    case SQLITE_MISUSE:
    case SQLITE_RANGE:
        BDPO_BUG("%s: %s", store->path, sqlite3_errmsg(store->db));
    case SQLITE_NOMEM:
        return bdpo_fail(BDPO_NO_MEMORY, "%s: no memory for the store", store->path);
    case SQLITE_FULL:
        return bdpo_fail(BDPO_IO, "%s: cannot write: no space left on its disk", store->path);
    case SQLITE_READONLY:
        return bdpo_fail(BDPO_IO, "%s: cannot write: the file or its folder is read-only",
                         store->path);
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return bdpo_fail(BDPO_IO, "%s: another process has locked it for too long", store->path);
    case SQLITE_CANTOPEN:
        return fail_by_system(store, "cannot open it or the files -wal and -shm beside it");
    case SQLITE_IOERR:
        return fail_by_system(store, "cannot read or write");
    case SQLITE_NOTADB:
        return bdpo_fail(BDPO_BAD_FILE, "%s: no score store: not an SQLite file", store->path);
    case SQLITE_TOOBIG:
        return bdpo_fail(BDPO_BAD_ARGUMENT, "%s: a text is longer than SQLite keeps (10^9 bytes)",
                         store->path);
    case SQLITE_CONSTRAINT:
        return fail_in_words(BDPO_BAD_ARGUMENT, store, "does not fit what stands there");
    default:
        return fail_in_words(BDPO_BAD_FILE, store, "damaged");
    }
}

bdpo_status bdpo_sql_fail(bdpo_score_store *store, int code)
{
    if (store->in_batch) store->broken = true;
    return fail_by_code(store, code);
}

// ---- statements --------------------------------------------------------------------------------

bdpo_status bdpo_sql_ready(bdpo_sql *out, bdpo_score_store *store, bdpo_kept_sql slot,
                           const char *text)
{
    sqlite3_stmt **kept = &store->kept[slot];
    if (!*kept) {
        int code = sqlite3_prepare_v3(store->db, text, -1, SQLITE_PREPARE_PERSISTENT, kept, NULL);
        if (code != SQLITE_OK) return bdpo_sql_fail(store, code);
    }
    *out = (bdpo_sql){.store = store, .statement = *kept};
    return BDPO_OK;
}

bdpo_status bdpo_sql_prepare(bdpo_sql *out, bdpo_score_store *store, const char *text)
{
    *out = (bdpo_sql){.store = store, .owned = true};
    int code = sqlite3_prepare_v2(store->db, text, -1, &out->statement, NULL);
    return code == SQLITE_OK ? BDPO_OK : bdpo_sql_fail(store, code);
}

void bdpo_sql_end(bdpo_sql *sql)
{
    if (sql->owned) {
        sqlite3_finalize(sql->statement);
    } else if (sql->statement) {
        sqlite3_reset(sql->statement);
        sqlite3_clear_bindings(sql->statement);
    }
    sql->statement = NULL;
}

static void note(bdpo_sql *sql, int code)
{
    if (sql->code == SQLITE_OK) sql->code = code;
}

void bdpo_sql_int(bdpo_sql *sql, int64_t value)
{
    note(sql, sqlite3_bind_int64(sql->statement, ++sql->n_bound, value));
}

void bdpo_sql_real(bdpo_sql *sql, double value)
{
    int at = ++sql->n_bound;
    note(sql, isnan(value) ? sqlite3_bind_null(sql->statement, at)
                           : sqlite3_bind_double(sql->statement, at, value));
}

// Values are bound without a copy: every statement ends before its caller's texts do.
void bdpo_sql_text(bdpo_sql *sql, const char *text)
{
    note(sql, sqlite3_bind_text(sql->statement, ++sql->n_bound, text, -1, SQLITE_STATIC));
}

void bdpo_sql_prompt(bdpo_sql *sql, const char *text, size_t length)
{
    int at = ++sql->n_bound;
    if (text && !bdpo_utf8_is_valid(text, length))
        note(sql, sqlite3_bind_blob64(sql->statement, at, text, length, SQLITE_STATIC));
    else
        note(sql,
             sqlite3_bind_text64(sql->statement, at, text, length, SQLITE_STATIC, SQLITE_UTF8));
}

double bdpo_sql_get_real(const bdpo_sql *sql, int column)
{
    if (sqlite3_column_type(sql->statement, column) == SQLITE_NULL) return NAN;
    return sqlite3_column_double(sql->statement, column);
}

const char *bdpo_sql_get_text(const bdpo_sql *sql, int column)
{
    return (const char *)sqlite3_column_text(sql->statement, column);
}

int64_t bdpo_sql_get_int(const bdpo_sql *sql, int column)
{
    return sqlite3_column_int64(sql->statement, column);
}

bdpo_status bdpo_sql_row(bool *there, bdpo_sql *sql)
{
    int code = sql->code == SQLITE_OK ? sqlite3_step(sql->statement) : sql->code;
    *there = code == SQLITE_ROW;
    if (code == SQLITE_ROW || code == SQLITE_DONE) return BDPO_OK;
    bdpo_status status = bdpo_sql_fail(sql->store, code);
    bdpo_sql_end(sql);
    return status;
}

bdpo_status bdpo_sql_run(bdpo_sql *sql)
{
    bool there;
    do TRY(bdpo_sql_row(&there, sql));
    while (there);
    bdpo_sql_end(sql);
    return BDPO_OK;
}

bdpo_status bdpo_sql_id(int64_t *id, bdpo_sql *sql)
{
    bool there;
    TRY(bdpo_sql_row(&there, sql));
    *id = there ? bdpo_sql_get_int(sql, 0) : BDPO_NO_ID;
    bdpo_sql_end(sql);
    return BDPO_OK;
}

bdpo_status bdpo_sql_exec(bdpo_score_store *store, const char *text)
{
    int code = sqlite3_exec(store->db, text, NULL, NULL, NULL);
    return code == SQLITE_OK ? BDPO_OK : bdpo_sql_fail(store, code);
}

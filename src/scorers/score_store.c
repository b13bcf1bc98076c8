// Opening, closing and batches.
//
// WAL with synchronous=FULL: what was committed survives the process and the machine's power. A
// store is read through a connection that could write, with query_only, because only such a one
// removes the files -wal and -shm when it closes; where nothing may be written, the file is taken
// as one that nobody changes (immutable), which needs no files beside it.
#include "scorers/score_store.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "scorers/store_schema.h"

enum { BUSY_MS = 60000, RETRY_MS = 10 };

// ---- opening -----------------------------------------------------------------------------------

// The folder of a store that is to be made: SQLite does not say what is wrong with it.
static bdpo_status check_folder(const char *path)
{
    char folder[BDPO_PATH_BYTES] = ".";
    const char *slash = strrchr(path, '/');
    if (slash) snprintf(folder, sizeof folder, "%.*s", (int)(slash - path) + 1, path);
    if (access(folder, W_OK | X_OK) == 0) return BDPO_OK;
    return bdpo_fail(BDPO_IO, "%s: cannot be made, because of its folder: %s", path,
                     strerror(errno));
}

// What is no plain file is refused before SQLite sees it.
static bdpo_status check_path(const char *path, bool may_create)
{
    struct stat info;
    if (path[0] == '\0') return bdpo_fail(BDPO_BAD_ARGUMENT, "the name of the store is empty");
    if (stat(path, &info) != 0) {
        if (errno == ENOENT && may_create) return check_folder(path);
        return bdpo_fail(errno == ENOENT ? BDPO_NOT_FOUND : BDPO_IO, "%s: cannot open: %s", path,
                         strerror(errno));
    }
    if (S_ISREG(info.st_mode)) return BDPO_OK;
    return bdpo_fail(BDPO_BAD_FILE, "%s: %s, expected a score store (a file)", path,
                     S_ISDIR(info.st_mode) ? "a directory" : "no plain file");
}

// "file:./x.db?immutable=1". Every byte that could mean something in a URI is escaped, and a name
// never stands alone: SQLite would take ":memory:" for no file.
static char *uri_new(const char *path, bool immutable)
{
    static const char plain[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-";
    size_t size;
    if (!bdpo_size_mul(&size, strlen(path), 3)) return NULL;
    char *uri = bdpo_alloc(size + 32, 1);
    if (!uri) return NULL;
    char *at = uri + sprintf(uri, "file:%s", path[0] == '/' ? "//" : "./");
    for (; *path; path++)
        if (strchr(plain, *path))
            *at++ = *path;
        else
            at += sprintf(at, "%%%02X", (unsigned)(unsigned char)*path);
    if (immutable) memcpy(at, "?immutable=1", sizeof "?immutable=1");
    return uri;
}

static bdpo_status connect(bdpo_score_store *store, bool immutable, bool may_create)
{
    sqlite3_close(store->db);
    store->db = NULL;
    bdpo_free(store->uri);
    store->uri = uri_new(store->path, immutable);
    if (!store->uri) return bdpo_fail(BDPO_NO_MEMORY, "%s: no memory for the store", store->path);
    int flags = SQLITE_OPEN_URI | SQLITE_OPEN_EXRESCODE;
    flags |= immutable ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE;
    if (may_create) flags |= SQLITE_OPEN_CREATE;
    int code = sqlite3_open_v2(store->uri, &store->db, flags, NULL);
    if (code != SQLITE_OK) return bdpo_sql_fail(store, code);
    sqlite3_busy_timeout(store->db, BUSY_MS);
    // The file may be anyone's: nothing in its schema may run what it should not.
    sqlite3_db_config(store->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    sqlite3_db_config(store->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    sqlite3_db_config(store->db, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, NULL);
    return bdpo_sql_exec(store, "PRAGMA cell_size_check = 1");
}

static bool has_log(const bdpo_score_store *store)
{
    char log[BDPO_PATH_BYTES];
    struct stat info;
    int n = snprintf(log, sizeof log, "%s-wal", store->path);
    return n > 0 && (size_t)n < sizeof log && stat(log, &info) == 0 && info.st_size > 0;
}

// Turning to WAL takes the file for itself and does not wait for others by itself.
static bdpo_status turn_to_log(bdpo_score_store *store)
{
    const struct timespec pause = {.tv_nsec = RETRY_MS * 1000000L};
    for (int waited_ms = 0;; waited_ms += RETRY_MS) {
        int code = sqlite3_exec(store->db, "PRAGMA journal_mode = WAL", NULL, NULL, NULL);
        if (code == SQLITE_OK) return BDPO_OK;
        if ((code & 0xff) != SQLITE_BUSY || waited_ms >= BUSY_MS) return bdpo_sql_fail(store, code);
        nanosleep(&pause, NULL);
    }
}

static bdpo_status open_to_read(bdpo_score_store *store)
{
    TRY(connect(store, false, false));
    if (sqlite3_db_readonly(store->db, "main") == 1 && !has_log(store))
        TRY(connect(store, true, false));
    TRY(bdpo_sql_exec(store, "PRAGMA query_only = 1"));
    return bdpo_store_schema_settle(store, false);
}

static bdpo_status open_to_write(bdpo_score_store *store, bool may_create)
{
    TRY(connect(store, false, may_create));
    if (sqlite3_db_readonly(store->db, "main") == 1) return bdpo_sql_fail(store, SQLITE_READONLY);
    TRY(bdpo_store_schema_check(store, may_create)); // before a stranger's file is changed
    TRY(turn_to_log(store));
    TRY(bdpo_sql_exec(store, "PRAGMA synchronous = FULL; PRAGMA foreign_keys = 1"));
    return bdpo_store_schema_settle(store, may_create);
}

bdpo_status bdpo_score_store_open(bdpo_score_store **out, const char *path,
                                  bdpo_score_store_mode mode)
{
    *out = NULL;
    TRY(check_path(path, mode == BDPO_STORE_CREATE));
    bdpo_score_store *store = bdpo_alloc(1, sizeof *store);
    char *copy = bdpo_alloc(strlen(path) + 1, 1);
    if (!store || !copy) {
        bdpo_free(store);
        bdpo_free(copy);
        return bdpo_fail(BDPO_NO_MEMORY, "%s: no memory for the store", path);
    }
    store->path = memcpy(copy, path, strlen(path) + 1);
    store->writable = mode != BDPO_STORE_READ;
    bdpo_status status =
        store->writable ? open_to_write(store, mode == BDPO_STORE_CREATE) : open_to_read(store);
    if (status != BDPO_OK)
        bdpo_score_store_close(store);
    else
        *out = store;
    return status;
}

void bdpo_score_store_close(bdpo_score_store *store)
{
    if (!store) return;
    bdpo_score_store_abort(store);
    for (int i = 0; i < BDPO_SQL_COUNT; i++) sqlite3_finalize(store->kept[i]);
    if (sqlite3_close(store->db) != SQLITE_OK)
        BDPO_BUG("%s: closed before its cursors", store->path);
    bdpo_free(store->uri);
    bdpo_free(store->path);
    bdpo_free(store);
}

const char *bdpo_score_store_path(const bdpo_score_store *store)
{
    return store->path;
}

// ---- batches -----------------------------------------------------------------------------------

bdpo_status bdpo_score_store_begin(bdpo_score_store *store)
{
    bdpo_sql sql;
    if (!store->writable) BDPO_BUG("%s: a batch on a store that is read", store->path);
    if (store->in_batch) BDPO_BUG("%s: a batch inside a batch", store->path);
    TRY(bdpo_sql_ready(&sql, store, BDPO_SQL_BEGIN, "BEGIN IMMEDIATE"));
    TRY(bdpo_sql_run(&sql));
    store->in_batch = true;
    store->broken = false;
    return BDPO_OK;
}

bdpo_status bdpo_score_store_commit(bdpo_score_store *store)
{
    bdpo_sql sql;
    BDPO_NEED_BATCH(store);
    if (store->broken) {
        bdpo_score_store_abort(store);
        return bdpo_fail(BDPO_IO, "%s: nothing of this batch is kept, because a part of it failed",
                         store->path);
    }
    bdpo_status status = bdpo_sql_ready(&sql, store, BDPO_SQL_COMMIT, "COMMIT");
    if (status == BDPO_OK) status = bdpo_sql_run(&sql);
    if (status == BDPO_OK) store->in_batch = false;
    bdpo_score_store_abort(store); // where it failed: nothing of it stays
    return status;
}

void bdpo_score_store_abort(bdpo_score_store *store)
{
    if (!store->in_batch) return;
    store->in_batch = false;
    store->broken = false;
    // A full disk has rolled it back already. A rollback itself cannot fail in a way that matters:
    // what was not committed is no part of the file.
    if (!sqlite3_get_autocommit(store->db)) sqlite3_exec(store->db, "ROLLBACK", NULL, NULL, NULL);
}

// Whether a store is whole, and the digest of what it says.
#include <stdlib.h>

#include "scorers/store_sql.h"

// ---- whole? ------------------------------------------------------------------------------------

typedef struct report {
    void (*say)(void *context, const char *problem);
    void *context;
    int64_t n;
} report;

// Each row of a query is a problem, said by its first column.
static bdpo_status report_rows(report *r, bdpo_score_store *store, const char *text)
{
    bdpo_sql sql;
    TRY(bdpo_sql_prepare(&sql, store, text));
    for (bool there;;) {
        TRY(bdpo_sql_row(&there, &sql));
        if (!there) break;
        const char *problem = bdpo_sql_get_text(&sql, 0);
        if (r->say) r->say(r->context, problem ? problem : "a problem without words");
        r->n++;
    }
    bdpo_sql_end(&sql);
    return BDPO_OK;
}

bdpo_status bdpo_score_store_check(bdpo_score_store *store,
                                   void (*say)(void *context, const char *problem), void *context)
{
    static const char *const queries[] = {
        "SELECT integrity_check FROM pragma_integrity_check WHERE integrity_check <> 'ok'",
        "SELECT printf('%s: %s refers to a row of %s that is not there', \"table\","
        " ifnull('row ' || rowid, 'a row'), parent) FROM pragma_foreign_key_check",
        "SELECT printf('images: row %d has no SHA-256', id) FROM images"
        " WHERE length(sha256) <> 64 OR sha256 GLOB '*[^0-9a-f]*'",
        "SELECT printf('scores: scorer %d (%s) has %d scores under %s', s.id, s.name, count(*),"
        " iif(s.uses_prompt, 'no prompt', 'a prompt that it does not see')) FROM scores v"
        " JOIN scorers s ON s.id = v.scorer WHERE s.uses_prompt <> (v.prompt > 0) GROUP BY s.id",
    };
    report r = {.say = say, .context = context};
    for (size_t i = 0; i < BDPO_COUNTOF(queries); i++) {
        TRY(report_rows(&r, store, queries[i]));
        // Where the file itself is damaged, the rest would say the same again.
        if (r.n > 0 && i == 0) break;
    }
    if (r.n == 0) return BDPO_OK;
    return bdpo_fail(BDPO_BAD_FILE, "%s: damaged: %lld problem%s found", store->path,
                     (long long)r.n, r.n == 1 ? "" : "s");
}

// ---- the digest --------------------------------------------------------------------------------

// Ids are replaced by content, and rows ordered by it. A prompt of NULL sorts first.
static const char *const contents[] = {
    "SELECT sha256, bytes, width, height FROM images ORDER BY sha256",
    "SELECT text FROM prompts ORDER BY typeof(text), text",
    "SELECT name, checkpoint, settings, uses_prompt FROM scorers"
    " ORDER BY name, checkpoint, settings",
    "SELECT i.sha256, p.text, s.name, s.checkpoint, s.settings, v.score, v.reason FROM scores v"
    " JOIN images i ON i.id = v.image JOIN prompts p ON p.id = v.prompt"
    " JOIN scorers s ON s.id = v.scorer"
    " ORDER BY i.sha256, typeof(p.text), p.text, s.name, s.checkpoint, s.settings",
    "SELECT d.name, x.row, i.sha256, j.sha256, p.text, x.label, x.model_0, x.model_1 FROM pairs x"
    " JOIN data_sets d ON d.id = x.data_set JOIN images i ON i.id = x.image_0"
    " JOIN images j ON j.id = x.image_1 JOIN prompts p ON p.id = x.prompt ORDER BY d.name, x.row",
    "SELECT i.sha256, j.sha256, p.text, v.choice, v.annotator, v.time FROM votes v"
    " JOIN images i ON i.id = v.image_0 JOIN images j ON j.id = v.image_1"
    " JOIN prompts p ON p.id = v.prompt"
    " ORDER BY i.sha256, j.sha256, typeof(p.text), p.text, v.annotator",
    "SELECT text, scorers FROM rules ORDER BY text, scorers",
    "SELECT d.name, x.row, r.text, r.scorers, l.probability, l.margin, l.tie FROM labels l"
    " JOIN pairs x ON x.id = l.pair JOIN data_sets d ON d.id = x.data_set"
    " JOIN rules r ON r.id = l.rule ORDER BY d.name, x.row, r.text, r.scorers",
};

// Kind, length and bytes of one value: no two rows read the same. Numbers go by their bits.
static bdpo_status add_value(bdpo_sha256_stream *stream, sqlite3_stmt *row, int column)
{
    int kind = sqlite3_column_type(row, column);
    int64_t integer = sqlite3_column_int64(row, column);
    double number = sqlite3_column_double(row, column);
    const void *bytes = &integer;
    uint64_t size = sizeof integer;
    if (kind == SQLITE_FLOAT) bytes = &number;
    if (kind == SQLITE_NULL) size = 0;
    if (kind == SQLITE_TEXT || kind == SQLITE_BLOB) {
        bytes = sqlite3_column_blob(row, column);
        size = (uint64_t)sqlite3_column_bytes(row, column);
    }
    const uint64_t head[] = {(uint64_t)kind, size};
    TRY(bdpo_sha256_add(stream, head, sizeof head));
    return size > 0 ? bdpo_sha256_add(stream, bytes, (size_t)size) : BDPO_OK;
}

static bdpo_status add_rows(bdpo_sha256_stream *stream, bdpo_score_store *store, const char *text)
{
    bdpo_sql sql;
    bdpo_status status = BDPO_OK;
    TRY(bdpo_sql_prepare(&sql, store, text));
    for (bool there; status == BDPO_OK;) {
        TRY(bdpo_sql_row(&there, &sql));
        if (!there) break;
        int n = sqlite3_column_count(sql.statement);
        for (int i = 0; i < n && status == BDPO_OK; i++)
            status = add_value(stream, sql.statement, i);
    }
    bdpo_sql_end(&sql);
    return status == BDPO_OK ? bdpo_sha256_add(stream, text, 1) : status;
}

bdpo_status bdpo_score_store_digest(bdpo_sha256_text *out, bdpo_score_store *store)
{
    bdpo_sha256_stream *stream;
    TRY(bdpo_sha256_new(&stream));
    bdpo_status status = BDPO_OK;
    for (size_t i = 0; i < BDPO_COUNTOF(contents) && status == BDPO_OK; i++)
        status = add_rows(stream, store, contents[i]);
    if (status != BDPO_OK) {
        bdpo_sha256_free(stream);
        return status;
    }
    return bdpo_sha256_finish(out, stream);
}

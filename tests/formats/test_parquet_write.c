// formats/parquet: what is written is read again, by our reader here and by the real libraries in
// tools/parity/parquet.py, which knows the same rows.
#include "harness.h"

#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "formats/parquet.h"
#include "formats/parquet_dump.h"

enum { N_COLUMNS = 8, N_PLAIN = 6 }; // the last two are required

static const bdpo_parquet_column columns[N_COLUMNS] = {
    {.name = "flag", .type = BDPO_PARQUET_BOOLEAN, .nullable = true},
    {.name = "count", .type = BDPO_PARQUET_INT64, .nullable = true},
    {.name = "score", .type = BDPO_PARQUET_DOUBLE, .nullable = true},
    {.name = "text", .type = BDPO_PARQUET_BYTES, .logical = BDPO_PARQUET_STRING, .nullable = true},
    {.name = "bytes", .type = BDPO_PARQUET_BYTES, .nullable = true},
    {.name = "time",
     .type = BDPO_PARQUET_INT64,
     .logical = BDPO_PARQUET_TIMESTAMP_NS,
     .nullable = true},
    {.name = "id", .type = BDPO_PARQUET_INT64},
    {.name = "known", .type = BDPO_PARQUET_BOOLEAN},
};

// ---- the rows ------------------------------------------------------------------------------

typedef struct row {
    bdpo_parquet_value values[N_COLUMNS];
    char text[64], bytes[4096];
} row;

// Nulls in another rhythm for each column, and a stretch of them.
static void make_row(row *out, int64_t i)
{
    memset(out, 0, sizeof *out);
    bdpo_parquet_value *v = out->values;
    v[0].integer = i % 3 == 0;
    v[1].integer = (i - 5) * 1234567890123;
    v[2].number = i % 11 == 0 ? -0.0 : (double)i / 7;
    snprintf(out->text, sizeof out->text, "row %" PRId64 " \xe4\xb8\x80\xe5\x8f\xaa\xe7\x8c\xab",
             i);
    v[3].data = out->text;
    v[3].size = i % 13 == 0 ? 0 : strlen(out->text);
    v[4].size = (size_t)(i * 37 % (int64_t)sizeof out->bytes);
    for (size_t k = 0; k < v[4].size; k++)
        out->bytes[k] = (char)((uint64_t)i * 31 + k * k * 7 + (k >> 8));
    v[4].data = out->bytes;
    v[5].integer = 1672531200000000000 + i * 1000000007;
    v[6].integer = i;
    v[7].integer = i % 2;
    for (int c = 0; c < N_PLAIN; c++)
        if (i % (5 + c) == 2 || (i >= 100 && i < 200)) v[c] = (bdpo_parquet_value){.is_null = true};
}

static void write_rows(const char *path, int64_t n, const bdpo_parquet_options *options)
{
    static row r;
    bdpo_parquet_writer *writer;
    CHECK_OK(bdpo_parquet_writer_open(&writer, path, columns, N_COLUMNS, options));
    for (int64_t i = 0; i < n; i++) {
        make_row(&r, i);
        CHECK_OK(bdpo_parquet_writer_row(writer, r.values));
    }
    CHECK_OK(bdpo_parquet_writer_commit(writer));
}

static void check_value(const bdpo_parquet_value *found, const bdpo_parquet_value *expected,
                        const bdpo_parquet_column *column)
{
    CHECK_INT(found->is_null, expected->is_null);
    if (expected->is_null) return;
    if (column->type == BDPO_PARQUET_DOUBLE) {
        CHECK_BYTES(&found->number, &expected->number, sizeof found->number);
    } else if (column->type == BDPO_PARQUET_BYTES) {
        CHECK_INT(found->size, expected->size);
        CHECK_BYTES(found->data, expected->data, expected->size);
    } else {
        CHECK_INT(found->integer, expected->integer);
    }
}

static void check_columns(const bdpo_parquet_file *file, const char *names[N_COLUMNS])
{
    CHECK_INT(bdpo_parquet_n_columns(file), N_COLUMNS);
    for (size_t c = 0; c < N_COLUMNS; c++) {
        const bdpo_parquet_column *found = bdpo_parquet_column_at(file, c);
        CHECK_STR(found->name, columns[c].name);
        CHECK_INT(found->type, columns[c].type);
        CHECK_INT(found->logical, columns[c].logical);
        CHECK_INT(found->nullable, columns[c].nullable);
        CHECK(!found->repeated);
        CHECK_INT(bdpo_parquet_column_find(file, columns[c].name), c);
        names[c] = columns[c].name;
    }
}

static void check_rows(const char *path, int64_t n, int64_t group_rows)
{
    static row r;
    const char *names[N_COLUMNS];
    bdpo_parquet_file *file;
    bdpo_parquet_cursor *cursor;
    bool has_row;
    CHECK_OK(bdpo_parquet_open(&file, path));
    check_columns(file, names);
    CHECK_INT(bdpo_parquet_n_rows(file), n);
    CHECK_INT(bdpo_parquet_n_row_groups(file), (n + group_rows - 1) / group_rows);
    CHECK_STR(bdpo_parquet_created_by(file), "bdpo");
    CHECK_OK(bdpo_parquet_cursor_open(&cursor, file, names, N_COLUMNS));
    for (int64_t i = 0; i < n; i++) {
        make_row(&r, i);
        CHECK_OK(bdpo_parquet_cursor_next(&has_row, cursor));
        CHECK(has_row);
        for (size_t c = 0; c < N_COLUMNS; c++) {
            bdpo_parquet_value value;
            CHECK_OK(bdpo_parquet_cursor_get(&value, cursor, c));
            check_value(&value, &r.values[c], &columns[c]);
        }
    }
    CHECK_OK(bdpo_parquet_cursor_next(&has_row, cursor));
    CHECK(!has_row);
    bdpo_parquet_cursor_close(cursor);
    bdpo_parquet_close(file);
}

static const char *temporary(void)
{
    static char path[64];
    snprintf(path, sizeof path, "/tmp/bdpo-parquet-%ld.parquet", (long)getpid());
    return path;
}

// ---- tests ---------------------------------------------------------------------------------

BDPO_TEST(what_is_written_is_read)
{
    static const int64_t n_rows[] = {0, 1, 8, 300, 2500};
    for (size_t i = 0; i < BDPO_COUNTOF(n_rows); i++) {
        for (int plain = 0; plain < 2; plain++) {
            bdpo_parquet_options options = {
                .uncompressed = plain, .group_rows = 500, .page_bytes = plain ? 5000 : 0};
            write_rows(temporary(), n_rows[i], &options);
            check_rows(temporary(), n_rows[i], 500);
        }
    }
    write_rows(temporary(), 1001, NULL);
    check_rows(temporary(), 1001, 1000);
    unlink(temporary());
}

BDPO_TEST(metadata_is_written)
{
    static const bdpo_parquet_pair pairs[] = {
        {"huggingface", "{\"info\": {}}"}, {"empty", ""}, {"\xe4\xb8\x80", "\xe4\xb8\x80"}};
    bdpo_parquet_options options = {.metadata = pairs, .n_metadata = 3};
    bdpo_parquet_file *file;
    write_rows(temporary(), 3, &options);
    CHECK_OK(bdpo_parquet_open(&file, temporary()));
    for (size_t i = 0; i < 3; i++)
        CHECK_STR(bdpo_parquet_metadata(file, pairs[i].key), pairs[i].text);
    CHECK(bdpo_parquet_metadata(file, "other") == NULL);
    bdpo_parquet_close(file);
    unlink(temporary());
}

static void check_refused_columns(const bdpo_parquet_column *refused, size_t n, const char *part)
{
    bdpo_parquet_writer *writer = NULL;
    CHECK_STATUS(bdpo_parquet_writer_open(&writer, temporary(), refused, n, NULL),
                 BDPO_BAD_ARGUMENT);
    CHECK_CONTAINS(bdpo_message(), part);
    CHECK(writer == NULL);
    CHECK(access(temporary(), F_OK) != 0);
}

BDPO_TEST(columns_that_are_not_written)
{
    bdpo_parquet_column two[2] = {columns[0], columns[0]};
    check_refused_columns(two, 2, "\"flag\": it is there twice");
    check_refused_columns(two, 0, "a table of 0 columns");
    two[0] = (bdpo_parquet_column){.name = "x", .type = BDPO_PARQUET_INT32};
    check_refused_columns(two, 1, "\"x\": columns of its kind are not written");
    two[0] = (bdpo_parquet_column){.name = "", .type = BDPO_PARQUET_INT64};
    check_refused_columns(two, 1, "a name has 1 to 1,023 bytes");
    two[0] = (bdpo_parquet_column){.name = "\xff", .type = BDPO_PARQUET_INT64};
    check_refused_columns(two, 1, "its name is not UTF-8");
}

// A row that is refused spoils the file: it never gets its name.
static void check_refused_row(const bdpo_parquet_value *values, const char *part)
{
    bdpo_parquet_writer *writer;
    CHECK_OK(bdpo_parquet_writer_open(&writer, temporary(), columns, N_COLUMNS, NULL));
    CHECK_STATUS(bdpo_parquet_writer_row(writer, values), BDPO_BAD_ARGUMENT);
    CHECK_CONTAINS(bdpo_message(), part);
    CHECK_STATUS(bdpo_parquet_writer_row(writer, values), BDPO_BAD_ARGUMENT);
    CHECK_CONTAINS(bdpo_message(), "an earlier row could not be written");
    CHECK_STATUS(bdpo_parquet_writer_commit(writer), BDPO_BAD_ARGUMENT);
    CHECK(access(temporary(), F_OK) != 0);
}

BDPO_TEST(rows_that_are_not_written)
{
    static row r;
    make_row(&r, 1);
    r.values[6].is_null = true;
    check_refused_row(r.values, "\"id\": a null in a column that has none");
    make_row(&r, 1);
    r.values[3] = (bdpo_parquet_value){.data = "a\xff", .size = 2};
    check_refused_row(r.values, "\"text\": a text that is not UTF-8");
    r.values[3] = (bdpo_parquet_value){.data = "a\0\xc3", .size = 3};
    check_refused_row(r.values, "\"text\": a text that is not UTF-8");
}

BDPO_TEST(every_failed_allocation_while_writing_is_a_status)
{
    static row r;
    int n_failed = 0;
    make_row(&r, 3);
    for (uint64_t at = 1; at < 200; at++) {
        bdpo_parquet_writer *writer = NULL;
        bdpo_alloc_fail_at(bdpo_alloc_count() + at);
        bdpo_status status =
            bdpo_parquet_writer_open(&writer, temporary(), columns, N_COLUMNS, NULL);
        if (status == BDPO_OK) {
            status = bdpo_parquet_writer_row(writer, r.values);
            if (status == BDPO_OK)
                status = bdpo_parquet_writer_commit(writer);
            else
                bdpo_parquet_writer_abort(writer);
        }
        bdpo_alloc_fail_at(0);
        if (status == BDPO_OK) break;
        CHECK_STATUS(status, BDPO_NO_MEMORY);
        CHECK(access(temporary(), F_OK) != 0);
        n_failed++;
    }
    CHECK(n_failed > 20 && n_failed < 190);
    unlink(temporary());
}

BDPO_TEST_LONG(files_for_the_real_libraries)
{
    static const int64_t n_rows[] = {0, 1, 300, 5000};
    static const bdpo_parquet_pair pair = {"made by", "bdpo_test"};
    const char *folder = getenv("BDPO_PARQUET_WRITE_DIR");
    if (!folder) SKIP("BDPO_PARQUET_WRITE_DIR is not set: see tools/parity/parquet.py");
    for (size_t i = 0; i < BDPO_COUNTOF(n_rows); i++) {
        for (int plain = 0; plain < 2; plain++) {
            char path[4096];
            snprintf(path, sizeof path, "%s/rows_%" PRId64 "_%d.parquet", folder, n_rows[i], plain);
            bdpo_parquet_options options = {.uncompressed = plain,
                                            .group_rows = plain ? 700 : 0,
                                            .page_bytes = plain ? 3000 : 0,
                                            .metadata = &pair,
                                            .n_metadata = 1};
            write_rows(path, n_rows[i], &options);
        }
    }
}

// The peak after some row groups is that at the end, 5 GB later.
BDPO_TEST_LONG(memory_does_not_grow_with_what_is_written)
{
    enum { VALUE_BYTES = 335000, N_ROWS = 15000, GROUP_ROWS = 100, EARLY = 5 * GROUP_ROWS };
    static const bdpo_parquet_column jpeg = {.name = "jpg_0", .type = BDPO_PARQUET_BYTES};
    const char *path = getenv("BDPO_LARGE_PARQUET_OUT");
    if (!path) SKIP("BDPO_LARGE_PARQUET_OUT is not set: the name of a file of 5 GB");
    char *bytes = bdpo_alloc(VALUE_BYTES + N_ROWS, 1);
    bdpo_parquet_options options = {.group_rows = GROUP_ROWS};
    bdpo_parquet_writer *writer;
    uint64_t random = 1;
    long early = 0;
    CHECK(bytes != NULL);
    for (size_t i = 0; i < VALUE_BYTES + N_ROWS; i++) {
        random = random * 6364136223846793005ULL + 1442695040888963407ULL;
        bytes[i] = (char)(random >> 56);
    }
    CHECK_OK(bdpo_parquet_writer_open(&writer, path, &jpeg, 1, &options));
    for (int i = 0; i < N_ROWS; i++) {
        bdpo_parquet_value value = {.data = bytes + i, .size = VALUE_BYTES};
        CHECK_OK(bdpo_parquet_writer_row(writer, &value));
        if (i == EARLY) early = parquet_peak_kilobytes();
    }
    CHECK_OK(bdpo_parquet_writer_commit(writer));
    bdpo_free(bytes);
    printf("        peak %ld kB after %d rows, %ld kB after %d\n", early, EARLY,
           parquet_peak_kilobytes(), N_ROWS);
    CHECK_LE((double)parquet_peak_kilobytes(), (double)early + 4096);
    unlink(path);
}

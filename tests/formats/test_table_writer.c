// Tables written as CSV and JSONL, byte by byte.
#include "formats/table_writer.h"

#include <jansson.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "formats/parquet.h"
#include "harness.h"
#include "models/scratch.h"

static const bdpo_table_column columns[] = {
    {"text", BDPO_TABLE_TEXT}, {"a, \"b\"", BDPO_TABLE_INT}, {"x", BDPO_TABLE_REAL}};

static bdpo_table_value text_of(const char *text, size_t length)
{
    return (bdpo_table_value){.text = text, .length = length};
}

static bdpo_table_value number_of(double number)
{
    return (bdpo_table_value){.number = number};
}

// What the rows read as a file. Valid until the next call.
static const char *written(bdpo_table_format format, const bdpo_table_value (*rows)[3], int n)
{
    static char text[1 << 20];
    char *read;
    size_t size;
    bdpo_table_writer *writer;
    const char *path = scratch_path("table");
    CHECK_OK(bdpo_table_writer_open(&writer, path, NULL, format, columns, 3));
    for (int i = 0; i < n; i++) CHECK_OK(bdpo_table_writer_row(writer, rows[i]));
    CHECK(access(path, F_OK) != 0); // not before commit
    CHECK_OK(bdpo_table_writer_commit(writer));
    CHECK_OK(bdpo_file_read(&read, &size, path, sizeof text - 1));
    memcpy(text, read, size + 1);
    bdpo_free(read);
    scratch_remove();
    return text;
}

static const bdpo_table_value rows[][3] = {
    {{.text = "plain", .length = 5}, {.integer = -7}, {.number = 0.1}},
    {{.text = "a \"b\", c", .length = 8}, {.integer = INT64_MAX}, {.number = -0.0}},
    {{.text = "two\nlines\t", .length = 10}, {.integer = 0}, {.number = INFINITY}},
    {{.text = NULL}, {.integer = 1}, {.number = NAN}},
    {{.text = "", .length = 0}, {.integer = 1}, {.number = -INFINITY}},
    {{.text = "\xe7\x8c\xab \\", .length = 5}, {.integer = 1}, {.number = 1.0 / 3}},
    {{.text = "\xff", .length = 1}, {.integer = 1}, {.number = 1e300}},
};

BDPO_TEST(csv_is_quoted_where_it_must)
{
    const char *text = written(BDPO_TABLE_CSV, rows, BDPO_COUNTOF(rows));
    CHECK_STR(text, "text,\"a, \"\"b\"\"\",x\n"
                    "plain,-7,0.1\n"
                    "\"a \"\"b\"\", c\",9223372036854775807,-0.0\n"
                    "\"two\nlines\t\",0,inf\n"
                    ",1,\n"
                    "\"\",1,-inf\n"
                    "\xe7\x8c\xab \\,1,0.3333333333333333\n"
                    "\xff,1,1e+300\n");
}

BDPO_TEST(jsonl_keeps_what_json_can_say)
{
    const char *text = written(BDPO_TABLE_JSONL, rows, BDPO_COUNTOF(rows));
    CHECK_STR(text,
              "{\"text\": \"plain\", \"a, \\\"b\\\"\": -7, \"x\": 0.1}\n"
              "{\"text\": \"a \\\"b\\\", c\", \"a, \\\"b\\\"\": 9223372036854775807, \"x\": -0.0}\n"
              "{\"text\": \"two\\u000alines\\u0009\", \"a, \\\"b\\\"\": 0, \"x\": \"inf\"}\n"
              "{\"text\": null, \"a, \\\"b\\\"\": 1, \"x\": null}\n"
              "{\"text\": \"\", \"a, \\\"b\\\"\": 1, \"x\": \"-inf\"}\n"
              "{\"text\": \"\xe7\x8c\xab \\\\\", \"a, \\\"b\\\"\": 1, \"x\": "
              "0.3333333333333333}\n"
              "{\"text_hex\": \"ff\", \"a, \\\"b\\\"\": 1, \"x\": 1e+300}\n");
}

BDPO_TEST(zero_bytes_survive_json)
{
    const bdpo_table_value row[][3] = {{text_of("a\0b", 3), {.integer = 1}, number_of(1)},
                                       {text_of("a\0\xff", 3), {.integer = 1}, number_of(1)}};
    const char *text = written(BDPO_TABLE_JSONL, row, 2);
    CHECK_STR(text, "{\"text\": \"a\\u0000b\", \"a, \\\"b\\\"\": 1, \"x\": 1.0}\n"
                    "{\"text_hex\": \"6100ff\", \"a, \\\"b\\\"\": 1, \"x\": 1.0}\n");
}

BDPO_TEST(numbers_read_back_to_the_bit)
{
    enum { N = 2000 };
    static bdpo_table_value row[N][3];
    uint64_t state = 1;
    for (int i = 0; i < N; i++) {
        double number;
        state = state * 6364136223846793005u + 1442695040888963407u;
        memcpy(&number, &state, sizeof number);
        if (!isfinite(number)) number = i;
        if (i % 2) number = (double)(float)ldexp(number, -ilogb(number)); // as scorers give them
        row[i][0] = text_of("", 0);
        row[i][2].number = number;
    }
    for (bdpo_table_format format = BDPO_TABLE_CSV; format <= BDPO_TABLE_JSONL; format++) {
        const char *text = written(format, (const bdpo_table_value(*)[3])row, N), *at = text;
        if (format == BDPO_TABLE_CSV) at = strchr(at, '\n') + 1;
        for (int i = 0; i < N; i++, at = strchr(at, '\n') + 1) {
            const char *end = strchr(at, '\n');
            while (*end != ',' && *end != ' ') end--;
            double back = strtod(end + 1, NULL);
            CHECK_BYTES(&back, &row[i][2].number, sizeof back);
        }
    }
}

BDPO_TEST(parquet_reads_back)
{
    bdpo_parquet_file *file;
    bdpo_parquet_cursor *cursor;
    bdpo_table_writer *writer;
    bdpo_parquet_value v[3];
    bool there;
    static const char *const names[] = {"text", "a, \"b\"", "x"};
    static const char odd[] = "a\xff\xe7\x8c\xab\xe7\x8c|\0z";
    const char *path = scratch_path("t.parquet");
    CHECK_OK(bdpo_table_writer_open(&writer, path, NULL, BDPO_TABLE_PARQUET, columns, 3));
    for (size_t i = 0; i < BDPO_COUNTOF(rows); i++)
        CHECK_OK(bdpo_table_writer_row(writer, rows[i]));
    const bdpo_table_value last[] = {text_of(odd, sizeof odd - 1), {.integer = 2}, number_of(-0.0)};
    CHECK_OK(bdpo_table_writer_row(writer, last));
    CHECK_OK(bdpo_table_writer_commit(writer));
    CHECK_OK(bdpo_parquet_open(&file, path));
    CHECK_INT(bdpo_parquet_n_rows(file), BDPO_COUNTOF(rows) + 1);
    CHECK_OK(bdpo_parquet_cursor_open(&cursor, file, names, 3));
    for (size_t i = 0; i < BDPO_COUNTOF(rows); i++) {
        const bdpo_table_value *row = rows[i];
        CHECK_OK(bdpo_parquet_cursor_next(&there, cursor));
        for (size_t k = 0; k < 3; k++) CHECK_OK(bdpo_parquet_cursor_get(&v[k], cursor, k));
        CHECK_INT(v[0].is_null, row[0].text == NULL);
        if (i < 6 && row[0].text) {
            CHECK_U64(v[0].size, row[0].length);
            CHECK_BYTES(v[0].data, row[0].text, v[0].size);
        }
        CHECK_INT(v[1].integer, row[1].integer);
        CHECK_INT(v[2].is_null, isnan(row[2].number));
        if (!v[2].is_null) CHECK_BYTES(&v[2].number, &row[2].number, sizeof(double));
    }
    CHECK_OK(bdpo_parquet_cursor_next(&there, cursor));
    CHECK_OK(bdpo_parquet_cursor_get(&v[0], cursor, 0));
    static const char repaired[] = "a\xef\xbf\xbd\xe7\x8c\xab\xef\xbf\xbd\xef\xbf\xbd|\0z";
    CHECK_U64(v[0].size, sizeof repaired - 1);
    CHECK_BYTES(v[0].data, repaired, sizeof repaired - 1);
    bdpo_parquet_cursor_close(cursor);
    bdpo_parquet_close(file);
    CHECK_STATUS(bdpo_table_writer_open(&writer, NULL, stdout, BDPO_TABLE_PARQUET, columns, 3),
                 BDPO_UNSUPPORTED);
    scratch_remove();
}

BDPO_TEST(an_aborted_table_leaves_nothing)
{
    bdpo_table_writer *writer;
    CHECK_OK(
        bdpo_table_writer_open(&writer, scratch_path("t.csv"), NULL, BDPO_TABLE_CSV, columns, 3));
    CHECK_OK(bdpo_table_writer_row(writer, rows[0]));
    bdpo_table_writer_abort(writer);
    CHECK(access(scratch_path("t.csv"), F_OK) != 0);
    CHECK_STATUS(
        bdpo_table_writer_open(&writer, scratch_path("no/t.csv"), NULL, BDPO_TABLE_CSV, columns, 3),
        BDPO_NOT_FOUND);
    scratch_remove();
}

BDPO_TEST(a_full_stream_is_a_failure)
{
    bdpo_table_writer *writer;
    FILE *full = fopen("/dev/full", "w");
    if (!full) SKIP("no /dev/full here");
    CHECK_OK(bdpo_table_writer_open(&writer, NULL, full, BDPO_TABLE_CSV, columns, 3));
    CHECK_OK(bdpo_table_writer_row(writer, rows[0]));
    CHECK_STATUS(bdpo_table_writer_commit(writer), BDPO_IO);
    CHECK_CONTAINS(bdpo_message(), "standard output: cannot write");
    fclose(full);
}

BDPO_TEST(endings_tell_the_format)
{
    bdpo_table_format format;
    CHECK(bdpo_table_format_of(&format, "a.b/x.jsonl") && format == BDPO_TABLE_JSONL);
    CHECK(bdpo_table_format_of(&format, "x.csv") && format == BDPO_TABLE_CSV);
    CHECK(bdpo_table_format_of(&format, "x.parquet") && format == BDPO_TABLE_PARQUET);
    CHECK(!bdpo_table_format_of(&format, "csv"));
    CHECK(!bdpo_table_format_of(&format, "x.txt"));
}

// formats/parquet: values equal to those that pyarrow reads, in order and by seeking; columns and
// row groups that are not wanted are not read; what is not read is refused by name.
#include "harness.h"

#include <dirent.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "formats/parquet.h"
#include "formats/parquet_dump.h"
#include "formats/sha256.h"

static const char *fixture(const char *name)
{
    static char relative[256];
    snprintf(relative, sizeof relative, "fixtures/parquet/%s", name);
    return test_path(relative);
}

// ---- against pyarrow -----------------------------------------------------------------------

// Where each value of a dump begins: of column c and row r, [c * n_rows + r].
typedef struct dumped {
    uint32_t n_columns;
    uint64_t n_rows;
    char *kinds;
    const char **values;
} dumped;

static size_t value_size(char kind, const char *at)
{
    uint32_t length;
    if (*at == 0) return 1;
    memcpy(&length, at + 1, sizeof length);
    return kind == 'b' ? 5 + (size_t)length : 9;
}

// Of bytes that were found equal to our own dump, so nothing is checked.
static void parse_dump(dumped *out, const char *at)
{
    memcpy(&out->n_columns, at + 4, 4);
    memcpy(&out->n_rows, at + 8, 8);
    out->kinds = bdpo_alloc(out->n_columns + 1, 1);
    out->values = bdpo_alloc(out->n_columns * out->n_rows + 1, sizeof *out->values);
    CHECK(out->kinds && out->values);
    at += 16;
    for (uint32_t c = 0; c < out->n_columns; c++) {
        uint32_t length;
        memcpy(&length, at, 4);
        at += 4 + length;
        out->kinds[c] = *at++;
        for (uint64_t r = 0; r < out->n_rows && out->kinds[c] != 'u'; r++) {
            out->values[c * out->n_rows + r] = at;
            at += value_size(out->kinds[c], at);
        }
    }
}

static bool equal_value(const dumped *d, uint32_t column, uint64_t row,
                        const bdpo_parquet_value *value)
{
    bdpo_growing one = {0};
    const char *expected = d->values[column * d->n_rows + row];
    parquet_dump_value(&one, d->kinds[column], value);
    bool equal = one.size == value_size(d->kinds[column], expected) &&
                 memcmp(one.data, expected, one.size) == 0;
    bdpo_free(one.data);
    return equal;
}

// One cursor over all columns: rows in order, with values left out, then rows anywhere.
static int count_wrong_by_seeking(const bdpo_parquet_file *file, const dumped *d)
{
    const char **names = bdpo_alloc(d->n_columns + 1, sizeof *names);
    uint32_t *columns = bdpo_alloc(d->n_columns + 1, sizeof *columns), n = 0;
    bdpo_parquet_cursor *cursor;
    uint64_t random = 1;
    int n_wrong = 0;
    CHECK(names && columns);
    CHECK(d->n_rows > 0);
    for (uint32_t c = 0; c < d->n_columns; c++) {
        if (d->kinds[c] == 'u') continue;
        columns[n] = c;
        names[n++] = bdpo_parquet_column_at(file, c)->name;
    }
    CHECK_OK(bdpo_parquet_cursor_open(&cursor, file, names, n));
    for (uint64_t i = 0; i < 2 * d->n_rows; i++) {
        bdpo_parquet_value value;
        bool has_row;
        random = random * 6364136223846793005ULL + 1442695040888963407ULL;
        if (i >= d->n_rows) {
            int64_t row = (int64_t)((random >> 33) % d->n_rows);
            CHECK_OK(bdpo_parquet_cursor_seek(cursor, row));
            CHECK_INT(bdpo_parquet_cursor_row(cursor), -1);
        }
        CHECK_OK(bdpo_parquet_cursor_next(&has_row, cursor));
        CHECK(has_row);
        uint64_t row = (uint64_t)bdpo_parquet_cursor_row(cursor);
        for (uint32_t k = 0; k < n; k++) {
            if ((random >> (13 + k)) % 4 == 0) continue;
            CHECK_OK(bdpo_parquet_cursor_get(&value, cursor, k));
            n_wrong += !equal_value(d, columns[k], row, &value);
            if ((random >> (17 + k)) % 4 == 0) { // again
                CHECK_OK(bdpo_parquet_cursor_get(&value, cursor, k));
                n_wrong += !equal_value(d, columns[k], row, &value);
            }
        }
    }
    bdpo_parquet_cursor_close(cursor);
    bdpo_free(names);
    bdpo_free(columns);
    return n_wrong;
}

static int check_dump(const bdpo_parquet_file *file, const char *path, const char *expected,
                      size_t expected_size)
{
    bdpo_growing found = {0};
    size_t at = 0;
    dumped d;
    CHECK_OK(parquet_dump(&found, file));
    while (at < found.size && at < expected_size && found.data[at] == (uint8_t)expected[at]) at++;
    if (at < found.size || at < expected_size) {
        printf("        %s: byte %zu of the values differs (%zu, expected %zu)\n", path, at,
               found.size, expected_size);
        bdpo_free(found.data);
        return 1;
    }
    parse_dump(&d, expected);
    int n_wrong = d.n_rows > 0 ? count_wrong_by_seeking(file, &d) : 0;
    if (n_wrong > 0) printf("        %s: %d values differ by seeking\n", path, n_wrong);
    bdpo_free(d.kinds);
    bdpo_free(d.values);
    bdpo_free(found.data);
    return n_wrong > 0;
}

// All NAME.parquet of a folder against NAME.expected; the number of files that differ.
static int check_folder(const char *folder, int *n_files)
{
    char path[4096], *expected;
    size_t size;
    int n_wrong = 0;
    DIR *dir = opendir(folder);
    CHECK(dir != NULL);
    *n_files = 0;
    for (const struct dirent *entry; (entry = readdir(dir));) {
        bdpo_parquet_file *file;
        const char *dot = strstr(entry->d_name, ".parquet");
        if (!dot) continue;
        snprintf(path, sizeof path, "%s/%.*s.expected", folder, (int)(dot - entry->d_name),
                 entry->d_name);
        CHECK_OK(bdpo_file_read(&expected, &size, path, (size_t)1 << 30));
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        CHECK_OK(bdpo_parquet_open(&file, path));
        n_wrong += check_dump(file, path, expected, size);
        bdpo_parquet_close(file);
        bdpo_free(expected);
        ++*n_files;
    }
    closedir(dir);
    return n_wrong;
}

BDPO_TEST(files_of_pyarrow_have_its_values)
{
    char folder[1024];
    int n_files;
    snprintf(folder, sizeof folder, "%s", test_path("fixtures/parquet"));
    CHECK_INT(check_folder(folder, &n_files), 0);
    CHECK_INT(n_files, 21);
}

BDPO_TEST_LONG(every_combination_has_the_values_of_pyarrow)
{
    const char *folder = getenv("BDPO_LIVE_PARQUET_DIR");
    int n_files;
    if (!folder) SKIP("BDPO_LIVE_PARQUET_DIR is not set: see tools/parity/parquet.py");
    CHECK_INT(check_folder(folder, &n_files), 0);
    printf("        %s: %d files\n", folder, n_files);
    CHECK(n_files > 0);
}

// ---- the files of apache/parquet-testing ---------------------------------------------------

static const char *shared(const char *name)
{
    static char path[1024];
    snprintf(path, sizeof path, "%s/../../shared/data/parquet/%s", BDPO_TESTS_DIR, name);
    if (access(path, R_OK) != 0) SKIP("%s is not here", name);
    return path;
}

// A line "file <tab> SHA-256 of the values that pyarrow reads".
static bool same_digest(const char *name, const char *expected)
{
    char relative[256];
    bdpo_parquet_file *file;
    bdpo_growing found = {0};
    bdpo_sha256_text digest;
    snprintf(relative, sizeof relative, "good/%s", name);
    CHECK_OK(bdpo_parquet_open(&file, shared(relative)));
    CHECK_OK(parquet_dump(&found, file));
    CHECK_OK(bdpo_sha256(&digest, found.data, found.size));
    bdpo_parquet_close(file);
    bdpo_free(found.data);
    if (strcmp(digest.hex, expected) == 0) return true;
    printf("        %s: digest %s, expected %s\n", name, digest.hex, expected);
    return false;
}

BDPO_TEST(good_files_of_parquet_testing)
{
    char *text, *state = NULL;
    size_t size;
    int n_wrong = 0, n = 0;
    CHECK_OK(bdpo_file_read(&text, &size, fixture("shared.tsv"), 1 << 20));
    for (char *line = strtok_r(text, "\n", &state); line; line = strtok_r(NULL, "\n", &state)) {
        char *digest = strchr(line, '\t');
        if (line[0] == '#' || !digest) continue;
        *digest++ = '\0';
        if (digest[0] == '-') continue;
        n_wrong += !same_digest(line, digest);
        n++;
    }
    bdpo_free(text);
    CHECK_INT(n_wrong, 0);
    CHECK_INT(n, 27);
}

// Asks for every column, also for those in lists.
static bdpo_status read_all(const char *path)
{
    bdpo_parquet_file *file;
    bdpo_parquet_cursor *cursor;
    bdpo_growing found = {0};
    TRY(bdpo_parquet_open(&file, path));
    bdpo_status status = parquet_dump(&found, file);
    for (size_t i = 0; i < bdpo_parquet_n_columns(file) && status == BDPO_OK; i++) {
        status = bdpo_parquet_cursor_open(&cursor, file, &bdpo_parquet_column_at(file, i)->name, 1);
        if (status == BDPO_OK) bdpo_parquet_cursor_close(cursor);
    }
    bdpo_parquet_close(file);
    bdpo_free(found.data);
    return status;
}

BDPO_TEST(bad_files_of_parquet_testing)
{
    static const char *const said[][2] = {
        {"ARROW-GH-41317.parquet", "its pages hold 0 of 3 rows"},
        {"ARROW-GH-41321.parquet", "its definition levels run out"},
        {"ARROW-GH-45185.parquet", "is repeated, in a list or a map"},
        {"ARROW-GH-47662.parquet", "its values run out"},
        {"ARROW-RS-GH-6229-DICTHEADER.parquet", "field 1 has type 4, expected 5"},
        {"ARROW-RS-GH-6229-LEVELS.parquet", "is repeated, in a list or a map"},
        {"PARQUET-1481.parquet", "a type that the format does not have"},
        {"datapage_v1-corrupt-checksum.parquet", "its checksum is 0f4f6d0a"},
        {"nation.dict-malformed.parquet", "28 bytes, the column chunk has 13 more"},
        {"rle-dict-uncompressed-corrupt-checksum.parquet", "its checksum is 6522df69"},
    };
    for (size_t i = 0; i < BDPO_COUNTOF(said); i++) {
        char relative[512];
        snprintf(relative, sizeof relative, "bad/%s", said[i][0]);
        bdpo_status status = read_all(shared(relative));
        if (status == BDPO_OK) FAIL("%s is read", said[i][0]);
        CHECK_CONTAINS(bdpo_message(), said[i][0]);
        CHECK_CONTAINS(bdpo_message(), said[i][1]);
    }
}

// It lies among the bad ones for what it did to a reader, but indices of no bits are sound.
BDPO_TEST(dictionary_indices_of_no_bits)
{
    bdpo_parquet_file *file;
    bdpo_growing found = {0};
    CHECK_OK(bdpo_parquet_open(&file, shared("bad/ARROW-GH-43605.parquet")));
    CHECK_OK(parquet_dump(&found, file));
    const size_t before = 16 + 4 + strlen("min_fl") + 1, n_rows = 21186;
    CHECK_INT(found.size, before + 9 * n_rows);
    for (size_t i = 0; i < n_rows; i++)
        CHECK_BYTES(found.data + before + 9 * i, "\1\0\0\0\0\0\0\0\0", 9);
    bdpo_parquet_close(file);
    bdpo_free(found.data);
}

// ---- reading by parts ----------------------------------------------------------------------

// Damage in a column that is not wanted, in a row group that is passed, is not seen.
BDPO_TEST(only_what_is_wanted_is_read)
{
    char path[64], *bytes;
    size_t size;
    bdpo_parquet_file *file;
    bdpo_parquet_cursor *cursor;
    bdpo_parquet_value value;
    bool has_row;
    static const char *const names[] = {"caption", "jpg_0"};
    snprintf(path, sizeof path, "/tmp/bdpo-parquet-part-%ld", (long)getpid());
    CHECK_OK(bdpo_file_read(&bytes, &size, fixture("pick_a_pic.parquet"), 1 << 20));
    CHECK_OK(bdpo_parquet_open(&file, fixture("pick_a_pic.parquet")));
    CHECK_INT(bdpo_parquet_n_row_groups(file), 3);
    CHECK_INT(bdpo_parquet_first_row(file, 1), 12);
    CHECK_INT(bdpo_parquet_first_row(file, 3), 30);
    bdpo_parquet_close(file);
    memset(bytes + 4, 0xff, 2000); // of the first row group its first columns
    CHECK_OK(bdpo_file_write(path, bytes, size));
    bdpo_free(bytes);
    CHECK_OK(bdpo_parquet_open(&file, path));
    CHECK_OK(bdpo_parquet_cursor_open(&cursor, file, names, 2));
    CHECK_OK(bdpo_parquet_cursor_next(&has_row, cursor));
    CHECK_STATUS(bdpo_parquet_cursor_get(&value, cursor, 0), BDPO_BAD_FILE);
    CHECK_CONTAINS(bdpo_message(), "column \"caption\", row group 0, page at byte");
    CHECK_STATUS(bdpo_parquet_cursor_get(&value, cursor, 0), BDPO_BAD_FILE); // again
    CHECK_OK(bdpo_parquet_cursor_get(&value, cursor, 1));
    CHECK_BYTES(value.data, "\xff\xd8\xff\xe0", 4);
    CHECK_OK(bdpo_parquet_cursor_seek(cursor, 12));
    CHECK_OK(bdpo_parquet_cursor_next(&has_row, cursor));
    CHECK_OK(bdpo_parquet_cursor_get(&value, cursor, 0));
    bdpo_parquet_cursor_close(cursor);
    bdpo_parquet_close(file);
    unlink(path);
}

BDPO_TEST(columns_that_are_refused)
{
    static const struct {
        const char *name, *part;
        bdpo_status status;
    } asked[] = {
        {"caption2", "no column \"caption2\" among its", BDPO_BAD_FILE},
        {"image", "column \"image\" is nested, its first field is \"image.bytes\"",
         BDPO_UNSUPPORTED},
        {"list", "column \"list\" is nested", BDPO_UNSUPPORTED},
        {"list.list.element", "is repeated, in a list or a map", BDPO_UNSUPPORTED},
        {"map", "column \"map\" is nested", BDPO_UNSUPPORTED},
        {"", "no column \"\" among its", BDPO_BAD_FILE},
    };
    bdpo_parquet_file *file;
    bdpo_parquet_cursor *cursor = NULL;
    CHECK_OK(bdpo_parquet_open(&file, fixture("delta_gzip_some_v1.parquet")));
    for (size_t i = 0; i < BDPO_COUNTOF(asked); i++) {
        CHECK_STATUS(bdpo_parquet_cursor_open(&cursor, file, &asked[i].name, 1), asked[i].status);
        CHECK_CONTAINS(bdpo_message(), asked[i].part);
        CHECK(cursor == NULL);
    }
    CHECK_OK(bdpo_parquet_cursor_open(&cursor, file, NULL, 0));
    CHECK_STATUS(bdpo_parquet_cursor_seek(cursor, -1), BDPO_BAD_ARGUMENT);
    CHECK_STATUS(bdpo_parquet_cursor_seek(cursor, 41), BDPO_BAD_ARGUMENT);
    CHECK_CONTAINS(bdpo_message(), "row 41 of 40");
    CHECK_OK(bdpo_parquet_cursor_seek(cursor, 40));
    bool has_row;
    CHECK_OK(bdpo_parquet_cursor_next(&has_row, cursor));
    CHECK(!has_row);
    bdpo_parquet_cursor_close(cursor);
    bdpo_parquet_close(file);
    CHECK_STATUS(bdpo_parquet_open(&file, "/nowhere/x.parquet"), BDPO_NOT_FOUND);
}

BDPO_TEST(columns_say_what_they_mean)
{
    static const struct {
        const char *name;
        bdpo_parquet_type type;
        bdpo_parquet_logical logical;
        int32_t fixed_bytes, scale;
    } expected[] = {
        {"bool", BDPO_PARQUET_BOOLEAN, BDPO_PARQUET_PLAIN, 0, 0},
        {"int8", BDPO_PARQUET_INT32, BDPO_PARQUET_SIGNED, 0, 0},
        {"uint64", BDPO_PARQUET_INT64, BDPO_PARQUET_UNSIGNED, 0, 0},
        {"float16", BDPO_PARQUET_FIXED_BYTES, BDPO_PARQUET_FLOAT16, 2, 0},
        {"float32", BDPO_PARQUET_FLOAT, BDPO_PARQUET_PLAIN, 0, 0},
        {"string", BDPO_PARQUET_BYTES, BDPO_PARQUET_STRING, 0, 0},
        {"fixed5", BDPO_PARQUET_FIXED_BYTES, BDPO_PARQUET_PLAIN, 5, 0},
        {"date", BDPO_PARQUET_INT32, BDPO_PARQUET_DATE, 0, 0},
        {"time_ms", BDPO_PARQUET_INT32, BDPO_PARQUET_TIME_MS, 0, 0},
        {"time_ns", BDPO_PARQUET_INT64, BDPO_PARQUET_TIME_NS, 0, 0},
        {"ts_ms", BDPO_PARQUET_INT64, BDPO_PARQUET_TIMESTAMP_MS, 0, 0},
        {"ts_us", BDPO_PARQUET_INT64, BDPO_PARQUET_TIMESTAMP_US, 0, 0},
        {"ts_ns", BDPO_PARQUET_INT64, BDPO_PARQUET_TIMESTAMP_NS, 0, 0},
        {"decimal", BDPO_PARQUET_FIXED_BYTES, BDPO_PARQUET_DECIMAL, 9, 3},
        {"nothing", BDPO_PARQUET_INT32, BDPO_PARQUET_NULL, 0, 0},
    };
    bdpo_parquet_file *file;
    CHECK_OK(bdpo_parquet_open(&file, fixture("delta_gzip_some_v1.parquet")));
    CHECK_CONTAINS(bdpo_parquet_created_by(file), "parquet-cpp-arrow");
    for (size_t i = 0; i < BDPO_COUNTOF(expected); i++) {
        size_t at = bdpo_parquet_column_find(file, expected[i].name);
        CHECK(at != SIZE_MAX);
        const bdpo_parquet_column *column = bdpo_parquet_column_at(file, at);
        CHECK_INT(column->type, expected[i].type);
        CHECK_INT(column->logical, expected[i].logical);
        CHECK_INT(column->fixed_bytes, expected[i].fixed_bytes);
        CHECK_INT(column->scale, expected[i].scale);
        CHECK(column->nullable && !column->repeated);
    }
    CHECK_STR(bdpo_parquet_logical_name(BDPO_PARQUET_TIMESTAMP_NS), "TIMESTAMP_NS");
    CHECK_STR(bdpo_parquet_logical_name(BDPO_PARQUET_OTHER), "OTHER");
    CHECK_STR(bdpo_parquet_type_name(BDPO_PARQUET_FIXED_BYTES), "FIXED_LEN_BYTE_ARRAY");
    bdpo_parquet_close(file);
}

BDPO_TEST(every_failed_allocation_while_reading_is_a_status)
{
    static const char *const names[] = {"delta_gzip_some_v1.parquet", "pick_a_pic.parquet"};
    for (size_t i = 0; i < BDPO_COUNTOF(names); i++) {
        const char *path = fixture(names[i]);
        bdpo_growing found = {0}; // grown before, so that only the reader's allocations fail
        int n_failed = 0;
        CHECK(bdpo_growing_add(&found, path, 1));
        found.data = bdpo_realloc(found.data, 1 << 20, 1);
        found.capacity = 1 << 20;
        for (uint64_t at = 1; at < 5000; at++) {
            bdpo_parquet_file *file;
            found.size = 0;
            bdpo_alloc_fail_at(bdpo_alloc_count() + at);
            bdpo_status status = bdpo_parquet_open(&file, path);
            if (status == BDPO_OK) {
                status = parquet_dump(&found, file);
                bdpo_parquet_close(file);
            }
            bdpo_alloc_fail_at(0);
            if (status == BDPO_OK) break;
            CHECK_STATUS(status, BDPO_NO_MEMORY);
            n_failed++;
        }
        bdpo_free(found.data);
        CHECK(n_failed > 50 && n_failed < 4000);
    }
}

// What two row groups need, the rest does not exceed. The file is that of
// tools/parity/parquet.py large.
BDPO_TEST_LONG(memory_does_not_grow_with_the_file)
{
    static const char *const names[] = {"caption", "jpg_0", "jpg_1", "label_0", "created_at"};
    const char *path = getenv("BDPO_LARGE_PARQUET");
    bdpo_parquet_file *file;
    bdpo_parquet_cursor *cursor;
    bool has_row = true;
    long early = 0;
    uint64_t n_bytes = 0, n_rows = 0;
    if (!path) SKIP("BDPO_LARGE_PARQUET is not set: see tools/parity/parquet.py");
    CHECK_OK(bdpo_parquet_open(&file, path));
    CHECK_OK(bdpo_parquet_cursor_open(&cursor, file, names, BDPO_COUNTOF(names)));
    for (;; n_rows++) {
        CHECK_OK(bdpo_parquet_cursor_next(&has_row, cursor));
        if (!has_row) break;
        for (size_t i = 0; i < BDPO_COUNTOF(names); i++) {
            bdpo_parquet_value value;
            CHECK_OK(bdpo_parquet_cursor_get(&value, cursor, i));
            n_bytes += value.size;
        }
        if (bdpo_parquet_cursor_row(cursor) == bdpo_parquet_first_row(file, 2))
            early = parquet_peak_kilobytes();
    }
    printf("        %llu rows, %llu bytes of values; peak %ld kB after two row groups, %ld kB "
           "at the end\n",
           (unsigned long long)n_rows, (unsigned long long)n_bytes, early,
           parquet_peak_kilobytes());
    CHECK(early > 0);
    CHECK_LE((double)parquet_peak_kilobytes(), (double)early + 2048);
    bdpo_parquet_cursor_close(cursor);
    bdpo_parquet_close(file);
}

// ---- malformed files -----------------------------------------------------------------------

// True where the file is refused, or read, as the manifest says; else prints what is wrong.
static bool as_expected(const char *kind, const char *name, const char *part)
{
    char relative[256];
    snprintf(relative, sizeof relative, "golden-bad/parquet/%s", name);
    const char *path = test_path(relative);
    bdpo_status status = read_all(path);
    if (strcmp(kind, "good") == 0) {
        if (status != BDPO_OK) printf("        %s: %s\n", name, bdpo_message());
        return status == BDPO_OK;
    }
    const char *message = status == BDPO_OK ? "not refused" : bdpo_message();
    bdpo_status expected = strcmp(kind, "bad") == 0 ? BDPO_BAD_FILE : BDPO_UNSUPPORTED;
    if (status == expected && strstr(message, part) && strncmp(message, path, strlen(path)) == 0 &&
        !strpbrk(message, "\n\r\t\033"))
        return true;
    printf("        %s: expected \"%s\" in: %s\n", name, part, message);
    return false;
}

BDPO_TEST(malformed_files_are_refused_in_one_line)
{
    char *text, *state = NULL;
    size_t size;
    int n = 0, n_wrong = 0, n_files = 0;
    CHECK_OK(bdpo_file_read(&text, &size, test_path("golden-bad/parquet/MANIFEST.tsv"), 1 << 20));
    for (char *line = strtok_r(text, "\n", &state); line; line = strtok_r(NULL, "\n", &state)) {
        char *name = strchr(line, '\t');
        if (line[0] == '#' || !name) continue;
        *name++ = '\0';
        char *part = strchr(name, '\t');
        CHECK(part != NULL);
        *part++ = '\0';
        n_wrong += !as_expected(line, name, part);
        n++;
    }
    bdpo_free(text);
    CHECK_INT(n_wrong, 0);
    DIR *dir = opendir(test_path("golden-bad/parquet"));
    CHECK(dir != NULL);
    for (const struct dirent *entry; (entry = readdir(dir));) n_files += entry->d_name[0] != '.';
    closedir(dir);
    CHECK_INT(n_files, n + 1); // and the manifest
    CHECK(n > 150);
}

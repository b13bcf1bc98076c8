// Forged Parquet files: refused in one line, or the rows of every column can be read, in order and
// anywhere.
#include "base/memory.h"
#include "formats/parquet.h"
#include "fuzz/fuzz_bytes.h"
#include "harness.h"

// Few bytes can say many rows; all are not needed.
enum { MAX_ROWS = 3000, N_SEEKS = 20 };

static uint64_t touched;

static void touch(const bdpo_parquet_value *value)
{
    touched += (uint64_t)value->integer;
    for (size_t i = 0; i < value->size; i++) touched += (unsigned char)value->data[i];
}

static bdpo_status get(bdpo_parquet_cursor *cursor, size_t n_columns)
{
    for (size_t i = 0; i < n_columns; i++) {
        bdpo_parquet_value value;
        TRY(bdpo_parquet_cursor_get(&value, cursor, i));
        touch(&value);
    }
    return BDPO_OK;
}

static bdpo_status read_rows(const bdpo_parquet_file *file, bdpo_parquet_cursor *cursor,
                             size_t n_columns)
{
    bool has_row = true;
    int64_t n_rows = bdpo_parquet_n_rows(file);
    for (int i = 0; i < MAX_ROWS; i++) {
        TRY(bdpo_parquet_cursor_next(&has_row, cursor));
        if (!has_row) break;
        TRY(get(cursor, n_columns));
    }
    for (int i = 0; i < N_SEEKS && n_rows > 0; i++) {
        int64_t row = (int64_t)(UINT64_C(0x9e3779b97f4a7c15) * (uint64_t)(i + 1) >> 1) % n_rows;
        TRY(bdpo_parquet_cursor_seek(cursor, row));
        TRY(bdpo_parquet_cursor_next(&has_row, cursor));
        CHECK(has_row);
        TRY(get(cursor, n_columns));
    }
    return BDPO_OK;
}

// The columns of `names`, as one cursor. What fails once fails again, or gives a value.
static bdpo_status read_columns(const bdpo_parquet_file *file, const char *const *names, size_t n)
{
    bdpo_parquet_cursor *cursor;
    TRY(bdpo_parquet_cursor_open(&cursor, file, names, n));
    bdpo_status status = read_rows(file, cursor, n);
    if (status != BDPO_OK) {
        bdpo_status again = read_rows(file, cursor, n);
        if (again != BDPO_OK) status = again;
    }
    bdpo_parquet_cursor_close(cursor);
    return status;
}

static bdpo_status read_file(const bdpo_parquet_file *file)
{
    const char *names[8];
    size_t n = bdpo_parquet_n_columns(file), n_names = 0;
    bdpo_status status = BDPO_OK;
    for (size_t i = 0; i < n && i < 40; i++) { // one by one, so that each is reached
        const bdpo_parquet_column *column = bdpo_parquet_column_at(file, i);
        CHECK(bdpo_parquet_type_name(column->type) && bdpo_parquet_logical_name(column->logical));
        bdpo_status one = read_columns(file, &column->name, 1);
        if (one == BDPO_OK && n_names < BDPO_COUNTOF(names)) names[n_names++] = column->name;
        if (one != BDPO_OK) status = one;
    }
    if (status == BDPO_OK && n_names > 0) status = read_columns(file, names, n_names);
    return status;
}

static bdpo_status read_path(const char *path)
{
    bdpo_parquet_file *file;
    TRY(bdpo_parquet_open(&file, path));
    bdpo_status status = read_file(file);
    bdpo_parquet_close(file);
    return status;
}

static const fuzz_target target = {
    .folder = "parquet",
    .more = "golden-bad/parquet",
    .prefix = "",
    .file_name = "x.parquet",
    .read = read_path,
};

// The footer's length again what it was from the other end, so that bytes may come and go.
static void repair(unsigned char *bytes, size_t size)
{
    static const unsigned char magic[4] = {'P', 'A', 'R', '1'};
    size_t start = 4;
    if (size < 16) return;
    // A footer begins with its version, 1 or 2, and the list of the schema's elements.
    for (size_t i = 4; i + 12 < size; i++)
        if (bytes[i] == 0x15 && (bytes[i + 1] == 2 || bytes[i + 1] == 4) && bytes[i + 2] == 0x19)
            start = i;
    size_t length = size - 8 - start;
    memcpy(bytes, magic, 4);
    for (size_t i = 0; i < 4; i++) bytes[size - 8 + i] = (unsigned char)(length >> 8 * i);
    memcpy(bytes + size - 4, magic, 4);
}

static const fuzz_target repaired = {
    .folder = "parquet",
    .file_name = "y.parquet",
    .read = read_path,
    .repair = repair,
};

BDPO_TEST(corpus)
{
    fuzz_replay(&target);
}

BDPO_TEST(mutants)
{
    fuzz_mutants(&target, 400);
    fuzz_mutants(&repaired, 400);
}

BDPO_TEST_LONG(mutants_for_long)
{
    fuzz_long(&target);
}

BDPO_TEST_LONG(mutants_of_sound_files_for_long)
{
    fuzz_long(&repaired);
}

// Values of Parquet files as bytes.
#include "formats/parquet_dump.h"

#include "harness.h"

char parquet_dump_kind(const bdpo_parquet_column *column)
{
    switch (column->type) {
    case BDPO_PARQUET_FLOAT:
    case BDPO_PARQUET_DOUBLE:
        return 'd';
    case BDPO_PARQUET_BYTES:
    case BDPO_PARQUET_FIXED_BYTES:
        return 'b';
    default:
        return 'i';
    }
}

static void add(bdpo_growing *out, const void *data, size_t size)
{
    CHECK(bdpo_growing_add(out, data, size));
}

void parquet_dump_value(bdpo_growing *out, char kind, const bdpo_parquet_value *value)
{
    uint8_t present = !value->is_null;
    uint32_t size = (uint32_t)value->size;
    add(out, &present, 1);
    if (!present) return;
    if (kind == 'i') add(out, &value->integer, 8);
    if (kind == 'd') add(out, &value->number, 8);
    if (kind != 'b') return;
    add(out, &size, 4);
    CHECK(value->data != NULL);
    add(out, value->data, size);
}

static bdpo_status dump_rows(bdpo_growing *out, bdpo_parquet_cursor *cursor, char kind)
{
    for (;;) {
        bool has_row;
        bdpo_parquet_value value;
        TRY(bdpo_parquet_cursor_next(&has_row, cursor));
        if (!has_row) return BDPO_OK;
        TRY(bdpo_parquet_cursor_get(&value, cursor, 0));
        parquet_dump_value(out, kind, &value);
    }
}

static bdpo_status dump_column(bdpo_growing *out, const bdpo_parquet_file *file,
                               const bdpo_parquet_column *column)
{
    uint32_t length = (uint32_t)strlen(column->name);
    char kind = column->repeated ? 'u' : parquet_dump_kind(column);
    bdpo_parquet_cursor *cursor;
    add(out, &length, 4);
    add(out, column->name, length);
    add(out, &kind, 1);
    bdpo_status status = bdpo_parquet_cursor_open(&cursor, file, &column->name, 1);
    if (column->repeated && status != BDPO_NO_MEMORY) {
        CHECK(status == BDPO_UNSUPPORTED || status == BDPO_BAD_FILE); // bad: there twice
        return BDPO_OK;
    }
    TRY(status);
    status = dump_rows(out, cursor, kind);
    bdpo_parquet_cursor_close(cursor);
    return status;
}

bdpo_status parquet_dump(bdpo_growing *out, const bdpo_parquet_file *file)
{
    uint32_t n_columns = (uint32_t)bdpo_parquet_n_columns(file);
    uint64_t n_rows = (uint64_t)bdpo_parquet_n_rows(file);
    add(out, "BDPQ", 4);
    add(out, &n_columns, 4);
    add(out, &n_rows, 8);
    for (uint32_t i = 0; i < n_columns; i++)
        TRY(dump_column(out, file, bdpo_parquet_column_at(file, i)));
    return BDPO_OK;
}

long parquet_peak_kilobytes(void)
{
    char line[256];
    long peak = 0;
    FILE *file = fopen("/proc/self/status", "r");
    CHECK(file != NULL);
    while (fgets(line, sizeof line, file)) sscanf(line, "VmHWM: %ld", &peak);
    fclose(file);
    return peak;
}

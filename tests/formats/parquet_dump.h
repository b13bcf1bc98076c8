// All values of a Parquet file as bytes, in the form in which tools/parity/parquet.py writes what
// pyarrow reads: "BDPQ", the number of columns (u32) and of rows (u64); for each column the length
// of its name (u32), the name, a kind ('i', 'd', 'b', or 'u': not read), and the rows' values: a
// zero byte for a null, else a one and an i64, a double, or a length (u32) and bytes.
#ifndef PARQUET_DUMP_H
#define PARQUET_DUMP_H

#include "formats/growing.h"
#include "formats/parquet.h"

// 'i', 'd' or 'b': which field of a value counts.
char parquet_dump_kind(const bdpo_parquet_column *column);
// Appends one value.
void parquet_dump_value(bdpo_growing *out, char kind, const bdpo_parquet_value *value);
// Column by column, each with a cursor of its own. Fails where a column that is not repeated does.
BDPO_MUST_CHECK bdpo_status parquet_dump(bdpo_growing *out, const bdpo_parquet_file *file);

// The most memory that this process had so far.
long parquet_peak_kilobytes(void);

#endif

// The encodings of Parquet's values and levels: decoders over the bytes of one page that give one
// value at a time and can skip. Internal to this room.
#ifndef BDPO_PARQUET_VALUES_H
#define BDPO_PARQUET_VALUES_H

#include "formats/parquet_meta.h"

// ---- runs: the RLE / bit-packed hybrid -----------------------------------------------------

typedef struct bdpo_parquet_runs {
    const uint8_t *at, *end; // what is behind the present run
    int width;               // bits of a value, 0 to 32
    uint64_t n_left;         // of the present run
    bool packed;
    uint32_t value; // of a run of one value
    const uint8_t
        *packed_from; // up to `at`; values of a packed run, the next is number `packed_index`
    uint64_t packed_index;
} bdpo_parquet_runs;

void bdpo_parquet_runs_begin(bdpo_parquet_runs *runs, const uint8_t *at, const uint8_t *end,
                             int width);
// False where the runs have ended, or are damaged.
bool bdpo_parquet_runs_next(bdpo_parquet_runs *runs, uint32_t *value);
bool bdpo_parquet_runs_skip(bdpo_parquet_runs *runs, uint64_t n);
// Goes over n values: how many equal `wanted`; *highest is the highest of all.
bool bdpo_parquet_runs_count(bdpo_parquet_runs *runs, uint64_t n, uint32_t wanted,
                             uint64_t *n_equal, uint32_t *highest);

// ---- deltas: DELTA_BINARY_PACKED -----------------------------------------------------------

typedef struct bdpo_parquet_deltas {
    const uint8_t *at, *end; // what is behind the present miniblock
    uint64_t n_total, n_given;
    uint64_t n_miniblocks, per_miniblock; // of a block, of values
    const uint8_t *widths;                // of the present block's miniblocks
    uint64_t miniblock, index;            // the present one, the next value in it
    const uint8_t *packed;                // its values
    uint64_t min_delta, last;
} bdpo_parquet_deltas;

bool bdpo_parquet_deltas_begin(bdpo_parquet_deltas *deltas, const uint8_t *at, const uint8_t *end);
bool bdpo_parquet_deltas_next(bdpo_parquet_deltas *deltas, int64_t *value);

// ---- values --------------------------------------------------------------------------------

// The values of a dictionary page, which they are borrowed from.
typedef struct bdpo_parquet_dictionary {
    const uint8_t *data, *end;
    uint32_t n;
    uint32_t *offsets; // of BYTES: where each value's length stands
} bdpo_parquet_dictionary;

typedef enum bdpo_parquet_way {
    BDPO_PARQUET_BY_BITS,
    BDPO_PARQUET_BY_WIDTH,
    BDPO_PARQUET_BY_LENGTH,
    BDPO_PARQUET_BY_INDEX,
    BDPO_PARQUET_BY_RUNS,
    BDPO_PARQUET_BY_DELTAS,
    BDPO_PARQUET_BY_LENGTHS_BEFORE,
    BDPO_PARQUET_BY_PREFIXES,
    BDPO_PARQUET_BY_STREAMS
} bdpo_parquet_way;

typedef struct bdpo_parquet_values {
    bdpo_parquet_way way;
    bdpo_parquet_type type;
    bool is_unsigned;
    size_t width;                         // bytes of a value; 0 of BYTES
    const uint8_t *at, *end;              // of plain data
    uint64_t index;                       // BY_BITS, BY_STREAMS: of the next value
    size_t stride;                        // BY_STREAMS: bytes of one stream
    bdpo_parquet_runs runs;               // BY_INDEX, BY_RUNS
    bdpo_parquet_deltas deltas, suffixes; // values or lengths; BY_PREFIXES: of prefixes, suffixes
    const bdpo_parquet_dictionary *dictionary;
    bdpo_growing *scratch; // BY_PREFIXES, BY_STREAMS: the present value; owned by the column
} bdpo_parquet_values;

// The bytes of a value of this type; 0 for BOOLEAN and BYTES.
size_t bdpo_parquet_width(const bdpo_parquet_column *column);

// "PLAIN", ...; NULL for a number that the format does not have.
const char *bdpo_parquet_encoding_name(int32_t encoding);

// The fault of those below where memory is short.
extern const char bdpo_parquet_no_memory[];

// All that can be wrong with a page's values is told by a static text, "runs out of bits"; NULL is
// good. `n` is the number of values that the page holds, nulls left out.
const char *bdpo_parquet_values_begin(bdpo_parquet_values *values, int32_t encoding,
                                      const bdpo_parquet_column *column, const uint8_t *data,
                                      size_t size, uint64_t n,
                                      const bdpo_parquet_dictionary *dictionary,
                                      bdpo_growing *scratch);
const char *bdpo_parquet_values_next(bdpo_parquet_values *values, bdpo_parquet_value *out);
const char *bdpo_parquet_values_skip(bdpo_parquet_values *values, uint64_t n);

// Checks a dictionary's plain values and finds where they begin. offsets[] is the caller's to free.
const char *bdpo_parquet_dictionary_begin(bdpo_parquet_dictionary *dictionary,
                                          const bdpo_parquet_column *column, const uint8_t *data,
                                          size_t size, int32_t n);

#endif

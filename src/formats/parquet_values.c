// One value at a time from the bytes of a page, by its encoding. Nothing is decoded ahead, so a
// page needs no more memory than its bytes.
#include "formats/parquet_values.h"

#include <string.h>

const char bdpo_parquet_no_memory[] = "no memory for its values";
static const char runs_out[] = "its values run out";

size_t bdpo_parquet_width(const bdpo_parquet_column *column)
{
    switch (column->type) {
    case BDPO_PARQUET_INT32:
    case BDPO_PARQUET_FLOAT:
        return 4;
    case BDPO_PARQUET_INT64:
    case BDPO_PARQUET_DOUBLE:
        return 8;
    case BDPO_PARQUET_INT96:
        return 12;
    case BDPO_PARQUET_FIXED_BYTES:
        return (size_t)column->fixed_bytes;
    case BDPO_PARQUET_BOOLEAN:
    case BDPO_PARQUET_BYTES:
        break;
    }
    return 0;
}

const char *bdpo_parquet_encoding_name(int32_t encoding)
{
    static const char *const names[] = {
        "PLAIN",          "GROUP_VAR_INT",       "PLAIN_DICTIONARY",        "RLE",
        "BIT_PACKED",     "DELTA_BINARY_PACKED", "DELTA_LENGTH_BYTE_ARRAY", "DELTA_BYTE_ARRAY",
        "RLE_DICTIONARY", "BYTE_STREAM_SPLIT"};
    return encoding >= 0 && encoding < (int32_t)BDPO_COUNTOF(names) ? names[encoding] : NULL;
}

static uint32_t load_u32(const uint8_t *at)
{
    uint32_t value;
    memcpy(&value, at, sizeof value); // little-endian, as all our machines
    return value;
}

// ---- single values -------------------------------------------------------------------------

static void set_integer(bdpo_parquet_value *out, int64_t integer, const bdpo_parquet_values *v)
{
    if (v->type == BDPO_PARQUET_INT32 && v->is_unsigned) integer = (uint32_t)integer;
    out->integer = integer;
    out->number = v->is_unsigned ? (double)(uint64_t)integer : (double)integer;
}

// A timestamp of 12 bytes: nanoseconds of the day, and the Julian day.
static const char *set_int96(bdpo_parquet_value *out, const uint8_t *at)
{
    static const int64_t day_ns = 86400000000000, epoch_day = 2440588; // 1970-01-01
    int64_t ns, of_day;
    memcpy(&of_day, at, sizeof of_day);
    if (__builtin_mul_overflow((int64_t)load_u32(at + 8) - epoch_day, day_ns, &ns) ||
        __builtin_add_overflow(ns, of_day, &ns))
        return "an INT96 timestamp beyond what 64 bits of nanoseconds hold";
    out->integer = ns;
    out->number = (double)ns;
    return NULL;
}

// The value whose bytes stand at `at`, of a type that has a width.
static const char *set_plain(bdpo_parquet_value *out, const bdpo_parquet_values *v,
                             const uint8_t *at)
{
    int64_t wide;
    float f;
    switch (v->type) {
    case BDPO_PARQUET_INT32:
        set_integer(out, (int32_t)load_u32(at), v);
        return NULL;
    case BDPO_PARQUET_INT64:
        memcpy(&wide, at, sizeof wide);
        set_integer(out, wide, v);
        return NULL;
    case BDPO_PARQUET_INT96:
        return set_int96(out, at);
    case BDPO_PARQUET_FLOAT:
        memcpy(&f, at, sizeof f);
        out->number = (double)f;
        return NULL;
    case BDPO_PARQUET_DOUBLE:
        memcpy(&out->number, at, sizeof out->number);
        return NULL;
    default:
        out->data = (const char *)at;
        out->size = v->width;
        return NULL;
    }
}

// The value whose length stands at *at; moves behind it. False where it does not lie before `end`.
static bool take_bytes(const uint8_t **at, const uint8_t *end, bdpo_parquet_value *out)
{
    size_t left = (size_t)(end - *at);
    if (left < 4 || load_u32(*at) > left - 4) return false;
    out->size = load_u32(*at);
    out->data = (const char *)*at + 4;
    *at += 4 + out->size;
    return true;
}

// ---- dictionaries --------------------------------------------------------------------------

const char *bdpo_parquet_dictionary_begin(bdpo_parquet_dictionary *dictionary,
                                          const bdpo_parquet_column *column, const uint8_t *data,
                                          size_t size, int32_t n)
{
    size_t width = bdpo_parquet_width(column), least = width > 0 ? width : 4;
    *dictionary = (bdpo_parquet_dictionary){.data = data, .end = data + size, .n = (uint32_t)n};
    if (column->type == BDPO_PARQUET_BOOLEAN) return "a dictionary of booleans";
    if ((size_t)n > size / least) return runs_out;
    if (width > 0) return NULL;
    dictionary->offsets = bdpo_alloc((size_t)n + 1, sizeof *dictionary->offsets);
    if (!dictionary->offsets) return bdpo_parquet_no_memory;
    const uint8_t *at = data;
    for (int32_t i = 0; i < n; i++) {
        bdpo_parquet_value value;
        dictionary->offsets[i] = (uint32_t)(at - data);
        if (!take_bytes(&at, dictionary->end, &value)) return runs_out;
    }
    return NULL;
}

static const char *next_by_index(bdpo_parquet_values *v, bdpo_parquet_value *out)
{
    const bdpo_parquet_dictionary *d = v->dictionary;
    uint32_t index;
    if (!bdpo_parquet_runs_next(&v->runs, &index)) return "its dictionary indices run out";
    if (index >= d->n) return "an index past the end of its dictionary";
    if (v->width > 0) return set_plain(out, v, d->data + v->width * index);
    const uint8_t *at = d->data + d->offsets[index];
    return take_bytes(&at, d->end, out) ? NULL : runs_out;
}

// ---- strings by deltas ---------------------------------------------------------------------

static const char *next_by_lengths_before(bdpo_parquet_values *v, bdpo_parquet_value *out)
{
    int64_t length;
    if (!bdpo_parquet_deltas_next(&v->deltas, &length)) return "its lengths run out";
    if (length < 0 || length > v->end - v->at) return runs_out;
    out->data = (const char *)v->at;
    out->size = (size_t)length;
    v->at += length;
    return NULL;
}

// The first bytes are those of the value before, which the scratch holds.
static const char *next_by_prefixes(bdpo_parquet_values *v, bdpo_parquet_value *out)
{
    int64_t prefix, suffix;
    if (!bdpo_parquet_deltas_next(&v->deltas, &prefix) ||
        !bdpo_parquet_deltas_next(&v->suffixes, &suffix))
        return "its lengths run out";
    if (prefix < 0 || (uint64_t)prefix > v->scratch->size)
        return "a prefix longer than the value before";
    if (suffix < 0 || suffix > v->end - v->at) return runs_out;
    v->scratch->size = (size_t)prefix;
    if (!bdpo_growing_add(v->scratch, v->at, (size_t)suffix)) return bdpo_parquet_no_memory;
    v->at += suffix;
    if (v->type == BDPO_PARQUET_FIXED_BYTES && v->scratch->size != v->width)
        return "a value of another length than its type";
    out->data = (const char *)v->scratch->data;
    out->size = v->scratch->size;
    if (out->size == 0) out->data = "";
    return NULL;
}

// ---- one value -----------------------------------------------------------------------------

static const char *next_by_bits(bdpo_parquet_values *v, bdpo_parquet_value *out)
{
    if (v->index / 8 >= (uint64_t)(v->end - v->at)) return runs_out;
    set_integer(out, v->at[v->index / 8] >> v->index % 8 & 1, v);
    v->index++;
    return NULL;
}

static const char *next_by_runs(bdpo_parquet_values *v, bdpo_parquet_value *out)
{
    uint32_t value;
    if (!bdpo_parquet_runs_next(&v->runs, &value)) return runs_out;
    if (value > 1) return "a boolean that is neither 0 nor 1";
    set_integer(out, value, v);
    return NULL;
}

static const char *next_by_deltas(bdpo_parquet_values *v, bdpo_parquet_value *out)
{
    int64_t value;
    if (!bdpo_parquet_deltas_next(&v->deltas, &value)) return runs_out;
    if (v->type == BDPO_PARQUET_INT32) value = (int32_t)(uint32_t)(uint64_t)value; // wraps
    set_integer(out, value, v);
    return NULL;
}

// Byte k of all values, then byte k + 1 of all.
static const char *next_by_streams(bdpo_parquet_values *v, bdpo_parquet_value *out)
{
    if (v->index >= v->stride) return runs_out;
    uint8_t *bytes = v->scratch->data;
    for (size_t k = 0; k < v->width; k++) bytes[k] = v->at[k * v->stride + v->index];
    v->index++;
    return set_plain(out, v, bytes);
}

const char *bdpo_parquet_values_next(bdpo_parquet_values *v, bdpo_parquet_value *out)
{
    *out = (bdpo_parquet_value){0};
    switch (v->way) {
    case BDPO_PARQUET_BY_BITS:
        return next_by_bits(v, out);
    case BDPO_PARQUET_BY_WIDTH:
        if ((size_t)(v->end - v->at) < v->width) return runs_out;
        v->at += v->width;
        return set_plain(out, v, v->at - v->width);
    case BDPO_PARQUET_BY_LENGTH:
        return take_bytes(&v->at, v->end, out) ? NULL : runs_out;
    case BDPO_PARQUET_BY_INDEX:
        return next_by_index(v, out);
    case BDPO_PARQUET_BY_RUNS:
        return next_by_runs(v, out);
    case BDPO_PARQUET_BY_DELTAS:
        return next_by_deltas(v, out);
    case BDPO_PARQUET_BY_LENGTHS_BEFORE:
        return next_by_lengths_before(v, out);
    case BDPO_PARQUET_BY_PREFIXES:
        return next_by_prefixes(v, out);
    case BDPO_PARQUET_BY_STREAMS:
        return next_by_streams(v, out);
    }
    BDPO_BUG("way %d", (int)v->way);
}

const char *bdpo_parquet_values_skip(bdpo_parquet_values *v, uint64_t n)
{
    bdpo_parquet_value ignored;
    switch (v->way) {
    case BDPO_PARQUET_BY_BITS:
    case BDPO_PARQUET_BY_STREAMS:
        v->index += n;
        return NULL;
    case BDPO_PARQUET_BY_WIDTH:
        if (n > (uint64_t)(v->end - v->at) / v->width) return runs_out;
        v->at += n * v->width;
        return NULL;
    case BDPO_PARQUET_BY_INDEX:
    case BDPO_PARQUET_BY_RUNS:
        return bdpo_parquet_runs_skip(&v->runs, n) ? NULL : runs_out;
    default:
        break;
    }
    for (; n > 0; n--) {
        const char *fault = bdpo_parquet_values_next(v, &ignored);
        if (fault) return fault;
    }
    return NULL;
}

// ---- the beginning of a page ---------------------------------------------------------------

static const char *begin_indices(bdpo_parquet_values *v)
{
    enum { MAX_WIDTH = 32 };
    v->way = BDPO_PARQUET_BY_INDEX;
    if (!v->dictionary) return "indices without a dictionary before them";
    if (v->at == v->end) return runs_out;
    int width = *v->at++;
    if (width > MAX_WIDTH) return "indices of more than 32 bits";
    bdpo_parquet_runs_begin(&v->runs, v->at, v->end, width);
    return NULL;
}

static const char *begin_runs(bdpo_parquet_values *v)
{
    v->way = BDPO_PARQUET_BY_RUNS;
    size_t left = (size_t)(v->end - v->at);
    if (left < 4 || load_u32(v->at) > left - 4) return "its runs are longer than the page";
    bdpo_parquet_runs_begin(&v->runs, v->at + 4, v->at + 4 + load_u32(v->at), 1);
    return NULL;
}

// `n` deltas begin at v->at. Where data comes behind them, goes over a copy of them to find it.
static const char *begin_deltas(bdpo_parquet_values *v, bdpo_parquet_deltas *deltas, uint64_t n,
                                bool data_behind)
{
    int64_t ignored;
    if (!bdpo_parquet_deltas_begin(deltas, v->at, v->end)) return "its deltas have no valid header";
    if (deltas->n_total != n) return "another number of deltas than of values";
    if (!data_behind) return NULL;
    bdpo_parquet_deltas copy = *deltas;
    for (uint64_t i = 0; i < n; i++)
        if (!bdpo_parquet_deltas_next(&copy, &ignored)) return "its lengths run out";
    v->at = copy.at;
    return NULL;
}

static const char *begin_prefixes(bdpo_parquet_values *v, uint64_t n)
{
    v->way = BDPO_PARQUET_BY_PREFIXES;
    v->scratch->size = 0;
    const char *fault = begin_deltas(v, &v->deltas, n, true);
    return fault ? fault : begin_deltas(v, &v->suffixes, n, true);
}

static const char *begin_streams(bdpo_parquet_values *v, uint64_t n)
{
    size_t size = (size_t)(v->end - v->at);
    v->way = BDPO_PARQUET_BY_STREAMS;
    if (size % v->width != 0) return "streams of different lengths";
    v->stride = size / v->width;
    if (n > v->stride) return runs_out;
    if (v->scratch->capacity >= v->width) return NULL;
    uint8_t *grown = bdpo_realloc(v->scratch->data, v->width, 1);
    if (!grown) return bdpo_parquet_no_memory;
    *v->scratch = (bdpo_growing){.data = grown, .capacity = v->width};
    return NULL;
}

static const char *begin_plain(bdpo_parquet_values *v, uint64_t n)
{
    uint64_t size = (uint64_t)(v->end - v->at);
    if (v->type == BDPO_PARQUET_BOOLEAN) {
        v->way = BDPO_PARQUET_BY_BITS;
        return n > 8 * size ? runs_out : NULL;
    }
    v->way = v->width > 0 ? BDPO_PARQUET_BY_WIDTH : BDPO_PARQUET_BY_LENGTH;
    return n > size / (v->width > 0 ? v->width : 4) ? runs_out : NULL;
}

// Whether values of the type can be encoded so.
static bool fits(bdpo_parquet_type type, int32_t encoding)
{
    unsigned types = 0;
    const unsigned integers = 1u << BDPO_PARQUET_INT32 | 1u << BDPO_PARQUET_INT64;
    const unsigned bytes = 1u << BDPO_PARQUET_BYTES, fixed = 1u << BDPO_PARQUET_FIXED_BYTES;
    const unsigned reals = 1u << BDPO_PARQUET_FLOAT | 1u << BDPO_PARQUET_DOUBLE;
    switch (encoding) {
    case BDPO_PARQUET_ENCODING_PLAIN:
        return true;
    case BDPO_PARQUET_ENCODING_PLAIN_DICTIONARY:
    case BDPO_PARQUET_ENCODING_RLE_DICTIONARY:
        return type != BDPO_PARQUET_BOOLEAN;
    case BDPO_PARQUET_ENCODING_RLE:
        return type == BDPO_PARQUET_BOOLEAN;
    case BDPO_PARQUET_ENCODING_DELTA_BINARY_PACKED:
        types = integers;
        break;
    case BDPO_PARQUET_ENCODING_DELTA_LENGTH_BYTE_ARRAY:
        types = bytes;
        break;
    case BDPO_PARQUET_ENCODING_DELTA_BYTE_ARRAY:
        types = bytes | fixed;
        break;
    case BDPO_PARQUET_ENCODING_BYTE_STREAM_SPLIT:
        types = integers | reals | fixed;
        break;
    default:
        break;
    }
    return types >> type & 1;
}

const char *bdpo_parquet_values_begin(bdpo_parquet_values *v, int32_t encoding,
                                      const bdpo_parquet_column *column, const uint8_t *data,
                                      size_t size, uint64_t n,
                                      const bdpo_parquet_dictionary *dictionary,
                                      bdpo_growing *scratch)
{
    *v = (bdpo_parquet_values){.type = column->type,
                               .is_unsigned = column->logical == BDPO_PARQUET_UNSIGNED,
                               .width = bdpo_parquet_width(column),
                               .at = data,
                               .end = data + size,
                               .dictionary = dictionary,
                               .scratch = scratch};
    if (!fits(column->type, encoding)) return "an encoding that its type cannot have";
    if (n == 0) return NULL; // nulls only: often nothing is written
    switch (encoding) {
    case BDPO_PARQUET_ENCODING_PLAIN_DICTIONARY:
    case BDPO_PARQUET_ENCODING_RLE_DICTIONARY:
        return begin_indices(v);
    case BDPO_PARQUET_ENCODING_RLE:
        return begin_runs(v);
    case BDPO_PARQUET_ENCODING_DELTA_BINARY_PACKED:
        v->way = BDPO_PARQUET_BY_DELTAS;
        return begin_deltas(v, &v->deltas, n, false);
    case BDPO_PARQUET_ENCODING_DELTA_LENGTH_BYTE_ARRAY:
        v->way = BDPO_PARQUET_BY_LENGTHS_BEFORE;
        return begin_deltas(v, &v->deltas, n, true);
    case BDPO_PARQUET_ENCODING_DELTA_BYTE_ARRAY:
        return begin_prefixes(v, n);
    case BDPO_PARQUET_ENCODING_BYTE_STREAM_SPLIT:
        return begin_streams(v, n);
    default:
        return begin_plain(v, n);
    }
}

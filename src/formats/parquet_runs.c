// Integers in few bits. The hybrid: runs, each a varint header; odd: header >> 1 groups of eight
// values, packed; even: header >> 1 times one value in whole bytes. Deltas: a header (block size,
// miniblocks of a block, count, first value), then blocks (smallest delta, the width of each
// miniblock, miniblocks of packed differences to the smallest delta).
#include <string.h>

#include "formats/parquet_values.h"

static bool read_varint(const uint8_t **at, const uint8_t *end, uint64_t *value)
{
    *value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
        if (*at == end) return false;
        uint8_t byte = *(*at)++;
        if (shift == 63 && byte > 1) return false;
        *value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) return true;
    }
    return false;
}

// `width` (1 to 64) bits from the bit `index * width` on, lowest first. The caller knows that they
// lie before `end`.
static uint64_t unpack(const uint8_t *from, const uint8_t *end, uint64_t index, int width)
{
    uint64_t bit = index * (uint64_t)width, word = 0;
    const uint8_t *at = from + bit / 8;
    int shift = (int)(bit % 8);
    size_t n = (size_t)(end - at);
    memcpy(&word, at, n < sizeof word ? n : sizeof word); // little-endian, as all our machines
    word >>= shift;
    if (shift + width > 64) word |= (uint64_t)at[8] << (64 - shift);
    return width == 64 ? word : word & (((uint64_t)1 << width) - 1);
}

// ---- runs ----------------------------------------------------------------------------------

void bdpo_parquet_runs_begin(bdpo_parquet_runs *runs, const uint8_t *at, const uint8_t *end,
                             int width)
{
    *runs = (bdpo_parquet_runs){.at = at, .end = end, .width = width};
    if (width == 0) runs->n_left = UINT64_MAX; // all are zero, whether or not runs are written
}

// A packed run's last group may be cut where its values are not needed.
static bool begin_packed(bdpo_parquet_runs *r, uint64_t n_groups)
{
    uint64_t left = (uint64_t)(r->end - r->at), width = (uint64_t)r->width;
    bool whole = n_groups <= left / width;
    r->packed = true;
    r->packed_from = r->at;
    r->packed_index = 0;
    r->n_left = whole ? 8 * n_groups : left * 8 / width;
    r->at = whole ? r->at + n_groups * width : r->end;
    return true;
}

static bool begin_run(bdpo_parquet_runs *r)
{
    while (r->n_left == 0) {
        uint64_t header;
        if (r->at == r->end || !read_varint(&r->at, r->end, &header)) return false;
        if (header & 1) {
            begin_packed(r, header >> 1);
            continue;
        }
        size_t n = (size_t)(r->width + 7) / 8;
        if ((size_t)(r->end - r->at) < n) return false;
        r->value = 0;
        memcpy(&r->value, r->at, n);
        r->at += n;
        r->packed = false;
        r->n_left = header >> 1;
    }
    return true;
}

bool bdpo_parquet_runs_next(bdpo_parquet_runs *r, uint32_t *value)
{
    if (r->n_left == 0 && !begin_run(r)) return false;
    if (r->packed)
        *value = (uint32_t)unpack(r->packed_from, r->at, r->packed_index++, r->width);
    else
        *value = r->value;
    r->n_left--;
    return true;
}

bool bdpo_parquet_runs_skip(bdpo_parquet_runs *r, uint64_t n)
{
    while (n > 0) {
        if (r->n_left == 0 && !begin_run(r)) return false;
        uint64_t step = n < r->n_left ? n : r->n_left;
        r->packed_index += step;
        r->n_left -= step;
        n -= step;
    }
    return true;
}

bool bdpo_parquet_runs_count(bdpo_parquet_runs *r, uint64_t n, uint32_t wanted, uint64_t *n_equal,
                             uint32_t *highest)
{
    *n_equal = 0;
    *highest = 0;
    while (n > 0) {
        uint32_t value;
        uint64_t step = 1;
        if (!bdpo_parquet_runs_next(r, &value)) return false;
        if (!r->packed) { // the rest of a run at once
            step += n - 1 < r->n_left ? n - 1 : r->n_left;
            r->n_left -= step - 1;
        }
        if (value == wanted) *n_equal += step;
        if (value > *highest) *highest = value;
        n -= step;
    }
    return true;
}

// ---- deltas --------------------------------------------------------------------------------

bool bdpo_parquet_deltas_begin(bdpo_parquet_deltas *d, const uint8_t *at, const uint8_t *end)
{
    enum { MAX_BLOCK = 1 << 30, PACKED_BY = 32 };
    uint64_t block, first;
    *d = (bdpo_parquet_deltas){.at = at, .end = end};
    if (!read_varint(&d->at, end, &block) || !read_varint(&d->at, end, &d->n_miniblocks) ||
        !read_varint(&d->at, end, &d->n_total) || !read_varint(&d->at, end, &first))
        return false;
    if (block == 0 || block > MAX_BLOCK || d->n_miniblocks == 0 || block % d->n_miniblocks != 0)
        return false;
    d->per_miniblock = block / d->n_miniblocks;
    d->last = first >> 1 ^ (0 - (first & 1));
    d->miniblock = d->n_miniblocks; // the first delta begins a block
    d->index = d->per_miniblock;
    return d->per_miniblock % PACKED_BY == 0;
}

static bool begin_block(bdpo_parquet_deltas *d)
{
    uint64_t min_delta;
    if (!read_varint(&d->at, d->end, &min_delta)) return false;
    if ((uint64_t)(d->end - d->at) < d->n_miniblocks) return false;
    d->min_delta = min_delta >> 1 ^ (0 - (min_delta & 1));
    d->widths = d->at;
    d->at += d->n_miniblocks;
    d->miniblock = 0;
    return true;
}

static bool begin_miniblock(bdpo_parquet_deltas *d)
{
    d->miniblock++;
    if (d->miniblock >= d->n_miniblocks && !begin_block(d)) return false;
    uint64_t width = d->widths[d->miniblock], left = (uint64_t)(d->end - d->at);
    if (width > 64 || d->per_miniblock / 8 * width > left) return false;
    d->packed = d->at;
    d->at += d->per_miniblock / 8 * width;
    d->index = 0;
    return true;
}

bool bdpo_parquet_deltas_next(bdpo_parquet_deltas *d, int64_t *value)
{
    if (d->n_given == d->n_total) return false;
    if (d->n_given > 0) {
        if (d->index == d->per_miniblock && !begin_miniblock(d)) return false;
        int width = d->widths[d->miniblock];
        uint64_t delta = width > 0 ? unpack(d->packed, d->at, d->index, width) : 0;
        d->index++;
        d->last += d->min_delta + delta; // wraps, as the writer's differences did
    }
    d->n_given++;
    *value = (int64_t)d->last;
    return true;
}

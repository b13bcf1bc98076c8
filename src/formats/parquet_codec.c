// Decompression of pages, each in one call: the page's header says how large the result is, so
// nothing can grow beyond it.
#include "formats/parquet_codec.h"

#include <lz4.h>
#include <snappy-c.h>
#include <zlib.h>
#include <zstd.h>

const char *bdpo_parquet_codec_name(int32_t codec)
{
    static const char *const names[] = {"UNCOMPRESSED", "SNAPPY", "GZIP", "LZO",
                                        "BROTLI",       "LZ4",    "ZSTD", "LZ4_RAW"};
    return codec >= 0 && codec < (int32_t)BDPO_COUNTOF(names) ? names[codec] : NULL;
}

bool bdpo_parquet_codec_supported(int32_t codec)
{
    switch (codec) {
    case BDPO_PARQUET_UNCOMPRESSED:
    case BDPO_PARQUET_SNAPPY:
    case BDPO_PARQUET_GZIP:
    case BDPO_PARQUET_ZSTD:
    case BDPO_PARQUET_LZ4_RAW:
        return true;
    default:
        return false;
    }
}

// The densest that each can say: Snappy copies 64 bytes by 3; DEFLATE 258 bytes by 2 bits; LZ4 has
// 255 bytes for one; Zstandard repeats one byte over a block of 128 KiB by 4.
uint64_t bdpo_parquet_codec_most(bdpo_parquet_codec codec, uint64_t stored)
{
    switch (codec) {
    case BDPO_PARQUET_SNAPPY:
        return 22 * stored;
    case BDPO_PARQUET_GZIP:
        return 1032 * stored;
    case BDPO_PARQUET_LZ4_RAW:
        return 256 * stored;
    case BDPO_PARQUET_ZSTD:
        return 32768 * stored;
    default:
        return stored;
    }
}

static bool snappy(void *out, size_t size, const void *in, size_t in_size)
{
    size_t said = 0, written = size;
    return snappy_uncompressed_length(in, in_size, &said) == SNAPPY_OK && said == size &&
           snappy_uncompress(in, in_size, out, &written) == SNAPPY_OK && written == size;
}

// One member after another, each with its own header; also zlib's form, which some writers use.
static bool gzip(void *out, size_t size, const void *in, size_t in_size)
{
    enum { WINDOW = 15, EITHER_HEADER = 32 };
    z_stream z = {.next_in = (void *)(uintptr_t)in,
                  .avail_in = (uInt)in_size,
                  .next_out = out,
                  .avail_out = (uInt)size};
    if (inflateInit2(&z, WINDOW + EITHER_HEADER) != Z_OK) return false;
    int state = Z_STREAM_END;
    while (state == Z_STREAM_END && z.avail_in > 0) {
        state = inflateReset(&z);
        if (state == Z_OK) state = inflate(&z, Z_FINISH);
    }
    bool whole = state == Z_STREAM_END && z.avail_out == 0;
    return inflateEnd(&z) == Z_OK && whole;
}

bool bdpo_parquet_decompress(bdpo_parquet_codec codec, void *out, size_t size, const void *in,
                             size_t in_size)
{
    BDPO_ASSERT(size <= BDPO_PARQUET_MAX_PAGE && in_size <= BDPO_PARQUET_MAX_PAGE);
    if (size == 0 && in_size == 0) return true; // some writers do not compress what is empty
    switch (codec) {
    case BDPO_PARQUET_SNAPPY:
        return snappy(out, size, in, in_size);
    case BDPO_PARQUET_GZIP:
        return gzip(out, size, in, in_size);
    case BDPO_PARQUET_ZSTD:
        return ZSTD_decompress(out, size, in, in_size) == size; // an error is a huge number
    case BDPO_PARQUET_LZ4_RAW:
        return LZ4_decompress_safe(in, out, (int)in_size, (int)size) == (int)size;
    default:
        BDPO_BUG("codec %d", (int)codec);
    }
}

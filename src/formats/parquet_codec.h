// The codecs of Parquet's pages. Internal to this room.
#ifndef BDPO_PARQUET_CODEC_H
#define BDPO_PARQUET_CODEC_H

#include "formats/parquet_meta.h"

// "SNAPPY", ...; NULL for a number that the format does not have.
const char *bdpo_parquet_codec_name(int32_t codec);
bool bdpo_parquet_codec_supported(int32_t codec);

// The most bytes that `stored` bytes can hold: what claims more needs no memory to be refused.
uint64_t bdpo_parquet_codec_most(bdpo_parquet_codec codec, uint64_t stored);

// Exactly `size` bytes into `out`; false where the input gives more, fewer, or is damaged.
bool bdpo_parquet_decompress(bdpo_parquet_codec codec, void *out, size_t size, const void *in,
                             size_t in_size);

#endif

// What the three kinds of file share: each is decoded and encoded in memory by its own source.
#ifndef BDPO_IMAGE_CODEC_H
#define BDPO_IMAGE_CODEC_H

#include "formats/exif.h"
#include "formats/growing.h"
#include "formats/image.h"

// As bdpo_image_new(), for sizes that the file `name` states: BDPO_BAD_FILE.
BDPO_MUST_CHECK bdpo_status bdpo_image_new_for(bdpo_image *out, uint64_t width, uint64_t height,
                                               bdpo_image_mode mode, const char *name);

// *out is empty before; on failure the caller releases what is in it.
BDPO_MUST_CHECK bdpo_status bdpo_png_decode(bdpo_image *out, const uint8_t *data, size_t size,
                                            const char *name);
BDPO_MUST_CHECK bdpo_status bdpo_jpeg_decode(bdpo_image *out, const uint8_t *data, size_t size,
                                             const char *name);
BDPO_MUST_CHECK bdpo_status bdpo_webp_decode(bdpo_image *out, const uint8_t *data, size_t size,
                                             const char *name);

// Each adds a file to *out; on failure what it has added is undefined.
BDPO_MUST_CHECK bdpo_status bdpo_png_encode(bdpo_growing *out, const bdpo_image *image,
                                            const bdpo_image_options *options);
BDPO_MUST_CHECK bdpo_status bdpo_jpeg_encode(bdpo_growing *out, const bdpo_image *image,
                                             const bdpo_image_options *options);
BDPO_MUST_CHECK bdpo_status bdpo_webp_encode(bdpo_growing *out, const bdpo_image *image,
                                             const bdpo_image_options *options);

// The EXIF of a file, borrowed from its bytes; empty where there is none.
void bdpo_jpeg_exif(bdpo_exif *out, const uint8_t *data, size_t size);
void bdpo_webp_exif(bdpo_exif *out, const uint8_t *data, size_t size);

// As bdpo_image_text(), for a PNG (png_text.c).
BDPO_MUST_CHECK bdpo_status bdpo_png_text(char **out, const uint8_t *data, size_t size,
                                          const char *key, const char *name);

#endif

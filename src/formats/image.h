// Pictures as 8-bit pixels, and the files that hold them: PNG, JPEG and WebP, read and written.
// What Pillow's Image.open(f).convert("RGB") gives, bdpo_image_decode() and bdpo_image_to_rgb()
// give to the byte.
#ifndef BDPO_IMAGE_H
#define BDPO_IMAGE_H

#include "base/status.h"

// What the bytes of a pixel mean; the name in quotes is Pillow's. A 16-bit sample is cut to its
// high byte, but a grey one without alpha is kept.
typedef enum bdpo_image_mode {
    BDPO_IMAGE_BILEVEL,    // "1":    1 channel, 0 or 255; resized by nearest only
    BDPO_IMAGE_GREY,       // "L":    1 channel
    BDPO_IMAGE_GREY_ALPHA, // "LA":   2 channels
    BDPO_IMAGE_PALETTE,    // "P":    3 channels, looked up already; resized by nearest only
    BDPO_IMAGE_RGB,        // "RGB":  3 channels
    BDPO_IMAGE_RGBA,       // "RGBA": 4 channels
    BDPO_IMAGE_CMYK,       // "CMYK": 4 channels, 255 is full ink
    BDPO_IMAGE_GREY_16, // "I;16": 1 sample in 2 channels, the low byte first; to RGB it is clipped
                        // to 255, not scaled
} bdpo_image_mode;

int bdpo_image_channels(bdpo_image_mode mode);
const char *bdpo_image_mode_name(bdpo_image_mode mode); // Pillow's

// Pixels [height, width, channels] without gaps between rows.
typedef struct bdpo_image {
    int width, height, channels; // channels is bdpo_image_channels(mode)
    bdpo_image_mode mode;
    int orientation; // of the file's EXIF, 1 to 8; 1 where it says none. Not applied to pixels.
    uint8_t *pixels;
} bdpo_image;

enum {
    BDPO_IMAGE_MAX_SIDE = 65535,      // of a picture that is made or read
    BDPO_IMAGE_MAX_PIXELS = 89478485, // as Pillow, which warns from there on
    BDPO_IMAGE_MAX_FILE = 512 << 20,  // bytes
};

// Zeroed pixels. *out is the caller's, released by bdpo_image_release(); on failure it is empty.
// BDPO_BAD_ARGUMENT for sizes below 1 or above the limits.
BDPO_MUST_CHECK bdpo_status bdpo_image_new(bdpo_image *out, int width, int height,
                                           bdpo_image_mode mode);
void bdpo_image_release(bdpo_image *image); // leaves it empty; an empty one is fine
size_t bdpo_image_bytes(const bdpo_image *image);

// ---- reading -------------------------------------------------------------------------------

// Decodes the `size` bytes of a file; `name` stands in messages. The kind is seen in the bytes.
// *out is the caller's; on failure it is empty. BDPO_BAD_FILE for damaged or truncated files (a
// part of a picture is never returned) and for pictures above the limits, BDPO_UNSUPPORTED for
// other kinds of file and for animated WebP.
BDPO_MUST_CHECK bdpo_status bdpo_image_decode(bdpo_image *out, const void *data, size_t size,
                                              const char *name);
BDPO_MUST_CHECK bdpo_status bdpo_image_read(bdpo_image *out, const char *path);

// ---- writing -------------------------------------------------------------------------------

typedef enum bdpo_image_format {
    BDPO_IMAGE_PNG,
    BDPO_IMAGE_JPEG,
    BDPO_IMAGE_WEBP
} bdpo_image_format;

typedef struct bdpo_image_options {
    int quality;   // JPEG and WebP: 1 to 100; 0 is Pillow's default (75 and 80)
    bool lossless; // WebP
    const char
        *parameters;  // UTF-8: the PNG text "parameters", or the EXIF user comment; NULL: none
    const char *json; // UTF-8: the PNG text "bdpo"; NULL: none. JPEG and WebP have no place
                      // for it: BDPO_BAD_ARGUMENT
} bdpo_image_options;

// A file of the picture: PNG holds all modes but CMYK, JPEG those of 1 or 3 channels, WebP RGB and
// RGBA; palette pictures pass as RGB. *data is the caller's, released by bdpo_free(). `options`
// NULL: all defaults. BDPO_BAD_ARGUMENT names a mode, side or text that the format cannot hold.
BDPO_MUST_CHECK bdpo_status bdpo_image_encode(void **data, size_t *size, const bdpo_image *image,
                                              bdpo_image_format format,
                                              const bdpo_image_options *options);

// The format is that of the path's ending (.png, .jpg, .jpeg, .webp; any case). Written whole or
// not at all.
BDPO_MUST_CHECK bdpo_status bdpo_image_write(const char *path, const bdpo_image *image,
                                             const bdpo_image_options *options);
BDPO_MUST_CHECK bdpo_status bdpo_image_format_of(bdpo_image_format *out, const char *path);

// ---- text ----------------------------------------------------------------------------------

// The text `key` of a PNG (tEXt, zTXt or iTXt), or for "parameters" the EXIF user comment of a JPEG
// or WebP, as UTF-8. *out is the caller's, released by bdpo_free(); NULL where the file has none.
// BDPO_BAD_FILE where the text is damaged or longer than BDPO_IMAGE_MAX_TEXT. Pixels are not read.
enum { BDPO_IMAGE_MAX_TEXT = 1 << 20 };
BDPO_MUST_CHECK bdpo_status bdpo_image_text(char **out, const void *data, size_t size,
                                            const char *key, const char *name);
BDPO_MUST_CHECK bdpo_status bdpo_image_read_text(char **out, const char *path, const char *key);

// ---- pixels --------------------------------------------------------------------------------

// As Pillow's convert("RGB"): grey is repeated, alpha dropped, palette colours taken, CMYK mixed.
// The pixels of *image are replaced; on failure (memory) they stay.
BDPO_MUST_CHECK bdpo_status bdpo_image_to_rgb(bdpo_image *image);

// Turns and mirrors the pixels as `orientation` says and sets it to 1 (Pillow's exif_transpose).
// Nothing does this unasked: no scorer does, HF's datasets do.
BDPO_MUST_CHECK bdpo_status bdpo_image_apply_orientation(bdpo_image *image);

// The part of `image` at (left, top); what lies outside is zero. *out is the caller's.
BDPO_MUST_CHECK bdpo_status bdpo_image_crop(bdpo_image *out, const bdpo_image *image, int left,
                                            int top, int width, int height);

// A decoder's output [height, width, 3] in [-1, 1] as RGB bytes: clamp(x / 2 + 1/2, 0, 1) * 255,
// rounded half to even, in f32 as diffusers' VaeImageProcessor. A NaN becomes 0. *out is the
// caller's.
BDPO_MUST_CHECK bdpo_status bdpo_image_from_floats(bdpo_image *out, const float *values, int width,
                                                   int height);
// The way back for image-to-image: values[i] = 2 * (pixel / 255) - 1, one for each byte. RGB only.
void bdpo_image_to_floats(float *values, const bdpo_image *image);

#endif

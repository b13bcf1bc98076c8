// WebP by libwebp: decoding, encoding, and the EXIF chunk of its RIFF container.
//
// The container: "RIFF", size, "WEBP", then chunks of a name, a size and the content, padded to an
// even number of bytes. A file with more than the picture begins with a VP8X chunk: a byte of
// flags, three of zero, width - 1 and height - 1 of three bytes each. Numbers are little-endian.
// Source: the WebP container specification.
#include <string.h>

#include <webp/decode.h>
#include <webp/encode.h>

#include "base/memory.h"
#include "formats/image_codec.h"

enum {
    HEADER_BYTES = 12,
    CHUNK_HEADER_BYTES = 8,
    VP8X_BYTES = 10,
    FLAG_EXIF = 0x08,
    FLAG_ALPHA = 0x10,
};

static uint32_t get32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static void put_number(uint8_t *p, uint32_t value, int n_bytes)
{
    for (int i = 0; i < n_bytes; i++, value >>= 8) p[i] = (uint8_t)value;
}

// ---- reading -------------------------------------------------------------------------------

static bdpo_status bad(VP8StatusCode code, const char *name)
{
    if (code == VP8_STATUS_OUT_OF_MEMORY)
        return bdpo_fail(BDPO_NO_MEMORY, "%s: WebP: no memory to read it", name);
    if (code == VP8_STATUS_NOT_ENOUGH_DATA || code == VP8_STATUS_SUSPENDED)
        return bdpo_fail(BDPO_BAD_FILE, "%s: WebP: the file is truncated", name);
    return bdpo_fail(BDPO_BAD_FILE, "%s: WebP: the file is damaged (libwebp's code %d)", name,
                     code);
}

bdpo_status bdpo_webp_decode(bdpo_image *out, const uint8_t *data, size_t size, const char *name)
{
    WebPDecoderConfig config;
    if (!WebPInitDecoderConfig(&config))
        return bdpo_fail(BDPO_UNSUPPORTED, "libwebp of another version than its headers");
    VP8StatusCode code = WebPGetFeatures(data, size, &config.input);
    if (code != VP8_STATUS_OK) return bad(code, name);
    if (config.input.has_animation)
        return bdpo_fail(BDPO_UNSUPPORTED, "%s: WebP: animated, expected a single picture", name);
    bool alpha = config.input.has_alpha;
    TRY(bdpo_image_new_for(out, (uint64_t)config.input.width, (uint64_t)config.input.height,
                           alpha ? BDPO_IMAGE_RGBA : BDPO_IMAGE_RGB, name));
    config.output.colorspace = alpha ? MODE_RGBA : MODE_RGB;
    config.output.is_external_memory = 1;
    config.output.u.RGBA.rgba = out->pixels;
    config.output.u.RGBA.stride = out->width * out->channels;
    config.output.u.RGBA.size = bdpo_image_bytes(out);
    code = WebPDecode(data, size, &config);
    WebPFreeDecBuffer(&config.output);
    if (code != VP8_STATUS_OK) return bad(code, name);
    bdpo_exif exif;
    bdpo_webp_exif(&exif, data, size);
    out->orientation = exif.orientation;
    return BDPO_OK;
}

void bdpo_webp_exif(bdpo_exif *out, const uint8_t *data, size_t size)
{
    *out = (bdpo_exif){.orientation = 1};
    for (size_t at = HEADER_BYTES; at < size && size - at >= CHUNK_HEADER_BYTES;) {
        size_t length = get32(data + at + 4), left = size - at - CHUNK_HEADER_BYTES;
        if (length > left) return;
        const uint8_t *content = data + at + CHUNK_HEADER_BYTES;
        if (memcmp(data + at, "EXIF", 4) == 0) {
            bool prefixed = length >= 6 && memcmp(content, "Exif\0", 6) == 0; // some writers
            bdpo_exif_read(out, content + (prefixed ? 6 : 0), length - (prefixed ? 6 : 0));
            return;
        }
        if (length == left) return;
        at += CHUNK_HEADER_BYTES + length + length % 2;
    }
}

// ---- writing -------------------------------------------------------------------------------

static bdpo_status no_memory(void)
{
    return bdpo_fail(BDPO_NO_MEMORY, "WebP: no memory to write it");
}

static int keep(const uint8_t *data, size_t size, const WebPPicture *picture)
{
    return bdpo_growing_add(picture->custom_ptr, data, size);
}

static bdpo_status encode(bdpo_growing *out, const bdpo_image *image,
                          const bdpo_image_options *options)
{
    enum { DEFAULT_QUALITY = 80 };
    WebPConfig config;
    WebPPicture picture;
    if (!WebPConfigInit(&config) || !WebPPictureInit(&picture))
        return bdpo_fail(BDPO_UNSUPPORTED, "libwebp of another version than its headers");
    config.quality = (float)(options->quality ? options->quality : DEFAULT_QUALITY);
    config.lossless = options->lossless;
    config.exact = options->lossless; // keeps the colours of what is transparent
    picture.use_argb = options->lossless;
    picture.width = image->width;
    picture.height = image->height;
    picture.writer = keep;
    picture.custom_ptr = out;
    int stride = image->width * image->channels;
    int ok = image->channels == 4 ? WebPPictureImportRGBA(&picture, image->pixels, stride)
                                  : WebPPictureImportRGB(&picture, image->pixels, stride);
    if (ok) ok = WebPEncode(&config, &picture);
    WebPEncodingError code = picture.error_code;
    WebPPictureFree(&picture);
    if (ok) return BDPO_OK;
    if (code == VP8_ENC_ERROR_BAD_WRITE || code == VP8_ENC_ERROR_OUT_OF_MEMORY) return no_memory();
    return bdpo_fail(BDPO_BAD_ARGUMENT, "WebP: libwebp refuses the picture (its code %d)", code);
}

// Puts the chunk VP8X in front of a plain file, so that it may have an EXIF chunk.
static bdpo_status make_extended(bdpo_growing *out, const bdpo_image *image)
{
    uint8_t chunk[CHUNK_HEADER_BYTES + VP8X_BYTES] = "VP8X";
    if (memcmp(out->data + HEADER_BYTES, "VP8X", 4) == 0) return BDPO_OK;
    put_number(chunk + 4, VP8X_BYTES, 4);
    // A lossless picture keeps its alpha inside; a lossy one has VP8X already.
    if (image->channels == 4) chunk[CHUNK_HEADER_BYTES] = FLAG_ALPHA;
    put_number(chunk + CHUNK_HEADER_BYTES + 4, (uint32_t)image->width - 1, 3);
    put_number(chunk + CHUNK_HEADER_BYTES + 7, (uint32_t)image->height - 1, 3);
    if (!bdpo_growing_add(out, chunk, sizeof chunk)) return no_memory();
    memmove(out->data + HEADER_BYTES + sizeof chunk, out->data + HEADER_BYTES,
            out->size - HEADER_BYTES - sizeof chunk);
    memcpy(out->data + HEADER_BYTES, chunk, sizeof chunk);
    return BDPO_OK;
}

static bdpo_status add_exif(bdpo_growing *out, const bdpo_image *image, const char *parameters)
{
    uint8_t header[CHUNK_HEADER_BYTES] = "EXIF";
    TRY(make_extended(out, image));
    out->data[HEADER_BYTES + CHUNK_HEADER_BYTES] |= FLAG_EXIF;
    size_t at = out->size;
    if (!bdpo_growing_add(out, header, sizeof header)) return no_memory();
    TRY(bdpo_exif_write(out, parameters, "WebP"));
    size_t length = out->size - at - sizeof header;
    put_number(out->data + at + 4, (uint32_t)length, 4);
    if (length % 2 != 0 && !bdpo_growing_add(out, "", 1)) return no_memory();
    put_number(out->data + 4, (uint32_t)(out->size - CHUNK_HEADER_BYTES), 4);
    return BDPO_OK;
}

bdpo_status bdpo_webp_encode(bdpo_growing *out, const bdpo_image *image,
                             const bdpo_image_options *options)
{
    if (image->channels < 3 || image->mode == BDPO_IMAGE_CMYK)
        return bdpo_fail(BDPO_BAD_ARGUMENT, "WebP of mode %s, expected RGB or RGBA",
                         bdpo_image_mode_name(image->mode));
    if (image->width > WEBP_MAX_DIMENSION || image->height > WEBP_MAX_DIMENSION)
        return bdpo_fail(BDPO_BAD_ARGUMENT, "WebP of %d x %d pixels, sides are at most %d",
                         image->width, image->height, WEBP_MAX_DIMENSION);
    TRY(encode(out, image, options));
    return options->parameters ? add_exif(out, image, options->parameters) : BDPO_OK;
}

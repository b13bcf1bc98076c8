// Pictures in memory, and which codec a file goes to.
#include "formats/image.h"

#include <string.h>
#include <strings.h>

#include "base/file.h"
#include "base/memory.h"
#include "formats/charset.h"
#include "formats/image_codec.h"

static const struct {
    const char *name;
    int channels;
} modes[] = {
    [BDPO_IMAGE_BILEVEL] = {"1", 1},     [BDPO_IMAGE_GREY] = {"L", 1},
    [BDPO_IMAGE_GREY_ALPHA] = {"LA", 2}, [BDPO_IMAGE_PALETTE] = {"P", 3},
    [BDPO_IMAGE_RGB] = {"RGB", 3},       [BDPO_IMAGE_RGBA] = {"RGBA", 4},
    [BDPO_IMAGE_CMYK] = {"CMYK", 4},     [BDPO_IMAGE_GREY_16] = {"I;16", 2},
};

int bdpo_image_channels(bdpo_image_mode mode)
{
    return modes[mode].channels;
}

const char *bdpo_image_mode_name(bdpo_image_mode mode)
{
    return modes[mode].name;
}

size_t bdpo_image_bytes(const bdpo_image *image)
{
    return (size_t)image->width * (size_t)image->height * (size_t)image->channels;
}

void bdpo_image_release(bdpo_image *image)
{
    bdpo_free(image->pixels);
    *image = (bdpo_image){0};
}

// ---- making --------------------------------------------------------------------------------

static bool size_is_allowed(uint64_t width, uint64_t height)
{
    return width >= 1 && height >= 1 && width <= BDPO_IMAGE_MAX_SIDE &&
           height <= BDPO_IMAGE_MAX_SIDE && width * height <= BDPO_IMAGE_MAX_PIXELS;
}

static bdpo_status allocate(bdpo_image *out, int width, int height, bdpo_image_mode mode,
                            const char *name)
{
    bdpo_image made = {.width = width,
                       .height = height,
                       .channels = bdpo_image_channels(mode),
                       .mode = mode,
                       .orientation = 1};
    made.pixels = bdpo_alloc(bdpo_image_bytes(&made), 1);
    if (!made.pixels)
        return bdpo_fail(BDPO_NO_MEMORY, "%s: no memory for %d x %d pixels", name, width, height);
    *out = made;
    return BDPO_OK;
}

bdpo_status bdpo_image_new(bdpo_image *out, int width, int height, bdpo_image_mode mode)
{
    *out = (bdpo_image){0};
    if (width < 1 || height < 1 || !size_is_allowed((uint64_t)width, (uint64_t)height))
        return bdpo_fail(BDPO_BAD_ARGUMENT,
                         "picture of %d x %d pixels: sides are 1 to %d, at most %d pixels", width,
                         height, BDPO_IMAGE_MAX_SIDE, BDPO_IMAGE_MAX_PIXELS);
    return allocate(out, width, height, mode, "picture");
}

bdpo_status bdpo_image_new_for(bdpo_image *out, uint64_t width, uint64_t height,
                               bdpo_image_mode mode, const char *name)
{
    if (!size_is_allowed(width, height))
        return bdpo_fail(BDPO_BAD_FILE,
                         "%s: says %llu x %llu pixels; sides are 1 to %d, at most %d pixels", name,
                         (unsigned long long)width, (unsigned long long)height, BDPO_IMAGE_MAX_SIDE,
                         BDPO_IMAGE_MAX_PIXELS);
    return allocate(out, (int)width, (int)height, mode, name);
}

// ---- reading -------------------------------------------------------------------------------

static bdpo_status detect(bdpo_image_format *out, const uint8_t *data, size_t size,
                          const char *name)
{
    if (size == 0) return bdpo_fail(BDPO_BAD_FILE, "%s: empty, expected a picture", name);
    if (size >= 8 && memcmp(data, "\x89PNG\r\n\x1a\n", 8) == 0)
        *out = BDPO_IMAGE_PNG;
    else if (size >= 3 && memcmp(data, "\xff\xd8\xff", 3) == 0)
        *out = BDPO_IMAGE_JPEG;
    else if (size >= 12 && memcmp(data, "RIFF", 4) == 0 && memcmp(data + 8, "WEBP", 4) == 0)
        *out = BDPO_IMAGE_WEBP;
    else
        return bdpo_fail(BDPO_UNSUPPORTED,
                         "%s: not a PNG, JPEG or WebP file: it begins with 0x%02x 0x%02x", name,
                         data[0], size > 1 ? data[1] : 0);
    return BDPO_OK;
}

bdpo_status bdpo_image_decode(bdpo_image *out, const void *data, size_t size, const char *name)
{
    static bdpo_status (*const decoders[])(bdpo_image *, const uint8_t *, size_t, const char *) = {
        [BDPO_IMAGE_PNG] = bdpo_png_decode,
        [BDPO_IMAGE_JPEG] = bdpo_jpeg_decode,
        [BDPO_IMAGE_WEBP] = bdpo_webp_decode,
    };
    bdpo_image_format format = BDPO_IMAGE_PNG;
    *out = (bdpo_image){0};
    TRY(detect(&format, data, size, name));
    bdpo_status status = decoders[format](out, data, size, name);
    if (status != BDPO_OK) bdpo_image_release(out);
    return status;
}

bdpo_status bdpo_image_read(bdpo_image *out, const char *path)
{
    char *data;
    size_t size;
    *out = (bdpo_image){0};
    TRY(bdpo_file_read(&data, &size, path, BDPO_IMAGE_MAX_FILE));
    bdpo_status status = bdpo_image_decode(out, data, size, path);
    bdpo_free(data);
    return status;
}

bdpo_status bdpo_image_text(char **out, const void *data, size_t size, const char *key,
                            const char *name)
{
    bdpo_image_format format = BDPO_IMAGE_PNG;
    bdpo_exif exif;
    *out = NULL;
    TRY(detect(&format, data, size, name));
    if (format == BDPO_IMAGE_PNG) return bdpo_png_text(out, data, size, key, name);
    if (strcmp(key, "parameters") != 0) return BDPO_OK;
    if (format == BDPO_IMAGE_JPEG)
        bdpo_jpeg_exif(&exif, data, size);
    else
        bdpo_webp_exif(&exif, data, size);
    return bdpo_exif_comment(out, &exif, BDPO_IMAGE_MAX_TEXT, name);
}

bdpo_status bdpo_image_read_text(char **out, const char *path, const char *key)
{
    char *data;
    size_t size;
    *out = NULL;
    TRY(bdpo_file_read(&data, &size, path, BDPO_IMAGE_MAX_FILE));
    bdpo_status status = bdpo_image_text(out, data, size, key, path);
    bdpo_free(data);
    return status;
}

// ---- writing -------------------------------------------------------------------------------

static bdpo_status check_text(const char *what, const char *text)
{
    if (!text) return BDPO_OK;
    size_t length = strlen(text);
    if (length > BDPO_IMAGE_MAX_TEXT)
        return bdpo_fail(BDPO_BAD_ARGUMENT, "%s of a picture: %zu bytes, at most %d fit", what,
                         length, BDPO_IMAGE_MAX_TEXT);
    if (!bdpo_utf8_is_valid(text, length))
        return bdpo_fail(BDPO_BAD_ARGUMENT, "%s of a picture: not UTF-8", what);
    return BDPO_OK;
}

static bdpo_status check_options(const bdpo_image_options *options, bdpo_image_format format)
{
    if (options->quality < 0 || options->quality > 100)
        return bdpo_fail(BDPO_BAD_ARGUMENT, "quality %d of a picture, expected 1 to 100",
                         options->quality);
    if (options->json && format != BDPO_IMAGE_PNG)
        return bdpo_fail(BDPO_BAD_ARGUMENT, "only a PNG file holds the text \"bdpo\"");
    TRY(check_text("parameters", options->parameters));
    return check_text("json", options->json);
}

bdpo_status bdpo_image_encode(void **data, size_t *size, const bdpo_image *image,
                              bdpo_image_format format, const bdpo_image_options *options)
{
    static bdpo_status (*const encoders[])(bdpo_growing *, const bdpo_image *,
                                           const bdpo_image_options *) = {
        [BDPO_IMAGE_PNG] = bdpo_png_encode,
        [BDPO_IMAGE_JPEG] = bdpo_jpeg_encode,
        [BDPO_IMAGE_WEBP] = bdpo_webp_encode,
    };
    static const bdpo_image_options defaults = {0};
    bdpo_growing out = {0};
    if (!options) options = &defaults;
    TRY(check_options(options, format));
    bdpo_status status = encoders[format](&out, image, options);
    if (status != BDPO_OK) {
        bdpo_free(out.data);
        return status;
    }
    *data = out.data;
    *size = out.size;
    return BDPO_OK;
}

bdpo_status bdpo_image_format_of(bdpo_image_format *out, const char *path)
{
    static const struct {
        const char *ending;
        bdpo_image_format format;
    } endings[] = {{".png", BDPO_IMAGE_PNG},
                   {".jpg", BDPO_IMAGE_JPEG},
                   {".jpeg", BDPO_IMAGE_JPEG},
                   {".webp", BDPO_IMAGE_WEBP}};
    size_t length = strlen(path);
    for (size_t i = 0; i < BDPO_COUNTOF(endings); i++) {
        size_t n = strlen(endings[i].ending);
        if (length > n && strcasecmp(path + length - n, endings[i].ending) == 0) {
            *out = endings[i].format;
            return BDPO_OK;
        }
    }
    return bdpo_fail(BDPO_BAD_ARGUMENT, "%s: a picture's name ends in .png, .jpg, .jpeg or .webp",
                     path);
}

bdpo_status bdpo_image_write(const char *path, const bdpo_image *image,
                             const bdpo_image_options *options)
{
    bdpo_image_format format = BDPO_IMAGE_PNG;
    void *data;
    size_t size;
    TRY(bdpo_image_format_of(&format, path));
    TRY(bdpo_image_encode(&data, &size, image, format, options));
    bdpo_status status = bdpo_file_write(path, data, size);
    bdpo_free(data);
    return status;
}

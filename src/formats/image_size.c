// The header of PNG (IHDR), JPEG (the frame's marker) and WebP.
#include "formats/image_size.h"

#include <string.h>
#include <webp/decode.h>

#include "formats/image.h"

static int big16(const uint8_t *at)
{
    return at[0] << 8 | at[1];
}

static bool is_frame(int marker) // SOF0 to SOF15; three of the numbers mean something else
{
    return marker >= 0xc0 && marker <= 0xcf && marker != 0xc4 && marker != 0xc8 && marker != 0xcc;
}

// Segments are FF, marker, length of two bytes (which it counts) and content.
static bool jpeg_size(int *width, int *height, const uint8_t *data, size_t size)
{
    size_t at = 2;
    while (size - at >= 4 && data[at] == 0xff) {
        int marker = data[at + 1];
        if (marker == 0xff) { // a fill byte
            at++;
            continue;
        }
        size_t length = (size_t)big16(data + at + 2);
        if (length < 2 || length > size - at - 2) return false;
        if (is_frame(marker) && length >= 7) {
            *height = big16(data + at + 5);
            *width = big16(data + at + 7);
            return true;
        }
        at += 2 + length;
    }
    return false;
}

static bool png_size(int *width, int *height, const uint8_t *data, size_t size)
{
    if (size < 24 || memcmp(data + 12, "IHDR", 4) != 0) return false;
    if (data[16] >= 0x80 || data[20] >= 0x80) return false;
    *width = big16(data + 16) << 16 | big16(data + 18);
    *height = big16(data + 20) << 16 | big16(data + 22);
    return true;
}

bdpo_status bdpo_image_size(int *width, int *height, const void *data, size_t size,
                            const char *name)
{
    const uint8_t *bytes = data;
    bool found;
    if (size >= 8 && memcmp(bytes, "\x89PNG\r\n\x1a\n", 8) == 0)
        found = png_size(width, height, bytes, size);
    else if (size >= 3 && memcmp(bytes, "\xff\xd8\xff", 3) == 0)
        found = jpeg_size(width, height, bytes, size);
    else if (size >= 12 && memcmp(bytes, "RIFF", 4) == 0 && memcmp(bytes + 8, "WEBP", 4) == 0)
        found = WebPGetInfo(bytes, size, width, height) != 0;
    else
        return bdpo_fail(BDPO_UNSUPPORTED, "%s: expected a PNG, JPEG or WebP file", name);
    if (found && *width > 0 && *height > 0) return BDPO_OK;
    return bdpo_fail(BDPO_BAD_FILE, "%s: its header gives no width and height", name);
}

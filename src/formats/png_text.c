// The texts of a PNG. Chunks are a length, a name, the content and a checksum; this walks over
// them without touching the pixels. The chunk that is asked for goes to libpng as that of a picture
// of one pixel: libpng then checks it, inflates it within a limit, and splits it.
#include <setjmp.h>
#include <string.h>

#include <png.h>

#include "base/memory.h"
#include "formats/charset.h"
#include "formats/image_codec.h"

enum { SIGNATURE_BYTES = 8, CHUNK_EXTRA = 12, MAX_KEY = 79 };

static uint32_t get32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static bool is_text(const uint8_t *chunk, uint32_t length, const char *key)
{
    static const char names[][5] = {"tEXt", "zTXt", "iTXt"};
    size_t n = strlen(key) + 1; // the zero is the file's separator
    if (length < n || memcmp(chunk + 8, key, n) != 0) return false;
    for (size_t i = 0; i < BDPO_COUNTOF(names); i++)
        if (memcmp(chunk + 4, names[i], 4) == 0) return true;
    return false;
}

// The first chunk of `key`, with its length, name and checksum. *out is NULL where there is none.
static bdpo_status find_chunk(const uint8_t **out, size_t *chunk_size, const uint8_t *data,
                              size_t size, const char *key, const char *name)
{
    *out = NULL;
    for (size_t at = SIGNATURE_BYTES; size - at >= CHUNK_EXTRA;) {
        uint32_t length = get32(data + at);
        if (length > size - at - CHUNK_EXTRA)
            return bdpo_fail(BDPO_BAD_FILE,
                             "%s: PNG: a chunk of %u bytes at byte %zu, but %zu are left", name,
                             length, at, size - at - CHUNK_EXTRA);
        if (memcmp(data + at + 4, "IEND", 4) == 0) return BDPO_OK;
        if (is_text(data + at, length, key)) {
            *out = data + at;
            *chunk_size = CHUNK_EXTRA + (size_t)length;
            return BDPO_OK;
        }
        at += CHUNK_EXTRA + length;
    }
    return bdpo_fail(BDPO_BAD_FILE, "%s: PNG: the file is truncated", name);
}

// ---- one chunk by libpng -------------------------------------------------------------------

static const uint8_t before[] =
    "\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\1\0\0\0\1\x08\0\0\0\0\x3a\x7e\x9b\x55";
static const uint8_t after[] = "\0\0\0\0IDAT"; // where png_read_info() stops

typedef struct job {
    jmp_buf stop;
    bdpo_status status;
    bool no_memory; // an allocation failed, however libpng words it
    const char *name;
    png_structp png;
    png_infop info;
    struct {
        const uint8_t *data;
        size_t size;
    } parts[3]; // of the file that libpng reads
    bdpo_growing text;
} job;

_Noreturn static void stop(job *j, bdpo_status status) // the sentence stands already
{
    j->status = status;
    longjmp(j->stop, 1);
}

// Warnings too: here they say that the text is damaged or too long.
_Noreturn static void on_error(png_structp png, png_const_charp reason)
{
    job *j = png_get_error_ptr(png);
    stop(j, bdpo_fail(j->no_memory ? BDPO_NO_MEMORY : BDPO_BAD_FILE, "%s: PNG text: %s", j->name,
                      reason));
}

static png_voidp allocate(png_structp png, png_alloc_size_t size)
{
    job *j = png_get_mem_ptr(png);
    void *block = bdpo_alloc(size, 1);
    if (!block) j->no_memory = true;
    return block;
}

static void release(png_structp png, png_voidp block)
{
    (void)png;
    bdpo_free(block);
}

static void on_read(png_structp png, png_bytep out, size_t size)
{
    job *j = png_get_io_ptr(png);
    for (size_t i = 0; i < BDPO_COUNTOF(j->parts) && size > 0; i++) {
        size_t n = size < j->parts[i].size ? size : j->parts[i].size;
        memcpy(out, j->parts[i].data, n);
        j->parts[i].data += n;
        j->parts[i].size -= n;
        out += n;
        size -= n;
    }
    if (size > 0) png_error(png, "the chunk ends early");
}

static void convert(job *j)
{
    png_textp text = NULL;
    bdpo_status status = BDPO_OK;
    if (png_get_text(j->png, j->info, &text, NULL) < 1) png_error(j->png, "none was read");
    bool utf8 = text->compression >= PNG_ITXT_COMPRESSION_NONE;
    size_t size = strlen(text->text);
    if (!utf8)
        status = bdpo_latin1_to_utf8(&j->text, (const uint8_t *)text->text, size, j->name);
    else if (!bdpo_utf8_is_valid(text->text, size))
        png_error(j->png, "iTXt is not UTF-8");
    else if (!bdpo_growing_add(&j->text, text->text, size))
        status = bdpo_fail(BDPO_NO_MEMORY, "%s: no memory for its text", j->name);
    if (status == BDPO_OK && !bdpo_growing_add(&j->text, "", 1))
        status = bdpo_fail(BDPO_NO_MEMORY, "%s: no memory for its text", j->name);
    if (status != BDPO_OK) stop(j, status);
}

static void read_chunk(job *j)
{
    j->png = png_create_read_struct_2(PNG_LIBPNG_VER_STRING, j, on_error, on_error, j, allocate,
                                      release);
    if (j->png) j->info = png_create_info_struct(j->png);
    if (!j->info) stop(j, bdpo_fail(BDPO_NO_MEMORY, "%s: no memory for its text", j->name));
    png_set_crc_action(j->png, PNG_CRC_ERROR_QUIT, PNG_CRC_ERROR_QUIT);
    png_set_chunk_malloc_max(j->png, BDPO_IMAGE_MAX_TEXT + MAX_KEY + 64);
    png_set_read_fn(j->png, j, on_read);
    png_read_info(j->png, j->info);
    convert(j);
}

bdpo_status bdpo_png_text(char **out, const uint8_t *data, size_t size, const char *key,
                          const char *name)
{
    const uint8_t *chunk;
    size_t chunk_size = 0;
    *out = NULL;
    TRY(find_chunk(&chunk, &chunk_size, data, size, key, name));
    if (!chunk) return BDPO_OK;
    job *j = bdpo_alloc(1, sizeof *j);
    if (!j) return bdpo_fail(BDPO_NO_MEMORY, "%s: no memory for its text", name);
    *j = (job){
        .name = name,
        .parts = {{before, sizeof before - 1}, {chunk, chunk_size}, {after, sizeof after - 1}}};
    if (setjmp(j->stop) == 0) read_chunk(j);
    png_destroy_read_struct(&j->png, &j->info, NULL);
    bdpo_status status = j->status;
    if (status == BDPO_OK)
        *out = (char *)j->text.data;
    else
        bdpo_free(j->text.data);
    bdpo_free(j);
    return status;
}

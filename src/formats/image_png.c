// PNG by libpng: the pixels. Texts are read in png_text.c.
//
// libpng reports errors by a call that must not return, so each entry sets a jump buffer first;
// all that it changes lies in a `job`, which outlives the jump.
//
// What Pillow does: tRNS is no alpha; 1-bit grey is mode "1", other grey is scaled to 8 bits;
// 16-bit samples lose their low byte, but grey without alpha keeps it (mode "I;16"). Stricter than
// Pillow: checksums, and the end of the file must be there.
#include <setjmp.h>
#include <string.h>

#include <png.h>

#include "base/memory.h"
#include "formats/charset.h"
#include "formats/image_codec.h"

typedef struct job {
    jmp_buf stop;
    bdpo_status status;
    bool no_memory; // an allocation failed, however libpng words it
    const char *name;
    png_structp png;
    png_infop info;
    const uint8_t *data; // what is left of the file
    size_t size;
    bdpo_image *image;
    uint8_t *samples; // as libpng gives them, where these are not the pixels; owned
    bdpo_growing *file;
    bdpo_growing text; // the one being written
} job;

_Noreturn static void stop(job *j, bdpo_status status) // the sentence stands already
{
    j->status = status;
    longjmp(j->stop, 1);
}

_Noreturn static void on_error(png_structp png, png_const_charp reason)
{
    job *j = png_get_error_ptr(png);
    stop(j,
         bdpo_fail(j->no_memory ? BDPO_NO_MEMORY : BDPO_BAD_FILE, "%s: PNG: %s", j->name, reason));
}

static void on_warning(png_structp png, png_const_charp reason)
{
    (void)png;
    (void)reason;
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

// ---- reading -------------------------------------------------------------------------------

static void on_read(png_structp png, png_bytep out, size_t size)
{
    job *j = png_get_io_ptr(png);
    if (size > j->size)
        stop(j, bdpo_fail(BDPO_BAD_FILE, "%s: PNG: the file is truncated", j->name));
    memcpy(out, j->data, size);
    j->data += size;
    j->size -= size;
}

static bdpo_image_mode choose_mode(int color, int depth)
{
    switch (color) {
    case PNG_COLOR_TYPE_GRAY:
        return depth == 1 ? BDPO_IMAGE_BILEVEL : depth == 16 ? BDPO_IMAGE_GREY_16 : BDPO_IMAGE_GREY;
    case PNG_COLOR_TYPE_GRAY_ALPHA:
        return BDPO_IMAGE_GREY_ALPHA;
    case PNG_COLOR_TYPE_PALETTE:
        return BDPO_IMAGE_PALETTE;
    case PNG_COLOR_TYPE_RGB:
        return BDPO_IMAGE_RGB;
    default:
        return BDPO_IMAGE_RGBA;
    }
}

// Deflate makes at most 1032 bytes of one. A smaller file cannot hold the picture that its header
// promises, and its memory need not be asked for.
static void check_promise(job *j, size_t size)
{
    enum { DEFLATE_MOST = 1032 };
    uint64_t bits = (uint64_t)png_get_bit_depth(j->png, j->info) *
                    png_get_channels(j->png, j->info) * png_get_image_width(j->png, j->info) *
                    png_get_image_height(j->png, j->info);
    if (bits / 8 / DEFLATE_MOST > size)
        stop(j, bdpo_fail(BDPO_BAD_FILE, "%s: PNG: the file is truncated", j->name));
}

// Text and colour profiles can be bombs, and pixels need neither.
static void ignore_chunks(png_structp png)
{
    static const png_byte names[] = "tEXt\0zTXt\0iTXt\0iCCP\0sPLT";
    png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, names, 5);
}

static void read_rows(job *j, uint8_t *samples, size_t row_bytes)
{
    int n_passes = png_set_interlace_handling(j->png);
    png_read_update_info(j->png, j->info);
    BDPO_ASSERT(png_get_rowbytes(j->png, j->info) == row_bytes);
    for (int pass = 0; pass < n_passes; pass++)
        for (int y = 0; y < j->image->height; y++)
            png_read_row(j->png, samples + (size_t)y * row_bytes, NULL);
}

static uint8_t *new_samples(job *j, size_t size)
{
    j->samples = bdpo_alloc(size, 1);
    if (!j->samples) stop(j, bdpo_fail(BDPO_NO_MEMORY, "%s: no memory for its pixels", j->name));
    return j->samples;
}

static void read_palette(job *j, size_t n_pixels)
{
    png_colorp colors = NULL;
    int n_colors = 0;
    uint8_t *index = new_samples(j, n_pixels), *to = j->image->pixels;
    png_set_packing(j->png);
    read_rows(j, index, (size_t)j->image->width);
    if (!png_get_PLTE(j->png, j->info, &colors, &n_colors)) n_colors = 0;
    for (size_t i = 0; i < n_pixels; i++, to += 3) {
        if (index[i] >= n_colors) continue; // black
        to[0] = colors[index[i]].red;
        to[1] = colors[index[i]].green;
        to[2] = colors[index[i]].blue;
    }
}

static void read_all(job *j)
{
    size_t size = j->size;
    png_set_user_limits(j->png, BDPO_IMAGE_MAX_SIDE, BDPO_IMAGE_MAX_SIDE);
    ignore_chunks(j->png);
    png_set_read_fn(j->png, j, on_read);
    png_read_info(j->png, j->info);
    int color = png_get_color_type(j->png, j->info), depth = png_get_bit_depth(j->png, j->info);
    check_promise(j, size);
    bdpo_status status = bdpo_image_new_for(j->image, png_get_image_width(j->png, j->info),
                                            png_get_image_height(j->png, j->info),
                                            choose_mode(color, depth), j->name);
    if (status != BDPO_OK) stop(j, status);
    size_t n_pixels = (size_t)j->image->width * (size_t)j->image->height;
    if (color == PNG_COLOR_TYPE_PALETTE) {
        read_palette(j, n_pixels);
    } else {
        if (depth < 8) png_set_expand_gray_1_2_4_to_8(j->png);
        if (j->image->mode == BDPO_IMAGE_GREY_16)
            png_set_swap(j->png); // the file has the high byte first
        else if (depth == 16)
            png_set_strip_16(j->png);
        read_rows(j, j->image->pixels, (size_t)j->image->width * (size_t)j->image->channels);
    }
    png_read_end(j->png, j->info);
}

static void read_orientation(job *j)
{
    png_bytep tiff = NULL;
    png_uint_32 size = 0;
    bdpo_exif exif;
    if (!png_get_eXIf_1(j->png, j->info, &size, &tiff)) return;
    bdpo_exif_read(&exif, tiff, size);
    j->image->orientation = exif.orientation;
}

bdpo_status bdpo_png_decode(bdpo_image *out, const uint8_t *data, size_t size, const char *name)
{
    job *j = bdpo_alloc(1, sizeof *j);
    if (!j) return bdpo_fail(BDPO_NO_MEMORY, "%s: no memory to read it", name);
    *j = (job){.name = name, .data = data, .size = size, .image = out};
    if (setjmp(j->stop) == 0) {
        j->png = png_create_read_struct_2(PNG_LIBPNG_VER_STRING, j, on_error, on_warning, j,
                                          allocate, release);
        if (j->png) j->info = png_create_info_struct(j->png);
        if (!j->info) stop(j, bdpo_fail(BDPO_NO_MEMORY, "%s: no memory to read it", name));
        read_all(j);
        read_orientation(j);
    }
    png_destroy_read_struct(&j->png, &j->info, NULL);
    bdpo_status status = j->status;
    bdpo_free(j->samples);
    bdpo_free(j);
    return status;
}

// ---- writing -------------------------------------------------------------------------------

static void on_write(png_structp png, png_bytep data, size_t size)
{
    job *j = png_get_io_ptr(png);
    if (!bdpo_growing_add(j->file, data, size))
        stop(j, bdpo_fail(BDPO_NO_MEMORY, "PNG: no memory for the file"));
}

static void on_flush(png_structp png)
{
    (void)png;
}

// As Pillow: tEXt where Latin-1 has the characters, else iTXt.
static void write_text(job *j, const char *key, const char *utf8)
{
    bool fits;
    if (!utf8) return;
    j->text.size = 0;
    bdpo_status status = bdpo_utf8_to_latin1(&j->text, &fits, utf8, j->name);
    if (status == BDPO_OK &&
        !bdpo_growing_add(&j->text, fits ? "" : utf8, fits ? 1 : strlen(utf8) + 1))
        status = bdpo_fail(BDPO_NO_MEMORY, "PNG: no memory for its text");
    if (status != BDPO_OK) stop(j, status);
    png_text chunk = {.compression = fits ? PNG_TEXT_COMPRESSION_NONE : PNG_ITXT_COMPRESSION_NONE,
                      .key = (char *)(uintptr_t)key,
                      .text = (char *)j->text.data,
                      .text_length = j->text.size - 1};
    png_set_text(j->png, j->info, &chunk, 1);
}

static void write_all(job *j, const bdpo_image *image, const bdpo_image_options *options)
{
    static const int colors[] = {[1] = PNG_COLOR_TYPE_GRAY,
                                 [2] = PNG_COLOR_TYPE_GRAY_ALPHA,
                                 [3] = PNG_COLOR_TYPE_RGB,
                                 [4] = PNG_COLOR_TYPE_RGBA};
    enum {
        LEVEL = 4
    }; // 31 ms and 445 kB for a photo of 512 x 512; 6 takes twice that for 1 % less
    png_set_write_fn(j->png, j, on_write, on_flush);
    png_set_user_limits(j->png, BDPO_IMAGE_MAX_SIDE, BDPO_IMAGE_MAX_SIDE);
    png_set_compression_level(j->png, LEVEL);
    bool wide = image->mode == BDPO_IMAGE_GREY_16;
    png_set_IHDR(j->png, j->info, (png_uint_32)image->width, (png_uint_32)image->height,
                 wide ? 16 : 8, wide ? PNG_COLOR_TYPE_GRAY : colors[image->channels],
                 PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    write_text(j, "parameters", options->parameters);
    write_text(j, "bdpo", options->json);
    png_write_info(j->png, j->info);
    if (wide) png_set_swap(j->png);
    size_t row_bytes = (size_t)image->width * (size_t)image->channels;
    for (int y = 0; y < image->height; y++)
        png_write_row(j->png, image->pixels + (size_t)y * row_bytes);
    png_write_end(j->png, NULL);
}

bdpo_status bdpo_png_encode(bdpo_growing *out, const bdpo_image *image,
                            const bdpo_image_options *options)
{
    if (image->mode == BDPO_IMAGE_CMYK)
        return bdpo_fail(BDPO_BAD_ARGUMENT, "PNG of mode CMYK, expected L, LA, RGB or RGBA");
    job *j = bdpo_alloc(1, sizeof *j);
    if (!j) return bdpo_fail(BDPO_NO_MEMORY, "PNG: no memory to write it");
    *j = (job){.name = "picture to write", .file = out};
    if (setjmp(j->stop) == 0) {
        j->png = png_create_write_struct_2(PNG_LIBPNG_VER_STRING, j, on_error, on_warning, j,
                                           allocate, release);
        if (j->png) j->info = png_create_info_struct(j->png);
        if (!j->info) stop(j, bdpo_fail(BDPO_NO_MEMORY, "PNG: no memory to write it"));
        write_all(j, image, options);
    }
    png_destroy_write_struct(&j->png, &j->info);
    bdpo_status status = j->status;
    bdpo_free(j->text.data);
    bdpo_free(j);
    return status;
}

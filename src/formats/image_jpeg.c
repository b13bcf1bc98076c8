// JPEG by libjpeg-turbo, with the defaults that Pillow leaves as they are: integer DCT, fancy
// upsampling. libjpeg reports errors by a call that must not return, so each entry sets a jump
// buffer first; all that it changes lies in a `job`, which outlives the jump.
//
// Stricter than Pillow: where the entropy-coded data is damaged, so that some blocks are guesses,
// libjpeg only warns. Here such a file is refused.
#include <setjmp.h>
#include <stdio.h>
#include <string.h>

#include <jpeglib.h>

#include <jerror.h>

#include "base/memory.h"
#include "formats/image_codec.h"

enum { MAX_SCANS = 100, CHUNK_BYTES = 16 * 1024, MAX_MARKER_BYTES = 65533 };

typedef struct job {
    struct jpeg_error_mgr errors; // first: libjpeg hands back its address
    struct jpeg_progress_mgr progress;
    struct jpeg_source_mgr source;
    struct jpeg_destination_mgr destination;
    jmp_buf stop;
    bdpo_status status;
    const char *name;
    struct jpeg_decompress_struct in;
    bdpo_image *image;
    struct jpeg_compress_struct out;
    bdpo_growing *file;
    bdpo_growing exif;
    uint8_t chunk[CHUNK_BYTES];
} job;

_Noreturn static void stop(job *j, bdpo_status status) // the sentence stands already
{
    j->status = status;
    longjmp(j->stop, 1);
}

_Noreturn static void on_error(j_common_ptr common)
{
    job *j = (job *)common->err;
    char reason[JMSG_LENGTH_MAX];
    common->err->format_message(common, reason);
    bdpo_status status = common->err->msg_code == JERR_OUT_OF_MEMORY ? BDPO_NO_MEMORY
                         : common->is_decompressor                   ? BDPO_BAD_FILE
                                                                     : BDPO_BAD_ARGUMENT;
    stop(j, bdpo_fail(status, "%s: JPEG: %s", j->name, reason));
}

// Level -1 is a warning. Those that concern pixels end the work; others are about headers.
static void on_message(j_common_ptr common, int level)
{
    int code = common->err->msg_code;
    bool damaged = code == JWRN_HIT_MARKER || code == JWRN_HUFF_BAD_CODE ||
                   code == JWRN_ARITH_BAD_CODE || code == JWRN_MUST_RESYNC;
    if (level < 0 && damaged) on_error(common);
}

static void no_output(j_common_ptr common)
{
    (void)common;
}

static void job_init(job *j, const char *name)
{
    memset(j, 0, sizeof *j);
    j->name = name;
    jpeg_std_error(&j->errors);
    j->errors.error_exit = on_error;
    j->errors.emit_message = on_message;
    j->errors.output_message = no_output;
}

// ---- reading -------------------------------------------------------------------------------

// The source has all bytes from the start: asking for more means that the file is cut short.
// FALSE suspends, so that what is complete without the closing marker still decodes.
static boolean no_more(j_decompress_ptr in)
{
    (void)in;
    return FALSE;
}

static void skip(j_decompress_ptr in, long n_bytes)
{
    size_t left = in->src->bytes_in_buffer,
           n = n_bytes < 0 || (size_t)n_bytes > left ? left : (size_t)n_bytes;
    in->src->next_input_byte += n;
    in->src->bytes_in_buffer -= n;
}

static void source_nothing(j_decompress_ptr in)
{
    (void)in;
}

// A small file can ask for many passes over a large picture.
static void on_progress(j_common_ptr common)
{
    j_decompress_ptr in = (j_decompress_ptr)common;
    job *j = (job *)common->err;
    if (in->input_scan_number > MAX_SCANS)
        stop(j, bdpo_fail(BDPO_BAD_FILE, "%s: JPEG: more than %d scans", j->name, MAX_SCANS));
}

_Noreturn static void truncated(job *j)
{
    stop(j, bdpo_fail(BDPO_BAD_FILE, "%s: JPEG: the file is truncated", j->name));
}

// Each block of 64 samples takes one bit at least. Fewer cannot be the picture that the header
// promises, and its memory need not be asked for. (Arithmetic coding can do with less.)
static void check_promise(job *j, size_t size)
{
    uint64_t n_blocks = 0;
    if (j->in.arith_code) return;
    for (int c = 0; c < j->in.num_components; c++)
        n_blocks +=
            (uint64_t)j->in.comp_info[c].width_in_blocks * j->in.comp_info[c].height_in_blocks;
    if (n_blocks / 8 > size) truncated(j);
}

static bdpo_image_mode choose_mode(job *j)
{
    switch (j->in.num_components) {
    case 1:
        j->in.out_color_space = JCS_GRAYSCALE;
        return BDPO_IMAGE_GREY;
    case 3:
        j->in.out_color_space = JCS_RGB;
        return BDPO_IMAGE_RGB;
    case 4:
        j->in.out_color_space = JCS_CMYK;
        return BDPO_IMAGE_CMYK;
    default:
        stop(j, bdpo_fail(BDPO_UNSUPPORTED, "%s: JPEG of %d components, expected 1, 3 or 4",
                          j->name, j->in.num_components));
    }
}

static void read_pixels(job *j, const uint8_t *data, size_t size)
{
    j->source = (struct jpeg_source_mgr){.next_input_byte = data,
                                         .bytes_in_buffer = size,
                                         .init_source = source_nothing,
                                         .fill_input_buffer = no_more,
                                         .skip_input_data = skip,
                                         .resync_to_restart = jpeg_resync_to_restart,
                                         .term_source = source_nothing};
    j->in.src = &j->source;
    j->progress.progress_monitor = on_progress;
    j->in.progress = &j->progress;
    if (jpeg_read_header(&j->in, TRUE) != JPEG_HEADER_OK) truncated(j);
    bdpo_image_mode mode = choose_mode(j);
    check_promise(j, size);
    bdpo_status status =
        bdpo_image_new_for(j->image, j->in.image_width, j->in.image_height, mode, j->name);
    if (status != BDPO_OK) stop(j, status);
    if (!jpeg_start_decompress(&j->in)) truncated(j);
    size_t row_bytes = (size_t)j->image->width * (size_t)j->image->channels;
    while (j->in.output_scanline < j->in.output_height) {
        JSAMPROW row = j->image->pixels + j->in.output_scanline * row_bytes;
        if (jpeg_read_scanlines(&j->in, &row, 1) != 1) truncated(j);
    }
}

bdpo_status bdpo_jpeg_decode(bdpo_image *out, const uint8_t *data, size_t size, const char *name)
{
    job *j = bdpo_alloc(1, sizeof *j);
    if (!j) return bdpo_fail(BDPO_NO_MEMORY, "%s: no memory to read it", name);
    job_init(j, name);
    j->image = out;
    j->in.err = &j->errors;
    if (setjmp(j->stop) == 0) {
        jpeg_create_decompress(&j->in);
        read_pixels(j, data, size);
    }
    jpeg_destroy_decompress(&j->in);
    bdpo_status status = j->status;
    bdpo_free(j);
    if (status != BDPO_OK) return status;
    if (out->mode == BDPO_IMAGE_CMYK) { // inverted in the file, as Adobe does; Pillow takes all so
        size_t n = bdpo_image_bytes(out);
        for (size_t i = 0; i < n; i++) out->pixels[i] = (uint8_t)~out->pixels[i];
    }
    bdpo_exif exif;
    bdpo_jpeg_exif(&exif, data, size);
    out->orientation = exif.orientation;
    return BDPO_OK;
}

// Segments are 0xff, a marker, two bytes of length (which count themselves), and the content;
// the first scan (0xda) ends the headers.
void bdpo_jpeg_exif(bdpo_exif *out, const uint8_t *data, size_t size)
{
    enum { SCAN = 0xda, APP1 = 0xe1, PREFIX_BYTES = 6 };
    *out = (bdpo_exif){.orientation = 1};
    for (size_t at = 2; size - at >= 4 && data[at] == 0xff;) {
        uint8_t marker = data[at + 1];
        if (marker == 0xff) { // padding
            at++;
            continue;
        }
        size_t length = (size_t)data[at + 2] << 8 | data[at + 3];
        if (marker == SCAN || length < 2 || length > size - at - 2) return;
        const uint8_t *content = data + at + 4;
        if (marker == APP1 && length >= 2 + PREFIX_BYTES &&
            memcmp(content, "Exif\0", PREFIX_BYTES) == 0) {
            bdpo_exif_read(out, content + PREFIX_BYTES, length - 2 - PREFIX_BYTES);
            return;
        }
        at += 2 + length;
    }
}

// ---- writing -------------------------------------------------------------------------------

static void chunk_begin(j_compress_ptr out)
{
    job *j = (job *)out->err;
    out->dest->next_output_byte = j->chunk;
    out->dest->free_in_buffer = CHUNK_BYTES;
}

static void chunk_keep(j_compress_ptr out, size_t size)
{
    job *j = (job *)out->err;
    if (!bdpo_growing_add(j->file, j->chunk, size))
        stop(j, bdpo_fail(BDPO_NO_MEMORY, "%s: no memory for the file", j->name));
    chunk_begin(out);
}

static boolean chunk_full(j_compress_ptr out) // free_in_buffer is of no meaning then
{
    chunk_keep(out, CHUNK_BYTES);
    return TRUE;
}

static void chunk_end(j_compress_ptr out)
{
    chunk_keep(out, CHUNK_BYTES - out->dest->free_in_buffer);
}

static void write_pixels(job *j, const bdpo_image *image, int quality)
{
    j->destination = (struct jpeg_destination_mgr){.init_destination = chunk_begin,
                                                   .empty_output_buffer = chunk_full,
                                                   .term_destination = chunk_end};
    j->out.dest = &j->destination;
    j->out.image_width = (JDIMENSION)image->width;
    j->out.image_height = (JDIMENSION)image->height;
    j->out.input_components = image->channels;
    j->out.in_color_space = image->channels == 1 ? JCS_GRAYSCALE : JCS_RGB;
    jpeg_set_defaults(&j->out);
    jpeg_set_quality(&j->out, quality, TRUE);
    j->out.optimize_coding = TRUE; // a few percent smaller
    jpeg_start_compress(&j->out, TRUE);
    if (j->exif.size > 0)
        jpeg_write_marker(&j->out, JPEG_APP0 + 1, j->exif.data, (unsigned)j->exif.size);
    size_t row_bytes = (size_t)image->width * (size_t)image->channels;
    while (j->out.next_scanline < j->out.image_height) {
        JSAMPROW row = image->pixels + j->out.next_scanline * row_bytes;
        jpeg_write_scanlines(&j->out, &row, 1);
    }
    jpeg_finish_compress(&j->out);
}

static bdpo_status make_exif(job *j, const char *parameters)
{
    if (!parameters) return BDPO_OK;
    if (!bdpo_growing_add(&j->exif, "Exif\0", 6))
        return bdpo_fail(BDPO_NO_MEMORY, "%s: no memory for its text", j->name);
    TRY(bdpo_exif_write(&j->exif, parameters, j->name));
    if (j->exif.size > MAX_MARKER_BYTES)
        return bdpo_fail(BDPO_BAD_ARGUMENT,
                         "parameters of a JPEG: %zu bytes with their header, at most %d fit",
                         j->exif.size, MAX_MARKER_BYTES);
    return BDPO_OK;
}

bdpo_status bdpo_jpeg_encode(bdpo_growing *out, const bdpo_image *image,
                             const bdpo_image_options *options)
{
    enum { DEFAULT_QUALITY = 75 };
    if (image->channels != 1 && image->channels != 3)
        return bdpo_fail(BDPO_BAD_ARGUMENT, "JPEG of mode %s, expected L or RGB",
                         bdpo_image_mode_name(image->mode));
    job *j = bdpo_alloc(1, sizeof *j);
    if (!j) return bdpo_fail(BDPO_NO_MEMORY, "JPEG: no memory to write it");
    job_init(j, "picture to write");
    j->file = out;
    j->out.err = &j->errors;
    j->status = make_exif(j, options->parameters);
    if (j->status == BDPO_OK && setjmp(j->stop) == 0) {
        jpeg_create_compress(&j->out);
        write_pixels(j, image, options->quality ? options->quality : DEFAULT_QUALITY);
    }
    jpeg_destroy_compress(&j->out);
    bdpo_status status = j->status;
    bdpo_free(j->exif.data);
    bdpo_free(j);
    return status;
}

// Pillow's resampling on 8-bit pixels. For one axis of n_in to n_out pixels:
//
//     scale = n_in / n_out, stretch = max(scale, 1), center = (x + 1/2) scale
//     taps i from trunc(center - support stretch + 1/2) to trunc(center + support stretch + 1/2)
//     w_i = filter((i - center + 1/2) / stretch), divided by their sum (doubles)
//     k_i = w_i 2^22, rounded half away from zero; not normalised again
//     out = clamp((2^21 + sum k_i in_i) >> 22)
//
// Across first, into bytes, then down; an axis that keeps its size is left alone. Where the height
// loses more than twice the pixels that the width loses, down comes first since Pillow 13. Found by
// comparison with 13.0.0, to the byte.
//
// The pass across takes 16 rows together, column by column, so that both passes are the same sum
// over neighbours in memory.
#include "formats/image_resize.h"

#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "formats/image_resize_isa.h"
#include "kernels/isa.h"

BDPO_ISA_TABLE(bdpo_resize_table, bdpo_resize_table)

enum { STRIP = BDPO_RESIZE_STRIP };

// ---- filters -------------------------------------------------------------------------------

static const double pi = 3.14159265358979323846;

static double box(double x)
{
    return x > -0.5 && x <= 0.5 ? 1.0 : 0.0;
}

static double bilinear(double x)
{
    x = fabs(x);
    return x < 1.0 ? 1.0 - x : 0.0;
}

static double hamming(double x)
{
    x = fabs(x);
    if (x == 0.0) return 1.0;
    if (x >= 1.0) return 0.0;
    x *= pi;
    return sin(x) / x * (0.54 + 0.46 * cos(x));
}

static double bicubic(double x)
{
    const double a = -0.5;
    x = fabs(x);
    if (x < 1.0) return ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0;
    if (x < 2.0) return (((x - 5.0) * x + 8.0) * x - 4.0) * a;
    return 0.0;
}

static double sinc(double x)
{
    if (x == 0.0) return 1.0;
    x *= pi;
    return sin(x) / x;
}

static double lanczos(double x)
{
    return x >= -3.0 && x < 3.0 ? sinc(x) * sinc(x / 3.0) : 0.0;
}

static const struct {
    double (*at)(double x);
    double support;
} filters[] = {
    [BDPO_FILTER_BOX] = {box, 0.5},         [BDPO_FILTER_BILINEAR] = {bilinear, 1.0},
    [BDPO_FILTER_HAMMING] = {hamming, 1.0}, [BDPO_FILTER_BICUBIC] = {bicubic, 2.0},
    [BDPO_FILTER_LANCZOS] = {lanczos, 3.0},
};

// ---- weights -------------------------------------------------------------------------------

// For each output pixel, its first tap, how many there are, and their weights.
typedef struct axis {
    int n_out, most; // most: the stride of `weights`
    int *first, *count;
    int32_t *weights;
} axis;

static void axis_release(axis *a)
{
    bdpo_free(a->first);
    bdpo_free(a->count);
    bdpo_free(a->weights);
}

static int32_t fixed_point(double w)
{
    return (int32_t)(w * (1 << BDPO_RESIZE_BITS) + (w < 0 ? -0.5 : 0.5));
}

static void weigh_pixel(axis *a, double *w, int x, int n_in, bdpo_image_filter filter)
{
    double scale = (double)n_in / a->n_out, stretch = scale < 1.0 ? 1.0 : scale;
    double support = filters[filter].support * stretch, center = (x + 0.5) * scale, sum = 0.0;
    int from = (int)(center - support + 0.5), to = (int)(center + support + 0.5);
    if (from < 0) from = 0;
    if (to > n_in) to = n_in;
    int32_t *weights = a->weights + (size_t)x * (size_t)a->most;
    for (int i = 0; i < to - from; i++) {
        w[i] = filters[filter].at((i + from - center + 0.5) * (1.0 / stretch));
        sum += w[i];
    }
    for (int i = 0; i < to - from; i++) weights[i] = fixed_point(sum != 0.0 ? w[i] / sum : w[i]);
    a->first[x] = from;
    a->count[x] = to - from;
}

static bdpo_status axis_init(axis *a, int n_in, int n_out, bdpo_image_filter filter)
{
    double scale = (double)n_in / n_out;
    double support = filters[filter].support * (scale < 1.0 ? 1.0 : scale);
    *a = (axis){.n_out = n_out, .most = (int)ceil(support) * 2 + 1};
    a->first = bdpo_alloc((size_t)n_out, sizeof *a->first);
    a->count = bdpo_alloc((size_t)n_out, sizeof *a->count);
    a->weights = bdpo_alloc((size_t)n_out * (size_t)a->most, sizeof *a->weights);
    double *w = bdpo_alloc((size_t)a->most, sizeof *w);
    bool ok = a->first && a->count && a->weights && w;
    for (int x = 0; ok && x < n_out; x++) weigh_pixel(a, w, x, n_in, filter);
    bdpo_free(w);
    if (ok) return BDPO_OK;
    axis_release(a);
    return bdpo_fail(BDPO_NO_MEMORY, "resizing: no memory for %d weights", n_out);
}

// ---- the two passes ------------------------------------------------------------------------

static void strip_across(uint8_t *out, const uint8_t *in, const axis *a, int channels)
{
    size_t pixel = (size_t)channels * STRIP;
    for (int x = 0; x < a->n_out; x++)
        table()->weigh(out + (size_t)x * pixel, in + (size_t)a->first[x] * pixel, pixel, pixel,
                       a->weights + (size_t)x * (size_t)a->most, a->count[x]);
}

// The last rows of a picture that do not fill a strip go through a copy that does.
static void across(bdpo_image *out, const bdpo_image *in, const axis *a, uint8_t *columns_in,
                   uint8_t *columns_out, uint8_t *ragged)
{
    size_t in_bytes = (size_t)in->width * (size_t)in->channels,
           out_bytes = (size_t)out->width * (size_t)out->channels;
    for (int y = 0; y < in->height; y += STRIP) {
        const uint8_t *rows = in->pixels + (size_t)y * in_bytes;
        uint8_t *to = out->pixels + (size_t)y * out_bytes;
        int left = in->height - y;
        if (left < STRIP) {
            memcpy(ragged, rows, (size_t)left * in_bytes);
            rows = ragged;
        }
        table()->gather_strip(columns_in, rows, in_bytes, in_bytes);
        strip_across(columns_out, columns_in, a, in->channels);
        if (left < STRIP) {
            table()->scatter_strip(ragged, out_bytes, columns_out, out_bytes);
            memcpy(to, ragged, (size_t)left * out_bytes);
        } else {
            table()->scatter_strip(to, out_bytes, columns_out, out_bytes);
        }
    }
}

static bdpo_status resize_across(bdpo_image *out, const bdpo_image *in, int width,
                                 bdpo_image_filter filter)
{
    axis a;
    TRY(bdpo_image_new(out, width, in->height, in->mode));
    bdpo_status status = axis_init(&a, in->width, width, filter);
    if (status != BDPO_OK) {
        bdpo_image_release(out);
        return status;
    }
    size_t in_bytes = (size_t)in->width * (size_t)in->channels * STRIP,
           out_bytes = (size_t)width * (size_t)in->channels * STRIP;
    size_t largest = in_bytes > out_bytes ? in_bytes : out_bytes;
    uint8_t *room = bdpo_alloc(in_bytes + out_bytes + largest, 1);
    if (room) {
        across(out, in, &a, room, room + in_bytes, room + in_bytes + out_bytes);
    } else {
        status = bdpo_fail(BDPO_NO_MEMORY, "resizing: no memory for a strip of %d rows", STRIP);
        bdpo_image_release(out);
    }
    bdpo_free(room);
    axis_release(&a);
    return status;
}

static bdpo_status resize_down(bdpo_image *out, const bdpo_image *in, int height,
                               bdpo_image_filter filter)
{
    axis a;
    TRY(bdpo_image_new(out, in->width, height, in->mode));
    bdpo_status status = axis_init(&a, in->height, height, filter);
    if (status != BDPO_OK) {
        bdpo_image_release(out);
        return status;
    }
    size_t row_bytes = (size_t)in->width * (size_t)in->channels;
    for (int y = 0; y < height; y++)
        table()->weigh(out->pixels + (size_t)y * row_bytes,
                       in->pixels + (size_t)a.first[y] * row_bytes, row_bytes, row_bytes,
                       a.weights + (size_t)y * (size_t)a.most, a.count[y]);
    axis_release(&a);
    return BDPO_OK;
}

static bdpo_status copy(bdpo_image *out, const bdpo_image *in)
{
    TRY(bdpo_image_new(out, in->width, in->height, in->mode));
    memcpy(out->pixels, in->pixels, bdpo_image_bytes(in));
    return BDPO_OK;
}

static bool goes_down_first(const bdpo_image *in, int width, int height, bdpo_pillow_order order)
{
    int64_t lost_width = (int64_t)in->width - width, lost_height = (int64_t)in->height - height;
    if (lost_height <= 0) return false;
    return order == BDPO_PILLOW_13 ? lost_height > 2 * lost_width
                                   : in->height > (int64_t)in->width * 100;
}

static bdpo_status resize_smooth(bdpo_image *out, const bdpo_image *in, int width, int height,
                                 bdpo_image_filter filter, bdpo_pillow_order order)
{
    bool across_needed = width != in->width, down_needed = height != in->height;
    bool down_first = goes_down_first(in, width, height, order);
    bdpo_image between;
    if (!across_needed && !down_needed) return copy(out, in);
    if (!down_needed) return resize_across(out, in, width, filter);
    if (!across_needed) return resize_down(out, in, height, filter);
    if (down_first)
        TRY(resize_down(&between, in, height, filter));
    else
        TRY(resize_across(&between, in, width, filter));
    bdpo_status status = down_first ? resize_across(out, &between, width, filter)
                                    : resize_down(out, &between, height, filter);
    bdpo_image_release(&between);
    return status;
}

// ---- nearest -------------------------------------------------------------------------------

// Positions are summed up, not multiplied: the rounding is part of the result.
static void nearest_positions(int *out, int n_out, int n_in)
{
    double scale = (double)n_in / n_out, position = scale * 0.5;
    for (int i = 0; i < n_out; i++, position += scale)
        out[i] = position < n_in ? (int)position : n_in - 1;
}

static bdpo_status resize_nearest(bdpo_image *out, const bdpo_image *in, int width, int height)
{
    TRY(bdpo_image_new(out, width, height, in->mode));
    int *xs = bdpo_alloc((size_t)width + (size_t)height, sizeof *xs);
    if (!xs) {
        bdpo_image_release(out);
        return bdpo_fail(BDPO_NO_MEMORY, "resizing: no memory for %d positions", width);
    }
    int *ys = xs + width;
    nearest_positions(xs, width, in->width);
    nearest_positions(ys, height, in->height);
    size_t n = (size_t)in->channels;
    uint8_t *to = out->pixels;
    for (int y = 0; y < height; y++) {
        const uint8_t *row = in->pixels + (size_t)ys[y] * (size_t)in->width * n;
        for (int x = 0; x < width; x++, to += n) memcpy(to, row + (size_t)xs[x] * n, n);
    }
    bdpo_free(xs);
    return BDPO_OK;
}

// ---- alpha ---------------------------------------------------------------------------------

static void premultiply(bdpo_image *image)
{
    size_t n = (size_t)image->channels;
    uint8_t *end = image->pixels + bdpo_image_bytes(image);
    for (uint8_t *p = image->pixels; p < end; p += n)
        for (size_t c = 0; c + 1 < n; c++) {
            int t = p[c] * p[n - 1] + 128;
            p[c] = (uint8_t)(((t >> 8) + t) >> 8);
        }
}

static void unpremultiply(bdpo_image *image)
{
    size_t n = (size_t)image->channels;
    uint8_t *end = image->pixels + bdpo_image_bytes(image);
    for (uint8_t *p = image->pixels; p < end; p += n) {
        int alpha = p[n - 1];
        if (alpha == 0 || alpha == 255) continue;
        for (size_t c = 0; c + 1 < n; c++) {
            int t = 255 * p[c] / alpha;
            p[c] = (uint8_t)(t < 255 ? t : 255);
        }
    }
}

static bdpo_status resize_alpha(bdpo_image *out, const bdpo_image *in, int width, int height,
                                bdpo_image_filter filter, bdpo_pillow_order order)
{
    bdpo_image premultiplied;
    TRY(copy(&premultiplied, in));
    premultiply(&premultiplied);
    bdpo_status status = resize_smooth(out, &premultiplied, width, height, filter, order);
    bdpo_image_release(&premultiplied);
    if (status == BDPO_OK) unpremultiply(out);
    return status;
}

bdpo_status bdpo_image_resize(bdpo_image *out, const bdpo_image *image, int width, int height,
                              bdpo_image_filter filter)
{
    return bdpo_image_resize_in_order(out, image, width, height, filter, BDPO_PILLOW_13);
}

bdpo_status bdpo_image_resize_in_order(bdpo_image *out, const bdpo_image *image, int width,
                                       int height, bdpo_image_filter filter,
                                       bdpo_pillow_order order)
{
    bool alpha = image->mode == BDPO_IMAGE_RGBA || image->mode == BDPO_IMAGE_GREY_ALPHA;
    bdpo_status status;
    *out = (bdpo_image){0};
    if (width == image->width && height == image->height)
        status = copy(out, image);
    else if (filter == BDPO_FILTER_NEAREST || image->mode == BDPO_IMAGE_BILEVEL ||
             image->mode == BDPO_IMAGE_PALETTE)
        status = resize_nearest(out, image, width, height);
    else if (alpha)
        status = resize_alpha(out, image, width, height, filter, order);
    else
        status = resize_smooth(out, image, width, height, filter, order);
    if (status == BDPO_OK) out->orientation = image->orientation;
    return status;
}

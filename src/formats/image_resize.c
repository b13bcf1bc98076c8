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
//
// 16-bit samples are summed in doubles, w_i as they are, rounded half away from zero; each byte of
// the sum is clipped by itself, so that what overshoots 65535 keeps a low byte of its own.
//
// Every output pixel is a sum of its own, so a part of the result costs a part of the work: each
// pass makes only the rows and columns that the part needs.
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
    return sin(x) / x * ((double)0.54F + (double)0.46F * cos(x)); // floats in Pillow, too
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

// A run of pixels along an axis.
typedef struct span {
    int from, count;
} span;

// For each output pixel of a span, its first tap (counted from the first of all), how many there
// are, and their weights.
typedef struct axis {
    double scale;    // n_in / n_out
    int n_out, most; // n_out: of the span; most: the stride of `weights`
    int *first, *count;
    int32_t *weights; // in fixed point
    double *exact;    // of 16-bit samples; else NULL
    span taps;        // of all pixels together
} axis;

static void axis_release(axis *a)
{
    bdpo_free(a->first);
    bdpo_free(a->count);
    bdpo_free(a->weights);
    bdpo_free(a->exact);
    *a = (axis){0};
}

static int32_t fixed_point(double w)
{
    return (int32_t)(w * (1 << BDPO_RESIZE_BITS) + (w < 0 ? -0.5 : 0.5));
}

// Output pixel `at` of the whole axis, which is pixel x of the span.
static void weigh_pixel(axis *a, double *w, int x, int at, int n_in, bdpo_image_filter filter)
{
    double scale = a->scale, stretch = scale < 1.0 ? 1.0 : scale;
    double support = filters[filter].support * stretch, center = (at + 0.5) * scale, sum = 0.0;
    int from = (int)(center - support + 0.5), to = (int)(center + support + 0.5);
    if (from < 0) from = 0;
    if (to > n_in) to = n_in;
    int32_t *weights = a->weights + (size_t)x * (size_t)a->most;
    for (int i = 0; i < to - from; i++) {
        w[i] = filters[filter].at((i + from - center + 0.5) * (1.0 / stretch));
        sum += w[i];
    }
    for (int i = 0; i < to - from; i++) {
        double share = sum != 0.0 ? w[i] / sum : w[i];
        weights[i] = fixed_point(share);
        if (a->exact) a->exact[(size_t)x * (size_t)a->most + (size_t)i] = share;
    }
    a->first[x] = from;
    a->count[x] = to - from;
}

static void gather_taps(axis *a)
{
    int from = a->first[0], to = 0;
    for (int x = 0; x < a->n_out; x++) {
        int end = a->first[x] + a->count[x];
        if (a->first[x] < from) from = a->first[x];
        if (end > to) to = end;
    }
    a->taps = (span){from, to - from};
    for (int x = 0; x < a->n_out; x++) a->first[x] -= from;
}

// The pixels `out` of an axis that goes from n_in to n_out; with `exact` weights for 16-bit
// samples.
static bdpo_status axis_init(axis *a, int n_in, int n_out, span out, bdpo_image_filter filter,
                             bool exact)
{
    double scale = (double)n_in / n_out;
    double support = filters[filter].support * (scale < 1.0 ? 1.0 : scale);
    *a = (axis){.scale = scale, .n_out = out.count, .most = (int)ceil(support) * 2 + 1};
    a->first = bdpo_alloc((size_t)out.count, sizeof *a->first);
    a->count = bdpo_alloc((size_t)out.count, sizeof *a->count);
    a->weights = bdpo_alloc((size_t)out.count * (size_t)a->most, sizeof *a->weights);
    double *w = bdpo_alloc((size_t)a->most, sizeof *w);
    if (exact) a->exact = bdpo_alloc((size_t)out.count * (size_t)a->most, sizeof *a->exact);
    bool ok = a->first && a->count && a->weights && w && (a->exact || !exact);
    for (int x = 0; ok && x < out.count; x++) weigh_pixel(a, w, x, out.from + x, n_in, filter);
    bdpo_free(w);
    if (ok) {
        gather_taps(a);
        return BDPO_OK;
    }
    axis_release(a);
    return bdpo_fail(BDPO_NO_MEMORY, "resizing: no memory for %d weights", out.count);
}

// ---- 16-bit samples ------------------------------------------------------------------------

// The sum of `count` samples, `stride` bytes apart.
static void weigh_wide(uint8_t *out, const uint8_t *in, size_t stride, const double *weights,
                       int count)
{
    double sum = 0;
    for (int i = 0; i < count; i++, in += stride) sum += (in[0] + (in[1] << 8)) * weights[i];
    int rounded = sum <= 0 ? 0 : sum >= 65535 ? 65535 : (int)round(sum);
    out[0] = (uint8_t)(rounded & 255);
    out[1] = (uint8_t)(rounded >> 8);
}

static bdpo_status wide_across(bdpo_image *out, const bdpo_image *in, span rows, const axis *a,
                               int first)
{
    TRY(bdpo_image_new(out, a->n_out, rows.count, in->mode));
    uint8_t *to = out->pixels;
    for (int y = 0; y < rows.count; y++) {
        const uint8_t *row = in->pixels + 2 * ((size_t)(rows.from + y) * (size_t)in->width);
        for (int x = 0; x < a->n_out; x++, to += 2)
            weigh_wide(to, row + 2 * (size_t)(first + a->first[x]), 2,
                       a->exact + (size_t)x * (size_t)a->most, a->count[x]);
    }
    return BDPO_OK;
}

static bdpo_status wide_down(bdpo_image *out, const bdpo_image *in, span columns, const axis *a,
                             int first)
{
    TRY(bdpo_image_new(out, columns.count, a->n_out, in->mode));
    uint8_t *to = out->pixels;
    size_t stride = 2 * (size_t)in->width;
    for (int y = 0; y < a->n_out; y++) {
        const uint8_t *row = in->pixels + (size_t)(first + a->first[y]) * stride;
        for (int x = 0; x < columns.count; x++, to += 2)
            weigh_wide(to, row + 2 * (size_t)(columns.from + x), stride,
                       a->exact + (size_t)y * (size_t)a->most, a->count[y]);
    }
    return BDPO_OK;
}

// ---- the two passes ------------------------------------------------------------------------

static void strip_across(uint8_t *out, const uint8_t *in, const axis *a, int channels)
{
    size_t pixel = (size_t)channels * STRIP;
    for (int x = 0; x < a->n_out; x++)
        table()->weigh(out + (size_t)x * pixel, in + (size_t)a->first[x] * pixel, pixel, pixel,
                       a->weights + (size_t)x * (size_t)a->most, a->count[x]);
}

// The last rows that do not fill a strip go through a copy that does.
static void across(bdpo_image *out, const bdpo_image *in, span rows, const axis *a, int first,
                   uint8_t *columns_in, uint8_t *columns_out, uint8_t *ragged)
{
    size_t channels = (size_t)in->channels, stride = (size_t)in->width * channels;
    size_t in_bytes = (size_t)a->taps.count * channels, out_bytes = (size_t)out->width * channels;
    const uint8_t *begin = in->pixels + (size_t)rows.from * stride + (size_t)first * channels;
    for (int y = 0; y < rows.count; y += STRIP) {
        const uint8_t *from = begin + (size_t)y * stride;
        uint8_t *to = out->pixels + (size_t)y * out_bytes;
        int left = rows.count - y;
        if (left < STRIP) {
            for (int i = 0; i < left; i++)
                memcpy(ragged + (size_t)i * in_bytes, from + (size_t)i * stride, in_bytes);
            table()->gather_strip(columns_in, ragged, in_bytes, in_bytes);
        } else {
            table()->gather_strip(columns_in, from, stride, in_bytes);
        }
        strip_across(columns_out, columns_in, a, in->channels);
        if (left < STRIP) {
            table()->scatter_strip(ragged, out_bytes, columns_out, out_bytes);
            memcpy(to, ragged, (size_t)left * out_bytes);
        } else {
            table()->scatter_strip(to, out_bytes, columns_out, out_bytes);
        }
    }
}

// out [rows.count, a->n_out] of those rows of `in`, whose column `first` is the first tap.
static bdpo_status resize_across(bdpo_image *out, const bdpo_image *in, span rows, const axis *a,
                                 int first)
{
    if (a->exact) return wide_across(out, in, rows, a, first);
    TRY(bdpo_image_new(out, a->n_out, rows.count, in->mode));
    size_t in_bytes = (size_t)a->taps.count * (size_t)in->channels * STRIP,
           out_bytes = (size_t)a->n_out * (size_t)in->channels * STRIP;
    size_t largest = in_bytes > out_bytes ? in_bytes : out_bytes;
    uint8_t *room = bdpo_alloc(in_bytes + out_bytes + largest, 1);
    if (!room) {
        bdpo_image_release(out);
        return bdpo_fail(BDPO_NO_MEMORY, "resizing: no memory for a strip of %d rows", STRIP);
    }
    across(out, in, rows, a, first, room, room + in_bytes, room + in_bytes + out_bytes);
    bdpo_free(room);
    return BDPO_OK;
}

// out [a->n_out, columns.count] of those columns of `in`, whose row `first` is the first tap.
static bdpo_status resize_down(bdpo_image *out, const bdpo_image *in, span columns, const axis *a,
                               int first)
{
    if (a->exact) return wide_down(out, in, columns, a, first);
    TRY(bdpo_image_new(out, columns.count, a->n_out, in->mode));
    size_t channels = (size_t)in->channels, stride = (size_t)in->width * channels,
           row_bytes = (size_t)columns.count * channels;
    const uint8_t *begin = in->pixels + (size_t)first * stride + (size_t)columns.from * channels;
    for (int y = 0; y < a->n_out; y++)
        table()->weigh(out->pixels + (size_t)y * row_bytes, begin + (size_t)a->first[y] * stride,
                       stride, row_bytes, a->weights + (size_t)y * (size_t)a->most, a->count[y]);
    return BDPO_OK;
}

static bdpo_status copy(bdpo_image *out, const bdpo_image *in)
{
    TRY(bdpo_image_new(out, in->width, in->height, in->mode));
    memcpy(out->pixels, in->pixels, bdpo_image_bytes(in));
    return BDPO_OK;
}

// What is asked for: the picture at width x height, of that the part.
typedef struct target {
    int width, height;
    span columns, rows;
    bdpo_image_filter filter;
    bdpo_pillow_order order;
} target;

static bool goes_down_first(const bdpo_image *in, const target *t)
{
    int64_t lost_width = (int64_t)in->width - t->width,
            lost_height = (int64_t)in->height - t->height;
    if (lost_height <= 0) return false;
    return t->order == BDPO_PILLOW_13 ? lost_height > 2 * lost_width
                                      : in->height > (int64_t)in->width * 100;
}

// The first pass keeps the other axis, but of it only what the second pass reads.
static bdpo_status two_passes(bdpo_image *out, const bdpo_image *in, const target *t, const axis *x,
                              const axis *y)
{
    bdpo_image between;
    bdpo_status status;
    if (goes_down_first(in, t)) {
        TRY(resize_down(&between, in, x->taps, y, y->taps.from));
        status = resize_across(out, &between, (span){0, y->n_out}, x, 0);
    } else {
        TRY(resize_across(&between, in, y->taps, x, x->taps.from));
        status = resize_down(out, &between, (span){0, x->n_out}, y, 0);
    }
    bdpo_image_release(&between);
    return status;
}

static bdpo_status resize_smooth(bdpo_image *out, const bdpo_image *in, const target *t)
{
    axis x = {0}, y = {0};
    bool across_needed = t->width != in->width, down_needed = t->height != in->height;
    bool wide = in->mode == BDPO_IMAGE_GREY_16;
    bdpo_status status = BDPO_OK;
    if (across_needed) status = axis_init(&x, in->width, t->width, t->columns, t->filter, wide);
    if (status == BDPO_OK && down_needed)
        status = axis_init(&y, in->height, t->height, t->rows, t->filter, wide);
    if (status == BDPO_OK && across_needed && down_needed)
        status = two_passes(out, in, t, &x, &y);
    else if (status == BDPO_OK)
        status = across_needed ? resize_across(out, in, t->rows, &x, x.taps.from)
                               : resize_down(out, in, t->columns, &y, y.taps.from);
    axis_release(&x);
    axis_release(&y);
    return status;
}

// ---- nearest -------------------------------------------------------------------------------

// Positions are summed up, but those of 16-bit samples are multiplied: the rounding is part of the
// result.
static void nearest_positions(int *out, span of, int n_out, int n_in, bool summed)
{
    double scale = (double)n_in / n_out, position = scale * 0.5;
    for (int i = 0; i < of.from; i++) position += scale;
    for (int i = 0; i < of.count; i++, position += scale) {
        double at = summed ? position : scale * (of.from + i + 0.5);
        out[i] = at < n_in ? (int)at : n_in - 1;
    }
}

static bdpo_status resize_nearest(bdpo_image *out, const bdpo_image *in, const target *t)
{
    int width = t->columns.count, height = t->rows.count;
    bool summed = in->mode != BDPO_IMAGE_GREY_16;
    TRY(bdpo_image_new(out, width, height, in->mode));
    int *xs = bdpo_alloc((size_t)width + (size_t)height, sizeof *xs);
    if (!xs) {
        bdpo_image_release(out);
        return bdpo_fail(BDPO_NO_MEMORY, "resizing: no memory for %d positions", width);
    }
    int *ys = xs + width;
    nearest_positions(xs, t->columns, t->width, in->width, summed);
    nearest_positions(ys, t->rows, t->height, in->height, summed);
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

static bdpo_status resize_alpha(bdpo_image *out, const bdpo_image *in, const target *t)
{
    bdpo_image premultiplied;
    TRY(copy(&premultiplied, in));
    premultiply(&premultiplied);
    bdpo_status status = resize_smooth(out, &premultiplied, t);
    bdpo_image_release(&premultiplied);
    if (status == BDPO_OK) unpremultiply(out);
    return status;
}

// ---- the calls -----------------------------------------------------------------------------

static bdpo_status resize(bdpo_image *out, const bdpo_image *image, const target *t)
{
    bool alpha = image->mode == BDPO_IMAGE_RGBA || image->mode == BDPO_IMAGE_GREY_ALPHA;
    bdpo_status status;
    *out = (bdpo_image){0};
    if (t->width == image->width && t->height == image->height)
        status = bdpo_image_crop(out, image, t->columns.from, t->rows.from, t->columns.count,
                                 t->rows.count);
    else if (t->filter == BDPO_FILTER_NEAREST || image->mode == BDPO_IMAGE_BILEVEL ||
             image->mode == BDPO_IMAGE_PALETTE)
        status = resize_nearest(out, image, t);
    else if (alpha)
        status = resize_alpha(out, image, t);
    else
        status = resize_smooth(out, image, t);
    if (status == BDPO_OK) out->orientation = image->orientation;
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
    bdpo_image_part whole = {.left = 0, .top = 0, .width = width, .height = height};
    return bdpo_image_resize_part(out, image, width, height, &whole, filter, order);
}

bdpo_status bdpo_image_resize_part(bdpo_image *out, const bdpo_image *image, int width, int height,
                                   const bdpo_image_part *part, bdpo_image_filter filter,
                                   bdpo_pillow_order order)
{
    *out = (bdpo_image){0};
    if (part->width < 1 || part->height < 1 || part->left < 0 || part->top < 0 ||
        part->width > width - part->left || part->height > height - part->top ||
        part->width > BDPO_IMAGE_MAX_SIDE || part->height > BDPO_IMAGE_MAX_SIDE)
        return bdpo_fail(BDPO_BAD_ARGUMENT, "resizing: %d x %d at (%d, %d) of a picture of %d x %d",
                         part->width, part->height, part->left, part->top, width, height);
    target t = {.width = width,
                .height = height,
                .columns = {part->left, part->width},
                .rows = {part->top, part->height},
                .filter = filter,
                .order = order};
    return resize(out, image, &t);
}

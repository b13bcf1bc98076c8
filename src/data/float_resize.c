// The weights are found in f32 where PyTorch finds them in f32: a window's end is a truncated
// number, and a last bit may move it.
//
//     scale = n_in / n_out (f32), both ways
//     antialias:  center = (x + 1/2) scale, support = 2 max(scale, 1), taps from
//                 trunc(center - support + 1/2) to trunc(center + support + 1/2),
//                 w_i = cubic((i - center + 1/2) / max(scale, 1)), divided by their sum
//     without:    at = (x + 1/2) scale - 1/2, taps floor(at) - 1 .. + 2, kept within the picture,
//                 w_i = cubic(i - at)
#include "data/float_resize.h"

#include <math.h>
#include <string.h>

#include "base/memory.h"

// ---- weights -----------------------------------------------------------------------------------

static float cubic_near(float x, float a) // |x| <= 1
{
    return ((a + 2) * x - (a + 3)) * x * x + 1;
}

static float cubic_far(float x, float a) // 1 <= |x| <= 2
{
    return ((a * x - 5 * a) * x + 8 * a) * x - 4 * a;
}

static float smooth(float x)
{
    x = fabsf(x);
    return x < 1 ? cubic_near(x, -0.5F) : x < 2 ? cubic_far(x, -0.5F) : 0;
}

// For each output pixel its taps: positions and weights.
typedef struct axis {
    int n_in, n_out, most; // most: the stride of `at` and `weights`
    int *count, *at;
    float *weights;
} axis;

static void axis_release(axis *a)
{
    bdpo_free(a->count);
    bdpo_free(a->at);
    bdpo_free(a->weights);
}

static void weigh_smoothly(axis *a, int x, float scale)
{
    int *at = a->at + (size_t)x * (size_t)a->most;
    float *w = a->weights + (size_t)x * (size_t)a->most;
    float stretch = scale >= 1 ? scale : 1, support = 2 * stretch, sum = 0;
    float center = (float)((double)scale * (x + 0.5)), inverse = 1 / stretch;
    int from = (int)((double)(center - support) + 0.5),
        to = (int)((double)(center + support) + 0.5);
    if (from < 0) from = 0;
    if (to > a->n_in) to = a->n_in;
    int n = to - from < a->most ? to - from : a->most;
    for (int i = 0; i < n; i++) {
        at[i] = from + i;
        w[i] = smooth((float)(((double)((float)(i + from) - center) + 0.5) * (double)inverse));
        sum += w[i];
    }
    for (int i = 0; i < n; i++) w[i] = sum != 0 ? w[i] / sum : w[i];
    a->count[x] = n;
}

static void weigh_plainly(axis *a, int x, float scale)
{
    enum { TAPS = 4 };
    int *at = a->at + (size_t)x * (size_t)a->most;
    float *w = a->weights + (size_t)x * (size_t)a->most;
    float real = fmaf(scale, (float)x + 0.5F, -0.5F); // as PyTorch's compilers do
    int base = (int)floorf(real);
    if (base > a->n_in - 1) base = a->n_in - 1;
    float t = real - (float)base;
    t = t < 0 ? 0 : t > 1 ? 1 : t;
    w[0] = cubic_far(t + 1, -0.75F);
    w[1] = cubic_near(t, -0.75F);
    w[2] = cubic_near(1 - t, -0.75F);
    w[3] = cubic_far(2 - t, -0.75F);
    for (int i = 0; i < TAPS; i++) {
        int tap = base - 1 + i;
        at[i] = tap < 0 ? 0 : tap >= a->n_in ? a->n_in - 1 : tap;
    }
    a->count[x] = TAPS;
}

static bdpo_status axis_init(axis *a, int n_in, int n_out, bool antialias)
{
    float scale = (float)n_in / (float)n_out;
    int support = antialias && scale > 1 ? (int)ceilf(2 * scale) : 2;
    *a = (axis){.n_in = n_in, .n_out = n_out, .most = 2 * support + 1};
    size_t count = (size_t)n_out * (size_t)a->most;
    a->count = bdpo_alloc((size_t)n_out, sizeof *a->count);
    a->at = bdpo_alloc(count, sizeof *a->at);
    a->weights = bdpo_alloc(count, sizeof *a->weights);
    if (!a->count || !a->at || !a->weights) {
        axis_release(a);
        return bdpo_fail(BDPO_NO_MEMORY, "resizing: no memory for %zu weights", count);
    }
    for (int x = 0; x < n_out; x++)
        if (antialias)
            weigh_smoothly(a, x, scale);
        else
            weigh_plainly(a, x, scale);
    return BDPO_OK;
}

// ---- the two passes ----------------------------------------------------------------------------

enum { CHANNELS = 3 };

static void row_across(float *out, const float *in, const axis *a)
{
    for (int x = 0; x < a->n_out; x++) {
        const int *at = a->at + (size_t)x * (size_t)a->most;
        const float *w = a->weights + (size_t)x * (size_t)a->most;
        float sum[CHANNELS] = {0};
        for (int i = 0; i < a->count[x]; i++)
            for (int c = 0; c < CHANNELS; c++) sum[c] += w[i] * in[at[i] * CHANNELS + c];
        memcpy(out + (size_t)x * CHANNELS, sum, sizeof sum);
    }
}

static void row_down(float *out, const float *in, size_t n, const axis *a, int y)
{
    const int *at = a->at + (size_t)y * (size_t)a->most;
    const float *w = a->weights + (size_t)y * (size_t)a->most;
    memset(out, 0, n * sizeof *out);
    for (int i = 0; i < a->count[y]; i++) {
        const float *row = in + (size_t)at[i] * n;
        for (size_t j = 0; j < n; j++) out[j] += w[i] * row[j];
    }
}

static void resize(float *out, const bdpo_image *rgb, const axis *x, const axis *y, float *row,
                   float *between)
{
    float level[256];
    size_t n_in = (size_t)rgb->width * CHANNELS, n = (size_t)x->n_out * CHANNELS;
    for (int i = 0; i < 256; i++) level[i] = (float)i / 255;
    for (int i = 0; i < rgb->height; i++) {
        const uint8_t *bytes = rgb->pixels + (size_t)i * n_in;
        for (size_t j = 0; j < n_in; j++) row[j] = level[bytes[j]];
        row_across(between + (size_t)i * n, row, x);
    }
    for (int i = 0; i < y->n_out; i++) row_down(out + (size_t)i * n, between, n, y, i);
}

bdpo_status bdpo_float_resize(float *out, const bdpo_image *rgb, int width, int height,
                              bool antialias)
{
    axis x, y;
    BDPO_ASSERT(rgb->channels == CHANNELS && width > 0 && height > 0);
    TRY(axis_init(&x, rgb->width, width, antialias));
    bdpo_status status = axis_init(&y, rgb->height, height, antialias);
    if (status == BDPO_OK) {
        float *row = bdpo_alloc((size_t)rgb->width, CHANNELS * sizeof *row);
        float *between = bdpo_alloc((size_t)rgb->height * (size_t)width, CHANNELS * sizeof *row);
        if (row && between)
            resize(out, rgb, &x, &y, row, between);
        else
            status = bdpo_fail(BDPO_NO_MEMORY, "resizing: no memory for %d x %d numbers", width,
                               rgb->height);
        bdpo_free(row);
        bdpo_free(between);
        axis_release(&y);
    }
    axis_release(&x);
    return status;
}

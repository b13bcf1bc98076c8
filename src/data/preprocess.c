// The kinds of preprocessing: which picture is resized to what, which part is taken, and how a byte
// becomes a number.
#include "data/preprocess.h"

#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "data/float_resize.h"

enum { CHANNELS = 3, LEVELS = 256 };

// ---- names and settings ------------------------------------------------------------------------

static const char *const kind_names[] = {
    [BDPO_PREPROCESS_CLIP_IMAGE_PROCESSOR] = "clip-image-processor",
    [BDPO_PREPROCESS_TORCHVISION] = "torchvision",
    [BDPO_PREPROCESS_HPS] = "hps",
};

const char *bdpo_preprocess_kind_name(bdpo_preprocess_kind kind)
{
    return kind_names[kind];
}

bdpo_status bdpo_preprocess_kind_parse(bdpo_preprocess_kind *out, const char *name)
{
    for (int i = 0; i < BDPO_PREPROCESS_N_KINDS; i++) {
        if (strcmp(name, kind_names[i]) != 0) continue;
        *out = (bdpo_preprocess_kind)i;
        return BDPO_OK;
    }
    return bdpo_fail(BDPO_BAD_ARGUMENT,
                     "\"%s\" is no preprocessing that we know: clip-image-processor, torchvision "
                     "or hps",
                     name);
}

bdpo_preprocess bdpo_preprocess_default(bdpo_preprocess_kind kind)
{
    return (bdpo_preprocess){.kind = kind,
                             .size = 224,
                             .mean = {0.48145466F, 0.4578275F, 0.40821073F},
                             .std = {0.26862954F, 0.26130258F, 0.27577711F},
                             .order = BDPO_PILLOW_13};
}

// Fields that change nothing for the kind do not count.
bool bdpo_preprocess_equal(const bdpo_preprocess *a, const bdpo_preprocess *b)
{
    bool bytes = a->kind != BDPO_PREPROCESS_HPS;
    bool white = a->kind == BDPO_PREPROCESS_CLIP_IMAGE_PROCESSOR;
    return a->kind == b->kind && a->size == b->size && !memcmp(a->mean, b->mean, sizeof a->mean) &&
           !memcmp(a->std, b->std, sizeof a->std) && a->apply_orientation == b->apply_orientation &&
           (bytes ? a->order == b->order : a->no_antialias == b->no_antialias) &&
           (!white || a->alpha_on_white == b->alpha_on_white);
}

size_t bdpo_preprocess_count(const bdpo_preprocess *p)
{
    return (size_t)p->size * (size_t)p->size * CHANNELS;
}

// ---- the picture -------------------------------------------------------------------------------

// A picture that is either the caller's or a changed copy.
typedef struct source {
    const bdpo_image *image;
    bdpo_image copy;
} source;

static bdpo_status copy_once(source *s)
{
    if (s->image == &s->copy) return BDPO_OK;
    TRY(bdpo_image_crop(&s->copy, s->image, 0, 0, s->image->width, s->image->height));
    s->image = &s->copy;
    return BDPO_OK;
}

static bdpo_status turn(source *s)
{
    if (s->image->orientation <= 1) return BDPO_OK;
    TRY(copy_once(s));
    return bdpo_image_apply_orientation(&s->copy);
}

static bdpo_status make_rgb(source *s)
{
    if (s->image->mode == BDPO_IMAGE_RGB) return BDPO_OK;
    TRY(copy_once(s));
    return bdpo_image_to_rgb(&s->copy);
}

// Pillow's alpha_composite() on opaque white: the weights of the picture and of white have seven
// bits more than a byte.
static uint8_t on_white(int level, int alpha)
{
    uint32_t most = 255 << 7, own = (uint32_t)alpha * most / 255;
    uint32_t sum = (uint32_t)level * own + 255 * (most - own) + (0x80 << 7);
    return (uint8_t)(((sum >> 8) + sum) >> 8 >> 7);
}

static bdpo_status lay_on_white(source *s)
{
    int n = s->image->channels;
    if (s->image->mode != BDPO_IMAGE_RGBA && s->image->mode != BDPO_IMAGE_GREY_ALPHA)
        return BDPO_OK;
    TRY(copy_once(s));
    uint8_t *end = s->copy.pixels + bdpo_image_bytes(&s->copy);
    for (uint8_t *p = s->copy.pixels; p < end; p += n)
        for (int c = 0; c < n - 1; c++) p[c] = on_white(p[c], p[n - 1]);
    return BDPO_OK;
}

// ---- on bytes ----------------------------------------------------------------------------------

static int half_down(int x)
{
    return x / 2;
}

static int half_to_even(int x)
{
    return (int)rint(x / 2.0); // the rounding mode is the default
}

// The size after the shortest edge became `size`, and the part in its centre.
static void place(int *width, int *height, bdpo_image_part *part, const bdpo_preprocess *p,
                  const bdpo_image *image)
{
    bool upright = image->width <= image->height;
    int shortest = upright ? image->width : image->height;
    int longest = upright ? image->height : image->width;
    int scaled = (int)((double)((int64_t)p->size * longest) / shortest);
    *width = upright ? p->size : scaled;
    *height = upright ? scaled : p->size;
    int (*half)(int) = p->kind == BDPO_PREPROCESS_TORCHVISION ? half_to_even : half_down;
    *part = (bdpo_image_part){.left = half(*width - p->size),
                              .top = half(*height - p->size),
                              .width = p->size,
                              .height = p->size};
}

static bdpo_status run_on_bytes(bdpo_image *out, const bdpo_preprocess *p, source *s)
{
    int width, height;
    bdpo_image_part part;
    if (p->apply_orientation) TRY(turn(s));
    if (p->kind == BDPO_PREPROCESS_CLIP_IMAGE_PROCESSOR) {
        if (p->alpha_on_white) TRY(lay_on_white(s));
        TRY(make_rgb(s));
    }
    place(&width, &height, &part, p, s->image);
    TRY(bdpo_image_resize_part(out, s->image, width, height, &part, BDPO_FILTER_BICUBIC, p->order));
    bdpo_status status = bdpo_image_to_rgb(out);
    if (status != BDPO_OK) bdpo_image_release(out);
    return status;
}

static bdpo_status named(bdpo_status status, const char *name)
{
    return status == BDPO_OK ? BDPO_OK : bdpo_fail(status, "%s: %s", name, bdpo_message());
}

bdpo_status bdpo_preprocess_bytes(bdpo_image *out, const bdpo_preprocess *p,
                                  const bdpo_image *image, const char *name)
{
    BDPO_ASSERT(p->kind != BDPO_PREPROCESS_HPS);
    source s = {.image = image};
    *out = (bdpo_image){0};
    bdpo_status status = run_on_bytes(out, p, &s);
    bdpo_image_release(&s.copy);
    return named(status, name);
}

// transformers rescales in f64, torchvision divides in f32: the last bit may differ.
static float unit(const bdpo_preprocess *p, int byte)
{
    return p->kind == BDPO_PREPROCESS_CLIP_IMAGE_PROCESSOR ? (float)(byte * (1.0 / 255))
                                                           : (float)byte / 255;
}

static void normalise_bytes(float *out, const bdpo_preprocess *p, const bdpo_image *rgb)
{
    float table[LEVELS][CHANNELS];
    size_t n = (size_t)rgb->width * (size_t)rgb->height;
    for (int i = 0; i < LEVELS; i++)
        for (int c = 0; c < CHANNELS; c++) table[i][c] = (unit(p, i) - p->mean[c]) / p->std[c];
    for (size_t i = 0; i < n; i++)
        for (int c = 0; c < CHANNELS; c++)
            out[CHANNELS * i + (size_t)c] = table[rgb->pixels[CHANNELS * i + (size_t)c]][c];
}

// ---- on floats ---------------------------------------------------------------------------------

// Sides after the longest became `size`. A picture that has that size already is only padded.
static bdpo_status fit(int *width, int *height, const bdpo_preprocess *p, const bdpo_image *image)
{
    int longest = image->width > image->height ? image->width : image->height;
    double scale = p->size / (double)longest;
    *width = (int)rint(image->width * scale);
    *height = (int)rint(image->height * scale);
    if (*width >= 1 && *height >= 1) return BDPO_OK;
    return bdpo_fail(BDPO_UNSUPPORTED,
                     "a picture of %d x %d would be %d x %d pixels after resizing its longest "
                     "side to %d: nothing is left of it",
                     image->width, image->height, *width, *height, p->size);
}

static void normalise_floats(float *out, const bdpo_preprocess *p, const float *in, int width,
                             int height)
{
    int left = (p->size - width) / 2, top = (p->size - height) / 2;
    for (int y = 0; y < p->size; y++)
        for (int x = 0; x < p->size; x++, out += CHANNELS) {
            bool inside = y >= top && y < top + height && x >= left && x < left + width;
            const float *from =
                inside ? in + ((size_t)(y - top) * (size_t)width + (size_t)(x - left)) * CHANNELS
                       : NULL;
            for (int c = 0; c < CHANNELS; c++)
                out[c] = ((from ? from[c] : 0) - p->mean[c]) / p->std[c];
        }
}

static void bytes_to_units(float *out, const bdpo_image *rgb)
{
    size_t n = bdpo_image_bytes(rgb);
    for (size_t i = 0; i < n; i++) out[i] = (float)rgb->pixels[i] / 255;
}

static bdpo_status run_on_floats(float *out, const bdpo_preprocess *p, source *s)
{
    int width, height;
    if (p->apply_orientation) TRY(turn(s));
    TRY(make_rgb(s));
    TRY(fit(&width, &height, p, s->image));
    float *resized = bdpo_alloc((size_t)width * (size_t)height, CHANNELS * sizeof *resized);
    if (!resized) return bdpo_fail(BDPO_NO_MEMORY, "no memory for %d x %d pixels", width, height);
    bdpo_status status = BDPO_OK;
    if (width == s->image->width && height == s->image->height)
        bytes_to_units(resized, s->image);
    else
        status = bdpo_float_resize(resized, s->image, width, height, !p->no_antialias);
    if (status == BDPO_OK) normalise_floats(out, p, resized, width, height);
    bdpo_free(resized);
    return status;
}

bdpo_status bdpo_preprocess_run(float *out, const bdpo_preprocess *p, const bdpo_image *image,
                                const char *name)
{
    source s = {.image = image};
    bdpo_image bytes = {0};
    bdpo_status status;
    if (p->kind == BDPO_PREPROCESS_HPS) {
        status = run_on_floats(out, p, &s);
    } else {
        status = run_on_bytes(&bytes, p, &s);
        if (status == BDPO_OK) normalise_bytes(out, p, &bytes);
    }
    bdpo_image_release(&bytes);
    bdpo_image_release(&s.copy);
    return named(status, name);
}

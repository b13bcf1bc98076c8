// From a decoded picture to what an image tower takes: f32 [size, size, 3], channels last,
// normalised. Each kind is one library's way; they differ in the order of the steps, in what is
// resized (bytes or floats) and in how halves are rounded.
#ifndef BDPO_PREPROCESS_H
#define BDPO_PREPROCESS_H

#include "formats/image_resize.h"

typedef enum bdpo_preprocess_kind {
    // transformers' CLIPImageProcessor on PIL: RGB, shortest edge to `size` (the other truncated),
    // bicubic on bytes, centre crop rounded down, times 1/255 in f64, normalised.
    BDPO_PREPROCESS_CLIP_IMAGE_PROCESSOR,
    // torchvision on PIL, of OpenAI's CLIP, open_clip, BLIP and ImageReward: the same, but resized
    // in the picture's own mode, centre crop rounded half to even, RGB last, / 255 in f32.
    BDPO_PREPROCESS_TORCHVISION,
    // HPSv2 and Diffusion-DPO's CLIP score: RGB, / 255, longest edge to `size` by bicubic on
    // floats, sides rounded half to even, zeros around, normalised (so that the margin is black).
    BDPO_PREPROCESS_HPS,
    BDPO_PREPROCESS_N_KINDS
} bdpo_preprocess_kind;

// "clip-image-processor", "torchvision", "hps".
const char *bdpo_preprocess_kind_name(bdpo_preprocess_kind kind);
// BDPO_BAD_ARGUMENT for another word; the sentence lists the three.
BDPO_MUST_CHECK bdpo_status bdpo_preprocess_kind_parse(bdpo_preprocess_kind *out, const char *name);

typedef struct bdpo_preprocess {
    bdpo_preprocess_kind kind;
    int size; // of a side, 1 to BDPO_PREPROCESS_MAX_SIZE
    float mean[3], std[3];
    bool no_antialias;       // hps only: torchvision's default before 0.17
    bdpo_pillow_order order; // the two kinds on bytes
    bool alpha_on_white;     // clip-image-processor only: a picture with alpha is laid on white, as
                             // transformers 5 does; else alpha is dropped, as 4 did
    bool apply_orientation;  // of EXIF; no reference does
} bdpo_preprocess;

enum { BDPO_PREPROCESS_MAX_SIZE = 4096 };

// 224 and CLIP's means and deviations; antialias, Pillow 13, alpha dropped, EXIF not applied.
bdpo_preprocess bdpo_preprocess_default(bdpo_preprocess_kind kind);
// The same pixels of every picture.
bool bdpo_preprocess_equal(const bdpo_preprocess *a, const bdpo_preprocess *b);
// Floats of one picture's pixels.
size_t bdpo_preprocess_count(const bdpo_preprocess *p);

// out[bdpo_preprocess_count(p)]. `image` stays as it is; `name` stands in messages.
// BDPO_UNSUPPORTED for hps where a side of the picture rounds to 0; NO_MEMORY. May be called by
// several threads.
BDPO_MUST_CHECK bdpo_status bdpo_preprocess_run(float *out, const bdpo_preprocess *p,
                                                const bdpo_image *image, const char *name);

// The last step on bytes of the two kinds that have one: RGB, size x size. *out is the caller's.
BDPO_MUST_CHECK bdpo_status bdpo_preprocess_bytes(bdpo_image *out, const bdpo_preprocess *p,
                                                  const bdpo_image *image, const char *name);

#endif

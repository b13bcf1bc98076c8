// Resizing by bicubic on floats, as PyTorch's interpolate() does it on tensors: no rounding to
// bytes between the passes and no clamping, so that values may leave the picture's range.
#ifndef BDPO_FLOAT_RESIZE_H
#define BDPO_FLOAT_RESIZE_H

#include "formats/image.h"

// out [height, width, 3] of an RGB picture's bytes / 255. With `antialias` the windows widen with
// the scale and a is -1/2, as torchvision since 0.17; without, four taps and a = -3/4, as before.
// Weights are f32, each sum goes from left to right and from top to bottom, across first.
BDPO_MUST_CHECK bdpo_status bdpo_float_resize(float *out, const bdpo_image *rgb, int width,
                                              int height, bool antialias);

#endif

// Resizing as Pillow does it on 8-bit pixels, to the byte.
#ifndef BDPO_IMAGE_RESIZE_H
#define BDPO_IMAGE_RESIZE_H

#include "formats/image.h"

typedef enum bdpo_image_filter {
    BDPO_FILTER_NEAREST,
    BDPO_FILTER_BOX,
    BDPO_FILTER_BILINEAR,
    BDPO_FILTER_HAMMING,
    BDPO_FILTER_BICUBIC, // a = -1/2
    BDPO_FILTER_LANCZOS, // three lobes
} bdpo_image_filter;

// image.resize((width, height), filter): *out is the caller's and keeps mode and orientation.
// Bilevel and palette pictures are resized by nearest whatever the filter, pictures with alpha
// are premultiplied for it. BDPO_BAD_ARGUMENT for sizes that no picture may have.
BDPO_MUST_CHECK bdpo_status bdpo_image_resize(bdpo_image *out, const bdpo_image *image, int width,
                                              int height, bdpo_image_filter filter);

#endif

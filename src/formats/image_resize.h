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

// Which axis goes first when both change. The rounding between the two passes shows: up to one
// level, where a picture more than twice as high as wide shrinks.
typedef enum bdpo_pillow_order {
    BDPO_PILLOW_13, // down first where the height loses more than twice what the width loses
    BDPO_PILLOW_12, // across first, unless the height shrinks and is above 100 widths
} bdpo_pillow_order;

// image.resize((width, height), filter) of Pillow 13: *out is the caller's and keeps mode and
// orientation; on failure it is empty. Bilevel and palette pictures are resized by nearest whatever
// the filter, pictures with alpha are premultiplied for it. BDPO_BAD_ARGUMENT for sizes that no
// picture may have.
BDPO_MUST_CHECK bdpo_status bdpo_image_resize(bdpo_image *out, const bdpo_image *image, int width,
                                              int height, bdpo_image_filter filter);
// As that of Pillow 12, with which most published scores were made, or as `order` says.
BDPO_MUST_CHECK bdpo_status bdpo_image_resize_in_order(bdpo_image *out, const bdpo_image *image,
                                                       int width, int height,
                                                       bdpo_image_filter filter,
                                                       bdpo_pillow_order order);

// The part of that at (left, top), which must lie in it: the bytes of resizing and cropping, but
// only the part is computed, and the whole may be larger than a picture may be.
typedef struct bdpo_image_part {
    int left, top, width, height;
} bdpo_image_part;
BDPO_MUST_CHECK bdpo_status bdpo_image_resize_part(bdpo_image *out, const bdpo_image *image,
                                                   int width, int height,
                                                   const bdpo_image_part *part,
                                                   bdpo_image_filter filter,
                                                   bdpo_pillow_order order);

#endif

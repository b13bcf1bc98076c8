// Pillow's resampling filters, of the distance from an output pixel's centre.
#ifndef BDPO_IMAGE_FILTER_H
#define BDPO_IMAGE_FILTER_H

#include "formats/image_resize.h"

// Not for nearest, which weighs nothing.
double bdpo_filter_at(bdpo_image_filter filter, double x);
// Beyond this distance the filter is 0.
double bdpo_filter_support(bdpo_image_filter filter);

#endif

// Many pictures of one size on one sheet, for previews.
#ifndef BDPO_IMAGE_GRID_H
#define BDPO_IMAGE_GRID_H

#include "formats/image.h"

// Lays n_images RGB pictures of equal size out row by row, n_columns in a row, with `margin` pixels
// of white between and around them; a last row that is not full ends in white. *out is the
// caller's. BDPO_BAD_ARGUMENT names the picture that differs from the first.
BDPO_MUST_CHECK bdpo_status bdpo_image_grid(bdpo_image *out, const bdpo_image *images, int n_images,
                                            int n_columns, int margin);

#endif

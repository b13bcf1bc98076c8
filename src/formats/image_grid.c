// Rows of pictures are copied line by line onto white.
#include "formats/image_grid.h"

#include <string.h>

// n pictures of `side` with a margin around each; negative where it is too long for a picture.
static int sheet_side(int64_t n, int64_t side, int64_t margin)
{
    int64_t total = n * side + (n + 1) * margin;
    return total <= BDPO_IMAGE_MAX_SIDE ? (int)total : -1;
}

static bdpo_status check(const bdpo_image *images, int n_images, int n_columns, int margin)
{
    if (n_images < 1 || n_columns < 1 || margin < 0 || margin > BDPO_IMAGE_MAX_SIDE)
        return bdpo_fail(BDPO_BAD_ARGUMENT,
                         "grid of %d pictures in %d columns with margin %d: each must be positive, "
                         "the margin 0 to %d",
                         n_images, n_columns, margin, BDPO_IMAGE_MAX_SIDE);
    for (int i = 0; i < n_images; i++)
        if (images[i].mode != BDPO_IMAGE_RGB || images[i].width != images[0].width ||
            images[i].height != images[0].height)
            return bdpo_fail(BDPO_BAD_ARGUMENT,
                             "grid: picture %d is %s %d x %d, expected RGB %d x %d as the first", i,
                             bdpo_image_mode_name(images[i].mode), images[i].width,
                             images[i].height, images[0].width, images[0].height);
    return BDPO_OK;
}

bdpo_status bdpo_image_grid(bdpo_image *out, const bdpo_image *images, int n_images, int n_columns,
                            int margin)
{
    *out = (bdpo_image){0};
    TRY(check(images, n_images, n_columns, margin));
    if (n_columns > n_images) n_columns = n_images;
    int n_rows = (int)(((int64_t)n_images + n_columns - 1) / n_columns);
    int w = images[0].width, h = images[0].height;
    TRY(bdpo_image_new(out, sheet_side(n_columns, w, margin), sheet_side(n_rows, h, margin),
                       BDPO_IMAGE_RGB));
    memset(out->pixels, 255, bdpo_image_bytes(out));
    for (int i = 0; i < n_images; i++) {
        size_t column = (size_t)(i % n_columns), row = (size_t)(i / n_columns);
        size_t gap = (size_t)margin, left = gap + column * ((size_t)w + gap),
               top = gap + row * ((size_t)h + gap);
        for (size_t y = 0; y < (size_t)h; y++)
            memcpy(out->pixels + 3 * ((top + y) * (size_t)out->width + left),
                   images[i].pixels + 3 * y * (size_t)w, 3 * (size_t)w);
    }
    return BDPO_OK;
}

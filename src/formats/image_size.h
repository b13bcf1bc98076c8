// How large a picture is, as the header of its file says: nothing is decoded.
#ifndef BDPO_IMAGE_SIZE_H
#define BDPO_IMAGE_SIZE_H

#include "base/status.h"

// Of a PNG, JPEG or WebP. BDPO_BAD_FILE or BDPO_UNSUPPORTED, with `name`, where there is no such
// header; a file whose header is sound may still not decode.
BDPO_MUST_CHECK bdpo_status bdpo_image_size(int *width, int *height, const void *data, size_t size,
                                            const char *name);

#endif

// A block of bytes that grows at its end: what an encoder writes to.
#ifndef BDPO_GROWING_H
#define BDPO_GROWING_H

#include "base/status.h"

typedef struct bdpo_growing { // all zero: empty
    uint8_t *data;            // released by bdpo_free()
    size_t size, capacity;
} bdpo_growing;

// False where there is no memory; the block then stays as it was.
BDPO_MUST_CHECK bool bdpo_growing_add(bdpo_growing *block, const void *data, size_t size);
BDPO_MUST_CHECK bool bdpo_growing_add_text(bdpo_growing *block,
                                           const char *text); // without its end

#endif

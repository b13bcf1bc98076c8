// Addressing of feature maps [n, h, w, c] for the operators that change h and w.
#ifndef BDPO_FEATURE_MAP_H
#define BDPO_FEATURE_MAP_H

#include "graph/op.h"

// The channels of one position.
static inline float *bdpo_pixel(const bdpo_tensor *map, int64_t n, int64_t y, int64_t x)
{
    const int64_t *d = map->shape.dim;
    return (float *)map->data + ((n * d[1] + y) * d[2] + x) * map->row_stride;
}

// The same in a dense array of doubles, for references.
static inline int64_t bdpo_pixel_index(const bdpo_shape *map, int64_t n, int64_t y, int64_t x)
{
    const int64_t *d = map->dim;
    return ((n * d[1] + y) * d[2] + x) * d[3];
}

#endif

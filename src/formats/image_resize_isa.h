// The inner loops of resizing, compiled per instruction set.
#ifndef BDPO_IMAGE_RESIZE_ISA_H
#define BDPO_IMAGE_RESIZE_ISA_H

#include <stddef.h>
#include <stdint.h>

enum {
    BDPO_RESIZE_BITS = 22,  // fraction of a weight
    BDPO_RESIZE_STRIP = 16, // rows that the horizontal pass takes together
};

typedef struct bdpo_resize_table {
    // out[i] = clamp((half + sum over t of weights[t] * in[t * stride + i]) >> BDPO_RESIZE_BITS)
    // for i < n, in wrapping 32-bit numbers; half is half a unit of the result.
    void (*weigh)(uint8_t *out, const uint8_t *in, size_t stride, size_t n, const int32_t *weights,
                  int n_weights);
    // out[16 * i + r] = in[r * stride + i] for i < n and r < 16, and the way back.
    void (*gather_strip)(uint8_t *out, const uint8_t *in, size_t stride, size_t n);
    void (*scatter_strip)(uint8_t *out, size_t stride, const uint8_t *in, size_t n);
} bdpo_resize_table;

#endif

// The normalisations of one instruction set: single-threaded, over one block of rows.
#ifndef BDPO_NORM_ISA_H
#define BDPO_NORM_ISA_H

#include "kernels/norm.h"

// What a channel of one sample needs, each [c]. The normalised value before the SiLU is
// z = (x - mean) * gain + offset.
typedef struct bdpo_group_norm_channels {
    const float *mean, *gain; // mean of the channel's group; gamma * rstd
    const float *offset;      // beta
    const float *k0, *k1;     // dx = dz * gain + (x - mean) * k1 + k0
} bdpo_group_norm_channels;

// Mean and sum of squared deviations of some values.
typedef struct bdpo_moments {
    double mean, square;
} bdpo_moments;

// The gradient of layer norm over a block of rows.
typedef struct bdpo_layer_norm_grad {
    float *sum, *product; // [cols], written: of dy, of dy * xhat; or both NULL
    float *dx;            // or NULL; may be dy
    const float *dy, *x, *stats;
    const float *gamma; // NULL: ones
    int64_t lddx, lddy, ldx;
    bool accumulate; // dx +=
} bdpo_layer_norm_grad;

typedef struct bdpo_norm_table {
    // Per channel, about the block's first row x0: sum[c] of (x - x0), square[c] of its square.
    void (*channel_moments)(float *sum, float *square, const float *x, int64_t ldx, int64_t rows,
                            int64_t c);
    // Of each group in a block of rows, from the sums that channel_moments gives about its row x0.
    void (*group_moments)(bdpo_moments *out, const float *x0, const float *sum, const float *square,
                          int64_t groups, int64_t channels, int64_t rows);
    void (*group_apply)(float *y, int64_t ldy, const float *x, int64_t ldx,
                        const bdpo_group_norm_channels *k, int64_t rows, int64_t c, bool silu);
    // sum[c] of dz and product[c] of dz * (x - mean); dz = dy, or dy * silu'(z). With silu, dz is
    // kept where it is not NULL; it may be dy.
    void (*group_grad_sums)(float *sum, float *product, float *dz, int64_t lddz, const float *dy,
                            int64_t lddy, const float *x, int64_t ldx,
                            const bdpo_group_norm_channels *k, int64_t rows, int64_t c, bool silu);
    void (*group_grad_apply)(float *dx, int64_t lddx, const float *dy, int64_t lddy, const float *x,
                             int64_t ldx, const bdpo_group_norm_channels *k, int64_t rows,
                             int64_t c, bool silu, bool accumulate);

    void (*layer_norm)(float *y, int64_t ldy, float *stats, const float *x, int64_t ldx,
                       const float *gamma, const float *beta, int64_t rows, int64_t cols,
                       float eps);
    void (*layer_norm_grad)(const bdpo_layer_norm_grad *call, int64_t rows, int64_t cols);

    double (*dot)(const float *a, const float *b, int64_t cols);
    // y = alpha * a + beta * b, added to y where asked; b is not read where beta is 0.
    void (*combine)(float *y, float alpha, const float *a, float beta, const float *b, int64_t cols,
                    bool accumulate);
} bdpo_norm_table;

#endif

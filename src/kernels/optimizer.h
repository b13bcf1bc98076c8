// One step of AdamW over flat memory, with f32 or 8-bit moments. Every element (8-bit: block) is
// computed alone, so the bits do not depend on the number of threads.
#ifndef BDPO_OPTIMIZER_H
#define BDPO_OPTIMIZER_H

#include <bdpo/types.h>

// The numbers of one step, from its settings and its number t = 1, 2, ..:
//
//   g' = clip g;  m = beta1 m + (1 - beta1) g';  v = beta2 v + (1 - beta2) g'^2
//   p = p (1 - lr decay) - lr / (1 - beta1^t) * m / (sqrt(v) / sqrt(1 - beta2^t) + eps)
typedef struct bdpo_adamw_step {
    float clip;
    float beta1, rest1; // rest = 1 - beta, from double
    float beta2, rest2;
    float keep; // 1 - lr decay
    float size; // lr / (1 - beta1^t)
    float root; // sqrt(1 - beta2^t)
    float eps;
} bdpo_adamw_step;

bdpo_adamw_step bdpo_adamw_step_of(double lr, double t, double clip, double beta1, double beta2,
                                   double eps, double decay);

// shadow: NULL, or bf16 memory that receives the new parameters, rounded to nearest even.
void bdpo_adamw_update(float *param, const float *grad, float *m, float *v, uint16_t *shadow,
                       int64_t count, const bdpo_adamw_step *step, int n_threads);

// ---- 8-bit moments -----------------------------------------------------------------------------

enum { BDPO_QUANT_BLOCK = 256 };

// The dynamic map of bitsandbytes: 256 levels in ascending order, from -0.993 to 1 (signed) or 0
// to 1. Seven decades, the k-th from the top cut into 64 >> k equal parts a sign (unsigned: 128 >>
// k) whose centres are levels; and 0 and 1.
//
// A number is found by its upper 16 bits: they cut each octave into 128 bins, none of which holds
// two bounds. `below` tells how many bounds lie under the bin; bins reach from 2^-24, below which
// there is no bound but 0's neighbours, to 1.
enum { BDPO_MAP_FIRST_BIN = (127 - 24) << 7, BDPO_MAP_BINS = (24 << 7) + 1 };
typedef struct bdpo_dynamic_map {
    float level[256];
    float bound[256]; // bound[i] lies halfway between levels i and i + 1; the last is infinite
    uint8_t below[2][BDPO_MAP_BINS]; // of positive and of negative numbers
} bdpo_dynamic_map;
void bdpo_dynamic_map_fill(bdpo_dynamic_map *map, bool is_signed);

// A block of 256 moments rests as its largest magnitude and a level for each, x = level absmax.
//
//   nearest  the level nearest to x / absmax, of two equally near ones the lower: bitsandbytes'
//            PyTorch and Triton code, and its CUDA kernels but for their exact ties and for a first
//            moment that would round to 0, which they give the sign it had
//   binned   the level nearest to x / absmax after that is rounded to a grid of 65536 points on
//            [-1, 1]: bitsandbytes' CPU library. Levels below 1.5e-5 become coarse.
//
// The step itself uses the moments before they are rounded again.
typedef struct bdpo_moments_8bit {
    uint8_t *m, *v; // codes, where the parameter's elements are
    float *m_absmax, *v_absmax;
} bdpo_moments_8bit;

// Which elements make a block: neighbours in the checkpoint's order. There a convolution lies
// [outer, channels, positions], in memory [outer, positions, channels]; all other tensors lie alike
// in both (positions 1).
typedef struct bdpo_block_order {
    int64_t count, positions, channels;
} bdpo_block_order;

void bdpo_adamw_update_8bit(float *param, const float *grad, const bdpo_moments_8bit *moments,
                            uint16_t *shadow, const bdpo_block_order *order,
                            const bdpo_adamw_step *step, bool binned, int n_threads);

#endif

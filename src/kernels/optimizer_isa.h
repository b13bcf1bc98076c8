// The optimiser kernels of one instruction set: single-threaded.
#ifndef BDPO_OPTIMIZER_ISA_H
#define BDPO_OPTIMIZER_ISA_H

#include "kernels/optimizer.h"

typedef struct bdpo_optimizer_table {
    void (*adamw)(float *param, const float *grad, float *m, float *v, int64_t count,
                  const bdpo_adamw_step *step);
    // x[i] = level of code[i] * absmax, and back; at most one block.
    void (*dequantize)(float *x, const uint8_t *code, float absmax, int count,
                       const bdpo_dynamic_map *map);
    float (*quantize)(uint8_t *code, const float *x, int count, const bdpo_dynamic_map *map,
                      bool binned);
} bdpo_optimizer_table;

#endif

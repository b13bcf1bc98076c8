// Deals the elements, or the blocks of 8-bit moments, to the threads and to the active instruction
// set; and the dynamic map.
#include "kernels/optimizer.h"

#include <math.h>

#include "kernels/elementwise.h"
#include "kernels/isa.h"
#include "kernels/optimizer_isa.h"
#include "kernels/parts.h"

BDPO_ISA_TABLE(bdpo_optimizer_table, bdpo_optimizer_table)

bdpo_adamw_step bdpo_adamw_step_of(double lr, double t, double clip, double beta1, double beta2,
                                   double eps, double decay)
{
    return (bdpo_adamw_step){
        .clip = (float)clip,
        .beta1 = (float)beta1,
        .rest1 = (float)(1 - beta1),
        .beta2 = (float)beta2,
        .rest2 = (float)(1 - beta2),
        .keep = (float)(1 - lr * decay),
        .size = (float)(lr / (1 - pow(beta1, t))),
        .root = (float)sqrt(1 - pow(beta2, t)),
        .eps = (float)eps,
    };
}

void bdpo_adamw_update(float *param, const float *grad, float *m, float *v, uint16_t *shadow,
                       int64_t count, const bdpo_adamw_step *step, int n_threads)
{
    int n = bdpo_threads_for(count, n_threads);
#pragma omp parallel for num_threads(n) schedule(static, 1) if (n > 1)
    for (int i = 0; i < n; i++) {
        bdpo_piece p = bdpo_piece_of(true, 1, count, i, n);
        for (int64_t at = p.col, end = p.col + p.cols; at < end;) {
            int64_t next = at + 4096 < end ? at + 4096 : end; // the shadow reads from cache
            table()->adamw(param + at, grad + at, m + at, v + at, next - at, step);
            if (shadow) bdpo_convert(shadow + at, BDPO_BF16, param + at, BDPO_F32, next - at, 1);
            at = next;
        }
    }
}

// ---- 8-bit moments -----------------------------------------------------------------------------

// Centre `i` of `n` equal parts of [0.1, 1], in the f32 roundings of PyTorch's linspace: from the
// nearer end, product and sum fused.
static float part_centre(int i, int n)
{
    float width = (1.0f - 0.1f) / (float)n, edge[2];
    for (int k = 0; k < 2; k++) {
        int at = i + k;
        bool low = at < (n + 1) / 2;
        edge[k] = low ? fmaf(width, (float)at, 0.1f) : fmaf(-width, (float)(n - at), 1.0f);
    }
    return (edge[0] + edge[1]) / 2.0f;
}

void bdpo_dynamic_map_fill(bdpo_dynamic_map *map, bool is_signed)
{
    static const float decade[] = {1e-6f, 1e-5f, 1e-4f, 1e-3f, 1e-2f, 1e-1f, 1.0f};
    float *positive = map->level + (is_signed ? 128 : 1);
    map->level[is_signed ? 127 : 0] = 0.0f;
    for (int k = 0; k < 7; k++) {
        int parts = (is_signed ? 1 : 2) << k;
        for (int i = 0; i < parts; i++) *positive++ = decade[k] * part_centre(i, parts);
    }
    *positive = 1.0f;
    for (int i = 0; is_signed && i < 127; i++) map->level[126 - i] = -map->level[128 + i];
    for (int i = 0; i < 255; i++) map->bound[i] = (map->level[i] + map->level[i + 1]) / 2.0f;
    map->bound[255] = INFINITY;
}

typedef struct quantized {
    uint8_t *code;
    float *absmax;
    bdpo_dynamic_map map;
} quantized;

static void update_block(float *param, const float *grad, const quantized *m, const quantized *v,
                         int64_t block, int count, const bdpo_adamw_step *step, bool binned)
{
    float first[BDPO_QUANT_BLOCK], second[BDPO_QUANT_BLOCK];
    int64_t at = block * BDPO_QUANT_BLOCK;
    table()->dequantize(first, m->code + at, m->absmax[block], count, &m->map);
    table()->dequantize(second, v->code + at, v->absmax[block], count, &v->map);
    table()->adamw(param + at, grad + at, first, second, count, step);
    m->absmax[block] = table()->quantize(m->code + at, first, count, &m->map, binned);
    v->absmax[block] = table()->quantize(v->code + at, second, count, &v->map, binned);
}

void bdpo_adamw_update_8bit(float *param, const float *grad, uint8_t *m, float *m_absmax,
                            uint8_t *v, float *v_absmax, uint16_t *shadow, int64_t count,
                            const bdpo_adamw_step *step, bool binned, int n_threads)
{
    quantized first = {.code = m, .absmax = m_absmax}, second = {.code = v, .absmax = v_absmax};
    bdpo_dynamic_map_fill(&first.map, true);
    bdpo_dynamic_map_fill(&second.map, false);
    int64_t n_blocks = (count + BDPO_QUANT_BLOCK - 1) / BDPO_QUANT_BLOCK;
    int n = bdpo_threads_for(count, n_threads);
#pragma omp parallel for num_threads(n) schedule(static) if (n > 1)
    for (int64_t block = 0; block < n_blocks; block++) {
        int64_t at = block * BDPO_QUANT_BLOCK, left = count - at;
        int length = left < BDPO_QUANT_BLOCK ? (int)left : BDPO_QUANT_BLOCK;
        update_block(param, grad, &first, &second, block, length, step, binned);
        if (shadow) bdpo_convert(shadow + at, BDPO_BF16, param + at, BDPO_F32, length, 1);
    }
}

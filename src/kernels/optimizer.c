// Deals the elements, or the blocks of 8-bit moments, to the threads and to the active instruction
// set; and the dynamic map.
#include "kernels/optimizer.h"

#include <math.h>
#include <string.h>

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

// The least number of a bin: of its 16 upper bits with all others 0, or, below 0, all others 1. The
// first bin takes in all that is smaller.
static float least_of(int bin, bool negative)
{
    uint32_t bits = (uint32_t)(BDPO_MAP_FIRST_BIN + bin) << 16;
    float least;
    if (negative) bits |= 0x8000ffffu;
    if (bin == 0 && !negative) bits = 0;
    memcpy(&least, &bits, sizeof least);
    return least;
}

static void fill_bins(bdpo_dynamic_map *map)
{
    int code = 0;
    for (int bin = BDPO_MAP_BINS - 1; bin >= 0; bin--) { // from -1 up
        while (map->bound[code] < least_of(bin, true)) code++;
        map->below[1][bin] = (uint8_t)code;
    }
    for (int bin = 0; bin < BDPO_MAP_BINS; bin++) {
        while (map->bound[code] < least_of(bin, false)) code++;
        map->below[0][bin] = (uint8_t)code;
    }
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
    fill_bins(map);
}

typedef struct maps {
    bdpo_dynamic_map m, v;
} maps;

// One block whose elements lie side by side.
static void update_block(float *param, const float *grad, uint8_t *m, float *m_absmax, uint8_t *v,
                         float *v_absmax, int count, const maps *map, const bdpo_adamw_step *step,
                         bool binned)
{
    float first[BDPO_QUANT_BLOCK], second[BDPO_QUANT_BLOCK];
    table()->dequantize(first, m, *m_absmax, count, &map->m);
    table()->dequantize(second, v, *v_absmax, count, &map->v);
    table()->adamw(param, grad, first, second, count, step);
    *m_absmax = table()->quantize(m, first, count, &map->m, binned);
    *v_absmax = table()->quantize(v, second, count, &map->v, binned);
}

// A block on its way between a convolution's memory and the checkpoint's order.
typedef struct gathered {
    float param[BDPO_QUANT_BLOCK], grad[BDPO_QUANT_BLOCK];
    uint8_t m[BDPO_QUANT_BLOCK], v[BDPO_QUANT_BLOCK];
    int64_t at[BDPO_QUANT_BLOCK]; // in memory
} gathered;

static void place(gathered *b, int64_t first, int count, const bdpo_block_order *order)
{
    int64_t size = order->positions * order->channels, outer = first / size * size;
    int64_t channel = first % size / order->positions, position = first % order->positions;
    for (int i = 0; i < count; i++) {
        b->at[i] = outer + position * order->channels + channel;
        if (++position < order->positions) continue;
        position = 0;
        if (++channel < order->channels) continue;
        channel = 0;
        outer += size;
    }
}

static void update_scattered(float *param, const float *grad, const bdpo_moments_8bit *moments,
                             int64_t block, int count, const bdpo_block_order *order,
                             const maps *map, const bdpo_adamw_step *step, bool binned)
{
    gathered b;
    BDPO_ASSERT(count > 0); // else nothing below is initialized
    place(&b, block * BDPO_QUANT_BLOCK, count, order);
    for (int i = 0; i < count; i++) {
        b.param[i] = param[b.at[i]];
        b.grad[i] = grad[b.at[i]];
        b.m[i] = moments->m[b.at[i]];
        b.v[i] = moments->v[b.at[i]];
    }
    update_block(b.param, b.grad, b.m, moments->m_absmax + block, b.v, moments->v_absmax + block,
                 count, map, step, binned);
    for (int i = 0; i < count; i++) {
        param[b.at[i]] = b.param[i];
        moments->m[b.at[i]] = b.m[i];
        moments->v[b.at[i]] = b.v[i];
    }
}

void bdpo_adamw_update_8bit(float *param, const float *grad, const bdpo_moments_8bit *moments,
                            uint16_t *shadow, const bdpo_block_order *order,
                            const bdpo_adamw_step *step, bool binned, int n_threads)
{
    maps map;
    bdpo_dynamic_map_fill(&map.m, true);
    bdpo_dynamic_map_fill(&map.v, false);
    int64_t n_blocks = (order->count + BDPO_QUANT_BLOCK - 1) / BDPO_QUANT_BLOCK;
    int n = bdpo_threads_for(order->count, n_threads);
#pragma omp parallel for num_threads(n) schedule(static) if (n > 1)
    for (int64_t block = 0; block < n_blocks; block++) {
        int64_t at = block * BDPO_QUANT_BLOCK, left = order->count - at;
        int count = left < BDPO_QUANT_BLOCK ? (int)left : BDPO_QUANT_BLOCK;
        if (order->positions > 1)
            update_scattered(param, grad, moments, block, count, order, &map, step, binned);
        else
            update_block(param + at, grad + at, moments->m + at, moments->m_absmax + block,
                         moments->v + at, moments->v_absmax + block, count, &map, step, binned);
    }
    if (shadow) bdpo_convert(shadow, BDPO_BF16, param, BDPO_F32, order->count, n_threads);
}

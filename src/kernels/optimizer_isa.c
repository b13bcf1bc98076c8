// AdamW and the 8-bit rounding of its moments, several elements at a time.
#include "kernels/optimizer_isa.h"

#include "kernels/isa.h"
#include "kernels/simd.h"

// a b + c with one rounding, on every instruction set: all of them give the same bits.
#if defined(__AVX512F__)
BDPO_INLINE vf fused(vf a, vf b, vf c)
{
    return vf_fma(a, b, c);
}
BDPO_INLINE vf root_of(vf a)
{
    return _mm512_sqrt_ps(a);
}
#elif defined(__AVX2__)
BDPO_INLINE vf fused(vf a, vf b, vf c)
{
    return vf_fma(a, b, c);
}
BDPO_INLINE vf root_of(vf a)
{
    return _mm256_sqrt_ps(a);
}
#else
BDPO_INLINE vf fused(vf a, vf b, vf c)
{
    for (int i = 0; i < VF_LANES; i++) a[i] = __builtin_fmaf(a[i], b[i], c[i]);
    return a;
}
BDPO_INLINE vf root_of(vf a)
{
    for (int i = 0; i < VF_LANES; i++) a[i] = __builtin_sqrtf(a[i]);
    return a;
}
#endif

// ---- AdamW -------------------------------------------------------------------------------------

typedef struct adamw_lanes {
    vf p, m, v;
} adamw_lanes;

// In the roundings of PyTorch's kernels, so that 8-bit moments take the same codes.
BDPO_INLINE adamw_lanes advance(adamw_lanes a, vf g, const bdpo_adamw_step *s)
{
    g = g * vf_set(s->clip);
    a.m = fused(g, vf_set(s->rest1), a.m * vf_set(s->beta1));
    a.v = fused(vf_set(s->rest2) * g, g, a.v * vf_set(s->beta2));
    vf denominator = root_of(a.v) / vf_set(s->root) + vf_set(s->eps);
    a.p = a.p * vf_set(s->keep) - vf_set(s->size) * a.m / denominator;
    return a;
}

static void adamw(float *param, const float *grad, float *m, float *v, int64_t count,
                  const bdpo_adamw_step *step)
{
    int64_t i = 0;
    for (; i + VF_LANES <= count; i += VF_LANES) {
        adamw_lanes a = {vf_load(param + i), vf_load(m + i), vf_load(v + i)};
        a = advance(a, vf_load(grad + i), step);
        vf_store(param + i, a.p);
        vf_store(m + i, a.m);
        vf_store(v + i, a.v);
    }
    int rest = (int)(count - i);
    if (rest == 0) return;
    adamw_lanes a = {vf_load_n(param + i, rest), vf_load_n(m + i, rest), vf_load_n(v + i, rest)};
    a = advance(a, vf_load_n(grad + i, rest), step);
    vf_store_n(param + i, a.p, rest);
    vf_store_n(m + i, a.m, rest);
    vf_store_n(v + i, a.v, rest);
}

// ---- 8 bits ------------------------------------------------------------------------------------

static void dequantize(float *x, const uint8_t *code, float absmax, int count,
                       const bdpo_dynamic_map *map)
{
    for (int i = 0; i < count; i++) x[i] = map->level[code[i]] * absmax;
}

static float largest_magnitude(const float *x, int count)
{
    vf most = vf_zero();
    int i = 0;
    for (; i + VF_LANES <= count; i += VF_LANES) most = vf_max(most, vf_abs(vf_load(x + i)));
    if (i < count) most = vf_max(most, vf_abs(vf_load_n(x + i, count - i)));
    return vf_maximum(most);
}

// The number of bounds below x: the code of the nearest level.
BDPO_INLINE uint8_t nearest_code(float x, const bdpo_dynamic_map *map)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    int bin = (int)(bits >> 16 & 0x7fff) - BDPO_MAP_FIRST_BIN;
    bin = bin < 0 ? 0 : bin >= BDPO_MAP_BINS ? BDPO_MAP_BINS - 1 : bin;
    uint8_t code = map->below[bits >> 31][bin];
    return (uint8_t)(code + (map->bound[code] < x));
}

BDPO_INLINE vf to_grid(vf x)
{
    vf point = (x + vf_set(1.0f)) * vf_set(32767.5f) + vf_set(0.5f);
    point = __builtin_convertvector(__builtin_convertvector(point, vi), vf); // down: it is positive
    return point / vf_set(32767.5f) - vf_set(1.0f);
}

static float quantize(uint8_t *code, const float *x, int count, const bdpo_dynamic_map *map,
                      bool binned)
{
    float absmax = largest_magnitude(x, count);
    vf scale = vf_set(1.0f / (absmax > 1e-38f ? absmax : 1e-38f));
    for (int i = 0; i < count; i += VF_LANES) {
        int n = count - i < VF_LANES ? count - i : VF_LANES;
        float value[VF_LANES];
        vf lanes = vf_load_n(x + i, n) * scale;
        vf_store(value, binned ? to_grid(lanes) : lanes);
        for (int lane = 0; lane < n; lane++) code[i + lane] = nearest_code(value[lane], map);
    }
    return absmax;
}

extern const bdpo_optimizer_table BDPO_ISA_SYMBOL(bdpo_optimizer_table);
const bdpo_optimizer_table BDPO_ISA_SYMBOL(bdpo_optimizer_table) = {
    .adamw = adamw,
    .dequantize = dequantize,
    .quantize = quantize,
};

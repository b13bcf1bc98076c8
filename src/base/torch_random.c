// Mersenne Twister, and the two ways in which PyTorch turns its words into normals.
//
// Both are Box-Muller. Below 16 values: one by one in double precision, the second of each pair
// kept for the next call. From 16 on: in f32 over groups of 16 uniforms, the first eight for the
// radius, the others for the angle, with the logarithm, sine and cosine of Cephes (logf, sinf and
// cosf, S. Moshier). There the fma calls are where PyTorch's compiler fused a product and a sum;
// each of them decides a last bit.
#include "base/torch_random.h"

#include <math.h>
#include <string.h>

enum { N_WORDS = 624, SHIFT = 397, GROUP = 16 };

// ---- the twister (Matsumoto and Nishimura, 1998) -------------------------------------------

void bdpo_torch_random_init(bdpo_torch_random *r, uint64_t seed)
{
    r->state[0] = (uint32_t)seed;
    for (uint32_t i = 1; i < N_WORDS; i++)
        r->state[i] = 1812433253u * (r->state[i - 1] ^ r->state[i - 1] >> 30) + i;
    r->next = N_WORDS;
    r->has_spare = false;
}

static void renew(bdpo_torch_random *r)
{
    for (int i = 0; i < N_WORDS; i++) {
        uint32_t next = r->state[(i + 1) % N_WORDS];
        uint32_t mixed = (r->state[i] & 0x80000000u) | (next & 0x7fffffffu);
        uint32_t matrix = next & 1u ? 0x9908b0dfu : 0u;
        r->state[i] = r->state[(i + SHIFT) % N_WORDS] ^ mixed >> 1 ^ matrix;
    }
    r->next = 0;
}

static uint32_t draw32(bdpo_torch_random *r)
{
    if (r->next == N_WORDS) renew(r);
    uint32_t y = r->state[r->next++];
    y ^= y >> 11;
    y ^= y << 7 & 0x9d2c5680u;
    y ^= y << 15 & 0xefc60000u;
    return y ^ y >> 18;
}

static uint64_t draw64(bdpo_torch_random *r) // the first word is the high half
{
    uint64_t high = draw32(r);
    return high << 32 | draw32(r);
}

// ---- uniforms ------------------------------------------------------------------------------

static double draw_double(bdpo_torch_random *r)
{
    return (double)(draw64(r) & (((uint64_t)1 << 53) - 1)) * 0x1p-53;
}

void bdpo_torch_random_uniform(bdpo_torch_random *r, float *out, int64_t count)
{
    for (int64_t i = 0; i < count; i++) out[i] = (float)(draw32(r) & 0xffffffu) * 0x1p-24f;
}

void bdpo_torch_random_integers(bdpo_torch_random *r, int64_t *out, int64_t count, int64_t low,
                                int64_t high)
{
    BDPO_ASSERT(low < high);
    uint64_t range = (uint64_t)high - (uint64_t)low;
    for (int64_t i = 0; i < count; i++) {
        uint64_t word = range < (uint64_t)1 << 28 ? draw32(r) : draw64(r);
        out[i] = (int64_t)((uint64_t)low + word % range);
    }
}

// ---- normals one by one --------------------------------------------------------------------

static double draw_normal(bdpo_torch_random *r)
{
    const double two_pi = 6.28318530717958647692;
    if (r->has_spare) {
        r->has_spare = false;
        return r->spare;
    }
    double angle = draw_double(r) * two_pi;
    double radius = sqrt(-2.0 * log1p(-draw_double(r)));
    r->spare = radius * sin(angle);
    r->has_spare = true;
    return radius * cos(angle);
}

// ---- normals sixteen at once ---------------------------------------------------------------

// ln(x) of a normal x > 0: x = 2^e (1 + f), 1 + f in [sqrt(1/2), sqrt(2)).
static float cephes_log(float x)
{
    static const float coefficients[] = {7.0376836292e-2f,  -1.1514610310e-1f, 1.1676998740e-1f,
                                         -1.2420140846e-1f, 1.4249322787e-1f,  -1.6668057665e-1f,
                                         2.0000714765e-1f,  -2.4999993993e-1f, 3.3333331174e-1f};
    int exponent;
    float f = frexpf(x, &exponent); // [1/2, 1)
    if (f < 0.707106781186547524f) {
        exponent--;
        f += f;
    }
    f -= 1.0f;
    float e = (float)exponent, square = f * f, y = coefficients[0];
    for (size_t i = 1; i < BDPO_COUNTOF(coefficients); i++) y = fmaf(y, f, coefficients[i]);
    y = fmaf(y * f, square, e * -2.12194440e-4f);
    y = fmaf(-0.5f, square, y);
    return fmaf(e, 0.693359375f, f + y); // ln 2 in two parts
}

// Sine and cosine of 0 <= angle < 2 pi, from polynomials over an eighth of a turn.
static void cephes_sin_cos(float *sine, float *cosine, float angle)
{
    int octant = ((int)(angle * 1.27323954473516f) + 1) & ~1; // of 4 / pi, to the next even one
    float j = (float)octant;
    float x = fmaf(j, -0.78515625f, angle); // pi / 4 in three parts
    x = fmaf(j, -2.4187564849853515625e-4f, x);
    x = fmaf(j, -3.77489497744594108e-8f, x);
    float z = x * x;
    float c = fmaf(2.443315711809948e-5f, z, -1.388731625493765e-3f);
    c = fmaf(c, z, 4.166664568298827e-2f);
    c = fmaf(c * z, z, -0.5f * z) + 1.0f;
    float s = fmaf(-1.9515295891e-4f, z, 8.3321608736e-3f);
    s = fmaf(s, z, -1.6666654611e-1f);
    s = fmaf(s * z, x, x);
    bool swap = octant & 2;
    *sine = (swap ? c : s) * (octant & 4 ? -1.0f : 1.0f);
    *cosine = (swap ? s : c) * ((octant - 2) & 4 ? 1.0f : -1.0f);
}

// In place: uniforms in, normals out. Adding zero makes a negative zero positive, as the mean does.
static void transform_group(float group[GROUP])
{
    for (int i = 0; i < GROUP / 2; i++) {
        float radius = sqrtf(-2.0f * cephes_log(1.0f - group[i])), sine, cosine;
        cephes_sin_cos(&sine, &cosine, 6.28318530717958647692f * group[i + GROUP / 2]);
        group[i] = radius * cosine + 0.0f;
        group[i + GROUP / 2] = radius * sine + 0.0f;
    }
}

void bdpo_torch_random_normal(bdpo_torch_random *r, float *out, int64_t count)
{
    if (count < GROUP) {
        for (int64_t i = 0; i < count; i++) out[i] = (float)draw_normal(r);
        return;
    }
    bdpo_torch_random_uniform(r, out, count);
    for (int64_t i = 0; i + GROUP <= count; i += GROUP) transform_group(out + i);
    if (count % GROUP != 0) { // the last 16 anew, from new uniforms
        bdpo_torch_random_uniform(r, out + count - GROUP, GROUP);
        transform_group(out + count - GROUP);
    }
}

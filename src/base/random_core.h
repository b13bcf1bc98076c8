// The arithmetic of base/random, one element at a time, for C and for CUDA: Philox 4x32-10 and a
// Box-Muller transform on our own polynomials.
//
// Every operation rounds once and is written out: fma where two are fused, and elsewhere a product
// or a quotient that no compiler may fuse with a neighbour (-ffp-contract=off in C, the _rn
// intrinsics in CUDA). So all devices give the same bits.
#ifndef BDPO_RANDOM_CORE_H
#define BDPO_RANDOM_CORE_H

#include <stdint.h>

#ifdef __CUDACC__
#    define BDPO_HD __host__ __device__
#else
#    define BDPO_HD
#endif

#ifdef __CUDA_ARCH__
#    define BDPO_FMA_(a, b, c) __fmaf_rn(a, b, c)
#    define BDPO_MUL_(a, b)    __fmul_rn(a, b)
#    define BDPO_SQRT_(a)      __fsqrt_rn(a)
#else
#    include <math.h>
#    include <string.h>
#    define BDPO_FMA_(a, b, c) fmaf(a, b, c)
#    define BDPO_MUL_(a, b)    ((a) * (b))
#    define BDPO_SQRT_(a)      sqrtf(a)
#endif

static inline BDPO_HD uint32_t bdpo_random_float_bits_(float value)
{
#ifdef __CUDA_ARCH__
    return __float_as_uint(value);
#else
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
#endif
}

static inline BDPO_HD float bdpo_random_bits_float_(uint32_t bits)
{
#ifdef __CUDA_ARCH__
    return __uint_as_float(bits);
#else
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
#endif
}

// Philox 4x32-10: ten rounds turn a counter into four independent words.
// Salmon, Moraes, Dror, Shaw: Parallel random numbers: as easy as 1, 2, 3 (SC 2011).
typedef struct bdpo_random_block {
    uint32_t word[4];
} bdpo_random_block;

static inline BDPO_HD bdpo_random_block bdpo_philox(bdpo_random_block counter, uint32_t key0,
                                                    uint32_t key1)
{
    uint32_t c0 = counter.word[0], c1 = counter.word[1], c2 = counter.word[2], c3 = counter.word[3];
    for (int round = 0; round < 10; round++) {
        uint64_t product0 = (uint64_t)0xD2511F53u * c0, product1 = (uint64_t)0xCD9E8D57u * c2;
        c0 = (uint32_t)(product1 >> 32) ^ c1 ^ key0;
        c1 = (uint32_t)product1;
        c2 = (uint32_t)(product0 >> 32) ^ c3 ^ key1;
        c3 = (uint32_t)product0;
        key0 += 0x9E3779B9u; // the golden ratio and sqrt(3) - 1, as 0.32 fractions
        key1 += 0xBB67AE85u;
    }
    bdpo_random_block out = {{c0, c1, c2, c3}};
    return out;
}

// Which sequence; how it packs is told in base/random.h.
typedef struct bdpo_random_key {
    uint64_t seed;
    uint64_t sample; // below 2^56
    uint32_t step;
    uint32_t purpose; // below 256
} bdpo_random_key;

// The four words of a block.
static inline BDPO_HD bdpo_random_block bdpo_random_words(bdpo_random_key key, uint32_t block)
{
    bdpo_random_block counter = {
        {block, key.step, (uint32_t)key.sample, (uint32_t)(key.sample >> 32) << 8 | key.purpose}};
    return bdpo_philox(counter, (uint32_t)key.seed, (uint32_t)(key.seed >> 32));
}

// (word + 1/2) / 2^32, rounded once: in (0, 1], at least 2^-33, symmetric about 1/2 up to rounding.
static inline BDPO_HD float bdpo_random_unit(uint32_t word)
{
    float high = (float)(int32_t)(word >> 16), low = (float)(int32_t)(word & 0xffffu);
    return BDPO_FMA_(high, 0x1p-16f, BDPO_FMA_(low, 0x1p-32f, 0x1p-33f)); // inner one exact
}

// -2 ln(u) for a normal u in (0, 1], within 1.5 ulp.
// u = 2^e (1 + f) with 1 + f in [sqrt(1/2), sqrt(2)); -2 ln(1+f) = -2f + f^2 R(f), R the minimax
// polynomial of degree 8 for the relative error of the whole (2^-27.8).
static inline BDPO_HD float bdpo_random_minus_2_log(float u)
{
    const float two_ln2_high = 0x1.62e4p+0f, two_ln2_low = 0x1.7f7d1cp-19f; // e * high is exact
    uint32_t bits = bdpo_random_float_bits_(u);
    uint32_t biased = (bits + (0x3f800000u - 0x3f3504f3u)) >> 23; // 127 + e
    float e = (float)((int32_t)biased - 127);
    float f = bdpo_random_bits_float_(bits - (biased << 23) + 0x3f800000u) - 1.0f; // exact
    float r = 0x1.382f6cp-3f;
    r = BDPO_FMA_(r, f, -0x1.084822p-2f);
    r = BDPO_FMA_(r, f, 0x1.0f3768p-2f);
    r = BDPO_FMA_(r, f, -0x1.2271a8p-2f);
    r = BDPO_FMA_(r, f, 0x1.54276ep-2f);
    r = BDPO_FMA_(r, f, -0x1.99a3f2p-2f);
    r = BDPO_FMA_(r, f, 0x1.000426p-1f);
    r = BDPO_FMA_(r, f, -0x1.55555p-1f);
    r = BDPO_FMA_(r, f, 0x1.fffff8p-1f);
    float log_f = BDPO_FMA_(BDPO_MUL_(f, f), r, BDPO_MUL_(f, -2.0f));
    return BDPO_FMA_(e, -two_ln2_high, BDPO_FMA_(e, -two_ln2_low, log_f));
}

// Cosine and sine of the angle pi/2 * word / 2^30, less an eighth of a turn, each within 1.5 ulp.
// The top two bits are the quarter turn; the rest, centred, is t in (-1, 1) for the polynomials
// of sin and cos(t pi/4), of degree 7 and 8 (relative error 2^-28 and less).
static inline BDPO_HD void bdpo_random_cos_sin(float *cosine, float *sine, uint32_t word)
{
    const float quarter_pi_high = 0x1.921fb6p-1f, quarter_pi_low = -0x1.a32bc4p-26f;
    uint32_t quadrant = word >> 30;
    int32_t centred = (int32_t)((word & 0x3fffffffu) * 2u + 1u) - 0x40000000;
    float t = BDPO_MUL_((float)centred, 0x1p-30f), z = BDPO_MUL_(t, t);
    float p = BDPO_FMA_(z, -0x1.2d9302p-15f, 0x1.465e92p-9f);
    p = BDPO_FMA_(z, p, -0x1.4abbbap-4f);
    p = BDPO_FMA_(z, p, quarter_pi_low);
    float s = BDPO_FMA_(t, quarter_pi_high, BDPO_MUL_(t, p));
    float q = BDPO_FMA_(z, 0x1.d9d57cp-19f, -0x1.55c5ep-12f);
    q = BDPO_FMA_(z, q, 0x1.03c1dep-6f);
    q = BDPO_FMA_(z, q, -0x1.3bd3ccp-2f);
    float c = BDPO_FMA_(z, q, 1.0f);
    // Quarter turns: (c, s), (-s, c), (-c, -s), (s, -c).
    uint32_t c_bits = bdpo_random_float_bits_(c), s_bits = bdpo_random_float_bits_(s);
    uint32_t swap = 0u - (quadrant & 1u), change = (c_bits ^ s_bits) & swap;
    *cosine = bdpo_random_bits_float_((c_bits ^ change) ^ (((quadrant + 1u) & 2u) << 30));
    *sine = bdpo_random_bits_float_((s_bits ^ change) ^ ((quadrant & 2u) << 30));
}

// Two independent standard normals from two words; magnitudes up to 6.77, never a zero radius's
// NaN: the radius is at least 0.
static inline BDPO_HD void bdpo_random_normal_pair(float *first, float *second, uint32_t word0,
                                                   uint32_t word1)
{
    float radius = BDPO_SQRT_(bdpo_random_minus_2_log(bdpo_random_unit(word0)));
    float cosine, sine;
    bdpo_random_cos_sin(&cosine, &sine, word1);
    *first = BDPO_MUL_(radius, cosine);
    *second = BDPO_MUL_(radius, sine);
}

#endif

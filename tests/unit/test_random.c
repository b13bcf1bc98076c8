// base/random: published answers, the packing, accuracy, distribution.
#include "base/random.h"

#include <stdlib.h>

#include "base/memory.h"
#include "harness.h"

static const bdpo_random_key KEY = {.seed = 42, .sample = 7, .step = 3, .purpose = 0};

// Known answers that the authors of Philox publish with Random123.
BDPO_TEST(philox_known_answers)
{
    static const struct {
        bdpo_random_block counter;
        uint32_t key[2], word[4];
    } known[] = {
        {{{0, 0, 0, 0}}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}},
         {0xffffffff, 0xffffffff},
         {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}},
         {0xa4093822, 0x299f31d0},
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (size_t i = 0; i < BDPO_COUNTOF(known); i++) {
        bdpo_random_block out = bdpo_philox(known[i].counter, known[i].key[0], known[i].key[1]);
        for (int k = 0; k < 4; k++) CHECK_U64(out.word[k], known[i].word[k]);
    }
}

// The packing is a promise: the third known answer, reached through a key.
BDPO_TEST(key_packing_is_as_documented)
{
    bdpo_random_key key = {.seed = 0x299f31d0a4093822,
                           .sample = (uint64_t)0x037073 << 32 | 0x13198a2e,
                           .step = 0x85a308d3,
                           .purpose = 0x44};
    bdpo_random_block out = bdpo_random_words(key, 0x243f6a88);
    CHECK_U64(out.word[0], 0xd16cfe09);
    CHECK_U64(out.word[3], 0x24126ea1);
}

BDPO_TEST(every_part_of_the_key_matters)
{
    bdpo_random_key keys[] = {KEY, KEY, KEY, KEY, KEY, KEY, KEY};
    keys[1].seed ^= 1;
    keys[2].seed ^= (uint64_t)1 << 63;
    keys[3].sample ^= 1;
    keys[4].sample ^= (uint64_t)1 << 55;
    keys[5].step ^= 1;
    keys[6].purpose ^= 1;
    float value[BDPO_COUNTOF(keys)];
    for (size_t i = 0; i < BDPO_COUNTOF(keys); i++) {
        bdpo_random_uniform(&value[i], 1, keys[i], 0);
        for (size_t k = 0; k < i; k++) CHECK(value[i] != value[k]);
    }
}

BDPO_TEST(keys_outside_the_packing_abort)
{
    float out;
    bdpo_random_key key = KEY;
    key.sample = (uint64_t)1 << 56;
    CHECK_ABORTS(bdpo_random_normal(&out, 1, key, 0));
    key = KEY;
    key.purpose = 256;
    CHECK_ABORTS(bdpo_random_normal(&out, 1, key, 0));
    CHECK_ABORTS(bdpo_random_normal(&out, 1, KEY, BDPO_RANDOM_MAX_COUNT));
    CHECK_ABORTS(bdpo_random_normal(&out, 1, KEY, -1));
    bdpo_random_normal(&out, 1, KEY, BDPO_RANDOM_MAX_COUNT - 1);
    CHECK(isfinite(out));
}

BDPO_TEST(any_split_gives_the_same_sequence)
{
    enum { COUNT = 200 };
    float whole[2][COUNT], parts[COUNT];
    bdpo_random_uniform(whole[0], COUNT, KEY, 5);
    bdpo_random_normal(whole[1], COUNT, KEY, 5);
    for (int step = 1; step < 12; step++) {
        for (int i = 0; i < COUNT; i += step)
            bdpo_random_uniform(parts + i, COUNT - i < step ? COUNT - i : step, KEY, 5 + i);
        CHECK_BYTES(parts, whole[0], sizeof parts);
        for (int i = 0; i < COUNT; i += step)
            bdpo_random_normal(parts + i, COUNT - i < step ? COUNT - i : step, KEY, 5 + i);
        CHECK_BYTES(parts, whole[1], sizeof parts);
    }
}

// These bits never change: they are somebody's training run.
BDPO_TEST(first_values_are_pinned)
{
    static const uint32_t uniform[4] = {0x3e2db04e, 0x3f19937e, 0x3f2d9852, 0x3f709efa},
                          normal[4] = {0xbfee203e, 0x3e976f02, 0x3eb308f6, 0xbf4f20ac};
    float out[4];
    bdpo_random_uniform(out, 4, KEY, 0);
    CHECK_BYTES(out, uniform, sizeof out);
    bdpo_random_normal(out, 4, KEY, 0);
    CHECK_BYTES(out, normal, sizeof out);
}

BDPO_TEST(unit_spans_its_interval)
{
    CHECK(bdpo_random_unit(0) == 0x1p-33f);
    CHECK(bdpo_random_unit(0xffffffff) == 1.0f);
    CHECK(bdpo_random_unit(0x80000000) == 0.5f);
    float last = 0;
    for (uint64_t word = 0; word < (uint64_t)1 << 32; word += 65537 * 3) { // monotonic
        float value = bdpo_random_unit((uint32_t)word);
        CHECK(value >= last);
        CHECK_NEAR((double)value, ((double)word + 0.5) * 0x1p-32, (double)value * 0x1p-24);
        last = value;
    }
}

static double ulps(float actual, double exact)
{
    int exponent;
    frexp(exact, &exponent);
    return fabs((double)actual - exact) / ldexp(1.0, exponent - 24);
}

BDPO_TEST(logarithm_is_accurate)
{
    double worst = 0;
    for (uint32_t bits = 0x2f000000; bits <= 0x3f800000; bits += 97) { // 2^-33 to 1
        float u = bdpo_random_bits_float_(bits);
        double exact = -2 * log((double)u), off = ulps(bdpo_random_minus_2_log(u), exact);
        if (exact > 0 && !(off <= worst)) worst = off;
    }
    // Near one, where the result is small, every float is tried.
    for (uint32_t bits = 0x3f7fff00; bits < 0x3f800000; bits++) {
        float u = bdpo_random_bits_float_(bits);
        double off = ulps(bdpo_random_minus_2_log(u), -2 * log((double)u));
        if (!(off <= worst)) worst = off;
    }
    CHECK_LE(worst, 1.5); // two roundings near the result and the polynomial's 0.07
    CHECK(bdpo_random_minus_2_log(1.0f) == 0.0f);
}

BDPO_TEST(cosine_and_sine_are_accurate)
{
    const double half_pi = 1.57079632679489661923;
    double worst = 0;
    for (uint64_t word = 0; word < (uint64_t)1 << 32; word += 65537 - 1000) {
        float c, s;
        bdpo_random_cos_sin(&c, &s, (uint32_t)word);
        double t = (double)(word & 0x3fffffff) + 0.5 - 0x1p29; // the centred rest, in 2^-30 turns/4
        double angle = half_pi * ((double)(word >> 30) + t * 0x1p-30);
        double off_c = ulps(c, cos(angle)), off_s = ulps(s, sin(angle));
        if (!(off_c <= worst)) worst = off_c;
        if (!(off_s <= worst)) worst = off_s;
    }
    CHECK_LE(worst, 2.0); // the conversion of t adds half an ulp to the polynomial's 1.5
}

BDPO_TEST(extreme_words_give_finite_normals)
{
    static const uint32_t words[] = {0,          1,          0x3fffffff, 0x40000000, 0x7fffffff,
                                     0x80000000, 0xbfffffff, 0xc0000000, 0xfffffffe, 0xffffffff};
    for (size_t i = 0; i < BDPO_COUNTOF(words); i++)
        for (size_t k = 0; k < BDPO_COUNTOF(words); k++) {
            float a, b;
            bdpo_random_normal_pair(&a, &b, words[i], words[k]);
            CHECK(isfinite(a) && isfinite(b));
            CHECK_LE(hypot((double)a, (double)b), 6.77); // sqrt(66 ln 2) = 6.7637
        }
}

static int compare_floats(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static double normal_cdf(double x)
{
    return 0.5 * erfc(-x * 0.70710678118654752440);
}

static double uniform_cdf(double x)
{
    return x;
}

// Largest distance between the sample's and the ideal distribution, times sqrt(n). Its 99.99 %
// point is 2.23; the seed is fixed, so this is a test and not a lottery.
static double kolmogorov_smirnov(float *sorted, int n, double (*cdf)(double))
{
    double worst = 0;
    qsort(sorted, (size_t)n, sizeof *sorted, compare_floats);
    for (int i = 0; i < n; i++) {
        double p = cdf((double)sorted[i]);
        worst = fmax(worst, fmax(p - (double)i / n, (double)(i + 1) / n - p));
    }
    return worst * sqrt(n);
}

BDPO_TEST(normals_are_normal)
{
    enum { COUNT = 1 << 20 };
    float *x = bdpo_alloc(COUNT, sizeof *x);
    CHECK(x != NULL);
    bdpo_random_normal(x, COUNT, KEY, 0);
    double moment[5] = {0}, neighbours = 0, halves = 0;
    for (int i = 0; i < COUNT; i++) {
        double power = 1;
        CHECK(isfinite(x[i]));
        for (int k = 1; k <= 4; k++) moment[k] += (power *= (double)x[i]);
        if (i + 1 < COUNT) neighbours += (double)x[i] * (double)x[i + 1];
        if (i + 2 < COUNT) halves += (double)x[i] * (double)x[i + 2];
    }
    // Standard errors: variance of x^k is 1, 2, 15, 96 for k = 1 to 4; of a product 1. Five each.
    double unit = 5 / sqrt(COUNT);
    CHECK_NEAR(moment[1] / COUNT, 0.0, unit);
    CHECK_NEAR(moment[2] / COUNT, 1.0, unit * sqrt(2));
    CHECK_NEAR(moment[3] / COUNT, 0.0, unit * sqrt(15));
    CHECK_NEAR(moment[4] / COUNT, 3.0, unit * sqrt(96));
    CHECK_NEAR(neighbours / COUNT, 0.0, unit);
    CHECK_NEAR(halves / COUNT, 0.0, unit);
    CHECK_LE(kolmogorov_smirnov(x, COUNT, normal_cdf), 2.23);
    // The largest of 2^20 lies between 4 and 6.5 but for one seed in 10^4.
    CHECK(x[0] < -4.0f && x[0] > -6.5f && x[COUNT - 1] > 4.0f && x[COUNT - 1] < 6.5f);
    bdpo_free(x);
}

BDPO_TEST(uniforms_are_uniform)
{
    enum { COUNT = 1 << 18 };
    float *x = bdpo_alloc(COUNT, sizeof *x);
    CHECK(x != NULL);
    bdpo_random_uniform(x, COUNT, KEY, 0);
    for (int i = 0; i < COUNT; i++) CHECK(x[i] > 0.0f && x[i] <= 1.0f);
    CHECK_LE(kolmogorov_smirnov(x, COUNT, uniform_cdf), 2.23);
    bdpo_free(x);
}

// The same index of neighbouring keys must be as independent as neighbouring indices.
BDPO_TEST(neighbouring_keys_are_independent)
{
    enum { COUNT = 1 << 16 };
    float *x = bdpo_alloc(COUNT, sizeof *x);
    CHECK(x != NULL);
    bdpo_random_key key = KEY;
    for (uint32_t i = 0; i < COUNT; i++) {
        key.step = i & 0xff;
        key.sample = i >> 8;
        bdpo_random_normal(&x[i], 1, key, 0);
    }
    double products = 0;
    for (int i = 0; i + 1 < COUNT; i++) products += (double)x[i] * (double)x[i + 1];
    CHECK_NEAR(products / COUNT, 0.0, 5 / sqrt(COUNT)); // five standard errors
    CHECK_LE(kolmogorov_smirnov(x, COUNT, normal_cdf), 2.23);
    bdpo_free(x);
}

BDPO_TEST(integers_below_n_are_even)
{
    enum { N = 1000, DRAWS = 400000 };
    static int seen[N];
    for (int64_t i = 0; i < DRAWS; i++) {
        uint32_t value = bdpo_random_below(KEY, i, N);
        CHECK(value < N);
        seen[value]++;
    }
    double chi2 = 0, expected = (double)DRAWS / N;
    for (int i = 0; i < N; i++) chi2 += (seen[i] - expected) * (seen[i] - expected) / expected;
    CHECK_NEAR(chi2, N - 1, 5 * sqrt(2.0 * (N - 1))); // five standard errors of chi-squared
    CHECK_U64(bdpo_random_below(KEY, 3, 1), 0);
    // The largest n: the first word, but for the carry of the second.
    bdpo_random_block words = bdpo_random_words(KEY, 1);
    double exact = ((double)words.word[2] + words.word[3] * 0x1p-32) * (double)UINT32_MAX * 0x1p-32;
    CHECK_NEAR((double)bdpo_random_below(KEY, 3, UINT32_MAX), floor(exact), 0.0);
}

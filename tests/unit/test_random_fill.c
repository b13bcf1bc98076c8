// kernels/random_fill: the bits of the scalar core on every instruction set, split and thread
// count.
#include "kernels/random_fill.h"

#include "base/memory.h"
#include "harness.h"
#include "kernels/isa.h"

static const bdpo_random_key KEY = {
    .seed = 0x123456789abcdef0, .sample = 99, .step = 12345, .purpose = BDPO_RANDOM_NOISE};

typedef void (*bulk_fill)(float *out, int64_t count, bdpo_random_key key, int64_t first,
                          int n_threads);

// Ranges of every residue at both ends, around the batch length of the kernel.
static void check_ranges(bulk_fill bulk, const float *expected)
{
    static const int64_t counts[] = {0, 1, 2, 3, 4, 5, 63, 127, 128, 129, 200, 255, 500, 1001};
    float out[1024];
    for (int64_t first = 0; first < 10; first++)
        for (size_t i = 0; i < BDPO_COUNTOF(counts); i++) {
            memset(out, 0xee, sizeof out);
            bulk(out, counts[i], KEY, first, 1);
            CHECK_BYTES(out, expected + first, (size_t)counts[i] * sizeof *out);
            for (int64_t k = counts[i]; k < 1024; k++) // nothing written behind the end
                CHECK_INT(((unsigned char *)&out[k])[0], 0xee);
        }
}

static void check_isa(bdpo_isa isa)
{
    static float uniform[1024], normal[1024];
    if (bdpo_isa_force(isa) != BDPO_OK) SKIP("%s", bdpo_message());
    bdpo_random_uniform(uniform, 1024, KEY, 0);
    bdpo_random_normal(normal, 1024, KEY, 0);
    check_ranges(bdpo_random_fill_uniform, uniform);
    check_ranges(bdpo_random_fill_normal, normal);
}

BDPO_TEST(random_fill_portable)
{
    check_isa(BDPO_ISA_portable);
}

BDPO_TEST(random_fill_avx2)
{
    check_isa(BDPO_ISA_avx2);
}

BDPO_TEST(random_fill_avx512)
{
    check_isa(BDPO_ISA_avx512);
}

// A long run meets rare values of the mantissa and every quadrant; threads cut it anywhere; the
// block number passes 2^31 on the way.
BDPO_TEST(random_fill_long_runs_on_threads)
{
    enum { COUNT = (1 << 18) + 3 };
    const int64_t first = ((int64_t)1 << 33) - 100001;
    float *expected = bdpo_alloc(COUNT, sizeof *expected), *out = bdpo_alloc(COUNT, sizeof *out);
    CHECK(expected && out);
    bdpo_random_normal(expected, COUNT, KEY, first);
    for (int isa = BDPO_ISA_avx2; isa <= BDPO_ISA_avx512; isa++)
        for (int threads = 1; threads <= 5; threads++) {
            if (bdpo_isa_force((bdpo_isa)isa) != BDPO_OK) continue;
            memset(out, 0, COUNT * sizeof *out);
            bdpo_random_fill_normal(out, COUNT, KEY, first, threads);
            CHECK_BYTES(out, expected, COUNT * sizeof *out);
        }
    bdpo_free(expected);
    bdpo_free(out);
}

BDPO_TEST(random_fill_refuses_the_end_of_the_sequence)
{
    float out[8];
    CHECK_ABORTS(bdpo_random_fill_normal(out, 8, KEY, BDPO_RANDOM_MAX_COUNT - 7, 1));
    bdpo_random_fill_normal(out, 8, KEY, BDPO_RANDOM_MAX_COUNT - 8, 1);
    CHECK(isfinite(out[7]));
}

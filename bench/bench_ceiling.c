// The ceiling against which all figures are read: multiply-adds a second with everything in
// registers, and bytes a second through memory.
#include "bench.h"

#include <stdint.h>
#include <stdlib.h>
#include <time.h>
#ifdef __x86_64__
#    include <immintrin.h>
#endif

#include "base/memory.h"
#include "kernels/isa.h"

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

// Each returns the sum of its accumulators, so that none is dead, and does
// rounds * ACCUMULATORS * lanes multiply-adds. 12 chains cover a latency of 4 or 5 on two ports.
enum { ACCUMULATORS = 12 };

#ifdef __x86_64__
__attribute__((target("avx512f"))) static float spin_avx512(int64_t rounds)
{
    __m512 a[ACCUMULATORS], x = _mm512_set1_ps(0.999F), y = _mm512_set1_ps(1e-6F);
    for (int i = 0; i < ACCUMULATORS; i++) a[i] = _mm512_set1_ps(1e-3F * (float)i);
    for (int64_t k = 0; k < rounds; k++) {
#    pragma GCC unroll 12
        for (int i = 0; i < ACCUMULATORS; i++) a[i] = _mm512_fmadd_ps(a[i], x, y);
    }
    float sum = 0;
    for (int i = 0; i < ACCUMULATORS; i++) sum += _mm512_reduce_add_ps(a[i]);
    return sum;
}

__attribute__((target("avx2,fma"))) static float spin_avx2(int64_t rounds)
{
    __m256 a[ACCUMULATORS], x = _mm256_set1_ps(0.999F), y = _mm256_set1_ps(1e-6F);
    for (int i = 0; i < ACCUMULATORS; i++) a[i] = _mm256_set1_ps(1e-3F * (float)i);
    for (int64_t k = 0; k < rounds; k++) {
#    pragma GCC unroll 12
        for (int i = 0; i < ACCUMULATORS; i++) a[i] = _mm256_fmadd_ps(a[i], x, y);
    }
    float sum = 0;
    for (int i = 0; i < ACCUMULATORS; i++) {
        float lanes[8];
        _mm256_storeu_ps(lanes, a[i]);
        for (int j = 0; j < 8; j++) sum += lanes[j];
    }
    return sum;
}
#endif

static float spin_portable(int64_t rounds)
{
    float a[ACCUMULATORS * 4];
    for (int i = 0; i < ACCUMULATORS * 4; i++) a[i] = 1e-3F * (float)i;
    for (int64_t k = 0; k < rounds; k++)
        for (int i = 0; i < ACCUMULATORS * 4; i++) a[i] = a[i] * 0.999F + 1e-6F;
    float sum = 0;
    for (int i = 0; i < ACCUMULATORS * 4; i++) sum += a[i];
    return sum;
}

typedef struct spin_kernel {
    float (*spin)(int64_t rounds);
    int lanes;
} spin_kernel;

static spin_kernel widest(void)
{
#ifdef __x86_64__
    if (bdpo_isa_active() == BDPO_ISA_avx512) return (spin_kernel){spin_avx512, 16};
    if (bdpo_isa_active() == BDPO_ISA_avx2) return (spin_kernel){spin_avx2, 8};
#endif
    return (spin_kernel){spin_portable, 4};
}

double bench_peak_gflops(int n_threads)
{
    static double known;
    static int known_threads;
    if (known_threads == n_threads) return known;
    spin_kernel k = widest();
    int64_t rounds = 4000000;
    float sink = 0;
    known = 0;
    for (int sample = 0; sample < 12; sample++) {
        double start = now_s();
#pragma omp parallel num_threads(n_threads) reduction(+ : sink)
        sink += k.spin(rounds);
        double flops = 2.0 * (double)n_threads * (double)rounds * ACCUMULATORS * k.lanes;
        double rate = flops / (now_s() - start) * 1e-9;
        if (rate > known) known = rate;
    }
    if (sink == 12345.0F) known = 0; // never: keeps the sums alive
    known_threads = n_threads;
    return known;
}

double bench_bandwidth_gbs(int n_threads)
{
    static double known;
    static int known_threads;
    if (known_threads == n_threads) return known;
    const int64_t count = 1 << 25; // 128 MiB an array: past any cache but the largest shared ones
    float *x = bdpo_alloc_aligned((size_t)count * sizeof *x);
    float *y = bdpo_alloc_aligned((size_t)count * sizeof *y);
    known = 0;
    for (int sample = 0; x && y && sample < 8; sample++) {
        double start = now_s();
#pragma omp parallel for num_threads(n_threads) schedule(static)
        for (int64_t i = 0; i < count; i++) {
            x[i] = sample == 0 ? 1.0F : x[i];
            y[i] = sample == 0 ? 2.0F : y[i] + 0.5F * x[i];
        }
        double rate = 3.0 * (double)count * sizeof *x / (now_s() - start) * 1e-9;
        if (sample > 0 && rate > known) known = rate; // the first one touches the pages
    }
    bdpo_free_aligned(x);
    bdpo_free_aligned(y);
    known_threads = n_threads;
    return known;
}

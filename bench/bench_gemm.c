// The matrix product at the linear layers of the SD 1.5 and SDXL UNets (batch 2), at small layers
// and at the two products of attention. A layer's lines are forward (NT), input_grad (NN) and
// weight_grad (TN), under its rows x outputs x inputs; bench/torch_linear.py writes the same. Where
// the build has a library, the same call is timed on it: the ratio is the library's time over ours.
#include "bench.h"

#include <math.h>
#include <stdio.h>

#include "base/memory.h"
#include "kernels/gemm.h"

typedef struct shape {
    int64_t m, n, k;
} shape;

// Rows of tokens, output width, input width.
static const shape sd15_layers[] = {
    {8192, 320, 320},   {8192, 2560, 320}, {8192, 320, 1280},  {2048, 640, 640},  {2048, 5120, 640},
    {2048, 640, 2560},  {512, 1280, 1280}, {512, 10240, 1280}, {512, 1280, 5120}, {128, 1280, 1280},
    {128, 10240, 1280}, {154, 320, 768},   {2, 1280, 1280},
};
// Widths 640 and 1280 with their GEGLU, and a text context 2048 wide.
static const shape sdxl_layers[] = {
    {8192, 640, 640},   {8192, 5120, 640},   {8192, 640, 2560},
    {2048, 1280, 1280}, {2048, 10240, 1280}, {2048, 1280, 5120},
    {154, 640, 2048},   {154, 1280, 2048},   {2, 1280, 2816},
};
static const shape small_layers[] = {
    {64, 64, 64},    {256, 64, 64},  {256, 512, 64},    {256, 64, 512},
    {256, 128, 128}, {1024, 64, 64}, {1024, 1024, 128}, {1024, 128, 512},
};
// Queries, keys, width of a head.
static const shape heads[] = {
    {4096, 4096, 40}, {1024, 1024, 80}, {256, 256, 32}, {4096, 77, 40}, {4096, 4096, 64}};

typedef struct call {
    bdpo_gemm_args args;
    void *workspace;
} call;

static void run(void *argument)
{
    const call *c = argument;
    bdpo_gemm(&c->args, c->workspace, bench_threads());
}

static float *filled(int64_t count)
{
    float *p = bdpo_alloc_aligned((size_t)count * sizeof *p);
    uint32_t seed = 1;
    for (int64_t i = 0; p != NULL && i < count; i++) {
        seed = seed * 1664525U + 1013904223U;
        p[i] = (float)(seed >> 8) * 0x1p-23F - 1.0F;
    }
    return p;
}

// A library that this build has, or BDPO_GEMM_OWN.
static bdpo_gemm_backend rival(const char **name)
{
    *name = "oneDNN";
    if (bdpo_gemm_force(BDPO_GEMM_DNNL) == BDPO_OK) return BDPO_GEMM_DNNL;
    *name = "OpenBLAS";
    if (bdpo_gemm_force(BDPO_GEMM_OPENBLAS) == BDPO_OK) return BDPO_GEMM_OPENBLAS;
    return BDPO_GEMM_OWN;
}

static double time_on(bdpo_gemm_backend backend, call *c)
{
    if (bdpo_gemm_force(backend) != BDPO_OK) return INFINITY;
    return bench_time(run, c);
}

typedef struct score {
    double log_sum;
    int count;
} score;

// Ours before and after the library's, so that both meet the same weather.
static void measure_call(const char *what, call *c, score *total)
{
    const char *name;
    bdpo_gemm_backend other = rival(&name);
    double ours = time_on(BDPO_GEMM_OWN, c), theirs = 0;
    if (other != BDPO_GEMM_OWN) {
        theirs = time_on(other, c);
        ours = fmin(ours, time_on(BDPO_GEMM_OWN, c));
    }
    bench_row(what, ours, 2.0 * (double)c->args.m * (double)c->args.n * (double)c->args.k, 0);
    if (other != BDPO_GEMM_OWN) {
        bench_against(what, ours, name, theirs);
        total->log_sum += log(theirs / ours);
        total->count++;
    }
    if (bdpo_gemm_force(BDPO_GEMM_BY_RULE) != BDPO_OK) bench_note("%s", "the rule is gone");
}

static void measure(const char *what, bool trans_a, bool trans_b, shape s, score *total)
{
    if (!bench_wanted(what)) return;
    float *a = filled(s.m * s.k), *b = filled(s.k * s.n), *out = filled(s.m * s.n);
    void *workspace =
        bdpo_alloc_aligned(bdpo_gemm_workspace(s.m, s.n, s.k, trans_a, trans_b, bench_threads()));
    call c = {.args = {.m = s.m,
                       .n = s.n,
                       .k = s.k,
                       .a = a,
                       .lda = trans_a ? s.m : s.k,
                       .trans_a = trans_a,
                       .b = b,
                       .ldb = trans_b ? s.k : s.n,
                       .trans_b = trans_b,
                       .c = out,
                       .ldc = s.n,
                       .alpha = 1},
              .workspace = workspace};
    if (a && b && out && workspace)
        measure_call(what, &c, total);
    else
        bench_note("%s: out of memory", what);
    bdpo_free_aligned(a);
    bdpo_free_aligned(b);
    bdpo_free_aligned(out);
    bdpo_free_aligned(workspace);
}

static void conclude(const score *total)
{
    if (total->count > 1)
        bench_note("geometric mean of %d ratios: x %.2f", total->count,
                   exp(total->log_sum / total->count));
}

typedef struct line_name {
    char text[64];
} line_name;

static line_name name_of(shape s, const char *product)
{
    line_name name;
    snprintf(name.text, sizeof name.text, "%lldx%lldx%lld/%s", (long long)s.m, (long long)s.n,
             (long long)s.k, product);
    return name;
}

static void measure_layers(const shape *layers, size_t count)
{
    score total = {0};
    for (size_t i = 0; i < count; i++) {
        shape s = layers[i];
        measure(name_of(s, "forward").text, false, true, s, &total);
        measure(name_of(s, "input_grad").text, false, false, (shape){s.m, s.k, s.n}, &total);
        measure(name_of(s, "weight_grad").text, true, false, (shape){s.n, s.k, s.m}, &total);
    }
    conclude(&total);
}

BDPO_BENCH(sd15)
{
    measure_layers(sd15_layers, BDPO_COUNTOF(sd15_layers));
}

BDPO_BENCH(sdxl)
{
    measure_layers(sdxl_layers, BDPO_COUNTOF(sdxl_layers));
}

BDPO_BENCH(small)
{
    measure_layers(small_layers, BDPO_COUNTOF(small_layers));
}

BDPO_BENCH(attention_products)
{
    score total = {0};
    for (size_t i = 0; i < BDPO_COUNTOF(heads); i++) {
        shape s = heads[i];
        measure(name_of(s, "scores").text, false, true, s, &total);
        measure(name_of(s, "values").text, false, false, (shape){s.m, s.k, s.n}, &total);
    }
    conclude(&total);
}

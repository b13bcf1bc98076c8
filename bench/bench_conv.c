// Convolutions at the shapes of the SD 1.5 and SDXL UNets at batch 2, and small ones at batch 16:
// forward, gradient to the input, gradient to the weight. GFLOP/s count the multiplications of the
// definition, so Winograd, which does fewer, may pass the FMA peak. bench/torch_conv.py writes the
// same lines.
#include "bench.h"

#include <stdio.h>

#include "base/memory.h"
#include "kernels/conv.h"

typedef struct bench_shape {
    int n, ci, co, size, kernel, stride;
} bench_shape;

static const bench_shape sd15_shapes[] = {
    {2, 320, 320, 64, 3, 1},   {2, 960, 320, 64, 3, 1},  {2, 320, 640, 32, 3, 1},
    {2, 640, 640, 32, 3, 1},   {2, 1280, 640, 32, 3, 1}, {2, 1280, 1280, 16, 3, 1},
    {2, 2560, 1280, 16, 3, 1}, {2, 1280, 1280, 8, 3, 1}, {2, 2560, 1280, 8, 3, 1},
    {2, 320, 320, 64, 3, 2},   {2, 640, 640, 32, 3, 2},  {2, 1280, 1280, 16, 3, 2},
    {2, 4, 320, 64, 3, 1},     {2, 320, 4, 64, 3, 1},    {2, 640, 640, 32, 1, 1},
};
// Levels of 320, 640 and 1280 channels, the concatenations on the way up, and what joins levels.
static const bench_shape sdxl_shapes[] = {
    {2, 320, 320, 128, 3, 1},  {2, 640, 320, 128, 3, 1},  {2, 960, 320, 128, 3, 1},
    {2, 640, 640, 64, 3, 1},   {2, 960, 640, 64, 3, 1},   {2, 1280, 640, 64, 3, 1},
    {2, 1920, 640, 64, 3, 1},  {2, 1280, 1280, 32, 3, 1}, {2, 1920, 1280, 32, 3, 1},
    {2, 2560, 1280, 32, 3, 1}, {2, 640, 640, 128, 3, 1},  {2, 1280, 1280, 64, 3, 1},
    {2, 320, 320, 128, 3, 2},  {2, 640, 640, 64, 3, 2},   {2, 4, 320, 128, 3, 1},
    {2, 320, 4, 128, 3, 1},    {2, 960, 320, 128, 1, 1},
};
static const bench_shape small_shapes[] = {
    {16, 32, 32, 32, 3, 1}, {16, 64, 64, 16, 3, 1},   {16, 128, 128, 8, 3, 1},
    {16, 64, 64, 32, 3, 1}, {16, 128, 128, 16, 3, 1},
};

typedef struct operands {
    bdpo_conv_shape shape;
    bdpo_conv_pass pass;
    bdpo_conv_algorithm algorithm;
    float *x, *w, *y;
    void *workspace;
} operands;

static float *filled(int64_t count)
{
    float *p = bdpo_alloc_aligned((size_t)count * sizeof *p);
    uint32_t seed = 1;
    for (int64_t i = 0; p != NULL && i < count; i++) {
        seed = seed * 1664525u + 1013904223u;
        p[i] = (float)((int32_t)(seed >> 8) - (1 << 23)) * 0x1p-23f;
    }
    return p;
}

static void run(void *argument)
{
    const operands *o = argument;
    const bdpo_conv_shape *s = &o->shape;
    int threads = bench_threads();
    switch (o->pass) {
    case BDPO_CONV_FORWARD:
        bdpo_conv_forward(s, o->y, s->co, o->x, s->ci, o->w, NULL, o->algorithm, o->workspace,
                          threads);
        break;
    case BDPO_CONV_INPUT_GRAD:
        bdpo_conv_input_grad(s, o->x, s->ci, o->y, s->co, o->w, o->algorithm, o->workspace,
                             threads);
        break;
    case BDPO_CONV_WEIGHT_GRAD:
        bdpo_conv_weight_grad(s, o->w, o->x, s->ci, o->y, s->co, false, o->algorithm, o->workspace,
                              threads);
        break;
    }
}

static bdpo_conv_shape conv_shape(const bench_shape *b)
{
    int pad = b->kernel / 2;
    int64_t out = bdpo_conv_output_size(b->size, b->kernel, b->stride, pad, pad);
    return (bdpo_conv_shape){.n = b->n,
                             .h = b->size,
                             .w = b->size,
                             .ci = b->ci,
                             .oh = out,
                             .ow = out,
                             .co = b->co,
                             .kh = b->kernel,
                             .kw = b->kernel,
                             .stride = b->stride,
                             .pad_top = pad,
                             .pad_left = pad};
}

static void measure_line(const char *what, operands *o)
{
    const bdpo_conv_shape *s = &o->shape;
    o->x = filled(s->n * s->h * s->w * s->ci);
    o->y = filled(s->n * s->oh * s->ow * s->co);
    o->w = filled(s->co * s->kh * s->kw * s->ci);
    o->workspace =
        bdpo_alloc_aligned(bdpo_conv_workspace(s, o->pass, o->algorithm, bench_threads()));
    double flops = 2.0 * (double)(s->n * s->oh * s->ow * s->kh * s->kw * s->ci * s->co);
    if (o->x == NULL || o->y == NULL || o->w == NULL || o->workspace == NULL)
        bench_note("%s: out of memory", what);
    else
        bench_measure(what, flops, 0, run, o);
    bdpo_free_aligned(o->x);
    bdpo_free_aligned(o->y);
    bdpo_free_aligned(o->w);
    bdpo_free_aligned(o->workspace);
}

// A line's name ends with the algorithm where that is not left to the rule.
static void measure(const bench_shape *b, bdpo_conv_pass pass, bdpo_conv_algorithm algorithm)
{
    static const char *const passes[] = {"forward", "input_grad", "weight_grad"};
    operands o = {.shape = conv_shape(b), .pass = pass, .algorithm = algorithm};
    if (!bdpo_conv_can_run(&o.shape, algorithm)) return;
    bool by_rule = algorithm == BDPO_CONV_AUTO;
    char what[96];
    snprintf(what, sizeof what, "n%d_%d_%d_%d_k%d_s%d/%s%s%s", b->n, b->ci, b->co, b->size,
             b->kernel, b->stride, passes[pass], by_rule ? "" : "_",
             by_rule ? "" : bdpo_conv_algorithm_name(algorithm));
    if (bench_wanted(what)) measure_line(what, &o);
}

// As the rule chooses.
static void measure_passes(const bench_shape *shapes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        measure(&shapes[i], BDPO_CONV_FORWARD, BDPO_CONV_AUTO);
        measure(&shapes[i], BDPO_CONV_INPUT_GRAD, BDPO_CONV_AUTO);
        measure(&shapes[i], BDPO_CONV_WEIGHT_GRAD, BDPO_CONV_AUTO);
    }
}

static void measure_algorithms(const bench_shape *b)
{
    for (int pass = BDPO_CONV_FORWARD; pass <= BDPO_CONV_WEIGHT_GRAD; pass++) {
        measure(b, (bdpo_conv_pass)pass, BDPO_CONV_DIRECT);
        measure(b, (bdpo_conv_pass)pass, BDPO_CONV_WINOGRAD4);
    }
}

BDPO_BENCH(sd15)
{
    measure_passes(sd15_shapes, BDPO_COUNTOF(sd15_shapes));
}

BDPO_BENCH(sdxl)
{
    measure_passes(sdxl_shapes, BDPO_COUNTOF(sdxl_shapes));
}

BDPO_BENCH(small)
{
    measure_passes(small_shapes, BDPO_COUNTOF(small_shapes));
}

// What the rule in conv.c rests on.
BDPO_BENCH(conv_algorithms)
{
    for (size_t i = 0; i < BDPO_COUNTOF(sd15_shapes); i++) measure_algorithms(&sd15_shapes[i]);
    for (size_t i = 0; i < BDPO_COUNTOF(small_shapes); i++) measure_algorithms(&small_shapes[i]);
}

// Images of few tiles, where transforming the weights may cost more than Winograd saves.
BDPO_BENCH(conv_few_tiles)
{
    static const int batches[] = {1, 2, 4}, channels[] = {16, 64, 128, 512}, sizes[] = {2, 4, 6, 8};
    for (size_t i = 0; i < BDPO_COUNTOF(batches); i++)
        for (size_t j = 0; j < BDPO_COUNTOF(channels); j++)
            for (size_t k = 0; k < BDPO_COUNTOF(sizes); k++)
                measure_algorithms(
                    &(bench_shape){batches[i], channels[j], channels[j], sizes[k], 3, 1});
}

// Norms, GEGLU and activations at the shapes of the SD 1.5 UNet and at small shapes. These are
// bound by memory where they do not fit a cache: GB/s count each operand once, though statistics
// need a second read.
#include "bench.h"

#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "kernels/elementwise.h"
#include "kernels/norm.h"

typedef struct operands {
    int64_t n, hw, c;
    bool silu;
    float *x, *y, *dy, *dx, *gamma, *beta, *dgamma, *dbeta, *stats;
    void *workspace;
} operands;

static bdpo_group_norm_shape group_shape(const operands *o)
{
    return (bdpo_group_norm_shape){o->n, o->hw, o->c, 32, 1e-5f, o->silu};
}

static void group_forward(void *argument)
{
    const operands *o = argument;
    bdpo_group_norm_shape s = group_shape(o);
    bdpo_group_norm_forward(o->y, o->c, o->stats, o->x, o->c, o->gamma, o->beta, &s, o->workspace,
                            bench_threads());
}

static void group_backward(void *argument)
{
    const operands *o = argument;
    bdpo_group_norm_shape s = group_shape(o);
    bdpo_group_norm_backward(o->dx, o->c, o->dgamma, o->dbeta, o->dy, o->c, o->x, o->c, o->stats,
                             o->gamma, o->beta, &s, false, false, o->workspace, bench_threads());
}

static void layer_forward(void *argument)
{
    const operands *o = argument;
    bdpo_layer_norm_forward(o->y, o->c, o->stats, o->x, o->c, o->gamma, o->beta, o->n * o->hw, o->c,
                            1e-5f, bench_threads());
}

static void layer_backward(void *argument)
{
    const operands *o = argument;
    bdpo_layer_norm_backward(o->dx, o->c, o->dgamma, o->dbeta, o->dy, o->c, o->x, o->c, o->stats,
                             o->gamma, o->n * o->hw, o->c, false, false, o->workspace,
                             bench_threads());
}

// c counts value and gate together.
static void geglu_forward(void *argument)
{
    const operands *o = argument;
    bdpo_geglu_forward(o->y, o->c / 2, o->x, o->c, o->n * o->hw, o->c / 2, bench_threads());
}

static void geglu_backward(void *argument)
{
    const operands *o = argument;
    bdpo_geglu_backward(o->dx, o->c, o->dy, o->c / 2, o->x, o->c, o->n * o->hw, o->c / 2,
                        bench_threads());
}

static void silu_forward(void *argument)
{
    const operands *o = argument;
    bdpo_unary_forward(o->y, o->c, o->x, o->c, o->n * o->hw, o->c, BDPO_UNARY_SILU, 0, 0,
                       bench_threads());
}

static void silu_backward(void *argument)
{
    const operands *o = argument;
    bdpo_unary_backward(o->dx, o->c, o->dy, o->c, o->x, o->c, o->n * o->hw, o->c, BDPO_UNARY_SILU,
                        0, 0, false, bench_threads());
}

static float *filled(int64_t count)
{
    float *p = bdpo_alloc_aligned((size_t)count * sizeof *p);
    uint32_t seed = 1;
    for (int64_t i = 0; p != NULL && i < count; i++) {
        seed = seed * 1664525u + 1013904223u;
        p[i] = (float)((int32_t)(seed >> 8) - (1 << 23)) * 0x1p-22f;
    }
    return p;
}

static bool operands_new(operands *o)
{
    int64_t count = o->n * o->hw * o->c;
    bdpo_group_norm_shape s = group_shape(o);
    size_t group = bdpo_group_norm_backward_workspace(&s);
    size_t fore = bdpo_group_norm_forward_workspace(&s);
    size_t layer = bdpo_layer_norm_backward_workspace(o->n * o->hw, o->c);
    if (fore > group) group = fore;
    o->workspace = bdpo_alloc_aligned(group > layer ? group : layer);
    o->stats = filled(2 * o->n * (o->hw > 32 ? o->hw : 32));
    o->x = filled(count), o->y = filled(count), o->dy = filled(count), o->dx = filled(count);
    o->gamma = filled(o->c), o->beta = filled(o->c);
    o->dgamma = filled(o->c), o->dbeta = filled(o->c);
    return o->workspace && o->stats && o->x && o->y && o->dy && o->dx && o->gamma && o->beta &&
           o->dgamma && o->dbeta;
}

static void operands_free(operands *o)
{
    float *all[] = {o->x, o->y, o->dy, o->dx, o->gamma, o->beta, o->dgamma, o->dbeta, o->stats};
    for (size_t i = 0; i < BDPO_COUNTOF(all); i++) bdpo_free_aligned(all[i]);
    bdpo_free_aligned(o->workspace);
}

// Half the width of GEGLU's result against its argument.
static void measure(int n, int size, int c, bool silu, bool half, void (*forward)(void *),
                    void (*backward)(void *))
{
    char fore[64], back[64];
    operands o = {.n = n, .hw = (int64_t)size * size, .c = c, .silu = silu};
    double bytes = 4.0 * (double)(o.n * o.hw * o.c), result = half ? 0.5 : 1;
    snprintf(fore, sizeof fore, "n%d_%d_%d/forward", n, size, c);
    snprintf(back, sizeof back, "n%d_%d_%d/backward", n, size, c);
    if (!bench_wanted(fore) && !bench_wanted(back)) return;
    if (operands_new(&o)) {
        forward(&o);
        bench_measure(fore, 0, (1 + result) * bytes, forward, &o);
        bench_measure(back, 0, (2 + result) * bytes, backward, &o);
    } else {
        bench_note("%s: out of memory", fore);
    }
    operands_free(&o);
}

static void measure_all(int factor, bool silu, bool half, void (*forward)(void *),
                        void (*backward)(void *))
{
    static const int shapes[][3] = {{2, 64, 320}, {2, 32, 640}, {2, 16, 1280},
                                    {2, 8, 1280}, {16, 16, 64}, {16, 8, 128}};
    for (size_t i = 0; i < BDPO_COUNTOF(shapes); i++)
        measure(shapes[i][0], shapes[i][1], factor * shapes[i][2], silu, half, forward, backward);
}

BDPO_BENCH(group_norm)
{
    measure_all(1, false, false, group_forward, group_backward);
}
BDPO_BENCH(group_norm_silu)
{
    measure_all(1, true, false, group_forward, group_backward);
}
BDPO_BENCH(layer_norm)
{
    measure_all(1, false, false, layer_forward, layer_backward);
}
BDPO_BENCH(geglu)
{
    measure_all(8, false, true, geglu_forward, geglu_backward);
}
BDPO_BENCH(silu)
{
    measure_all(1, false, false, silu_forward, silu_backward);
}

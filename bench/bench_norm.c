// Norms, GEGLU and activations at the shapes of the SD 1.5 and SDXL UNets and at small shapes. They
// are bound by memory where they do not fit a cache: GB/s count each operand once, though
// statistics need a second read.
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

// The least that a norm moves, forward and backward, without its second read.
static void bound_forward(void *argument)
{
    const operands *o = argument;
    bdpo_scale_shift(o->y, o->c, o->x, o->c, 2, 1, o->n * o->hw, o->c, bench_threads());
}

static void bound_backward(void *argument)
{
    const operands *o = argument;
    bdpo_scaled_add(o->dx, o->c, 2, o->dy, o->c, 3, o->x, o->c, o->n * o->hw, o->c,
                    bench_threads());
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

// One operator: how it is called, and what of its operands.
typedef struct subject {
    void (*forward)(void *), (*backward)(void *);
    bool silu, geglu; // geglu: the argument is 8 times as wide, the result half of that
} subject;

static void measure(const subject *op, const char *set, int n, int size, int c)
{
    char fore[64], back[64];
    if (op->geglu) c *= 8;
    operands o = {.n = n, .hw = (int64_t)size * size, .c = c, .silu = op->silu};
    double bytes = 4.0 * (double)(o.n * o.hw * o.c), result = op->geglu ? 0.5 : 1;
    snprintf(fore, sizeof fore, "%s_n%d_%d_%d/forward", set, n, size, c);
    snprintf(back, sizeof back, "%s_n%d_%d_%d/backward", set, n, size, c);
    bool wanted = bench_wanted(fore);
    if (!bench_wanted(back) && !wanted) return;
    if (operands_new(&o)) {
        op->forward(&o); // the backward pass reads its statistics
        bench_measure(fore, 0, (1 + result) * bytes, op->forward, &o);
        bench_measure(back, 0, (2 + result) * bytes, op->backward, &o);
    } else {
        bench_note("%s: out of memory", fore);
    }
    operands_free(&o);
}

static void measure_all(const subject *op)
{
    static const struct {
        const char *set;
        int n, size, c;
    } rows[] = {{"sd15", 2, 64, 320},  {"sd15", 2, 32, 640},  {"sd15", 2, 16, 1280},
                {"sd15", 2, 8, 1280},  {"sdxl", 2, 128, 320}, {"sdxl", 2, 64, 640},
                {"sdxl", 2, 32, 1280}, {"small", 16, 16, 64}, {"small", 16, 8, 128}};
    for (size_t i = 0; i < BDPO_COUNTOF(rows); i++)
        measure(op, rows[i].set, rows[i].n, rows[i].size, rows[i].c);
}

BDPO_BENCH(group_norm)
{
    measure_all(&(subject){group_forward, group_backward, false, false});
}
BDPO_BENCH(group_norm_silu)
{
    measure_all(&(subject){group_forward, group_backward, true, false});
}
BDPO_BENCH(bound_of_norms)
{
    measure_all(&(subject){bound_forward, bound_backward, false, false});
}
BDPO_BENCH(layer_norm)
{
    measure_all(&(subject){layer_forward, layer_backward, false, false});
}
BDPO_BENCH(geglu)
{
    measure_all(&(subject){geglu_forward, geglu_backward, false, true});
}
BDPO_BENCH(silu)
{
    measure_all(&(subject){silu_forward, silu_backward, false, false});
}

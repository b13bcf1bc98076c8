// Attention at the shapes of the SD 1.5 and SDXL UNets at batch 2 (self, and cross over 77 text
// tokens) and at small shapes, forward and backward; q, k and v are slices of rows, as a model has
// them. FLOPs: 4 n heads tq tk d forward, 10 backward.
#include "bench.h"

#include <math.h>
#include <stdio.h>

#include "base/memory.h"
#include "kernels/tiled_attention.h"

typedef struct operands {
    bdpo_attention_shape s;
    int64_t ld;
    float *q, *k, *v, *y, *lse, *dy, *dq, *dk, *dv;
    void *workspace;
} operands;

static void forward(void *argument)
{
    const operands *o = argument;
    bdpo_attention_forward(o->y, o->ld, o->lse, o->q, o->ld, o->k, o->ld, o->v, o->ld, &o->s,
                           o->workspace, bench_threads());
}

static void backward(void *argument)
{
    const operands *o = argument;
    bdpo_attention_backward(o->dq, o->ld, o->dk, o->ld, o->dv, o->ld, o->dy, o->ld, o->y, o->ld,
                            o->lse, o->q, o->ld, o->k, o->ld, o->v, o->ld, &o->s, o->workspace,
                            bench_threads());
}

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

static void run_both(operands *o, const char *name)
{
    char what[96];
    const bdpo_attention_shape *s = &o->s;
    double flops = 4.0 * (double)(s->n * s->heads * s->tq * s->tk * s->head_size);
    forward(o); // the backward pass reads its results
    snprintf(what, sizeof what, "%s/forward", name);
    bench_measure(what, flops, 0, forward, o);
    snprintf(what, sizeof what, "%s/backward", name);
    bench_measure(what, 2.5 * flops, 0, backward, o);
}

static void measure(int n, int tq, int tk, int heads, int d)
{
    char name[64], lines[160];
    snprintf(name, sizeof name, "n%d_%dx%d_h%d_d%d", n, tq, tk, heads, d);
    snprintf(lines, sizeof lines, "%s/forward", name);
    bool wanted = bench_wanted(lines);
    snprintf(lines, sizeof lines, "%s/backward", name);
    if (!bench_wanted(lines) && !wanted) return;
    operands o = {.s = {n, tq, tk, heads, d, 1 / sqrtf((float)d), false, NULL},
                  .ld = (int64_t)heads * d};
    size_t fore = bdpo_attention_forward_workspace(&o.s, bench_threads());
    size_t back = bdpo_attention_backward_workspace(&o.s, bench_threads());
    float **const by_query[] = {&o.q, &o.y, &o.dy, &o.dq},
                  **const by_key[] = {&o.k, &o.v, &o.dk, &o.dv};
    o.workspace = bdpo_alloc_aligned(fore > back ? fore : back);
    o.lse = filled((int64_t)n * heads * tq);
    bool complete = o.workspace && o.lse;
    for (int i = 0; i < 4; i++) {
        *by_query[i] = filled((int64_t)n * tq * o.ld);
        *by_key[i] = filled((int64_t)n * tk * o.ld);
        complete = complete && *by_query[i] && *by_key[i];
    }
    if (complete)
        run_both(&o, name);
    else
        bench_note("%s: out of memory", name);
    for (int i = 0; i < 4; i++) {
        bdpo_free_aligned(*by_query[i]);
        bdpo_free_aligned(*by_key[i]);
    }
    bdpo_free_aligned(o.workspace);
    bdpo_free_aligned(o.lse);
}

BDPO_BENCH(sd15)
{
    measure(2, 4096, 4096, 8, 40);
    measure(2, 1024, 1024, 8, 80);
    measure(2, 256, 256, 8, 160);
    measure(2, 64, 64, 8, 160);
    measure(2, 4096, 77, 8, 40);
    measure(2, 1024, 77, 8, 80);
    measure(2, 256, 77, 8, 160);
    measure(2, 64, 77, 8, 160);
}

BDPO_BENCH(sdxl)
{
    measure(2, 4096, 4096, 10, 64);
    measure(2, 1024, 1024, 20, 64);
    measure(2, 4096, 77, 10, 64);
    measure(2, 1024, 77, 20, 64);
}

BDPO_BENCH(small)
{
    measure(16, 256, 256, 4, 16);
    measure(16, 64, 64, 4, 32);
    measure(16, 256, 256, 4, 32);
    measure(16, 64, 64, 4, 16);
}

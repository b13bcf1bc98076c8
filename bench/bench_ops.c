// Every operator on the cases of its own tests: value, and value with all gradients. The shapes
// are small, so this shows what a node costs beside its work.
#include "bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "graph/op.h"

typedef struct case_plan {
    bdpo_engine *engine;
    bdpo_graph *g;
    bdpo_plan *plan;
    bdpo_node *in[BDPO_MAX_INPUTS + 1]; // the last one: the cotangent
} case_plan;

static void check(bdpo_status status)
{
    if (status == BDPO_OK) return;
    fprintf(stderr, "bench_ops: %s\n", bdpo_message());
    exit(1);
}

static bool is_smooth(bdpo_case_fill fill)
{
    return fill == BDPO_FILL_NORMAL || fill == BDPO_FILL_UNIFORM || fill == BDPO_FILL_POSITIVE;
}

static bdpo_dtype dtype_of(bdpo_case_fill fill)
{
    if (is_smooth(fill) || fill == BDPO_FILL_COUNT) return BDPO_F32;
    return fill == BDPO_FILL_CODE ? BDPO_U8 : BDPO_I32;
}

// Floats between 0.5 and 1, whole numbers 0: valid for every operator.
static void write_input(bdpo_plan *plan, const char *name, const bdpo_node *node)
{
    bdpo_shape shape = bdpo_node_shape(node);
    bdpo_dtype dtype = bdpo_node_dtype(node);
    size_t count = (size_t)bdpo_shape_count(&shape), size = bdpo_dtype_size(dtype);
    if (dtype == BDPO_BF16 || dtype == BDPO_F16) size = sizeof(float);
    void *data = bdpo_alloc(count, size);
    if (!data) check(BDPO_NO_MEMORY);
    for (size_t i = 0; i < count && dtype != BDPO_I32 && dtype != BDPO_U8; i++)
        ((float *)data)[i] = 0.5F + 0.5F * (float)(i % 97) / 97.0F;
    check(bdpo_plan_write(plan, name, data, count * size));
    bdpo_free(data);
}

static unsigned differentiable(const bdpo_op *op, const bdpo_op_case *c)
{
    unsigned bits = 0;
    for (int i = 0; op->grad != bdpo_no_grad && i < BDPO_MAX_INPUTS; i++)
        if (c->in[i].shape.n_dims && is_smooth(c->in[i].fill)) bits |= 1u << i;
    return bits;
}

static bdpo_node *build_inputs(case_plan *p, const bdpo_op *op, const bdpo_op_case *c,
                               unsigned toward)
{
    int n_in = 0;
    for (int i = 0; i < BDPO_MAX_INPUTS; i++) {
        if (!c->in[i].shape.n_dims) continue;
        char name[16];
        snprintf(name, sizeof name, "in%d", i);
        p->in[i] = bdpo_input(p->g, name, dtype_of(c->in[i].fill), c->in[i].shape);
        if (toward & 1u << i) bdpo_require_grad(p->in[i]);
        n_in = i + 1;
    }
    return bdpo_node_new(p->g, op, c->attrs, p->in, n_in);
}

static void add_gradients(case_plan *p, bdpo_node *y, unsigned toward)
{
    bdpo_node *x[BDPO_MAX_INPUTS], *dx[BDPO_MAX_INPUTS], *dy;
    int n = 0;
    dy = p->in[BDPO_MAX_INPUTS] = bdpo_input(p->g, "dy", y->out[0].dtype, y->out[0].shape);
    for (int i = 0; i < BDPO_MAX_INPUTS; i++)
        if (toward & 1u << i) x[n++] = p->in[i];
    bdpo_gradients(p->g, y, dy, x, n, dx);
    for (int i = 0; i < n; i++) {
        char name[16];
        snprintf(name, sizeof name, "dx%d", i);
        if (dx[i]) bdpo_output(p->g, name, dx[i]);
    }
}

static void run_plan(void *plan)
{
    check(bdpo_plan_run(plan));
}

static void bench_case(const bdpo_op *op, const bdpo_op_case *c, unsigned toward)
{
    char what[128];
    snprintf(what, sizeof what, "%s/%s%s", op->name, c->name, toward ? "/gradient" : "");
    if (!bench_wanted(what)) return;
    case_plan p = {0};
    check(bdpo_engine_new(&p.engine, &(bdpo_engine_options){.n_threads = bench_threads()}));
    check(bdpo_graph_new(&p.g, NULL));
    bdpo_node *y = build_inputs(&p, op, c, toward);
    check(bdpo_graph_check(p.g));
    bdpo_output(p.g, "y", y);
    if (toward) add_gradients(&p, y, toward);
    check(bdpo_plan_new(&p.plan, p.engine, p.g, &(bdpo_plan_options){0}));
    for (int i = 0; i <= BDPO_MAX_INPUTS; i++) {
        char name[16];
        if (i < BDPO_MAX_INPUTS)
            snprintf(name, sizeof name, "in%d", i);
        else
            snprintf(name, sizeof name, "dy");
        if (p.in[i]) write_input(p.plan, name, p.in[i]);
    }
    bdpo_plan_cost cost = bdpo_plan_costs(p.plan);
    bench_measure(what, (double)cost.flops, (double)cost.bytes, run_plan, p.plan);
    bdpo_plan_free(p.plan);
    bdpo_graph_free(p.g);
    bdpo_engine_free(p.engine);
}

BDPO_BENCH(cases)
{
    for (int i = 0; i < bdpo_n_ops; i++) {
        const bdpo_op *op = bdpo_op_list[i].op;
        for (size_t k = 0; k < op->n_cases; k++) {
            const bdpo_op_case *c = &op->cases[k];
            if (c->refused || op->mutates)
                continue; // what changes the store has benches of its own
            bench_case(op, c, 0);
            if (differentiable(op, c)) bench_case(op, c, differentiable(op, c));
        }
    }
}

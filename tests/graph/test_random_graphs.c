// Random graphs: whatever is built, a plan gives the bits that its kernels give one by one, in any
// order, on poisoned memory, and with segments computed again; and its program is sound.
#include <stdlib.h>

#include "graph/plan_check.h"
#include "graph/random_graph.h"
#include "graph/store.h"
#include "harness.h"
#include "ops/op_eval.h"

enum { QUICK_SEEDS = 40, FULL_SEEDS = 300 };

typedef struct world {
    bdpo_engine *engine;
    bdpo_store *store;
    int64_t n_gradients; // elements of all trainable parameters
} world;

static world world_new(const char *backend)
{
    world w = {0};
    CHECK_OK(
        bdpo_engine_new(&w.engine, &(bdpo_engine_options){.backend = backend, .n_threads = 1}));
    w.store = random_store_new(w.engine);
    for (int i = 0; i < bdpo_store_count(w.store); i++) {
        const bdpo_param_info *param = bdpo_store_at(w.store, i);
        if (param->trainable) w.n_gradients += bdpo_shape_count(&param->shape);
    }
    return w;
}

static void world_free(world *w)
{
    bdpo_store_free(w->store);
    bdpo_engine_free(w->engine);
}

// All outputs, then all gradients.
typedef struct result {
    float *values;
    size_t count;
} result;

static int64_t count_outputs(const bdpo_graph *g)
{
    int64_t count = 0;
    for (int i = 0; i < g->outputs.count; i++)
        count += bdpo_shape_count(&g->outputs.at[i].node->out[0].shape);
    return count;
}

static result result_new(const world *w, const bdpo_graph *g)
{
    result r = {.count = (size_t)(count_outputs(g) + w->n_gradients)};
    r.values = bdpo_alloc(r.count, sizeof *r.values);
    CHECK(r.values != NULL);
    return r;
}

static void check_same(const result *a, const result *b, const char *what, uint64_t seed)
{
    CHECK_U64(a->count, b->count);
    for (size_t i = 0; i < a->count; i++)
        if (memcmp(&a->values[i], &b->values[i], sizeof *a->values) != 0)
            FAIL("seed %llu: %s: element %zu is %.9g and %.9g", (unsigned long long)seed, what, i,
                 (double)a->values[i], (double)b->values[i]);
}

// ---- kernel by kernel --------------------------------------------------------------------------

static void set_leaves(op_eval *e, const world *w, const bdpo_graph *g)
{
    for (int i = 0; i < g->inputs.count; i++) {
        const bdpo_node *node = g->inputs.at[i].node;
        const bdpo_value *v = &node->out[0];
        size_t count = (size_t)bdpo_shape_count(&v->shape);
        void *data = op_eval_alloc(e->arena, count, bdpo_dtype_size(v->dtype));
        random_graph_input(&g->inputs.at[i], data, count * bdpo_dtype_size(v->dtype));
        e->value[node->id][0] = (bdpo_tensor){v->dtype, v->shape, v->row_stride, data};
    }
    for (int i = 0; i < g->n_nodes; i++) {
        const bdpo_node *node = g->nodes[i];
        if (node->op != &bdpo_op_state) continue;
        const bdpo_state_attrs *at = node->attrs;
        const bdpo_value *v = &node->out[0];
        e->value[i][0] = (bdpo_tensor){v->dtype, v->shape, v->row_stride,
                                       bdpo_store_address(w->store, at->kind, at->param)};
    }
}

static int64_t gradient_offset(const world *w, int index)
{
    int64_t offset = 0;
    for (int i = 0; i < index; i++) {
        const bdpo_param_info *param = bdpo_store_at(w->store, i);
        if (param->trainable) offset += bdpo_shape_count(&param->shape);
    }
    return offset;
}

static void copy_out(float *out, const bdpo_tensor *t, bool add)
{
    int64_t cols = bdpo_shape_cols(&t->shape);
    for (int64_t i = 0; i < bdpo_shape_count(&t->shape); i++) {
        float value = (float)op_element(t, i / cols, i % cols);
        out[i] = add ? out[i] + value : value;
    }
}

static result evaluate(const world *w, uint64_t seed)
{
    random_graph r = random_graph_new(w->store, seed, false, true);
    const bdpo_graph *g = r.graph;
    result out = result_new(w, g);
    op_eval e;
    bdpo_arena *arena;
    CHECK_OK(bdpo_arena_new(&arena));
    op_eval_init(&e, arena, g,
                 (op_variant){.name = "plain", .isa = bdpo_isa_active(), .n_threads = 1});
    set_leaves(&e, w, g);
    bdpo_node **roots = op_eval_alloc(arena, (size_t)g->n_nodes, sizeof *roots);
    int n_roots = 0;
    for (int i = 0; i < g->outputs.count; i++) roots[n_roots++] = g->outputs.at[i].node;
    for (int i = 0; i < g->n_nodes; i++)
        if (g->nodes[i]->op == &bdpo_op_grad_accumulate) roots[n_roots++] = g->nodes[i]->in[1];
    if (!op_eval_run(&e, g, roots, n_roots)) FAIL("seed %llu: %s", (unsigned long long)seed, e.why);
    float *at = out.values;
    for (int i = 0; i < g->outputs.count; i++) {
        const bdpo_tensor *t = &e.value[g->outputs.at[i].node->id][0];
        copy_out(at, t, false);
        at += bdpo_shape_count(&t->shape);
    }
    for (int i = 0; i < g->n_nodes; i++) {
        const bdpo_node *sum = g->nodes[i];
        if (sum->op != &bdpo_op_grad_accumulate) continue;
        int index = ((const bdpo_state_attrs *)sum->in[0]->attrs)->param;
        copy_out(at + gradient_offset(w, index), &e.value[sum->in[1]->id][0], true);
    }
    bdpo_arena_free(arena);
    bdpo_graph_free(r.graph);
    return out;
}

// ---- planned -----------------------------------------------------------------------------------

static void write_inputs(bdpo_plan *plan, const bdpo_graph *g)
{
    for (int i = 0; i < g->inputs.count; i++) {
        const bdpo_value *v = &g->inputs.at[i].node->out[0];
        size_t count = (size_t)bdpo_shape_count(&v->shape), size = bdpo_dtype_size(v->dtype);
        void *data = bdpo_alloc(count, size);
        CHECK(data != NULL);
        random_graph_input(&g->inputs.at[i], data, count * size);
        CHECK_OK(bdpo_plan_write(plan, g->inputs.at[i].name, data, count * size));
        bdpo_free(data);
    }
}

static void read_result(const world *w, bdpo_plan *plan, const bdpo_graph *g, result *out)
{
    float *at = out->values;
    for (int i = 0; i < g->outputs.count; i++) {
        size_t count = (size_t)bdpo_shape_count(&g->outputs.at[i].node->out[0].shape);
        CHECK_OK(bdpo_plan_read(plan, g->outputs.at[i].name, at, count * sizeof *at));
        at += count;
    }
    for (int i = 0; i < bdpo_store_count(w->store); i++) {
        const bdpo_param_info *param = bdpo_store_at(w->store, i);
        size_t count = (size_t)bdpo_shape_count(&param->shape);
        if (!param->trainable) continue;
        CHECK_OK(bdpo_store_read(w->store, BDPO_GRAD, param->name, at, count * sizeof *at));
        at += count;
    }
}

static void zero_gradients(const world *w)
{
    for (int b = 0; b < bdpo_store_bucket_count(w->store); b++) {
        size_t bytes;
        void *data = bdpo_store_bucket_data(w->store, BDPO_GRAD, b, &bytes);
        if (data) memset(data, 0, bytes);
    }
}

static void check_peak(const bdpo_plan *plan, uint64_t seed)
{
    size_t bound, sum = 0;
    CHECK_OK(bdpo_memory_bound(plan->intervals, plan->n_intervals, &bound));
    for (int i = 0; i < plan->n_intervals; i++) sum += plan->intervals[i].bytes;
    if (plan->peak_bytes < bound || plan->peak_bytes > sum)
        FAIL("seed %llu: peak %zu is not between %zu and %zu", (unsigned long long)seed,
             plan->peak_bytes, bound, sum);
}

static result run(const world *w, uint64_t seed, bool checkpointing,
                  const bdpo_plan_options *options)
{
    random_graph r = random_graph_new(w->store, seed, checkpointing, false);
    bdpo_plan *plan;
    CHECK_OK(bdpo_plan_new(&plan, w->engine, r.graph, options));
    bool computes = strcmp(bdpo_engine_backend(w->engine), "null") != 0;
    result out = result_new(w, r.graph);
    write_inputs(plan, r.graph);
    if (computes) zero_gradients(w);
    CHECK_OK(bdpo_plan_run(plan));
    if (computes) read_result(w, plan, r.graph, &out);
    check_peak(plan, seed);
    const char *why = plan_check(plan, w->store, options->compute_dtype);
    if (why)
        FAIL("seed %llu, checkpointing %d, order %llu: %s", (unsigned long long)seed, checkpointing,
             (unsigned long long)options->shuffle_seed, why);
    bdpo_plan_free(plan);
    bdpo_graph_free(r.graph);
    return out;
}

static void check_finite(const result *r, uint64_t seed)
{
    for (size_t i = 0; i < r->count; i++)
        if (!isfinite(r->values[i])) FAIL("seed %llu: not finite", (unsigned long long)seed);
}

static void try_seed(const world *w, uint64_t seed, bdpo_dtype dtype)
{
    bdpo_plan_options plain = {.compute_dtype = dtype};
    bdpo_plan_options hard = {.compute_dtype = dtype, .shuffle_seed = seed + 1, .poison = true};
    result base = run(w, seed, false, &plain), other;
    check_finite(&base, seed);
    if (dtype == BDPO_F32 && seed % 5 != 0) { // a second backward pass adds to what is not zero
        other = evaluate(w, seed);
        check_same(&base, &other, "planned, kernel by kernel", seed);
        bdpo_free(other.values);
    }
    other = run(w, seed, false, &hard);
    check_same(&base, &other, "in order, shuffled and poisoned", seed);
    bdpo_free(other.values);
    other = run(w, seed, true, &plain);
    check_same(&base, &other, "kept, computed again", seed);
    bdpo_free(other.values);
    other = run(w, seed, true, &hard);
    check_same(&base, &other, "kept, computed again and shuffled", seed);
    bdpo_free(other.values);
    bdpo_free(base.values);
}

static void try_seeds(uint64_t first, uint64_t count, bdpo_dtype dtype)
{
    world w = world_new("cpu");
    for (uint64_t seed = first; seed < first + count; seed++) try_seed(&w, seed, dtype);
    world_free(&w);
}

BDPO_TEST(random_graphs_give_the_same_bits)
{
    try_seeds(1, QUICK_SEEDS, BDPO_F32);
}

BDPO_TEST(random_graphs_give_the_same_bits_in_bf16)
{
    try_seeds(1, QUICK_SEEDS, BDPO_BF16);
}

// Half-width storage lies in memory only where kernels take it; there is nothing to compute.
BDPO_TEST(random_graphs_are_planned_in_half_width)
{
    world w = world_new("null");
    for (uint64_t seed = 1; seed <= QUICK_SEEDS; seed++)
        for (int checkpointing = 0; checkpointing < 2; checkpointing++) {
            bdpo_plan_options options = {.compute_dtype = BDPO_BF16, .shuffle_seed = seed % 3};
            result r = run(&w, seed, checkpointing, &options);
            bdpo_free(r.values);
        }
    world_free(&w);
}

BDPO_TEST_FULL(many_random_graphs_give_the_same_bits)
{
    try_seeds(1000, FULL_SEEDS, BDPO_F32);
    try_seeds(1000, FULL_SEEDS, BDPO_BF16);
}

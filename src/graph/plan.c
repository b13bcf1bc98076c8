// Compiling a graph into a program, and running it.
#include "graph/plan.h"

#include <string.h>

#include "graph/store.h"

// ---- compile -----------------------------------------------------------------------------------

static bdpo_status check_kernels(const bdpo_plan *plan)
{
    const bdpo_backend *backend = plan->engine->backend;
    for (int i = 0; i < plan->list.count; i++) {
        const bdpo_node *node = plan->list.at[i];
        if (bdpo_node_computes(node) && !backend->has_kernel(node->op))
            return bdpo_fail(BDPO_UNSUPPORTED, "the %s backend has no kernel for operator \"%s\"",
                             backend->name, node->op->name);
    }
    return BDPO_OK;
}

static bdpo_tensor describe(const bdpo_value *value)
{
    return (bdpo_tensor){
        .dtype = value->dtype, .shape = value->shape, .row_stride = value->row_stride};
}

static void fill_step(const bdpo_plan *plan, bdpo_step *step, const bdpo_node *node)
{
    step->call = (bdpo_op_call){.op = node->op,
                                .attrs = node->attrs,
                                .n_in = node->n_in,
                                .n_out = node->n_out,
                                .accumulate = node->accumulate,
                                .n_threads = plan->engine->n_threads};
    for (int i = 0; i < node->n_in; i++)
        if (node->in[i]) step->call.in[i] = describe(&node->in[i]->out[0]);
    for (int k = 0; k < node->n_out; k++) step->call.out[k] = describe(&node->out[k]);
    if (plan->workspace[node->id] >= 0)
        step->call.workspace_bytes = plan->intervals[plan->workspace[node->id]].bytes;
    step->round_outputs = node->round_outputs;
}

static bdpo_status make_steps(bdpo_plan *plan)
{
    size_t n = (size_t)plan->list.count + 1;
    plan->program.steps = bdpo_arena_alloc(plan->arena, n, sizeof *plan->program.steps);
    plan->step_node = bdpo_arena_alloc(plan->arena, n, sizeof *plan->step_node);
    if (!plan->program.steps || !plan->step_node)
        return bdpo_fail(BDPO_NO_MEMORY, "no memory for a program of %d steps", plan->list.count);
    for (int i = 0; i < plan->list.count; i++) {
        if (!bdpo_node_computes(plan->list.at[i])) continue;
        int step = plan->program.n_steps++;
        plan->step_node[step] = i;
        fill_step(plan, &plan->program.steps[step], plan->list.at[i]);
    }
    return BDPO_OK;
}

// last[bucket]: the node after which its gradient is complete, -1: it has none in this plan.
static int *find_last_contributions(bdpo_plan *plan, int n_buckets)
{
    int *last = bdpo_arena_alloc(plan->arena, (size_t)n_buckets, sizeof *last);
    for (int b = 0; last && b < n_buckets; b++) last[b] = -1;
    for (int i = 0; last && i < plan->list.count; i++) {
        const bdpo_node *sum = plan->list.at[i];
        if (sum->op != &bdpo_op_grad_accumulate) continue;
        int bucket = ((const bdpo_state_attrs *)sum->in[0]->attrs)->bucket;
        int node = sum->accumulate_bound ? sum->in[1]->id : i;
        last[bucket] = node > last[bucket] ? node : last[bucket];
    }
    return last;
}

// A gradient that is handed over belongs to somebody else for the rest of the run.
static bdpo_status check_handed_over(const bdpo_plan *plan, const int *last)
{
    for (int i = 0; i < plan->list.count; i++) {
        const bdpo_node *node = plan->list.at[i];
        for (int k = 0; k < node->n_in && bdpo_node_computes(node); k++) {
            const bdpo_node *leaf = node->in[k] ? bdpo_place_of(node->in[k], 0).node : NULL;
            const bdpo_state_attrs *at = leaf && leaf->op == &bdpo_op_state ? leaf->attrs : NULL;
            if (at && at->kind == BDPO_GRAD && last[at->bucket] >= 0 && i > last[at->bucket])
                return bdpo_fail(BDPO_BAD_ARGUMENT,
                                 "%s uses the gradients of bucket %d, which on_bucket_ready has "
                                 "been given by then; it belongs into a graph of its own",
                                 node->op->name, at->bucket);
        }
    }
    return BDPO_OK;
}

static bdpo_status find_ready_steps(bdpo_plan *plan, const bdpo_store *store,
                                    const bdpo_plan_options *options)
{
    int n_buckets = store ? bdpo_store_bucket_count(store) : 0, n_ready = 0;
    int *last = find_last_contributions(plan, n_buckets);
    int *ready = bdpo_arena_alloc(plan->arena, (size_t)n_buckets, sizeof *ready);
    if (!last || !ready) return bdpo_fail(BDPO_NO_MEMORY, "no memory for %d buckets", n_buckets);
    if (options->on_bucket_ready) TRY(check_handed_over(plan, last));
    for (int s = 0; s < plan->program.n_steps; s++) {
        bdpo_step *step = &plan->program.steps[s];
        step->first_ready = n_ready;
        for (int b = 0; b < n_buckets; b++)
            if (last[b] == plan->step_node[s]) ready[n_ready++] = b;
        step->n_ready = n_ready - step->first_ready;
    }
    plan->program.ready = ready;
    plan->program.on_bucket_ready = options->on_bucket_ready;
    plan->program.on_bucket_ready_user = options->on_bucket_ready_user;
    return BDPO_OK;
}

// With poison: the spans of the arena that are dead after each step.
static bdpo_status find_dead_spans(bdpo_plan *plan)
{
    size_t n = (size_t)plan->n_intervals;
    plan->program.dead = bdpo_arena_alloc(plan->arena, n, sizeof *plan->program.dead);
    plan->dead = bdpo_arena_alloc(plan->arena, n, sizeof *plan->dead);
    if (!plan->program.dead || !plan->dead)
        return bdpo_fail(BDPO_NO_MEMORY, "no memory for the poisoned spans");
    int n_dead = 0;
    for (int s = 0; s < plan->program.n_steps; s++) {
        bdpo_step *step = &plan->program.steps[s];
        step->first_dead = n_dead;
        for (int i = 0; i < plan->n_intervals; i++)
            if (plan->intervals[i].last == plan->step_node[s]) plan->dead[n_dead++] = i;
        step->n_dead = n_dead - step->first_dead;
    }
    BDPO_ASSERT(n_dead == plan->n_intervals); // each ends with a node that computes
    return BDPO_OK;
}

static bdpo_status compile(bdpo_plan *plan, bdpo_graph *graph, const bdpo_plan_options *options)
{
    bdpo_engine *engine = plan->engine;
    TRY(bdpo_lower(&plan->list, graph, engine->backend, options));
    TRY(check_kernels(plan));
    TRY(bdpo_plan_storage(plan, graph->store));
    TRY(make_steps(plan));
    TRY(find_ready_steps(plan, graph->store, options));
    if (options->poison) TRY(find_dead_spans(plan));
    plan->program.generation = UINT64_MAX; // addresses are filled in before the first run
    TRY(bdpo_engine_grow_arena(engine, plan->peak_bytes));
    return plan->io_bytes ? engine->backend->alloc(engine->device, &plan->io, plan->io_bytes)
                          : BDPO_OK;
}

bdpo_status bdpo_plan_new(bdpo_plan **out, bdpo_engine *engine, bdpo_graph *graph,
                          const bdpo_plan_options *options)
{
    *out = NULL;
    TRY(bdpo_graph_check(graph));
    if (graph->store && bdpo_store_engine(graph->store) != engine)
        return bdpo_fail(BDPO_BAD_ARGUMENT, "the graph's store belongs to another engine");
    if (options->compute_dtype != BDPO_F32 && options->compute_dtype != BDPO_BF16)
        return bdpo_fail(BDPO_BAD_ARGUMENT, "compute dtype is %s, expected f32 or bf16",
                         bdpo_dtype_name(options->compute_dtype));
    bdpo_arena *arena;
    TRY(bdpo_arena_new(&arena));
    bdpo_plan *plan = bdpo_arena_alloc(arena, 1, sizeof *plan);
    if (!plan) {
        bdpo_arena_free(arena);
        return bdpo_fail(BDPO_NO_MEMORY, "no memory for a plan");
    }
    plan->engine = engine;
    plan->arena = plan->list.arena = arena;
    bdpo_status status = compile(plan, graph, options);
    if (status != BDPO_OK)
        bdpo_plan_free(plan);
    else
        *out = plan;
    return status;
}

void bdpo_plan_free(bdpo_plan *plan)
{
    if (!plan) return;
    const bdpo_engine *engine = plan->engine;
    engine->backend->forget(engine->device, &plan->program);
    if (plan->io) engine->backend->release(engine->device, plan->io, plan->io_bytes);
    bdpo_arena_free(plan->arena);
}

// ---- addresses ---------------------------------------------------------------------------------

static char *address(const bdpo_plan *plan, const bdpo_node *node, int k)
{
    const bdpo_storage *storage = bdpo_storage_of(plan, node, k);
    switch (storage->region) {
    case BDPO_REGION_ARENA:
        return (char *)plan->engine->arena + plan->intervals[storage->interval].offset +
               storage->offset;
    case BDPO_REGION_IO:
        return (char *)plan->io + storage->offset;
    case BDPO_REGION_STORE:
        return storage->data;
    }
    return NULL;
}

static char *view_address(const bdpo_plan *plan, const bdpo_node *node)
{
    bdpo_place place = bdpo_place_of(node, 0);
    return address(plan, place.node, place.output) +
           place.offset * (int64_t)bdpo_dtype_size(node->out[0].dtype);
}

static void fill_addresses(bdpo_plan *plan)
{
    for (int s = 0; s < plan->program.n_steps; s++) {
        bdpo_op_call *call = &plan->program.steps[s].call;
        const bdpo_node *node = plan->list.at[plan->step_node[s]];
        for (int i = 0; i < node->n_in; i++)
            if (node->in[i]) call->in[i].data = view_address(plan, node->in[i]);
        for (int k = 0; k < node->n_out; k++) call->out[k].data = address(plan, node, k);
        int workspace = plan->workspace[node->id];
        if (workspace >= 0)
            call->workspace = (char *)plan->engine->arena + plan->intervals[workspace].offset;
    }
    for (int d = 0; plan->dead && d < plan->n_intervals; d++) {
        const bdpo_interval *interval = &plan->intervals[plan->dead[d]];
        plan->program.dead[d] =
            (bdpo_span){(char *)plan->engine->arena + interval->offset, interval->bytes};
    }
}

// ---- run ---------------------------------------------------------------------------------------

bdpo_status bdpo_plan_run(bdpo_plan *plan)
{
    bdpo_engine *engine = plan->engine;
    // It is large enough already, except when another plan failed to grow it and lost it.
    TRY(bdpo_engine_grow_arena(engine, plan->peak_bytes));
    if (plan->program.generation != engine->arena_generation) {
        fill_addresses(plan);
        engine->backend->forget(engine->device, &plan->program);
        plan->program.generation = engine->arena_generation;
    }
    return engine->backend->run(engine->device, &plan->program);
}

static bdpo_status find_named(const bdpo_name_list *list, const char *what, const char *name,
                              size_t bytes, const bdpo_node **node)
{
    *node = NULL;
    for (int i = 0; i < list->count; i++)
        if (strcmp(list->at[i].name, name) == 0) *node = list->at[i].node;
    if (!*node) return bdpo_fail(BDPO_NOT_FOUND, "the plan has no %s \"%s\"", what, name);
    const bdpo_value *value = &(*node)->out[0];
    size_t expected = (size_t)bdpo_shape_count(&value->shape) * bdpo_dtype_size(value->dtype);
    if (bytes != expected)
        return bdpo_fail(BDPO_BAD_SHAPE, "%s \"%s\" is %s %s: expected %zu bytes, got %zu", what,
                         name, bdpo_dtype_name(value->dtype), bdpo_shape_print(&value->shape).text,
                         expected, bytes);
    return BDPO_OK;
}

bdpo_status bdpo_plan_write(bdpo_plan *plan, const char *input, const void *data, size_t bytes)
{
    const bdpo_node *node;
    TRY(find_named(&plan->list.inputs, "input", input, bytes, &node));
    return plan->engine->backend->upload(plan->engine->device, address(plan, node, 0), data, bytes);
}

bdpo_status bdpo_plan_read(bdpo_plan *plan, const char *output, void *data, size_t bytes)
{
    const bdpo_node *node;
    TRY(find_named(&plan->list.outputs, "output", output, bytes, &node));
    return plan->engine->backend->download(plan->engine->device, data, address(plan, node, 0),
                                           bytes);
}

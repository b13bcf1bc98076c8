// Selection, compute dtype and emulation: the graph is copied node by node, and each copy is given
// the dtype of its class (see bdpo_precision), with casts where two classes meet.
//
// A weight is cast once per consumer and never shared, so that a widened copy lives only for one
// node; what activations are cast to is shared.
#include "graph/lower.h"

#include <string.h>

#include "graph/store.h"

typedef struct lowering {
    bdpo_node_list *list;
    bdpo_graph *graph;
    const bdpo_backend *backend;
    bdpo_dtype compute;
    bdpo_node **copy; // by id in the graph
    bdpo_node **cast; // [id in the list][N_CASTS]: the value in another dtype
    int cast_capacity;
    const bdpo_node **adds_to; // by id in the list: the gradient that a bound kernel adds to
} lowering;

enum { N_CASTS = 3 }; // f32, bf16, f16: the first dtypes

static void *keep(lowering *l, size_t count, size_t size)
{
    return bdpo_arena_alloc(l->list->arena, count, size);
}

static bdpo_status no_memory(void)
{
    return bdpo_fail(BDPO_NO_MEMORY, "no memory to compile the graph");
}

static bool is_float(bdpo_dtype dtype)
{
    return dtype == BDPO_F32 || dtype == BDPO_BF16 || dtype == BDPO_F16;
}

// ---- selection ---------------------------------------------------------------------------------

static void mark_needed(const bdpo_graph *g, bool *needed)
{
    for (int i = 0; i < g->outputs.count; i++) needed[g->outputs.at[i].node->id] = true;
    for (int i = g->n_nodes - 1; i >= 0; i--) {
        if (g->nodes[i]->op->mutates) needed[i] = true;
        for (int k = 0; needed[i] && k < g->nodes[i]->n_in; k++)
            if (g->nodes[i]->in[k]) needed[g->nodes[i]->in[k]->id] = true;
    }
    for (int i = 0; i < g->inputs.count; i++) needed[g->inputs.at[i].node->id] = true;
}

// ---- copies and casts --------------------------------------------------------------------------

static bdpo_status append(lowering *l, bdpo_node *node)
{
    bdpo_node_list *list = l->list;
    TRY(bdpo_grow(list->arena, (void **)&list->at, list->count, &list->capacity, sizeof *list->at));
    if (list->count >= l->cast_capacity) {
        int wanted = l->cast_capacity ? 2 * l->cast_capacity : 1024;
        bdpo_node **larger = keep(l, (size_t)wanted * N_CASTS, sizeof *larger);
        if (!larger) return no_memory();
        if (l->cast) memcpy(larger, l->cast, (size_t)list->count * N_CASTS * sizeof *larger);
        l->cast = larger;
        l->cast_capacity = wanted;
    }
    node->id = list->count;
    list->at[list->count++] = node;
    return BDPO_OK;
}

static bdpo_status add_cast(lowering *l, bdpo_node **out, bdpo_node *in, bdpo_dtype dtype)
{
    bdpo_node *node = keep(l, 1, sizeof *node);
    bdpo_dtype *attrs = keep(l, 1, sizeof *attrs);
    if (!node || !attrs) return no_memory();
    *attrs = dtype;
    *node = (bdpo_node){.op = &bdpo_op_cast, .graph = l->graph, .n_in = 1, .attrs = attrs};
    node->in[0] = in;
    bdpo_set_output(node, dtype, in->out[0].shape);
    *out = node;
    return append(l, node);
}

// A leaf that reads the bf16 shadow of an f32 parameter.
static bdpo_status add_shadow(lowering *l, bdpo_node **out, const bdpo_node *leaf)
{
    const bdpo_state_attrs *at = leaf->attrs;
    TRY(bdpo_store_reserve(l->graph->store, BDPO_SHADOW));
    bdpo_node *node = keep(l, 1, sizeof *node);
    bdpo_state_attrs *attrs = keep(l, 1, sizeof *attrs);
    if (!node || !attrs) return no_memory();
    *node = *leaf;
    *attrs = *at;
    attrs->kind = BDPO_SHADOW;
    node->attrs = attrs;
    node->out[0].dtype = BDPO_BF16;
    *out = node;
    return append(l, node);
}

static bdpo_status convert(lowering *l, bdpo_node **in, bdpo_dtype dtype)
{
    bdpo_node *node = *in;
    if (node->out[0].dtype == dtype) return BDPO_OK;
    bool weight = bdpo_place_of(node, 0).node->op == &bdpo_op_state;
    const bdpo_state_attrs *at = node->op == &bdpo_op_state ? node->attrs : NULL;
    bool shadowed = at && dtype == BDPO_BF16 && at->kind == BDPO_PARAM && at->param >= 0 &&
                    node->out[0].dtype == BDPO_F32;
    BDPO_ASSERT(l->cast != NULL); // the node itself has been appended
    bdpo_node **known = &l->cast[node->id * N_CASTS + (int)dtype];
    if (*known) {
        *in = *known;
        return BDPO_OK;
    }
    TRY(shadowed ? add_shadow(l, in, node) : add_cast(l, in, node, dtype));
    known = &l->cast[node->id * N_CASTS + (int)dtype]; // the table may have moved
    if (shadowed || !weight) *known = *in;
    return BDPO_OK;
}

// ---- dtype per node ----------------------------------------------------------------------------

// A further output of an operator, read by the operator's own gradient: mean and deviation,
// log-sum-exp.
static bool is_statistic(const bdpo_node *node, const bdpo_node *in)
{
    if (in->op != &bdpo_op_project) return false;
    const bdpo_op *source = in->in[0]->op;
    return node->op->tested_by == source &&
           !(source->compute_outputs & 1u << *(const int *)in->attrs);
}

static bdpo_status convert_inputs(lowering *l, bdpo_node *node, bdpo_dtype dtype)
{
    for (int i = 0; i < node->n_in; i++) {
        bdpo_node *in = node->in[i];
        if (!in || !is_float(in->out[0].dtype) || is_statistic(node, in)) continue;
        TRY(convert(l, &node->in[i], dtype));
    }
    return BDPO_OK;
}

// Layout has the dtype of what it arranges; where that differs, it has to be made the same.
static bdpo_dtype common_dtype(const bdpo_node *node, bdpo_dtype compute)
{
    bdpo_dtype dtype = node->in[0]->out[0].dtype;
    for (int i = 1; i < node->n_in; i++)
        if (is_float(dtype) && node->in[i] && node->in[i]->out[0].dtype != dtype) return compute;
    return dtype;
}

static bdpo_status choose_dtypes(lowering *l, bdpo_node *node)
{
    bdpo_dtype compute = node->f32 ? BDPO_F32 : l->compute;
    switch (node->op->precision) {
    case BDPO_COMPUTE:
        TRY(convert_inputs(l, node, compute));
        for (int k = 0; k < node->n_out; k++)
            if (is_float(node->out[k].dtype) && (k == 0 || (node->op->compute_outputs & 1u << k)))
                node->out[k].dtype = compute;
        return BDPO_OK;
    case BDPO_WEIGHT:
        return convert_inputs(l, node, compute);
    case BDPO_ISLAND:
        return convert_inputs(l, node, BDPO_F32);
    case BDPO_FOLLOW:
        if (node->op == &bdpo_op_project) {
            node->out[0].dtype = node->in[0]->out[*(const int *)node->attrs].dtype;
            return BDPO_OK;
        }
        if (!node->op->is_view) TRY(convert_inputs(l, node, common_dtype(node, compute)));
        for (int k = 0; k < node->n_out; k++) node->out[k].dtype = node->in[0]->out[0].dtype;
        return BDPO_OK;
    case BDPO_OWN:
        if (node->op != &bdpo_op_cast && !node->op->mutates)
            return convert_inputs(l, node, BDPO_F32);
        for (int i = 0; i < node->n_in; i++) // leaves as they are, computed values in f32
            if (node->in[i] && !bdpo_is_leaf(node->in[i]) && is_float(node->in[i]->out[0].dtype) &&
                node->op->mutates)
                TRY(convert(l, &node->in[i], BDPO_F32));
        return BDPO_OK;
    }
    return BDPO_OK;
}

// The kernels of this backend know only f32: half-width values are f32 that was rounded, and
// half-width leaves are widened for each consumer. State operators and casts know all dtypes.
static bdpo_status emulate_inputs(lowering *l, bdpo_node *node)
{
    if (l->backend->computes_half) return BDPO_OK;
    bool own = node->op == &bdpo_op_cast || node->op->mutates;
    for (int i = 0; i < node->n_in && !own; i++)
        if (node->in[i] && bdpo_is_leaf(node->in[i]) && is_float(node->in[i]->out[0].dtype))
            TRY(convert(l, &node->in[i], BDPO_F32));
    return BDPO_OK;
}

static bdpo_status emulate_outputs(lowering *l, bdpo_node *node)
{
    if (l->backend->computes_half || bdpo_is_leaf(node)) return BDPO_OK;
    for (int k = 0; k < node->n_out; k++) {
        if (node->out[k].dtype != BDPO_BF16) continue;
        node->out[k].dtype = BDPO_F32;
        if (!node->op->is_view) node->round_outputs |= 1u << k;
    }
    if (node->op != &bdpo_op_cast || !node->round_outputs) return BDPO_OK;
    bdpo_dtype *attrs = keep(l, 1, sizeof *attrs);
    if (!attrs) return no_memory();
    *attrs = BDPO_F32;
    node->attrs = attrs;
    return BDPO_OK;
}

static bdpo_status copy_node(lowering *l, const bdpo_node *source)
{
    bdpo_node *node = keep(l, 1, sizeof *node);
    if (!node) return no_memory();
    *node = *source;
    for (int i = 0; i < node->n_in; i++)
        if (node->in[i]) node->in[i] = l->copy[node->in[i]->id];
    memset(node->projection, 0, sizeof node->projection);
    // Layout follows what its kernel will see, so its leaves are widened first; but a weight that
    // is wanted in bf16 becomes another leaf, its shadow.
    if (node->op->precision == BDPO_FOLLOW) TRY(emulate_inputs(l, node));
    if (!bdpo_is_leaf(node)) TRY(choose_dtypes(l, node));
    TRY(emulate_inputs(l, node));
    l->copy[source->id] = node;
    return append(l, node);
}

// ---- outputs -----------------------------------------------------------------------------------

static bdpo_status add_named(bdpo_node_list *list, bdpo_name_list *names, const char *name,
                             bdpo_node *node)
{
    TRY(bdpo_grow(list->arena, (void **)&names->at, names->count, &names->capacity,
                  sizeof *names->at));
    names->at[names->count++] = (bdpo_named_node){.name = name, .node = node};
    return BDPO_OK;
}

static bool used_as_output(const bdpo_node_list *list, const bdpo_node *node)
{
    for (int i = 0; i < list->outputs.count; i++)
        if (list->outputs.at[i].node == node) return true;
    return false;
}

// An output is the first value of a computing node, in f32 if float; what is not gets a copy.
static bdpo_status copy_outputs(lowering *l)
{
    for (int i = 0; i < l->graph->outputs.count; i++) {
        bdpo_named_node named = l->graph->outputs.at[i];
        bdpo_node *node = l->copy[named.node->id];
        bdpo_dtype dtype = node->out[0].dtype;
        bool half = dtype == BDPO_BF16 || dtype == BDPO_F16;
        if (half || node->op->is_view || bdpo_is_leaf(node) || used_as_output(l->list, node))
            TRY(add_cast(l, &node, node, half ? BDPO_F32 : dtype));
        TRY(add_named(l->list, &l->list->outputs, named.name, node));
    }
    for (int i = 0; i < l->graph->inputs.count; i++) {
        bdpo_named_node named = l->graph->inputs.at[i];
        TRY(add_named(l->list, &l->list->inputs, named.name, l->copy[named.node->id]));
    }
    return BDPO_OK;
}

// ---- gradients computed in their bucket --------------------------------------------------------

static int *count_readers(const lowering *l)
{
    const bdpo_node_list *list = l->list;
    int *readers = bdpo_arena_alloc(list->arena, (size_t)list->count, sizeof *readers);
    for (int i = 0; readers && i < list->count; i++)
        for (int k = 0; k < list->at[i]->n_in; k++)
            if (list->at[i]->in[k]) readers[list->at[i]->in[k]->id]++;
    for (int i = 0; readers && i < list->outputs.count; i++)
        readers[list->outputs.at[i].node->id]++;
    return readers;
}

// grad_accumulate(leaf, d), where only that reads d and d's kernel can add: d writes into the leaf,
// in its own turn. That is earlier, but a backward pass touches a gradient once: nothing looks at
// the leaf in between, and the shuffle sees to it that this stays so.
static bdpo_status bind_gradients(lowering *l)
{
    const int *readers = count_readers(l);
    l->adds_to = keep(l, (size_t)l->list->count, sizeof *l->adds_to);
    if (!readers || !l->adds_to) return no_memory();
    for (int i = 0; i < l->list->count; i++) {
        bdpo_node *sum = l->list->at[i];
        if (sum->op != &bdpo_op_grad_accumulate) continue;
        bdpo_node *value = sum->in[1];
        if (!value->op->can_accumulate || readers[value->id] != 1 || value->round_outputs ||
            value->out[0].dtype != BDPO_F32)
            continue;
        value->accumulate = true;
        sum->accumulate_bound = true;
        l->adds_to[value->id] = sum->in[0];
    }
    return BDPO_OK;
}

// ---- shuffling, for tests ----------------------------------------------------------------------

static bool overlap(const bdpo_node *a, const bdpo_node *b)
{
    if (a->op != &bdpo_op_state || b->op != &bdpo_op_state) return false;
    const bdpo_state_attrs *x = a->attrs, *y = b->attrs;
    return x->kind == y->kind && x->bucket == y->bucket &&
           (x->param < 0 || y->param < 0 || x->param == y->param);
}

// Does `node` read or change what lies at `leaf`?
static bool touches(const lowering *l, const bdpo_node *node, const bdpo_node *leaf)
{
    for (int k = 0; k < node->n_in; k++)
        if (node->in[k] && overlap(bdpo_place_of(node->in[k], 0).node, leaf)) return true;
    return l->adds_to[node->id] && overlap(l->adds_to[node->id], leaf);
}

// Does `node` touch what `writer` changes in the store?
static bool meets(const lowering *l, const bdpo_node *node, const bdpo_node *writer)
{
    for (int i = 0; i < writer->n_in; i++)
        if ((writer->op->mutates & 1u << i) && writer->in[i] && touches(l, node, writer->in[i]))
            return true;
    return l->adds_to[writer->id] && touches(l, node, l->adds_to[writer->id]);
}

// Must `later` stay behind `earlier`, which precedes it in the list?
static bool must_follow(const lowering *l, const bdpo_node *later, const bdpo_node *earlier)
{
    for (int i = 0; i < later->n_in; i++)
        if (later->in[i] == earlier) return true;
    return meets(l, later, earlier) || meets(l, earlier, later);
}

// Draws the next node among those whose predecessors have all run. Quadratic: for small graphs.
static bdpo_status shuffle(lowering *l, uint64_t seed)
{
    int n = l->list->count, n_ready = 0;
    bdpo_node **from = l->list->at, **order = keep(l, (size_t)n, sizeof *order);
    int *ready = keep(l, (size_t)n, sizeof *ready);
    int *waits = keep(l, (size_t)n, sizeof *waits); // for so many predecessors
    if (!order || !ready || !waits) return no_memory();
    for (int i = 0; i < n; i++) {
        for (int j = 0; j < i; j++) waits[i] += must_follow(l, from[i], from[j]);
        if (waits[i] == 0) ready[n_ready++] = i;
    }
    for (int step = 0; step < n; step++) {
        BDPO_ASSERT(n_ready > 0); // the order of creation is one that is allowed
        seed = seed * 6364136223846793005u + 1442695040888963407u; // Knuth's MMIX generator
        int at = (int)((seed >> 33) % (uint64_t)n_ready), chosen = ready[at];
        ready[at] = ready[--n_ready];
        order[step] = from[chosen];
        for (int i = chosen + 1; i < n; i++)
            if (must_follow(l, from[i], from[chosen]) && --waits[i] == 0) ready[n_ready++] = i;
    }
    l->list->at = order;
    l->list->capacity = n;
    for (int i = 0; i < n; i++) order[i]->id = i;
    return BDPO_OK;
}

bdpo_status bdpo_lower(bdpo_node_list *list, bdpo_graph *graph, const bdpo_backend *backend,
                       const bdpo_plan_options *options)
{
    lowering l = {
        .list = list, .graph = graph, .backend = backend, .compute = options->compute_dtype};
    size_t n = (size_t)graph->n_nodes;
    bool *needed = keep(&l, n ? n : 1, sizeof *needed);
    l.copy = keep(&l, n ? n : 1, sizeof *l.copy);
    if (!needed || !l.copy) return no_memory();
    mark_needed(graph, needed);
    for (int i = 0; i < graph->n_nodes; i++)
        if (needed[i]) TRY(copy_node(&l, graph->nodes[i]));
    TRY(copy_outputs(&l));
    for (int i = 0; i < list->count; i++) TRY(emulate_outputs(&l, list->at[i]));
    TRY(bind_gradients(&l));
    return options->shuffle_seed ? shuffle(&l, options->shuffle_seed) : BDPO_OK;
}

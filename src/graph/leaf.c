// Leaves of a graph: inputs, tensors of the store; and projections, the handles of an operator's
// second and further outputs. They have descriptors like all nodes, and no kernel.
#include "graph/graph.h"
#include "graph/store.h"

// The attrs of an input are its value.
static bdpo_status input_shape(bdpo_node *node)
{
    const bdpo_value *value = node->attrs;
    TRY(bdpo_shape_check(&value->shape, "input"));
    bdpo_set_output(node, value->dtype, value->shape);
    return BDPO_OK;
}

const bdpo_op bdpo_op_input = {
    .name = "input",
    .attrs_size = sizeof(bdpo_value),
    .shape = input_shape,
    .grad = bdpo_no_grad,
    .precision = BDPO_OWN,
};

static bdpo_status state_shape(bdpo_node *node)
{
    const bdpo_state_attrs *at = node->attrs;
    bdpo_dtype dtype = BDPO_F32;
    bdpo_shape shape;
    if (at->param >= 0) {
        const bdpo_param_info *param = bdpo_store_at(node->graph->store, at->param);
        if (!bdpo_store_layout(param, at->kind, &dtype, &shape))
            return bdpo_refuse(node, "\"%s\" has no tensor of this kind", param->name);
    } else {
        int64_t n = bdpo_store_bucket_elements(node->graph->store, at->kind, at->bucket, &dtype);
        if (n == 0) return bdpo_refuse(node, "bucket %d has no tensor of this kind", at->bucket);
        shape = BDPO_SHAPE(n);
    }
    bdpo_set_output(node, dtype, shape);
    return BDPO_OK;
}

const bdpo_op bdpo_op_state = {
    .name = "state",
    .attrs_size = sizeof(bdpo_state_attrs),
    .shape = state_shape,
    .grad = bdpo_no_grad,
    .precision = BDPO_OWN,
};

static bdpo_node *state_leaf(bdpo_graph *g, bdpo_state_attrs at)
{
    bdpo_node *node = bdpo_node_new(g, &bdpo_op_state, &at, NULL, 0);
    if (node && at.kind == BDPO_PARAM && at.param >= 0)
        node->needs_grad = bdpo_store_at(g->store, at.param)->trainable;
    return node;
}

// Finds the parameter and reserves the kind; fails the graph otherwise.
static const bdpo_param_info *find_param(bdpo_graph *g, bdpo_kind kind, const char *name)
{
    if (g->status != BDPO_OK) return NULL;
    const bdpo_param_info *param = g->store ? bdpo_store_find(g->store, name) : NULL;
    bdpo_status status = BDPO_OK;
    if (!g->store)
        status = bdpo_fail(BDPO_BAD_ARGUMENT, "the graph has no store, wanted \"%s\"", name);
    else if (!param)
        status = bdpo_fail(BDPO_NOT_FOUND, "the store has no parameter \"%s\"", name);
    else
        status = bdpo_store_reserve(g->store, kind);
    if (status != BDPO_OK) bdpo_graph_fail(g, status);
    return status == BDPO_OK ? param : NULL;
}

static int index_of(const bdpo_graph *g, const bdpo_param_info *param)
{
    return (int)(param - bdpo_store_at(g->store, 0));
}

bdpo_node *bdpo_state(bdpo_graph *g, bdpo_kind kind, const char *name)
{
    const bdpo_param_info *param = find_param(g, kind, name);
    if (!param) return NULL;
    return state_leaf(g, (bdpo_state_attrs){kind, index_of(g, param), param->bucket});
}

// One leaf per parameter and kind, however often it is asked for, so that the cotangents of all its
// uses meet in one sum.
static bdpo_node **param_leaf(bdpo_graph *g, int param, bdpo_kind kind)
{
    if (!g->params)
        g->params = bdpo_arena_alloc(g->arena, (size_t)bdpo_store_count(g->store) * BDPO_N_KINDS,
                                     sizeof *g->params);
    if (!g->params)
        bdpo_graph_fail(g, bdpo_fail(BDPO_NO_MEMORY, "no memory for the leaves of the graph"));
    return g->params ? &g->params[param * BDPO_N_KINDS + (int)kind] : NULL;
}

// A frozen parameter is its own reference and average: only what changes has a second copy.
bdpo_node *bdpo_param(bdpo_graph *g, const char *name)
{
    const bdpo_param_info *param = find_param(g, g->kind, name);
    if (!param) return NULL;
    bdpo_kind kind = param->trainable ? g->kind : BDPO_PARAM;
    bdpo_node **leaf = param_leaf(g, index_of(g, param), kind);
    if (leaf && !*leaf)
        *leaf = state_leaf(g, (bdpo_state_attrs){kind, index_of(g, param), param->bucket});
    return leaf ? *leaf : NULL;
}

bdpo_node *bdpo_bucket(bdpo_graph *g, bdpo_kind kind, int bucket)
{
    if (g->status != BDPO_OK) return NULL;
    bdpo_status status = BDPO_OK;
    if (!g->store || bucket < 0 || bucket >= bdpo_store_bucket_count(g->store))
        status = bdpo_fail(BDPO_BAD_ARGUMENT, "the store has no bucket %d", bucket);
    else
        status = bdpo_store_reserve(g->store, kind);
    if (status != BDPO_OK) {
        bdpo_graph_fail(g, status);
        return NULL;
    }
    return state_leaf(g, (bdpo_state_attrs){kind, -1, bucket});
}

static bdpo_status project_shape(bdpo_node *node)
{
    int k = *(const int *)node->attrs;
    bdpo_value value = node->in[0]->out[k];
    bdpo_set_output(node, value.dtype, value.shape);
    node->out[0].row_stride = value.row_stride;
    return BDPO_OK;
}

// Never called: the backward pass hands the cotangent of a projection to its operator.
static void project_grad(bdpo_graph *g, bdpo_node *node, bdpo_node *const *dy, bdpo_node **dx)
{
    bdpo_no_grad(g, node, dy, dx);
}

const bdpo_op bdpo_op_project = {
    .name = "project",
    .n_inputs = 1,
    .attrs_size = sizeof(int),
    .shape = project_shape,
    .grad = project_grad,
    .precision = BDPO_FOLLOW,
    .strided_inputs = 1,
    .is_view = true,
};

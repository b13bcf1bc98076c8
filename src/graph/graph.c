// Building: nodes in order of creation, shape rules, names, segments, and the sticky first error.
#include "graph/graph.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

bdpo_status bdpo_grow(bdpo_arena *arena, void **list, int count, int *capacity, size_t size)
{
    if (count < *capacity) return BDPO_OK;
    int wanted = *capacity ? 2 * *capacity : 64;
    void *larger = bdpo_arena_alloc(arena, (size_t)wanted, size);
    if (!larger) return bdpo_fail(BDPO_NO_MEMORY, "no memory for %d list elements", wanted);
    if (count) memcpy(larger, *list, (size_t)count * size);
    *list = larger;
    *capacity = wanted;
    return BDPO_OK;
}

bdpo_status bdpo_graph_new(bdpo_graph **out, bdpo_store *store)
{
    *out = NULL;
    bdpo_arena *arena;
    TRY(bdpo_arena_new(&arena));
    bdpo_graph *g = bdpo_arena_alloc(arena, 1, sizeof *g);
    bdpo_segment *root = g ? bdpo_arena_alloc(arena, 1, sizeof *root) : NULL;
    if (!root) {
        bdpo_arena_free(arena);
        return bdpo_fail(BDPO_NO_MEMORY, "no memory for a graph");
    }
    g->arena = arena;
    g->store = store;
    g->kind = BDPO_PARAM;
    g->segments = root;
    g->n_segments = g->segment_capacity = 1;
    *out = g;
    return BDPO_OK;
}

void bdpo_graph_free(bdpo_graph *graph)
{
    if (graph) bdpo_arena_free(graph->arena);
}

void bdpo_graph_fail(bdpo_graph *g, bdpo_status status)
{
    if (g->status != BDPO_OK) return;
    g->status = status;
    snprintf(g->message, sizeof g->message, "%s", bdpo_message());
}

bdpo_status bdpo_graph_check(const bdpo_graph *g)
{
    if (g->status == BDPO_OK && g->segment != 0)
        return bdpo_fail(BDPO_BAD_ARGUMENT, "a segment was begun and not ended");
    if (g->status == BDPO_OK && g->f32_depth != 0)
        return bdpo_fail(BDPO_BAD_ARGUMENT, "bdpo_f32_begin() and _end() do not match");
    return g->status == BDPO_OK ? BDPO_OK : bdpo_fail(g->status, "%s", g->message);
}

// ---- what shape rules use ----------------------------------------------------------------------

void bdpo_add_output(bdpo_node *node, bdpo_dtype dtype, bdpo_shape shape)
{
    BDPO_ASSERT(node->n_out < BDPO_MAX_OUTPUTS);
    node->out[node->n_out++] = (bdpo_value){
        .dtype = dtype,
        .shape = shape,
        .row_stride = bdpo_shape_cols(&shape),
    };
}

void bdpo_set_output(bdpo_node *node, bdpo_dtype dtype, bdpo_shape shape)
{
    node->n_out = 0;
    bdpo_add_output(node, dtype, shape);
}

bdpo_status bdpo_refuse(const bdpo_node *node, const char *format, ...)
{
    char text[400];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return bdpo_fail(BDPO_BAD_SHAPE, "%s: %s", node->op->name, text);
}

static bdpo_status expect_present(const bdpo_node *node, int i, int n_dims)
{
    if (i >= node->n_in || !node->in[i]) return bdpo_refuse(node, "input %d is missing", i);
    const bdpo_shape *shape = &bdpo_in(node, i)->shape;
    if (n_dims && shape->n_dims != n_dims)
        return bdpo_refuse(node, "input %d has shape %s, expected %d dimensions", i,
                           bdpo_shape_print(shape).text, n_dims);
    return BDPO_OK;
}

bdpo_status bdpo_expect(const bdpo_node *node, int i, bdpo_dtype dtype, int n_dims)
{
    TRY(expect_present(node, i, n_dims));
    if (bdpo_in(node, i)->dtype != dtype)
        return bdpo_refuse(node, "input %d is %s, expected %s", i,
                           bdpo_dtype_name(bdpo_in(node, i)->dtype), bdpo_dtype_name(dtype));
    return BDPO_OK;
}

static bool is_float(bdpo_dtype dtype)
{
    return dtype == BDPO_F32 || dtype == BDPO_BF16 || dtype == BDPO_F16;
}

bdpo_status bdpo_expect_float(const bdpo_node *node, int i, int n_dims)
{
    TRY(expect_present(node, i, n_dims));
    if (!is_float(bdpo_in(node, i)->dtype))
        return bdpo_refuse(node, "input %d is %s, expected a float type", i,
                           bdpo_dtype_name(bdpo_in(node, i)->dtype));
    return BDPO_OK;
}

bdpo_status bdpo_same_shape(bdpo_node *node, int n)
{
    for (int i = 0; i < n; i++) {
        TRY(bdpo_expect_float(node, i, 0));
        if (!bdpo_shape_equal(&bdpo_in(node, i)->shape, &bdpo_in(node, 0)->shape))
            return bdpo_refuse(node, "input %d has shape %s, input 0 %s; they must be equal", i,
                               bdpo_shape_print(&bdpo_in(node, i)->shape).text,
                               bdpo_shape_print(&bdpo_in(node, 0)->shape).text);
    }
    bdpo_set_output(node, BDPO_F32, bdpo_in(node, 0)->shape);
    return BDPO_OK;
}

void bdpo_no_grad(bdpo_graph *g, bdpo_node *node, bdpo_node *const *dy, bdpo_node **dx)
{
    (void)g, (void)dy, (void)dx;
    BDPO_BUG("%s has no gradient and was asked for one", node->op->name);
}

// ---- nodes -------------------------------------------------------------------------------------

static bdpo_status check_inputs(const bdpo_node *node)
{
    for (int i = 0; i < node->n_in; i++) {
        if (!node->in[i]) continue;
        if (node->in[i]->graph != node->graph)
            return bdpo_refuse(node, "input %d belongs to another graph", i);
        if (node->in[i]->n_out == 0)
            return bdpo_refuse(node, "input %d, %s, changes the store and has no value", i,
                               node->in[i]->op->name);
        const bdpo_value *value = bdpo_in(node, i);
        bool dense = value->row_stride == bdpo_shape_cols(&value->shape);
        if (!dense && !(node->op->strided_inputs & 1u << i))
            return bdpo_refuse(node, "input %d is a view with a row stride; only dense is taken",
                               i);
        if ((node->op->mutates & 1u << i) && node->in[i]->op != &bdpo_op_state)
            return bdpo_refuse(node, "input %d is changed in place and must lie in the store", i);
    }
    return BDPO_OK;
}

static bdpo_status check_outputs(const bdpo_node *node)
{
    for (int k = 0; k < node->n_out; k++) {
        TRY(bdpo_shape_check(&node->out[k].shape, node->op->name));
        BDPO_ASSERT(node->out[k].row_stride > 0);
    }
    return BDPO_OK;
}

static bdpo_status append(bdpo_graph *g, bdpo_node *node)
{
    TRY(bdpo_grow(g->arena, (void **)&g->nodes, g->n_nodes, &g->node_capacity, sizeof *g->nodes));
    node->id = g->n_nodes;
    g->nodes[g->n_nodes++] = node;
    return BDPO_OK;
}

static bdpo_status fill_node(bdpo_graph *g, bdpo_node *node, const void *attrs)
{
    if (node->op->attrs_size) {
        void *copy = bdpo_arena_alloc(g->arena, 1, node->op->attrs_size);
        if (!copy) return bdpo_fail(BDPO_NO_MEMORY, "no memory for a node of the graph");
        memcpy(copy, attrs, node->op->attrs_size);
        node->attrs = copy;
    }
    TRY(check_inputs(node));
    TRY(node->op->shape(node));
    TRY(check_outputs(node));
    for (int i = 0; i < node->n_in; i++)
        if (node->in[i] && node->in[i]->needs_grad && node->op->grad != bdpo_no_grad)
            node->needs_grad = true;
    return append(g, node);
}

bdpo_node *bdpo_node_new(bdpo_graph *g, const bdpo_op *op, const void *attrs, bdpo_node *const *in,
                         int n_in)
{
    if (g->status != BDPO_OK) return NULL;
    BDPO_ASSERT(n_in <= op->n_inputs && op->n_inputs <= BDPO_MAX_INPUTS);
    BDPO_ASSERT(attrs || op->attrs_size == 0);
    bdpo_node *node = bdpo_arena_alloc(g->arena, 1, sizeof *node);
    if (!node) {
        bdpo_graph_fail(g, bdpo_fail(BDPO_NO_MEMORY, "no memory for a node of the graph"));
        return NULL;
    }
    node->op = op;
    node->graph = g;
    node->n_in = n_in;
    for (int i = 0; i < n_in; i++) node->in[i] = in[i];
    node->f32 = g->f32_depth > 0;
    node->segment = g->segment;
    bdpo_status status = fill_node(g, node, attrs);
    if (status != BDPO_OK) bdpo_graph_fail(g, status);
    return status == BDPO_OK ? node : NULL;
}

bdpo_node *bdpo_node_output(bdpo_node *node, int k)
{
    if (!node || k == 0) return node;
    BDPO_ASSERT(k < node->n_out);
    if (!node->projection[k])
        node->projection[k] =
            bdpo_node_new(node->graph, &bdpo_op_project, &k, (bdpo_node *[]){node}, 1);
    return node->projection[k];
}

bdpo_place bdpo_place_of(const bdpo_node *node, int output)
{
    bdpo_place place = {.node = node, .output = output};
    while (place.node->op->is_view) {
        if (place.node->op == &bdpo_op_project) {
            place.output = *(const int *)place.node->attrs;
        } else {
            place.offset += place.node->out[place.output].view_offset;
            place.output = 0;
        }
        place.node = place.node->in[0];
    }
    return place;
}

bdpo_shape bdpo_node_shape(const bdpo_node *node)
{
    return node ? node->out[0].shape : (bdpo_shape){0};
}

bdpo_dtype bdpo_node_dtype(const bdpo_node *node)
{
    return node ? node->out[0].dtype : BDPO_F32;
}

// ---- names, segments, precision ----------------------------------------------------------------

static void add_name(bdpo_graph *g, bdpo_name_list *list, const char *name, bdpo_node *node)
{
    if (g->status != BDPO_OK || !node) return;
    for (int i = 0; i < list->count; i++)
        if (strcmp(list->at[i].name, name) == 0) {
            bdpo_graph_fail(g, bdpo_fail(BDPO_BAD_ARGUMENT, "\"%s\" is named twice", name));
            return;
        }
    bdpo_status status =
        bdpo_grow(g->arena, (void **)&list->at, list->count, &list->capacity, sizeof *list->at);
    char *copy = bdpo_arena_strdup(g->arena, name);
    if (status == BDPO_OK && !copy) status = bdpo_fail(BDPO_NO_MEMORY, "no memory for a name");
    if (status == BDPO_OK)
        list->at[list->count++] = (bdpo_named_node){.name = copy, .node = node};
    else
        bdpo_graph_fail(g, status);
}

bdpo_node *bdpo_input(bdpo_graph *g, const char *name, bdpo_dtype dtype, bdpo_shape shape)
{
    bdpo_value value = {.dtype = dtype, .shape = shape};
    bdpo_node *node = bdpo_node_new(g, &bdpo_op_input, &value, NULL, 0);
    add_name(g, &g->inputs, name, node);
    return g->status == BDPO_OK ? node : NULL;
}

void bdpo_output(bdpo_graph *g, const char *name, bdpo_node *node)
{
    if (g->status == BDPO_OK && (!node || node->graph != g || node->n_out == 0))
        bdpo_graph_fail(
            g, bdpo_fail(BDPO_BAD_ARGUMENT, "output \"%s\" has no value of this graph", name));
    add_name(g, &g->outputs, name, node);
}

void bdpo_require_grad(bdpo_node *input)
{
    if (!input) return;
    if (input->op != &bdpo_op_input) BDPO_BUG("only an input can be asked to require a gradient");
    for (int i = input->id + 1; i < input->graph->n_nodes; i++) // these would not know of it
        for (int k = 0; k < input->graph->nodes[i]->n_in; k++)
            if (input->graph->nodes[i]->in[k] == input)
                BDPO_BUG("a gradient is required of an input that %s uses already",
                         input->graph->nodes[i]->op->name);
    input->needs_grad = true;
}

void bdpo_graph_set_kind(bdpo_graph *g, bdpo_kind kind)
{
    g->kind = kind;
}

void bdpo_graph_set_checkpointing(bdpo_graph *g, bool on)
{
    g->checkpointing = on;
}

void bdpo_segment_begin(bdpo_graph *g)
{
    if (g->status != BDPO_OK) return;
    bdpo_status status = bdpo_grow(g->arena, (void **)&g->segments, g->n_segments,
                                   &g->segment_capacity, sizeof *g->segments);
    if (status != BDPO_OK) {
        bdpo_graph_fail(g, status);
        return;
    }
    g->segments[g->n_segments] = (bdpo_segment){.begin = g->n_nodes, .parent = g->segment};
    g->segment = g->n_segments++;
}

void bdpo_segment_end(bdpo_graph *g)
{
    if (g->status != BDPO_OK) return;
    if (g->segment == 0) {
        bdpo_graph_fail(g, bdpo_fail(BDPO_BAD_ARGUMENT, "a segment was ended and not begun"));
        return;
    }
    g->segments[g->segment].end = g->n_nodes;
    g->segment = g->segments[g->segment].parent;
}

void bdpo_f32_begin(bdpo_graph *g)
{
    g->f32_depth++;
}

void bdpo_f32_end(bdpo_graph *g)
{
    g->f32_depth--;
}

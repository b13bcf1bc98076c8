// Differentiation as a transformation of the graph: each operator's gradient rule emits nodes.
//
// The forward nodes are visited from the last to the first. Cotangents of a node that several
// others use wait in a list and are summed in the order in which the forward pass used the node,
// so the bits do not depend on the order in which the rules run. A parameter's gradient is added
// to the store as soon as its first user has been visited: that is where its last contribution
// comes from, and where its bucket may become ready.
//
// Checkpointing: when the walk first meets a node of a segment, the whole segment is emitted again
// and the rules of its nodes see the copies. The copies of a nested segment's inner nodes serve
// only as its boundary; its own turn emits it once more. What nobody uses is never planned.
#include <string.h>

#include "graph/graph.h"
#include "graph/store.h"

typedef struct contribution {
    struct contribution *next; // ascending (user, input): the order of forward use
    int user, input;
    bdpo_node *value;
} contribution;

typedef struct backward {
    bdpo_graph *g;
    int n_forward;
    contribution **pending; // [n_forward][BDPO_MAX_OUTPUTS]
    bdpo_node **copy;       // [n_forward]: the recomputed node, NULL: the node itself
    bdpo_node **total;      // [n_forward]: summed cotangent of output 0, once it is visited
    int *first_user;        // [n_forward]: smallest id among a leaf's users, n_forward: none
    int segment;            // whose copies are current
    bool accumulate;        // add to the store's GRAD
} backward;

static void *scratch(bdpo_graph *g, size_t count, size_t size)
{
    void *memory = bdpo_arena_alloc(g->arena, count, size);
    if (!memory) bdpo_graph_fail(g, bdpo_fail(BDPO_NO_MEMORY, "no memory for the backward pass"));
    return memory;
}

static bool backward_init(backward *b, bdpo_graph *g)
{
    size_t n = (size_t)g->n_nodes;
    *b = (backward){.g = g, .n_forward = g->n_nodes};
    b->pending = scratch(g, n * BDPO_MAX_OUTPUTS, sizeof *b->pending);
    b->copy = scratch(g, n, sizeof *b->copy);
    b->total = scratch(g, n, sizeof *b->total);
    b->first_user = scratch(g, n, sizeof *b->first_user);
    if (g->status != BDPO_OK) return false;
    for (int i = 0; i < g->n_nodes; i++) b->first_user[i] = g->n_nodes;
    for (int i = g->n_nodes - 1; i >= 0; i--)
        for (int k = 0; k < g->nodes[i]->n_in; k++)
            if (g->nodes[i]->in[k]) b->first_user[g->nodes[i]->in[k]->id] = i;
    return true;
}

// ---- cotangents --------------------------------------------------------------------------------

static void contribute(backward *b, const bdpo_node *node, int output, int user, int input,
                       bdpo_node *value)
{
    contribution *c = scratch(b->g, 1, sizeof *c);
    if (!c) return;
    *c = (contribution){.user = user, .input = input, .value = value};
    contribution **at = &b->pending[node->id * BDPO_MAX_OUTPUTS + output];
    while (*at && ((*at)->user < user || ((*at)->user == user && (*at)->input < input)))
        at = &(*at)->next;
    c->next = *at;
    *at = c;
}

// Is the value f32 whatever the compute dtype? Then so is its cotangent: half-width sums would
// lose what the gradients of weights, losses and islands are kept in f32 for.
static bool is_f32(const bdpo_node *node)
{
    while (node->op->precision == BDPO_FOLLOW && !node->f32) node = node->in[0];
    return node->f32 || node->op->precision != BDPO_COMPUTE;
}

static bdpo_node *sum_contributions(backward *b, const bdpo_node *node, int output)
{
    contribution *c = b->pending[node->id * BDPO_MAX_OUTPUTS + output];
    if (!c) return NULL;
    bdpo_node *sum = c->value;
    int f32 = is_f32(node);
    b->g->f32_depth += f32;
    while ((c = c->next) != NULL)
        sum = bdpo_node_new(b->g, &bdpo_op_add, NULL, (bdpo_node *[]){sum, c->value}, 2);
    b->g->f32_depth -= f32;
    return sum;
}

// ---- checkpointing -----------------------------------------------------------------------------

static bdpo_node *current(const backward *b, bdpo_node *node)
{
    return node && b->copy[node->id] ? b->copy[node->id] : node;
}

static bdpo_node *emit_again(backward *b, const bdpo_node *node)
{
    bdpo_node *in[BDPO_MAX_INPUTS] = {0};
    for (int i = 0; i < node->n_in; i++) in[i] = current(b, node->in[i]);
    if (node->op == &bdpo_op_project) return bdpo_node_output(in[0], *(const int *)node->attrs);
    if (node->op->mutates) BDPO_BUG("%s changes the store inside a segment", node->op->name);
    b->g->f32_depth += node->f32;
    bdpo_node *again = bdpo_node_new(b->g, node->op, node->attrs, in, node->n_in);
    b->g->f32_depth -= node->f32;
    return again;
}

static bool encloses(const bdpo_graph *g, int outer, int inner)
{
    while (inner > outer) inner = g->segments[inner].parent;
    return inner == outer;
}

// Emits `segment` again, its enclosing ones first where the walk has not entered them yet.
static void enter_segment(backward *b, int segment)
{
    const bdpo_segment *s = &b->g->segments[segment];
    if (segment == 0) return;
    if (!(b->segment != 0 && encloses(b->g, s->parent, b->segment))) enter_segment(b, s->parent);
    for (int i = s->begin; i < s->end && b->g->status == BDPO_OK; i++)
        if (!bdpo_is_leaf(b->g->nodes[i])) b->copy[i] = NULL;
    for (int i = s->begin; i < s->end && b->g->status == BDPO_OK; i++)
        if (!bdpo_is_leaf(b->g->nodes[i])) b->copy[i] = emit_again(b, b->g->nodes[i]);
}

static void follow_segment(backward *b, const bdpo_node *node)
{
    if (!b->g->checkpointing || node->segment == b->segment) return;
    if (!encloses(b->g, node->segment, b->segment)) enter_segment(b, node->segment);
    b->segment = node->segment;
}

// ---- the walk ----------------------------------------------------------------------------------

static bool is_trainable(const bdpo_node *node)
{
    return node->op == &bdpo_op_state && node->needs_grad;
}

// Adds a parameter's cotangent to the store.
static void finish_parameter(backward *b, const bdpo_node *leaf)
{
    const bdpo_state_attrs *at = leaf->attrs;
    bdpo_node *sum = sum_contributions(b, leaf, 0);
    if (!sum) return;
    bdpo_node *grad = bdpo_state(b->g, BDPO_GRAD, bdpo_store_at(b->g->store, at->param)->name);
    bdpo_node_new(b->g, &bdpo_op_grad_accumulate, NULL, (bdpo_node *[]){grad, sum}, 2);
}

static void apply_rule(backward *b, bdpo_node *node)
{
    bdpo_node *dy[BDPO_MAX_OUTPUTS] = {NULL}, *dx[BDPO_MAX_INPUTS] = {NULL};
    bool any = false;
    for (int k = 0; k < node->n_out; k++) {
        dy[k] = sum_contributions(b, node, k);
        any = any || dy[k];
    }
    b->total[node->id] = dy[0];
    if (!any || b->g->status != BDPO_OK) return;
    follow_segment(b, node);
    bdpo_node *seen = current(b, node);
    if (!seen) return;
    b->g->f32_depth += node->f32; // the gradient of an island is computed on the island
    node->op->grad(b->g, seen, dy, dx);
    b->g->f32_depth -= node->f32;
    for (int i = 0; i < node->n_in; i++) {
        if (!dx[i]) continue;
        if (!bdpo_shape_equal(&dx[i]->out[0].shape, &node->in[i]->out[0].shape))
            BDPO_BUG("%s: gradient of input %d has shape %s", node->op->name, i,
                     bdpo_shape_print(&dx[i]->out[0].shape).text);
        contribute(b, node->in[i], 0, node->id, i, dx[i]);
    }
}

static void visit(backward *b, bdpo_node *node)
{
    if (node->op == &bdpo_op_project) {
        bdpo_node *dy = sum_contributions(b, node, 0);
        b->total[node->id] = dy;
        if (dy) contribute(b, node->in[0], *(const int *)node->attrs, node->id, 0, dy);
    } else if (node->needs_grad && !bdpo_is_leaf(node)) {
        apply_rule(b, node);
    }
    for (int i = 0; b->accumulate && i < node->n_in; i++) {
        const bdpo_node *in = node->in[i];
        bool seen_before = false;
        for (int j = 0; j < i; j++) seen_before = seen_before || node->in[j] == in;
        if (in && !seen_before && is_trainable(in) && b->first_user[in->id] == node->id)
            finish_parameter(b, in);
    }
}

static void walk(backward *b, bdpo_node *y, bdpo_node *dy)
{
    contribute(b, y, 0, b->n_forward, 0, dy);
    for (int i = b->n_forward - 1; i >= 0 && b->g->status == BDPO_OK; i--) visit(b, b->g->nodes[i]);
    if (b->accumulate && is_trainable(y) && b->first_user[y->id] == b->n_forward)
        finish_parameter(b, y); // the loss is a parameter that nothing uses
}

static bdpo_status check_request(const bdpo_graph *g, const bdpo_node *y, const bdpo_node *dy,
                                 bdpo_node *const *x, int n_x)
{
    if (!y || !dy) return bdpo_fail(BDPO_BAD_ARGUMENT, "a gradient was asked for without a node");
    if (y->graph != g || dy->graph != g)
        return bdpo_fail(BDPO_BAD_ARGUMENT, "a gradient was asked for in another graph");
    if (!bdpo_shape_equal(&y->out[0].shape, &dy->out[0].shape))
        return bdpo_fail(BDPO_BAD_SHAPE, "the cotangent has shape %s, its value %s",
                         bdpo_shape_print(&dy->out[0].shape).text,
                         bdpo_shape_print(&y->out[0].shape).text);
    for (int i = 0; i < n_x; i++)
        if (!x[i] || x[i]->graph != g || !x[i]->needs_grad)
            return bdpo_fail(BDPO_BAD_ARGUMENT,
                             "a gradient was asked for toward a value (%d, %s) with nothing "
                             "trainable behind it: see bdpo_require_grad()",
                             i, x[i] ? x[i]->op->name : "absent");
    return BDPO_OK;
}

void bdpo_gradients(bdpo_graph *g, bdpo_node *y, bdpo_node *dy, bdpo_node *const *x, int n_x,
                    bdpo_node **dx)
{
    for (int i = 0; i < n_x; i++) dx[i] = NULL;
    if (g->status != BDPO_OK) return;
    bdpo_status status = check_request(g, y, dy, x, n_x);
    if (status != BDPO_OK) {
        bdpo_graph_fail(g, status);
        return;
    }
    backward b;
    if (!backward_init(&b, g)) return;
    walk(&b, y, dy);
    for (int i = 0; i < n_x && g->status == BDPO_OK; i++)
        dx[i] = bdpo_is_leaf(x[i]) ? sum_contributions(&b, x[i], 0) : b.total[x[i]->id];
}

void bdpo_backward(bdpo_graph *g, bdpo_node *loss)
{
    if (g->status != BDPO_OK || !loss) return;
    bdpo_shape scalar = BDPO_SHAPE(1);
    if (!bdpo_shape_equal(&loss->out[0].shape, &scalar)) {
        bdpo_graph_fail(g, bdpo_fail(BDPO_BAD_SHAPE, "the loss has shape %s, expected [1]",
                                     bdpo_shape_print(&loss->out[0].shape).text));
        return;
    }
    backward b;
    if (!backward_init(&b, g)) return;
    b.accumulate = true;
    bdpo_fill_attrs one = {.shape = scalar, .value = 1.0f};
    walk(&b, loss, bdpo_node_new(g, &bdpo_op_fill, &one, NULL, 0));
}

// Every two bytes of a plan's memory remember the value and the place in it that was last written
// there. A kernel must find what its inputs stand for; its workspace and outputs then replace it.
#include "graph/plan_check.h"

#include <stdio.h>

#include "base/memory.h"
#include "graph/store.h"

enum { CELL = 2 }; // bytes: the smallest element that lies in the arena

// What a cell holds: cell `at` of output `output` of a node.
typedef struct content {
    const bdpo_node *node; // NULL: nothing that may be read
    int output;
    int64_t at;
} content;

typedef struct cell {
    content is, also; // also: the part of a concat that stands in its output
} cell;

typedef struct memory {
    const bdpo_plan *plan;
    cell *arena, *io;
    char why[300];
} memory;

static cell *cell_at(memory *m, const char *address)
{
    const char *arena = m->plan->engine->arena, *io = m->plan->io;
    if (m->io && address >= io && address < io + m->plan->io_bytes)
        return &m->io[(address - io) / CELL];
    if (arena && address >= arena && address < arena + m->plan->peak_bytes)
        return &m->arena[(address - arena) / CELL];
    return NULL;
}

// Calls visit for each cell of a tensor that lies in the plan's memory, with its place counted from
// the tensor's first element, in cells. False: visit said no, or the tensor leaves the memory.
typedef bool (*visitor)(memory *m, cell *c, int64_t at, void *context);

static bool each_cell(memory *m, const bdpo_tensor *t, visitor visit, void *context)
{
    int64_t size = (int64_t)bdpo_dtype_size(t->dtype), cols = bdpo_shape_cols(&t->shape) * size;
    for (int64_t r = 0; r < bdpo_shape_rows(&t->shape); r++)
        for (int64_t c = 0; c < cols; c += CELL) {
            int64_t at = r * t->row_stride * size + c;
            cell *found = cell_at(m, (const char *)t->data + at);
            if (!found || !visit(m, found, at / CELL, context)) return false;
        }
    return true;
}

static bool same(content a, content b)
{
    return a.node == b.node && a.output == b.output && a.at == b.at;
}

static bool expect(memory *m, cell *c, int64_t at, void *context)
{
    content wanted = *(const content *)context;
    (void)m;
    wanted.at += at;
    return same(c->is, wanted) || same(c->also, wanted);
}

static bool write(memory *m, cell *c, int64_t at, void *context)
{
    content now = *(const content *)context;
    (void)m;
    now.at += at;
    *c = (cell){.is = now};
    return true;
}

// The output of a concat takes over cells in which a part stands at this very place.
static bool write_around_parts(memory *m, cell *c, int64_t at, void *context)
{
    content now = *(const content *)context;
    content part = c->also; // marked by mark_part() below
    (void)m;
    now.at += at;
    *c = (cell){.is = now, .also = part};
    return true;
}

static bool mark_part(memory *m, cell *c, int64_t at, void *context)
{
    (void)m, (void)at, (void)context;
    c->also = c->is;
    return true;
}

static bool forget_mark(memory *m, cell *c, int64_t at, void *context)
{
    (void)m, (void)at, (void)context;
    c->also = (content){NULL, 0, 0};
    return true;
}

static bool in_plan(memory *m, const bdpo_tensor *t)
{
    return t->data && cell_at(m, t->data) != NULL;
}

static bool fail(memory *m, const bdpo_node *node, const char *what, int i)
{
    snprintf(m->why, sizeof m->why, "node %d (%s): %s %d", node->id, node->op->name, what, i);
    return false;
}

static bool check_inputs(memory *m, const bdpo_node *node, const bdpo_op_call *call)
{
    for (int i = 0; i < node->n_in; i++) {
        if (!node->in[i] || !in_plan(m, &call->in[i])) continue;
        bdpo_place place = bdpo_place_of(node->in[i], 0);
        int64_t size = (int64_t)bdpo_dtype_size(call->in[i].dtype);
        content wanted = {place.node, place.output, place.offset * size / CELL};
        if (!each_cell(m, &call->in[i], expect, &wanted))
            return fail(m, node, "something else lies in the memory of input", i);
    }
    return true;
}

// Where each input of a concat that lies in its output must lie.
static void mark_parts(memory *m, const bdpo_node *node, const bdpo_op_call *call)
{
    const char *begin = call->out[0].data;
    size_t size = bdpo_dtype_size(call->out[0].dtype);
    each_cell(m, &call->out[0], forget_mark, NULL);
    for (int i = 0; i < node->n_in; i++)
        if (call->in[i].data == begin + (size_t)node->op->part_offset(node, i) * size)
            each_cell(m, &call->in[i], mark_part, NULL);
}

static bool write_outputs(memory *m, const bdpo_node *node, const bdpo_op_call *call)
{
    bool joins = node->op->part_offset != NULL;
    if (joins) mark_parts(m, node, call);
    for (int k = 0; k < node->n_out; k++) {
        content now = {node, k, 0};
        if (k == 0 && call->accumulate) continue;
        if (!each_cell(m, &call->out[k], joins ? write_around_parts : write, &now))
            return fail(m, node, "outside the plan's memory lies output", k);
    }
    for (int k = 0; k < node->n_out; k++) {
        content now = {node, k, 0};
        if (k == 0 && call->accumulate) continue;
        if (!each_cell(m, &call->out[k], expect, &now))
            return fail(m, node, "another output shares the memory of output", k);
    }
    return true;
}

static const char *last_byte(const bdpo_tensor *t)
{
    int64_t elements =
        (bdpo_shape_rows(&t->shape) - 1) * t->row_stride + bdpo_shape_cols(&t->shape);
    return (const char *)t->data + elements * (int64_t)bdpo_dtype_size(t->dtype) - 1;
}

static bool overlap(const bdpo_tensor *a, const bdpo_tensor *b)
{
    return (const char *)a->data <= last_byte(b) && (const char *)b->data <= last_byte(a);
}

// out[0] may lie exactly on an input of which the operator says so; strided tensors are let alone,
// since two of them may interleave.
static bool check_overlap(memory *m, const bdpo_node *node, const bdpo_op_call *call)
{
    for (int k = 0; k < node->n_out; k++)
        for (int i = 0; i < node->n_in; i++) {
            const bdpo_tensor *in = &call->in[i], *out = &call->out[k];
            if (!node->in[i] || node->op->part_offset || !bdpo_tensor_dense(in) ||
                !bdpo_tensor_dense(out) || !overlap(in, out))
                continue;
            // An element-wise kernel may be given the same value twice.
            bool allowed = k == 0 && in->data == out->data && node->op->inplace_inputs != 0;
            if (!allowed) return fail(m, node, "the outputs overlap input", i);
        }
    return true;
}

static bool check_step(memory *m, const bdpo_node *node, const bdpo_op_call *call)
{
    if (call->workspace_bytes) {
        bdpo_tensor workspace = {.dtype = BDPO_U8,
                                 .shape = BDPO_SHAPE((int64_t)call->workspace_bytes),
                                 .row_stride = (int64_t)call->workspace_bytes,
                                 .data = call->workspace};
        content nothing = {NULL, 0, 0};
        if (!each_cell(m, &workspace, write, &nothing))
            return fail(m, node, "outside the plan's memory lies the workspace", 0);
    }
    return check_inputs(m, node, call) && check_overlap(m, node, call) &&
           write_outputs(m, node, call);
}

static void write_leaves(memory *m)
{
    for (int i = 0; i < m->plan->list.count; i++) {
        const bdpo_node *node = m->plan->list.at[i];
        const bdpo_storage *storage = bdpo_storage_of(m->plan, node, 0);
        if (node->op != &bdpo_op_input) continue;
        bdpo_tensor t = {.dtype = node->out[0].dtype,
                         .shape = node->out[0].shape,
                         .row_stride = node->out[0].row_stride,
                         .data = (char *)m->plan->io + storage->offset};
        content now = {node, 0, 0};
        each_cell(m, &t, write, &now);
    }
}

static bool check_named_outputs(memory *m)
{
    for (int i = 0; i < m->plan->list.outputs.count; i++) {
        const bdpo_node *node = m->plan->list.outputs.at[i].node;
        const bdpo_storage *storage = bdpo_storage_of(m->plan, node, 0);
        if (storage->region != BDPO_REGION_IO) return fail(m, node, "in the arena lies output", i);
        bdpo_tensor t = {.dtype = node->out[0].dtype,
                         .shape = node->out[0].shape,
                         .row_stride = node->out[0].row_stride,
                         .data = (char *)m->plan->io + storage->offset};
        content wanted = {node, 0, 0};
        if (!each_cell(m, &t, expect, &wanted))
            return fail(m, node, "after the run something else lies in named output", i);
    }
    return true;
}

// ---- dtypes ------------------------------------------------------------------------------------

static bool is_float(bdpo_dtype dtype)
{
    return dtype == BDPO_F32 || dtype == BDPO_BF16 || dtype == BDPO_F16;
}

// Mean and deviation, log-sum-exp: f32 whatever the rest is.
static bool is_statistic(const bdpo_node *node, const bdpo_node *in)
{
    return in->op == &bdpo_op_project && node->op->tested_by == in->in[0]->op;
}

// What kernels get. Where there are none for half width, only casts and state operators see it.
static bool check_dtypes(memory *m, const bdpo_node *node, bdpo_dtype compute)
{
    bool halves = m->plan->engine->backend->computes_half;
    bdpo_dtype inside = node->f32 || !halves ? BDPO_F32 : compute, in = inside, out = inside;
    switch (node->op->precision) {
    case BDPO_OWN:
        return true;
    case BDPO_FOLLOW:
        in = out = node->out[0].dtype;
        if (!halves && in == BDPO_BF16) return fail(m, node, "half width in output", 0);
        break;
    case BDPO_ISLAND:
        in = BDPO_F32;
        out = BDPO_F32;
        break;
    case BDPO_WEIGHT:
        out = BDPO_F32;
        break;
    case BDPO_COMPUTE:
        break;
    }
    for (int i = 0; i < node->n_in; i++) {
        if (!node->in[i] || !is_float(node->in[i]->out[0].dtype)) continue;
        bdpo_dtype wanted = is_statistic(node, node->in[i]) ? BDPO_F32 : in;
        if (node->in[i]->out[0].dtype != wanted) return fail(m, node, "the dtype of input", i);
    }
    for (int k = 0; k < node->n_out; k++) {
        bool value = k == 0 || (node->op->compute_outputs & 1u << k);
        if (is_float(node->out[k].dtype) && node->out[k].dtype != (value ? out : BDPO_F32))
            return fail(m, node, "the dtype of output", k);
    }
    return true;
}

// ---- buckets -----------------------------------------------------------------------------------

static bool lies_in(const bdpo_tensor *t, const char *data, size_t bytes)
{
    const char *at = t->data;
    return at && at >= data && at < data + bytes;
}

// Once announced, the gradients of a bucket are neither read nor changed; what is changed is
// announced, once.
static bool check_bucket(memory *m, const bdpo_store *store, int bucket)
{
    size_t bytes;
    const char *data = bdpo_store_bucket_data(store, BDPO_GRAD, bucket, &bytes);
    int n_announced = 0, n_users = 0;
    for (int s = 0; s < m->plan->program.n_steps && data; s++) {
        const bdpo_step *step = &m->plan->program.steps[s];
        bool uses = false;
        for (int i = 0; i < step->call.n_in; i++)
            uses = uses || lies_in(&step->call.in[i], data, bytes);
        for (int k = 0; k < step->call.n_out; k++)
            uses = uses || lies_in(&step->call.out[k], data, bytes);
        n_users += uses;
        const bdpo_node *node = m->plan->list.at[m->plan->step_node[s]];
        if (uses && n_announced) return fail(m, node, "uses after its announcement bucket", bucket);
        for (int i = step->first_ready; i < step->first_ready + step->n_ready; i++)
            n_announced += m->plan->program.ready[i] == bucket;
    }
    if (n_announced == (n_users > 0)) return true;
    snprintf(m->why, sizeof m->why, "bucket %d: %d users, announced %d times", bucket, n_users,
             n_announced);
    return false;
}

const char *plan_check(const bdpo_plan *plan, const bdpo_store *store, bdpo_dtype compute)
{
    static memory m;
    m = (memory){.plan = plan};
    m.arena = bdpo_alloc(plan->peak_bytes / CELL + 1, sizeof *m.arena);
    m.io = bdpo_alloc(plan->io_bytes / CELL + 1, sizeof *m.io);
    bool ok = m.arena && m.io;
    if (!ok) snprintf(m.why, sizeof m.why, "no memory");
    if (ok) write_leaves(&m);
    for (int s = 0; s < plan->program.n_steps && ok; s++)
        ok = check_step(&m, plan->list.at[plan->step_node[s]], &plan->program.steps[s].call);
    ok = ok && check_named_outputs(&m);
    for (int s = 0; s < plan->program.n_steps && ok; s++)
        ok = check_dtypes(&m, plan->list.at[plan->step_node[s]], compute);
    for (int b = 0; store && b < bdpo_store_bucket_count(store) && ok; b++)
        ok = check_bucket(&m, store, b);
    bdpo_free(m.arena);
    bdpo_free(m.io);
    return ok ? NULL : m.why;
}

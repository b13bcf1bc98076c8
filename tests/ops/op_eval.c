// The guarded computation of op_eval.h.
#include "ops/op_eval.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "harness.h"

enum { GUARD_BYTES = 128, GUARD_BYTE = 0xA5, LEAD = 3, GAP = 5 };

// ---- elements ----------------------------------------------------------------------------------

void *op_eval_alloc(bdpo_arena *arena, size_t count, size_t size)
{
    void *memory = bdpo_arena_alloc(arena, count, size);
    if (!memory) FAIL("out of memory");
    return memory;
}

static void *element_at(const bdpo_tensor *t, int64_t row, int64_t col)
{
    return (char *)t->data + (size_t)(row * t->row_stride + col) * bdpo_dtype_size(t->dtype);
}

double op_element(const bdpo_tensor *t, int64_t row, int64_t col)
{
    const void *at = element_at(t, row, col);
    switch (t->dtype) {
    case BDPO_F32:
        return (double)*(const float *)at;
    case BDPO_BF16:
        return (double)bdpo_bf16_to_f32(*(const uint16_t *)at);
    case BDPO_F16:
        return (double)bdpo_f16_to_f32(*(const uint16_t *)at);
    case BDPO_I32:
        return *(const int32_t *)at;
    case BDPO_U8:
        return *(const uint8_t *)at;
    }
    return NAN;
}

void op_set_element(const bdpo_tensor *t, int64_t row, int64_t col, double value)
{
    void *at = element_at(t, row, col);
    switch (t->dtype) {
    case BDPO_F32:
        *(float *)at = (float)value;
        break;
    case BDPO_BF16:
        *(uint16_t *)at = bdpo_bf16_from_f32((float)value);
        break;
    case BDPO_F16:
        *(uint16_t *)at = bdpo_f16_from_f32((float)value);
        break;
    case BDPO_I32:
        *(int32_t *)at = (int32_t)value;
        break;
    case BDPO_U8:
        *(uint8_t *)at = (uint8_t)value;
        break;
    }
}

double *op_to_double(bdpo_arena *arena, const bdpo_tensor *t)
{
    int64_t rows = bdpo_shape_rows(&t->shape), cols = bdpo_shape_cols(&t->shape);
    double *out = op_eval_alloc(arena, (size_t)(rows * cols), sizeof *out);
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < cols; c++) out[r * cols + c] = op_element(t, r, c);
    return out;
}

// A value that spoils any sum it gets into.
static double poison(bdpo_dtype dtype)
{
    return dtype == BDPO_I32 ? 0x7ffffff0 : dtype == BDPO_U8 ? 255 : (double)NAN;
}

// ---- guarded buffers ---------------------------------------------------------------------------

typedef struct buffer {
    unsigned char *guard, *data; // guard: GUARD_BYTES before and after the data
    size_t bytes;
} buffer;

static buffer buffer_new(bdpo_arena *arena, size_t bytes)
{
    unsigned char *block = op_eval_alloc(arena, bytes + 2 * GUARD_BYTES + 64, 1);
    unsigned char *start = block + (64 - (uintptr_t)block % 64) % 64;
    memset(start, GUARD_BYTE, bytes + 2 * GUARD_BYTES);
    return (buffer){.guard = start, .data = start + GUARD_BYTES, .bytes = bytes};
}

static bool buffer_intact(const buffer *b)
{
    for (size_t i = 0; i < GUARD_BYTES; i++)
        if (b->guard[i] != GUARD_BYTE || b->data[b->bytes + i] != GUARD_BYTE) return false;
    return true;
}

// A tensor of this shape whose rows lie `stride` apart, poison in every element.
static bdpo_tensor tensor_new(bdpo_arena *arena, buffer *b, bdpo_dtype dtype, bdpo_shape shape,
                              int64_t stride, int64_t lead)
{
    int64_t rows = bdpo_shape_rows(&shape), cols = bdpo_shape_cols(&shape);
    int64_t elements = lead + (rows - 1) * stride + (stride == cols ? cols : stride);
    *b = buffer_new(arena, (size_t)elements * bdpo_dtype_size(dtype));
    bdpo_tensor all = {
        .dtype = dtype, .shape = BDPO_SHAPE(elements), .row_stride = elements, .data = b->data};
    for (int64_t i = 0; i < elements; i++) op_set_element(&all, 0, i, poison(dtype));
    return (bdpo_tensor){.dtype = dtype,
                         .shape = shape,
                         .row_stride = stride,
                         .data = b->data + (size_t)lead * bdpo_dtype_size(dtype)};
}

static void copy_elements(const bdpo_tensor *to, const bdpo_tensor *from)
{
    size_t bytes = (size_t)bdpo_shape_cols(&to->shape) * bdpo_dtype_size(to->dtype);
    for (int64_t r = 0; r < bdpo_shape_rows(&to->shape); r++)
        memcpy(element_at(to, r, 0), element_at(from, r, 0), bytes);
}

// ---- one kernel --------------------------------------------------------------------------------

typedef struct kernel_run {
    op_eval *e;
    const bdpo_node *node;
    bdpo_op_call call;
    buffer in[BDPO_MAX_INPUTS], out[BDPO_MAX_OUTPUTS], workspace;
    unsigned char *before[BDPO_MAX_INPUTS]; // the bytes of in[i] before the call
    unsigned char *gaps[BDPO_MAX_OUTPUTS];  // the bytes of out[k] before the call, if strided
    int inplace;                            // -1: none
    bdpo_tensor base;                       // what out[0] starts from when accumulating
} kernel_run;

static bool complain(op_eval *e, const bdpo_node *node, const char *what, int index)
{
    snprintf(e->why, sizeof e->why, "%s: the kernel of %s %s %d", e->variant.name, node->op->name,
             what, index);
    return false;
}

static bool may_be_inplace(const kernel_run *k, int i)
{
    const bdpo_node *node = k->node;
    if (!(k->e->variant.inplace & node->op->inplace_inputs & 1u << i)) return false;
    if (!node->in[i] || node->n_out < 1) return false;
    const bdpo_tensor *in = &k->call.in[i];
    return in->dtype == node->out[0].dtype && bdpo_tensor_dense(in) &&
           bdpo_shape_count(&in->shape) == bdpo_shape_count(&node->out[0].shape);
}

// The same value in a buffer of its own: with guards, and with a row stride if the variant says.
static void marshal_input(kernel_run *k, int i)
{
    op_eval *e = k->e;
    bdpo_place place = {.node = k->node->in[i]};
    const bdpo_tensor *from = &e->value[place.node->id][0];
    bool spread = e->variant.strided & k->node->op->strided_inputs & 1u << i;
    int64_t stride = spread ? bdpo_shape_cols(&from->shape) + GAP : from->row_stride;
    bool dense = stride == bdpo_shape_cols(&from->shape);
    e->applied = e->applied || spread;
    k->call.in[i] =
        tensor_new(e->arena, &k->in[i], from->dtype, from->shape, stride, dense ? 0 : LEAD);
    copy_elements(&k->call.in[i], from);
    k->before[i] = op_eval_alloc(e->arena, k->in[i].bytes, 1);
    memcpy(k->before[i], k->in[i].data, k->in[i].bytes);
}

static void marshal_output(kernel_run *k, int o)
{
    op_eval *e = k->e;
    const bdpo_value *v = &k->node->out[o];
    bool spread = e->variant.strided_out & k->node->op->strided_outputs & 1u << o;
    int64_t stride = v->row_stride + (spread ? GAP : 0);
    e->applied = e->applied || spread;
    k->call.out[o] =
        tensor_new(e->arena, &k->out[o], v->dtype, v->shape, stride, spread ? LEAD : 0);
    k->gaps[o] = spread ? op_eval_alloc(e->arena, k->out[o].bytes, 1) : NULL;
    if (spread) memcpy(k->gaps[o], k->out[o].data, k->out[o].bytes);
}

// What lies around the rows of a strided output must be as it was.
static bool gaps_intact(const kernel_run *k, int o)
{
    if (!k->gaps[o]) return true;
    const bdpo_tensor *out = &k->call.out[o];
    size_t size = bdpo_dtype_size(out->dtype);
    size_t row = (size_t)bdpo_shape_cols(&out->shape) * size;
    size_t begin = (size_t)((unsigned char *)out->data - k->out[o].data), at = 0;
    for (int64_t r = 0; r < bdpo_shape_rows(&out->shape); r++) {
        size_t start = begin + (size_t)(r * out->row_stride) * size;
        if (memcmp(k->gaps[o] + at, k->out[o].data + at, start - at) != 0) return false;
        at = start + row;
    }
    return memcmp(k->gaps[o] + at, k->out[o].data + at, k->out[o].bytes - at) == 0;
}

// As the planner does where the input was computed in its place.
static void place_part(kernel_run *k, int i)
{
    bdpo_tensor *in = &k->call.in[i], *out = &k->call.out[0];
    bdpo_tensor part = *in;
    size_t offset = (size_t)k->node->op->part_offset(k->node, i) * bdpo_dtype_size(out->dtype);
    part.data = (char *)out->data + offset;
    part.row_stride = out->row_stride;
    copy_elements(&part, in);
    *in = part;
    k->e->applied = true;
}

static void marshal(kernel_run *k)
{
    const bdpo_node *node = k->node;
    bdpo_op_call *call = &k->call;
    *call = (bdpo_op_call){.op = node->op,
                           .attrs = node->attrs,
                           .n_in = node->n_in,
                           .n_out = node->n_out,
                           .n_threads = k->e->variant.n_threads};
    for (int i = 0; i < node->n_in; i++)
        if (node->in[i]) marshal_input(k, i);
    k->inplace = -1;
    for (int i = 0; i < node->n_in && k->inplace < 0; i++)
        if (may_be_inplace(k, i)) k->inplace = i;
    for (int o = 0; o < node->n_out; o++) marshal_output(k, o);
    for (int i = 0; k->e->variant.parts && node->op->part_offset && i < node->n_in; i++)
        place_part(k, i);
    if (k->inplace >= 0) { // dense, like the input
        call->out[0].data = call->in[k->inplace].data;
        call->out[0].row_stride = call->in[k->inplace].row_stride;
        k->gaps[0] = NULL;
        k->e->applied = true;
    }
}

// The workspace is asked for with the strides that the kernel will see.
static void give_workspace(kernel_run *k)
{
    const bdpo_node *node = k->node;
    int64_t stride[BDPO_MAX_INPUTS] = {0};
    size_t bytes = 0;
    for (int i = 0; i < node->n_in; i++) {
        if (!node->in[i]) continue;
        stride[i] = node->in[i]->out[0].row_stride;
        node->in[i]->out[0].row_stride = k->call.in[i].row_stride;
    }
    if (node->op->workspace) bytes = node->op->workspace(node, k->e->variant.n_threads);
    for (int i = node->n_in - 1; i >= 0; i--) // backwards: an input may stand there twice
        if (node->in[i]) node->in[i]->out[0].row_stride = stride[i];
    k->workspace = buffer_new(k->e->arena, bytes);
    k->call.workspace = k->workspace.data;
    k->call.workspace_bytes = bytes;
}

static bool check_after(const kernel_run *k)
{
    const bdpo_node *node = k->node;
    for (int o = 0; o < node->n_out; o++)
        if (!buffer_intact(&k->out[o]) || !gaps_intact(k, o))
            return complain(k->e, node, "wrote outside the memory of output", o);
    if (!buffer_intact(&k->workspace))
        return complain(k->e, node, "wrote outside its workspace, which in bytes has",
                        (int)k->workspace.bytes);
    for (int i = 0; i < node->n_in; i++) {
        if (!node->in[i]) continue;
        if (!buffer_intact(&k->in[i]))
            return complain(k->e, node, "wrote outside the memory of input", i);
        if (i == k->inplace || node->op->mutates & 1u << i) continue;
        if (memcmp(k->before[i], k->in[i].data, k->in[i].bytes) != 0)
            return complain(k->e, node, "changed input", i);
    }
    return true;
}

// Start values of the size of the results, so that taking them off again costs few bits.
static void make_base(kernel_run *k, const bdpo_tensor *result)
{
    buffer b;
    k->base = tensor_new(k->e->arena, &b, result->dtype, result->shape, result->row_stride, 0);
    int64_t rows = bdpo_shape_rows(&result->shape), cols = bdpo_shape_cols(&result->shape);
    double square = 0;
    for (int64_t i = 0; i < rows * cols; i++)
        square += pow(op_element(result, i / cols, i % cols), 2);
    double rms = sqrt(square / (double)(rows * cols));
    for (int64_t i = 0; i < rows * cols; i++) {
        double r = op_element(result, i / cols, i % cols);
        double factor = (i % 2 ? -1 : 1) * (0.5 + 0.1 * (double)(i % 7));
        op_set_element(&k->base, i / cols, i % cols, factor * (r != 0 ? r : rms));
    }
}

static void take_off_base(const kernel_run *k)
{
    const bdpo_tensor *out = &k->call.out[0];
    int64_t rows = bdpo_shape_rows(&out->shape), cols = bdpo_shape_cols(&out->shape);
    for (int64_t i = 0; i < rows * cols; i++)
        op_set_element(out, i / cols, i % cols,
                       op_element(out, i / cols, i % cols) -
                           op_element(&k->base, i / cols, i % cols));
}

static bool run_kernel(op_eval *e, const bdpo_node *node)
{
    kernel_run k = {.e = e, .node = node};
    marshal(&k);
    give_workspace(&k);
    node->op->cpu(&k.call);
    if (!check_after(&k)) return false;
    if (e->variant.accumulate && node->op->can_accumulate) {
        e->applied = true;
        make_base(&k, &k.call.out[0]);
        marshal(&k);
        give_workspace(&k);
        copy_elements(&k.call.out[0], &k.base);
        k.call.accumulate = true;
        node->op->cpu(&k.call);
        if (!check_after(&k)) return false;
        take_off_base(&k);
    }
    for (int o = 0; o < node->n_out; o++) e->value[node->id][o] = k.call.out[o];
    for (int i = 0; i < node->n_in; i++) e->changed[i] = k.call.in[i];
    return true;
}

// ---- the graph ---------------------------------------------------------------------------------

void op_eval_init(op_eval *e, bdpo_arena *arena, const bdpo_graph *g, op_variant variant)
{
    *e = (op_eval){.arena = arena, .variant = variant};
    e->value = op_eval_alloc(arena, (size_t)g->n_nodes, sizeof *e->value);
}

static void view_input(op_eval *e, const bdpo_node *node)
{
    const bdpo_node *from = node->in[0];
    if (node->op == &bdpo_op_project) {
        e->value[node->id][0] = e->value[from->id][*(const int *)node->attrs];
        return;
    }
    for (int o = 0; o < node->n_out; o++) {
        const bdpo_value *v = &node->out[o];
        size_t offset = (size_t)v->view_offset * bdpo_dtype_size(v->dtype);
        e->value[node->id][o] = (bdpo_tensor){.dtype = v->dtype,
                                              .shape = v->shape,
                                              .row_stride = v->row_stride,
                                              .data = (char *)e->value[from->id][0].data + offset};
    }
}

static void mark_needed(bool *needed, const bdpo_node *node)
{
    if (!node || needed[node->id]) return;
    needed[node->id] = true;
    for (int i = 0; i < node->n_in; i++) mark_needed(needed, node->in[i]);
}

bool op_eval_run(op_eval *e, const bdpo_graph *g, bdpo_node *const *roots, int n_roots)
{
    bool *needed = op_eval_alloc(e->arena, (size_t)g->n_nodes, sizeof *needed);
    for (int i = 0; i < n_roots; i++) mark_needed(needed, roots[i]);
    bdpo_isa before = bdpo_isa_active();
    CHECK_OK(bdpo_isa_force(e->variant.isa));
    bool ok = true;
    for (int i = 0; i < g->n_nodes && ok; i++) {
        const bdpo_node *node = g->nodes[i];
        if (!needed[i] || bdpo_is_leaf(node)) continue;
        if (node->op->is_view)
            view_input(e, node);
        else
            ok = run_kernel(e, node);
    }
    CHECK_OK(bdpo_isa_force(before));
    return ok;
}

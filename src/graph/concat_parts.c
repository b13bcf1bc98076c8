// Concat without copies: an input that only it and tolerant kernels read is computed where it will
// stand in the output, with the output's row stride.
//
// The output then lives from its first part on. That is free for the part that is made last, and
// for a part that the backward pass keeps anyway; an early part that dies in the concat is copied,
// since the whole would wait for it half empty.
#include "graph/plan.h"

static bool is_named_output(const bdpo_plan *plan, const bdpo_node *node)
{
    for (int i = 0; i < plan->list.outputs.count; i++)
        if (plan->list.outputs.at[i].node == node) return true;
    return false;
}

// May everything that reads (node, output) take it with a row stride, if it gets one?
static bool readers_agree(const bdpo_plan *plan, const bdpo_place *value, bool strided)
{
    for (int i = value->node->id + 1; i < plan->list.count && strided; i++) {
        const bdpo_node *reader = plan->list.at[i];
        if (reader->op == &bdpo_op_project || reader->accumulate_bound) continue;
        for (int k = 0; k < reader->n_in; k++) {
            if (!reader->in[k]) continue;
            bdpo_place place = bdpo_place_of(reader->in[k], 0);
            if (place.node != value->node || place.output != value->output) continue;
            if (reader->op->is_view || !(reader->op->strided_inputs & 1u << k)) return false;
            // a view between would keep the dense strides that it was built with
            if (reader->in[k]->op->is_view && reader->in[k]->op != &bdpo_op_project) return false;
        }
    }
    return true;
}

static bool may_be_part(const bdpo_plan *plan, const bdpo_node *whole, int i,
                        const bdpo_place *value)
{
    const bdpo_node *in = whole->in[i], *node = value->node;
    const bdpo_node *source = in->op == &bdpo_op_project ? in->in[0] : in;
    if (source->op->is_view) return false; // the concat takes a part of the value, or reshapes it
    if (!bdpo_node_computes(node) || node->accumulate || node->op->part_offset) return false;
    if (!(node->op->strided_outputs & 1u << value->output)) return false;
    if (node->round_outputs || is_named_output(plan, node)) return false;
    if (node->out[value->output].dtype != whole->out[0].dtype) return false;
    if (plan->parts[node->id * BDPO_MAX_OUTPUTS + value->output].whole) return false;
    for (int j = 0; j < whole->n_in; j++)
        if (j != i && whole->in[j] == in) return false; // it would stand in two places
    bool strided = bdpo_shape_cols(&in->out[0].shape) != bdpo_shape_cols(&whole->out[0].shape);
    return readers_agree(plan, value, strided);
}

static void make_part(bdpo_plan *plan, const bdpo_node *whole, int i, const bdpo_place *value)
{
    int64_t stride = whole->out[0].row_stride;
    plan->parts[value->node->id * BDPO_MAX_OUTPUTS + value->output] =
        (bdpo_part){.whole = whole, .offset = whole->op->part_offset(whole, i)};
    plan->list.at[value->node->id]->out[value->output].row_stride = stride;
    for (int j = value->node->id + 1; j < plan->list.count; j++) {
        bdpo_node *handle = plan->list.at[j];
        if (handle->op == &bdpo_op_project && handle->in[0] == value->node &&
            *(const int *)handle->attrs == value->output)
            handle->out[0].row_stride = stride;
    }
}

static void find_parts(bdpo_plan *plan, const bdpo_node *whole, const int *last_use)
{
    int latest = -1;
    for (int i = 0; i < whole->n_in; i++) {
        int made = bdpo_place_of(whole->in[i], 0).node->id;
        latest = made > latest ? made : latest;
    }
    for (int i = 0; i < whole->n_in; i++) {
        bdpo_place value = bdpo_place_of(whole->in[i], 0);
        bool kept = last_use[value.node->id * BDPO_MAX_OUTPUTS + value.output] > whole->id;
        if ((kept || value.node->id == latest) && may_be_part(plan, whole, i, &value))
            make_part(plan, whole, i, &value);
    }
}

bdpo_status bdpo_plan_parts(bdpo_plan *plan, const int *last_use)
{
    size_t n = ((size_t)plan->list.count + 1) * BDPO_MAX_OUTPUTS;
    plan->parts = bdpo_arena_alloc(plan->arena, n, sizeof *plan->parts);
    if (!plan->parts) return bdpo_fail(BDPO_NO_MEMORY, "no memory to plan the nodes");
    for (int i = 0; i < plan->list.count; i++) {
        const bdpo_node *node = plan->list.at[i];
        if (node->op->part_offset && bdpo_node_computes(node) && !is_named_output(plan, node) &&
            !node->round_outputs)
            find_parts(plan, node, last_use);
    }
    return BDPO_OK;
}

// Liveness: which memory each value of a plan takes, and for how long.
//
// A value lives from the step that makes it to the last step that reads it or a view of it. An
// element-wise node takes over the memory of an input that dies there.
#include "graph/plan.h"
#include "graph/store.h"

enum { ALIGNMENT = 64 };

bool bdpo_node_computes(const bdpo_node *node)
{
    return !node->op->is_view && !bdpo_is_leaf(node) && !node->accumulate_bound;
}

static size_t value_bytes(const bdpo_value *value)
{
    return (size_t)bdpo_shape_count(&value->shape) * bdpo_dtype_size(value->dtype);
}

static bdpo_status add_interval(bdpo_plan *plan, size_t bytes, int step, int *index)
{
    TRY(bdpo_grow(plan->arena, (void **)&plan->intervals, plan->n_intervals,
                  &plan->interval_capacity, sizeof *plan->intervals));
    *index = plan->n_intervals++;
    plan->intervals[*index] =
        (bdpo_interval){.bytes = bdpo_align(bytes, ALIGNMENT), .first = step, .last = step};
    return BDPO_OK;
}

static bdpo_status take_io(bdpo_plan *plan, const bdpo_value *value, bdpo_storage *storage)
{
    size_t bytes = bdpo_align(value_bytes(value), ALIGNMENT);
    *storage = (bdpo_storage){.region = BDPO_REGION_IO, .offset = plan->io_bytes};
    return bdpo_size_add(&plan->io_bytes, plan->io_bytes, bytes)
               ? BDPO_OK
               : bdpo_fail(BDPO_NO_MEMORY, "the inputs and outputs do not fit in memory");
}

// ---- storage of each node ----------------------------------------------------------------------

static bdpo_status place_leaf(bdpo_plan *plan, const bdpo_node *node, const bdpo_store *store)
{
    bdpo_storage *storage = bdpo_storage_of(plan, node, 0);
    if (node->op == &bdpo_op_input) return take_io(plan, &node->out[0], storage);
    const bdpo_state_attrs *at = node->attrs;
    size_t bytes;
    void *data = at->param >= 0 ? bdpo_store_address(store, at->kind, at->param)
                                : bdpo_store_bucket_data(store, at->kind, at->bucket, &bytes);
    *storage = (bdpo_storage){.region = BDPO_REGION_STORE, .data = data};
    return BDPO_OK;
}

static bool is_output(const bdpo_plan *plan, const bdpo_node *node)
{
    for (int i = 0; i < plan->list.outputs.count; i++)
        if (plan->list.outputs.at[i].node == node) return true;
    return false;
}

// Index of the input whose memory out[0] may take over, -1: none.
static int inplace_input(const bdpo_plan *plan, const bdpo_node *node)
{
    for (int i = 0; i < node->n_in; i++) {
        if (!(node->op->inplace_inputs & 1u << i) || !node->in[i]) continue;
        bdpo_place place = bdpo_place_of(node->in[i], 0);
        const bdpo_value *in = &node->in[i]->out[0], *whole = &place.node->out[place.output];
        const bdpo_storage *storage = bdpo_storage_of(plan, place.node, place.output);
        bool dense = in->row_stride == bdpo_shape_cols(&in->shape);
        bool part = plan->parts[place.node->id * BDPO_MAX_OUTPUTS + place.output].whole != NULL;
        if (storage->region != BDPO_REGION_ARENA || !dense || part || place.offset != 0 ||
            in->dtype != node->out[0].dtype || value_bytes(in) != value_bytes(whole) ||
            value_bytes(in) != value_bytes(&node->out[0]))
            continue;
        if (plan->intervals[storage->interval].last > node->id) continue;
        bool shared = false; // another input in the same memory would be overwritten early
        for (int j = 0; j < node->n_in; j++) {
            if (j == i || !node->in[j] || node->in[j] == node->in[i]) continue;
            bdpo_place other = bdpo_place_of(node->in[j], 0);
            const bdpo_storage *at = bdpo_storage_of(plan, other.node, other.output);
            shared = shared || (!bdpo_is_leaf(other.node) && at->region == BDPO_REGION_ARENA &&
                                at->interval == storage->interval);
        }
        if (!shared) return i;
    }
    return -1;
}

static void extend(bdpo_interval *interval, int last)
{
    interval->last = last > interval->last ? last : interval->last;
}

// The whole begins to live with its first part.
static bdpo_status place_part(bdpo_plan *plan, const bdpo_node *node, int k, const bdpo_part *part,
                              const int *last_use)
{
    bdpo_storage *whole = bdpo_storage_of(plan, part->whole, 0);
    const bdpo_value *value = &part->whole->out[0];
    if (whole->interval < 0) {
        TRY(add_interval(plan, value_bytes(value), node->id, &whole->interval));
        int last = last_use[part->whole->id * BDPO_MAX_OUTPUTS];
        extend(&plan->intervals[whole->interval], last > part->whole->id ? last : part->whole->id);
    }
    extend(&plan->intervals[whole->interval], last_use[node->id * BDPO_MAX_OUTPUTS + k]);
    *bdpo_storage_of(plan, node, k) =
        (bdpo_storage){.region = BDPO_REGION_ARENA,
                       .interval = whole->interval,
                       .offset = (size_t)part->offset * bdpo_dtype_size(value->dtype)};
    return BDPO_OK;
}

static bdpo_status place_outputs(bdpo_plan *plan, const bdpo_node *node, const int *last_use)
{
    for (int k = 0; k < node->n_out; k++) {
        bdpo_storage *storage = bdpo_storage_of(plan, node, k);
        if (k == 0 && node->accumulate) continue;
        const bdpo_part *part = &plan->parts[node->id * BDPO_MAX_OUTPUTS + k];
        if (part->whole) {
            TRY(place_part(plan, node, k, part, last_use));
            continue;
        }
        if (storage->region == BDPO_REGION_ARENA && storage->interval >= 0) continue; // begun
        if (k == 0 && is_output(plan, node)) {
            TRY(take_io(plan, &node->out[0], storage));
            continue;
        }
        int last = last_use[node->id * BDPO_MAX_OUTPUTS + k];
        last = last > node->id ? last : node->id;
        int taken = k == 0 ? inplace_input(plan, node) : -1;
        if (taken >= 0) {
            bdpo_place place = bdpo_place_of(node->in[taken], 0);
            *storage = *bdpo_storage_of(plan, place.node, place.output);
        } else {
            storage->region = BDPO_REGION_ARENA;
            TRY(add_interval(plan, value_bytes(&node->out[k]), node->id, &storage->interval));
        }
        extend(&plan->intervals[storage->interval], last);
    }
    return BDPO_OK;
}

// For each value, the last node that reads it, through whatever views.
static int *find_last_uses(const bdpo_plan *plan)
{
    size_t n = (size_t)plan->list.count * BDPO_MAX_OUTPUTS;
    int *last = bdpo_arena_alloc(plan->arena, n, sizeof *last);
    for (int i = 0; last && i < plan->list.count; i++) {
        const bdpo_node *node = plan->list.at[i];
        if (!bdpo_node_computes(node)) continue;
        for (int k = 0; k < node->n_in; k++) {
            if (!node->in[k]) continue;
            bdpo_place place = bdpo_place_of(node->in[k], 0);
            last[place.node->id * BDPO_MAX_OUTPUTS + place.output] = i;
        }
    }
    return last;
}

static bdpo_status place_workspace(bdpo_plan *plan, const bdpo_node *node)
{
    const bdpo_backend *backend = plan->engine->backend;
    size_t bytes = backend->workspace(plan->engine->device, node);
    plan->workspace[node->id] = -1;
    return bytes ? add_interval(plan, bytes, node->id, &plan->workspace[node->id]) : BDPO_OK;
}

bdpo_status bdpo_plan_storage(bdpo_plan *plan, const bdpo_store *store)
{
    size_t n = (size_t)plan->list.count + 1;
    plan->storage = bdpo_arena_alloc(plan->arena, n * BDPO_MAX_OUTPUTS, sizeof *plan->storage);
    plan->workspace = bdpo_arena_alloc(plan->arena, n, sizeof *plan->workspace);
    if (!plan->storage || !plan->workspace)
        return bdpo_fail(BDPO_NO_MEMORY, "no memory to plan %d nodes", plan->list.count);
    for (size_t i = 0; i < n * BDPO_MAX_OUTPUTS; i++)
        plan->storage[i] = (bdpo_storage){.region = BDPO_REGION_ARENA, .interval = -1};
    for (int i = 0; i < plan->list.count; i++)
        if (bdpo_is_leaf(plan->list.at[i])) TRY(place_leaf(plan, plan->list.at[i], store));
    for (int i = 0; i < plan->list.count; i++) {
        const bdpo_node *sum = plan->list.at[i];
        if (sum->accumulate_bound)
            *bdpo_storage_of(plan, sum->in[1], 0) = *bdpo_storage_of(plan, sum->in[0], 0);
    }
    int *last_use = find_last_uses(plan);
    if (!last_use) return bdpo_fail(BDPO_NO_MEMORY, "no memory to plan the nodes");
    TRY(bdpo_plan_parts(plan, last_use));
    for (int i = 0; i < plan->list.count; i++) {
        const bdpo_node *node = plan->list.at[i];
        if (!bdpo_node_computes(node)) continue;
        TRY(place_outputs(plan, node, last_use));
        TRY(place_workspace(plan, node));
    }
    return bdpo_memory_plan(plan->intervals, plan->n_intervals, &plan->peak_bytes);
}

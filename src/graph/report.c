// What a plan costs, before anything runs: memory, bytes and FLOPs, node by node.
#include <inttypes.h>

#include "graph/plan.h"

// What a node is about: its output, or the tensor of the store that it changes.
static const bdpo_value *subject(const bdpo_node *node)
{
    return node->n_out > 0 ? &node->out[0] : &node->in[0]->out[0];
}

static int64_t node_flops(const bdpo_node *node)
{
    return node->op->flops ? node->op->flops(node) : bdpo_shape_count(&subject(node)->shape);
}

static int64_t node_bytes(const bdpo_node *node)
{
    int64_t bytes = 0;
    for (int i = 0; i < node->n_in; i++)
        if (node->in[i])
            bytes += bdpo_shape_count(&node->in[i]->out[0].shape) *
                     (int64_t)bdpo_dtype_size(node->in[i]->out[0].dtype);
    for (int k = 0; k < node->n_out; k++)
        bytes +=
            bdpo_shape_count(&node->out[k].shape) * (int64_t)bdpo_dtype_size(node->out[k].dtype);
    return bytes;
}

bdpo_plan_cost bdpo_plan_costs(const bdpo_plan *plan)
{
    bdpo_plan_cost cost = {.peak_bytes = plan->peak_bytes,
                           .io_bytes = plan->io_bytes,
                           .n_nodes = plan->program.n_steps};
    for (int s = 0; s < plan->program.n_steps; s++) {
        const bdpo_node *node = plan->list.at[plan->step_node[s]];
        cost.flops += node_flops(node);
        cost.bytes += node_bytes(node);
    }
    return cost;
}

static size_t live_bytes(const bdpo_plan *plan, int node)
{
    size_t live = 0;
    for (int i = 0; i < plan->n_intervals; i++)
        if (plan->intervals[i].first <= node && node <= plan->intervals[i].last)
            live += plan->intervals[i].bytes;
    return live;
}

void bdpo_plan_report(const bdpo_plan *plan, FILE *out)
{
    const double mib = 1.0 / (1 << 20);
    fprintf(out, "%5s  %-28s %-5s %-24s %12s %12s %10s\n", "step", "operator", "dtype", "shape",
            "bytes", "FLOPs", "live MiB");
    for (int s = 0; s < plan->program.n_steps; s++) {
        const bdpo_node *node = plan->list.at[plan->step_node[s]];
        bdpo_dtype dtype = node->round_outputs & 1 ? BDPO_BF16 : subject(node)->dtype;
        fprintf(out, "%5d  %-28s %-5s %-24s %12" PRId64 " %12" PRId64 " %10.2f\n", s,
                node->op->name, bdpo_dtype_name(dtype),
                bdpo_shape_print(&subject(node)->shape).text, node_bytes(node), node_flops(node),
                (double)live_bytes(plan, node->id) * mib);
    }
    bdpo_plan_cost cost = bdpo_plan_costs(plan);
    fprintf(out,
            "%d nodes, %.3f GFLOP, %.1f MiB moved, peak %.2f MiB, inputs and outputs %.2f MiB\n",
            cost.n_nodes, (double)cost.flops * 1e-9, (double)cost.bytes * mib,
            (double)cost.peak_bytes * mib, (double)cost.io_bytes * mib);
}

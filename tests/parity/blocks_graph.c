// The blocks of blocks_graph.h.
#include "parity/blocks_graph.h"

#include <stdio.h>

#include "base/status.h"
#include "models/layers.h"

block_shape block_sd15(block_kind kind, int64_t n, int64_t size, int64_t c_in, int64_t c_out)
{
    return (block_shape){.kind = kind,
                         .n = n,
                         .size = size,
                         .c_in = c_in,
                         .c_out = c_out,
                         .heads = 8,
                         .groups = 32,
                         .time_width = 1280,
                         .context_tokens = 77,
                         .context_width = 768};
}

// The block is the whole model: its leaves have no prefix.
static const char here[] = "";

static bdpo_transformer_options transformer_options(const block_shape *s)
{
    return (bdpo_transformer_options){
        .groups = (int)s->groups, .heads = (int)s->heads, .layers = 1};
}

static bdpo_residual_options residual_options(const block_shape *s)
{
    return (bdpo_residual_options){.out = s->c_out, .groups = (int)s->groups, .eps = 1e-5F};
}

// ---- leaves ------------------------------------------------------------------------------------

static int add(block_param *out, int count, const char *name, bdpo_shape shape, bool trainable)
{
    BDPO_ASSERT(count < BLOCK_MAX_PARAMS);
    out[count] = (block_param){.shape = shape, .trainable = trainable};
    snprintf(out[count].name, sizeof out[count].name, "%s", name);
    return count + 1;
}

static int add_inputs(const block_shape *s, block_param *out)
{
    int count = add(out, 0, "x", BDPO_SHAPE(s->n, s->size, s->size, s->c_in), true);
    if (s->kind == BLOCK_RESIDUAL)
        return add(out, count, "temb", BDPO_SHAPE(s->n, s->time_width), true);
    return add(out, count, "context", BDPO_SHAPE(s->n, s->context_tokens, s->context_width),
               s->trains_context);
}

int block_params(const block_shape *s, block_param out[BLOCK_MAX_PARAMS])
{
    bdpo_param_list *list;
    bdpo_transformer_options options = transformer_options(s);
    bdpo_status status = bdpo_param_list_new(&list);
    BDPO_ASSERT(status == BDPO_OK);
    if (s->kind == BLOCK_RESIDUAL)
        bdpo_residual_params(list, here, s->c_in, s->c_out, s->time_width);
    else
        bdpo_transformer_params(list, here, s->c_in, s->context_width, &options);
    status = bdpo_param_list_check(list);
    BDPO_ASSERT(status == BDPO_OK);
    int count = add_inputs(s, out);
    for (int i = 0; i < bdpo_param_list_count(list); i++) {
        const bdpo_param_spec *spec = bdpo_param_list_at(list, i);
        count = add(out, count, spec->name, bdpo_param_store_shape(spec), true);
    }
    bdpo_param_list_free(list);
    return count;
}

bdpo_status block_declare(bdpo_store *store, const block_shape *s)
{
    block_param params[BLOCK_MAX_PARAMS];
    int n = block_params(s, params);
    for (int i = 0; i < n; i++)
        TRY(bdpo_store_declare(store, params[i].name, BDPO_F32, params[i].shape,
                               params[i].trainable));
    return bdpo_store_seal(store);
}

// ---- graph -------------------------------------------------------------------------------------

bdpo_node *block_build(bdpo_graph *g, const block_shape *s)
{
    bdpo_builder b = {.graph = g, .segments = s->lean ? BDPO_SEGMENTS_LEAN : BDPO_SEGMENTS_COARSE};
    bdpo_node *x = bdpo_param(g, "x");
    if (s->kind == BLOCK_RESIDUAL) {
        bdpo_residual_options options = residual_options(s);
        bdpo_node *time = bdpo_silu(g, bdpo_param(g, "temb"));
        return bdpo_residual_at(&b, here, x, time, &options);
    }
    bdpo_transformer_options options = transformer_options(s);
    return bdpo_transformer_at(&b, here, x, bdpo_param(g, "context"), &options);
}

void block_backward(bdpo_graph *g, bdpo_node *y)
{
    bdpo_node *dy = bdpo_input(g, "dy", BDPO_F32, bdpo_node_shape(y));
    bdpo_backward(g, bdpo_reduce_sum(g, bdpo_mul(g, y, dy), BDPO_KEEP_NONE));
}

double block_flops(const block_shape *s)
{
    double tokens = (double)(s->size * s->size), n = (double)s->n;
    double ci = (double)s->c_in, co = (double)s->c_out;
    if (s->kind == BLOCK_RESIDUAL) {
        double shortcut = ci == co ? 0 : ci * co;
        return 2 * n *
               (tokens * (9 * ci * co + 9 * co * co + shortcut) + co * (double)s->time_width);
    }
    double keys = (double)s->context_tokens;
    double products = tokens * ci * ci * (2 + 4 + 2 + 8 + 4);
    double context = 2 * keys * (double)s->context_width * ci;
    double scores = 2 * tokens * (tokens + keys) * ci;
    return 2 * n * (products + context + scores);
}

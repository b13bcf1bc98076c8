// The real VAE's decoder and encoder through the engine, one picture of 256 or 512 pixels.
// bench/torch_vae.py does the same work in diffusers. "memory" is the peak of the arena: all beside
// weights, latents and picture.
#include "bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "models/vae.h"
#include "parity/parity_inputs.h"
#include "tensor/tensor.h"

static const bdpo_vae_config config = {.n_levels = 4,
                                       .channels = {128, 256, 512, 512},
                                       .residuals = 2,
                                       .in_channels = 3,
                                       .out_channels = 3,
                                       .latent_channels = 4,
                                       .groups = 32,
                                       .sample_size = 512,
                                       .scaling = 0.18215F,
                                       .quant_conv = true,
                                       .post_quant_conv = true,
                                       .mid_attention = true};

static void check(bdpo_status status)
{
    if (status == BDPO_OK) return;
    fprintf(stderr, "bench_vae: %s\n", bdpo_message());
    exit(1);
}

static float *filled(const bdpo_shape *shape, const char *name, double scale, double shift)
{
    size_t count = (size_t)bdpo_shape_count(shape);
    float *values = bdpo_alloc(count, sizeof *values);
    if (!values) check(bdpo_fail(BDPO_NO_MEMORY, "no memory for %s", name));
    parity_fill(values, count, name, scale, shift);
    return values;
}

// Values that keep a signal's size.
static void fill_parameter(bdpo_store *store, const bdpo_param_spec *spec)
{
    bool gain = spec->shape.n_dims == 1 && strstr(spec->name, "weight");
    double fan_in = (double)bdpo_shape_count(&spec->shape) / (double)spec->shape.dim[0];
    double scale = spec->shape.n_dims == 1 ? 0.1 : 1 / __builtin_sqrt(fan_in);
    float *values = filled(&spec->shape, spec->name, scale, gain ? 1 : 0);
    size_t bytes = (size_t)bdpo_shape_count(&spec->shape) * sizeof *values;
    check(bdpo_store_write(store, BDPO_PARAM, spec->name, values, bytes));
    bdpo_free(values);
}

static void new_store(bdpo_store **out, bdpo_engine *engine)
{
    bdpo_param_list *list;
    check(bdpo_param_list_new(&list));
    bdpo_vae_params(list, &config);
    check(bdpo_param_list_check(list));
    check(bdpo_store_new(out, engine));
    for (int i = 0; i < bdpo_param_list_count(list); i++) {
        const bdpo_param_spec *spec = bdpo_param_list_at(list, i);
        check(bdpo_store_declare(*out, spec->name, BDPO_F32, bdpo_param_store_shape(spec), false));
    }
    check(bdpo_store_seal(*out));
    for (int i = 0; i < bdpo_param_list_count(list); i++)
        fill_parameter(*out, bdpo_param_list_at(list, i));
    bdpo_param_list_free(list);
}

static bdpo_node *build(bdpo_graph *graph, bool decodes, int64_t latent)
{
    bdpo_builder b = {.graph = graph};
    if (decodes) {
        bdpo_shape shape = BDPO_SHAPE(1, latent, latent, config.latent_channels);
        return bdpo_vae_decode(&b, &config, bdpo_input(graph, "x", BDPO_F32, shape));
    }
    bdpo_shape shape = BDPO_SHAPE(1, 8 * latent, 8 * latent, 3);
    return bdpo_vae_encode(&b, &config, bdpo_input(graph, "x", BDPO_F32, shape)).mean;
}

static void run_plan(void *plan)
{
    check(bdpo_plan_run(plan));
}

static void bench_pass(bdpo_engine *engine, bdpo_store *store, bool decodes, int64_t latent)
{
    char what[64];
    bdpo_graph *g;
    bdpo_plan *plan;
    const char *name = decodes ? "decode" : "encode";
    bdpo_shape shape = decodes ? BDPO_SHAPE(1, latent, latent, config.latent_channels)
                               : BDPO_SHAPE(1, 8 * latent, 8 * latent, 3);
    check(bdpo_graph_new(&g, store));
    bdpo_output(g, "y", build(g, decodes, latent));
    check(bdpo_graph_check(g));
    check(bdpo_plan_new(&plan, engine, g, &(bdpo_plan_options){0}));
    if (getenv("BDPO_BENCH_REPORT")) bdpo_plan_report(plan, stdout);
    float *x = filled(&shape, "x", 1, 0);
    check(bdpo_plan_write(plan, "x", x, (size_t)bdpo_shape_count(&shape) * sizeof *x));
    bdpo_free(x);
    snprintf(what, sizeof what, "%s_%d/forward", name, (int)(8 * latent));
    bench_measure(what, (double)bdpo_plan_costs(plan).flops, 0, run_plan, plan);
    snprintf(what, sizeof what, "%s_%d/memory", name, (int)(8 * latent));
    bench_memory(what, (double)bdpo_plan_costs(plan).peak_bytes);
    bdpo_plan_free(plan);
    bdpo_graph_free(g);
}

static bool any_wanted(bool decodes, int64_t latent)
{
    char what[64], memory[64];
    const char *name = decodes ? "decode" : "encode";
    snprintf(what, sizeof what, "%s_%d/forward", name, (int)(8 * latent));
    snprintf(memory, sizeof memory, "%s_%d/memory", name, (int)(8 * latent));
    bool wanted = bench_wanted(what);
    return bench_wanted(memory) || wanted;
}

BDPO_BENCH(vae)
{
    static const struct {
        bool decodes;
        int latent;
    } rows[] = {{true, 32}, {true, 64}, {false, 32}, {false, 64}};
    bdpo_engine *engine = NULL;
    bdpo_store *store = NULL;
    for (size_t i = 0; i < BDPO_COUNTOF(rows); i++) {
        if (!any_wanted(rows[i].decodes, rows[i].latent)) continue;
        if (!engine) {
            check(bdpo_engine_new(&engine, &(bdpo_engine_options){.n_threads = bench_threads()}));
            new_store(&store, engine);
        }
        bench_pass(engine, store, rows[i].decodes, rows[i].latent);
    }
    bdpo_store_free(store);
    bdpo_engine_free(engine);
}

// The whole UNet of SD 1.5: building and planning its graph, one forward pass of two latents of
// 64 x 64, and the memory that this needs beside the weights. bench/torch_unet.py does the same
// work in diffusers.
#include "bench.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/memory.h"
#include "models/unet.h"
#include "parity/parity_inputs.h"
#include "tensor/tensor.h"

enum { IMAGES = 2, SIZE = 64, TOKENS = 77 };

static void check(bdpo_status status)
{
    if (status == BDPO_OK) return;
    fprintf(stderr, "bench_unet: %s\n", bdpo_message());
    exit(1);
}

// diffusers' defaults are SD 1.5's values but for the width of the context.
static void sd15(bdpo_unet_config *out)
{
    json_t *root = json_pack("{s:i}", "cross_attention_dim", 768);
    check(bdpo_unet_config_parse(out, root, "sd15"));
    json_decref(root);
}

static void fill_weight(bdpo_store *store, const bdpo_param_spec *spec)
{
    size_t count = (size_t)bdpo_shape_count(&spec->shape);
    double fan_in = (double)count / (double)spec->shape.dim[0];
    float *values = bdpo_alloc(count, sizeof *values);
    if (!values) check(bdpo_fail(BDPO_NO_MEMORY, "no memory for the weights"));
    // Values of a plausible size: denormals or infinities would distort the times.
    parity_fill(values, count, spec->name, 0.3 / __builtin_sqrt(fan_in), 0);
    check(bdpo_store_write(store, BDPO_PARAM, spec->name, values, count * sizeof *values));
    bdpo_free(values);
}

static void make_store(bdpo_store **out, bdpo_engine *engine, const bdpo_unet_config *config)
{
    bdpo_param_list *list;
    check(bdpo_param_list_new(&list));
    bdpo_unet_params(list, config);
    check(bdpo_param_list_check(list));
    check(bdpo_store_new(out, engine));
    for (int i = 0; i < bdpo_param_list_count(list); i++) {
        const bdpo_param_spec *spec = bdpo_param_list_at(list, i);
        check(bdpo_store_declare(*out, spec->name, BDPO_F32, bdpo_param_store_shape(spec), false));
    }
    check(bdpo_store_seal(*out));
    for (int i = 0; i < bdpo_param_list_count(list); i++)
        fill_weight(*out, bdpo_param_list_at(list, i));
    bdpo_param_list_free(list);
}

static void make_plan(bdpo_plan **out, bdpo_graph **g, bdpo_engine *engine, bdpo_store *store,
                      const bdpo_unet_config *config)
{
    check(bdpo_graph_new(g, store));
    bdpo_builder b = {.graph = *g};
    bdpo_unet_inputs in = {
        .sample = bdpo_input(*g, "sample", BDPO_F32, BDPO_SHAPE(IMAGES, SIZE, SIZE, 4)),
        .timestep = bdpo_input(*g, "timestep", BDPO_F32, BDPO_SHAPE(IMAGES)),
        .context =
            bdpo_input(*g, "context", BDPO_F32, BDPO_SHAPE(IMAGES, TOKENS, config->context_width)),
    };
    bdpo_output(*g, "y", bdpo_unet(&b, config, &in));
    check(bdpo_graph_check(*g));
    check(bdpo_plan_new(out, engine, *g, &(bdpo_plan_options){0}));
}

static void write_input(bdpo_plan *plan, const char *name, size_t count, double scale)
{
    float *values = bdpo_alloc(count, sizeof *values);
    if (!values) check(bdpo_fail(BDPO_NO_MEMORY, "no memory for an input"));
    parity_fill(values, count, name, scale, 0);
    check(bdpo_plan_write(plan, name, values, count * sizeof *values));
    bdpo_free(values);
}

static void run_plan(void *plan)
{
    check(bdpo_plan_run(plan));
}

BDPO_BENCH(sd15)
{
    if (!bench_wanted("plan") && !bench_wanted("forward") && !bench_wanted("memory")) return;
    bdpo_unet_config config;
    bdpo_engine *engine;
    bdpo_store *store;
    bdpo_graph *g;
    bdpo_plan *plan;
    sd15(&config);
    check(bdpo_engine_new(&engine, &(bdpo_engine_options){.n_threads = bench_threads()}));
    make_store(&store, engine, &config);
    double begin = bdpo_clock_seconds();
    make_plan(&plan, &g, engine, store, &config);
    bench_row("plan", bdpo_clock_seconds() - begin, 0, 0);
    bdpo_plan_cost cost = bdpo_plan_costs(plan);
    bench_note("SD 1.5, %d latents of %d x %d: %d nodes", IMAGES, SIZE, SIZE, cost.n_nodes);
    bench_memory("memory", (double)cost.peak_bytes);
    write_input(plan, "sample", IMAGES * SIZE * SIZE * 4, 1);
    write_input(plan, "timestep", IMAGES, 300);
    write_input(plan, "context", IMAGES * TOKENS * (size_t)config.context_width, 1);
    bench_measure("forward", (double)cost.flops, 0, run_plan, plan);
    if (getenv("BDPO_BENCH_REPORT")) bdpo_plan_report(plan, stdout);
    bdpo_plan_free(plan);
    bdpo_graph_free(g);
    bdpo_store_free(store);
    bdpo_engine_free(engine);
}

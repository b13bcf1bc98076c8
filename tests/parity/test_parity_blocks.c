// The blocks of the SD UNet at their real widths against diffusers, forward and in the gradient of
// every parameter and input; and gradient checkpointing, which must not change a bit.
#include "harness.h"

#include <stdlib.h>

#include "base/memory.h"
#include "parity/blocks_graph.h"
#include "parity/fixture.h"
#include "parity/parity_inputs.h"

// What the product promises: relative L2 of each tensor, lengths floored at 1e-6 of the largest
// gradient's.
static const double promised = 1e-4;
// Of what the projections measure: see parity_inputs.h.
static const double measured_share = 0.6;

typedef struct block_case {
    const char *name;
    block_shape shape;
} block_case;

// ---- one run -----------------------------------------------------------------------------------

// Results of one run: "y" and the gradient of each trainable leaf, by name.
typedef struct result {
    char name[64];
    size_t count;
    float *values;
} result;

typedef struct block_run {
    bdpo_engine *engine;
    bdpo_store *store;
    result results[BLOCK_MAX_PARAMS + 1];
    int n_results;
    size_t peak_bytes;
} block_run;

static size_t count_of(bdpo_shape shape)
{
    size_t count = 1;
    for (int i = 0; i < shape.n_dims; i++) count *= (size_t)shape.dim[i];
    return count;
}

static float *new_floats(size_t count)
{
    float *values = bdpo_alloc(count, sizeof *values);
    CHECK(values != NULL);
    return values;
}

static bool ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

// As in tools/parity/blocks.py: gains near 1, biases near 0, weights that keep a signal's size.
static void fill_leaf(float *values, const block_param *p, const char *case_name)
{
    char key[128];
    snprintf(key, sizeof key, "%s/%.63s", case_name, p->name);
    size_t count = count_of(p->shape);
    double fan_in = (double)count / (double)p->shape.dim[0];
    if (ends_with(p->name, "bias"))
        parity_fill(values, count, key, 0.1, 0);
    else if (ends_with(p->name, "weight") && p->shape.n_dims == 1)
        parity_fill(values, count, key, 0.1, 1);
    else if (ends_with(p->name, "weight"))
        parity_fill(values, count, key, 1 / sqrt(fan_in), 0);
    else
        parity_fill(values, count, key, 1, 0);
}

static void fill_store(bdpo_store *store, const block_case *c)
{
    block_param params[BLOCK_MAX_PARAMS];
    int n = block_params(&c->shape, params);
    for (int i = 0; i < n; i++) {
        size_t count = count_of(params[i].shape);
        float *values = new_floats(count);
        fill_leaf(values, &params[i], c->name);
        CHECK_OK(
            bdpo_store_write(store, BDPO_PARAM, params[i].name, values, count * sizeof *values));
        bdpo_free(values);
    }
}

static float *add_result(block_run *run, const char *prefix, const char *name, size_t count)
{
    result *r = &run->results[run->n_results++];
    snprintf(r->name, sizeof r->name, "%s%.60s", prefix, name);
    r->count = count;
    r->values = new_floats(count);
    return r->values;
}

static void run_plan(block_run *run, const block_case *c, bool checkpointing)
{
    bdpo_graph *g;
    bdpo_plan *plan;
    char key[64];
    CHECK_OK(bdpo_graph_new(&g, run->store));
    bdpo_graph_set_checkpointing(g, checkpointing);
    bdpo_node *y = block_build(g, &c->shape);
    bdpo_output(g, "y", y);
    block_backward(g, y);
    CHECK_OK(bdpo_graph_check(g));
    CHECK_OK(bdpo_plan_new(&plan, run->engine, g, &(bdpo_plan_options){0}));
    run->peak_bytes = bdpo_plan_costs(plan).peak_bytes;
    size_t count = count_of(bdpo_node_shape(y));
    float *values = add_result(run, "", "y", count);
    snprintf(key, sizeof key, "%s/dy", c->name);
    parity_fill(values, count, key, 1, 0);
    CHECK_OK(bdpo_plan_write(plan, "dy", values, count * sizeof *values));
    CHECK_OK(bdpo_plan_run(plan));
    CHECK_OK(bdpo_plan_read(plan, "y", values, count * sizeof *values));
    bdpo_plan_free(plan);
    bdpo_graph_free(g);
}

static void read_gradients(block_run *run, const block_case *c)
{
    block_param params[BLOCK_MAX_PARAMS];
    int n = block_params(&c->shape, params);
    for (int i = 0; i < n; i++) {
        if (!params[i].trainable) continue;
        size_t count = count_of(params[i].shape);
        float *values = add_result(run, "d", params[i].name, count);
        CHECK_OK(
            bdpo_store_read(run->store, BDPO_GRAD, params[i].name, values, count * sizeof *values));
    }
}

static void block_run_init(block_run *run, const block_case *c, bool checkpointing)
{
    *run = (block_run){0};
    CHECK_OK(bdpo_engine_new(&run->engine, &(bdpo_engine_options){.n_threads = 2}));
    CHECK_OK(bdpo_store_new(&run->store, run->engine));
    CHECK_OK(block_declare(run->store, &c->shape));
    fill_store(run->store, c);
    run_plan(run, c, checkpointing);
    read_gradients(run, c);
}

static void block_run_release(block_run *run)
{
    for (int i = 0; i < run->n_results; i++) bdpo_free(run->results[i].values);
    bdpo_store_free(run->store);
    bdpo_engine_free(run->engine);
}

// ---- comparing ---------------------------------------------------------------------------------

// The largest gradient's length in the fixture, of this case; the length is the last value.
static double largest_gradient(const fixture *f, const block_run *run, const char *case_name)
{
    double largest = 0;
    for (int i = 1; i < run->n_results; i++) {
        char key[160];
        snprintf(key, sizeof key, "%s/%s", case_name, run->results[i].name);
        double length = (double)fixture_get(f, key, PARITY_PROJECTIONS + 1)[PARITY_PROJECTIONS];
        largest = fmax(largest, length);
    }
    return largest;
}

static void compare_result(const fixture *f, const result *r, const char *case_name, double floor)
{
    char key[160];
    snprintf(key, sizeof key, "%s/%s", case_name, r->name);
    const float *expected = fixture_get(f, key, PARITY_PROJECTIONS + 1);
    double actual[PARITY_PROJECTIONS], square = 0;
    parity_project(actual, r->values, r->count);
    for (int k = 0; k < PARITY_PROJECTIONS; k++)
        square += pow(actual[k] - (double)expected[k], 2) / PARITY_PROJECTIONS;
    double length = fmax((double)expected[PARITY_PROJECTIONS], floor);
    double error = sqrt(square) / length;
    if (getenv("BDPO_PARITY_PRINT")) printf("%s %.2e (length %.3g)\n", key, error, length);
    if (!(error <= measured_share * promised))
        FAIL("%s: relative error %.3g, allowed %.3g of %.0e", key, error, measured_share * promised,
             promised);
}

// Checkpointing changes neither a bit nor, for the worse, the memory.
static void check_checkpointing(const block_case *c, const block_run *plain)
{
    block_run again;
    block_run_init(&again, c, true);
    for (int i = 0; i < plain->n_results; i++)
        if (memcmp(plain->results[i].values, again.results[i].values,
                   plain->results[i].count * sizeof(float)) != 0)
            FAIL("%s/%s: other bits with checkpointing", c->name, plain->results[i].name);
    if (again.peak_bytes > plain->peak_bytes)
        FAIL("checkpointing needs %zu bytes, without it %zu", again.peak_bytes, plain->peak_bytes);
    block_run_release(&again);
}

static void check_against_fixture(const fixture *f, const block_case *c)
{
    block_run plain;
    block_run_init(&plain, c, false);
    double floor = 1e-6 * largest_gradient(f, &plain, c->name);
    for (int i = 0; i < plain.n_results; i++)
        compare_result(f, &plain.results[i], c->name, i == 0 ? 0 : floor);
    check_checkpointing(c, &plain);
    block_run_release(&plain);
}

static void check_block(const void *argument)
{
    const block_case *c = argument;
    block_case lean = *c;
    lean.shape.lean = true;
    fixture *f = fixture_open("blocks/blocks");
    check_against_fixture(f, c);
    check_against_fixture(f, &lean);
    fixture_close(f);
}

// ---- the live comparison -----------------------------------------------------------------------

// tools/parity/live_blocks.py computes a case in full and names its directory.
static void check_live(const void *argument)
{
    const block_case *c = argument;
    const char *directory = getenv("BDPO_LIVE_DIR");
    if (!directory) SKIP("tools/parity/live_blocks.py runs it");
    char path[512];
    snprintf(path, sizeof path, "%s/%s", directory, c->name);
    fixture *f = fixture_open(path);
    block_run run;
    block_run_init(&run, c, false);
    double largest = 0, worst = 0;
    const char *worst_name = "";
    for (int i = 1; i < run.n_results; i++) {
        const result *r = &run.results[i];
        const float *e = fixture_get(f, r->name, r->count);
        double square = 0;
        for (size_t j = 0; j < r->count; j++) square += (double)e[j] * (double)e[j];
        largest = fmax(largest, sqrt(square));
    }
    for (int i = 0; i < run.n_results; i++) {
        const result *r = &run.results[i];
        const float *e = fixture_get(f, r->name, r->count);
        double error = 0, square = 0;
        for (size_t j = 0; j < r->count; j++) {
            error += pow((double)r->values[j] - (double)e[j], 2);
            square += (double)e[j] * (double)e[j];
        }
        double relative = sqrt(error) / fmax(sqrt(square), i == 0 ? 0 : 1e-6 * largest);
        if (!(relative <= promised))
            FAIL("%s/%s: relative error %.3g, allowed %.3g", c->name, r->name, relative, promised);
        if (relative > worst) worst = relative, worst_name = r->name;
    }
    printf("%s: largest relative error %.2e (%s)\n", c->name, worst, worst_name);
    fixture_close(f);
    block_run_release(&run);
}

// ---- cases -------------------------------------------------------------------------------------

static const struct {
    const char *name;
    block_kind kind;
    int64_t n, size, c_in, c_out;
    bool live;
} rows[] = {
    {"resnet_320_32", BLOCK_RESIDUAL, 2, 32, 320, 320, false},
    {"resnet_320_640_16", BLOCK_RESIDUAL, 2, 16, 320, 640, false},
    {"resnet_1280_8", BLOCK_RESIDUAL, 2, 8, 1280, 1280, false},
    {"transformer_320_32", BLOCK_TRANSFORMER, 1, 32, 320, 320, false},
    {"transformer_1280_8", BLOCK_TRANSFORMER, 2, 8, 1280, 1280, false},
    {"resnet_320_64", BLOCK_RESIDUAL, 2, 64, 320, 320, true},
    {"resnet_640_32", BLOCK_RESIDUAL, 2, 32, 640, 640, true},
    {"resnet_1280_16", BLOCK_RESIDUAL, 2, 16, 1280, 1280, true},
    {"transformer_320_64", BLOCK_TRANSFORMER, 1, 64, 320, 320, true},
    {"transformer_640_32", BLOCK_TRANSFORMER, 2, 32, 640, 640, true},
    {"transformer_1280_16", BLOCK_TRANSFORMER, 2, 16, 1280, 1280, true},
};
static block_case cases[sizeof rows / sizeof rows[0]];

__attribute__((constructor)) static void register_blocks(void)
{
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        cases[i] = (block_case){.name = rows[i].name,
                                .shape = block_sd15(rows[i].kind, rows[i].n, rows[i].size,
                                                    rows[i].c_in, rows[i].c_out)};
        cases[i].shape.trains_context = true;
        test_register(__FILE__, rows[i].name, rows[i].live ? TEST_LONG : TEST_FULL,
                      rows[i].live ? check_live : check_block, &cases[i]);
    }
}

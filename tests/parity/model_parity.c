// The runs of model_parity.h.
#include "parity/model_parity.h"

#include <stdlib.h>

#include "base/memory.h"
#include "harness.h"
#include "parity/parity_inputs.h"
#include "tensor/tensor.h"

// What the product promises, relative L2 of a tensor.
static const double promised_output = 1e-4, promised_gradient = 1e-3;
// Of what 64 projections measure: see parity_inputs.h.
static const double measured_share = 0.6;
// A gradient that is zero in exact arithmetic is the rounding of sums of terms as large as others'
// gradients: some 100 units in the last place of the largest.
static const double zero_share = 1e-5;
static const double floor_share = 1e-6;

enum { NAME_BYTES = 264, KEY_BYTES = 384, COMPACT_PROJECTIONS = 8, COMPACT_ENTRIES = 64 };

float *model_floats(size_t count)
{
    float *values = bdpo_alloc(count, sizeof *values);
    CHECK(values != NULL);
    return values;
}

// ---- weights -----------------------------------------------------------------------------------

static bool ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

// What is added to a residual stream.
static bool is_residual_output(const char *name)
{
    static const char *const ends[] = {"out_proj.weight", "fc2.weight", "conv2.weight",
                                       "to_out.0.weight", "attn.proj.weight"};
    for (size_t i = 0; i < BDPO_COUNTOF(ends); i++)
        if (ends_with(name, ends[i])) return true;
    return false;
}

static bool is_embedding(const char *name)
{
    return (strstr(name, "embedding") && !strstr(name, "patch")) || ends_with(name, "pos_embed") ||
           ends_with(name, "cls_token");
}

void model_fill_parameter(float *values, size_t count, const char *name, int n_dims,
                          int64_t n_outputs, const char *key)
{
    double scale = 1 / sqrt((double)count / (double)n_outputs);
    if (ends_with(name, "bias"))
        parity_fill(values, count, key, 0.1, 0);
    else if (is_embedding(name))
        parity_fill(values, count, key, 1, 0);
    else if (n_dims == 1)
        parity_fill(values, count, key, 0.1, 1);
    else
        parity_fill(values, count, key, is_residual_output(name) ? 0.1 * scale : scale, 0);
}

static void fill_store(model_run *run)
{
    for (int i = 0; i < bdpo_param_list_count(run->params); i++) {
        const bdpo_param_spec *spec = bdpo_param_list_at(run->params, i);
        char key[KEY_BYTES];
        snprintf(key, sizeof key, "%s/%s", run->weights, spec->name);
        size_t count = (size_t)bdpo_shape_count(&spec->shape);
        float *values = model_floats(count);
        model_fill_parameter(values, count, spec->name, spec->shape.n_dims, spec->shape.dim[0],
                             key);
        CHECK_OK(
            bdpo_store_write(run->store, BDPO_PARAM, spec->name, values, count * sizeof *values));
        bdpo_free(values);
    }
}

// ---- running -----------------------------------------------------------------------------------

void model_run_init(model_run *run, const char *name, const char *weights)
{
    *run = (model_run){.name = name, .weights = weights};
    CHECK_OK(bdpo_engine_new(&run->engine, &(bdpo_engine_options){.n_threads = 2}));
    CHECK_OK(bdpo_store_new(&run->store, run->engine));
    CHECK_OK(bdpo_param_list_new(&run->params));
}

void model_run_store(model_run *run)
{
    CHECK_OK(bdpo_param_list_check(run->params));
    for (int i = 0; i < bdpo_param_list_count(run->params); i++) {
        const bdpo_param_spec *spec = bdpo_param_list_at(run->params, i);
        CHECK_OK(bdpo_store_declare(run->store, spec->name, BDPO_F32, bdpo_param_store_shape(spec),
                                    true));
    }
    CHECK_OK(bdpo_store_seal(run->store));
    fill_store(run);
    CHECK_OK(bdpo_graph_new(&run->graph, run->store));
    run->builder = (bdpo_builder){.graph = run->graph};
}

void model_run_release(model_run *run)
{
    bdpo_plan_free(run->plan);
    bdpo_graph_free(run->graph);
    bdpo_param_list_free(run->params);
    bdpo_store_free(run->store);
    bdpo_engine_free(run->engine);
}

bdpo_node *model_run_input(model_run *run, const char *name, bdpo_shape shape)
{
    return bdpo_input(run->graph, name, BDPO_F32, shape);
}

void model_run_output(model_run *run, const char *name, bdpo_node *node)
{
    CHECK_OK(bdpo_graph_check(run->graph));
    run->outputs[run->n_outputs] = name;
    run->nodes[run->n_outputs++] = node;
    bdpo_output(run->graph, name, node);
}

// The sum of all outputs times their cotangents.
void model_run_plan(model_run *run)
{
    bdpo_graph *g = run->graph;
    bdpo_node *loss = NULL;
    for (int i = 0; i < run->n_outputs; i++) {
        char name[64];
        snprintf(name, sizeof name, "d%s", run->outputs[i]);
        bdpo_node *dy = bdpo_input(g, name, BDPO_F32, bdpo_node_shape(run->nodes[i]));
        bdpo_node *part = bdpo_reduce_sum(g, bdpo_mul(g, run->nodes[i], dy), BDPO_KEEP_NONE);
        loss = loss ? bdpo_add(g, loss, part) : part;
    }
    bdpo_backward(g, loss);
    CHECK_OK(bdpo_graph_check(g));
    CHECK_OK(bdpo_plan_new(&run->plan, run->engine, g, &(bdpo_plan_options){0}));
}

void model_run_write(model_run *run, const char *input, bdpo_shape shape)
{
    char key[KEY_BYTES];
    snprintf(key, sizeof key, "%s/%s", run->name, input);
    size_t count = (size_t)bdpo_shape_count(&shape);
    float *values = model_floats(count);
    parity_fill(values, count, key, 1, 0);
    CHECK_OK(bdpo_plan_write(run->plan, input, values, count * sizeof *values));
    bdpo_free(values);
}

void model_run_go(model_run *run)
{
    for (int i = 0; i < run->n_outputs; i++) {
        char name[64];
        snprintf(name, sizeof name, "d%s", run->outputs[i]);
        model_run_write(run, name, bdpo_node_shape(run->nodes[i]));
    }
    CHECK_OK(bdpo_plan_run(run->plan));
}

// ---- comparing ---------------------------------------------------------------------------------

// What a fixture holds of a tensor: projections, then the length, then entries if it is compact.
typedef struct record {
    const float *values;
    int n_projections, n_entries;
    double length;
} record;

static record get(const model_run *run, const fixture *f, const char *name, bool compact)
{
    char key[KEY_BYTES];
    snprintf(key, sizeof key, "%s/%s", run->name, name);
    record r = {.n_projections = compact ? COMPACT_PROJECTIONS : PARITY_PROJECTIONS,
                .n_entries = compact ? COMPACT_ENTRIES : 0};
    r.values = fixture_get(f, key, (size_t)r.n_projections + 1 + (size_t)r.n_entries);
    r.length = (double)r.values[r.n_projections];
    return r;
}

static bool holds(const model_run *run, const fixture *f, const char *name)
{
    char key[KEY_BYTES];
    snprintf(key, sizeof key, "%s/%s", run->name, name);
    for (size_t i = 0; i < fixture_count(f); i++)
        if (strcmp(fixture_key(f, i), key) == 0) return true;
    return false;
}

// The length of the error as the projections show it.
static double projected_error(const record *r, const float *values, size_t count)
{
    double actual[PARITY_PROJECTIONS], square = 0;
    parity_project(actual, values, count);
    for (int k = 0; k < r->n_projections; k++)
        square += pow(actual[k] - (double)r->values[k], 2) / r->n_projections;
    return sqrt(square);
}

// The length of the error as the entries show it: theirs, for all of the tensor.
static double sampled_error(const record *r, const float *values, size_t count)
{
    const float *expected = r->values + r->n_projections + 1;
    double square = 0;
    for (int k = 0; k < r->n_entries; k++) {
        double actual = (double)values[(size_t)k * count / (size_t)r->n_entries];
        square += pow(actual - (double)expected[k], 2);
    }
    return r->n_entries ? sqrt(square * (double)count / r->n_entries) : 0;
}

static void compare(const model_run *run, const record *r, const char *name, const float *values,
                    size_t count, double least_length, double promised)
{
    double length = fmax(r->length, least_length);
    double error = projected_error(r, values, count) / length;
    double sampled = sampled_error(r, values, count) / length;
    if (getenv("BDPO_PARITY_PRINT"))
        printf("%s/%s %.2e %.2e (length %.3g)\n", run->name, name, error, sampled, length);
    if (!(error <= measured_share * promised) || !(sampled <= promised))
        FAIL("%s/%s: relative error %.3g by projections, %.3g by entries, allowed %.3g of %.0e",
             run->name, name, error, sampled, measured_share * promised, promised);
}

void model_run_compare_tensor(const model_run *run, const fixture *f, const char *name,
                              const float *values, size_t count)
{
    record r = get(run, f, name, false);
    compare(run, &r, name, values, count, 0, promised_output);
}

static void compare_outputs(const model_run *run, const fixture *f, bool compact)
{
    for (int i = 0; i < run->n_outputs; i++) {
        bdpo_shape shape = bdpo_node_shape(run->nodes[i]);
        size_t count = (size_t)bdpo_shape_count(&shape);
        float *values = model_floats(count);
        CHECK_OK(bdpo_plan_read(run->plan, run->outputs[i], values, count * sizeof *values));
        record r = get(run, f, run->outputs[i], compact);
        compare(run, &r, run->outputs[i], values, count, 0, promised_output);
        bdpo_free(values);
    }
}

static void check_zero(const char *name, const float *values, size_t count, double largest)
{
    double square = 0;
    for (size_t i = 0; i < count; i++) square += (double)values[i] * (double)values[i];
    if (!(sqrt(square) <= zero_share * largest))
        FAIL("gradient of %s: length %.3g, expected none beside %.3g", name, sqrt(square), largest);
}

int model_run_compare(model_run *run, const fixture *f, bool compact, bool partial,
                      bool (*is_zero)(const char *name))
{
    int n = bdpo_param_list_count(run->params), n_compared = 0;
    double largest = 0;
    compare_outputs(run, f, compact);
    for (int pass = 0; pass < 2; pass++)
        for (int i = 0; i < n; i++) {
            const bdpo_param_spec *spec = bdpo_param_list_at(run->params, i);
            char name[NAME_BYTES];
            snprintf(name, sizeof name, "d%s", spec->name);
            if (partial && !holds(run, f, name)) continue;
            record r = get(run, f, name, compact);
            largest = fmax(largest, r.length);
            if (pass == 0) continue;
            size_t count = (size_t)bdpo_shape_count(&spec->shape);
            float *values = model_floats(count);
            CHECK_OK(
                bdpo_store_read(run->store, BDPO_GRAD, spec->name, values, count * sizeof *values));
            if (is_zero(spec->name))
                check_zero(spec->name, values, count, largest);
            else
                compare(run, &r, name, values, count, floor_share * largest, promised_gradient);
            bdpo_free(values);
            n_compared++;
        }
    return n_compared;
}

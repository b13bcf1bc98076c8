// Twenty steps of AdamW, 8-bit AdamW and Adafactor beside PyTorch, bitsandbytes and transformers:
// parameters after the first and the last step and all state at the end, from fixtures made by
// tools/parity/optimizers.py, which tells what they hold. Through the public API, on a store.
#include <math.h>
#include <stdlib.h>

#include <bdpo/ops.h>

#include "base/memory.h"
#include "harness.h"
#include "parity/fixture.h"
#include "parity/parity_inputs.h"
#include "tensor/tensor.h"

enum { STEPS = 20, MAX_ELEMENTS = 8000 };

// What is promised, and the share of it that 64 projections may measure (parity_inputs.h). Both
// sides compute in f32: 20 steps add some tens of roundings of 2^-25 to each parameter.
static const double tolerance = 1e-6 * 0.6;

typedef struct parameter {
    const char *name;
    bdpo_shape shape;
} parameter;

static const parameter parameters[] = {
    {"conv", {4, {24, 3, 3, 20}}},
    {"conv_small", {4, {6, 3, 5, 7}}},
    {"pointwise", {4, {80, 1, 1, 60}}},
    {"linear", {2, {96, 80}}},
    {"linear_small", {2, {32, 48}}},
    {"bias", {1, {37}}},
    {"vector", {1, {5003}}},
};
enum { N_PARAMETERS = sizeof parameters / sizeof parameters[0] };

// A state tensor and its name in the fixture.
typedef struct kept {
    const char *name;
    bdpo_kind kind;
} kept;

typedef struct run run;

typedef struct configuration {
    const char *name;
    bdpo_node *(*build)(run *r, const char *param, const bdpo_step_inputs *at);
    const void *options;
    kept state[4];
} configuration;

struct run {
    const configuration *c;
    bdpo_engine *engine;
    bdpo_store *store;
    bdpo_graph *g;
    bdpo_plan *plan;
};

// ---- the graphs --------------------------------------------------------------------------------

static bdpo_node *state(run *r, bdpo_kind kind, const char *param)
{
    bdpo_dtype dtype;
    bdpo_shape shape;
    bool has = bdpo_store_describe(r->store, kind, param, &dtype, &shape) == BDPO_OK;
    return has ? bdpo_state(r->g, kind, param) : NULL;
}

static bdpo_node *build_adamw(run *r, const char *param, const bdpo_step_inputs *at)
{
    return bdpo_adamw(r->g, state(r, BDPO_PARAM, param), state(r, BDPO_GRAD, param),
                      state(r, BDPO_MOMENT1, param), state(r, BDPO_MOMENT2, param),
                      state(r, BDPO_SHADOW, param), at, r->c->options);
}

static bdpo_node *build_adamw_8bit(run *r, const char *param, const bdpo_step_inputs *at)
{
    return bdpo_adamw_8bit(r->g, state(r, BDPO_PARAM, param), state(r, BDPO_GRAD, param),
                           state(r, BDPO_MOMENT1_8BIT, param), state(r, BDPO_MOMENT1_ABSMAX, param),
                           state(r, BDPO_MOMENT2_8BIT, param), state(r, BDPO_MOMENT2_ABSMAX, param),
                           state(r, BDPO_SHADOW, param), at, r->c->options);
}

static bdpo_node *build_adafactor(run *r, const char *param, const bdpo_step_inputs *at)
{
    return bdpo_adafactor(r->g, state(r, BDPO_PARAM, param), state(r, BDPO_GRAD, param),
                          state(r, BDPO_FACTOR_ROW, param), state(r, BDPO_FACTOR_COLUMN, param),
                          state(r, BDPO_SHADOW, param), at, r->c->options);
}

#define MOMENTS                                                                                    \
    {                                                                                              \
        {"m", BDPO_MOMENT1},                                                                       \
        {                                                                                          \
            "v", BDPO_MOMENT2                                                                      \
        }                                                                                          \
    }
#define CODES                                                                                      \
    {                                                                                              \
        {"m", BDPO_MOMENT1_8BIT}, {"v", BDPO_MOMENT2_8BIT}, {"m_absmax", BDPO_MOMENT1_ABSMAX},     \
        {                                                                                          \
            "v_absmax", BDPO_MOMENT2_ABSMAX                                                        \
        }                                                                                          \
    }
#define FACTORS                                                                                    \
    {                                                                                              \
        {"row", BDPO_FACTOR_ROW},                                                                  \
        {                                                                                          \
            "column", BDPO_FACTOR_COLUMN                                                           \
        }                                                                                          \
    }

static const configuration configurations[] = {
    {"adamw", build_adamw, &(bdpo_adamw_options){0.9, 0.999, 1e-8, 0.01}, MOMENTS},
    {"adamw_other", build_adamw, &(bdpo_adamw_options){0.8, 0.95, 1e-3, 0.0}, MOMENTS},
    {"adamw_8bit", build_adamw_8bit, &(bdpo_adamw_8bit_options){{0.9, 0.999, 1e-8, 0.01}, false},
     CODES},
    {"adamw_8bit_grid", build_adamw_8bit,
     &(bdpo_adamw_8bit_options){{0.9, 0.999, 1e-8, 0.01}, true}, CODES},
    {"adafactor", build_adafactor,
     &(bdpo_adafactor_options){.eps1 = 1e-30,
                               .eps2 = 1e-3,
                               .clip_threshold = 1.0,
                               .decay_rate = -0.8,
                               .weight_decay = 0.01},
     FACTORS},
    {"adafactor_relative", build_adafactor,
     &(bdpo_adafactor_options){.eps1 = 1e-30,
                               .eps2 = 1e-3,
                               .clip_threshold = 1.0,
                               .decay_rate = -0.8,
                               .scale_parameter = true,
                               .relative_step = true},
     FACTORS},
    {"adafactor_warmup", build_adafactor,
     &(bdpo_adafactor_options){.eps1 = 1e-12,
                               .eps2 = 1e-2,
                               .clip_threshold = 0.5,
                               .decay_rate = -0.7,
                               .scale_parameter = true,
                               .relative_step = true,
                               .warmup_init = true},
     FACTORS},
};

// ---- one run -----------------------------------------------------------------------------------

static size_t count_of(const parameter *p)
{
    return (size_t)bdpo_shape_count(&p->shape);
}

static void write_gradient(const run *r, const parameter *p, int step)
{
    static float size[MAX_ELEMENTS], g[MAX_ELEMENTS];
    char name[96];
    size_t count = count_of(p);
    CHECK(count <= MAX_ELEMENTS);
    snprintf(name, sizeof name, "optimizers/%s/size", p->name);
    parity_fill(size, count, name, 0.1, 0);
    snprintf(name, sizeof name, "optimizers/%s/%d", p->name, step);
    parity_fill(g, count, name, 1, 0);
    for (size_t i = 0; i < count; i++)
        g[i] = i % 11 == (size_t)step % 11 ? 0.0F : size[i] * size[i] * g[i];
    CHECK_OK(bdpo_store_write(r->store, BDPO_GRAD, p->name, g, count * sizeof *g));
}

static void write_number(const run *r, const char *name, double value)
{
    float number = (float)value;
    CHECK_OK(bdpo_plan_write(r->plan, name, &number, sizeof number));
}

static void take_step(const run *r, int step, double clip)
{
    for (int i = 0; i < N_PARAMETERS; i++) write_gradient(r, &parameters[i], step);
    write_number(r, "lr", 0.01 * (1 - (double)step / 40));
    write_number(r, "step", step);
    write_number(r, "clip", clip);
    CHECK_OK(bdpo_plan_run(r->plan));
}

static void run_init(run *r, const configuration *c)
{
    static float values[MAX_ELEMENTS];
    *r = (run){.c = c};
    CHECK_OK(bdpo_engine_new(&r->engine, &(bdpo_engine_options){.n_threads = 2}));
    CHECK_OK(bdpo_store_new(&r->store, r->engine));
    for (int i = 0; i < N_PARAMETERS; i++)
        CHECK_OK(
            bdpo_store_declare(r->store, parameters[i].name, BDPO_F32, parameters[i].shape, true));
    CHECK_OK(bdpo_store_seal(r->store));
    CHECK_OK(bdpo_store_reserve(r->store, BDPO_GRAD));
    for (int i = 0; i < N_PARAMETERS; i++) {
        char name[96];
        snprintf(name, sizeof name, "optimizers/%s", parameters[i].name);
        parity_fill(values, count_of(&parameters[i]), name, 0.05, 0);
        CHECK_OK(bdpo_store_write(r->store, BDPO_PARAM, parameters[i].name, values,
                                  count_of(&parameters[i]) * sizeof *values));
    }
    CHECK_OK(bdpo_graph_new(&r->g, r->store));
    bdpo_shape one = BDPO_SHAPE(1);
    bdpo_step_inputs at = {bdpo_input(r->g, "lr", BDPO_F32, one),
                           bdpo_input(r->g, "step", BDPO_F32, one),
                           bdpo_input(r->g, "clip", BDPO_F32, one)};
    for (int i = 0; i < N_PARAMETERS; i++) c->build(r, parameters[i].name, &at);
    CHECK_OK(bdpo_plan_new(&r->plan, r->engine, r->g, &(bdpo_plan_options){.poison = true}));
}

static void run_release(run *r)
{
    bdpo_plan_free(r->plan);
    bdpo_graph_free(r->g);
    bdpo_store_free(r->store);
    bdpo_engine_free(r->engine);
}

// ---- comparing ---------------------------------------------------------------------------------

static void compare(const fixture *f, const char *key, const float *values, size_t count)
{
    const float *expected = fixture_get(f, key, PARITY_PROJECTIONS + 1);
    double actual[PARITY_PROJECTIONS], square = 0;
    parity_project(actual, values, count);
    for (int k = 0; k < PARITY_PROJECTIONS; k++)
        square += pow(actual[k] - (double)expected[k], 2) / PARITY_PROJECTIONS;
    double error = sqrt(square) / (double)expected[PARITY_PROJECTIONS];
    if (getenv("BDPO_PARITY_PRINT")) printf("%s %.2e\n", key, error);
    if (!(error <= tolerance)) FAIL("%s: relative error %.3g, allowed %.3g", key, error, tolerance);
}

// Reads a tensor of the store as f32: codes as the numbers they are. 0: there is none.
static size_t read_state(const run *r, bdpo_kind kind, const char *param, float *out)
{
    static unsigned char bytes[MAX_ELEMENTS];
    bdpo_dtype dtype;
    bdpo_shape shape;
    if (bdpo_store_describe(r->store, kind, param, &dtype, &shape) != BDPO_OK) return 0;
    size_t count = (size_t)bdpo_shape_count(&shape);
    CHECK(count <= MAX_ELEMENTS);
    if (dtype == BDPO_F32) {
        CHECK_OK(bdpo_store_read(r->store, kind, param, out, count * sizeof *out));
        return count;
    }
    CHECK_INT(dtype, BDPO_U8);
    CHECK_OK(bdpo_store_read(r->store, kind, param, bytes, count));
    for (size_t i = 0; i < count; i++) out[i] = (float)bytes[i];
    return count;
}

static void compare_params(const run *r, const fixture *f, int step)
{
    static float values[MAX_ELEMENTS];
    for (int i = 0; i < N_PARAMETERS; i++) {
        char key[120];
        size_t count = read_state(r, BDPO_PARAM, parameters[i].name, values);
        snprintf(key, sizeof key, "%s/%s/param/%d", r->c->name, parameters[i].name, step);
        compare(f, key, values, count);
    }
}

static void compare_states(const run *r, const fixture *f)
{
    static float values[MAX_ELEMENTS];
    for (int i = 0; i < N_PARAMETERS; i++)
        for (int k = 0; k < 4 && r->c->state[k].name; k++) {
            char key[120];
            size_t count = read_state(r, r->c->state[k].kind, parameters[i].name, values);
            snprintf(key, sizeof key, "%s/%s/%s/%d", r->c->name, parameters[i].name,
                     r->c->state[k].name, STEPS);
            if (count > 0) compare(f, key, values, count);
        }
}

// The shadow is the parameter, rounded.
static void check_shadow(const run *r)
{
    static float values[MAX_ELEMENTS];
    static uint16_t shadow[MAX_ELEMENTS];
    for (int i = 0; i < N_PARAMETERS; i++) {
        size_t count = read_state(r, BDPO_PARAM, parameters[i].name, values);
        CHECK_OK(bdpo_store_read(r->store, BDPO_SHADOW, parameters[i].name, shadow,
                                 count * sizeof *shadow));
        for (size_t k = 0; k < count; k++) CHECK_INT(shadow[k], bdpo_bf16_from_f32(values[k]));
    }
}

// A step with a negative clip, or with NaN, leaves every byte as it was.
static void check_skipped_step(const run *r, double clip)
{
    static float before[N_PARAMETERS][5][MAX_ELEMENTS], after[MAX_ELEMENTS];
    for (int turn = 0; turn < 2; turn++) {
        if (turn == 1) take_step(r, STEPS + 1, clip);
        for (int i = 0; i < N_PARAMETERS; i++)
            for (int k = 0; k < 5; k++) {
                if (k < 4 && !r->c->state[k].name) continue;
                bdpo_kind kind = k < 4 ? r->c->state[k].kind : BDPO_PARAM;
                float *to = turn == 0 ? before[i][k] : after;
                size_t count = read_state(r, kind, parameters[i].name, to);
                if (turn == 1) CHECK_BYTES(after, before[i][k], count * sizeof *after);
            }
    }
}

static void check_configuration(const void *argument)
{
    run r;
    run_init(&r, argument);
    fixture *f = fixture_open("optimizers/optimizers");
    for (int step = 1; step <= STEPS; step++) {
        take_step(&r, step, step % 3 == 0 ? 0.5 : 1.0);
        if (step == 1 || step == STEPS) compare_params(&r, f, step);
    }
    compare_states(&r, f);
    check_shadow(&r);
    check_skipped_step(&r, -1.0);
    check_skipped_step(&r, (double)NAN);
    fixture_close(f);
    run_release(&r);
}

__attribute__((constructor)) static void register_configurations(void)
{
    for (size_t i = 0; i < sizeof configurations / sizeof configurations[0]; i++)
        test_register(__FILE__, configurations[i].name, TEST_QUICK, check_configuration,
                      &configurations[i]);
}

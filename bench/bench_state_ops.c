// The operators that change the store, on one weight of 10 million elements, the size of the
// largest layers of a UNet. GB/s count what must be read and written once; the values stay where
// they began or near it, so that no denormal distorts the times.
#include "bench.h"

#include <bdpo/bdpo.h>

#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"

enum { ROWS = 4096, COLUMNS = 2560 };

typedef struct state_graph {
    bdpo_graph *g;
} state_graph;

static const struct number {
    const char *name;
    float value;
} numbers[] = {{"lr", 1e-5F}, {"step", 100}, {"clip", 1}, {"weight", 1e-3F}, {"one", 1}};

static void check(bdpo_status status)
{
    if (status == BDPO_OK) return;
    fprintf(stderr, "bench_state_ops: %s\n", bdpo_message());
    exit(1);
}

static bdpo_node *state(state_graph *s, bdpo_kind kind)
{
    return bdpo_state(s->g, kind, "w");
}

static bdpo_node *number(state_graph *s, const char *name)
{
    return bdpo_input(s->g, name, BDPO_F32, BDPO_SHAPE(1));
}

static bdpo_step_inputs step_inputs(state_graph *s)
{
    return (bdpo_step_inputs){number(s, "lr"), number(s, "step"), number(s, "clip")};
}

static const bdpo_adamw_options adamw_options = {0.9, 0.999, 1e-8, 1e-2};

// ---- one builder for each line --------------------------------------------------------------

static void copy(state_graph *s)
{
    bdpo_copy(s->g, state(s, BDPO_REFERENCE), state(s, BDPO_PARAM));
}

static void copy_to_bf16(state_graph *s)
{
    bdpo_copy(s->g, state(s, BDPO_SHADOW), state(s, BDPO_PARAM));
}

static void lerp(state_graph *s)
{
    bdpo_lerp(s->g, state(s, BDPO_AVERAGE), state(s, BDPO_PARAM), number(s, "weight"));
}

static void scale_in_place(state_graph *s)
{
    bdpo_scale_in_place(s->g, state(s, BDPO_GRAD), number(s, "one"));
}

static void zero(state_graph *s)
{
    bdpo_zero(s->g, state(s, BDPO_AVERAGE));
}

static void sum_of_squares(state_graph *s)
{
    bdpo_output(s->g, "y", bdpo_sum_of_squares(s->g, state(s, BDPO_GRAD), NULL));
}

static void finite_check(state_graph *s)
{
    bdpo_output(s->g, "y", bdpo_finite_check(s->g, state(s, BDPO_GRAD), NULL));
}

static void sgd(state_graph *s)
{
    bdpo_step_inputs at = {.lr = number(s, "lr"), .clip = number(s, "clip")};
    bdpo_sgd(s->g, state(s, BDPO_PARAM), state(s, BDPO_GRAD), &at);
}

static void adamw(state_graph *s)
{
    bdpo_step_inputs at = step_inputs(s);
    bdpo_adamw(s->g, state(s, BDPO_PARAM), state(s, BDPO_GRAD), state(s, BDPO_MOMENT1),
               state(s, BDPO_MOMENT2), NULL, &at, &adamw_options);
}

static void adamw_and_shadow(state_graph *s)
{
    bdpo_step_inputs at = step_inputs(s);
    bdpo_adamw(s->g, state(s, BDPO_PARAM), state(s, BDPO_GRAD), state(s, BDPO_MOMENT1),
               state(s, BDPO_MOMENT2), state(s, BDPO_SHADOW), &at, &adamw_options);
}

static void adamw_8bit(state_graph *s)
{
    bdpo_step_inputs at = step_inputs(s);
    bdpo_adamw_8bit(s->g, state(s, BDPO_PARAM), state(s, BDPO_GRAD), state(s, BDPO_MOMENT1_8BIT),
                    state(s, BDPO_MOMENT1_ABSMAX), state(s, BDPO_MOMENT2_8BIT),
                    state(s, BDPO_MOMENT2_ABSMAX), NULL, &at,
                    &(bdpo_adamw_8bit_options){.adamw = adamw_options});
}

static void adafactor(state_graph *s)
{
    bdpo_step_inputs at = step_inputs(s);
    bdpo_adafactor(s->g, state(s, BDPO_PARAM), state(s, BDPO_GRAD), state(s, BDPO_FACTOR_ROW),
                   state(s, BDPO_FACTOR_COLUMN), NULL, &at,
                   &(bdpo_adafactor_options){.eps1 = 1e-30,
                                             .eps2 = 1e-3,
                                             .clip_threshold = 1,
                                             .decay_rate = -0.8,
                                             .scale_parameter = true});
}

// Adafactor reads the parameter twice, its root mean square first, and the gradient three times;
// only what a single pass would move counts.
static const struct state_operator {
    const char *name;
    double bytes_per_element;
    void (*build)(state_graph *s);
} operators[] = {
    {"copy", 8, copy},
    {"copy_to_bf16", 6, copy_to_bf16},
    {"lerp", 12, lerp},
    {"scale_in_place", 8, scale_in_place},
    {"zero", 4, zero},
    {"sum_of_squares", 4, sum_of_squares},
    {"finite_check", 4, finite_check},
    {"sgd", 12, sgd},
    {"adamw", 28, adamw},
    {"adamw_and_shadow", 30, adamw_and_shadow},
    {"adamw_8bit", 16, adamw_8bit},
    {"adafactor", 12, adafactor},
};

// ---- running --------------------------------------------------------------------------------

static void fill(bdpo_store *store, bdpo_kind kind, float scale)
{
    size_t count = (size_t)ROWS * COLUMNS;
    float *data = bdpo_alloc(count, sizeof *data);
    if (!data) check(BDPO_NO_MEMORY);
    for (size_t i = 0; i < count; i++) data[i] = scale * ((float)(i % 97) - 48.5F) / 97.0F;
    check(bdpo_store_write(store, kind, "w", data, count * sizeof *data));
    bdpo_free(data);
}

static void open_store(bdpo_store **store, bdpo_engine *engine)
{
    static const bdpo_kind kinds[] = {BDPO_GRAD,         BDPO_MOMENT1,        BDPO_MOMENT2,
                                      BDPO_REFERENCE,    BDPO_AVERAGE,        BDPO_SHADOW,
                                      BDPO_MOMENT1_8BIT, BDPO_MOMENT1_ABSMAX, BDPO_MOMENT2_8BIT,
                                      BDPO_FACTOR_ROW,   BDPO_MOMENT2_ABSMAX, BDPO_FACTOR_COLUMN};
    check(bdpo_store_new(store, engine));
    check(bdpo_store_declare(*store, "w", BDPO_F32, BDPO_SHAPE(ROWS, COLUMNS), true));
    check(bdpo_store_seal(*store));
    for (size_t i = 0; i < BDPO_COUNTOF(kinds); i++) check(bdpo_store_reserve(*store, kinds[i]));
    fill(*store, BDPO_PARAM, 0.1F);
    fill(*store, BDPO_GRAD, 1e-3F);
}

static void run_plan(void *plan)
{
    check(bdpo_plan_run(plan));
}

static void write_numbers(bdpo_plan *plan)
{
    for (size_t i = 0; i < BDPO_COUNTOF(numbers); i++) {
        // A graph has only the inputs that its operator asked for.
        bdpo_status status =
            bdpo_plan_write(plan, numbers[i].name, &numbers[i].value, sizeof numbers[i].value);
        if (status != BDPO_NOT_FOUND) check(status);
    }
}

static void run_operator(const struct state_operator *op, bdpo_engine *engine, bdpo_store *store)
{
    state_graph s;
    bdpo_plan *plan;
    check(bdpo_graph_new(&s.g, store));
    op->build(&s);
    check(bdpo_graph_check(s.g));
    check(bdpo_plan_new(&plan, engine, s.g, &(bdpo_plan_options){0}));
    write_numbers(plan);
    bench_measure(op->name, 0, op->bytes_per_element * ROWS * COLUMNS, run_plan, plan);
    bdpo_plan_free(plan);
    bdpo_graph_free(s.g);
}

BDPO_BENCH(weight_10m)
{
    bdpo_engine *engine = NULL;
    bdpo_store *store = NULL;
    for (size_t i = 0; i < BDPO_COUNTOF(operators); i++) {
        if (!bench_wanted(operators[i].name)) continue;
        if (!engine) {
            check(bdpo_engine_new(&engine, &(bdpo_engine_options){.n_threads = bench_threads()}));
            open_store(&store, engine);
        }
        run_operator(&operators[i], engine, store);
    }
    bdpo_store_free(store);
    bdpo_engine_free(engine);
}

// Differentiation: shared nodes, order of sums, segments, and where gradients end up.
#include <stdlib.h>

#include <bdpo/engine.h>

#include "graph/graph.h"
#include "graph/plan.h"
#include "harness.h"
#include "ops/ops.h"

enum { ROWS = 6, WIDTH = 10, COUNT = ROWS * WIDTH, N_LAYERS = 4 };

typedef struct fixture {
    bdpo_engine *engine;
    bdpo_store *store;
} fixture;

static void fill(float *out, int count, uint32_t seed)
{
    for (int i = 0; i < count; i++) {
        seed = seed * 1664525u + 1013904223u;
        out[i] = (float)(seed >> 8) / (1 << 23) - 1.0f;
    }
}

// A store with N_LAYERS square weights w0.. and their biases b0..
static fixture begin(void)
{
    fixture f;
    char name[8];
    float values[WIDTH * WIDTH];
    CHECK_OK(bdpo_engine_new(&f.engine, &(bdpo_engine_options){.n_threads = 2}));
    CHECK_OK(bdpo_store_new(&f.store, f.engine));
    for (int i = 0; i < N_LAYERS; i++) {
        snprintf(name, sizeof name, "w%d", i);
        CHECK_OK(bdpo_store_declare(f.store, name, BDPO_F32, BDPO_SHAPE(WIDTH, WIDTH), true));
        snprintf(name, sizeof name, "b%d", i);
        CHECK_OK(bdpo_store_declare(f.store, name, BDPO_F32, BDPO_SHAPE(WIDTH), true));
    }
    CHECK_OK(bdpo_store_seal(f.store));
    for (int i = 0; i < bdpo_store_count(f.store); i++) {
        int count = i % 2 ? WIDTH : WIDTH * WIDTH;
        fill(values, count, (uint32_t)i + 1);
        CHECK_OK(bdpo_store_write(f.store, BDPO_PARAM, bdpo_store_name(f.store, i), values,
                                  (size_t)count * sizeof *values));
    }
    return f;
}

static void end(fixture f)
{
    bdpo_store_free(f.store);
    bdpo_engine_free(f.engine);
}

static bdpo_node *add(bdpo_graph *g, bdpo_node *a, bdpo_node *b)
{
    return bdpo_node_new(g, &bdpo_op_add, NULL, (bdpo_node *[]){a, b}, 2);
}

static bdpo_node *layer(bdpo_graph *g, bdpo_node *x, int i)
{
    char w[8], b[8];
    snprintf(w, sizeof w, "w%d", i);
    snprintf(b, sizeof b, "b%d", i);
    return bdpo_tanh(g, bdpo_linear(g, x, bdpo_param(g, w), bdpo_param(g, b), BDPO_NO_ACTIVATION));
}

// The sum of all elements as a scalar [1], by two products with ones.
static bdpo_node *total(bdpo_graph *g, bdpo_node *x)
{
    bdpo_fill_attrs row = {.shape = BDPO_SHAPE(1, ROWS), .value = 1};
    bdpo_fill_attrs column = {.shape = BDPO_SHAPE(WIDTH, 1), .value = 1};
    bdpo_node *left = bdpo_node_new(g, &bdpo_op_fill, &row, NULL, 0);
    bdpo_node *right = bdpo_node_new(g, &bdpo_op_fill, &column, NULL, 0);
    bdpo_node *sum = bdpo_matmul(g, bdpo_matmul(g, left, x, false, false), right, false, false);
    return bdpo_reshape(g, sum, BDPO_SHAPE(1));
}

// Four layers; the second and third form a segment in which the third is a segment of its own,
// and every value is used twice.
static bdpo_node *network(bdpo_graph *g)
{
    bdpo_node *x = bdpo_input(g, "x", BDPO_F32, BDPO_SHAPE(ROWS, WIDTH));
    bdpo_node *h = layer(g, x, 0);
    bdpo_segment_begin(g);
    h = add(g, h, layer(g, h, 1));
    bdpo_segment_begin(g);
    bdpo_node *inner = layer(g, h, 2);
    h = add(g, inner, bdpo_silu(g, inner));
    bdpo_segment_end(g);
    h = bdpo_tanh(g, h);
    bdpo_segment_end(g);
    return add(g, layer(g, h, 3), h);
}

typedef struct run {
    bool checkpointing;
    bdpo_plan_options options;
} run;

enum { GRADIENT_COUNT = N_LAYERS * (WIDTH * WIDTH + WIDTH) };

static void zero_gradients(bdpo_store *store)
{
    static const float zeros[WIDTH * WIDTH];
    for (int i = 0; i < bdpo_store_count(store); i++)
        CHECK_OK(bdpo_store_write(store, BDPO_GRAD, bdpo_store_name(store, i), zeros,
                                  (i % 2 ? WIDTH : WIDTH * WIDTH) * sizeof *zeros));
}

static void read_gradients(bdpo_store *store, float *out)
{
    for (int i = 0; i < bdpo_store_count(store); i++) {
        size_t count = i % 2 ? WIDTH : WIDTH * WIDTH;
        CHECK_OK(
            bdpo_store_read(store, BDPO_GRAD, bdpo_store_name(store, i), out, count * sizeof *out));
        out += count;
    }
}

static void gradients_of_network(fixture f, run how, float *out, bdpo_plan_cost *cost)
{
    bdpo_graph *g;
    bdpo_plan *plan;
    float x[COUNT];
    fill(x, COUNT, 77);
    CHECK_OK(bdpo_graph_new(&g, f.store));
    bdpo_graph_set_checkpointing(g, how.checkpointing);
    bdpo_backward(g, total(g, network(g)));
    CHECK_OK(bdpo_plan_new(&plan, f.engine, g, &how.options));
    CHECK_OK(bdpo_plan_write(plan, "x", x, sizeof x));
    zero_gradients(f.store);
    CHECK_OK(bdpo_plan_run(plan));
    read_gradients(f.store, out);
    if (cost) *cost = bdpo_plan_costs(plan);
    bdpo_plan_free(plan);
    bdpo_graph_free(g);
}

// Central differences of the whole network along one parameter element, in f32.
static float loss_of_network(fixture f)
{
    bdpo_graph *g;
    bdpo_plan *plan;
    float x[COUNT], loss;
    fill(x, COUNT, 77);
    CHECK_OK(bdpo_graph_new(&g, f.store));
    bdpo_output(g, "loss", total(g, network(g)));
    CHECK_OK(bdpo_plan_new(&plan, f.engine, g, &(bdpo_plan_options){0}));
    CHECK_OK(bdpo_plan_write(plan, "x", x, sizeof x));
    CHECK_OK(bdpo_plan_run(plan));
    CHECK_OK(bdpo_plan_read(plan, "loss", &loss, sizeof loss));
    bdpo_plan_free(plan);
    bdpo_graph_free(g);
    return loss;
}

BDPO_TEST(gradients_agree_with_differences)
{
    fixture f = begin();
    float gradient[GRADIENT_COUNT], w[WIDTH * WIDTH];
    gradients_of_network(f, (run){0}, gradient, NULL);
    for (int i = 0; i < N_LAYERS; i++) {
        char name[8];
        snprintf(name, sizeof name, "w%d", i);
        const float step = 1.0f / 256;
        CHECK_OK(bdpo_store_read(f.store, BDPO_PARAM, name, w, sizeof w));
        float old = w[13];
        w[13] = old + step;
        CHECK_OK(bdpo_store_write(f.store, BDPO_PARAM, name, w, sizeof w));
        float above = loss_of_network(f);
        w[13] = old - step;
        CHECK_OK(bdpo_store_write(f.store, BDPO_PARAM, name, w, sizeof w));
        float below = loss_of_network(f);
        w[13] = old;
        CHECK_OK(bdpo_store_write(f.store, BDPO_PARAM, name, w, sizeof w));
        double difference = ((double)above - below) / (2 * step);
        // f32 loss of size 10 over 2^-7 leaves about 2e-4; the third derivative a like amount
        CHECK_NEAR(gradient[i * (WIDTH * WIDTH + WIDTH) + 13], difference, 2e-3);
    }
    end(f);
}

BDPO_TEST(checkpointing_changes_no_bit)
{
    fixture f = begin();
    float plain[GRADIENT_COUNT], again[GRADIENT_COUNT];
    bdpo_plan_cost plain_cost, again_cost;
    gradients_of_network(f, (run){0}, plain, &plain_cost);
    gradients_of_network(f, (run){.checkpointing = true}, again, &again_cost);
    CHECK_BYTES(again, plain, sizeof plain);
    CHECK(again_cost.n_nodes > plain_cost.n_nodes); // it did compute again
    end(f);
}

BDPO_TEST(the_schedule_changes_no_bit)
{
    fixture f = begin();
    float plain[GRADIENT_COUNT], shuffled[GRADIENT_COUNT];
    gradients_of_network(f, (run){0}, plain, NULL);
    for (uint64_t seed = 1; seed <= 20; seed++) {
        run how = {.checkpointing = seed % 2, .options = {.shuffle_seed = seed}};
        gradients_of_network(f, how, shuffled, NULL);
        CHECK_BYTES(shuffled, plain, sizeof plain);
    }
    end(f);
}

// Poisoned memory would reach a gradient if a value were read after its life, or two shared a
// place.
BDPO_TEST(poisoned_memory_changes_no_bit)
{
    fixture f = begin();
    float plain[GRADIENT_COUNT], poisoned[GRADIENT_COUNT];
    gradients_of_network(f, (run){0}, plain, NULL);
    for (uint64_t seed = 0; seed <= 10; seed++) {
        run how = {.options = {.shuffle_seed = seed, .poison = true}};
        gradients_of_network(f, how, poisoned, NULL);
        CHECK_BYTES(poisoned, plain, sizeof plain);
    }
    end(f);
}

BDPO_TEST(gradients_add_to_what_is_there)
{
    fixture f = begin();
    bdpo_graph *g;
    bdpo_plan *plan;
    float once[WIDTH], twice[WIDTH], x[COUNT];
    fill(x, COUNT, 77);
    CHECK_OK(bdpo_graph_new(&g, f.store));
    bdpo_backward(g, total(g, network(g)));
    CHECK_OK(bdpo_plan_new(&plan, f.engine, g, &(bdpo_plan_options){0}));
    CHECK_OK(bdpo_plan_write(plan, "x", x, sizeof x));
    CHECK_OK(bdpo_plan_run(plan));
    CHECK_OK(bdpo_store_read(f.store, BDPO_GRAD, "b3", once, sizeof once));
    CHECK_OK(bdpo_plan_run(plan));
    CHECK_OK(bdpo_store_read(f.store, BDPO_GRAD, "b3", twice, sizeof twice));
    for (int i = 0; i < WIDTH; i++) CHECK_NEAR(twice[i], 2.0 * once[i], 1e-5 * fabs(once[i]));
    bdpo_plan_free(plan);
    bdpo_graph_free(g);
    end(f);
}

// Builds f(x) used by three nodes; the order in which contributions meet is the forward order.
BDPO_TEST(a_shared_node_sums_in_forward_order)
{
    fixture f = begin();
    bdpo_graph *g;
    CHECK_OK(bdpo_graph_new(&g, f.store));
    bdpo_node *x = bdpo_input(g, "x", BDPO_F32, BDPO_SHAPE(ROWS, WIDTH));
    bdpo_require_grad(x);
    bdpo_node *first = bdpo_exp(g, x), *second = bdpo_tanh(g, x), *third = bdpo_silu(g, x);
    bdpo_node *y = add(g, add(g, third, first), second);
    bdpo_node *dy = bdpo_input(g, "dy", BDPO_F32, BDPO_SHAPE(ROWS, WIDTH));
    bdpo_node *dx;
    bdpo_gradients(g, y, dy, &x, 1, &dx);
    CHECK_OK(bdpo_graph_check(g));
    CHECK(dx->op == &bdpo_op_add && dx->in[0]->op == &bdpo_op_add);
    CHECK_STR(dx->in[0]->in[0]->op->name, "exp_backward");
    CHECK_STR(dx->in[0]->in[1]->op->name, "tanh_backward");
    CHECK_STR(dx->in[1]->op->name, "silu_backward");
    bdpo_graph_free(g);
    end(f);
}

BDPO_TEST(a_frozen_branch_gets_no_nodes)
{
    fixture f = begin();
    bdpo_graph *g;
    CHECK_OK(bdpo_graph_new(&g, f.store));
    bdpo_node *x = bdpo_input(g, "x", BDPO_F32, BDPO_SHAPE(ROWS, WIDTH)); // no gradient wanted
    bdpo_backward(g, total(g, layer(g, x, 0)));
    CHECK_OK(bdpo_graph_check(g));
    for (int i = 0; i < g->n_nodes; i++) CHECK(strcmp(g->nodes[i]->op->name, "linear_input_grad"));
    bdpo_graph_free(g);
    end(f);
}

BDPO_TEST(one_parameter_is_one_leaf)
{
    fixture f = begin();
    bdpo_graph *g;
    CHECK_OK(bdpo_graph_new(&g, f.store));
    CHECK(bdpo_param(g, "w0") == bdpo_param(g, "w0"));
    bdpo_graph_set_kind(g, BDPO_REFERENCE);
    bdpo_node *reference = bdpo_param(g, "w0");
    CHECK_INT(((const bdpo_state_attrs *)reference->attrs)->kind, BDPO_REFERENCE);
    CHECK(!reference->needs_grad);
    bdpo_graph_free(g);
    end(f);
}

BDPO_TEST(a_loss_must_be_a_scalar)
{
    fixture f = begin();
    bdpo_graph *g;
    CHECK_OK(bdpo_graph_new(&g, f.store));
    bdpo_node *x = bdpo_input(g, "x", BDPO_F32, BDPO_SHAPE(ROWS, WIDTH));
    bdpo_backward(g, layer(g, x, 0));
    CHECK_STATUS(bdpo_graph_check(g), BDPO_BAD_SHAPE);
    CHECK_CONTAINS(bdpo_message(), "[6, 10], expected [1]");
    bdpo_graph_free(g);
    end(f);
}

// ---- requests ----------------------------------------------------------------------------------

// Asks for the gradient of y toward x in a graph of one layer; the answer is the graph's status.
typedef enum mistake { NONE, WRONG_COTANGENT, FROZEN_INPUT, NO_NODE, OTHER_GRAPH } mistake;

static bdpo_status ask(fixture f, mistake what)
{
    bdpo_graph *g, *other;
    CHECK_OK(bdpo_graph_new(&g, f.store));
    CHECK_OK(bdpo_graph_new(&other, f.store));
    bdpo_node *x = bdpo_input(g, "x", BDPO_F32, BDPO_SHAPE(ROWS, WIDTH)), *w = bdpo_param(g, "w0");
    bdpo_node *y = layer(g, x, 0), *toward = w, *dx = w;
    bdpo_shape shape = what == WRONG_COTANGENT ? BDPO_SHAPE(WIDTH, ROWS) : BDPO_SHAPE(ROWS, WIDTH);
    bdpo_node *dy = bdpo_input(what == OTHER_GRAPH ? other : g, "dy", BDPO_F32, shape);
    if (what == FROZEN_INPUT) toward = x;
    if (what == NO_NODE) toward = NULL;
    bdpo_gradients(g, y, dy, &toward, 1, &dx);
    CHECK((dx != NULL) == (what == NONE));
    bdpo_status status = bdpo_graph_check(g);
    bdpo_graph_free(other);
    bdpo_graph_free(g);
    return status;
}

BDPO_TEST(a_gradient_that_makes_no_sense_is_refused)
{
    fixture f = begin();
    CHECK_OK(ask(f, NONE));
    CHECK_STATUS(ask(f, WRONG_COTANGENT), BDPO_BAD_SHAPE);
    CHECK_CONTAINS(bdpo_message(), "the cotangent has shape [10, 6], its value [6, 10]");
    CHECK_STATUS(ask(f, FROZEN_INPUT), BDPO_BAD_ARGUMENT);
    CHECK_CONTAINS(bdpo_message(), "(0, input) with nothing trainable behind it");
    CHECK_STATUS(ask(f, NO_NODE), BDPO_BAD_ARGUMENT);
    CHECK_STATUS(ask(f, OTHER_GRAPH), BDPO_BAD_ARGUMENT);
    end(f);
}

BDPO_TEST(a_gradient_must_be_required_before_the_input_is_used)
{
    fixture f = begin();
    bdpo_graph *g;
    CHECK_OK(bdpo_graph_new(&g, f.store));
    bdpo_node *x = bdpo_input(g, "x", BDPO_F32, BDPO_SHAPE(ROWS, WIDTH));
    bdpo_silu(g, x);
    CHECK_ABORTS(bdpo_require_grad(x));
    CHECK_ABORTS(bdpo_require_grad(bdpo_param(g, "w0")));
    bdpo_graph_free(g);
    end(f);
}

// One leaf per kind, also when the kinds take turns: a model's reference is built between.
BDPO_TEST(kinds_that_take_turns_share_their_leaves)
{
    fixture f = begin();
    bdpo_graph *g;
    CHECK_OK(bdpo_graph_new(&g, f.store));
    bdpo_node *policy = bdpo_param(g, "w0");
    bdpo_graph_set_kind(g, BDPO_REFERENCE);
    bdpo_node *reference = bdpo_param(g, "w0");
    bdpo_graph_set_kind(g, BDPO_PARAM);
    CHECK(bdpo_param(g, "w0") == policy && reference != policy);
    bdpo_graph_set_kind(g, BDPO_REFERENCE);
    CHECK(bdpo_param(g, "w0") == reference);
    bdpo_graph_free(g);
    end(f);
}

// GRAD of a scalar that is itself the loss is 1, also when it passes through a view.
BDPO_TEST(a_parameter_may_be_the_loss)
{
    bdpo_engine *engine;
    bdpo_store *store;
    bdpo_graph *g;
    bdpo_plan *plan;
    float grad;
    CHECK_OK(bdpo_engine_new(&engine, &(bdpo_engine_options){.n_threads = 1}));
    CHECK_OK(bdpo_store_new(&store, engine));
    CHECK_OK(bdpo_store_declare(store, "plain", BDPO_F32, BDPO_SHAPE(1), true));
    CHECK_OK(bdpo_store_declare(store, "viewed", BDPO_F32, BDPO_SHAPE(1, 1), true));
    CHECK_OK(bdpo_store_seal(store));
    CHECK_OK(bdpo_graph_new(&g, store));
    bdpo_backward(g, bdpo_param(g, "plain"));
    bdpo_backward(g, bdpo_reshape(g, bdpo_param(g, "viewed"), BDPO_SHAPE(1)));
    CHECK_OK(bdpo_plan_new(&plan, engine, g, &(bdpo_plan_options){0}));
    CHECK_OK(bdpo_plan_run(plan));
    CHECK_OK(bdpo_store_read(store, BDPO_GRAD, "plain", &grad, sizeof grad));
    CHECK(grad == 1.0f);
    CHECK_OK(bdpo_store_read(store, BDPO_GRAD, "viewed", &grad, sizeof grad));
    CHECK(grad == 1.0f);
    bdpo_plan_free(plan);
    bdpo_graph_free(g);
    bdpo_store_free(store);
    bdpo_engine_free(engine);
}

// ---- order -------------------------------------------------------------------------------------

// Kernels that add to GRAD themselves keep their place among all that touches it: zeroing before,
// a second backward pass behind, a sum over all of it at the end.
BDPO_TEST(gradients_that_are_zeroed_first_stay_in_order)
{
    fixture f = begin();
    float x[COUNT], plain[GRADIENT_COUNT + 1], shuffled[GRADIENT_COUNT + 1];
    fill(x, COUNT, 77);
    for (uint64_t seed = 0; seed <= 30; seed++) {
        bdpo_graph *g;
        bdpo_plan *plan;
        float *out = seed ? shuffled : plain;
        CHECK_OK(bdpo_graph_new(&g, f.store));
        bdpo_zero(g, bdpo_bucket(g, BDPO_GRAD, 0));
        bdpo_node *y = network(g);
        bdpo_backward(g, total(g, y));
        bdpo_backward(g, total(g, bdpo_tanh(g, y)));
        bdpo_output(g, "norm", bdpo_sum_of_squares(g, bdpo_bucket(g, BDPO_GRAD, 0), NULL));
        CHECK_OK(bdpo_plan_new(&plan, f.engine, g, &(bdpo_plan_options){.shuffle_seed = seed}));
        CHECK_OK(bdpo_plan_write(plan, "x", x, sizeof x));
        CHECK_OK(bdpo_plan_run(plan));
        read_gradients(f.store, out);
        CHECK_OK(bdpo_plan_read(plan, "norm", &out[GRADIENT_COUNT], sizeof *out));
        bdpo_plan_free(plan);
        bdpo_graph_free(g);
        if (seed) CHECK_BYTES(shuffled, plain, sizeof plain);
    }
    CHECK(plain[GRADIENT_COUNT] > 0);
    end(f);
}

// ---- memory ------------------------------------------------------------------------------------

static size_t peak_of_deep_network(fixture f, bool checkpointing)
{
    enum { DEPTH = 16, TALL = 4096 };
    bdpo_graph *g;
    bdpo_plan *plan;
    CHECK_OK(bdpo_graph_new(&g, f.store));
    bdpo_graph_set_checkpointing(g, checkpointing);
    bdpo_node *h = bdpo_input(g, "x", BDPO_F32, BDPO_SHAPE(TALL, WIDTH));
    for (int i = 0; i < DEPTH; i++) {
        if (i % 4 == 0) bdpo_segment_begin(g);
        h = layer(g, h, i % N_LAYERS);
        if (i % 4 == 3) bdpo_segment_end(g);
    }
    bdpo_backward(g, bdpo_reduce_sum(g, h, BDPO_KEEP_NONE));
    CHECK_OK(bdpo_plan_new(&plan, f.engine, g, &(bdpo_plan_options){0}));
    size_t peak = bdpo_plan_costs(plan).peak_bytes;
    bdpo_plan_free(plan);
    bdpo_graph_free(g);
    return peak;
}

// 16 layers keep 16 values; in four segments, 4 and those of one segment.
BDPO_TEST(checkpointing_keeps_less)
{
    fixture f = begin();
    size_t plain = peak_of_deep_network(f, false), checkpointed = peak_of_deep_network(f, true);
    CHECK_LE((double)checkpointed, 0.65 * (double)plain);
    end(f);
}

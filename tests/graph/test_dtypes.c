// The dtype pass: half-width leaves under layout, which sums stay in f32, and what casts are
// shared.
#include <bdpo/engine.h>
#include <bdpo/ops.h>

#include "graph/plan.h"
#include "harness.h"

enum { ROWS = 4, WIDTH = 8, COUNT = ROWS * WIDTH };

typedef struct fixture {
    bdpo_engine *engine;
    bdpo_store *store;
    bdpo_graph *g;
} fixture;

static float weight(int i)
{
    return (float)(i % 11) / 8 - 0.5f; // fits f16 and bf16
}

// "f16", "bf16" and "f32", all [ROWS, WIDTH] with the same values; f32 is trained. "gain" [WIDTH]
// too.
static fixture begin(const char *backend)
{
    static uint16_t f16[COUNT], bf16[COUNT];
    static float f32[COUNT];
    fixture f;
    for (int i = 0; i < COUNT; i++) {
        f32[i] = weight(i);
        f16[i] = bdpo_f16_from_f32(weight(i));
        bf16[i] = bdpo_bf16_from_f32(weight(i));
    }
    bdpo_shape shape = BDPO_SHAPE(ROWS, WIDTH);
    CHECK_OK(
        bdpo_engine_new(&f.engine, &(bdpo_engine_options){.backend = backend, .n_threads = 1}));
    CHECK_OK(bdpo_store_new(&f.store, f.engine));
    CHECK_OK(bdpo_store_declare_mapped(f.store, "f16", BDPO_F16, shape, f16));
    CHECK_OK(bdpo_store_declare_mapped(f.store, "bf16", BDPO_BF16, shape, bf16));
    CHECK_OK(bdpo_store_declare(f.store, "f32", BDPO_F32, shape, true));
    CHECK_OK(bdpo_store_declare(f.store, "gain", BDPO_F32, BDPO_SHAPE(WIDTH), true));
    CHECK_OK(bdpo_store_seal(f.store));
    CHECK_OK(bdpo_store_write(f.store, BDPO_PARAM, "f32", f32, sizeof f32));
    CHECK_OK(bdpo_graph_new(&f.g, f.store));
    return f;
}

static void end(fixture f)
{
    bdpo_graph_free(f.g);
    bdpo_store_free(f.store);
    bdpo_engine_free(f.engine);
}

static bdpo_plan *plan_of(fixture f, bdpo_dtype dtype)
{
    bdpo_plan *plan;
    CHECK_OK(bdpo_plan_new(&plan, f.engine, f.g, &(bdpo_plan_options){.compute_dtype = dtype}));
    return plan;
}

static bdpo_node *sum(bdpo_graph *g, bdpo_node *x)
{
    return bdpo_reduce_sum(g, x, BDPO_KEEP_NONE);
}

// ---- half-width leaves -------------------------------------------------------------------------

// Views, copies and joins of a leaf that rests in half width; all outputs are known by hand.
static void check_layout(const char *leaf, bdpo_dtype compute)
{
    fixture f = begin("cpu");
    float y[2 * COUNT];
    bdpo_node *w = bdpo_param(f.g, leaf), *both[2] = {w, bdpo_param(f.g, "f32")};
    bdpo_output(f.g, "row", bdpo_scale(f.g, bdpo_reshape(f.g, w, BDPO_SHAPE(1, COUNT)), 2));
    bdpo_output(f.g, "slice", bdpo_scale(f.g, bdpo_slice_channels(f.g, w, 3, 4), 2));
    bdpo_output(f.g, "transposed", bdpo_transpose(f.g, w, (int[]){1, 0}));
    bdpo_output(f.g, "first", bdpo_concat_batch(f.g, both, 2));
    both[1] = bdpo_tanh(f.g, both[1]); // a value, not a leaf
    bdpo_output(f.g, "joined", bdpo_concat_channels(f.g, both, 2));
    bdpo_plan *plan = plan_of(f, compute);
    CHECK_OK(bdpo_plan_run(plan));
    CHECK_OK(bdpo_plan_read(plan, "row", y, COUNT * sizeof *y));
    for (int i = 0; i < COUNT; i++) CHECK(y[i] == 2 * weight(i));
    CHECK_OK(bdpo_plan_read(plan, "slice", y, ROWS * 4 * sizeof *y));
    for (int i = 0; i < ROWS * 4; i++) CHECK(y[i] == 2 * weight(i / 4 * WIDTH + 3 + i % 4));
    CHECK_OK(bdpo_plan_read(plan, "transposed", y, COUNT * sizeof *y));
    for (int i = 0; i < COUNT; i++) CHECK(y[i] == weight(i % ROWS * WIDTH + i / ROWS));
    CHECK_OK(bdpo_plan_read(plan, "first", y, sizeof y));
    for (int i = 0; i < 2 * COUNT; i++) CHECK(y[i] == weight(i % COUNT));
    CHECK_OK(bdpo_plan_read(plan, "joined", y, sizeof y));
    for (int i = 0; i < 2 * COUNT; i++) {
        double x = (double)weight(i / (2 * WIDTH) * WIDTH + i % WIDTH);
        double step = compute == BDPO_BF16 ? 1.0 / 256 : 1e-6; // half of bf16's last place
        CHECK_NEAR(y[i], i / WIDTH % 2 ? tanh(x) : x, step);
    }
    bdpo_plan_free(plan);
    end(f);
}

BDPO_TEST(half_width_leaves_may_be_arranged)
{
    check_layout("f16", BDPO_F32);
    check_layout("f16", BDPO_BF16);
    check_layout("bf16", BDPO_F32);
    check_layout("bf16", BDPO_BF16);
    check_layout("f32", BDPO_BF16);
}

// A half-width leaf beside a value must not round the value in an f32 plan.
BDPO_TEST(a_half_width_part_does_not_narrow_a_concat)
{
    fixture f = begin("null");
    bdpo_node *parts[2] = {bdpo_param(f.g, "f16"), bdpo_tanh(f.g, bdpo_param(f.g, "f32"))};
    bdpo_output(f.g, "y", bdpo_exp(f.g, bdpo_concat_channels(f.g, parts, 2)));
    bdpo_plan *plan = plan_of(f, BDPO_F32);
    for (int i = 0; i < plan->list.count; i++)
        if (strcmp(plan->list.at[i]->op->name, "concat") == 0)
            CHECK_INT(plan->list.at[i]->out[0].dtype, BDPO_F32);
    bdpo_plan_free(plan);
    end(f);
}

BDPO_TEST(a_half_width_input_is_read_as_declared)
{
    for (int bf16 = 0; bf16 < 2; bf16++) {
        fixture f = begin("cpu");
        uint16_t x[COUNT];
        float y[COUNT];
        for (int i = 0; i < COUNT; i++) x[i] = bdpo_bf16_from_f32(weight(i));
        bdpo_node *in = bdpo_input(f.g, "x", BDPO_BF16, BDPO_SHAPE(ROWS, WIDTH));
        bdpo_output(f.g, "y", bdpo_scale(f.g, bdpo_reshape(f.g, in, BDPO_SHAPE(COUNT)), 2));
        bdpo_output(f.g, "same", in);
        bdpo_plan *plan = plan_of(f, bf16 ? BDPO_BF16 : BDPO_F32);
        CHECK_OK(bdpo_plan_write(plan, "x", x, sizeof x));
        CHECK_OK(bdpo_plan_run(plan));
        CHECK_OK(bdpo_plan_read(plan, "y", y, sizeof y));
        for (int i = 0; i < COUNT; i++) CHECK(y[i] == 2 * weight(i));
        CHECK_OK(bdpo_plan_read(plan, "same", y, sizeof y));
        for (int i = 0; i < COUNT; i++) CHECK(y[i] == weight(i));
        bdpo_plan_free(plan);
        end(f);
    }
}

// ---- sums of cotangents ------------------------------------------------------------------------

static int count_ops(const bdpo_plan *plan, const char *name, bdpo_dtype dtype)
{
    int count = 0;
    for (int i = 0; i < plan->list.count; i++)
        count += strcmp(plan->list.at[i]->op->name, name) == 0 &&
                 plan->list.at[i]->out[0].dtype == dtype;
    return count;
}

// Two uses of one weight: their gradients are f32, and so is the sum.
BDPO_TEST(the_gradients_of_a_shared_weight_meet_in_f32)
{
    fixture f = begin("null");
    bdpo_node *x = bdpo_input(f.g, "x", BDPO_F32, BDPO_SHAPE(3, WIDTH)),
              *w = bdpo_param(f.g, "f32");
    bdpo_node *a = bdpo_linear(f.g, x, w, NULL, BDPO_NO_ACTIVATION);
    bdpo_node *b = bdpo_linear(f.g, bdpo_tanh(f.g, x), w, NULL, BDPO_NO_ACTIVATION);
    bdpo_backward(f.g, sum(f.g, bdpo_mul(f.g, a, b)));
    bdpo_plan *plan = plan_of(f, BDPO_BF16);
    CHECK_INT(count_ops(plan, "linear_weight_grad", BDPO_F32), 2);
    CHECK_INT(count_ops(plan, "add", BDPO_F32), 1);
    CHECK_INT(count_ops(plan, "add", BDPO_BF16), 0);
    bdpo_plan_free(plan);
    end(f);
}

// An ordinary value computes, and is summed, in half width; one of an island is not.
BDPO_TEST(cotangents_are_summed_in_the_dtype_of_their_value)
{
    for (int island = 0; island < 2; island++) {
        fixture f = begin("null");
        if (island) bdpo_f32_begin(f.g);
        bdpo_node *shared = bdpo_tanh(f.g, bdpo_param(f.g, "f32"));
        bdpo_node *view = bdpo_reshape(f.g, shared, BDPO_SHAPE(COUNT));
        bdpo_node *y = bdpo_mul(f.g, bdpo_silu(f.g, view), bdpo_gelu(f.g, view));
        if (island) bdpo_f32_end(f.g);
        bdpo_backward(f.g, sum(f.g, y));
        bdpo_plan *plan = plan_of(f, BDPO_BF16);
        CHECK_INT(count_ops(plan, "add", BDPO_F32), island);
        CHECK_INT(count_ops(plan, "add", BDPO_BF16), !island);
        bdpo_plan_free(plan);
        end(f);
    }
}

// A norm's own gradient takes its statistics in f32; who else computes takes its further outputs
// in half width like all values.
BDPO_TEST(only_their_own_gradient_reads_statistics_in_f32)
{
    fixture f = begin("null");
    bdpo_node *gain = bdpo_scale(f.g, bdpo_param(f.g, "gain"), 3);
    bdpo_node *x = bdpo_param(f.g, "f32");
    bdpo_backward(f.g, sum(f.g, bdpo_layer_norm(f.g, x, gain, gain, 1e-5f)));
    bdpo_plan *plan = plan_of(f, BDPO_BF16);
    int n_checked = 0;
    for (int i = 0; i < plan->list.count; i++) {
        const bdpo_node *node = plan->list.at[i];
        bool norm = strcmp(node->op->name, "layer_norm_backward") == 0;
        if (!norm && strcmp(node->op->name, "scale") != 0 && strcmp(node->op->name, "add") != 0)
            continue;
        n_checked++;
        CHECK_INT(node->in[0]->out[0].dtype, BDPO_BF16);
        if (norm) CHECK_INT(node->in[2]->out[0].dtype, BDPO_F32);
    }
    CHECK_INT(n_checked, 4); // the norm's, the sum of dgamma and dbeta, the scale and its gradient
    bdpo_plan_free(plan);
    end(f);
}

// ---- casts -------------------------------------------------------------------------------------

static int count_casts_of_views(const bdpo_plan *plan)
{
    int count = 0;
    for (int i = 0; i < plan->list.count; i++)
        count += plan->list.at[i]->op == &bdpo_op_cast && plan->list.at[i]->in[0]->op->is_view;
    return count;
}

// What a weight is cast to lives for one node, also behind a view; a value's is shared.
BDPO_TEST(casts_of_weights_are_not_kept)
{
    for (int computed = 0; computed < 2; computed++) {
        fixture f = begin("null");
        bdpo_node *w = bdpo_param(f.g, "f32");
        if (computed) w = bdpo_exp(f.g, w); // in f32, being an island
        bdpo_node *view = bdpo_reshape(f.g, w, BDPO_SHAPE(COUNT));
        bdpo_output(f.g, "a", bdpo_tanh(f.g, view));
        bdpo_output(f.g, "b", bdpo_gelu(f.g, view));
        bdpo_plan *plan = plan_of(f, BDPO_BF16);
        CHECK_INT(count_casts_of_views(plan), computed ? 1 : 2);
        bdpo_plan_free(plan);
        end(f);
    }
}

// A bf16 plan sees a weight as it is when the node runs, also after the graph has changed it.
BDPO_TEST(a_weight_that_changes_is_cast_again)
{
    fixture f = begin("cpu");
    float before[COUNT], after[COUNT], three = 3;
    bdpo_node *view = bdpo_reshape(f.g, bdpo_param(f.g, "f32"), BDPO_SHAPE(COUNT));
    bdpo_node *factor = bdpo_input(f.g, "factor", BDPO_F32, BDPO_SHAPE(1));
    bdpo_output(f.g, "before", bdpo_scale(f.g, view, 1));
    bdpo_scale_in_place(f.g, bdpo_state(f.g, BDPO_PARAM, "f32"), factor);
    bdpo_output(f.g, "after", bdpo_scale(f.g, view, 1));
    bdpo_plan *plan = plan_of(f, BDPO_BF16);
    CHECK_OK(bdpo_plan_write(plan, "factor", &three, sizeof three));
    CHECK_OK(bdpo_plan_run(plan));
    CHECK_OK(bdpo_plan_read(plan, "before", before, sizeof before));
    CHECK_OK(bdpo_plan_read(plan, "after", after, sizeof after));
    for (int i = 0; i < COUNT; i++) CHECK(before[i] == weight(i) && after[i] == 3 * weight(i));
    bdpo_plan_free(plan);
    end(f);
}

// Every value of a bf16 plan on the CPU is what f32 kernels give when their inputs are rounded and
// their outputs too: two nodes by hand.
BDPO_TEST(emulated_chains_round_after_each_node)
{
    fixture f = begin("cpu");
    float y[COUNT];
    bdpo_node *w = bdpo_param(f.g, "f32");
    bdpo_output(f.g, "y", bdpo_add(f.g, bdpo_scale(f.g, w, 1.01f), w));
    bdpo_plan *plan = plan_of(f, BDPO_BF16);
    CHECK_OK(bdpo_plan_run(plan));
    CHECK_OK(bdpo_plan_read(plan, "y", y, sizeof y));
    for (int i = 0; i < COUNT; i++) {
        float scaled = bdpo_bf16_to_f32(bdpo_bf16_from_f32(1.01f * weight(i)));
        CHECK(y[i] == bdpo_bf16_to_f32(bdpo_bf16_from_f32(scaled + weight(i))));
    }
    bdpo_plan_free(plan);
    end(f);
}

// A real UNet as policy and reference of the same weights: every logit is 0 and every pair's loss
// log 2 to the bit, whether the reference is computed in the policy's graph or by a plan of its own
// that has no backward pass; after a step not; after a copy again.
#include "harness.h"

#include <jansson.h>

#include "base/memory.h"
#include "models/unet.h"
#include "ops/ops.h"
#include "parity/model_parity.h"
#include "parity/parity_inputs.h"
#include "preference/preference_loss.h"
#include "tensor/tensor.h"

enum { PAIRS = 2, SIZE = 8, TOKENS = 7, CHANNELS = 4, VALUES = 2 * PAIRS * SIZE * SIZE * CHANNELS };

static const float ln_2 = 0.693147180559945309417f;

typedef struct scene {
    model_run run;
    bdpo_unet_config config;
    bdpo_graph *g, *reference_g; // reference_g: NULL where the policy's graph has both
    bdpo_plan *plan, *reference_plan;
} scene;

static bdpo_unet_inputs inputs(const scene *s, bdpo_graph *g)
{
    return (bdpo_unet_inputs){
        .sample = bdpo_input(g, "sample", BDPO_F32, BDPO_SHAPE(2 * PAIRS, SIZE, SIZE, CHANNELS)),
        .timestep = bdpo_input(g, "timestep", BDPO_F32, BDPO_SHAPE(2 * PAIRS)),
        .context = bdpo_input(g, "context", BDPO_F32,
                              BDPO_SHAPE(2 * PAIRS, TOKENS, s->config.context_width))};
}

static bdpo_node *unet(const scene *s, bdpo_graph *g, const bdpo_unet_inputs *in)
{
    bdpo_builder b = {.graph = g, .segments = BDPO_SEGMENTS_LEAN};
    return bdpo_unet(&b, &s->config, in);
}

static void read_config(scene *s)
{
    json_error_t error;
    const char *path = test_path("fixtures/unet/small15.json");
    json_t *root = json_load_file(path, 0, &error);
    if (!root) FAIL("%s: %s", path, error.text);
    CHECK_OK(bdpo_unet_config_parse(&s->config, root, path));
    json_decref(root);
}

static void copy_to_reference(const scene *s)
{
    for (int i = 0; i < bdpo_store_count(s->run.store); i++) {
        const char *name = bdpo_store_name(s->run.store, i);
        bdpo_dtype dtype;
        bdpo_shape shape;
        CHECK_OK(bdpo_store_describe(s->run.store, BDPO_PARAM, name, &dtype, &shape));
        size_t count = (size_t)bdpo_shape_count(&shape);
        float *values = model_floats(count);
        CHECK_OK(bdpo_store_read(s->run.store, BDPO_PARAM, name, values, count * sizeof *values));
        CHECK_OK(
            bdpo_store_write(s->run.store, BDPO_REFERENCE, name, values, count * sizeof *values));
        bdpo_free(values);
    }
}

static void build_loss(const scene *s, bdpo_node *policy, bdpo_node *reference)
{
    bdpo_graph *g = s->g;
    bdpo_preference_options options = bdpo_preference_defaults(BDPO_PREFERENCE_DPO);
    bdpo_preference_inputs in = {
        .policy = policy,
        .reference = reference,
        .target = bdpo_input(g, "target", BDPO_F32, bdpo_node_shape(policy)),
        .labels = bdpo_input(g, "labels", BDPO_F32, BDPO_SHAPE(PAIRS)),
        .weights = bdpo_input(g, "weights", BDPO_F32, BDPO_SHAPE(PAIRS)),
        .error_scale = bdpo_input(g, "error_scale", BDPO_F32, BDPO_SHAPE(PAIRS))};
    bdpo_preference_outputs out;
    bdpo_preference_build(&out, g, &in, &options);
    bdpo_output(g, "pair_loss", out.pair_loss);
    bdpo_output(g, "logit", out.logit);
    bdpo_backward(g, out.loss);
    CHECK_OK(bdpo_graph_check(g));
}

// The reference by the same graph over BDPO_REFERENCE, or by a plan of its own.
static void build(scene *s, bool apart)
{
    CHECK_OK(bdpo_graph_new(&s->g, s->run.store));
    bdpo_graph_set_checkpointing(s->g, true);
    bdpo_unet_inputs in = inputs(s, s->g);
    bdpo_node *policy = unet(s, s->g, &in), *reference;
    if (apart) {
        CHECK_OK(bdpo_graph_new(&s->reference_g, s->run.store));
        bdpo_graph_set_kind(s->reference_g, BDPO_REFERENCE);
        bdpo_unet_inputs own = inputs(s, s->reference_g);
        bdpo_output(s->reference_g, "prediction", unet(s, s->reference_g, &own));
        CHECK_OK(bdpo_plan_new(&s->reference_plan, s->run.engine, s->reference_g,
                               &(bdpo_plan_options){0}));
        reference = bdpo_input(s->g, "reference", BDPO_F32, bdpo_node_shape(policy));
    } else {
        bdpo_graph_set_kind(s->g, BDPO_REFERENCE);
        reference = unet(s, s->g, &in);
    }
    build_loss(s, policy, reference);
    CHECK_OK(bdpo_plan_new(&s->plan, s->run.engine, s->g, &(bdpo_plan_options){0}));
}

static void write_named(bdpo_plan *plan, const char *name, size_t count)
{
    float *values = model_floats(count);
    parity_fill(values, count, name, 1, 0);
    CHECK_OK(bdpo_plan_write(plan, name, values, count * sizeof *values));
    bdpo_free(values);
}

static void write_model_inputs(const scene *s, bdpo_plan *plan)
{
    static const float timesteps[2 * PAIRS] = {700, 700, 81, 81};
    write_named(plan, "sample", VALUES);
    write_named(plan, "context", (size_t)(2 * PAIRS * TOKENS * s->config.context_width));
    CHECK_OK(bdpo_plan_write(plan, "timestep", timesteps, sizeof timesteps));
}

static void run_step(const scene *s, float *logit, float *pair_loss)
{
    static const float labels[PAIRS] = {0, 2.0f / 3}, weights[PAIRS] = {0.5f, 0.5f};
    static const float scales[PAIRS] = {1, 0.37f};
    static float predicted[VALUES];
    if (s->reference_plan) {
        write_model_inputs(s, s->reference_plan);
        CHECK_OK(bdpo_plan_run(s->reference_plan));
        CHECK_OK(bdpo_plan_read(s->reference_plan, "prediction", predicted, sizeof predicted));
        CHECK_OK(bdpo_plan_write(s->plan, "reference", predicted, sizeof predicted));
    }
    write_model_inputs(s, s->plan);
    write_named(s->plan, "target", VALUES);
    CHECK_OK(bdpo_plan_write(s->plan, "labels", labels, sizeof labels));
    CHECK_OK(bdpo_plan_write(s->plan, "weights", weights, sizeof weights));
    CHECK_OK(bdpo_plan_write(s->plan, "error_scale", scales, sizeof scales));
    CHECK_OK(bdpo_plan_run(s->plan));
    CHECK_OK(bdpo_plan_read(s->plan, "logit", logit, PAIRS * sizeof *logit));
    CHECK_OK(bdpo_plan_read(s->plan, "pair_loss", pair_loss, PAIRS * sizeof *pair_loss));
}

static void check_zero(const scene *s)
{
    float logit[PAIRS], pair_loss[PAIRS];
    run_step(s, logit, pair_loss);
    for (int i = 0; i < PAIRS; i++) {
        CHECK_NEAR((double)logit[i], 0, 0);
        CHECK_NEAR((double)pair_loss[i], (double)ln_2, 0);
    }
}

// One step of plain descent, and what it does to the first pair, whose label is hard.
static void descend(const scene *s)
{
    float logit[PAIRS], pair_loss[PAIRS];
    bdpo_graph *g;
    bdpo_plan *plan;
    CHECK_OK(bdpo_graph_new(&g, s->run.store));
    bdpo_step_inputs at = {.lr = bdpo_fill(g, BDPO_SHAPE(1), 1e-7f)};
    for (int i = 0; i < bdpo_store_bucket_count(s->run.store); i++)
        bdpo_sgd(g, bdpo_bucket(g, BDPO_PARAM, i), bdpo_bucket(g, BDPO_GRAD, i), &at);
    CHECK_OK(bdpo_plan_new(&plan, s->run.engine, g, &(bdpo_plan_options){0}));
    CHECK_OK(bdpo_plan_run(plan));
    bdpo_plan_free(plan);
    bdpo_graph_free(g);
    run_step(s, logit, pair_loss);
    CHECK(logit[0] < 0); // picture 1 was chosen
    CHECK(pair_loss[0] < ln_2);
}

static void check_steps(bool apart)
{
    scene s = {0};
    read_config(&s);
    model_run_init(&s.run, "step_zero", "step_zero");
    bdpo_unet_params(s.run.params, &s.config);
    model_run_store(&s.run);
    CHECK_OK(bdpo_store_reserve(s.run.store, BDPO_REFERENCE));
    copy_to_reference(&s);
    build(&s, apart);
    check_zero(&s);
    descend(&s);
    copy_to_reference(&s);
    check_zero(&s);
    bdpo_plan_free(s.plan);
    bdpo_plan_free(s.reference_plan);
    bdpo_graph_free(s.reference_g);
    bdpo_graph_free(s.g);
    model_run_release(&s.run);
}

BDPO_TEST(step_zero_in_one_graph)
{
    check_steps(false);
}

BDPO_TEST(step_zero_by_two_plans)
{
    check_steps(true);
}

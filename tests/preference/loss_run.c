// The runner of loss_run.h.
#include "preference/loss_run.h"

#include "harness.h"
#include "ops/ops.h"
#include "parity/parity_inputs.h"

static const float ones[LOSS_MAX_PAIRS] = {1, 1, 1, 1, 1, 1, 1, 1};

int loss_run_pictures(const loss_run *run)
{
    return run->labels ? 2 * run->n : run->n;
}

int64_t loss_run_elements(const loss_run *run)
{
    return (int64_t)run->h * run->w * run->c;
}

static bdpo_node *build(loss_run *run, bdpo_graph *g)
{
    bdpo_shape pictures = BDPO_SHAPE(loss_run_pictures(run), run->h, run->w, run->c);
    bdpo_shape pairs = BDPO_SHAPE(run->n);
    bdpo_preference_inputs in = {
        .policy = bdpo_input(g, "policy", BDPO_F32, pictures),
        .reference = run->reference ? bdpo_input(g, "reference", BDPO_F32, pictures) : NULL,
        .target = bdpo_input(g, "target", BDPO_F32, pictures),
        .labels = run->labels ? bdpo_input(g, "labels", BDPO_F32, pairs) : NULL,
        .weights = bdpo_input(g, "weights", BDPO_F32, pairs),
        .error_scale = bdpo_input(g, "error_scale", BDPO_F32, pairs)};
    bdpo_require_grad(in.policy);
    bdpo_preference_outputs out;
    bdpo_preference_build(&out, g, &in, &run->options);
    CHECK_OK(bdpo_graph_check(g));
    bdpo_output(g, "loss", out.loss);
    bdpo_output(g, "pair_loss", out.pair_loss);
    bdpo_output(g, "policy_error", out.policy_error);
    if (out.reference_error) bdpo_output(g, "reference_error", out.reference_error);
    run->has_logit = out.logit != NULL;
    if (out.logit) bdpo_output(g, "logit", out.logit);
    if (run->gradient) {
        bdpo_node *dx;
        bdpo_gradients(g, out.loss, bdpo_fill(g, BDPO_SHAPE(1), 1), &in.policy, 1, &dx);
        CHECK(dx != NULL);
        bdpo_output(g, "gradient", dx);
    }
    CHECK_OK(bdpo_graph_check(g));
    return out.reference_error;
}

static void write_inputs(const loss_run *run, bdpo_plan *plan)
{
    size_t pictures = (size_t)(loss_run_pictures(run) * loss_run_elements(run)) * sizeof(float);
    size_t pairs = (size_t)run->n * sizeof(float);
    CHECK_OK(bdpo_plan_write(plan, "policy", run->policy, pictures));
    if (run->reference) CHECK_OK(bdpo_plan_write(plan, "reference", run->reference, pictures));
    CHECK_OK(bdpo_plan_write(plan, "target", run->target, pictures));
    if (run->labels) CHECK_OK(bdpo_plan_write(plan, "labels", run->labels, pairs));
    CHECK_OK(bdpo_plan_write(plan, "weights", run->weights ? run->weights : ones, pairs));
    CHECK_OK(bdpo_plan_write(plan, "error_scale", run->scales ? run->scales : ones, pairs));
}

static void read_outputs(loss_run *run, bdpo_plan *plan)
{
    size_t pairs = (size_t)run->n * sizeof(float);
    size_t pictures = (size_t)loss_run_pictures(run) * sizeof(float);
    CHECK_OK(bdpo_plan_read(plan, "loss", &run->loss, sizeof run->loss));
    CHECK_OK(bdpo_plan_read(plan, "pair_loss", run->pair_loss, pairs));
    if (run->has_logit) CHECK_OK(bdpo_plan_read(plan, "logit", run->logit, pairs));
    CHECK_OK(bdpo_plan_read(plan, "policy_error", run->policy_error, pictures));
    if (run->reference)
        CHECK_OK(bdpo_plan_read(plan, "reference_error", run->reference_error, pictures));
    if (run->gradient)
        CHECK_OK(bdpo_plan_read(plan, "gradient", run->gradient,
                                pictures * (size_t)loss_run_elements(run)));
}

void loss_run_now(loss_run *run)
{
    CHECK(run->n <= LOSS_MAX_PAIRS);
    bdpo_engine *engine;
    bdpo_graph *g;
    bdpo_plan *plan;
    CHECK_OK(bdpo_engine_new(&engine, &(bdpo_engine_options){.n_threads = 2}));
    CHECK_OK(bdpo_graph_new(&g, NULL));
    build(run, g);
    CHECK_OK(
        bdpo_plan_new(&plan, engine, g,
                      &(bdpo_plan_options){.compute_dtype = run->compute_dtype, .poison = true}));
    write_inputs(run, plan);
    CHECK_OK(bdpo_plan_run(plan));
    read_outputs(run, plan);
    bdpo_plan_free(plan);
    bdpo_graph_free(g);
    bdpo_engine_free(engine);
}

bdpo_preference_pair loss_run_pair(const loss_run *run, int i)
{
    int64_t count = loss_run_elements(run);
    bdpo_preference_pair pair = {.label = (double)run->labels[i],
                                 .error_scale = run->scales ? (double)run->scales[i] : 1};
    for (int k = 0; k < 2; k++) {
        int64_t at = (2 * i + k) * count;
        bdpo_preference_measure(&pair, k, run->policy + at,
                                run->reference ? run->reference + at : NULL, run->target + at,
                                count);
    }
    return pair;
}

void loss_fill(float *out, int64_t count, const char *name, double deviation)
{
    parity_fill(out, (size_t)count, name, deviation, 0);
}

void loss_add(float *out, const float *a, const float *b, int64_t count)
{
    for (int64_t i = 0; i < count; i++) out[i] = a[i] + b[i];
}

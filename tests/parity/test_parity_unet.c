// The UNet against diffusers: output and the gradient of every parameter, or of every adapter, for
// small models of each family and for SD 1.5 at its real size. tools/parity/unet.py made the
// fixtures and names the reference; weights and inputs are functions of their names on both sides.
#include "harness.h"

#include <jansson.h>
#include <stdlib.h>

#include "base/memory.h"
#include "models/unet.h"
#include "parity/fixture.h"
#include "parity/parity_inputs.h"
#include "tensor/tensor.h"

// What the product promises: relative L2 of the output, and of each gradient, whose lengths are
// floored at 1e-6 of the largest one's.
static const double promised_output = 1e-4, promised_gradient = 1e-3;
// Of what the projections measure: see parity_inputs.h.
static const double measured_share = 0.6;

enum { TOKENS = 7, MAX_TARGETS = 5 };

typedef struct unet_case {
    const char *name, *config;
    int64_t n, height, width;
    const char *targets[MAX_TARGETS]; // none: the model itself is trained
    int n_targets;
    double alpha; // the rank is 4
} unet_case;

// ---- a model with its loss ---------------------------------------------------------------------

typedef struct unet_run {
    const unet_case *c;
    bdpo_unet_config config;
    bdpo_param_list *params, *adapters;
    bdpo_lora *lora; // NULL: none
    bdpo_engine *engine;
    bdpo_store *store;
    float *y;
    size_t n_y, peak_bytes;
} unet_run;

static float *new_floats(size_t count)
{
    float *values = bdpo_alloc(count, sizeof *values);
    CHECK(values != NULL);
    return values;
}

static size_t count_of(bdpo_shape shape)
{
    return (size_t)bdpo_shape_count(&shape);
}

static bool ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

// As in tools/parity/unet.py.
static double weight_scale(const bdpo_param_spec *spec)
{
    static const char *const weak[] = {"conv_in.weight",  "proj_in.weight",  "conv2.weight",
                                       "to_out.0.weight", "ff.net.2.weight", "proj_out.weight",
                                       "lora_B.weight"};
    double fan_in = (double)bdpo_shape_count(&spec->shape) / (double)spec->shape.dim[0];
    double scale = pow(fan_in, -0.5);
    for (size_t i = 0; i < sizeof weak / sizeof weak[0]; i++)
        if (ends_with(spec->name, weak[i])) scale *= 0.1;
    return scale;
}

static void fill_param(bdpo_store *store, const bdpo_param_spec *spec, const char *case_name)
{
    char key[256];
    snprintf(key, sizeof key, "%s/%s", case_name, spec->name);
    size_t count = count_of(spec->shape);
    float *values = new_floats(count);
    if (ends_with(spec->name, "bias"))
        parity_fill(values, count, key, 0.05, 0);
    else if (spec->shape.n_dims == 1)
        parity_fill(values, count, key, 0.1, 1);
    else
        parity_fill(values, count, key, weight_scale(spec), 0);
    CHECK_OK(bdpo_store_write(store, BDPO_PARAM, spec->name, values, count * sizeof *values));
    bdpo_free(values);
}

static void declare(bdpo_store *store, const bdpo_param_list *list, bool trainable)
{
    for (int i = 0; i < bdpo_param_list_count(list); i++) {
        const bdpo_param_spec *spec = bdpo_param_list_at(list, i);
        CHECK_OK(bdpo_store_declare(store, spec->name, BDPO_F32, bdpo_param_store_shape(spec),
                                    trainable));
    }
}

static void fill_all(bdpo_store *store, const bdpo_param_list *list, const char *case_name)
{
    for (int i = 0; i < bdpo_param_list_count(list); i++)
        fill_param(store, bdpo_param_list_at(list, i), case_name);
}

static void read_config(bdpo_unet_config *out, const char *name)
{
    char path[128];
    json_error_t error;
    snprintf(path, sizeof path, "fixtures/unet/%s.json", name);
    json_t *root = json_load_file(test_path(path), 0, &error);
    if (!root) FAIL("%s: %s", path, error.text);
    CHECK_OK(bdpo_unet_config_parse(out, root, path));
    json_decref(root);
}

static void run_init(unet_run *run, const unet_case *c)
{
    *run = (unet_run){.c = c};
    read_config(&run->config, c->config);
    CHECK_OK(bdpo_param_list_new(&run->params));
    CHECK_OK(bdpo_param_list_new(&run->adapters));
    bdpo_unet_params(run->params, &run->config);
    if (c->n_targets) {
        CHECK_OK(bdpo_lora_new(&run->lora));
        CHECK_OK(bdpo_lora_target(run->lora, run->params, c->targets, c->n_targets, 4, c->alpha));
        bdpo_lora_params(run->adapters, run->lora);
    }
    CHECK_OK(bdpo_param_list_check(run->params));
    CHECK_OK(bdpo_param_list_check(run->adapters));
    CHECK_OK(bdpo_engine_new(&run->engine, &(bdpo_engine_options){.n_threads = 2}));
    CHECK_OK(bdpo_store_new(&run->store, run->engine));
    declare(run->store, run->params, !run->lora);
    declare(run->store, run->adapters, true);
    CHECK_OK(bdpo_store_seal(run->store));
    fill_all(run->store, run->params, c->name);
    fill_all(run->store, run->adapters, c->name);
}

static void run_release(unet_run *run)
{
    bdpo_free(run->y);
    bdpo_store_free(run->store);
    bdpo_engine_free(run->engine);
    bdpo_lora_free(run->lora);
    bdpo_param_list_free(run->adapters);
    bdpo_param_list_free(run->params);
}

static const bdpo_param_list *trained(const unet_run *run)
{
    return run->lora ? run->adapters : run->params;
}

static bdpo_shape sample_shape(const unet_run *run, int64_t channels)
{
    return BDPO_SHAPE(run->c->n, run->c->height, run->c->width, channels);
}

static bdpo_node *build(const unet_run *run, bdpo_graph *g, bdpo_segments segments)
{
    const bdpo_unet_config *config = &run->config;
    bdpo_builder b = {.graph = g, .lora = run->lora, .segments = segments};
    int64_t n = run->c->n;
    bdpo_unet_inputs in = {
        .sample = bdpo_input(g, "sample", BDPO_F32, sample_shape(run, config->in_channels)),
        .timestep = bdpo_input(g, "timestep", BDPO_F32, BDPO_SHAPE(n)),
        .context = bdpo_input(g, "context", BDPO_F32, BDPO_SHAPE(n, TOKENS, config->context_width)),
    };
    if (config->text_time) {
        int64_t width = bdpo_unet_pooled_width(config);
        in.pooled = bdpo_input(g, "pooled", BDPO_F32, BDPO_SHAPE(n, width));
        in.time_ids = bdpo_input(g, "time_ids", BDPO_F32, BDPO_SHAPE(n, BDPO_UNET_TIME_IDS));
    }
    return bdpo_unet(&b, config, &in);
}

// Bells, or whole numbers below `limit` where that is not 0.
static void write_input(const unet_run *run, bdpo_plan *plan, const char *name, bdpo_shape shape,
                        int32_t limit)
{
    char key[128];
    size_t count = count_of(shape);
    float *values = new_floats(count);
    snprintf(key, sizeof key, "%s/%s", run->c->name, name);
    if (limit > 0) {
        int32_t *whole = bdpo_alloc(count, sizeof *whole);
        CHECK(whole != NULL);
        parity_fill_index(whole, count, key, limit);
        for (size_t i = 0; i < count; i++) values[i] = (float)whole[i];
        bdpo_free(whole);
    } else {
        parity_fill(values, count, key, 1, 0);
    }
    CHECK_OK(bdpo_plan_write(plan, name, values, count * sizeof *values));
    bdpo_free(values);
}

static void write_inputs(const unet_run *run, bdpo_plan *plan)
{
    const bdpo_unet_config *config = &run->config;
    int64_t n = run->c->n;
    write_input(run, plan, "sample", sample_shape(run, config->in_channels), 0);
    write_input(run, plan, "timestep", BDPO_SHAPE(n), 1000);
    write_input(run, plan, "context", BDPO_SHAPE(n, TOKENS, config->context_width), 0);
    write_input(run, plan, "target", sample_shape(run, config->out_channels), 0);
    if (!config->text_time) return;
    write_input(run, plan, "pooled", BDPO_SHAPE(n, bdpo_unet_pooled_width(config)), 0);
    write_input(run, plan, "time_ids", BDPO_SHAPE(n, BDPO_UNET_TIME_IDS), 1024);
}

// Output and gradients of the mean squared error.
static void run_once(unet_run *run, bdpo_segments segments, bool checkpointing)
{
    bdpo_graph *g;
    bdpo_plan *plan;
    CHECK_OK(bdpo_graph_new(&g, run->store));
    bdpo_graph_set_checkpointing(g, checkpointing);
    bdpo_node *y = build(run, g, segments);
    bdpo_node *target =
        bdpo_input(g, "target", BDPO_F32, sample_shape(run, run->config.out_channels));
    bdpo_output(g, "y", y);
    bdpo_backward(g, bdpo_reduce_mean(g, bdpo_squared_errors(g, y, target, true), BDPO_KEEP_NONE));
    CHECK_OK(bdpo_graph_check(g));
    CHECK_OK(bdpo_plan_new(&plan, run->engine, g, &(bdpo_plan_options){0}));
    run->peak_bytes = bdpo_plan_costs(plan).peak_bytes;
    write_inputs(run, plan);
    CHECK_OK(bdpo_plan_run(plan));
    run->n_y = count_of(bdpo_node_shape(y));
    if (!run->y) run->y = new_floats(run->n_y);
    CHECK_OK(bdpo_plan_read(plan, "y", run->y, run->n_y * sizeof *run->y));
    bdpo_plan_free(plan);
    bdpo_graph_free(g);
}

static float *read_gradient(const unet_run *run, const bdpo_param_spec *spec, size_t *count)
{
    *count = count_of(spec->shape);
    float *values = new_floats(*count);
    CHECK_OK(bdpo_store_read(run->store, BDPO_GRAD, spec->name, values, *count * sizeof *values));
    return values;
}

// ---- comparing ---------------------------------------------------------------------------------

// How a fixture holds a tensor, and the relative error that it shows.
typedef struct comparison {
    const fixture *f;
    double (*length)(const fixture *f, const char *key, size_t count);
    double (*error)(const fixture *f, const char *key, const float *x, size_t count);
    double share; // of what is promised
} comparison;

static double small_length(const fixture *f, const char *key, size_t count)
{
    (void)count;
    return (double)fixture_get(f, key, PARITY_PROJECTIONS + 1)[PARITY_PROJECTIONS];
}

static double small_error(const fixture *f, const char *key, const float *x, size_t count)
{
    const float *expected = fixture_get(f, key, PARITY_PROJECTIONS + 1);
    double actual[PARITY_PROJECTIONS], square = 0;
    parity_project(actual, x, count);
    for (int k = 0; k < PARITY_PROJECTIONS; k++)
        square += pow(actual[k] - (double)expected[k], 2) / PARITY_PROJECTIONS;
    return sqrt(square);
}

static double live_length(const fixture *f, const char *key, size_t count)
{
    const float *expected = fixture_get(f, key, count);
    double square = 0;
    for (size_t i = 0; i < count; i++) square += (double)expected[i] * (double)expected[i];
    return sqrt(square);
}

static double live_error(const fixture *f, const char *key, const float *x, size_t count)
{
    const float *expected = fixture_get(f, key, count);
    double square = 0;
    for (size_t i = 0; i < count; i++) square += pow((double)x[i] - (double)expected[i], 2);
    return sqrt(square);
}

// Of the full size: length, projections, elements.
enum { N_SUMS = 8, N_PICKED = 64, N_SUMMARY = 1 + N_SUMS + N_PICKED };

static double full_length(const fixture *f, const char *key, size_t count)
{
    (void)count;
    return (double)fixture_get(f, key, N_SUMMARY)[0];
}

static void project_eight(double out[N_SUMS], const float *x, size_t count)
{
    uint64_t key = parity_key("projection");
    for (int k = 0; k < N_SUMS; k++) out[k] = 0;
    for (size_t i = 0; i < count; i++) {
        uint64_t bits = parity_bits(key, i);
        for (int k = 0; k < N_SUMS; k++)
            out[k] += (double)x[i] * ((double)(int64_t)(bits >> k & 1) * 2 - 1);
    }
}

// The larger of two estimates of |x - expected|: from the projections, and from the elements, of
// which those that were not drawn are taken to err alike.
static double full_error(const fixture *f, const char *key, const float *x, size_t count)
{
    const float *expected = fixture_get(f, key, N_SUMMARY);
    double actual[N_SUMS], from_sums = 0, from_picked = 0;
    project_eight(actual, x, count);
    for (int k = 0; k < N_SUMS; k++)
        from_sums += pow(actual[k] - (double)expected[1 + k], 2) / N_SUMS;
    for (size_t k = 0; k < N_PICKED; k++) {
        size_t i = (size_t)(parity_bits(parity_key(key), k) % count);
        double error = (double)x[i] - (double)expected[1 + N_SUMS + k];
        from_picked += error * error * (double)count / N_PICKED;
    }
    return sqrt(fmax(from_sums, from_picked));
}

// The key of a gradient is "d" and the parameter's name.
typedef struct gradient_key {
    char text[160];
} gradient_key;

static gradient_key key_of(const bdpo_param_spec *spec)
{
    gradient_key key;
    snprintf(key.text, sizeof key.text, "d%s", spec->name);
    return key;
}

static void check_error(const comparison *by, const char *case_name, const char *key,
                        double relative, double promised)
{
    if (getenv("BDPO_PARITY_PRINT")) printf("%s/%s %.2e\n", case_name, key, relative);
    if (!(relative <= by->share * promised))
        FAIL("%s/%s: relative error %.3g, allowed %.3g of %.0e", case_name, key, relative,
             by->share * promised, promised);
}

static void compare(const comparison *by, const unet_run *run)
{
    const bdpo_param_list *list = trained(run);
    int n = bdpo_param_list_count(list);
    CHECK_INT(fixture_count(by->f), n + 1);
    double output = by->error(by->f, "y", run->y, run->n_y) / by->length(by->f, "y", run->n_y);
    check_error(by, run->c->name, "y", output, promised_output);
    double largest = 0, worst = 0;
    for (int i = 0; i < n; i++) {
        const bdpo_param_spec *spec = bdpo_param_list_at(list, i);
        size_t count = count_of(spec->shape);
        largest = fmax(largest, by->length(by->f, key_of(spec).text, count));
    }
    for (int i = 0; i < n; i++) {
        const bdpo_param_spec *spec = bdpo_param_list_at(list, i);
        size_t count;
        float *values = read_gradient(run, spec, &count);
        gradient_key key = key_of(spec);
        double length = fmax(by->length(by->f, key.text, count), 1e-6 * largest);
        double relative = by->error(by->f, key.text, values, count) / length;
        check_error(by, run->c->name, key.text, relative, promised_gradient);
        worst = fmax(worst, relative);
        bdpo_free(values);
    }
    printf("%s: output %.1e, largest of %d gradients %.1e\n", run->c->name, output, n, worst);
}

// ---- checkpointing -----------------------------------------------------------------------------

// Under both ways of checkpointing the same bits, and no more memory, than under none.
static void check_segments(unet_run *plain, bdpo_segments segments)
{
    unet_run kept, again;
    run_init(&kept, plain->c);
    run_once(&kept, segments, false);
    run_init(&again, plain->c);
    run_once(&again, segments, true);
    CHECK_BYTES(again.y, plain->y, plain->n_y * sizeof *plain->y);
    const bdpo_param_list *list = trained(plain);
    for (int i = 0; i < bdpo_param_list_count(list); i++) {
        size_t count;
        const bdpo_param_spec *spec = bdpo_param_list_at(list, i);
        float *a = read_gradient(&kept, spec, &count), *b = read_gradient(&again, spec, &count);
        if (memcmp(a, b, count * sizeof *a) != 0)
            FAIL("%s/d%s: other bits with checkpointing", plain->c->name, spec->name);
        bdpo_free(a);
        bdpo_free(b);
    }
    if (again.peak_bytes >= kept.peak_bytes)
        FAIL("checkpointing needs %zu bytes, without it %zu", again.peak_bytes, kept.peak_bytes);
    run_release(&again);
    run_release(&kept);
}

// ---- cases -------------------------------------------------------------------------------------

static void check_small(const void *argument)
{
    char path[128];
    unet_run run;
    const unet_case *c = argument;
    snprintf(path, sizeof path, "unet/%s", c->name);
    fixture *f = fixture_open(path);
    run_init(&run, c);
    run_once(&run, BDPO_SEGMENTS_LEAN, false);
    compare(&(comparison){f, small_length, small_error, measured_share}, &run);
    run_release(&run);
    fixture_close(f);
}

static void check_small_segments(const void *argument)
{
    unet_run run;
    run_init(&run, argument);
    run_once(&run, BDPO_SEGMENTS_LEAN, false);
    check_segments(&run, BDPO_SEGMENTS_LEAN);
    check_segments(&run, BDPO_SEGMENTS_COARSE);
    run_release(&run);
}

// tools/parity/unet.py --live computes a case in full and names its directory.
static void check_live(const void *argument)
{
    char path[512];
    unet_run run;
    const unet_case *c = argument;
    const char *directory = getenv("BDPO_LIVE_DIR");
    if (!directory) SKIP("tools/parity/unet.py --live runs it");
    snprintf(path, sizeof path, "%s/%s", directory, c->name);
    fixture *f = fixture_open(path);
    run_init(&run, c);
    run_once(&run, BDPO_SEGMENTS_LEAN, true);
    compare(&(comparison){f, live_length, live_error, 1}, &run);
    run_release(&run);
    fixture_close(f);
}

BDPO_TEST_LONG(sd15)
{
    static const unet_case c = {
        .name = "sd15", .config = "sd15", .n = 1, .height = 32, .width = 32};
    unet_run run;
    fixture *f = fixture_open("unet/sd15");
    run_init(&run, &c);
    run_once(&run, BDPO_SEGMENTS_LEAN, true);
    compare(&(comparison){f, full_length, full_error, measured_share}, &run);
    run_release(&run);
    fixture_close(f);
}

static const unet_case cases[] = {
    {.name = "small15", .config = "small15", .n = 2, .height = 16, .width = 16},
    {.name = "small21", .config = "small21", .n = 1, .height = 16, .width = 24},
    {.name = "smallxl", .config = "smallxl", .n = 2, .height = 16, .width = 16},
    {.name = "odd", .config = "odd", .n = 2, .height = 13, .width = 18},
    {.name = "small21_lora",
     .config = "small21",
     .n = 2,
     .height = 16,
     .width = 16,
     .targets = {"attention"},
     .n_targets = 1,
     .alpha = 4},
    {.name = "small15_lora_all",
     .config = "small15",
     .n = 1,
     .height = 16,
     .width = 16,
     .targets = {"attention", "feed-forward", "projections", "convolutions"},
     .n_targets = 4,
     .alpha = 6},
};
static char names[sizeof cases / sizeof cases[0]][2][64];

__attribute__((constructor)) static void register_cases(void)
{
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        snprintf(names[i][0], sizeof names[i][0], "%s_live", cases[i].name);
        snprintf(names[i][1], sizeof names[i][1], "%s_checkpointing", cases[i].name);
        test_register(__FILE__, cases[i].name, TEST_QUICK, check_small, &cases[i]);
        test_register(__FILE__, names[i][0], TEST_LONG, check_live, &cases[i]);
        test_register(__FILE__, names[i][1], TEST_FULL, check_small_segments, &cases[i]);
    }
}

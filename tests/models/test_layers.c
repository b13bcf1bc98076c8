// models/layers and models/lora: paths, adapters by name, their targets and first values. What the
// layers compute is compared with diffusers in tests/parity.
#include "harness.h"

#include "base/memory.h"
#include "models/layers.h"

BDPO_TEST(paths_join_with_dots)
{
    CHECK_STR(bdpo_path_join("", "conv_in").text, "conv_in");
    CHECK_STR(bdpo_path_join("a", "b.%d", 7).text, "a.b.7");
    char longest[256];
    memset(longest, 'x', 255);
    longest[255] = '\0';
    CHECK_ABORTS(bdpo_path_join(longest, "y"));
    CHECK_ABORTS(bdpo_path_join("a", "%s", longest));
}

// ---- modules -----------------------------------------------------------------------------------

BDPO_TEST(lora_finds_modules_by_path)
{
    bdpo_lora *lora;
    CHECK_OK(bdpo_lora_new(&lora));
    CHECK(bdpo_lora_find(lora, "layer.0") == NULL);
    for (int i = 0; i < 300; i++)
        CHECK_OK(
            bdpo_lora_add(lora, bdpo_path_join("layer", "%d", i).text, BDPO_SHAPE(8, 4), 2, 1));
    CHECK_INT(bdpo_lora_count(lora), 300);
    CHECK(bdpo_lora_find(lora, "layer.217") == bdpo_lora_at(lora, 217));
    CHECK(bdpo_lora_find(lora, "layer.300") == NULL);
    bdpo_lora_set_strength(lora, 0.5);
    CHECK_NEAR(bdpo_lora_factor(lora, bdpo_lora_at(lora, 0)), 0.25, 0); // 0.5 * 1 / 2, exact
    bdpo_lora_free(lora);
}

BDPO_TEST(lora_refuses_what_is_no_adapter)
{
    bdpo_lora *lora;
    CHECK_OK(bdpo_lora_new(&lora));
    CHECK_OK(bdpo_lora_add(lora, "a", BDPO_SHAPE(8, 4), 2, 2));
    CHECK_STATUS(bdpo_lora_add(lora, "a", BDPO_SHAPE(8, 4), 2, 2), BDPO_BAD_ARGUMENT);
    CHECK_STR(bdpo_message(), "a has an adapter already");
    CHECK_STATUS(bdpo_lora_add(lora, "b", BDPO_SHAPE(8, 4), 0, 2), BDPO_BAD_ARGUMENT);
    CHECK_STR(bdpo_message(), "b: rank 0 of an adapter, expected 1 or more");
    CHECK_STATUS(bdpo_lora_add(lora, "b", BDPO_SHAPE(8, 4), 1, (double)NAN), BDPO_BAD_ARGUMENT);
    CHECK_STATUS(bdpo_lora_add(lora, "", BDPO_SHAPE(8, 4), 1, 1), BDPO_BAD_ARGUMENT);
    CHECK_STATUS(bdpo_lora_add(lora, "b", BDPO_SHAPE(8), 1, 1), BDPO_BAD_SHAPE);
    CHECK_STR(bdpo_message(), "b: an adapter needs a weight of 2 or 4 axes, this one has [8]");
    CHECK_STATUS(bdpo_lora_add(lora, "b", BDPO_SHAPE(8, 0), 1, 1), BDPO_BAD_SHAPE);
    CHECK_INT(bdpo_lora_count(lora), 1);
    bdpo_lora_free(lora);
}

// A made-up model with one layer of each kind.
static bdpo_param_list *some_params(void)
{
    bdpo_param_list *list;
    CHECK_OK(bdpo_param_list_new(&list));
    bdpo_linear_params(list, "x.attn1.to_q", 4, 8, true);
    bdpo_linear_params(list, "x.attn2.to_q", 6, 8, false);
    bdpo_linear_params(list, "x.auto_q", 6, 8, false);
    bdpo_linear_params(list, "layers.0.self_attn.q_proj", 4, 4, true);
    bdpo_linear_params(list, "layers.0.mlp.fc1", 4, 16, true);
    bdpo_conv2d_params(list, "x.proj_in", 4, 8, 1, true);
    bdpo_conv2d_params(list, "x.conv1", 4, 8, 3, true);
    bdpo_norm_params(list, "x.norm1", 4);
    CHECK_OK(bdpo_param_list_check(list));
    return list;
}

static int count_targets(const char *const *targets, int n)
{
    bdpo_lora *lora;
    bdpo_param_list *list = some_params();
    CHECK_OK(bdpo_lora_new(&lora));
    CHECK_OK(bdpo_lora_target(lora, list, targets, n, 2, 2));
    int count = bdpo_lora_count(lora);
    bdpo_lora_free(lora);
    bdpo_param_list_free(list);
    return count;
}

BDPO_TEST(lora_targets_are_groups_and_ends_of_paths)
{
    CHECK_INT(count_targets((const char *[]){"attention"}, 1), 3);
    CHECK_INT(count_targets((const char *[]){"feed-forward"}, 1), 1);
    CHECK_INT(count_targets((const char *[]){"projections"}, 1), 1);
    CHECK_INT(count_targets((const char *[]){"convolutions", "projections"}, 2), 2);
    CHECK_INT(count_targets((const char *[]){"to_q"}, 1), 2);
    CHECK_INT(count_targets((const char *[]){"attn2.to_q"}, 1), 1);
    CHECK_INT(count_targets((const char *[]){"x.auto_q", "to_q", "attention"}, 3), 4);
}

BDPO_TEST(lora_refuses_a_target_that_names_nothing)
{
    bdpo_lora *lora;
    bdpo_param_list *list = some_params();
    CHECK_OK(bdpo_lora_new(&lora));
    CHECK_STATUS(bdpo_lora_target(lora, list, (const char *[]){"to_w"}, 1, 2, 2), BDPO_NOT_FOUND);
    CHECK_STR(bdpo_message(),
              "target \"to_w\" names no layer; expected the end of a layer's path, or attention, "
              "feed-forward, projections, convolutions");
    CHECK_STATUS(bdpo_lora_target(lora, list, (const char *[]){"norm1"}, 1, 2, 2), BDPO_NOT_FOUND);
    CHECK_STATUS(bdpo_lora_target(lora, list, NULL, 0, 2, 2), BDPO_NOT_FOUND);
    bdpo_lora_free(lora);
    bdpo_param_list_free(list);
}

// ---- matrices ----------------------------------------------------------------------------------

static void check_shape(const bdpo_param_list *list, const char *name, bdpo_shape shape)
{
    const bdpo_param_spec *spec = bdpo_param_list_find(list, name);
    if (!spec) FAIL("no parameter %s", name);
    CHECK_INT(spec->shape.n_dims, shape.n_dims);
    for (int i = 0; i < shape.n_dims; i++) CHECK_INT(spec->shape.dim[i], shape.dim[i]);
}

BDPO_TEST(lora_matrices_have_the_shapes_of_their_layers)
{
    bdpo_lora *lora;
    bdpo_param_list *list = some_params(), *matrices;
    CHECK_OK(bdpo_lora_new(&lora));
    CHECK_OK(bdpo_param_list_new(&matrices));
    CHECK_OK(bdpo_lora_target(lora, list, (const char *[]){"attn2.to_q", "conv1"}, 2, 3, 3));
    bdpo_lora_params(matrices, lora);
    CHECK_OK(bdpo_param_list_check(matrices));
    CHECK_INT(bdpo_param_list_count(matrices), 4);
    check_shape(matrices, "x.attn2.to_q.lora_A.weight", BDPO_SHAPE(3, 6));
    check_shape(matrices, "x.attn2.to_q.lora_B.weight", BDPO_SHAPE(8, 3));
    check_shape(matrices, "x.conv1.lora_A.weight", BDPO_SHAPE(3, 4, 3, 3));
    check_shape(matrices, "x.conv1.lora_B.weight", BDPO_SHAPE(8, 3, 1, 1));
    bdpo_param_list_free(matrices);
    bdpo_param_list_free(list);
    bdpo_lora_free(lora);
}

enum { RANK = 8, IN = 512, OUT = 64 };

// The first values of A and B of one linear layer "w", or with `conv` of a 3x3 convolution.
static void start(bdpo_lora_start way, bool conv, uint64_t seed, float *a, float *b, size_t a_bytes)
{
    bdpo_engine *engine;
    bdpo_store *store;
    bdpo_lora *lora;
    bdpo_param_list *list;
    CHECK_OK(bdpo_engine_new(&engine, &(bdpo_engine_options){.n_threads = 1}));
    CHECK_OK(bdpo_store_new(&store, engine));
    CHECK_OK(bdpo_lora_new(&lora));
    CHECK_OK(bdpo_param_list_new(&list));
    bdpo_shape weight = conv ? BDPO_SHAPE(OUT, IN, 3, 3) : BDPO_SHAPE(OUT, IN);
    CHECK_OK(bdpo_lora_add(lora, "w", weight, RANK, RANK));
    bdpo_lora_params(list, lora);
    for (int i = 0; i < bdpo_param_list_count(list); i++) {
        const bdpo_param_spec *spec = bdpo_param_list_at(list, i);
        CHECK_OK(
            bdpo_store_declare(store, spec->name, BDPO_F32, bdpo_param_store_shape(spec), true));
    }
    CHECK_OK(bdpo_store_seal(store));
    CHECK_OK(bdpo_lora_init(lora, store, way, seed));
    CHECK_OK(bdpo_store_read(store, BDPO_PARAM, "w.lora_A.weight", a, a_bytes));
    CHECK_OK(bdpo_store_read(store, BDPO_PARAM, "w.lora_B.weight", b, OUT * RANK * sizeof *b));
    bdpo_param_list_free(list);
    bdpo_lora_free(lora);
    bdpo_store_free(store);
    bdpo_engine_free(engine);
}

static double deviation(const float *x, size_t count)
{
    double square = 0;
    for (size_t i = 0; i < count; i++) square += (double)x[i] * (double)x[i];
    return sqrt(square / (double)count);
}

BDPO_TEST(lora_starts_gaussian_with_nothing_added)
{
    static float a[RANK * IN], other[RANK * IN], b[RANK * OUT];
    start(BDPO_LORA_GAUSSIAN, false, 1, a, b, sizeof a);
    // 1 / rank; of 4096 normals the deviation scatters by 1.1 %: four times that
    CHECK_NEAR(deviation(a, RANK * IN) * RANK, 1, 0.045);
    for (size_t i = 0; i < RANK * OUT; i++) CHECK(b[i] == 0);
    start(BDPO_LORA_GAUSSIAN, false, 1, other, b, sizeof a);
    CHECK_BYTES(other, a, sizeof a);
    start(BDPO_LORA_GAUSSIAN, false, 2, other, b, sizeof a);
    CHECK(memcmp(other, a, sizeof a) != 0);
}

BDPO_TEST(lora_starts_kaiming_within_its_bound)
{
    static float a[RANK * IN * 9], b[RANK * OUT];
    for (int conv = 0; conv < 2; conv++) {
        size_t fan_in = conv ? IN * 9 : IN, count = RANK * fan_in;
        start(BDPO_LORA_KAIMING, conv != 0, 1, a, b, count * sizeof *a);
        double bound = 1 / sqrt((double)fan_in), largest = 0;
        for (size_t i = 0; i < count; i++) largest = fmax(largest, fabs((double)a[i]));
        CHECK_LE(largest, bound * 1.000001); // one rounding of the bound
        CHECK_LE(bound * 0.99, largest);     // 4096 draws reach the last hundredth surely
        // of a uniform: bound / sqrt 3; its scatter over 4096 draws is 0.7 %
        CHECK_NEAR(deviation(a, count) * sqrt(3) / bound, 1, 0.028);
    }
}

BDPO_TEST(lora_survives_each_failed_allocation)
{
    bdpo_param_list *list = some_params();
    for (uint64_t at = 1;; at++) {
        bdpo_lora *lora;
        bdpo_alloc_fail_at(bdpo_alloc_count() + at);
        bdpo_status status = bdpo_lora_new(&lora);
        if (status == BDPO_OK) {
            status = bdpo_lora_target(lora, list, (const char *[]){"attention", "fc1"}, 2, 4, 4);
            bdpo_lora_free(lora);
        }
        bdpo_alloc_fail_at(0);
        if (status == BDPO_OK) break;
        CHECK_STATUS(status, BDPO_NO_MEMORY);
    }
    bdpo_param_list_free(list);
}

// ---- in the graph ------------------------------------------------------------------------------

// A linear layer with an activation: the adapter stands before it, whatever the layer fuses.
BDPO_TEST(lora_is_added_before_the_activation)
{
    enum { N = 2 };
    static const float w[N * N] = {1, 2, 3, 4}, bias[N] = {0.5F, -0.5F}, a[N] = {1, -1},
                             b[N] = {2, 3}, x[N] = {0.25F, 1};
    bdpo_engine *engine;
    bdpo_store *store;
    bdpo_lora *lora;
    bdpo_graph *g;
    bdpo_plan *plan;
    float y[N];
    CHECK_OK(bdpo_engine_new(&engine, &(bdpo_engine_options){.n_threads = 1}));
    CHECK_OK(bdpo_store_new(&store, engine));
    CHECK_OK(bdpo_store_declare(store, "l.weight", BDPO_F32, BDPO_SHAPE(N, N), false));
    CHECK_OK(bdpo_store_declare(store, "l.bias", BDPO_F32, BDPO_SHAPE(N), false));
    CHECK_OK(bdpo_store_declare(store, "l.lora_A.weight", BDPO_F32, BDPO_SHAPE(1, N), true));
    CHECK_OK(bdpo_store_declare(store, "l.lora_B.weight", BDPO_F32, BDPO_SHAPE(N, 1), true));
    CHECK_OK(bdpo_store_seal(store));
    CHECK_OK(bdpo_store_write(store, BDPO_PARAM, "l.weight", w, sizeof w));
    CHECK_OK(bdpo_store_write(store, BDPO_PARAM, "l.bias", bias, sizeof bias));
    CHECK_OK(bdpo_store_write(store, BDPO_PARAM, "l.lora_A.weight", a, sizeof a));
    CHECK_OK(bdpo_store_write(store, BDPO_PARAM, "l.lora_B.weight", b, sizeof b));
    CHECK_OK(bdpo_lora_new(&lora));
    CHECK_OK(bdpo_lora_add(lora, "l", BDPO_SHAPE(N, N), 1, 3));
    bdpo_lora_set_strength(lora, 0.5);
    CHECK_OK(bdpo_graph_new(&g, store));
    bdpo_builder builder = {.graph = g, .lora = lora};
    bdpo_node *input = bdpo_input(g, "x", BDPO_F32, BDPO_SHAPE(1, N));
    bdpo_output(g, "y", bdpo_linear_at(&builder, "l", input, true, BDPO_SILU));
    CHECK_OK(bdpo_plan_new(&plan, engine, g, &(bdpo_plan_options){0}));
    CHECK_OK(bdpo_plan_write(plan, "x", x, sizeof x));
    CHECK_OK(bdpo_plan_run(plan));
    CHECK_OK(bdpo_plan_read(plan, "y", y, sizeof y));
    for (int i = 0; i < N; i++) {
        double z = (double)(w[2 * i] * x[0] + w[2 * i + 1] * x[1] + bias[i]);
        z += 1.5 * (double)(b[i] * (x[0] - x[1]));
        CHECK_NEAR(y[i], z / (1 + exp(-z)), 1e-6); // a few roundings of values below 4
    }
    bdpo_plan_free(plan);
    bdpo_graph_free(g);
    bdpo_lora_free(lora);
    bdpo_store_free(store);
    bdpo_engine_free(engine);
}

// The operators that are no product, norm or attention, at the shapes of the SD 1.5 and SDXL UNets
// and at small ones, through the engine: the value alone, and value and gradients. They are bound
// by memory: GB/s count what each node reads and writes once. Of an embedding and of gathered rows
// that is the whole table, of which they touch little: look at their time.
#include "bench.h"

#include <bdpo/bdpo.h>

#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"

enum { MAX_VALUES = 8 };

// A feature map [n, size, size, c] of a UNet, beside 77 tokens of text.
typedef struct level {
    const char *name;
    int64_t n, size, c;
} level;

// A graph under construction, and what its inputs are called.
typedef struct bench_graph {
    const level *at;
    bdpo_graph *g;
    int n_inputs;
    bdpo_node *input[MAX_VALUES];
    int n_leaves;
    bdpo_node *leaf[MAX_VALUES]; // inputs toward which gradients are asked
} bench_graph;

static void check(bdpo_status status)
{
    if (status == BDPO_OK) return;
    fprintf(stderr, "bench_unet_ops: %s\n", bdpo_message());
    exit(1);
}

// ---- inputs ---------------------------------------------------------------------------------

typedef struct value_name {
    char text[16];
} value_name;

static value_name name_of(const char *what, int i)
{
    value_name name;
    snprintf(name.text, sizeof name.text, "%s%d", what, i);
    return name;
}

// An input without a gradient.
static bdpo_node *constant(bench_graph *b, bdpo_dtype dtype, bdpo_shape shape)
{
    bdpo_node *node = bdpo_input(b->g, name_of("in", b->n_inputs).text, dtype, shape);
    return b->input[b->n_inputs++] = node;
}

static bdpo_node *value(bench_graph *b, bdpo_shape shape)
{
    bdpo_node *node = constant(b, BDPO_F32, shape);
    bdpo_require_grad(node);
    return b->leaf[b->n_leaves++] = node;
}

static bdpo_node *map(bench_graph *b)
{
    return value(b, BDPO_SHAPE(b->at->n, b->at->size, b->at->size, b->at->c));
}

static bdpo_node *latents(bench_graph *b)
{
    return value(b, BDPO_SHAPE(b->at->n, b->at->size, b->at->size, 4));
}

static bdpo_node *text(bench_graph *b)
{
    return value(b, BDPO_SHAPE(b->at->n, 77, 768));
}

// ---- layout and sampling --------------------------------------------------------------------

static bdpo_node *concat(bench_graph *b)
{
    return bdpo_concat_channels(b->g, (bdpo_node *[]){map(b), map(b)}, 2);
}

// The split itself copies nothing; its gradient lays the parts side by side.
static bdpo_node *split_and_multiply(bench_graph *b)
{
    int64_t half = b->at->c / 2;
    bdpo_node *part[2];
    bdpo_split_channels(b->g, map(b), 2, (int64_t[]){half, half}, part);
    return bdpo_mul(b->g, part[0], part[1]);
}

static bdpo_node *dense_slice(bench_graph *b)
{
    return bdpo_dense(b->g, bdpo_slice_channels(b->g, map(b), 0, b->at->c / 2));
}

static bdpo_node *transpose_to_nchw(bench_graph *b)
{
    return bdpo_transpose(b->g, map(b), (int[]){0, 3, 1, 2});
}

static bdpo_node *upsample_nearest(bench_graph *b)
{
    return bdpo_upsample_nearest2x(b->g, map(b));
}

static bdpo_node *upsample_bilinear(bench_graph *b)
{
    return bdpo_upsample_bilinear2x(b->g, map(b));
}

static bdpo_node *avg_pool(bench_graph *b)
{
    return bdpo_avg_pool(b->g, map(b), 2);
}

static bdpo_node *cast_to_bf16(bench_graph *b)
{
    return bdpo_cast(b->g, bdpo_cast(b->g, map(b), BDPO_BF16), BDPO_F32);
}

// ---- arithmetic -----------------------------------------------------------------------------

static bdpo_node *add_same(bench_graph *b)
{
    return bdpo_add(b->g, map(b), map(b));
}

static bdpo_node *add_channel(bench_graph *b)
{
    return bdpo_add(b->g, map(b), value(b, BDPO_SHAPE(b->at->c)));
}

static bdpo_node *add_sample_channel(bench_graph *b) // as the time embedding is added
{
    return bdpo_add(b->g, map(b), value(b, BDPO_SHAPE(b->at->n, b->at->c)));
}

static bdpo_node *sub(bench_graph *b)
{
    return bdpo_sub(b->g, map(b), map(b));
}

static bdpo_node *mul(bench_graph *b)
{
    return bdpo_mul(b->g, map(b), map(b));
}

static bdpo_node *scale(bench_graph *b)
{
    return bdpo_scale(b->g, map(b), 0.5F);
}

static bdpo_node *per_sample_scale(bench_graph *b)
{
    return bdpo_per_sample_scale(b->g, map(b), constant(b, BDPO_F32, BDPO_SHAPE(b->at->n)));
}

// ---- functions of one value -----------------------------------------------------------------

static bdpo_node *silu(bench_graph *b)
{
    return bdpo_silu(b->g, map(b));
}

static bdpo_node *gelu(bench_graph *b)
{
    return bdpo_gelu(b->g, map(b));
}

static bdpo_node *quick_gelu(bench_graph *b)
{
    return bdpo_quick_gelu(b->g, map(b));
}

static bdpo_node *hyperbolic_tangent(bench_graph *b)
{
    return bdpo_tanh(b->g, map(b));
}

static bdpo_node *exponential(bench_graph *b)
{
    return bdpo_exp(b->g, map(b));
}

static bdpo_node *sigmoid(bench_graph *b)
{
    return bdpo_sigmoid(b->g, map(b));
}

static bdpo_node *log_sigmoid(bench_graph *b)
{
    return bdpo_log_sigmoid(b->g, map(b));
}

static bdpo_node *square(bench_graph *b)
{
    return bdpo_square(b->g, map(b));
}

static bdpo_node *clamp(bench_graph *b)
{
    return bdpo_clamp(b->g, map(b), 0.6F, 0.9F);
}

// Every pixel's scores over the tokens of the text.
static bdpo_node *softmax(bench_graph *b)
{
    return bdpo_softmax(b->g, value(b, BDPO_SHAPE(b->at->n, b->at->size * b->at->size, 77)));
}

static bdpo_node *l2_normalize(bench_graph *b)
{
    return bdpo_l2_normalize(b->g, map(b), 1e-12F);
}

// ---- reductions and losses ------------------------------------------------------------------

static bdpo_node *global_mean(bench_graph *b)
{
    return bdpo_reduce_mean(b->g, map(b), BDPO_KEEP_SAMPLE_CHANNEL);
}

static bdpo_node *sum_channels(bench_graph *b) // as the gradient of a bias is summed
{
    return bdpo_reduce_sum(b->g, map(b), BDPO_KEEP_CHANNEL);
}

static bdpo_node *sum_all(bench_graph *b)
{
    return bdpo_reduce_sum(b->g, map(b), BDPO_KEEP_NONE);
}

static bdpo_node *squared_errors(bench_graph *b)
{
    return bdpo_squared_errors(b->g, latents(b), latents(b), true);
}

static bdpo_node *cross_entropy(bench_graph *b)
{
    bdpo_node *logits = value(b, BDPO_SHAPE(b->at->n, 1000));
    return bdpo_cross_entropy(b->g, logits, constant(b, BDPO_I32, BDPO_SHAPE(b->at->n)));
}

// ---- tables, time and noise -----------------------------------------------------------------

static bdpo_node *embedding(bench_graph *b) // CLIP's vocabulary
{
    bdpo_node *table = value(b, BDPO_SHAPE(49408, 768));
    return bdpo_embedding(b->g, table, constant(b, BDPO_I32, BDPO_SHAPE(b->at->n, 77)));
}

static bdpo_node *gather_rows(bench_graph *b)
{
    return bdpo_gather_rows(b->g, text(b), constant(b, BDPO_I32, BDPO_SHAPE(b->at->n)));
}

static bdpo_node *timestep_embedding(bench_graph *b)
{
    bdpo_node *t = constant(b, BDPO_F32, BDPO_SHAPE(b->at->n));
    return bdpo_timestep_embedding(b->g, t,
                                   &(bdpo_timestep_options){.dim = 320, .cos_first = true});
}

static bdpo_node *random_normal(bench_graph *b)
{
    bdpo_random_options options = {.purpose = 1, .sample = BDPO_SHAPE(b->at->size, b->at->size, 4)};
    return bdpo_normal(b->g, constant(b, BDPO_I32, BDPO_SHAPE(b->at->n, 5)), &options);
}

static bdpo_node *random_uniform(bench_graph *b)
{
    bdpo_random_options options = {.purpose = 1, .sample = BDPO_SHAPE(b->at->size, b->at->size, 4)};
    return bdpo_uniform(b->g, constant(b, BDPO_I32, BDPO_SHAPE(b->at->n, 5)), &options);
}

static const struct unet_operator {
    const char *name;
    bdpo_node *(*build)(bench_graph *b);
} operators[] = {
    {"concat", concat},
    {"split_and_multiply", split_and_multiply},
    {"dense_slice", dense_slice},
    {"transpose_to_nchw", transpose_to_nchw},
    {"upsample_nearest2x", upsample_nearest},
    {"upsample_bilinear2x", upsample_bilinear},
    {"avg_pool", avg_pool},
    {"cast_to_bf16_and_back", cast_to_bf16},
    {"add_same", add_same},
    {"add_channel", add_channel},
    {"add_sample_channel", add_sample_channel},
    {"sub", sub},
    {"mul", mul},
    {"scale", scale},
    {"per_sample_scale", per_sample_scale},
    {"silu", silu},
    {"gelu", gelu},
    {"quick_gelu", quick_gelu},
    {"tanh", hyperbolic_tangent},
    {"exp", exponential},
    {"sigmoid", sigmoid},
    {"log_sigmoid", log_sigmoid},
    {"square", square},
    {"clamp", clamp},
    {"softmax_text", softmax},
    {"l2_normalize", l2_normalize},
    {"global_mean", global_mean},
    {"sum_channels", sum_channels},
    {"sum_all", sum_all},
    {"squared_errors_latents", squared_errors},
    {"cross_entropy", cross_entropy},
    {"embedding_clip", embedding},
    {"gather_rows_text", gather_rows},
    {"timestep_embedding", timestep_embedding},
    {"random_normal_latents", random_normal},
    {"random_uniform_latents", random_uniform},
};

// ---- running --------------------------------------------------------------------------------

// Floats between 0.5 and 1, whole numbers 0: valid for every operator.
static void write_value(bdpo_plan *plan, const char *name, const bdpo_node *node)
{
    bdpo_shape shape = bdpo_node_shape(node);
    bool is_float = bdpo_node_dtype(node) == BDPO_F32;
    size_t count = 1;
    for (int i = 0; i < shape.n_dims; i++) count *= (size_t)shape.dim[i];
    float *data = bdpo_alloc(count, sizeof *data); // an i32 is as wide
    if (!data) check(BDPO_NO_MEMORY);
    for (size_t i = 0; i < count; i++)
        data[i] = is_float ? 0.5F + 0.5F * (float)(i % 97) / 97.0F : 0.0F;
    check(bdpo_plan_write(plan, name, data, count * sizeof *data));
    bdpo_free(data);
}

static void run_plan(void *plan)
{
    check(bdpo_plan_run(plan));
}

// Adds the cotangent as one more input, and the gradients as outputs.
static void ask_gradients(bench_graph *b, bdpo_node *y)
{
    bdpo_node *dx[MAX_VALUES];
    bdpo_node *dy = constant(b, BDPO_F32, bdpo_node_shape(y));
    bdpo_gradients(b->g, y, dy, b->leaf, b->n_leaves, dx);
    for (int i = 0; i < b->n_leaves; i++)
        if (dx[i]) bdpo_output(b->g, name_of("dx", i).text, dx[i]);
}

static void run_operator(const struct unet_operator *op, const level *at, bool gradients,
                         const char *what, bdpo_engine *engine)
{
    bench_graph b = {.at = at};
    bdpo_plan *plan;
    check(bdpo_graph_new(&b.g, NULL));
    bdpo_node *y = op->build(&b);
    check(bdpo_graph_check(b.g));
    if (!gradients || b.n_leaves > 0) {
        bdpo_output(b.g, "y", y);
        if (gradients) ask_gradients(&b, y);
        check(bdpo_plan_new(&plan, engine, b.g, &(bdpo_plan_options){0}));
        for (int i = 0; i < b.n_inputs; i++) write_value(plan, name_of("in", i).text, b.input[i]);
        bench_measure(what, 0, (double)bdpo_plan_costs(plan).bytes, run_plan, plan);
        bdpo_plan_free(plan);
    }
    bdpo_graph_free(b.g);
}

static void run_level(const level *at)
{
    bdpo_engine *engine;
    check(bdpo_engine_new(&engine, &(bdpo_engine_options){.n_threads = bench_threads()}));
    for (size_t i = 0; i < BDPO_COUNTOF(operators); i++)
        for (int gradients = 0; gradients < 2; gradients++) {
            char what[96];
            snprintf(what, sizeof what, "%s_%s/%s", operators[i].name, at->name,
                     gradients ? "both" : "forward");
            if (bench_wanted(what)) run_operator(&operators[i], at, gradients, what, engine);
        }
    bdpo_engine_free(engine);
}

BDPO_BENCH(sd15)
{
    run_level(&(level){"n2_64_320", 2, 64, 320});
    run_level(&(level){"n2_16_1280", 2, 16, 1280});
}

BDPO_BENCH(sdxl)
{
    run_level(&(level){"n2_128_320", 2, 128, 320});
    run_level(&(level){"n2_32_1280", 2, 32, 1280});
}

BDPO_BENCH(small)
{
    run_level(&(level){"n16_16_64", 16, 16, 64});
    run_level(&(level){"n16_8_128", 16, 8, 128});
}

// The CUDA twins: every case of every operator that has one, on the GPU against the CPU, in f32 and
// in bf16; and that capture and replay repeat the first run. Skipped, by name, without a GPU.
#include <stdlib.h>

#include <bdpo/engine.h>

#include "base/memory.h"
#include "graph/graph.h"
#include "harness.h"

typedef struct side {
    bdpo_engine *engine;
    bdpo_store *store;
    bdpo_graph *graph;
    bdpo_plan *plan;
    bdpo_node *node;
} side;

static bdpo_engine *open_or_skip(const char *backend)
{
    bdpo_engine *engine;
    bdpo_status status = bdpo_engine_new(&engine, &(bdpo_engine_options){.backend = backend});
    if (status != BDPO_OK) SKIP("%s", bdpo_message());
    return engine;
}

static uint32_t next(uint32_t *state)
{
    return (*state = *state * 1664525u + 1013904223u) >> 8;
}

// The values of one input, 4 bytes each; about standard normal by the sum of four uniforms.
static void *make_values(const bdpo_case_input *in, uint32_t seed)
{
    size_t count = (size_t)bdpo_shape_count(&in->shape);
    union {
        float f;
        int32_t i;
    } *values = bdpo_alloc(count, sizeof *values);
    CHECK(values != NULL);
    for (size_t i = 0; i < count; i++) {
        float u = (float)next(&seed) / (1 << 24), sum = u;
        for (int k = 0; k < 3; k++) sum += (float)next(&seed) / (1 << 24);
        switch (in->fill) {
        case BDPO_FILL_NORMAL:
            values[i].f = (sum - 2.0f) * 1.7f;
            break;
        case BDPO_FILL_UNIFORM:
            values[i].f = 2.0f * u - 1.0f;
            break;
        case BDPO_FILL_POSITIVE:
            values[i].f = 0.1f + u;
            break;
        case BDPO_FILL_COUNT:
            values[i].f = 1.0f + (float)(int)(u * (float)in->limit);
            break;
        default:
            values[i].i = in->limit ? (int32_t)(u * (float)in->limit) : (int32_t)next(&seed);
        }
    }
    return values;
}

static bdpo_dtype dtype_of(bdpo_case_fill fill)
{
    bool integer = fill == BDPO_FILL_INDEX || fill == BDPO_FILL_LENGTH || fill == BDPO_FILL_BITS;
    return integer ? BDPO_I32 : BDPO_F32;
}

static bool given(const bdpo_case_input *in)
{
    return in->shape.n_dims > 0;
}

static size_t bytes_of(bdpo_shape shape)
{
    return (size_t)bdpo_shape_count(&shape) * 4;
}

static void name_of(char name[16], char letter, int i)
{
    snprintf(name, 16, "%c%d", letter, i);
}

// Declares what the operator mutates in a store and builds the case with the rest as inputs.
static void build(side *s, const bdpo_op *op, const bdpo_op_case *c, bdpo_dtype dtype)
{
    bdpo_node *in[BDPO_MAX_INPUTS] = {NULL};
    char name[16];
    CHECK_OK(bdpo_store_new(&s->store, s->engine));
    for (int i = 0; i < op->n_inputs; i++) {
        name_of(name, 'p', i);
        if ((op->mutates & 1u << i) && given(&c->in[i]))
            CHECK_OK(bdpo_store_declare(s->store, name, BDPO_F32, c->in[i].shape, true));
    }
    CHECK_OK(bdpo_store_seal(s->store));
    CHECK_OK(bdpo_graph_new(&s->graph, s->store));
    for (int i = 0; i < op->n_inputs; i++) {
        if (!given(&c->in[i])) continue;
        bool mutated = op->mutates & 1u << i;
        name_of(name, mutated ? 'p' : 'x', i);
        in[i] = mutated ? bdpo_state(s->graph, BDPO_PARAM, name)
                        : bdpo_input(s->graph, name, dtype_of(c->in[i].fill), c->in[i].shape);
    }
    s->node = bdpo_node_new(s->graph, op, c->attrs, in, op->n_inputs);
    for (int k = 0; s->node && k < s->node->n_out; k++) {
        name_of(name, 'y', k);
        bdpo_output(s->graph, name, bdpo_node_output(s->node, k));
    }
    CHECK_OK(
        bdpo_plan_new(&s->plan, s->engine, s->graph, &(bdpo_plan_options){.compute_dtype = dtype}));
}

static void set_inputs(side *s, const bdpo_op *op, const bdpo_op_case *c)
{
    char name[16];
    for (int i = 0; i < op->n_inputs; i++) {
        if (!given(&c->in[i])) continue;
        void *values = make_values(&c->in[i], (uint32_t)i + 1);
        if (op->mutates & 1u << i) {
            name_of(name, 'p', i);
            CHECK_OK(
                bdpo_store_write(s->store, BDPO_PARAM, name, values, bytes_of(c->in[i].shape)));
        } else {
            name_of(name, 'x', i);
            CHECK_OK(bdpo_plan_write(s->plan, name, values, bytes_of(c->in[i].shape)));
        }
        bdpo_free(values);
    }
}

static float *result(side *s, const bdpo_op *op, const bdpo_op_case *c, int k, size_t *bytes)
{
    char name[16];
    bool mutated = op->mutates & 1u << k;
    *bytes = 0;
    if (!mutated && k >= s->node->n_out) return NULL;
    if (mutated && !given(&c->in[k])) return NULL;
    *bytes = bytes_of(mutated ? c->in[k].shape : s->node->out[k].shape);
    float *out = bdpo_alloc(1, *bytes);
    CHECK(out != NULL);
    name_of(name, mutated ? 'p' : 'y', k);
    if (mutated)
        CHECK_OK(bdpo_store_read(s->store, BDPO_PARAM, name, out, *bytes));
    else
        CHECK_OK(bdpo_plan_read(s->plan, name, out, *bytes));
    return out;
}

static void release(side *s)
{
    bdpo_plan_free(s->plan);
    bdpo_graph_free(s->graph);
    bdpo_store_free(s->store);
}

// bf16 keeps 8 bits: an intermediate may round the other way, an error of 2^-8 of its size; f32
// differs by the order of sums.
static double tolerance_of(bdpo_dtype dtype)
{
    return dtype == BDPO_F32 ? 1e-5 : 1e-2;
}

static void compare(side *cpu, side *cuda, const bdpo_op *op, const bdpo_op_case *c,
                    bdpo_dtype dtype)
{
    for (int run = 0; run < 3; run++) { // eager, captured, replayed
        set_inputs(cpu, op, c);
        set_inputs(cuda, op, c);
        CHECK_OK(bdpo_plan_run(cpu->plan));
        CHECK_OK(bdpo_plan_run(cuda->plan));
        for (int k = 0; k < BDPO_MAX_INPUTS; k++) {
            size_t bytes;
            float *expected = result(cpu, op, c, k, &bytes), *got = result(cuda, op, c, k, &bytes);
            if (bytes && strcmp(op->name, "random_normal") == 0) {
                CHECK_BYTES(got, expected, bytes);
            } else if (bytes) {
                double error = test_relative_l2(got, expected, bytes / sizeof *got);
                if (!(error <= tolerance_of(dtype)))
                    FAIL("%s, case \"%s\", %s, run %d, output %d: relative L2 %g", op->name,
                         c->name, bdpo_dtype_name(dtype), run, k, error);
            }
            bdpo_free(expected);
            bdpo_free(got);
        }
    }
}

static void test_twin(const void *argument)
{
    const bdpo_op *op = argument;
    side cuda = {.engine = open_or_skip("cuda")}, cpu = {.engine = open_or_skip("cpu")};
    for (size_t i = 0; i < op->n_cases; i++) {
        const bdpo_op_case *c = &op->cases[i];
        for (int half = 0; half < 2 && !c->refused; half++) {
            bdpo_dtype dtype = half ? BDPO_BF16 : BDPO_F32;
            build(&cpu, op, c, dtype);
            build(&cuda, op, c, dtype);
            compare(&cpu, &cuda, op, c, dtype);
            release(&cuda);
            release(&cpu);
        }
    }
    bdpo_engine_free(cpu.engine);
    bdpo_engine_free(cuda.engine);
}

__attribute__((constructor)) static void register_twins(void)
{
    static char names[64][48];
    for (int i = 0, n = 0; i < bdpo_n_ops && n < 64; i++) {
        if (bdpo_op_list[i].cpu_only) continue;
        snprintf(names[n], sizeof names[n], "twin_of_%s", bdpo_op_list[i].op->name);
        test_register(__FILE__, names[n++], TEST_QUICK, test_twin, bdpo_op_list[i].op);
    }
}

// Whoever has no GPU is told so in a sentence, not by a crash.
BDPO_TEST(no_cuda_is_a_status)
{
    bdpo_engine *engine;
    bdpo_status status = bdpo_engine_new(&engine, &(bdpo_engine_options){.backend = "cuda"});
    if (status == BDPO_OK) {
        CHECK_STR(bdpo_engine_backend(engine), "cuda");
        bdpo_engine_free(engine);
        return;
    }
    CHECK_STATUS(status, BDPO_UNSUPPORTED);
    CHECK(engine == NULL);
    CHECK_CONTAINS(bdpo_message(), "CUDA");
}

// Programs of bytes that build graphs: whatever they build is either refused with a sentence, or
// gives the same bits when nodes run in another order, when dead memory is poisoned, and under
// checkpointing. tests/fuzz/graph/ holds the corpus, in letters: each pair is an operation and the
// value that it takes. `check-long` adds random programs for BDPO_FUZZ_SECONDS.
#include <dirent.h>
#include <stdlib.h>
#include <time.h>

#include <bdpo/engine.h>
#include <bdpo/ops.h>

#include "base/status.h"
#include "harness.h"

enum { SAMPLES = 2, WIDTH = 8, MAX_ROWS = 7, MAX_VALUES = 48, MAX_BYTES = 256, MAX_DEPTH = 4 };

static const struct {
    const char *name;
    bdpo_shape shape;
} params[] = {
    {"square", {.n_dims = 2, .dim = {WIDTH, WIDTH}}},
    {"twice", {.n_dims = 2, .dim = {2 * WIDTH, WIDTH}}},
    {"bias", {.n_dims = 1, .dim = {WIDTH}}},
    {"gain", {.n_dims = 1, .dim = {WIDTH}}},
};
enum { N_PARAMS = BDPO_COUNTOF(params), N_WEIGHTS = 3 * WIDTH * WIDTH + 2 * WIDTH };

// A program, what it has built so far, and what it gave.
typedef struct builder {
    const unsigned char *bytes;
    size_t n_bytes;
    bdpo_graph *g;
    bdpo_node *values[MAX_VALUES];
    int n_values, segments, islands;
} builder;

typedef struct result {
    bdpo_status status;
    char message[256];
    float loss, grad[N_WEIGHTS];
} result;

static const char *program_text(const unsigned char *bytes, size_t n)
{
    static char text[2 * MAX_BYTES + 1];
    for (size_t i = 0; i < n; i++) snprintf(text + 2 * i, 3, "%02x", bytes[i]);
    return text;
}

static bdpo_node *step(builder *b, int operation, bdpo_node *a, bdpo_node *last)
{
    bdpo_graph *g = b->g;
    bdpo_node *gain = bdpo_param(g, "gain"), *bias = bdpo_param(g, "bias");
    switch (operation) {
    case 0:
        return bdpo_linear(g, a, bdpo_param(g, "square"), NULL, BDPO_NO_ACTIVATION);
    case 1:
        return bdpo_linear(g, a, bdpo_param(g, "square"), bias, BDPO_SILU);
    case 2:
        return bdpo_add(g, a, last);
    case 3:
        return bdpo_mul(g, a, last);
    case 4:
        return bdpo_silu(g, a);
    case 5:
        return bdpo_gelu(g, a);
    case 6:
        return bdpo_softmax(g, a);
    case 7:
        return bdpo_layer_norm(g, a, gain, bias, 1e-5f);
    case 8:
        return bdpo_tanh(g, a);
    case 9:
        return bdpo_geglu(g, bdpo_linear(g, a, bdpo_param(g, "twice"), NULL, BDPO_NO_ACTIVATION));
    case 10:
        return bdpo_attention(g, a, last, last, NULL, &(bdpo_attention_options){.heads = 2});
    default: // a weight that does not fit
        return bdpo_linear(g, a, bias, NULL, BDPO_NO_ACTIVATION);
    }
}

static void instruction(builder *b, int operation, bdpo_node *a, bdpo_node *last)
{
    if (operation < 12) {
        if (b->n_values < MAX_VALUES) b->values[b->n_values++] = step(b, operation, a, last);
    } else if (operation == 12 && b->segments < MAX_DEPTH) {
        b->segments++;
        bdpo_segment_begin(b->g);
    } else if (operation == 13 && b->segments > 0) {
        b->segments--;
        bdpo_segment_end(b->g);
    } else if (operation == 14 && b->islands < MAX_DEPTH) {
        b->islands++;
        bdpo_f32_begin(b->g);
    } else if (operation == 15 && b->islands > 0) {
        b->islands--;
        bdpo_f32_end(b->g);
    }
}

static void build(builder *b, bool checkpointing)
{
    int rows = b->n_bytes > 0 ? 1 + b->bytes[0] % MAX_ROWS : 1;
    bdpo_graph_set_checkpointing(b->g, checkpointing);
    b->values[b->n_values++] = bdpo_input(b->g, "x", BDPO_F32, BDPO_SHAPE(SAMPLES, rows, WIDTH));
    for (size_t i = 1; i + 1 < b->n_bytes; i += 2) {
        bdpo_node *a = b->values[b->bytes[i + 1] % b->n_values];
        instruction(b, b->bytes[i] % 16, a, b->values[b->n_values - 1]);
    }
    while (b->segments-- > 0) bdpo_segment_end(b->g);
    while (b->islands-- > 0) bdpo_f32_end(b->g);
    // Every value reaches the loss through the first parameter, so that there is a gradient.
    bdpo_node *last = bdpo_linear(b->g, b->values[b->n_values - 1], bdpo_param(b->g, "square"),
                                  NULL, BDPO_NO_ACTIVATION);
    bdpo_node *loss = bdpo_reduce_sum(b->g, last, BDPO_KEEP_NONE);
    bdpo_output(b->g, "loss", loss);
    bdpo_backward(b->g, loss);
}

static void fill(float *values, int n, float scale)
{
    for (int i = 0; i < n; i++) values[i] = scale * ((float)((i * 29 + 11) % 64) / 32 - 1);
}

static bdpo_status run_plan(result *out, bdpo_plan *plan, bdpo_store *store, int rows)
{
    static const float zero[2 * WIDTH * WIDTH];
    float x[SAMPLES * MAX_ROWS * WIDTH];
    int n = SAMPLES * rows * WIDTH;
    fill(x, n, 1);
    for (int i = 0; i < N_PARAMS; i++)
        TRY(bdpo_store_write(store, BDPO_GRAD, params[i].name, zero,
                             sizeof(float) * (size_t)params[i].shape.dim[0] *
                                 (params[i].shape.n_dims == 2 ? WIDTH : 1)));
    TRY(bdpo_plan_write(plan, "x", x, (size_t)n * sizeof *x));
    TRY(bdpo_plan_run(plan));
    TRY(bdpo_plan_read(plan, "loss", &out->loss, sizeof out->loss));
    float *grad = out->grad;
    for (int i = 0; i < N_PARAMS; i++) {
        int64_t count = params[i].shape.dim[0] * (params[i].shape.n_dims == 2 ? WIDTH : 1);
        TRY(bdpo_store_read(store, BDPO_GRAD, params[i].name, grad, (size_t)count * sizeof *grad));
        grad += count;
    }
    return BDPO_OK;
}

static result run(bdpo_engine *engine, bdpo_store *store, const unsigned char *bytes,
                  size_t n_bytes, bool checkpointing, const bdpo_plan_options *options)
{
    result out = {0};
    builder b = {.bytes = bytes, .n_bytes = n_bytes};
    bdpo_plan *plan = NULL;
    CHECK_OK(bdpo_graph_new(&b.g, store));
    build(&b, checkpointing);
    out.status = bdpo_graph_check(b.g);
    bdpo_status planned = bdpo_plan_new(&plan, engine, b.g, options);
    snprintf(out.message, sizeof out.message, "%s", bdpo_message());
    if (planned != out.status) // a graph that is sound must compile, one that is not must not
        FAIL("checked \"%s\", planned \"%s\": %s; program %s", bdpo_status_text(out.status),
             bdpo_status_text(planned), bdpo_message(), program_text(bytes, n_bytes));
    if (planned == BDPO_OK)
        CHECK_OK(run_plan(&out, plan, store, n_bytes > 0 ? 1 + bytes[0] % MAX_ROWS : 1));
    bdpo_plan_free(plan);
    bdpo_graph_free(b.g);
    return out;
}

static void same(const result *a, const result *b, const char *how, const unsigned char *bytes,
                 size_t n_bytes)
{
    if (a->status != b->status || memcmp(&a->loss, &b->loss, sizeof a->loss) != 0 ||
        memcmp(a->grad, b->grad, sizeof a->grad) != 0)
        FAIL("%s changes the result (loss %.9g, then %.9g); program %s", how, (double)a->loss,
             (double)b->loss, program_text(bytes, n_bytes));
}

typedef struct world {
    bdpo_engine *engine;
    bdpo_store *store;
} world;

static world world_new(void)
{
    world w;
    float weights[2 * WIDTH * WIDTH];
    fill(weights, 2 * WIDTH * WIDTH, 0.5f);
    CHECK_OK(bdpo_engine_new(&w.engine, &(bdpo_engine_options){.n_threads = 2}));
    CHECK_OK(bdpo_store_new(&w.store, w.engine));
    for (int i = 0; i < N_PARAMS; i++)
        CHECK_OK(bdpo_store_declare(w.store, params[i].name, BDPO_F32, params[i].shape, true));
    CHECK_OK(bdpo_store_seal(w.store));
    CHECK_OK(bdpo_store_reserve(w.store, BDPO_GRAD));
    for (int i = 0; i < N_PARAMS; i++)
        CHECK_OK(bdpo_store_write(w.store, BDPO_PARAM, params[i].name, weights,
                                  sizeof(float) * (size_t)params[i].shape.dim[0] *
                                      (params[i].shape.n_dims == 2 ? WIDTH : 1)));
    return w;
}

static void world_free(world *w)
{
    bdpo_store_free(w->store);
    bdpo_engine_free(w->engine);
}

// True when the program was refused.
static bool try_program(world *w, const unsigned char *bytes, size_t n)
{
    const bdpo_plan_options plain = {0}, hard = {.shuffle_seed = 1 + n, .poison = true};
    result base = run(w->engine, w->store, bytes, n, false, &plain);
    if (base.status != BDPO_OK) {
        if (base.message[0] == '\0') FAIL("no sentence; program %s", program_text(bytes, n));
        return true;
    }
    result shuffled = run(w->engine, w->store, bytes, n, false, &hard);
    same(&base, &shuffled, "order or poison", bytes, n);
    result again = run(w->engine, w->store, bytes, n, true, &hard);
    same(&base, &again, "checkpointing", bytes, n);
    return false;
}

BDPO_TEST(corpus)
{
    char folder[1024], path[2048];
    unsigned char bytes[MAX_BYTES];
    int n_programs = 0, n_refused = 0;
    snprintf(folder, sizeof folder, "%s", test_path("fuzz/graph"));
    DIR *dir = opendir(folder);
    CHECK(dir != NULL);
    world w = world_new();
    for (const struct dirent *entry; (entry = readdir(dir));) {
        if (entry->d_name[0] == '.') continue;
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        FILE *file = fopen(path, "rb");
        CHECK(file != NULL);
        size_t n = fread(bytes, 1, sizeof bytes, file);
        fclose(file);
        n_programs++;
        n_refused += try_program(&w, bytes, n);
    }
    closedir(dir);
    world_free(&w);
    CHECK(n_programs - n_refused >= 6); // the corpus holds both kinds
    CHECK(n_refused >= 1);
}

// xorshift64*: any stream of bytes does here.
static uint64_t next_random(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * 0x2545f4914f6cdd1dULL;
}

static void random_program(world *w, uint64_t seed)
{
    unsigned char bytes[MAX_BYTES];
    uint64_t state = seed * 0x9e3779b97f4a7c15ULL + 1;
    size_t n = next_random(&state) % 96;
    for (size_t i = 0; i < n; i++) {
        bytes[i] = (unsigned char)(next_random(&state) >> 56);
        // One program in eight may be refused; else most would be.
        if (i % 2 == 1 && bytes[i] % 16 == 11 && seed % 8 != 0) bytes[i]--;
    }
    try_program(w, bytes, n);
}

BDPO_TEST(random_programs)
{
    world w = world_new();
    for (uint64_t seed = 1; seed <= 60; seed++) random_program(&w, seed);
    world_free(&w);
}

BDPO_TEST_LONG(random_programs_for_long)
{
    const char *text = getenv("BDPO_FUZZ_SECONDS");
    double limit = text ? atof(text) : 10;
    uint64_t first = (uint64_t)time(NULL), seed = first;
    struct timespec now, start;
    clock_gettime(CLOCK_MONOTONIC, &start);
    printf("        seeds from %llu\n", (unsigned long long)first);
    world w = world_new();
    do {
        random_program(&w, seed++);
        clock_gettime(CLOCK_MONOTONIC, &now);
    } while ((double)(now.tv_sec - start.tv_sec) < limit);
    world_free(&w);
    printf("        %llu programs\n", (unsigned long long)(seed - first));
}

// Trains a small convolutional network to tell drawn shapes apart, from the first allocation to
// the last. Read it from top to bottom: the network, the two plans, the loop.
//
//     ./demo.sh            or            build/release/train_shapes [steps]
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <bdpo/bdpo.h>

enum { BATCH = 32, SIZE = 32, N_CLASSES = 4, N_TEST = 8 };
static const char *const class_names[N_CLASSES] = {"disc", "square", "triangle", "cross"};

// ---- pictures ----------------------------------------------------------------------------------

// A small generator of our own: pictures need variety, not cryptography.
static float draw(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (float)(*state >> 40) / (1 << 24);
}

static bool inside(int shape, float x, float y) // about (0, 0), of size 1
{
    switch (shape) {
    case 0:
        return x * x + y * y < 1.0f;
    case 1:
        return fabsf(x) < 0.85f && fabsf(y) < 0.85f;
    case 2:
        return y < 0.8f && 2.0f * fabsf(x) < y + 1.0f;
    default:
        return (fabsf(x) < 0.3f && fabsf(y) < 1.0f) || (fabsf(y) < 0.3f && fabsf(x) < 1.0f);
    }
}

// Fills images [BATCH, SIZE, SIZE, 3] and labels [BATCH]: one shape each, any place, size and
// colours, a little turned, under noise.
static void draw_batch(float *images, int32_t *labels, uint64_t *state)
{
    for (int n = 0; n < BATCH; n++) {
        int shape = labels[n] = (int32_t)(draw(state) * N_CLASSES);
        float radius = SIZE * (0.2f + 0.15f * draw(state)), turn = 0.5f * (draw(state) - 0.5f);
        float cx = SIZE * (0.35f + 0.3f * draw(state)), cy = SIZE * (0.35f + 0.3f * draw(state));
        float ink[3], paper[3];
        for (int c = 0; c < 3; c++) {
            ink[c] = draw(state);
            paper[c] = -draw(state);
        }
        for (int i = 0; i < SIZE * SIZE; i++) {
            float dx = ((float)(i % SIZE) - cx) / radius, dy = ((float)(i / SIZE) - cy) / radius;
            bool in =
                inside(shape, cosf(turn) * dx - sinf(turn) * dy, sinf(turn) * dx + cosf(turn) * dy);
            for (int c = 0; c < 3; c++)
                *images++ = (in ? ink[c] : paper[c]) + 0.3f * (draw(state) - 0.5f);
        }
    }
}

// ---- the network -------------------------------------------------------------------------------

typedef struct layer {
    const char *weight, *bias; // convolution or linear
    const char *gamma, *beta;  // group norm behind it, NULL: none
    int kernel, in, out, stride;
} layer;

static const layer layers[] = {
    {"conv1.weight", "conv1.bias", "norm1.weight", "norm1.bias", 3, 3, 32, 1},
    {"conv2.weight", "conv2.bias", "norm2.weight", "norm2.bias", 3, 32, 64, 2},
    {"conv3.weight", "conv3.bias", "norm3.weight", "norm3.bias", 3, 64, 64, 2},
    {"conv4.weight", "conv4.bias", NULL, NULL, 3, 64, 128, 1},
    {"head.weight", "head.bias", NULL, NULL, 0, 128, N_CLASSES, 0},
};
enum { N_LAYERS = sizeof layers / sizeof *layers };

// Prints the library's sentence and ends the program: what a command line does with a failure.
static void must(bdpo_status status)
{
    if (status == BDPO_OK) return;
    fprintf(stderr, "train_shapes: %s\n", bdpo_message());
    exit(1);
}

// Parameters live in a store, outside every graph: both plans below bind the same ones.
static void declare(bdpo_store *store)
{
    for (int i = 0; i < N_LAYERS; i++) {
        const layer *l = &layers[i];
        bdpo_shape weight =
            l->kernel ? BDPO_SHAPE(l->out, l->kernel, l->kernel, l->in) : BDPO_SHAPE(l->out, l->in);
        must(bdpo_store_declare(store, l->weight, BDPO_F32, weight, true));
        must(bdpo_store_declare(store, l->bias, BDPO_F32, BDPO_SHAPE(l->out), true));
        if (!l->gamma) continue;
        must(bdpo_store_declare(store, l->gamma, BDPO_F32, BDPO_SHAPE(l->out), true));
        must(bdpo_store_declare(store, l->beta, BDPO_F32, BDPO_SHAPE(l->out), true));
    }
    must(bdpo_store_seal(store));
}

// Weights uniform with the variance that keeps signals alive (He et al. 2015), gamma 1, the rest 0.
static void initialise(bdpo_store *store, uint64_t *state)
{
    float values[3 * 3 * 128 * 128];
    for (int i = 0; i < N_LAYERS; i++) {
        const layer *l = &layers[i];
        int fan_in = l->in * (l->kernel ? l->kernel * l->kernel : 1), count = l->out * fan_in;
        float bound = sqrtf(6.0f / (float)fan_in);
        for (int k = 0; k < count; k++) values[k] = bound * (2.0f * draw(state) - 1.0f);
        must(
            bdpo_store_write(store, BDPO_PARAM, l->weight, values, (size_t)count * sizeof *values));
        if (!l->gamma) continue;
        for (int k = 0; k < l->out; k++) values[k] = 1.0f;
        must(
            bdpo_store_write(store, BDPO_PARAM, l->gamma, values, (size_t)l->out * sizeof *values));
    }
}

// images [n, h, w, 3] -> logits [n, N_CLASSES]
static bdpo_node *network(bdpo_graph *g, bdpo_node *x)
{
    for (int i = 0; i < N_LAYERS - 1; i++) {
        const layer *l = &layers[i];
        bdpo_conv2d_options conv = {.stride = l->stride, 1, 1, 1, 1};
        bdpo_group_norm_options norm = {.groups = 8, .eps = 1e-5f, .silu = true};
        x = bdpo_conv2d(g, x, bdpo_param(g, l->weight), bdpo_param(g, l->bias), &conv);
        x = l->gamma ? bdpo_group_norm(g, x, bdpo_param(g, l->gamma), bdpo_param(g, l->beta), &norm)
                     : bdpo_silu(g, x); // a norm here would hide from the mean what it should see
    }
    const layer *head = &layers[N_LAYERS - 1];
    x = bdpo_reduce_mean(g, x, BDPO_KEEP_SAMPLE_CHANNEL);
    return bdpo_linear(g, x, bdpo_param(g, head->weight), bdpo_param(g, head->bias),
                       BDPO_NO_ACTIVATION);
}

// ---- two graphs: one makes gradients, one spends them ------------------------------------------

static bdpo_plan *plan_gradients(bdpo_engine *engine, bdpo_graph *g)
{
    bdpo_plan *plan;
    bdpo_node *images = bdpo_input(g, "images", BDPO_F32, BDPO_SHAPE(BATCH, SIZE, SIZE, 3));
    bdpo_node *labels = bdpo_input(g, "labels", BDPO_I32, BDPO_SHAPE(BATCH));
    bdpo_node *logits = network(g, images);
    bdpo_node *loss = bdpo_reduce_mean(g, bdpo_cross_entropy(g, logits, labels), BDPO_KEEP_NONE);
    bdpo_output(g, "loss", loss);
    bdpo_output(g, "logits", logits);
    bdpo_backward(g, loss);
    must(bdpo_plan_new(&plan, engine, g, &(bdpo_plan_options){.compute_dtype = BDPO_F32}));
    return plan;
}

// AdamW over whole buckets. Learning rate and step number are inputs: the plan never changes.
static bdpo_plan *plan_update(bdpo_engine *engine, bdpo_graph *g, const bdpo_store *store)
{
    bdpo_plan *plan;
    bdpo_step_inputs at = {.lr = bdpo_input(g, "lr", BDPO_F32, BDPO_SHAPE(1)),
                           .step = bdpo_input(g, "step", BDPO_F32, BDPO_SHAPE(1))};
    bdpo_adamw_options adamw = {.beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8, .weight_decay = 0.01};
    for (int b = 0; b < bdpo_store_bucket_count(store); b++) {
        bdpo_node *grad = bdpo_bucket(g, BDPO_GRAD, b);
        bdpo_adamw(g, bdpo_bucket(g, BDPO_PARAM, b), grad, bdpo_bucket(g, BDPO_MOMENT1, b),
                   bdpo_bucket(g, BDPO_MOMENT2, b), NULL, &at, &adamw);
        bdpo_zero(g, grad);
    }
    must(bdpo_plan_new(&plan, engine, g, &(bdpo_plan_options){.compute_dtype = BDPO_F32}));
    return plan;
}

// ---- the loop ----------------------------------------------------------------------------------

typedef struct trainer {
    bdpo_plan *gradients, *update;
    float *images;
    int32_t labels[BATCH];
    uint64_t state;
} trainer;

// One forward (and backward) pass over fresh pictures; returns the loss and how many were right.
static float look(trainer *t, int *n_right)
{
    float loss, logits[BATCH][N_CLASSES];
    draw_batch(t->images, t->labels, &t->state);
    must(bdpo_plan_write(t->gradients, "images", t->images,
                         (size_t)BATCH * SIZE * SIZE * 3 * sizeof *t->images));
    must(bdpo_plan_write(t->gradients, "labels", t->labels, sizeof t->labels));
    must(bdpo_plan_run(t->gradients));
    must(bdpo_plan_read(t->gradients, "loss", &loss, sizeof loss));
    must(bdpo_plan_read(t->gradients, "logits", logits, sizeof logits));
    *n_right = 0;
    for (int n = 0; n < BATCH; n++) {
        int best = 0;
        for (int c = 1; c < N_CLASSES; c++) best = logits[n][c] > logits[n][best] ? c : best;
        *n_right += best == t->labels[n];
    }
    return loss;
}

static void train(trainer *t, int n_steps)
{
    float mean_loss = 0.0f;
    for (int step = 1; step <= n_steps; step++) {
        int n_right;
        float loss = look(t, &n_right), number = (float)step;
        float lr = 2e-3f * (1.0f - number / (float)(n_steps + 1));
        must(bdpo_plan_write(t->update, "lr", &lr, sizeof lr));
        must(bdpo_plan_write(t->update, "step", &number, sizeof number));
        must(bdpo_plan_run(t->update));
        mean_loss += step == 1 ? loss : 0.1f * (loss - mean_loss);
        if (step == 1 || step % 20 == 0) printf("step %4d   loss %.4f\n", step, (double)mean_loss);
        fflush(stdout);
    }
}

static double seconds(void)
{
    struct timespec now;
    timespec_get(&now, TIME_UTC);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static void report(trainer *t, int n_steps, double elapsed_s)
{
    int n_right = 0;
    for (int i = 0; i < N_TEST; i++) {
        int right;
        look(t, &right);
        n_right += right;
    }
    bdpo_plan_cost cost = bdpo_plan_costs(t->gradients);
    printf("\nof %d new pictures, %d were told right (%s, %s, %s or %s)\n", N_TEST * BATCH, n_right,
           class_names[0], class_names[1], class_names[2], class_names[3]);
    printf("%.0f pictures/s trained, %.1f GFLOP/s counted as direct work, %.1f MiB planned\n",
           n_steps * BATCH / elapsed_s, (double)cost.flops * n_steps / elapsed_s * 1e-9,
           (double)cost.peak_bytes / (1 << 20));
}

int main(int argc, char **argv)
{
    bdpo_prepare_threads(argv, 0, stderr);
    int n_steps = argc > 1 ? atoi(argv[1]) : 200;
    if (n_steps < 1) {
        fprintf(stderr, "usage: train_shapes [steps], steps a positive number\n");
        return 2;
    }
    bdpo_engine *engine;
    bdpo_store *store;
    bdpo_graph *gradients, *update;
    trainer t = {.state = 1};
    must(bdpo_engine_new(&engine, &(bdpo_engine_options){.backend = "cpu"}));
    must(bdpo_store_new(&store, engine));
    declare(store);
    initialise(store, &t.state);
    must(bdpo_graph_new(&gradients, store));
    must(bdpo_graph_new(&update, store));
    t.gradients = plan_gradients(engine, gradients);
    t.update = plan_update(engine, update, store);
    t.images = malloc((size_t)BATCH * SIZE * SIZE * 3 * sizeof *t.images);
    if (!t.images) return 1;

    double start = seconds();
    train(&t, n_steps);
    report(&t, n_steps, seconds() - start);

    free(t.images);
    bdpo_plan_free(t.update);
    bdpo_plan_free(t.gradients);
    bdpo_graph_free(update);
    bdpo_graph_free(gradients);
    bdpo_store_free(store);
    bdpo_engine_free(engine);
    return 0;
}

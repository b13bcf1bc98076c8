// The graphs of random_graph.h. Activations are [n, t, c] or [n, h, w, c] with n of 2 or 4, h = w
// of 2 or 4, and c a multiple of 4 up to 24, so that most operators fit most values.
#include "graph/random_graph.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bdpo/ops.h>

#include "harness.h"

enum { MAX_CHANNELS = 24, SAMPLES = 2, KEY_WORDS = 5 };

uint64_t random_draw(uint64_t *state, uint64_t limit)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u; // Knuth's MMIX generator
    return (*state >> 33) % limit;
}

static uint64_t draw(random_graph *r, uint64_t limit)
{
    return random_draw(&r->state, limit);
}

// ---- the store ---------------------------------------------------------------------------------

// Each kind of leaf in each of the sizes that may be asked for. Neighbours are of different kinds,
// so that there are many buckets.
static const struct leaf_kind {
    const char *name;
    bdpo_dtype dtype;
    bool trainable;
} leaf_kinds[] = {{"trained", BDPO_F32, true},
                  {"frozen", BDPO_F32, false},
                  {"half", BDPO_F16, false},
                  {"brain", BDPO_BF16, false}};
enum { N_LEAF_KINDS = BDPO_COUNTOF(leaf_kinds) };

static void declare(bdpo_store *store, const struct leaf_kind *kind, const char *what, int c,
                    bdpo_shape shape)
{
    char name[64];
    snprintf(name, sizeof name, "%s %s %d", kind->name, what, c);
    CHECK_OK(bdpo_store_declare(store, name, kind->dtype, shape, kind->trainable));
}

static void fill_param(bdpo_store *store, int index)
{
    const char *name = bdpo_store_name(store, index);
    bdpo_dtype dtype;
    bdpo_shape shape;
    CHECK_OK(bdpo_store_describe(store, BDPO_PARAM, name, &dtype, &shape));
    size_t count = (size_t)bdpo_shape_count(&shape), size = bdpo_dtype_size(dtype);
    unsigned char *values = bdpo_alloc(count, size);
    CHECK(values != NULL);
    uint64_t state = (uint64_t)index + 1;
    for (size_t i = 0; i < count; i++) {
        float value = (float)random_draw(&state, 1 << 20) / (1 << 20) * 0.8f - 0.4f;
        uint16_t half = dtype == BDPO_F16 ? bdpo_f16_from_f32(value) : bdpo_bf16_from_f32(value);
        memcpy(values + i * size, size == 4 ? (void *)&value : (void *)&half, size);
    }
    CHECK_OK(bdpo_store_write(store, BDPO_PARAM, name, values, count * size));
    bdpo_free(values);
}

bdpo_store *random_store_new(bdpo_engine *engine)
{
    bdpo_store *store;
    CHECK_OK(bdpo_store_new(&store, engine));
    for (int i = 0; i < MAX_CHANNELS / 4 * N_LEAF_KINDS; i++) {
        const struct leaf_kind *kind = &leaf_kinds[i % N_LEAF_KINDS];
        int c = 4 * (i / N_LEAF_KINDS + 1);
        if (c == 4) declare(store, kind, "table", c, BDPO_SHAPE(SAMPLES, 16, c));
        declare(store, kind, "narrow", c, BDPO_SHAPE(4, c));
        declare(store, kind, "wide", c, BDPO_SHAPE(8, c));
        declare(store, kind, "conv", c, BDPO_SHAPE(4, 3, 3, c));
        declare(store, kind, "gain", c, BDPO_SHAPE(c));
        declare(store, kind, "shift", c, BDPO_SHAPE(c));
    }
    CHECK_OK(bdpo_store_seal(store));
    CHECK_OK(bdpo_store_reserve(store, BDPO_GRAD));
    for (int i = 0; i < bdpo_store_count(store); i++) fill_param(store, i);
    return store;
}

// ---- leaves ------------------------------------------------------------------------------------

static bdpo_node *leaf_of(random_graph *r, int kind, const char *what, int64_t c)
{
    char name[64];
    snprintf(name, sizeof name, "%s %s %d", leaf_kinds[kind].name, what, (int)c);
    if (!r->widened || leaf_kinds[kind].dtype == BDPO_F32) return bdpo_param(r->graph, name);
    for (int i = 0; i < r->graph->inputs.count; i++)
        if (strcmp(r->graph->inputs.at[i].name, name) == 0) return r->graph->inputs.at[i].node;
    bdpo_dtype dtype;
    bdpo_shape shape;
    CHECK_OK(bdpo_store_describe(r->graph->store, BDPO_PARAM, name, &dtype, &shape));
    return bdpo_input(r->graph, name, BDPO_F32, shape);
}

// Half of the weights are trained.
static bdpo_node *leaf(random_graph *r, const char *what, int64_t c)
{
    return leaf_of(r, draw(r, 2) ? 0 : (int)draw(r, N_LEAF_KINDS), what, c);
}

static bdpo_node *key(random_graph *r)
{
    for (int i = 0; i < r->graph->inputs.count; i++)
        if (strcmp(r->graph->inputs.at[i].name, "key") == 0) return r->graph->inputs.at[i].node;
    return bdpo_input(r->graph, "key", BDPO_I32, BDPO_SHAPE(SAMPLES, KEY_WORDS));
}

static uint64_t hash_of(const char *name)
{
    uint64_t hash = 14695981039346656037u;
    for (; *name; name++) hash = (hash ^ (unsigned char)*name) * 1099511628211u;
    return hash;
}

static void widen_param(bdpo_store *store, const char *name, float *out, size_t count)
{
    bdpo_dtype dtype;
    bdpo_shape shape;
    CHECK_OK(bdpo_store_describe(store, BDPO_PARAM, name, &dtype, &shape));
    uint16_t *half = bdpo_alloc(count, sizeof *half);
    CHECK(half != NULL);
    CHECK_OK(bdpo_store_read(store, BDPO_PARAM, name, half, count * sizeof *half));
    for (size_t i = 0; i < count; i++)
        out[i] = dtype == BDPO_F16 ? bdpo_f16_to_f32(half[i]) : bdpo_bf16_to_f32(half[i]);
    bdpo_free(half);
}

void random_graph_input(const bdpo_named_node *input, void *out, size_t bytes)
{
    const bdpo_value *value = &input->node->out[0];
    size_t count = (size_t)bdpo_shape_count(&value->shape);
    CHECK_U64(bytes, count * bdpo_dtype_size(value->dtype));
    uint64_t state = hash_of(input->name);
    for (int k = 0; k < N_LEAF_KINDS; k++)
        if (strstr(input->name, leaf_kinds[k].name)) {
            widen_param(input->node->graph->store, input->name, out, count);
            return;
        }
    for (size_t i = 0; i < count; i++) {
        float f = (float)random_draw(&state, 1 << 20) / (1 << 19) - 1.0f;
        // What a bf16 input holds is the same for a graph in which it is f32.
        if (strcmp(input->name, "b") == 0) f = bdpo_bf16_to_f32(bdpo_bf16_from_f32(f));
        int32_t word = (int32_t)(f * 1000);
        uint16_t half = bdpo_bf16_from_f32(f);
        size_t size = bdpo_dtype_size(value->dtype);
        const void *from = value->dtype == BDPO_I32    ? (const void *)&word
                           : value->dtype == BDPO_BF16 ? (const void *)&half
                                                       : (const void *)&f;
        memcpy((char *)out + i * size, from, size);
    }
}

// ---- values ------------------------------------------------------------------------------------

static const bdpo_shape *shape_of(const bdpo_node *node)
{
    return &node->out[0].shape;
}

static int64_t channels(const bdpo_node *node)
{
    return bdpo_shape_cols(shape_of(node));
}

static void keep(random_graph *r, bdpo_node *node)
{
    if (node && r->n_values < RANDOM_MAX_VALUES) r->values[r->n_values++] = node;
}

static bdpo_node *take(random_graph *r, int i)
{
    r->used[i] = true;
    return r->values[i];
}

// Any value; every other time one of the latest, so that graphs grow deep.
static bdpo_node *pick(random_graph *r)
{
    int n = r->n_values, recent = n < 4 ? n : 4;
    return take(r, draw(r, 2) ? n - 1 - (int)draw(r, (uint64_t)recent) : (int)draw(r, (uint64_t)n));
}

// A value of x's shape, `ignored` being an axis in which it may differ; x itself if there is none.
static bdpo_node *partner(random_graph *r, bdpo_node *x, int ignored)
{
    int first = (int)draw(r, (uint64_t)r->n_values);
    for (int i = 0; i < r->n_values; i++) {
        int at = (first + i) % r->n_values;
        bdpo_shape a = *shape_of(x), b = *shape_of(r->values[at]);
        if (a.n_dims != b.n_dims) continue;
        if (ignored >= 0) a.dim[ignored] = b.dim[ignored] = 1;
        if (bdpo_shape_equal(&a, &b)) return take(r, at);
    }
    return x;
}

static bdpo_node *as_map(random_graph *r, bdpo_node *x)
{
    bdpo_shape s = *shape_of(x);
    if (s.n_dims == 4) return x;
    int64_t size = s.dim[1] == 16 ? 4 : 2;
    return bdpo_reshape(r->graph, x, BDPO_SHAPE(s.dim[0], size, size, s.dim[2]));
}

static bdpo_node *as_tokens(random_graph *r, bdpo_node *x)
{
    bdpo_shape s = *shape_of(x);
    if (s.n_dims == 3) return x;
    return bdpo_reshape(r->graph, x, BDPO_SHAPE(s.dim[0], s.dim[1] * s.dim[2], s.dim[3]));
}

// ---- operators ---------------------------------------------------------------------------------

static bdpo_node *linear(random_graph *r, bdpo_node *x)
{
    bool wide = draw(r, 2);
    bdpo_node *w = leaf(r, wide ? "wide" : "narrow", channels(x));
    bdpo_node *b = draw(r, 2) ? leaf(r, "gain", wide ? 8 : 4) : NULL;
    return bdpo_linear(r->graph, x, w, b, draw(r, 3) ? BDPO_NO_ACTIVATION : BDPO_SILU);
}

static bdpo_node *conv(random_graph *r, bdpo_node *x)
{
    static const bdpo_conv2d_options same = {
        .pad_top = 1, .pad_left = 1, .pad_bottom = 1, .pad_right = 1};
    bdpo_node *w = leaf(r, "conv", channels(x));
    return bdpo_conv2d(r->graph, as_map(r, x), w, draw(r, 2) ? leaf(r, "shift", 4) : NULL, &same);
}

static bdpo_node *norm(random_graph *r, bdpo_node *x)
{
    bdpo_node *gain = leaf(r, "gain", channels(x)), *shift = leaf(r, "shift", channels(x));
    if (draw(r, 2)) return bdpo_layer_norm(r->graph, x, gain, shift, 1e-5f);
    bdpo_group_norm_options options = {.groups = 2, .eps = 1e-5f, .silu = draw(r, 2)};
    return bdpo_group_norm(r->graph, x, gain, shift, &options);
}

static bdpo_node *unary(random_graph *r, bdpo_node *x)
{
    switch (draw(r, 8)) {
    case 0:
        return bdpo_silu(r->graph, x);
    case 1:
        return bdpo_gelu(r->graph, x);
    case 2:
        return bdpo_tanh(r->graph, x);
    case 3:
        return bdpo_exp(r->graph, bdpo_tanh(r->graph, x));
    case 4:
        return bdpo_clamp(r->graph, x, -0.5f, 0.5f);
    case 5:
        return bdpo_scale(r->graph, x, -0.7f);
    case 6:
        return bdpo_softmax(r->graph, x);
    default:
        return bdpo_sigmoid(r->graph, x);
    }
}

static bdpo_node *binary(random_graph *r, bdpo_node *x)
{
    bdpo_node *y = partner(r, x, -1);
    switch (draw(r, 5)) {
    case 0:
        return bdpo_mul(r->graph, x, bdpo_tanh(r->graph, y));
    case 1:
        return bdpo_sub(r->graph, x, y);
    case 2:
        return bdpo_add(r->graph, x, leaf(r, "shift", channels(x)));
    case 3:
        return bdpo_mul(r->graph, x, bdpo_reduce_mean(r->graph, y, BDPO_KEEP_SAMPLE_CHANNEL));
    default:
        return bdpo_add(r->graph, x, y);
    }
}

static bdpo_node *concat_channels(random_graph *r, bdpo_node *x)
{
    bdpo_node *parts[3] = {x};
    int n = 1, last = shape_of(x)->n_dims - 1;
    int64_t total = channels(x);
    while (n < 3) {
        bdpo_node *next = partner(r, x, last);
        if ((total += channels(next)) > MAX_CHANNELS) break;
        parts[n++] = next;
        if (draw(r, 2)) break;
    }
    for (int i = n - 1; i > 0; i--) { // x is not always the first
        int j = (int)draw(r, (uint64_t)i + 1);
        bdpo_node *swapped = parts[i];
        parts[i] = parts[j];
        parts[j] = swapped;
    }
    return bdpo_concat_channels(r->graph, parts, n);
}

static bdpo_node *batch(random_graph *r, bdpo_node *x)
{
    bdpo_node *parts[2] = {x, partner(r, x, -1)};
    if (shape_of(x)->dim[0] == SAMPLES) return bdpo_concat_batch(r->graph, parts, 2);
    bdpo_split_batch(r->graph, x, 2, (int64_t[]){SAMPLES, SAMPLES}, parts);
    keep(r, parts[0]);
    return draw(r, 2) ? parts[1] : bdpo_slice_batch(r->graph, x, 1, SAMPLES);
}

static bdpo_node *split_channels(random_graph *r, bdpo_node *x)
{
    int64_t c = channels(x);
    if (c < 8) return bdpo_slice_channels(r->graph, x, 0, c);
    if (draw(r, 2)) return bdpo_slice_channels(r->graph, x, 4 * (int64_t)draw(r, 2), c - 4);
    bdpo_node *parts[2];
    bdpo_split_channels(r->graph, x, 2, (int64_t[]){4, c - 4}, parts);
    keep(r, parts[0]);
    return parts[1];
}

static bdpo_node *attention(random_graph *r, bdpo_node *x)
{
    bdpo_node *k = partner(r, x, -1), *v = partner(r, x, -1);
    bdpo_attention_options options = {.heads = 1 << draw(r, 3), .causal = draw(r, 2)};
    return bdpo_attention(r->graph, as_tokens(r, x), as_tokens(r, k), as_tokens(r, v), NULL,
                          &options);
}

static bdpo_node *product(random_graph *r, bdpo_node *x)
{
    bdpo_node *a = as_tokens(r, x), *b = as_tokens(r, partner(r, x, -1));
    return bdpo_scale(r->graph, bdpo_matmul(r->graph, a, b, false, true), 0.1f);
}

static bdpo_node *resample(random_graph *r, bdpo_node *x)
{
    x = as_map(r, x);
    if (shape_of(x)->dim[1] == 4) return bdpo_avg_pool(r->graph, x, 2);
    return draw(r, 2) ? bdpo_upsample_nearest2x(r->graph, x)
                      : bdpo_upsample_bilinear2x(r->graph, x);
}

static bdpo_node *noise(random_graph *r)
{
    bdpo_random_options options = {.purpose = (uint32_t)draw(r, 3), .sample = BDPO_SHAPE(4, 4, 4)};
    return bdpo_normal(r->graph, key(r), &options);
}

static bdpo_node *layout(random_graph *r, bdpo_node *x)
{
    switch (draw(r, 4)) {
    case 0:
        return bdpo_transpose(r->graph, as_map(r, x), (int[]){0, 2, 1, 3});
    case 1:
        return as_map(r, x);
    case 2:
        return as_tokens(r, x);
    default:
        return leaf(r, "table", 4);
    }
}

static bdpo_node *operation(random_graph *r)
{
    bdpo_node *x = pick(r);
    switch (draw(r, 16)) {
    case 0:
    case 1:
        return linear(r, x);
    case 2:
        return conv(r, x);
    case 3:
        return norm(r, x);
    case 4:
        return binary(r, x);
    case 5:
    case 6:
        return concat_channels(r, x);
    case 7:
        return batch(r, x);
    case 8:
        return split_channels(r, x);
    case 9:
        return attention(r, x);
    case 10:
        return product(r, x);
    case 11:
        return resample(r, x);
    case 12:
        return noise(r);
    case 13:
        return layout(r, x);
    case 14:
        return channels(x) % 8 == 0 ? bdpo_geglu(r->graph, x) : unary(r, x);
    default:
        return unary(r, x);
    }
}

// ---- graphs ------------------------------------------------------------------------------------

// Opens or closes a segment or an island.
static void nest(random_graph *r)
{
    switch (draw(r, 12)) {
    case 0:
    case 1:
        if (r->n_segments == RANDOM_MAX_DEPTH) return;
        r->n_segments++;
        bdpo_segment_begin(r->graph);
        return;
    case 2:
        if (r->n_segments == 0) return;
        r->n_segments--;
        bdpo_segment_end(r->graph);
        return;
    case 3:
        if (r->n_islands == RANDOM_MAX_DEPTH) return;
        r->n_islands++;
        bdpo_f32_begin(r->graph);
        return;
    case 4:
    case 5:
        if (r->n_islands == 0) return;
        r->n_islands--;
        bdpo_f32_end(r->graph);
        return;
    default:
        return;
    }
}

static void output(random_graph *r, bdpo_node *node)
{
    char name[16];
    snprintf(name, sizeof name, "o%d", r->graph->outputs.count);
    if (node) bdpo_output(r->graph, name, node);
}

// The mean of y tanh(y) over every value that nothing else uses, and over a few more.
static bdpo_node *loss_of(random_graph *r)
{
    bdpo_node *loss = bdpo_fill(r->graph, BDPO_SHAPE(1), 0.0f);
    for (int i = 0; i < r->n_values; i++) {
        if (r->used[i] && draw(r, 6)) continue;
        bdpo_node *y = r->values[i];
        y = bdpo_mul(r->graph, y, bdpo_tanh(r->graph, y));
        loss = bdpo_add(r->graph, loss, bdpo_reduce_mean(r->graph, y, BDPO_KEEP_NONE));
    }
    return loss;
}

// Gradients of one value toward up to three others that have any.
static void some_gradients(random_graph *r)
{
    bdpo_node *x[3], *dx[3], *y = r->values[r->n_values - 1 - (int)draw(r, 4)];
    int n = 0;
    for (int tries = 0; tries < 8 && n < 3; tries++) {
        bdpo_node *v = r->values[draw(r, (uint64_t)r->n_values)];
        if (v->needs_grad) x[n++] = v;
    }
    if (!y->needs_grad) return;
    bdpo_gradients(r->graph, y, bdpo_fill(r->graph, *shape_of(y), 0.5f), x, n, dx);
    for (int i = 0; i < n; i++) output(r, dx[i]);
}

random_graph random_graph_new(bdpo_store *store, uint64_t seed, bool checkpointing, bool widened)
{
    random_graph r = {.state = seed, .widened = widened};
    CHECK_OK(bdpo_graph_new(&r.graph, store));
    bdpo_graph_set_checkpointing(r.graph, checkpointing);
    keep(&r, bdpo_input(r.graph, "x", BDPO_F32, BDPO_SHAPE(SAMPLES, 4, 4, 8)));
    bdpo_require_grad(r.values[0]);
    keep(&r, bdpo_input(r.graph, "b", widened ? BDPO_F32 : BDPO_BF16, BDPO_SHAPE(SAMPLES, 16, 4)));
    int wanted = 8 + (int)draw(&r, 40);
    for (int i = 0; i < wanted; i++) {
        nest(&r);
        keep(&r, operation(&r));
    }
    while (r.n_segments-- > 0) bdpo_segment_end(r.graph);
    while (r.n_islands-- > 0) bdpo_f32_end(r.graph);
    for (int i = 0; i < 3; i++) output(&r, pick(&r));
    r.n_backward = seed % 5 == 0 ? 2 : 1;
    if (seed % 4 == 0) some_gradients(&r);
    for (int i = 0; i < r.n_backward; i++) {
        bdpo_node *loss = loss_of(&r);
        output(&r, loss);
        bdpo_backward(r.graph, loss);
    }
    if (bdpo_graph_check(r.graph) != BDPO_OK)
        FAIL("seed %llu: %s", (unsigned long long)seed, bdpo_message());
    return r;
}

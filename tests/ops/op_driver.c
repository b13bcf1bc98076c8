// The driver of op_driver.h.
#include "ops/op_driver.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness.h"
#include "ops/op_eval.h"

// Relative L2 of f32 kernels against double: 2^-24 for each rounding, some tens of roundings in a
// row, and sums of some thousand terms in blocks; an error of formula is larger by far.
static const double default_tolerance = 1e-5;
// A gradient far smaller than its cotangent c is a difference of large terms: its error is counted
// against |c| / 10, that is, 1e-6 |c| at the default tolerance.
static const double gradient_floor = 0.1;
// Central differences in double: the error is step^2 |f'''| / 6 + 2^-53 |f| / step, near 1e-10.
static const double step = 1e-5;
enum { SMALL_INPUT = 48, N_DIRECTIONS = 16 };

// ---- random values -----------------------------------------------------------------------------

static uint64_t base_seed(void)
{
    const char *text = getenv("BDPO_TEST_SEED");
    return text ? strtoull(text, NULL, 10) : 20260101;
}

static uint64_t next_bits(uint64_t *state) // splitmix64
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static double next_uniform(uint64_t *state) // in (0, 1)
{
    return ((double)(next_bits(state) >> 11) + 0.5) * 0x1p-53;
}

static double next_normal(uint64_t *state)
{
    double radius = sqrt(-2 * log(next_uniform(state)));
    return radius * cos(6.283185307179586 * next_uniform(state));
}

static double next_filling(uint64_t *state, const bdpo_case_input *in, int64_t index)
{
    int64_t count = bdpo_shape_count(&in->shape);
    uint64_t bits = next_bits(state);
    switch (in->fill) {
    case BDPO_FILL_NORMAL:
        return next_normal(state);
    case BDPO_FILL_UNIFORM:
        return 2 * next_uniform(state) - 1;
    case BDPO_FILL_POSITIVE:
        return 0.1 + next_uniform(state);
    case BDPO_FILL_INDEX:
        return in->limit > 0 ? (double)(bits % (uint64_t)in->limit) : 0;
    case BDPO_FILL_LENGTH: // both ends, where there is room
        if (count > 1 && index < 2) return index == 0 ? 0 : (double)in->limit;
        return (double)(bits % ((uint64_t)in->limit + 1));
    case BDPO_FILL_COUNT:
        return (double)(bits % (uint64_t)(in->limit > 0 ? in->limit : 1) + 1);
    case BDPO_FILL_BITS:
        return (double)(int32_t)(uint32_t)bits;
    case BDPO_FILL_CODE:
        return (double)(bits & 255);
    }
    return NAN;
}

static bdpo_dtype fill_dtype(bdpo_case_fill fill)
{
    switch (fill) {
    case BDPO_FILL_INDEX:
    case BDPO_FILL_LENGTH:
    case BDPO_FILL_BITS:
        return BDPO_I32;
    case BDPO_FILL_CODE:
        return BDPO_U8;
    default:
        return BDPO_F32;
    }
}

static bool is_smooth(bdpo_case_fill fill)
{
    return fill == BDPO_FILL_NORMAL || fill == BDPO_FILL_UNIFORM || fill == BDPO_FILL_POSITIVE;
}

// ---- one case ----------------------------------------------------------------------------------

// What central differences say of the gradient toward one input.
typedef struct slopes {
    int n;
    double *direction, *slope; // [n][count], [n]
    double norm;               // estimate of the gradient's length
} slopes;

typedef struct op_case {
    const bdpo_op *op;
    const bdpo_op_case *row;
    uint64_t seed;
    bdpo_arena *arena;
    int n_in, n_result;
    bdpo_tensor in[BDPO_MAX_INPUTS];    // values, dense
    double *in_double[BDPO_MAX_INPUTS]; // the same
    double *result[BDPO_MAX_OUTPUTS];   // reference: new values of mutated inputs, outputs
    int mutated[BDPO_MAX_OUTPUTS];      // the input whose new value a result is, or -1
    bdpo_shape result_shape[BDPO_MAX_OUTPUTS];
    bdpo_tensor cotangent;
    double cotangent_norm;
    slopes expected[BDPO_MAX_INPUTS];
    unsigned differentiable; // inputs
    char *why;
    size_t why_size;
} op_case;

// The graph of a case: the node and, where it has a gradient, the cotangents of its inputs.
typedef struct case_graph {
    bdpo_graph *g;
    bdpo_node *in[BDPO_MAX_INPUTS], *y, *dy, *dx[BDPO_MAX_INPUTS];
} case_graph;

static bool complain(op_case *c, const char *format, ...) __attribute__((format(printf, 2, 3)));
static bool complain(op_case *c, const char *format, ...)
{
    char text[480];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    snprintf(c->why, c->why_size, "%s, case \"%s\": %s (BDPO_TEST_SEED=%llu)", c->op->name,
             c->row->name, text, (unsigned long long)base_seed());
    return false;
}

static bool wants(const op_case *c, int i)
{
    return c->differentiable & 1u << i;
}

static double tolerance_of(const op_case *c)
{
    return c->row->tolerance > 0 ? c->row->tolerance : default_tolerance;
}

static void case_inputs(op_case *c)
{
    for (int i = 0; i < BDPO_MAX_INPUTS; i++) {
        const bdpo_case_input *in = &c->row->in[i];
        if (in->shape.n_dims == 0) continue;
        c->n_in = i + 1;
        bdpo_dtype dtype = fill_dtype(in->fill);
        if (is_smooth(in->fill) && c->op->grad != bdpo_no_grad) c->differentiable |= 1u << i;
        size_t count = (size_t)bdpo_shape_count(&in->shape);
        c->in[i] = (bdpo_tensor){.dtype = dtype,
                                 .shape = in->shape,
                                 .row_stride = bdpo_shape_cols(&in->shape),
                                 .data = op_eval_alloc(c->arena, count, bdpo_dtype_size(dtype))};
        uint64_t state = c->seed ^ (uint64_t)(i + 1) * 0xd1342543de82ef95u;
        bdpo_tensor flat = c->in[i];
        for (size_t e = 0; e < count; e++)
            op_set_element(&flat, 0, (int64_t)e, next_filling(&state, in, (int64_t)e));
        c->in_double[i] = op_to_double(c->arena, &c->in[i]);
    }
}

// Builds the node, or leaves y NULL and the status in the graph.
static void build_value(case_graph *b, const op_case *c, unsigned toward)
{
    memset(b, 0, sizeof *b);
    CHECK_OK(bdpo_graph_new(&b->g, NULL));
    for (int i = 0; i < c->n_in; i++) {
        if (c->row->in[i].shape.n_dims == 0) continue;
        char name[16];
        snprintf(name, sizeof name, "in%d", i);
        b->in[i] = bdpo_input(b->g, name, fill_dtype(c->row->in[i].fill), c->row->in[i].shape);
        if (toward & 1u << i) bdpo_require_grad(b->in[i]);
        // Stands for a tensor of the store: what changes it looks at the descriptor only.
        if (b->in[i] && c->op->mutates & 1u << i) b->in[i]->op = &bdpo_op_state;
    }
    if (bdpo_graph_check(b->g) != BDPO_OK) FAIL("%s: %s", c->op->name, bdpo_message());
    b->y = bdpo_node_new(b->g, c->op, c->row->attrs, b->in, c->n_in);
}

static bool has_gradient(const case_graph *b, unsigned toward)
{
    return toward && b->y && b->y->n_out > 0 && b->y->needs_grad &&
           (b->y->out[0].dtype == BDPO_F32 || b->y->out[0].dtype == BDPO_BF16);
}

static bool build(case_graph *b, op_case *c, unsigned toward)
{
    build_value(b, c, toward);
    if (!b->y) {
        bool refused = bdpo_graph_check(b->g) != BDPO_OK;
        return complain(c, "the shape rule refused it: %s", refused ? bdpo_message() : "silently");
    }
    if (!has_gradient(b, toward)) return true;
    b->dy = bdpo_input(b->g, "dy", b->y->out[0].dtype, b->y->out[0].shape);
    bdpo_node *x[BDPO_MAX_INPUTS], *dx[BDPO_MAX_INPUTS];
    int n = 0;
    for (int i = 0; i < c->n_in; i++)
        if (toward & 1u << i) x[n++] = b->in[i];
    bdpo_gradients(b->g, b->y, b->dy, x, n, dx);
    n = 0;
    for (int i = 0; i < c->n_in; i++)
        if (toward & 1u << i) b->dx[i] = dx[n++];
    if (bdpo_graph_check(b->g) != BDPO_OK) return complain(c, "gradient rule: %s", bdpo_message());
    return true;
}

// ---- the double reference ----------------------------------------------------------------------

static void run_reference(const op_case *c, const double *const *in, double *const *out)
{
    bdpo_reference_call call = {.attrs = c->row->attrs, .n_in = c->n_in, .n_out = c->n_result};
    for (int i = 0; i < c->n_in; i++) {
        call.in[i] = in[i];
        call.in_shape[i] = c->row->in[i].shape;
    }
    for (int k = 0; k < c->n_result; k++) {
        size_t count = (size_t)bdpo_shape_count(&c->result_shape[k]);
        memset(out[k], 0, count * sizeof *out[k]);
        call.out[k] = out[k];
        call.out_shape[k] = c->result_shape[k];
    }
    c->op->reference(&call);
}

static void add_result(op_case *c, int mutated, bdpo_shape shape)
{
    BDPO_ASSERT(c->n_result < BDPO_MAX_OUTPUTS);
    c->mutated[c->n_result] = mutated;
    c->result_shape[c->n_result] = shape;
    c->result[c->n_result++] =
        op_eval_alloc(c->arena, (size_t)bdpo_shape_count(&shape), sizeof(double));
}

static void reference_value(op_case *c, const bdpo_node *y)
{
    for (int i = 0; i < c->n_in; i++)
        if (c->op->mutates & 1u << i && c->row->in[i].shape.n_dims)
            add_result(c, i, c->row->in[i].shape);
    for (int k = 0; k < y->n_out; k++) add_result(c, -1, y->out[k].shape);
    run_reference(c, (const double *const *)c->in_double, c->result);
}

static double contracted(const op_case *c, const double *const *in, double *const *out)
{
    run_reference(c, in, out);
    double sum = 0;
    for (int64_t i = 0; i < bdpo_shape_count(&c->cotangent.shape); i++)
        sum += out[0][i] * (double)((const float *)c->cotangent.data)[i];
    return sum;
}

static double slope_along(const op_case *c, int input, const double *direction,
                          double *const *scratch, double *moved)
{
    const double *in[BDPO_MAX_INPUTS];
    memcpy(in, c->in_double, sizeof in);
    in[input] = moved;
    int64_t count = bdpo_shape_count(&c->row->in[input].shape);
    double f[2];
    for (int side = 0; side < 2; side++) {
        for (int64_t i = 0; i < count; i++)
            moved[i] = c->in_double[input][i] + (side ? -step : step) * direction[i];
        f[side] = contracted(c, in, scratch);
    }
    return (f[0] - f[1]) / (2 * step);
}

static void differentiate(op_case *c, int input, double *const *scratch)
{
    int64_t count = bdpo_shape_count(&c->row->in[input].shape);
    bool small = count <= SMALL_INPUT;
    slopes *s = &c->expected[input];
    s->n = small ? (int)count : N_DIRECTIONS;
    s->direction = op_eval_alloc(c->arena, (size_t)(s->n * count), sizeof *s->direction);
    s->slope = op_eval_alloc(c->arena, (size_t)s->n, sizeof *s->slope);
    double *moved = op_eval_alloc(c->arena, (size_t)count, sizeof *moved);
    uint64_t state = c->seed ^ (uint64_t)(input + 1) * 0xa0761d6478bd642fu;
    double square = 0;
    for (int d = 0; d < s->n; d++) {
        double *direction = s->direction + d * count;
        for (int64_t i = 0; i < count; i++)
            direction[i] = small ? (i == d ? 1 : 0) : next_normal(&state);
        s->slope[d] = slope_along(c, input, direction, scratch, moved);
        square += s->slope[d] * s->slope[d];
    }
    s->norm = sqrt(square / (small ? 1 : s->n)); // a normal direction sees |g|^2 on average
}

static void reference_gradient(op_case *c, const bdpo_value *y)
{
    size_t count = (size_t)bdpo_shape_count(&y->shape);
    c->cotangent = (bdpo_tensor){.dtype = BDPO_F32,
                                 .shape = y->shape,
                                 .row_stride = bdpo_shape_cols(&y->shape),
                                 .data = op_eval_alloc(c->arena, count, sizeof(float))};
    uint64_t state = c->seed ^ 0xe7037ed1a0b428dbu;
    double square = 0;
    for (size_t i = 0; i < count; i++) {
        // What bf16 can hold too, so that a cotangent in bf16 is the same one.
        float value = bdpo_bf16_to_f32(bdpo_bf16_from_f32((float)next_normal(&state)));
        ((float *)c->cotangent.data)[i] = value;
        square += (double)value * (double)value;
    }
    c->cotangent_norm = sqrt(square);
    double *scratch[BDPO_MAX_OUTPUTS];
    for (int k = 0; k < c->n_result; k++)
        scratch[k] =
            op_eval_alloc(c->arena, (size_t)bdpo_shape_count(&c->result_shape[k]), sizeof(double));
    for (int i = 0; i < c->n_in; i++)
        if (wants(c, i)) differentiate(c, i, scratch);
}

// ---- comparing ---------------------------------------------------------------------------------

// |actual - expected| with equal infinities counting as equal; NaN and other infinities give NaN.
static double distance(const double *actual, const double *expected, int64_t count)
{
    double square = 0;
    for (int64_t i = 0; i < count; i++) {
        if (isinf(expected[i]) && actual[i] == expected[i]) continue;
        double d = actual[i] - expected[i];
        square += d * d;
    }
    return isfinite(square) ? sqrt(square) : (double)NAN;
}

static double norm(const double *x, int64_t count)
{
    double square = 0;
    for (int64_t i = 0; i < count; i++)
        if (!isinf(x[i])) square += x[i] * x[i];
    return sqrt(square);
}

static bool compare_value(op_case *c, const char *where, int k, const bdpo_tensor *actual,
                          bdpo_arena *arena)
{
    int64_t count = bdpo_shape_count(&c->result_shape[k]);
    const double *a = op_to_double(arena, actual), *e = c->result[k];
    double error = distance(a, e, count), allowed, tolerance = tolerance_of(c);
    bool whole = actual->dtype == BDPO_I32 || actual->dtype == BDPO_U8;
    if (whole && c->row->tolerance == 0) tolerance = 0;
    if (c->mutated[k] >= 0) {
        // The change is what counts; the new value itself may be rounded a few times.
        double change = distance(e, c->in_double[c->mutated[k]], count);
        allowed = tolerance * change + 0x1p-22 * norm(e, count);
        if (tolerance == 0) allowed = 0;
    } else {
        allowed = tolerance * fmax(norm(e, count), 1e-6 * sqrt((double)count));
    }
    if (!(error <= allowed))
        return complain(c, "%s: value of %s %d is off by %.3g, allowed %.3g (norm %.3g)", where,
                        c->mutated[k] >= 0 ? "changed input" : "output",
                        c->mutated[k] >= 0 ? c->mutated[k] : k, error, allowed, norm(e, count));
    return true;
}

static bool compare_gradient(op_case *c, const char *where, int i, const bdpo_tensor *actual,
                             bdpo_arena *arena)
{
    const slopes *s = &c->expected[i];
    int64_t count = bdpo_shape_count(&c->row->in[i].shape);
    const double *a = actual ? op_to_double(arena, actual) : NULL; // none: claims to be zero
    double square = 0;
    for (int d = 0; d < s->n; d++) {
        double slope = 0;
        for (int64_t e = 0; a && e < count; e++) slope += a[e] * s->direction[d * count + e];
        square += (slope - s->slope[d]) * (slope - s->slope[d]);
    }
    double error = sqrt(square / (count <= SMALL_INPUT ? 1 : s->n));
    double scale = fmax(s->norm, gradient_floor * c->cotangent_norm);
    if (!isfinite(error)) return complain(c, "%s: gradient of input %d is not finite", where, i);
    if (!(error <= tolerance_of(c) * scale))
        return complain(c, "%s: gradient of input %d is off by %.3g, allowed %.3g (norm %.3g)",
                        where, i, error, tolerance_of(c) * scale, s->norm);
    return true;
}

// ---- variants ----------------------------------------------------------------------------------

static void set_leaf(op_eval *e, const bdpo_node *leaf, const bdpo_tensor *value)
{
    if (leaf) e->value[leaf->id][0] = *value;
}

static bool evaluate(op_eval *e, op_case *c, const case_graph *b, bdpo_arena *arena,
                     op_variant variant)
{
    op_eval_init(e, arena, b->g, variant);
    for (int i = 0; i < c->n_in; i++) set_leaf(e, b->in[i], &c->in[i]);
    bdpo_tensor dy = c->cotangent;
    if (b->dy && b->dy->out[0].dtype != BDPO_F32) {
        dy.dtype = b->dy->out[0].dtype;
        dy.data = op_eval_alloc(arena, (size_t)bdpo_shape_count(&dy.shape), 4);
        for (int64_t i = 0; i < bdpo_shape_count(&dy.shape); i++)
            op_set_element(&dy, 0, i, op_element(&c->cotangent, 0, i));
    }
    set_leaf(e, b->dy, &dy);
    if (!op_eval_run(e, b->g, &b->y, 1)) return complain(c, "%s", e->why);
    bdpo_tensor changed[BDPO_MAX_INPUTS];
    memcpy(changed, e->changed, sizeof changed);
    if (!op_eval_run(e, b->g, b->dx, BDPO_MAX_INPUTS)) return complain(c, "%s", e->why);
    memcpy(e->changed, changed, sizeof changed);
    return true;
}

static const bdpo_tensor *result_of(const op_eval *e, const op_case *c, const case_graph *b, int k)
{
    if (c->mutated[k] >= 0) return &e->changed[c->mutated[k]];
    int n_mutated = 0;
    while (n_mutated < c->n_result && c->mutated[n_mutated] >= 0) n_mutated++;
    return &e->value[b->y->id][k - n_mutated];
}

static bool compare_all(op_case *c, const case_graph *b, const op_eval *e, unsigned toward)
{
    const char *where = e->variant.name;
    for (int k = 0; k < c->n_result; k++)
        if (!compare_value(c, where, k, result_of(e, c, b, k), e->arena)) return false;
    for (int i = 0; i < c->n_in && b->dy; i++) {
        if (!(toward & 1u << i)) continue;
        const bdpo_tensor *dx = b->dx[i] ? &e->value[b->dx[i]->id][0] : NULL;
        if (!compare_gradient(c, where, i, dx, e->arena)) return false;
    }
    return true;
}

static bool same_bits(const bdpo_tensor *a, const bdpo_tensor *b)
{
    size_t bytes = (size_t)bdpo_shape_cols(&a->shape) * bdpo_dtype_size(a->dtype);
    for (int64_t r = 0; r < bdpo_shape_rows(&a->shape); r++) {
        size_t step_a = (size_t)(r * a->row_stride) * bdpo_dtype_size(a->dtype);
        size_t step_b = (size_t)(r * b->row_stride) * bdpo_dtype_size(b->dtype);
        if (memcmp((const char *)a->data + step_a, (const char *)b->data + step_b, bytes) != 0)
            return false;
    }
    return true;
}

static bool compare_bits(op_case *c, const case_graph *b, const op_eval *e, const op_eval *first)
{
    for (int k = 0; k < c->n_result; k++)
        if (!same_bits(result_of(e, c, b, k), result_of(first, c, b, k)))
            return complain(c, "%s: other bits in result %d", e->variant.name, k);
    for (int i = 0; i < c->n_in; i++)
        if (b->dx[i] && !same_bits(&e->value[b->dx[i]->id][0], &first->value[b->dx[i]->id][0]))
            return complain(c, "%s: other bits in the gradient of input %d", e->variant.name, i);
    return true;
}

// Runs one variant; with `first`, its bits must be those of that run.
static bool run_variant(op_case *c, const case_graph *b, op_variant variant, const op_eval *first)
{
    bdpo_arena *arena;
    CHECK_OK(bdpo_arena_new(&arena));
    op_eval e;
    bool ok = evaluate(&e, c, b, arena, variant) && compare_all(c, b, &e, c->differentiable) &&
              (!first || compare_bits(c, b, &e, first));
    bdpo_arena_free(arena);
    return ok;
}

// Bits of inputs and outputs stand for those of the operator and of its gradient kernels alike.
static bool run_layouts(op_case *c, const case_graph *b, bdpo_isa isa, const op_eval *first)
{
    char name[64];
    for (int i = 0; i < c->n_in || i < 4; i++) {
        snprintf(name, sizeof name, "%s, strided input %d", bdpo_isa_name(isa), i);
        op_variant in = {.name = name, .isa = isa, .n_threads = 2, .strided = 1u << i};
        if (!run_variant(c, b, in, NULL)) return false;
        snprintf(name, sizeof name, "%s, strided output %d", bdpo_isa_name(isa), i);
        op_variant out = {.name = name, .isa = isa, .n_threads = 2, .strided_out = 1u << i};
        if (i < BDPO_MAX_OUTPUTS && !run_variant(c, b, out, NULL)) return false;
        snprintf(name, sizeof name, "%s, in place of input %d", bdpo_isa_name(isa), i);
        op_variant inplace = {.name = name, .isa = isa, .n_threads = 2, .inplace = 1u << i};
        if (!run_variant(c, b, inplace, first)) return false;
    }
    snprintf(name, sizeof name, "%s, all strided, accumulating", bdpo_isa_name(isa));
    op_variant all = {.name = name, .isa = isa, .n_threads = 2, .strided = ~0u, .strided_out = ~0u};
    op_variant parts = {.name = "inputs in place", .isa = isa, .n_threads = 2, .parts = true};
    all.accumulate = true;
    return run_variant(c, b, all, NULL) && run_variant(c, b, parts, NULL);
}

static bool run_isa(op_case *c, const case_graph *b, bdpo_isa isa)
{
    const char *name = bdpo_isa_name(isa);
    bdpo_arena *arena;
    CHECK_OK(bdpo_arena_new(&arena));
    op_eval first;
    op_variant plain = {.name = name, .isa = isa, .n_threads = 2};
    bool ok = evaluate(&first, c, b, arena, plain) && compare_all(c, b, &first, c->differentiable);
    op_variant again = {.name = "a second run", .isa = isa, .n_threads = 2};
    op_variant one = {.name = "one thread", .isa = isa, .n_threads = 1};
    op_variant three = {.name = "three threads", .isa = isa, .n_threads = 3};
    op_variant sum = {.name = "accumulating", .isa = isa, .n_threads = 2, .accumulate = true};
    ok = ok && run_variant(c, b, again, &first) && run_variant(c, b, one, NULL) &&
         run_variant(c, b, three, NULL) && run_variant(c, b, sum, NULL) &&
         run_layouts(c, b, isa, &first);
    bdpo_arena_free(arena);
    return ok;
}

// The rule asked for one cotangent alone may take another way.
static bool run_one_by_one(op_case *c)
{
    for (int i = 0; i < c->n_in; i++) {
        if (!wants(c, i) || c->differentiable == 1u << i) continue;
        case_graph b;
        bdpo_arena *arena;
        CHECK_OK(bdpo_arena_new(&arena));
        op_variant variant = {
            .name = "gradient of one input", .isa = bdpo_isa_active(), .n_threads = 2};
        op_eval e;
        bool ok = build(&b, c, 1u << i) && evaluate(&e, c, &b, arena, variant) &&
                  compare_all(c, &b, &e, 1u << i);
        bdpo_arena_free(arena);
        bdpo_graph_free(b.g);
        if (!ok) return false;
    }
    return true;
}

// ---- the engine --------------------------------------------------------------------------------

static bdpo_status write_inputs(bdpo_plan *plan, const op_case *c, const case_graph *b)
{
    for (int i = 0; i < c->n_in; i++) {
        if (!b->in[i]) continue;
        char name[16];
        snprintf(name, sizeof name, "in%d", i);
        size_t bytes = (size_t)bdpo_shape_count(&c->in[i].shape) * bdpo_dtype_size(c->in[i].dtype);
        TRY(bdpo_plan_write(plan, name, c->in[i].data, bytes));
    }
    if (!b->dy) return BDPO_OK;
    size_t bytes = (size_t)bdpo_shape_count(&c->cotangent.shape) * sizeof(float);
    return bdpo_plan_write(plan, "dy", c->cotangent.data, bytes);
}

// Reads a named output into a tensor of the arena; halves are read as f32.
static bdpo_status read_output(bdpo_plan *plan, const char *name, const bdpo_node *node,
                               bdpo_arena *arena, bdpo_tensor *out)
{
    bdpo_dtype dtype = node->out[0].dtype;
    if (dtype == BDPO_BF16 || dtype == BDPO_F16) dtype = BDPO_F32;
    size_t bytes = (size_t)bdpo_shape_count(&node->out[0].shape) * bdpo_dtype_size(dtype);
    *out = (bdpo_tensor){.dtype = dtype,
                         .shape = node->out[0].shape,
                         .row_stride = bdpo_shape_cols(&node->out[0].shape),
                         .data = op_eval_alloc(arena, bytes, 1)};
    return bdpo_plan_read(plan, name, out->data, bytes);
}

typedef struct engine_run {
    bdpo_tensor y[BDPO_MAX_OUTPUTS], dx[BDPO_MAX_INPUTS];
} engine_run;

static void name_outputs(const case_graph *b)
{
    for (int k = 0; k < b->y->n_out; k++)
        bdpo_output(b->g, (const char *[]){"y0", "y1", "y2", "y3", "y4", "y5"}[k],
                    bdpo_node_output(b->y, k));
    for (int i = 0; i < BDPO_MAX_INPUTS; i++) {
        char name[16];
        snprintf(name, sizeof name, "dx%d", i);
        if (b->dx[i]) bdpo_output(b->g, name, b->dx[i]);
    }
}

static bdpo_status run_plan(bdpo_plan *plan, const op_case *c, const case_graph *b,
                            bdpo_arena *arena, engine_run *out)
{
    TRY(write_inputs(plan, c, b));
    TRY(bdpo_plan_run(plan));
    char name[16];
    for (int k = 0; k < b->y->n_out; k++) {
        snprintf(name, sizeof name, "y%d", k);
        TRY(read_output(plan, name, bdpo_node_output(b->y, k), arena, &out->y[k]));
    }
    for (int i = 0; i < BDPO_MAX_INPUTS; i++) {
        snprintf(name, sizeof name, "dx%d", i);
        if (b->dx[i]) TRY(read_output(plan, name, b->dx[i], arena, &out->dx[i]));
    }
    return BDPO_OK;
}

static bool compare_engine(op_case *c, const case_graph *b, const engine_run *run,
                           const engine_run *first, bdpo_arena *arena)
{
    for (int k = 0; k < b->y->n_out; k++) {
        if (!compare_value(c, "engine", k, &run->y[k], arena)) return false;
        if (!same_bits(&run->y[k], &first->y[k]))
            return complain(c, "engine: other bits in output %d in another order", k);
    }
    for (int i = 0; i < c->n_in && b->dy; i++) {
        if (!wants(c, i)) continue;
        if (!compare_gradient(c, "engine", i, b->dx[i] ? &run->dx[i] : NULL, arena)) return false;
        if (b->dx[i] && !same_bits(&run->dx[i], &first->dx[i]))
            return complain(c, "engine: other bits in gradient %d in another order", i);
    }
    return true;
}

static bool run_engine(op_case *c, case_graph *b)
{
    bdpo_engine *engine;
    bdpo_arena *arena;
    CHECK_OK(bdpo_engine_new(&engine, &(bdpo_engine_options){.n_threads = 2}));
    CHECK_OK(bdpo_arena_new(&arena));
    name_outputs(b);
    engine_run run[3];
    bool ok = true;
    for (int order = 0; order < 3 && ok; order++) {
        bdpo_plan *plan = NULL;
        bdpo_plan_options options = {.shuffle_seed = (uint64_t)order, .poison = true};
        bdpo_status status = bdpo_plan_new(&plan, engine, b->g, &options);
        if (status == BDPO_OK) status = run_plan(plan, c, b, arena, &run[order]);
        ok = status == BDPO_OK ? compare_engine(c, b, &run[order], &run[0], arena)
                               : complain(c, "engine: %s", bdpo_message());
        bdpo_plan_free(plan);
    }
    bdpo_arena_free(arena);
    bdpo_engine_free(engine);
    return ok;
}

// ---- all cases of an operator ------------------------------------------------------------------

// What the cases together have shown, by input.
typedef struct coverage {
    unsigned differentiable, sloped, strided;
    bool accepted, refused;
} coverage;

static bool check_refused(op_case *c)
{
    case_graph b;
    build_value(&b, c, 0);
    bdpo_status status = bdpo_graph_check(b.g);
    bool ok = true;
    if (b.y || status == BDPO_OK)
        ok = complain(c, "the shape rule accepts what it has to refuse");
    else if (!strstr(bdpo_message(), c->op->name))
        ok = complain(c, "refused in words that do not name the operator: %s", bdpo_message());
    bdpo_graph_free(b.g);
    return ok;
}

static void note_coverage(coverage *seen, const op_case *c, const case_graph *b)
{
    seen->accepted = true;
    for (int i = 0; i < c->n_in; i++) {
        if (!b->in[i]) continue;
        if (bdpo_shape_rows(&c->row->in[i].shape) > 1) seen->strided |= 1u << i;
        if (!b->dy || !wants(c, i)) continue;
        seen->differentiable |= 1u << i;
        double noise = tolerance_of(c) * gradient_floor * c->cotangent_norm;
        if (c->expected[i].norm > 100 * noise) seen->sloped |= 1u << i;
    }
}

static bool check_accepted(op_case *c, coverage *seen)
{
    case_graph b;
    bool ok = build(&b, c, c->differentiable);
    if (ok) {
        reference_value(c, b.y);
        if (b.dy) reference_gradient(c, &b.y->out[0]);
        note_coverage(seen, c, &b);
    }
    for (int isa = 0; isa <= (int)BDPO_ISA_avx512 && ok; isa++) {
        bdpo_isa active = bdpo_isa_active();
        if (bdpo_isa_force((bdpo_isa)isa) != BDPO_OK) continue;
        CHECK_OK(bdpo_isa_force(active));
        ok = run_isa(c, &b, (bdpo_isa)isa);
    }
    ok = ok && (!b.dy || run_one_by_one(c)) && (c->op->mutates || run_engine(c, &b));
    bdpo_graph_free(b.g);
    return ok;
}

static bool check_case(const bdpo_op *op, size_t index, coverage *seen, char *why, size_t size)
{
    op_case c = {.op = op, .row = &op->cases[index], .why = why, .why_size = size};
    c.seed = base_seed() * 0x9e3779b97f4a7c15u + index;
    for (const char *p = op->name; *p; p++) c.seed = (c.seed ^ (unsigned char)*p) * 1099511628211u;
    if (op->attrs_size && !c.row->attrs) return complain(&c, "it has no attributes");
    CHECK_OK(bdpo_arena_new(&c.arena));
    case_inputs(&c);
    seen->refused = seen->refused || c.row->refused;
    bool ok = c.row->refused ? check_refused(&c) : check_accepted(&c, seen);
    bdpo_arena_free(c.arena);
    return ok;
}

static bool check_coverage(const bdpo_op *op, const coverage *seen, char *why, size_t size)
{
    const char *missing = NULL;
    unsigned flat = seen->differentiable & ~seen->sloped;
    unsigned unstrided = op->strided_inputs & ~seen->strided;
    if (!seen->accepted) missing = "no case is accepted";
    if (op->n_inputs > 0 && !seen->refused) missing = "no case is refused";
    if (unstrided) missing = "no case has several rows in a strided input";
    if (flat) missing = "no case has a gradient above the noise toward some input";
    if (missing)
        snprintf(why, size, "%s: %s (inputs %#x)", op->name, missing, flat ? flat : unstrided);
    return missing == NULL;
}

bool op_driver_check(const bdpo_op *op, char *why, size_t size)
{
    coverage seen = {0};
    for (size_t i = 0; i < op->n_cases; i++)
        if (!check_case(op, i, &seen, why, size)) return false;
    return check_coverage(op, &seen, why, size);
}

bool op_driver_reaches(const bdpo_op *from, const bdpo_op *kernel)
{
    bool found = false;
    for (size_t i = 0; i < from->n_cases && !found; i++) {
        if (from->cases[i].refused) continue;
        char why[512];
        op_case c = {.op = from, .row = &from->cases[i], .why = why, .why_size = sizeof why};
        CHECK_OK(bdpo_arena_new(&c.arena));
        case_inputs(&c);
        case_graph b;
        if (build(&b, &c, c.differentiable))
            for (int n = 0; n < b.g->n_nodes; n++) found = found || b.g->nodes[n]->op == kernel;
        bdpo_graph_free(b.g);
        bdpo_arena_free(c.arena);
    }
    return found;
}

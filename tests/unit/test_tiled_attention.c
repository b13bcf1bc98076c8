// Attention kernels against a double reference: any head size, causal, key lengths, strided q, k, v
// as slices of one product, each instruction set; the same bits for any number of threads, whatever
// way these cut the work; extremes.
#include "unit/guarded.h"

#include "base/memory.h"
#include "kernels/tiled_attention.h"

typedef struct attention {
    bdpo_attention_shape s;
    guarded q, k, v, dy;        // inputs
    guarded y, lse, dq, dk, dv; // results
    double *ry, *rlse, *rdq, *rdk, *rdv;
} attention;

static double *new_doubles(int64_t count)
{
    double *p = bdpo_alloc((size_t)count, sizeof *p);
    CHECK(p != NULL);
    return p;
}

static attention attention_new(bdpo_attention_shape s, int64_t gap, float range)
{
    int64_t c = s.heads * s.head_size, nq = s.n * s.tq, nk = s.n * s.tk;
    attention a = {.s = s};
    a.q = guarded_new(nq, c, gap, 1, range), a.k = guarded_new(nk, c, gap + gap / 2, 2, range);
    a.v = guarded_new(nk, c, gap, 3, 1), a.dy = guarded_new(nq, c, gap / 2, 4, 1);
    a.y = guarded_new(nq, c, gap, 5, 1), a.lse = guarded_new(1, s.n * s.heads * s.tq, 0, 6, 1);
    a.dq = guarded_new(nq, c, 0, 7, 1), a.dk = guarded_new(nk, c, gap, 8, 1);
    a.dv = guarded_new(nk, c, gap, 9, 1);
    a.ry = new_doubles(nq * c), a.rdq = new_doubles(nq * c), a.rdk = new_doubles(nk * c);
    a.rdv = new_doubles(nk * c), a.rlse = new_doubles(s.n * s.heads * s.tq);
    return a;
}

static void attention_free(attention *a)
{
    guarded *all[] = {&a->q, &a->k, &a->v, &a->dy, &a->y, &a->lse, &a->dq, &a->dk, &a->dv};
    for (size_t i = 0; i < BDPO_COUNTOF(all); i++) guarded_free(all[i]);
    bdpo_free(a->ry), bdpo_free(a->rlse), bdpo_free(a->rdq), bdpo_free(a->rdk), bdpo_free(a->rdv);
}

static void run(attention *a, int threads)
{
    size_t size = bdpo_attention_forward_workspace(&a->s, threads);
    void *ws = workspace_new(size);
    bdpo_attention_forward(a->y.data, a->y.ld, a->lse.data, a->q.data, a->q.ld, a->k.data, a->k.ld,
                           a->v.data, a->v.ld, &a->s, ws, threads);
    workspace_free(ws, size);
    size = bdpo_attention_backward_workspace(&a->s, threads);
    ws = workspace_new(size);
    bdpo_attention_backward(a->dq.data, a->dq.ld, a->dk.data, a->dk.ld, a->dv.data, a->dv.ld,
                            a->dy.data, a->dy.ld, a->y.data, a->y.ld, a->lse.data, a->q.data,
                            a->q.ld, a->k.data, a->k.ld, a->v.data, a->v.ld, &a->s, ws, threads);
    workspace_free(ws, size);
}

// ---- reference ------------------------------------------------------------------------------

static double inner(const float *a, const float *b, int64_t d)
{
    double sum = 0;
    for (int64_t j = 0; j < d; j++) sum += (double)a[j] * (double)b[j];
    return sum;
}

// Query `row` of all samples' queries, head at column `col`, its keys from row `key` on.
static void reference_query(attention *a, int64_t row, int64_t col, int64_t key, int64_t keys,
                            double *p, double *lse)
{
    int64_t d = a->s.head_size, c = a->s.heads * d;
    const float *q = a->q.data + row * a->q.ld + col, *dy = a->dy.data + row * a->dy.ld + col;
    double top = -INFINITY, sum = 0, delta = 0;
    for (int64_t j = 0; j < keys; j++) {
        p[j] = (double)a->s.scale * inner(q, a->k.data + (key + j) * a->k.ld + col, d);
        top = fmax(top, p[j]);
    }
    for (int64_t j = 0; j < keys; j++) sum += p[j] = exp(p[j] - top);
    *lse = keys ? top + log(sum) : -INFINITY;
    for (int64_t j = 0; j < keys; j++) {
        p[j] /= sum;
        delta += p[j] * inner(dy, a->v.data + (key + j) * a->v.ld + col, d);
    }
    for (int64_t j = 0; j < keys; j++) {
        const float *k = a->k.data + (key + j) * a->k.ld + col;
        const float *v = a->v.data + (key + j) * a->v.ld + col;
        double ds = p[j] * (inner(dy, v, d) - delta) * (double)a->s.scale;
        int64_t to = (key + j) * c + col;
        for (int64_t e = 0; e < d; e++) {
            a->ry[row * c + col + e] += p[j] * (double)v[e];
            a->rdq[row * c + col + e] += ds * (double)k[e];
            a->rdk[to + e] += ds * (double)q[e];
            a->rdv[to + e] += p[j] * (double)dy[e];
        }
    }
}

static void reference(attention *a)
{
    const bdpo_attention_shape *s = &a->s;
    double *p = new_doubles(s->tk);
    for (int64_t i = 0; i < s->n; i++)
        for (int64_t h = 0; h < s->heads; h++)
            for (int64_t t = 0; t < s->tq; t++) {
                int64_t keys = s->key_lengths ? s->key_lengths[i] : s->tk;
                if (s->causal && t + 1 < keys) keys = t + 1;
                reference_query(a, i * s->tq + t, h * s->head_size, i * s->tk, keys, p,
                                &a->rlse[(i * s->heads + h) * s->tq + t]);
            }
    bdpo_free(p);
}

// ---- checks ---------------------------------------------------------------------------------

// ||actual - expected|| against ||expected|| + floor * sqrt(count).
static void check_close(const char *what, const guarded *actual, const double *expected,
                        double limit, double floor)
{
    double error = 0, size = 0;
    for (int64_t r = 0; r < actual->rows; r++)
        for (int64_t c = 0; c < actual->cols; c++) {
            double e = expected[r * actual->cols + c];
            double d = (double)actual->data[r * actual->ld + c] - e;
            error += d * d;
            size += e * e;
        }
    double room = sqrt(size) + floor * sqrt((double)(actual->rows * actual->cols));
    if (!(sqrt(error) <= limit * room))
        FAIL("%s with %s: off by %.3g of %.3g, allowed %.3g", what,
             bdpo_isa_name(bdpo_isa_active()), sqrt(error), room, limit);
    CHECK_GUARDS(actual);
}

// Scores up to about `range`^2 * sqrt(d) are rounded relatively to 2^-24 some d + 3 times at
// random; a probability takes that as a relative error. dq and dk hold differences of terms
// scale * dp * p * k, here about 0.3 at p = 1, of which one key leaves nothing: hence the floor.
static void check(attention *a, int threads, double limit)
{
    double floor = 0.3 / sqrt((double)a->s.tk);
    run(a, threads);
    reference(a);
    for (int64_t i = 0; i < a->lse.cols; i++)
        if (isinf(a->rlse[i]))
            CHECK(a->lse.data[i] == -INFINITY);
        else
            CHECK_ELEMENT("lse", i, 0, (double)a->lse.data[i], a->rlse[i],
                          limit * (1 + fabs(a->rlse[i])));
    check_close("y", &a->y, a->ry, limit, 0);
    check_close("dq", &a->dq, a->rdq, limit, floor);
    check_close("dk", &a->dk, a->rdk, limit, floor);
    check_close("dv", &a->dv, a->rdv, limit, 0);
    CHECK_GUARDS(&a->lse);
}

static const double LIMIT = 3e-6; // 50 * 2^-24

static const int64_t head_sizes[] = {1, 3, 5, 8, 13, 16, 24, 40, 64, 72, 80, 160};

static void small_shapes(void)
{
    static const int64_t tokens[][2] = {{1, 1}, {5, 3}, {64, 77}, {70, 49}};
    uint32_t state = 3;
    for (size_t i = 0; i < BDPO_COUNTOF(head_sizes); i++)
        for (size_t t = 0; t < BDPO_COUNTOF(tokens); t++) {
            int64_t d = head_sizes[i], tq = tokens[t][0], tk = tokens[t][1];
            int32_t lengths[2] = {(int32_t)random_below(&state, tk + 1), (int32_t)tk};
            int options = (int)random_below(&state, 4);
            bdpo_attention_shape s = {
                2, tq, tk, 2, d, 1 / sqrtf((float)d), options & 1, options & 2 ? lengths : NULL};
            attention a = attention_new(s, random_below(&state, 3) * 20, 1.5F);
            check(&a, 1 + (int)random_below(&state, 3), LIMIT);
            attention_free(&a);
        }
}

BDPO_TEST(attention_of_any_head_size)
{
    for_each_isa(small_shapes);
}

// Several blocks of queries and tiles of keys, several heads of a sample together.
static void longer(void)
{
    static const int32_t lengths[] = {301, 0, 97};
    bdpo_attention_shape all[] = {{1, 600, 301, 3, 20, 0.2F, false, NULL},
                                  {3, 270, 301, 2, 9, 0.3F, true, lengths},
                                  {2, 1100, 30, 4, 16, 0.25F, false, NULL},
                                  {1, 300, 500, 1, 96, 0.1F, true, NULL}};
    for (size_t i = 0; i < BDPO_COUNTOF(all); i++) {
        attention a = attention_new(all[i], 4, 1.5F);
        check(&a, 2, LIMIT);
        attention_free(&a);
    }
}

BDPO_TEST_FULL(attention_over_many_blocks)
{
    for_each_isa(longer);
}

// Whole heads a thread, and heads cut into blocks of queries and of keys.
static void thread_counts(void)
{
    static const int32_t lengths[] = {400, 250};
    bdpo_attention_shape s = {2, 530, 400, 3, 20, 0.2F, true, lengths};
    attention one = attention_new(s, 4, 1.5F);
    run(&one, 1);
    for (int threads = 2; threads <= 17; threads += 5) {
        attention a = attention_new(s, 4, 1.5F);
        run(&a, threads);
        CHECK_SAME(&a.y, &one.y);
        CHECK_SAME(&a.lse, &one.lse);
        CHECK_SAME(&a.dq, &one.dq);
        CHECK_SAME(&a.dk, &one.dk);
        CHECK_SAME(&a.dv, &one.dv);
        attention_free(&a);
    }
    attention_free(&one);
}

BDPO_TEST_FULL(attention_bits_do_not_depend_on_threads)
{
    for_each_isa(thread_counts);
}

// Scores of several hundred: one key takes all, the others' probabilities fall below the floats.
// A score of 600 is rounded to 600 * 2^-24 = 4e-5, its probability relatively so.
static void peaked(void)
{
    bdpo_attention_shape s = {1, 130, 150, 2, 40, 1, true, NULL};
    attention a = attention_new(s, 0, 6);
    check(&a, 2, 2e-3);
    attention_free(&a);
}

BDPO_TEST(attention_with_large_scores)
{
    for_each_isa(peaked);
}

static void no_keys(void)
{
    static const int32_t lengths[] = {0, 0};
    bdpo_attention_shape s = {2, 70, 50, 2, 24, 1, false, lengths};
    attention a = attention_new(s, 3, 1);
    run(&a, 2);
    const guarded *zero[] = {&a.y, &a.dq, &a.dk, &a.dv};
    for (size_t i = 0; i < BDPO_COUNTOF(zero); i++)
        for (int64_t r = 0; r < zero[i]->rows; r++)
            for (int64_t c = 0; c < zero[i]->cols; c++)
                CHECK(zero[i]->data[r * zero[i]->ld + c] == 0);
    for (int64_t i = 0; i < a.lse.cols; i++) CHECK(a.lse.data[i] == -INFINITY);
    attention_free(&a);
}

BDPO_TEST(attention_without_keys_is_zero)
{
    for_each_isa(no_keys);
}

// Lengths come from data: below 0 they mean none, above the number of keys all.
static void lengths_outside(void)
{
    static const int32_t outside[] = {-3, 51}, inside[] = {0, 50};
    bdpo_attention_shape s = {2, 70, 50, 2, 24, 1, false, outside};
    attention a = attention_new(s, 3, 1);
    s.key_lengths = inside;
    attention b = attention_new(s, 3, 1);
    run(&a, 2);
    run(&b, 2);
    CHECK_SAME(&a.y, &b.y);
    CHECK_SAME(&a.dq, &b.dq);
    CHECK_SAME(&a.dk, &b.dk);
    CHECK_SAME(&a.dv, &b.dv);
    attention_free(&a);
    attention_free(&b);
}

BDPO_TEST(attention_of_lengths_outside)
{
    for_each_isa(lengths_outside);
}

// A NaN in one query spoils that query's result and no other; hidden keys spoil nothing.
static void nan_stays_where_it_is(void)
{
    static const int32_t lengths[] = {33};
    bdpo_attention_shape s = {1, 20, 40, 1, 12, 0.3F, false, lengths};
    attention a = attention_new(s, 0, 1);
    a.q.data[7 * a.q.ld + 3] = NAN;
    for (int64_t j = 33; j < 40; j++) a.k.data[j * a.k.ld] = a.v.data[j * a.v.ld] = NAN;
    run(&a, 1);
    for (int64_t r = 0; r < 20; r++)
        for (int64_t c = 0; c < 12; c++) CHECK(isnan(a.y.data[r * a.y.ld + c]) == (r == 7));
    for (int64_t c = 0; c < 12; c++) {
        CHECK(isnan(a.dq.data[7 * a.dq.ld + c]) && !isnan(a.dq.data[8 * a.dq.ld + c]));
        CHECK(isnan(a.dk.data[c]) && a.dk.data[39 * a.dk.ld + c] == 0);
    }
    attention_free(&a);
}

BDPO_TEST(attention_passes_nan_on)
{
    for_each_isa(nan_stays_where_it_is);
}

// The workspace is bounded by the packed keys and a block of queries, never by tq * tk.
BDPO_TEST(attention_workspace_is_bounded)
{
    bdpo_attention_shape s = {2, 16384, 16384, 8, 40, 1, false, NULL};
    double floats = 4.0 * 16384 * 48 + 256 * (5 * 48 + 16) + 3 * 96 * 64;
    CHECK_LE((double)bdpo_attention_forward_workspace(&s, 2), 2 * 4 * floats);
    CHECK_LE((double)bdpo_attention_backward_workspace(&s, 2), 2 * 4 * floats);
}

// Group norm, layer norm and L2 normalisation against double references: strides, groups of any
// width, with and without SiLU, absent parameters, accumulation, in place, each instruction set;
// the same bits for any number of threads; data far from zero.
#include "unit/guarded.h"

#include "base/memory.h"
#include "kernels/norm.h"

// ||actual - expected|| / (||expected|| + terms) over a matrix, expected dense in double. `terms`
// is the size of what cancels in it: for a group of two values all of dx is rounding.
static double relative_error(const guarded *actual, const double *expected, double terms)
{
    double error = 0, size = 0;
    for (int64_t r = 0; r < actual->rows; r++)
        for (int64_t c = 0; c < actual->cols; c++) {
            double e = expected[r * actual->cols + c];
            double d = (double)actual->data[r * actual->ld + c] - e;
            error += d * d;
            size += e * e;
        }
    return sqrt(error) / (sqrt(size) + terms + 1e-300);
}

static double *new_doubles(int64_t count)
{
    double *p = bdpo_alloc((size_t)count, sizeof *p);
    CHECK(p != NULL);
    return p;
}

static void add_old(double *expected, const guarded *old)
{
    for (int64_t r = 0; r < old->rows; r++)
        for (int64_t c = 0; c < old->cols; c++)
            expected[r * old->cols + c] += (double)old->data[r * old->ld + c];
}

static double silu_slope(double z)
{
    double s = 1 / (1 + exp(-z));
    return s * (1 + z * (1 - s));
}

// ---- references -----------------------------------------------------------------------------

typedef struct group_reference {
    double *y, *dx, *dgamma, *dbeta, *mean, *rstd;
    double terms; // ||rstd * gamma * dz||, what dx is made of
} group_reference;

typedef struct group_inputs {
    bdpo_group_norm_shape s;
    guarded x, dy, gamma, beta;
    bool params; // gamma and beta are given
} group_inputs;

static double gamma_of(const group_inputs *in, int64_t c)
{
    return in->params ? (double)in->gamma.data[c] : 1;
}

static double x_of(const group_inputs *in, int64_t row, int64_t c)
{
    return (double)in->x.data[row * in->x.ld + c];
}

// One group of one sample: channels [c0, c1), rows [r0, r1).
static void reference_group(group_reference *ref, const group_inputs *in, int64_t at, int64_t r0,
                            int64_t r1, int64_t c0, int64_t c1)
{
    double count = (double)((r1 - r0) * (c1 - c0)), mean = 0, square = 0, a = 0, b = 0;
    for (int64_t r = r0; r < r1; r++)
        for (int64_t c = c0; c < c1; c++) mean += x_of(in, r, c) / count;
    for (int64_t r = r0; r < r1; r++)
        for (int64_t c = c0; c < c1; c++) {
            double d = x_of(in, r, c) - mean;
            square += d * d / count;
        }
    double rstd = 1 / sqrt(square + (double)in->s.eps);
    ref->mean[at] = mean;
    ref->rstd[at] = rstd;
    for (int pass = 0; pass < 2; pass++)
        for (int64_t r = r0; r < r1; r++)
            for (int64_t c = c0; c < c1; c++) {
                double hat = (x_of(in, r, c) - mean) * rstd, gamma = gamma_of(in, c);
                double z = hat * gamma + (in->params ? (double)in->beta.data[c] : 0);
                double dz = (double)in->dy.data[r * in->dy.ld + c];
                if (in->s.silu) dz *= silu_slope(z);
                if (pass == 0) {
                    ref->y[r * in->s.c + c] = in->s.silu ? z / (1 + exp(-z)) : z;
                    ref->dgamma[c] += dz * hat;
                    ref->dbeta[c] += dz;
                    a += dz * gamma / count;
                    b += dz * gamma * hat / count;
                } else {
                    ref->dx[r * in->s.c + c] = rstd * (dz * gamma - a - hat * b);
                    ref->terms += rstd * dz * gamma * rstd * dz * gamma;
                }
            }
}

static group_reference group_reference_new(const group_inputs *in)
{
    const bdpo_group_norm_shape *s = &in->s;
    int64_t count = s->n * s->hw * s->c, width = s->c / s->groups;
    group_reference ref = {new_doubles(count),
                           new_doubles(count),
                           new_doubles(s->c),
                           new_doubles(s->c),
                           new_doubles(s->n * s->groups),
                           new_doubles(s->n * s->groups),
                           0};
    for (int64_t i = 0; i < s->n; i++)
        for (int64_t g = 0; g < s->groups; g++)
            reference_group(&ref, in, i * s->groups + g, i * s->hw, (i + 1) * s->hw, g * width,
                            (g + 1) * width);
    ref.terms = sqrt(ref.terms);
    return ref;
}

static void group_reference_free(group_reference *ref)
{
    bdpo_free(ref->y), bdpo_free(ref->dx), bdpo_free(ref->dgamma);
    bdpo_free(ref->dbeta), bdpo_free(ref->mean), bdpo_free(ref->rstd);
}

// ---- group norm -----------------------------------------------------------------------------

static group_inputs group_inputs_new(int64_t n, int64_t hw, int64_t c, int64_t groups, bool silu,
                                     bool params, int64_t gap)
{
    group_inputs in = {.s = {n, hw, c, groups, 1e-5F, silu}, .params = params};
    in.x = guarded_new(n * hw, c, gap, 1, 2);
    in.dy = guarded_new(n * hw, c, gap / 2, 2, 1);
    in.gamma = guarded_new(1, c, 0, 3, 1);
    in.beta = guarded_new(1, c, 0, 4, 1);
    return in;
}

static void group_inputs_free(group_inputs *in)
{
    guarded_free(&in->x), guarded_free(&in->dy), guarded_free(&in->gamma), guarded_free(&in->beta);
}

static void forward(guarded *y, guarded *stats, const group_inputs *in, const guarded *x,
                    int threads)
{
    size_t size = bdpo_group_norm_forward_workspace(&in->s);
    void *ws = workspace_new(size);
    bdpo_group_norm_forward(y->data, y->ld, stats->data, x->data, x->ld,
                            in->params ? in->gamma.data : NULL, in->params ? in->beta.data : NULL,
                            &in->s, ws, threads);
    workspace_free(ws, size);
}

static void backward(guarded *dx, guarded *dgamma, guarded *dbeta, const guarded *stats,
                     const group_inputs *in, const guarded *dy, bool add_dx, bool add_params,
                     int threads)
{
    size_t size = bdpo_group_norm_backward_workspace(&in->s);
    void *ws = workspace_new(size);
    bdpo_group_norm_backward(dx ? dx->data : NULL, dx ? dx->ld : 0, dgamma ? dgamma->data : NULL,
                             dbeta ? dbeta->data : NULL, dy->data, dy->ld, in->x.data, in->x.ld,
                             stats->data, in->params ? in->gamma.data : NULL,
                             in->params ? in->beta.data : NULL, &in->s, add_dx, add_params, ws,
                             threads);
    workspace_free(ws, size);
}

// Errors are those of some ten roundings of numbers of the result's own size; sums add theirs at
// random. 2e-6 is 34 units of 2^-24.
static const double LIMIT = 2e-6;

static void check_forward(const group_inputs *in, const group_reference *ref, guarded *stats)
{
    const bdpo_group_norm_shape *s = &in->s;
    guarded y = guarded_new(s->n * s->hw, s->c, 3, 5, 1), one = guarded_copy(&y);
    guarded in_place = guarded_copy(&in->x), other = guarded_copy(stats);
    forward(&y, stats, in, &in->x, 3);
    forward(&one, &other, in, &in->x, 1);
    CHECK_SAME(&y, &one);
    CHECK_SAME(stats, &other);
    forward(&in_place, &other, in, &in_place, 2);
    CHECK_LE(relative_error(&y, ref->y, 0), LIMIT);
    CHECK_LE(relative_error(&in_place, ref->y, 0), LIMIT);
    for (int64_t i = 0; i < s->n * s->groups; i++) {
        CHECK_NEAR((double)stats->data[2 * i], ref->mean[i], 1e-6);
        CHECK_NEAR((double)stats->data[2 * i + 1], ref->rstd[i], 1e-6 * ref->rstd[i]);
    }
    CHECK_GUARDS(&y);
    CHECK_GUARDS(stats);
    guarded_free(&y), guarded_free(&one), guarded_free(&in_place), guarded_free(&other);
}

static void check_backward(const group_inputs *in, group_reference *ref, const guarded *stats,
                           bool add)
{
    const bdpo_group_norm_shape *s = &in->s;
    guarded dx = guarded_new(s->n * s->hw, s->c, 1, 6, 1), one = guarded_copy(&dx);
    guarded dg = guarded_new(1, s->c, 0, 7, 1), db = guarded_new(1, s->c, 0, 8, 1);
    guarded dg1 = guarded_copy(&dg), db1 = guarded_copy(&db), in_place = guarded_copy(&in->dy);
    backward(&in_place, NULL, NULL, stats, in, &in_place, false, false, 2);
    CHECK_LE(relative_error(&in_place, ref->dx, ref->terms), LIMIT);
    if (add) add_old(ref->dx, &dx), add_old(ref->dgamma, &dg), add_old(ref->dbeta, &db);
    backward(&dx, &dg, &db, stats, in, &in->dy, add, add, 3);
    backward(&one, &dg1, NULL, stats, in, &in->dy, add, add, 1);
    backward(NULL, NULL, &db1, stats, in, &in->dy, add, add, 2);
    CHECK_SAME(&dx, &one);
    CHECK_SAME(&dg, &dg1);
    CHECK_SAME(&db, &db1);
    CHECK_LE(relative_error(&dx, ref->dx, ref->terms), LIMIT);
    CHECK_LE(relative_error(&dg, ref->dgamma, 0), LIMIT);
    CHECK_LE(relative_error(&db, ref->dbeta, 0), LIMIT);
    CHECK_GUARDS(&dx);
    CHECK_GUARDS(&dg);
    guarded_free(&dx), guarded_free(&one), guarded_free(&dg), guarded_free(&db);
    guarded_free(&dg1), guarded_free(&db1), guarded_free(&in_place);
}

static void check_group(int64_t n, int64_t hw, int64_t c, int64_t groups, bool silu, bool params,
                        int64_t gap)
{
    group_inputs in = group_inputs_new(n, hw, c, groups, silu, params, gap);
    group_reference ref = group_reference_new(&in);
    guarded stats = guarded_new(n * groups, 2, 0, 9, 1);
    check_forward(&in, &ref, &stats);
    check_backward(&in, &ref, &stats, gap != 0);
    guarded_free(&stats);
    group_reference_free(&ref);
    group_inputs_free(&in);
}

static void group_norms(void)
{
    static const int64_t sizes[][5] = {// n, hw, c, groups, gap
                                       {1, 1, 4, 2, 0},      {1, 3, 5, 1, 1},    {2, 7, 6, 6, 2},
                                       {3, 64, 32, 8, 0},    {2, 130, 40, 4, 3}, {2, 257, 33, 3, 1},
                                       {1, 400, 320, 32, 0}, {16, 16, 64, 32, 0}};
    for (size_t i = 0; i < BDPO_COUNTOF(sizes); i++)
        for (int k = 0; k < 4; k++)
            check_group(sizes[i][0], sizes[i][1], sizes[i][2], sizes[i][3], k & 1, k & 2,
                        sizes[i][4]);
}

BDPO_TEST(group_norm_and_its_gradients)
{
    for_each_isa(group_norms);
}

// A mean of 1000 standard deviations. E[x^2] - E[x]^2 in float would be off by 6 %; the rounding
// of the mean to float moves all by 1000 * 2^-25 standard deviations.
static void far_from_zero(void)
{
    group_inputs in = group_inputs_new(2, 300, 48, 4, false, true, 0);
    for (int64_t i = 0; i < in.x.rows * in.x.ld; i++) in.x.data[i] += 1000;
    in.x.data[3] = 1300; // an outlier in a block's first row, about which squares are taken:
    // they exceed those about the mean by at most a factor 129, 36 roundings of which leave 1.4e-4
    group_reference ref = group_reference_new(&in);
    guarded stats = guarded_new(8, 2, 0, 9, 1), y = guarded_new(600, 48, 0, 5, 1);
    forward(&y, &stats, &in, &in.x, 2);
    for (int64_t i = 0; i < 8; i++) {
        CHECK_NEAR((double)stats.data[2 * i], ref.mean[i], 1000 * 0x1p-24);
        CHECK_NEAR((double)stats.data[2 * i + 1] / ref.rstd[i], 1, 1.4e-4);
    }
    CHECK_LE(relative_error(&y, ref.y, 0), 2e-4);
    guarded_free(&stats), guarded_free(&y);
    group_reference_free(&ref);
    group_inputs_free(&in);
}

BDPO_TEST(group_norm_far_from_zero)
{
    for_each_isa(far_from_zero);
}

// ---- layer norm: group norm's reference with one row a sample -------------------------------

static void check_layer(int64_t rows, int64_t cols, int64_t gap, bool params, bool add)
{
    group_inputs in = group_inputs_new(rows, 1, cols, 1, false, params, gap);
    group_reference ref = group_reference_new(&in);
    const float *gamma = params ? in.gamma.data : NULL, *beta = params ? in.beta.data : NULL;
    guarded y = guarded_new(rows, cols, 2, 5, 1), stats = guarded_new(rows, 2, 0, 6, 1);
    guarded dx = guarded_new(rows, cols, gap, 7, 1), dx1 = guarded_copy(&dx);
    guarded dg = guarded_new(1, cols, 0, 8, 1), db = guarded_new(1, cols, 0, 9, 1);
    guarded dg1 = guarded_copy(&dg), in_place = guarded_copy(&in.dy);
    bdpo_layer_norm_forward(y.data, y.ld, stats.data, in.x.data, in.x.ld, gamma, beta, rows, cols,
                            1e-5F, 3);
    CHECK_LE(relative_error(&y, ref.y, 0), LIMIT);
    for (int64_t r = 0; r < rows; r++)
        CHECK_NEAR((double)stats.data[2 * r + 1] / ref.rstd[r], 1, 1e-6);
    size_t size = bdpo_layer_norm_backward_workspace(rows, cols);
    void *ws = workspace_new(size);
    bdpo_layer_norm_backward(in_place.data, in_place.ld, NULL, NULL, in_place.data, in_place.ld,
                             in.x.data, in.x.ld, stats.data, gamma, rows, cols, false, false, ws,
                             2);
    CHECK_LE(relative_error(&in_place, ref.dx, ref.terms), LIMIT);
    if (add) add_old(ref.dx, &dx), add_old(ref.dgamma, &dg), add_old(ref.dbeta, &db);
    bdpo_layer_norm_backward(dx.data, dx.ld, dg.data, db.data, in.dy.data, in.dy.ld, in.x.data,
                             in.x.ld, stats.data, gamma, rows, cols, add, add, ws, 3);
    bdpo_layer_norm_backward(dx1.data, dx1.ld, dg1.data, NULL, in.dy.data, in.dy.ld, in.x.data,
                             in.x.ld, stats.data, gamma, rows, cols, add, add, ws, 1);
    CHECK_SAME(&dx, &dx1);
    CHECK_SAME(&dg, &dg1);
    CHECK_LE(relative_error(&dx, ref.dx, ref.terms), LIMIT);
    CHECK_LE(relative_error(&dg, ref.dgamma, 0), LIMIT);
    CHECK_LE(relative_error(&db, ref.dbeta, 0), LIMIT);
    CHECK_GUARDS(&y);
    CHECK_GUARDS(&stats);
    CHECK_GUARDS(&dx);
    workspace_free(ws, size);
    guarded_free(&y), guarded_free(&stats), guarded_free(&dx), guarded_free(&dx1);
    guarded_free(&dg), guarded_free(&db), guarded_free(&dg1), guarded_free(&in_place);
    group_reference_free(&ref);
    group_inputs_free(&in);
}

static void layer_norms(void)
{
    static const int64_t sizes[][3] = {{1, 5, 1},   {7, 16, 0},   {129, 33, 2},
                                       {3, 320, 0}, {300, 77, 4}, {2, 1280, 1}};
    for (size_t i = 0; i < BDPO_COUNTOF(sizes); i++)
        for (int k = 0; k < 4; k++)
            check_layer(sizes[i][0], sizes[i][1], sizes[i][2], k & 1, k & 2);
}

BDPO_TEST(layer_norm_and_its_gradients)
{
    for_each_isa(layer_norms);
}

// ---- L2 -------------------------------------------------------------------------------------

static void l2_rows(void)
{
    static const int64_t sizes[][3] = {{1, 1, 0}, {5, 7, 1}, {9, 64, 0}, {33, 769, 3}};
    const float eps = 1e-3F;
    for (size_t i = 0; i < BDPO_COUNTOF(sizes); i++) {
        int64_t rows = sizes[i][0], cols = sizes[i][1], gap = sizes[i][2];
        bool add = i & 1;
        guarded x = guarded_new(rows, cols, gap, 1, 1), dy = guarded_new(rows, cols, 2, 2, 1);
        guarded y = guarded_new(rows, cols, gap, 3, 1), norms = guarded_new(1, rows, 0, 4, 1);
        guarded dx = guarded_new(rows, cols, 0, 5, 1), old = guarded_copy(&dx);
        for (int64_t c = 0; c < cols; c++) x.data[(rows - 1) * x.ld + c] *= 1e-6F; // below eps
        bdpo_l2_normalize_forward(y.data, y.ld, norms.data, x.data, x.ld, rows, cols, eps, 2);
        bdpo_l2_normalize_backward(dx.data, dx.ld, dy.data, dy.ld, x.data, x.ld, norms.data, rows,
                                   cols, eps, add, 2);
        for (int64_t r = 0; r < rows; r++) {
            double norm = 0, inner = 0;
            for (int64_t c = 0; c < cols; c++) {
                double v = (double)x.data[r * x.ld + c];
                norm += v * v;
                inner += v * (double)dy.data[r * dy.ld + c];
            }
            norm = sqrt(norm);
            bool tiny = norm < (double)eps;
            double by = tiny ? (double)eps : norm;
            for (int64_t c = 0; c < cols; c++) {
                double v = (double)x.data[r * x.ld + c], g = (double)dy.data[r * dy.ld + c];
                double d = g / by - (tiny ? 0 : v * inner / (norm * norm * norm));
                double before = add ? (double)old.data[r * dx.ld + c] : 0;
                // three roundings of terms no larger than these
                CHECK_ELEMENT("l2", r, c, (double)y.data[r * y.ld + c], v / by, 0x1p-22);
                CHECK_ELEMENT("l2 dx", r, c, (double)dx.data[r * dx.ld + c], before + d,
                              0x1p-21 * (fabs(before) + fabs(g / by) + fabs(v * inner / by)));
            }
        }
        CHECK_GUARDS(&y);
        CHECK_GUARDS(&dx);
        CHECK_GUARDS(&norms);
        guarded_free(&x), guarded_free(&dy), guarded_free(&y);
        guarded_free(&norms), guarded_free(&dx), guarded_free(&old);
    }
}

BDPO_TEST(l2_normalize_and_its_gradient)
{
    for_each_isa(l2_rows);
}

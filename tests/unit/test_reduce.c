// Reductions against double references: strides, second factors, accumulation, each instruction
// set; the same bits for any number of threads; sums that a chain of floats would spoil.
#include "unit/guarded.h"

#include "base/memory.h"
#include "kernels/reduce.h"

// Column sums are f32 sums over blocks of 64 rows in fours, merged in double: at most 4 + 16
// roundings; sums in double round once at the end. Two more for the scale and the accumulation.
static const double COLUMN_ROUNDINGS = 22 * 0x1p-24, DOUBLE_ROUNDINGS = 2 * 0x1p-24;

typedef struct sizes {
    int64_t n, rows, cols, gap;
} sizes;

static const sizes shapes[] = {
    {1, 1, 1, 0},    {1, 1, 70, 0},   {2, 3, 5, 2},      {3, 64, 17, 0},   {2, 65, 33, 1},
    {1, 700, 40, 0}, {4, 130, 97, 3}, {2, 257, 1100, 0}, {1, 9000, 3, 0},  {1, 3, 5000, 1},
    {5, 1, 2600, 0}, {3, 1000, 8, 2}, {16, 64, 64, 0},   {2, 1, 10000, 4},
};

// Sum of x * w over rows [r0, r1) and columns [c0, c1), and of the magnitudes.
static double summed(const guarded *x, const guarded *w, int64_t r0, int64_t r1, int64_t c0,
                     int64_t c1, double *size)
{
    double sum = 0;
    *size = 0;
    for (int64_t r = r0; r < r1; r++)
        for (int64_t c = c0; c < c1; c++) {
            double v = (double)x->data[r * x->ld + c];
            if (w) v *= (double)w->data[r * w->ld + c];
            sum += v;
            *size += fabs(v);
        }
    return sum;
}

static void check_columns(const sizes *s, bool factor, bool accumulate)
{
    guarded x = guarded_new(s->n * s->rows, s->cols, s->gap, 1, 1);
    guarded w = guarded_new(s->n * s->rows, s->cols, 1, 2, 1), *wp = factor ? &w : NULL;
    guarded y = guarded_new(s->n, s->cols, 0, 3, 1), old = guarded_copy(&y);
    guarded again = guarded_copy(&y);
    size_t size = bdpo_column_sums_workspace(s->n, s->rows, s->cols);
    void *ws = workspace_new(size);
    const float scale = 0.75F;
    bdpo_column_sums(y.data, x.data, x.ld, factor ? w.data : NULL, w.ld, s->n, s->rows, s->cols,
                     scale, accumulate, ws, 3);
    bdpo_column_sums(again.data, x.data, x.ld, factor ? w.data : NULL, w.ld, s->n, s->rows, s->cols,
                     scale, accumulate, ws, 1);
    CHECK_SAME(&y, &again);
    for (int64_t i = 0; i < s->n; i++)
        for (int64_t c = 0; c < s->cols; c++) {
            double magnitude, before = accumulate ? (double)old.data[i * y.ld + c] : 0;
            double sum = summed(&x, wp, i * s->rows, (i + 1) * s->rows, c, c + 1, &magnitude);
            CHECK_ELEMENT("column sums", i, c, (double)y.data[i * y.ld + c],
                          before + (double)scale * sum,
                          COLUMN_ROUNDINGS * (magnitude + fabs(before)));
        }
    CHECK_GUARDS(&y);
    workspace_free(ws, size);
    guarded_free(&x), guarded_free(&w), guarded_free(&y), guarded_free(&old), guarded_free(&again);
}

static void columns(void)
{
    for (size_t i = 0; i < BDPO_COUNTOF(shapes); i++) {
        check_columns(&shapes[i], false, i & 1);
        check_columns(&shapes[i], true, !(i & 1));
    }
}

BDPO_TEST(column_sums)
{
    for_each_isa(columns);
}

static void check_samples(const sizes *s, bool factor, bool accumulate)
{
    guarded x = guarded_new(s->n * s->rows, s->cols, s->gap, 1, 1);
    guarded w = guarded_new(s->n * s->rows, s->cols, s->gap, 2, 1), *wp = factor ? &w : NULL;
    guarded y = guarded_new(1, s->n, 0, 3, 1), old = guarded_copy(&y), again = guarded_copy(&y);
    guarded by_row = guarded_new(1, s->n * s->rows, 0, 4, 1), old_rows = guarded_copy(&by_row);
    size_t size = bdpo_sample_sums_workspace(s->n, s->rows, s->cols);
    void *ws = workspace_new(size);
    const float *wd = factor ? w.data : NULL;
    bdpo_sample_sums(y.data, x.data, x.ld, wd, w.ld, s->n, s->rows, s->cols, 2, accumulate, ws, 3);
    bdpo_sample_sums(again.data, x.data, x.ld, wd, w.ld, s->n, s->rows, s->cols, 2, accumulate, ws,
                     1);
    bdpo_row_sums(by_row.data, x.data, x.ld, wd, w.ld, s->n * s->rows, s->cols, 2, accumulate, 2);
    CHECK_SAME(&y, &again);
    for (int64_t i = 0; i < s->n * s->rows; i++) {
        double magnitude, before = accumulate ? (double)old_rows.data[i] : 0;
        double sum = summed(&x, wp, i, i + 1, 0, s->cols, &magnitude);
        CHECK_ELEMENT("row sums", i, 0, (double)by_row.data[i], before + 2 * sum,
                      DOUBLE_ROUNDINGS * (2 * magnitude + fabs(before)));
    }
    for (int64_t i = 0; i < s->n; i++) {
        double magnitude, before = accumulate ? (double)old.data[i] : 0;
        double sum = summed(&x, wp, i * s->rows, (i + 1) * s->rows, 0, s->cols, &magnitude);
        CHECK_ELEMENT("sample sums", i, 0, (double)y.data[i], before + 2 * sum,
                      DOUBLE_ROUNDINGS * (2 * magnitude + fabs(before)));
    }
    CHECK_GUARDS(&y);
    CHECK_GUARDS(&by_row);
    workspace_free(ws, size);
    guarded_free(&x), guarded_free(&w), guarded_free(&y), guarded_free(&old), guarded_free(&again);
    guarded_free(&by_row), guarded_free(&old_rows);
}

static void samples(void)
{
    for (size_t i = 0; i < BDPO_COUNTOF(shapes); i++) {
        check_samples(&shapes[i], false, i & 1);
        check_samples(&shapes[i], true, !(i & 1));
    }
}

BDPO_TEST(sample_and_row_sums)
{
    for_each_isa(samples);
}

static void squared_error(void)
{
    static const int64_t counts[] = {1, 15, 4096, 4097, 20003};
    for (size_t i = 0; i < BDPO_COUNTOF(counts); i++) {
        guarded a = guarded_new(3, counts[i], 0, 1, 1), b = guarded_new(3, counts[i], 0, 2, 1);
        float loss[3], again[3];
        size_t size = bdpo_squared_error_workspace(3, counts[i]);
        void *ws = workspace_new(size);
        bdpo_squared_error(loss, a.data, b.data, 0.25F, 3, counts[i], ws, 3);
        bdpo_squared_error(again, a.data, b.data, 0.25F, 3, counts[i], ws, 1);
        CHECK_BYTES(loss, again, sizeof loss);
        for (int64_t s = 0; s < 3; s++) {
            double sum = 0;
            for (int64_t j = s * counts[i]; j < (s + 1) * counts[i]; j++) {
                double d = (double)a.data[j] - (double)b.data[j];
                sum += d * d;
            }
            // the difference is rounded before it is squared
            CHECK_NEAR((double)loss[s], 0.25 * sum, 4 * 0x1p-24 * 0.25 * sum);
        }
        workspace_free(ws, size);
        guarded_free(&a), guarded_free(&b);
    }
}

BDPO_TEST(squared_error_of_samples)
{
    for_each_isa(squared_error);
}

// Against the difference of two errors in double, which loses what the kernel keeps.
static void check_margin(int64_t count, float apart)
{
    guarded p = guarded_new(3, count, 0, 1, 1), t = guarded_new(3, count, 0, 2, 1);
    guarded r = guarded_new(3, count, 0, 3, 1);
    float margin[3], again[3];
    for (int64_t j = 0; j < 3 * count; j++) r.data[j] = p.data[j] + apart * r.data[j];
    size_t size = bdpo_error_margin_workspace(3, count);
    void *ws = workspace_new(size);
    bdpo_error_margin(margin, p.data, r.data, t.data, 0.25F, 3, count, ws, 3);
    bdpo_error_margin(again, p.data, r.data, t.data, 0.25F, 3, count, ws, 1);
    CHECK_BYTES(margin, again, sizeof margin);
    for (int64_t s = 0; s < 3; s++) {
        long double sum = 0, magnitude = 0;
        for (int64_t j = s * count; j < (s + 1) * count; j++) {
            long double a = p.data[j], b = r.data[j], c = t.data[j];
            sum += (a - b) * (a + b - 2 * c);
            magnitude += fabsl((a - b) * (a + b - 2 * c));
        }
        // One rounding at the end, and those of sums in double.
        CHECK_NEAR((double)margin[s], 0.25 * (double)sum,
                   0x1p-24 * 0.25 * fabs((double)sum) + 1e-15 * (double)magnitude);
    }
    bdpo_error_margin(margin, p.data, p.data, t.data, 0.25F, 3, count, ws, 3);
    for (int s = 0; s < 3; s++) CHECK_NEAR((double)margin[s], 0, 0);
    workspace_free(ws, size);
    guarded_free(&p), guarded_free(&r), guarded_free(&t);
}

static void margins(void)
{
    static const int64_t counts[] = {1, 15, 4096, 4097, 20003};
    for (size_t i = 0; i < BDPO_COUNTOF(counts); i++) {
        check_margin(counts[i], 1);
        check_margin(counts[i], 1e-5F);
        check_margin(counts[i], 0);
    }
}

BDPO_TEST(error_margin_of_samples)
{
    for_each_isa(margins);
}

static void totals(void)
{
    enum { COUNT = 3 * 4096 + 77 };
    guarded x = guarded_new(1, COUNT, 0, 1, 1);
    size_t size = bdpo_sum_workspace(COUNT);
    void *ws = workspace_new(size);
    double magnitude, sum = summed(&x, NULL, 0, 1, 0, COUNT, &magnitude);
    double squares = summed(&x, &x, 0, 1, 0, COUNT, &magnitude);
    // double sums of doubles, in another order
    CHECK_NEAR(bdpo_sum(x.data, COUNT, ws, 3), sum, COUNT * 0x1p-53 * COUNT);
    CHECK_NEAR(bdpo_sum_squares(x.data, COUNT, ws, 3), squares, COUNT * 0x1p-53 * squares);
    CHECK(bdpo_sum(x.data, COUNT, ws, 3) == bdpo_sum(x.data, COUNT, ws, 1));
    CHECK(bdpo_sum_squares(x.data, COUNT, ws, 4) == bdpo_sum_squares(x.data, COUNT, ws, 1));
    x.data[0] = 3e30F; // its square is beyond a float
    CHECK_NEAR(bdpo_sum_squares(x.data, COUNT, ws, 2) / 9e60, 1, 1e-6);
    workspace_free(ws, size);
    guarded_free(&x);
}

BDPO_TEST(sums_in_double)
{
    for_each_isa(totals);
}

static void finite(void)
{
    static const int64_t counts[] = {1, 7, 16, 33, 20001};
    static const float bad[] = {INFINITY, -INFINITY, NAN};
    for (size_t i = 0; i < BDPO_COUNTOF(counts); i++) {
        guarded x = guarded_new(1, counts[i], 0, 1, 3e38F);
        uint32_t state = 7;
        CHECK(bdpo_all_finite(x.data, counts[i], 3));
        for (int k = 0; k < 12; k++) {
            float *at = x.data + (k ? random_below(&state, counts[i]) : counts[i] - 1), old = *at;
            *at = bad[k % 3];
            CHECK(!bdpo_all_finite(x.data, counts[i], 3));
            *at = old;
        }
        guarded_free(&x);
    }
}

BDPO_TEST(all_finite_sees_each_element)
{
    for_each_isa(finite);
}

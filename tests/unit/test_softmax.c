// Softmax and cross-entropy of rows against double references: strides, odd widths, accumulation,
// in place, each instruction set, rows of extremes.
#include "unit/guarded.h"

#include "kernels/softmax_rows.h"

static double row_lse(const guarded *x, int64_t r)
{
    double top = -INFINITY, sum = 0;
    for (int64_t c = 0; c < x->cols; c++) top = fmax(top, (double)x->data[r * x->ld + c]);
    for (int64_t c = 0; c < x->cols; c++) sum += exp((double)x->data[r * x->ld + c] - top);
    return top + log(sum);
}

static const int64_t sizes[][3] = { // rows, cols, gap
    {1, 1, 0}, {3, 2, 1}, {5, 16, 0}, {4, 77, 2}, {70, 37, 0}, {3, 5000, 1}};

// exp is good to 6 * 2^-24, its argument is off by 2^-24 of itself (below 20 here), the sum and
// its inverse round once each.
static const double PART = 30 * 0x1p-24;

static void softmaxes(void)
{
    for (size_t i = 0; i < BDPO_COUNTOF(sizes); i++) {
        int64_t rows = sizes[i][0], cols = sizes[i][1], gap = sizes[i][2];
        bool add = i & 1;
        guarded x = guarded_new(rows, cols, gap, 1, 9), y = guarded_new(rows, cols, gap + 1, 2, 1);
        guarded dy = guarded_new(rows, cols, 0, 3, 1), dx = guarded_new(rows, cols, 3, 4, 1);
        guarded old = guarded_copy(&dx), in_place = guarded_copy(&x);
        bdpo_softmax_forward(y.data, y.ld, x.data, x.ld, rows, cols, 3);
        bdpo_softmax_forward(in_place.data, x.ld, in_place.data, x.ld, rows, cols, 1);
        bdpo_softmax_backward(dx.data, dx.ld, dy.data, dy.ld, y.data, y.ld, rows, cols, add, 2);
        for (int64_t r = 0; r < rows; r++) {
            double lse = row_lse(&x, r), inner = 0;
            for (int64_t c = 0; c < cols; c++)
                inner += (double)y.data[r * y.ld + c] * (double)dy.data[r * dy.ld + c];
            for (int64_t c = 0; c < cols; c++) {
                double p = exp((double)x.data[r * x.ld + c] - lse), got = y.data[r * y.ld + c];
                CHECK_ELEMENT("softmax", r, c, got, p, PART * p + 1e-38);
                CHECK((double)in_place.data[r * x.ld + c] == got);
                double before = add ? (double)old.data[r * dx.ld + c] : 0;
                double d = got * ((double)dy.data[r * dy.ld + c] - inner);
                // the mean is a float, dy - mean rounds about 2, the sum rounds
                CHECK_ELEMENT("softmax dx", r, c, (double)dx.data[r * dx.ld + c], before + d,
                              0x1p-22 * (2 * got + fabs(before)));
            }
        }
        CHECK_GUARDS(&y);
        CHECK_GUARDS(&dx);
        CHECK_GUARDS(&in_place);
        guarded_free(&x), guarded_free(&y), guarded_free(&dy);
        guarded_free(&dx), guarded_free(&old), guarded_free(&in_place);
    }
}

BDPO_TEST(softmax_and_its_gradient)
{
    for_each_isa(softmaxes);
}

static void entropies(void)
{
    for (size_t i = 0; i < BDPO_COUNTOF(sizes); i++) {
        int64_t rows = sizes[i][0], cols = sizes[i][1], gap = sizes[i][2];
        bool add = i & 1;
        guarded x = guarded_new(rows, cols, gap, 1, 9), dl = guarded_new(1, rows, 0, 2, 1);
        guarded loss = guarded_new(1, rows, 0, 3, 1), lse = guarded_new(1, rows, 0, 4, 1);
        guarded dx = guarded_new(rows, cols, 1, 5, 1), old = guarded_copy(&dx);
        int32_t target[128];
        uint32_t state = 5;
        for (int64_t r = 0; r < rows; r++)
            target[r] = r % 5 == 4 ? -1 : (int32_t)random_below(&state, cols);
        bdpo_cross_entropy_forward(loss.data, lse.data, x.data, x.ld, target, rows, cols, 3);
        bdpo_cross_entropy_backward(dx.data, dx.ld, dl.data, lse.data, x.data, x.ld, target, rows,
                                    cols, add, 2);
        for (int64_t r = 0; r < rows; r++) {
            double expected = row_lse(&x, r), d = (double)dl.data[r];
            bool ignored = target[r] < 0;
            // rounded once to a float below 32, once more as a difference
            CHECK_ELEMENT("lse", r, 0, (double)lse.data[r], expected, 32 * 0x1p-24);
            double l = ignored ? 0 : expected - (double)x.data[r * x.ld + target[r]];
            CHECK_ELEMENT("loss", r, 0, (double)loss.data[r], l, 3 * 32 * 0x1p-24);
            for (int64_t c = 0; c < cols; c++) {
                double before = add ? (double)old.data[r * dx.ld + c] : 0;
                double p = exp((double)x.data[r * x.ld + c] - expected) - (c == target[r]);
                // the rounding of lse is one of the probability's exponent
                CHECK_ELEMENT("dx", r, c, (double)dx.data[r * dx.ld + c],
                              before + (ignored ? 0 : d * p), 2 * 32 * 0x1p-24);
            }
        }
        CHECK_GUARDS(&loss);
        CHECK_GUARDS(&lse);
        CHECK_GUARDS(&dx);
        guarded_free(&x), guarded_free(&dl), guarded_free(&loss);
        guarded_free(&lse), guarded_free(&dx), guarded_free(&old);
    }
}

BDPO_TEST(cross_entropy_and_its_gradient)
{
    for_each_isa(entropies);
}

static void extremes(void)
{
    enum { COLS = 37 };
    float x[COLS], y[COLS];
    for (int c = 0; c < COLS; c++) x[c] = -INFINITY;
    bdpo_softmax_forward(y, COLS, x, COLS, 1, COLS, 1);
    for (int c = 0; c < COLS; c++) CHECK(y[c] == 0); // nothing is allowed
    x[36] = -3e38F;
    bdpo_softmax_forward(y, COLS, x, COLS, 1, COLS, 1);
    for (int c = 0; c < COLS; c++) CHECK(y[c] == (c == 36 ? 1 : 0));
    x[5] = 3e38F; // the difference overflows
    bdpo_softmax_forward(y, COLS, x, COLS, 1, COLS, 1);
    for (int c = 0; c < COLS; c++) CHECK(y[c] == (c == 5 ? 1 : 0));
    for (int at = 0; at < COLS; at += 36) { // in a whole vector, and in the rest
        for (int c = 0; c < COLS; c++) x[c] = c == at ? NAN : 1;
        bdpo_softmax_forward(y, COLS, x, COLS, 1, COLS, 1);
        CHECK(isnan(y[0]) && isnan(y[20]) && isnan(y[36]));
    }
}

BDPO_TEST(softmax_at_the_extremes)
{
    for_each_isa(extremes);
}

// A label below 0 is ignored, one of cols or more is a mistake that must be seen.
static void labels_outside(void)
{
    const float x[3][2] = {{1, 2}, {3, 4}, {5, 7}}, dloss[3] = {1, 1, 1};
    const int32_t labels[3] = {-1, 2, 1};
    float loss[3], lse[3], dx[3][2];
    bdpo_cross_entropy_forward(loss, lse, x[0], 2, labels, 3, 2, 1);
    bdpo_cross_entropy_backward(dx[0], 2, dloss, lse, x[0], 2, labels, 3, 2, false, 1);
    CHECK(loss[0] == 0 && dx[0][0] == 0 && dx[0][1] == 0);
    CHECK(isnan(loss[1]) && isnan(dx[1][0]) && isnan(dx[1][1]));
    CHECK_NEAR((double)loss[2], log1p(exp(-2)), 1e-6); // a few roundings of lse
}

BDPO_TEST(cross_entropy_of_labels_outside)
{
    for_each_isa(labels_outside);
}

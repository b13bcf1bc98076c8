// Element-wise kernels against double references: accuracy over the whole range of floats, values
// at the extremes, strides, odd sizes, accumulation, in place, each instruction set; the same bits
// for any number of threads.
#include "unit/guarded.h"

#include "kernels/elementwise.h"
#include "tensor/tensor.h"

static const float LO = -0.5F, HI = 1.25F; // of clamp

static const bdpo_unary functions[] = {
#define X(name, text) BDPO_UNARY_##name,
    BDPO_UNARY_LIST(X)
#undef X
};
static const char *const function_names[] = {
#define X(name, text) #text,
    BDPO_UNARY_LIST(X)
#undef X
};

// ---- references -----------------------------------------------------------------------------

static double sigmoid(double x)
{
    return 1 / (1 + exp(-x));
}
static double cdf(double x)
{
    return 0.5 * erfc(-x * sqrt(0.5));
}
static double pdf(double x)
{
    return exp(-0.5 * x * x) * 0.3989422804014327;
}

static double value(bdpo_unary f, double x)
{
    switch (f) {
    case BDPO_UNARY_SILU:
        return x * sigmoid(x);
    case BDPO_UNARY_GELU:
        return x * cdf(x);
    case BDPO_UNARY_QUICK_GELU:
        return x * sigmoid(1.702 * x);
    case BDPO_UNARY_SIGMOID:
        return sigmoid(x);
    case BDPO_UNARY_LOG_SIGMOID:
        return fmin(x, 0) - log1p(exp(-fabs(x)));
    case BDPO_UNARY_TANH:
        return tanh(x);
    case BDPO_UNARY_EXP:
        return exp(x);
    case BDPO_UNARY_SQUARE:
        return x * x;
    case BDPO_UNARY_CLAMP:
        return fmin(fmax(x, (double)LO), (double)HI);
    }
    return NAN;
}

static double slope(bdpo_unary f, double x)
{
    double s = sigmoid(x), q = sigmoid(1.702 * x), t = tanh(x);
    switch (f) {
    case BDPO_UNARY_SILU:
        return s + x * s * sigmoid(-x);
    case BDPO_UNARY_GELU:
        return cdf(x) + x * pdf(x);
    case BDPO_UNARY_QUICK_GELU:
        return q + 1.702 * x * q * sigmoid(-1.702 * x);
    case BDPO_UNARY_SIGMOID:
        return s * sigmoid(-x);
    case BDPO_UNARY_LOG_SIGMOID:
        return sigmoid(-x);
    case BDPO_UNARY_TANH:
        return 1 - t * t;
    case BDPO_UNARY_EXP:
        return exp(x);
    case BDPO_UNARY_SQUARE:
        return 2 * x;
    case BDPO_UNARY_CLAMP:
        return x > (double)LO && x < (double)HI;
    }
    return NAN;
}

// Functions of vec_math.h are good to 3 units in the last place, 6 * 2^-24 of the value; a formula
// of two or three of them is given 12. Besides, absolutely: cancellation at erf's -1 costs the
// normal distribution 2e-7, the sigmoid's square 2^-24 of 1; exponentials end at 2^-126.
static double value_tolerance(bdpo_unary f, double x, double expected)
{
    double own = 12 * 0x1p-24 * fabs(expected) + 2e-38 * (1 + fabs(x));
    if (f == BDPO_UNARY_GELU) own += 2e-7 * fmin(fabs(x), 10);
    if (f == BDPO_UNARY_QUICK_GELU) // the rounding of 1.702 x, carried through exp
        own += fabs(1.702 * x) * 0x1p-22 * fabs(expected);
    return own;
}

static double slope_tolerance(bdpo_unary f, double x, double expected)
{
    double own = value_tolerance(f, x, expected);
    switch (f) {
    case BDPO_UNARY_SILU:
    case BDPO_UNARY_QUICK_GELU: // 1 - s is rounded about 1, then multiplied by x, then cut by s
    case BDPO_UNARY_GELU:
    case BDPO_UNARY_SIGMOID:
    case BDPO_UNARY_TANH:
        return own + 1e-6;
    default:
        return own;
    }
}

// ---- one operand ----------------------------------------------------------------------------

// Where the reference overflows a float, so must the kernel.
static void check_value(bdpo_unary f, float x, float actual)
{
    double expected = value(f, (double)x);
    if (fabs(expected) > 3.3e38) // within a few roundings of the greatest float either may be right
        CHECK(fabsf(actual) > 3.2e38F);
    else
        CHECK_ELEMENT(function_names[f], 0, 0, (double)actual, expected,
                      value_tolerance(f, (double)x, expected));
}

static void sweep_values(void)
{
    enum { COUNT = 4099 };
    static float x[COUNT], y[COUNT], dx[COUNT], one[COUNT];
    uint32_t bits = 0;
    for (int i = 0; i < COUNT; i++) one[i] = 1.0F;
    for (int part = 0; part < 8; part++) {
        for (int i = 0; i < COUNT; i++, bits += 130003U) { // all exponents, both signs
            memcpy(&x[i], &bits, sizeof bits);
            if (!(fabsf(x[i]) < 1e30F)) x[i] = 0.25F;
            if (i % 2) x[i] = 12.0F * ((float)i / COUNT - 0.5F); // and densely where it matters
        }
        for (size_t f = 0; f < BDPO_COUNTOF(functions); f++) {
            bdpo_unary_forward(y, COUNT, x, COUNT, 1, COUNT, functions[f], LO, HI, 1);
            bdpo_unary_backward(dx, COUNT, one, COUNT, x, COUNT, 1, COUNT, functions[f], LO, HI,
                                false, 1);
            for (int i = 0; i < COUNT; i++) {
                check_value(functions[f], x[i], y[i]);
                if (functions[f] == BDPO_UNARY_EXP || fabsf(x[i]) > 80) continue;
                double expected = slope(functions[f], (double)x[i]);
                CHECK_ELEMENT(function_names[f], 1, i, (double)dx[i], expected,
                              slope_tolerance(functions[f], (double)x[i], expected));
            }
        }
    }
}

BDPO_TEST(unary_is_accurate_everywhere)
{
    for_each_isa(sweep_values);
}

static float apply_one(bdpo_unary f, float x)
{
    float y;
    bdpo_unary_forward(&y, 1, &x, 1, 1, 1, f, LO, HI, 1);
    return y;
}

static float slope_of_one(bdpo_unary f, float x)
{
    float dx, one = 1;
    bdpo_unary_backward(&dx, 1, &one, 1, &x, 1, 1, 1, f, LO, HI, false, 1);
    return dx;
}

static void extremes(void)
{
    for (size_t f = 0; f < BDPO_COUNTOF(functions); f++) {
        float x = NAN, y, dy = 1, dx;
        CHECK(isnan(apply_one(functions[f], NAN)));
        bdpo_unary_forward(&y, 1, &x, 1, 1, 1, functions[f], LO, HI, 1);
        CHECK(isnan(y));
        x = 0.5F, dy = NAN;
        bdpo_unary_backward(&dx, 1, &dy, 1, &x, 1, 1, 1, functions[f], LO, HI, false, 1);
        CHECK(isnan(dx));
    }
    CHECK(apply_one(BDPO_UNARY_EXP, INFINITY) == INFINITY);
    CHECK(apply_one(BDPO_UNARY_EXP, -INFINITY) == 0);
    CHECK(apply_one(BDPO_UNARY_EXP, 89) == INFINITY);
    CHECK(apply_one(BDPO_UNARY_EXP, 0) == 1);
    CHECK(apply_one(BDPO_UNARY_TANH, INFINITY) == 1);
    CHECK(apply_one(BDPO_UNARY_TANH, -INFINITY) == -1);
    CHECK(apply_one(BDPO_UNARY_SIGMOID, INFINITY) == 1);
    CHECK_LE((double)apply_one(BDPO_UNARY_SIGMOID, -INFINITY), 2e-38);
    CHECK(apply_one(BDPO_UNARY_LOG_SIGMOID, -1e30F) == -1e30F);
    CHECK(apply_one(BDPO_UNARY_LOG_SIGMOID, 200) <= 0);
    CHECK(apply_one(BDPO_UNARY_GELU, 1e30F) == 1e30F);
    CHECK(apply_one(BDPO_UNARY_SILU, 1e30F) == 1e30F);
    CHECK(apply_one(BDPO_UNARY_CLAMP, -INFINITY) == LO);
    CHECK(apply_one(BDPO_UNARY_CLAMP, INFINITY) == HI);
    CHECK(slope_of_one(BDPO_UNARY_CLAMP, LO) == 0); // as PyTorch has it on a bound
    CHECK(slope_of_one(BDPO_UNARY_CLAMP, HI) == 0);
    CHECK(slope_of_one(BDPO_UNARY_CLAMP, nextafterf(HI, 0)) == 1);
}

BDPO_TEST(unary_at_the_extremes)
{
    for_each_isa(extremes);
}

static void strided_unary(void)
{
    static const int64_t sizes[][3] = {{1, 1, 0}, {3, 5, 2}, {7, 16, 0}, {5, 33, 1}, {64, 331, 3}};
    for (size_t i = 0; i < BDPO_COUNTOF(sizes); i++)
        for (size_t f = 0; f < BDPO_COUNTOF(functions); f++) {
            int64_t rows = sizes[i][0], cols = sizes[i][1], gap = sizes[i][2];
            guarded x = guarded_new(rows, cols, gap, 1, 4), dy = guarded_new(rows, cols, 2, 2, 1);
            guarded y = guarded_new(rows, cols, gap + 1, 3, 1), in_place = guarded_copy(&x);
            guarded dx = guarded_new(rows, cols, gap, 4, 1), old = guarded_copy(&dx);
            bool add = i & 1;
            bdpo_unary_forward(y.data, y.ld, x.data, x.ld, rows, cols, functions[f], LO, HI, 3);
            bdpo_unary_forward(in_place.data, x.ld, in_place.data, x.ld, rows, cols, functions[f],
                               LO, HI, 1);
            bdpo_unary_backward(dx.data, dx.ld, dy.data, dy.ld, x.data, x.ld, rows, cols,
                                functions[f], LO, HI, add, 2);
            for (int64_t r = 0; r < rows; r++)
                for (int64_t c = 0; c < cols; c++) {
                    float v = x.data[r * x.ld + c], g = dy.data[r * dy.ld + c];
                    float got = y.data[r * y.ld + c];
                    check_value(functions[f], v, got);
                    CHECK(in_place.data[r * x.ld + c] == got); // threads and place: the same bits
                    double before = add ? (double)old.data[r * dx.ld + c] : 0;
                    double s = slope(functions[f], (double)v);
                    // the sum rounds once more
                    CHECK_ELEMENT(function_names[f], r, c, (double)dx.data[r * dx.ld + c],
                                  before + (double)g * s,
                                  slope_tolerance(functions[f], (double)v, s) +
                                      0x1p-23 * fabs(before));
                }
            CHECK_GUARDS(&y);
            CHECK_GUARDS(&dx);
            CHECK_GUARDS(&in_place);
            guarded_free(&x), guarded_free(&dy), guarded_free(&y);
            guarded_free(&dx), guarded_free(&old), guarded_free(&in_place);
        }
}

BDPO_TEST(unary_on_strided_rows)
{
    for_each_isa(strided_unary);
}

// ---- two operands ---------------------------------------------------------------------------

static float combined(bdpo_binary op, float a, float b)
{
    return op == BDPO_BINARY_ADD ? a + b : op == BDPO_BINARY_SUB ? a - b : a * b;
}

static float spread_at(bdpo_spread spread, const guarded *b, int64_t row, int64_t col,
                       int64_t per_sample)
{
    switch (spread) {
    case BDPO_SPREAD_NONE:
        return b->data[row * b->ld + col];
    case BDPO_SPREAD_ROW:
        return b->data[col];
    case BDPO_SPREAD_SAMPLE_ROW:
        return b->data[row / per_sample * b->ld + col];
    case BDPO_SPREAD_SAMPLE:
        return b->data[row / per_sample];
    case BDPO_SPREAD_SCALAR:
        return b->data[0];
    }
    return NAN;
}

// A sum, a difference and a product of two floats round once: equality.
static void check_binary(int64_t n, int64_t per_sample, int64_t cols, int64_t gap, bdpo_binary op,
                         bdpo_spread spread, int threads)
{
    int64_t rows = n * per_sample;
    bool wide = spread == BDPO_SPREAD_SAMPLE || spread == BDPO_SPREAD_SCALAR;
    bool by_row = spread == BDPO_SPREAD_NONE;
    guarded a = guarded_new(rows, cols, gap, 1, 2), y = guarded_new(rows, cols, gap ? 4 : 0, 2, 1);
    guarded b = wide ? guarded_new(1, n, 0, 3, 2)
                     : guarded_new(by_row ? rows : n, cols, gap ? gap + 1 : 0, 3, 2);
    bdpo_binary_forward(y.data, y.ld, a.data, a.ld, b.data, b.ld, rows, cols, per_sample, op,
                        spread, threads);
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < cols; c++)
            CHECK_ELEMENT(
                "binary", r, c, (double)y.data[r * y.ld + c],
                (double)combined(op, a.data[r * a.ld + c], spread_at(spread, &b, r, c, per_sample)),
                0);
    CHECK_GUARDS(&y);
    guarded_free(&a), guarded_free(&b), guarded_free(&y);
}

static void all_binaries(void)
{
    for (int op = BDPO_BINARY_ADD; op <= BDPO_BINARY_MUL; op++)
        for (int spread = BDPO_SPREAD_NONE; spread <= BDPO_SPREAD_SCALAR; spread++) {
            check_binary(1, 1, 1, 0, (bdpo_binary)op, (bdpo_spread)spread, 1);
            check_binary(3, 5, 13, 0, (bdpo_binary)op, (bdpo_spread)spread, 2);
            check_binary(4, 77, 37, 3, (bdpo_binary)op, (bdpo_spread)spread, 3);
            check_binary(3, 101, 320, 0, (bdpo_binary)op, (bdpo_spread)spread, 4);
        }
}

BDPO_TEST(binary_with_every_broadcast)
{
    for_each_isa(all_binaries);
}

static void sums_and_scales(void)
{
    guarded a = guarded_new(41, 67, 2, 1, 3), b = guarded_new(41, 67, 0, 2, 3);
    guarded y = guarded_new(41, 67, 1, 3, 1), z = guarded_new(41, 67, 0, 4, 1);
    bdpo_scaled_add(y.data, y.ld, 0.75F, a.data, a.ld, -1.5F, b.data, b.ld, 41, 67, 2);
    bdpo_scale_shift(z.data, z.ld, a.data, a.ld, 0.3F, 0.7F, 41, 67, 2);
    for (int64_t r = 0; r < 41; r++)
        for (int64_t c = 0; c < 67; c++) {
            double p = (double)a.data[r * a.ld + c], q = (double)b.data[r * b.ld + c];
            // two roundings of numbers below 7
            CHECK_ELEMENT("scaled_add", r, c, (double)y.data[r * y.ld + c], 0.75 * p - 1.5 * q,
                          2 * 7 * 0x1p-24);
            CHECK_ELEMENT("scale_shift", r, c, (double)z.data[r * z.ld + c],
                          (double)0.3F * p + (double)0.7F, 2 * 2 * 0x1p-24);
        }
    bdpo_copy_rows(y.data, y.ld, b.data, b.ld, 41, 67, 2);
    for (int64_t r = 0; r < 41; r++)
        CHECK_BYTES(y.data + r * y.ld, b.data + r * b.ld, 67 * sizeof(float));
    bdpo_fill_rows(y.data, y.ld, 2.5F, 41, 67, 3);
    for (int64_t r = 0; r < 41; r++)
        for (int64_t c = 0; c < 67; c++) CHECK(y.data[r * y.ld + c] == 2.5F);
    CHECK_GUARDS(&y);
    CHECK_GUARDS(&z);
    guarded_free(&a), guarded_free(&b), guarded_free(&y), guarded_free(&z);
}

BDPO_TEST(sums_scales_and_copies)
{
    for_each_isa(sums_and_scales);
}

// ---- GEGLU and squared error ----------------------------------------------------------------

static void geglu(void)
{
    static const int64_t sizes[][3] = {{1, 1, 0}, {3, 5, 2}, {9, 40, 0}, {33, 67, 1}};
    for (size_t i = 0; i < BDPO_COUNTOF(sizes); i++) {
        int64_t rows = sizes[i][0], cols = sizes[i][1], gap = sizes[i][2];
        guarded x = guarded_new(rows, 2 * cols, gap, 1, 3), y = guarded_new(rows, cols, gap, 2, 1);
        guarded dy = guarded_new(rows, cols, 1, 3, 1), dx = guarded_new(rows, 2 * cols, 0, 4, 1);
        bdpo_geglu_forward(y.data, y.ld, x.data, x.ld, rows, cols, 2);
        bdpo_geglu_backward(dx.data, dx.ld, dy.data, dy.ld, x.data, x.ld, rows, cols, 2);
        for (int64_t r = 0; r < rows; r++)
            for (int64_t c = 0; c < cols; c++) {
                double v = (double)x.data[r * x.ld + c], g = (double)x.data[r * x.ld + cols + c];
                double d = (double)dy.data[r * dy.ld + c];
                // gelu is good to 1e-6 below 3, v to 3
                CHECK_ELEMENT("geglu", r, c, (double)y.data[r * y.ld + c], v * g * cdf(g), 3e-6);
                CHECK_ELEMENT("geglu dv", r, c, (double)dx.data[r * dx.ld + c], d * g * cdf(g),
                              3e-6);
                CHECK_ELEMENT("geglu dg", r, c, (double)dx.data[r * dx.ld + cols + c],
                              d * v * (cdf(g) + g * pdf(g)), 3e-6);
            }
        CHECK_GUARDS(&y);
        CHECK_GUARDS(&dx);
        guarded_free(&x), guarded_free(&y), guarded_free(&dy), guarded_free(&dx);
    }
}

BDPO_TEST(geglu_and_its_gradient)
{
    for_each_isa(geglu);
}

static void squared_error_grad(void)
{
    enum { N = 3, COUNT = 5003 };
    guarded a = guarded_new(N, COUNT, 0, 1, 2), b = guarded_new(N, COUNT, 0, 2, 2);
    guarded dl = guarded_new(1, N, 0, 3, 1), da = guarded_new(N, COUNT, 0, 4, 1);
    guarded db = guarded_new(N, COUNT, 0, 5, 1), again = guarded_copy(&da);
    bdpo_squared_error_backward(da.data, db.data, a.data, b.data, dl.data, 0.5F, N, COUNT, 3);
    bdpo_squared_error_backward(again.data, NULL, a.data, b.data, dl.data, 0.5F, N, COUNT, 1);
    for (int64_t i = 0; i < N; i++)
        for (int64_t j = 0; j < COUNT; j++) {
            double d = (double)a.data[i * COUNT + j] - (double)b.data[i * COUNT + j];
            double expected = (double)dl.data[i] * d, got = (double)da.data[i * COUNT + j];
            CHECK_ELEMENT("squared error", i, j, got, expected, 4 * 0x1p-24 * fabs(expected));
            CHECK((double)db.data[i * COUNT + j] == -got);
        }
    CHECK_SAME(&again, &da);
    guarded_free(&a), guarded_free(&b), guarded_free(&dl);
    guarded_free(&da), guarded_free(&db), guarded_free(&again);
}

BDPO_TEST(squared_error_gradient)
{
    for_each_isa(squared_error_grad);
}

// ---- 16-bit floats --------------------------------------------------------------------------

static bool same_float(float a, float b)
{
    return (isnan(a) && isnan(b)) || memcmp(&a, &b, sizeof a) == 0;
}

static void widen_all(void)
{
    static uint16_t half[65536];
    static float wide[65536];
    for (int i = 0; i < 65536; i++) half[i] = (uint16_t)i;
    bdpo_convert(wide, BDPO_F32, half, BDPO_BF16, 65536, 2);
    for (int i = 0; i < 65536; i++) CHECK(same_float(wide[i], bdpo_bf16_to_f32((uint16_t)i)));
    bdpo_convert(wide, BDPO_F32, half, BDPO_F16, 65536, 2);
    for (int i = 0; i < 65536; i++) CHECK(same_float(wide[i], bdpo_f16_to_f32((uint16_t)i)));
}

static bool same_half(bdpo_dtype dtype, uint16_t a, uint16_t b)
{
    if (a == b) return true; // else both must be NaN, of whatever payload
    return dtype == BDPO_BF16 ? isnan(bdpo_bf16_to_f32(a)) && isnan(bdpo_bf16_to_f32(b))
                              : isnan(bdpo_f16_to_f32(a)) && isnan(bdpo_f16_to_f32(b));
}

// Steps through all floats; the step is odd, so that every pattern of low bits occurs.
static void narrow_many(void)
{
    enum { COUNT = 65537 };
    static float wide[COUNT], rounded[COUNT];
    static uint16_t half[COUNT], other[COUNT];
    for (uint32_t i = 0; i < COUNT; i++) {
        uint32_t bits = i * 65521U;
        memcpy(&wide[i], &bits, sizeof bits);
    }
    for (int k = 0; k < 2; k++) {
        bdpo_dtype dtype = k ? BDPO_F16 : BDPO_BF16, rest = k ? BDPO_BF16 : BDPO_F16;
        memcpy(rounded, wide, sizeof wide);
        bdpo_convert(half, dtype, wide, BDPO_F32, COUNT, 2);
        bdpo_round_to(rounded, dtype, COUNT, 2);
        bdpo_convert(other, rest, half, dtype, COUNT, 2);
        for (int i = 0; i < COUNT; i++) {
            uint16_t expected = k ? bdpo_f16_from_f32(wide[i]) : bdpo_bf16_from_f32(wide[i]);
            float back = k ? bdpo_f16_to_f32(expected) : bdpo_bf16_to_f32(expected);
            uint16_t across = k ? bdpo_bf16_from_f32(back) : bdpo_f16_from_f32(back);
            if (!same_half(dtype, half[i], expected) || !same_float(rounded[i], back) ||
                !same_half(rest, other[i], across))
                FAIL("%a became %04x and %a, expected %04x and %a", (double)wide[i], half[i],
                     (double)rounded[i], expected, (double)back);
        }
    }
}

BDPO_TEST(half_widths_agree_with_the_scalar_code)
{
    for_each_isa(widen_all);
    for_each_isa(narrow_many);
}

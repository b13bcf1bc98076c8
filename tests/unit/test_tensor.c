// tensor: shapes are checked and printed; the half-width conversions are right for every pattern.
#include "harness.h"
#include "tensor/tensor.h"

BDPO_TEST(dtype_names_and_sizes)
{
    CHECK_STR(bdpo_dtype_name(BDPO_F32), "f32");
    CHECK_STR(bdpo_dtype_name(BDPO_BF16), "bf16");
    CHECK_STR(bdpo_dtype_name(BDPO_U8), "u8");
    CHECK_U64(bdpo_dtype_size(BDPO_F32), 4);
    CHECK_U64(bdpo_dtype_size(BDPO_F16), 2);
    CHECK_U64(bdpo_dtype_size(BDPO_I32), 4);
    CHECK_U64(bdpo_dtype_size(BDPO_U8), 1);
    CHECK_ABORTS((void)bdpo_dtype_size((bdpo_dtype)99));
}

BDPO_TEST(shape_arithmetic)
{
    bdpo_shape map = BDPO_SHAPE(2, 64, 32, 320), vector = BDPO_SHAPE(7);
    CHECK_INT(map.n_dims, 4);
    CHECK_INT(bdpo_shape_count(&map), 2 * 64 * 32 * 320);
    CHECK_INT(bdpo_shape_rows(&map), 2 * 64 * 32);
    CHECK_INT(bdpo_shape_cols(&map), 320);
    CHECK_INT(bdpo_shape_count(&vector), 7);
    CHECK_INT(bdpo_shape_rows(&vector), 1);
    CHECK_INT(bdpo_shape_cols(&vector), 7);
}

BDPO_TEST(shape_equality_looks_at_used_dimensions_only)
{
    bdpo_shape a = BDPO_SHAPE(2, 3), b = BDPO_SHAPE(2, 3), c = BDPO_SHAPE(2, 3, 1),
               d = BDPO_SHAPE(2, 4);
    b.dim[3] = 9;
    CHECK(bdpo_shape_equal(&a, &b));
    CHECK(!bdpo_shape_equal(&a, &c));
    CHECK(!bdpo_shape_equal(&a, &d));
}

BDPO_TEST(shape_check_refuses)
{
    bdpo_shape good = BDPO_SHAPE(1, 2, 3, 4), zero = BDPO_SHAPE(2, 0), minus = BDPO_SHAPE(-1, 3),
               huge = BDPO_SHAPE(INT64_MAX / 4, 2), edge = BDPO_SHAPE(INT64_MAX / 4),
               none = {.n_dims = 0}, many = {.n_dims = 5, .dim = {1, 1, 1, 1}};
    CHECK_OK(bdpo_shape_check(&good, "x"));
    CHECK_OK(bdpo_shape_check(&edge, "x"));
    CHECK_STATUS(bdpo_shape_check(&zero, "weight"), BDPO_BAD_SHAPE);
    CHECK_STR(bdpo_message(), "weight: [2, 0] has a dimension below 1");
    CHECK_STATUS(bdpo_shape_check(&minus, "x"), BDPO_BAD_SHAPE);
    CHECK_STATUS(bdpo_shape_check(&huge, "x"), BDPO_BAD_SHAPE);
    CHECK_CONTAINS(bdpo_message(), "does not fit in memory");
    CHECK_STATUS(bdpo_shape_check(&none, "x"), BDPO_BAD_SHAPE);
    CHECK_STATUS(bdpo_shape_check(&many, "x"), BDPO_BAD_SHAPE);
}

BDPO_TEST(shape_prints)
{
    bdpo_shape map = BDPO_SHAPE(2, 64, 64, 320), one = BDPO_SHAPE(7),
               widest = BDPO_SHAPE(INT64_MIN, INT64_MIN, INT64_MIN, INT64_MIN);
    CHECK_STR(bdpo_shape_print(&map).text, "[2, 64, 64, 320]");
    CHECK_STR(bdpo_shape_print(&one).text, "[7]");
    CHECK_U64(strlen(bdpo_shape_print(&widest).text), 4 * 20 + 3 * 2 + 2);
}

BDPO_TEST(tensor_density)
{
    float data[12];
    bdpo_tensor t = {BDPO_F32, BDPO_SHAPE(3, 4), 4, data};
    CHECK(bdpo_tensor_dense(&t));
    t.shape = BDPO_SHAPE(3, 2);
    CHECK(!bdpo_tensor_dense(&t));
}

// A format by its number of fraction bits and its exponent range: value by definition, in double.
typedef struct half_format {
    int fraction_bits, bias, exponent_max;
    float (*widen)(uint16_t bits);
    uint16_t (*narrow)(float value);
} half_format;

static const half_format BF16 = {7, 127, 255, bdpo_bf16_to_f32, bdpo_bf16_from_f32},
                         F16 = {10, 15, 31, bdpo_f16_to_f32, bdpo_f16_from_f32};

static double value_of(const half_format *f, uint16_t bits) // infinity where it is one or NaN
{
    int exponent = (bits & 0x7fff) >> f->fraction_bits,
        fraction = bits & ((1 << f->fraction_bits) - 1);
    double value = exponent == f->exponent_max ? (double)INFINITY
                   : exponent == 0             ? ldexp(fraction, 1 - f->bias - f->fraction_bits)
                                               : ldexp(fraction + (1 << f->fraction_bits),
                                                       exponent - f->bias - f->fraction_bits);
    return bits & 0x8000 ? -value : value;
}

static bool is_nan_pattern(const half_format *f, uint16_t bits)
{
    return (bits & 0x7fff) > f->exponent_max << f->fraction_bits;
}

static void check_widening(const half_format *f)
{
    for (unsigned i = 0; i < 65536; i++) {
        uint16_t bits = (uint16_t)i;
        float value = f->widen(bits);
        if (is_nan_pattern(f, bits)) {
            CHECK(isnan(value));
            CHECK(is_nan_pattern(f, f->narrow(value)));
            CHECK_INT(f->narrow(value) & 0x8000, bits & 0x8000);
            continue;
        }
        CHECK_NEAR((double)value, value_of(f, bits), 0.0);
        CHECK_INT(signbit(value) != 0, (bits & 0x8000) != 0);
        CHECK_INT(f->narrow(value), bits); // exact both ways
    }
}

// Rounding is monotonic, so it is right everywhere if it is right on both sides of and at the
// middle between each pair of neighbours; that middle is exact in f32.
static void check_rounding(const half_format *f)
{
    uint16_t infinity = (uint16_t)(f->exponent_max << f->fraction_bits);
    for (uint16_t low = 0; low < infinity; low++) {
        uint16_t high = (uint16_t)(low + 1), even = low & 1 ? high : low;
        // Above the largest finite value the next one is where the format would go on.
        double next = high < infinity ? value_of(f, high) : ldexp(1.0, f->exponent_max - f->bias);
        float middle = (float)((value_of(f, low) + next) / 2);
        CHECK_INT(f->narrow(middle), even);
        CHECK_INT(f->narrow(nextafterf(middle, 0.0f)), low);
        CHECK_INT(f->narrow(nextafterf(middle, INFINITY)), high);
        CHECK_INT(f->narrow(-middle), even | 0x8000);
        CHECK_INT(f->narrow(-nextafterf(middle, 0.0f)), low | 0x8000);
        CHECK_INT(f->narrow(-nextafterf(middle, INFINITY)), high | 0x8000);
    }
    CHECK_INT(f->narrow(3.40282347e38f), infinity);
    CHECK_INT(f->narrow(INFINITY), infinity);
    CHECK_INT(f->narrow(-INFINITY), infinity | 0x8000);
}

// Payloads in the bits that narrowing drops must not turn a NaN into an infinity.
static void check_nans(const half_format *f)
{
    for (uint32_t payload = 1; payload < 1u << 23; payload = payload * 2 + (payload >> 3)) {
        uint32_t bits = 0x7f800000u | payload;
        float value;
        memcpy(&value, &bits, sizeof value);
        CHECK(is_nan_pattern(f, f->narrow(value)));
    }
}

BDPO_TEST(bf16_every_pattern)
{
    check_widening(&BF16);
    check_rounding(&BF16);
    check_nans(&BF16);
}

BDPO_TEST(f16_every_pattern)
{
    check_widening(&F16);
    check_rounding(&F16);
    check_nans(&F16);
}

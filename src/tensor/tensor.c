// Names and sizes of dtypes, arithmetic on shapes, and the two half-width float formats.
#include "tensor/tensor.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

const char *bdpo_dtype_name(bdpo_dtype dtype)
{
    static const char *const names[] = {
#define X(name, text, size) #text,
        BDPO_DTYPE_LIST(X)
#undef X
    };
    BDPO_ASSERT((size_t)dtype < BDPO_COUNTOF(names));
    return names[dtype];
}

size_t bdpo_dtype_size(bdpo_dtype dtype)
{
    static const size_t sizes[] = {
#define X(name, text, size) size,
        BDPO_DTYPE_LIST(X)
#undef X
    };
    BDPO_ASSERT((size_t)dtype < BDPO_COUNTOF(sizes));
    return sizes[dtype];
}

int64_t bdpo_shape_count(const bdpo_shape *shape)
{
    return bdpo_shape_rows(shape) * bdpo_shape_cols(shape);
}

int64_t bdpo_shape_rows(const bdpo_shape *shape)
{
    int64_t rows = 1;
    for (int i = 0; i + 1 < shape->n_dims; i++) rows *= shape->dim[i];
    return rows;
}

int64_t bdpo_shape_cols(const bdpo_shape *shape)
{
    return shape->dim[shape->n_dims - 1];
}

bool bdpo_shape_equal(const bdpo_shape *a, const bdpo_shape *b)
{
    if (a->n_dims != b->n_dims) return false;
    for (int i = 0; i < a->n_dims; i++)
        if (a->dim[i] != b->dim[i]) return false;
    return true;
}

bdpo_status bdpo_shape_check(const bdpo_shape *shape, const char *what)
{
    enum { WIDEST_ELEMENT = 4 };
    if (shape->n_dims < 1 || shape->n_dims > BDPO_MAX_DIMS)
        return bdpo_fail(BDPO_BAD_SHAPE, "%s: %d dimensions, 1 to %d are possible", what,
                         shape->n_dims, BDPO_MAX_DIMS);
    int64_t bytes = WIDEST_ELEMENT;
    for (int i = 0; i < shape->n_dims; i++) {
        if (shape->dim[i] < 1)
            return bdpo_fail(BDPO_BAD_SHAPE, "%s: %s has a dimension below 1", what,
                             bdpo_shape_print(shape).text);
        if (__builtin_mul_overflow(bytes, shape->dim[i], &bytes))
            return bdpo_fail(BDPO_BAD_SHAPE, "%s: %s does not fit in memory", what,
                             bdpo_shape_print(shape).text);
    }
    return BDPO_OK;
}

bdpo_shape_text bdpo_shape_print(const bdpo_shape *shape)
{
    bdpo_shape_text out = {"["};
    size_t length = 1;
    for (int i = 0; i < shape->n_dims && i < BDPO_MAX_DIMS; i++)
        length += (size_t)snprintf(out.text + length, sizeof out.text - length, "%s%" PRId64,
                                   i > 0 ? ", " : "", shape->dim[i]);
    memcpy(out.text + length, "]", 2); // four 20-character numbers and separators fit
    return out;
}

static uint32_t bits_of(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static float float_of(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

uint16_t bdpo_bf16_from_f32(float value)
{
    uint32_t bits = bits_of(value);
    // A NaN whose payload sits in the low half would round or truncate to infinity: set its
    // quiet bit.
    if ((bits & 0x7fffffffu) > 0x7f800000u) return (uint16_t)(bits >> 16 | 0x40u);
    // Half an ulp less one, plus one when the kept half is odd: ties go to even, and a carry out
    // of the largest finite value is infinity.
    return (uint16_t)((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

float bdpo_bf16_to_f32(uint16_t bits)
{
    return float_of((uint32_t)bits << 16);
}

// f16: 1 sign, 5 exponent (bias 15), 10 fraction bits.
uint16_t bdpo_f16_from_f32(float value)
{
    uint32_t bits = bits_of(value), sign = bits >> 16 & 0x8000u, size = bits & 0x7fffffffu;
    if (size > 0x7f800000u) return (uint16_t)(sign | 0x7e00u | (size >> 13 & 0x3ffu));
    if (size >= 0x477ff000u) return (uint16_t)(sign | 0x7c00u); // 65520 rounds to infinity
    if (size < 0x38800000u) {
        // Below 2^-14 the result counts units of 2^-24. Adding 0.5 makes that the sum's own ulp,
        // so the addition rounds, and the sum's low bits are the result.
        uint32_t sum = bits_of(float_of(size) + 0.5f);
        return (uint16_t)(sign | (sum - 0x3f000000u));
    }
    uint32_t rounded = size + 0xfffu + (size >> 13 & 1u); // ties to even, as for bf16
    return (uint16_t)(sign | ((rounded >> 13) - ((127u - 15u) << 10)));
}

float bdpo_f16_to_f32(uint16_t bits)
{
    uint32_t sign = (uint32_t)(bits & 0x8000u) << 16, exponent = bits >> 10 & 0x1fu,
             fraction = bits & 0x3ffu;
    if (exponent == 0x1f) return float_of(sign | 0x7f800000u | fraction << 13);
    if (exponent == 0) {
        float size = (float)fraction * 0x1p-24f; // exact: a denormal or zero
        return sign ? -size : size;
    }
    return float_of(sign | (exponent + 127u - 15u) << 23 | fraction << 13);
}

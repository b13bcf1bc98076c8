// Dtypes of files, and copying a stored tensor out: gathered row by row, converted by row.
#include "formats/stored_tensor.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "formats/printable.h"
#include "tensor/tensor.h"

static const struct {
    const char *name;
    size_t bits;
    bool usable;
} dtypes[] = {
#define USABLE(name, bits) {#name, bits, true},
#define KNOWN(name, bits)  {#name, bits, false},
    BDPO_STORED_DTYPE_LIST(USABLE, KNOWN)
#undef USABLE
#undef KNOWN
};

const char *bdpo_stored_dtype_name(bdpo_stored_dtype dtype)
{
    BDPO_ASSERT((size_t)dtype < BDPO_COUNTOF(dtypes));
    return dtypes[dtype].name;
}

size_t bdpo_stored_dtype_bits(bdpo_stored_dtype dtype)
{
    BDPO_ASSERT((size_t)dtype < BDPO_COUNTOF(dtypes));
    return dtypes[dtype].bits;
}

bool bdpo_stored_dtype_usable(bdpo_stored_dtype dtype)
{
    BDPO_ASSERT((size_t)dtype < BDPO_COUNTOF(dtypes));
    return dtypes[dtype].usable;
}

bool bdpo_stored_dtype_find(bdpo_stored_dtype *out, const char *word)
{
    for (size_t i = 0; i < BDPO_COUNTOF(dtypes); i++) {
        if (strcmp(word, dtypes[i].name) != 0) continue;
        *out = (bdpo_stored_dtype)i;
        return true;
    }
    return false;
}

bdpo_stored_dtype bdpo_stored_dtype_of(bdpo_dtype dtype)
{
    switch (dtype) {
    case BDPO_F32:
        return BDPO_STORED_F32;
    case BDPO_BF16:
        return BDPO_STORED_BF16;
    case BDPO_F16:
        return BDPO_STORED_F16;
    case BDPO_I32:
        return BDPO_STORED_I32;
    case BDPO_U8:
        return BDPO_STORED_U8;
    }
    BDPO_BUG("no dtype %d", (int)dtype);
}

// ---- rows ----------------------------------------------------------------------------------

// One element of a type at any address.
#define LOAD(type, address) (*(type *)memcpy(&(type){0}, address, sizeof(type)))
#define CONVERT_ROW(type, expression)                                                              \
    for (size_t i = 0; i < n; i++, in += step) {                                                   \
        type x = LOAD(type, in);                                                                   \
        out[i] = (expression);                                                                     \
    }                                                                                              \
    return

// n elements, `step` bytes apart, to f32.
static void convert_row(float *out, const unsigned char *in, size_t n, size_t step,
                        bdpo_stored_dtype dtype)
{
    switch (dtype) {
    case BDPO_STORED_BOOL:
        CONVERT_ROW(uint8_t, x != 0 ? 1.0f : 0.0f);
    case BDPO_STORED_U8:
        CONVERT_ROW(uint8_t, (float)x);
    case BDPO_STORED_I8:
        CONVERT_ROW(int8_t, (float)x);
    case BDPO_STORED_I16:
        CONVERT_ROW(int16_t, (float)x);
    case BDPO_STORED_U16:
        CONVERT_ROW(uint16_t, (float)x);
    case BDPO_STORED_F16:
        CONVERT_ROW(uint16_t, bdpo_f16_to_f32(x));
    case BDPO_STORED_BF16:
        CONVERT_ROW(uint16_t, bdpo_bf16_to_f32(x));
    case BDPO_STORED_I32:
        CONVERT_ROW(int32_t, (float)x);
    case BDPO_STORED_U32:
        CONVERT_ROW(uint32_t, (float)x);
    case BDPO_STORED_F32:
        CONVERT_ROW(float, x);
    case BDPO_STORED_F64:
        CONVERT_ROW(double, (float)x);
    case BDPO_STORED_I64:
        CONVERT_ROW(int64_t, (float)x);
    case BDPO_STORED_U64:
        CONVERT_ROW(uint64_t, (float)x);
    default:
        BDPO_BUG("dtype %s is not to be read", bdpo_stored_dtype_name(dtype));
    }
}

static void copy_row(unsigned char *out, const unsigned char *in, size_t n, size_t step,
                     size_t item)
{
    for (size_t i = 0; i < n; i++) memcpy(out + i * item, in + i * step, item);
}

// Walks the rows of a strided tensor; to f32 where f32 is given, else copying to raw.
static void gather(unsigned char *raw, float *f32, const bdpo_stored_tensor *t, size_t item)
{
    BDPO_ASSERT(raw || f32);
    int last = t->n_dims - 1;
    int64_t index[BDPO_STORED_MAX_DIMS] = {0}, row = 0; // row: elements from t->data
    size_t n = (size_t)t->dim[last], step = (size_t)t->stride[last] * item;
    for (size_t done = 0; done < t->count; done += n) {
        const unsigned char *in = (const unsigned char *)t->data + (size_t)row * item;
        if (f32)
            convert_row(f32 + done, in, n, step, t->dtype);
        else
            copy_row(raw + done * item, in, n, step, item);
        for (int d = last - 1; d >= 0; d--) {
            row += t->stride[d];
            if (++index[d] < t->dim[d]) break;
            row -= t->dim[d] * t->stride[d];
            index[d] = 0;
        }
    }
}

static bdpo_status check_usable(const bdpo_stored_tensor *t)
{
    if (dtypes[t->dtype].usable) return BDPO_OK;
    return bdpo_fail(BDPO_UNSUPPORTED, "%s: tensor %s is %s, which is not supported", t->path,
                     bdpo_printable(t->name).text, dtypes[t->dtype].name);
}

bdpo_status bdpo_stored_tensor_read(const bdpo_stored_tensor *t, void *out, size_t size_bytes)
{
    TRY(check_usable(t));
    if (size_bytes != t->size_bytes)
        return bdpo_fail(BDPO_BAD_ARGUMENT, "%s: tensor %s has %zu bytes, %zu are asked for",
                         t->path, bdpo_printable(t->name).text, t->size_bytes, size_bytes);
    if (size_bytes == 0) return BDPO_OK;
    if (t->stride)
        gather(out, NULL, t, dtypes[t->dtype].bits / 8);
    else
        memcpy(out, t->data, size_bytes);
    return BDPO_OK;
}

bdpo_status bdpo_stored_tensor_read_f32(const bdpo_stored_tensor *t, float *out, size_t count)
{
    TRY(check_usable(t));
    if (count != t->count)
        return bdpo_fail(BDPO_BAD_ARGUMENT, "%s: tensor %s has %zu elements, %zu are asked for",
                         t->path, bdpo_printable(t->name).text, t->count, count);
    if (count == 0) return BDPO_OK;
    size_t item = dtypes[t->dtype].bits / 8;
    if (t->stride)
        gather(NULL, out, t, item);
    else if (t->dtype == BDPO_STORED_F32)
        memcpy(out, t->data, t->size_bytes);
    else
        convert_row(out, t->data, count, item, t->dtype);
    return BDPO_OK;
}

// ---- shapes --------------------------------------------------------------------------------

bdpo_stored_shape_text bdpo_stored_shape_print(const int64_t *dim, int n_dims)
{
    enum { ROOM = 28 }; // of one more number and the end
    bdpo_stored_shape_text out = {"["};
    size_t used = 1;
    for (int d = 0; d < n_dims; d++) {
        const char *comma = d > 0 ? ", " : "";
        if (used + ROOM > sizeof out.text) {
            used += (size_t)snprintf(out.text + used, sizeof out.text - used, "%s...", comma);
            break;
        }
        used +=
            (size_t)snprintf(out.text + used, sizeof out.text - used, "%s%" PRId64, comma, dim[d]);
    }
    snprintf(out.text + used, sizeof out.text - used, "]");
    return out;
}

bdpo_status bdpo_stored_tensor_check_shape(const bdpo_stored_tensor *t, const int64_t *dim,
                                           int n_dims)
{
    bool equal = t->n_dims == n_dims;
    for (int d = 0; equal && d < n_dims; d++) equal = t->dim[d] == dim[d];
    if (equal) return BDPO_OK;
    return bdpo_fail(BDPO_BAD_FILE, "%s: tensor %s has the shape %s, expected %s", t->path,
                     bdpo_printable(t->name).text, bdpo_stored_shape_print(t->dim, t->n_dims).text,
                     bdpo_stored_shape_print(dim, n_dims).text);
}

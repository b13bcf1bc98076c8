// Reading, permuting and narrowing one tensor.
#include "models/model_writer_values.h"

#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "tensor/tensor.h"

size_t bdpo_part_count(const bdpo_part_to_write *part)
{
    return part->params ? (size_t)bdpo_param_list_count(part->params)
                        : bdpo_component_count(part->component);
}

const char *bdpo_part_name(const bdpo_part_to_write *part, size_t index)
{
    return part->params ? bdpo_param_list_at(part->params, (int)index)->name
                        : bdpo_component_at(part->component, index)->name;
}

static bdpo_status not_found(const bdpo_part_to_write *part, const char *name)
{
    return bdpo_fail(BDPO_NOT_FOUND, "%s has no \"%s\" to write",
                     bdpo_component_get_source(part->component)->spec->name, name);
}

static bdpo_stored_dtype dtype_to_write(bdpo_stored_dtype read, bdpo_write_dtype wanted)
{
    switch (wanted) {
    case BDPO_WRITE_F32:
        return BDPO_STORED_F32;
    case BDPO_WRITE_F16:
        return BDPO_STORED_F16;
    case BDPO_WRITE_BF16:
        return BDPO_STORED_BF16;
    case BDPO_WRITE_AS_READ:
        break;
    }
    return read == BDPO_STORED_F16 || read == BDPO_STORED_BF16 ? read : BDPO_STORED_F32;
}

bdpo_status bdpo_entry_init(bdpo_entry *out, const bdpo_part_to_write *part, const char *source,
                            bdpo_write_dtype dtype)
{
    *out = (bdpo_entry){.part = part, .sources = {source}, .name = source};
    const int64_t *dim;
    bdpo_stored_dtype read = BDPO_STORED_F32;
    if (part->params) {
        const bdpo_param_spec *spec = bdpo_param_list_find(part->params, source);
        if (!spec) return not_found(part, source);
        out->n_dims = spec->shape.n_dims;
        dim = spec->shape.dim;
    } else {
        const bdpo_weight *w = bdpo_component_find(part->component, source);
        if (!w) return not_found(part, source);
        if (w->tensor.n_dims > BDPO_MAX_DIMS || !bdpo_stored_dtype_usable(w->tensor.dtype))
            return bdpo_fail(BDPO_UNSUPPORTED, "%s: \"%s\" is %s %s, which no weight of a model is",
                             w->tensor.path, w->tensor.name,
                             bdpo_stored_dtype_name(w->tensor.dtype),
                             bdpo_stored_shape_print(w->tensor.dim, w->tensor.n_dims).text);
        out->n_dims = w->tensor.n_dims;
        dim = w->tensor.dim;
        read = w->tensor.dtype;
    }
    if (out->n_dims > 0) memcpy(out->dim, dim, (size_t)out->n_dims * sizeof *dim);
    out->dtype = dtype_to_write(read, dtype);
    return BDPO_OK;
}

// ---- values in f32 -----------------------------------------------------------------------------

// [co, ky, kx, ci] to [co, ci, ky, kx].
static void unpermute(float *out, const float *in, const bdpo_shape *file_shape)
{
    const int64_t *d = file_shape->dim;
    size_t kernel = (size_t)(d[2] * d[3]), ci = (size_t)d[1];
    for (size_t co = 0; co < (size_t)d[0]; co++, in += kernel * ci)
        for (size_t i = 0; i < ci; i++)
            for (size_t k = 0; k < kernel; k++) *out++ = in[k * ci + i];
}

static void widen(float *out, const uint16_t *in, size_t count, bdpo_dtype dtype)
{
    for (size_t i = 0; i < count; i++)
        out[i] = dtype == BDPO_F16 ? bdpo_f16_to_f32(in[i]) : bdpo_bf16_to_f32(in[i]);
}

// values[count] and scratch[count] are the caller's; the result is in values.
static bdpo_status read_store(const bdpo_part_to_write *part, const bdpo_param_spec *spec,
                              float *values, float *scratch, size_t count)
{
    bdpo_dtype dtype;
    bdpo_shape shape;
    TRY(bdpo_store_describe(part->store, part->kind, spec->name, &dtype, &shape));
    float *first = spec->shape.n_dims == 4 ? scratch : values;
    size_t bytes = count * bdpo_dtype_size(dtype);
    if (dtype == BDPO_F32) {
        TRY(bdpo_store_read(part->store, part->kind, spec->name, first, bytes));
    } else {
        float *other = first == scratch ? values : scratch;
        TRY(bdpo_store_read(part->store, part->kind, spec->name, other, bytes));
        widen(first, (const uint16_t *)(const void *)other, count, dtype);
    }
    if (first == scratch) unpermute(values, scratch, &spec->shape);
    return BDPO_OK;
}

static bdpo_status read_values(const bdpo_part_to_write *part, const char *name, float *values,
                               float *scratch, size_t count)
{
    if (!part->params)
        return bdpo_stored_tensor_read_f32(&bdpo_component_find(part->component, name)->tensor,
                                           values, count);
    return read_store(part, bdpo_param_list_find(part->params, name), values, scratch, count);
}

// ---- narrowing ---------------------------------------------------------------------------------

static bdpo_status narrow(uint16_t *out, const float *in, size_t count, const bdpo_entry *e)
{
    for (size_t i = 0; i < count; i++) {
        if (e->dtype == BDPO_STORED_BF16) {
            out[i] = bdpo_bf16_from_f32(in[i]);
            continue;
        }
        out[i] = bdpo_f16_from_f32(in[i]);
        if ((out[i] & 0x7fff) == 0x7c00 && isfinite(in[i]))
            return bdpo_fail(BDPO_BAD_ARGUMENT,
                             "\"%s\" has the value %g, which f16 cannot hold: write bf16 or f32",
                             e->name, (double)in[i]);
    }
    return BDPO_OK;
}

// scratch[count] = values [rows, cols] turned.
static void turn(float *out, const float *in, size_t rows, size_t cols)
{
    for (size_t c = 0; c < cols; c++)
        for (size_t r = 0; r < rows; r++) *out++ = in[r * cols + c];
}

static bdpo_status put_source(const bdpo_entry *e, const char *name, float *values, float *scratch,
                              size_t count, bdpo_tensor_sink *sink)
{
    TRY(read_values(e->part, name, values, scratch, count));
    for (size_t i = 0; i < count && e->factor != 0; i++) values[i] *= e->factor;
    if (e->transposed) { // e->dim is the turned shape
        turn(scratch, values, (size_t)e->dim[1], (size_t)e->dim[0]);
        float *swap = values;
        values = scratch;
        scratch = swap;
    }
    if (e->dtype == BDPO_STORED_F32)
        return bdpo_tensor_sink_put(sink, values, count * sizeof *values);
    TRY(narrow((uint16_t *)(void *)scratch, values, count, e));
    return bdpo_tensor_sink_put(sink, scratch, count * sizeof(uint16_t));
}

bdpo_status bdpo_entry_put(const bdpo_entry *e, bdpo_tensor_sink *sink)
{
    size_t n_sources = 0, count = 1;
    while (n_sources < 3 && e->sources[n_sources]) n_sources++;
    for (int i = 0; i < e->n_dims; i++) count *= (size_t)e->dim[i]; // checked where they come from
    if (n_sources == 0) return BDPO_OK;                             // a marker, without elements
    count /= n_sources;
    float *values = bdpo_alloc_aligned((count ? count : 1) * sizeof *values);
    float *scratch = bdpo_alloc_aligned((count ? count : 1) * sizeof *scratch);
    bdpo_status status = BDPO_OK;
    if (!values || !scratch)
        status = bdpo_fail(BDPO_NO_MEMORY, "no memory for \"%s\" of %zu elements", e->name, count);
    for (size_t i = 0; i < n_sources && status == BDPO_OK; i++)
        status = put_source(e, e->sources[i], values, scratch, count, sink);
    bdpo_free_aligned(values);
    bdpo_free_aligned(scratch);
    return status;
}

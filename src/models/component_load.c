// From a file into the store: compare with what the model needs, declare, copy what is not mapped.
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "graph/store.h"
#include "models/component.h"
#include "tensor/tensor.h"

// ---- comparing ---------------------------------------------------------------------------------

enum { N_NAMED = 4 }; // of all problems, these are told one by one

typedef struct problems {
    int count;
    size_t used;
    char text[N_NAMED * (BDPO_NAME_BYTES + 128)];
} problems;

__attribute__((format(printf, 2, 3))) static void tell(problems *p, const char *format, ...)
{
    if (p->count++ >= N_NAMED) return;
    char text[BDPO_NAME_BYTES + 128];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    size_t left = sizeof p->text - p->used;
    int n = snprintf(p->text + p->used, left, "%s%s", p->used ? "; " : "", text);
    p->used += (size_t)n < left ? (size_t)n : left - 1;
}

// Equal but for a kernel of 1x1 that only one of them states, or a scalar's axis of one.
static bool same_shape(const bdpo_stored_tensor *t, const bdpo_shape *shape)
{
    int n = t->n_dims < shape->n_dims ? t->n_dims : shape->n_dims;
    for (int i = 0; i < n; i++)
        if (t->dim[i] != shape->dim[i]) return false;
    for (int i = n; i < t->n_dims; i++)
        if (t->dim[i] != 1) return false;
    for (int i = n; i < shape->n_dims; i++)
        if (shape->dim[i] != 1) return false;
    return t->n_dims == shape->n_dims || n == 2 || n == 0;
}

static void compare_one(problems *p, const bdpo_component *c, const bdpo_param_spec *spec)
{
    const bdpo_weight *w = bdpo_component_find(c, spec->name);
    bdpo_shape_text expected = bdpo_shape_print(&spec->shape);
    if (!w)
        tell(p, "\"%s\" %s is missing", spec->name, expected.text);
    else if (!same_shape(&w->tensor, &spec->shape))
        tell(p, "\"%s\" is %s where %s is expected", spec->name,
             bdpo_stored_shape_print(w->tensor.dim, w->tensor.n_dims).text, expected.text);
    else if (!bdpo_stored_dtype_usable(w->tensor.dtype))
        tell(p, "\"%s\" is %s, which is not supported", spec->name,
             bdpo_stored_dtype_name(w->tensor.dtype));
}

bdpo_status bdpo_component_check(const bdpo_component *c, const bdpo_param_list *needed)
{
    problems p = {0};
    for (int i = 0; i < bdpo_param_list_count(needed); i++)
        compare_one(&p, c, bdpo_param_list_at(needed, i));
    for (size_t i = 0; i < bdpo_component_count(c); i++) {
        const bdpo_weight *w = bdpo_component_at(c, i);
        if (!bdpo_param_list_find(needed, w->name))
            tell(&p, "\"%s\" %s is left over", w->tensor.name,
                 bdpo_stored_shape_print(w->tensor.dim, w->tensor.n_dims).text);
    }
    for (size_t i = 0; i < bdpo_component_n_strays(c); i++)
        tell(&p, "\"%s\" is left over", bdpo_component_stray(c, i));
    if (p.count == 0) return BDPO_OK;
    const bdpo_component_source *s = bdpo_component_get_source(c);
    char more[48] = "";
    if (p.count > N_NAMED) snprintf(more, sizeof more, "; and %d more", p.count - N_NAMED);
    return bdpo_fail(BDPO_BAD_FILE, "%s: %d of %d tensors do not fit %s (%s): %s%s",
                     bdpo_tensor_file_path(s->file), p.count, bdpo_param_list_count(needed),
                     s->spec->name, s->config_file, p.text, more);
}

// ---- declaring ---------------------------------------------------------------------------------

// The dtype in which a frozen tensor rests; others than these three are converted to f32.
static bdpo_dtype resting_dtype(const bdpo_stored_tensor *t)
{
    return t->dtype == BDPO_STORED_F16    ? BDPO_F16
           : t->dtype == BDPO_STORED_BF16 ? BDPO_BF16
                                          : BDPO_F32;
}

static bool can_map(const bdpo_stored_tensor *t, const bdpo_param_spec *spec)
{
    const bdpo_shape *s = &spec->shape;
    bdpo_dtype dtype = resting_dtype(t);
    bool permuted = s->n_dims == 4 && (s->dim[2] != 1 || s->dim[3] != 1);
    return !permuted && !t->stride && t->dtype == bdpo_stored_dtype_of(dtype) &&
           (uintptr_t)t->data % bdpo_dtype_size(dtype) == 0;
}

bdpo_status bdpo_component_declare(const bdpo_component *c, const bdpo_param_list *needed,
                                   bdpo_store *store, const bdpo_load_options *options)
{
    TRY(bdpo_component_check(c, needed));
    for (int i = 0; i < bdpo_param_list_count(needed); i++) {
        const bdpo_param_spec *spec = bdpo_param_list_at(needed, i);
        const bdpo_stored_tensor *t = &bdpo_component_find(c, spec->name)->tensor;
        bdpo_shape shape = bdpo_param_store_shape(spec);
        bdpo_dtype dtype = options->trainable ? BDPO_F32 : resting_dtype(t);
        if (!options->trainable && !options->copy && can_map(t, spec))
            TRY(bdpo_store_declare_mapped(store, spec->name, dtype, shape, t->data));
        else
            TRY(bdpo_store_declare(store, spec->name, dtype, shape, options->trainable));
    }
    return BDPO_OK;
}

// ---- copying -----------------------------------------------------------------------------------

typedef struct scratch {
    char *file, *store; // of the largest tensor that is copied, in the order of each
    size_t bytes;
} scratch;

// The tensor as one dense block of `dtype`, in the file's order: in the file itself where it lies
// so.
static bdpo_status read_dense(const void **out, const scratch *s, const bdpo_stored_tensor *t,
                              bdpo_dtype dtype)
{
    bool same = t->dtype == bdpo_stored_dtype_of(dtype);
    *out = s->file;
    if (same && !t->stride && (uintptr_t)t->data % bdpo_dtype_size(dtype) == 0)
        *out = t->data;
    else if (same)
        TRY(bdpo_stored_tensor_read(t, s->file, t->count * bdpo_dtype_size(dtype)));
    else
        TRY(bdpo_stored_tensor_read_f32(t, (float *)(void *)s->file, t->count));
    return BDPO_OK;
}

static void permute(char *out, const char *in, const bdpo_shape *shape, size_t size, int n_threads)
{
    bdpo_shape one = *shape; // output channel
    one.dim[0] = 1;
    int64_t bytes = bdpo_shape_count(&one) * (int64_t)size;
#pragma omp parallel for num_threads(n_threads) schedule(static)
    for (int64_t co = 0; co < shape->dim[0]; co++)
        bdpo_param_to_store(out + co * bytes, in + co * bytes, &one, size);
}

static bdpo_status copy_one(bdpo_store *store, const scratch *s, const bdpo_param_spec *spec,
                            const bdpo_stored_tensor *t, bdpo_dtype dtype)
{
    size_t size = bdpo_dtype_size(dtype);
    const void *dense;
    TRY(read_dense(&dense, s, t, dtype));
    if (spec->shape.n_dims == 4) {
        permute(s->store, dense, &spec->shape, size, bdpo_engine_threads(bdpo_store_engine(store)));
        dense = s->store;
    }
    return bdpo_store_write(store, BDPO_PARAM, spec->name, dense, t->count * size);
}

// Whether declare left the parameter for fill; if so its dtype in the store.
static bdpo_status find_copied(bool *copied, bdpo_dtype *dtype, const bdpo_store *store,
                               const bdpo_param_spec *spec)
{
    bdpo_shape shape;
    TRY(bdpo_store_describe(store, BDPO_PARAM, spec->name, dtype, &shape));
    *copied = !bdpo_store_find(store, spec->name)->mapped;
    return BDPO_OK;
}

// What is copied from a mapped file is read from there once: it need not stay in memory twice.
static void let_go(const bdpo_stored_tensor *t)
{
    if (!t->stride) bdpo_file_rest(t->data, t->size_bytes);
}

static void prepare_next(const bdpo_component *c, const bdpo_param_list *needed, int index)
{
    if (index + 1 == bdpo_param_list_count(needed)) return;
    const bdpo_param_spec *spec = bdpo_param_list_at(needed, index + 1);
    const bdpo_stored_tensor *t = &bdpo_component_find(c, spec->name)->tensor;
    if (!t->stride) bdpo_file_expect(t->data, t->size_bytes);
}

static bdpo_status copy_all(const bdpo_component *c, const bdpo_param_list *needed,
                            bdpo_store *store, const scratch *s)
{
    for (int i = 0; i < bdpo_param_list_count(needed); i++) {
        const bdpo_param_spec *spec = bdpo_param_list_at(needed, i);
        bool copied;
        bdpo_dtype dtype;
        TRY(find_copied(&copied, &dtype, store, spec));
        prepare_next(c, needed, i);
        if (!copied) continue;
        const bdpo_stored_tensor *t = &bdpo_component_find(c, spec->name)->tensor;
        TRY(copy_one(store, s, spec, t, dtype));
        let_go(t);
    }
    return BDPO_OK;
}

bdpo_status bdpo_component_fill(const bdpo_component *c, const bdpo_param_list *needed,
                                bdpo_store *store)
{
    scratch s = {0};
    for (int i = 0; i < bdpo_param_list_count(needed); i++) {
        const bdpo_param_spec *spec = bdpo_param_list_at(needed, i);
        bool copied;
        bdpo_dtype dtype;
        TRY(find_copied(&copied, &dtype, store, spec));
        size_t bytes = (size_t)bdpo_shape_count(&spec->shape) * bdpo_dtype_size(dtype);
        if (copied && bytes > s.bytes) s.bytes = bytes;
    }
    if (s.bytes == 0) return BDPO_OK;
    s.file = bdpo_alloc_aligned(s.bytes);
    s.store = bdpo_alloc_aligned(s.bytes);
    bdpo_status status =
        s.file && s.store
            ? copy_all(c, needed, store, &s)
            : bdpo_fail(BDPO_NO_MEMORY, "no memory for a tensor of %zu bytes", s.bytes);
    bdpo_free_aligned(s.file);
    bdpo_free_aligned(s.store);
    return status;
}

#include "scorers/wide_store.h"

#include "base/file.h"
#include "base/memory.h"
#include "graph/store.h"
#include "tensor/tensor.h"

bool bdpo_is_half(const bdpo_store *store, const bdpo_param_list *params)
{
    for (int i = 0; i < bdpo_param_list_count(params); i++) {
        const bdpo_param_info *p = bdpo_store_find(store, bdpo_param_list_at(params, i)->name);
        if (p && p->dtype != BDPO_F32) return true;
    }
    return false;
}

static void widen(float *out, const uint16_t *in, size_t n, bdpo_dtype dtype)
{
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < n; i++)
        out[i] = dtype == BDPO_F16 ? bdpo_f16_to_f32(in[i]) : bdpo_bf16_to_f32(in[i]);
}

// `narrow` and `wide` have room for the largest tensor.
static bdpo_status copy_one(bdpo_store *to, bdpo_store *from, const bdpo_param_info *p,
                            uint16_t *narrow, float *wide)
{
    size_t n = (size_t)bdpo_shape_count(&p->shape);
    if (p->dtype == BDPO_F32) {
        TRY(bdpo_store_read(from, BDPO_PARAM, p->name, wide, n * sizeof *wide));
    } else {
        TRY(bdpo_store_read(from, BDPO_PARAM, p->name, narrow, n * sizeof *narrow));
        widen(wide, narrow, n, p->dtype);
    }
    if (p->mapped) bdpo_file_rest(p->mapped, n * bdpo_dtype_size(p->dtype)); // both would be large
    return bdpo_store_write(to, BDPO_PARAM, p->name, wide, n * sizeof *wide);
}

static bdpo_status copy_all(bdpo_store *to, bdpo_store *from, const bdpo_param_list *params)
{
    size_t most = 0;
    bdpo_status status = BDPO_OK;
    for (int i = 0; i < bdpo_param_list_count(params); i++) {
        size_t n = (size_t)bdpo_shape_count(&bdpo_param_list_at(params, i)->shape);
        if (n > most) most = n;
    }
    uint16_t *narrow = bdpo_alloc_aligned(most * sizeof *narrow);
    float *wide = bdpo_alloc_aligned(most * sizeof *wide);
    if (!narrow || !wide) status = bdpo_fail(BDPO_NO_MEMORY, "no memory to widen weights");
    for (int i = 0; i < bdpo_param_list_count(params) && status == BDPO_OK; i++)
        status = copy_one(to, from, bdpo_store_find(from, bdpo_param_list_at(params, i)->name),
                          narrow, wide);
    bdpo_free_aligned(narrow);
    bdpo_free_aligned(wide);
    return status;
}

static bdpo_status declare_all(bdpo_store *store, const bdpo_param_list *params)
{
    for (int i = 0; i < bdpo_param_list_count(params); i++) {
        const bdpo_param_spec *spec = bdpo_param_list_at(params, i);
        TRY(bdpo_store_declare(store, spec->name, BDPO_F32, bdpo_param_store_shape(spec), false));
    }
    return bdpo_store_seal(store);
}

bdpo_status bdpo_wide_store_new(bdpo_store **out, bdpo_engine *engine, bdpo_store *from,
                                const bdpo_param_list *params)
{
    bdpo_store *store;
    *out = NULL;
    TRY(bdpo_store_new(&store, engine));
    bdpo_status status = declare_all(store, params);
    if (status == BDPO_OK) status = copy_all(store, from, params);
    if (status == BDPO_OK)
        *out = store;
    else
        bdpo_store_free(store);
    return status;
}

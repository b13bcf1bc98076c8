// The numbers of adapters: from a file into the store, or into the weights themselves.
#include <string.h>

#include "base/memory.h"
#include "kernels/gemm.h"
#include "models/lora_adapter.h"
#include "tensor/tensor.h"

// ---- matrices ----------------------------------------------------------------------------------

// Matrices of one adapter, or of a stack of them, as the store keeps them.
typedef struct matrices {
    int64_t rank, in, out;
    float *a, *b, *read; // [rank, in], [out, rank], room for either
} matrices;

static void matrices_release(matrices *m)
{
    bdpo_free(m->a);
    bdpo_free(m->b);
    bdpo_free(m->read);
}

static bdpo_status matrices_new(matrices *m, const bdpo_shape *weight, int64_t rank)
{
    int64_t out = weight->dim[0], in = bdpo_shape_count(weight) / out;
    *m = (matrices){.rank = rank, .in = in, .out = out};
    m->a = bdpo_alloc((size_t)(rank * in), sizeof *m->a);
    m->b = bdpo_alloc((size_t)(out * rank), sizeof *m->b);
    m->read = bdpo_alloc((size_t)(rank * (in > out ? in : out)), sizeof *m->read);
    if (m->a && m->b && m->read) return BDPO_OK;
    matrices_release(m);
    return bdpo_fail(BDPO_NO_MEMORY, "no memory for an adapter of rank %lld", (long long)rank);
}

// Puts an adapter at ranks first, first + 1, .. of the stack, B times `factor`.
static bdpo_status matrices_read(matrices *m, const bdpo_lora_adapter *a, const bdpo_shape *weight,
                                 int64_t first, float factor)
{
    TRY(bdpo_stored_tensor_read_f32(a->down, m->read, a->down->count));
    bdpo_shape rows = *weight;
    rows.dim[0] = a->rank;
    bdpo_param_to_store(m->a + first * m->in, m->read, &rows, sizeof *m->a);
    TRY(bdpo_stored_tensor_read_f32(a->up, m->read, a->up->count));
    for (int64_t o = 0; o < m->out; o++)
        for (int64_t r = 0; r < a->rank; r++)
            m->b[o * m->rank + first + r] = factor * m->read[o * a->rank + r];
    return BDPO_OK;
}

static bdpo_status write_matrices(bdpo_store *store, const char *path, const matrices *m)
{
    char name[BDPO_NAME_BYTES + 16];
    snprintf(name, sizeof name, "%s.lora_A.weight", path);
    TRY(bdpo_store_write(store, BDPO_PARAM, name, m->a, (size_t)(m->rank * m->in) * sizeof *m->a));
    snprintf(name, sizeof name, "%s.lora_B.weight", path);
    return bdpo_store_write(store, BDPO_PARAM, name, m->b,
                            (size_t)(m->out * m->rank) * sizeof *m->b);
}

static bdpo_status fill_module(bdpo_store *store, const bdpo_lora_module *module,
                               const bdpo_lora_source *sources, int n_sources,
                               const bdpo_lora_component *component)
{
    matrices m;
    int64_t first = 0;
    TRY(matrices_new(&m, &module->weight, module->rank));
    bdpo_status status = BDPO_OK;
    for (int i = 0; i < n_sources && status == BDPO_OK; i++) {
        bool found;
        bdpo_lora_adapter a;
        status = bdpo_lora_adapter_find(&found, &a, sources[i].file, component, module->path,
                                        &module->weight);
        if (status != BDPO_OK || !found) continue;
        double factor = n_sources == 1 ? 1 : sources[i].strength * a.alpha / (double)a.rank;
        status = matrices_read(&m, &a, &module->weight, first, (float)factor);
        first += a.rank;
    }
    if (status == BDPO_OK) status = write_matrices(store, module->path, &m);
    matrices_release(&m);
    return status;
}

bdpo_status bdpo_lora_files_fill(bdpo_store *store, const bdpo_lora *lora,
                                 const bdpo_lora_source *sources, int n_sources,
                                 const bdpo_lora_component *component)
{
    for (int i = 0; i < bdpo_lora_count(lora); i++)
        TRY(fill_module(store, bdpo_lora_at(lora, i), sources, n_sources, component));
    return BDPO_OK;
}

// ---- merging -----------------------------------------------------------------------------------

// w [out, in] += b a.
static bdpo_status add_product(float *w, const matrices *m, int n_threads)
{
    void *workspace =
        bdpo_alloc_aligned(bdpo_gemm_workspace(m->out, m->in, m->rank, false, false, n_threads));
    if (!workspace) return bdpo_fail(BDPO_NO_MEMORY, "no memory to merge an adapter");
    bdpo_gemm(&(bdpo_gemm_args){.m = m->out,
                                .n = m->in,
                                .k = m->rank,
                                .a = m->b,
                                .lda = m->rank,
                                .b = m->a,
                                .ldb = m->in,
                                .c = w,
                                .ldc = m->in,
                                .accumulate = true,
                                .alpha = 1},
              workspace, n_threads);
    bdpo_free_aligned(workspace);
    return BDPO_OK;
}

static bdpo_status merge_weight(bdpo_store *store, const char *name, const matrices *m,
                                int n_threads)
{
    size_t bytes = (size_t)(m->out * m->in) * sizeof(float);
    float *w = bdpo_alloc(1, bytes);
    if (!w) return bdpo_fail(BDPO_NO_MEMORY, "no memory to merge into %s", name);
    bdpo_status status = bdpo_store_read(store, BDPO_PARAM, name, w, bytes);
    if (status == BDPO_OK) status = add_product(w, m, n_threads);
    if (status == BDPO_OK) status = bdpo_store_write(store, BDPO_PARAM, name, w, bytes);
    bdpo_free(w);
    return status;
}

static bdpo_status merge_layer(bool *found, bdpo_store *store, const bdpo_lora_source *source,
                               const bdpo_lora_component *component, const bdpo_param_spec *spec,
                               const char *path, int n_threads)
{
    bdpo_lora_adapter a;
    matrices m;
    TRY(bdpo_lora_adapter_find(found, &a, source->file, component, path, &spec->shape));
    if (!*found) return BDPO_OK;
    TRY(matrices_new(&m, &spec->shape, a.rank));
    double factor = source->strength * a.alpha / (double)a.rank;
    bdpo_status status = matrices_read(&m, &a, &spec->shape, 0, (float)factor);
    if (status == BDPO_OK) status = merge_weight(store, spec->name, &m, n_threads);
    matrices_release(&m);
    return status;
}

bdpo_status bdpo_lora_file_merge(int *n_merged, bdpo_store *store, const bdpo_lora_source *source,
                                 const bdpo_lora_component *component, int n_threads)
{
    *n_merged = 0;
    for (int i = 0; i < bdpo_param_list_count(component->params); i++) {
        const bdpo_param_spec *spec = bdpo_param_list_at(component->params, i);
        char path[BDPO_NAME_BYTES];
        bool found;
        if (!bdpo_param_layer(path, spec)) continue;
        TRY(merge_layer(&found, store, source, component, spec, path, n_threads));
        *n_merged += found;
    }
    return BDPO_OK;
}

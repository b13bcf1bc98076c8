// The tensor store: parameters and all that training keeps beside them, in flat buckets.
//
// A bucket holds neighbouring parameters of one dtype, all trainable or all frozen. Each starts at
// a multiple of 64 elements, in every kind alike, so that kinds of equal shape have equal offsets
// and an optimiser may walk a whole bucket in one loop; the padding stays zero.
#include "graph/store.h"

#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "graph/engine_room.h"

enum { ELEMENT_ALIGNMENT = 64, BUCKET_BYTES = 64 << 20, ABSMAX_BLOCK = 256, SMALL_8BIT = 4096 };

typedef struct bucket {
    bdpo_dtype dtype;
    bool trainable, mapped;
    int first, count; // parameters
    void *data[BDPO_N_KINDS];
    size_t bytes[BDPO_N_KINDS];
} bucket;

struct bdpo_store {
    bdpo_engine *engine;
    bdpo_arena *arena; // of the names
    bdpo_param_info *params;
    int n_params, param_capacity;
    bucket *buckets;
    int n_buckets, bucket_capacity;
    int *hash; // open addressing over the names; -1: free
    int hash_size;
    bool sealed;
    bool reserved[BDPO_N_KINDS];
};

static const char *kind_name(bdpo_kind kind)
{
    static const char *const names[] = {
#define X(name, text) #text,
        BDPO_KIND_LIST(X)
#undef X
    };
    return names[kind];
}

// ---- names -------------------------------------------------------------------------------------

static uint64_t hash_name(const char *name)
{
    uint64_t hash = 14695981039346656037u; // FNV-1a
    for (; *name; name++) hash = (hash ^ (unsigned char)*name) * 1099511628211u;
    return hash;
}

static int *hash_slot(const bdpo_store *store, const char *name)
{
    size_t mask = (size_t)store->hash_size - 1;
    size_t i = hash_name(name) & mask;
    while (store->hash[i] >= 0 && strcmp(store->params[store->hash[i]].name, name) != 0)
        i = (i + 1) & mask;
    return &store->hash[i];
}

// Keeps the table at most half full.
static bdpo_status grow_hash(bdpo_store *store)
{
    if (2 * store->n_params < store->hash_size) return BDPO_OK;
    int size = store->hash_size ? 2 * store->hash_size : 256;
    int *larger = bdpo_alloc((size_t)size, sizeof *larger);
    if (!larger) return bdpo_fail(BDPO_NO_MEMORY, "no memory for the names of the store");
    bdpo_free(store->hash);
    store->hash = larger;
    store->hash_size = size;
    for (int i = 0; i < size; i++) larger[i] = -1;
    for (int i = 0; i < store->n_params; i++) *hash_slot(store, store->params[i].name) = i;
    return BDPO_OK;
}

const bdpo_param_info *bdpo_store_find(const bdpo_store *store, const char *name)
{
    if (store->n_params == 0) return NULL;
    int index = *hash_slot(store, name);
    return index >= 0 ? &store->params[index] : NULL;
}

const bdpo_param_info *bdpo_store_at(const bdpo_store *store, int index)
{
    return &store->params[index];
}

static bdpo_status find(const bdpo_store *store, const char *name, const bdpo_param_info **param)
{
    *param = bdpo_store_find(store, name);
    return *param ? BDPO_OK : bdpo_fail(BDPO_NOT_FOUND, "the store has no parameter \"%s\"", name);
}

bdpo_engine *bdpo_store_engine(const bdpo_store *store)
{
    return store->engine;
}

int bdpo_store_count(const bdpo_store *store)
{
    return store->n_params;
}

const char *bdpo_store_name(const bdpo_store *store, int index)
{
    return store->params[index].name;
}

// ---- layout ------------------------------------------------------------------------------------

// Adafactor factors over the last two axes of the checkpoint's order, which for a convolution
// [co, ky, kx, ci] is OIHW: rows [co, ci, ky], columns [co, ci, kx].
static bool factor_shape(const bdpo_shape *shape, bool row, bdpo_shape *out)
{
    const int64_t *d = shape->dim;
    switch (shape->n_dims) {
    case 1:
        *out = *shape;
        return row;
    case 2:
        *out = BDPO_SHAPE(row ? d[0] : d[1]);
        return true;
    case 3:
        *out = row ? BDPO_SHAPE(d[0], d[1]) : BDPO_SHAPE(d[0], d[2]);
        return true;
    default:
        *out = BDPO_SHAPE(d[0], d[3], row ? d[1] : d[2]);
        return true;
    }
}

bool bdpo_store_layout(const bdpo_param_info *param, bdpo_kind kind, bdpo_dtype *dtype,
                       bdpo_shape *shape)
{
    int64_t count = bdpo_shape_count(&param->shape);
    *dtype = BDPO_F32;
    *shape = param->shape;
    switch (kind) {
    case BDPO_PARAM:
        *dtype = param->dtype;
        return true;
    case BDPO_REFERENCE:
    case BDPO_GRAD:
    case BDPO_MOMENT1:
    case BDPO_MOMENT2:
    case BDPO_AVERAGE:
        return param->trainable;
    case BDPO_SHADOW:
        *dtype = BDPO_BF16;
        return param->dtype == BDPO_F32;
    case BDPO_MOMENT1_8BIT:
    case BDPO_MOMENT2_8BIT:
        *dtype = count < SMALL_8BIT ? BDPO_F32 : BDPO_U8;
        return param->trainable;
    case BDPO_MOMENT1_ABSMAX:
    case BDPO_MOMENT2_ABSMAX:
        *shape = BDPO_SHAPE((count + ABSMAX_BLOCK - 1) / ABSMAX_BLOCK);
        return param->trainable && count >= SMALL_8BIT;
    case BDPO_FACTOR_ROW:
        return param->trainable && factor_shape(&param->shape, true, shape);
    case BDPO_FACTOR_COLUMN:
        return param->trainable && factor_shape(&param->shape, false, shape);
    case BDPO_N_KINDS:
        break;
    }
    return false;
}

// Gives every parameter of a bucket its offset in a kind; returns the bytes. Offsets count
// elements of the parameter's own dtype for the kind (8-bit kinds mix u8 and f32).
static size_t lay_out(bdpo_store *store, const bucket *b, bdpo_kind kind)
{
    size_t bytes = 0;
    for (int i = b->first; i < b->first + b->count; i++) {
        bdpo_dtype dtype;
        bdpo_shape shape;
        if (!bdpo_store_layout(&store->params[i], kind, &dtype, &shape)) continue;
        size_t size = bdpo_dtype_size(dtype);
        bytes = bdpo_align(bytes, ELEMENT_ALIGNMENT * size);
        store->params[i].offset[kind] = (int64_t)(bytes / size);
        bytes += (size_t)bdpo_shape_count(&shape) * size;
        bytes = bdpo_align(bytes, ELEMENT_ALIGNMENT * size);
    }
    return bytes;
}

int64_t bdpo_store_bucket_elements(const bdpo_store *store, bdpo_kind kind, int index,
                                   bdpo_dtype *dtype)
{
    const bucket *b = &store->buckets[index];
    for (int i = b->first; i < b->first + b->count; i++) {
        bdpo_dtype own;
        bdpo_shape shape;
        if (!bdpo_store_layout(&store->params[i], kind, &own, &shape)) return 0;
        if (i > b->first && own != *dtype) return 0;
        *dtype = own;
    }
    return (int64_t)(b->bytes[kind] / bdpo_dtype_size(*dtype));
}

void *bdpo_store_address(const bdpo_store *store, bdpo_kind kind, int index)
{
    const bdpo_param_info *param = &store->params[index];
    if (kind == BDPO_PARAM && param->mapped) return (void *)(uintptr_t)param->mapped;
    bdpo_dtype dtype;
    bdpo_shape shape;
    BDPO_ASSERT(bdpo_store_layout(param, kind, &dtype, &shape));
    char *data = store->buckets[param->bucket].data[kind];
    BDPO_ASSERT(data != NULL);
    return data + (size_t)param->offset[kind] * bdpo_dtype_size(dtype);
}

int bdpo_store_bucket_count(const bdpo_store *store)
{
    return store->n_buckets;
}

bool bdpo_store_bucket_trainable(const bdpo_store *store, int index)
{
    return store->buckets[index].trainable;
}

void *bdpo_store_bucket_data(const bdpo_store *store, bdpo_kind kind, int index, size_t *bytes)
{
    *bytes = store->buckets[index].bytes[kind];
    return store->buckets[index].data[kind];
}

bdpo_status bdpo_store_describe(const bdpo_store *store, bdpo_kind kind, const char *name,
                                bdpo_dtype *dtype, bdpo_shape *shape)
{
    const bdpo_param_info *param;
    TRY(find(store, name, &param));
    if (!bdpo_store_layout(param, kind, dtype, shape))
        return bdpo_fail(BDPO_NOT_FOUND, "\"%s\" has no %s", name, kind_name(kind));
    return BDPO_OK;
}

// ---- life --------------------------------------------------------------------------------------

bdpo_status bdpo_store_new(bdpo_store **out, bdpo_engine *engine)
{
    *out = NULL;
    bdpo_arena *arena;
    TRY(bdpo_arena_new(&arena));
    bdpo_store *store = bdpo_arena_alloc(arena, 1, sizeof *store);
    if (!store) {
        bdpo_arena_free(arena);
        return bdpo_fail(BDPO_NO_MEMORY, "no memory for a store");
    }
    store->arena = arena;
    store->engine = engine;
    *out = store;
    return BDPO_OK;
}

static void release_buckets(bdpo_store *store)
{
    for (int b = 0; b < store->n_buckets; b++)
        for (int k = 0; k < BDPO_N_KINDS; k++)
            if (store->buckets[b].data[k])
                store->engine->backend->release(store->engine->device, store->buckets[b].data[k],
                                                store->buckets[b].bytes[k]);
    store->n_buckets = 0;
}

void bdpo_store_free(bdpo_store *store)
{
    if (!store) return;
    bdpo_engine_forget_store(store->engine, store);
    release_buckets(store);
    bdpo_free(store->hash);
    bdpo_free(store->params);
    bdpo_free(store->buckets);
    bdpo_arena_free(store->arena);
}

static bdpo_status check_declaration(const bdpo_store *store, const bdpo_param_info *param)
{
    if (store->sealed)
        return bdpo_fail(BDPO_BAD_ARGUMENT, "\"%s\" is declared after the store was sealed",
                         param->name);
    TRY(bdpo_shape_check(&param->shape, param->name));
    if (bdpo_store_find(store, param->name))
        return bdpo_fail(BDPO_BAD_ARGUMENT, "parameter \"%s\" is declared twice", param->name);
    if (param->trainable && param->dtype != BDPO_F32)
        return bdpo_fail(BDPO_BAD_ARGUMENT, "trainable \"%s\" is %s; trainable parameters are f32",
                         param->name, bdpo_dtype_name(param->dtype));
    return BDPO_OK;
}

// Doubles a heap array of the store when it is full.
static bdpo_status grow(void **list, int count, int *capacity, size_t size)
{
    if (count < *capacity) return BDPO_OK;
    int wanted = *capacity ? 2 * *capacity : 64;
    void *larger = bdpo_realloc(*list, (size_t)wanted, size);
    if (!larger) return bdpo_fail(BDPO_NO_MEMORY, "no memory for the list of parameters");
    *list = larger;
    *capacity = wanted;
    return BDPO_OK;
}

static bdpo_status declare(bdpo_store *store, bdpo_param_info param)
{
    TRY(check_declaration(store, &param));
    TRY(grow_hash(store));
    TRY(grow((void **)&store->params, store->n_params, &store->param_capacity,
             sizeof *store->params));
    param.name = bdpo_arena_strdup(store->arena, param.name);
    if (!param.name) return bdpo_fail(BDPO_NO_MEMORY, "no memory for a parameter's name");
    int *slot = hash_slot(store, param.name);
    store->params[store->n_params] = param;
    *slot = store->n_params++;
    return BDPO_OK;
}

bdpo_status bdpo_store_declare(bdpo_store *store, const char *name, bdpo_dtype dtype,
                               bdpo_shape shape, bool trainable)
{
    return declare(
        store,
        (bdpo_param_info){.name = name, .dtype = dtype, .shape = shape, .trainable = trainable});
}

bdpo_status bdpo_store_declare_mapped(bdpo_store *store, const char *name, bdpo_dtype dtype,
                                      bdpo_shape shape, const void *data)
{
    if (!data || (uintptr_t)data % bdpo_dtype_size(dtype) != 0)
        return bdpo_fail(BDPO_BAD_ARGUMENT, "mapped \"%s\" is not aligned to its %s elements", name,
                         bdpo_dtype_name(dtype));
    return declare(store,
                   (bdpo_param_info){.name = name, .dtype = dtype, .shape = shape, .mapped = data});
}

static bool fits(const bdpo_store *store, const bucket *b, const bdpo_param_info *param)
{
    if (b->dtype != param->dtype || b->trainable != param->trainable ||
        b->mapped != (param->mapped != NULL))
        return false;
    size_t bytes = 0;
    for (int i = b->first; i < b->first + b->count; i++)
        bytes += (size_t)bdpo_shape_count(&store->params[i].shape) * bdpo_dtype_size(b->dtype);
    return bytes + (size_t)bdpo_shape_count(&param->shape) * bdpo_dtype_size(param->dtype) <=
           BUCKET_BYTES;
}

static bdpo_status assign_buckets(bdpo_store *store)
{
    for (int i = 0; i < store->n_params; i++) {
        bdpo_param_info *param = &store->params[i];
        bucket *last = store->n_buckets ? &store->buckets[store->n_buckets - 1] : NULL;
        if (!last || !fits(store, last, param)) {
            TRY(grow((void **)&store->buckets, store->n_buckets, &store->bucket_capacity,
                     sizeof *store->buckets));
            BDPO_ASSERT(store->buckets != NULL);
            last = &store->buckets[store->n_buckets++];
            *last = (bucket){.dtype = param->dtype,
                             .trainable = param->trainable,
                             .mapped = param->mapped != NULL,
                             .first = i};
        }
        last->count++;
        param->bucket = store->n_buckets - 1;
    }
    return BDPO_OK;
}

static bdpo_status allocate_kind(bdpo_store *store, bdpo_kind kind)
{
    const bdpo_backend *backend = store->engine->backend;
    for (int i = 0; i < store->n_buckets; i++) {
        bucket *b = &store->buckets[i];
        if (b->data[kind] || (kind == BDPO_PARAM && b->mapped && backend->host_memory)) continue;
        b->bytes[kind] = lay_out(store, b, kind);
        if (b->bytes[kind])
            TRY(backend->alloc(store->engine->device, &b->data[kind], b->bytes[kind]));
    }
    return BDPO_OK;
}

// A device that cannot read host memory gets a copy of what is mapped.
static bdpo_status upload_mapped(bdpo_store *store)
{
    if (store->engine->backend->host_memory) return BDPO_OK;
    for (int i = 0; i < store->n_params; i++) {
        const void *mapped = store->params[i].mapped;
        if (!mapped) continue;
        store->params[i].mapped = NULL;
        size_t bytes = (size_t)bdpo_shape_count(&store->params[i].shape) *
                       bdpo_dtype_size(store->params[i].dtype);
        TRY(bdpo_store_write(store, BDPO_PARAM, store->params[i].name, mapped, bytes));
    }
    return BDPO_OK;
}

// A store that could not be sealed is as it was: it may be tried again.
bdpo_status bdpo_store_seal(bdpo_store *store)
{
    if (store->sealed) return bdpo_fail(BDPO_BAD_ARGUMENT, "the store is sealed already");
    bdpo_status status = assign_buckets(store);
    if (status == BDPO_OK) status = allocate_kind(store, BDPO_PARAM);
    store->sealed = store->reserved[BDPO_PARAM] = status == BDPO_OK;
    if (status == BDPO_OK) return upload_mapped(store);
    release_buckets(store);
    return status;
}

// ---- values ------------------------------------------------------------------------------------

// Rewrites the bf16 shadow of one parameter from host values.
static bdpo_status write_shadow(bdpo_store *store, const bdpo_param_info *param, const float *data)
{
    size_t count = (size_t)bdpo_shape_count(&param->shape);
    uint16_t *half = bdpo_alloc(count, sizeof *half);
    if (!half) return bdpo_fail(BDPO_NO_MEMORY, "no memory for the shadow of \"%s\"", param->name);
    for (size_t i = 0; i < count; i++) half[i] = bdpo_bf16_from_f32(data[i]);
    void *address = bdpo_store_address(store, BDPO_SHADOW, (int)(param - store->params));
    bdpo_status status =
        store->engine->backend->upload(store->engine->device, address, half, count * sizeof *half);
    bdpo_free(half);
    return status;
}

static bdpo_status fill_shadow(bdpo_store *store, const bdpo_param_info *param)
{
    if (param->mapped) return write_shadow(store, param, param->mapped);
    size_t count = (size_t)bdpo_shape_count(&param->shape);
    float *data = bdpo_alloc(count, sizeof *data);
    if (!data) return bdpo_fail(BDPO_NO_MEMORY, "no memory for the shadow of \"%s\"", param->name);
    bdpo_status status =
        bdpo_store_read(store, BDPO_PARAM, param->name, data, count * sizeof *data);
    if (status == BDPO_OK) status = write_shadow(store, param, data);
    bdpo_free(data);
    return status;
}

bdpo_status bdpo_store_reserve(bdpo_store *store, bdpo_kind kind)
{
    if (!store->sealed) return bdpo_fail(BDPO_BAD_ARGUMENT, "the store is not sealed yet");
    if (store->reserved[kind]) return BDPO_OK;
    TRY(allocate_kind(store, kind));
    for (int i = 0; kind == BDPO_SHADOW && store->engine->backend->computes && i < store->n_params;
         i++)
        if (store->params[i].dtype == BDPO_F32) TRY(fill_shadow(store, &store->params[i]));
    store->reserved[kind] = true; // not before: what failed half-way is filled again
    return BDPO_OK;
}

// Address and size of one tensor, after the checks that reading and writing share.
static bdpo_status locate(const bdpo_store *store, bdpo_kind kind, const char *name, size_t bytes,
                          const bdpo_param_info **param, void **address)
{
    TRY(find(store, name, param));
    bdpo_dtype dtype;
    bdpo_shape shape;
    TRY(bdpo_store_describe(store, kind, name, &dtype, &shape));
    if (!store->reserved[kind])
        return bdpo_fail(BDPO_BAD_ARGUMENT, "%s of \"%s\" is not reserved", kind_name(kind), name);
    size_t expected = (size_t)bdpo_shape_count(&shape) * bdpo_dtype_size(dtype);
    if (bytes != expected)
        return bdpo_fail(BDPO_BAD_SHAPE, "%s of \"%s\" is %s %s: expected %zu bytes, got %zu",
                         kind_name(kind), name, bdpo_dtype_name(dtype),
                         bdpo_shape_print(&shape).text, expected, bytes);
    *address = bdpo_store_address(store, kind, (int)(*param - store->params));
    return BDPO_OK;
}

bdpo_status bdpo_store_write(bdpo_store *store, bdpo_kind kind, const char *name, const void *data,
                             size_t bytes)
{
    const bdpo_param_info *param;
    void *address;
    TRY(locate(store, kind, name, bytes, &param, &address));
    if (kind == BDPO_PARAM && param->mapped)
        return bdpo_fail(BDPO_BAD_ARGUMENT, "\"%s\" is mapped from a file and stays as it is",
                         name);
    TRY(store->engine->backend->upload(store->engine->device, address, data, bytes));
    if (kind == BDPO_PARAM && store->reserved[BDPO_SHADOW] && param->dtype == BDPO_F32)
        return write_shadow(store, param, data);
    return BDPO_OK;
}

bdpo_status bdpo_store_read(bdpo_store *store, bdpo_kind kind, const char *name, void *data,
                            size_t bytes)
{
    const bdpo_param_info *param;
    void *address;
    TRY(locate(store, kind, name, bytes, &param, &address));
    return store->engine->backend->download(store->engine->device, data, address, bytes);
}

void bdpo_store_rest(const bdpo_store *store)
{
    for (int i = 0; i < store->n_params; i++) {
        const bdpo_param_info *p = &store->params[i];
        if (p->mapped)
            bdpo_file_rest(p->mapped,
                           (size_t)bdpo_shape_count(&p->shape) * bdpo_dtype_size(p->dtype));
    }
}

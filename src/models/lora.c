// The adapters of lora.h: a list of modules and a hash over their paths.
#include "models/lora.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/random.h"
#include "tensor/tensor.h"

enum { NAME_LIMIT = 256, FIRST_CAPACITY = 64 };

struct bdpo_lora {
    bdpo_arena *arena; // of the paths
    bdpo_lora_module *modules;
    int count, capacity;
    int *slots; // open addressing over the paths, at most half full: index + 1, 0 = free
    double strength;
};

bdpo_status bdpo_lora_new(bdpo_lora **out)
{
    *out = NULL;
    bdpo_lora *lora = bdpo_alloc(1, sizeof *lora);
    if (!lora) return bdpo_fail(BDPO_NO_MEMORY, "no memory for adapters");
    bdpo_status status = bdpo_arena_new(&lora->arena);
    if (status != BDPO_OK) {
        bdpo_free(lora);
        return status;
    }
    lora->strength = 1;
    *out = lora;
    return BDPO_OK;
}

void bdpo_lora_free(bdpo_lora *lora)
{
    if (!lora) return;
    bdpo_arena_free(lora->arena);
    bdpo_free(lora->modules);
    bdpo_free(lora->slots);
    bdpo_free(lora);
}

void bdpo_lora_set_strength(bdpo_lora *lora, double strength)
{
    lora->strength = strength;
}

double bdpo_lora_factor(const bdpo_lora *lora, const bdpo_lora_module *module)
{
    return lora->strength * module->alpha / (double)module->rank;
}

// ---- paths -------------------------------------------------------------------------------------

static int *slot_of(const bdpo_lora *lora, const char *path)
{
    uint64_t hash = 14695981039346656037u; // FNV-1a
    for (const char *c = path; *c; c++) hash = (hash ^ (unsigned char)*c) * 1099511628211u;
    size_t mask = 2 * (size_t)lora->capacity - 1, i = hash & mask;
    while (lora->slots[i] && strcmp(lora->modules[lora->slots[i] - 1].path, path) != 0)
        i = (i + 1) & mask;
    return &lora->slots[i];
}

static bdpo_status grow(bdpo_lora *lora)
{
    if (lora->count < lora->capacity) return BDPO_OK;
    int capacity = lora->capacity ? 2 * lora->capacity : FIRST_CAPACITY;
    bdpo_lora_module *modules = bdpo_realloc(lora->modules, (size_t)capacity, sizeof *modules);
    if (modules) lora->modules = modules;
    int *slots = bdpo_alloc(2 * (size_t)capacity, sizeof *slots);
    if (!modules || !slots) {
        bdpo_free(slots);
        return bdpo_fail(BDPO_NO_MEMORY, "no memory for adapters");
    }
    bdpo_free(lora->slots);
    lora->slots = slots;
    lora->capacity = capacity;
    for (int i = 0; i < lora->count; i++) *slot_of(lora, modules[i].path) = i + 1;
    return BDPO_OK;
}

static bdpo_status check_module(const char *path, const bdpo_shape *weight, int64_t rank,
                                double alpha)
{
    TRY(bdpo_shape_check(weight, path));
    if (weight->n_dims != 2 && weight->n_dims != 4)
        return bdpo_fail(BDPO_BAD_SHAPE,
                         "%s: an adapter needs a weight of 2 or 4 axes, this one has %s", path,
                         bdpo_shape_print(weight).text);
    if (*path == '\0' || strlen(path) + sizeof ".lora_A.weight" > NAME_LIMIT)
        return bdpo_fail(BDPO_BAD_ARGUMENT, "an adapter's path is empty or too long: \"%s\"", path);
    if (rank < 1)
        return bdpo_fail(BDPO_BAD_ARGUMENT, "%s: rank %lld of an adapter, expected 1 or more", path,
                         (long long)rank);
    if (!isfinite(alpha))
        return bdpo_fail(BDPO_BAD_ARGUMENT, "%s: alpha %g of an adapter is not a finite number",
                         path, alpha);
    return BDPO_OK;
}

bdpo_status bdpo_lora_add(bdpo_lora *lora, const char *path, bdpo_shape weight, int64_t rank,
                          double alpha)
{
    TRY(check_module(path, &weight, rank, alpha));
    TRY(grow(lora));
    BDPO_ASSERT(lora->modules && lora->slots);
    int *slot = slot_of(lora, path);
    if (*slot) return bdpo_fail(BDPO_BAD_ARGUMENT, "%s has an adapter already", path);
    char *kept = bdpo_arena_strdup(lora->arena, path);
    if (!kept) return bdpo_fail(BDPO_NO_MEMORY, "no memory for an adapter's path");
    lora->modules[lora->count++] =
        (bdpo_lora_module){.path = kept, .weight = weight, .rank = rank, .alpha = alpha};
    *slot = lora->count;
    return BDPO_OK;
}

int bdpo_lora_count(const bdpo_lora *lora)
{
    return lora->count;
}

const bdpo_lora_module *bdpo_lora_at(const bdpo_lora *lora, int index)
{
    BDPO_ASSERT(index >= 0 && index < lora->count);
    return &lora->modules[index];
}

const bdpo_lora_module *bdpo_lora_find(const bdpo_lora *lora, const char *path)
{
    if (lora->count == 0) return NULL;
    int slot = *slot_of(lora, path);
    return slot ? &lora->modules[slot - 1] : NULL;
}

// ---- targets -----------------------------------------------------------------------------------

enum { GROUP_PARTS = 9 };

static const struct {
    const char *name, *ends[GROUP_PARTS]; // up to the first NULL
} groups[] = {
    {"attention", {"to_q", "to_k", "to_v", "to_out.0", "q_proj", "k_proj", "v_proj", "out_proj"}},
    {"feed-forward", {"ff.net.0.proj", "ff.net.2", "fc1", "fc2"}},
    {"projections", {"proj_in", "proj_out"}},
    {"convolutions",
     {"conv1", "conv2", "conv_shortcut", "downsamplers.0.conv", "upsamplers.0.conv"}},
};

// Whole names between dots: "to_k" is the end of "attn2.to_k", not of "auto_k".
static bool is_end(const char *path, const char *part)
{
    size_t n = strlen(path), m = strlen(part);
    if (n < m || strcmp(path + n - m, part) != 0) return false;
    return n == m || path[n - m - 1] == '.';
}

static int find_group(const char *target)
{
    for (int i = 0; i < (int)BDPO_COUNTOF(groups); i++)
        if (strcmp(groups[i].name, target) == 0) return i;
    return -1;
}

static bool names_layer(const char *target, const char *path)
{
    int group = find_group(target);
    if (group < 0) return is_end(path, target);
    for (int i = 0; groups[group].ends[i]; i++)
        if (is_end(path, groups[group].ends[i])) return true;
    return false;
}

// *n_named counts the layers that the target names, new ones and those that have an adapter.
static bdpo_status add_named(bdpo_lora *lora, const bdpo_param_list *params, const char *target,
                             int64_t rank, double alpha, int *n_named)
{
    *n_named = 0;
    for (int i = 0; i < bdpo_param_list_count(params); i++) {
        const bdpo_param_spec *spec = bdpo_param_list_at(params, i);
        char path[BDPO_PARAM_NAME_BYTES];
        if (!bdpo_param_layer(path, spec) || !names_layer(target, path)) continue;
        ++*n_named;
        if (!bdpo_lora_find(lora, path)) TRY(bdpo_lora_add(lora, path, spec->shape, rank, alpha));
    }
    return BDPO_OK;
}

bdpo_status bdpo_lora_target(bdpo_lora *lora, const bdpo_param_list *params,
                             const char *const *targets, int n_targets, int64_t rank, double alpha)
{
    int n_all = 0;
    for (int i = 0; i < n_targets; i++) {
        int n_named;
        TRY(add_named(lora, params, targets[i], rank, alpha, &n_named));
        if (n_named == 0 && find_group(targets[i]) < 0)
            return bdpo_fail(BDPO_NOT_FOUND,
                             "target \"%s\" names no layer; expected the end of a layer's path, or "
                             "attention, feed-forward, projections, convolutions",
                             targets[i]);
        n_all += n_named;
    }
    if (n_all == 0)
        return bdpo_fail(BDPO_NOT_FOUND, "the %d targets of an adapter name no layer", n_targets);
    return BDPO_OK;
}

// ---- matrices ----------------------------------------------------------------------------------

void bdpo_lora_params(bdpo_param_list *list, const bdpo_lora *lora)
{
    for (int i = 0; i < lora->count; i++) {
        const bdpo_lora_module *m = &lora->modules[i];
        bdpo_shape a = m->weight, b = BDPO_SHAPE(m->weight.dim[0], m->rank);
        a.dim[0] = m->rank;
        if (m->weight.n_dims == 4) b = BDPO_SHAPE(m->weight.dim[0], m->rank, 1, 1);
        bdpo_param_list_add(list, a, "%s.lora_A.weight", m->path);
        bdpo_param_list_add(list, b, "%s.lora_B.weight", m->path);
    }
}

static void fill_a(float *out, int64_t count, int64_t rank, bdpo_lora_start start,
                   bdpo_random_key key)
{
    if (start == BDPO_LORA_GAUSSIAN) {
        bdpo_random_normal(out, count, key, 0);
        for (int64_t i = 0; i < count; i++) out[i] /= (float)rank;
        return;
    }
    float bound = (float)sqrt((double)rank / (double)count); // 1 / sqrt(fan in)
    bdpo_random_uniform(out, count, key, 0);
    for (int64_t i = 0; i < count; i++) out[i] = (2 * out[i] - 1) * bound;
}

static bdpo_status write_matrix(bdpo_store *store, const bdpo_lora_module *m, const char *name,
                                int64_t count, bdpo_lora_start start, const bdpo_random_key *key)
{
    char full[NAME_LIMIT];
    snprintf(full, sizeof full, "%s.%s.weight", m->path, name);
    float *values = bdpo_alloc((size_t)count, sizeof *values);
    if (!values) return bdpo_fail(BDPO_NO_MEMORY, "no memory to begin %s", full);
    if (key) fill_a(values, count, m->rank, start, *key);
    bdpo_status status =
        bdpo_store_write(store, BDPO_PARAM, full, values, (size_t)count * sizeof *values);
    bdpo_free(values);
    return status;
}

bdpo_status bdpo_lora_init(const bdpo_lora *lora, bdpo_store *store, bdpo_lora_start start,
                           uint64_t seed)
{
    for (int i = 0; i < lora->count; i++) {
        const bdpo_lora_module *m = &lora->modules[i];
        bdpo_random_key key = {.seed = seed, .sample = (uint64_t)i, .purpose = BDPO_RANDOM_INIT};
        int64_t out = m->weight.dim[0], in = bdpo_shape_count(&m->weight) / out;
        TRY(write_matrix(store, m, "lora_A", m->rank * in, start, &key));
        TRY(write_matrix(store, m, "lora_B", m->rank * out, start, NULL));
    }
    return BDPO_OK;
}

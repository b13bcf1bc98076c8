// The list of an adapter file's tensors, and its metadata.
#include "models/lora_writer.h"

#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "models/model_writer_values.h"
#include "models/modelspec.h"

// Two matrices of a module, and its alpha in kohya's files.
typedef struct list {
    bdpo_arena *arena; // of names
    bdpo_entry *entries;
    float *alphas; // [count]; those without sources are this number
    size_t count, capacity;
    bdpo_part_to_write *values; // [n_parts]: where the numbers of a part are
    bdpo_param_list **params;   // [n_parts]
} list;

// ---- tensors -----------------------------------------------------------------------------------

static bdpo_status append(list *l, bdpo_entry entry, const char *name, float alpha)
{
    BDPO_ASSERT(l->count < l->capacity);
    entry.name = bdpo_arena_strdup(l->arena, name);
    if (!entry.name) return bdpo_fail(BDPO_NO_MEMORY, "no memory for the names of a LoRA file");
    l->alphas[l->count] = alpha;
    l->entries[l->count++] = entry;
    return BDPO_OK;
}

static bdpo_status spell(bdpo_lora_keys *out, const bdpo_lora_to_write *w,
                         const bdpo_lora_component *component, const char *path)
{
    bool xl = w->type == BDPO_SDXL, unet = strcmp(component->name, "unet") == 0;
    bool spelled = w->style == BDPO_LORA_DIFFUSERS
                       ? bdpo_lora_spell(out, 0, component, path)
                       : bdpo_lora_spell_kohya(out, component, path, xl && unet, xl);
    if (spelled) return BDPO_OK;
    return bdpo_fail(BDPO_BAD_ARGUMENT, "%s.%s has no name in a %s LoRA file", component->name,
                     path, w->style == BDPO_LORA_KOHYA ? "kohya" : "diffusers");
}

static bdpo_status add_matrix(list *l, const bdpo_part_to_write *values, const char *path,
                              const char *matrix, const char *name, float factor,
                              bdpo_write_dtype dtype)
{
    bdpo_entry entry;
    char source[BDPO_NAME_BYTES + 16];
    snprintf(source, sizeof source, "%s.%s.weight", path, matrix);
    const bdpo_param_spec *spec = bdpo_param_list_find(values->params, source);
    TRY(bdpo_entry_init(&entry, values, spec->name, dtype));
    entry.factor = factor;
    return append(l, entry, name, 0);
}

static bdpo_status add_module(list *l, const bdpo_lora_to_write *w, const bdpo_lora_part *part,
                              const bdpo_part_to_write *values, const bdpo_lora_module *module)
{
    bdpo_lora_keys keys;
    bool kohya = w->style == BDPO_LORA_KOHYA;
    float factor = kohya ? 0 : (float)(module->alpha / (double)module->rank);
    TRY(spell(&keys, w, &part->component, module->path));
    TRY(add_matrix(l, values, module->path, "lora_A", keys.down, 0, w->dtype));
    TRY(add_matrix(l, values, module->path, "lora_B", keys.up, factor, w->dtype));
    if (!kohya) return BDPO_OK;
    bdpo_entry alpha = {.part = values, .dtype = BDPO_STORED_F32};
    return append(l, alpha, keys.alpha, (float)module->alpha);
}

static bdpo_status add_part(list *l, const bdpo_lora_to_write *w, int index)
{
    const bdpo_lora_part *part = &w->parts[index];
    TRY(bdpo_param_list_new(&l->params[index]));
    bdpo_lora_params(l->params[index], part->lora);
    TRY(bdpo_param_list_check(l->params[index]));
    l->values[index] =
        (bdpo_part_to_write){.params = l->params[index], .store = part->store, .kind = part->kind};
    for (int i = 0; i < bdpo_lora_count(part->lora); i++)
        TRY(add_module(l, w, part, &l->values[index], bdpo_lora_at(part->lora, i)));
    return BDPO_OK;
}

static bdpo_status put(void *context, size_t index, bdpo_tensor_sink *sink)
{
    const list *l = context;
    if (l->entries[index].sources[0]) return bdpo_entry_put(&l->entries[index], sink);
    return bdpo_tensor_sink_put(sink, &l->alphas[index], sizeof l->alphas[index]);
}

// ---- metadata ----------------------------------------------------------------------------------

// "4", or "Dynamic" where modules differ, as sd-scripts says it.
static void common(char out[32], const bdpo_lora_to_write *w, bool alpha)
{
    double first = 0;
    int n = 0;
    snprintf(out, 32, "Dynamic");
    for (int p = 0; p < w->n_parts; p++)
        for (int i = 0; i < bdpo_lora_count(w->parts[p].lora); i++) {
            const bdpo_lora_module *m = bdpo_lora_at(w->parts[p].lora, i);
            double value = alpha ? m->alpha : (double)m->rank;
            if (n++ > 0 && value != first) return;
            first = value;
        }
    snprintf(out, 32, alpha ? "%.9g" : "%.0f", first);
}

static const char *base_version(const bdpo_lora_to_write *w)
{
    if (w->type == BDPO_SDXL) return "sdxl_base_v1-0";
    if (w->type == BDPO_SD1) return "sd_v1";
    return w->prediction == BDPO_PREDICTS_V ? "sd_v2_v" : "sd_v2";
}

static bdpo_status write_tensors(const char *path, const bdpo_tensor_to_write *tensors, list *l,
                                 const bdpo_lora_to_write *w)
{
    char rank[32], alpha[32];
    common(rank, w, false);
    common(alpha, w, true);
    bdpo_modelspec spec = bdpo_modelspec_of(path, w->type, w->prediction, true);
    const bdpo_metadata_pair own[] = {{"ss_network_module", "networks.lora"},
                                      {"ss_network_dim", rank},
                                      {"ss_network_alpha", alpha},
                                      {"ss_base_model_version", base_version(w)},
                                      {"ss_v2", w->type == BDPO_SD2 ? "True" : "False"},
                                      BDPO_MODELSPEC_PAIRS(spec)};
    size_t n_own = w->style == BDPO_LORA_KOHYA ? BDPO_COUNTOF(own) : 0;
    bdpo_metadata_pair *pairs = bdpo_alloc(n_own + w->n_metadata + 1, sizeof *pairs);
    if (!pairs) return bdpo_fail(BDPO_NO_MEMORY, "%s: no memory for its metadata", path);
    memcpy(pairs, own, n_own * sizeof *own);
    for (size_t i = 0; i < w->n_metadata; i++) pairs[n_own + i] = w->metadata[i];
    bdpo_safetensors_options options = {
        .metadata = pairs, .n_metadata = n_own + w->n_metadata, .source = put, .context = l};
    bdpo_status status = bdpo_safetensors_write(path, tensors, l->count, &options);
    bdpo_free(pairs);
    return status;
}

// ---- the file ----------------------------------------------------------------------------------

static void release(list *l, int n_parts)
{
    for (int i = 0; l->params && i < n_parts; i++) bdpo_param_list_free(l->params[i]);
    bdpo_free(l->params);
    bdpo_free(l->values);
    bdpo_free(l->alphas);
    bdpo_free(l->entries);
    bdpo_arena_free(l->arena);
}

static bdpo_status list_new(list *l, const bdpo_lora_to_write *w)
{
    *l = (list){0};
    for (int i = 0; i < w->n_parts; i++)
        l->capacity += 3 * (size_t)bdpo_lora_count(w->parts[i].lora);
    if (l->capacity == 0) return bdpo_fail(BDPO_BAD_ARGUMENT, "there are no adapters to write");
    TRY(bdpo_arena_new(&l->arena));
    l->entries = bdpo_alloc(l->capacity, sizeof *l->entries);
    l->alphas = bdpo_alloc(l->capacity, sizeof *l->alphas);
    l->values = bdpo_alloc((size_t)w->n_parts, sizeof *l->values);
    l->params = bdpo_alloc((size_t)w->n_parts, sizeof(bdpo_param_list *));
    if (!l->entries || !l->alphas || !l->values || !l->params)
        return bdpo_fail(BDPO_NO_MEMORY, "no memory for a list of adapters");
    for (int i = 0; i < w->n_parts; i++) TRY(add_part(l, w, i));
    return BDPO_OK;
}

static bdpo_status write_list(const char *path, list *l, const bdpo_lora_to_write *w)
{
    bdpo_tensor_to_write *tensors = bdpo_alloc(l->count, sizeof *tensors);
    if (!tensors) return bdpo_fail(BDPO_NO_MEMORY, "%s: no memory for its tensors", path);
    for (size_t i = 0; i < l->count; i++) {
        const bdpo_entry *e = &l->entries[i];
        tensors[i] = (bdpo_tensor_to_write){
            .name = e->name, .dtype = e->dtype, .n_dims = e->n_dims, .dim = e->dim};
    }
    bdpo_status status = write_tensors(path, tensors, l, w);
    bdpo_free(tensors);
    return status;
}

bdpo_status bdpo_lora_write(const char *path, const bdpo_lora_to_write *w)
{
    list l;
    bdpo_status status = list_new(&l, w);
    if (status == BDPO_OK) status = write_list(path, &l, w);
    release(&l, w->n_parts);
    return status;
}

// Which tensors of a file are a component's, and as what: each is a view of the file's tensor, with
// own axes where the original stacks or transposes.
#include "models/component.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

struct bdpo_component {
    bdpo_component_source source;
    bdpo_arena *arena; // of names and axes
    bdpo_naming *naming;
    bdpo_weight *weights; // sorted by name
    size_t count, capacity;
    const char **strays; // borrowed from the file
    size_t n_strays, stray_capacity;
};

static bdpo_status no_memory(const bdpo_component *c)
{
    return bdpo_fail(BDPO_NO_MEMORY, "%s: no memory for the names of %s",
                     bdpo_tensor_file_path(c->source.file), c->source.spec->name);
}

// ---- views -------------------------------------------------------------------------------------

static bool set_axes(bdpo_stored_tensor *view, bdpo_arena *arena, const int64_t *dim,
                     const int64_t *stride, int n_dims)
{
    int64_t *axes = bdpo_arena_alloc(arena, 2 * BDPO_MAX_DIMS, sizeof *axes);
    if (!axes) return false;
    memcpy(axes, dim, (size_t)n_dims * sizeof *axes);
    memcpy(axes + BDPO_MAX_DIMS, stride, (size_t)n_dims * sizeof *axes);
    view->n_dims = n_dims;
    view->dim = axes;
    view->stride = axes + BDPO_MAX_DIMS;
    return true;
}

// The strides that a dense tensor has but does not state.
static void get_strides(int64_t stride[BDPO_MAX_DIMS], const bdpo_stored_tensor *t)
{
    int64_t step = 1;
    for (int i = t->n_dims - 1; i >= 0; i--) {
        stride[i] = t->stride ? t->stride[i] : step;
        step *= t->dim[i];
    }
}

static bdpo_status take_third(bdpo_stored_tensor *view, const bdpo_component *c, int third)
{
    if (view->n_dims < 1 || view->dim[0] % 3 != 0)
        return bdpo_fail(BDPO_BAD_FILE, "%s: \"%s\" is %s, where q, k and v stacked are expected",
                         view->path, view->name,
                         bdpo_stored_shape_print(view->dim, view->n_dims).text);
    int64_t dim[BDPO_MAX_DIMS], stride[BDPO_MAX_DIMS];
    bool dense = view->stride == NULL;
    get_strides(stride, view);
    memcpy(dim, view->dim, (size_t)view->n_dims * sizeof *dim);
    dim[0] /= 3;
    if (!set_axes(view, c->arena, dim, stride, view->n_dims)) return no_memory(c);
    if (dense) view->stride = NULL; // rows that follow each other are dense still
    view->count /= 3;
    view->size_bytes /= 3;
    size_t element = bdpo_stored_dtype_bits(view->dtype) / 8;
    if (view->data)
        view->data =
            (const char *)view->data + (size_t)third * (size_t)(dim[0] * stride[0]) * element;
    return BDPO_OK;
}

static bdpo_status transpose(bdpo_stored_tensor *view, const bdpo_component *c)
{
    if (view->n_dims != 2)
        return bdpo_fail(BDPO_BAD_FILE, "%s: \"%s\" is %s, where a matrix is expected", view->path,
                         view->name, bdpo_stored_shape_print(view->dim, view->n_dims).text);
    int64_t stride[BDPO_MAX_DIMS];
    get_strides(stride, view);
    int64_t dim[] = {view->dim[1], view->dim[0]}, turned[] = {stride[1], stride[0]};
    return set_axes(view, c->arena, dim, turned, 2) ? BDPO_OK : no_memory(c);
}

// [out, in, 1, 1] as [out, in]: the same numbers in the same order.
static void drop_kernel(bdpo_stored_tensor *view)
{
    while (view->n_dims > 2 && view->dim[view->n_dims - 1] == 1) view->n_dims--;
}

static bdpo_status make_view(bdpo_stored_tensor *view, const bdpo_component *c,
                             const bdpo_stored_tensor *stored, const bdpo_tensor_name *name)
{
    *view = *stored;
    if (stored->n_dims > BDPO_MAX_DIMS || bdpo_stored_dtype_bits(stored->dtype) % 8 != 0)
        return BDPO_OK; // as it is: nothing that we need has such a shape, and the load says so
    if (name->third >= 0) TRY(take_third(view, c, name->third));
    if (name->transposed) TRY(transpose(view, c));
    if (name->conv) drop_kernel(view);
    return BDPO_OK;
}

// ---- collecting --------------------------------------------------------------------------------

static void *grow(void *array, size_t count, size_t *capacity, size_t size)
{
    if (count < *capacity) return array;
    size_t wanted = *capacity ? 2 * *capacity : 256;
    void *grown = bdpo_realloc(array, wanted, size);
    if (grown) *capacity = wanted;
    return grown;
}

static bdpo_status add_weight(bdpo_component *c, const bdpo_stored_tensor *stored,
                              const bdpo_tensor_name *name)
{
    bdpo_weight *grown = grow(c->weights, c->count, &c->capacity, sizeof *grown);
    if (!grown) return no_memory(c);
    c->weights = grown;
    bdpo_weight weight = {.name = bdpo_arena_strdup(c->arena, name->text)};
    if (!weight.name) return no_memory(c);
    TRY(make_view(&weight.tensor, c, stored, name));
    c->weights[c->count++] = weight;
    return BDPO_OK;
}

static bdpo_status add_stray(bdpo_component *c, const char *name)
{
    const char **grown = grow(c->strays, c->n_strays, &c->stray_capacity, sizeof *grown);
    if (!grown) return no_memory(c);
    c->strays = grown;
    c->strays[c->n_strays++] = name;
    return BDPO_OK;
}

// `name` is below the prefix.
static bdpo_status add(bdpo_component *c, const bdpo_stored_tensor *stored, const char *name)
{
    bdpo_tensor_name found[3] = {{.third = -1}};
    bdpo_naming_kind kind = c->source.spec->kind;
    int n = 1;
    if (c->source.original && kind != BDPO_NAMES_CLIP_TEXT)
        n = bdpo_naming_to_diffusers(found, c->naming, name);
    else if (!bdpo_naming_modern(found[0].text,
                                 kind == BDPO_NAMES_OPEN_CLIP ? BDPO_NAMES_CLIP_TEXT : kind, name))
        n = 0;
    else // old VAEs have the attention as convolutions under diffusers' names too
        found[0].conv = kind == BDPO_NAMES_VAE && strstr(name, ".attentions.") != NULL;
    if (n == 0) return add_stray(c, stored->name);
    for (int i = 0; i < n; i++) TRY(add_weight(c, stored, &found[i]));
    return BDPO_OK;
}

static int compare(const void *a, const void *b)
{
    const bdpo_weight *left = a, *right = b;
    return strcmp(left->name, right->name);
}

static bdpo_status collect(bdpo_component *c)
{
    const bdpo_component_source *s = &c->source;
    size_t prefix_length = strlen(s->prefix);
    TRY(bdpo_arena_new(&c->arena));
    TRY(bdpo_naming_new(&c->naming, s->spec->kind, s->config, s->config_file));
    for (size_t i = 0; i < bdpo_tensor_file_count(s->file); i++) {
        const bdpo_stored_tensor *stored = bdpo_tensor_file_at(s->file, i);
        const char *name = stored->name;
        if (strncmp(name, "module.", 7) == 0) name += 7;
        if (strncmp(name, s->prefix, prefix_length) != 0) continue;
        if (bdpo_naming_ignored(name)) continue;
        TRY(add(c, stored, name + prefix_length));
    }
    if (c->count > 0) qsort(c->weights, c->count, sizeof *c->weights, compare);
    for (size_t i = 1; i < c->count; i++) {
        const bdpo_weight *w = &c->weights[i];
        if (strcmp(w[-1].name, w->name) == 0)
            return bdpo_fail(BDPO_BAD_FILE, "%s: \"%s\" and \"%s\" are both \"%s\"",
                             bdpo_tensor_file_path(s->file), w[-1].tensor.name, w->tensor.name,
                             w->name);
    }
    return BDPO_OK;
}

bdpo_status bdpo_component_new(bdpo_component **out, const bdpo_component_source *source)
{
    *out = NULL;
    bdpo_component *c = bdpo_alloc(1, sizeof *c);
    if (!c) return bdpo_fail(BDPO_NO_MEMORY, "no memory for a component");
    c->source = *source;
    bdpo_status status = collect(c);
    if (status != BDPO_OK)
        bdpo_component_free(c);
    else
        *out = c;
    return status;
}

void bdpo_component_free(bdpo_component *c)
{
    if (!c) return;
    bdpo_naming_free(c->naming);
    bdpo_arena_free(c->arena);
    bdpo_free(c->weights);
    bdpo_free(c->strays);
    bdpo_free(c);
}

// ---- reading -----------------------------------------------------------------------------------

const bdpo_component_source *bdpo_component_get_source(const bdpo_component *c)
{
    return &c->source;
}

const bdpo_naming *bdpo_component_naming(const bdpo_component *c)
{
    return c->naming;
}

size_t bdpo_component_count(const bdpo_component *c)
{
    return c->count;
}

const bdpo_weight *bdpo_component_at(const bdpo_component *c, size_t index)
{
    BDPO_ASSERT(index < c->count);
    return &c->weights[index];
}

const bdpo_weight *bdpo_component_find(const bdpo_component *c, const char *name)
{
    bdpo_weight key = {.name = name};
    return c->count ? bsearch(&key, c->weights, c->count, sizeof key, compare) : NULL;
}

size_t bdpo_component_n_strays(const bdpo_component *c)
{
    return c->n_strays;
}

const char *bdpo_component_stray(const bdpo_component *c, size_t index)
{
    BDPO_ASSERT(index < c->n_strays);
    return c->strays[index];
}

// The list of param_list.h: an array, an arena for the names and a hash over them.
#include "models/param_list.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "tensor/tensor.h"

enum { NAME_LIMIT = BDPO_PARAM_NAME_BYTES, FIRST_CAPACITY = 64 };

struct bdpo_param_list {
    bdpo_arena *arena; // of the names
    bdpo_param_spec *specs;
    int count, capacity;
    int *slots; // open addressing over the names, at most half full: index + 1, 0 = free
    bdpo_status status;
    char message[2 * NAME_LIMIT];
};

bdpo_status bdpo_param_list_new(bdpo_param_list **out)
{
    *out = NULL;
    bdpo_param_list *list = bdpo_alloc(1, sizeof *list);
    if (!list) return bdpo_fail(BDPO_NO_MEMORY, "no memory for a list of parameters");
    bdpo_status status = bdpo_arena_new(&list->arena);
    if (status != BDPO_OK) {
        bdpo_free(list);
        return status;
    }
    *out = list;
    return BDPO_OK;
}

void bdpo_param_list_free(bdpo_param_list *list)
{
    if (!list) return;
    bdpo_arena_free(list->arena);
    bdpo_free(list->specs);
    bdpo_free(list->slots);
    bdpo_free(list);
}

// ---- names -------------------------------------------------------------------------------------

static int *slot_of(const bdpo_param_list *list, const char *name)
{
    uint64_t hash = 14695981039346656037u; // FNV-1a
    for (const char *c = name; *c; c++) hash = (hash ^ (unsigned char)*c) * 1099511628211u;
    size_t mask = 2 * (size_t)list->capacity - 1, i = hash & mask;
    while (list->slots[i] && strcmp(list->specs[list->slots[i] - 1].name, name) != 0)
        i = (i + 1) & mask;
    return &list->slots[i];
}

static bdpo_status grow(bdpo_param_list *list)
{
    if (list->count < list->capacity) return BDPO_OK;
    int capacity = list->capacity ? 2 * list->capacity : FIRST_CAPACITY;
    bdpo_param_spec *specs = bdpo_realloc(list->specs, (size_t)capacity, sizeof *specs);
    if (specs) list->specs = specs;
    int *slots = bdpo_alloc(2 * (size_t)capacity, sizeof *slots);
    if (!specs || !slots) {
        bdpo_free(slots);
        return bdpo_fail(BDPO_NO_MEMORY, "no memory for a list of parameters");
    }
    bdpo_free(list->slots);
    list->slots = slots;
    list->capacity = capacity;
    for (int i = 0; i < list->count; i++) *slot_of(list, specs[i].name) = i + 1;
    return BDPO_OK;
}

static bdpo_status add(bdpo_param_list *list, bdpo_shape shape, const char *name)
{
    TRY(bdpo_shape_check(&shape, name));
    TRY(grow(list));
    int *slot = slot_of(list, name);
    if (*slot) return bdpo_fail(BDPO_BAD_ARGUMENT, "parameter \"%s\" is listed twice", name);
    char *kept = bdpo_arena_strdup(list->arena, name);
    if (!kept) return bdpo_fail(BDPO_NO_MEMORY, "no memory for a parameter's name");
    list->specs[list->count++] = (bdpo_param_spec){.name = kept, .shape = shape};
    *slot = list->count;
    return BDPO_OK;
}

void bdpo_param_list_add(bdpo_param_list *list, bdpo_shape shape, const char *format, ...)
{
    if (list->status != BDPO_OK) return;
    char name[NAME_LIMIT];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(name, sizeof name, format, arguments);
    va_end(arguments);
    BDPO_ASSERT(length > 0 && length < NAME_LIMIT);
    list->status = add(list, shape, name);
    if (list->status != BDPO_OK)
        snprintf(list->message, sizeof list->message, "%s", bdpo_message());
}

bdpo_status bdpo_param_list_check(const bdpo_param_list *list)
{
    return list->status == BDPO_OK ? BDPO_OK : bdpo_fail(list->status, "%s", list->message);
}

// ---- reading -----------------------------------------------------------------------------------

int bdpo_param_list_count(const bdpo_param_list *list)
{
    return list->count;
}

const bdpo_param_spec *bdpo_param_list_at(const bdpo_param_list *list, int index)
{
    BDPO_ASSERT(index >= 0 && index < list->count);
    return &list->specs[index];
}

const bdpo_param_spec *bdpo_param_list_find(const bdpo_param_list *list, const char *name)
{
    if (list->count == 0) return NULL;
    int slot = *slot_of(list, name);
    return slot ? &list->specs[slot - 1] : NULL;
}

int64_t bdpo_param_list_elements(const bdpo_param_list *list)
{
    int64_t sum = 0;
    for (int i = 0; i < list->count; i++) sum += bdpo_shape_count(&list->specs[i].shape);
    return sum;
}

bdpo_shape bdpo_param_store_shape(const bdpo_param_spec *spec)
{
    const int64_t *d = spec->shape.dim;
    return spec->shape.n_dims == 4 ? BDPO_SHAPE(d[0], d[2], d[3], d[1]) : spec->shape;
}

// Elements of any type of that width are moved.
typedef uint32_t __attribute__((may_alias)) word_of_4;
typedef uint16_t __attribute__((may_alias)) word_of_2;

// [ci, kernel] to [kernel, ci].
#define PERMUTE(type)                                                                              \
    do {                                                                                           \
        const type *from = in;                                                                     \
        type *to = out;                                                                            \
        for (size_t k = 0; k < kernel; k++)                                                        \
            for (size_t i = 0; i < ci; i++) to[k * ci + i] = from[i * kernel + k];                 \
    } while (0)

static void permute(void *out, const void *in, size_t ci, size_t kernel, size_t size)
{
    if (size == sizeof(word_of_4))
        PERMUTE(word_of_4);
    else if (size == sizeof(word_of_2))
        PERMUTE(word_of_2);
    else
        BDPO_BUG("no convolution has elements of %zu bytes", size);
}

void bdpo_param_to_store(void *out, const void *in, const bdpo_shape *shape, size_t size)
{
    const int64_t *d = shape->dim;
    if (shape->n_dims != 4) {
        memcpy(out, in, (size_t)bdpo_shape_count(shape) * size);
        return;
    }
    size_t kernel = (size_t)(d[2] * d[3]), ci = (size_t)d[1];
    for (size_t co = 0; co < (size_t)d[0]; co++) {
        size_t at = co * kernel * ci * size;
        permute((char *)out + at, (const char *)in + at, ci, kernel, size);
    }
}

bool bdpo_param_layer(char path[BDPO_PARAM_NAME_BYTES], const bdpo_param_spec *spec)
{
    static const char ending[] = ".weight";
    size_t n = strlen(spec->name), m = sizeof ending - 1;
    if (spec->shape.n_dims != 2 && spec->shape.n_dims != 4) return false;
    if (n <= m || strcmp(spec->name + n - m, ending) != 0) return false;
    memcpy(path, spec->name, n - m); // a name is shorter than the limit
    path[n - m] = '\0';
    return true;
}

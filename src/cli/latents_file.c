// Copies, transposed as they come, and one write at the end.
#include "cli/latents_file.h"

#include <stdio.h>

#include "base/memory.h"
#include "formats/safetensors.h"
#include "tensor/tensor.h"

struct bdpo_latents_file {
    bdpo_arena *arena;
    bdpo_tensor_to_write *tensors;
    size_t count, capacity;
    int64_t dim[4];
    bool failed;
};

bdpo_status bdpo_latents_file_new(bdpo_latents_file **out)
{
    bdpo_latents_file *f = bdpo_alloc(1, sizeof *f);
    if (!f || bdpo_arena_new(&f->arena) != BDPO_OK) {
        bdpo_free(f);
        return bdpo_fail(BDPO_NO_MEMORY, "no memory to keep latents");
    }
    *out = f;
    return BDPO_OK;
}

void bdpo_latents_file_free(bdpo_latents_file *f)
{
    if (!f) return;
    bdpo_arena_free(f->arena);
    bdpo_free(f);
}

static void channels_first(float *out, const float *in, const bdpo_shape *shape)
{
    int64_t pixels = shape->dim[1] * shape->dim[2], channels = shape->dim[3];
    for (int64_t n = 0; n < shape->dim[0]; n++)
        for (int64_t p = 0; p < pixels; p++)
            for (int64_t c = 0; c < channels; c++)
                out[(n * channels + c) * pixels + p] = in[(n * pixels + p) * channels + c];
}

void bdpo_latents_file_add(bdpo_latents_file *f, int call, int n_calls, const float *latents,
                           const bdpo_shape *shape)
{
    enum { NAME_BYTES = 24 };
    if (call == 0 && !f->tensors) {
        f->capacity = (size_t)n_calls + 1;
        f->tensors = bdpo_arena_alloc(f->arena, f->capacity, sizeof *f->tensors);
        for (int i = 0; i < 4; i++) f->dim[i] = shape->dim[i == 0 ? 0 : i == 1 ? 3 : i - 1];
    }
    char *name = bdpo_arena_alloc(f->arena, NAME_BYTES, 1);
    float *copy = bdpo_arena_alloc(f->arena, (size_t)bdpo_shape_count(shape), sizeof *copy);
    f->failed |= !f->tensors || !name || !copy || f->count == f->capacity;
    if (f->failed) return;
    snprintf(name, NAME_BYTES, call ? "call.%d" : "start", call);
    channels_first(copy, latents, shape);
    f->tensors[f->count++] = (bdpo_tensor_to_write){
        .name = name, .dtype = BDPO_STORED_F32, .n_dims = 4, .dim = f->dim, .data = copy};
}

bdpo_status bdpo_latents_file_write(const bdpo_latents_file *f, const char *path)
{
    if (f->failed) return bdpo_fail(BDPO_NO_MEMORY, "%s: no memory to keep the latents", path);
    return bdpo_safetensors_write(path, f->tensors, f->count, NULL);
}

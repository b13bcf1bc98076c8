// A cheap name and a true one.
#include "cli/model_identity.h"

#include <string.h>

#include "formats/tensor_file.h"

enum { SAMPLE_BYTES = 256 }; // of each weight; they are near its beginning, so one page is read

// ---- identity ----------------------------------------------------------------------------------

static bdpo_status add_weight(bdpo_sha256_stream *stream, const bdpo_weight *w)
{
    const bdpo_stored_tensor *t = &w->tensor;
    size_t bytes = t->size_bytes < SAMPLE_BYTES ? t->size_bytes : SAMPLE_BYTES;
    const char *dtype = bdpo_stored_dtype_name(t->dtype);
    TRY(bdpo_sha256_add(stream, w->name, strlen(w->name) + 1));
    TRY(bdpo_sha256_add(stream, dtype, strlen(dtype) + 1));
    TRY(bdpo_sha256_add(stream, t->dim, (size_t)t->n_dims * sizeof *t->dim));
    if (t->stride || !t->data) return BDPO_OK; // scattered in a PyTorch file
    return bdpo_sha256_add(stream, t->data, bytes);
}

static bdpo_status add_all(bdpo_sha256_stream *stream, const bdpo_checkpoint *c)
{
    for (int i = 0; i < bdpo_checkpoint_count(c); i++) {
        const bdpo_component *part = bdpo_checkpoint_at(c, i);
        const char *name = bdpo_component_get_source(part)->spec->name;
        TRY(bdpo_sha256_add(stream, name, strlen(name) + 1));
        for (size_t k = 0; k < bdpo_component_count(part); k++)
            TRY(add_weight(stream, bdpo_component_at(part, k)));
    }
    return BDPO_OK;
}

static bdpo_status identity(bdpo_sha256_text *out, const bdpo_checkpoint *c)
{
    bdpo_sha256_stream *stream;
    TRY(bdpo_sha256_new(&stream));
    bdpo_status status = add_all(stream, c);
    if (status == BDPO_OK) return bdpo_sha256_finish(out, stream);
    bdpo_sha256_free(stream);
    return status;
}

// ---- the file ----------------------------------------------------------------------------------

static bdpo_status whole_file(bdpo_sha256_text *out, const bdpo_checkpoint *c)
{
    const bdpo_component *unet;
    TRY(bdpo_checkpoint_find(&unet, c, "unet"));
    return bdpo_sha256_file(out, bdpo_tensor_file_path(bdpo_component_get_source(unet)->file));
}

// "models/sd15/" is "sd15", "v1.5.safetensors" is "v1.5".
static void name_of(char *out, size_t capacity, const char *path)
{
    static const char *const suffixes[] = {".safetensors", ".ckpt", ".pt", ".pth", ".bin"};
    size_t end = strlen(path);
    while (end > 1 && path[end - 1] == '/') end--;
    size_t begin = end;
    while (begin > 0 && path[begin - 1] != '/') begin--;
    size_t length = end - begin < capacity ? end - begin : capacity - 1;
    memcpy(out, path + begin, length);
    out[length] = '\0';
    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++) {
        size_t k = strlen(suffixes[i]);
        if (length > k && strcmp(out + length - k, suffixes[i]) == 0) out[length - k] = '\0';
    }
}

bdpo_status bdpo_model_identify(bdpo_model_identity *out, const bdpo_checkpoint *checkpoint,
                                bool whole)
{
    *out = (bdpo_model_identity){.kind = whole ? "sha256" : "identity"};
    name_of(out->name, sizeof out->name, bdpo_checkpoint_get_info(checkpoint).path);
    return whole ? whole_file(&out->hash, checkpoint) : identity(&out->hash, checkpoint);
}

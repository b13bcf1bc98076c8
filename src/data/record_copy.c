// Copies of records, and the bytes of their pictures.
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "data/record_source.h"
#include "formats/image.h"

// A block that is measured first, and then filled: place() with no memory only counts.
typedef struct block {
    char *memory;
    size_t used;
} block;

static const void *place(block *b, const void *data, size_t size)
{
    if (!data) return NULL;
    char *at = b->memory ? b->memory + b->used : NULL;
    if (at) {
        memcpy(at, data, size);
        at[size] = '\0';
    }
    b->used += size + 1;
    return at;
}

static const char *place_text(block *b, const char *text)
{
    return place(b, text, text ? strlen(text) : 0);
}

static void place_all(block *b, bdpo_record *out, const bdpo_record *from)
{
    *out = *from;
    out->data_set = place_text(b, from->data_set);
    out->split = place_text(b, from->split);
    out->prompt = place(b, from->prompt, from->prompt_size);
    for (int k = 0; k < from->n_pictures; k++) {
        const bdpo_record_picture *picture = &from->pictures[k];
        out->pictures[k].name = place_text(b, picture->name);
        out->pictures[k].path = place_text(b, picture->path);
        out->pictures[k].data = place(b, picture->data, picture->size);
        out->pictures[k].uid = place_text(b, picture->uid);
        out->pictures[k].model = place_text(b, picture->model);
    }
}

bdpo_status bdpo_record_clone(bdpo_record **out, const bdpo_record *record)
{
    bdpo_record measured;
    block b = {0};
    place_all(&b, &measured, record);
    size_t size;
    bdpo_record *copy = NULL;
    if (bdpo_size_add(&size, b.used, sizeof *copy)) copy = bdpo_alloc(1, size);
    if (!copy) return bdpo_fail(BDPO_NO_MEMORY, "no memory for a record");
    b = (block){(char *)(copy + 1), 0};
    place_all(&b, copy, record);
    *out = copy;
    return BDPO_OK;
}

void bdpo_record_free(bdpo_record *record)
{
    bdpo_free(record);
}

bdpo_status bdpo_picture_bytes_get(bdpo_picture_bytes *out, const bdpo_record_picture *picture)
{
    char *read;
    *out = (bdpo_picture_bytes){picture->data, picture->size, NULL};
    if (picture->data) return BDPO_OK;
    if (!picture->path)
        return bdpo_fail(BDPO_BAD_ARGUMENT, "this data set has no pictures, only their names");
    TRY(bdpo_file_read(&read, &out->size, picture->path, BDPO_IMAGE_MAX_FILE));
    out->data = out->read = read;
    return BDPO_OK;
}

void bdpo_picture_bytes_release(bdpo_picture_bytes *bytes)
{
    bdpo_free(bytes->read);
    *bytes = (bdpo_picture_bytes){0};
}

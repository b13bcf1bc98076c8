// Doubling keeps the number of copies of a byte below two on average.
#include "formats/growing.h"

#include <string.h>

#include "base/memory.h"

bool bdpo_growing_add(bdpo_growing *block, const void *data, size_t size)
{
    enum { SMALLEST = 256 };
    size_t wanted, doubled;
    if (size == 0) return true;
    if (!bdpo_size_add(&wanted, block->size, size)) return false;
    if (wanted > block->capacity) {
        if (!bdpo_size_mul(&doubled, block->capacity, 2)) return false;
        if (doubled < SMALLEST) doubled = SMALLEST;
        if (doubled < wanted) doubled = wanted;
        uint8_t *grown = bdpo_realloc(block->data, doubled, 1);
        if (!grown) return false;
        block->data = grown;
        block->capacity = doubled;
    }
    memcpy(block->data + block->size, data, size);
    block->size = wanted;
    return true;
}

bool bdpo_growing_add_text(bdpo_growing *block, const char *text)
{
    return bdpo_growing_add(block, text, strlen(text));
}

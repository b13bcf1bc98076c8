// A sorted array of names.
#include "formats/name_index.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static int compare(const void *a, const void *b)
{
    const bdpo_name_entry *x = a, *y = b;
    int order = strcmp(x->name, y->name);
    return order != 0 ? order : (x->position > y->position) - (x->position < y->position);
}

void bdpo_names_sort(bdpo_name_entry *entries, size_t n)
{
    if (n > 1) qsort(entries, n, sizeof *entries, compare);
}

const char *bdpo_names_twice(const bdpo_name_entry *entries, size_t n)
{
    for (size_t i = 1; i < n; i++)
        if (strcmp(entries[i - 1].name, entries[i].name) == 0) return entries[i].name;
    return NULL;
}

size_t bdpo_names_find(const bdpo_name_entry *entries, size_t n, const char *name)
{
    size_t low = 0, high = n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(entries[middle].name, name);
        if (order == 0) return entries[middle].position;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return SIZE_MAX;
}

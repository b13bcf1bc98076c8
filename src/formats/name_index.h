// Names, sorted for lookup and for finding what occurs twice: n log n at worst, whatever names a
// file was forged to hold.
#ifndef BDPO_NAME_INDEX_H
#define BDPO_NAME_INDEX_H

#include <stddef.h>

typedef struct bdpo_name_entry {
    const char *name; // borrowed
    size_t position;  // of what it names, in the caller's list
} bdpo_name_entry;

// Sorts by name, equal names by position.
void bdpo_names_sort(bdpo_name_entry *entries, size_t n);
// In sorted entries: the first name that occurs twice, or NULL.
const char *bdpo_names_twice(const bdpo_name_entry *entries, size_t n);
// In sorted entries: the position of a name; SIZE_MAX where it is not there.
size_t bdpo_names_find(const bdpo_name_entry *entries, size_t n, const char *name);

#endif

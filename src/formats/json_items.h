// Many JSON values in one file, one at a time: the lines of a JSON-lines file, or the elements of
// an array that fills the file. A file of any size takes the memory of one value.
#ifndef BDPO_JSON_ITEMS_H
#define BDPO_JSON_ITEMS_H

#include "base/status.h"

typedef struct bdpo_json_items bdpo_json_items;

enum { BDPO_JSON_ITEM_MAX = 16 << 20 }; // bytes of one value

typedef struct bdpo_json_item { // borrowed until the next call
    const char *text;           // zero-terminated, not yet parsed
    size_t size;
    int64_t number;    // of the line from 1, of the element from 0
    uint64_t offset;   // in the file
    const char *fault; // NULL, or why there is no text
} bdpo_json_item;

// An array where the first character is '[', else lines. *out is the caller's. NOT_FOUND or IO.
BDPO_MUST_CHECK bdpo_status bdpo_json_items_open(bdpo_json_items **out, const char *path);
void bdpo_json_items_close(bdpo_json_items *items); // NULL is fine
bool bdpo_json_items_is_array(const bdpo_json_items *items);

// The next value; *out is NULL at the end. Blank lines are passed. An array that is not ended, or
// that is followed by more, gives a last item with a fault.
BDPO_MUST_CHECK bdpo_status bdpo_json_items_next(const bdpo_json_item **out,
                                                 bdpo_json_items *items);
// Goes to an item that was given before.
BDPO_MUST_CHECK bdpo_status bdpo_json_items_seek(bdpo_json_items *items, uint64_t offset,
                                                 int64_t number);
// Before the first item.
BDPO_MUST_CHECK bdpo_status bdpo_json_items_rewind(bdpo_json_items *items);

#endif

// What the opcodes of the pickle machine are made of. Every function that fails leaves its outputs
// zero or NULL. Internal to formats/pickle.c.
#ifndef BDPO_PICKLE_STACK_H
#define BDPO_PICKLE_STACK_H

#include "formats/pickle.h"

// A NULL value is a failed allocation: BDPO_NO_MEMORY.
BDPO_MUST_CHECK bdpo_status bdpo_pickle_push(bdpo_pickle *p, bdpo_pickle_value *value);
BDPO_MUST_CHECK bdpo_status bdpo_pickle_pop(bdpo_pickle *p, bdpo_pickle_value **out);

// How many values lie above the last mark; that there are at least n.
size_t bdpo_pickle_available(const bdpo_pickle *p);
BDPO_MUST_CHECK bdpo_status bdpo_pickle_need(const bdpo_pickle *p, size_t n);

BDPO_MUST_CHECK bdpo_status bdpo_pickle_push_mark(bdpo_pickle *p);
// Takes the values above the last mark: items[0..*n), valid until the next push.
BDPO_MUST_CHECK bdpo_status bdpo_pickle_pop_mark(bdpo_pickle *p, bdpo_pickle_value ***items,
                                                 size_t *n);

// Remembers the top of the stack; pushes what was remembered.
BDPO_MUST_CHECK bdpo_status bdpo_pickle_memo_put(bdpo_pickle *p, uint64_t index);
BDPO_MUST_CHECK bdpo_status bdpo_pickle_memo_get(bdpo_pickle *p, uint64_t index);

// The next n bytes of the pickle, borrowed; as a little-endian integer.
BDPO_MUST_CHECK bdpo_status bdpo_pickle_take(bdpo_pickle *p, const unsigned char **out, uint64_t n);
BDPO_MUST_CHECK bdpo_status bdpo_pickle_take_uint(bdpo_pickle *p, uint64_t *out, int n_bytes);

#endif

// A copy in f32 of parameters that rest in half width. A plan over half-width weights widens them
// in every run; for many runs in a row it pays to widen them once. The numbers are the same.
#ifndef BDPO_WIDE_STORE_H
#define BDPO_WIDE_STORE_H

#include <bdpo/engine.h>

#include "models/param_list.h"

// Whether any of the parameters is in half width.
bool bdpo_is_half(const bdpo_store *store, const bdpo_param_list *params);

// *out is the caller's. NO_MEMORY leaves it NULL: then the original does as well.
BDPO_MUST_CHECK bdpo_status bdpo_wide_store_new(bdpo_store **out, bdpo_engine *engine,
                                                bdpo_store *from, const bdpo_param_list *params);

#endif

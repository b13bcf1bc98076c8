// The names that a PyTorch pickle may use, and what calling them gives: pure constructors of
// storages, tensors and containers. Everything else is refused by name. Internal to this room.
//
// Some classes are known to be harmless baggage of training checkpoints (numpy scalars, Lightning
// callbacks, argparse.Namespace). Their objects are never built: they are opaque, and what they
// hold is not listed. docs/formats.md names them.
#ifndef BDPO_TORCH_PICKLE_H
#define BDPO_TORCH_PICKLE_H

#include "formats/pickle.h"

// Looks a GLOBAL up; BDPO_BAD_FILE "calls posix.system: ..." where it is not in the table.
BDPO_MUST_CHECK bdpo_status bdpo_torch_symbol_find(const bdpo_torch_symbol **out,
                                                   const bdpo_pickle *p, const char *module,
                                                   size_t module_bytes, const char *name,
                                                   size_t name_bytes);
// What a call of the symbol with this tuple gives.
BDPO_MUST_CHECK bdpo_status bdpo_torch_call(bdpo_pickle_value **out, const bdpo_pickle *p,
                                            const bdpo_torch_symbol *symbol,
                                            const bdpo_pickle_value *arguments);
// A persistent id, ('storage', class, key, location, count[, view]), gives a storage.
BDPO_MUST_CHECK bdpo_status bdpo_torch_persistent(bdpo_pickle_value **out, const bdpo_pickle *p,
                                                  const bdpo_pickle_value *id);
// True for classes that are opaque.
bool bdpo_torch_symbol_inert(const bdpo_torch_symbol *symbol);

#endif

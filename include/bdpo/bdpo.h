// The whole public API of libbdpo.
//
//   types.h   status, dtype, shape
//   engine.h  engine, store, graph, plan: build once, run many times
//   ops.h     the operators
#ifndef BDPO_BDPO_H
#define BDPO_BDPO_H

#include <bdpo/engine.h>
#include <bdpo/ops.h>
#include <bdpo/types.h>

#endif

// The operators, each under its formula and shapes. A builder adds one node to a graph and returns
// it, borrowed; when a shape does not fit, it returns NULL and bdpo_graph_check() tells why.
//
// "..": any leading axes. Activations are channels last, [n, h, w, c] or [n, t, c]. Values are f32
// unless said otherwise; weights may also rest in bf16 or f16. Arguments marked "may be NULL" are
// optional. "views": the argument may be a slice of channels, which is read where it lies.
#ifndef BDPO_OPS_H
#define BDPO_OPS_H

#include <bdpo/engine.h>

#ifdef __cplusplus
extern "C" {
#endif

// ---- products and convolution ------------------------------------------------------------------

// ---- normalisation -----------------------------------------------------------------------------

// ---- attention and softmax ---------------------------------------------------------------------

// ---- activations -------------------------------------------------------------------------------

// ---- losses and sums ---------------------------------------------------------------------------

// ---- arithmetic --------------------------------------------------------------------------------

// ---- layout and sampling -----------------------------------------------------------------------

// ---- reductions, embedding, random -------------------------------------------------------------

// ---- state -------------------------------------------------------------------------------------

#ifdef __cplusplus
}
#endif
#endif

// The blocks of the SD UNet alone, as models/layers.h builds them: a residual block with time
// embedding and a transformer block. The parity tests compare them with diffusers, the benchmarks
// time them.
//
//   residual     x [n, h, w, ci], temb [n, 1280] -> [n, h, w, co]
//                shortcut(x) + conv2(silu(norm2(conv1(silu(norm1(x))) + time(silu(temb)))))
//   transformer  x [n, h, w, c], context [n, 77, 768] -> [n, h, w, c]
//                x + proj_out(block(proj_in(norm(x)))), the block being self-attention,
//                cross-attention and a GEGLU feed-forward, each behind a layer norm
#ifndef BLOCKS_GRAPH_H
#define BLOCKS_GRAPH_H

#include <bdpo/engine.h>

typedef enum block_kind { BLOCK_RESIDUAL, BLOCK_TRANSFORMER } block_kind;

typedef struct block_shape {
    block_kind kind;
    int64_t n, size;     // images; height = width
    int64_t c_in, c_out; // the same for a transformer
    int64_t heads;       // of a transformer
    int64_t groups;      // of the group norms
    int64_t time_width;  // of temb
    int64_t context_tokens, context_width;
    bool trains_context; // the context is a trainable leaf too
    bool lean;           // which segments there are, see block_build()
} block_shape;

// SD 1.5: 8 heads, 32 groups, time width 1280, context [77, 768].
block_shape block_sd15(block_kind kind, int64_t n, int64_t size, int64_t c_in, int64_t c_out);

enum { BLOCK_MAX_PARAMS = 32 };

// One leaf of the store: a weight under the name that diffusers gives it, or "x", "temb",
// "context", which are leaves so that bdpo_backward() leaves their gradients in the store too.
typedef struct block_param {
    char name[64];
    bdpo_shape shape;
    bool trainable;
} block_param;

int block_params(const block_shape *s, block_param out[BLOCK_MAX_PARAMS]);

// Declares all leaves.
BDPO_MUST_CHECK bdpo_status block_declare(bdpo_store *store, const block_shape *s);

// Builds the block on the store's leaves and returns y, with BDPO_SEGMENTS_LEAN or _COARSE.
bdpo_node *block_build(bdpo_graph *g, const block_shape *s);

// Adds the backward pass from the cotangent of y, an input called "dy".
void block_backward(bdpo_graph *g, bdpo_node *y);

// Multiply-adds count 2: the products and convolutions of one forward pass.
double block_flops(const block_shape *s);

#endif

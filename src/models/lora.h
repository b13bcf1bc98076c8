// Low-rank adapters in the graph: a layer's weight W [out, in] acts as W + factor B A, with
// A [rank, in] and B [out, rank], and the product B A is never formed. A convolution's A has the
// layer's kernel, stride and padding and `rank` outputs; its B is 1x1.
//
// A bdpo_lora says which layers of one component have an adapter. The matrices are parameters of
// the component's store, "<path>.lora_A.weight" and "<path>.lora_B.weight"; the layer functions of
// layers.h find them by the layer's path. (PEFT's names; files and other namings are not our
// concern here.)
#ifndef BDPO_LORA_H
#define BDPO_LORA_H

#include <bdpo/engine.h>

#include "models/param_list.h"

typedef struct bdpo_lora bdpo_lora;

typedef struct bdpo_lora_module {
    const char *path;  // of the layer: "mid_block.attentions.0.proj_in"
    bdpo_shape weight; // the layer's, as in the file: [out, in] or [co, ci, ky, kx]
    int64_t rank;
    double alpha; // factor = strength alpha / rank
} bdpo_lora_module;

// *out is the caller's, released by bdpo_lora_free(). Empty, of strength 1.
BDPO_MUST_CHECK bdpo_status bdpo_lora_new(bdpo_lora **out);
void bdpo_lora_free(bdpo_lora *lora);

// Multiplies every adapter. It becomes part of the graphs built afterwards.
void bdpo_lora_set_strength(bdpo_lora *lora, double strength);
// strength alpha / rank of a module of this lora.
double bdpo_lora_factor(const bdpo_lora *lora, const bdpo_lora_module *module);

// Adds an adapter for one layer. BAD_ARGUMENT for a path that is there already, a rank below 1 or
// an alpha that is not finite; BAD_SHAPE for a weight that is no linear layer's or convolution's.
BDPO_MUST_CHECK bdpo_status bdpo_lora_add(bdpo_lora *lora, const char *path, bdpo_shape weight,
                                          int64_t rank, double alpha);

// Adds an adapter for every linear layer and convolution of `params` that a target names and that
// has none yet. A target is a group:
//
//     attention     to_q, to_k, to_v, to_out.0; q_proj, k_proj, v_proj, out_proj of text encoders
//     feed-forward  ff.net.0.proj, ff.net.2; fc1, fc2 of text encoders
//     projections   proj_in, proj_out
//     convolutions  conv1, conv2, conv_shortcut, and conv of the down- and upsamplers
//
// or the end of a layer's path, from a dot on ("attn2.to_k"), as PEFT's target_modules. NOT_FOUND
// names a path's end that fits no layer, and a list whose groups fit none.
BDPO_MUST_CHECK bdpo_status bdpo_lora_target(bdpo_lora *lora, const bdpo_param_list *params,
                                             const char *const *targets, int n_targets,
                                             int64_t rank, double alpha);

// In the order of addition; borrowed until the next addition. find: NULL where there is none.
int bdpo_lora_count(const bdpo_lora *lora);
const bdpo_lora_module *bdpo_lora_at(const bdpo_lora *lora, int index);
const bdpo_lora_module *bdpo_lora_find(const bdpo_lora *lora, const char *path);

// Adds the matrices of all modules to a list: A [r, in] or [r, ci, ky, kx], B [out, r] or
// [co, r, 1, 1].
void bdpo_lora_params(bdpo_param_list *list, const bdpo_lora *lora);

// How A begins; B begins at zero, so that the model begins unchanged.
typedef enum bdpo_lora_start {
    BDPO_LORA_GAUSSIAN, // deviation 1 / rank (diffusers' init_lora_weights="gaussian")
    BDPO_LORA_KAIMING   // uniform in +-1 / sqrt(fan in) (kohya, and PEFT's default)
} bdpo_lora_start;

// Writes the starting values of all modules into a sealed store that holds their parameters; the
// same seed gives the same values on every machine.
BDPO_MUST_CHECK bdpo_status bdpo_lora_init(const bdpo_lora *lora, bdpo_store *store,
                                           bdpo_lora_start start, uint64_t seed);

#endif

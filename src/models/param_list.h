// What a model needs from a checkpoint: its parameters by the names that diffusers and transformers
// give them, with the shapes that stand in their files. A model lists them from its configuration;
// whoever loads, checks, writes or invents weights works from the list.
#ifndef BDPO_PARAM_LIST_H
#define BDPO_PARAM_LIST_H

#include "base/status.h"

typedef struct bdpo_param_spec {
    const char *name; // "down_blocks.0.resnets.0.conv1.weight"
    bdpo_shape shape; // as in the file: linear [out, in], convolution [co, ci, ky, kx]
} bdpo_param_spec;

typedef struct bdpo_param_list bdpo_param_list;

// *out is the caller's, released by bdpo_param_list_free().
BDPO_MUST_CHECK bdpo_status bdpo_param_list_new(bdpo_param_list **out);
void bdpo_param_list_free(bdpo_param_list *list);

// Adds one parameter; its name is printed from `format`. The first failure (no memory, a name given
// twice, a shape that is none) sticks: bdpo_param_list_check() tells it.
void bdpo_param_list_add(bdpo_param_list *list, bdpo_shape shape, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
BDPO_MUST_CHECK bdpo_status bdpo_param_list_check(const bdpo_param_list *list);

// In the order of addition. Borrowed until the next addition.
int bdpo_param_list_count(const bdpo_param_list *list);
const bdpo_param_spec *bdpo_param_list_at(const bdpo_param_list *list, int index);
// NULL where there is none.
const bdpo_param_spec *bdpo_param_list_find(const bdpo_param_list *list, const char *name);
// Sum of all elements: the figure that model cards call parameters.
int64_t bdpo_param_list_elements(const bdpo_param_list *list);

enum { BDPO_PARAM_NAME_BYTES = 256 };

// The path of the layer whose weight a parameter is ("conv_in" of "conv_in.weight"); false where it
// is no linear layer's or convolution's.
bool bdpo_param_layer(char path[BDPO_PARAM_NAME_BYTES], const bdpo_param_spec *spec);

// The shape in which the store keeps it: four axes are a convolution, held as [co, ky, kx, ci].
bdpo_shape bdpo_param_store_shape(const bdpo_param_spec *spec);

// The elements, of `size` bytes each, from the file's order to the store's: [co, ci, ky, kx] to
// [co, ky, kx, ci], others as they are. `shape` is the file's.
void bdpo_param_to_store(void *out, const void *in, const bdpo_shape *shape, size_t size);

#endif

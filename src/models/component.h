// One model of a checkpoint, e.g. its UNet: the configuration and the weights under diffusers'
// names, whatever the file calls them and however it stacks them. The numbers stay in the file
// until they are loaded into a store or read.
#ifndef BDPO_COMPONENT_H
#define BDPO_COMPONENT_H

#include <bdpo/engine.h>

#include "models/model_type.h"
#include "models/param_list.h"

// `tensor` has the shape of diffusers' tensor, and reads (formats/stored_tensor.h) in its order;
// its `name` is still the file's.
typedef struct bdpo_weight {
    const char *name;
    bdpo_stored_tensor tensor;
} bdpo_weight;

typedef struct bdpo_component bdpo_component;

typedef struct bdpo_component_source {
    const bdpo_component_spec *spec; // borrowed for good
    const bdpo_tensor_file *file;    // must stay open as long as the component
    const char *prefix;              // of its tensors in the file; "" where they have none
    bool original;                   // names are a single file's
    const json_t *config;            // of config.json; must stay as long as the component
    const char *config_file;         // where it is from, for messages; likewise
} bdpo_component_source;

// Finds the component's tensors. *out is the caller's, released by bdpo_component_free(). BAD_FILE
// where two tensors mean the same weight. Tensors under the prefix that have no place in the
// component are kept, as strays, for the load to refuse.
BDPO_MUST_CHECK bdpo_status bdpo_component_new(bdpo_component **out,
                                               const bdpo_component_source *source);
void bdpo_component_free(bdpo_component *component);

const bdpo_component_source *bdpo_component_get_source(const bdpo_component *component);

// The names of the component in the original, whichever names its file has.
const bdpo_naming *bdpo_component_naming(const bdpo_component *component);

// Weights in order of their names. find: NULL where there is none.
size_t bdpo_component_count(const bdpo_component *component);
const bdpo_weight *bdpo_component_at(const bdpo_component *component, size_t index);
const bdpo_weight *bdpo_component_find(const bdpo_component *component, const char *name);
size_t bdpo_component_n_strays(const bdpo_component *component);
const char *bdpo_component_stray(const bdpo_component *component, size_t index);

// Adds what the component's configuration asks for. The failures are those of the model's parser: a
// configuration that we cannot compute is UNSUPPORTED.
BDPO_MUST_CHECK bdpo_status bdpo_component_params(bdpo_param_list *list,
                                                  const bdpo_component_source *source);

// Compares with what a model needs. BAD_FILE counts all that is missing, left over or of another
// shape, and names the first few with the shapes found and expected. A trailing kernel of 1x1 makes
// no difference: [c, c, 1, 1] serves as [c, c].
BDPO_MUST_CHECK bdpo_status bdpo_component_check(const bdpo_component *component,
                                                 const bdpo_param_list *needed);

typedef struct bdpo_load_options {
    bool trainable; // in f32, copied; else in the file's dtype, and where that is possible mapped
    bool copy;      // map nothing: the file may be closed when the weights are loaded
} bdpo_load_options;

// Checks, and declares every parameter of `needed` in the store, under its own name, in the order
// of the list. What is mapped (linear and norm weights and 1x1 convolutions that are dense,
// aligned, in f32, f16 or bf16) is borrowed from the file: the checkpoint must outlive the store.
// The rest comes by bdpo_component_fill() after the store is sealed; then convolutions are permuted
// to the store's [co, ky, kx, ci], one tensor at a time.
BDPO_MUST_CHECK bdpo_status bdpo_component_declare(const bdpo_component *component,
                                                   const bdpo_param_list *needed, bdpo_store *store,
                                                   const bdpo_load_options *options);
BDPO_MUST_CHECK bdpo_status bdpo_component_fill(const bdpo_component *component,
                                                const bdpo_param_list *needed, bdpo_store *store);

#endif

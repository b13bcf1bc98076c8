// Whole models against a reference library: weights by name, a loss over all outputs, and the
// comparison with a fixture. tools/parity/model_weights.py is the other half.
//
// A case's cotangents and inputs are parity_fill() of "<case>/d<output>" and "<case>/<input>"; its
// weights those of "<weights>/<parameter>".
#ifndef MODEL_PARITY_H
#define MODEL_PARITY_H

#include <bdpo/engine.h>

#include "models/layers.h"
#include "parity/fixture.h"

enum { MODEL_MAX_OUTPUTS = 4 };

typedef struct model_run {
    const char *name;    // of the case
    const char *weights; // whose weights these are
    bdpo_engine *engine;
    bdpo_store *store;
    bdpo_param_list *params;
    bdpo_graph *graph;
    bdpo_plan *plan;
    bdpo_builder builder; // of `graph`
    const char *outputs[MODEL_MAX_OUTPUTS];
    bdpo_node *nodes[MODEL_MAX_OUTPUTS];
    int n_outputs;
} model_run;

// An engine of two threads and a list to which the caller adds the model's parameters; then a store
// with all of them, filled, and an empty graph over it. All are freed by release.
void model_run_init(model_run *run, const char *name, const char *weights);
void model_run_store(model_run *run);
void model_run_release(model_run *run);

// An input that model_run_go() fills by its name.
bdpo_node *model_run_input(model_run *run, const char *name, bdpo_shape shape);
// An output of the model, compared under this name.
void model_run_output(model_run *run, const char *name, bdpo_node *node);
// Adds the loss's gradient; plans.
void model_run_plan(model_run *run);
// Fills a float input of the plan by its name.
void model_run_write(model_run *run, const char *input, bdpo_shape shape);
// Writes the cotangents and runs.
void model_run_go(model_run *run);

// Outputs to a relative L2 of 1e-4 and gradients of all parameters to 1e-3, their lengths floored
// at 1e-6 of the largest one's. `is_zero` says of a parameter that its gradient vanishes: such a
// one must be below 1e-5 of the largest. Parameters that the fixture does not hold are passed over
// where `partial`, the rest are counted: returned.
int model_run_compare(model_run *run, const fixture *f, bool compact, bool partial,
                      bool (*is_zero)(const char *name));

// One tensor of the case against a full fixture (64 projections and the length).
void model_run_compare_tensor(const model_run *run, const fixture *f, const char *name,
                              const float *values, size_t count);

// The rule of tools/parity/model_weights.py: values of the parameter `name` of `n_outputs` rows,
// drawn under `key`, in our layout.
void model_fill_parameter(float *values, size_t count, const char *name, int n_dims,
                          int64_t n_outputs, const char *key);

// Frees by bdpo_free().
float *model_floats(size_t count);

#endif

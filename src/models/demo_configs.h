// The configurations of demonstration models: the published ones with smaller sizes.
#ifndef BDPO_DEMO_CONFIGS_H
#define BDPO_DEMO_CONFIGS_H

#include "models/demo_model.h"

// As bdpo_model_type_config(). *out is the caller's, freed by bdpo_json_free().
BDPO_MUST_CHECK bdpo_status bdpo_demo_config(bdpo_json_document **out, const bdpo_demo_model *model,
                                             const char *name);

#endif

#include "scorers/scorer_families.h"
const bdpo_scorer_family bdpo_family_external = {.name = "external"};

// Runs a preference loss on given predictions: one graph, one plan, one run, all outputs.
#ifndef LOSS_RUN_H
#define LOSS_RUN_H

#include "preference/preference_loss.h"

enum { LOSS_MAX_PAIRS = 8, LOSS_MAX_VALUES = 2 * LOSS_MAX_PAIRS * 64 * 64 * 4 };

// n pairs of maps [h, w, c]; arrays [2 n, h, w, c], or [n, h, w, c] for chosen pictures only, where
// labels are NULL.
typedef struct loss_run {
    int n, h, w, c;
    bdpo_preference_options options;
    const float *policy, *reference, *target; // reference may be NULL
    const float *labels, *weights, *scales;   // [n]; NULL for weights and scales: all 1
    bdpo_dtype compute_dtype;
    // results
    float loss, pair_loss[LOSS_MAX_PAIRS], logit[LOSS_MAX_PAIRS];
    float policy_error[2 * LOSS_MAX_PAIRS], reference_error[2 * LOSS_MAX_PAIRS];
    bool has_logit;
    float *gradient; // toward the policy's predictions; NULL: not asked for
} loss_run;

int loss_run_pictures(const loss_run *run);
int64_t loss_run_elements(const loss_run *run); // of one picture
void loss_run_now(loss_run *run);

// Pair i as loss_run_now() sees it, in double.
bdpo_preference_pair loss_run_pair(const loss_run *run, int i);

// Fills `count` floats with a normal of this deviation, a function of the name.
void loss_fill(float *out, int64_t count, const char *name, double deviation);
// out = a + b.
void loss_add(float *out, const float *a, const float *b, int64_t count);

#endif

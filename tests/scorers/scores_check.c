#include "scores_check.h"

#include <math.h>

static double root_mean_square(const double *x, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += x[i] * x[i];
    return sqrt(sum / (double)n);
}

scores_difference scores_compare(const double *ours, const double *theirs, size_t n, size_t stride)
{
    scores_difference d = {0};
    double floor = 0.1 * root_mean_square(theirs, n);
    for (size_t i = 0; i < n; i++) {
        double error = fabs(ours[i] - theirs[i]), relative = error / fmax(fabs(theirs[i]), floor);
        if (!(relative <= d.relative)) d.relative = relative; // and a NaN
        if (!(error <= d.absolute)) d.absolute = error;
    }
    for (size_t i = 0; i < n; i++)
        for (size_t j = i % stride; j < i; j += stride) {
            double a = ours[i] - ours[j], b = theirs[i] - theirs[j];
            if (fabs(b) <= 2e-6 * fmax(fabs(theirs[i]), 10 * floor)) continue;
            d.n_pairs++;
            d.n_swapped += (a > 0) != (b > 0);
        }
    return d;
}

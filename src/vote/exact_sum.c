// Partial sums that do not overlap, of increasing magnitude, hold the sum exactly (J. R. Shewchuk,
// Adaptive precision floating-point arithmetic and fast robust geometric predicates, 1997).
#include "vote/exact_sum.h"

#include <math.h>

#include "base/status.h"

// Adds x to the partials; returns how many there are then.
static int add_term(double *partials, int n, double x)
{
    int kept = 0;
    for (int k = 0; k < n; k++) {
        double y = partials[k], high = x + y;
        double low = fabs(x) >= fabs(y) ? y - (high - x) : x - (high - y);
        if (low != 0) partials[kept++] = low;
        x = high;
    }
    partials[kept++] = x;
    return kept;
}

double bdpo_exact_sum(const double *terms, int n)
{
    double partials[BDPO_MAX_TERMS], sum = 0, rest = 0;
    int n_partials = 0;
    BDPO_ASSERT(n <= BDPO_MAX_TERMS);
    for (int i = 0; i < n; i++) n_partials = add_term(partials, n_partials, terms[i]);
    while (n_partials > 0 && rest == 0) {
        double x = sum, y = partials[--n_partials];
        sum = x + y;
        rest = y - (sum - x);
    }
    // Where the rest is half a unit, the partials below it say to which side.
    if (n_partials > 0 && (rest > 0) == (partials[n_partials - 1] > 0)) {
        double twice = 2 * rest, up = sum + twice;
        if (up - sum == twice) sum = up;
    }
    return sum;
}

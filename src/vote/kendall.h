// Kendall's rank correlation with ties, tau-b (Kendall 1945; Knight's method of 1966):
//
//     tau_b = (C - D) / sqrt((N - X) (N - Y))
//
// over all N = n (n - 1) / 2 pairs of positions: C where x and y are ordered alike, D where they
// are ordered oppositely, X and Y where x, or y, is equal. In O(n log n).
#ifndef BDPO_KENDALL_H
#define BDPO_KENDALL_H

#include "base/status.h"

// x and y [n], n at most 2^31 - 1, without NaN. NaN where n < 2, or x or y is all one value.
BDPO_MUST_CHECK bdpo_status bdpo_kendall_tau_b(double *out, const double *x, const double *y,
                                               int64_t n);

#endif

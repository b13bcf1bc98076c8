// Comparing our scores with a package's: the differences, and the order of every two.
#ifndef SCORES_CHECK_H
#define SCORES_CHECK_H

#include <stddef.h>

typedef struct scores_difference {
    double relative; // the largest |ours - theirs| / max(|theirs|, a tenth of their root mean
                     // square): a cosine that happens to lie by zero has no relative precision
    double absolute;
    size_t n_swapped; // pairs of pictures under one prompt whose order differs, of those that are
                      // further apart than 2e-6 of a score: f32 sums in another order are not
    size_t n_pairs;
} scores_difference;

// Pictures under one prompt stand `stride` apart.
scores_difference scores_compare(const double *ours, const double *theirs, size_t n, size_t stride);

#endif

// A sum that is rounded once, from the exact value: whatever the order of its terms, the same bits,
// and the right sign.
#ifndef BDPO_EXACT_SUM_H
#define BDPO_EXACT_SUM_H

enum { BDPO_MAX_TERMS = 32 };

// Of n finite terms, n at most BDPO_MAX_TERMS, whose partial sums are finite too. 0 where n is 0.
double bdpo_exact_sum(const double *terms, int n);

#endif

// Inputs and weights of the parity tests: every value is a function of a name and an index, in C
// here and in Python in tools/parity/inputs.py, so that fixtures hold results only.
//
//   key  = FNV-1a (64 bits) of the name's bytes
//   bits = splitmix64's output function of key + (index + 1) * 0x9e3779b97f4a7c15
//   bell = (the sum of the four 16-bit parts of bits, minus 131070) * 2.6429e-5
//
// `bell` is close to a standard normal (its deviation is 1.00001, its range +-3.46) and exact:
// integers and one multiplication in double, so both languages get the same bits.
#ifndef PARITY_INPUTS_H
#define PARITY_INPUTS_H

#include <stddef.h>
#include <stdint.h>

uint64_t parity_key(const char *name);
uint64_t parity_bits(uint64_t key, uint64_t index);

// out[i] = (float)(shift + scale * bell(name, i))
void parity_fill(float *out, size_t count, const char *name, double scale, double shift);
// out[i] = bits(name, i) mod limit
void parity_fill_index(int32_t *out, size_t count, const char *name, int32_t limit);

// Projections: with r[k][i] = +1 where bit k of bits("projection", i) is set, else -1,
// out[k] = sum over i of r[k][i] * x[i], k = 0 .. 63. For an error e that knows nothing of r,
// the mean of (r[k] . e)^2 over k is |e|^2 in expectation and behaves like a chi-square of 64
// degrees of freedom, over 64: that it falls below 0.36 |e|^2 has a probability under 5e-6
// (Chernoff: exp(-32 (0.36 - 1 - log 0.36))). So a measured error of at most 0.6 tolerances
// means a true one of at most one tolerance.
enum { PARITY_PROJECTIONS = 64 };
void parity_project(double out[PARITY_PROJECTIONS], const float *x, size_t count);

#endif

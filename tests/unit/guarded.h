// Matrices for kernel tests: random values, with guard words around them and in the gaps between
// their rows. The guards are NaN, so a kernel that reads one cannot hide it, and they are compared
// bit by bit, so neither can one that writes there.
#ifndef BDPO_GUARDED_H
#define BDPO_GUARDED_H

#include "harness.h"

#include "kernels/isa.h"

typedef struct guarded {
    float *data; // row r begins at data + r * ld
    int64_t rows, cols, ld;
    float *block; // all of it
    size_t count;
} guarded;

// Values in (-scale, scale), the same ones for the same seed.
guarded guarded_new(int64_t rows, int64_t cols, int64_t gap, uint32_t seed, float scale);
guarded guarded_copy(const guarded *m);
void guarded_fill(guarded *m, float value);
void guarded_free(guarded *m);
void guarded_check(const char *file, int line, const guarded *m); // guards are as they were
#define CHECK_GUARDS(m) guarded_check(__FILE__, __LINE__, m)

// The same values, guards included, bit by bit.
#define CHECK_SAME(a, b) CHECK_BYTES((a)->block, (b)->block, (a)->count * sizeof(float))

// |actual - expected| <= tolerance where both are numbers; prints the element.
void guarded_near(const char *file, int line, const char *what, int64_t row, int64_t col,
                  double actual, double expected, double tolerance);
#define CHECK_ELEMENT(what, row, col, actual, expected, tolerance)                                 \
    guarded_near(__FILE__, __LINE__, what, row, col, actual, expected, tolerance)

// A workspace of `size` bytes that holds NaN, with a guard behind it.
void *workspace_new(size_t size);
void workspace_free(void *workspace, size_t size); // checks the guard

// A number below `count`, from the sequence that `state` is in.
int64_t random_below(uint32_t *state, int64_t count);

// Runs a test with the kernels of each instruction set that this processor has.
void for_each_isa(void (*run)(void));

#endif

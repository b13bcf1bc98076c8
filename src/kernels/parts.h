// How a kernel's work is cut for its threads: contiguous, equal, known beforehand.
#ifndef BDPO_PARTS_H
#define BDPO_PARTS_H

#include <stdbool.h>
#include <stdint.h>

// The beginning of part `i` of `n` parts of `count` things; part i ends where i + 1 begins.
static inline int64_t bdpo_part_begin(int64_t count, int64_t i, int64_t n)
{
    return count / n * i + (count % n < i ? count % n : i);
}

// Threads worth starting for work over `count` floats: waking a team costs as much as some
// thousands of them.
static inline int bdpo_threads_for(int64_t count, int n_threads)
{
    int64_t most = count / 8192 + 1;
    if (n_threads < 1) return 1;
    return most < n_threads ? (int)most : n_threads;
}

// A thread's piece of a matrix: whole rows, or, where all rows are dense (`flat`), one long row.
typedef struct bdpo_piece {
    int64_t row, rows, col, cols;
} bdpo_piece;

static inline bdpo_piece bdpo_piece_of(bool flat, int64_t rows, int64_t cols, int i, int n)
{
    if (!flat) {
        int64_t from = bdpo_part_begin(rows, i, n), to = bdpo_part_begin(rows, i + 1, n);
        return (bdpo_piece){from, to - from, 0, cols};
    }
    // Cut at multiples of 64 floats, so that threads do not write into one cache line.
    int64_t count = rows * cols, lines = (count + 63) / 64;
    int64_t from = bdpo_part_begin(lines, i, n) * 64, to = bdpo_part_begin(lines, i + 1, n) * 64;
    if (to > count) to = count;
    return (bdpo_piece){0, to > from, from, to > from ? to - from : 0};
}

#endif

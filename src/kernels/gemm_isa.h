// What gemm.c and the kernels of one instruction set (gemm_isa.c) agree on.
#ifndef BDPO_GEMM_ISA_H
#define BDPO_GEMM_ISA_H

#include "kernels/gemm.h"

// How our own kernel does a product. Each sums over k in another order, so the choice depends on
// the whole shape, never on a thread's share of it.
typedef enum gemm_path {
    GEMM_TILES, // register tiles, B packed where that helps
    GEMM_DOTS,  // few rows against a B stored [n, k]: dot products, B is read once as it lies
    GEMM_SWEEP  // few rows against a B stored [k, n]: B is read once as it lies
} gemm_path;

enum { GEMM_DOT_ROWS = 4 }; // rows of A that GEMM_DOTS takes at most

typedef struct gemm_kernels {
    int rows, columns; // of a tile: shares of C begin at multiples of these
    // Bytes a thread, for any share of a product of this shape.
    size_t (*workspace)(int64_t m, int64_t n, int64_t k, bool trans_a, bool trans_b);
    // One thread's product, without the activation.
    void (*product)(const bdpo_gemm_args *args, gemm_path path, void *workspace);
} gemm_kernels;

#endif

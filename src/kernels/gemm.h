// The matrix product of the CPU backend: C = activation(alpha op(A) op(B) + bias), or C += it.
// Row-major f32, each matrix with a row stride. One call for every product of the library; which
// code runs (our packed kernel, oneDNN, OpenBLAS) is a fixed rule of the shape and the
// instruction set, never a timing.
//
// Our own kernel sums each element of C over k in one fixed order, so its bits depend on the
// shape and the instruction set but not on the number of threads.
#ifndef BDPO_GEMM_H
#define BDPO_GEMM_H

#include "base/status.h"

typedef enum bdpo_gemm_activation {
    BDPO_GEMM_LINEAR,    // y = x
    BDPO_GEMM_SILU,      // y = x sigmoid(x)
    BDPO_GEMM_GELU,      // y = x Phi(x), the erf form
    BDPO_GEMM_QUICK_GELU // y = x sigmoid(1.702 x)
} bdpo_gemm_activation;

// C[m, n] = activation(alpha op(A) op(B) + bias); with `accumulate` the old C is added before
// the activation. op(A) is [m, k], stored [m, k], or [k, m] with trans_a; op(B) is [k, n],
// stored [k, n], or [n, k] with trans_b (a linear layer's weight as it rests).
// A leading dimension is the distance between stored rows in floats, at least the row's length.
// C overlaps neither A nor B. With k = 0 the product is zero; m or n = 0 does nothing.
typedef struct bdpo_gemm_args {
    int64_t m, n, k;
    const float *a;
    int64_t lda;
    bool trans_a;
    const float *b;
    int64_t ldb;
    bool trans_b;
    float *c;
    int64_t ldc;
    bool accumulate;
    float alpha;
    const float *bias; // [n], or NULL
    bdpo_gemm_activation activation;
} bdpo_gemm_args;

// `workspace` holds bdpo_gemm_workspace() bytes, 64-byte aligned, contents irrelevant. Inside a
// parallel region call it with n_threads = 1.
void bdpo_gemm(const bdpo_gemm_args *args, void *workspace, int n_threads);

// Bytes that bdpo_gemm needs for any operands of this shape: at most 4 MiB a thread.
size_t bdpo_gemm_workspace(int64_t m, int64_t n, int64_t k, bool trans_a, bool trans_b,
                           int n_threads);

// count[0] x count[1] products of one shape. Product (i, j) uses one.a + i a_stride[0] +
// j a_stride[1], and likewise B and C: [batch, tokens, heads, width] needs no copy for attention.
// A stride of 0 shares A or B; the Cs must not overlap. `bias` is shared.
typedef struct bdpo_gemm_batch_args {
    bdpo_gemm_args one;
    int64_t count[2];
    int64_t a_stride[2], b_stride[2], c_stride[2];
} bdpo_gemm_batch_args;

// Threads take whole products when there are enough of them, else they share each product.
void bdpo_gemm_batch(const bdpo_gemm_batch_args *args, void *workspace, int n_threads);
size_t bdpo_gemm_batch_workspace(int64_t m, int64_t n, int64_t k, bool trans_a, bool trans_b,
                                 int64_t n_products, int n_threads);

// For tests and benchmarks: the code that runs from now on. UNSUPPORTED when this build lacks it.
typedef enum bdpo_gemm_backend {
    BDPO_GEMM_BY_RULE,
    BDPO_GEMM_OWN,
    BDPO_GEMM_DNNL,
    BDPO_GEMM_OPENBLAS
} bdpo_gemm_backend;

BDPO_MUST_CHECK bdpo_status bdpo_gemm_force(bdpo_gemm_backend backend);

#endif

// What every .cu file shares: the stream with its library handle, dtypes, launch shapes. Kernels
// are templates over the dtype of storage and compute in f32.
#ifndef BDPO_CUDA_COMMON_CUH
#define BDPO_CUDA_COMMON_CUH

#include <cublasLt.h>
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

extern "C" {
#include "tensor/tensor.h"
}

// What call->stream points to.
typedef struct bdpo_cuda_stream {
    cudaStream_t stream;
    cublasLtHandle_t blas;
    void *workspace; // of the matrix products
    size_t workspace_bytes;
} bdpo_cuda_stream;

enum { BDPO_CUDA_THREADS = 256 };

// Blocks of BDPO_CUDA_THREADS for `count` elements; grid-stride loops take what is over.
static inline unsigned bdpo_cuda_blocks(int64_t count)
{
    int64_t blocks = (count + BDPO_CUDA_THREADS - 1) / BDPO_CUDA_THREADS;
    return (unsigned)(blocks < 65535 ? blocks : 65535);
}

__device__ static inline float bdpo_widen(float value)
{
    return value;
}
__device__ static inline float bdpo_widen(__nv_bfloat16 value)
{
    return __bfloat162float(value);
}
__device__ static inline float bdpo_widen(__half value)
{
    return __half2float(value);
}
__device__ static inline void bdpo_narrow(float *out, float value)
{
    *out = value;
}
__device__ static inline void bdpo_narrow(__nv_bfloat16 *out, float value)
{
    *out = __float2bfloat16_rn(value);
}
__device__ static inline void bdpo_narrow(__half *out, float value)
{
    *out = __float2half_rn(value);
}

// Rows and columns of a tensor whose rows may be strided.
typedef struct bdpo_cuda_rows {
    int64_t rows, cols, stride;
} bdpo_cuda_rows;

static inline bdpo_cuda_rows bdpo_cuda_rows_of(const bdpo_tensor *t)
{
    bdpo_cuda_rows r = {bdpo_shape_rows(&t->shape), bdpo_shape_cols(&t->shape), t->row_stride};
    return r;
}

#endif

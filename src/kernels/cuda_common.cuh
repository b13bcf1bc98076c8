// What every .cu file shares: the stream with its library handle, dtypes, launch shapes.
//
// A launcher, bdpo_cuda_<op>, enqueues its kernels on the stream and returns; it allocates nothing
// and never waits, so that a whole program can be captured. Kernels are templates over the dtype
// of storage and compute in f32.
#ifndef BDPO_CUDA_COMMON_CUH
#define BDPO_CUDA_COMMON_CUH

#include <cublasLt.h>
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

extern "C" {
#include "graph/op.h"
}

// What call->stream points to.
typedef struct bdpo_cuda_stream {
    cudaStream_t stream;
    cublasLtHandle_t blas;
    void *workspace; // of the matrix products
    size_t workspace_bytes;
} bdpo_cuda_stream;

enum { BDPO_CUDA_THREADS = 256 };

static inline const bdpo_cuda_stream *bdpo_cuda_stream_of(const bdpo_op_call *call)
{
    return (const bdpo_cuda_stream *)call->stream;
}

// Blocks of BDPO_CUDA_THREADS for `count` elements; grid-stride loops take what is over.
static inline unsigned bdpo_cuda_blocks(int64_t count)
{
    int64_t blocks = (count + BDPO_CUDA_THREADS - 1) / BDPO_CUDA_THREADS;
    return (unsigned)(blocks < 65535 ? blocks : 65535);
}

// The outcome of the launches since the last call, as a status naming the operator.
static inline bdpo_status bdpo_cuda_launched(const bdpo_op_call *call)
{
    cudaError_t error = cudaGetLastError();
    if (error == cudaSuccess) return BDPO_OK;
    return bdpo_fail(BDPO_UNSUPPORTED, "CUDA kernel of \"%s\": %s", call->op->name,
                     cudaGetErrorString(error));
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

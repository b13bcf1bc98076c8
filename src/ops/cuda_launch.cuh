// What a launcher needs of its call. bdpo_cuda_<op> enqueues its kernels on the stream and returns;
// it allocates nothing and never waits, so that a whole program can be captured.
#ifndef BDPO_CUDA_LAUNCH_CUH
#define BDPO_CUDA_LAUNCH_CUH

#include "kernels/cuda_common.cuh"

extern "C" {
#include "graph/op.h"
}

static inline const bdpo_cuda_stream *bdpo_cuda_stream_of(const bdpo_op_call *call)
{
    return (const bdpo_cuda_stream *)call->stream;
}

// The outcome of the launches since the last call, as a status naming the operator.
static inline bdpo_status bdpo_cuda_launched(const bdpo_op_call *call)
{
    cudaError_t error = cudaGetLastError();
    if (error == cudaSuccess) return BDPO_OK;
    return bdpo_fail(BDPO_UNSUPPORTED, "CUDA kernel of \"%s\": %s", call->op->name,
                     cudaGetErrorString(error));
}

#endif

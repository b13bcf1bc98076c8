// y = x sigmoid(x).
#include "ops/cuda_unary.cuh"

__device__ static float silu(float x)
{
    return x / (1.0f + expf(-x));
}

extern "C" bdpo_status bdpo_cuda_silu(const bdpo_op_call *call)
{
    return bdpo_cuda_unary<silu>(call);
}

// y = x x.
#include "ops/cuda_unary.cuh"

__device__ static float square(float x)
{
    return x * x;
}

extern "C" bdpo_status bdpo_cuda_square(const bdpo_op_call *call)
{
    return bdpo_cuda_unary<square>(call);
}
